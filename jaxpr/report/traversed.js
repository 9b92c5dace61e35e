(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var slider = document.getElementById("alpha"), value = document.getElementById("value");
  var now = document.getElementById("now"), strip = document.getElementById("strip"), shown = [];

{% include "mixing.js" %}

  function show() {
    var alpha = Number(slider.value);
    value.textContent = "α = " + words(alpha);
    strip.setAttribute("data-alpha", String(alpha));
    numbers(now, data.alphas, data.curves, alpha);
    shown.forEach(function (draw) { draw(alpha); });
  }

  document.body.style.setProperty("--shown", data.examples.some(function (one) { return one.truth; }) ? 4 : 3);
  data.examples.forEach(function (example) {
    mixable(document.getElementById("examples"), example, function (draw) { shown.push(draw); draw(Number(slider.value)); });
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
