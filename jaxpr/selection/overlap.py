"""Trees in which a point may appear in several branches, so that a look-alike is found on either way down.

The authors of [cohen2024md] offer such trees in their program; the paper has only those of `hierarchy`.
"""

from typing import NamedTuple

import numpy as np

from jaxpr.core import Array, InputError, check_count, check_positive, is_number
from jaxpr.selection.inputs import check_vector, prepare_distances

__all__ = ["OverlappingTree", "overlapping_tree"]


class OverlappingTree(NamedTuple):
    """A tree of nodes, parents before their children; several nodes may show one point. NumPy arrays.

    Attributes:
        point: (M,) what each node shows.
        parent: (M,) the node it hangs under; -1 at the top.
        rank: (M,) place among the children of its parent, 0..count-1.
        guest: (M,) true where the point has a node of its own elsewhere.
    """

    point: np.ndarray
    parent: np.ndarray
    rank: np.ndarray
    guest: np.ndarray


class _Branch(NamedTuple):
    """What is still to be placed under a node, and what the screens on the way to it show."""

    node: int
    own: list[int]
    guests: list[int]
    seen: frozenset[int]


def overlapping_tree(
    distances: Array, priority: Array, *, count: int, factor: float, closest: float = 0.1
) -> OverlappingTree:
    """`hierarchy` with overlapping branches. On the host, for one tree.

    In every branch with more than `factor` times `count` points each member brings its nearest neighbour along, as a
    guest, if that is closer than the given quantile of all distances and not in the branch already. Guests are not
    chosen as representatives while there are others; they are shown where at most `count` points are left. Nothing is
    shown twice on the way from the top to a node. Every point is exactly one node that is no guest.

    Args:
        distances: (N, N) symmetric, non-negative.
        priority: (N,) each branch starts from its point of the highest; farthest points follow.
        count: most children of a node, 2 <= count <= N.
        factor: branches with more than so many times `count` points take guests; infinity for none, which gives the
            tree of `farthest_tree`.
        closest: quantile of the distances between two points, in [0, 1]; the authors' value.

    Raises:
        InputError: not square, NaN, negative, count outside 2..N, priorities not (N,), factor not positive, or closest
            outside [0, 1].
    """
    check_count("count", count, at_least=2)
    table = np.asarray(prepare_distances(distances, count=count))
    check_vector("priority", priority, len(table))
    if not (is_number(factor) and factor == np.inf):
        check_positive("factor", factor, scalar=True)
    if not is_number(closest) or not 0 <= closest <= 1:
        raise InputError(f"closest: found {closest!r}, expected a number from 0 to 1")
    near = float(np.quantile(table[np.triu_indices(len(table), k=1)], closest))
    neighbours = np.argmin(np.where(np.eye(len(table), dtype=bool), np.inf, table), axis=1)
    order = np.asarray(priority)
    nodes: list[tuple[int, int, int, bool]] = []
    branches = [_Branch(-1, list(range(len(table))), [], frozenset())]
    while branches:
        branch = branches.pop(0)
        chosen = _chosen(table, order, branch, count)
        seen = branch.seen | set(chosen)
        first = len(nodes)
        nodes += [(point, branch.node, rank, point in branch.guests) for rank, point in enumerate(chosen)]
        own, guests = (_sorted_out(table, members, chosen) for members in (branch.own, branch.guests))
        for rank in range(len(chosen)):
            below = own[rank], guests[rank]
            if len(below[0]) + len(below[1]) > factor * count:
                brought = {int(neighbours[m]) for m in below[0] if table[m, neighbours[m]] < near}
                below = below[0], below[1] + sorted(brought - seen - set(below[0]) - set(below[1]))
            if below[0] or below[1]:
                branches.append(_Branch(first + rank, *below, seen))
    return OverlappingTree(*(np.array(column) for column in zip(*nodes, strict=True)))


def _chosen(table: np.ndarray, priority: np.ndarray, branch: _Branch, count: int) -> list[int]:
    """What is shown next: all that are left if there is room, else farthest points among those that are no guests."""
    if len(branch.own) + len(branch.guests) <= count:
        return _farthest(table, priority, branch.own, count) + _farthest(table, priority, branch.guests, count)
    return _farthest(table, priority, branch.own or branch.guests, count)


def _farthest(table: np.ndarray, priority: np.ndarray, members: list[int], count: int) -> list[int]:
    left = np.array(members, int)
    if not len(left):
        return []
    chosen = [int(left[np.argmax(priority[left])])]
    while len(chosen) < min(count, len(left)):
        gaps = np.where(np.isin(left, chosen), -1, table[left][:, chosen].min(axis=1))
        chosen.append(int(left[np.argmax(gaps)]))
    return chosen


def _sorted_out(table: np.ndarray, members: list[int], chosen: list[int]) -> list[list[int]]:
    """The members that are not chosen, under the nearest of the chosen; of equally near ones the first."""
    below: list[list[int]] = [[] for _ in chosen]
    for member in members:
        if member not in chosen:
            below[int(np.argmin(table[member, chosen]))].append(member)
    return below
