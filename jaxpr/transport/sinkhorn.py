"""Entropic transport for what must be differentiated, jitted or batched; exact values come from `emd`."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpr._core import Array, ArrayLike, check_count, check_positive, lenient_promotion
from jaxpr.transport.inputs import Cost, check_cost, check_pair, optional, weight_pair

__all__ = ["SinkhornDivergence", "sinkhorn_divergence"]


class SinkhornDivergence(NamedTuple):
    """A Sinkhorn divergence; `float(result)` is its value.

    Attributes:
        value: scalar, in units of the cost.
        converged: scalar bool; False if one of the three problems reached the limit of iterations first.
        epsilon: scalar, the regularisation that was used, in units of the cost.
    """

    value: Array
    converged: Array
    epsilon: Array

    def __float__(self) -> float:
        return float(self.value)


def sinkhorn_divergence(
    x: Array,
    y: Array,
    *,
    epsilon: ArrayLike,
    cost: Cost = "squared_l2",
    weights_x: ArrayLike | None = None,
    weights_y: ArrayLike | None = None,
    threshold: float = 1e-3,
    max_iterations: int = 2000,
) -> SinkhornDivergence:
    r"""Entropic transport cost without its bias: $OT_\epsilon(x, y) - (OT_\epsilon(x, x) + OT_\epsilon(y, y)) / 2$.

    Zero for equal sets; tends to the exact cost as epsilon goes to zero and to a kernel distance as it grows. Solved
    by ott-jax in the log domain, holding matrices of (n, m), (n, n) and (m, m) costs. Jits, vmaps and differentiates;
    gradients are those of the optimum (envelope theorem) at fixed regularisation, so they need a converged result.

    Args:
        x: (n, d) points.
        y: (m, d) points.
        epsilon: regularisation as a share of the mean cost between x and y; 0.05 blurs moderately, below 0.001 float32
            does not converge. Traced.
        cost: "l1", "l2" or "squared_l2", as in `emd`.
        weights_x: (n,) non-negative; None: equal weights.
        weights_y: (m,); the sum of `weights_x`, up to rounding, is checked where values are concrete.
        threshold: largest accepted sum of absolute errors of the marginals, as a share of the mass. Static.
        max_iterations: of each of the three problems. Static.

    Returns:
        `SinkhornDivergence`.

    Raises:
        InputError: shapes, values or options are wrong, or the extra `transport` (numba, POT, ott-jax) is missing.
    """
    check_pair(x, y)
    check_cost(cost)
    check_positive("epsilon", epsilon)
    check_positive("threshold", threshold)
    check_count("max_iterations", max_iterations)
    x, y = jnp.asarray(x), jnp.asarray(y)
    dtype = jnp.result_type(x, y)
    x, y = x.astype(dtype), y.astype(dtype)
    weights = weight_pair(weights_x, weights_y, len(x), len(y))
    a, b = (
        jnp.full(len(p), 1 / len(p), dtype) if w is None else jnp.asarray(w, dtype)
        for p, w in zip((x, y), weights, strict=True)
    )
    mass = jnp.sum(a)
    a, b = a / mass, b / mass
    clouds = optional("ott.geometry.pointcloud").PointCloud
    options: dict[str, Any] = {"cost_fn": _ott_cost(cost)}
    # ott broadcasts ranks and mixes dtypes, which a program may have forbidden its own code, and leaves the width of
    # products open.
    with lenient_promotion(), jax.default_matmul_precision("highest"):
        scale = jax.lax.stop_gradient(jnp.sum(a * clouds(x, y, **options).apply_cost(b, axis=1).ravel()))
        # Equal points everywhere: any positive regularisation gives zero.
        absolute = jnp.asarray(epsilon, dtype) * jnp.where(scale > 0, scale, 1)
        value, out = optional("ott.tools.sinkhorn_divergence").sinkhorn_divergence(
            clouds,
            x,
            y,
            a=a,
            b=b,
            epsilon=absolute,
            solve_kwargs={"threshold": threshold, "max_iterations": max_iterations},
            **options,
        )
    converged = jnp.all(jnp.stack([jnp.asarray(flag) for flag in out.converged]))
    return SinkhornDivergence(mass * value, converged, absolute)


def _ott_cost(cost: Cost) -> Any:
    return optional("ott.geometry.costs").SqEuclidean() if cost == "squared_l2" else _norm_cost(cost)()


@functools.cache
def _norm_cost(cost: Cost) -> Any:
    """The class of a cost whose value is the same under differentiation, and whose gradient at zero distance is zero.

    ott's own norms (0.6.0) give d or √d instead of 0 for the distance of a point to itself when differentiated.
    """

    def distance(self: Any, x: Array, y: Array) -> Array:
        if cost == "l1":
            return jnp.sum(jnp.abs(x - y))
        squared = jnp.sum(jnp.square(x - y))
        return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)

    made = type(f"Cost_{cost}", (optional("ott.geometry.costs").CostFn,), {"__call__": distance})
    return jax.tree_util.register_pytree_node_class(made)
