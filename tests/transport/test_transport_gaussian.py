"""Gaussian transport: closed forms, the defining properties, and golden numbers (tests/golden/transport_dmax)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64
from jaxpr.transport import GaussianMap, gaussian_map, gaussian_w2, transport_points

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "transport_dmax" / "golden.npz")

ADDED_DIAGONAL = 3e-4  # the golden implementation adds 1e-5 to diagonals, amplified by a condition number of 25
FLOAT64 = 1e-12  # relative; d <= 40
FLOAT32 = 1e-5
OPTIMALITY = 1e-6  # relative; what directions with eigenvalues near the rank limit contribute

SHAPES = [  # d, rank of the source, rank of the target, condition number
    (1, 1, 1, 1),
    (2, 2, 2, 1e8),
    (5, 5, 5, 1e4),
    (5, 2, 5, 1),
    (5, 5, 2, 1),
    (6, 0, 6, 1),
    (6, 6, 0, 1),
    (40, 40, 40, 1e8),
    (40, 15, 40, 10),
    (40, 15, 10, 1e4),
]


def covariance(rng, d, rank, condition=1.0):
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0][:, :rank]
    return (rotation * np.geomspace(1, 1 / condition, rank)) @ rotation.T if rank else np.zeros((d, d))


def pair(d, rank_a, rank_b, condition):
    rng = np.random.default_rng(d + rank_a)
    return covariance(rng, d, rank_a, condition), covariance(rng, d, rank_b, condition)


def pushed(mapping, source):
    return mapping.matrix @ source @ np.swapaxes(mapping.matrix, -1, -2) + mapping.noise_covariance


def test_golden_full_rank():
    found = gaussian_map(GOLDEN["full_cov_source"], GOLDEN["full_cov_target"])
    np.testing.assert_allclose(found.matrix, GOLDEN["full_T0"], atol=ADDED_DIAGONAL)
    assert not found.noise_covariance.any()
    args = (GOLDEN[f"full_{name}"] for name in ("mean_source", "cov_source", "mean_target", "cov_target"))
    np.testing.assert_allclose(gaussian_w2(*args) ** 2, GOLDEN["full_w2"], atol=ADDED_DIAGONAL)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_golden_points(alpha):
    means = GOLDEN["full_mean_source"], GOLDEN["full_mean_target"]
    found = gaussian_map(GOLDEN["full_cov_source"], GOLDEN["full_cov_target"])
    for i in range(2):
        x, mapping = GOLDEN["full_X"][i], GaussianMap(*(field[i] for field in found))
        moved = transport_points(jax.random.key(0), x, mapping, means[0][i], means[1][i], alpha=alpha)
        theirs = GOLDEN[f"full_transport_pg{alpha}"][i] - alpha * (means[1][i] - means[0][i])  # Eq. (4) moves the mean
        np.testing.assert_allclose(moved, theirs, atol=10 * ADDED_DIAGONAL)


def test_golden_singular_source():
    source, target = GOLDEN["deg_cov_source"], GOLDEN["deg_cov_target"]
    found = gaussian_map(source, target)
    np.testing.assert_allclose(found.matrix, GOLDEN["deg_T0"], atol=ADDED_DIAGONAL)
    np.testing.assert_allclose(found.noise_covariance, GOLDEN["deg_Cw0"], atol=ADDED_DIAGONAL)
    quiet = GaussianMap(found.matrix[0], np.zeros((6, 6)))
    means = GOLDEN["full_mean_source"][0], GOLDEN["full_mean_target"][0]
    moved = transport_points(jax.random.key(0), GOLDEN["deg_X"], quiet, *means, alpha=0.0)
    np.testing.assert_allclose(moved, GOLDEN["deg_deterministic_part_pg0.0"], atol=10 * ADDED_DIAGONAL)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_map_reaches_the_target_with_the_least_movement(shape):
    source, target = pair(*shape)
    found = gaussian_map(source, target)
    np.testing.assert_allclose(pushed(found, source), target, atol=FLOAT64 * shape[0])
    left = found.matrix - np.eye(shape[0])
    moved = np.trace(left @ source @ left.T + found.noise_covariance)
    zero = np.zeros(shape[0])
    np.testing.assert_allclose(moved, gaussian_w2(zero, source, zero, target) ** 2, rtol=OPTIMALITY, atol=FLOAT64)
    assert (np.abs(found.noise_covariance).max() > FLOAT64) == (shape[1] < shape[2])
    assert np.linalg.eigvalsh(found.noise_covariance).min() > -FLOAT64


def test_the_map_is_the_formula_of_the_paper():
    source, target = pair(5, 5, 5, 1e2)
    root = scipy.linalg.sqrtm(source)
    middle = scipy.linalg.sqrtm(root @ target @ root)
    expected = np.linalg.inv(root) @ middle @ np.linalg.inv(root)
    np.testing.assert_allclose(gaussian_map(source, target).matrix, expected, atol=1e-9)


def test_the_stochastic_map_is_the_formula_of_the_paper():
    source, target = pair(6, 3, 6, 10)
    root = scipy.linalg.sqrtm(target).real
    mixed = scipy.linalg.sqrtm(root @ source @ root + 1e-24 * np.eye(6)).real
    inverse = np.linalg.pinv(source, rcond=1e-10)
    expected = root @ mixed @ np.linalg.inv(root) @ inverse
    found = gaussian_map(source, target)
    np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
    star = np.linalg.inv(root) @ mixed @ np.linalg.inv(root)
    noise = root @ (np.eye(6) - root @ star @ inverse @ star @ root) @ root
    np.testing.assert_allclose(found.noise_covariance, noise, atol=1e-6)


def test_each_matrix_of_a_batch_decides_for_itself():
    pairs = [pair(5, 5, 5, 10), pair(5, 2, 5, 10)]
    together = gaussian_map(*(np.stack(side) for side in zip(*pairs, strict=True)))
    for i, (source, target) in enumerate(pairs):
        alone = gaussian_map(source, target)
        for field, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(field[i], expected, atol=FLOAT64)
    assert not together.noise_covariance[0].any()
    assert together.noise_covariance[1].any()


def test_float32_covariances_are_singular_at_float32_rounding():
    points = np.random.default_rng(0).standard_normal((4, 10)).astype(np.float32)
    source = np.cov(points.T).astype(np.float32)
    assert gaussian_map(source, np.eye(10)).noise_covariance.any()
    assert not gaussian_map(source + np.eye(10, dtype=np.float32), np.eye(10)).noise_covariance.any()
    assert gaussian_map(np.diag([1.0, 1e-6]), np.eye(2), rcond=1e-5).noise_covariance.any()


def test_distance_closed_forms():
    means, scales = np.array([[0.0, 0], [3, 4]]), np.array([1.0, 4.0])
    found = gaussian_w2(means, scales[:, None, None] * np.eye(2), np.zeros(2), np.eye(2))
    np.testing.assert_allclose(found, [0, np.sqrt(25 + 2)], atol=FLOAT64)
    np.testing.assert_allclose(gaussian_w2(np.zeros(1), np.eye(1), np.ones(1), 9 * np.eye(1)), np.sqrt(5))


def test_distance_without_cancellation():
    cov, zero = pair(20, 20, 20, 10)[0], np.zeros(20)
    near = gaussian_w2(zero, cov, zero, cov * (1 + 1e-11) ** 2)
    np.testing.assert_allclose(near, np.sqrt(np.trace(cov)) * 1e-11, rtol=1e-3)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] and shape[2]], ids=str)
def test_distance_symmetric_and_by_traces(shape):
    a, b = pair(*shape)
    zero = np.zeros(shape[0])
    found = gaussian_w2(zero, a, zero, b)
    np.testing.assert_allclose(found, gaussian_w2(zero, b, zero, a), atol=FLOAT64)
    root = (
        scipy.linalg.sqrtm(b).real
        if shape[2] == shape[0]
        else (lambda v: v[1] * np.sqrt(v[0].clip(0)) @ v[1].T)(np.linalg.eigh(b))
    )
    overlap = np.sqrt(np.linalg.eigvalsh(root @ a @ root).clip(0)).sum()
    np.testing.assert_allclose(found**2, np.trace(a + b) - 2 * overlap, atol=1e-6)


def test_distance_gradient():
    a, b = pair(4, 4, 4, 10)
    direction = np.random.default_rng(1).standard_normal((4, 4))
    direction = direction + direction.T
    step = 1e-5
    zero, mean = np.zeros(4), np.full(4, 0.1)
    for f in (lambda c: gaussian_w2(zero, c, mean, b), lambda c: gaussian_w2(mean, b, zero, c)):
        expected = (f(a + step * direction) - f(a - step * direction)) / (2 * step)
        with enable_x64(True):
            found = jnp.sum(jax.grad(f)(jnp.asarray(a)) * direction)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    grad_mean = jax.grad(lambda m: gaussian_w2(m, b, zero, b))(jnp.asarray([3.0, 4, 0, 0]))
    np.testing.assert_allclose(grad_mean, [0.6, 0.8, 0, 0], atol=FLOAT32)


@pytest.mark.parametrize("rank", [0, 2, 4])
def test_distance_gradient_is_finite_everywhere(rank):
    a, zero = jnp.asarray(pair(4, rank, 4, 10)[0], jnp.float32), jnp.zeros(4)
    grads = jax.jit(jax.grad(gaussian_w2, argnums=(0, 1, 2, 3)))(zero, a, zero, a)
    assert all(not grad.any() for grad in grads)
    white = jax.grad(gaussian_w2, argnums=(1, 3))(zero, jnp.eye(4), zero, 4 * jnp.eye(4))
    np.testing.assert_allclose(white[0], -np.eye(4) / 4, atol=FLOAT32)  # d/ds of sqrt(4) |sqrt(s) - 2|
    np.testing.assert_allclose(white[1], np.eye(4) / 8, atol=FLOAT32)


@pytest.mark.parametrize("which", [0, 1])
def test_map_gradient(which):
    pairs, step = list(pair(4, 4, 4, 10)), 1e-6
    rng = np.random.default_rng(1)
    weights, direction = rng.standard_normal((2, 4, 4))
    direction = direction + direction.T

    def f(cov):
        args = [*pairs]
        args[which] = cov
        return (gaussian_map(*args).matrix * weights).sum()

    expected = (f(pairs[which] + step * direction) - f(pairs[which] - step * direction)) / (2 * step)
    with enable_x64(True):
        found = jnp.sum(jax.grad(f)(jnp.asarray(pairs[which])) * direction)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_map_gradient_of_white_and_singular_sources():
    grad = jax.grad(lambda c: jnp.trace(gaussian_map(c, jnp.eye(3)).matrix))(jnp.eye(3))
    np.testing.assert_allclose(grad, -np.eye(3) / 2, atol=FLOAT32)  # s^(-1/2)
    assert jnp.isnan(
        jax.grad(lambda c: gaussian_map(c, jnp.eye(3)).matrix.sum())(jnp.diag(jnp.asarray([1.0, 1, 0])))
    ).all()


@pytest.mark.parametrize("rank", [2, 5])
def test_jit_and_vmap_agree_with_the_host(rank):
    pairs = [pair(5, rank, 5, 10 + i) for i in range(3)]
    a, b = (jnp.asarray(np.stack(side), jnp.float32) for side in zip(*pairs, strict=True))
    zero = jnp.zeros((3, 5))
    host, w2 = gaussian_map(a, b), gaussian_w2(zero, a, zero, b)
    for fn in (jax.jit(gaussian_map), jax.vmap(gaussian_map)):
        for field, expected in zip(fn(a, b), host, strict=True):
            assert field.dtype == jnp.float32
            np.testing.assert_allclose(field, expected, atol=FLOAT32)
    for fn in (jax.jit(gaussian_w2), jax.vmap(gaussian_w2)):
        np.testing.assert_allclose(fn(zero, a, zero, b), w2, rtol=FLOAT32)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0, 1.5])
def test_points_follow_the_path(alpha):
    """The path's law: mean and covariance of (1 − α)(T x + w) + α x."""
    source, target = pair(3, 2, 3, 2)
    mean_s, mean_t = np.array([1.0, 2, 3]), np.array([-1.0, 0, 4])
    mapping = gaussian_map(source, target)
    count = 200_000
    x = mean_s + np.random.default_rng(0).multivariate_normal(np.zeros(3), source, count)
    moved = np.asarray(transport_points(jax.random.key(0), x, mapping, mean_s, mean_t, alpha=alpha), np.float64)
    linear = (1 - alpha) * mapping.matrix + alpha * np.eye(3)
    expected = linear @ source @ linear.T + (1 - alpha) ** 2 * mapping.noise_covariance
    sampling = 6 / np.sqrt(count)
    np.testing.assert_allclose(moved.mean(0), (1 - alpha) * mean_t + alpha * mean_s, atol=2 * sampling)
    np.testing.assert_allclose(np.cov(moved.T), expected, atol=3 * sampling)


def test_points_draw_their_own_noise_independent_of_batches():
    mapping = gaussian_map(np.diag([1.0, 0]), np.eye(2))
    x, zero, key = jnp.zeros((6, 2)), np.zeros(2), jax.random.key(3)
    moved = transport_points(key, x, mapping, zero, zero, alpha=0.0)
    assert len(np.unique(np.asarray(moved)[:, 1])) == 6
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(6))
    halves = [transport_points(keys[i : i + 3], x[i : i + 3], mapping, zero, zero, alpha=0.0) for i in (0, 3)]
    np.testing.assert_array_equal(moved, jnp.concatenate(halves))
    np.testing.assert_array_equal(transport_points(key, x + 1, mapping, zero, zero, alpha=1.0), x + 1)


@pytest.mark.thorough
def test_points_under_transformations():
    source, target = (jnp.asarray(c, jnp.float32) for c in pair(3, 3, 3, 4))
    x, zero = jnp.ones((2, 3)), jnp.zeros(3)

    def moved(alpha, cov):
        return transport_points(jax.random.key(0), x, gaussian_map(cov, target), zero, zero, alpha=alpha)

    np.testing.assert_allclose(jax.jit(moved)(0.3, source), moved(0.3, source), atol=FLOAT32)
    many = jax.vmap(moved, (0, None))(jnp.asarray([0.0, 1.0]), source)
    np.testing.assert_allclose(many[1], x, atol=FLOAT32)
    assert jnp.isfinite(jax.grad(lambda c: moved(0.3, c).sum())(source)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_map(np.ones((2, 3)), np.eye(3)), r"cov_source: found shape \(2, 3\)"),
        (lambda: gaussian_map(np.eye(2), np.eye(3)), r"cov_target: found shape \(3, 3\), expected .*2, 2"),
        (lambda: gaussian_map(np.eye(2) * np.nan, np.eye(2)), "cov_source: found NaN"),
        (lambda: gaussian_map(np.ones((2, 2, 2)), np.ones((3, 2, 2))), "expected ones that broadcast"),
        (lambda: gaussian_map(np.eye(2), np.eye(2), rcond=-1.0), "rcond: found -1.0"),
        (lambda: gaussian_w2(np.zeros(3), np.eye(2), np.zeros(2), np.eye(2)), r"mean_a: found shape \(3,\)"),
        (lambda: gaussian_w2(np.zeros((3, 2)), np.eye(2), np.zeros((2, 2)), np.eye(2)), "expected ones that broadcast"),
        (lambda: moved(np.zeros((3, 3))), r"mapping.matrix: found shape \(2, 2\)"),
        (lambda: moved(np.zeros((3, 2)), alpha=np.nan), "alpha: found nan"),
        (lambda: moved(np.zeros((3, 2)), key=jax.random.PRNGKey(0)), "key: found uint32"),
        (lambda: moved(np.full((3, 2), np.nan)), "x: found NaN"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def moved(x, *, alpha=0.5, key=None):
    mapping = GaussianMap(np.eye(2), np.eye(2))
    key = jax.random.key(0) if key is None else key
    return transport_points(key, x, mapping, np.zeros(2), np.zeros(2), alpha=alpha)
