import math
import unicodedata

import pytest

from jaxpr.core import InputError
from jaxpr.records import METRICS, metric_info
from jaxpr.records.reading import best_names, check_record, measured
from jaxpr.report import format_value, text_table
from jaxpr.report.text import aligned, elide


def record(**restorers):
    entries = [
        {"name": name, "metrics": {metric: {"value": v, "stderr": s} for metric, (v, s) in metrics.items()}}
        for name, metrics in restorers.items()
    ]
    return {"protocol": {}, "provenance": {}, "restorers": entries}


def width(line):
    return sum(not unicodedata.combining(c) for c in line)


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (25.934, 0.31, "25.9 ± 0.3"),
        (0.8123, 0.0123, "0.812 ± 0.012"),
        (0.8123, 0.0199, "0.81 ± 0.02"),
        (1234.5, 20.0, "1230 ± 20"),
        (1234.5, 14.0, "1234 ± 14"),
        (3.14159, 0.096, "3.14 ± 0.10"),
        (3.14159, 0.0951, "3.14 ± 0.10"),
        (99.96, 0.4, "100.0 ± 0.4"),
        (-0.3, 2.0, "0 ± 2"),
        (-12.34, 0.5, "-12.3 ± 0.5"),
        (1.2e-4, 3.1e-5, "0.00012 ± 0.00003"),
        (1.234e-8, 3.1e-10, "1.23e-08 ± 3e-10"),
        (2.5, 0.0, "2.500 ± 0"),
        (0.0, 0.0, "0 ± 0"),
        (25.9345, None, "25.93"),
        (25.9345, math.nan, "25.93"),
        (25.9345, math.inf, "25.93"),
        (123456.7, None, "123457"),
        (1.5e9, None, "1.500e+09"),
        (0.0, None, "0"),
        (1e-7, None, "1.000e-07"),
        (None, None, "–"),
        (math.nan, 0.1, "–"),
        (math.inf, 0.1, "∞"),
        (-math.inf, None, "-∞"),
        (1.9e-5, 1.2e-6, "1.90e-05 ± 1.2e-06"),
        (1.9e-5, 2.1e-6, "1.9e-05 ± 2e-06"),
        (0.0, 3e-8, "0 ± 3e-08"),
        (1e-9, 3e-8, "0 ± 3e-08"),
        (0.9e-4, 1.2e-4, "0.00009 ± 0.00012"),
    ],
)
def test_format_value_keeps_the_digits_that_the_error_supports(value, stderr, text):
    assert format_value(value, stderr) == text


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_elide_keeps_both_ends_within_the_limit(limit):
    short = elide("abcdefghij", limit)
    assert len(short) == limit
    assert "…" in short
    assert elide("a\nb\tc", 8) == "a b c"


@pytest.mark.parametrize(
    ("name", "label", "direction"),
    [
        ("psnr", "PSNR", 1),
        ("fd_alexnet", "FD (AlexNet)", -1),
        ("joint_fd_inception", "joint FID (Inception-V3)", -1),
        ("joint_recall_mine", "joint recall (mine)", 1),
        ("adversarial_input_psnr", "adversarial input PSNR", 0),
        ("something_else", "something_else", 0),
        ("fd_", "FD", -1),
    ],
)
def test_metric_info_finds_names_and_prefixes(name, label, direction):
    info = metric_info(name)
    assert (info.label, info.direction) == (label, direction)


def test_every_metric_is_explained_and_sourced():
    for info in METRICS:
        assert info.explanation.endswith((".", "?")), info.key
        assert info.equation
        assert info.direction in (-1, 0, 1)


def test_null_values_are_infinite_only_if_the_note_says_so():
    entry = {
        "name": "a",
        "metrics": {
            "psnr": {"value": None, "stderr": None, "note": "infinite: the images are equal"},
            "fd_x": {"value": None, "stderr": 0.1, "note": "too few patches"},
            "ssim": {"value": 1.0, "stderr": float("nan")},
        },
    }
    assert measured(entry, "psnr").value == math.inf
    assert math.isnan(measured(entry, "fd_x").value)
    assert measured(entry, "fd_x").note == "too few patches"
    assert math.isnan(measured(entry, "ssim").stderr)
    assert measured(entry, "rmse") is None


def test_best_names_handles_ties_infinity_and_single_restorers():
    one = record(a={"psnr": (1.0, None)})
    assert best_names(one, "psnr", direction=1) == set()
    several = record(a={"psnr": (1.0, None)}, b={"psnr": (math.inf, None)}, c={"psnr": (None, None)}, d={})
    assert best_names(several, "psnr", direction=1) == {"b"}
    assert best_names(several, "psnr", direction=-1) == {"a"}
    assert best_names(several, "psnr", direction=0) == set()
    tied = record(a={"psnr": (2.0, None)}, b={"psnr": (2.0, None)})
    assert best_names(tied, "psnr", direction=1) == {"a", "b"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "no restorers"),
        ({"restorers": []}, "no restorers"),
        ([], "no restorers"),
        ({"restorers": [{"metrics": {}}]}, "without a name"),
        ({"restorers": [{"name": "a"}]}, "no metrics"),
        ({"restorers": [{"name": "a", "metrics": {}}, {"name": "a", "metrics": {}}]}, "two restorers"),
        ({"restorers": [{"name": "a", "metrics": {"psnr": 3.0}}]}, "a.psnr"),
        ({"restorers": [{"name": "a", "metrics": {"psnr": {"value": "high"}}}]}, "'high'"),
        ({"restorers": [{"name": "a", "metrics": {"psnr": {"value": True}}}]}, "True"),
    ],
)
def test_malformed_records_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        check_record(bad)


def test_text_table_is_aligned_marks_the_best_and_fits():
    metrics = {"psnr": (24.31, 0.3), "fd_alexnet": (55.0, 2.0), "joint_fd_alexnet": (66.0, 3.0), "rmse": (0.06, 0.01)}
    better = {**metrics, "psnr": (25.0, 0.3), "lipschitz_mean": (3.0, 0.1)}
    lines = text_table(record(plain=metrics, other=better, empty={})).splitlines()
    assert len(lines) == 6
    assert lines[0].split() == ["restorer", "PSNR", "↑", "FD", "↓", "joint", "FD", "↓", "K̄", "↓"]
    assert lines[1].split() == ["dB", "AlexNet", "AlexNet"]
    assert "24.3 ± 0.3" in lines[3]
    assert "24.3 ± 0.3*" not in lines[3]
    assert "25.0 ± 0.3*" in lines[4]
    assert lines[5].split() == ["empty", "–", "–", "–", "–"]
    assert max(map(width, lines)) <= 120


def test_text_table_takes_columns_scales_rmse_and_drops_errors_when_wide():
    chosen = text_table(record(a={"rmse": (0.1, 0.01), "psnr": (20.0, 1.0)}), columns=["rmse"])
    assert "26 ± 3" in chosen
    assert "PSNR" not in chosen
    wide = {f"fd_network{i}": (10.0 + i, 1.0) for i in range(9)}
    lines = text_table(record(**{"x" * 60: wide})).splitlines()
    assert "±" not in "".join(lines)
    assert max(map(width, lines)) <= 120
    with pytest.raises(InputError, match="'nope'"):
        text_table(record(a={"rmse": (0.1, 0.01)}), columns=["nope"])


def test_columns_are_aligned_by_what_a_terminal_shows():
    rows = [["x̂", "", "value"], ["名前", "a", "1"], ["long name", "b", "12.5"]]
    assert aligned(rows, left=2, head=1) == [
        "x̂             value",
        "───────────────────",
        "名前       a      1",
        "long name  b   12.5",
    ]
    assert aligned([["a", "1"], ["bb", "10"]]) == ["a    1", "bb  10"]
