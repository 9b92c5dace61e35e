r"""How exact diffusion posterior samplers are: DDRM, DDNM, DPS and RePaint against posteriors in closed form.

    python experiments/cohen2024md/sampler_exactness.py [--scale smoke|small|paper] [--out FOLDER]

Priors of images of 2×4 pixels (independent pixels, smooth covariance, a mixture of three) have exact denoisers and
exact posteriors; answers of each sampler are compared with them over steps and levels of noise. No error here is a
network's.

Small, two CPU cores, 2 min 20 s. Variance over the true one, and the squared error of the mean
over the variance, ± standard error over six measurements:

    inpainting            independent pixels            correlated pixels
                          variance       error²         variance       error²
    DDRM η 0.85,  20      0.54 ± 0.01    0.00 ± 0.00    0.86 ± 0.03    1.0 ± 0.5
    DDRM η 0.85, 100      0.68 ± 0.01    0.00 ± 0.00    0.86 ± 0.02    0.25 ± 0.09
    DDRM η 0,    100      0.92 ± 0.03    0.00 ± 0.00    1.44 ± 0.04    1.1 ± 0.5
    DDNM η 0.85, 100      0.68 ± 0.01    0.00 ± 0.00    0.78 ± 0.02    0.07 ± 0.02
    DDNM η 0,    100      0.92 ± 0.03    0.00 ± 0.00    0.90 ± 0.03    0.002 ± 0.002
    DPS,         500      1.64 ± 0.02    0.00 ± 0.00    3.33 ± 0.03    0.15 ± 0.03
    RePaint,      50      0.70 ± 0.01    0.00 ± 0.00    0.94 ± 0.02    0.5 ± 0.2

So the share of fresh noise costs variance, and DDNM without it is nearly exact; but with noise in y (average ×2, σ 0.2)
the mean of either is then the more wrong the more steps there are (correlated pixels: 0.002, 0.15, 0.45 of the variance
at 5, 20, 100), and with η = 0.85 less (0.05, 0.003, 0.12). The mean of DPS is off by twice the variance there.

Claims that do not hold: two about correlated pixels under DDRM have the expected sign and too few measurements to
tell (1.07 ± 0.54, 0.82 ± 0.46); the mean of DPS is not biased for independent pixels without noise; and DPS with a
scale of 0.3 finds the modes as well as draws of the posterior.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from jaxpr.diffusion import linear_schedule, mixture_denoiser
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, INK, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce import exactness as ex
from jaxpr.reproduce.exactness import (
    EXACT_TASKS,
    ExactPosteriors,
    ExactTask,
    answer_scores,
    exact_posteriors,
    three_priors,
)
from jaxpr.samplers import ddnm, ddrm, dps, network_calls, repaint, travel_times

SEED, SCHEDULE = 0, linear_schedule()
DDRM, DDRM_0, DDNM, DDNM_0 = "DDRM, η = 0.85", "DDRM, η = 0", "DDNM, η = 0.85", "DDNM, η = 0"
DPS, REPAINT, REPAINT_1, FLOOR = "DPS", "RePaint", "RePaint, no jumps", "posterior draws"
JUMPS = (10, 10)  # length and repetitions of RePaint, as published
LOOKS: dict[str, dict[str, Any]] = {
    DDRM: {"color": COLOURS[0], "marker": "o"},
    DDRM_0: {"color": COLOURS[0], "marker": "o", "mfc": "white", "ls": "--"},
    DDNM: {"color": COLOURS[1], "marker": "s"},
    DDNM_0: {"color": COLOURS[1], "marker": "s", "mfc": "white", "ls": "--"},
    DPS: {"color": COLOURS[2], "marker": "D"},
    "DPS, scale 0.3": {"color": COLOURS[2], "marker": "v", "mfc": "white", "ls": ""},
    "DPS, scale 3": {"color": COLOURS[2], "marker": "^", "mfc": "white", "ls": ""},
    REPAINT: {"color": COLOURS[3], "marker": "P"},
    REPAINT_1: {"color": COLOURS[3], "marker": "P", "mfc": "white", "ls": "--"},
}
NEAR, NEAR_MEAN = 0.1, 0.02
HALF = (0.35, 0.65)
"""What counts as about half; the bounds are ours."""


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        measurements: y of each prior and task.
        answers: to each of them.
        steps: visited timesteps of DDRM and DDNM.
        dps_steps: of DPS; other scales of its gradient are tried with the most.
        repaint_steps: of RePaint.
        tasks: what is measured.
    """

    measurements: int
    answers: int
    steps: tuple[int, ...]
    dps_steps: tuple[int, ...]
    repaint_steps: tuple[int, ...]
    tasks: tuple[ExactTask, ...] = EXACT_TASKS


SIZES = {
    "smoke": Sizes(3, 50, (20,), (20,), (10,), EXACT_TASKS[:2]),
    "small": Sizes(6, 200, (5, 20, 100), (100, 500), (10, 50)),
    "paper": Sizes(40, 1000, (5, 10, 20, 50, 100, 250, 1000), (50, 100, 250, 1000), (10, 25, 50, 100, 250)),
}


class Sampled(NamedTuple):
    """A sampler with options; `sample` takes (key, denoiser, y, operator) and keywords of all samplers."""

    sample: Callable[..., Any]
    options: Mapping[str, Any]
    purposes: tuple[str, ...] = ("step",)
    jumps: tuple[int, int] | None = None
    noisy: bool = True

    def answers(self, task: ExactTask, exact: ExactPosteriors, sizes: Sizes, steps: int) -> np.ndarray:
        """(P, M, S, d), in units of [0, 1]."""
        shape = sizes.answers, sizes.measurements, *ex.SHAPE
        generator = np.random.default_rng((SEED + 1, steps))
        length, repeats = (1, 1) if self.jumps is None else self.jumps
        transitions = len(travel_times(steps, length=length, repeats=repeats)) - 1
        noise = {"start": generator.standard_normal(shape, np.float32)}
        for purpose in self.purposes:
            noise[purpose] = generator.standard_normal((transitions, *shape), np.float32)

        def of_prior(noise: Any, means: jax.Array, variances: jax.Array, weights: jax.Array, y: jax.Array) -> jax.Array:
            denoiser = mixture_denoiser(
                means=means, variances=variances, weights=weights, schedule=SCHEDULE, basis=ex.BASIS
            )
            return self.sample(
                jax.random.key(0),  # unused: threefry in a scan takes long to compile, so draws are given
                denoiser,
                y,
                task.operator,
                noise=noise,
                schedule=SCHEDULE,
                samples=sizes.answers,
                noise_std=task.noise_std,
                steps=steps,
                clip=False,
                **self.options,
            ).x

        x = np.asarray(jax.jit(jax.vmap(of_prior, (None, 0, 0, 0, 0)))(noise, *three_priors(), exact.y))
        return np.swapaxes(x, 1, 2).reshape(len(ex.PRIORS), sizes.measurements, sizes.answers, ex.SIZE)


def methods(sizes: Sizes) -> dict[str, tuple[Sampled, tuple[int, ...]]]:
    """What is tried, and with how many steps."""
    keep = ("step", "known")
    return {
        DDRM: (Sampled(ddrm, {}), sizes.steps),
        DDRM_0: (Sampled(ddrm, {"eta": 0.0}), sizes.steps),
        DDNM: (Sampled(ddnm, {}), sizes.steps),
        DDNM_0: (Sampled(ddnm, {"eta": 0.0}), sizes.steps),
        DPS: (Sampled(dps, {}), sizes.dps_steps),
        "DPS, scale 0.3": (Sampled(dps, {"scale": 0.3}), sizes.dps_steps[1:][-1:]),
        "DPS, scale 3": (Sampled(dps, {"scale": 3.0}), sizes.dps_steps[1:][-1:]),
        REPAINT: (Sampled(repaint, {}, (*keep, "undo"), JUMPS, noisy=False), sizes.repaint_steps),
        REPAINT_1: (Sampled(repaint, {"jump_repeat": 1}, keep, noisy=False), sizes.repaint_steps),
    }


Scores = dict[str, np.ndarray]
Found = dict[tuple[str, str, int], Scores]
"""By task, method and steps."""


def measured(sizes: Sizes) -> tuple[Found, Found, Scores]:
    """Scores of everything; those of draws of the posterior; and how far answers of DDRM and DDNM+ are apart.

    The last: squared distance of their means over the variance, and difference of their variances over it, (P, M).
    """
    found: Found = {}
    floor: Found = {}
    apart: Scores = {}
    for task in sizes.tasks:
        exact = exact_posteriors(task, measurements=sizes.measurements, answers=sizes.answers, seed=SEED)
        floor[task.name, FLOOR, 0] = answer_scores(exact, exact.other)
        means: dict[str, np.ndarray] = {}
        for name, (sampler, steps) in methods(sizes).items():
            for count in steps if sampler.noisy or not task.noise_std else ():
                x = sampler.answers(task, exact, sizes, count)
                found[task.name, name, count] = answer_scores(exact, x)
                if count == steps[-1]:
                    means[name] = x.mean(axis=2)
        if task.noise_std:
            total = np.trace(exact.covariance, axis1=2, axis2=3)
            last = (found[task.name, name, sizes.steps[-1]]["variance"] for name in (DDRM, DDNM))
            apart[f"{task.name}, means"] = np.sum((means[DDRM] - means[DDNM]) ** 2, axis=2) / total
            apart[f"{task.name}, variances"] = np.abs(np.subtract(*last))
    return found, floor, apart


def mean_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over measurements (M,) and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def tables(found: Found, floor: Found, sizes: Sizes) -> list[Table]:
    """One for each task."""
    made = []
    for task in sizes.tasks:
        rows: list[list[Cell]] = []
        for (name, method, steps), scores in {**floor, **found}.items():
            if name == task.name:
                chosen = ("variance", "bias", "w2", "coverage")
                cells = [[mean_error(scores[m][p]) for m in chosen] for p in range(2)]
                mixed = [mean_error(scores[m][2]) for m in ("variance", "bias", "w2", "modes")]
                rows.append([f"{method}, {steps} steps" if steps else method, *cells[0], *cells[1], *mixed])
        short = {"variance": "variance", "bias": "error²", "w2": "W2", "coverage": "coverage", "modes": "modes"}
        lasts = ("coverage", "coverage", "modes")
        columns = [
            f"{short[m]}, {prior.split()[0]}"
            for prior, last in zip(ex.PRIORS, lasts, strict=True)
            for m in ("variance", "bias", "w2", last)
        ]
        made.append(
            Table(f"{task.name}: {'; '.join(ex.MEASURES.values())}; mean ± standard error over y", ["", *columns], rows)
        )
    return made


def claims(found: Found, floor: Found, apart: Scores, sizes: Sizes) -> list[Claim]:
    """What is known of these methods, and what their uses take for granted."""
    task, most, prior = sizes.tasks[0].name, sizes.steps[-1], dict(zip(ex.PRIORS, range(3), strict=True))

    def at(method: str, steps: int, measure: str, kind: str, where: str = task) -> tuple[float, float]:
        return mean_error(found[where, method, steps][measure][prior[kind]])

    def text(value: tuple[float, float]) -> str:
        return f"{value[0]:.3f} ± {value[1]:.3f}"

    few = 20
    lost, kept = at(DDRM, few, "variance", ex.INDEPENDENT), at(DDRM, most, "variance", ex.INDEPENDENT)
    limits = {
        m: (at(m, most, "variance", ex.INDEPENDENT), at(m, most, "bias", ex.INDEPENDENT)) for m in (DDRM_0, DDNM_0)
    }
    bound = {m: at(m, most, "bias", ex.CORRELATED) for m in (DDRM_0, DDNM_0)}
    errors = [found[task, m, most]["bias"][prior[ex.CORRELATED]] for m in (DDRM_0, DDRM)]
    mended = mean_error(errors[0] - errors[1])
    biased = {f"{p}, {t.name}": at(DPS, sizes.dps_steps[-1], "bias", p, t.name) for p in ex.PRIORS for t in sizes.tasks}
    jumps = [found[task, m, sizes.repaint_steps[-1]]["w2"][prior[ex.CORRELATED]] for m in (REPAINT_1, REPAINT)]
    gain = mean_error(jumps[0] - jumps[1])
    modes = {m: found[task, m, s[-1]]["modes"][2] for m, (_, s) in methods(sizes).items() if s}
    chance = floor[task, FLOOR, 0]["modes"][2]
    excess = {m: mean_error(values - chance) for m, values in modes.items()}
    best = min(excess, key=lambda m: excess[m][0])
    gaps = {name: mean_error(values.ravel()) for name, values in apart.items()}
    return [
        Claim(
            "DDRM as published, 20 steps and η = 0.85, loses about half of the variance of independent pixels",
            HALF[0] < lost[0] - 2 * lost[1] and lost[0] + 2 * lost[1] < HALF[1],
            f"{text(lost)} of the true variance; {text(kept)} at {most} steps",
        ),
        Claim(
            "Without fresh noise (η = 0) DDRM and DDNM tend to the posterior of independent pixels",
            all(abs(v[0] - 1) < NEAR + 2 * v[1] and b[0] < NEAR_MEAN + 2 * b[1] for v, b in limits.values()),
            "; ".join(f"{m}: variance {text(v)}, squared error of the mean {text(b)}" for m, (v, b) in limits.items()),
        ),
        Claim(
            "Without fresh noise DDRM's mean is wrong where pixels are correlated, however many steps",
            bound[DDRM_0][0] - 2 * bound[DDRM_0][1] > NEAR_MEAN,
            f"squared error {text(bound[DDRM_0])} of the variance at {most} steps; DDNM's {text(bound[DDNM_0])}",
        ),
        Claim(
            "The published share of fresh noise brings it nearer",
            mended[0] > 2 * mended[1],
            f"by {text(mended)} at {most} steps",
        ),
        Claim(
            "DDRM and DDNM+ have one law where y is noisy",
            all(value[0] < 0.02 for value in gaps.values()),
            "; ".join(f"{name} {text(value)} of the variance" for name, value in gaps.items()),
        ),
        Claim(
            f"The mean of DPS is biased with {sizes.dps_steps[-1]} steps",
            all(b[0] - 2 * b[1] > 0 for b in biased.values()),
            "; ".join(f"{name} {text(b)}" for name, b in biased.items()),
        ),
        Claim(
            "RePaint's jumps bring answers nearer to the posterior of correlated pixels",
            gain[0] > 2 * gain[1],
            f"W2 smaller by {text(gain)} of the posterior's spread",
        ),
        Claim(
            "Every sampler finds the modes of the mixture with wrong probabilities",
            all(e[0] > 2 * e[1] for e in excess.values()),
            f"nearest: {best}, off by {text(excess[best])} more than as many draws of the posterior",
        ),
    ]


@styled()
def draw(task: ExactTask, found: Found, floor: Found, sizes: Sizes) -> Picture:
    """All measures over calls of the network."""
    figure = new_figure(11.0, 9.6)
    axes = figure.subplots(4, 3, sharex=True)
    figure.subplots_adjust(left=0.075, right=0.99, top=0.9, bottom=0.055, wspace=0.24, hspace=0.16)
    for column, prior in enumerate(ex.PRIORS):
        shown = ("variance", "bias", "w2", "modes" if prior == ex.MIXTURE else "coverage")
        axes[0, column].set_title(prior)
        for ax, measure in zip(axes[:, column], shown, strict=True):
            chance = floor[task.name, FLOOR, 0][measure][column].mean()
            ideal = {"variance": 1.0, "bias": 0.0}.get(measure, chance)
            ax.axhline(ideal, color=INK, lw=1.0, ls=":", label="draws of the posterior")
            for method in LOOKS:
                _curve(ax, method, measure, column, task, found, sizes)
            ax.set_xscale("log")
            if column == 0 or measure == "modes":
                ax.set_ylabel(ex.MEASURES[measure], fontsize=9)
            if measure == "bias":
                ax.set_yscale("symlog", linthresh=0.01)
                ax.set_ylim(bottom=-0.02)
            if measure in ("variance", "w2"):
                ax.set_yscale("log")
                ax.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7)))
                ax.yaxis.set_minor_formatter("{x:g}")
                ax.yaxis.set_major_formatter("{x:g}")
        axes[3, column].set_xlabel("calls of the network")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=5, frameon=False, fontsize=9)
    return Picture(
        figure,
        f"{task.name}. Mean over measurements, bars two standard errors; dotted: as many draws of the exact posterior. "
        "Squared errors of means are without what chance adds, on a scale that is linear below 0.01.",
    )


def _curve(ax: Axes, method: str, measure: str, prior: int, task: ExactTask, found: Found, sizes: Sizes) -> None:
    (sampler, steps), look = methods(sizes)[method], LOOKS[method]
    done = [count for count in steps if (task.name, method, count) in found]
    if done:
        length, repeats = (1, 1) if sampler.jumps is None else sampler.jumps
        calls = [network_calls(count, length=length, repeats=repeats) for count in done]
        values = np.array([mean_error(found[task.name, method, count][measure][prior]) for count in done])
        ax.errorbar(calls, values[:, 0], yerr=2 * values[:, 1], ms=4.5, lw=1.3, elinewidth=0.9, label=method, **look)


def run(scale: str) -> Experiment:
    """Sample, compare, draw."""
    sizes = SIZES[scale]
    found, floor, apart = measured(sizes)
    names = [task.name for task in sizes.tasks]
    pictures = {f"exactness-{i}": draw(task, found, floor, sizes) for i, task in enumerate(sizes.tasks)}
    return Experiment(
        name="cohen2024md/sampler_exactness",
        title="Diffusion samplers beside exact posteriors",
        source="samplers of [cohen2024md]; beyond the paper, which takes them for posterior samplers",
        scale=scale,
        settings=sizes._replace(tasks=())._asdict() | {"shape": ex.SHAPE, "seed": SEED, "measured": names},
        tables=tables(found, floor, sizes),
        claims=claims(found, floor, apart, sizes),
        pictures=pictures,
        remarks=[
            "Priors of images of 2×4 pixels: a Gaussian with independent pixels, one with smooth covariance (diagonal "
            "in the cosine basis), and a mixture of three of these. Denoisers and posteriors are exact, predictions "
            "are not clipped, so every error is the sampler's, or chance, of which the rows of posterior draws tell.",
            f"'About half' is {HALF[0]:g} to {HALF[1]:g}; 'tends to' allows {NEAR:.0%} of the variance and a squared "
            f"error of the mean of {NEAR_MEAN:.0%} of it; the bounds are ours.",
            "W2 between sets of so many points is far from zero even for two sets of the posterior's draws.",
        ],
    )


if __name__ == "__main__":
    main(run)
