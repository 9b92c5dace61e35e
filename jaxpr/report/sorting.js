(function () {
  "use strict";
  document.querySelectorAll("table.results").forEach(function (table) {
    var headers = Array.prototype.slice.call(table.tHead.rows[0].cells);
    var body = table.tBodies[0];
    function value(row, column) {
      var text = row.cells[column].dataset.sort;
      return text === "" ? NaN : Number(text);
    }
    headers.forEach(function (header, column) {
      header.querySelector("button").addEventListener("click", function () {
        var descending = header.getAttribute("aria-sort") === "ascending";
        headers.forEach(function (other) { other.removeAttribute("aria-sort"); });
        header.setAttribute("aria-sort", descending ? "descending" : "ascending");
        var rows = Array.prototype.slice.call(body.rows);
        rows.sort(function (a, b) {
          var left = value(a, column), right = value(b, column);
          if (isNaN(left) || isNaN(right)) { return isNaN(left) - isNaN(right); }
          if (left === right) { return 0; }
          return (left < right ? -1 : 1) * (descending ? -1 : 1);
        });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  });
})();
