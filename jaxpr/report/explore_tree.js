// A tree of answers as `explore.json` has it: nodes with `parent`, -1 at the top, and `rank` among its children.
// A way down is written as ranks, "0.3.1", behind "K/" for restorer number K where that is not 0.
var ways = (function () {
  "use strict";
  function parse(fragment) {
    var match = /^#?(?:(\d+)\/)?((?:\d+(?:\.\d+)*)?)$/.exec(fragment || "");
    if (!match) { return null; }
    return { restorer: Number(match[1] || 0), ranks: match[2] === "" ? [] : match[2].split(".").map(Number) };
  }
  function format(restorer, ranks) {
    return "#" + (restorer ? restorer + "/" : "") + ranks.join(".");
  }
  function children(nodes, parent) {
    var found = [];
    nodes.forEach(function (node, index) { if (node.parent === parent) { found.push(index); } });
    return found.sort(function (a, b) { return nodes[a].rank - nodes[b].rank; });
  }
  // The nodes on a way down, as far as it exists.
  function follow(nodes, ranks) {
    var found = [], parent = -1;
    for (var i = 0; i < ranks.length; i++) {
      var next = children(nodes, parent)[ranks[i]];
      if (next === undefined) { break; }
      found.push(next);
      parent = next;
    }
    return found;
  }
  // The ranks that lead from the top to a node.
  function to(nodes, index) {
    var ranks = [];
    for (; index >= 0; index = nodes[index].parent) { ranks.unshift(nodes[index].rank); }
    return ranks;
  }
  // The node where an answer is at home.
  function home(nodes, answer) {
    return nodes.findIndex(function (node) { return node.answer === answer && !node.guest; });
  }
  return { parse: parse, format: format, children: children, follow: follow, to: to, home: home };
})();
if (typeof module !== "undefined") { module.exports = ways; }
