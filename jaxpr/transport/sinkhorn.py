"""Entropic transport for what must be differentiated, jitted or batched; exact values come from `emd`."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, ArrayLike, check_count, check_positive, lenient_promotion
from jaxpr.numerics.guards import power_of_two, widened
from jaxpr.transport.inputs import Cost, check_cost, check_pair, optional, weight_pair

__all__ = ["SinkhornDivergence", "sinkhorn_divergence"]


# Regularisations, as shares of the mean cost: beyond the first the solver's potentials are lost among the logarithms of
# weights that they hold, and zero is a good start; beyond the second nothing changes any more.
_LARGE, _INFINITE = 100.0, 1e12


class SinkhornDivergence(NamedTuple):
    """A Sinkhorn divergence; `float(result)` is its value.

    Attributes:
        value: scalar, in units of the cost.
        converged: scalar bool; False if in one of the three problems the marginals are off by more than the threshold.
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

    Zero for equal sets; tends to the exact cost as epsilon goes to zero and to a kernel distance as it grows: for
    "squared_l2" to the squared distance of the means. Solved by ott-jax in the log domain, holding matrices of (n, m),
    (n, n) and (m, m) costs, with a last step in which float32 does not cancel. Jits, vmaps and differentiates;
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
    check_positive("epsilon", epsilon, scalar=True)
    check_positive("threshold", threshold, scalar=True)
    check_count("max_iterations", max_iterations)
    given, (x, y) = jnp.result_type(x, y), (widened(x), widened(y))
    dtype = jnp.result_type(x, y)
    x, y, unit = _near_one(x.astype(dtype), y.astype(dtype))
    weights = weight_pair(weights_x, weights_y, len(x), len(y))
    a, b = (
        jnp.full(len(p), 1 / len(p), dtype) if w is None else jnp.asarray(w, dtype)
        for p, w in zip((x, y), weights, strict=True)
    )
    mass = jnp.sum(a)
    a, b = a / mass, b / mass
    value, converged, regularisation = _divergence(
        x, y, a, b, epsilon, cost=cost, threshold=float(threshold), max_iterations=int(max_iterations)
    )
    unit = unit**2 if cost == "squared_l2" else unit
    return SinkhornDivergence((mass * value * unit).astype(given), converged, regularisation * unit)


# Compiled once for each pair of sizes: the solver's loops would be compiled anew by every call.
@functools.partial(jax.jit, static_argnames=("cost", "threshold", "max_iterations"))
def _divergence(
    x: Array, y: Array, a: Array, b: Array, epsilon: ArrayLike, *, cost: Cost, threshold: float, max_iterations: int
) -> tuple[Array, Array, Array]:
    """Value, whether it converged, and the regularisation, of points near one and weights that sum to one."""
    # ott broadcasts ranks and mixes dtypes, which a program may have forbidden its own code, and leaves the width of
    # products open.
    with lenient_promotion(), jax.default_matmul_precision("highest"):
        share = jnp.asarray(epsilon, x.dtype)
        costs = [_costs(*pair, cost) for pair in ((x, y), (x, x), (y, y))]
        mean_cost = jax.lax.stop_gradient(jnp.sum(a[:, None] * costs[0] * b[None]))
        # Equal points everywhere: any positive regularisation gives zero.
        mean_cost = jnp.where(mean_cost > 0, mean_cost, 1)
        starts = _potentials(x, y, a, b, cost, mean_cost * jnp.minimum(share, _LARGE), threshold, max_iterations)
        starts = [jnp.where(share < _LARGE, start, 0) for start in starts]
        regularisation = mean_cost * jnp.minimum(share, _INFINITE)
        sides = ((a, b), (a, a), (b, b))
        values, errors = zip(
            *(_dual(c, *side, s, regularisation) for c, side, s in zip(costs, sides, starts, strict=True)), strict=True
        )
        value = values[0] - (values[1] + values[2]) / 2
        converged = jnp.max(jnp.stack(errors)) <= threshold
    return value, converged, mean_cost * share


def _near_one(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Both sets around the origin and divided by the third result: squares keep their digits and their range."""
    both = jax.lax.stop_gradient(jnp.concatenate([x, y]))
    centre = jnp.mean(both, axis=0, keepdims=True)
    unit = power_of_two(jnp.max(jnp.abs(both - centre)))
    return (x - centre) / unit, (y - centre) / unit, unit


def _costs(x: Array, y: Array, cost: Cost) -> Array:
    return optional("ott.geometry.pointcloud").PointCloud(x, y, cost_fn=_ott_cost(cost)).cost_matrix


def _potentials(
    x: Array, y: Array, a: Array, b: Array, cost: Cost, epsilon: Array, threshold: float, max_iterations: int
) -> list[Array]:
    """The second potential of each of the three problems, as `_dual` has it; without a gradient."""
    x, y, a, b = jax.lax.stop_gradient((x, y, a, b))
    _, out = optional("ott.tools.sinkhorn_divergence").sinkhorn_divergence(
        optional("ott.geometry.pointcloud").PointCloud,
        x,
        y,
        a=a,
        b=b,
        epsilon=epsilon,
        solve_kwargs={"threshold": threshold, "max_iterations": max_iterations},
        cost_fn=_ott_cost(cost),
    )
    found = [pair[1] for pair in out.potentials]
    # ott's potentials hold the logarithms of the weights.
    return [
        jnp.where(weights > 0, potential - epsilon * jnp.log(jnp.where(weights > 0, weights, 1)), 0)
        for potential, weights in zip(found, (b, a, b), strict=True)
    ]


def _dual(costs: Array, a: Array, b: Array, start: Array, epsilon: Array) -> tuple[Array, Array]:
    r"""Entropic cost of one problem and the error of its marginals, after a last step from a second potential.

    $\max_{f,g} \sum_i a_i f_i + \sum_j b_j g_j - \epsilon \sum_{ij} a_i b_j (e^{(f_i + g_j - c_ij)/\epsilon} - 1)$ is
    stationary in both potentials, so they need no gradient and their errors count twice small. All terms are about as
    large as the costs, however large ε is.
    """
    fixed, g = jax.lax.stop_gradient(costs), start
    f = _soft_minimum(fixed, g, b, epsilon)
    # One of Sinkhorn's iterations after the solver's, without its rounding; more change the seventh digit.
    g = _soft_minimum(fixed.T, f, a, epsilon)
    f = _soft_minimum(fixed, g, b, epsilon)
    f, g = jax.lax.stop_gradient((f, g))
    excess = jnp.where(a[:, None] * b[None] > 0, jnp.expm1((f[:, None] + g[None] - costs) / epsilon), 0)
    columns = jnp.sum(a[:, None] * excess, axis=0)
    value = jnp.sum(a * f) + jnp.sum(b * g) - epsilon * jnp.sum(b * columns)
    return value, jnp.sum(b * jnp.abs(columns))


def _soft_minimum(costs: Array, potential: Array, weights: Array, epsilon: Array) -> Array:
    """-ε log of the weighted mean over columns of exp((potential - costs) / ε), for each row; weights sum to one."""
    exponents = jnp.where(weights[None] > 0, (potential[None] - costs) / epsilon, -jnp.inf)
    top = jnp.max(exponents, axis=1)
    less = exponents - top[:, None]
    # Near one the mean's logarithm has digits only if the mean has them beyond one.
    beyond = jnp.sum(weights[None] * jnp.expm1(less), axis=1)
    plain = jnp.log(jnp.sum(weights[None] * jnp.exp(less), axis=1))
    return -epsilon * (top + jnp.where(beyond > -0.5, jnp.log1p(jnp.maximum(beyond, -0.5)), plain))


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
