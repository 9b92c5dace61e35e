"""Outputs from a folder in an evaluation: matched to the test images, checked, and cut as they are."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, may_be_undefined, printable
from jaxpr.data.crops import cut_alike, uncut
from jaxpr.data.outputs import Outputs, output_folder
from jaxpr.data.source import ImageSource
from jaxpr.evaluation.devices import spread
from jaxpr.evaluation.examples import Examples
from jaxpr.evaluation.measure import diversity_of
from jaxpr.evaluation.protocol import Protocol
from jaxpr.restorers.stored import StoredRestorer

__all__ = ["StoredOutputs", "diversity_scorer", "stored_outputs"]

_LOOKED_AT = 3  # examples on which a shift is looked for
_FARTHEST = 2  # pixels
_CLEARLY = 0.7  # of the squared error without a shift


@dataclass(frozen=True)
class StoredOutputs:
    """The outputs for the examples of a run.

    Attributes:
        examples: of the run.
        draws: for each draw the outputs, where `examples.source` has the images.
        record: what a record says of them.
    """

    examples: Examples
    draws: tuple[ImageSource, ...]
    record: dict[str, Any]

    def images(self, numbers: list[int], *, draw: int = 0) -> np.ndarray:
        """Outputs for examples by their numbers, (N, H, W, C)."""
        return np.stack([self._image(number, draw) for number in numbers])

    @property
    def fingerprint(self) -> np.ndarray:
        """Of names and contents, by which the outputs are recognised in a later run; (bytes,) numbers."""
        return np.frombuffer(bytes.fromhex(self.record["fingerprint"]), np.uint8).astype(np.float32)

    def _image(self, number: int, draw: int) -> np.ndarray:
        height, width, _ = self.examples.shapes[number]
        return self.draws[draw][self.examples.indices[number]][:height, :width]


def stored_outputs(name: str, restorer: StoredRestorer, examples: Examples) -> StoredOutputs:
    """Match the files of a folder to the images of a run, and check their sizes.

    Args:
        name: of the restorer, for messages.
        restorer: with the folder.
        examples: of the run.

    Raises:
        InputError: an image without a file, files that cannot be told apart, or one of another size.
    """
    images, argument = uncut(examples.source), f"restorer {name}"
    found = output_folder(argument, restorer.folder, images.names, channels=images.shape(0)[2])
    if found.left_out:
        others = f"{len(found.left_out)} files in {printable(restorer.folder)} that belong to no test image"
        warnings.warn(
            f"{argument}: left out {others} (by the rule {found.rule}); first {found.left_out[0]}", stacklevel=3
        )
    for draw in found.draws:
        _check_sizes(argument, draw, images, examples.factor)
    try:
        cut = tuple(cut_alike(draw, examples.source) for draw in found.draws)
    except InputError as error:
        raise InputError(f"{argument}: {error}") from error
    stored = StoredOutputs(examples, cut, _record(restorer, found))
    _warn_of_shift(argument, stored)
    return stored


def diversity_scorer(protocol: Protocol) -> Callable[[Array], dict[str, Array]]:
    """Compiled `samples (N, S, H, W, C) -> {metric: (N,)}`."""
    return may_be_undefined(spread(lambda samples: diversity_of(jnp.moveaxis(samples, 1, 0), protocol)))


def _record(restorer: StoredRestorer, found: Outputs) -> dict[str, Any]:
    return {
        "outputs": printable(restorer.folder.name),
        "rule": found.rule,
        "draws": len(found.draws),
        "files": sum(map(len, found.draws)),
        "fingerprint": _fingerprint(found),
    }


def _fingerprint(found: Outputs) -> str:
    return hashlib.sha256(" ".join(draw.fingerprint for draw in found.draws).encode()).hexdigest()


def _check_sizes(argument: str, outputs: ImageSource, images: ImageSource, factor: int) -> None:
    """Raise unless every output is as large as its image, or as that cut to a multiple of the scale factor."""
    for i, name in enumerate(outputs.names):
        found, expected = outputs.shape(i)[:2], images.shape(i)[:2]
        if any(not side // factor * factor <= other <= side for other, side in zip(found, expected, strict=True)):
            raise InputError(
                f"{argument}: found {found[0]}×{found[1]} pixels for {name}, expected {expected[0]}×{expected[1]} as "
                f"{images.names[i]} has"
            )


def _warn_of_shift(argument: str, stored: StoredOutputs) -> None:
    """Warn if outputs fit the images much better when all are moved by the same few pixels."""
    numbers = range(min(_LOOKED_AT, len(stored.examples)))
    pairs = [(stored.images([number])[0], stored.examples.image(number)) for number in numbers]
    if min(min(x.shape[:2]) for _, x in pairs) <= 4 * _FARTHEST:
        return
    moves = [(down, right) for down in range(-_FARTHEST, _FARTHEST + 1) for right in range(-_FARTHEST, _FARTHEST + 1)]
    errors = np.array([[_error(x_hat, x, *move) for move in moves] for x_hat, x in pairs])
    best = int(np.argmin(np.mean(errors, axis=0)))
    still = moves.index((0, 0))
    if (errors[:, best] < _CLEARLY * errors[:, still]).all():
        down, right = moves[best]
        gain = 10 * np.log10(errors[:, still].mean() / max(errors[:, best].mean(), 1e-12))
        warnings.warn(
            f"{argument}: outputs look shifted by {down} pixels down and {right} right against the images: moved back, "
            f"their PSNR is {gain:.1f} dB higher; they are measured as they are",
            stacklevel=4,
        )


def _error(x_hat: np.ndarray, x: np.ndarray, down: int, right: int) -> float:
    """Mean squared error inside, with the output moved back by so many pixels."""
    height, width, _ = x.shape
    edge = _FARTHEST
    inside = x[edge : height - edge, edge : width - edge]
    moved = x_hat[edge + down : height - edge + down, edge + right : width - edge + right]
    return float(np.mean((moved - inside) ** 2))
