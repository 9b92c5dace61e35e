"""Exact transport of masses on a sparse graph by successive shortest paths.

Arcs are sorted by row: those of row i are start[i]..start[i + 1] - 1, each with its row (tail), column and cost; those
of column j are arcs_in[into[j]..into[j + 1] - 1]. Reduced costs c - u - v stay non-negative, and zero where there is
mass, so that the plan is optimal on the graph when all is shipped.
"""

import numpy as np

from jaxpr.transport.augment import pop, push
from jaxpr.transport.compiled import CompiledKernel
from jaxpr.transport.tree import ROUNDING

__all__ = ["ship"]


@CompiledKernel
def ship(start, tails, columns, costs, into, arcs_in, mass, u, v, supply, demand, tiny):  # type: ignore[no-untyped-def]
    """Ship every supply above `tiny` to where demand is left; `mass` (of arcs), potentials and both rests are updated.

    Returns the supply for which the graph has no way.
    """
    n, m = len(supply), len(demand)
    distance, origin, settled = np.full(m, np.inf), np.full(m, -1), np.zeros(m, np.bool_)
    level, via, seen = np.zeros(n), np.full(n, -1), np.zeros(n, np.bool_)
    touched, done, rows = np.empty(m, np.int64), np.empty(m, np.int64), np.empty(n, np.int64)
    keys, places = np.empty(len(columns) + 1), np.empty(len(columns) + 1, np.int64)
    lost = 0.0
    for source in range(n):
        while supply[source] > tiny:
            rows[0], level[source], via[source], seen[source] = source, 0.0, -1, True
            known, expanded, size, reached, closed, sink, least = 1, 0, 0, 0, 0, -1, 0.0
            while sink < 0:
                while expanded < known and sink < 0:  # rows at the present distance
                    i = rows[expanded]
                    expanded += 1
                    for arc in range(start[i], start[i + 1]):
                        j = columns[arc]
                        if settled[j]:
                            continue
                        length = least + max(costs[arc] - u[i] - v[j], 0.0)
                        if length >= distance[j]:
                            continue
                        if distance[j] == np.inf:
                            touched[reached] = j
                            reached += 1
                        distance[j], origin[j] = length, arc
                        if demand[j] > 0 and length <= least + ROUNDING:  # where many paths tie, any will do
                            sink, least = j, length
                            break
                        size = push(keys, places, size, length, j)
                if sink >= 0:
                    break
                j = -1
                while size > 0 and j < 0:
                    key, j = keys[0], places[0]
                    size = pop(keys, places, size)
                    if settled[j] or key > distance[j]:
                        j = -1
                if j < 0:
                    break
                least = distance[j]
                if demand[j] > 0:
                    sink = j
                    break
                settled[j] = True
                done[closed] = j
                closed += 1
                for k in range(into[j], into[j + 1]):
                    arc = arcs_in[k]
                    i = tails[arc]
                    if mass[arc] > 0 and not seen[i]:
                        seen[i], via[i], level[i] = True, arc, least
                        rows[known] = i
                        known += 1
            if sink < 0:
                lost += supply[source]
                supply[source] = 0.0
            else:
                for k in range(closed):
                    v[done[k]] -= least - distance[done[k]]
                for k in range(known):
                    u[rows[k]] += least - level[rows[k]]
                _move(tails, columns, mass, supply, demand, origin, via, source, sink)
            for k in range(reached):
                distance[touched[k]] = np.inf
            for k in range(closed):
                settled[done[k]] = False
            for k in range(known):
                seen[rows[k]] = False
    return lost


@CompiledKernel
def _move(tails, columns, mass, supply, demand, origin, via, source, sink):  # type: ignore[no-untyped-def]
    """As much as fits along the path from `source` to `sink`."""
    amount, j = min(supply[source], demand[sink]), sink
    i = tails[origin[j]]
    while i != source:
        amount = min(amount, mass[via[i]])
        j = columns[via[i]]
        i = tails[origin[j]]
    j = sink
    while True:
        mass[origin[j]] += amount
        i = tails[origin[j]]
        if i == source:
            break
        mass[via[i]] -= amount
        j = columns[via[i]]
    supply[source] -= amount
    demand[sink] -= amount
