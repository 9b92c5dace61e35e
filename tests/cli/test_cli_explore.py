"""`jaxpr explore` end to end: files, words, drawn and stored answers, and its page in a browser and in Node."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.commands import main

pytestmark = pytest.mark.thorough

DRAW = """
import jax, jax.numpy as jnp
def draw(key, y):
    k_mode, k_noise = jax.random.split(key)
    up = jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)
    sign = jnp.array([[1, -1], [-1, 1]]) * (jax.random.randint(k_mode, (), 0, 3) - 1)
    pattern = jnp.tile(sign, (up.shape[1] // 2, up.shape[2] // 2))[None, :, :, None]
    return up + 0.2 * pattern + 0.005 * jax.random.normal(k_noise, up.shape)
"""
OPTIONS = ("--degradation", "average-x2", "--answers", "30", "--held-out", "5", "--space", "pixels", "--no-progress")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ISSUE = "no Chromium is installed"


def explored(folder):
    return json.loads((folder / "explore.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an exploration of an odd-sized picture in colour."""
    root = tmp_path_factory.mktemp("explore")
    (root / "draw.py").write_text(DRAW)
    pixels = np.random.default_rng(0).integers(60, 200, (13, 9, 3), np.uint8)
    Image.fromarray(pixels).save(root / "face.png")
    main(["explore", f"{root}/face.png", *OPTIONS, "--restorers", f"own={root}/draw.py:draw", "--out", f"{root}/run"])
    return root


def test_an_image_becomes_a_page_and_stored_answers_give_the_same(place, capsys):
    record = explored(place / "run")
    assert record["shape"] == [12, 8, 3]
    assert record["measurement_shape"] == [6, 4, 3]
    assert record["truth_known"]
    (own,) = record["restorers"]
    assert (own["name"], len(own["answers"]), own["held_out"]) == ("own", 30, 5)
    assert sum(answer["consistent"] for answer in own["answers"]) == 30
    stored = f"outputs:{place}/run/answers/0-own"
    words = ("explore", f"{place}/face.png", *OPTIONS[:-3], "--space", "pixels", "--no-progress", "--overlap", "0.5")
    main([*words, "--restorers", f"kept={stored}", "--out", f"{place}/again"])
    assert f"Page: {place}/again/explore.html" in capsys.readouterr().out
    (kept,) = explored(place / "again")["restorers"]
    assert (len(kept["answers"]), kept["held_out"]) == (30, 0)
    # Rounding to 8 bits changes no answer's neighbours by much.
    before, after = ([answer["neighbour_distance"] for answer in one["answers"]] for one in (own, kept))
    np.testing.assert_allclose(before, after, atol=0.05)


@pytest.mark.thorough
def test_a_given_measurement_is_not_degraded_and_an_earlier_page_is_replaced(place):
    words = ("explore", "digits:2", *OPTIONS[:2], "--answers", "5", "--held-out", "0", "--shown", "2", "--degraded")
    draw = ("--restorers", f"{place}/draw.py:draw")
    out = place / "given"
    for extra in ((), ("--seed", "1")):
        main([*words, *extra, "--space", "pixels", "--no-progress", *draw, "--out", str(out)])
    record = explored(out)
    assert record["shape"] == [16, 16, 1]
    assert not record["truth_known"]
    assert len(list(out.glob("answers/*/*.png"))) == 5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("face.png", "--restorers", "nearest"), "restorers: found nearest, which has one answer to each measurement"),
        (
            ("face.png", "--restorers", "draw.py:draw", "--shown", "31"),
            "--shown: found 31, expected at most the number",
        ),
        (("digits:9999", "--restorers", "draw.py:draw"), r"found digits:9999, expected a number below \d+"),
        pytest.param(("face.png", "--restorers", "draw.py:draw", "--channels", "1"), None, marks=pytest.mark.thorough),
        (("face.png", "--restorers", "outputs:one"), "restorer outputs:one: found 1 answers, expected at least 5"),
    ],
)
def test_careless_words(place, monkeypatch, capsys, words, expected):
    monkeypatch.chdir(place)
    (place / "one").mkdir(exist_ok=True)
    shutil.copy(place / "run/answers/0-own/000.png", place / "one/face.png")
    if expected is None:
        main(["explore", words[0], *OPTIONS, *words[1:], "--out", "grey"])
        assert explored(place / "grey")["shape"][-1] == 1
        return
    with pytest.raises(SystemExit) as stop:
        main(["explore", words[0], *OPTIONS, *words[1:], "--out", "nothing"])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert re.search(expected, error), error
    assert not (place / "nothing").exists()


def page_of(place, fragment):
    """The page as a browser shows it for an address."""
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    words += [f"--user-data-dir={place}/browser", (place / "run/explore.html").as_uri() + fragment]
    return subprocess.run(words, capture_output=True, text=True, timeout=120).stdout


def way_to_a_third_level(nodes):
    """Ranks that lead to a node with three above it or itself, and the answers below it, in order."""
    for index, node in enumerate(nodes):
        ranks, above = [node["rank"]], node["parent"]
        while above >= 0:
            ranks, above = [nodes[above]["rank"], *ranks], nodes[above]["parent"]
        below = [n for n in nodes if n["parent"] == index]
        if len(ranks) >= 2 and below:
            return ranks, [n["answer"] for n in sorted(below, key=lambda n: n["rank"])]
    raise AssertionError("the tree has no third level")


@pytest.mark.thorough
@pytest.mark.skipif(CHROMIUM is None, reason=ISSUE)
def test_a_browser_opens_the_page_three_levels_down(place):
    (restorer,) = explored(place / "run")["restorers"]
    ranks, below = way_to_a_third_level(restorer["tree"])
    way = ".".join(map(str, ranks))
    deep, top = page_of(place, f"#{way}"), page_of(place, "")
    assert f'data-way="{way}"' in deep
    assert [int(answer) for answer in re.findall(r'data-answer="(\d+)"', deep)] == below
    assert deep.count("<li") == len(ranks) + 2  # the top, each step, and the way back
    first = [node["answer"] for node in restorer["tree"] if node["parent"] == -1]
    assert [int(answer) for answer in re.findall(r'data-answer="(\d+)"', top)] == first
    assert 'data-way=""' in page_of(place, "#nonsense")
    assert set(re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', deep)) == set()


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node is installed")
def test_ways_down_the_tree_are_read_and_written(place):
    (restorer,) = explored(place / "run")["restorers"]
    ranks, below = way_to_a_third_level(restorer["tree"])
    source = sys.modules["jaxpr"].__path__[0] + "/report/explore_tree.js"
    program = f"""
        const ways = require({json.dumps(source)}), nodes = {json.dumps(restorer["tree"])};
        const way = ways.follow(nodes, {ranks}), last = way[way.length - 1];
        console.log(JSON.stringify([
            ways.children(nodes, last).map(i => nodes[i].answer), ways.to(nodes, last),
            ways.follow(nodes, [0, 99, 1]).length, ways.parse("#2/0.3.1"), ways.parse("#0.3"), ways.parse(""),
            ways.parse("#x"), ways.format(0, [1, 2]), ways.format(3, []),
            nodes.every((node, i) => node.guest || ways.home(nodes, node.answer) === i)
        ]));
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        below,
        ranks,
        1,
        {"restorer": 2, "ranks": [0, 3, 1]},
        {"restorer": 0, "ranks": [0, 3]},
        {"restorer": 0, "ranks": []},
        None,
        "#1.2",
        "#3/",
        True,
    ]
