"""Noise on the measurement makes a sampler of a deterministic restorer: beyond [ohayon2023], on digits.

    python experiments/beyond/smoothing.py [--scale smoke|small|paper] [--out FOLDER] [--runs FOLDER]

An erratic deterministic restorer f is fed with y + σ N, N standard normal. Averaged over N, what an attack can do to it
is smoothed out as in randomised smoothing, and its outputs for one y vary. Is that a cheap substitute for a stochastic
restorer that was trained to be robust? f(y + σ N) explains y + σ N, not y; projected onto {x : A x = y} it is
consistent again. The trained restorers beside it are those of `ohayon2023/restoration_gans.py`; robustness is √R̃ of
eqs. (6) and (7) of [ohayon2023] with common random seeds N.

Small, two CPU cores, 42 s. Noise of σ up to 0.1, projected, makes the erratic restorer more robust and diverse and
raises its recall. As robust as the robust deterministic one it has far more recall (0.81 ± 0.04 against 0.33 ± 0.02 in
average-x4). As robust as the robust stochastic one it is out of the question in average-x4 (joint FD 1.5 ± 0.2 against
0.24 ± 0.04), and as good in inpainting (0.33 ± 0.07 against 0.8 ± 0.7).

Not in the paper, so nothing to differ from; it suggests the question where it says that erratic deterministic
restorers imitate posterior samplers (Section 4).

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, digit_scores, main
from jaxpr.reproduce import digits as dr
from jaxpr.reproduce.figures import seed_band
from jaxpr.reproduce.statistics import deviation, mean_std, told

SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)  # intensity units; the range is 1
AS_IS, PROJECTED = "f(y + σN)", "projected"
EXACT = 1e-5  # RMSE; float32 leaves some 1e-7 in projections
FIELDS = {
    "sensitivity": "√R̃, eq. (7)",
    "output_psnr": "attacked output PSNR, dB",
    "inconsistency": "A x̂ - y, largest RMSE",
    "spread": "per-pixel std",
    "recall": "recall",
    "precision": "precision",
    "joint_fd": "joint FD, pixels",
    "fd_judge": "FD, logits",
    "psnr": "PSNR, dB",
}
PANELS = ("sensitivity", "recall", "joint_fd", "spread", "precision", "inconsistency")
TRAINED = (dr.STO_ERRATIC, dr.STO_ROBUST, dr.ROBUST)
Values = dict[str, np.ndarray]
"""Field of `Scores` -> one entry per seed."""


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        tasks: None for all.
        seeds: at most so many.
        probes: measurements that are attacked and drawn from repeatedly.
        attack_draws: seeds N of eq. (6).
        draws: for the per-pixel standard deviation.
        sigmas: standard deviations of the noise.
    """

    tasks: tuple[str, ...] | None
    seeds: int
    probes: int
    attack_draws: int
    draws: int
    sigmas: tuple[float, ...]


SIZES = {
    "smoke": Sizes(("average-x4",), 2, 8, 2, 4, (0.0, 0.1)),
    "small": Sizes(("inpainting", "average-x4"), 3, 32, 6, 16, SIGMAS),
    "paper": Sizes(None, 3, 1000, 10, 32, SIGMAS),
}


class Smoothed(NamedTuple):
    """Of one task.

    Attributes:
        ways: `AS_IS` and `PROJECTED` -> scores at each σ.
        trained: kind -> scores.
    """

    ways: dict[str, list[Values]]
    trained: dict[str, Values]

    def along(self, way: str, field: str) -> np.ndarray:
        """A field's values, (strengths, seeds)."""
        return np.stack([values[field] for values in self.ways[way]])


def smoothing(task: dr.DigitTask, sampling: dr.Sampling) -> dr.Sampling:
    """The sampler f(y + σ N), whose parameters are those of f, σ, and the share 0 or 1 of the projection.

    Args:
        task: whose operator projects.
        sampling: f, deterministic.
    """

    def seeds(key: jax.Array, y: jax.Array) -> Any:
        k_own, k_noise = jax.random.split(key)
        return sampling.seeds(k_own, y), jax.random.normal(k_noise, y.shape, y.dtype)

    def apply(params: Any, y: jax.Array, z: Any) -> jax.Array:
        weights, sigma, share = params
        x = sampling.apply(weights, y + sigma * z[1], z[0])
        return x + share * (task.operator.project(x, y) - x)

    return dr.Sampling(seeds, apply, stochastic=True)


def measured(task: dr.DigitTask, sizes: Sizes, seeds: list[int], runs: Path | None) -> Smoothed:
    """The erratic deterministic restorer at each σ, and the trained ones."""
    options = {"attack_draws": sizes.attack_draws, "draws": sizes.draws}
    erratic, programs = dr.family(task, dr.ERRATIC, seeds, runs), dr.DigitPrograms(task, **options)
    program = dr.DigitProgram(task, smoothing(task, erratic.sampling), **options)

    def at(sigma: float, share: float) -> Values:
        params = [(tree, jnp.float32(sigma), jnp.float32(share)) for tree in erratic.params]
        return digit_scores.all_scores(program, params, seeds, sizes.probes)

    ways = {way: [at(s, share) for s in sizes.sigmas] for way, share in ((AS_IS, 0.0), (PROJECTED, 1.0))}
    trained = {}
    for kind in TRAINED:
        found = dr.family(task, kind, seeds, runs)
        trained[kind] = digit_scores.all_scores(programs(found), found.params, seeds, sizes.probes)
    return Smoothed(ways, trained)


def table(name: str, found: Smoothed, sigmas: tuple[float, ...]) -> Table:
    """A row for each σ and way, and for each trained restorer."""
    rows: list[list[Cell]] = []
    for way, values in found.ways.items():
        rows += [
            [f"{way}, σ = {s:g}", *(mean_std(v[field]) for field in FIELDS)]
            for s, v in zip(sigmas, values, strict=True)
        ]
    rows += [[kind, *(mean_std(v[field]) for field in FIELDS)] for kind, v in found.trained.items()]
    return Table(f"{name}, mean ± standard deviation over seeds", ["", *FIELDS.values()], rows)


def rises(values: np.ndarray) -> bool:
    """Whether the last exceeds the first at every seed, and means never fall by more than their spread; (A, seeds)."""
    spread = deviation(values, axis=1)
    steps = np.diff(values.mean(axis=1)) + np.maximum(spread[1:], spread[:-1])
    return bool((values[-1] > values[0]).all() and (steps >= 0).all())


def first_calm(shift: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Index of the least σ at which a seed is at least as robust as its trained counterpart, -1 if none is; (seeds,).

    Args:
        shift: √R̃, (strengths, seeds).
        trained: √R̃ of the counterpart, (seeds,).
    """
    calm = shift <= trained
    return np.where(calm.any(axis=0), calm.argmax(axis=0), -1)


def compared(found: Smoothed, kind: str, field: str, sigmas: tuple[float, ...]) -> tuple[np.ndarray, str]:
    """A field at the least σ of equal robustness minus that of a trained kind, NaN where there is none; and words."""
    at = first_calm(found.along(PROJECTED, "sensitivity"), found.trained[kind]["sensitivity"])
    there, words = at >= 0, f"{int((at >= 0).sum())} of {len(at)} seeds reach its robustness"
    seeds = np.arange(len(at))
    if there.any():
        reached = ", ".join(f"{sigmas[i]:g}" for i in at[there])
        words += f", at σ = {reached}"
        for name in (field, "precision"):
            own = found.along(PROJECTED, name)[at, seeds][there]
            trained = found.trained[kind][name][there]
            words += f"; {FIELDS[name]} {told(own)} against {told(trained)}"
    change = found.along(PROJECTED, field)[at, seeds] - found.trained[kind][field]
    return np.where(there, change, np.nan), words


def claims(name: str, found: Smoothed, sigmas: tuple[float, ...]) -> list[Claim]:
    """Our questions, with what was found; each must hold at every seed."""
    shift, spread = found.along(PROJECTED, "sensitivity"), found.along(PROJECTED, "spread")
    off = {way: found.along(way, "inconsistency") for way in found.ways}
    recall, joint = (
        compared(found, kind, field, sigmas) for kind, field in ((dr.ROBUST, "recall"), (dr.STO_ROBUST, "joint_fd"))
    )
    ends = f"σ = {sigmas[0]:g} and {sigmas[-1]:g}"
    trained = told(found.trained[dr.STO_ROBUST]["spread"])
    return [
        Claim(
            f"{name}: noise makes the erratic deterministic restorer more robust",
            rises(-shift),
            f"√R̃ {told(shift[0])} and {told(shift[-1])} at {ends}, projected",
        ),
        Claim(
            f"{name}: and its outputs more diverse",
            rises(spread),
            f"per-pixel std {told(spread[0])} and {told(spread[-1])} at {ends}; trained to be robust {trained}",
        ),
        Claim(
            f"{name}: consistency is lost with σ, and kept by projection",
            bool((off[AS_IS][-1] > EXACT).all() and rises(off[AS_IS]) and off[PROJECTED].max() < EXACT),
            f"largest RMSE of A x̂ - y at σ = {sigmas[-1]:g}: {off[AS_IS][-1].max():.2g}, projected "
            f"{off[PROJECTED].max():.1e}",
        ),
        Claim(
            f"{name}: at equal robustness it has more recall than the robust deterministic one",
            bool((recall[0] > 0).all()),
            recall[1],
        ),
        Claim(
            f"{name}: at equal robustness its joint FD is at most that of the robust stochastic one",
            bool((joint[0] <= 0).all()),
            joint[1],
        ),
    ]


@styled()
def draw_curves(name: str, found: Smoothed, sigmas: tuple[float, ...]) -> Picture:
    """Each field against σ; trained restorers are lines across."""
    figure = new_figure(11.0, 6.0)
    axes = figure.subplots(2, 3, sharex=True).ravel()
    figure.subplots_adjust(left=0.055, right=0.99, top=0.87, bottom=0.085, wspace=0.2, hspace=0.22)
    place = np.arange(len(sigmas))
    looks = {AS_IS: (COLOURS[1], "o"), PROJECTED: (COLOURS[2], "s")}
    for ax, field in zip(axes, PANELS, strict=True):
        for way, (colour, marker) in looks.items():
            seed_band(ax, place, found.along(way, field), colour=colour, marker=marker, label=way)
        if field != "inconsistency":
            for kind, scores in found.trained.items():
                mean, band = scores[field].mean(), deviation(scores[field], axis=0)
                ax.axhspan(mean - band, mean + band, color=dr.LOOKS[kind], alpha=0.12, lw=0)
                ax.axhline(mean, color=dr.LOOKS[kind], lw=1.3, ls=(0, (5, 3)), label=kind)
        ax.set_title(FIELDS[field], fontsize=9.5, pad=6)
        ax.set_ylim(0, max(1.04 * ax.get_ylim()[1], 1e-3))
    for ax in axes[3:]:
        ax.set_xticks(place, [f"{s:g}" for s in sigmas])
        ax.set_xlabel("σ of the noise on y", color=MUTED)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=len(names), frameon=False, fontsize=9.5)
    return Picture(
        figure,
        f"{name}: the erratic deterministic restorer fed with noise, as it is and made consistent again; dashed: "
        "restorers that were trained. Bands: one standard deviation over seeds.",
    )


def run(scale: str, runs: Path | None = None) -> Experiment:
    """Measure at each σ, draw.

    Args:
        scale: smoke, small or paper.
        runs: folder of `jaxpr train digits`; None for the packaged restorers, at scale paper for `PAPER_RUNS`.
    """
    sizes = SIZES[scale]
    tasks, seeds, runs = dr.prepared(scale, sizes.tasks, sizes.seeds, runs)
    found = {task.name: measured(task, sizes, seeds, runs) for task in tasks}
    sigmas = sizes.sigmas
    return Experiment(
        name="beyond/smoothing",
        title="A deterministic restorer with noise on its input as a sampler",
        source="beyond [ohayon2023], after its Sections 4 to 6.1",
        scale=scale,
        settings={**sizes._asdict(), "tasks": list(found), "seeds": seeds, "k": digit_scores.NEIGHBOURS},
        tables=[table(name, values, sigmas) for name, values in found.items()],
        claims=[claim for name, values in found.items() for claim in claims(name, values, sigmas)],
        pictures={name: draw_curves(name, values, sigmas) for name, values in found.items()},
        remarks=[
            "The attack knows that noise is added, and ascends the mean shift over several N.",
            "'At equal robustness': at the least of the strengths σ at which √R̃, projected, is at most that of the "
            "trained restorer of the same seed. Recall alone could be bought by noisy outputs, so precision is given.",
            "The noise also moves outputs within the range of A, where projection takes it back: only the part of "
            "f(y + σN) that y does not determine keeps its diversity.",
        ],
    )


if __name__ == "__main__":
    main(run)
