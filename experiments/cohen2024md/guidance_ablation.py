r"""How strongly and how far guidance drives answers apart: Tables 6 and 7, Figures 15 and 16 of [cohen2024md].

    python experiments/cohen2024md/guidance_ablation.py [--scale smoke|small|paper] [--out FOLDER]

Inpainting of the middle by RePaint, from the same noise at every setting of η and of D.

Small, two CPU cores, 1 min. Ten crops: LPIPS diversity grows along η, 0.060 to 0.061,
0.061, 0.063, 0.073 at 0.07, 0.1, 0.3 and 0.9 (each step beyond two errors but the last, 0.011 ± 0.005), unlikeness
does not change beyond its error. So does it along D from 0 to a quarter of the published one; half of that lets all
of the effect through already, as answers of this prior lie nearer to each other than that: its posterior is narrow.
Therefore the paper's growth between its D and no limit, and its saturation there, cannot show here.
"""

import itertools
from typing import NamedTuple

import numpy as np

from jaxpr.degradations import Inpainting
from jaxpr.numerics.statistics import grouped_mean
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, INK, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.sampled_sets import ImagePrior, SetSampler, SetTask, exact_answers, guidance_of, image_prior
from jaxpr.reproduce.set_measures import SetMeasures, set_measures
from jaxpr.samplers import Guidance

SEED, SAMPLES = 0, 5
ETAS = (0.0, 0.07, 0.1, 0.3, 0.9)
SHARES = (0.0, 0.125, 0.25, 0.5, 1.0, None)  # of the published distance; None for no limit
FIXED_ETA = 0.3
PRINTED = {0.0: (0.090, 5.637), 0.07: (0.105, 5.495), 0.1: (0.109, 5.506), 0.3: (0.113, 5.519)}


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        prior: of `image_prior`.
        images: of the test split.
        kernels: of the prior.
        steps: of RePaint.
    """

    prior: str
    images: int
    kernels: int
    steps: int


SIZES = {
    "smoke": Sizes("digits", 4, 40, 6),
    "small": Sizes("photos", 10, 300, 30),
    "paper": Sizes("photos", 60, 3000, 250),
}


class Point(NamedTuple):
    """Sets at one setting of guidance; (N,) each.

    Attributes:
        diversity: see `SetMeasures`.
        unlikeness: as there.
        pushed: share of predictions that were moved.
        saturated: share of values within a grey level of black or white.
        sets: of the first measurement, (samples, H, W, C).
    """

    diversity: np.ndarray
    unlikeness: np.ndarray
    pushed: np.ndarray
    saturated: np.ndarray
    sets: np.ndarray


Sweep = dict[str, Point]
"""By setting, in ascending order."""


def centre_missing(prior: ImagePrior) -> SetTask:
    """Inpainting of the middle of every image."""
    height, width, channels = prior.x.shape[1:]
    mask = np.ones((height, width), bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = False
    return SetTask("inpainting", Inpainting(mask, channels=channels), 0.0, "objects-inpainting")


def measured(sizes: Sizes) -> tuple[ImagePrior, SetMeasures, np.ndarray, Sweep, Sweep, Point | None]:
    """Prior, measures, y, the sweeps of η and of D, and draws of the exact posterior."""
    prior = image_prior(sizes.prior, images=sizes.images, kernels=sizes.kernels)
    by, task = set_measures(prior), centre_missing(prior)
    y = task.measure(prior.x, seed=SEED)
    sampler = SetSampler("repaint", prior, task, samples=SAMPLES, steps=sizes.steps, options={})

    def point(x: np.ndarray, pushed: np.ndarray) -> Point:
        saturated = np.mean((x < 1 / 255) | (x > 254 / 255), axis=(0, 2, 3, 4))
        return Point(by.diversity(x), by.unlikeness(x), pushed.mean(axis=0), saturated, x[:, 0])

    published = np.asarray(guidance_of("repaint", task, prior.x.shape[1:]).distance).item()

    def at(eta: float, share: float | None) -> Point:
        return point(*sampler(y, Guidance(eta, None if share is None else share * published), seed=SEED + 1))

    etas = {f"{eta:g}": at(eta, 1.0) for eta in ETAS}
    shares = {"no limit" if s is None else f"{s:g} D": at(FIXED_ETA, s) for s in SHARES}
    exact = None
    if prior.kernels is not None:
        draws = exact_answers(prior, task, y, SAMPLES, seed=SEED + 2)
        exact = point(draws, np.zeros((SAMPLES, len(y))))
    return prior, by, y, etas, shares, exact


def table(title: str, sweep: Sweep, groups: np.ndarray) -> Table:
    """One row for each setting."""
    first = next(iter(sweep.values()))
    rows: list[list[Cell]] = []
    for name, point in sweep.items():
        values = [point.diversity, point.diversity - first.diversity]
        values += [point.unlikeness, point.unlikeness - first.unlikeness]
        cells: list[Cell] = [(found.value, found.stderr) for found in (grouped_mean(v, groups) for v in values)]
        rows.append([name, *cells, float(point.pushed.mean()), float(point.saturated.mean())])
    return Table(
        f"{title}; ± standard errors over images, Δ: paired difference to the first row",
        ["", "diversity", "Δ", "unlikeness", "Δ", "pushed", "black or white"],
        rows,
    )


def rising(sweep: Sweep, groups: np.ndarray) -> tuple[bool, str]:
    """Whether diversity grows at every step by more than two standard errors of the paired difference."""
    points = list(sweep.values())
    steps = [grouped_mean(b.diversity - a.diversity, groups) for a, b in itertools.pairwise(points)]
    text = ", ".join(f"{value:+.3g} ± {error:.2g}" for value, error in steps)
    return all(value > 2 * error for value, error in steps), f"along {', '.join(sweep)}: {text}"


def claims(etas: Sweep, shares: Sweep, groups: np.ndarray) -> list[Claim]:
    """What the paper says of its ablations."""
    up_eta, text_eta = rising(etas, groups)
    up_share, text_share = rising(shares, groups)
    plain, most = etas["0"], max(eta for eta in ETAS if eta <= FIXED_ETA)
    worse = grouped_mean(etas[f"{most:g}"].unlikeness - plain.unlikeness, groups)
    free = grouped_mean(shares["no limit"].saturated - plain.saturated, groups)
    limited = grouped_mean(shares["1 D"].saturated - plain.saturated, groups)
    return [
        Claim("A larger η gives more diversity", up_eta, text_eta),
        Claim("A larger D gives more diversity", up_share, text_share),
        Claim(
            f"Up to η = {most:g} quality is not worse",
            not worse.value > 2 * worse.stderr,
            f"unlikeness {worse.value:+.3g} ± {worse.stderr:.2g}",
        ),
        Claim(
            "Without a limit values saturate more than with one",
            free.value - limited.value > 2 * np.hypot(free.stderr, limited.stderr),
            f"black or white {free.value:+.2%} ± {free.stderr:.2%} without, "
            f"{limited.value:+.2%} ± {limited.stderr:.2%} with it",
        ),
    ]


@styled()
def draw(prior: ImagePrior, by: SetMeasures, etas: Sweep, shares: Sweep, exact: Point | None) -> Picture:
    """Diversity and unlikeness along both sweeps."""
    figure = new_figure(9.6, 5.4)
    axes = figure.subplots(2, 2, sharey="row")
    figure.subplots_adjust(left=0.09, right=0.97, top=0.97, bottom=0.1, hspace=0.12, wspace=0.06)
    labels = ("η, with the published D", f"D over the published, with η = {FIXED_ETA:g}")
    for column, (sweep, label) in enumerate(zip((etas, shares), labels, strict=True)):
        for ax, what, colour in zip(axes[:, column], ("diversity", "unlikeness"), COLOURS, strict=False):
            values = np.array([tuple(grouped_mean(getattr(p, what), prior.groups)) for p in sweep.values()])
            ax.errorbar(range(len(sweep)), values[:, 0], yerr=values[:, 1], color=colour, marker="o", ms=5, lw=1.4)
            if exact is not None:
                ax.axhline(getattr(exact, what).mean(), color=INK, ls=":", lw=1.1)
            ax.set_xticks(range(len(sweep)), [] if what == "diversity" else list(sweep))
        axes[1, column].set_xlabel(label)
    axes[0, 0].set_ylabel(f"diversity: {by.diversity_name}", fontsize=9)
    axes[1, 0].set_ylabel("unlikeness", fontsize=9)
    dotted = " Dotted: draws of the exact posterior." if exact is not None else ""
    return Picture(
        figure, f"Inpainting by RePaint, sets of {SAMPLES}; bars: errors over images (differences are paired).{dotted}"
    )


@styled()
def draw_sets(prior: ImagePrior, y: np.ndarray, sweep: Sweep, label: str) -> Picture:
    """The sets of the first image along a sweep, from the same noise."""
    height = 1.15 * len(sweep)
    figure = new_figure(8.6, height)
    axes = figure.subplots(len(sweep), SAMPLES + 2)
    figure.subplots_adjust(left=0.1, right=0.995, top=0.995, bottom=0.005, wspace=0.04, hspace=0.04)
    for row, (name, point) in zip(axes, sweep.items(), strict=True):
        for ax, image in zip(row, (prior.x[0], y[0], *point.sets), strict=True):
            ax.imshow(np.clip(image, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set_axis_off()
        row[0].text(-0.1, 0.5, f"{label}{name}", transform=row[0].transAxes, ha="right", va="center", fontsize=9)
    return Picture(figure, "The image, y, and five answers from the same noise at each setting.")


def run(scale: str) -> Experiment:
    """Sweep, measure, draw."""
    sizes = SIZES[scale]
    prior, by, y, etas, shares, exact = measured(sizes)
    titles = f"η, prior {prior.name}; diversity: {by.diversity_name}", f"D at η = {FIXED_ETA:g}"
    return Experiment(
        name="cohen2024md/guidance_ablation",
        title="Strength and reach of diversity guidance",
        source="[cohen2024md], Appendix D, Tables 6 and 7, Figures 15 and 16",
        scale=scale,
        settings=sizes._asdict() | {"samples": SAMPLES, "seed": SEED},
        tables=[table(title, s, prior.groups) for title, s in zip(titles, (etas, shares), strict=True)],
        claims=claims(etas, shares, prior.groups),
        pictures={
            "sweeps": draw(prior, by, etas, shares, exact),
            "eta": draw_sets(prior, y, etas, "η = "),
            "distance": draw_sets(prior, y, shares, ""),
        },
        remarks=[
            "Table 6 of the paper, faces, LPIPS and NIQE: "
            + "; ".join(f"η = {eta:g}: {a:.3f}, {b:.3f}" for eta, (a, b) in PRINTED.items())
            + ". Its Table 7 holds η at 0.09 where D goes from 0 (0.090, 5.637) to no limit (0.141, 5.450).",
            f"Unlikeness: {by.unlikeness_name}. D is the published one of RePaint at the same root mean square.",
        ],
    )


if __name__ == "__main__":
    main(run)
