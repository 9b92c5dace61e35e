"""Placing labels next to points so that they cover neither one another nor the drawing. Pure geometry in pixels.

Each label tries 16 directions at growing distances and takes the cheapest place, given where the others are; sweeps
over all labels repeat until nothing moves, from several orders, of which the cheapest end counts. No randomness: the
same points give the same places.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Obstacles", "place_labels"]

GAP = 7.0
RINGS = (0.0, 8.0, 18.0, 30.0, 45.0, 63.0, 85.0, 110.0, 140.0, 175.0, 215.0)
DIRECTIONS = 16
SWEEPS = 30
# Costs, in pixels of distance that a label travels to avoid each evil.
OUTSIDE, ON_LABEL, ON_BOX, ON_DOT, LEADER_HIT, AMBIGUOUS = 1e6, 4000.0, 2500.0, 14.0, 250.0, 45.0
EASY = 30.0  # per label; what costs more is tried from more orders
LEADER_SAMPLES = 9


class Obstacles(NamedTuple):
    """What labels must keep clear of, in pixels, y upward.

    Attributes:
        frame: (x0, y0, x1, y1), inside which labels must lie.
        boxes: (m, 4) boxes (x0, y0, x1, y1) that labels must not cover: markers, texts.
        dots: (k, 2) points on lines that labels had better not cover.
    """

    frame: np.ndarray
    boxes: np.ndarray
    dots: np.ndarray


def place_labels(anchors: np.ndarray, sizes: np.ndarray, obstacles: Obstacles, *, unit: float = 1.0) -> np.ndarray:
    """Centres for the labels of `anchors`.

    Args:
        anchors: (n, 2) points that the labels belong to, pixels.
        sizes: (n, 2) widths and heights of the labels, pixels.
        obstacles: what to keep clear of.
        unit: pixels per unit of distance, so that the result scales with the resolution.

    Returns:
        (n, 2) centres of the labels, pixels.
    """
    if len(anchors) == 0:
        return np.zeros((0, 2))
    anchors, sizes = np.asarray(anchors, float) / unit, np.asarray(sizes, float) / unit
    scaled = Obstacles(*(np.asarray(part, float) / unit for part in obstacles))
    candidates = [_candidates(anchor, size) for anchor, size in zip(anchors, sizes, strict=True)]
    fixed = [_fixed_cost(c, a, s, scaled) for c, a, s in zip(candidates, anchors, sizes, strict=True)]
    crowded = np.argsort([-np.exp(-np.sum((anchors - a) ** 2, axis=1) / 80.0**2).sum() for a in anchors], kind="stable")
    along = (np.argsort(anchors[:, axis], kind="stable") for axis in (0, 1))
    orders = [each for order in (crowded, *along) for each in (order, order[::-1])]
    tried: list[tuple[float, list[int]]] = []
    for order in orders:
        tried.append(_settle(order, candidates, fixed, anchors, sizes))
        cost, choice = min(tried, key=lambda result: result[0])
        if len(tried) > 1 and cost < EASY * len(anchors):
            break
    return np.stack([c[i] for c, i in zip(candidates, choice, strict=True)]) * unit


def _candidates(anchor: np.ndarray, size: np.ndarray) -> np.ndarray:
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    square = unit / np.abs(unit).max(axis=-1, keepdims=True)  # the label's edge, not its centre, keeps the distance
    near = [anchor + square * (size / 2 + GAP) + unit * ring for ring in RINGS]
    return np.concatenate(near)


def _fixed_cost(centres: np.ndarray, anchor: np.ndarray, size: np.ndarray, obstacles: Obstacles) -> np.ndarray:
    """Cost of each candidate, other labels aside: distance, direction, frame, boxes, dots and the leader's way."""
    low, high = centres - size / 2 - 2.0, centres + size / 2 + 2.0
    x0, y0, x1, y1 = obstacles.frame
    cost = np.repeat(np.asarray(RINGS), DIRECTIONS)
    # Right is read first, then left, then straight above or below.
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    cost = cost + np.tile(4.0 * np.abs(np.sin(angles)) + 2.0 * (1 - np.cos(angles)), len(RINGS))
    outside = (low[:, 0] < x0) | (high[:, 0] > x1) | (low[:, 1] < y0) | (high[:, 1] > y1)
    cost = cost + OUTSIDE * outside
    if len(obstacles.boxes):
        cost = cost + ON_BOX * _overlaps(low, high, obstacles.boxes[:, :2], obstacles.boxes[:, 2:]).sum(axis=1)
        leaders = _leaders(centres, anchor, size)
        others = obstacles.boxes[~_contains(obstacles.boxes, anchor)]
        cost = cost + LEADER_HIT * _hits(leaders, others[:, :2], others[:, 2:]).sum(axis=1)
        cost = cost + AMBIGUOUS * _nearer_to_others(centres, anchor, size, others)
    if len(obstacles.dots):
        dots = obstacles.dots[None]
        inside = np.all((dots > low[:, None]) & (dots < high[:, None]), axis=-1)
        cost = cost + ON_DOT * inside.sum(axis=1)
    return cost


def _settle(
    order: np.ndarray,
    candidates: list[np.ndarray],
    fixed: list[np.ndarray],
    anchors: np.ndarray,
    sizes: np.ndarray,
) -> tuple[float, list[int]]:
    """Total cost and chosen candidates after sweeps in `order`."""
    choice: list[int | None] = [None] * len(candidates)
    total = 0.0
    for _ in range(SWEEPS):
        before, total = list(choice), 0.0
        for i in order:
            others = [j for j in range(len(choice)) if j != i and choice[j] is not None]
            centres = np.array([candidates[j][choice[j]] for j in others]).reshape(-1, 2)
            cost = fixed[i] + _mutual_cost(candidates[i], anchors[i], sizes[i], centres, anchors[others], sizes[others])
            choice[i] = int(np.argmin(cost))
            total += float(cost.min())
        if choice == before:
            break
    return total, [c for c in choice if c is not None]


def _mutual_cost(
    mine: np.ndarray, anchor: np.ndarray, size: np.ndarray, centres: np.ndarray, anchors: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Cost of each of my candidates against labels placed at `centres`: overlap, and leaders through labels."""
    if not len(centres):
        return np.zeros(len(mine))
    low, high = mine - size / 2 - 2.0, mine + size / 2 + 2.0
    their_low, their_high = centres - sizes / 2, centres + sizes / 2
    cost = ON_LABEL * _overlaps(low, high, their_low, their_high).sum(axis=1)
    cost = cost + LEADER_HIT * _hits(_leaders(mine, anchor, size), their_low, their_high).sum(axis=1)
    pairs = zip(centres, anchors, sizes, strict=True)
    leaders = np.stack([_leaders(c[None], a, s)[0] for c, a, s in pairs])
    theirs = leaders.reshape(-1, 2)
    through = np.all((theirs[None] > low[:, None]) & (theirs[None] < high[:, None]), axis=-1)
    cost = cost + LEADER_HIT / 3 * through.sum(axis=1)
    ends = np.clip(anchor, mine - size / 2, mine + size / 2)
    their_ends = np.clip(anchors, their_low, their_high)
    return cost + LEADER_HIT / 3 * _crossings(anchor, ends, anchors, their_ends).sum(axis=1)


def _leaders(centres: np.ndarray, anchor: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(n, samples, 2) points on the lines from the anchor to the nearest points of the labels, ends left out."""
    nearest = np.clip(anchor, centres - size / 2, centres + size / 2)
    steps = np.linspace(0.0, 1.0, LEADER_SAMPLES + 2)[1:-1]
    return anchor + steps[None, :, None] * (nearest - anchor)[:, None, :]


def _nearer_to_others(centres: np.ndarray, anchor: np.ndarray, size: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,): would a reader take the label for that of another point?"""
    middles = np.concatenate([anchor[None], (boxes[:, :2] + boxes[:, 2:]) / 2])
    nearest = np.clip(middles[None], (centres - size / 2)[:, None], (centres + size / 2)[:, None])
    distances = np.linalg.norm(nearest - middles[None], axis=-1)
    return (distances[:, 1:] < distances[:, :1] + 2.0).any(axis=1)


def _crossings(start: np.ndarray, ends: np.ndarray, starts: np.ndarray, their_ends: np.ndarray) -> np.ndarray:
    """(n, m): does the line from `start` to end n cross the one from start m to their end m?"""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])

    mine, theirs, others = ends[:, None], starts[None], their_ends[None]
    apart = side(start, mine, theirs) * side(start, mine, others) < 0
    return apart & (side(theirs, others, start) * side(theirs, others, mine) < 0)


def _overlaps(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> np.ndarray:
    return np.all((low[:, None] < other_high[None]) & (high[:, None] > other_low[None]), axis=-1)


def _hits(lines: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(n, m): does any sample of line n lie inside box m?"""
    points = lines[:, :, None, :]
    return np.all((points > low) & (points < high), axis=-1).any(axis=1)


def _contains(boxes: np.ndarray, point: np.ndarray) -> np.ndarray:
    return np.all((boxes[:, :2] <= point) & (point <= boxes[:, 2:]), axis=-1)
