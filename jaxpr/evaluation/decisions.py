"""Attacks on decisions behind a restorer: can a tiny change of y make a classifier see another class in x̂?

The experiment of [ohayon2024], Section 4.3 and Appendix F: measurements are attacked through restorer and classifier,
and a second classifier, which the attack never saw, judges the restorations before and after.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import class_log_probability, ifgsm, input_psnr
from jaxpr.attacks.gradients import gradient_status
from jaxpr.core import Array, InputError, Key, check_count, check_positive, may_be_undefined, users_code
from jaxpr.evaluation.arrays import ClassArrays, DecisionArrays, stored
from jaxpr.evaluation.devices import spread
from jaxpr.evaluation.draws import Computation
from jaxpr.evaluation.pictures import packed_pictures
from jaxpr.evaluation.stream import Compute, Run
from jaxpr.evaluation.trial import check_restored

__all__ = [
    "Classifier",
    "DecisionAttack",
    "DecisionWork",
    "AttackedDecisions",
    "check_decisions",
    "decision_program",
    "first_logits",
]

Classifier: TypeAlias = Callable[[Array], Array]
"""Maps restorations (N, H, W, C) to logits (N, classes)."""


class DecisionAttack(NamedTuple):
    """How decisions are attacked.

    Attributes:
        alpha: radius of the ∞-norm ball in intensity units; default of [ohayon2024], Section 4.3.
        target: class to reach; None attacks away from the class seen before.
    """

    alpha: float = 16 / 255
    target: int | None = None


@dataclass(frozen=True, kw_only=True)
class AttackedDecisions:
    """Two classifiers, and how decisions are attacked behind each restorer.

    With a target, I-FGSM raises the log-probability that `attacker` gives to it behind the restorer; without one it
    lowers that of the class that `attacker` sees before.

    Raises:
        InputError: no attacks, or a strength or number of steps that cannot be.
    """

    attacker: Classifier
    """The attack goes through it."""

    judge: Classifier
    """Another one, for the same classes, which the attack does not see."""

    attacks: tuple[DecisionAttack, ...] = (DecisionAttack(),)
    """All start from the same measurements, in the same way."""

    steps: int = 100
    """Of I-FGSM; default of the paper."""

    classes: tuple[str, ...] | None = None
    """Names of the classes, for reports; None for their numbers."""

    score: Classifier | None = None
    """A further judge, of one number: maps images (N, H, W, C) to (N,), such as an age (Appendix F.2)."""

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        if not self.attacks:
            raise InputError("attacks: found none, expected at least one")
        for attack in self.attacks:
            check_positive("alpha", attack.alpha, or_zero=True)

    def record(self, attack: DecisionAttack, classes: Sequence[str]) -> dict[str, Any]:
        """What a record says about one of the attacks."""
        return {
            "attack": "ifgsm on the log-probability of a class behind the restorer",
            "target": attack.target,
            "alpha": float(attack.alpha),
            "attack_steps": self.steps,
            "classes": list(classes),
        }


def decision_program(
    computation: Computation, decisions: AttackedDecisions, bounds: tuple[float, float] | None
) -> Callable[..., dict[str, Array]]:
    """Compiled `(params, (alpha, target), keys, y) -> {name: (N, ...)}` for all restorers that compute so.

    Strength and target are traced, so that all attacks share one program; a target of -1 is none.
    """

    def program(params: Any, attack: tuple[Array, Array], keys: Key, y: Array) -> dict[str, Array]:
        alpha, target = attack
        restorer = functools.partial(computation.draw, params, keys)
        restored = restorer(y)
        attacker_before = jnp.argmax(decisions.attacker(restored), axis=1)
        label = jnp.where(target < 0, attacker_before, target)
        toward = class_log_probability(restorer, decisions.attacker, label)
        sign = jnp.where(target < 0, -1, 1)

        def objective(y: Array) -> Array:
            return sign * toward(y)

        y_adv = ifgsm(keys, objective, y, alpha=alpha, steps=decisions.steps, bounds=bounds)
        status = gradient_status(keys, lambda y: objective(y)[:, None], y)
        restored_adv = restorer(y_adv)
        scores = {}
        if decisions.score is not None:
            scores = {"score_before": decisions.score(restored), "score_after": decisions.score(restored_adv)}
        return scores | {
            "y_adv": y_adv,
            "restored": restored,
            "restored_adv": restored_adv,
            "judge_before": jnp.argmax(decisions.judge(restored), axis=1),
            "judge_after": jnp.argmax(decisions.judge(restored_adv), axis=1),
            "attacker_before": attacker_before,
            "attacker_after": jnp.argmax(decisions.attacker(restored_adv), axis=1),
            "psnr": input_psnr(y, y_adv, data_range=1.0),
            "blind": status.zero | ~status.finite,
        }

    return may_be_undefined(spread(program, shared=2))


def check_decisions(decisions: AttackedDecisions, run: Run) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of the classes, and `first_logits` of the first images; targets and labels are looked at, too.

    Raises:
        InputError: classifiers that fail, or are of different classes; labels, a target or names that do not fit.
    """
    x, _ = run.inputs(run.first_piece())
    logits = first_logits(decisions, x)
    count = logits["attacker"].shape[1]
    if logits["judge"].shape[1] != count:
        raise InputError(f"judge: found {logits['judge'].shape[1]} classes, expected those of attacker, {count}")
    names = [str(i) for i in range(count)] if decisions.classes is None else [str(name) for name in decisions.classes]
    if len(names) != count:
        raise InputError(f"classes: found {len(names)} names, expected one for each of {count} classes")
    labels = run.examples.labels
    if labels is not None and (labels.min() < 0 or labels.max() >= count):
        raise InputError(f"labels: found classes {labels.min()} to {labels.max()}, expected 0 to {count - 1}")
    for target in (attack.target for attack in decisions.attacks):
        if target is not None and (isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < count):
            raise InputError(f"target: found {target!r}, expected a class from 0 to {count - 1}, or None")
    return names, logits


def first_logits(decisions: AttackedDecisions, x: Array) -> dict[str, np.ndarray]:
    """What each network returns for clean images: "attacker", "judge" and, if there is one, "score".

    Raises:
        InputError: one fails, or returns another shape, no floats, values that are not finite, or probabilities where
            the attack needs logits.
    """
    found = {name: _returned(name, getattr(decisions, name), x) for name in ("attacker", "judge")}
    for name, logits in found.items():
        if logits.ndim != 2 or len(logits) != len(x):
            raise InputError(f"{name}: found logits of shape {logits.shape}, expected (N, classes)")
        if logits.shape[1] < 2:
            raise InputError(f"{name}: found {logits.shape[1]} class, expected at least two")
    rows = found["attacker"]
    if (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-3):
        raise InputError("attacker: found probabilities (rows that sum to 1), expected logits; return their logarithm")
    if decisions.score is not None:
        found["score"] = _returned("score", decisions.score, x)
        if found["score"].shape != (len(x),):
            raise InputError(f"score: found shape {found['score'].shape}, expected one number for each image, (N,)")
    return found


_EXPECTED = {"score": "a function that maps images (N, H, W, C) to one number each, (N,)"}
_CLASSIFIER = "a classifier that maps images (N, H, W, C) to logits (N, classes)"


def _returned(name: str, network: Classifier, x: Array) -> np.ndarray:
    with users_code(name, expected=_EXPECTED.get(name, _CLASSIFIER)):
        found = np.asarray(jax.jit(network)(x))
    if found.dtype.kind != "f" and found.dtype != jnp.bfloat16:
        raise InputError(f"{name}: found {found.dtype} for clean images, expected floating point")
    if not np.isfinite(found.astype(np.float32)).all():
        what = "numbers" if name == "score" else "logits"
        raise InputError(f"{name}: found NaN or infinite {what} for clean images, expected finite ones")
    return found


def _seen(decisions: AttackedDecisions, x: Array) -> dict[str, Array]:
    """What the networks see in images."""
    found = {name: jnp.argmax(getattr(decisions, name)(x), axis=1) for name in ("attacker", "judge")}
    return found if decisions.score is None else found | {"score": decisions.score(x)}


class DecisionWork:
    """What is computed for a batch of examples: classes of the natural images, and attacks behind a restorer.

    Args:
        run: examples and settings.
        decisions: classifiers and attacks.

    Attributes:
        program: from a computation to its program, see `decision_program`; made once for each.
    """

    def __init__(self, run: Run, decisions: AttackedDecisions) -> None:
        self.run = run
        self.attacks = [
            (jnp.float32(attack.alpha), jnp.int32(-1 if attack.target is None else attack.target))
            for attack in decisions.attacks
        ]
        self._classes = spread(functools.partial(_seen, decisions))
        self.program = functools.cache(
            functools.partial(decision_program, decisions=decisions, bounds=run.protocol.bounds)
        )

    def reference(self) -> Compute:
        """Classes of the natural images, and pictures of them."""

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = self.run.inputs(numbers)
            return stored(ClassArrays(**self._classes(x), pictures=packed_pictures({"x": x, "y": y})))

        return compute

    def restorer(self, name: str, program: Callable[..., dict[str, Array]]) -> Compute:
        """All attacks behind a restorer.

        Args:
            name: of the restorer.
            program: of `self.program`, with the restorer's parameters.
        """
        run = self.run

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            _, y = run.inputs(numbers)
            keys = run.attack_keys[np.array(numbers)]
            with users_code(f"restorer {name}"):
                found = [jax.block_until_ready(program(attack, keys, y)) for attack in self.attacks]
            for part in ("restored", "restored_adv"):
                for arrays in found:
                    check_restored(run, name, numbers, np.asarray(arrays[part]))

            def each(part: str) -> np.ndarray:
                return np.stack([np.asarray(arrays[part]) for arrays in found], axis=1)

            first, scored = found[0], "score_before" in found[0]
            pictures = {"restored": first["restored"], "y_adv": each("y_adv"), "restored_adv": each("restored_adv")}
            return stored(
                DecisionArrays(
                    attacker_before=first["attacker_before"],
                    judge_before=first["judge_before"],
                    attacker_after=each("attacker_after"),
                    judge_after=each("judge_after"),
                    psnr=each("psnr"),
                    blind=each("blind"),
                    pictures=packed_pictures(pictures),
                    score_before=first["score_before"] if scored else None,
                    score_after=each("score_after") if scored else None,
                )
            )

        return compute
