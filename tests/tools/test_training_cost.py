"""What the tool counts: closed forms, XLA's own count, and that every config at the papers' scale has a row."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxpr.core import experiments_folder, load_python
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.numerics import conv

tool = load_python("tool", Path(__file__).parents[2] / "tools" / "training_cost.py", module="jaxpr_tools")
X, KERNEL, MATRIX = jnp.zeros((2, 8, 6, 3)), jnp.zeros((3, 3, 3, 5)), jnp.zeros((4, 7))
CONVOLUTION = 2 * (2 * 8 * 6 * 5) * (3 * 3 * 3)


def convolved(x):
    return conv(x, KERNEL, padding="SAME")


def repeated(x):
    return jax.lax.scan(lambda total, _: (total + convolved(x).sum(), None), 0.0, length=3)[0]


def chosen(x):
    return jax.lax.cond(x.sum() > 0, lambda x: convolved(x).sum(), lambda x: x.sum(), x)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: MATRIX.T @ MATRIX, 2 * 7 * 7 * 4),
        (convolved, CONVOLUTION),
        (jax.jit(convolved), CONVOLUTION),
        (repeated, 3 * CONVOLUTION),
        (chosen, CONVOLUTION / 4),
        (jax.checkpoint(convolved), CONVOLUTION),
        (lambda x: jax.vmap(lambda one: conv(one[None], KERNEL, padding="SAME"))(x), CONVOLUTION),
    ],
    ids=["product", "convolution", "jit", "scan", "cond", "checkpoint", "vmap"],
)
def test_operations_are_counted(fn, expected):
    assert tool.operations(jax.make_jaxpr(fn)(X).jaxpr, often=0.25) == expected


def test_count_of_a_gradient_is_near_that_of_xla():
    """XLA counts sums and activations, too, which are few, and leaves out products with the zeros around images."""
    model = rrdbnet(RRDBNetConfig(num_feat=16, num_block=1, num_grow_ch=8))
    x = jnp.zeros((2, 16, 16, 3))
    params = jax.eval_shape(model.init, jax.random.key(0))
    fn = jax.grad(lambda params, x: model.apply(params, x).sum())
    counted = tool.operations(jax.make_jaxpr(fn)(params, x).jaxpr)
    assert counted == pytest.approx(jax.jit(fn).lower(params, x).cost_analysis()["flops"], rel=0.1)


def test_readme_has_a_row_for_each_config():
    text = tool.README.read_text(encoding="utf-8")
    rows = text[text.index(tool.BEGIN) : text.index(tool.END)]
    configs = sorted(path.stem for path in (experiments_folder() / "configs").glob("*.py"))
    assert set(configs) - set(tool.CONFIGS) == {"classifiers"}, "which is the same at all scales"
    assert [config for config in configs if f"| `{config}` |" in rows] == sorted(tool.CONFIGS)
