r"""Exact earth mover's distance between weighted points, with a certificate.

$\min_\pi \sum_{ij} \pi_{ij} c(x_i, y_j)$ over plans π with the given marginals, Eq. (1) of [adrai2023] for the squared
Euclidean cost. The certificate is linear-programming duality: potentials with $u_i + v_j \le c(x_i, y_j)$ for all pairs
bound the optimum from below by $\sum_i a_i u_i + \sum_j b_j v_j$; the gap is what lies between that bound and the
cost of the plan. Host code in float64; nothing here runs under a JAX transformation.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from jaxpr.core import ArrayLike, InputError, described, is_traced
from jaxpr.transport.inputs import Cost, check_cost, check_pair, optional, weight_pair
from jaxpr.transport.merging import Places, merge_points, split_mass
from jaxpr.transport.sparse import Flow, pair_costs, reduced_costs, solve_assignment, solve_flow
from jaxpr.transport.tree import build_tree

__all__ = ["Transport", "cost_matrix", "emd"]

# Up to this many pairs the matrix of all costs is the faster way.
_DENSE_PAIRS = 500_000
# Pivots after which POT's network simplex gives up; it needs a few for each point.
_PIVOTS = 100_000_000


class Transport(NamedTuple):
    """An optimal plan and the proof that it is optimal.

    Attributes:
        value: the plan's cost, in units of the cost times the weights' sum.
        gap: value minus the lower bound that the potentials prove for every plan; at most rounding for an exact result.
        rows: (K,) indices into x of the pairs that exchange mass.
        columns: (K,) indices into y.
        mass: (K,) positive masses; sums over equal rows or columns are the weights.
        potential_x: (n,) dual potentials u with u_i + v_j <= c(x_i, y_j) up to rounding.
        potential_y: (m,) dual potentials v.
    """

    value: float
    gap: float
    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray
    potential_x: np.ndarray
    potential_y: np.ndarray


def emd(
    x: ArrayLike,
    y: ArrayLike,
    *,
    cost: Cost,
    weights_x: ArrayLike | None = None,
    weights_y: ArrayLike | None = None,
    method: Literal["auto", "dense", "sparse"] = "auto",
) -> Transport:
    """The exact earth mover's distance between two sets of weighted points.

    "dense" holds all costs and runs the network simplex of POT: O(nm) memory. "sparse" never forms the matrix of
    costs: it prices few pairs, solves, and searches all pairs for one that would improve the plan, until there is
    none. "auto" picks by size. Both are exact; `gap` says how exact. With "squared_l2" the value is the square of the
    Wasserstein-2 distance.

    Args:
        x: (n, d) points, finite floats. Not traced.
        y: (m, d) points.
        cost: "l1", "l2" or "squared_l2".
        weights_x: (n,) non-negative; None: equal weights, which sum to one if both are None.
        weights_y: (m,); must sum to the sum of `weights_x`, up to rounding, which is removed by rescaling.
        method: "auto", "dense" or "sparse".

    Returns:
        `Transport`, whose `value` is the distance.

    Raises:
        InputError: shapes, values, cost or method are wrong, sums of weights differ, costs exceed the largest float64,
            the call is traced, or the extra `transport` (numba, POT, ott-jax) is not installed.
        FloatingPointError: the solver stopped before the optimum.
    """
    if is_traced(x, y, weights_x, weights_y):
        raise InputError("x: found a traced array, expected concrete ones; inside jit or grad use sinkhorn_divergence")
    check_pair(x, y)
    check_cost(cost)
    if not isinstance(method, str) or method not in ("auto", "dense", "sparse"):
        raise InputError(f"method: found {described(method)}, expected 'auto', 'dense' or 'sparse'")
    x, y = (np.ascontiguousarray(points, np.float64) for points in (x, y))
    weights_x, weights_y = weight_pair(weights_x, weights_y, len(x), len(y))
    a = np.full(len(x), 1 / len(x)) if weights_x is None else np.asarray(weights_x)
    b = np.full(len(y), 1 / len(y)) if weights_y is None else np.asarray(weights_y)
    # Powers of two change no digits; solvers' tolerances expect costs and masses near one.
    shift = _exponent(float(max(np.max(np.abs(x)), np.max(np.abs(y)))))
    mass = _exponent(float(a.sum()))
    x, y, a, b = np.ldexp(x, -shift), np.ldexp(y, -shift), np.ldexp(a, -mass), np.ldexp(b, -mass)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    if method == "dense" or (method == "auto" and len(rows) * len(columns) <= _DENSE_PAIRS):
        found = _dense(x, y, a, b, rows, columns, cost)
    else:
        found = _sparse(x, y, a, b, rows, columns, cost)
    return _rescaled(found, cost=shift * (2 if cost == "squared_l2" else 1), mass=mass)


def _rescaled(found: Transport, *, cost: int, mass: int) -> Transport:
    """The transport with costs and masses times these powers of two."""
    with np.errstate(over="ignore"):
        value, gap = (float(np.ldexp(number, cost + mass)) for number in (found.value, found.gap))
        potentials = [np.ldexp(potential, cost) for potential in (found.potential_x, found.potential_y)]
    if not all(np.isfinite(numbers).all() for numbers in (value, gap, *potentials)):
        raise InputError("x and y: found points whose costs exceed the largest float64, expected smaller coordinates")
    return Transport(value, gap, found.rows, found.columns, np.ldexp(found.mass, mass), *potentials)


def cost_matrix(x: np.ndarray, y: np.ndarray, cost: Cost) -> np.ndarray:
    """All costs (n, m), from differences of coordinates, so that equal points cost exactly zero."""
    total = np.zeros((len(x), len(y)))
    for left, right in zip(x.T, y.T, strict=True):
        difference = left[:, None] - right[None]
        total += np.abs(difference, out=difference) if cost == "l1" else np.square(difference, out=difference)
    return np.sqrt(total, out=total) if cost == "l2" else total


def _dense(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray, cost: Cost
) -> Transport:
    """POT on the points that have mass; potentials of all points by taking minima over the costs."""
    costs = cost_matrix(x, y, cost)
    inner = costs if (len(rows), len(columns)) == costs.shape else costs[np.ix_(rows, columns)]
    plan, log = optional("ot.lp").emd(a[rows], b[columns], inner, numItermax=_PIVOTS, log=True, check_marginals=False)
    if log["warning"] is not None:
        raise FloatingPointError(f"POT's network simplex stopped before the optimum: {log['warning']}")
    starts, ends = np.nonzero(plan)
    mass = plan[starts, ends]
    starts, ends = rows[starts], columns[ends]
    potential_y = np.min(costs[rows] - log["u"][:, None], axis=0)
    potential_x = np.min(costs - potential_y[None], axis=1)
    value = math.fsum(mass * costs[starts, ends])
    bound = math.fsum(a * potential_x) + math.fsum(b * potential_y)
    return Transport(value, value - bound, starts, ends, mass, potential_x, potential_y)


def _sparse(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray, cost: Cost
) -> Transport:
    """The solvers for distinct points with mass, and what they leave out: equal points and points without mass."""
    left, right = merge_points(x[rows], a[rows]), merge_points(y[columns], b[columns])
    flow = _between_places(left, right, cost)
    part, starts, mass = split_mass(flow.rows, flow.mass, left.place, a[rows])
    split, ends, mass = split_mass(flow.columns[part], mass, right.place, b[columns])
    starts, ends = rows[starts[split]], columns[ends]
    potential_x, potential_y = np.empty(len(a)), np.empty(len(b))
    potential_x[rows], potential_y[columns] = flow.potential_x[left.place], flow.potential_y[right.place]
    if len(rows) < len(a):
        potential_x[a == 0] = _least(x[a == 0], y[columns], potential_y[columns], cost)
    if len(columns) < len(b):
        potential_y[b == 0] = _least(y[b == 0], x, potential_x, cost)
    value = math.fsum(mass * pair_costs(x[starts], y[ends], cost))
    bound = math.fsum(a * potential_x) + math.fsum(b * potential_y)
    return Transport(value, value - bound, starts, ends, mass, potential_x, potential_y)


def _between_places(left: Places, right: Places, cost: Cost) -> Flow:
    x, y, a, b = left.points, right.points, left.mass, right.mass
    if min(len(a), len(b)) == 1:  # every plan is this one
        first, second = np.broadcast_arrays(x, y) if len(a) != len(b) else (x, y)
        mass, costs = a if len(b) == 1 else b, pair_costs(first, second, cost)
        indices, zeros = np.arange(len(mass)), np.zeros(len(mass), np.int64)
        if len(b) == 1:
            return Flow(indices, zeros, mass, costs, np.zeros(1))
        return Flow(zeros, indices, mass, np.zeros(1), costs)
    shift = np.zeros(x.shape[1])
    if cost == "squared_l2":  # |x - y|² = |x' - y'|² + 2 (x' - y') · shift + |shift|² with both centred
        centre_x, centre_y = x.mean(axis=0), y.mean(axis=0)
        shift, x, y = centre_x - centre_y, x - centre_x, y - centre_y
    if len(a) == len(b) and np.ptp(a) == 0 and np.ptp(b) == 0:
        flow = solve_assignment(x, y, cost)
        flow = flow._replace(mass=a[flow.rows])
    else:
        flow = solve_flow(x, y, a, b, cost)
    return flow._replace(
        potential_x=flow.potential_x + 2 * x @ shift + shift @ shift, potential_y=flow.potential_y - 2 * y @ shift
    )


def _least(points: np.ndarray, others: np.ndarray, potential: np.ndarray, cost: Cost) -> np.ndarray:
    """The largest potentials that points may have beside those of the others."""
    tree = build_tree(others, cost)
    return reduced_costs(points, tree, potential[tree.order], cost, 1)[0][:, 0]


def _exponent(value: float) -> int:
    """The power of two just above a positive value; 0 for zero."""
    return int(math.frexp(value)[1])
