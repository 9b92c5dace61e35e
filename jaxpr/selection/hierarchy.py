"""Trees that organise all restorations for browsing, at most `count` at a time ([cohen2024md], Section 4, Appendix G).

At the top are `count` representatives of all points. Every other point hangs under its nearest representative; among
the points under one representative `count` are chosen again as its children, and so on until at most `count` points
are left under one, which all become its children. Every point is exactly one node. All branches of a level are
treated together, so there is no recursion and no shape depends on the data.

One priority per point, drawn once, serves all levels: which point leads a branch tells nothing about the order of the
others, so draws in different branches are independent.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, Key, check_count, check_key
from jaxpr.selection.inputs import check_vector, prepare_features
from jaxpr.selection.uniformization import log_weights, neighbour_distance

__all__ = [
    "Hierarchy",
    "children",
    "farthest_tree",
    "hierarchy",
    "priority_tree",
    "to_newick",
    "uniformization_hierarchy",
]


class Hierarchy(NamedTuple):
    """A tree over all points.

    Attributes:
        indices: (count,) the points at the top, in the order in which they were chosen.
        parent: (N,) the point under which each point hangs; -1 at the top.
        depth: (N,) 0 at the top.
        rank: (N,) place among the children of its parent, 0..count-1, in the order in which they were chosen.
    """

    indices: Array
    parent: Array
    depth: Array
    rank: Array


def hierarchy(key: Key, features: Array, *, count: int) -> Hierarchy:
    """The tree whose representatives are farthest points, with a random start in every branch.

    Args:
        key: for the starts.
        features: (N, d), one row per restoration.
        count: most children of a node, 2 <= count <= N; 5 images at a time in the paper. Static.

    Returns:
        `Hierarchy`. A point that is equally near to several representatives hangs under the one chosen first.

    Note:
        The authors' program leaves such a point out of the tree. It also offers soft trees, in which a point may
        appear in several branches; `overlapping_tree` makes these, here each appears once.

    Raises:
        InputError: not points, NaN, or count outside 2..N.
    """
    check_key(key, single=True)
    features = _prepare(features, count)
    return farthest_tree(features, jax.random.uniform(key, (features.shape[0],), features.dtype), count=count)


def uniformization_hierarchy(key: Key, features: Array, *, count: int, k: int) -> Hierarchy:
    """The tree whose representatives are drawn by uniformization, with densities estimated once, from all points.

    Args:
        key: for the draws.
        features: (N, d), one row per restoration.
        count: most children of a node, 2 <= count <= N. Static.
        k: neighbour that estimates the density, see `uniformization`. Static.

    Raises:
        InputError: not points, NaN, count outside 2..N, or k outside 2..N-1.
    """
    check_key(key, single=True)
    features = _prepare(features, count)
    radii = neighbour_distance(features, k=k)
    return priority_tree(features, uniform_priority(key, radii, dim=features.shape[1]), count=count)


def uniform_priority(key: Key, radii: Array, *, dim: int) -> Array:
    """Priorities (N,) whose order is a draw by uniformization; copies have weight zero and come last."""
    draws = jax.random.gumbel(key, radii.shape, radii.dtype)
    return jnp.where(radii > 0, log_weights(radii, dim) + draws, jnp.finfo(radii.dtype).min)


def farthest_tree(features: Array, priority: Array, *, count: int) -> Hierarchy:
    """`hierarchy` with given priorities (N,): each branch starts from its point of the highest; nothing is random.

    Raises:
        InputError: as `hierarchy`, or priority is not finite of shape (N,).
    """
    features = _prepare(features, count)
    return grow_tree(_gaps(features), features.shape[0], priority, count=count, farthest=True, dtype=features.dtype)


def priority_tree(features: Array, priority: Array, *, count: int) -> Hierarchy:
    """The tree whose representatives are the `count` points of highest priority in each branch; nothing is random.

    Raises:
        InputError: as `hierarchy`, or priority is not finite of shape (N,).
    """
    features = _prepare(features, count)
    return grow_tree(_gaps(features), features.shape[0], priority, count=count, farthest=False, dtype=features.dtype)


def children(tree: Hierarchy, node: int) -> list[int]:
    """The points under `node`, in their order; -1 gives the top. On the host, for one tree.

    Raises:
        InputError: node is no integer of at least -1.
    """
    check_count("node", node, at_least=-1)
    below = np.flatnonzero(np.asarray(tree.parent) == node)
    return [int(index) for index in below[np.argsort(np.asarray(tree.rank)[below])]]


def to_newick(tree: Hierarchy) -> str:
    """The tree in Newick's notation, "((3,7)1,0,2);": children in parentheses before their parent. On the host.

    Raises:
        InputError: a batch of trees.
    """
    if np.ndim(tree.parent) != 1:
        raise InputError(f"tree: found a batch of shape {np.shape(tree.parent)}, expected one tree")
    texts: dict[int, list[str]] = {}
    order = np.lexsort((np.asarray(tree.rank), -np.asarray(tree.depth)))  # the deepest first
    for node in order.tolist():
        below = texts.pop(node, [])
        text = f"({','.join(below)}){node}" if below else str(node)
        texts.setdefault(int(tree.parent[node]), []).append(text)
    return f"({','.join(texts[-1])});"


def _prepare(features: Array, count: int) -> Array:
    check_count("count", count, at_least=2)
    return prepare_features(features, count=count)


class _State(NamedTuple):
    """Branches are numbered by the point they hang under; the top is branch N."""

    branch: Array  # (N,) of a pending point the branch it is in, of a placed point the one it was placed in
    pending: Array  # (N,) bool
    depth: Array  # (N,)
    rank: Array  # (N,)
    level: Array  # scalar


def _gaps(features: Array) -> Callable[[Array], Array]:
    """The squared distance of each row to the one that is given for it."""

    def gaps(rows: Array) -> Array:
        difference = features - features[rows]
        return jnp.sum(difference * difference, axis=1)

    return gaps


def grow_tree(
    gaps: Callable[[Array], Array], size: int, priority: Array, *, count: int, farthest: bool, dtype: jnp.dtype
) -> Hierarchy:
    """Place the points level by level, `count` per branch and level.

    Args:
        gaps: maps rows (N,), one for each point, to the points' distances (N,) from them, of any monotone kind.
        size: N. Static.
        priority: (N,) who leads.
        count: most children of a node. Static.
        farthest: whether priority decides only the first of a branch, and distances the others. Static.
        dtype: of the distances.
    """
    check_vector("priority", priority, size)
    priority = jnp.asarray(priority, dtype)
    rows = jnp.arange(size, dtype=jnp.int32)

    def chosen(state: _State, scores: Array) -> Array:
        """(N,) for each point the pending point of its branch with the highest score; N if there is none."""
        scores = jnp.where(state.pending, scores, -jnp.inf)
        best = jax.ops.segment_max(scores, state.branch, size + 1)
        leads = state.pending & (scores == best[state.branch])
        first = jax.ops.segment_min(jnp.where(leads, rows, size), state.branch, size + 1)
        return jnp.minimum(first, size)[state.branch]

    def place(order: Array, carry: tuple[_State, Array, Array]) -> tuple[_State, Array, Array]:
        state, closest, nearest = carry
        scores = jnp.where(order == 0, priority, closest) if farthest else priority
        lead = chosen(state, scores)
        distances = jnp.where(lead < size, gaps(jnp.minimum(lead, size - 1)), jnp.inf)
        nearest = jnp.where(distances < closest, lead, nearest)
        placed = state.pending & (lead == rows)
        state = state._replace(
            pending=state.pending & ~placed,
            depth=jnp.where(placed, state.level, state.depth),
            rank=jnp.where(placed, order, state.rank),
        )
        return state, jnp.minimum(distances, closest), nearest

    def descend(state: _State) -> _State:
        start = state, jnp.full(size, jnp.inf, dtype), state.branch
        state, _, nearest = jax.lax.fori_loop(0, count, place, start)
        return state._replace(branch=jnp.where(state.pending, nearest, state.branch), level=state.level + 1)

    zeros = jnp.zeros(size, jnp.int32)
    start = _State(jnp.full(size, size, jnp.int32), jnp.ones(size, bool), zeros, zeros, jnp.asarray(0, jnp.int32))
    state = jax.lax.while_loop(lambda state: jnp.any(state.pending), descend, start)
    at_top = state.branch == size
    top = jnp.zeros(count, jnp.int32).at[jnp.where(at_top, state.rank, count)].set(rows, mode="drop")
    return Hierarchy(top, jnp.where(at_top, -1, state.branch), state.depth, state.rank)
