"""Inception score: golden numbers of torch-fidelity, closed forms at its two ends, zeros."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxpr.core import InputError
from jaxpr.metrics import inception_score

FOLDER = Path(__file__).parents[1] / "golden" / "feature_metrics"
GOLDEN = np.load(FOLDER / "golden.npz")
VALUES = json.loads((FOLDER / "values.json").read_text())
PROBABILITIES = scipy.special.softmax(GOLDEN["logits"].astype(np.float64), axis=1)

FLOAT64 = 1e-12  # sums of 300 × 10 terms
FLOAT32 = 1e-5  # float32 probabilities at the boundary


@pytest.mark.parametrize(
    ("name", "order", "splits"),
    [
        ("isc_splits1", slice(None), 1),
        ("isc_splits7_noshuffle", slice(None), 7),  # 300 rows in parts of 42 and 43
        ("isc_splits10_shuffled", GOLDEN["isc_permutation"], 10),
    ],
)
def test_golden(name, order, splits):
    found = inception_score(PROBABILITIES[order], splits=splits)
    np.testing.assert_allclose(found.value, VALUES[name]["mean"], rtol=FLOAT64)
    np.testing.assert_allclose(found.std, VALUES[name]["std"], rtol=1e-10, atol=FLOAT64)


def test_certain_and_diverse_classes_reach_the_number_of_classes():
    found = inception_score(np.eye(7)[np.arange(70) % 7], splits=1)
    np.testing.assert_allclose(found.value, 7, rtol=FLOAT64)
    assert found.std == 0
    assert np.isnan(found.stderr)


@pytest.mark.parametrize("row", [np.full(5, 0.2), np.array([1.0, 0, 0, 0, 0]), np.array([0.5, 0.5, 0, 0, 0])])
def test_equal_rows_score_one(row):
    found = inception_score(np.tile(row, (40, 1)), splits=4)
    np.testing.assert_allclose(found, (1, 0, 0), atol=FLOAT64)


def test_zeros_equal_the_limit():
    found = inception_score(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]), splits=1)
    # Marginal (3/4, 1/4, 0): mean divergence (log 4/3 + log(2/3)/2 + log(2)/2) / 2.
    np.testing.assert_allclose(found.value, np.exp((np.log(4 / 3) + np.log(4 / 3) / 2) / 2), rtol=FLOAT64)


def test_standard_error_is_that_of_the_mean_over_splits():
    found = inception_score(PROBABILITIES, splits=6)
    scores = [inception_score(part, splits=1).value for part in np.split(PROBABILITIES, 6)]
    np.testing.assert_allclose(found.value, np.mean(scores), rtol=FLOAT64)
    np.testing.assert_allclose(found.stderr, np.std(scores, ddof=1) / np.sqrt(6), rtol=1e-10)


def test_jit_and_gradient():
    probabilities = PROBABILITIES.astype(np.float32)
    found = jax.jit(lambda p: inception_score(p, splits=3))(probabilities)
    assert found.value.dtype == jnp.float32
    np.testing.assert_allclose(found, inception_score(probabilities, splits=3), rtol=FLOAT32)
    one_hot = jnp.eye(4)[jnp.arange(8) % 3]  # zeros, also a class without mass
    assert np.isfinite(jax.grad(lambda p: inception_score(p, splits=1).value)(one_hot)).all()


@pytest.mark.parametrize(
    ("probabilities", "splits", "message"),
    [
        (GOLDEN["logits"], 1, "probabilities: found -.*, expected a softmax"),
        (PROBABILITIES * 1.01, 1, "probabilities: found row .* with sum 1.01, expected 1"),
        (PROBABILITIES[:3], 4, "probabilities: found 3 rows, expected at least splits = 4"),
        (PROBABILITIES, 0, "splits: found 0"),
        (PROBABILITIES[0], 1, "probabilities: found shape"),
    ],
)
def test_errors(probabilities, splits, message):
    with pytest.raises(InputError, match=message):
        inception_score(probabilities, splits=splits)
