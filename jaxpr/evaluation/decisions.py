"""Attacks on decisions behind a restorer: can a tiny change of y make a classifier see another class in x̂?

The experiment of [ohayon2024], Section 4.3 and Appendix F: measurements are attacked through restorer and classifier,
and a second classifier, which the attack never saw, judges the restorations before and after.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core import (
    Array,
    Estimator,
    InputError,
    Key,
    check_count,
    check_positive,
    example_keys,
    first_line,
    write_atomically,
)
from jaxpr.attacks import class_log_probability, ifgsm, input_psnr, negated
from jaxpr.attacks.gradients import gradient_status
from jaxpr.data import ImageSource, from_arrays
from jaxpr.degradations import Degradation, as_degradation
from jaxpr.degradations.linear import LinearOperator
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.provenance import provenance_record
from jaxpr.numerics.statistics import Estimate, grouped_mean
from jaxpr.report.decisions import DecisionSample, decision_samples, decisions_table, figure_decisions
from jaxpr.report.style import png_bytes

__all__ = [
    "Classifier",
    "DecisionResults",
    "Judgement",
    "RestorerDecisions",
    "decisions_record",
    "evaluate_decisions",
    "write_decisions",
]

Classifier: TypeAlias = Callable[[Array], Array]
"""Maps restorations (N, H, W, C) to logits (N, classes)."""


class Judgement(NamedTuple):
    """What one classifier decides behind one restorer.

    Attributes:
        before: class that it predicts for each restoration of y, (N,).
        after: the same for the attacked y, (N,).
        shares_before: share of each class among `before`, (classes,).
        shares_after: share of each class among `after`.
        changed: share of examples whose class is another one after the attack.
        target_success: share that moves to the target among those that were elsewhere before; None without a target
            or where all were there already.
        accuracy_before: share of right classes; None where labels are unknown.
        accuracy_after: the same after the attack.
    """

    before: np.ndarray
    after: np.ndarray
    shares_before: np.ndarray
    shares_after: np.ndarray
    changed: Estimate
    target_success: Estimate | None
    accuracy_before: Estimate | None
    accuracy_after: Estimate | None


class RestorerDecisions(NamedTuple):
    """Decisions behind one restorer.

    Attributes:
        name: of the restorer.
        judge: decisions of the classifier that the attack did not see.
        attacker: those of the classifier that it went through.
        input_psnr: PSNR between y and y_adv, decibels.
        blind: share of examples at which the attack's gradient is zero or not finite: there it cannot do anything,
            and an unchanged decision says nothing about robustness.
    """

    name: str
    judge: Judgement
    attacker: Judgement
    input_psnr: Estimate
    blind: float


class DecisionResults(NamedTuple):
    """What `evaluate_decisions` found.

    Attributes:
        protocol: what decides the numbers, JSON-able.
        provenance: versions, devices and times, which do not.
        source: decisions on the clean images by "judge" and "attacker", shares (classes,) and accuracy.
        restorers: in the caller's order.
        samples: a few examples to look at, spread evenly over all.
    """

    protocol: dict[str, Any]
    provenance: dict[str, Any]
    source: dict[str, tuple[np.ndarray, Estimate | None]]
    restorers: tuple[RestorerDecisions, ...]
    samples: tuple[DecisionSample, ...]


class _Setting(NamedTuple):
    """What every program shares."""

    attacker: Classifier
    judge: Classifier
    target: int | None
    alpha: float
    steps: int

    def record(self, classes: Sequence[str]) -> dict[str, Any]:
        return {
            "attack": "ifgsm on the log-probability of a class behind the restorer",
            "target": self.target,
            "alpha": float(self.alpha),
            "attack_steps": self.steps,
            "classes": list(classes),
        }


def evaluate_decisions(
    key: Key,
    restorers: Mapping[str, Estimator],
    images: ImageSource | Sequence[np.ndarray],
    degradation: Degradation | LinearOperator | str,
    *,
    attacker: Classifier,
    judge: Classifier,
    labels: Sequence[int] | None = None,
    target: int | None = None,
    alpha: float = 16 / 255,
    steps: int = 100,
    batch_size: int = 64,
    limit: int | None = None,
    measurement_bits: int | None = 8,
    classes: Sequence[str] | None = None,
    out: Path | None = None,
) -> DecisionResults:
    """Attack decisions behind each restorer and let a classifier judge that the attack never saw.

    With a target, I-FGSM raises the log-probability that `attacker` gives to it behind the restorer; without one it
    lowers that of the class that `attacker` predicted before.

    Args:
        key: decides noise and starts, for example i by the key and i alone; the same for every restorer.
        restorers: names to deterministic callables y -> x̂ that JAX can differentiate.
        images: clean images of one shape (H, W, C) in [0, 1].
        degradation: makes y, which is clipped to [0, 1] and rounded to `measurement_bits`, as in an image file.
        attacker: maps x̂ to logits (N, classes); the attack goes through it.
        judge: another one, for the same classes.
        labels: true classes; None takes those of `images`, if it has any.
        target: class to reach; None attacks away from the class seen before.
        alpha: radius of the ∞-norm ball in intensity units; default of [ohayon2024], Section 4.3.
        steps: of I-FGSM; default of the paper.
        batch_size: examples attacked together; changes speed and memory only, up to the rounding of sums.
        limit: use only so many images, spread evenly; None for all.
        measurement_bits: bits per channel of y, or None for no clipping and rounding; y must then lie in [0, 1].
        classes: names of the classes, for reports; None for their numbers.
        out: folder for `decisions.json`, `decisions.txt` and `decisions.png`; None writes nothing.

    Raises:
        InputError: no restorers, images of several shapes, labels or a target that do not fit, classifiers of
            different classes, or a restorer that fails, is stochastic or returns another shape or NaN.
    """
    check_count("batch_size", batch_size)
    check_count("steps", steps)
    check_positive("alpha", alpha, or_zero=True)
    if not restorers:
        raise InputError("restorers: found none, expected at least one")
    started = time.perf_counter()
    degradation = as_degradation(degradation)
    source, truth = _chosen(images, labels, limit)
    x = np.stack(list(source))
    k_noise, k_attack = (example_keys(k, len(x)) for k in jax.random.split(key))
    degrade = degrader(degradation, bits=measurement_bits, compiled=jax.jit)
    y = _in_batches(lambda keys, x: {"y": degrade(keys, x)}, (k_noise, x), batch_size)["y"]
    clean = _in_batches(jax.jit(lambda x: {"judge": judge(x), "attacker": attacker(x)}), (x,), batch_size)
    names = _class_names(clean, classes)
    _check_classes(truth, target, len(names))
    setting = _Setting(attacker, judge, target, alpha, steps)
    found = {name: _attack(name, f, setting, (k_attack, x, y), batch_size) for name, f in restorers.items()}
    results = DecisionResults(
        protocol=_data_record(key, source, degradation, measurement_bits) | setting.record(names),
        provenance=provenance_record(batch_size, {"total": time.perf_counter() - started}),
        source={
            network: (_shares(predicted, len(names)), _accuracy(predicted, truth))
            for network, predicted in ((network, logits.argmax(axis=1)) for network, logits in clean.items())
        },
        restorers=tuple(_summary(name, arrays, truth, target, len(names)) for name, arrays in found.items()),
        samples=decision_samples(
            source.names, x, y, None if truth is None else [names[i] for i in truth], found, names
        ),
    )
    if out is not None:
        write_decisions(results, out)
    return results


def decisions_record(results: DecisionResults) -> dict[str, Any]:
    """The results as plain JSON-able values, as `decisions.json` holds them; undefined numbers are null."""
    source = {name: {"shares": found[0], "accuracy": found[1]} for name, found in results.source.items()}
    record = results._asdict() | {"source": source}
    return {name: _plain(record[name]) for name in ("protocol", "provenance", "source", "restorers")}


def _plain(value: Any) -> Any:
    """Nested results as JSON-able values, without the decisions on single examples."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items() if name not in ("before", "after")}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def write_decisions(results: DecisionResults, out: Path) -> None:
    """Write `decisions.json`, the table `decisions.txt` and the figure `decisions.png`; earlier ones are replaced.

    Raises:
        InputError: `out` is a file.
        OSError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"out: found a file at {error.filename}, expected a folder") from error
    record = decisions_record(results)
    write_atomically(out / "decisions.json", (json.dumps(record, indent=2, allow_nan=False) + "\n").encode())
    write_atomically(out / "decisions.txt", (decisions_table(record) + "\n").encode())
    write_atomically(out / "decisions.png", png_bytes(figure_decisions(record, results.samples)))


def _attack(
    name: str, restorer: Estimator, setting: _Setting, inputs: tuple[Array, np.ndarray, np.ndarray], batch_size: int
) -> dict[str, np.ndarray]:
    """Everything about one restorer, one row per example."""
    keys, x, y = inputs
    _check_restorer(name, restorer, x, y)

    def program(keys: Key, y: Array) -> dict[str, Array]:
        restored = restorer(y)
        attacker_before = jnp.argmax(setting.attacker(restored), axis=1)
        label = attacker_before if setting.target is None else jnp.full_like(attacker_before, setting.target)
        toward = class_log_probability(restorer, setting.attacker, label)
        objective = negated(toward) if setting.target is None else toward
        y_adv = ifgsm(keys, objective, y, alpha=setting.alpha, steps=setting.steps, bounds=(0.0, 1.0))
        status = gradient_status(keys, lambda y: objective(y)[:, None], y)
        restored_adv = restorer(y_adv)
        return {
            "y_adv": y_adv,
            "restored": restored,
            "restored_adv": restored_adv,
            "judge_before": jnp.argmax(setting.judge(restored), axis=1),
            "judge_after": jnp.argmax(setting.judge(restored_adv), axis=1),
            "attacker_before": attacker_before,
            "attacker_after": jnp.argmax(setting.attacker(restored_adv), axis=1),
            "psnr": input_psnr(y, y_adv, data_range=1.0),
            "blind": status.zero | ~status.finite,
        }

    try:
        found = _in_batches(jax.jit(program), (keys, y), batch_size)
    except InputError as error:
        raise InputError(f"restorer {name}: {first_line(error)}") from error
    for part in ("restored", "restored_adv"):
        if bad := int((~np.isfinite(found[part])).sum()):
            raise InputError(f"restorer {name}: found {bad} NaN or infinite values in {part}, expected none")
    return found


def _in_batches(
    program: Callable[..., dict[str, Array]], inputs: tuple[Any, ...], batch_size: int
) -> dict[str, np.ndarray]:
    """Run a program on batches of one size, the last one filled up with its last example, and put them together."""
    total = inputs[0].shape[0]
    size = min(batch_size, total)
    pieces: list[dict[str, np.ndarray]] = []
    for begin in range(0, total, size):
        rows = np.minimum(np.arange(begin, begin + size), total - 1)
        done = program(*(part[rows] if isinstance(part, jax.Array) else jnp.asarray(part[rows]) for part in inputs))
        pieces.append({name: np.asarray(values)[: total - begin] for name, values in done.items()})
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _chosen(
    images: ImageSource | Sequence[np.ndarray], labels: Sequence[int] | None, limit: int | None
) -> tuple[ImageSource, np.ndarray | None]:
    """The images that are used, and their classes if known."""
    source = images if isinstance(images, ImageSource) else from_arrays(list(images), name="images")
    labels = source.labels if labels is None else labels
    truth = None if labels is None else np.asarray(labels)
    if truth is not None and (truth.shape != (len(source),) or truth.dtype.kind not in "iu"):
        raise InputError(f"labels: found {truth.dtype} of shape {truth.shape}, expected integers ({len(source)},)")
    if limit is not None:
        check_count("limit", limit)
    count = len(source) if limit is None else min(limit, len(source))
    indices = [int(i) for i in np.linspace(0, len(source) - 1, count).round()]
    shapes = {source.shape(i) for i in indices}
    if len(shapes) > 1:
        raise InputError(f"images: found {len(shapes)} different shapes, expected one; cut them with `data.crops`")
    return source.select(indices), None if truth is None else truth[indices]


def _class_names(clean: Mapping[str, np.ndarray], classes: Sequence[str] | None) -> list[str]:
    """Names of the classes, after a look at what the classifiers return."""
    judge, attacker = clean["judge"], clean["attacker"]
    for network, logits in clean.items():
        if logits.ndim != 2:
            raise InputError(f"{network}: found logits of shape {logits.shape}, expected (N, classes)")
        if not np.isfinite(logits).all():
            raise InputError(f"{network}: found NaN or infinite logits for clean images, expected finite ones")
    if judge.shape != attacker.shape:
        raise InputError(f"judge: found {judge.shape[1]} classes, expected those of attacker, {attacker.shape[1]}")
    names = [str(i) for i in range(judge.shape[1])] if classes is None else [str(name) for name in classes]
    if len(names) != judge.shape[1]:
        raise InputError(f"classes: found {len(names)} names, expected one for each of {judge.shape[1]} classes")
    return names


def _check_classes(truth: np.ndarray | None, target: int | None, count: int) -> None:
    if truth is not None and (truth.min() < 0 or truth.max() >= count):
        raise InputError(f"labels: found classes {truth.min()} to {truth.max()}, expected 0 to {count - 1}")
    if target is not None and (isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < count):
        raise InputError(f"target: found {target!r}, expected a class from 0 to {count - 1}, or None")


def _check_restorer(name: str, restorer: Estimator, x: np.ndarray, y: np.ndarray) -> None:
    example = jax.ShapeDtypeStruct((2, *y.shape[1:]), y.dtype)
    try:
        output = jax.eval_shape(restorer, example)
        jax.eval_shape(jax.grad(lambda y: jnp.sum(restorer(y))), example)
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(
            f"restorer {name}: failed on measurements ({reason}), expected a deterministic y -> x̂ that JAX can "
            "differentiate"
        ) from error
    if output.shape != (2, *x.shape[1:]):
        raise InputError(f"restorer {name}: found output of shape {output.shape}, expected {(2, *x.shape[1:])}")


def _summary(
    name: str, arrays: Mapping[str, np.ndarray], truth: np.ndarray | None, target: int | None, classes: int
) -> RestorerDecisions:
    def judgement(network: str) -> Judgement:
        before, after = arrays[f"{network}_before"], arrays[f"{network}_after"]
        elsewhere = before != target if target is not None else np.zeros(len(before), bool)
        return Judgement(
            before=before,
            after=after,
            shares_before=_shares(before, classes),
            shares_after=_shares(after, classes),
            changed=grouped_mean(before != after),
            target_success=grouped_mean(after[elsewhere] == target) if elsewhere.any() else None,
            accuracy_before=_accuracy(before, truth),
            accuracy_after=_accuracy(after, truth),
        )

    psnr, blind = grouped_mean(arrays["psnr"]), float(arrays["blind"].mean())
    return RestorerDecisions(name, judgement("judge"), judgement("attacker"), psnr, blind)


def _data_record(key: Key, source: ImageSource, degradation: Degradation, bits: int | None) -> dict[str, Any]:
    return {
        "data": source.name,
        "data_fingerprint": source.fingerprint,
        "examples": len(source),
        "degradation": degradation.name,
        "measurement_bits": bits,
        "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
    }


def _shares(predicted: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(predicted, minlength=classes) / len(predicted)


def _accuracy(predicted: np.ndarray, truth: np.ndarray | None) -> Estimate | None:
    return None if truth is None else grouped_mean(predicted == truth)
