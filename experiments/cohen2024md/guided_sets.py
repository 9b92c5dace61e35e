r"""Five answers without and with diversity guidance, from the same noise: Tables 1 to 3 and Figure 7 of [cohen2024md].

    python experiments/cohen2024md/guided_sets.py [--scale smoke|small|paper] [--out FOLDER]

Kernel priors of digits (8×8) and of crops of photographs (32×32, colour), for which the true posterior's diversity is
known, and the trained prior of digits of 28×28, where its images are installed. Inpainting, downsampling by 4 and by 8
or 16, without and with noise, colorization; DDRM, DDNM, DPS, RePaint.

Small, two CPU cores, 6 min 39 s. Photographs: sets are more diverse
with guidance beyond two errors in 13 of 19 cells, by up to 0.08 of LPIPS (DDNM: inpainting 0.060 to 0.075, ×16 0.36
to 0.40, colorization 0.36 to 0.43), unlikeness is worse in 3; the exact posterior's sets have 0.06, 0.32 and 0.33, so
the paper's settings go beyond it. DDRM, DDNM and RePaint stay equal to y; DPS with 100 steps and the paper's scales
is not consistent with or without guidance (29 to 33 dB), for its step has a fixed length, and at ×16 with noise
guidance costs DDNM and DPS 1.7 dB.

Digits: 4 of 16. Logits of a classifier hardly move: what guidance changes in 64 pixels seldom changes a class, and
the samplers' sets are already as diverse as the exact posterior's or more (inpainting 26 against 9). So the finding
is the paper's on photographs, and not decided by so small digits. At scale smoke DPS with its few steps is not
consistent.

The trained prior, six digits of which the upper three eighths are seen: answers are other digits already without
guidance, further apart than the paper's thresholds reach, so DDRM's are never pushed, DDNM's at 7 % of the steps
(LPIPS 0.142 to 0.145). DPS, which has 30 steps, goes from 0.14 to 0.19 and is not consistent with or without guidance.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxpr.core import InputError
from jaxpr.degradations import AverageDownsample, BicubicDownsample, Grayscale, Inpainting
from jaxpr.numerics.statistics import grouped_mean
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.sampled_sets import ImagePrior, SetSampler, SetTask, exact_answers, guidance_of, image_prior
from jaxpr.reproduce.set_measures import set_measures

SEED, SAMPLES = 0, 5
EXACT = "exact posterior"
CONSISTENT = 45.0  # dB, of the paper, without noise
DPS_SCALES = {0.0: 3.0, 0.05: 1.0}  # by noise; the paper's for photographs
NEAR_NOISE = 1.0  # dB by which guidance may change the consistency of noisy tasks; the bound is ours


class Sizes(NamedTuple):
    """What is done with one prior.

    Attributes:
        prior: of `image_prior`.
        images: that are measured.
        kernels: training images that the prior is made of, or answers are compared with.
        steps: of DDRM, DDNM, DPS and RePaint.
        tasks: of `tasks_of`, so many.
    """

    prior: str
    images: int
    kernels: int
    steps: dict[str, int]
    tasks: int = 6


_FEW = {"ddrm": 3, "ddnm": 3, "dps": 3, "repaint": 6}
_SOME = {"ddrm": 20, "ddnm": 50, "dps": 100, "repaint": 30}
_ALL = {"ddrm": 20, "ddnm": 100, "dps": 1000, "repaint": 250}
LEARNED = "digits28"
SIZES = {
    "smoke": (Sizes("digits", 4, 40, _FEW, 1),),
    "small": (
        Sizes("digits", 60, 1000, _SOME),
        Sizes("photos", 10, 300, _SOME),
        Sizes(LEARNED, 6, 500, {"ddrm": 10, "ddnm": 30, "dps": 30, "repaint": 10}, 1),
    ),
    "paper": (
        Sizes("digits", 359, 1500, _ALL),
        Sizes("photos", 60, 3000, _ALL),
        Sizes(LEARNED, 200, 4000, _ALL),
    ),
}


def tasks_of(prior: ImagePrior) -> list[SetTask]:
    """Inpainting, downsampling without and with noise, and colorization where there is colour."""
    height, width, channels = shape = prior.x.shape[1:]
    mask = np.ones((height, width), bool)
    if channels == 1:
        mask[height * 3 // 8 :] = False
        most = 8 if height == 8 else 7
    else:
        mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = False
        most = 16 if height % 16 == 0 else 8
    faces, down = "faces-x16", AverageDownsample if channels == 1 else BicubicDownsample
    found = [
        SetTask("inpainting", Inpainting(mask, channels=channels), 0.0, "objects-inpainting"),
        SetTask("×4", down(shape, 4), 0.0, "objects-x4"),
        SetTask("×4, σ = 0.05", down(shape, 4), 0.05, "objects-x4-noisy"),
        SetTask(f"×{most}", down(shape, most), 0.0, faces),
        SetTask(f"×{most}, σ = 0.05", down(shape, most), 0.05, f"{faces}-noisy"),
    ]
    if channels == 3:
        found.append(SetTask("colorization", Grayscale(shape), 0.0, "objects-x4"))
    return found


class Row(NamedTuple):
    """One sampler on one task; (N,) each, of sets without and with guidance.

    Attributes:
        diversity: of both.
        unlikeness: of both.
        plain_psnr: LR-PSNR of A x̂, of both.
        official_psnr: as the paper's program.
        pushed: share of guided predictions that were moved.
    """

    diversity: tuple[np.ndarray, np.ndarray]
    unlikeness: tuple[np.ndarray, np.ndarray]
    plain_psnr: tuple[np.ndarray, np.ndarray]
    official_psnr: tuple[np.ndarray, np.ndarray]
    pushed: float


class Found(NamedTuple):
    """All of one prior; keys are (task, sampler)."""

    prior: ImagePrior
    tasks: list[SetTask]
    rows: dict[tuple[str, str], Row]
    sets: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]
    """First measurements with their sets."""
    names: tuple[str, str]


def samplers_of(task: SetTask) -> tuple[str, ...]:
    """Those that apply."""
    return ("ddrm", "ddnm", "dps", "repaint") if isinstance(task.operator, Inpainting) else ("ddrm", "ddnm", "dps")


def measured(prior: ImagePrior, sizes: Sizes) -> Found:
    """Sample and measure everything on one prior."""
    by, tasks = set_measures(prior), tasks_of(prior)[: sizes.tasks]
    rows: dict[tuple[str, str], Row] = {}
    sets: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def add(task: SetTask, sampler: str, y: np.ndarray, both: tuple[np.ndarray, np.ndarray], pushed: float) -> None:
        first, second = (by.consistency(task, x, y) for x in both)
        plain, official = (first[0], second[0]), (first[1], second[1])
        diversity, unlikeness = ((of(both[0]), of(both[1])) for of in (by.diversity, by.unlikeness))
        rows[task.name, sampler] = Row(diversity, unlikeness, plain, official, pushed)
        sets[task.name, sampler] = (y, *both)

    for task in tasks:
        y = task.measure(prior.x, seed=SEED)
        if prior.kernels is not None:
            exact = exact_answers(prior, task, y, SAMPLES, seed=SEED + 1)
            add(task, EXACT, y, (exact, exact), 0.0)
        for sampler in samplers_of(task):
            options = {"scale": DPS_SCALES[task.noise_std]} if sampler == "dps" else {}
            drawn = SetSampler(sampler, prior, task, samples=SAMPLES, steps=sizes.steps[sampler], options=options)
            guidance = guidance_of(sampler, task, prior.x.shape[1:])
            plain, _ = drawn(y, None, seed=SEED + 2)
            guided, pushed = drawn(y, guidance, seed=SEED + 2)
            add(task, sampler, y, (plain, guided), float(pushed.mean()))
    return Found(prior, tasks, rows, sets, (by.diversity_name, by.unlikeness_name))


def changed(found: Found, key: tuple[str, str], what: str) -> tuple[float, float]:
    """Paired difference, with guidance minus without: mean over images and standard error over their groups."""
    plain, guided = getattr(found.rows[key], what)
    return averaged(guided - plain, found.prior.groups)


def averaged(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Mean of (N,) and its standard error over groups."""
    found = grouped_mean(values, groups)
    return found.value, found.stderr


def table(found: Found) -> Table:
    """Everything on one prior."""
    groups, rows = found.prior.groups, []
    for (task, sampler), row in found.rows.items():
        cells: list[Cell] = [f"{task}, {sampler}"]
        for what in ("diversity", "unlikeness"):
            plain, guided = getattr(row, what)
            cells.append(averaged(plain, groups))
            if sampler == EXACT:
                cells.extend([None, None])
            else:
                cells += [averaged(guided, groups), changed(found, (task, sampler), what)]
        for pair in (row.plain_psnr, row.official_psnr):
            cells += [float(np.mean(pair[0])), None if sampler == EXACT else float(np.mean(pair[1]))]
        rows.append([*cells, None if sampler == EXACT else row.pushed])
    diversity, unlikeness = found.names
    return Table(
        f"Sets of {SAMPLES}, prior {found.prior.name}. Diversity: {diversity}; unlikeness: {unlikeness}, lower better; "
        "± standard errors over images; G: with guidance; Δ: paired difference",
        ["", "diversity", "G", "Δ", "unlikeness", "G", "Δ", "LR-PSNR", "G", "as published", "G", "pushed"],
        rows,
    )


def claims(found: Found) -> list[Claim]:
    """What the paper says of its tables."""
    name, keys = found.prior.name, [key for key in found.rows if key[1] != EXACT]
    noise = {task.name: task.noise_std for task in found.tasks}

    def listed(some: list[tuple[str, str]], what: str) -> str:
        parts = (f"{', '.join(k)} {v:+.3f} ± {e:.3f}" for k in some for v, e in [changed(found, k, what)])
        return "; ".join(parts) or "none"

    more = {k: changed(found, k, "diversity") for k in keys}
    worse = {k: changed(found, k, "unlikeness") for k in keys}
    not_more = [k for k, (v, e) in more.items() if not v > 2 * e]
    spoiled = [k for k, (v, e) in worse.items() if v > 2 * e]
    exact_kept = {k: float(found.rows[k].plain_psnr[1].mean()) for k in keys if noise[k[0]] == 0}
    loose = {k: v for k, v in exact_kept.items() if v < CONSISTENT}
    shifts = {k: changed(found, k, "plain_psnr")[0] for k in keys if noise[k[0]] > 0}
    moved = {k: v for k, v in shifts.items() if abs(v) > NEAR_NOISE}
    noisy = [float(found.rows[k].plain_psnr[1].mean()) for k in shifts]
    made = [
        Claim(
            f"{name}: guidance makes sets more diverse, whatever the task and the sampler",
            not not_more,
            f"{len(keys) - len(not_more)} of {len(keys)} beyond two errors; not: {listed(not_more, 'diversity')}",
        ),
        Claim(
            f"{name}: quality is not worse",
            not spoiled,
            f"worse beyond two standard errors in {len(spoiled)} of {len(keys)}: {listed(spoiled, 'unlikeness')}",
        ),
        Claim(
            f"{name}: without noise guided answers stay consistent, {CONSISTENT:g} dB",
            not loose,
            "below: " + ("; ".join(f"{', '.join(k)} {v:.1f} dB" for k, v in loose.items()) or "none"),
        ),
    ]
    if shifts:
        changes = "; ".join(f"{', '.join(k)} {v:+.2f} dB" for k, v in moved.items()) or "none"
        made.append(
            Claim(
                f"{name}: with noise guidance keeps LR-PSNR to {NEAR_NOISE:g} dB",
                not moved,
                f"{min(noisy):.1f} to {max(noisy):.1f} dB, noise itself 26.0; changed more: {changes}",
            )
        )
    return made


@styled()
def draw_sets(found: Found) -> Picture:
    """The first image of each task: y, sets without and with guidance, and exact draws."""
    keys = [key for key in found.rows if key[1] in ("ddnm", EXACT)]
    order = [(task.name, s) for task in found.tasks for s in (EXACT, "ddnm") if (task.name, s) in keys]
    figure = new_figure(11.0, 0.98 * len(order) + 0.35)
    axes = figure.subplots(len(order), 2 + 2 * SAMPLES, squeeze=False)
    figure.subplots_adjust(
        left=0.12, right=0.995, top=1 - 0.3 / (0.98 * len(order) + 0.35), bottom=0.005, wspace=0.05, hspace=0.06
    )
    for row, (task, sampler) in zip(axes, order, strict=True):
        y, plain, guided = found.sets[task, sampler]
        shown = [found.prior.x[0], y[0], *plain[:, 0], *(guided[:, 0] if sampler != EXACT else [])]
        for ax, image in zip(row, shown, strict=False):
            grey = image[..., 0] if image.shape[-1] == 1 else image
            ax.imshow(np.clip(grey, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for ax in row:
            ax.set_axis_off()
            ax.set_box_aspect(1)
        row[0].text(-0.12, 0.5, f"{task}\n{sampler}", transform=row[0].transAxes, ha="right", va="center", fontsize=8)
    for column, title in (
        (0, "x"),
        (1, "y"),
        (2 + SAMPLES // 2, "five answers"),
        (2 + SAMPLES + SAMPLES // 2, "guided, same noise"),
    ):
        axes[0, column].set_title(title, fontsize=9, loc="center", pad=4)
    return Picture(
        figure,
        f"Prior {found.prior.name}. Draws of the exact posterior, and answers of DDNM to the same y without and with "
        "guidance, from the same noise.",
    )


@styled()
def draw_changes(all_found: list[Found]) -> Picture:
    """Diversity against unlikeness, an arrow from plain to guided for every task and sampler."""
    figure: Figure = new_figure(5.5 * len(all_found), 4.4)
    axes = figure.subplots(1, len(all_found), squeeze=False)[0]
    figure.subplots_adjust(left=0.075 if len(all_found) > 1 else 0.13, right=0.985, top=0.9, bottom=0.13, wspace=0.22)
    looks = dict(zip(("ddrm", "ddnm", "dps", "repaint", EXACT), (*COLOURS[:4], INK), strict=True))
    for ax, found in zip(axes, all_found, strict=True):
        for (_, sampler), row in found.rows.items():
            start, end = (
                (float(d.mean()), float(u.mean())) for d, u in zip(row.diversity, row.unlikeness, strict=True)
            )
            ax.plot(*start, "*" if sampler == EXACT else "o", color=looks[sampler], ms=9 if sampler == EXACT else 4)
            if sampler != EXACT:
                ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": looks[sampler], "lw": 1.3})
        ax.set(xlabel=f"diversity: {found.names[0]}", ylabel=f"unlikeness: {found.names[1]}")
        ax.set_title(found.prior.name)
        ax.margins(0.08)
    for name, colour in looks.items():
        axes[0].plot([], [], "*" if name == EXACT else "o-", color=colour, label=name)
    axes[0].legend(frameon=False, fontsize=8.5)
    axes[-1].text(
        0.99, 1.03, "→ more diverse, ↓ better", transform=axes[-1].transAxes, ha="right", color=MUTED, fontsize=9
    )
    return Picture(
        figure,
        "Arrows lead from sets without guidance to sets with it, one for each task and sampler; stars are exact.",
    )


def run(scale: str) -> Experiment:
    """Sample, measure, draw."""
    all_found, left_out = [], []
    for sizes in SIZES[scale]:
        try:
            prior = image_prior(sizes.prior, images=sizes.images, kernels=sizes.kernels)
        except InputError as error:
            if sizes.prior != LEARNED:
                raise
            left_out.append(f"Left out: {error}.")
            continue
        all_found.append(measured(prior, sizes))
    pictures = {f"sets-{found.prior.name}": draw_sets(found) for found in all_found}
    return Experiment(
        name="cohen2024md/guided_sets",
        title="Five answers, without and with diversity guidance",
        source="[cohen2024md], Section 6, Tables 1 to 3, Figure 7, Appendix I.1",
        scale=scale,
        settings={"priors": [sizes._asdict() for sizes in SIZES[scale]], "samples": SAMPLES, "seed": SEED},
        tables=[table(found) for found in all_found],
        claims=[claim for found in all_found for claim in claims(found)],
        pictures=pictures | {"changes": draw_changes(all_found)},
        remarks=[
            "Priors are kernels around real training images, digits of 8×8 or crops of 32×32 in colour: denoisers "
            "and posteriors are exact, so diversity stands beside the true posterior's. digits28 is a trained network.",
            *left_out,
            "Settings of guidance are the paper's, thresholds converted to the same root mean square. RePaint "
            "jumps 5 steps, 3 times. NIQE needs images of 96×192; unlikeness stands for it.",
            "LR-PSNR: of A x̂ to y, and, as published, of pseudo-inverses in [0, 1]. 140 dB stands for equality. "
            "Inpainting counts known pixels only.",
            "The paper's further baseline, MAT, can be compared by `jaxpr evaluate --restorers outputs:FOLDER`.",
        ],
    )


if __name__ == "__main__":
    main(run)
