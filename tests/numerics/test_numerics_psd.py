"""Roots and overlaps of covariances: closed forms for commuting matrices, and SciPy's general matrix square root."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jaxpr.core import InputError
from jaxpr.numerics.psd import bures_term, psd_sqrt

FLOAT64 = 1e-10  # float64 eigenproblems of at most 24 rows with condition numbers up to 1e4
FLOAT32 = 1e-5  # float32 covariances at the boundary, 8 rows
SINGULAR = 1e-7  # a zero eigenvalue found as 1e-16 has a root of 1e-8; a few of them, relative to a sum of order one


def orthogonal(seed, d):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def covariance(seed, d, *, condition=100.0):
    """Random directions, eigenvalues spread geometrically over the condition number."""
    q = orthogonal(seed, d)
    return (q * np.geomspace(1, 1 / condition, d)) @ q.T


def bures_by_scipy(a, b):
    root = scipy.linalg.sqrtm(a)
    return np.trace(scipy.linalg.sqrtm(root @ b @ root)).real


@pytest.mark.parametrize(("d", "condition"), [(1, 1), (3, 10), (8, 1e4), (24, 1e4)])
def test_psd_sqrt_squares_back_and_equals_scipy(d, condition):
    matrix = covariance(d, d, condition=condition)
    root = psd_sqrt(matrix)
    assert root.dtype == np.float64
    np.testing.assert_allclose(root @ root, matrix, atol=FLOAT64)
    np.testing.assert_allclose(root, scipy.linalg.sqrtm(matrix), atol=FLOAT64)
    np.testing.assert_allclose(root, root.T, atol=FLOAT64)


def test_psd_sqrt_of_singular_matrices():
    q = orthogonal(0, 6)
    values = np.array([4.0, 1.0, 0.25, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(psd_sqrt((q * values) @ q.T), (q * np.sqrt(values)) @ q.T, atol=SINGULAR)
    np.testing.assert_array_equal(psd_sqrt(np.zeros((3, 3))), np.zeros((3, 3)))
    np.testing.assert_array_equal(psd_sqrt(np.diag([4.0, -1e-18])), np.diag([2.0, 0.0]))


def test_psd_sqrt_under_jit():
    matrix = covariance(1, 8).astype(np.float32)
    found = jax.jit(psd_sqrt)(matrix)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, psd_sqrt(matrix), atol=FLOAT32)


@pytest.mark.parametrize(("d", "condition"), [(1, 1), (2, 10), (8, 1e3), (24, 1e4)])
def test_bures_term_of_commuting_matrices(d, condition):
    q = orthogonal(d, d)
    a, b = np.geomspace(1, 1 / condition, d), np.linspace(0.5, 3, d)
    found = bures_term((q * a) @ q.T, (q * b) @ q.T)
    np.testing.assert_allclose(found, np.sqrt(a * b).sum(), rtol=FLOAT64)


@pytest.mark.parametrize("d", [2, 5, 24])
def test_bures_term_equals_scipy_and_is_symmetric(d):
    a, b = covariance(10 + d, d), 3 * covariance(20 + d, d)
    np.testing.assert_allclose(bures_term(a, b), bures_by_scipy(a, b), rtol=FLOAT64)
    np.testing.assert_allclose(bures_term(a, b), bures_term(b, a), rtol=FLOAT64)


def test_bures_term_with_itself_is_the_trace_and_scales():
    a, b = covariance(1, 6), covariance(2, 6)
    np.testing.assert_allclose(bures_term(a, a), np.trace(a), rtol=FLOAT64)
    np.testing.assert_allclose(bures_term(9 * a, 4 * b), 6 * bures_term(a, b), rtol=FLOAT64)


@pytest.mark.parametrize(("rank_a", "rank_b"), [(3, 5), (8, 3), (3, 8), (1, 1), (0, 4), (0, 0)])
def test_bures_term_of_singular_matrices(rank_a, rank_b):
    d, q = 8, orthogonal(4, 8)
    a = np.where(np.arange(d) < rank_a, np.linspace(1, 2, d), 0)
    b = np.where(np.arange(d) < rank_b, np.linspace(3, 1, d), 0)
    expected = np.sqrt(a * b).sum()
    for first, second in ((a, b), (b, a)):
        found = bures_term((q * first) @ q.T, (q * second) @ q.T)
        assert np.isfinite(found)
        np.testing.assert_allclose(found, expected, rtol=SINGULAR, atol=SINGULAR)


def test_bures_term_of_orthogonal_supports_is_zero():
    q = orthogonal(5, 6)
    a, b = (q[:, :3]) @ q[:, :3].T, (q[:, 3:]) @ q[:, 3:].T
    np.testing.assert_allclose(bures_term(a, b), 0, atol=SINGULAR)


@pytest.mark.parametrize("rank", [8, 3])
def test_bures_term_under_jit_and_vmap(rank):
    rng = np.random.default_rng(rank)
    factors = rng.standard_normal((3, 8, rank)).astype(np.float32)
    a = np.asarray(factors @ factors.transpose(0, 2, 1))
    b = np.stack([covariance(seed, 8).astype(np.float32) for seed in range(3)])
    eager = [bures_term(*pair) for pair in zip(a, b, strict=True)]
    mapped = jax.jit(jax.vmap(bures_term))(a, b)
    assert mapped.dtype == jnp.float32
    # The reference reads the same float32 matrices; singular ones have eigenvalues that are rounding errors.
    np.testing.assert_allclose(mapped, eager, rtol=FLOAT32 if rank == 8 else 1e-3)
    np.testing.assert_allclose(jax.jit(bures_term)(a[0], b[0]), mapped[0], rtol=FLOAT32)


# The derivative of sum sqrt(a_i b_i) with respect to a_i is sqrt(b_i / a_i) / 2; off the diagonal it is zero.


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param((1.0, 4.0, 9.0), (4.0, 1.0, 2.0), id="distinct"),
        pytest.param(
            (1.0, 1.0, 1.0),
            (4.0, 1.0, 2.0),
            id="repeated eigenvalues of A",
        ),
        pytest.param(
            (4.0, 1.0, 2.0),
            (1.0, 1.0, 1.0),
            id="repeated eigenvalues of B",
        ),
    ],
)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_gradient_of_diagonal_matrices(a, b, wrap):
    a, b = jnp.array(a), jnp.array(b)
    grad_a, grad_b = wrap(jax.grad(bures_term, argnums=(0, 1)))(jnp.diag(a), jnp.diag(b))
    np.testing.assert_allclose(grad_a, np.diag(np.sqrt(b / a) / 2), atol=FLOAT32)
    np.testing.assert_allclose(grad_b, np.diag(np.sqrt(a / b) / 2), atol=FLOAT32)


def test_gradient_is_finite_where_a_matrix_is_singular():
    for a, b in (((1.0, 4.0, 0.0), (4.0, 1.0, 2.0)), ((4.0, 1.0, 2.0), (1.0, 4.0, 0.0))):
        grads = jax.grad(bures_term, argnums=(0, 1))(jnp.diag(jnp.array(a)), jnp.diag(jnp.array(b)))
        assert np.isfinite(grads).all()


def test_nan_stays_nan_under_jit():
    assert np.isnan(jax.jit(bures_term)(jnp.full((3, 3), jnp.nan), jnp.eye(3)))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 3), ()])
def test_square_matrices_are_required(shape):
    with pytest.raises(InputError, match="matrix: found shape"):
        psd_sqrt(np.ones(shape))
    with pytest.raises(InputError, match="cov_b: found shape"):
        bures_term(np.eye(3), np.ones(shape))


def test_matrices_of_one_size_are_required():
    with pytest.raises(InputError, match=r"found shapes \(2, 2\) and \(3, 3\), expected one shape"):
        bures_term(np.eye(2), np.eye(3))
