r"""Exploring the posterior by attacks on a deterministic restorer, beside draws of a stochastic one: [ohayon2024].

    python experiments/ohayon2024/posterior_exploration.py [--scale smoke|small|paper] [--out FOLDER] [--runs FOLDER]

Algorithm 1 (Section 4.4, Appendix G) on the packaged digits: tiny changes of y are searched that lead an erratic
deterministic restorer to outputs as far as possible from those found so far. The paper shows pictures; here the range
of each pixel over the outputs is compared with the truth and with as many draws of the stochastic restorer at the same
y. Controls: the ℓ1 twin, explored alike, and random changes of the same size.

Small, two CPU cores, 1 min 11 s, mean ± standard deviation over three seeds. In ×8, ranges of unknown pixels are three
times as wide behind the GAN as behind ℓ1 (77 ± 7 against 25.6 ± 0.7 grey levels), and a classifier sees twice as many
classes (2.7 ± 0.2 against 1.31 ± 0.05); in ×4 ranges are 1.5 times as wide with as many classes, in inpainting 1.3
times. Explored ranges cover the truth as often as the sampler's in ×8 and ×4 (67 and 60 %, 79 and 74 %), less often in
inpainting (63 and 76 %). Where ranges are wide, they agree with the sampler's no better than those of ℓ1 do.

paper: all test digits, 150 steps as in the paper; its faces are not reproduced, for they have no sampler to compare.
"""

import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxpr.attacks import alpha_psnr, explore_posterior, input_psnr, range_coverage, range_maps
from jaxpr.data import digits
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation.measure import degrader
from jaxpr.metrics import Moments, SmallSampleWarning, frechet_distance
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, FAINT, INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce import digits as dr
from jaxpr.reproduce.statistics import mean_std, rank_correlation
from jaxpr.restorers import Restorer, trained_restorer
from jaxpr.restorers.restorer import Apply
from jaxpr.weights import digit_classifier

SEED, ALPHA, SAMPLES, LEVELS = 0, 8 / 255, 5, 16
TASKS = {"average-x8": "average-x8", "average-x4": "average-x4", "inpainting": "inpaint-top-0.75"}
EXPLORED, RANDOM, BLURRED, DRAWN = "GAN, explored", "GAN, random changes of y", "ℓ1, explored", "sampler"
METHODS = (EXPLORED, RANDOM, BLURRED, DRAWN)
NETWORKS = {"gan": "deterministic-erratic", "l1": "deterministic-l1", "sampler": "stochastic-robust"}
WIDER = 1.5
"""How many times wider the GAN's range must be to count as wider; the bound is ours."""
NEAR = 0.1
"""Coverages that differ by less count as alike; the bound is ours."""
SHOWN = 6


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        seeds: independently trained triples of restorers.
        tasks: of `TASKS`.
        digits: explored for each of them, spread evenly over the test split; None for all.
        steps: of I-FGSM for each sample.
    """

    seeds: int
    tasks: tuple[str, ...]
    digits: int | None
    steps: int


SIZES = {
    "smoke": Sizes(1, ("average-x4",), 8, 3),
    "small": Sizes(3, tuple(TASKS), 60, 50),
    "paper": Sizes(3, tuple(TASKS), None, 150),
}


class Problem(NamedTuple):
    """Measurements of digits.

    Attributes:
        x: (N, 8, 8, 1).
        y: as an image file of 8 bits holds it.
        unknown: (8, 8, 1), the pixels that y does not tell.
    """

    x: jax.Array
    y: jax.Array
    unknown: np.ndarray


class Answers(NamedTuple):
    """What a method gives.

    Attributes:
        outputs: (S, N, 8, 8, 1); the first is the restoration of y itself, except for the sampler.
        input_psnr: least PSNR over the S inputs, (N,), decibels; infinite for the sampler.
    """

    outputs: np.ndarray
    input_psnr: np.ndarray


class Scores(NamedTuple):
    """Of a method, one entry per seed.

    Attributes:
        coverage: share of unknown pixels whose truth lies in the range.
        width: mean range of unknown pixels, grey levels of 255.
        agreement: rank correlation of range maps with those of other draws of the sampler, mean over digits.
        classes: mean number of classes that a classifier sees among the S outputs.
        distance: root of the Fréchet distance of pairs (x̂, y) from pairs (x, y), in pixels.
        input_psnr: least over digits and inputs, decibels.
    """

    coverage: np.ndarray
    width: np.ndarray
    agreement: np.ndarray
    classes: np.ndarray
    distance: np.ndarray
    input_psnr: np.ndarray


def problem(task: str, count: int | None) -> Problem:
    """Digits of the test split and their measurements."""
    source, degradation = digits("test"), parse_degradation(TASKS[task])
    chosen = np.linspace(0, len(source) - 1, count or len(source)).round().astype(int)
    x = jnp.asarray(np.stack([source[int(i)] for i in chosen]))
    y = degrader(degradation, bits=8, compiled=jax.jit)(jax.random.split(jax.random.key(SEED), len(x)), x)
    operator, probe = degradation.operator(source.shape(0)), jax.random.uniform(jax.random.key(SEED), x.shape)
    told = np.isclose(operator.pinv(operator(probe)), probe, atol=1e-5).all(axis=0)  # float32
    return Problem(x, y, np.asarray(~told))


def restorer(task: str, network: str, seed: int, runs: Path | None) -> Restorer:
    """A packaged one, or one in a folder of `jaxpr train`."""
    name = f"digits-{task}-{NETWORKS[network]}-{seed}"
    return trained_restorer(dr.source(name, runs))


@functools.partial(jax.jit, static_argnums=0, static_argnames="steps")
def search(apply: Apply, params: Any, key: jax.Array, y: jax.Array, *, steps: int) -> Any:
    """Algorithm 1, one program for the restorers of all seeds."""
    estimator = functools.partial(apply, params, None)
    return explore_posterior(key, estimator, y, samples=SAMPLES, alpha=ALPHA, steps=steps, bounds=(0.0, 1.0))


def explored(key: jax.Array, restorer: Restorer, y: jax.Array, *, steps: int) -> Answers:
    """Outputs far from one another."""
    found = search(restorer.apply, restorer.params, key, y, steps=steps)
    return Answers(np.asarray(found.outputs), np.asarray(found.input_psnr).min(axis=0))


@functools.partial(jax.jit, static_argnums=0)
def moved(apply: Apply, params: Any, y: jax.Array, sign: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Outputs for changed y, and the PSNR of the change."""
    changed = jnp.clip(y + ALPHA * sign, 0, 1)
    return apply(params, None, changed), input_psnr(y, changed, data_range=1.0)


def shaken(key: jax.Array, restorer: Restorer, y: jax.Array) -> Answers:
    """Outputs for y and for random inputs at the corners of the same ball, those that are farthest from y."""
    signs = jax.random.rademacher(key, (SAMPLES, *y.shape), y.dtype).at[0].set(0)
    found = (moved(restorer.apply, restorer.params, y, sign) for sign in signs)
    outputs, psnr = zip(*found, strict=True)
    return Answers(np.stack(outputs), np.stack(psnr).min(axis=0))


def drawn(key: jax.Array, sampler: Restorer, y: jax.Array) -> Answers:
    """Draws of the stochastic restorer."""
    draw = functools.partial(jax.jit(sampler.apply), sampler.params)
    outputs = np.stack([draw(k, y) for k in jax.random.split(key, SAMPLES)])
    return Answers(outputs, np.full(len(y), np.inf))


def answers(task: str, at: Problem, seed: int, sizes: Sizes, runs: Path | None) -> dict[str, Answers]:
    """All methods, and under "again" other draws of the sampler."""
    k_gan, k_shake, k_l1, k_draw, k_again = jax.random.split(jax.random.fold_in(jax.random.key(SEED), seed), 5)
    gan, blurred, sampler = (restorer(task, network, seed, runs) for network in NETWORKS)
    return {
        EXPLORED: explored(k_gan, gan, at.y, steps=sizes.steps),
        RANDOM: shaken(k_shake, gan, at.y),
        BLURRED: explored(k_l1, blurred, at.y, steps=sizes.steps),
        DRAWN: drawn(k_draw, sampler, at.y),
        "again": drawn(k_again, sampler, at.y),
    }


def widths(found: Answers, unknown: np.ndarray) -> np.ndarray:
    """Range of each unknown pixel, (N, U)."""
    lower, upper = range_maps(jnp.asarray(found.outputs))
    return np.asarray(upper - lower)[:, unknown]


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows of Spearman's coefficient; rows that are constant have none and are left out."""
    ranks = np.array([rank_correlation(*rows) for rows in zip(a, b, strict=True)])
    return float(ranks[np.isfinite(ranks)].mean()) if np.isfinite(ranks).any() else 0.0


def joint_distance(at: Problem, outputs: np.ndarray) -> float:
    """Root of the Fréchet distance between (x̂, y), over all outputs, and (x, y)."""

    def moments(x: Any) -> Moments:
        pairs = np.concatenate([np.reshape(x, (len(at.y), -1)), np.reshape(at.y, (len(at.y), -1))], axis=1)
        return Moments.zero(pairs.shape[1]).update(pairs)

    fake = functools.reduce(Moments.merge, map(moments, outputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallSampleWarning)  # a remark says it
        return float(np.sqrt(max(float(frechet_distance(moments(at.x), fake)), 0.0)))


def score(at: Problem, found: Answers, reference: Answers) -> list[float]:
    """The entries of `Scores` for one seed."""
    # Digits have 17 levels, most of them the lowest: a range includes what rounds to it.
    rounded = np.clip(np.round(LEVELS * found.outputs) / LEVELS, 0, 1)[:, :, at.unknown]
    covered = range_coverage(jnp.asarray(rounded), jnp.asarray(np.asarray(at.x)[:, at.unknown]))
    judge = jax.jit(digit_classifier("judge"))
    seen = np.stack([np.asarray(judge(x)).argmax(axis=1) for x in found.outputs])
    width = widths(found, at.unknown)
    return [
        float(np.mean(covered)),
        255 * float(width.mean()),
        agreement(width, widths(reference, at.unknown)),
        float(np.mean([len(set(column)) for column in seen.T])),
        joint_distance(at, found.outputs),
        float(found.input_psnr.min()),
    ]


def table(task: str, scores: Mapping[str, Scores], count: int) -> Table:
    """All methods on one task."""
    rows: list[list[Cell]] = []
    for name, s in scores.items():
        level = mean_std(s.input_psnr) if np.isfinite(s.input_psnr).all() else "–"
        measured = (100 * s.coverage, s.width, s.agreement, s.classes, s.distance)
        rows.append([name, *map(mean_std, measured), level])
    columns = ["", "truth covered %", "range /255", "range ranks", "classes", "√joint FD", "least input dB"]
    title = f"{TASKS[task]}: {SAMPLES} outputs for each of {count} digits, mean ± standard deviation over seeds"
    return Table(title, columns, rows)


def claims(scores: Mapping[str, Mapping[str, Scores]]) -> list[Claim]:
    """What the paper says or shows, in numbers, for each task."""
    return [claim for task, found in scores.items() for claim in task_claims(TASKS[task], found)]


def task_claims(task: str, scores: Mapping[str, Scores]) -> list[Claim]:
    """Of one task; `holds` sees the values of two methods, an entry per seed."""

    def claim(text: str, field: str, other: str, holds: Callable[[np.ndarray, np.ndarray], bool | np.bool_]) -> Claim:
        first, second = getattr(scores[EXPLORED], field), getattr(scores[other], field)
        return Claim(f"{task}: {text}", bool(holds(first, second)), f"{first.mean():.3g} and {second.mean():.3g}")

    return [
        claim(
            f"almost the same y leads the GAN to outputs with a range {WIDER:g} times that of the ℓ1 restorer",
            *("width", BLURRED, lambda a, b: (a > WIDER * b).all()),
        ),
        claim(
            "the outputs vary in meaning: a classifier sees more classes among them than behind ℓ1, at every seed",
            *("classes", BLURRED, lambda a, b: (a > b).all()),
        ),
        claim(
            "it takes a search: random changes of the same size give narrower ranges, at every seed",
            *("width", RANDOM, lambda a, b: (a > b).all()),
        ),
        claim(
            "ranges are wide where the posterior varies: their ranks agree with the sampler's better than ℓ1's do",
            *("agreement", BLURRED, lambda a, b: a.mean() > b.mean()),
        ),
        claim(
            f"explored ranges cover the truth as often as as many draws of the sampler do, to {100 * NEAR:g} points",
            *("coverage", DRAWN, lambda a, b: abs(a.mean() - b.mean()) < NEAR),
        ),
        claim(
            "explored outputs are as natural as draws: √joint FD at most a quarter larger",
            *("distance", DRAWN, lambda a, b: a.mean() < 1.25 * b.mean()),
        ),
    ]


@styled()
def draw_answers(at: Problem, found: Mapping[str, Answers]) -> Figure:
    """A row for each digit: y, explored outputs with their range, draws with theirs, the truth."""
    rows = np.linspace(0, len(at.x) - 1, min(SHOWN, len(at.x)) + 2)[1:-1].round().astype(int)
    cell, gap, group, head = 0.72, 0.05, 0.2, 0.52
    blocks: list[list[tuple[str, np.ndarray, bool]]] = [[("y", np.asarray(at.y), False)]]
    for name in (EXPLORED, DRAWN):
        outputs = found[name].outputs
        names = ["x̂ = f(y)", *(f"explored {i}" for i in range(2, SAMPLES + 1))]
        names = names if name == EXPLORED else [f"draw {i}" for i in range(1, SAMPLES + 1)]
        lower, upper = range_maps(jnp.asarray(outputs))
        shown = [(text, x, False) for text, x in zip(names, outputs, strict=True)]
        blocks.append([*shown, ("range", np.asarray(upper - lower), True)])
    blocks.append([("truth", np.asarray(at.x), False)])
    count = sum(map(len, blocks))
    width = 0.1 + count * (cell + gap) + (len(blocks) - 1) * group
    height = head + len(rows) * (cell + gap) + 0.08
    figure = new_figure(width, height)
    left = 0.1
    for block, title in zip(blocks, ("input", "deterministic, Algorithm 1", "stochastic", ""), strict=True):
        figure.text(left / width, 1 - 0.2 / height, title, fontsize=9.5, weight="bold", color=INK)
        for words, images, heat in block:
            figure.text(left / width, 1 - (head - 0.07) / height, words, fontsize=8, color=MUTED)
            for position, row in enumerate(rows):
                above = head + position * (cell + gap)
                box = (left / width, 1 - (above + cell) / height, cell / width, cell / height)
                ax = figure.add_axes(box, xticks=[], yticks=[])
                ax.grid(visible=False)
                ax.spines[:].set(visible=True, color=FAINT)
                colours = "magma" if heat else "gray"
                ax.imshow(images[row, ..., 0], cmap=colours, vmin=0, vmax=1, interpolation="nearest")
            left += cell + gap
        left += group
    return figure


@styled()
def draw_scores(scores: Mapping[str, Mapping[str, Scores]]) -> Figure:
    """How much of the truth a method covers, against how wide its ranges are."""
    figure = new_figure(9.6, 3.9)
    panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(left=0.075, right=0.99, top=0.8, bottom=0.14, wspace=0.07)
    looks = dict(zip(METHODS, zip("osDX", (COLOURS[1], COLOURS[4], COLOURS[0], COLOURS[2]), strict=True), strict=True))
    for ax, (task, found) in zip(panels, scores.items(), strict=True):
        for name, (marker, colour) in looks.items():
            across, up = mean_std(found[name].width), mean_std(100 * found[name].coverage)
            bars = {"xerr": across[1], "yerr": up[1]} if np.isfinite(across[1]) else {}
            ax.errorbar(across[0], up[0], fmt=marker, color=colour, ms=8, elinewidth=1.3, label=name, **bars)
        ax.set(title=TASKS[task], xlabel="mean range of an unknown pixel  (grey levels of 255)")
        ax.set_xlim(0, 1.12 * ax.get_xlim()[1])
        ax.set_ylim(0, 100)
    panels[0].set_ylabel("truth inside the range  (%)")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", ncols=len(METHODS), frameon=False)
    return figure


def run(scale: str, runs: Path | None = None) -> Experiment:
    """Explore, draw, compare.

    Args:
        scale: smoke, small or paper.
        runs: folder of `jaxpr train digits`; None for the restorers that come with jaxpr.
    """
    sizes = SIZES[scale]
    problems = {task: problem(task, sizes.digits) for task in sizes.tasks}
    first: dict[str, dict[str, Answers]] = {}
    scores: dict[str, dict[str, Scores]] = {}
    for task, at in problems.items():
        values: dict[str, list[list[float]]] = {name: [] for name in METHODS}
        for seed in range(sizes.seeds):
            found = answers(task, at, seed, sizes, runs)
            first.setdefault(task, found)
            for name in METHODS:
                values[name].append(score(at, found[name], found["again"]))
        scores[task] = {name: Scores(*np.array(rows).T) for name, rows in values.items()}
    count = len(next(iter(problems.values())).x)
    caption = (
        "Digits spread evenly over the set, not picked. Explored outputs belong to inputs at least "
        f"{float(alpha_psnr(ALPHA, data_range=1.0)):.1f} dB from y. Ranges from black (0) to white (all grey levels)."
    )
    pictures = {f"answers-{task}": Picture(draw_answers(at, first[task]), caption) for task, at in problems.items()}
    plane = (
        "Means over seeds, bars one standard deviation. Up: the truth lies inside more often. Right: ranges are wider, "
        "which alone covers more; what the posterior does not allow is no merit."
    )
    return Experiment(
        name="ohayon2024/posterior_exploration",
        title="Exploring the posterior with a deterministic restorer, beside a stochastic one",
        source="[ohayon2024], Section 4.4, Appendix G, Algorithm 1, Figure 6",
        scale=scale,
        settings={"alpha": ALPHA, "samples": SAMPLES, "seed": SEED, **sizes._asdict(), "digits": count},
        tables=[table(task, scores[task], count) for task in sizes.tasks],
        claims=claims(scores),
        pictures={**pictures, "coverage": Picture(draw_scores(scores), plane)},
        remarks=[
            f"Truth and outputs are compared in steps of 1/{LEVELS}, the digits' own. {SAMPLES} draws of the exact "
            f"posterior cover a continuous value with probability {(SAMPLES - 1) / (SAMPLES + 1):.3f}, and more often "
            "one that repeats, as the background does.",
            "Of an inpainted digit the known pixels count in no number, though exploration moves them by up to α.",
            "'Range ranks' is Spearman's correlation between range maps and those of other draws of the sampler; its "
            "value for the sampler itself is what the number of draws allows. The sampler is a GAN too, and itself no "
            "exact posterior. The Fréchet distance is one of pixels, small samples bias it upwards, alike for all.",
        ],
    )


if __name__ == "__main__":
    main(run)
