"""What is stored of each example: the only place that knows the names of arrays in a run's files.

Programs make values of these types for a batch, with examples as leading axis; readers get them one example at a time.
"""

import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from jaxpr.core import AnyArray
from jaxpr.evaluation.state import BatchStore

__all__ = [
    "ClassArrays",
    "DecisionArrays",
    "ProbeArrays",
    "ReferenceArrays",
    "RestorerArrays",
    "metric_values",
    "read_arrays",
    "stored",
    "without_pictures",
]

_NESTED = "/"
_PICTURES, _METRICS = "pictures", "metrics"


class ReferenceArrays(NamedTuple):
    """Of the natural images and their measurements.

    Attributes:
        features_x: of the patches of x, (N, P, d).
        features_y: of the patches of y, (N, P, d).
        blocks_x: small blocks of luma of x, (N, B, w), B = 0 where there are none.
        blocks_y: their surroundings in y, (N, B, m).
        classes: probabilities of classes of the patches of x, (N, P, c), if the features come with some.
        natural: what NIQE sees of the blocks of x, (N, K, 36), where x has a block.
        pictures: `x` and `y` of the examples that the report shows, see `pictures.py`.
        seconds: that each example took.
    """

    features_x: AnyArray
    features_y: AnyArray
    blocks_x: AnyArray
    blocks_y: AnyArray
    classes: AnyArray | None = None
    natural: AnyArray | None = None
    pictures: Mapping[str, AnyArray] = {}
    seconds: AnyArray | None = None


class RestorerArrays(NamedTuple):
    """Of a restorer's outputs.

    Attributes:
        metrics: by name, (N,) each.
        gradient: size of the restorer's gradient at y, (N,): where it is zero or NaN an attack is blind.
        features: of the patches of x̂, (N, P, d).
        blocks: small blocks of luma of x̂, (N, B, w).
        classes: probabilities of classes of the patches of x̂, (N, P, c).
        natural: what NIQE sees of the blocks of x̂, (N, K, 36).
        pictures: `restored` and, if there was an attack, `restored_adv` and `y_adv`.
        seconds: that each example took.
    """

    metrics: Mapping[str, AnyArray]
    gradient: AnyArray
    features: AnyArray
    blocks: AnyArray
    classes: AnyArray | None = None
    natural: AnyArray | None = None
    pictures: Mapping[str, AnyArray] = {}
    seconds: AnyArray | None = None


class ProbeArrays(NamedTuple):
    """Of the costly measures.

    Attributes:
        gradient: as of `RestorerArrays`.
        metrics: by name, (N,) each.
        sweep: columns of the curve over radii of attacks, (N, A) each.
        differentiable_once: there where the restorer's backward rule has no derivative, so that there is no spectral
            norm, (N,).
        seconds: that each example took.
    """

    gradient: AnyArray
    metrics: Mapping[str, AnyArray] = {}
    sweep: Mapping[str, AnyArray] = {}
    differentiable_once: AnyArray | None = None
    seconds: AnyArray | None = None


class ClassArrays(NamedTuple):
    """Of the classes of the natural images.

    Attributes:
        attacker: class that the attacked classifier sees, (N,).
        judge: class that the other one sees.
        pictures: `x` and `y`.
        score: of a judge of one number, (N,), if there is one.
        seconds: that each example took.
    """

    attacker: AnyArray
    judge: AnyArray
    pictures: Mapping[str, AnyArray] = {}
    score: AnyArray | None = None
    seconds: AnyArray | None = None


class DecisionArrays(NamedTuple):
    """Of A attacks on decisions behind a restorer.

    Attributes:
        attacker_before: class that the attacked classifier sees in the restoration of y, (N,).
        judge_before: class that the other one sees there.
        attacker_after: of the restorations of the attacked measurements, (N, A).
        judge_after: of the same.
        psnr: of the attacked measurements, decibels, (N, A).
        blind: whether the attack's gradient is zero or not finite, (N, A).
        pictures: `restored` (N, H, W, C), `y_adv` (N, A, h, w, C) and `restored_adv` (N, A, H, W, C).
        score_before: of a judge of one number, of the restoration of y, (N,), if there is one.
        score_after: of the restorations of the attacked measurements, (N, A).
        seconds: that each example took.
    """

    attacker_before: AnyArray
    judge_before: AnyArray
    attacker_after: AnyArray
    judge_after: AnyArray
    psnr: AnyArray
    blind: AnyArray
    pictures: Mapping[str, AnyArray] = {}
    score_before: AnyArray | None = None
    score_after: AnyArray | None = None
    seconds: AnyArray | None = None


Stored: TypeAlias = ReferenceArrays | RestorerArrays | ProbeArrays | ClassArrays | DecisionArrays
Arrays = TypeVar("Arrays", ReferenceArrays, RestorerArrays, ProbeArrays, ClassArrays, DecisionArrays)


def stored(arrays: Stored) -> dict[str, np.ndarray]:
    """The arrays of a batch by the names that they have in files."""
    found: dict[str, np.ndarray] = {}
    for name, value in arrays._asdict().items():
        if isinstance(value, Mapping):
            found |= {f"{name}{_NESTED}{part}": np.asarray(array) for part, array in value.items()}
        elif value is not None:
            found[name] = np.asarray(value)
    return found


def metric_values(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Of those of `stored` the values of a metric, (N,); none of what has no such metric."""
    return arrays.get(f"{_METRICS}{_NESTED}{name}", np.zeros(0))


def without_pictures(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of `stored` that are kept of batches of which the report shows nothing."""
    return {name: array for name, array in arrays.items() if not name.startswith(_PICTURES + _NESTED)}


def read_arrays(kind: type[Arrays], store: BatchStore, count: int) -> Iterator[Arrays]:
    """The arrays of examples 0..count-1 of a store, one example at a time."""
    nested = {name for name, of in typing.get_type_hints(kind).items() if typing.get_origin(of) is not None}
    for flat in store.load(count):
        fields: dict[str, Any] = {}
        for name, array in flat.items():
            field, _, part = name.partition(_NESTED)
            if part and field in nested:
                fields.setdefault(field, {})[part] = array
            else:
                fields[field] = array
        yield kind(**fields)
