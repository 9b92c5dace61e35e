"""Attacks of growing strength on deterministic, stochastic and distortion-trained restorers: Figure 8 of [ohayon2023].

    python experiments/ohayon2023/stochastic_attack.py [--scale smoke|small|paper] [--out FOLDER] [--runs FOLDER]

I-FGSM with α of 1 to 32 grey levels, as adapted to seeds in Appendix G: it ascends the mean shift of the output over
several Z, the same ones at y and at y + δ. PSNR of the attacked against the unattacked output is measured with yet
another Z. The restorers are those of `ohayon2023/restoration_gans.py`.

Small, two CPU cores, 38 s. Attacked outputs of the robust stochastic GAN are 4.4 ± 1.5 dB (average-x4) and 1.7 ± 0.6 dB
(inpainting) above those of the erratic deterministic one, on average over α, and 0.4 ± 0.8 and 1.4 ± 0.7 dB below those
of the ℓ1 restorer. Noise without the robustness loss brings 0.7 ± 1.0 and 0.2 ± 1.0 dB: no sure gain.

What differs from the paper: digits and their small GANs instead of photographs with SRFlow (stochastic), ESRGAN
(deterministic) and EDSR (distortion-trained), so that nothing but noise and losses differs between the curves; three
seeds, with their spread; at scale small fewer steps and seeds Z.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import ALPHAS, attack_sweep
from jaxpr.report.experiments import Cell
from jaxpr.report.style import MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce import digits as dr
from jaxpr.reproduce.figures import seed_band
from jaxpr.reproduce.statistics import mean_std, told


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        tasks: None for all.
        seeds: at most so many.
        probes: measurements that are attacked.
        steps: of I-FGSM; 50 in the paper.
        draws: seeds Z of the attack; 10 in the paper.
    """

    tasks: tuple[str, ...] | None
    seeds: int
    probes: int
    steps: int
    draws: int


SIZES = {
    "smoke": Sizes(("average-x4",), 2, 4, 3, 2),
    "small": Sizes(("inpainting", "average-x4"), 3, 32, 20, 5),
    "paper": Sizes(None, 3, 500, 50, 10),
}


class Curve(NamedTuple):
    """Means over measurements, decibels; (seeds, strengths) each."""

    input_psnr: np.ndarray
    output_psnr: np.ndarray


def curves(task: dr.DigitTask, sizes: Sizes, seeds: list[int], runs: Path | None) -> dict[str, Curve]:
    """Attack all kinds at all strengths."""
    y = task.y[: sizes.probes]
    programs: dict[Any, Any] = {}
    found = {}
    for kind in dr.KINDS:
        family = dr.family(task, kind, seeds, runs)
        if family.config not in programs:
            programs[family.config] = jax.jit(sweep_of(family.sampling, y, sizes))
        runs_of_seeds = []
        for seed, params in zip(seeds, family.params, strict=True):
            key = jax.random.fold_in(jax.random.key(0), seed)  # the same for all kinds
            runs_of_seeds.append(np.asarray(programs[family.config](key, params)))
        found[kind] = Curve(*np.stack(runs_of_seeds, axis=1))
    return found


def sweep_of(sampling: dr.Sampling, y: jax.Array, sizes: Sizes) -> Any:
    """(key, parameters) -> PSNR of inputs and outputs for each strength, (2, A), means over measurements."""

    def sweep(key: jax.Array, params: Any) -> jax.Array:
        k_noise, k_attack = jax.random.split(key)
        z = dr.noise(sampling, k_noise, y, (sizes.draws if sampling.stochastic else 1) + 1)
        last, rest = (jax.tree.map(lambda a, part=part: a[part], z) for part in (-1, slice(None, -1)))
        found = attack_sweep(
            k_attack,
            lambda attacked: sampling.apply(params, attacked, last),
            y,
            alphas=jnp.array(ALPHAS, y.dtype),
            steps=sizes.steps,
            bounds=(0.0, 1.0),
            objective=dr.shift_objective(sampling, params, y, rest),
        )
        return jnp.stack([found.input_psnr.mean(axis=1), found.output_psnr.mean(axis=1)])

    return sweep


def table(name: str, found: dict[str, Curve]) -> Table:
    """Output PSNR by strength; the last column is the range of input PSNR among the kinds."""
    rows: list[list[Cell]] = []
    for i, alpha in enumerate(ALPHAS):
        inputs = [curve.input_psnr[:, i].mean() for curve in found.values()]
        cells = [mean_std(curve.output_psnr[:, i]) for curve in found.values()]
        rows.append([f"{alpha * 255:g}/255", *cells, f"{min(inputs):.1f} to {max(inputs):.1f}"])
    title = f"{name}: attacked output PSNR in dB, mean ± standard deviation over seeds"
    return Table(title, ["α", *found, "input PSNR, dB"], rows)


def claims(name: str, found: dict[str, Curve]) -> list[Claim]:
    """What Appendix G says, on means over strengths, at every seed."""
    mean = {kind: curve.output_psnr.mean(axis=1) for kind, curve in found.items()}
    gain = mean[dr.STO_ROBUST] - mean[dr.ERRATIC]
    rest = mean[dr.PIXEL_LOSS] - mean[dr.STO_ROBUST]
    erratic, lost = mean[dr.STO_ERRATIC] - mean[dr.ERRATIC], mean[dr.PIXEL_LOSS] - mean[dr.ERRATIC]
    everywhere = found[dr.STO_ROBUST].output_psnr.mean(axis=0) - found[dr.ERRATIC].output_psnr.mean(axis=0)
    return [
        Claim(
            f"{name}: a stochastic restorer of high perceptual quality is more robust than a deterministic one, at "
            "every strength",
            bool((gain > 0).all() and (everywhere > 0).all()),
            f"robust stochastic over erratic deterministic {told(gain, digits=1)} dB on average over α, "
            f"at least {np.min(everywhere):.1f} dB",
        ),
        Claim(
            f"{name}: it is nearer to the distortion-trained restorer than to the deterministic GAN, or above it",
            bool((rest < gain).all()),
            f"the ℓ1 restorer is {told(rest, digits=1)} dB above it, "
            f"the deterministic GAN {told(gain, digits=1)} dB below it",
        ),
        Claim(
            f"{name}: the deterministic GAN is less robust than the distortion-trained restorer",
            bool((lost > 0).all()),
            f"by {told(lost, digits=1)} dB",
        ),
        Claim(
            f"{name}: being stochastic is enough, without a robustness loss",
            bool((erratic > 0).all()),
            f"erratic stochastic over erratic deterministic {told(erratic, digits=1)} dB",
        ),
    ]


@styled()
def draw_curves(found: dict[str, dict[str, Curve]]) -> Picture:
    """A column for each task: output against input PSNR, and their difference; bands of one standard deviation."""
    count = len(found)
    width = 4.2 * count + 2.25
    figure = new_figure(width, 6.4)
    axes = figure.subplots(2, count, squeeze=False, sharex="col", sharey="row", height_ratios=(3, 2))
    figure.subplots_adjust(left=0.75 / width, right=1 - 2.0 / width, top=0.91, bottom=0.085, wspace=0.08, hspace=0.08)
    marks = dict(zip(dr.KINDS, "osD^v", strict=True))
    for (ax, below), (name, kinds) in zip(axes.T, found.items(), strict=True):
        for kind, curve in kinds.items():
            for place, values in ((ax, curve.output_psnr), (below, curve.output_psnr - curve.input_psnr)):
                before, look = curve.input_psnr.mean(axis=0), {"colour": dr.LOOKS[kind], "marker": marks[kind]}
                seed_band(place, before, values.T, label=kind, **look)
        ends = kinds[dr.PIXEL_LOSS].input_psnr.mean(axis=0)
        dashes = {"color": "#9aa5b1", "lw": 1, "ls": (0, (4, 3)), "zorder": 1}
        low, high = np.min(ends), np.max(ends)
        ax.plot([low, high], [low, high], **dashes)
        below.axhline(0, **dashes)
        words = {"color": MUTED, "fontsize": 7.8, "textcoords": "offset points"}
        for alpha, place in zip(ALPHAS, ends, strict=True):
            at = {"xycoords": ("data", "axes fraction"), "ha": "center"}
            ax.annotate(f"{alpha * 255:g}", (place, 1), (0, 3), **at, **words)
        ax.set_title(name, pad=16, fontsize=9.5)
        below.set_xlabel("PSNR of the attacked input  (dB)")
    axes[0, 0].annotate("α · 255", (0, 1), (-2, 3), xycoords="axes fraction", ha="right", **words)
    axes[0, 0].set_ylabel("PSNR of the attacked output  (dB)")
    axes[1, 0].set_ylabel("output minus input  (dB)")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=9, borderaxespad=0.0)
    return Picture(
        figure,
        "Stronger attacks to the left. Below the dashed line outputs change more than inputs; the lower row shows how "
        "much more. Bands: one standard deviation over seeds.",
    )


def run(scale: str, runs: Path | None = None) -> Experiment:
    """Attack all restorers, draw.

    Args:
        scale: smoke, small or paper.
        runs: folder of `jaxpr train digits`; None for the packaged restorers, at scale paper for `PAPER_RUNS`.
    """
    sizes = SIZES[scale]
    tasks, seeds, runs = dr.prepared(scale, sizes.tasks, sizes.seeds, runs)
    found = {task.name: curves(task, sizes, seeds, runs) for task in tasks}
    return Experiment(
        name="ohayon2023/stochastic_attack",
        title="Attacks of growing strength on deterministic, stochastic and distortion-trained restorers",
        source="[ohayon2023], Section 6.2, Appendix G; Figure 8",
        scale=scale,
        settings={**sizes._asdict(), "tasks": list(found), "seeds": seeds, "alphas": ALPHAS},
        tables=[table(name, kinds) for name, kinds in found.items()],
        claims=[claim for name, kinds in found.items() for claim in claims(name, kinds)],
        pictures={"sweep": draw_curves(found)},
        remarks=[
            "In the paper one stochastic network is compared with other networks trained on other losses; here the "
            "robust stochastic GAN is trained for robustness, so the last claim asks what noise alone does.",
            "Robust restorers were trained against ℓ2 attacks of another kind (Adam), not against this one.",
        ],
    )


if __name__ == "__main__":
    main(run)
