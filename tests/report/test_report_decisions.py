import copy
import json

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.records.decisions import DecisionSample
from jaxpr.report.decisions import decisions_table, figure_decisions, write_decisions
from jaxpr.report.style import png_bytes


def judgement(target):
    return {
        "shares_before": [0.5, 0.25, 0.25],
        "shares_after": [0.125, 0.75, 0.125],
        "changed": {"value": 0.5, "stderr": 0.02},
        "target_success": None if target is None else {"value": 0.4, "stderr": 0.03},
        "accuracy_before": {"value": 0.9, "stderr": 0.01},
        "accuracy_after": {"value": 0.6, "stderr": None},
    }


def record(target=None, names=("bicubic", "exemplar:0.1")):
    source = {"shares": [0.4, 0.3, 0.3], "accuracy": {"value": 0.99, "stderr": 0.004}}
    return {
        "protocol": {
            "data": "digits-test",
            "examples": 8,
            "degradation": "average-x2",
            "target": target,
            "alpha": 16 / 255,
            "attack_steps": 100,
            "classes": ["cat", "dog", "a $x$_name that is long"],
        },
        "source": {"attacker": source, "judge": source},
        "restorers": [
            {
                "name": name,
                "judge": judgement(target),
                "attacker": judgement(target),
                "input_psnr": {"value": 25.3, "stderr": 0.1},
                "blind": 0.125,
            }
            for name in names
        ],
    }


def samples(names=("bicubic", "exemplar:0.1"), channels=1, count=3):
    """Examples 1, 4 and 6 of a set whose judge sees its classes in turn."""
    rng, classes, shown = np.random.default_rng(0), ["cat", "dog", "elk"], []
    for i in (1, 4, 6)[:count]:
        x, y = rng.uniform(size=(8, 8, channels)), rng.uniform(size=(4, 4, channels))
        outputs, seen = dict.fromkeys(names, (y, x, x)), dict.fromkeys(names, (classes[i % 3], classes[i % 2]))
        shown.append(DecisionSample(f"e-{i}", x, y, "cat", outputs, seen))
    return tuple(shown)


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_table_without_a_target():
    lines = decisions_table(record()).splitlines()
    assert lines[0].endswith("I-FGSM away from the class seen before, α = 16/255, 100 steps")
    assert " ".join(lines[2].split()) == "restorer classifier changed % accuracy % after % input dB blind %"
    assert " ".join(lines[4].split()) == "bicubic judge 50 ± 2 90.0 ± 1.0 60.00 25.30 ± 0.10 12"
    assert " ".join(lines[5].split()) == "attacker 50 ± 2 90.0 ± 1.0 60.00"
    assert lines[-3:-1] == [f"clean images, {network}: accuracy 99.0 ± 0.4 %" for network in ("judge", "attacker")]
    assert lines[-1].startswith("input dB: 24.0 where")


def test_the_table_with_a_target():
    table = decisions_table(record(target=1))
    assert "towards class dog" in table
    assert "bicubic judge 50 ± 2 25.0 75.0 40 ± 3 90.0" in " ".join(table.split())
    assert "clean images, judge: 30.0 % in the target class, accuracy 99.0 ± 0.4 %" in table
    assert all(line == line.rstrip() for line in table.splitlines())


@pytest.mark.thorough
@pytest.mark.parametrize("target", [None, 2])
def test_the_figure_shows_every_restorer_and_sample(target):
    figure = figure_decisions(record(target), samples())
    words = texts(figure)
    assert {"bicubic", "exemplar:0.1", "attacked y", "truth x", "e-1,  class cat"} <= set(words)
    assert ("target" in words) == (target is not None)
    bars = [ax for ax in figure.axes if any((p.get_gid() or "").startswith("before:") for p in ax.patches)]
    assert len(bars) == 2
    heights = [p.get_height() for p in bars[0].patches if (p.get_gid() or "") == "after:bicubic"]
    assert heights == [12.5, 75.0, 12.5]
    assert png_bytes(figure) == png_bytes(figure_decisions(record(target), samples()))


def test_everything_lies_inside_the_figure():
    for shown in (samples(), samples(count=1), ()):
        figure = figure_decisions(record(1), shown)
        figure.canvas.draw()
        for artist in [*figure.texts, *(text for ax in figure.axes for text in ax.texts)]:
            box = artist.get_window_extent()
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1, artist.get_text()
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_changed_decisions_stand_out():
    figure = figure_decisions(record(), samples(names=("bicubic", "exemplar:0.1")))
    seen = [text for text in figure.texts if text.get_text().startswith("seen as")]
    assert len(seen) == 12
    assert {text.get_color() for text in seen} == {"#1f2933", "#B3261E"}


def test_colour_images_and_undefined_pixels():
    shown = samples(channels=3)
    shown[0].x[0, 0] = np.nan
    figure = figure_decisions(record(), shown)
    picture = next(ax for ax in figure.axes if ax.get_gid() == f"truth x:{shown[0].name}").images[0].get_array()
    np.testing.assert_array_equal(picture[0, 0], [1, 0, 1])


def test_many_classes_have_no_names():
    wide = record()
    wide["protocol"]["classes"] = [str(i) for i in range(40)]
    for part in [wide["source"]["judge"]]:
        part["shares"] = [1 / 40] * 40
    for entry in wide["restorers"]:
        for when in ("before", "after"):
            entry["judge"][f"shares_{when}"] = [1 / 40] * 40
    assert "39" not in texts(figure_decisions(wide))


def test_the_files(tmp_path):
    write_decisions(record(1), samples(), tmp_path / "new", name="decisions-0")
    assert json.loads((tmp_path / "new" / "decisions-0.json").read_text()) == record(1)
    assert (tmp_path / "new" / "decisions-0.txt").read_text() == decisions_table(record(1)) + "\n"
    assert (tmp_path / "new" / "decisions-0.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="out: found a file at"):
        write_decisions(record(1), (), tmp_path / "file", name="decisions")


def test_mistakes():
    empty = copy.deepcopy(record())
    empty["restorers"] = []
    for function in (decisions_table, figure_decisions):
        with pytest.raises(InputError, match="record: found no restorers"):
            function(empty)
    with pytest.raises(InputError, match=r"samples: found none of 'exemplar:0\.1' in 'e-1'"):
        figure_decisions(record(), samples(names=("bicubic",)))
