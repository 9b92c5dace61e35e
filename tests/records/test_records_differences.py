"""Differences on the same photographs, against SciPy's paired test, the jackknife by hand, and Holm's definition."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from scipy import stats

from jaxpr import records
from jaxpr.core import InputError
from jaxpr.records.differences import compared, holm, indistinct_names, paired_difference
from jaxpr.records.results import (
    Difference,
    Metric,
    RestorerResult,
    Results,
    from_record,
    leave_one_out,
    mean_metric,
    to_json,
    to_record,
)

RANDOM = np.random.default_rng(4)
SHARED = RANDOM.normal(28, 1.5, 12)  # what differs between photographs


def results(baseline=None, **values) -> Results:
    """Restorers with one metric of one example for each photograph."""
    groups = np.arange(len(SHARED))
    made = tuple(
        RestorerResult(name, {"psnr": mean_metric(SHARED + np.asarray(own), groups)}, {}, {})
        for name, own in values.items()
    )
    protocol = {"data": "d", "degradation": "b", "images": len(SHARED), "examples": len(SHARED)}
    return compared(Results(protocol, {}, made, {}), baseline=baseline)


def test_of_one_example_for_each_photograph_it_is_the_paired_t_test():
    ours, theirs = SHARED + RANDOM.normal(0.1, 0.05, 12), SHARED
    groups = np.arange(12)
    found = paired_difference(mean_metric(ours, groups), mean_metric(theirs, groups))
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(
        [found.value, found.p, found.low, found.high],
        [np.mean(ours - theirs), expected.pvalue, interval.low, interval.high],
        rtol=1e-9,
    )
    assert found.stderr < mean_metric(ours, groups).stderr / 10  # each number alone says next to nothing


def test_crops_of_a_photograph_count_together():
    groups = np.repeat(np.arange(4), [3, 1, 2, 5])
    ours, theirs = RANDOM.random((2, 11))
    left_out = [np.mean((ours - theirs)[groups != group]) for group in range(4)]
    expected = math.sqrt(3 / 4 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    found = paired_difference(mean_metric(ours, groups), mean_metric(theirs, groups))
    assert found.stderr == pytest.approx(expected, rel=1e-9)


def test_measures_of_sets_leave_both_sides_out_together():
    blocks = [RANDOM.random((2, 6)) for _ in range(5)]

    def spread(side):
        return lambda parts: {"spread": float(np.var(np.concatenate([part[side] for part in parts])))}

    ours, theirs = (leave_one_out(spread(side), blocks)["spread"] for side in (0, 1))
    left = [[np.var(np.concatenate([b[side] for b in blocks if b is not out])) for out in blocks] for side in (0, 1)]
    apart = np.subtract(*left)
    expected = math.sqrt(4 / 5 * np.sum((apart - apart.mean()) ** 2))
    assert paired_difference(ours, theirs).stderr == pytest.approx(expected, rel=1e-9)


def test_as_many_photographs_as_are_needed_show_a_difference_in_four_of_five_cases():
    truth, spread = 0.5, 1.0
    pilot = RANDOM.normal(0, spread, 200)
    pilot = (pilot - pilot.mean()) / pilot.std(ddof=1) * spread + truth
    groups = np.arange(200)
    needed = paired_difference(mean_metric(pilot, groups), mean_metric(np.zeros(200), groups), photographs=200).needed
    assert 30 < needed < 34  # 2.8² / 0.5² = 31.4
    trials = RANDOM.normal(truth, spread, (4000, needed))
    share = np.mean(stats.ttest_1samp(trials, 0, axis=1).pvalue < 0.05)
    assert share == pytest.approx(0.8, abs=0.04)  # Student's quantile is a little larger than the normal one


def test_holm_is_its_definition():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.8]) == [1.0, 1.0]


def test_restorers_are_compared_with_the_first_or_the_named_one():
    found = results(a=np.zeros(12), b=RANDOM.normal(1, 0.1, 12), c=RANDOM.normal(0, 0.3, 12))
    assert found.baseline == "a"
    assert found.restorers[0].differences == {}
    apart, unclear = (restorer.differences["psnr"] for restorer in found.restorers[1:])
    assert apart.low > 0.5
    assert unclear.low < 0 < unclear.high
    assert (apart.p_holm, unclear.p_holm) == (pytest.approx(2 * apart.p), pytest.approx(unclear.p))
    other = results("b", a=np.zeros(12), b=np.ones(12), c=np.zeros(12))
    assert other.restorers[0].differences["psnr"].value == pytest.approx(-1)
    with pytest.raises(InputError, match="baseline: found 'd', expected one of the restorers a, b"):
        results("d", a=np.zeros(12), b=np.ones(12))


def test_nothing_is_said_where_nothing_is_known():
    plain, infinite = Metric(1.0, 0.1), Metric(math.inf, math.nan, "infinite", (1.0, 2.0))
    known, longer = Metric(1.0, 0.1, "", (1.0, 2.0)), Metric(1.0, 0.1, "", (1.0, 2.0, 3.0))
    for pair in ((plain, known), (infinite, known), (longer, known)):
        assert paired_difference(*pair) is None
    assert paired_difference(known, known) == Difference(0.0, 0.0, 0.0, 0.0, 1.0)


def test_the_record_holds_them_as_its_schema_says_and_gives_them_back():
    found = results(a=np.zeros(12), b=RANDOM.normal(1, 0.1, 12))
    record = json.loads(to_json(found))
    schema = json.loads((Path(records.__file__).parent / "results.schema.json").read_text())
    part = {"$ref": "#/$defs/restorer", "$defs": schema["$defs"]}
    for entry in record["restorers"]:
        jsonschema.validate(entry, part)
    assert from_record(record) == found
    assert to_record(from_record(record)) == to_record(found)


def test_what_is_not_told_apart_from_the_best_is_marked():
    found = to_record(results(a=np.ones(12), b=RANDOM.normal(0.98, 0.2, 12), c=np.zeros(12)))
    assert indistinct_names(found, "psnr", direction=1) in ({"a"}, {"b"})
    assert indistinct_names(found, "psnr", direction=0) == set()
