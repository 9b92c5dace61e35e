"""Earth mover's distance between joint distributions: the JEMD of [ohayon2024], Section 4.1."""

import numpy as np

from jaxpr.core import AnyArray, InputError, check_floats, is_traced
from jaxpr.transport.exact import Transport, emd
from jaxpr.transport.inputs import Cost

__all__ = ["joint_emd"]


def joint_emd(real: tuple[AnyArray, AnyArray], fake: tuple[AnyArray, AnyArray], *, cost: Cost) -> Transport:
    """Distance between the laws of (X, Y) and (X̂, Y): restorations compared together with their measurements.

    Each example is one point, its parts flattened and concatenated; the paper uses 10,000 points in the plane and
    "l1", for which the value is the Wasserstein-1 distance.

    Args:
        real: (x, y): clean signals (N, ...) and their measurements (N, ...), finite floats.
        fake: (x_hat, y): restorations and the measurements they were made from; as many or other examples.
        cost: "l1", "l2" or "squared_l2".

    Returns:
        `Transport`, whose `value` is the distance; indices and potentials are those of the examples.

    Raises:
        InputError: not pairs of equally many examples, or sizes of real and fake examples differ.
    """
    return emd(_joint("real", real, "x"), _joint("fake", fake, "x_hat"), cost=cost)


def _joint(name: str, pair: tuple[AnyArray, AnyArray], first: str) -> np.ndarray:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"{name}: found {type(pair).__name__}, expected a pair ({first}, y)")
    if is_traced(pair):
        raise InputError(f"{name}: found traced arrays, expected concrete ones")
    for label, part in zip((first, "y"), pair, strict=True):
        check_floats(f"{name}[{label}]", part, expected="examples (N, ...)")
    parts = [np.asarray(part) for part in pair]
    if parts[0].ndim < 1 or parts[1].ndim < 1 or len(parts[0]) != len(parts[1]) or len(parts[0]) == 0:
        raise InputError(
            f"{name}: found shapes {parts[0].shape} and {parts[1].shape}, expected (N, ...) for both, one N >= 1"
        )
    for label, part in zip((first, "y"), parts, strict=True):
        if not np.isfinite(part).all():
            raise InputError(f"{name}: found NaN or infinite values in {label}, expected finite ones")
    return np.concatenate([part.reshape(len(part), -1).astype(np.float64) for part in parts], axis=1)
