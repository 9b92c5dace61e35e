"""NIQE of a run: of each image where images have enough blocks, else of the blocks of all of them together."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxpr.core import InputError, first_line, given_path
from jaxpr.evaluation.sets import merged_groups
from jaxpr.metrics import NiqeParameters, load_niqe_parameters, packaged_niqe_parameters
from jaxpr.metrics.niqe import niqe_distance, usable_blocks
from jaxpr.records.results import Metric, leave_one_out, mean_metric

__all__ = ["FEWEST_BLOCKS", "naturalness", "niqe_model", "niqe_record"]

FEWEST_BLOCKS = 20
"""Of 96×96 pixels: with fewer, the covariance of an image's 36 features says nothing, and NIQE ranks the truth behind
blurs."""


def niqe_model(file: str | None) -> NiqeParameters:
    """The parameters of a run.

    Args:
        file: the setting `niqe_parameters` of its protocol.

    Raises:
        InputError: the file is missing, damaged or of another kind.
    """
    if file is None:
        return packaged_niqe_parameters()
    try:
        return load_niqe_parameters(given_path(file))
    except InputError as error:
        raise InputError(f"niqe_parameters: {first_line(error)}") from error


def niqe_record(file: str | None) -> dict[str, str]:
    """What a record says of the parameters: a name, and the hash of the file."""
    model = niqe_model(file)
    sha256 = {} if file is None else {"niqe_sha256": hashlib.sha256(Path(given_path(file)).read_bytes()).hexdigest()}
    return {"niqe_parameters": model.name, **sha256}


def naturalness(
    blocks: Iterable[np.ndarray | None], groups: np.ndarray, *, parameters: NiqeParameters
) -> Metric | None:
    """NIQE of the examples of a run; None where they are too small for a block.

    Args:
        blocks: for each example the features (K, 36) of its blocks.
        groups: (N,), the photograph that each example comes from.
        parameters: of the model of natural images.
    """
    found = [block for block in blocks if block is not None]
    if len(found) < len(groups):
        return None
    counts = [usable_blocks(block) for block in found]
    if min(counts) >= FEWEST_BLOCKS:
        scores = [niqe_distance(block, parameters=parameters) for block in found]
        return mean_metric(np.array(scores), groups)
    total = sum(counts)
    if total < FEWEST_BLOCKS:
        return Metric(
            math.nan, math.nan, f"undefined for {total} blocks of 96×96 pixels; needs at least {FEWEST_BLOCKS}"
        )
    together = f"of all {total} blocks of 96×96 pixels together: an image alone has only {min(counts)}"
    return _pooled(found, groups, parameters)._replace(note=together)


def _pooled(blocks: Sequence[np.ndarray], groups: np.ndarray, parameters: NiqeParameters) -> Metric:
    """Of all blocks, with the error over photographs."""
    labels = merged_groups(groups)
    parts = [
        np.concatenate([b for b, label in zip(blocks, labels, strict=True) if label == own])
        for own in range(int(labels.max()) + 1)
    ]

    def statistics(kept: Sequence[np.ndarray]) -> dict[str, float]:
        return {"niqe": niqe_distance(np.concatenate(kept), parameters=parameters)}

    return leave_one_out(statistics, parts)["niqe"]
