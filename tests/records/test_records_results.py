"""Aggregation: means and Fréchet distances with standard errors, JSON and CSV."""

import json
import math

import jax
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.evaluation.arrays import RestorerArrays, read_arrays
from jaxpr.evaluation.sets import classes_score, moments_by_block, patch_sets, set_metrics
from jaxpr.evaluation.state import BatchStore, open_run
from jaxpr.metrics import Moments, frechet_distance, inception_score, manifold_scores
from jaxpr.numerics.statistics import grouped_mean
from jaxpr.records.results import (
    Metric,
    RestorerResult,
    Results,
    from_record,
    mean_metrics,
    to_csv,
    to_json,
    to_record,
)

RANDOM = np.random.default_rng(5)
GROUPS = np.array([0, 0, 0, 1, 1, 2])
X, Y, X_HAT = (RANDOM.normal(size=(6, 7, d)).astype(np.float32) for d in (3, 2, 3))
# The same sums in float64 in another order.
FLOAT64 = 1e-9


def direct(x, x_hat, y=None) -> float:
    stacked = [part if y is None else np.concatenate([part, y], axis=-1) for part in (x, x_hat)]
    real, fake = (Moments.zero(part.shape[-1]).update(part.reshape(-1, part.shape[-1])) for part in stacked)
    return float(frechet_distance(real, fake))


class Stored:
    """Arrays in place of a `BatchStore`."""

    def __init__(self, **arrays):
        count = len(next(iter(arrays.values())))
        if "features_y" in arrays:
            arrays |= dict.fromkeys(("blocks_x", "blocks_y"), np.zeros((count, 0, 1)))
        else:
            arrays |= {"features": X_HAT, "blocks": np.zeros((count, 0, 1)), "gradient": np.ones(count)} | arrays
            arrays["metrics/psnr"] = np.zeros(count)
        self.arrays = arrays

    def load(self, count):
        return ({name: array[i] for name, array in self.arrays.items()} for i in range(count))


def measured(x=X, y=Y, x_hat=X_HAT, groups=GROUPS, **options):
    reference = Stored(features_x=x, features_y=y)
    real = patch_sets(jax.random.key(0), reference, groups, **{"most": None, "neighbours": 3, **options})
    return set_metrics(real, Stored(features=x_hat), reference, features="f")


@pytest.mark.thorough
def test_frechet_metrics_equal_the_distance_of_all_patches():
    found = measured()
    assert found["joint_fd_f"].value == pytest.approx(direct(X, X_HAT, Y), rel=FLOAT64)
    assert found["fd_f"].value == pytest.approx(direct(X, X_HAT), rel=FLOAT64)
    excess = math.sqrt(direct(X, X_HAT, Y) - direct(X, X_HAT))
    assert found["consistency_fd_f"].value == pytest.approx(excess, rel=1e-6)
    assert found["fd_f"].note == ""  # 42 patches in 3 dimensions


@pytest.mark.thorough
def test_frechet_error_leaves_one_photograph_out_at_a_time():
    left_out = np.array([direct(X[g != GROUPS], X_HAT[g != GROUPS], Y[g != GROUPS]) for g in range(3)])
    expected = math.sqrt(2 / 3 * np.sum((left_out - left_out.mean()) ** 2))
    assert measured()["joint_fd_f"].stderr == pytest.approx(expected, rel=FLOAT64)


@pytest.mark.thorough
def test_shares_have_errors_over_photographs():
    found, inside = measured()["precision_f"], manifold_scores(flat(X), flat(X_HAT), k=3).fake_in_real
    expected = grouped_mean(np.asarray(inside), np.repeat(GROUPS, 7))
    assert found[:3] == (pytest.approx(expected.value), pytest.approx(expected.stderr), "")


def flat(array):
    return array.reshape(-1, array.shape[-1])


@pytest.mark.thorough
def test_quadratic_measures_see_a_random_choice():
    few = measured(most=20)
    assert few["fd_f"] == measured()["fd_f"]
    assert few["precision_f"] != measured()["precision_f"]
    assert few["precision_f"] == measured(most=20)["precision_f"]
    assert measured(most=42)["precision_f"] == measured()["precision_f"]


def test_many_photographs_share_ten_blocks():
    features = RANDOM.normal(size=(23, 4, 2))
    blocks = moments_by_block(features, features, np.arange(23))
    assert len(blocks) == 10
    assert sum(float(block.count) for block in blocks) == 23 * 4


@pytest.mark.thorough
def test_one_photograph_has_no_error_and_one_patch_no_distance():
    one = measured(X[:2], Y[:2], X_HAT[:2], np.zeros(2, int))
    assert math.isnan(one["fd_f"].stderr)
    assert one["fd_f"].value > 0
    single = measured(X[:1, :1], Y[:1, :1], X_HAT[:1, :1], np.zeros(1, int))
    assert math.isnan(single["fd_f"].value)
    assert single["fd_f"].note == "undefined for fewer than two patches"
    assert single["precision_f"].note == "undefined for 1 patches; needs at least 4"


def test_few_patches_are_said_to_bias_the_distance():
    found = measured(X[:2, :2], Y[:2, :2], X_HAT[:2, :2], np.arange(2))
    assert found["joint_fd_f"].note.startswith("4 points in 5 dimensions")


def test_means_and_notes():
    values = {"psnr": np.array([1.0, 2, 3, 4, 5, 9]), "lr_psnr": np.array([1.0, np.inf] * 3), "k": np.full(6, np.nan)}
    found = mean_metrics(values, GROUPS)
    assert found["psnr"].value == 4
    # Sums of deviations by photograph: -6, 1, 5; three photographs, six examples.
    assert found["psnr"].stderr == pytest.approx(math.sqrt(3 / 2 * (36 + 1 + 25)) / 6)
    assert found["lr_psnr"][:3] == (math.inf, pytest.approx(math.nan, nan_ok=True), "infinite for 3 of 6 examples")
    assert math.isnan(found["k"].value)
    assert found["k"].note == "undefined for 6 of 6 examples"


def test_json_and_csv_hold_no_infinities():
    metrics = {"psnr": Metric(30.5, 0.25), "lr_psnr": Metric(math.inf, math.nan, "infinite for 1 of 1 examples")}
    entries = (RestorerResult("a,b", metrics, {}, {}), RestorerResult("c", {"psnr": Metric(1, 2)}, {}, {}))
    results = Results({"data": "é"}, {}, entries, {})
    record = json.loads(to_json(results))
    assert record["restorers"][0]["metrics"] == {
        "psnr": {"value": 30.5, "stderr": 0.25},
        "lr_psnr": {"value": None, "stderr": None, "note": "infinite for 1 of 1 examples"},
    }
    assert to_csv(results).decode().splitlines() == [
        "restorer,psnr,psnr_stderr,lr_psnr,lr_psnr_stderr",
        '"a,b",30.5,0.25,,',
        "c,1,2,,",
    ]


def test_batches_of_different_sizes_are_read_in_order(tmp_path):
    state = open_run(tmp_path / "run", {"a": 1}, code="c")
    store = BatchStore(state, "x/y: ü")
    store.save([0, 1, 2], {"v": np.arange(3)})
    store.save([3], {"v": np.array([3])})
    again = BatchStore(open_run(tmp_path / "run", {"a": 1}, code="c"), "x/y: ü")
    assert again.done([0, 3])
    assert not again.done([3, 4])
    again.save([3, 4], {"v": np.array([3, 4])})
    for opened in (again, BatchStore(state, "x/y: ü")):
        assert [int(arrays["v"]) for arrays in opened.load(5)] == [0, 1, 2, 3, 4]
    assert not BatchStore(state, "x/y: u").done([0])  # names that differ only in what file names cannot hold


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    state = open_run(tmp_path / "run", {"a": 1}, code="c")
    store = BatchStore(state, "r")
    leftovers = [tmp_path / "run" / ".partial-1", store.folder / ".partial-2"]
    for path in leftovers:
        path.write_bytes(b"half")
    open_run(tmp_path / "run", {"a": 1}, code="c")
    assert not any(path.exists() for path in leftovers)


def test_protocol_fields_are_compared_both_ways(tmp_path):
    open_run(tmp_path / "run", {"a": 1, "b": 2}, code="c")
    for protocol, message in (({"a": 1}, "b = 2"), ({"a": 1, "b": 2, "c": 3}, "c = None"), ({"a": 0, "b": 2}, "a = 1")):
        with pytest.raises(InputError, match=message):
            open_run(tmp_path / "run", protocol, code="c")
    (tmp_path / "run" / "protocol.json").write_text("{broken")
    with pytest.raises(InputError, match="out: cannot read"):
        open_run(tmp_path / "run", {"a": 1}, code="c")


def test_the_inception_score_of_stored_classes():
    raw = RANDOM.random((6, 7, 5))
    classes = raw / raw.sum(axis=-1, keepdims=True)
    real = patch_sets(jax.random.key(0), Stored(features_x=X, features_y=Y), GROUPS, most=None, neighbours=3)
    found = classes_score(real, read_arrays(RestorerArrays, Stored(classes=classes), 6))
    order = np.asarray(jax.random.permutation(real.key, 42))
    expected = inception_score(classes.reshape(-1, 5)[order], splits=10)
    assert found.value == pytest.approx(float(expected.value), rel=FLOAT64)
    assert found.stderr == pytest.approx(float(expected.stderr), rel=FLOAT64)
    one_hot = np.broadcast_to(np.eye(7)[None], (6, 7, 7))
    assert 1 < classes_score(real, read_arrays(RestorerArrays, Stored(classes=one_hot), 6)).value <= 7
    assert classes_score(real, read_arrays(RestorerArrays, Stored(features=X), 6)) is None
    few = patch_sets(jax.random.key(0), Stored(features_x=X[:2], features_y=Y[:2]), GROUPS[:2], most=None, neighbours=3)
    short = classes_score(few, read_arrays(RestorerArrays, Stored(classes=classes[:2]), 2))
    assert short.note == "undefined for 14 patches; needs at least 20"


def test_weights_go_through_a_record_and_back():
    weights = {"file": "a.pth", "sha256": "0" * 64, "tile": None}
    entries = (
        RestorerResult("a", {"psnr": Metric(1.0, 2.0)}, {}, {}, weights),
        RestorerResult("b", {"psnr": Metric(1.0, 2.0)}, {}, {}),
    )
    record = to_record(Results({}, {}, entries, {}))
    assert record["restorers"][0]["weights"] == weights
    assert "weights" not in record["restorers"][1]
    assert [restorer.weights for restorer in from_record(record).restorers] == [weights, None]
