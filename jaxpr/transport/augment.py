"""Exact assignment on a sparse graph: Jonker and Volgenant's row reduction, then shortest augmenting paths.

Arcs of row i are start[i]..start[i + 1] - 1, each with its column and cost. Potentials keep every arc's reduced cost
c - u - v non-negative and that of matched pairs zero; a matching that is complete is then optimal on the graph.
"""

import numpy as np

from jaxpr.transport.compiled import CompiledKernel
from jaxpr.transport.tree import ROUNDING

__all__ = ["augment_flow", "pop", "push", "reduce_rows"]


@CompiledKernel
def reduce_rows(start, columns, costs, u, v, match, owner, waiting, count, limit):  # type: ignore[no-untyped-def]
    """Let the first `count` rows of `waiting` take their best columns, at most `limit` times altogether.

    Each lowers the column's potential to where its second choice is as good. Rows displaced on the way go on at once,
    rows that tie are left. `waiting` then begins with the rows that are free; their number is returned.
    """
    top, left, steps = count, 0, 0
    rest = np.empty(len(match), np.int64)
    while top > 0:
        top -= 1
        i = waiting[top]
        steps += 1
        first, second, place, other = np.inf, np.inf, -1, -1
        for arc in range(start[i], start[i + 1]):
            value = costs[arc] - v[columns[arc]]
            if value < first:
                second, other = first, place
                first, place = value, columns[arc]
            elif value < second:
                second, other = value, columns[arc]
        u[i] = first
        if steps > limit:
            rest[left] = i
            left += 1
            continue
        if owner[place] >= 0 and second <= first and other >= 0 and owner[other] < 0:
            place = other
        if owner[place] >= 0:
            if second <= first:
                rest[left] = i
                left += 1
                continue
            waiting[top] = owner[place]
            match[owner[place]] = -1
            top += 1
        if first < second < np.inf:
            v[place] -= second - first
            u[i] = _arc_cost(start, columns, costs, i, place) - v[place]
        match[i] = place
        owner[place] = i
    waiting[:left] = rest[:left]
    return left


@CompiledKernel
def _arc_cost(start, columns, costs, i, j):  # type: ignore[no-untyped-def]
    """Cost of the arc from row i to column j."""
    for arc in range(start[i], start[i + 1]):
        if columns[arc] == j:
            return costs[arc]
    return np.inf


@CompiledKernel
def augment_flow(start, columns, costs, u, v, match, owner, free):  # type: ignore[no-untyped-def]
    """Match all rows of `free` along shortest paths; returns how many could not be matched on this graph."""
    count = len(owner)
    distance, origin = np.full(count, np.inf), np.full(count, -1)
    settled = np.zeros(count, np.bool_)
    touched, done = np.empty(count, np.int64), np.empty(count, np.int64)
    keys, places = np.empty(len(columns) + 1), np.empty(len(columns) + 1, np.int64)
    failed = 0
    for source in free:
        size, reached, closed, sink = 0, 0, 0, -1
        least, i = 0.0, source
        while True:
            for arc in range(start[i], start[i + 1]):
                j = columns[arc]
                if settled[j]:
                    continue
                length = least + max(costs[arc] - u[i] - v[j], 0.0)
                if length < distance[j]:
                    if distance[j] == np.inf:
                        touched[reached] = j
                        reached += 1
                    distance[j] = length
                    origin[j] = i
                    if owner[j] < 0 and length <= least + ROUNDING:  # where many paths tie, any will do
                        sink, least = j, length
                        break
                    size = push(keys, places, size, length, j)
            if sink >= 0:
                break
            while size > 0:
                least, j = keys[0], places[0]
                size = pop(keys, places, size)
                if not settled[j] and least <= distance[j]:
                    break
                j = -1
            else:
                j = -1
            if j < 0:
                break
            if owner[j] < 0:
                sink = j
                break
            settled[j] = True
            done[closed] = j
            closed += 1
            i = owner[j]
        if sink < 0:
            failed += 1
        else:
            for k in range(closed):
                j = done[k]
                v[j] -= least - distance[j]
                u[owner[j]] += least - distance[j]
            u[source] += least
            _flip(origin, match, owner, source, sink)
        for k in range(reached):
            distance[touched[k]] = np.inf
        for k in range(closed):
            settled[done[k]] = False
    return failed


@CompiledKernel
def _flip(origin, match, owner, source, sink):  # type: ignore[no-untyped-def]
    """Exchange matched and unmatched arcs on the path that ends in column `sink`."""
    j = sink
    while True:
        i = origin[j]
        previous = match[i]
        match[i] = j
        owner[j] = i
        if i == source:
            return
        j = previous


@CompiledKernel
def push(keys, places, size, key, place):  # type: ignore[no-untyped-def]
    """Add to a binary heap; returns its new size."""
    k = size
    while k > 0 and keys[(k - 1) // 2] > key:
        keys[k], places[k] = keys[(k - 1) // 2], places[(k - 1) // 2]
        k = (k - 1) // 2
    keys[k], places[k] = key, place
    return size + 1


@CompiledKernel
def pop(keys, places, size):  # type: ignore[no-untyped-def]
    """Remove the least of a binary heap; returns its new size."""
    size -= 1
    key, place = keys[size], places[size]
    k = 0
    while 2 * k + 1 < size:
        child = 2 * k + 1
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[k], places[k] = keys[child], places[child]
        k = child
    keys[k], places[k] = key, place
    return size
