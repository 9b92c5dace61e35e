"""Restorers moved along alpha by latent transport, measured: Table 1 and Figure 3 of [adrai2023], in small.

    python experiments/adrai2023/traversals.py [--scale smoke|small|paper] [--out FOLDER]

Crops of packaged photographs: super-resolution ×4, white noise of σ = 50/255, JPEG of quality 10, and ×4 with noise for
a diffusion sampler with a Gaussian prior. Transport is fitted on crops of the training photographs, restored and as
they are, in patches of 3 × 3 latents of each encoder that is at hand; `pixels` are patches of the images themselves.

Small, two CPU cores, 4 min 36 s; ± standard errors over five photographs,
Δ of x̂₀ from x*, paired, patches of pixels:

                          FD of x*            Δ FD    PSNR of x*         Δ PSNR
    ×4        bicubic          196        -31 ± 10          31.6      0.0 ± 0.3
              lmmse            155        -22 ± 12          32.0     -1.2 ± 0.6
              photos-l1        130         -12 ± 4          32.4     -0.7 ± 0.2
              photos-gan        94          -4 ± 4          30.5   -0.55 ± 0.16
              realesr          173        -25 ± 13          28.4   -0.44 ± 0.15
              realsr            25      +0.5 ± 0.8          30.0   -0.27 ± 0.13
    σ = 50    nlm              173        -10 ± 10          28.6   +0.16 ± 0.06
              lmmse            313         +32 ± 8          26.0     -0.7 ± 0.2
    JPEG      y itself         145          -2 ± 4          28.2   -0.26 ± 0.04
              lmmse            142          -7 ± 5          28.7   -0.26 ± 0.03
    ×4, σ     lmmse            268        +19 ± 10          27.3     -0.9 ± 0.3
              ddrm             379         -3 ± 14          24.1   -0.46 ± 0.12

FD falls for nine of twelve, but the intervals of five photographs (Student's, 2.8 errors each way) exclude zero for two
only, bicubic and photos-l1. Behind a linear map of noisy images it rises: transport restores the variance that the map
took from the noise, which no covariance tells from detail; there α = 2, which smooths further, has the least FD. NLM is
no exception here; RealSR, trained with a critic, has nothing to win. PSNR rises near α = 1 for five, by 0.02 to 0.24
dB. FD is least outside of [0, 1] for nine.

In the latents of photos-kl4 (our four of ×4) x̂₀ loses 8 to 10 dB, nearly all by encoding and decoding. Its FD is below
that of D(E(x*)) for all four, by 25 ± 11 (bicubic), 1 ± 7, 8 ± 6 (photos-l1) and 1 ± 3; no interval excludes zero.

paper: images of 512 × 512 in data/imagenet512/train and data/imagenet512/val (at least 20, and those to measure), with
Stable Diffusion's autoencoder, ten restored and ten other natural images, published networks and Inception's features,
of each what `jaxpr weights fetch` has stored.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxpr.degradations import parse_degradation
from jaxpr.evaluation.measure import degrader
from jaxpr.records.results import Metric
from jaxpr.report.experiments import Cell
from jaxpr.report.strips import replicated_to
from jaxpr.report.style import COLOURS, INK, MARKERS, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.moved_sets import Meter, Problem, change_from
from jaxpr.reproduce.statistics import signed
from jaxpr.reproduce.transported import (
    Ground,
    Traversal,
    available,
    both_sides,
    gaussian_ddrm,
    ground,
    readable_encoders,
    traversed,
)
from jaxpr.restorers import Training, build_restorers
from jaxpr.weights import OFFICIAL_FILES, weights_folder

SEED, PATCH = 0, 3
ENCODERS = ("pixels", "photos-kl4")
ALPHAS = (-1.0, -0.5, -0.2, 0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.5, 2.0)
PAPER_ENCODERS = ("sd-vae-ft-mse",)
NLM, SAMPLER = "nlm:0.118", "ddrm"  # 0.6 σ; a sampler with a Gaussian prior


class Task(NamedTuple):
    """A degradation and its restorers.

    Attributes:
        name: for people.
        degradation: its word.
        restorers: their words.
        published: names of networks of which the files may be here.
        bits: of y; None where noise is neither clipped nor rounded, as in the literature.
    """

    name: str
    degradation: str
    restorers: tuple[str, ...]
    published: tuple[str, ...]
    bits: int | None


TASKS = (
    Task(
        "SISR ×4",
        "bicubic-x4",
        ("bicubic", "lmmse", "photos-l1", "photos-gan-0.03"),
        ("realesr-animevideo-x4", "realsr-df2k-x4", "swinir-classical-x4", "esrgan-x4"),
        8,
    ),
    Task("AWGN σ = 50", "noise-0.19608", (NLM, "lmmse"), ("restormer-gaussian50", "swinir-color-denoise50"), None),
    Task("JPEG q = 10", "jpeg-10", ("y=bicubic", "lmmse"), ("swinir-color-jpeg10",), 8),
    Task("SR ×4, σ = 10", "bicubic-x4+noise-0.03922", ("lmmse", SAMPLER), (), None),
)
MEAN_LIKE = ("lmmse", "photos-l1", "swinir", "restormer")  # trained with a pixel loss
SHOWN = ("photos-l1", "photos-gan-0.03", NLM, "y", SAMPLER)


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        crop: side of the crops.
        each: crops of every test photograph.
        train: crops of every training photograph.
        alphas: along the way.
        tasks: so many of `TASKS`.
        restorers: of every task, at most.
        patch: side of the patches whose features the distances see.
        batch: crops computed together.
        latent: so many restorers, of all tasks in turn, in the latents of autoencoders, too; None for all.
    """

    crop: int
    each: int
    train: int
    alphas: tuple[float, ...] = ALPHAS
    tasks: int = len(TASKS)
    restorers: int | None = None
    patch: int = 64
    batch: int = 10
    latent: int | None = None


SIZES = {
    "smoke": Sizes(64, 1, 1, (-0.5, 0.0, 0.5, 1.0, 1.5), 2, 1, batch=5),
    "small": Sizes(128, 4, 6, latent=4),
    "paper": Sizes(512, 1, 1, tuple(np.linspace(-1, 2, 31).round(1).tolist()), 3, patch=512, batch=4),
}


def load(sizes: Sizes, *, large: bool) -> tuple[Ground, list[np.ndarray], list[str]]:
    """What all restorers share, images that `lmmse` learns from, and sentences on encoders that are not here."""
    encoders, missing = readable_encoders((*PAPER_ENCODERS, "pixels") if large else ENCODERS)
    known, test, images = both_sides(
        crop=sizes.crop, train=sizes.train, each=sizes.each, large=large, photographs=(20, None)
    )
    train = natural = known.arrays()
    path, features = weights_folder(None) / OFFICIAL_FILES["inception-fid"].file, "alexnet"
    if large:  # two sets of ten
        train, natural = train[::2], train[1::2]
        images, features = list(train), f"inception:{path}" if path.exists() else features
    on = ground(
        test,
        train,
        natural,
        encoders=encoders,
        patch=PATCH,
        meter=Meter(features, patch=sizes.patch, stride=max(1, sizes.patch // 2)),
        batch=sizes.batch,
        sample_key=jax.random.key(SEED + 1) if large else None,
    )
    return on, images, missing


def traversals(task: Task, on: Ground, images: list[np.ndarray], sizes: Sizes, *, before: int) -> list[Traversal]:
    """All restorers of a task, after so many others, with all encoders that they are asked with."""
    degradation = parse_degradation(task.degradation)
    degrade = degrader(degradation, bits=task.bits, compiled=jax.jit)
    tile = 64 if sizes.crop > 256 else None
    training = Training(lambda: images, degrade, degradation, 3, 512, jax.random.key(SEED), tile)
    words = [w for w in task.restorers if w != SAMPLER] + [w for w in task.published if available(w)]
    restorers = build_restorers(words[: sizes.restorers], training)
    if SAMPLER in task.restorers:
        restorers[SAMPLER] = gaussian_ddrm(degradation, on.train)
    problem = Problem(degradation, degrade, jax.random.key(SEED))
    pixels = on._replace(encoders=[e for e in on.encoders if e.name == "pixels"])
    return [
        t
        for number, (name, restorer) in enumerate(restorers.items(), start=before)
        for where in [on if sizes.latent is None or number < sizes.latent else pixels]
        for t in traversed(task.name, name, restorer, problem, where, alphas=sizes.alphas)
    ]


def table(task: str, found: Sequence[Traversal], on: Ground) -> Table:
    """Of one task, as the paper's: x*, alphas that are best by one number, x̂₀, and what the encoder alone does."""
    shown = ("psnr", "ssim", "lpips", "fd", "kd")

    def row(name: str, values: Mapping[str, Metric], base: Mapping[str, Metric] | None) -> list[Cell]:
        cells: list[Cell] = [name]
        for metric in shown:
            cells.append((values[metric].value, values[metric].stderr))
            if metric in ("psnr", "fd", "kd"):
                apart = None if base is None else change_from(values, base, metric)
                cells.append(None if apart is None else (apart.value, apart.stderr))
        return cells

    rows = [row(f"D(E(x)), {name}", values, None) for name, values in on.ceilings.items() if name != "pixels"]
    for one in found:
        by, star = one.rows, one.rows[1.0]
        rows.append(row(f"{one.restorer}, {one.encoder}: x*", star, None))
        best = {max(by, key=lambda a: by[a]["psnr"].value), min(by, key=lambda a: by[a]["fd"].value), 0.0}
        rows += [row(f"  x̂ at α = {alpha:g}", by[alpha], star) for alpha in sorted(best - {1.0}, reverse=True)]
        if one.encoder != "pixels":
            rows.append(row("  D(E(x*))", one.again, star))
    columns = ["", "PSNR dB", "Δ", "SSIM", "LPIPS", "FD", "Δ", "KD", "Δ"]
    title = f"{task}; ± standard errors over {len(set(on.test.groups))} photographs, Δ paired difference from x*"
    return Table(f"{title}; α: of highest PSNR, of least FD, and 0", columns, rows)


def along_table(found: Sequence[Traversal], metric: str, title: str) -> Table:
    """One metric along alpha, of all restorers."""
    alphas = list(found[0].rows)
    rows: list[list[Cell]] = [[one.label, *(one.rows[a][metric].value for a in alphas)] for one in found]
    return Table(f"{title} along α", ["", *(f"{alpha:g}" for alpha in alphas)], rows)


def claims(found: Sequence[Traversal], ceilings: Mapping[str, Mapping[str, Metric]]) -> list[Claim]:
    """What the paper says of its table and its figure; for each encoder, where it can tell."""
    made = []
    for encoder in dict.fromkeys(t.encoder for t in found):
        own = [t for t in found if t.encoder == encoder]
        if encoder != "pixels":
            made += map_claims(encoder, own)
        if not loses_more(encoder, own, ceilings):
            made += encoder_claims(encoder, own)
    return made


def loses_more(encoder: str, own: Sequence[Traversal], ceilings: Mapping[str, Mapping[str, Metric]]) -> bool:
    """Whether D(E(x)) is farther from x than most restorations, so that x̂ tells of the autoencoder."""
    stars = np.median([t.rows[1.0]["psnr"].value for t in own])
    return encoder != "pixels" and ceilings[encoder]["psnr"].value < stars


def map_claims(encoder: str, own: Sequence[Traversal]) -> list[Claim]:
    """What the map does beyond encoding and decoding: x̂₀ against D(E(x*))."""
    apart = [change_from(t.rows[0.0], t.again, "fd") for t in own]
    closer, lower = sum(change.high < 0 for change in apart), sum(change.value < 0 for change in apart)
    each = "; ".join(f"{t.restorer} ({t.task}) {signed(*change[:2])}" for t, change in zip(own, apart, strict=True))
    text = f"{encoder}: x̂₀ is more natural than D(E(x*)) for at least four restorers, errors excluding zero"
    return [Claim(text, closer >= 4, f"{closer} of {len(own)}, lower for {lower}: {each}")]


def encoder_claims(encoder: str, own: Sequence[Traversal]) -> list[Claim]:
    """Of one encoder: a difference counts where its 95 % interval, paired and over photographs, excludes zero."""

    def listed(some: Sequence[Traversal], alpha: float, metric: str) -> str:
        return "; ".join(f"{t.restorer} ({t.task}) {signed(*t.change(alpha, metric)[:2])}" for t in some) or "none"

    falls = [t for t in own if t.change(0.0, "fd").high < 0]
    pixel = [t for t in own if t.restorer.startswith(MEAN_LIKE)]
    classical, others = [t for t in own if t.restorer == NLM], [t for t in own if t not in pixel]
    others = [t for t in others if t not in classical]
    near = [(a, t) for t in own for a in t.rows if 0.5 <= a <= 1.5 and a != 1 and t.change(a, "psnr").low > 0]
    best = [max(tries, key=lambda pair: pair[1].rows[pair[0]]["psnr"].value) for _, tries in groups_of(near)]
    losing = [t for t in own if t.change(0.0, "psnr").high < 0]
    rise = "; ".join(f"{t.restorer} ({t.task}) {signed(*t.change(a, 'psnr')[:2])} dB at α = {a:g}" for a, t in best)
    inside = {t.label: min(m["fd"].value for a, m in t.rows.items() if 0 <= a <= 1) for t in own}
    beyond = {t.label: min(t.rows.items(), key=lambda pair: pair[1]["fd"].value)[0] for t in own}
    outside = [t for t in own if not 0 <= beyond[t.label] <= 1]
    further = "; ".join(
        f"{t.restorer} ({t.task}) {t.rows[beyond[t.label]]['fd'].value:.2f} at {beyond[t.label]:g}, "
        f"{inside[t.label]:.2f} inside"
        for t in outside
    )
    lpips = [t for t in own if t.change(0.0, "lpips").low > 0]
    lower = sum(t.change(0.0, "fd").value < 0 for t in own)
    made = [
        ("FD falls at α = 0 for restorers trained with a pixel loss", all(t in falls for t in pixel), pixel, "fd"),
        ("FD falls at α = 0 for other restorers than NLM, too", all(t in falls for t in others), others, "fd"),
        ("NLM is the exception: its FD rises", all(t.change(0.0, "fd").low > 0 for t in classical), classical, "fd"),
        ("x̂₀ loses PSNR, in dB", len(losing) == len(own), own, "psnr"),
    ]
    return [
        Claim(
            f"{encoder}: transport moves at least four restorers to the left, errors excluding zero",
            len(falls) >= 4,
            f"{len(falls)} of {len(own)}: {listed(falls, 0.0, 'fd')}; lower for {lower}, within the interval or not",
        ),
        *(Claim(f"{encoder}: {text}", holds, listed(some, 0.0, metric)) for text, holds, some, metric in made if some),
        Claim(f"{encoder}: PSNR rises for some at an α near 1", bool(near), rise or "for none"),
        Claim(f"{encoder}: FD is least outside of [0, 1] for some", bool(outside), further or "for none"),
        Claim(
            f"{encoder}: LPIPS at α = 0 stays as it is, or falls", not lpips, f"rises: {listed(lpips, 0.0, 'lpips')}"
        ),
    ]


def groups_of(pairs: Sequence[tuple[float, Traversal]]) -> Any:
    """By traversal, in order."""
    return [(label, list(some)) for label, some in itertools.groupby(pairs, key=lambda pair: pair[1].label)]


@styled()
def draw_planes(found: Sequence[Traversal]) -> Picture:
    """Distortion against perception: one panel a task, a curve for each restorer and encoder."""
    tasks = list(dict.fromkeys(t.task for t in found))
    figure = new_figure(4.1 * len(tasks) + 0.3, 4.6)
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    figure.subplots_adjust(left=0.2 / len(tasks) + 0.005, right=0.99, top=0.92, bottom=0.13, wspace=0.24)
    dashes = dict(zip(dict.fromkeys(t.encoder for t in found), ("-", "--", ":"), strict=False))
    for ax, task in zip(axes, tasks, strict=True):
        own = [t for t in found if t.task == task]
        dealt = dict.fromkeys(t.restorer for t in own)
        for number, name in enumerate(dealt):
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            for one in (t for t in own if t.restorer == name):
                alphas = sorted(one.rows)
                places = np.array([[one.rows[a]["fd"].value, np.sqrt(one.rows[a]["mse"].value)] for a in alphas])
                inside = np.array([0 <= a <= 1 for a in alphas])
                ax.plot(*places.T, color="#b8c1cc", lw=1.1, ls=(0, (4, 2)), zorder=1)
                ax.plot(*places[inside].T, color=colour, lw=1.8, ls=dashes[one.encoder], zorder=2)
                start, end = places[alphas.index(1.0)], places[alphas.index(0.0)]
                label = name if one.encoder == own[0].encoder else None
                ax.plot(*start, marker, color=colour, ms=7, label=label, zorder=4)
                ax.plot(*end, marker, color=colour, mfc="white", ms=7, mew=1.5, zorder=4)
        ax.set_title(task)
        ax.set(xlabel="FD  (← more natural)", ylabel="RMSE of grey levels" if task == tasks[0] else "")
        ax.legend(frameon=False, fontsize=8)
    encoders = ", ".join(f"{name} {look!r}" for name, look in dashes.items())
    return Picture(
        figure,
        "From x* (filled) to x̂₀ (hollow) in colour, dashed grey outside of [0, 1], where α runs from "
        f"{min(found[0].rows):g} to {max(found[0].rows):g}. Lines: {encoders}.",
    )


@styled()
def draw_strip(found: Sequence[Traversal]) -> Picture:
    """x, y, x*, x̂ at 0.5 and x̂₀ of one crop."""
    rows = [t for t in found if t.restorer in SHOWN] or list(found)
    figure = new_figure(9.6, 1.75 * len(rows) + 0.3)
    axes = figure.subplots(len(rows), 5, squeeze=False)
    height = 1.75 * len(rows) + 0.3
    figure.subplots_adjust(left=0.13, right=0.995, top=1 - 0.27 / height, bottom=0.005, wspace=0.04, hspace=0.05)
    for row, one in zip(axes, rows, strict=True):
        x, y, *others = one.example
        for ax, image in zip(row, (x, replicated_to(y, x.shape[:2]), *others), strict=True):
            ax.imshow(np.clip(image, 0, 1), interpolation="nearest")
            ax.set_axis_off()
        words = f"{one.task}\n{one.restorer}\n{one.encoder}"
        row[0].text(-0.06, 0.5, words, transform=row[0].transAxes, ha="right", va="center", fontsize=8.5, color=INK)
    for ax, title in zip(axes[0], ("x", "y", "x*", "x̂ at α = 0.5", "x̂₀"), strict=True):
        ax.set_title(title, fontsize=9.5, loc="center", pad=4)
    return Picture(figure, "The crop of most contrast in the first batch.")


def run(scale: str) -> Experiment:
    """Fit, move, measure, draw."""
    sizes, large = SIZES[scale], scale == "paper"
    on, images, missing = load(sizes, large=large)
    tasks = TASKS[: sizes.tasks]
    found: list[Traversal] = []
    for task in tasks:
        found += traversals(task, on, images, sizes, before=len({t.label for t in found if t.encoder == "pixels"}))
    lossy = [e for e in on.ceilings if loses_more(e, [t for t in found if t.encoder == e], on.ceilings)]
    absent = [name for task in tasks for name in task.published if not available(name)]
    tables = [table(task.name, [t for t in found if t.task == task.name], on) for task in tasks]
    crops = f"{len(on.test)} crops of {len(set(on.test.groups))} photographs"
    return Experiment(
        name="adrai2023/traversals",
        title="Restorers moved along the distortion-perception plane by transport",
        source="[adrai2023], Section 5.1, Table 1, Figure 3",
        scale=scale,
        settings={"seed": SEED, "patch": PATCH, "encoders": [e.name for e in on.encoders], **sizes._asdict()},
        tables=[*tables, along_table(found, "psnr", "PSNR (dB)"), along_table(found, "fd", "FD")],
        claims=claims(found, on.ceilings),
        pictures={"planes": draw_planes(found), "strip": draw_strip(found)},
        remarks=[
            f"Measured are {crops}; crops of one photograph are not independent, so errors are over photographs: with "
            "few, intervals are those of Student. Images are clipped to [0, 1] when measured.",
            f"FD and KD are of {on.meter.features}'s features of patches; FD of so few is biased upwards, alike for "
            "all alphas. An inception score needs Inception's classes and is left out. Alphas of the highest PSNR and "
            "of the least FD were chosen on the crops they are shown for, as in the paper.",
            "At scale small, restored and natural training crops are the same ones: six photographs of very different "
            "subjects are too few for two halves to be alike.",
            "With five photographs an interval is 2.8 standard errors wide on either side, so that few exclude "
            "zero. Behind a linear map of noisy images transport restores the variance taken from the noise, too: no "
            "covariance tells noise from detail.",
            "y of noise is neither clipped nor rounded. NLM is h = 0.6 σ with the variance of the noise subtracted. y "
            f"of JPEG is a restorer as it is. The prior of {SAMPLER} is Gaussian, its denoiser in closed form.",
            *[
                f"{e} alone loses more than most restorers (D(E(x)) has {on.ceilings[e]['psnr'].value:.1f} dB), so x̂ "
                "tells of it; claimed is only what the map does beyond D(E(x*))."
                for e in lossy
            ],
            *([f"Published networks whose files are not here are left out: {', '.join(absent)}."] if absent else []),
            *missing,
        ],
    )


if __name__ == "__main__":
    main(run)
