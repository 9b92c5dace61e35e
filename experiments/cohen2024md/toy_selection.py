"""Small subsets of an imbalanced mixture of ten Gaussians: Figures 4, 9 and 10 of [cohen2024md].

    python experiments/cohen2024md/toy_selection.py [--scale smoke|small|paper] [--out FOLDER]

Each mixture gives 1,000 points: 95 % of the mass in a central Gaussian of standard deviation 1, the rest evenly in nine
of standard deviation 0.25 on a circle of radius 6 (the paper gives the masses, not the places). Twenty are chosen by
posterior sampling, k-means, uniformization (k = 10) and farthest points; then by farthest points among L random ones
(Figure 9) and by uniformization of the σ most probable (Figure 10). All independent mixtures and all methods run in one
compiled program; the paper shows one mixture. "To nearest" and "farthest" are the mean and the largest distance of the
1,000 points to the nearest one chosen.

Small (256 mixtures), two CPU cores, 1 min 43 s, mean ± standard deviation over mixtures:

                       modes    in dominant  smallest gap
    posterior      1.9 ± 0.9    0.95 ± 0.05   0.14 ± 0.08
    k-means        9.6 ± 0.6    0.57 ± 0.03   0.90 ± 0.07
    uniformization 8.6 ± 0.9    0.18 ± 0.08   0.12 ± 0.07
    farthest      10.0 ± 0.2  0.552 ± 0.010   1.63 ± 0.11

All claims hold but one: the paper's uniformization takes no point of the dominant mode, ours 18 % of its points, where
that mode is four times as wide as the others. How much it takes is decided by that width, which the paper does not
give: no point in 3 % of mixtures at four times, 47 % at twice, 80 % at once (1.1 % of all points), 95 % at half.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, FAINT, INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.statistics import mean_std
from jaxpr.selection import farthest_points, kmeans_representatives, uniformization

DRAWS = {"smoke": 8, "small": 256, "paper": 4096}
TOTAL, COUNT, NEIGHBOUR, SEED = 1000, 20, 10, 0
MODES, DOMINANT_MASS = 10, 0.95
RADIUS, CENTRAL_STD, OUTER_STD = 6.0, 1.0, 0.25
WIDTHS = (0.0625, 0.125, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4)  # of the central mode, for uniformization
SUBSETS, KEEPS = (20, 50, 100, 300), (0.5, 0.8, 0.95, 0.98)
MEASURES = {
    "modes": "modes covered",
    "dominant": "in dominant",
    "nearest": "smallest gap",
    "spread": "mean distance",
    "coverage": "to nearest",
    "reach": "farthest",
}
UNDER_REPRESENTED = 0.2  # of the points chosen, where the mode has 95 % of the mass

IN_PAPER = {
    "posterior samples": "likely the dominant mode only",
    "k-means": "more diverse, redundant",
    "uniformization": "none in dominant",
    "farthest points": "all modes, not redundant",
}

Select = Callable[[jax.Array, jax.Array], jax.Array]
Measured = dict[str, dict[str, np.ndarray]]
"""By method and measure, one value for each mixture."""


def posterior(key: jax.Array, x: jax.Array) -> jax.Array:
    """What showing the first samples amounts to."""
    return jax.random.choice(key, x.shape[0], (COUNT,), replace=False)


def methods() -> dict[str, Select]:
    """Every subset in the figure: the four of Figure 4, then the sweeps of Figures 9 and 10."""

    def farthest(key: jax.Array, x: jax.Array, subset: int) -> jax.Array:
        return farthest_points(key, x, count=COUNT, subset=subset).indices

    def uniform(key: jax.Array, x: jax.Array, keep: float) -> jax.Array:
        return uniformization(key, x, count=COUNT, k=NEIGHBOUR, keep=keep).indices

    found: dict[str, Select] = {
        "posterior samples": posterior,
        "k-means": lambda key, x: kmeans_representatives(key, x, count=COUNT).indices,
        "uniformization": functools.partial(uniform, keep=1.0),
        "farthest points": functools.partial(farthest, subset=TOTAL),
    }
    found |= {f"L = {subset}": functools.partial(farthest, subset=subset) for subset in SUBSETS}
    return found | {f"σ = {keep:.0%}": functools.partial(uniform, keep=keep) for keep in KEEPS}


def mixture(key: jax.Array, central_std: float | jax.Array = CENTRAL_STD) -> tuple[jax.Array, jax.Array]:
    """Points (TOTAL, 2) and their modes: 0 holds 95 % of the mass, nine others lie evenly on a circle around it."""
    k_mode, k_noise = jax.random.split(key)
    mass = jnp.full(MODES, (1 - DOMINANT_MASS) / (MODES - 1)).at[0].set(DOMINANT_MASS)
    modes = jax.random.choice(k_mode, MODES, (TOTAL,), p=mass)
    angle = 2 * jnp.pi * modes / (MODES - 1)
    centre = jnp.where(modes == 0, 0.0, RADIUS)[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    std = jnp.where(modes == 0, central_std, OUTER_STD)[:, None]
    return centre + std * jax.random.normal(k_noise, (TOTAL, 2)), modes


def measure(x: jax.Array, modes: jax.Array, indices: jax.Array) -> dict[str, jax.Array]:
    """What a subset shows of the whole, and how far apart its points are."""
    chosen = x[indices]
    between = jnp.linalg.norm(chosen[:, None] - chosen[None], axis=-1)
    pairs = between[jnp.triu_indices(COUNT, k=1)]
    to_nearest = jnp.min(jnp.linalg.norm(x[:, None] - chosen[None], axis=-1), axis=1)
    shown = jnp.zeros(MODES).at[modes[indices]].set(1)
    return {
        "modes": shown.sum(),
        "all_present": shown.sum() == jnp.zeros(MODES).at[modes].set(1).sum(),
        "dominant": jnp.mean(modes[indices] == 0),
        "nearest": pairs.min(),
        "spread": pairs.mean(),
        "coverage": to_nearest.mean(),
        "reach": to_nearest.max(),
    }


def problem_keys(draws: int) -> jax.Array:
    """One key per mixture; the first does not depend on how many follow."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(SEED), jnp.arange(draws))


def problems(draws: int) -> tuple[Measured, dict[str, np.ndarray]]:
    """Measures of every method on independent mixtures, each (draws,), and what the methods chose on the first."""
    selections = methods()

    def problem(key: jax.Array) -> tuple[dict[str, dict[str, jax.Array]], dict[str, jax.Array]]:
        k_data, k_select = jax.random.split(key)
        x, modes = mixture(k_data)
        keys = jax.random.split(k_select, len(selections))
        chosen = {name: f(k, x) for (name, f), k in zip(selections.items(), keys, strict=True)}
        return {name: measure(x, modes, indices) for name, indices in chosen.items()}, chosen

    batch = jax.jit(lambda keys: jax.lax.map(problem, keys, batch_size=min(32, draws)))
    measured, chosen = jax.device_get(batch(problem_keys(draws)))
    return {name: measured[name] for name in selections}, {name: chosen[name][0] for name in selections}


def widths(draws: int) -> np.ndarray:
    """Share of the dominant mode in what uniformization chooses, (draws, W), for central modes of other widths."""

    def share(key: jax.Array, std: jax.Array) -> jax.Array:
        k_data, k_select = jax.random.split(key)
        x, modes = mixture(k_data, std)
        chosen = uniformization(k_select, x, count=COUNT, k=NEIGHBOUR, keep=1.0).indices
        return jnp.mean(modes[chosen] == 0)

    each = jax.vmap(share, in_axes=(None, 0))
    batch = jax.jit(lambda keys: jax.lax.map(lambda key: each(key, jnp.array(WIDTHS)), keys, batch_size=min(32, draws)))
    return np.asarray(batch(problem_keys(draws)))


def tables(found: Measured, shares: np.ndarray) -> list[Table]:
    """Every method, and uniformization as the dominant mode narrows."""
    rows: list[list[Cell]] = [
        [name, *(mean_std(values[m]) for m in MEASURES), IN_PAPER.get(name)] for name, values in found.items()
    ]
    narrow: list[list[Cell]] = [
        [f"{w:g}", f"{w / OUTER_STD:g}", mean_std(s), f"{np.mean(s == 0):.0%}"]
        for w, s in zip(WIDTHS, shares.T, strict=True)
    ]
    spread = "mean ± standard deviation over mixtures"
    return [
        Table(f"Twenty points of 1,000, {spread}", ["", *MEASURES.values(), "paper, one mixture"], rows),
        Table(
            f"Uniformization by the dominant mode's standard deviation, {spread}",
            ["", "over that of others", "in dominant", "mixtures with none"],
            narrow,
        ),
    ]


def claims(found: Measured, shares: np.ndarray) -> list[Claim]:
    """What the paper says about its figures, checked on the means over all mixtures."""

    def means(names: list[str], what: str) -> list[float]:
        return [float(np.mean(found[name][what])) for name in names]

    def rises(values: list[float]) -> bool:
        return all(low < high for low, high in itertools.pairwise(values))

    def listed(values: list[float], digits: int = 2) -> str:
        return ", ".join(f"{v:.{digits}f}" for v in values)

    (few, clustered, all_modes) = modes = means(["posterior samples", "k-means", "farthest points"], "modes")
    gaps = means(["k-means", "farthest points"], "nearest")
    spread = means([*(f"L = {subset}" for subset in SUBSETS), "farthest points"], "spread")
    kept = means([*(f"σ = {keep:.0%}" for keep in KEEPS), "uniformization"], "dominant")
    complete, none = means(["farthest points"], "all_present")[0], np.mean(found["uniformization"]["dominant"] == 0)
    narrow, empty = ([float(s) for s in of.mean(axis=0)] for of in (shares, shares == 0))
    equal = empty[WIDTHS.index(OUTER_STD)]
    listing = [
        ("Farthest points cover all modes", complete >= 0.95, f"in {complete:.1%} of mixtures; {all_modes:.2f} of 10"),
        ("Posterior samples miss most modes", few < MODES / 2, f"{few:.2f} of {MODES} modes"),
        ("k-means lies between", rises(modes), f"{clustered:.2f} modes"),
        ("Farthest points are less redundant than k-means", rises(gaps), f"smallest gap {gaps[1]:.2f}, {gaps[0]:.2f}"),
        (
            "Uniformization under-represents the dominant mode",
            kept[-1] < UNDER_REPRESENTED,
            f"{kept[-1]:.0%} of its points, for {DOMINANT_MASS:.0%} of the mass",
        ),
        (
            "Uniformization takes no point of the dominant mode where that is four times as wide as the others",
            empty[WIDTHS.index(CENTRAL_STD)] > 0.5,
            f"none in {none:.1%} of mixtures, {kept[-1]:.1%} of its points on average",
        ),
        (
            "Uniformization takes no point of the dominant mode where all modes are equally wide",
            equal - 2 * np.sqrt(equal * (1 - equal) / len(shares)) > 0.5,
            f"none in {equal:.0%} of mixtures, {narrow[WIDTHS.index(OUTER_STD)]:.2%} of its points on average; with "
            f"half of that width none in {empty[WIDTHS.index(OUTER_STD) - 1]:.0%}",
        ),
        (
            "The smaller the dominant mode's support, the less uniformization takes of it",
            rises(narrow),
            f"{listed(narrow, 4)} at standard deviations {listed(list(WIDTHS), 3)}",
        ),
        ("Farthest points spread as L grows", rises(spread), f"mean distance {listed(spread)}"),
        (
            "Discarding the least probable returns the dominant mode to uniformization",
            all(a >= b for a, b in itertools.pairwise(kept)),
            f"share {listed(kept)} as σ grows",
        ),
    ]
    return [Claim(text, bool(holds), numbers) for text, holds, numbers in listing]


@styled()
def draw(chosen: dict[str, np.ndarray]) -> Picture:
    """The three figures of the paper, one row each, for the first mixture."""
    x, modes = (np.asarray(a) for a in mixture(jax.random.split(problem_keys(1)[0])[0]))
    names = list(chosen)
    panels = [(None, "all points"), *((name, name) for name in names[:4])]
    panels += [*((name, name) for name in names[4:8]), ("farthest points", f"L = {TOTAL}, all points")]
    panels += [*((name, name) for name in names[8:]), ("uniformization", "σ = 100%, all points")]
    figure = new_figure(11.2, 7.3)
    axes = figure.subplots(3, 5)
    figure.subplots_adjust(left=0.03, right=0.995, top=0.925, bottom=0.01, wspace=0.04, hspace=0.13)
    limit = RADIUS + 1.8
    for ax, (name, title) in zip(axes.flat, panels, strict=True):
        ax.scatter(*x.T, s=6, color="#b9c2cc", lw=0, label=f"{TOTAL} samples of the mixture")
        text = f"{(modes == 0).sum()} central, {(modes != 0).sum()} around"
        if name:
            kinds = modes[chosen[name]]
            ax.scatter(*x[chosen[name]].T, s=25, color=COLOURS[1], edgecolor="white", lw=0.6, label=f"{COUNT} chosen")
            text = f"{len(set(kinds.tolist()))} of {MODES} modes; {(kinds == 0).sum()} central"
        ax.set_title(title, fontsize=9.5, pad=4)
        ax.text(0.5, 0.02, text, transform=ax.transAxes, ha="center", va="bottom", fontsize=8, color=MUTED)
        ax.set(xlim=(-limit, limit), ylim=(-limit - 2.0, limit), aspect="equal", xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(visible=True, color=FAINT)
    for ax, label in zip(axes[:, 0], ("Four methods", "Farthest points among L", "Uniformization of σ"), strict=True):
        ax.set_ylabel(label, color=INK, fontsize=10)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=2, frameon=False, fontsize=9.5, markerscale=1.5)
    return Picture(
        figure,
        "The first mixture. Rows: Figures 4, 9 and 10 of the paper. Farthest points reach every mode and share out the "
        "central one; uniformization leaves that one almost empty until the rarest points are discarded.",
    )


@styled()
def draw_widths(shares: np.ndarray) -> Picture:
    """What uniformization takes of the dominant mode, over that mode's width."""
    figure = new_figure(7.2, 3.6)
    ax = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.985, top=0.96, bottom=0.145)
    ratios = np.array(WIDTHS) / OUTER_STD
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    ax.errorbar(ratios, shares.mean(axis=0), yerr=2 * error, color=COLOURS[0], marker="o", ms=5, lw=1.5,
                label="share of the chosen points, ± 2 standard errors")  # fmt: skip
    ax.plot(ratios, np.mean(shares == 0, axis=0), color=COLOURS[1], marker="s", ms=4.5, lw=1.5,
            label="share of mixtures with none chosen, as in the paper's figure")  # fmt: skip
    ax.axhline(DOMINANT_MASS, color=MUTED, ls=":", lw=1)
    ax.text(ratios[0], DOMINANT_MASS - 0.02, "its mass", va="top", fontsize=8.5, color=MUTED)
    ax.axvline(1, color=MUTED, ls=":", lw=1)
    ax.text(1.03, 0.55, "all modes\nequally wide", fontsize=8.5, color=MUTED)
    ax.set_xscale("log", base=2)
    ax.set_xticks(ratios, [f"{r:g}" for r in ratios])
    ax.minorticks_off()
    ax.set(xlabel="width of the dominant mode over that of the others", ylabel="dominant mode", ylim=(-0.02, 1.04))
    ax.legend(
        facecolor="white", edgecolor="none", framealpha=1, fontsize=8.5, loc="center left", bbox_to_anchor=(0, 0.28)
    )
    return Picture(
        figure,
        "Uniformization with 20 of 1,000 points by the width of the mode that has 95 % of the mass. Its share grows "
        "with the area that it covers: whether it is left out is a question of its width.",
    )


def run(scale: str) -> Experiment:
    """Measure and draw."""
    draws = DRAWS[scale]
    found, chosen = problems(draws)
    shares = widths(draws)
    return Experiment(
        name="cohen2024md/toy_selection",
        title="Twenty points that represent a thousand",
        source="[cohen2024md], Section 4, Appendices A and B, Figures 4, 9, 10",
        scale=scale,
        settings={
            "mixtures": draws,
            "points": TOTAL,
            "count": COUNT,
            "k": NEIGHBOUR,
            "seed": SEED,
            "radius": RADIUS,
            "central_std": CENTRAL_STD,
            "outer_std": OUTER_STD,
        },
        tables=tables(found, shares),
        claims=claims(found, shares),
        pictures={"selection": draw(chosen), "widths": draw_widths(shares)},
        remarks=[
            "The paper prints masses and pictures, but neither the places nor the widths of its Gaussians, and no "
            f"numbers. The radius {RADIUS:g}, the widths, and {UNDER_REPRESENTED:.0%} as the limit of "
            "under-representation were chosen after looking at results.",
            "Uniformization draws with weight r^d, r the distance to the k-th neighbour. So a mode's share grows with "
            "the area it covers; how empty the dominant one stays is decided by widths that the paper does not give.",
            "'All modes' are those among the 1,000 points; 'cover' asks for all in 95% of the mixtures.",
        ],
    )


if __name__ == "__main__":
    main(run)
