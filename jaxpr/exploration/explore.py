"""From one measurement to many answers, the few that stand for them, and a tree of all ([cohen2024md], Section 4)."""

import functools
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, Key, check_count, check_images, check_key, check_positive
from jaxpr.degradations import Degradation, Inpainting
from jaxpr.evaluation.trial import check_output, check_range
from jaxpr.exploration.drawing import check_stochastic, draw_answers, draw_together, read_draws
from jaxpr.exploration.explored import Answers, AnswerSet, Explored
from jaxpr.exploration.spaces import SPACES, Compared, compare_images
from jaxpr.restorers import Restorer, StoredRestorer
from jaxpr.selection import (
    OverlappingTree,
    farthest_points_in_distances,
    hierarchy_in_distances,
    kmeans_representatives,
    kmedoids_representatives,
    overlapping_tree,
    set_report,
    uniformization_in_distances,
)
from jaxpr.selection.uniformization import neighbour_distance

__all__ = ["explore"]

_GUIDED = "+guidance"
_NEIGHBOUR = 6  # k of [cohen2024md], Appendix A
_FEWEST = 3
_METHODS = ("random", "kmeans", "uniformization", "farthest")


def explore(
    key: Key,
    restorers: Mapping[str, Restorer],
    y: Array,
    degradation: Degradation,
    *,
    image: str = "image",
    truth: Array | None = None,
    channels: int | None = None,
    answers: int = 100,
    shown: int = 5,
    held_out: int = 20,
    space: str = "vgg16",
    overlap: float | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Explored:
    """Draw many answers to one measurement, and choose the few that show what it could be.

    Args:
        key: for draws and choices. Answer i is the same for any number of answers and any batch size.
        restorers: name to restorer, stochastic ones or outputs of a folder. Those whose word has `+guidance` draw one
            set of `shown` answers, beside the sets of the others.
        y: the measurement, (1, h, w, c).
        degradation: of y.
        image: name of the image, by which outputs of a folder are found.
        truth: (1, H, W, C), if it is known.
        channels: of the answers; None for those of the truth, or of y.
        answers: at least three; 100 in [cohen2024md].
        shown: answers at a time, at least two; 5 in [cohen2024md].
        held_out: further answers, to which the sets' coverage is measured.
        space: in which answers are compared, one of `SPACES`.
        overlap: branches of the tree with more than so many times `shown` answers share look-alikes with others, see
            `overlapping_tree`; None for none.
        batch_size: answers that are drawn at once.
        progress: show progress bars.

    Returns:
        `Explored`.

    Raises:
        InputError: a deterministic restorer, too few answers, NaN, other sizes, or options that do not fit.
    """
    check_key(key, single=True)
    _check(restorers, y, truth, answers=answers, shown=shown, held_out=held_out, space=space, overlap=overlap)
    y = jnp.asarray(y)
    channels = channels or (y.shape[-1] if truth is None else truth.shape[-1])
    shape = (y.shape[1] * degradation.factor, y.shape[2] * degradation.factor, channels)
    k_draws, k_guided, k_choices = jax.random.split(key, 3)
    drawn, guided = {}, {}
    for name, restorer in restorers.items():
        if _is_guided(restorer):
            found = draw_together(k_guided, restorer, y, count=shown, name=name)
            guided[name] = _checked(name, found, shape, truth)[0]
            if len(guided[name]) < shown:
                raise InputError(f"restorer {name}: found NaN or infinite values in its set, expected finite answers")
            continue
        if isinstance(restorer, StoredRestorer):
            found = read_draws(restorer, image, channels=channels, name=name)[: answers + held_out]
        else:
            found = draw_answers(
                k_draws, restorer, y, count=answers + held_out, batch_size=batch_size, name=name, progress=progress
            )
        drawn[name] = _checked(name, found, shape, truth)
        if (total := len(drawn[name][0])) < max(shown, _FEWEST):
            raise InputError(f"restorer {name}: found {total} answers, expected at least {max(shown, _FEWEST)}")
    choices = _Choices(k_choices, answers, shown, space, overlap, degradation)
    made = tuple(
        _explored(choices, name, restorers[name], *drawn[name], _guided_of(restorers, guided, name), y)
        for name in drawn
    )
    settings = {"answers": answers, "shown": shown, "held_out": held_out, "space": space, "overlap": overlap}
    known = None if truth is None else np.asarray(truth)[0]
    return Explored(image, np.asarray(y)[0], known, degradation, made, settings)


class _Choices(NamedTuple):
    """What the sets and trees of all restorers have in common."""

    key: Key
    answers: int
    shown: int
    space: str
    overlap: float | None
    degradation: Degradation


def _check(
    restorers: Mapping[str, Restorer],
    y: Array,
    truth: Array | None,
    *,
    answers: int,
    shown: int,
    held_out: int,
    space: str,
    overlap: float | None,
) -> None:
    check_images("y", y, overshoot=1.0)
    if truth is not None:
        check_images("truth", truth)
    for name, images in {"y": y, "truth": truth}.items():
        if images is not None and len(images) != 1:
            raise InputError(f"{name}: found {len(images)} images, expected one")
    check_count("answers", answers, at_least=_FEWEST)
    check_count("shown", shown, at_least=2)
    check_count("held_out", held_out, at_least=0)
    if shown > answers:
        raise InputError(f"shown: found {shown}, expected at most the number of answers, {answers}")
    if space not in SPACES:
        raise InputError(f"space: found {space!r}, expected one of {', '.join(SPACES)}")
    if overlap is not None:
        check_positive("overlap", overlap, scalar=True)
    for name, restorer in restorers.items():
        check_stochastic(name, restorer)
    if all(map(_is_guided, restorers.values())):
        found = "only ones with +guidance" if restorers else "none"
        raise InputError(f"restorers: found {found}, expected one without, which draws the answers")


def _is_guided(restorer: Restorer) -> bool:
    return restorer.together


def _guided_of(restorers: Mapping[str, Restorer], guided: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The guided sets to show beside a restorer: those of its own word, or all where none is."""
    own = {g: images for g, images in guided.items() if restorers[g].label.split(_GUIDED)[0] == restorers[name].label}
    return own or dict(guided)


def _checked(name: str, found: np.ndarray, shape: tuple[int, ...], truth: Array | None) -> tuple[np.ndarray, int]:
    """The finite answers, and how many others there were."""
    check_output(name, found, (len(found), *shape))
    finite = np.isfinite(found).all(axis=(1, 2, 3))
    left_out = int((~finite).sum())
    if left_out == len(found):
        raise InputError(f"restorer {name}: found NaN or infinite values in every answer, expected finite ones")
    if left_out:
        warnings.warn(f"restorer {name}: left out {left_out} answers with NaN or infinite values", stacklevel=3)
    kept = found[finite].astype(np.float32)
    middle = np.full((1, *shape), 0.5, np.float32) if truth is None else np.asarray(truth)
    check_range(name, kept, np.broadcast_to(middle, kept.shape))
    return kept, left_out


def _explored(
    choices: _Choices,
    name: str,
    restorer: Restorer,
    drawn: np.ndarray,
    left_out: int,
    guided: Mapping[str, np.ndarray],
    y: Array,
) -> Answers:
    """Everything about the answers of one restorer."""
    images, further = drawn[: choices.answers], drawn[choices.answers :]
    operator = choices.degradation.operator(images.shape[1:]) if choices.degradation.has_operator else None
    unknown = ~np.asarray(operator.mask, bool) if isinstance(operator, Inpainting) else None
    others = np.concatenate([further, *guided.values()]) if guided else further
    compared = compare_images(jnp.asarray(images), jnp.asarray(others), space=choices.space, unknown=unknown)
    table, count = np.asarray(compared.distances), len(images)
    sets = [
        _reported(method, indices, images[indices], table, indices, count, len(further))
        for method, indices in _chosen(choices, compared, count).items()
    ]
    for position, (guide, together) in enumerate(guided.items()):
        rows = count + len(further) + position * choices.shown + np.arange(len(together))
        found = _reported("guided", np.array([], int), together, table, rows, count, len(further))
        sets.append(found._replace(name=guide))
    radius = _radii(compared, count)
    rank = np.empty(count, int)
    rank[np.argsort(radius, kind="stable")] = np.arange(1, count + 1)
    residual = None if operator is None else _residual(operator, images, y)
    tree = _tree(choices, table[:count, :count])
    return Answers(
        name,
        restorer.label,
        images,
        residual,
        radius,
        rank,
        tuple(sets),
        tree,
        len(further),
        left_out,
        restorer.weights,
    )


def _reported(
    method: str, indices: np.ndarray, images: np.ndarray, table: np.ndarray, rows: np.ndarray, first: int, further: int
) -> AnswerSet:
    """A set with its report; `rows` are its members' places in the table."""
    found = set_report(jnp.asarray(table[np.ix_(rows, rows)]), jnp.asarray(table[first : first + further, rows]))
    return AnswerSet(method, indices, images, float(found.diversity), float(found.coverage_distance))


def _chosen(choices: _Choices, compared: Compared, count: int) -> dict[str, np.ndarray]:
    """The answers of each set, by method."""
    table, neighbour = compared.distances[:count, :count], min(_NEIGHBOUR, count - 1)
    found = _choose(choices.key, compared.features, table, shown=choices.shown, neighbour=neighbour, dim=compared.dim)
    return dict(zip(_METHODS, map(np.asarray, found), strict=True))


@functools.partial(jax.jit, static_argnames=("shown", "neighbour", "dim"))
def _choose(
    key: Key, features: Array | None, table: Array, *, shown: int, neighbour: int, dim: int
) -> tuple[Array, ...]:
    """(shown,) answers by each of `_METHODS`, in their order."""
    k_random, k_means, k_uniform, k_farthest = jax.random.split(key, 4)
    count = table.shape[0]
    if features is None:
        means = kmedoids_representatives(k_means, table, count=shown).indices
    else:
        means = kmeans_representatives(k_means, features, count=shown).indices
    uniform = uniformization_in_distances(k_uniform, table, count=shown, k=neighbour, keep=1.0, dim=dim).indices
    farthest = farthest_points_in_distances(k_farthest, table, count=shown, subset=count).indices
    return jax.random.permutation(k_random, count)[:shown], means, uniform, farthest


_neighbours = jax.jit(neighbour_distance, static_argnames="k")
_hierarchy = jax.jit(hierarchy_in_distances, static_argnames="count")


def _radii(compared: Compared, count: int) -> np.ndarray:
    neighbour = min(_NEIGHBOUR, count - 1)
    if compared.features is not None:
        return np.asarray(_neighbours(compared.features, k=neighbour))
    return np.sort(np.asarray(compared.distances)[:count, :count], axis=1)[:, neighbour - 1]


def _residual(operator: Any, images: np.ndarray, y: Array) -> np.ndarray:
    """Root mean square of A x̂ - y over what was measured, (N,)."""
    differences = np.asarray(operator(jnp.asarray(images)) - y, np.float64)
    if isinstance(operator, Inpainting):
        differences = differences[:, np.asarray(operator.mask, bool)]
    return np.sqrt(np.mean(differences.reshape(len(images), -1) ** 2, axis=1))


def _tree(choices: _Choices, table: np.ndarray) -> OverlappingTree:
    """All answers, `shown` at a time."""
    key = jax.random.fold_in(choices.key, 1)
    if choices.overlap is not None:
        priority = jax.random.uniform(key, (len(table),), table.dtype)
        return overlapping_tree(jnp.asarray(table), priority, count=choices.shown, factor=choices.overlap)
    found = _hierarchy(key, jnp.asarray(table), count=choices.shown)
    depth, rank, parent = (np.asarray(values) for values in (found.depth, found.rank, found.parent))
    order = np.lexsort((rank, parent, depth))  # parents before their children
    place = np.empty(len(order) + 1, int)
    place[order], place[-1] = np.arange(len(order)), -1
    return OverlappingTree(order, place[parent[order]], rank[order], np.zeros(len(order), bool))
