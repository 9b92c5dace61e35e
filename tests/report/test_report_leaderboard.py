"""The page of many runs: protocols apart, order, cards, nothing from outside; clicks in a browser, if there is one."""

import base64
import html
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.report import Answer, Strip
from jaxpr.report.leaderboard import Board, leading_first, protocol_titles, write_leaderboard
from jaxpr.report.thumbnails import thumbnails

NASTY = "<script>alert(\"x\")</script> & 'co'"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def entry(name, psnr, joint, **more):
    cells = {"psnr": psnr, "joint_fd_pixels": joint}
    metrics = {key: {"value": value, "stderr": 0.1} for key, value in cells.items() if value != "missing"}
    return {"name": name, "metrics": metrics, "curves": {}, "labels": {}, **more}


def board(title, entries, *, runs=1, strips=(), **changes):
    protocol = {"data": "d", "degradation": "x", "scale_factor": 2, "examples": 3, "attack": None} | changes
    about = [{"folder": f"run{number}", "command": f"jaxpr evaluate --out {NASTY}"} for number in range(runs)]
    about[0] |= {"jaxpr": "9.9.9", "presets": {"sr-benchmark": {}}}
    record = {"protocol": protocol, "provenance": {"runs": about}, "references": {}, "restorers": entries}
    return Board(title, record, {e["name"]: number % runs for number, e in enumerate(entries)}, strips)


def page(tmp_path, *boards):
    return write_leaderboard(boards, out=tmp_path / "out").read_text("utf-8")


def escaped(text):
    return html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")


def test_order_is_that_of_joint_fd_and_undefined_values_come_last():
    entries = [entry("a", 30, 9.0), entry("b", 20, None), entry("c", 10, 3.0), entry("d", 9, 9.0), entry("e", 50, 2.0)]
    info, found = leading_first(board("t", entries).record)
    assert info.key == "joint_fd_pixels"
    assert [e["name"] for e in found] == ["e", "c", "a", "d", "b"]
    info, found = leading_first({"restorers": [entry("a", 1, "missing"), entry("b", 2, "missing")]})
    assert info.key == "psnr"
    assert [e["name"] for e in found] == ["b", "a"]
    assert leading_first({"restorers": [entry("a", "missing", "missing")]})[0] is None


def test_protocols_have_tables_of_their_own_and_are_never_mixed(tmp_path):
    first = board("first protocol", [entry("a", 30, 9.0), entry("b", 20, 1.0)], runs=2)
    second = board("second protocol", [entry("a", 99, 0.5)])
    text = page(tmp_path, first, second)
    parts = text.split('<section class="board"')[1:]
    assert [
        re.findall(r'<th scope="row"[^>]*><a href="#([^"]*)">([^<]*)', part.split("<details>")[0]) for part in parts
    ] == [
        [("p1-1", "b"), ("p1-2", "a")],
        [("p2-1", "a")],
    ]
    # The best of a column is the best of its own protocol.
    assert re.search(r'class="best">30.00 ', parts[0])
    assert 'class="best"' not in parts[1]
    assert text.count('<article class="card"') == 3
    assert re.findall(r'<option value="(p?\d?)">([^<]*)', text) == [
        ("", "all 2"),
        ("p1", "first protocol"),
        ("p2", "second protocol"),
    ]
    assert "3 restorers of 3 runs, measured under 2 protocols" in text
    assert "<select" not in page(tmp_path, second)


def test_titles_tell_protocols_apart():
    base = {"data": "d", "degradation": "x", "crop": 96}
    assert protocol_titles([base, base | {"degradation": "y"}]) == ["x on d", "y on d"]
    assert protocol_titles([base, base | {"crop": None, "key": [1, 2]}]) == [
        "x on d, crop 96, key –",
        "x on d, crop –, key 1, 2",
    ]
    many = base | {f"f{number}": number for number in range(5)}
    assert protocol_titles([base, many])[1] == "x on d, f0 0, f1 1, f2 2, and 2 more fields"


def test_cards_say_where_numbers_are_from_and_text_is_escaped(tmp_path):
    weights = {"file": NASTY, "sha256": "1" * 64, "license": None}
    entries = [entry(NASTY, 1, 2.0, weights=weights, label="word"), entry("plain", 2, 3.0)]
    strip = Strip(NASTY, np.full((4, 4, 3), 0.5), np.full((2, 2, 3), 0.5), {NASTY: Answer(np.full((4, 4, 3), 0.4))})
    text = page(tmp_path, board(NASTY, entries, strips=[strip], degradation=NASTY, data=NASTY))
    assert NASTY not in text
    for shown in (NASTY, f"jaxpr evaluate --out {NASTY}"):
        assert escaped(shown) in text
    for shown in (
        "1" * 64,
        "jaxpr 9.9.9",
        "restored: 20.0 dB",
        "none recorded",
        "protocol sr-benchmark",
        "run0",
        "<dd>word</dd>",
    ):
        assert shown in text
    assert text.count("No sample images") == 1
    assert re.findall(r'(?:src|href|action)\s*=\s*["\']?(?!data:image/png|#p1)[^"\'> ]+', text) == []
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("<script>") == 1
    quiet = board("t", [entry("a", 1, 2.0)])
    del quiet.record["provenance"]["runs"][0]["command"]
    assert "No command was recorded" in page(tmp_path, quiet)


def test_commands_of_merged_runs_are_all_there(tmp_path):
    merged = board("t", [entry("a", 1, 2.0)])
    merged.record["provenance"]["runs"][0] = {"folder": "both", "runs": [{"command": "one"}, {"command": "two"}, {}]}
    assert re.findall("<pre>(.*)</pre>", page(tmp_path, merged)) == ["one", "two"]


def test_thumbnails_are_the_pixels_of_the_middle():
    draw = np.random.default_rng(0)
    x, restored = draw.uniform(size=(2, 200, 64, 3))
    found = thumbnails(Strip("s", x, x[::2, ::2], {"a": Answer(restored, x)}), "a")
    assert [part.words.split(":")[0] for part in found] == ["truth", "input", "restored", "attacked"]
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(part.data)))) for part in found]
    np.testing.assert_array_equal(shown[0], np.round(255 * x[36:164]))
    np.testing.assert_array_equal(shown[1][::2, ::2], np.round(255 * x[36:164:2, ::2]))
    np.testing.assert_array_equal(shown[2], np.round(255 * restored[36:164]))
    with pytest.raises(InputError, match="expected that of x"):
        thumbnails(Strip("s", x, x, {"a": Answer(x[:4])}), "a")


CLICKS = """<script>
var rows = function (part) {
  return Array.from(document.querySelectorAll("#" + part + " table.results")[0].tBodies[0].rows, function (row) {
    return row.querySelector("a").textContent;
  }).join("");
};
var table = document.querySelector("#p1 table.results");
var header = function (number) { return table.tHead.rows[0].cells[number]; };
var seen = [rows("p1")];
[1, 1, 2, 2, 0].forEach(function (number) {
  header(number).querySelector("button").click();
  seen.push(rows("p1") + " " + header(number).getAttribute("aria-sort") + " " + rows("p2"));
});
var select = document.getElementById("protocol");
["p2", ""].forEach(function (value) {
  select.value = value;
  select.dispatchEvent(new Event("change"));
  seen.push(["p1", "p2"].map(function (part) { return document.getElementById(part).offsetHeight > 0; }).join());
});
document.body.textContent = "SEEN " + seen.join("; ") + " END";
</script></body>"""


@pytest.mark.thorough
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
def test_clicks_sort_one_table_and_the_filter_hides_the_others(tmp_path):
    entries = [entry("a", 30, 9.0), entry("b", 20, None), entry("c", 25, 3.0)]
    text = page(tmp_path, board("one", entries), board("two", [entry("x", 1, 2.0), entry("y", 2, 1.0)]))
    path = tmp_path / "clicked.html"
    path.write_text(text.replace("</body>", CLICKS))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    found = subprocess.run([BROWSER, *words, path.as_uri()], capture_output=True, text=True, timeout=120)
    seen = re.search("SEEN (.*) END", found.stdout)[1].split("; ")
    assert seen == [
        "cab",
        "bca ascending yx",
        "acb descending yx",
        "cab ascending yx",
        "acb descending yx",
        "cab ascending yx",
        "false,true",
        "true,true",
    ]
