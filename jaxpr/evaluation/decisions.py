"""Attacks on decisions behind a restorer: can a tiny change of y make a classifier see another class in x̂?

The experiment of [ohayon2024], Section 4.3 and Appendix F: measurements are attacked through restorer and classifier,
and a second classifier, which the attack never saw, judges the restorations before and after.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import class_log_probability, ifgsm, input_psnr
from jaxpr.attacks.gradients import gradient_status
from jaxpr.core import (
    Array,
    Estimator,
    InputError,
    Key,
    Sampler,
    check_count,
    check_positive,
    example_keys,
    users_code,
)
from jaxpr.data import ImageSource, from_arrays
from jaxpr.degradations import Degradation, as_degradation
from jaxpr.degradations.linear import LinearOperator
from jaxpr.evaluation.decision_results import DecisionResults, Judgement, RestorerDecisions, write_decisions
from jaxpr.evaluation.draws import Computation, computation_of
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.provenance import provenance_record
from jaxpr.evaluation.trial import check_output, check_range
from jaxpr.numerics.statistics import Estimate, grouped_mean
from jaxpr.report.decisions import decision_samples
from jaxpr.restorers import Restorer, as_restorer

__all__ = ["Classifier", "DecisionAttack", "evaluate_decisions", "sweep_decisions"]

Classifier: TypeAlias = Callable[[Array], Array]
"""Maps restorations (N, H, W, C) to logits (N, classes)."""


_TRIED = 8


class DecisionAttack(NamedTuple):
    """How decisions are attacked.

    Attributes:
        alpha: radius of the ∞-norm ball in intensity units; default of [ohayon2024], Section 4.3.
        target: class to reach; None attacks away from the class seen before.
    """

    alpha: float = 16 / 255
    target: int | None = None


class _Setting(NamedTuple):
    """What every program shares."""

    attacker: Classifier
    judge: Classifier
    steps: int

    def record(self, attack: DecisionAttack, classes: Sequence[str]) -> dict[str, Any]:
        return {
            "attack": "ifgsm on the log-probability of a class behind the restorer",
            "target": attack.target,
            "alpha": float(attack.alpha),
            "attack_steps": self.steps,
            "classes": list(classes),
        }


def evaluate_decisions(
    key: Key,
    restorers: Mapping[str, Estimator | Sampler],
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
        restorers: names to deterministic restorers, or plain callables y -> x̂, that JAX can differentiate.
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
    (found,) = sweep_decisions(
        key,
        restorers,
        images,
        degradation,
        [DecisionAttack(alpha, target)],
        attacker=attacker,
        judge=judge,
        labels=labels,
        steps=steps,
        batch_size=batch_size,
        limit=limit,
        measurement_bits=measurement_bits,
        classes=classes,
    )
    if out is not None:
        write_decisions(found, out)
    return found


def sweep_decisions(
    key: Key,
    restorers: Mapping[str, Estimator | Sampler],
    images: ImageSource | Sequence[np.ndarray],
    degradation: Degradation | LinearOperator | str,
    attacks: Sequence[DecisionAttack],
    *,
    attacker: Classifier,
    judge: Classifier,
    labels: Sequence[int] | None = None,
    steps: int = 100,
    batch_size: int = 64,
    limit: int | None = None,
    measurement_bits: int | None = 8,
    classes: Sequence[str] | None = None,
) -> tuple[DecisionResults, ...]:
    """Several attacks on the same measurements, from the same starts; restorers with one `apply` are compiled once.

    Arguments are those of `evaluate_decisions`, with `attacks` in place of a strength and a target.

    Returns:
        For each attack what `evaluate_decisions` returns; the time in the provenance is that of all.

    Raises:
        InputError: no attacks; otherwise as `evaluate_decisions`.
    """
    check_count("batch_size", batch_size)
    check_count("steps", steps)
    for attack in attacks:
        check_positive("alpha", attack.alpha, or_zero=True)
    if not restorers:
        raise InputError("restorers: found none, expected at least one")
    if not attacks:
        raise InputError("attacks: found none, expected at least one")
    started = time.perf_counter()
    degradation = as_degradation(degradation)
    source, truth = _chosen(images, labels, limit)
    x = np.stack(list(source))
    k_noise, k_attack = (example_keys(k, len(x)) for k in jax.random.split(key))
    degrade = degrader(degradation, bits=measurement_bits, compiled=jax.jit)
    y = _in_batches(lambda keys, x: {"y": degrade(keys, x)}, (k_noise, x), batch_size)["y"]
    clean = _in_batches(jax.jit(lambda x: {"judge": judge(x), "attacker": attacker(x)}), (x,), batch_size)
    names = _class_names(clean, classes)
    _check_classes(truth, [attack.target for attack in attacks], len(names))
    setting = _Setting(attacker, judge, steps)
    known = {name: _deterministic(name, function) for name, function in restorers.items()}
    compiled = functools.cache(functools.partial(_program, setting=setting))
    found = {
        name: _attack(name, r, compiled(computation_of(r)), attacks, (k_attack, x, y), batch_size)
        for name, r in known.items()
    }
    provenance = provenance_record(batch_size, {"total": time.perf_counter() - started})
    decided = {network: logits.argmax(axis=1) for network, logits in clean.items()}
    seen = {network: (_shares(d, len(names)), _accuracy(d, truth)) for network, d in decided.items()}
    labelled = None if truth is None else [names[i] for i in truth]
    results = []
    for number, attack in enumerate(attacks):
        arrays = {name: found[name][number] for name in known}
        results.append(
            DecisionResults(
                protocol=_data_record(key, source, degradation, measurement_bits) | setting.record(attack, names),
                provenance=provenance,
                source=seen,
                restorers=tuple(_summary(n, known[n], a, truth, attack.target, len(names)) for n, a in arrays.items()),
                samples=decision_samples(source.names, x, y, labelled, arrays, names),
            )
        )
    return tuple(results)


def _deterministic(name: str, function: Estimator | Sampler) -> Restorer:
    found = as_restorer(name, function)
    if found.stochastic:
        raise InputError(
            f"restorer {name}: found a stochastic one, expected a deterministic y -> x̂ that JAX can differentiate"
        )
    return found


def _program(computation: Computation, setting: _Setting) -> Callable[..., dict[str, Array]]:
    """Compiled `(params, keys, y, alpha, target) -> {name: (N, ...)}` for all restorers that compute so.

    Strength and target are traced, so that all attacks share one program; a target of -1 is none.
    """

    def program(params: Any, keys: Key, y: Array, alpha: Array, target: Array) -> dict[str, Array]:
        restorer = functools.partial(computation.draw, params, keys)
        restored = restorer(y)
        attacker_before = jnp.argmax(setting.attacker(restored), axis=1)
        label = jnp.where(target < 0, attacker_before, target)
        toward = class_log_probability(restorer, setting.attacker, label)
        sign = jnp.where(target < 0, -1, 1)

        def objective(y: Array) -> Array:
            return sign * toward(y)

        y_adv = ifgsm(keys, objective, y, alpha=alpha, steps=setting.steps, bounds=(0.0, 1.0))
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

    return jax.jit(program)


def _attack(
    name: str,
    restorer: Restorer,
    program: Callable[..., dict[str, Array]],
    attacks: Sequence[DecisionAttack],
    inputs: tuple[Array, np.ndarray, np.ndarray],
    batch_size: int,
) -> list[dict[str, np.ndarray]]:
    """Everything about one restorer, one row per example, for each attack."""
    keys, x, y = inputs
    _check_restorer(name, restorer, x, y)
    run = functools.partial(program, restorer.params)
    found = []
    for attack in attacks:
        values = jnp.float32(attack.alpha), jnp.int32(-1 if attack.target is None else attack.target)
        with users_code(f"restorer {name}"):
            arrays = _in_batches(lambda keys, y, values=values: run(keys, y, *values), (keys, y), batch_size)
        for part in ("restored", "restored_adv"):
            if bad := int((~np.isfinite(arrays[part])).sum()):
                raise InputError(f"restorer {name}: found {bad} NaN or infinite values in {part}, expected none")
        found.append(arrays)
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


def _check_classes(truth: np.ndarray | None, targets: Sequence[int | None], count: int) -> None:
    if truth is not None and (truth.min() < 0 or truth.max() >= count):
        raise InputError(f"labels: found classes {truth.min()} to {truth.max()}, expected 0 to {count - 1}")
    for target in targets:
        if target is not None and (isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < count):
            raise InputError(f"target: found {target!r}, expected a class from 0 to {count - 1}, or None")


def _check_restorer(name: str, restorer: Restorer, x: np.ndarray, y: np.ndarray) -> None:
    example = jax.ShapeDtypeStruct((2, *y.shape[1:]), y.dtype)
    what = f"restorer {name}: measurements of shape {example.shape}"
    with users_code(what, expected="a deterministic y -> x̂ that JAX can differentiate"):
        check_output(name, jax.eval_shape(restorer, example), (2, *x.shape[1:]))
        jax.eval_shape(jax.grad(lambda y: jnp.sum(restorer(y))), example)
    with users_code(f"restorer {name}"):
        restored = np.asarray(restorer(jnp.asarray(y[:_TRIED])), np.float32)
    if np.isfinite(restored).all():  # NaN is found, and counted, in the run
        check_range(name, restored, x[:_TRIED])


def _summary(
    name: str,
    restorer: Restorer,
    arrays: Mapping[str, np.ndarray],
    truth: np.ndarray | None,
    target: int | None,
    classes: int,
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
    return RestorerDecisions(name, judgement("judge"), judgement("attacker"), psnr, blind, restorer.described_as)


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
