"""`evaluate`: stream images through restorers, attack and metrics; resume; write the record and the report."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxpr._core import Array, Estimator, InputError, Key, check_count, first_line, write_atomically
from jaxpr.data import ImageSource
from jaxpr.degradations import Degradation, LinearOperator, as_degradation
from jaxpr.evaluation.examples import Examples, batch_indices, examples_of
from jaxpr.evaluation.measure import CompiledRestorer, compile_restorer, degrader, patch_features, scorer
from jaxpr.evaluation.pictures import load_strips, packed_pictures, without_pictures
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.provenance import protocol_record, provenance_record
from jaxpr.evaluation.results import (
    RestorerResult,
    Results,
    frechet_metric,
    mean_metrics,
    moments_by_block,
    to_csv,
    to_json,
    to_record,
)
from jaxpr.evaluation.state import BatchStore, open_run
from jaxpr.metrics import Moments
from jaxpr.report import write_report

__all__ = ["evaluate"]

_STRIPS = 3
_REFERENCE = "reference images"
_METRIC = "metric_"


class _Run(NamedTuple):
    """What all restorers of a run share.

    Attributes:
        examples: crops or images.
        batches: their numbers, batch by batch; a batch is computed and stored together.
        piece: most examples in one call of a compiled program; see `_piece_size`.
        degrade: compiled `(keys, x) -> y`.
        degrade_keys: one key per example, for the degradation.
        attack_keys: one key per example, for the attack's start.
        protocol: the settings.
        strips: numbers of the examples whose images are kept for the report.
        progress: show progress bars.
    """

    examples: Examples
    batches: list[list[int]]
    piece: int
    degrade: Callable[[Key, Array], Array]
    degrade_keys: Array
    attack_keys: Array
    protocol: Protocol
    strips: tuple[int, ...]
    progress: bool

    def inputs(self, numbers: list[int]) -> tuple[Array, Array]:
        """X and y of these examples."""
        x = jnp.asarray(np.stack([self.examples.image(number) for number in numbers]))
        return x, self.degrade(self.degrade_keys[np.array(numbers)], x)

    def by_piece(
        self, batch: list[int], compute: Callable[[list[int]], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Compute a batch piece by piece, the last piece filled up so that one program serves all of a shape."""
        size = min(self.piece, self.examples.shapes.count(self.examples.shapes[batch[0]]))
        parts = []
        for start in range(0, len(batch), size):
            numbers = batch[start : start + size]
            arrays = compute(numbers + numbers[-1:] * (size - len(numbers)))
            parts.append({name: array[: len(numbers)] for name, array in arrays.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _piece_size(batch_size: int) -> int:
    """One example at a time on a CPU, whose cores one example keeps busy; a whole batch on an accelerator.

    Compiled for another number of examples, a program rounds differently in the last digit; the sign in an attack's
    step can turn such a difference into one of 1e-4 in K̄. With one example at a time numbers are the same for every
    batch size.
    """
    return 1 if jax.default_backend() == "cpu" else batch_size


def evaluate(
    key: Key,
    restorers: Mapping[str, Estimator],
    images: ImageSource | Sequence[np.ndarray],
    degradation: Degradation | LinearOperator | str,
    *,
    protocol: Protocol,
    out: Path | str,
    batch_size: int = 8,
    progress: bool = True,
) -> Results:
    """Measure restorers on degraded images: distortion, perception, consistency and robustness.

    Every image is degraded, restored, attacked by I-FGSM and restored again. `out` gets `results.json`, `results.csv`,
    `report.html`, `figures/*.png`, and `state/`, from which the same call resumes after any interruption with identical
    numbers; further restorers can be added to a finished run. Numbers depend on `key` and `protocol`; on a CPU they are
    the same for every `batch_size`, on accelerators up to float32 rounding, which the attack can amplify.

    Args:
        key: decides the noise of the degradation and the start of the attacks.
        restorers: name to callable y -> x̂ on batches, (N, h, w, c) to (N, H, W, C), traceable by JAX. Bind parameters
            with `functools.partial`.
        images: clean images: a source of `jaxpr.data`, or arrays (H, W, C) in [0, 1].
        degradation: a `Degradation`, a linear operator for images of the crops' shape, or a string for
            `parse_degradation` such as "bicubic-x4".
        protocol: settings that decide the numbers; `SCALES["small"]` suits the packaged photographs.
        out: folder of the run.
        batch_size: examples computed and saved together; on an accelerator also compiled together.
        progress: show progress bars on stderr.

    Returns:
        Everything that `results.json` holds.

    Raises:
        InputError: unusable protocol, images, restorer (not traceable, wrong shape, NaN) or folder. Nothing is written
            unless every restorer passes on a first batch.
    """
    out, degradation = Path(out), as_degradation(degradation)
    protocol.check()
    check_count("batch_size", batch_size)
    if not restorers:
        raise InputError("restorers: found none, expected at least one name and callable")
    if _REFERENCE in restorers:
        raise InputError(f"restorers: found one named {_REFERENCE!r}, expected another name")
    run = _prepare(key, images, degradation, protocol, batch_size, progress)
    record = protocol_record(key, run.examples, degradation, protocol)
    compiled = {name: compile_restorer(estimator, protocol) for name, estimator in restorers.items()}
    probes = {name: _probe(run, name, restorer) for name, restorer in compiled.items()}

    state = open_run(out, record)
    stores = {name: BatchStore(state, name) for name in restorers}
    for name, store in stores.items():
        store.check_probe(name, probes[name])
    reference = BatchStore(state, _REFERENCE)
    features = patch_features(protocol.features)
    _stream(run, reference, _REFERENCE, _reference_batches(run, features))
    score = scorer(degradation, protocol)
    for name, restorer in compiled.items():
        _stream(run, stores[name], name, _restorer_batches(run, name, restorer, score, features))

    results = _results(run, record, stores, reference, batch_size=batch_size)
    shown = {number: run.examples.name(number) for number in run.strips}
    strips = load_strips(shown, stores, reference, count=len(run.examples))
    write_report(to_record(results), strips, out=out)
    write_atomically(out / "results.csv", to_csv(results))
    # Last, so that a results.json means a complete folder.
    write_atomically(out / "results.json", to_json(results))
    return results


def _prepare(
    key: Key,
    images: ImageSource | Sequence[np.ndarray],
    degradation: Degradation,
    protocol: Protocol,
    batch_size: int,
    progress: bool,
) -> _Run:
    examples = examples_of(images, degradation, protocol)
    count = len(examples)
    k_degrade, k_attack = jax.random.split(key)
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return _Run(
        examples=examples,
        batches=batch_indices(examples, batch_size),
        piece=_piece_size(batch_size),
        degrade=degrader(degradation, bits=protocol.measurement_bits),
        # Folded with the position in the data set, so that an example's noise is the same under any limit.
        degrade_keys=fold(k_degrade, jnp.asarray(examples.indices)),
        attack_keys=fold(k_attack, jnp.asarray(examples.indices)),
        protocol=protocol,
        strips=tuple(sorted({int(i) for i in np.linspace(0, count - 1, _STRIPS + 2)[1:-1].round()})),
        progress=progress,
    )


def _probe(run: _Run, name: str, restorer: CompiledRestorer) -> np.ndarray:
    """Try a restorer before anything is written; its first output identifies it in a later run.

    Raises:
        InputError: it fails, returns another shape or dtype, or NaN.
    """
    numbers = run.batches[0][: run.piece]
    x, y = run.inputs(numbers)
    try:
        found = jax.eval_shape(restorer.restore, y)
    except InputError as error:
        raise InputError(f"restorer {name}: {first_line(error)}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(
            f"restorer {name}: failed on measurements of shape {y.shape} ({reason}), expected a function that JAX can "
            "trace from y to x̂"
        ) from error
    shape = getattr(found, "shape", None)
    if shape != x.shape or not jnp.issubdtype(found.dtype, jnp.floating):
        described = f"{found.dtype} of shape {shape}" if shape is not None else type(found).__name__
        raise InputError(f"restorer {name}: found output {described}, expected floating point of shape {x.shape}")
    restored = np.asarray(restorer.restore(y))
    _check_finite(run, name, numbers, restored)
    return restored[0].astype(np.float32)


def _check_finite(run: _Run, name: str, numbers: list[int], restored: np.ndarray) -> None:
    for position, number in enumerate(numbers):
        if not np.isfinite(restored[position]).all():
            bad = int((~np.isfinite(restored[position])).sum())
            raise InputError(
                f"restorer {name}: found {bad} NaN or infinite values in the restoration of "
                f"{run.examples.name(number)}, expected none"
            )


def _stream(run: _Run, store: BatchStore, title: str, compute: Callable[[list[int]], dict[str, np.ndarray]]) -> None:
    """Compute and store every batch that is not stored yet."""
    with tqdm(total=len(run.examples), desc=title, unit="image", disable=not run.progress) as bar:
        for batch in run.batches:
            if not store.done(batch):
                start = time.perf_counter()
                arrays = run.by_piece(batch, compute)
                seconds = np.full(len(batch), (time.perf_counter() - start) / len(batch))
                if not set(batch) & set(run.strips):
                    arrays = without_pictures(arrays)
                store.save(batch, {**arrays, "seconds": seconds})
            bar.update(len(batch))


def _reference_batches(run: _Run, features: Callable[..., Array]) -> Callable[[list[int]], dict[str, np.ndarray]]:
    size, stride, factor = run.protocol.patch_size, run.protocol.patch_stride, run.examples.factor

    def compute(numbers: list[int]) -> dict[str, np.ndarray]:
        x, y = run.inputs(numbers)
        arrays = {
            "features_x": features(x, size=factor * size, stride=factor * stride),
            "features_y": features(y, size=size, stride=stride),
            **packed_pictures({"x": x, "y": y}),
        }
        return {name: np.asarray(array) for name, array in arrays.items()}

    return compute


def _restorer_batches(
    run: _Run,
    name: str,
    restorer: CompiledRestorer,
    score: Callable[..., dict[str, Array]],
    features: Callable[..., Array],
) -> Callable[[list[int]], dict[str, np.ndarray]]:
    size, stride, factor = run.protocol.patch_size, run.protocol.patch_stride, run.examples.factor

    def compute(numbers: list[int]) -> dict[str, np.ndarray]:
        x, y = run.inputs(numbers)
        attacked = restorer(run.attack_keys[np.array(numbers)], y)
        _check_finite(run, name, numbers, np.asarray(attacked.restored))
        arrays = {
            **{_METRIC + metric: values for metric, values in score(x, y, attacked).items()},
            "features": features(attacked.restored, size=factor * size, stride=factor * stride),
            **packed_pictures({"restored": attacked.restored, "restored_adv": attacked.restored_adv}),
        }
        return {key: np.asarray(array) for key, array in arrays.items()}

    return compute


def _results(
    run: _Run, record: dict[str, Any], stores: Mapping[str, BatchStore], reference: BatchStore, *, batch_size: int
) -> Results:
    count, groups = len(run.examples), run.examples.groups
    width = record["features_dim"]

    def moments(store: BatchStore, name: str) -> list[Moments]:
        features = (arrays[name] for arrays in store.load(count))
        return moments_by_block(features, (arrays["features_y"] for arrays in reference.load(count)), groups)

    real, restorers, seconds = moments(reference, "features_x"), [], {}
    for name, store in stores.items():
        columns = _columns(store, count)
        seconds[name] = round(float(columns.pop("seconds").sum()), 2)
        fake, metrics = moments(store, "features"), mean_metrics(columns, groups)
        metrics[f"fd_{run.protocol.features}"] = frechet_metric(real, fake, width=width)
        metrics[f"joint_fd_{run.protocol.features}"] = frechet_metric(real, fake)
        restorers.append(RestorerResult(name, {key: metrics[key] for key in sorted(metrics, key=_reading_order)}))
    return Results(record, provenance_record(batch_size, seconds), tuple(restorers))


def _columns(store: BatchStore, count: int) -> dict[str, np.ndarray]:
    """The per-example numbers of a restorer: metrics, and seconds."""
    columns: dict[str, list[np.ndarray]] = {}
    for arrays in store.load(count):
        for name, value in arrays.items():
            if name.startswith(_METRIC) or name == "seconds":
                columns.setdefault(name.removeprefix(_METRIC), []).append(value)
    return {name: np.array(values) for name, values in columns.items()}


def _reading_order(metric: str) -> int:
    """Distortion, consistency, perception, robustness; compiled functions return dicts in alphabetical order."""
    order = ("rmse", "psnr", "ssim", "lpips", "lr_psnr", "fd", "joint_fd", "lipschitz_mean", "adversarial")
    return next(rank for rank, prefix in enumerate(order) if metric.startswith(prefix))
