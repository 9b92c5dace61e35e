"""`jaxpr decisions`: attacks on a classifier behind each restorer, judged by another classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro

from jaxpr import report
from jaxpr.cli.options import option_images
from jaxpr.core import InputError, check_count, given_path, seed_key
from jaxpr.data import ImageSource
from jaxpr.data.words import has_splits
from jaxpr.degradations import parse_degradation
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.evaluation import AttackedDecisions, DecisionAttack, evaluate_decisions
from jaxpr.evaluation.classifiers import CLASSIFIER_WORDS, named_classifier, named_score
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.state import check_unclaimed
from jaxpr.records.decisions import decisions_record
from jaxpr.restorers import Training, build_restorers
from jaxpr.weights import PACKAGED_CLASSIFIERS
from jaxpr.weights.classifiers import digit_classifier

__all__ = ["Decisions", "digit_decisions"]

_BITS, _LEVELS = 8, 255
_WORDS = "; ".join(f"{shown}: {means}" for shown, means in CLASSIFIER_WORDS)
_ATTACKER = f"The classifier that the attack goes through. By default the packaged one of --data. Words: {_WORDS}."
_JUDGE = "Another classifier of the same classes, which the attack does not see; words and default as of --attacker."


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

    data: str = "digits"
    """As for evaluate, but for pairs: digits, digits28 or photos (test split), classes:FOLDER with one folder for each
    class, idx:IMAGES:LABELS, split:SHARE:WORD, tfds:NAME:SPLIT[:IMAGE_KEY] or a folder of images. Without classes
    shares of right decisions are not known, all else is."""

    train: str | None = None
    """Where fitted restorers (lmmse, exemplar) learn: as --data; default: the images to train of --data, where it has
    such, else the packaged photographs."""

    attacker: Annotated[str | None, tyro.conf.arg(help=_ATTACKER)] = None

    judge: Annotated[str | None, tyro.conf.arg(help=_JUDGE)] = None

    score: str | None = None
    """A further judge that gives each image one number, such as an age: path/to/file.py:NAME or package.module:NAME of
    a function of JAX, x -> (N,), or of a torch.nn.Module."""

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

    skip_bad: bool = False
    """Leave out unreadable files of a folder, and report them, instead of stopping."""

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
        if not self.restorers:
            raise InputError("restorers: found none, expected at least one")
        if self.attacker is not None and self.attacker == self.judge:
            raise InputError(f"judge: found {self.judge!r}, the attacked classifier, expected another one")

    def asked(self, images: ImageSource) -> AttackedDecisions:
        """The classifiers and the attack.

        Args:
            images: that are attacked.
        """
        attacker, judge = (named_classifier(role, self._classifier(role)) for role in ("attacker", "judge"))
        return AttackedDecisions(
            attacker=attacker,
            judge=judge,
            attacks=(DecisionAttack(self.alpha_levels / _LEVELS, self.target),),
            steps=self.attack_steps,
            classes=images.classes,
            score=None if self.score is None else named_score("score", self.score),
        )

    def _classifier(self, role: Literal["attacker", "judge"]) -> str:
        if (given := getattr(self, role)) is not None:
            return given
        packaged = f"{self.data}-{role}"
        if packaged not in PACKAGED_CLASSIFIERS:
            raise InputError(f"{role}: found none for --data {self.data}, expected a classifier; see --help")
        return packaged

    def run(self) -> None:
        """Attack, write and print the table."""
        self.check()
        out = given_path(self.out)
        k_evaluate, k_fit = jax.random.split(seed_key("seed", self.seed))
        images = option_images("data", self.data, "test", skip_bad=self.skip_bad)
        degradation, decisions = parse_degradation(self.degradation), self.asked(images)
        own = self.data if has_splits(self.data) else "photos"
        train = option_images("train", own if self.train is None else self.train, "train", skip_bad=self.skip_bad)
        training = Training(
            images=lambda: train,
            degrade=degrader(degradation, bits=_BITS, compiled=jax.jit),
            degradation=degradation,
            channels=images.shape(0)[2],
            dictionary=self.dictionary,
            key=k_fit,
        )
        warn_of_idle_accelerator()
        check_unclaimed(out)
        (results,) = evaluate_decisions(
            k_evaluate,
            build_restorers(self.restorers, training),
            images,
            degradation,
            decisions,
            out=out,
            batch_size=self.batch_size,
            limit=self.limit,
            measurement_bits=_BITS,
            progress=self.progress,
            accept_other_code=self.accept_other_code,
        )
        print(report.decisions_table(decisions_record(results)))
        if images.labels is None:
            print(f"labels: found none of {images.name}, so that shares of right decisions are not known")
        print(f"\nFigure: {out / 'decisions.png'}")
