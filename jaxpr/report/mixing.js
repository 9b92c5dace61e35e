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

  // What was measured, on straight lines between the alphas that were; null outside of them.
  function between(known, values, alpha) {
    for (var i = 1; i < known.length; i += 1) {
      if (alpha >= known[i - 1] - 1e-9 && alpha <= known[i] + 1e-9) {
        if (values[i] === null || values[i - 1] === null) { return null; }
        return values[i - 1] + (values[i] - values[i - 1]) * (alpha - known[i - 1]) / (known[i] - known[i - 1]);
      }
    }
    return null;
  }
  // The numbers at alpha and how far they are from those at alpha = 1, as children of an element.
  function numbers(place, known, curves, alpha) {
    place.textContent = "";
    Object.keys(curves).forEach(function (name) {
      var curve = curves[name], found = between(known, curve.values, alpha), plain = between(known, curve.values, 1);
      if (found === null) { return; }
      var inside = [document.createTextNode(curve.label + " " + Number(found.toPrecision(4)) + " " + curve.unit)];
      if (plain !== null) {
        var change = found - plain;
        inside.push(make("small", { text: " (" + (change < 0 ? "−" : "+") + Number(Math.abs(change).toPrecision(2)) + ")" }));
      }
      place.appendChild(make("span", {}, inside));
    });
  }

  // One example: x*, a canvas that `draw(alpha)` of the result fills, x̂₀, and the truth where there is one.
  function mixable(place, example, ready) {
    var restored = make("img", { src: source(example.restored), alt: "x*" });
    var moved = make("img", { src: source(example.moved), alt: "x̂₀" });
    var canvas = make("canvas", { role: "img", "aria-label": "x̂ at alpha" }), mixed = captioned(canvas, "", "mixed");
    var figures = [captioned(restored, "x*, as it was"), mixed, captioned(moved, "x̂₀, transported")];
    if (example.truth) { figures.push(captioned(make("img", { src: source(example.truth), alt: "truth" }), "truth")); }
    place.appendChild(make("div", { class: "example" }, [
      make("h3", { text: example.name }), make("div", { class: "four" }, figures)
    ]));
    Promise.all([restored.decode(), moved.decode()]).then(function () {
      canvas.width = restored.naturalWidth;
      canvas.height = restored.naturalHeight;
      var a = pixels(moved), b = pixels(restored), context = canvas.getContext("2d");
      ready(function (alpha) {
        var found = mix(a, b, alpha);
        context.putImageData(new ImageData(found, canvas.width, canvas.height), 0, 0);
        canvas.setAttribute("data-first", found[0] + "," + found[1] + "," + found[2]);
        mixed.lastChild.textContent = "x̂, α = " + words(alpha);
      });
    });
  }
