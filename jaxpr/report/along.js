(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("along-data").textContent);
  if (!data.curves.length) { return; }
  function by(id) { return document.getElementById(id); }
  var slider = by("alpha"), strip = by("strip"), choice = by("curve"), wish = by("wish"), lose = by("lose");
  var curve = data.curves[0], drawn = [], best = null;

{% include "mixing.js" %}

  function show() {
    var alpha = Number(slider.value);
    by("value").textContent = "α = " + words(alpha);
    strip.setAttribute("data-alpha", String(alpha));
    numbers(by("now"), curve.alphas, curve.values, alpha);
    drawn.forEach(function (draw) { draw(alpha); });
  }

  // The measured alpha where a metric is least, among those that lose no more PSNR than allowed; the nearest to x*.
  function wished() {
    var values = wish.value ? curve.values[wish.value].values : [], psnr = curve.values.psnr ? curve.values.psnr.values : [];
    var itself = psnr[curve.alphas.indexOf(1)], most = lose.value === "" ? Infinity : Number(lose.value);
    best = null;
    curve.alphas.forEach(function (alpha, i) {
      var known = typeof itself === "number" && typeof psnr[i] === "number";
      var lost = most === Infinity || alpha === 1 ? 0 : known ? itself - psnr[i] : NaN;
      if (typeof values[i] !== "number" || !(lost <= most + 1e-9)) { return; }
      var nearer = best !== null && values[i] === values[best] && Math.abs(alpha - 1) < Math.abs(curve.alphas[best] - 1);
      if (best === null || values[i] < values[best] || nearer) { best = i; }
    });
    by("best").textContent = best === null ? "no α" : "α = " + words(curve.alphas[best]);
    strip.setAttribute("data-best", best === null ? "" : String(curve.alphas[best]));
  }

  function choose(number) {
    var place = by("mixed"), own = drawn = [];
    curve = data.curves[number];
    strip.setAttribute("data-curve", curve.title);
    place.textContent = "";
    data.examples.forEach(function (example, i) {
      var pair = curve.examples[i];
      if (!pair) { return; }
      var parts = { name: example.name, truth: example.truth, restored: pair.restored, moved: pair.moved };
      mixable(place, parts, function (draw) { own.push(draw); draw(Number(slider.value)); });
    });
    var asked = wish.value;
    wish.textContent = "";
    Object.keys(curve.wishes).forEach(function (metric) {
      wish.appendChild(make("option", { value: metric, text: "the least " + curve.wishes[metric] }));
      if (metric === asked) { wish.value = asked; }
    });
    wished();
    show();
  }

  slider.addEventListener("input", show);
  wish.addEventListener("change", wished);
  lose.addEventListener("input", wished);
  by("best").addEventListener("click", function () {
    if (best !== null) { slider.value = String(curve.alphas[best]); show(); }
  });
  if (choice) { choice.addEventListener("change", function () { choose(choice.selectedIndex); }); }
  // An address such as report.html#alpha=0.5&curve=1 shows that.
  var asked = new URLSearchParams(location.hash.slice(1)), number = Number(asked.get("curve"));
  slider.value = asked.has("alpha") ? asked.get("alpha") : "0";
  if (asked.has("lose")) { lose.value = asked.get("lose"); }
  number = data.curves[number] ? number : 0;
  if (choice) { choice.selectedIndex = number; }
  choose(number);
})();
