"""Attacked decisions at equal PSNR: what is counted, how strengths are interpolated, what errors are."""

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.numerics.statistics import Estimate
from jaxpr.records.decisions import Judgement, RestorerDecisions, ScoreColumn, ScoresSeen
from jaxpr.reproduce.decided import OUTCOMES, at_psnr, common_psnr, crossed, outcome

SURE = Estimate(0.5, 0.1)


def decisions(before, after, scores=None):
    before, after = np.array(before), np.array(after)
    judged = Judgement(before, after, np.ones(3) / 3, np.ones(3) / 3, SURE, SURE, None, None)
    attacker = judged._replace(after=before)
    return RestorerDecisions("r", judged, attacker, SURE, 0.0, scores=scores)


def test_what_is_counted():
    found = decisions([0, 0, 2, 2, 1], [2, 1, 2, 0, 1])
    counted = {what: outcome(found, what, target=2) for what in OUTCOMES[:4]}
    np.testing.assert_array_equal(counted["moved"], [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(counted["lost"], [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(counted["changed"], [1, 1, 0, 1, 0])
    # The target's share before and after.
    assert counted["grown"].sum() == np.sum(found.judge.after == 2) - np.sum(found.judge.before == 2) == 0
    assert not outcome(found, "changed", target=2, network="attacker").any()
    with pytest.raises(InputError, match="what: found 'won', expected one of grown"):
        outcome(found, "won", target=2)
    with pytest.raises(InputError, match="'scored' without a judge of one number"):
        outcome(found, "scored", target=2)
    each = [ScoreColumn(np.array(values), SURE, 1.0, 3.0) for values in ([1.0, 2.0], [1.5, 1.0])]
    np.testing.assert_array_equal(
        outcome(decisions([0], [0], ScoresSeen(*each, SURE)), "scored", target=0), [0.5, -1.0]
    )


def test_strengths_are_interpolated_in_decibels():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    levels = [36.0, 30.0, 24.0]
    for level, row in zip(levels, values, strict=True):
        np.testing.assert_allclose(at_psnr(levels, values, level), row)
    np.testing.assert_allclose(at_psnr(levels, values, 32.0), [2 / 3, 1])
    np.testing.assert_allclose(at_psnr(levels[::-1], values[::-1], 25.5), [1, 0.25])
    np.testing.assert_allclose(at_psnr(levels, values, 10.0), values[2])  # the strongest there is
    assert common_psnr({"a": levels, "b": np.array([37.0, 25.0])}) == 25.0
    for bad in ([36.0], [36.0, np.inf, 20.0]):
        with pytest.raises(InputError, match="levels: found shape"):
            at_psnr(bad, values, 30.0)


def test_errors_are_of_seeds_and_of_images():
    random = np.random.default_rng(0)
    seeds, images = random.normal(size=(5, 1)), random.normal(size=(1, 40))
    found = crossed(1 + seeds + images)
    assert found.value == pytest.approx(1 + seeds.mean() + images.mean())
    assert found.stderr == pytest.approx(np.sqrt(seeds.var(ddof=1) / 5 + images.var(ddof=1) / 40))
    assert crossed(images).stderr == pytest.approx(images.std(ddof=1) / np.sqrt(40))
    assert found.cell == (100 * found.value, 100 * found.stderr)
    with pytest.raises(InputError, match="values: found shape"):
        crossed(np.zeros(3))


@pytest.mark.parametrize(
    ("seeds", "positive"),
    [([0.5, 0.6, 0.55], True), ([0.5, 0.6, -0.01], False), ([0.1, 0.1, 1.5], False), ([0.5], False)],
)
def test_what_counts_as_more(seeds, positive):
    assert crossed(np.array(seeds)[:, None] + np.zeros((1, 30))).positive is positive
