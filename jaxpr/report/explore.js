(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var record = data.record, current = -1, sought = -1;
  var titles = { random: "random", kmeans: "k-means", uniformization: "uniformization", farthest: "farthest points", guided: "guided" };

  function make(tag, options, inside) {
    var element = document.createElement(tag);
    Object.keys(options || {}).forEach(function (name) {
      if (name === "text") { element.textContent = options.text; } else { element.setAttribute(name, options[name]); }
    });
    (inside || []).forEach(function (child) { if (child) { element.appendChild(child); } });
    return element;
  }
  function fill(id, inside) {
    var place = document.getElementById(id);
    place.textContent = "";
    inside.forEach(function (child) { if (child) { place.appendChild(child); } });
    return place;
  }
  function picture(name, words, holes) {
    var options = { src: "data:image/png;base64," + data.pictures[name], alt: words };
    if (holes) { options.class = "hole"; }
    return make("img", options);
  }
  function digits(value) {
    return value === 0 ? "0" : value >= 100 || value < 0.001 ? value.toPrecision(2) : String(Number(value.toPrecision(3)));
  }
  function plural(count, word) { return count + " " + word + (count === 1 ? "" : "s"); }
  function consistency(answer) {
    if (answer.residual === null) { return null; }
    var off = answer.consistent === false;
    var words = answer.relative_residual === null ? (255 * answer.residual < 0.01 ? "below 0.01" : digits(255 * answer.residual)) + " levels" : digits(answer.relative_residual) + " × noise";
    return make("small", { text: (answer.consistent === null ? "A x̂ − y: " : off ? "inconsistent: " : "consistent: ") + words, class: off ? "off" : "on", title: "root mean square of A x̂ − y" });
  }
  function rank(answer, restorer) { return "rank " + answer.rank + " of " + restorer.answers.length; }

  function known(restorer, number) {
    var shown = [["measurement", "measurement", record.degradation]];
    if (record.truth_known) { shown.push(["truth", "truth", "not known to the restorer"]); }
    shown.push(["mean/" + number, "mean", "of all answers"]);
    shown.push(["smallest/" + number, "smallest", "value of each pixel"], ["largest/" + number, "largest", "value of each pixel"]);
    shown.push(["spread/" + number, "spread", "black 0, bright " + digits(restorer.largest.spread)]);
    shown.push(["range/" + number, "range", "black 0, bright " + digits(restorer.largest.range)]);
    fill("known", shown.map(function (entry) {
      var caption = make("figcaption", {}, [make("b", { text: entry[1] }), document.createTextNode(entry[2])]);
      return make("figure", {}, [picture(entry[0], entry[1], entry[0] === "measurement"), caption]);
    }));
  }

  function bar(words, value, largest) {
    if (value === null) { return null; }
    var length = largest > 0 ? Math.round(100 * value / largest) : 0;
    return make("div", { class: "bar" }, [make("span", { text: words }), make("b", { text: digits(value) }), make("i", { style: "width:" + length + "%" })]);
  }
  function sets(restorer, number) {
    function largest(field) { return Math.max.apply(null, restorer.sets.map(function (set) { return set[field] || 0; })); }
    fill("sets", restorer.sets.map(function (set) {
      var name = titles[set.method];
      var row = set.files.map(function (file, place) {
        var image = picture(file, name + ", answer " + (place + 1));
        if (!set.answers.length) { return make("span", {}, [image]); }
        var answer = set.answers[place], node = ways.home(restorer.tree, answer), ranks = ways.to(restorer.tree, node);
        var words = "no. " + answer + ", " + rank(restorer.answers[answer], restorer);
        var link = make("a", { href: ways.format(number, ranks.slice(0, -1)), title: words }, [image]);
        link.addEventListener("click", function () { sought = node; window.setTimeout(step, 0); });
        return link;
      });
      var title = make("h3", { text: name + " " }, set.name ? [make("small", { text: set.name })] : []);
      var bars = [bar("diversity", set.diversity, largest("diversity")), bar("coverage dist.", set.coverage_distance, largest("coverage_distance"))];
      return make("div", { class: "set" }, [make("div", {}, [title].concat(bars)), make("div", { class: "row" }, row)]);
    }));
  }

  function tree(restorer, number, ranks) {
    var nodes = restorer.tree, way = ways.follow(nodes, ranks), last = way.length ? way[way.length - 1] : -1;
    var crumbs = [make("li", {}, [make("a", { class: "text", href: ways.format(number, []), text: "all " + restorer.answers.length + " answers" })])];
    way.forEach(function (node, depth) {
      var answer = nodes[node].answer, options = { href: ways.format(number, ranks.slice(0, depth + 1)) };
      crumbs.push(make("li", {}, [make("a", options, [picture(restorer.answers[answer].file, ""), make("span", { style: "border:0;padding:0;min-height:0;background:none", text: "no. " + answer })])]));
    });
    crumbs[crumbs.length - 1].firstChild.setAttribute("aria-current", "step");
    if (way.length) {
      crumbs.push(make("li", { class: "return" }, [make("a", { class: "text back", id: "back", href: ways.format(number, ways.to(nodes, last).slice(0, -1)), text: "← back" })]));
    }
    fill("path", [make("ol", {}, crumbs)]);
    var below = ways.children(nodes, last);
    fill("cards", below.map(function (node) {
      var answer = restorer.answers[nodes[node].answer], size = nodes[node].below;
      var heading = [make("span", { text: "no. " + nodes[node].answer })];
      if (size) { heading.push(make("em", { text: size + " more ›" })); }
      var inside = [
        picture(answer.file, "answer " + nodes[node].answer), make("strong", {}, heading),
        make("small", { text: rank(answer, restorer) + (nodes[node].guest ? ", a look-alike from another branch" : "") }), consistency(answer)
      ];
      var options = { class: "card" + (node === sought ? " sought" : ""), "data-answer": nodes[node].answer, "data-node": node };
      if (size) { options.href = ways.format(number, ways.to(nodes, node)); } else { options.tabindex = "0"; }
      return make(size ? "a" : "div", options, inside);
    }));
    var words = plural(restorer.answers.length, "answer") + ", " + below.length + " of them shown; each stands for those that look like it.";
    if (way.length) {
      words = below.length ? plural(nodes[last].below, "answer") + " that look most like no. " + nodes[last].answer + (nodes[last].below > below.length ? ", " + below.length + " of them shown." : ".") : "Nothing is below no. " + nodes[last].answer + ".";
    }
    document.getElementById("where").textContent = words;
    document.body.dataset.way = ways.to(nodes, last).join(".");
  }

  function every(restorer, number) {
    var order = restorer.answers.map(function (answer, index) { return index; });
    order.sort(function (a, b) { return restorer.answers[a].rank - restorer.answers[b].rank; });
    fill("all", order.map(function (index) {
      var node = ways.home(restorer.tree, index), answer = restorer.answers[index];
      var link = make("a", { href: ways.format(number, ways.to(restorer.tree, node).slice(0, -1)), title: "no. " + index }, [picture(answer.file, "answer " + index)]);
      link.addEventListener("click", function () { sought = node; window.setTimeout(step, 0); });
      return make("div", {}, [link, make("small", { text: String(answer.rank), class: answer.consistent === false ? "off" : "on" })]);
    }));
  }

  function show() {
    var wanted = ways.parse(location.hash) || { restorer: 0, ranks: [] };
    var number = Math.min(wanted.restorer, record.restorers.length - 1), restorer = record.restorers[number];
    if (number !== current) {
      current = number;
      document.getElementById("restorer").value = String(number);
      document.body.style.setProperty("--shown", record.settings.shown);
      document.body.style.setProperty("--columns", Math.min(record.settings.shown, 6));
      document.getElementById("lead").textContent = plural(restorer.answers.length, "answer") + " of " + restorer.name + " to one measurement of " + record.image + " (" + record.degradation + "). Each is an image that the restorer takes for possible.";
      known(restorer, number);
      sets(restorer, number);
      every(restorer, number);
    }
    tree(restorer, number, wanted.ranks);
  }
  // After a step of the reader's: the tree in sight, and the keyboard in it.
  function step() {
    show();
    var cards = document.querySelectorAll("#cards .card"), first = document.querySelector("#cards .sought") || cards[0];
    document.getElementById("tree").scrollIntoView({ block: "start" });
    if (first) { first.focus({ preventScroll: true }); }
    sought = -1;
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest) { return; }
    var card = event.target.closest("#cards .card"), inside = event.target.closest("#tree");
    if (!inside) { return; }
    var cards = Array.prototype.slice.call(document.querySelectorAll("#cards .card")), place = cards.indexOf(card);
    var back = document.getElementById("back"), next = null;
    if (event.key === "ArrowRight") { next = cards[Math.min(place + 1, cards.length - 1)]; }
    if (event.key === "ArrowLeft" && place > 0) { next = cards[place - 1]; }
    if (next) { next.focus(); event.preventDefault(); }
    if (event.key === "ArrowDown" && card && card.href) { location.hash = card.getAttribute("href"); event.preventDefault(); }
    if ((event.key === "ArrowUp" || event.key === "Backspace" || event.key === "Escape") && back) {
      location.hash = back.getAttribute("href");
      event.preventDefault();
    }
  });
  var select = document.getElementById("restorer");
  record.restorers.forEach(function (restorer, number) { select.appendChild(make("option", { value: number, text: restorer.name })); });
  document.getElementById("switch").hidden = record.restorers.length < 2;
  select.addEventListener("change", function () { location.hash = ways.format(Number(select.value), []) || "#"; });
  window.addEventListener("hashchange", step);
  show();
  if (location.hash.length > 1) { document.getElementById("tree").scrollIntoView({ block: "start" }); }
})();
