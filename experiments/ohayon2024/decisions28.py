r"""Can an attack decide what is seen behind a GAN, where classes survive ℓ1? Digits of 28×28, as [ohayon2024] asks.

    jaxpr train digits28 --out runs/digits28
    python experiments/ohayon2024/decisions28.py --runs runs/digits28 [--scale smoke|small|paper] [--out FOLDER]

Section 4.3 and Appendix F as close as digits come: deterministic restorers of ×4 with noise of 10/255, not projected;
an attack that aims for one class through restorer and classifier, judged by another classifier; a set-up in which more
than 90 % of digits keep their class behind ℓ1, for both classifiers. That is measured first: where it does not hold,
nothing is claimed about the rest. Two questions to the same networks: ten classes, where the attack aims for the
largest digit, as the paper's for the oldest age, and a judge of one number says the digit that it expects (Table 1);
and two classes, digits with a loop (0, 6, 8, 9) or without, as the paper's two genders.

Shares are compared at equal PSNR of the inputs, by interpolation between strengths, and digit by digit, since all
restorers see the same measurements. An error has two parts: digits, and seeds of the restorers.

Small, two CPU cores, 1 s: the weights do not come with jaxpr yet, and what is missing is listed. paper: `jaxpr train
digits28 --scale paper`, all test digits, strengths and steps of the paper.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxpr.core import InputError, first_line
from jaxpr.data import ImageSource, digits28
from jaxpr.evaluation import AttackedDecisions, DecisionAttack, evaluate_decisions
from jaxpr.evaluation.decisions import Classifier
from jaxpr.records.decisions import DecisionResults, RestorerDecisions, ScoreColumn, decisions_record
from jaxpr.report import figure_decisions
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, decided, main
from jaxpr.reproduce import digits as dr
from jaxpr.reproduce.figures import seed_band
from jaxpr.reproduce.statistics import mean_std
from jaxpr.restorers import Restorer, trained_restorer
from jaxpr.weights import trained_classifier

SEED = 0
DEGRADATION = "average-x4+noise-0.0392"
START = "digits28-average-x4-noise-0.0392"
GAN, MIXED, L1 = "GAN", "ℓ1 + GAN", "ℓ1"
KINDS = {L1: "l1", GAN: "gan", MIXED: "mixed"}
LOOKS = dict(zip(KINDS, (COLOURS[1], COLOURS[0], COLOURS[2]), strict=True))
ROLES = ("judge", "attacker")
LOOP = (0, 6, 8, 9)
TEN, TWO = "ten classes", "two classes"
TARGETS = {TEN: 9, TWO: 1}
AIMS = {TEN: "towards 9", TWO: "towards digits with a loop"}
SURVIVE = 0.9
"""Share of digits whose class must survive ℓ1, for both classifiers and at each seed: as for the paper's faces."""
SPREAD = "mean ± standard deviation over seeds"
ERRORS = "mean ± error over digits and seeds"


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        seeds: of restorers, at most.
        kinds: of `KINDS`; those after the second take part where they were trained with all seeds that take part.
        digits: attacked, spread evenly over the test split; None for all.
        steps: of I-FGSM.
        alphas: strengths in grey levels of 255.
    """

    seeds: int
    kinds: tuple[str, ...]
    digits: int | None
    steps: int
    alphas: tuple[float, ...]


SIZES = {
    "smoke": Sizes(1, (L1, GAN), 12, 2, (8, 16)),
    "small": Sizes(3, (L1, GAN), 120, 20, (8, 16)),
    "paper": Sizes(5, tuple(KINDS), None, 100, (2, 4, 8, 16)),
}


class Ready(NamedTuple):
    """What there is to attack.

    Attributes:
        images: digits.
        restorers: by name, each kind a family.
        attacker: classifier of ten digits.
        judge: another one.
        absent: names of weights that would take part, too.
    """

    images: ImageSource
    restorers: dict[str, Restorer]
    attacker: Classifier
    judge: Classifier
    absent: list[str]


Found = dict[str, tuple[DecisionResults, ...]]
"""By question, what each strength of the attack did."""


def prepared(sizes: Sizes, runs: Path | None) -> tuple[Ready | None, list[str]]:
    """What can be attacked, or None; and what is missing, in words."""
    names = {(kind, seed): f"{START}-{KINDS[kind]}-{seed}" for seed in range(sizes.seeds) for kind in sizes.kinds}
    absent = [name for name in names.values() if not decided.weights_exist(name, runs)]
    needed = [f"digits28-{role}" for role in ROLES]
    missing = [name for name in needed if not decided.weights_exist(name, runs)]
    seeds = [seed for seed in range(sizes.seeds) if not {names[kind, seed] for kind in (L1, GAN)} & set(absent)]
    if not seeds:
        missing += absent
    images = None
    try:
        images = digits28("test")
    except InputError as error:
        missing.append(first_line(error))
    if missing or images is None:
        return None, missing
    whole = [kind for kind in sizes.kinds if not {names[kind, seed] for seed in seeds} & set(absent)]
    restorers = {}
    for (kind, seed), name in names.items():
        if seed in seeds and kind in whole:
            made = trained_restorer(dr.source(name, runs))
            restorers[f"{kind}, seed {seed}"] = dataclasses.replace(made, family=kind, setting=seed)
    count = min(sizes.digits or len(images), len(images))
    shown = images.select(np.linspace(0, len(images) - 1, count).round().astype(int).tolist())
    attacker, judge = (trained_classifier(dr.source(f"digits28-{role}", runs)) for role in ("attacker", "judge"))
    return Ready(shown, restorers, attacker, judge, absent), []


def attack(ready: Ready, sizes: Sizes) -> Found:
    """Both questions at all strengths; all restorers see the same measurements."""
    parts = (tuple(digit for digit in range(10) if digit not in LOOP), LOOP)
    two = {role: functools.partial(decided.summed_classes, getattr(ready, role), parts) for role in ROLES}
    asked = {
        TEN: AttackedDecisions(
            attacker=ready.attacker,
            judge=ready.judge,
            attacks=_attacks(TEN, sizes),
            steps=sizes.steps,
            score=functools.partial(decided.expected_class, ready.judge),
        ),
        TWO: AttackedDecisions(
            **two, attacks=_attacks(TWO, sizes), steps=sizes.steps, classes=("without a loop", "with a loop")
        ),
    }
    loops = tuple(int(label in LOOP) for label in ready.images.labels or ())
    images = {TEN: ready.images, TWO: dataclasses.replace(ready.images, labels=loops)}
    return {
        question: evaluate_decisions(
            jax.random.key(SEED), ready.restorers, images[question], DEGRADATION, decisions, batch_size=128
        )
        for question, decisions in asked.items()
    }


def _attacks(question: str, sizes: Sizes) -> tuple[DecisionAttack, ...]:
    return tuple(DecisionAttack(alpha / 255, TARGETS[question]) for alpha in sizes.alphas)


def of_kind(results: DecisionResults, kind: str) -> list[RestorerDecisions]:
    """One kind of restorer at every seed."""
    return [found for found in results.restorers if found.described_as.family == kind]


def kinds_of(found: Found) -> list[str]:
    """The kinds that were attacked, ℓ1 first."""
    return [kind for kind in KINDS if of_kind(found[TEN][-1], kind)]


def levels(found: Found, question: str, name: str) -> np.ndarray:
    """Mean PSNR of a restorer's inputs at each strength, decibels."""
    each = [{r.name: r.input_psnr.value for r in results.restorers} for results in found[question]]
    return np.array([of[name] for of in each])


def shares(found: Found, question: str, kind: str, what: str, network: str = "judge") -> np.ndarray:
    """What `decided.outcome` counts, at the PSNR that inputs of all restorers reach; (seeds, digits)."""
    names = [r.name for r in found[question][-1].restorers]
    psnr = decided.common_psnr({name: levels(found, question, name) for name in names})
    rows = []
    for number, restorer in enumerate(of_kind(found[question][-1], kind)):
        each = [of_kind(results, kind)[number] for results in found[question]]
        counted = [decided.outcome(r, what, target=TARGETS[question], network=network) for r in each]
        rows.append(decided.at_psnr(levels(found, question, restorer.name), np.stack(counted), psnr))
    return np.stack(rows)


def survival(found: Found, question: str, kind: str) -> dict[str, list[float]]:
    """Share of digits that keep the class of the natural image, by classifier, for each seed."""
    return {
        role: [getattr(r, role).kept.value for r in of_kind(found[question][-1], kind) if getattr(r, role).kept]
        for role in ROLES
    }


def survived(found: Found, question: str) -> bool:
    """Whether the paper's premise holds: classes survive ℓ1."""
    return min(min(values) for values in survival(found, question, L1).values()) > SURVIVE


def tables(found: Found, ready: Ready) -> list[Table]:
    """The premise, both questions, and the judge of one number."""
    premise: list[list[Cell]] = []
    for question in found:
        source = found[question][-1].source
        clean: list[Cell] = [100 * share.value if (share := source[role][1]) else None for role in ROLES]
        premise.append([f"{question}, natural images", None, None, *clean])
        for kind in kinds_of(found):
            kept = [mean_std(100 * np.array(values)) for values in survival(found, question, kind).values()]
            rights = [
                mean_std([100 * getattr(r, role).accuracy_before.value for r in of_kind(found[question][-1], kind)])
                for role in ROLES
            ]
            premise.append([f"{question}, {kind}", *kept, *rights])
    columns = ["", "judge: class kept %", "attacker: kept %", "judge right %", "attacker right %"]
    first = Table(f"Before any attack: classes that survive restoration, {SPREAD}", columns, premise)
    return [first, _by_class(found, ready), *(_shares_table(found, q) for q in found), _scores_table(found)]


def _by_class(found: Found, ready: Ready) -> Table:
    labels = np.array(ready.images.labels)
    rows: list[list[Cell]] = []
    for digit in range(10):
        row: list[Cell] = [str(digit), float((labels == digit).sum())]
        for role in ROLES:
            seen = [getattr(r, role).before[labels == digit] for r in of_kind(found[TEN][-1], L1)]
            row.append(mean_std([100 * float(np.mean(each == digit)) if each.size else np.nan for each in seen]))
        rows.append(row)
    title = f"Before any attack, behind ℓ1: digits that are recognised, by class, {SPREAD}"
    return Table(title, ["digit", "number", "judge right %", "attacker right %"], rows)


def _shares_table(found: Found, question: str) -> Table:
    target, strongest = TARGETS[question], found[question][-1]
    psnr = decided.common_psnr({r.name: levels(found, question, r.name) for r in strongest.restorers})
    rows: list[list[Cell]] = []
    for kind in kinds_of(found):
        before = mean_std([100 * float(r.judge.shares_before[target]) for r in of_kind(strongest, kind)])
        cells = [decided.crossed(shares(found, question, kind, what)).cell for what in decided.OUTCOMES[:4]]
        moved = decided.crossed(shares(found, question, kind, "moved", "attacker")).cell
        decibels = mean_std([r.input_psnr.value for r in of_kind(strongest, kind)])
        rows.append([kind, before, *cells, moved, decibels])
    for kind in kinds_of(found)[1:]:
        cells = [difference(found, question, kind, what).cell for what in decided.OUTCOMES[:4]]
        moved = difference(found, question, kind, "moved", "attacker").cell
        rows.append([f"{kind} minus ℓ1", None, *cells, moved, None])
    title = f"{question}: attack {AIMS[question]}, inputs of all at {psnr:.1f} dB, % of all digits, {ERRORS}"
    columns = ["", "judge: share before", "grown by", "moved there", "lost", "changed", "attacker: moved", "16/255: dB"]
    return Table(title, columns, rows)


def difference(found: Found, question: str, kind: str, what: str, network: str = "judge") -> decided.Crossed:
    """Of a kind from ℓ1, digit by digit and seed by seed."""
    return decided.crossed(shares(found, question, kind, what, network) - shares(found, question, L1, what, network))


def _scores_table(found: Found) -> Table:
    strongest = found[TEN][-1]
    columns, rows = ["expected digit"], list[list[Cell]]([["average"], ["standard deviation"], ["maximum"]])

    def add(name: str, of_seeds: list[ScoreColumn]) -> None:
        columns.append(name)
        for row, read in zip(rows, ("mean", "deviation", "largest"), strict=True):
            values = [getattr(scores, read) for scores in of_seeds]
            row.append(mean_std([value.value if read == "mean" else value for value in values]))

    if strongest.source_scores is not None:
        add("source images", [strongest.source_scores])
    for kind in kinds_of(found):
        each = [r.scores for r in of_kind(strongest, kind) if r.scores is not None]
        add(kind, [scores.before for scores in each])
        add(f"attacked {kind}", [scores.after for scores in each])
    words = f"A judge of one number, α of the strongest attack, as Table 1 of the paper, {SPREAD}"
    return Table(words, columns, rows)


def claims(found: Found) -> list[Claim]:
    """What the paper says about faces; about attacks only where its premise holds."""
    made = []
    for question in found:
        kept = survival(found, question, L1)
        words = ", ".join(f"{role} {min(values):.1%} at least" for role, values in kept.items())
        text = (
            f"{question}: over {SURVIVE:.0%} of digits keep their class behind ℓ1, at each seed, for both classifiers"
        )
        made.append(Claim(text, survived(found, question), words))
        if survived(found, question):
            made += [claim for kind in kinds_of(found)[1:] for claim in _attack_claims(found, question, kind)]
    return made


def _attack_claims(found: Found, question: str, kind: str) -> list[Claim]:
    ours = {what: decided.crossed(shares(found, question, kind, what)) for what in decided.OUTCOMES[:3]}
    theirs = {what: decided.crossed(shares(found, question, L1, what)) for what in decided.OUTCOMES[:3]}
    more = {what: difference(found, question, kind, what) for what in ("grown", "moved")}
    text = f"{question}, {kind}"
    made = [
        Claim(f"{text}: the target's share grows under attack", ours["grown"].positive, ours["grown"].points),
        Claim(
            f"{text}: it grows more than behind ℓ1",
            more["grown"].positive,
            f"by {more['grown'].points}; ℓ1 {theirs['grown'].points}",
        ),
        Claim(
            f"{text}: more digits move to the target than behind ℓ1",
            more["moved"].positive,
            f"by {more['moved'].points}; {ours['moved'].value:.1%} against {theirs['moved'].value:.1%}",
        ),
    ]
    if question == TEN:
        scored = difference(found, question, kind, "scored")
        means = [decided.crossed(shares(found, question, each, "scored")) for each in (kind, L1)]
        numbers = f"by {scored.plain}; {means[0].plain} against {means[1].plain}"
        made.append(Claim(f"{text}: the judge's number rises more than behind ℓ1", scored.positive, numbers))
    return made


@styled()
def draw(found: Found) -> Figure:
    """How much the target's share grows over the PSNR of inputs; bands are standard deviations over seeds."""
    figure = new_figure(9.6, 3.6)
    panels = figure.subplots(1, len(found))
    figure.subplots_adjust(left=0.08, right=0.985, top=0.8, bottom=0.16, wspace=0.16)
    for ax, question in zip(panels, found, strict=True):
        for kind in kinds_of(found):
            each = [of_kind(results, kind) for results in found[question]]
            psnr = np.array([np.mean([r.input_psnr.value for r in seeds]) for seeds in each])
            target = TARGETS[question]
            grown = [[100 * decided.outcome(r, "grown", target=target).mean() for r in seeds] for seeds in each]
            seed_band(ax, psnr, np.array(grown), colour=LOOKS[kind], marker="o", label=kind)
        ax.axhline(0, color=MUTED, lw=0.8)
        ax.set_title(f"{question}, {AIMS[question]}")
        ax.set_xlabel("PSNR of attacked inputs  (dB, stronger to the right)")
        ax.invert_xaxis()
    panels[0].set_ylabel("growth of the target's share  (% of digits)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=len(KINDS), frameon=False)
    return figure


def pictures(found: Found) -> dict[str, Picture]:
    """Growth over strength, and for each question inputs and outputs of the first seed."""
    words = "What the judge, which the attack never saw, sees more often than before the attack. Bands: seeds."
    drawn = {"growth": Picture(draw(found), words)}
    for question, results in found.items():
        first = results[-1]._replace(restorers=tuple(of_kind(results[-1], kind)[0] for kind in kinds_of(found)))
        caption = f"{question}, strongest attack, first seed: digits spread evenly over the set, not picked."
        name = question.replace(" ", "-")
        drawn[name] = Picture(figure_decisions(decisions_record(first), first.samples), caption)
    return drawn


def run(scale: str, runs: Path | None = None) -> Experiment:
    """Attack both questions, judge, draw; or say what is missing.

    Args:
        scale: smoke, small or paper.
        runs: folder of `jaxpr train digits28`; None for weights that come with jaxpr.
    """
    sizes = SIZES[scale]
    ready, missing = prepared(sizes, runs)
    found = {} if ready is None else attack(ready, sizes)
    remarks = ["Digits instead of faces; an RRDBNet with and without a critic instead of GFPGAN and RRDB."]
    if ready is None:
        remarks.append("The weights are looked for among those that come with jaxpr, or in the folder of --runs.")
    elif ready.absent:
        remarks.append(f"Not there, so that they take no part: {', '.join(ready.absent)}.")
    remarks += [
        f"{question}: classes do not survive ℓ1, so this cannot decide the paper's finding; nothing more is claimed."
        for question in found
        if not survived(found, question)
    ]
    return Experiment(
        name="ohayon2024/decisions28",
        title="Decisions behind GANs and ℓ1 restorers of digits of 28×28, where classes survive ℓ1",
        source="[ohayon2024], Section 4.3, Appendix F; Figures 5 and 21 to 23, Table 1",
        scale=scale,
        settings={"seed": SEED, "degradation": DEGRADATION, "targets": TARGETS, **sizes._asdict()},
        tables=[decided.missing_table("digits28", missing)] if ready is None else tables(found, ready),
        claims=claims(found) if found else [],
        pictures=pictures(found) if found else {},
        remarks=remarks,
    )


if __name__ == "__main__":
    main(run)
