"""Spectral norms of Jacobians against closed forms and dense SVDs, and the health of gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import GradientState, classify_gradient, gradient_status, local_lipschitz
from jaxpr.core import InputError, example_keys
from jaxpr.degradations import AverageDownsample, BicubicDownsample, Blur, gaussian_kernel

KEY = jax.random.key(8)
SHAPE = (4, 3, 4, 2)
D = 24
FLOAT32 = 1e-5  # relative, float32 products of 24 to 200 terms


def uniform(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def linear(matrix):
    a = jnp.asarray(matrix, jnp.float32)
    return lambda y: jnp.matmul(y.reshape(y.shape[0], -1), a.T, precision=jax.lax.Precision.HIGHEST)


def dense(estimator, y) -> np.ndarray:
    """Largest singular value of the full Jacobian of each example."""
    jacobians = jax.vmap(jax.jacobian(lambda one: estimator(one[None])[0].reshape(-1)))(y)
    return np.linalg.svd(np.asarray(jacobians, np.float64).reshape(len(y), jacobians.shape[1], -1), compute_uv=False)[
        :, 0
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outputs", [5, D, 60])
def test_random_matrices_against_the_dense_svd(seed, outputs):
    matrix = normal(seed, outputs, D)
    found = local_lipschitz(KEY, linear(matrix), uniform(), iterations=300)
    np.testing.assert_allclose(found, np.linalg.svd(matrix, compute_uv=False)[0], rtol=FLOAT32)


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_few_iterations_give_a_lower_bound_that_grows(iterations):
    matrix = normal(0, 30, D)
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    found = local_lipschitz(KEY, linear(matrix), uniform(), iterations=iterations)
    more = local_lipschitz(KEY, linear(matrix), uniform(), iterations=iterations + 5)
    assert (found <= largest * (1 + FLOAT32)).all()
    assert (more >= found * (1 - FLOAT32)).all()
    assert (found > largest * (1 - np.log(D) / (iterations + 1))).all()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (AverageDownsample((8, 8, 1), 2), 0.5),  # orthogonal rows of four entries 1/4
        (BicubicDownsample((8, 8, 1), 2), None),  # its singular values crowd at the largest
        (Blur((8, 8, 1), gaussian_kernel(1.0)), None),
    ],
    ids=["average", "bicubic", "blur"],
)
def test_degradations_have_the_norm_of_their_own_svd(operator, expected):
    y = uniform(0, (2, 8, 8, 1))
    found = local_lipschitz(KEY, operator, y, iterations=200)
    assert (found <= dense(operator, y) * (1 + FLOAT32)).all()
    np.testing.assert_allclose(found, dense(operator, y), rtol=2e-3)  # 200 iterations, neighbouring singular values
    if expected is not None:
        np.testing.assert_allclose(found, expected, rtol=FLOAT32)


def curved(y):
    hidden = jnp.tanh(linear(normal(5, 40, D))(y))
    return jax.nn.relu(hidden @ jnp.asarray(normal(6, 40, 30), jnp.float32))


KERNEL = jnp.asarray(normal(9, 3, 3, 2, 2), jnp.float32)


def convolutional(y):
    x = jax.lax.conv_general_dilated(y, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.image.resize(jax.nn.gelu(x), (x.shape[0], 6, 8, 2), "bilinear")


@pytest.mark.thorough
@pytest.mark.parametrize("estimator", [curved, convolutional, lambda y: y**3], ids=["curved", "network", "cube"])
def test_nonlinear_estimators_against_the_dense_jacobian(estimator):
    y = uniform()
    found = local_lipschitz(KEY, estimator, y, iterations=400)
    np.testing.assert_allclose(found, dense(estimator, y), rtol=1e-4)  # neighbouring singular values
    jitted = jax.jit(lambda y: local_lipschitz(KEY, estimator, y, iterations=400))(y)
    np.testing.assert_allclose(jitted, found, rtol=FLOAT32)


@pytest.mark.thorough
def test_examples_do_not_influence_each_other():
    y, keys = uniform(), example_keys(KEY, 4)
    run = functools.partial(local_lipschitz, estimator=convolutional, iterations=5)
    whole = run(KEY, y=y)
    np.testing.assert_allclose(run(keys[1:3], y=y[1:3]), whole[1:3], rtol=FLOAT32)


def test_zero_constant_and_nan_jacobians():
    y = uniform()
    np.testing.assert_array_equal(local_lipschitz(KEY, jnp.round, y, iterations=3), 0)
    np.testing.assert_array_equal(local_lipschitz(KEY, lambda z: 0 * z + 1, y, iterations=3), 0)
    factors = jnp.array([1.0, 0.0, jnp.nan, jnp.inf]).reshape(4, 1, 1, 1)
    found = local_lipschitz(KEY, lambda z: z * factors, y, iterations=3)
    np.testing.assert_allclose(found[:2], [1, 0], rtol=FLOAT32)
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_squares_neither_underflow_nor_overflow(factor):
    found = local_lipschitz(KEY, lambda z: factor * z, uniform(), iterations=3)
    np.testing.assert_allclose(found / factor, 1, rtol=FLOAT32)


def test_estimators_with_only_a_reverse_rule_are_accepted():
    @jax.custom_vjp
    def doubled(y):
        return 2 * jnp.round(y)

    doubled.defvjp(lambda y: (doubled(y), None), lambda _, g: (2 * g,))
    np.testing.assert_allclose(local_lipschitz(KEY, doubled, uniform(), iterations=2), 2, rtol=FLOAT32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 0}, "iterations: found 0"),
        ({"y": jnp.zeros(SHAPE, jnp.int32)}, "y: found dtype"),
        ({"y": jnp.full(SHAPE, jnp.nan)}, "y: found 96 NaN"),
        ({"estimator": lambda y: y.astype(jnp.int32)}, "estimator: found int32"),
        ({"estimator": lambda y: y.reshape(-1)}, "estimator: found float32 of shape"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "key: found"),
    ],
)
def test_local_lipschitz_refuses(changes, message):
    given = {"key": KEY, "estimator": jnp.sin, "y": uniform(), "iterations": 2} | changes
    with pytest.raises(InputError, match=message):
        local_lipschitz(given["key"], given["estimator"], given["y"], iterations=given["iterations"])


def test_gradient_status_of_an_orthogonal_map_and_of_mixed_examples():
    orthogonal = np.linalg.qr(normal(3, D, D))[0]
    status = gradient_status(KEY, linear(orthogonal), uniform())
    np.testing.assert_allclose(status.norm, 1, rtol=FLOAT32)
    factors = jnp.array([1.0, 0.0, jnp.nan, jnp.inf]).reshape(4, 1, 1, 1)
    mixed = jax.jit(lambda y: gradient_status(KEY, lambda z: z * factors, y))(uniform())
    np.testing.assert_array_equal(mixed.zero, [False, True, False, False])
    np.testing.assert_array_equal(mixed.finite, [True, True, False, False])


def on_host(y):
    return jax.pure_callback(lambda z: np.sort(z, axis=1), jax.ShapeDtypeStruct(y.shape, y.dtype), y)


STATES = {
    "smooth": (jnp.sin, GradientState.OK),
    "one flat example": (lambda y: y.at[0].set(0.0), GradientState.OK),
    "round": (jnp.round, GradientState.ZERO),
    "constant": (jnp.ones_like, GradientState.ZERO),
    "stopped": (jax.lax.stop_gradient, GradientState.ZERO),
    "quantised": (lambda y: (255 * y).astype(jnp.uint8).astype(jnp.float32) / 255, GradientState.ZERO),
    "root at zero": (lambda y: jnp.sqrt(jnp.clip(y, max=0)), GradientState.NAN),
    "one nan": (lambda y: y.at[1].multiply(jnp.nan), GradientState.NAN),
    "callback": (on_host, GradientState.UNDIFFERENTIABLE),
    "numpy": (lambda y: jnp.asarray(np.sort(np.asarray(y), axis=1)), GradientState.UNDIFFERENTIABLE),
    "integers": (lambda y: jnp.round(255 * y).astype(jnp.int32), GradientState.UNDIFFERENTIABLE),
    "unbounded loop": (
        lambda y: jax.lax.while_loop(lambda z: jnp.sum(z) > 1, lambda z: z / 2, y),
        GradientState.UNDIFFERENTIABLE,
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_gradients_are_classified(name):
    estimator, expected = STATES[name]
    found = classify_gradient(KEY, estimator, uniform())
    assert found is expected
    assert f"{found}" == expected.value


def test_an_estimator_that_fails_by_itself_raises_its_own_error():
    def broken(y):
        raise RuntimeError("weights are missing")

    with pytest.raises(RuntimeError, match="weights are missing"):
        classify_gradient(KEY, broken, uniform())


@pytest.mark.parametrize(("y", "message"), [(uniform()[:0], "y: found no"), (uniform() * jnp.nan, "y: found 96 NaN")])
def test_classification_refuses(y, message):
    with pytest.raises(InputError, match=message):
        classify_gradient(KEY, jnp.sin, y)
