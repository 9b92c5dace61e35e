r"""A balanced tree of boxes over points, and search for the cheapest points by reduced cost $c(x, y_j) - v_j$.

The tree is complete: node k has children 2k + 1 and 2k + 2, which halve its range of points along its widest side.
Points are stored in the order of the leaves. A node's least cost to its box minus its largest potential bounds all
reduced costs inside from below. A cost that is a norm is also at least its component along any direction of dual norm
one, which gives better bounds where potentials have a slope: with the signs for "l1" they are exact away from the axes.
"""

import itertools
from typing import NamedTuple

import numpy as np

from jaxpr.transport.compiled import CompiledKernel
from jaxpr.transport.inputs import Cost

__all__ = [
    "CODES",
    "ROUNDING",
    "WORK",
    "Tree",
    "build_tree",
    "cheapest",
    "cheapest_for_all",
    "lift",
    "pair_cost",
    "refresh",
]

CODES: dict[Cost, int] = {"l1": 0, "l2": 1, "squared_l2": 2}
"""How kernels name costs."""

DEPTH = 128
"""Entries of the stack of a search: more than one for each level."""

WORK = DEPTH + 32
"""Entries of the workspace of a search: the stack and one for each direction."""

ROUNDING = 4e-15
"""Of reduced costs and their bounds: sums of a few coordinates and potentials, which are of order one."""

_LEAF = 8


class Tree(NamedTuple):
    """Points and boxes.

    Attributes:
        points: (n, d) in the order of the leaves.
        order: (n,) for each of them its index among the points given.
        start: (nodes,) first point of each node.
        stop: (nodes,) one after its last point.
        low: (nodes, d) lower corner of its box.
        high: (nodes, d) upper corner.
        leaf: (n,) the leaf of each point.
        inner: number of nodes that are not leaves.
        directions: (k, d) with c(x, y) >= s · (x - y) for each of them; the first is zero.
    """

    points: np.ndarray
    order: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    low: np.ndarray
    high: np.ndarray
    leaf: np.ndarray
    inner: int
    directions: np.ndarray


def build_tree(points: np.ndarray, cost: Cost) -> Tree:
    """Tree over points (n, d), n >= 1, with coordinates of size at most one."""
    levels = 0
    while (len(points) >> levels) > _LEAF:
        levels += 1
    inner = 2**levels - 1
    nodes = 2 * inner + 1
    start, stop = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    low, high = np.zeros((nodes, points.shape[1])), np.zeros((nodes, points.shape[1]))
    order, leaf = np.arange(len(points)), np.zeros(len(points), np.int64)
    _build(points, order, start, stop, low, high, leaf, inner)
    return Tree(
        np.ascontiguousarray(points[order]),
        order,
        start,
        stop,
        low,
        high,
        leaf,
        inner,
        _directions(points.shape[1], cost),
    )


def _directions(dim: int, cost: Cost) -> np.ndarray:
    if cost == "l1" and dim <= 3:
        tilts = np.array(list(itertools.product((-1.0, 1.0), repeat=dim)))
    elif cost == "l2" and dim == 2:
        angles = np.arange(12) * np.pi / 6
        tilts = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (1 - 1e-15)
    else:
        tilts = np.zeros((0, dim))
    return np.concatenate([np.zeros((1, dim)), tilts])


@CompiledKernel
def pair_cost(x, i, y, j, code):  # type: ignore[no-untyped-def]
    """Cost between point i of x and point j of y."""
    total = 0.0
    for k in range(x.shape[1]):
        difference = x[i, k] - y[j, k]
        total += abs(difference) if code == 0 else difference * difference
    return np.sqrt(total) if code == 1 else total


@CompiledKernel
def refresh(tree, potential, largest):  # type: ignore[no-untyped-def]
    """Write the largest tilted potentials of each node to `largest`, (nodes, directions)."""
    points, directions, start, stop = tree.points, tree.directions, tree.start, tree.stop
    largest[:] = -np.inf
    for node in range(len(largest) - 1, -1, -1):
        for k in range(largest.shape[1]):
            if node < tree.inner:
                largest[node, k] = max(largest[2 * node + 1, k], largest[2 * node + 2, k])
                continue
            for j in range(start[node], stop[node]):
                value = potential[j]
                for axis in range(points.shape[1]):
                    value += directions[k, axis] * points[j, axis]
                largest[node, k] = max(largest[node, k], value)


@CompiledKernel
def lift(tree, potential, largest, j):  # type: ignore[no-untyped-def]
    """Update `largest` after the potential of point j changed."""
    points, directions = tree.points, tree.directions
    leaf = tree.leaf[j]
    start, stop = tree.start[leaf], tree.stop[leaf]
    for k in range(largest.shape[1]):
        node, found = leaf, -np.inf
        for other in range(start, stop):
            value = potential[other]
            for axis in range(points.shape[1]):
                value += directions[k, axis] * points[other, axis]
            found = max(found, value)
        while largest[node, k] != found:
            largest[node, k] = found
            if node == 0:
                break
            node = (node - 1) // 2
            found = max(largest[2 * node + 1, k], largest[2 * node + 2, k])


@CompiledKernel
def cheapest(x, i, tree, potential, largest, code, limit, values, places, nodes, bounds):  # type: ignore[no-untyped-def]
    """The len(values) points of least reduced cost for point i of x, ascending, among those up to `limit`.

    `places` is -1 and `values` infinite where there are no more. `nodes` and `bounds` are workspace of length WORK.
    A point whose reduced cost is within ROUNDING of the limit or of the last value may be missed.
    """
    # Arrays are taken out of the tuple once: passing it on would count references at every node.
    points, start, stop, low, high = tree.points, tree.start, tree.stop, tree.low, tree.high
    directions, inner = tree.directions, tree.inner
    dim, tilts, count = x.shape[1], len(directions), len(values)
    for k in range(count):
        values[k] = np.inf
        places[k] = -1
    for k in range(1, tilts):
        total = 0.0
        for axis in range(dim):
            total += directions[k, axis] * x[i, axis]
        bounds[DEPTH + k] = total
    top = 1
    nodes[0] = 0
    bounds[0] = -np.inf
    while top > 0:
        top -= 1
        node = nodes[top]
        if bounds[top] > limit or bounds[top] >= values[count - 1]:
            continue
        if node >= inner:
            for j in range(start[node], stop[node]):
                value = 0.0
                for axis in range(dim):
                    difference = x[i, axis] - points[j, axis]
                    value += abs(difference) if code == 0 else difference * difference
                value = (np.sqrt(value) if code == 1 else value) - potential[j]
                if value < values[count - 1] and value <= limit:
                    k = count - 1
                    while k > 0 and values[k - 1] > value:
                        values[k] = values[k - 1]
                        places[k] = places[k - 1]
                        k -= 1
                    values[k] = value
                    places[k] = j
            continue
        for child in range(2 * node + 1, 2 * node + 3):
            bound = 0.0
            for axis in range(dim):
                difference = max(max(low[child, axis] - x[i, axis], x[i, axis] - high[child, axis]), 0.0)
                bound += difference if code == 0 else difference * difference
            bound = (np.sqrt(bound) if code == 1 else bound) - largest[child, 0]
            for k in range(1, tilts):
                bound = max(bound, bounds[DEPTH + k] - largest[child, k])
            nodes[top], bounds[top] = child, bound
            top += 1
        if bounds[top - 1] > bounds[top - 2]:  # the nearer one is visited first
            nodes[top - 1], nodes[top - 2] = nodes[top - 2], nodes[top - 1]
            bounds[top - 1], bounds[top - 2] = bounds[top - 2], bounds[top - 1]


@CompiledKernel
def cheapest_for_all(x, begin, end, tree, potential, largest, code, limits, values, places):  # type: ignore[no-untyped-def]
    """`cheapest` for the points begin..end-1 of x, each with its limit; rows of `values` and `places` are written."""
    nodes, bounds = np.empty(WORK, np.int64), np.empty(WORK)
    for i in range(begin, end):
        cheapest(x, i, tree, potential, largest, code, limits[i], values[i], places[i], nodes, bounds)


@CompiledKernel
def _build(points, order, start, stop, low, high, leaf, inner):  # type: ignore[no-untyped-def]
    stop[0] = len(points)
    for node in range(len(start)):
        first, last = start[node], stop[node]
        widest = 0
        for k in range(points.shape[1]):
            smallest, largest = np.inf, -np.inf
            for j in range(first, last):
                value = points[order[j], k]
                smallest, largest = min(smallest, value), max(largest, value)
            low[node, k], high[node, k] = smallest, largest
            if largest - smallest > high[node, widest] - low[node, widest]:
                widest = k
        if node >= inner:
            leaf[first:last] = node
            continue
        middle = (first + last) // 2
        _select(points, widest, order, first, last - 1, middle)
        start[2 * node + 1], stop[2 * node + 1] = first, middle
        start[2 * node + 2], stop[2 * node + 2] = middle, last


@CompiledKernel
def _select(points, side, order, first, last, middle):  # type: ignore[no-untyped-def]
    """Reorder order[first..last] so that position `middle` separates smaller from larger coordinates."""
    while first < last:
        pivot = points[order[(first + last) // 2], side]
        i, j = first, last
        while i <= j:
            while points[order[i], side] < pivot:
                i += 1
            while points[order[j], side] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            last = j
        elif middle >= i:
            first = i
        else:
            return
