"""Which points lie in the neighbourhood balls of another set: radii, and one pass over all pairs of two sets.

Float points (N, d). Squared distances are |a|² + |b|² - 2ab, one full-precision matrix product per block of pairs; both
sets are centred per block, so nothing of the size of the data is copied and nothing of size (N, M) is stored.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, AnyArray, Array, check_count, check_points, scan

__all__ = ["BallCounts", "count_balls", "neighbour_radii"]

# Pairs of a block that the running selection treats side by side; a multiple of every vector width in use.
_LANES = 128
# The program, and the time to compile it, grow with k; beyond this a partial sort per block takes over.
_LARGEST_NETWORK = 16
# Lanes that are left for the final partial sort, which is slow on CPUs.
_LAST_LANES = 8


class BallCounts(NamedTuple):
    """Which points lie in which balls.

    Attributes:
        fake_hits: (M,) int32, how many balls around real points contain each fake point.
        real_hit: (N,) bool, whether any ball around a fake point contains the real point.
        real_covered: (N,) bool, whether the ball around the real point contains any fake point.
    """

    fake_hits: Array
    real_hit: Array
    real_covered: Array


def neighbour_radii(points: AnyArray, *, k: int, block: int = 2048) -> Array:
    """Squared distance of each point to its k-th nearest other point, (N,).

    A point is not its own neighbour, but its copies are: k copies of a point make its radius zero (up to the rounding
    that `count_balls` allows for).

    Args:
        points: (N, d), N > k.
        k: which neighbour. Static.
        block: points per step. Static; the memory beyond the data is O(block² + block · d + 256 k N).

    Returns:
        Squared radii, float32 (float64 for float64 points).

    Raises:
        InputError: fewer than k + 1 points, not (N, d), not finite, or k < 1.
    """
    check_count("k", k)
    check_count("block", block)
    check_points("points", points, at_least=k + 1)
    run = _radii if k <= _LARGEST_NETWORK else _radii_by_sorting
    return run(jnp.asarray(points), k=k, block=_block(points.shape[0], block))


def count_balls(
    real: AnyArray, fake: AnyArray, real_radii: AnyArray, fake_radii: AnyArray, *, block: int = 2048
) -> BallCounts:
    r"""Membership of two sets in each other's closed balls, in one pass over all pairs.

    A distance that equals the radius up to the rounding of the matrix product counts as inside:
    $\\|a-b\\|^2 \\le r^2 + \\tau(|a|^2+|b|^2)$ with $\\tau = \\epsilon (8 + \\sqrt d)$ and a, b centred. So a point
    that occurs in both sets is always inside its own ball, also where copies made the radius zero, and ties on a grid
    are inside, as in exact arithmetic. Points that differ by less are not told apart.

    Args:
        real: (N, d).
        fake: (M, d).
        real_radii: (N,), squared, from `neighbour_radii`.
        fake_radii: (M,), squared.
        block: points of each set per step. Static.

    Raises:
        InputError: not points, or of different widths.
    """
    check_count("block", block)
    check_points("real", real)
    check_points("fake", fake, width=real.shape[1])
    blocks = (_block(real.shape[0], block), _block(fake.shape[0], block))
    arrays = (jnp.asarray(a) for a in (real, fake, real_radii, fake_radii))
    return _counts(*arrays, blocks=blocks)


def _block(count: int, largest: int) -> int:
    """Points per step: whole lanes where there are enough points."""
    return count if count <= _LANES else min(largest, count) // _LANES * _LANES or _LANES


class _Blocks(NamedTuple):
    """A set in blocks that all have one size; the last overlaps the one before, and its repeated points are masked."""

    points: Array
    centre: Array
    size: int

    @property
    def number(self) -> int:
        return -(-self.points.shape[0] // self.size)

    def start(self, index: Array) -> Array:
        return jnp.minimum(index * self.size, self.points.shape[0] - self.size)

    def fresh(self, index: Array) -> Array:
        return self.start(index) + jnp.arange(self.size, dtype=jnp.int32) >= index * self.size

    def read(self, index: Array) -> tuple[Array, Array]:
        """Centred points of a block and their squared lengths."""
        piece = jax.lax.dynamic_slice_in_dim(self.points, self.start(index), self.size) - self.centre[None]
        piece = piece.astype(self.centre.dtype)
        return piece, jnp.sum(piece * piece, axis=1)

    def distances(self, i: Array, j: Array) -> Array:
        """Squared distances between two blocks; infinite for repeated points."""
        (a, a_squares), (b, b_squares) = self.read(i), self.read(j)
        a_squares = jnp.where(self.fresh(i), a_squares, jnp.inf)
        b_squares = jnp.where(self.fresh(j), b_squares, jnp.inf)
        return a_squares[:, None] + b_squares[None] - 2 * jnp.matmul(a, b.T, precision=HIGHEST)


def _centre(points: Array) -> Array:
    return jnp.mean(points, axis=0, dtype=jnp.promote_types(points.dtype, jnp.float32))


@functools.partial(jax.jit, static_argnames=("k", "block"))
def _radii(points: Array, *, k: int, block: int) -> Array:
    pieces = _Blocks(points, _centre(points), block)
    lanes = min(block, _LANES)  # divides the block
    dtype = pieces.centre.dtype
    count = points.shape[0]
    empty = [jnp.full((count, lanes), jnp.inf, dtype)] * k, [jnp.full((lanes, count), jnp.inf, dtype)] * k

    def update(lists: list[Array], found: Array, start: Array, axis: int) -> list[Array]:
        """Insert a block into the lists of the points along `axis`; the other axis runs over lanes."""
        kept = [jax.lax.dynamic_slice_in_dim(values, start, block, axis) for values in lists]
        for lane in range(0, block, lanes):
            kept = _insert(kept, jax.lax.slice_in_dim(found, lane, lane + lanes, axis=1 - axis))
        pairs = zip(lists, kept, strict=True)
        return [jax.lax.dynamic_update_slice_in_dim(values, new, start, axis) for values, new in pairs]

    def diagonal(rows: list[Array], i: Array) -> tuple[list[Array], None]:
        found = jnp.where(jnp.eye(block, dtype=bool), jnp.inf, pieces.distances(i, i))
        return update(rows, found, pieces.start(i), 0), None

    def pair(lists: tuple[list[Array], list[Array]], ij: Array) -> tuple[tuple[list[Array], list[Array]], None]:
        i, j = ij[0], ij[1]
        found = pieces.distances(i, j)
        return (update(lists[0], found, pieces.start(i), 0), update(lists[1], found, pieces.start(j), 1)), None

    rows, _ = jax.lax.scan(diagonal, empty[0], jnp.arange(pieces.number, dtype=jnp.int32))
    upper = np.stack(np.triu_indices(pieces.number, 1), axis=1).astype(np.int32)
    (rows, columns), _ = scan(pair, (rows, empty[1]), jnp.asarray(upper))
    for values in columns:
        rows = _insert(rows, values.T)
    return jnp.maximum(_fold(rows, k), 0)


@functools.partial(jax.jit, static_argnames=("k", "block"))
def _radii_by_sorting(points: Array, *, k: int, block: int) -> Array:
    pieces = _Blocks(points, _centre(points), block)
    numbers = jnp.arange(pieces.number, dtype=jnp.int32)

    def row(i: Array) -> Array:
        def column(best: Array, j: Array) -> tuple[Array, None]:
            itself = (i == j) & jnp.eye(block, dtype=bool)
            found = jnp.where(itself, jnp.inf, pieces.distances(i, j))
            return -jax.lax.top_k(-jnp.concatenate([best, found], axis=1), k)[0], None

        best, _ = jax.lax.scan(column, jnp.full((block, k), jnp.inf, pieces.centre.dtype), numbers)
        return best[:, -1]

    return jnp.maximum(_flat(jax.lax.map(row, numbers), pieces), 0)


def _insert(best: list[Array], new: Array) -> list[Array]:
    """Insert one value per lane into the lane's ascending list: a network of minima and maxima, which vectorises."""
    kept = []
    for value in best:
        kept.append(jnp.minimum(value, new))
        new = jnp.maximum(value, new)
    return kept


def _fold(lists: list[Array], k: int) -> Array:
    """The k-th smallest value of each row over all lanes."""
    while lists[0].shape[1] > _LAST_LANES and lists[0].shape[1] % 2 == 0:
        half = lists[0].shape[1] // 2
        kept = [values[:, :half] for values in lists]
        for values in lists:
            kept = _insert(kept, values[:, half:])
        lists = kept
    return -jax.lax.top_k(-jnp.concatenate(lists, axis=1), k)[0][:, -1]


@functools.partial(jax.jit, static_argnames=("blocks",))
def _counts(real: Array, fake: Array, real_radii: Array, fake_radii: Array, *, blocks: tuple[int, int]) -> BallCounts:
    centre = _centre(real)
    rows, columns = _Blocks(real, centre, blocks[0]), _Blocks(fake, centre, blocks[1])
    # Rounding of the three terms of a squared distance, relative to |a|² + |b|²; measured on copies of points.
    slack = float(jnp.finfo(centre.dtype).eps) * (8 + math.sqrt(real.shape[1]))
    slice_of = jax.lax.dynamic_slice_in_dim

    def row(hits: Array, i: Array) -> tuple[Array, tuple[Array, Array]]:
        a, a_squares = rows.read(i)
        a_squares = (1 - slack) * a_squares
        in_real = slice_of(real_radii, rows.start(i), rows.size) - a_squares
        in_real = jnp.where(rows.fresh(i), in_real, -jnp.inf)

        def column(carry: tuple[Array, Array, Array], j: Array) -> tuple[tuple[Array, Array, Array], None]:
            hits, hit, covered = carry
            b, b_squares = columns.read(j)
            b_squares = jnp.where(columns.fresh(j), (1 - slack) * b_squares, jnp.inf)
            in_fake = slice_of(fake_radii, columns.start(j), columns.size) - b_squares
            product = -2 * jnp.matmul(a, b.T, precision=HIGHEST)
            inside_real = product <= in_real[:, None] - b_squares[None]
            inside_fake = product <= in_fake[None] - a_squares[:, None]
            start = columns.start(j)
            new = slice_of(hits, start, columns.size) + jnp.sum(inside_real, axis=0, dtype=jnp.int32)
            hits = jax.lax.dynamic_update_slice_in_dim(hits, new, start, 0)
            return (hits, hit | jnp.any(inside_fake, axis=1), covered | jnp.any(inside_real, axis=1)), None

        no = jnp.zeros(rows.size, bool)
        (hits, hit, covered), _ = jax.lax.scan(column, (hits, no, no), jnp.arange(columns.number, dtype=jnp.int32))
        return hits, (hit, covered)

    hits, (hit, covered) = jax.lax.scan(
        row, jnp.zeros(fake.shape[0], jnp.int32), jnp.arange(rows.number, dtype=jnp.int32)
    )
    return BallCounts(hits, _flat(hit, rows), _flat(covered, rows))


def _flat(values: Array, blocks: _Blocks) -> Array:
    """Undo the overlap of the last block."""
    count = blocks.points.shape[0]
    last = count - (blocks.number - 1) * blocks.size
    return jnp.concatenate([values[:-1].reshape(-1), values[-1, blocks.size - last :]])
