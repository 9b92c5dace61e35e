(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var slider = document.getElementById("alpha"), value = document.getElementById("value");
  var now = document.getElementById("now"), strip = document.getElementById("strip"), shown = [];

  function make(tag, options, inside) {
    var element = document.createElement(tag);
    Object.keys(options || {}).forEach(function (name) {
      if (name === "text") { element.textContent = options.text; } else { element.setAttribute(name, options[name]); }
    });
    (inside || []).forEach(function (child) { element.appendChild(child); });
    return element;
  }
  function captioned(picture, words, kind) {
    return make("figure", kind ? { class: kind } : {}, [picture, make("figcaption", { text: words })]);
  }
  function source(part) { return "data:image/png;base64," + part; }
  function words(alpha) { return (alpha < 0 ? "−" : "") + Math.abs(alpha).toFixed(2); }

  // (1 - alpha) a + alpha b of 8-bit pixels; a clamped array rounds and clips.
  function mix(a, b, alpha) {
    var mixed = new Uint8ClampedArray(a.length);
    for (var i = 0; i < a.length; i += 4) {
      for (var c = 0; c < 3; c += 1) { mixed[i + c] = (1 - alpha) * a[i + c] + alpha * b[i + c]; }
      mixed[i + 3] = 255;
    }
    return mixed;
  }
  function pixels(image) {
    var canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    var context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
  }

  // What was measured, on straight lines between the alphas that were.
  function between(values, alpha) {
    var known = data.alphas;
    for (var i = 1; i < known.length; i += 1) {
      if (alpha <= known[i] + 1e-9) {
        if (values[i] === null || values[i - 1] === null) { return null; }
        return values[i - 1] + (values[i] - values[i - 1]) * (alpha - known[i - 1]) / (known[i] - known[i - 1]);
      }
    }
    return null;
  }
  function numbers(alpha) {
    now.textContent = "";
    Object.keys(data.curves).forEach(function (name) {
      var curve = data.curves[name], found = between(curve.values, alpha), plain = between(curve.values, 1);
      if (found === null) { return; }
      var inside = [document.createTextNode(curve.label + " " + Number(found.toPrecision(4)) + " " + curve.unit)];
      if (plain !== null) {
        var change = found - plain;
        inside.push(make("small", { text: " (" + (change < 0 ? "−" : "+") + Number(Math.abs(change).toPrecision(2)) + ")" }));
      }
      now.appendChild(make("span", {}, inside));
    });
  }

  function show() {
    var alpha = Number(slider.value);
    value.textContent = "α = " + words(alpha);
    strip.setAttribute("data-alpha", String(alpha));
    numbers(alpha);
    shown.forEach(function (one) {
      var mixed = mix(one.moved, one.restored, alpha);
      one.context.putImageData(new ImageData(mixed, one.canvas.width, one.canvas.height), 0, 0);
      one.canvas.setAttribute("data-first", mixed[0] + "," + mixed[1] + "," + mixed[2]);
      one.caption.textContent = "x̂, α = " + words(alpha);
    });
  }

  document.body.style.setProperty("--shown", data.examples.some(function (one) { return one.truth; }) ? 4 : 3);
  data.examples.forEach(function (example) {
    var restored = make("img", { src: source(example.restored), alt: "x*" });
    var moved = make("img", { src: source(example.moved), alt: "x̂₀" });
    var canvas = make("canvas", { role: "img", "aria-label": "x̂ at alpha" }), mixed = captioned(canvas, "", "mixed");
    var figures = [captioned(restored, "x*, as it was"), mixed, captioned(moved, "x̂₀, transported")];
    if (example.truth) { figures.push(captioned(make("img", { src: source(example.truth), alt: "truth" }), "truth")); }
    var row = make("div", { class: "example" }, [make("h3", { text: example.name }), make("div", { class: "four" }, figures)]);
    document.getElementById("examples").appendChild(row);
    Promise.all([restored.decode(), moved.decode()]).then(function () {
      canvas.width = restored.naturalWidth;
      canvas.height = restored.naturalHeight;
      shown.push({ moved: pixels(moved), restored: pixels(restored), canvas: canvas, context: canvas.getContext("2d"), caption: mixed.lastChild });
      show();
    });
  });

  function fromAddress() {
    var wanted = parseFloat(location.hash.slice(1));
    slider.value = String(isFinite(wanted) ? wanted : data.alpha);
    show();
  }
  slider.addEventListener("input", show);
  slider.addEventListener("change", function () { history.replaceState(null, "", "#" + slider.value); });
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
})();
