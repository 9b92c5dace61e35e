"""Records of reproduced experiments as JSON, as text, and as a page that is read back with an HTML parser."""

import base64
import html.parser
import io
import json
import math
import unicodedata
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.report.experiments import (
    Claim,
    Experiment,
    Picture,
    Table,
    experiment_record,
    experiment_text,
    write_experiment,
    write_experiments_page,
)
from jaxpr.report.style import new_figure, png_bytes

NASTY = "<script>alert(\"x\")</script> & 'co'"
PROVENANCE = {"jax": "0.10", "seconds": 1.25}


class Scale(NamedTuple):
    steps: int
    rate: float


def figure(width=3.0):
    made = new_figure(width, 2.0)
    made.add_subplot().plot([0, 1], [1, 0])
    return made


def experiment(**changes):
    rows = [
        ["first x̂", 1.23456, (25.934, 0.31)],
        ["second", np.float32(np.nan), (np.float64(2.5), math.nan)],
        ["third", None, "text"],
    ]
    return Experiment(
        name="toy",
        title="A toy",
        source="[key], Figure 1",
        scale="smoke",
        settings={"scale": Scale(5, 1e-4), "seeds": [1, 2], "bad": math.inf, "folder": Path("a/b"), 3: np.arange(2)},
        tables=[Table("Numbers ± deviation", ["", "x̂", "distance"], rows)],
        claims=[Claim("It falls", True, "2 to 1"), Claim("It rises", np.bool_(False), "2 to 1, as it should")],
        pictures={"curve": Picture(figure(), "What to see")},
        remarks=["Ours is shorter."],
    )._replace(**changes)


def test_record_is_json_and_what_is_undefined_is_null():
    record = experiment_record(experiment(), {"versions": {"jax": "0.10"}, "seconds": jnp.float32(1.5)})
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["tables"] == [
        {
            "title": "Numbers ± deviation",
            "columns": ["", "x̂", "distance"],
            "rows": [["first x̂", 1.23456, [25.934, 0.31]], ["second", None, [2.5, None]], ["third", None, "text"]],
        }
    ]
    assert record["claims"][1] == {"text": "It rises", "holds": False, "found": "2 to 1, as it should"}
    assert record["claims"][1]["holds"] is False
    assert record["settings"] == {"scale": [5, 1e-4], "seeds": [1, 2], "bad": None, "folder": "a/b", "3": [0, 1]}
    assert record["pictures"] == [{"file": "curve.png", "caption": "What to see"}]
    assert record["provenance"] == {"versions": {"jax": "0.10"}, "seconds": 1.5}
    assert set(record) == {*Experiment._fields, "provenance"}


@pytest.mark.parametrize("cells", [["a", 1.0], ["a", 1.0, 2.0, 3.0], []])
def test_rows_must_fit_their_table(tmp_path, cells):
    table = Table("Numbers", ["", "one", "two"], [["fits", 1.0, 2.0], cells])
    bad = experiment(tables=[experiment().tables[0], table])
    with pytest.raises(InputError, match=f"table 'Numbers': found a row of {len(cells)} cells, expected 3"):
        write_experiment(bad, tmp_path / "out", PROVENANCE)
    assert not (tmp_path / "out").exists()


def test_written_files_are_the_record_and_the_pictures(tmp_path):
    found = experiment()
    record = write_experiment(found, tmp_path / "a" / "b", PROVENANCE)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["curve.png", "record.json"]
    text = (tmp_path / "a" / "b" / "record.json").read_text("utf-8")
    assert json.loads(text) == record
    assert "x̂" in text  # not as escapes: people read it too
    assert record["pictures"][0]["width"] == 300
    assert (tmp_path / "a" / "b" / "curve.png").read_bytes() == png_bytes(found.pictures["curve"].figure)
    write_experiment(found._replace(title="Another"), tmp_path / "a" / "b", PROVENANCE)
    assert json.loads((tmp_path / "a" / "b" / "record.json").read_text("utf-8"))["title"] == "Another"


def test_a_file_in_the_way_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"out: found a file at .*file"):
            write_experiment(experiment(), out, PROVENANCE)
        with pytest.raises(InputError, match=r"out: found a file at .*file"):
            write_experiments_page([], out)
    assert (tmp_path / "file").read_text() == "mine"


def test_text_for_a_terminal():
    text = experiment_text(experiment_record(experiment(), PROVENANCE))
    assert text == "\n".join(
        [
            "A toy ([key], Figure 1); scale smoke",
            "",
            "Numbers ± deviation",
            "             x̂    distance",
            "first x̂  1.235  25.9 ± 0.3",
            "second       –       2.500",
            "third        –        text",
            "",
            "yes It falls: 2 to 1",
            "NO  It rises: 2 to 1, as it should",
            "",
            "Note: scale smoke shows that everything runs; whether its claims hold says nothing",
            "",
            "Note: Ours is shorter.",
        ]
    )


def test_columns_of_the_text_end_at_one_place():
    rows = [[name, 10.0**i, (1.0, 10.0**-i)] for i, name in enumerate(["x̂", "a long name", "", "ŷ and x̂"])]
    lines = experiment_text(
        experiment_record(experiment(tables=[Table("T", ["", "corr. with x̂", "v"], rows)]), {})
    ).splitlines()[3:8]
    assert len({sum(not unicodedata.combining(c) for c in line) for line in lines}) == 1


def test_an_experiment_of_nothing_but_a_title():
    empty = experiment(tables=[], claims=[], pictures={}, remarks=())
    assert experiment_text(experiment_record(empty, {})) == "A toy ([key], Figure 1); scale smoke"
    bare = experiment(tables=[Table("No rows", ["", "one"], [])], claims=[], remarks=())
    assert experiment_text(experiment_record(bare, {})).splitlines()[2:] == ["No rows", "  one"]


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(tmp_path, *experiments):
    records = []
    for found in experiments:
        out = tmp_path / found.name
        records.append((write_experiment(found, out, PROVENANCE), out))
    path = write_experiments_page(records, tmp_path / "page")
    assert path == tmp_path / "page" / "index.html"
    return Page(path)


def test_page_embeds_its_pictures(tmp_path):
    found = experiment(pictures={"wide": Picture(figure(4), "W"), "narrow": Picture(figure(2), "N")})
    images = page_of(tmp_path, found).all("img")
    assert [(image["width"], image["alt"]) for image in images] == [("400", "W"), ("200", "N")]
    for image, name in zip(images, ("wide", "narrow"), strict=True):
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        data = base64.b64decode(data, validate=True)
        assert data == (tmp_path / "toy" / f"{name}.png").read_bytes()
        Image.open(io.BytesIO(data)).verify()


def test_page_loads_nothing(tmp_path):
    page = page_of(tmp_path, experiment(), experiment(name="second"))
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    text = (tmp_path / "page" / "index.html").read_text("utf-8")
    for word in ("http:", "https:", "@import", "url("):
        assert word not in text
    assert {link["href"] for link in page.all("a")} == {"#toy", "#second"}
    assert {section["id"] for section in page.all("section")} == {"toy", "second"}


def test_page_shows_everything_escaped(tmp_path):
    fields = ("title", "source", "setting", "table", "column", "cell", "claim", "found", "caption", "remark")
    words = {name: f"{NASTY} {name}" for name in fields}
    found = Experiment(
        name="toy",
        title=words["title"],
        source=words["source"],
        scale="smoke",
        settings={words["setting"]: words["setting"], "rate": 1e-4, "list": [1, 2.5], "none": math.nan},
        tables=[Table(words["table"], [words["column"], "n"], [[words["cell"], (25.934, 0.31)], ["b", math.nan]])],
        claims=[Claim(words["claim"], True, words["found"])],
        pictures={"curve": Picture(figure(), words["caption"])},
        remarks=[words["remark"]],
    )
    page = page_of(tmp_path, found)
    assert page.all("script") == []
    for word in words.values():
        assert word in page.text
    assert page.all("img")[0]["alt"] == words["caption"]
    assert "25.9 ± 0.3" in page.text
    assert "rate = 0.0001, list = [1, 2.5], none = None" in page.text
    assert NASTY not in (tmp_path / "page" / "index.html").read_text("utf-8")


def test_page_counts_and_marks_the_claims(tmp_path):
    claims = [Claim("a", True, ""), Claim("b", False, ""), Claim("c", np.bool_(True), "")]
    small = {"scale": "small"}
    page = page_of(tmp_path, experiment(claims=claims, **small), experiment(name="second", claims=claims[:1], **small))
    assert "3 of 4 claims" in page.text
    smoke = page_of(tmp_path / "smoke", experiment(claims=claims))
    assert "whether its claims hold says nothing" in smoke.text
    assert "claims of the papers" not in smoke.text
    assert [item["class"] for item in page.all("li")] == ["yes", "no", "yes", "yes"]
