r"""Exact transport without the matrix of costs: price, solve on few pairs, search all pairs for a better one, repeat.

Pairs that can carry mass have small reduced cost under good potentials, so an auction finds potentials, the pairs of
least reduced cost of every row and column make a sparse graph, and the problem on that graph is solved exactly. Then
a search through all pairs, pruned by boxes, finds for every row the least reduced cost: either none is below that
of the plan, which proves the plan optimal, or the pairs found join the graph.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxpr.transport.auction import bid
from jaxpr.transport.augment import augment_flow, reduce_rows
from jaxpr.transport.inputs import Cost
from jaxpr.transport.ship import ship
from jaxpr.transport.tree import CODES, Tree, build_tree, cheapest_for_all, refresh

__all__ = ["Flow", "pair_costs", "reduced_costs", "solve_assignment", "solve_flow"]

# ε of the first phase of the auction as a share of the points' extent, of the last one as a share of their spacing, and
# the factor between phases.
_FIRST, _LAST, _FACTOR = 0.1, 0.03, 5.0
# Pairs of least reduced cost that each row and each column contributes to the graph, and how many a round adds.
_NEIGHBOURS, _ADDED = 10, 6
# Steps of the row reduction, per row.
_REDUCTIONS = 10
# Reduced costs above minus this are rounding; coordinates are at most one.
_TOLERANCE = 2e-14
# Masses below this share of the whole are rounding.
_EPSILON = 1e-15
# Threads of the search through all pairs, and the fewest points for which they are worth it.
_THREADS, _MANY = min(4, os.cpu_count() or 1), 2000


class Flow(NamedTuple):
    """An optimal plan between points of positive mass: its pairs, their masses, and feasible potentials."""

    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray
    potential_x: np.ndarray
    potential_y: np.ndarray


def pair_costs(x: np.ndarray, y: np.ndarray, cost: Cost) -> np.ndarray:
    """Costs of corresponding points (n, d), shape (n,)."""
    difference = x - y
    if cost == "l1":
        return np.abs(difference).sum(axis=1)
    squared = np.square(difference).sum(axis=1)
    return np.sqrt(squared) if cost == "l2" else squared


def reduced_costs(
    points: np.ndarray,
    tree: Tree,
    potential: np.ndarray,
    cost: Cost,
    count: int,
    *,
    limits: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """For every point the `count` tree points of least reduced cost, up to its limit: values and places, (n, count).

    Potentials and places are in the tree's order. Where there are fewer, values are infinite and places -1.
    """
    values, places = np.empty((len(points), count)), np.empty((len(points), count), np.int64)
    limits = np.full(len(points), np.inf) if limits is None else limits
    largest = np.empty((len(tree.start), len(tree.directions)))
    refresh(tree, potential, largest)

    def search(begin: int, end: int) -> None:
        cheapest_for_all(points, begin, end, tree, potential, largest, CODES[cost], limits, values, places)

    if len(points) < _MANY:
        search(0, len(points))
        return values, places
    search(0, 1)  # compiles before the threads start
    edges = np.linspace(0, len(points), 8 * _THREADS + 1).astype(int).tolist()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(search, edges[:-1], edges[1:]))
    return values, places


def solve_assignment(x: np.ndarray, y: np.ndarray, cost: Cost) -> Flow:
    """The optimal assignment of n points to n points; masses are 1/n."""
    count = len(x)
    rows, columns = build_tree(x, cost), build_tree(y, cost)
    v, match = _auction(rows, columns, cost)
    u, keys = _graph(rows, columns, v, cost, np.arange(count), match)
    owner, waiting = np.full(count, -1), np.arange(count)[::-1].copy()
    match = np.full(count, -1)
    free = count
    while True:
        arcs, ends = np.divmod(keys, count)
        start = np.searchsorted(arcs, np.arange(count + 1))
        costs = pair_costs(rows.points[arcs], columns.points[ends], cost)
        free = reduce_rows(start, ends, costs, u, v, match, owner, waiting, free, _REDUCTIONS * count)
        augment_flow(start, ends, costs, u, v, match, owner, waiting[:free].copy())
        reduced = pair_costs(rows.points, columns.points[match], cost) - v[match]
        values, places = reduced_costs(rows.points, columns, v, cost, _ADDED, limits=reduced - _TOLERANCE)
        keys, found = _with_better(keys, values, places, reduced, count)
        if not found:
            break
        worse = np.flatnonzero(values[:, 0] < reduced - _TOLERANCE)
        u, free = reduced.copy(), len(worse)
        owner[match[worse]] = -1
        match[worse] = -1
        waiting[:free] = worse
    return Flow(
        rows.order,
        columns.order[match],
        np.full(count, 1 / count),
        _unsorted(rows, np.minimum(values[:, 0], reduced)),
        _unsorted(columns, v),
    )


def solve_flow(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, cost: Cost) -> Flow:
    """The optimal plan between weighted points; weights are positive."""
    rows, columns = build_tree(x, cost), build_tree(y, cost)
    a, b = a[rows.order], b[columns.order]
    # The auction on equally many copies of the points, in proportion to their masses, gives the first potentials.
    copies = max(len(a), len(b))
    steps = (np.arange(copies) + 0.5) / copies
    picked_x, picked_y = (np.searchsorted(np.cumsum(w[:-1]), steps * w.sum()) for w in (a, b))
    trees = build_tree(rows.points[picked_x], cost), build_tree(columns.points[picked_y], cost)
    v, match = _auction(*trees, cost)
    u = reduced_costs(rows.points, trees[1], v, cost, 1)[0][:, 0]
    v = reduced_costs(columns.points, rows, u, cost, 1)[0][:, 0]
    pairs = [(picked_x[trees[0].order], picked_y[trees[1].order[match]]), _corner(a, b)]
    u, keys = _graph(rows, columns, v, cost, *(np.concatenate(side) for side in zip(*pairs, strict=True)))
    mass, supply, demand = np.zeros(len(keys)), a.copy(), b.copy()
    while True:
        tails, ends = np.divmod(keys, len(b))
        start, arcs_in = np.searchsorted(tails, np.arange(len(a) + 1)), np.argsort(ends, kind="stable")
        into = np.searchsorted(ends[arcs_in], np.arange(len(b) + 1))
        costs = pair_costs(rows.points[tails], columns.points[ends], cost)
        ship(start, tails, ends, costs, into, arcs_in, mass, u, v, supply, demand, _EPSILON * a.sum())
        values, places = reduced_costs(rows.points, columns, v, cost, _ADDED, limits=u - _TOLERANCE)
        joined, found = _with_better(keys, values, places, u, len(b))
        if not found:
            break
        worse = values[:, 0] < u - _TOLERANCE
        u = np.where(worse, values[:, 0], u)
        back = worse[tails] & (mass > 0)  # what these rows sent is sent anew
        np.add.at(supply, tails[back], mass[back])
        np.add.at(demand, ends[back], mass[back])
        mass[back] = 0
        mass, previous = np.zeros(len(joined)), mass
        mass[np.searchsorted(joined, keys)] = previous
        keys = joined
    used = mass > 0
    return Flow(
        rows.order[tails[used]],
        columns.order[ends[used]],
        mass[used],
        _unsorted(rows, np.minimum(values[:, 0], u)),
        _unsorted(columns, v),
    )


def _auction(rows: Tree, columns: Tree, cost: Cost) -> tuple[np.ndarray, np.ndarray]:
    """Potentials of the columns and a nearly optimal matching, by phases with falling ε."""
    count, dim = rows.points.shape
    v, match, owner, waiting = np.zeros(count), *(np.empty(count, np.int64) for _ in range(3))
    guess = np.full((count, 2), -1)
    largest = np.empty((len(columns.start), len(columns.directions)))
    refresh(columns, v, largest)
    extent = max(float((tree.high[0] - tree.low[0]).max()) for tree in (rows, columns))
    spacing = _LAST * extent * count ** (-1 / dim)
    epsilon = max(_FIRST * extent * (extent if cost == "squared_l2" else 1), _TOLERANCE)
    while True:
        bid(rows.points, columns, v, largest, CODES[cost], epsilon, match, owner, guess, waiting)
        last = spacing
        if cost == "squared_l2":  # the slope of the cost at the distances of the matching
            last *= 2 * np.sqrt(pair_costs(rows.points, columns.points[match], cost).mean()) + spacing
        last = max(last, _TOLERANCE)
        if epsilon <= last:
            return v, match
        epsilon = max(epsilon / _FACTOR, last)


def _graph(
    rows: Tree, columns: Tree, v: np.ndarray, cost: Cost, extra_rows: np.ndarray, extra_columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least reduced costs of the rows, and the keys (row times number of columns plus column) of the first graph."""
    n, m = len(rows.points), len(columns.points)
    values, places = reduced_costs(rows.points, columns, v, cost, min(_NEIGHBOURS, m))
    u = values[:, 0].copy()
    _, origins = reduced_costs(columns.points, rows, u, cost, min(_NEIGHBOURS, n))
    keys = [np.arange(n)[:, None] * m + places, origins * m + np.arange(m)[:, None], extra_rows * m + extra_columns]
    return u, np.unique(np.concatenate([part.ravel() for part in keys]))


def _with_better(
    keys: np.ndarray, values: np.ndarray, places: np.ndarray, reduced: np.ndarray, count: int
) -> tuple[np.ndarray, bool]:
    """The keys, joined by the pairs whose reduced cost is below their row's, and whether any was new."""
    rows, k = np.nonzero((values < reduced[:, None] - _TOLERANCE) & (places >= 0))
    new = np.unique(rows * count + places[rows, k])
    if len(new) > 0:
        new = new[keys[np.minimum(np.searchsorted(keys, new), len(keys) - 1)] != new]
    return np.sort(np.concatenate([keys, new]), kind="stable"), len(new) > 0  # a merge of two sorted runs


def _corner(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of the plan that matches masses in order, which make every graph feasible."""
    stops = np.unique(np.concatenate([np.cumsum(a), np.cumsum(b)]))
    middles = (np.concatenate([[0.0], stops[:-1]]) + stops) / 2
    rows, columns = (np.minimum(np.searchsorted(np.cumsum(w), middles), len(w) - 1) for w in (a, b))
    return rows, columns


def _unsorted(tree: Tree, values: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    out[tree.order] = values
    return out
