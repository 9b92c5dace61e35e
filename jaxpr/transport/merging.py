"""Points at one place become one place with their mass, and the plan between places a plan between points again."""

from typing import NamedTuple

import numpy as np

from jaxpr.transport.compiled import CompiledKernel

__all__ = ["Places", "merge_points", "split_mass"]

# Merging pays if it removes this share of the points; equal masses, which it destroys, allow the faster solver.
_WORTH = 0.2


class Places(NamedTuple):
    """Distinct points (s, d), the mass at each (s,), and for each of the n points its place (n,)."""

    points: np.ndarray
    mass: np.ndarray
    place: np.ndarray


def merge_points(points: np.ndarray, mass: np.ndarray) -> Places:
    """Merge equal points where many are equal; otherwise every point is a place of its own."""
    order = np.lexsort(points.T)
    ordered = points[order]
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    if new.sum() > (1 - _WORTH) * len(points):
        return Places(points, mass, np.arange(len(points)))
    place = np.empty(len(points), np.int64)
    place[order] = np.cumsum(new) - 1
    return Places(np.ascontiguousarray(ordered[new]), np.bincount(place, mass), place)


def split_mass(
    places: np.ndarray, flow: np.ndarray, place: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distribute flows out of places over the points there.

    Args:
        places: (K,) place of each flow.
        flow: (K,) positive; the sums at each place are the sums of its points' masses, up to rounding.
        place: (n,) place of each point.
        mass: (n,) positive.

    Returns:
        For each part of a flow: which flow, which point, how much. At most K + n parts.
    """
    flows, points = np.argsort(places, kind="stable"), np.argsort(place, kind="stable")
    found = np.empty(len(flow) + len(mass), np.int64), np.empty(len(flow) + len(mass), np.int64)
    amount = np.empty(len(flow) + len(mass))
    count = _split(places[flows], flow[flows], place[points], mass[points], *found, amount)
    return flows[found[0][:count]], points[found[1][:count]], amount[:count]


@CompiledKernel
def _split(places, flow, place, mass, flows, points, amount):  # type: ignore[no-untyped-def]
    """Both sides sorted by place: fill the points of a place one after the other; returns the number of parts."""
    count, j = 0, 0
    left = mass[0]
    for k in range(len(flow)):
        rest = flow[k]
        while place[j] < places[k]:
            j += 1
            left = mass[j]
        while True:
            last = j + 1 == len(mass) or place[j + 1] != place[j]
            part = rest if last else min(rest, left)
            if part > 0:
                flows[count], points[count], amount[count] = k, j, part
                count += 1
            rest -= part
            left -= part
            if last or left > 0:
                break
            j += 1
            left = mass[j]
            if rest <= 0:
                break
    return count
