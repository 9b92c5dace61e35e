"""Linear operators: algebra and singular value decompositions, on many shapes."""

import dataclasses
import functools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.degradations import (
    CUTOFF,
    AverageDownsample,
    BicubicDownsample,
    Blur,
    Grayscale,
    Identity,
    Inpainting,
    Separable,
    gaussian_kernel,
)

RELATIVE = 1e-5  # float32, operators with condition numbers up to about 100
BATCH = 3


def mask(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width)) < 0.6


def random_matrix(rows, columns, seed):
    return np.random.default_rng(seed).standard_normal((rows, columns))


# A random kernel around a strong tap: not symmetric, condition number about ten.
def random_kernel(rows, columns, seed=0):
    kernel = 0.5 * np.random.default_rng(seed).standard_normal((rows, columns)) / math.sqrt(rows * columns)
    kernel[rows // 3, columns // 2] += 1
    return kernel


OPERATORS = {
    "identity": lambda: Identity((3, 5, 3)),
    "inpainting": lambda: Inpainting(mask(7, 6)),
    "inpainting-nothing-known": lambda: Inpainting(np.zeros((3, 3), bool)),
    "average2": lambda: AverageDownsample((8, 6, 3), 2),
    "average3": lambda: AverageDownsample((9, 3, 1), 3),
    "bicubic2-odd": lambda: BicubicDownsample((9, 7, 3), 2),
    "bicubic2-tiny": lambda: BicubicDownsample((2, 3, 1), 2),
    "bicubic3": lambda: BicubicDownsample((16, 13, 1), 3),
    "bicubic4": lambda: BicubicDownsample((16, 16, 3), 4),
    "bicubic4-wraps": lambda: BicubicDownsample((5, 4, 3), 4),
    "bicubic8-wraps": lambda: BicubicDownsample((17, 8, 3), 8),
    "bicubic16": lambda: BicubicDownsample((17, 33, 1), 16),
    "grayscale": lambda: Grayscale((5, 4, 3)),
    "blur-random": lambda: Blur((8, 9, 3), random_kernel(3, 4)),
    "blur-even": lambda: Blur((7, 6, 1), random_kernel(4, 2)),
    "blur-image-sized": lambda: Blur((5, 6, 1), random_kernel(5, 6)),
    "blur-with-zeros": lambda: Blur((8, 6, 3), np.array([0.5, 0.5])),
    "blur-one-pixel": lambda: Blur((1, 1, 3), np.array([[2.0]])),
    "separable-shrink": lambda: Separable((5, 6, 3), random_matrix(3, 5, 0), random_matrix(4, 6, 1)),
    "separable-mixed": lambda: Separable((3, 6, 2), random_matrix(7, 3, 4), random_matrix(2, 6, 5)),
    "separable-rank-one": lambda: Separable((4, 5, 3), np.ones((3, 4)), random_matrix(2, 5, 6)),
}
TINY = [name for name in OPERATORS if name not in ("bicubic4", "bicubic8-wraps", "bicubic16")]
ONE_OF_EACH = ["inpainting", "bicubic2-odd", "grayscale", "blur-even"]


@functools.cache
def compiled(name):
    """The operator with every method jitted once; hundreds of eager calls would spend minutes in the compiler."""
    operator = OPERATORS[name]()
    svd = operator.svd()
    methods = ("__call__", "adjoint", "pinv", "project")
    return SimpleNamespace(
        operator=operator,
        shape=operator.shape,
        output_shape=operator.output_shape,
        singular_values=np.asarray(svd.singular_values),
        **{method.strip("_"): jax.jit(getattr(operator, method)) for method in methods},
        **{method: jax.jit(getattr(svd, method)) for method in ("vt", "v", "ut", "u")},
    )


@pytest.fixture(params=OPERATORS)
def case(request):
    return compiled(request.param)


@pytest.fixture(params=ONE_OF_EACH)
def operator(request):
    return OPERATORS[request.param]()


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def inputs(case):
    return normal(0, BATCH, *case.shape), normal(1, BATCH, *case.output_shape)


def dense(operator):
    """The matrix of A, column by column."""
    size = math.prod(operator.shape)
    columns = operator(np.eye(size, dtype=np.float32).reshape(size, *operator.shape))
    return np.asarray(columns, np.float64).reshape(size, -1).T


def assert_close(found, expected, *, scale=None, relative=RELATIVE):
    """Largest error of a batch, as a fraction of the size of the expected batch (or of `scale`)."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    size = np.linalg.norm(expected if scale is None else scale)
    assert np.linalg.norm(found - expected) <= relative * size


def assert_same_product(left, right, scale_a, scale_b):
    """Two inner products agree up to rounding of their factors."""
    error = abs(np.vdot(*left) - np.vdot(*right))
    assert error <= RELATIVE * np.linalg.norm(scale_a) * np.linalg.norm(scale_b)


def test_shapes_and_dtypes(case):
    x, y = inputs(case)
    assert case.call(x).shape == y.shape
    for back in (case.adjoint(y), case.pinv(y), case.project(x, y)):
        assert back.shape == x.shape
        assert back.dtype == jnp.float32


def test_adjoint_is_the_transpose(case):
    x, y = inputs(case)
    ax = case.call(x)
    assert_same_product((ax, y), (x, case.adjoint(y)), ax, y)


def test_pinv_satisfies_the_four_conditions_of_penrose(case):
    x, y = inputs(case)
    ax, py = case.call(x), case.pinv(y)
    assert_close(case.call(case.pinv(ax)), ax)
    assert_close(case.pinv(case.call(py)), py)
    # Both products are symmetric.
    x2, y2 = normal(2, *x.shape), normal(3, *y.shape)
    assert_same_product((case.pinv(ax), x2), (x, case.pinv(case.call(x2))), x, x2)
    assert_same_product((case.call(py), y2), (y, case.call(case.pinv(y2))), y, y2)


def test_project_reaches_y_and_keeps_the_null_space(case):
    x, _ = inputs(case)
    y = case.call(normal(4, *x.shape))
    projected = case.project(x, y)
    assert_close(case.call(projected), y)
    correction = projected - x
    null = x - case.pinv(case.call(x))
    assert abs(np.vdot(correction, null)) <= RELATIVE * np.linalg.norm(x) ** 2
    # Nearest: the correction is all range of Aᵀ, which A† A does not change.
    assert_close(case.pinv(case.call(correction)), correction, scale=x)


def test_project_leaves_consistent_images_unchanged(case):
    x, _ = inputs(case)
    assert_close(case.project(x, case.call(x)), x)


@pytest.mark.thorough
def test_svd_pairs_coefficients(case):
    x, y = inputs(case)
    r = min(math.prod(case.shape), math.prod(case.output_shape))
    assert case.singular_values.shape == (r,)
    vx, uax, uy = (np.asarray(c) for c in (case.vt(x), case.ut(case.call(x)), case.ut(y)))
    assert vx.shape == (BATCH, math.prod(case.shape))
    assert uax.shape == (BATCH, math.prod(case.output_shape))
    scaled = case.singular_values[None] * vx[:, :r]
    assert_close(uax[:, :r], scaled, scale=x)
    assert_close(uax[:, r:], np.zeros_like(uax[:, r:]), scale=x)
    rebuilt = np.zeros_like(uax)
    rebuilt[:, :r] = scaled
    assert_close(case.u(rebuilt), case.call(x), scale=x)
    adjoint = np.zeros_like(vx)
    adjoint[:, :r] = case.singular_values[None] * uy[:, :r]
    assert_close(case.v(adjoint), case.adjoint(y), scale=y)


def test_svd_bases_are_orthonormal(case):
    x, y = inputs(case)
    for forward, inverse, images in ((case.vt, case.v, x), (case.ut, case.u, y)):
        coefficients = np.asarray(forward(images))
        assert_close(inverse(coefficients), images)
        assert_close(np.linalg.norm(coefficients, axis=1), np.linalg.norm(images.reshape(BATCH, -1), axis=1))
        noise = normal(5, *coefficients.shape)
        assert_close(forward(inverse(noise)), noise)
        assert_same_product((inverse(noise), images), (noise, coefficients), noise, images)


def test_null_columns_of_v_are_in_the_null_space(case):
    coefficients = normal(6, BATCH, math.prod(case.shape))
    coefficients[:, : len(case.singular_values)] *= case.singular_values == 0
    image = case.v(coefficients)
    assert_close(case.call(image), np.zeros((BATCH, *case.output_shape)), scale=coefficients)


def test_singular_values_are_descending_and_exact_zeros_where_the_rank_ends(case):
    values = case.singular_values
    assert (np.diff(values) <= 0).all()
    assert (values >= 0).all()
    positive = values[values > 0]
    assert positive.size == 0 or positive[-1] > 1e-6 * positive[0]


@pytest.mark.parametrize("name", TINY)
def test_everything_equals_the_dense_matrix(name):
    case = compiled(name)
    x, y = inputs(case)
    matrix = dense(case.operator)
    flat_x, flat_y = x.reshape(BATCH, -1), y.reshape(BATCH, -1)
    assert_close(np.asarray(case.call(x)).reshape(BATCH, -1), flat_x @ matrix.T)
    assert_close(np.asarray(case.adjoint(y)).reshape(BATCH, -1), flat_y @ matrix)
    inverse = np.linalg.pinv(matrix, rcond=CUTOFF)
    assert_close(np.asarray(case.pinv(y)).reshape(BATCH, -1), flat_y @ inverse.T)
    expected = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(case.singular_values, expected, atol=RELATIVE * max(expected.max(), 1))


@pytest.mark.thorough
def test_jit_equals_eager_closed_over_and_passed(operator):
    x, y = inputs(operator)

    def everything(a, x, y):
        svd = a.svd()
        uy = svd.ut(y)
        return a(x), a.adjoint(y), a.pinv(y), a.project(x, y), svd.singular_values, uy, svd.u(uy), svd.vt(x)

    eager = everything(operator, x, y)
    passed = jax.jit(everything)(operator, x, y)
    closed = jax.jit(lambda x, y: everything(operator, x, y))(x, y)
    for a, b, c in zip(eager, passed, closed, strict=True):
        assert_close(b, a)
        assert_close(c, a)
    np.testing.assert_array_equal(operator.project(x, operator(x)), x)


def test_jax_transposes_agree(operator):
    x, y = inputs(operator)
    (transposed,) = jax.jit(lambda y: jax.linear_transpose(operator, x)(y))(y)
    (pulled,) = jax.jit(lambda x, y: jax.vjp(operator, x)[1](y))(x, y)
    assert_close(operator.adjoint(y), transposed)
    assert_close(operator.adjoint(y), pulled)
    assert operator(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.bfloat16


def test_vmap_and_pytree_round_trip(operator):
    x, _ = inputs(operator)
    assert_close(jax.vmap(operator)(np.stack([x, 2 * x]))[1], operator(2 * x))
    leaves, structure = jax.tree.flatten(operator)
    rebuilt = jax.tree.unflatten(structure, leaves)
    assert type(rebuilt) is type(operator)
    assert rebuilt.shape == operator.shape
    np.testing.assert_array_equal(rebuilt(x), operator(x))
    assert all(leaf.dtype in (np.float32, np.complex64, np.bool_, np.int32) for leaf in leaves)
    # JAX fills pytrees with placeholders; rebuilding must not run the constructor's checks.
    assert type(jax.tree.map(lambda leaf: None, operator)) is type(operator)


def test_operators_are_frozen(operator):
    with pytest.raises(dataclasses.FrozenInstanceError):
        operator.extra = 1


def test_one_compiled_function_serves_operators_of_one_shape():
    traces = []

    @jax.jit
    def apply(operator, x):
        traces.append(1)
        return operator(x)

    x = normal(0, 1, 6, 6, 3)
    for seed in range(3):
        kernel = random_kernel(3, 3, seed)
        assert_close(apply(Blur((6, 6, 3), kernel), x), Blur((6, 6, 3), kernel)(x))
    assert len(traces) == 1


def test_ill_conditioned_blur_still_reproduces_its_measurements():
    # Condition number far beyond float32: most frequencies are cut, what is left is consistent.
    operator = Blur((32, 30, 1), gaussian_kernel(2.0))
    values = np.asarray(operator.singular_grid)
    assert values.min() < 1e-6 * values.max()
    x = np.random.default_rng(0).random((2, 32, 30, 1), np.float32)
    y = operator(x)
    assert_close(operator(operator.pinv(y)), y)
    assert_close(operator(operator.project(np.full_like(x, 0.5), y)), y)
    assert np.isfinite(np.asarray(operator.pinv(normal(1, *y.shape)))).all()
