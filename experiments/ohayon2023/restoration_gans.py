"""Erratic and robust, deterministic and stochastic GANs that restore digits: Table 1 and Figure 4 of [ohayon2023].

    python experiments/ohayon2023/restoration_gans.py [--scale smoke|small|paper] [--out FOLDER] [--runs FOLDER]

All are consistent by construction, of one network, with one attack; "robust" ones were trained with λ_R > 0 in eq.
(8), deterministic ones have Z = 0. Beside the four: the deterministic network with the ℓ1 loss alone. The restorers are
those that come with jaxpr (`experiments/configs/digits.py` says how they were made); scale paper takes those that
`jaxpr train digits --scale paper --out runs/digits-paper` makes.

Small, two CPU cores, 1 min 3 s, mean ± standard deviation over three seeds:

                             stochastic                deterministic
    inpainting           erratic        robust       erratic          robust
    recall           0.53 ± 0.11     0.5 ± 0.2   0.54 ± 0.07   0.004 ± 0.001
    FD, pixels     0.190 ± 0.016     0.7 ± 0.7   0.18 ± 0.03       2.5 ± 0.2
    per-pixel std    0.05 ± 0.02   0.11 ± 0.01             0               0

    average-x4
    recall           0.65 ± 0.03   0.69 ± 0.05   0.69 ± 0.01     0.33 ± 0.02
    FD, pixels       0.19 ± 0.02   0.24 ± 0.04   0.17 ± 0.01     0.48 ± 0.03
    per-pixel std    0.05 ± 0.02   0.12 ± 0.01             0               0

There the paper's claims hold at every seed. In average-x2 little is hidden and nothing lost; in average-x8, one number
for 64 pixels, erratic GANs have no recall to lose, and one robust stochastic one of three samples digits well.

What differs from the paper: 8×8 digits instead of 64×64 faces, ×2 and ×4 instead of ×4 to ×16, so fewer pixels are
free; pixels and a classifier's logits instead of Inception features; three seeds instead of one, with their spread;
the joint Fréchet distance, √R̃ and the ℓ1 restorer besides; super-resolution is consistent exactly, not by CEM.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxpr.report.experiments import Cell
from jaxpr.report.style import INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, digit_scores, main
from jaxpr.reproduce import digits as dr
from jaxpr.reproduce.figures import seed_bars
from jaxpr.reproduce.statistics import mean_std, told

EXACT = 1e-5  # RMSE; float32 leaves some 1e-7 in projections
SHOWN, DRAWN = 4, 4  # examples, and draws of each
REPORTED = {
    "FID": (14.10, 19.27, 14.37, 39.09),
    "precision": (0.670, 0.634, 0.670, 0.533),
    "recall": (0.388, 0.268, 0.382, 0.022),
    "per-pixel std": (0.007, 0.105, 0.0, 0.0),
    "attacked output PSNR, dB": (6.884, 26.19, 3.544, 23.69),
    "attacked input PSNR, dB": (34.47, 32.95, 34.18, 32.98),
}
"""Table 1 of [ohayon2023], in the order of `GANS`."""
GANS = (dr.STO_ERRATIC, dr.STO_ROBUST, dr.ERRATIC, dr.ROBUST)
PANELS = {
    "recall": "recall  (higher is better)",
    "precision": "precision  (higher is better)",
    "fd": "FD of pixels  (lower is better)",
    "spread": "per-pixel std  (intensity)",
    "output_psnr": "attacked output PSNR, dB  (higher is better)",
    "psnr": "PSNR, dB  (higher is better)",
}


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        tasks: None for all.
        seeds: at most so many.
        probes: measurements that are attacked and drawn from repeatedly.
        attack_draws: seeds of eq. (6).
        draws: for the per-pixel standard deviation.
    """

    tasks: tuple[str, ...] | None
    seeds: int
    probes: int
    attack_draws: int
    draws: int


SIZES = {
    "smoke": Sizes(("average-x4",), 2, 8, 2, 4),
    "small": Sizes(None, 3, 96, 10, 32),
    "paper": Sizes(None, 3, 10_000, 10, 32),
}
Values = dict[str, dict[str, np.ndarray]]
"""Kind -> field of `Scores` -> one entry per seed."""


def measured(task: dr.DigitTask, sizes: Sizes, seeds: list[int], runs: Path | None) -> tuple[Values, dict[str, Any]]:
    """Numbers of all kinds, and the outputs of the first seed for some examples: (draws, examples, H, W, C)."""
    values, shown = {}, {}
    programs = dr.DigitPrograms(task, attack_draws=sizes.attack_draws, draws=sizes.draws)
    for kind in dr.KINDS:
        found = dr.family(task, kind, seeds, runs)
        program = programs(found)
        values[kind] = digit_scores.all_scores(program, found.params, seeds, sizes.probes)
        keys = jax.random.split(jax.random.key(1), DRAWN if found.sampling.stochastic else 1)
        shown[kind] = np.stack([program.restore(key, found.params[0])[examples(task)] for key in keys])
    return values, shown


def examples(task: dr.DigitTask) -> np.ndarray:
    """Positions of the measurements that figures show."""
    return np.linspace(0, len(task.y) - 1, SHOWN + 1).astype(int)[:-1]


def table(task: dr.DigitTask, values: Values) -> Table:
    """Table 1 for one task."""
    natural = digit_scores.natural_scores(task)
    rows: list[list[Cell]] = []
    for field, title in digit_scores.ROWS.items():
        floor = getattr(natural, field)
        cells = [mean_std(values[kind][field]) for kind in dr.KINDS]
        rows.append([title, *cells, None if np.isnan(floor) else floor])
    psnr = task.attack.psnr
    title = f"{task.name}, mean ± standard deviation over seeds; attacks of at least {psnr:g} dB"
    return Table(title, ["", *dr.KINDS, "natural"], rows)


def cost(values: Values, erratic: str, robust: str, field: str) -> np.ndarray:
    """How much worse the robust one is, for each seed: of recall what it loses, of distances what it gains."""
    change = values[robust][field] - values[erratic][field]
    return -change if field == "recall" else change


def task_claims(name: str, values: Values) -> list[Claim]:
    """What Section 6.1.2 says, for one task; each must hold at every seed."""
    found = []
    for field, words in (("recall", "recall"), ("fd", "FD")):
        costs = cost(values, dr.ERRATIC, dr.ROBUST, field), cost(values, dr.STO_ERRATIC, dr.STO_ROBUST, field)
        worst = np.all([values[dr.ROBUST][field] < values[kind][field] for kind in GANS[:3]])
        if field == "fd":
            worst = np.all([values[dr.ROBUST][field] > values[kind][field] for kind in GANS[:3]])
        text = "; ".join(f"{kind} {told(values[kind][field])}" for kind in GANS)
        found += [
            Claim(
                f"{name}: robustness costs the deterministic restorer more {words} than the stochastic one",
                bool((costs[0] > costs[1]).all() and costs[0].mean() > 0),
                f"{told(costs[0])} against {told(costs[1])}",
            ),
            Claim(f"{name}: the robust deterministic GAN has the worst {words} of the four", bool(worst), text),
        ]
    spreads = values[dr.STO_ERRATIC]["spread"], values[dr.STO_ROBUST]["spread"]
    outputs = {kind: values[kind]["output_psnr"] for kind in GANS}
    gains = outputs[dr.STO_ROBUST] - outputs[dr.STO_ERRATIC], outputs[dr.ROBUST] - outputs[dr.ERRATIC]
    return [
        *found,
        Claim(
            f"{name}: the robust stochastic restorer varies more than the erratic one",
            bool((spreads[1] > spreads[0]).all()),
            f"per-pixel std {told(spreads[1])} against {told(spreads[0])}",
        ),
        Claim(
            f"{name}: the robust ones of both sorts are more robust than their erratic twins",
            bool((gains[0] > 0).all() and (gains[1] > 0).all()),
            f"attacked output PSNR higher by {told(gains[0], digits=1)} dB (stochastic), {told(gains[1], digits=1)} dB",
        ),
    ]


def claims(values: dict[str, Values]) -> list[Claim]:
    """Of all tasks."""
    largest = max(float(v["inconsistency"].max()) for kinds in values.values() for v in kinds.values())
    found = [claim for name, kinds in values.items() for claim in task_claims(name, kinds)]
    consistent = f"largest RMSE of A x̂ - y over digits, tasks, kinds and seeds {largest:.1e}"
    found.append(Claim("All are consistent with their measurements", largest < EXACT, consistent))
    ranges = {
        name: np.ptp([v["precision"].mean() for k, v in kinds.items() if k in GANS]) for name, kinds in values.items()
    }
    losses = {
        name: max(v["recall"].mean() for k, v in kinds.items() if k in GANS) - kinds[dr.ROBUST]["recall"].mean()
        for name, kinds in values.items()
    }
    said = "; ".join(f"{name} {ranges[name]:.3f} and {losses[name]:.3f}" for name in values)
    flat = all(ranges[name] < losses[name] for name in values)
    text = "Precision differs less among the four than the robust deterministic one lacks in recall"
    return [*found, Claim(text, flat, f"range of precision and lack of recall: {said}")]


def mosaic(rows: Sequence[Sequence[Any]], gaps: Sequence[int] = ()) -> np.ndarray:
    """Images (H, W, C) side by side in rows with white lines between; wider ones before the columns in `gaps`."""
    side, channels = np.shape(rows[0][0])[0], np.shape(rows[0][0])[2]
    starts, left = [], 0
    for column in range(len(rows[0])):
        left += side // 2 if column in gaps else 0
        starts.append(left)
        left += side + 1
    canvas = np.ones((len(rows) * (side + 1) - 1, left - 1, channels))
    for i, row in enumerate(rows):
        for start, image in zip(starts, row, strict=True):
            canvas[i * (side + 1) : i * (side + 1) + side, start : start + side] = np.clip(image, 0, 1)
    return canvas


def enlarged(image: Any, side: int) -> np.ndarray:
    """A square image with its pixels repeated up to `side`."""
    values = np.asarray(image)
    times = side // values.shape[0]
    return values.repeat(times, axis=0).repeat(times, axis=1)


@styled()
def draw_samples(tasks: list[dr.DigitTask], shown: dict[str, dict[str, np.ndarray]]) -> Picture:
    """A block for each task: truth, input, and what each kind makes of it."""
    labels = {kind: kind.replace(" ", "\n") for kind in dr.KINDS}
    order = (dr.PIXEL_LOSS, dr.ERRATIC, dr.ROBUST, dr.STO_ERRATIC, dr.STO_ROBUST)
    first = shown[tasks[0].name]
    heads, gaps, column = {0: "truth x", 1: "input y"}, [], 2
    for kind in order:
        gaps.append(column)
        heads[column] = labels[kind]
        column += len(first[kind])
    cell, blocks = 0.52, []
    for task in tasks:
        rows = []
        side = task.x.shape[1]
        for position, example in enumerate(examples(task)):
            draws = [image for kind in order for image in shown[task.name][kind][:, position]]
            rows.append([task.x[example], enlarged(task.y[example], side), *draws])
        blocks.append(mosaic(rows, gaps))
    height, width = (blocks[0].shape[i] / (tasks[0].x.shape[1] + 1) * cell for i in (0, 1))
    head, label = 0.32, 0.26
    total = head + len(blocks) * (height + label) + 0.05
    figure = new_figure(width + 0.1, total)
    unit = width / blocks[0].shape[1]
    for index, (task, block) in enumerate(zip(tasks, blocks, strict=True)):
        low = total - head - (index + 1) * (height + label)
        ax = figure.add_axes((0.05 / (width + 0.1), low / total, width / (width + 0.1), height / total))
        ax.imshow(block if block.shape[2] == 3 else block[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="none")
        ax.set_axis_off()
        figure.text(0.05 / (width + 0.1), (low + height + 0.06) / total, task.name, fontsize=8.5, color=MUTED)
    side, left = tasks[0].x.shape[1], 0
    for index in range(column):
        left += side // 2 if index in gaps else 0
        if index in heads:
            place = (0.05 + unit * left) / (width + 0.1)
            for line, words in enumerate(heads[index].split("\n")):
                figure.text(place, 1 - (0.14 + 0.12 * line) / total, words, fontsize=7.4, color=INK)
        left += side + 1
    return Picture(
        figure,
        f"First seed; {DRAWN} draws of each stochastic restorer for the same input. All agree with the input.",
    )


@styled()
def draw_bars(values: dict[str, Values]) -> Picture:
    """Figure 4, of all tasks: bars are means over seeds, dots the seeds."""
    figure = new_figure(11.0, 6.2)
    axes = figure.subplots(2, 3).ravel()
    figure.subplots_adjust(left=0.055, right=0.99, top=0.88, bottom=0.06, wspace=0.2, hspace=0.3)
    for ax, (field, title) in zip(axes, PANELS.items(), strict=True):
        each = {kind: np.stack([kinds[kind][field] for kinds in values.values()]) for kind in dr.KINDS}
        seed_bars(ax, each, colours=[dr.LOOKS[kind] for kind in dr.KINDS])
        ax.set_xticks(range(len(values)), list(values))
        ax.set_title(title, fontsize=9.5, pad=6)
        ax.set_ylim(0, max(ax.get_ylim()[1], 1e-3))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=len(names), frameon=False, fontsize=9.5)
    return Picture(figure, "Bars are means over seeds, dots the seeds. Deterministic restorers have no spread.")


def run(scale: str, runs: Path | None = None) -> Experiment:
    """Measure all restorers, draw.

    Args:
        scale: smoke, small or paper.
        runs: folder of `jaxpr train digits`; None for the packaged restorers, at scale paper for `PAPER_RUNS`.
    """
    sizes = SIZES[scale]
    tasks, seeds, runs = dr.prepared(scale, sizes.tasks, sizes.seeds, runs)
    values, shown = {}, {}
    for task in tasks:
        values[task.name], shown[task.name] = measured(task, sizes, seeds, runs)
    printed: list[list[Cell]] = [[name, *numbers] for name, numbers in REPORTED.items()]
    return Experiment(
        name="ohayon2023/restoration_gans",
        title="Erratic and robust, deterministic and stochastic GANs that restore digits",
        source="[ohayon2023], Section 6.1, Appendices E.2 and F; Table 1, Figures 1 and 4",
        scale=scale,
        settings={
            **sizes._asdict(),
            "tasks": [task.name for task in tasks],
            "seeds": seeds,
            "k": digit_scores.NEIGHBOURS,
        },
        tables=[
            *(table(task, values[task.name]) for task in tasks),
            Table("Printed in the paper: CelebA, inpainting, one seed", ["", *GANS], printed),
        ],
        claims=claims(values),
        pictures={"samples": draw_samples(tasks, shown), "bars": draw_bars(values)},
        remarks=[
            "'natural' are the test digits themselves in place of restorations: the best that a restorer can hope for.",
            "Seeds train anew; restored digits are the same, so the spread over seeds is that of training. Claims of "
            "one task must hold at every seed.",
            f"Attacks find δ for {sizes.attack_draws} seeds Z and are measured with others; √R̃, eq. (9) and the spread "
            f"are those of the first {min(sizes.probes, len(tasks[0].y))} test digits.",
            "As y is a linear function of a consistent restoration, (x̂, y) has no more in it than x̂: the joint "
            "distance only weighs the directions that y shows more.",
        ],
    )


if __name__ == "__main__":
    main(run)
