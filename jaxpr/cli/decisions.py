"""`jaxpr decisions`: attacks on a classifier behind each restorer, judged by another classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax

from jaxpr import report
from jaxpr.core import InputError, check_count, given_path, seed_key
from jaxpr.data import digits
from jaxpr.degradations import parse_degradation
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.evaluation import AttackedDecisions, DecisionAttack, evaluate_decisions
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.state import check_unclaimed
from jaxpr.records.decisions import decisions_record
from jaxpr.restorers import Training, build_restorers
from jaxpr.weights.classifiers import digit_classifier

__all__ = ["Decisions", "digit_decisions"]

_BITS, _LEVELS = 8, 255


def digit_decisions(*, attack: DecisionAttack | None = None, steps: int = 100) -> AttackedDecisions:
    """The packaged classifiers of digits, one of which is attacked.

    Args:
        attack: strength and target; None for the paper's.
        steps: of the attack.
    """
    return AttackedDecisions(
        attacker=digit_classifier("attacker"),
        judge=digit_classifier("judge"),
        attacks=(attack or DecisionAttack(),),
        steps=steps,
    )


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Attack a classifier through each restorer and ask another one what it sees: tables and a figure."""

    out: Path
    """Folder for decisions.json, decisions.txt and decisions.png, and for the state of the run. The same command in the
    same folder resumes an interrupted run."""

    data: Literal["digits"] = "digits"
    """Images that packaged classifiers know: digits, attacked on the test split; restorers learn on the train split."""

    degradation: str = "average-x2"
    """As for evaluate, for example average-x2, bicubic-x2 or average-x2+noise-0.05."""

    restorers: tuple[str, ...] = ("bicubic", "lmmse", "exemplar:0.05", "exemplar:0.01")
    """As for evaluate; they must be deterministic and differentiable."""

    target: int | None = None
    """Class that the attack aims for; by default it only leaves the class that was seen before."""

    alpha_levels: float = 16.0
    """Strength of the attack in grey levels of 255."""

    attack_steps: int = 100
    """Steps of the attack."""

    limit: int | None = None
    """Attack only so many images."""

    dictionary: int = 4096
    """Number of exemplars."""

    seed: int = 0
    """Decides noise, the attacks' starts and the choice of exemplars."""

    batch_size: int = 64
    """Images attacked together; changes memory and speed."""

    accept_other_code: bool = False
    """Go on with a run that another version of jaxpr's code began."""

    progress: bool = True
    """Show progress bars."""

    def check(self) -> None:
        """Raise unless every option is valid."""
        for name in ("dictionary", "batch_size", "attack_steps"):
            check_count(name, getattr(self, name))
        if self.limit is not None:
            check_count("limit", self.limit)
        if not 0 <= self.alpha_levels <= _LEVELS:
            raise InputError(f"alpha_levels: found {self.alpha_levels:g}, expected 0 to {_LEVELS}")

    def run(self) -> None:
        """Attack, write and print the table."""
        self.check()
        out = given_path(self.out)
        k_evaluate, k_fit = jax.random.split(seed_key("seed", self.seed))
        images, degradation = digits("test"), parse_degradation(self.degradation)
        training = Training(
            images=lambda: digits("train"),
            degrade=degrader(degradation, bits=_BITS, compiled=jax.jit),
            degradation=degradation,
            channels=images.shape(0)[2],
            dictionary=self.dictionary,
            key=k_fit,
        )
        if not self.restorers:
            raise InputError("restorers: found none, expected at least one")
        warn_of_idle_accelerator()
        check_unclaimed(out)
        attack = DecisionAttack(self.alpha_levels / _LEVELS, self.target)
        (results,) = evaluate_decisions(
            k_evaluate,
            build_restorers(self.restorers, training),
            images,
            degradation,
            digit_decisions(attack=attack, steps=self.attack_steps),
            out=out,
            batch_size=self.batch_size,
            limit=self.limit,
            measurement_bits=_BITS,
            progress=self.progress,
            accept_other_code=self.accept_other_code,
        )
        print(report.decisions_table(decisions_record(results)))
        print(f"\nFigure: {out / 'decisions.png'}")
