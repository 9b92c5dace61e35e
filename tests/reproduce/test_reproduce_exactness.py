"""Exact posteriors of the tiny priors, against the toys' and against chance."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.reproduce import exactness as ex
from jaxpr.toys import linear_mixture


@pytest.mark.thorough
def test_the_posterior_is_that_of_the_toys():
    basis = np.asarray(ex.BASIS.forward(np.eye(ex.SIZE, dtype=np.float32).reshape(ex.SIZE, *ex.SHAPE)), np.float64)
    basis = basis.reshape(ex.SIZE, ex.SIZE).T
    prior = ex.PRIORS.index(ex.MIXTURE)
    matrix, y, noise = np.random.default_rng(0).standard_normal((3, ex.SIZE)), np.array([0.2, -0.1, 0.5]), 0.3
    centres, spreads = ex.three_priors().means[prior], ex.three_priors().variances[prior]
    covs = np.stack([basis.T @ np.diag(v.ravel().astype(np.float64)) @ basis / 4 for v in spreads])
    law = linear_mixture(
        ex.three_priors().weights[prior].astype(np.float64),
        (centres.reshape(-1, ex.SIZE) + 1.0) / 2,
        (covs + covs.mT) / 2,
        matrix,
        noise**2 * np.eye(3),
    )
    shares, found, within = ex.mixture_posterior(prior, matrix, noise, y)
    given = jnp.asarray(y[None], jnp.float32)
    np.testing.assert_allclose(shares, law.posterior_weights(given)[0], atol=1e-4)
    np.testing.assert_allclose(shares @ found, law.posterior_mean(given)[0], atol=1e-4)
    gaps = found - shares @ found
    cov = np.einsum("k,kij->ij", shares, within + gaps[:, :, None] * gaps[:, None])
    np.testing.assert_allclose(cov, law.posterior_covariance(given)[0], atol=1e-4)


@pytest.mark.parametrize("task", ex.EXACT_TASKS, ids=["inpainting", "average", "noisier"])
def test_draws_of_the_posterior_score_as_exact(task):
    exact = ex.exact_posteriors(task, measurements=2, answers=400, seed=0)
    found = ex.answer_scores(exact, exact.other)
    assert all(values.shape == (3, 2) for values in found.values())
    np.testing.assert_allclose(found["variance"], 1, atol=0.25)
    np.testing.assert_allclose(found["bias"], 0, atol=0.03)
    np.testing.assert_allclose(found["coverage"][:2], ex.LEVEL, atol=0.06)
    np.testing.assert_allclose(found["modes"][2], 0, atol=0.08)
    # y fits the draws.
    again = np.asarray(task.operator(exact.draws[1, 0].reshape(-1, *ex.SHAPE).astype(np.float32)))
    gap = (again - exact.y[1, 0]).std()
    assert gap < 1e-5 if task.noise_std == 0 else 0.5 * task.noise_std < gap < 1.5 * task.noise_std


def test_wrong_answers_score_as_wrong():
    exact = ex.exact_posteriors(ex.EXACT_TASKS[1], measurements=2, answers=100, seed=0)
    found = ex.answer_scores(exact, exact.other + np.float64(0.5))
    assert (found["bias"] > 1).all()
    assert (found["coverage"] < 0.3).all()
    assert (found["w2"] > 1).all()
    found = ex.answer_scores(exact, exact.mean[:, :, None] + 0.1 * (exact.other - exact.mean[:, :, None]))
    assert (found["variance"] < 0.03).all()
