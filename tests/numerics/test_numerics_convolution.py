"""Convolutions in the fast layout: JAX's own values in every derivative and transformation, swapped everywhere."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.numerics.convolution import canonical_convolutions, canonical_p, conv

FLOAT32 = 2e-6  # relative to the largest entry: sums of up to 1000 float32 terms in another order
LAYOUTS = ("NHWC", "HWIO", "NHWC")
CASES = {
    "plain": {},
    "valid": {"padding": "VALID"},
    "strided": {"strides": (2, 1)},
    "uneven": {"padding": ((0, 2), (1, 3)), "strides": (2, 3)},
    "dilated": {"kernel_dilation": (1, 2)},
    "transposed": {"input_dilation": (2, 2), "padding": ((1, 2), (2, 1))},
    "grouped": {"feature_group_count": 2},
    "depthwise": {"feature_group_count": 6, "strides": (2, 2)},
}


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def operands(options):
    return normal(0, 2, 9, 8, 6), normal(1, 3, 4, 6 // options.get("feature_group_count", 1), 12)


def plain(x, kernel, *, padding="SAME", strides=(1, 1), input_dilation=(1, 1), kernel_dilation=(1, 1), **options):
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, input_dilation, kernel_dilation, dimension_numbers=LAYOUTS, **options
    )


def assert_close(found, expected) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=FLOAT32 * max(1e-30, float(np.abs(b).max())))


def in_scan(fn):
    """`fn` inside a scan of one step: where the layouts are not brought into order by XLA."""
    return jax.jit(lambda *args: jax.lax.scan(lambda _, a: (None, fn(*a)), None, jax.tree.map(lambda z: z[None], args)))


TRANSFORMS = {
    "value": lambda f, x, k: in_scan(f)(x, k),
    "gradient": lambda f, x, k: in_scan(jax.grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), (0, 1)))(x, k),
    "eager gradient": lambda f, x, k: jax.grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), (0, 1))(x, k),
    "forward": lambda f, x, k: in_scan(lambda x, k: jax.jvp(f, (x, k), (k.sum() * x, k + 1)))(x, k),
    "second": lambda f, x, k: in_scan(
        lambda x, k: jax.jvp(jax.grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), (0, 1)), (x, k), (x + 1, k * k))
    )(x, k),
    "transpose": lambda f, x, k: jax.linear_transpose(lambda x: f(x, k), x)(jnp.cos(f(x, k))),
    "vmap x": lambda f, x, k: in_scan(jax.vmap(f, (0, None)))(jnp.stack([x, 2 - x]), k),
    "vmap kernel": lambda f, x, k: in_scan(jax.vmap(f, (None, 0)))(x, jnp.stack([k, 2 - k])),
    "vmap both": lambda f, x, k: in_scan(jax.vmap(f, (1, 0), 1))(jnp.stack([x, 2 - x], 1), jnp.stack([k, 2 - k])),
    "vmap gradient": lambda f, x, k: in_scan(jax.vmap(jax.grad(lambda x, k: jnp.sum(f(x, k) ** 2)), (0, None)))(
        jnp.stack([x, 2 - x]), k
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", CASES)
def test_every_transformation_gives_what_plain_convolutions_give(case, transform):
    options = CASES[case]
    x, kernel = operands(options)
    apply = TRANSFORMS[transform]
    found = apply(lambda x, k: conv(x, k, **({"padding": "SAME"} | options)), x, kernel)
    assert_close(found, apply(lambda x, k: plain(x, k, **options), x, kernel))


def test_transposed_convolution_is_the_adjoint():
    x, kernel = operands({})
    y = normal(3, 2, 9, 8, 12)
    (back,) = jax.linear_transpose(lambda x: conv(x, kernel, padding="SAME"), x)(y)
    np.testing.assert_allclose(jnp.vdot(conv(x, kernel, padding="SAME"), y), jnp.vdot(x, back), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(dtype):
    x, kernel = (a.astype(dtype) for a in operands({}))
    assert conv(x, kernel, padding="SAME").dtype == dtype
    assert jax.grad(lambda x: conv(x, kernel, padding="SAME").sum())(x).dtype == dtype


@pytest.mark.parametrize("spec", [("NCHW", "OIHW", "NCHW"), ("CHWN", "IHWO", "HWNC"), ("NHWC", "OHWI", "NCHW")])
def test_any_layout_and_one_or_three_axes(spec):
    def network(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 2), "SAME", dimension_numbers=spec)

    shapes = {"N": 2, "C": 6, "O": 5, "I": 6, "H": 7, "W": 8}
    x = normal(0, *(shapes[letter] for letter in spec[0]))
    kernel = normal(1, *({**shapes, "H": 3, "W": 3}[letter] for letter in spec[1]))
    assert_close(in_scan(canonical_convolutions(network))(x, kernel), in_scan(network)(x, kernel))
    for layout, x, kernel in (
        (("NWC", "WIO", "NWC"), normal(0, 2, 9, 3), normal(1, 3, 3, 4)),
        (("NDHWC", "DHWIO", "NDHWC"), normal(0, 2, 4, 5, 6, 3), normal(1, 3, 3, 3, 3, 4)),
    ):
        strides = (1,) * (x.ndim - 2)
        fn = jax.grad(
            lambda x, k, s=strides, d=layout: jnp.sum(
                jnp.sin(jax.lax.conv_general_dilated(x, k, s, "SAME", dimension_numbers=d))
            ),
            (0, 1),
        )
        assert_close(in_scan(canonical_convolutions(fn))(x, kernel), in_scan(fn)(x, kernel))


def primitives(program) -> list[str]:
    """Names of the convolutions in a program, also in those that it holds."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name in (canonical_p.name, "conv_general_dilated"):
            found.append(equation.primitive.name)
        for value in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += primitives(inner)
    return found


@jax.custom_jvp
def smooth(x):
    return plain(x, operands({})[1][..., :6])


smooth.defjvp(lambda primals, tangents: (smooth(*primals), 3 * tangents[0]))


@jax.custom_vjp
def straight(x):
    return plain(x, operands({})[1][..., :6])


straight.defvjp(lambda x: (straight(x), None), lambda _, g: (plain(g, operands({})[1][..., :6]),))


def layer(x):
    return plain(x, operands({})[1][..., :6])


NESTED = {
    "jit": jax.jit(layer),
    "remat": jax.checkpoint(layer),
    "scan": lambda x: jax.lax.scan(lambda c, _: (jnp.sin(layer(c)), None), x, length=2)[0],
    "while": lambda x: jax.lax.while_loop(lambda c: c[1] < 2, lambda c: (jnp.sin(layer(c[0])), c[1] + 1), (x, 0))[0],
    "cond": lambda x: jax.lax.cond(x[0, 0, 0, 0] > 0, layer, lambda x: -layer(x), x),
    "map": lambda x: jax.lax.map(lambda one: layer(one[None])[0], x),
    "custom_jvp": smooth,
    "custom_vjp": straight,
}


@pytest.mark.parametrize("name", NESTED)
def test_convolutions_are_swapped_wherever_they_are_and_values_stay(name):
    x = operands({})[0]
    fn = canonical_convolutions(NESTED[name])
    names = primitives(jax.make_jaxpr(fn)(x).jaxpr)
    assert names
    assert set(names) == {canonical_p.name}
    assert_close(jax.jit(fn)(x), NESTED[name](x))
    assert_close(fn(x), NESTED[name](x))


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in NESTED if name != "while"])
def test_gradients_are_swapped_and_custom_rules_stay(name):
    x = operands({})[0]
    gradient = jax.grad(lambda x: jnp.sum(jnp.cos(NESTED[name](x))))
    assert set(primitives(jax.make_jaxpr(canonical_convolutions(gradient))(x).jaxpr)) == {canonical_p.name}
    assert_close(in_scan(canonical_convolutions(gradient))(x), in_scan(gradient)(x))
    inner = jax.grad(lambda x: jnp.sum(jnp.cos(canonical_convolutions(NESTED[name])(x))))
    assert_close(in_scan(inner)(x), in_scan(gradient)(x))


def test_functions_of_trees_and_closures_over_tracers():
    x, kernel = operands({})

    @jax.jit
    def outer(kernel, scale):
        fn = canonical_convolutions(lambda args: {"out": plain(args["x"], kernel) * scale, "n": args["n"]})
        return fn({"x": x, "n": 3})

    found = outer(kernel, 2.0)
    assert_close(found["out"], 2 * plain(x, kernel))
    assert found["n"] == 3


def test_a_function_without_convolutions_is_left_alone():
    x = normal(0, 3)
    assert str(jax.make_jaxpr(canonical_convolutions(jnp.sin))(x)) == str(jax.make_jaxpr(jnp.sin)(x))


def test_on_other_platforms_nothing_changes():
    # Lowered for CUDA without having it: the canonical primitive gives the very same program as JAX's.
    x, kernel = operands({})

    def program(fn):
        gradient = jax.jit(jax.grad(lambda x, k: jnp.sum(jnp.sin(fn(x, k))), (0, 1)))
        return gradient.trace(x, kernel).lower(lowering_platforms=("cuda",)).as_text().count("stablehlo.transpose")

    assert program(lambda x, k: conv(x, k, padding="SAME")) == program(plain) == 0


def test_gradients_in_a_scan_have_the_layout_that_is_fast():
    """The reason for all this: any other layout inside a loop runs about 16 times slower on XLA:CPU."""
    x, kernel = normal(0, 2, 8, 8, 4), normal(1, 3, 3, 4, 4) / 6

    def network(x):
        for _ in range(2):
            x = jnp.tanh(plain(x, kernel))
        return jnp.sum(x)

    def layouts(gradient):
        four = jax.jit(lambda x: jax.lax.scan(lambda c, _: (gradient(c), None), x, length=4)[0])
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", four.lower(x).compile().as_text()))

    assert layouts(canonical_convolutions(jax.grad(network))) == {"b01f_01io->b01f"}
    assert layouts(jax.grad(network)) != {"b01f_01io->b01f"}  # or nothing of this is needed any more


@pytest.mark.parametrize(
    ("x", "kernel", "options", "message"),
    [
        (normal(0, 4, 4, 3), normal(0, 3, 3, 3, 2), {}, "x and kernel: found shapes"),
        (normal(0, 1, 4, 4, 3), normal(0, 3, 3, 2), {}, "x and kernel: found shapes"),
        (normal(0, 1, 4, 4, 3), normal(0, 3, 3, 2, 2), {}, "kernel: found 2 input channels in 1 groups"),
        (normal(0, 1, 4, 4, 4), normal(0, 3, 3, 4, 2), {"feature_group_count": 2}, "kernel: found 4 input channels"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(x, kernel, options, message):
    with pytest.raises(InputError, match=message):
        conv(x, kernel, padding="SAME", **options)
