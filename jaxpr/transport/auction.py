r"""Bertsekas' auction for the assignment of n points to n points, with prices searched in a tree.

Rows bid for the column of least reduced cost $c_{ij} - v_j$ and lower its potential until it is ε worse than their
second choice. Every phase ends with a perfect matching within nε of the optimum; a sequence of phases with falling ε
reaches good potentials quickly. What is left to do is exact, in `augment`.
"""

import numpy as np

from jaxpr.transport.compiled import CompiledKernel
from jaxpr.transport.tree import ROUNDING, WORK, cheapest, lift, pair_cost

__all__ = ["bid"]


@CompiledKernel
def bid(x, tree, potential, largest, code, epsilon, match, owner, guess, waiting):  # type: ignore[no-untyped-def]
    """One phase: bids until every row owns a column.

    Args:
        x: (n, d) rows.
        tree: over the n columns.
        potential: (n,) of the columns; lowered in place.
        largest: (nodes,) its maxima; kept up to date.
        code: of the cost.
        epsilon: by how much at least a bid changes a potential.
        match: (n,) column of each row; written.
        owner: (n,) row of each column; written.
        guess: (n, 2) columns that each row preferred last; updated.
        waiting: (n,) workspace.

    Returns:
        Number of bids.
    """
    count = len(x)
    values, places = np.empty(2), np.empty(2, np.int64)
    nodes, bounds = np.empty(WORK, np.int64), np.empty(WORK)
    for i in range(count):
        waiting[i] = count - 1 - i
        match[i] = -1
        owner[i] = -1
    top, bids = count, 0
    while top > 0:
        top -= 1
        i = waiting[top]
        bids += 1
        limit = np.inf
        if guess[i, 1] >= 0:
            first = pair_cost(x, i, tree.points, guess[i, 0], code) - potential[guess[i, 0]]
            second = pair_cost(x, i, tree.points, guess[i, 1], code) - potential[guess[i, 1]]
            limit = max(first, second) + ROUNDING
        cheapest(x, i, tree, potential, largest, code, limit, values, places, nodes, bounds)
        j = places[0]
        guess[i, 0], guess[i, 1] = places[0], places[1]
        step = epsilon if places[1] < 0 else values[1] - values[0] + epsilon
        potential[j] -= step
        lift(tree, potential, largest, j)
        if owner[j] >= 0:
            match[owner[j]] = -1
            waiting[top] = owner[j]
            top += 1
        owner[j] = i
        match[i] = j
    return bids
