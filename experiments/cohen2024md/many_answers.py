r"""A hundred answers, five shown; heavy tails: Figures 1 to 3, 5 to 7 and 17 of [cohen2024md].

    python experiments/cohen2024md/many_answers.py [--scale smoke|small|paper] [--out FOLDER]

Digits of 8×8: a hundred answers to each y from a sampler and from the exact posterior of the kernel prior; five of
them at random, by k-means, uniformization and farthest points, beside five guided ones. Diversity and the distance of
further answers are in a classifier's logits. Kurtosis of the answers beside Gaussians with their covariance.

Small, two CPU cores, 34 s. Farthest points are the most diverse, k-means covers further answers
best, uniformization worst, for the exact posterior as for samplers: of 100 answers of DDNM to inpainting five have
diversity 25 ± 1 (random), 32 (k-means), 27 (uniformization), 38 (farthest), and further answers are at 12, 9, 23, 12.

Claims that do not hold, and why: k-means is no more diverse than chance behind DDRM (0.7 ± 0.9), whose answers are
spread evenly; guidance adds 1.3 ± 1.0 and -0.7 ± 1.3, perhaps because the judge sees classes, and what guidance moves
in 64 pixels seldom changes one; farthest points cover as random ones do, but for the exact posterior of inpainting
(0.7 ± 0.2 worse). Tails: the exact posterior of inpainting is heavy (57 % of measurements above the Gaussians' 95th
percentile), DDNM's answers are not (3 %), whose modes are more equal; in ×4 neither is.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from jaxpr.degradations import AverageDownsample, Inpainting
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.sampled_sets import ImagePrior, SetSampler, SetTask, exact_answers, guidance_of, image_prior
from jaxpr.reproduce.set_measures import SetMeasures, set_measures
from jaxpr.selection import farthest_points, kmeans_representatives, uniformization

SEED, SHOWN, NEIGHBOUR = 0, 5, 6
RANDOM, CLUSTERS, UNIFORM, FARTHEST, GUIDED = "random", "k-means", "uniformization", "farthest points", "guided"
METHODS = (RANDOM, CLUSTERS, UNIFORM, FARTHEST, GUIDED)
EXACT = "exact posterior"
LOOKS = dict(zip(METHODS, (INK, *COLOURS[:4]), strict=True))
DIMENSIONS = 25  # of principal components, as in the paper
LONG_STEPS = {"ddrm": 20, "ddnm": 50}


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        images: of the test split, digits of 8×8.
        kernels: of the prior.
        answers: to each y.
        held_out: further ones, to be covered.
    """

    images: int
    kernels: int
    answers: int
    held_out: int


SIZES = {
    "smoke": Sizes(4, 40, 20, 4),
    "small": Sizes(30, 700, 100, 20),
    "paper": Sizes(359, 1500, 100, 100),
}


class Shown(NamedTuple):
    """What is shown of answers from one source, for M measurements.

    Attributes:
        answers: (S, M, H, W, C).
        five: by method, (5, M, H, W, C).
        diversity: by method, (M,): mean distance of pairs in feature space.
        coverage: by method, (M,): mean distance of held-out answers to the nearest of the five; smaller is better.
        kurtosis: (M,), of the answers' first principal component.
        gaussian: (M,), of as many draws of a Gaussian with their covariance.
        projected: (S, M), on the first principal component, standardised.
    """

    answers: np.ndarray
    five: dict[str, np.ndarray]
    diversity: dict[str, np.ndarray]
    coverage: dict[str, np.ndarray]
    kurtosis: np.ndarray
    gaussian: np.ndarray
    projected: np.ndarray


def tasks() -> list[tuple[SetTask, str]]:
    """What is measured, and by which sampler it is answered."""
    mask = np.arange(8)[:, None].repeat(8, axis=1) < 3
    return [
        (SetTask("inpainting", Inpainting(mask, channels=1), 0.0, "objects-inpainting"), "ddnm"),
        (SetTask("×4, σ = 0.05", AverageDownsample((8, 8, 1), 4), 0.05, "objects-x4-noisy"), "ddrm"),
    ]


def first_component(points: np.ndarray) -> np.ndarray:
    """(S,) projections of points (S, d) on their first principal component, standardised."""
    centred = points - points.mean(axis=0)
    projected = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    return projected / projected.std()


def kurtosis_pair(generator: np.random.Generator, points: np.ndarray) -> tuple[float, float]:
    """Kurtosis of points (S, d) along their first component, and the same of a Gaussian with their covariance."""
    centred = (points - points.mean(axis=0)) / np.sqrt(len(points) - 1)
    gaussian = generator.standard_normal((len(points), len(points))) @ centred
    return float(np.mean(first_component(points) ** 4)), float(np.mean(first_component(gaussian) ** 4))


@jax.jit
@jax.vmap
def choose(key: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
    """Five rows of features (S, d) by each method; mapped over sets and their keys."""
    keys = jax.random.split(key, 4)
    return {
        RANDOM: jax.random.choice(keys[0], len(x), (SHOWN,), replace=False),
        CLUSTERS: kmeans_representatives(keys[1], x, count=SHOWN).indices,
        UNIFORM: uniformization(keys[2], x, count=SHOWN, k=NEIGHBOUR, keep=1.0).indices,
        FARTHEST: farthest_points(keys[3], x, count=SHOWN, subset=len(x)).indices,
    }


def reduced(features: np.ndarray) -> np.ndarray:
    """(M, S, d) on the first principal components of each set."""
    centred = features - features.mean(axis=1, keepdims=True)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:, :DIMENSIONS]
    return centred @ directions.mT


def shown(
    by: SetMeasures, answers: np.ndarray, held_out: np.ndarray, guided: np.ndarray | None, pixels: np.ndarray
) -> Shown:
    """Choose five of each, and measure; `pixels` (H, W, C) are those that y does not tell."""
    generator = np.random.default_rng(SEED)

    def features(x: np.ndarray) -> np.ndarray:
        return np.swapaxes(by.features(x.reshape(-1, *x.shape[2:])).reshape(*x.shape[:2], -1), 0, 1)

    known, unseen = features(answers), features(held_out)
    places = np.arange(len(known))[:, None]
    keys = jax.random.split(jax.random.key(SEED), len(known))
    chosen = jax.device_get(choose(keys, jnp.asarray(reduced(known), jnp.float32)))
    by_image = np.swapaxes(answers, 0, 1)
    five = {name: np.swapaxes(by_image[places, chosen[name]], 0, 1) for name in METHODS if name in chosen}
    five |= {} if guided is None else {GUIDED: guided}
    diversity, coverage = {}, {}
    first, second = np.triu_indices(SHOWN, k=1)
    for name, x in five.items():
        found = features(x)
        diversity[name] = np.linalg.norm(found[:, first] - found[:, second], axis=2).mean(axis=1)
        coverage[name] = np.linalg.norm(unseen[:, :, None] - found[:, None], axis=3).min(axis=2).mean(axis=1)
    flat = np.swapaxes(answers[..., pixels], 0, 1)
    pairs = np.array([kurtosis_pair(generator, each.astype(np.float64)) for each in flat])
    projected = np.stack([first_component(each.astype(np.float64)) for each in flat], axis=1)
    return Shown(answers, five, diversity, coverage, pairs[:, 0], pairs[:, 1], projected)


Found = dict[tuple[str, str], Shown]
"""By task and source."""


def measured(sizes: Sizes) -> tuple[ImagePrior, dict[str, np.ndarray], Found]:
    """The prior, y by task, and everything shown."""
    prior, found, ys = image_prior("digits", images=sizes.images, kernels=sizes.kernels), {}, {}
    by, total = set_measures(prior), sizes.answers + sizes.held_out
    for task, name in tasks():
        y = ys[task.name] = task.measure(prior.x, seed=SEED)
        seen = np.zeros((8, 8, 1), bool)
        if isinstance(task.operator, Inpainting):
            seen = np.asarray(task.operator.mask)[..., None]
        exact = exact_answers(prior, task, y, total, seed=SEED + 1)
        found[task.name, EXACT] = shown(by, exact[: sizes.answers], exact[sizes.answers :], None, ~seen)
        steps = LONG_STEPS[name]
        many, _ = SetSampler(name, prior, task, samples=total, steps=steps, options={})(y, None, seed=SEED + 2)
        guidance = guidance_of(name, task, prior.x.shape[1:])
        guided, _ = SetSampler(name, prior, task, samples=SHOWN, steps=steps, options={})(y, guidance, seed=SEED + 3)
        found[task.name, name] = shown(by, many[: sizes.answers], many[sizes.answers :], guided, ~seen)
    return prior, ys, found


def mean_error(values: np.ndarray) -> tuple[float, float]:
    """Over measurements, (M,)."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def heavy(one: Shown) -> tuple[float, float, float]:
    """The 95th percentile of Gaussians' kurtosis, and the shares of answers' and of Gaussians' sets above it."""
    limit = float(np.quantile(one.gaussian, 0.95))
    return limit, float(np.mean(one.kurtosis > limit)), float(np.mean(one.gaussian > limit))


def tables(found: Found) -> list[Table]:
    """Five of many, and tails."""
    rows: list[list[Cell]] = []
    tails: list[list[Cell]] = []
    for (task, source), one in found.items():
        for name in one.five:
            relative = one.diversity[name] - one.diversity[RANDOM], one.coverage[name] - one.coverage[RANDOM]
            rows.append([
                f"{task}, {source}, {name}",
                mean_error(one.diversity[name]),
                mean_error(relative[0]) if name != RANDOM else None,
                mean_error(one.coverage[name]),
                mean_error(relative[1]) if name != RANDOM else None,
            ])  # fmt: skip
        limit, share, _ = heavy(one)
        spread = [float(q) for q in np.quantile(one.kurtosis, (0.05, 0.5, 0.95))]
        normal = [float(q) for q in np.quantile(one.gaussian, (0.05, 0.5, 0.95))]
        tails.append([f"{task}, {source}", *spread, *normal, f"{share:.0%} above {limit:.2f}"])
    return [
        Table(
            "Five of many: mean distance of pairs, and of further answers to the nearest of the five, in logits; "
            "mean ± standard error over y, Δ paired against random",
            ["", "diversity", "Δ", "distance of further answers", "Δ"],
            rows,
        ),
        Table(
            "Kurtosis along the first principal component of unknown pixels, percentiles over y",
            ["", "5 %", "median", "95 %", "Gaussian 5 %", "median", "95 %", "answers above Gaussian 95 %"],
            tails,
        ),
    ]


def claims(found: Found) -> list[Claim]:
    """What the paper says of its users and of its posteriors."""
    sampled = {key: one for key, one in found.items() if key[1] != EXACT}

    def gains(method: str, what: str, over: str = RANDOM, among: Found = found) -> dict[str, tuple[float, float]]:
        return {
            ", ".join(key): mean_error(getattr(one, what)[method] - getattr(one, what)[over])
            for key, one in among.items()
        }

    def text(values: dict[str, tuple[float, float]]) -> str:
        return "; ".join(f"{name} {v:+.2f} ± {e:.2f}" for name, (v, e) in values.items())

    def above(values: dict[str, tuple[float, float]]) -> bool:
        return all(v > 2 * e for v, e in values.values())

    chosen = {m: gains(m, "diversity") for m in (CLUSTERS, UNIFORM, FARTHEST)}
    most = {m: gains(FARTHEST, "diversity", over=m) for m in (CLUSTERS, UNIFORM)}
    best = {m: gains(m, "coverage", over=CLUSTERS) for m in (RANDOM, UNIFORM, FARTHEST)}
    guided = gains(GUIDED, "diversity", among=sampled)
    lost = gains(FARTHEST, "coverage")
    tails = {", ".join(key): heavy(one) for key, one in found.items()}
    return [
        Claim(
            "Five chosen by any of the three approaches are more diverse than five at random",
            all(above(values) for values in chosen.values()),
            "; ".join(f"{m}: {text(values)}" for m, values in chosen.items()),
        ),
        Claim(
            "Farthest points are the most diverse",
            all(above(values) for values in most.values()),
            "; ".join(f"over {m}: {text(values)}" for m, values in most.items()),
        ),
        Claim(
            "k-means covers further answers best",
            all(above(values) for values in best.values()),
            "; ".join(f"{m} is farther by {text(values)}" for m, values in best.items()),
        ),
        Claim("Guided sets are more diverse than random ones", above(guided), text(guided)),
        Claim(
            "Farthest points cover further answers worse than random ones do",
            above(lost),
            f"distance {text(lost)}",
        ),
        Claim(
            "Heavy tails: kurtosis is above the Gaussians' 95th percentile more often than theirs is",
            all(share > 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(next(iter(found.values())).kurtosis))
                for _, share, _ in tails.values()),
            "; ".join(f"{name} {share:.0%}" for name, (_, share, _) in tails.items()),
        ),
    ]  # fmt: skip


@styled()
def draw_five(prior: ImagePrior, ys: dict[str, np.ndarray], found: Found) -> Picture:
    """One measurement of each task: five by each method."""
    keys = [key for key in found if key[1] != EXACT]
    figure, each = new_figure(9.2, 2.9 * len(keys)), len(METHODS) + 1  # a row between tasks
    blocks = figure.subplots(each * len(keys) - 1, SHOWN + 12, squeeze=False)
    figure.subplots_adjust(left=0.115, right=0.995, top=0.945, bottom=0.005, wspace=0.06, hspace=0.06)
    for ax in blocks.flat:
        ax.set_axis_off()
    for block, key in enumerate(keys):
        one, place = found[key], int(np.argmax(found[key].diversity[FARTHEST] - found[key].diversity[RANDOM]))
        rows = blocks[block * each :]
        for row, name in zip(rows, METHODS, strict=False):
            row[0].text(-0.25, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=8.5)
            for ax, image in zip(row, one.five[name][:, place], strict=False):
                _show(ax, image)
        _show(rows[0][SHOWN + 1], ys[key[0]][place])
        for i, image in enumerate(one.answers[:50, place]):
            _show(rows[i // 10][SHOWN + 2 + i % 10], image)
        rows[0][SHOWN // 2].set_title(f"{', '.join(key)}: five", fontsize=9, pad=3, loc="center")
        rows[0][SHOWN + 1].set_title("y", fontsize=9, pad=3, loc="center")
        rows[0][SHOWN + 6].set_title("fifty of the answers", fontsize=9, pad=3, loc="center")
    return Picture(figure, "For the y of each task where farthest points gain most over random ones.")


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(np.clip(image, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


@styled()
def draw_plane(found: Found) -> Picture:
    """Diversity against coverage, one panel for each task and source."""
    figure = new_figure(11.0, 3.3)
    axes = figure.subplots(1, len(found))
    figure.subplots_adjust(left=0.06, right=0.99, top=0.88, bottom=0.16, wspace=0.25)
    for ax, (key, one) in zip(axes, found.items(), strict=True):
        for name in one.five:
            (x, dx), (y, dy) = mean_error(one.diversity[name]), mean_error(one.coverage[name])
            ax.errorbar(x, y, xerr=dx, yerr=dy, marker="o", ms=6, color=LOOKS[name], label=name)
        ax.invert_yaxis()
        ax.set_title(", ".join(key), fontsize=9)
        ax.set_xlabel("diversity")
    axes[0].set_ylabel("distance of further answers\n(upwards: better covered)")
    axes[-1].legend(frameon=False, fontsize=8)
    return Picture(figure, "The diversity-coverage plane, distances in a classifier's logits; means over y, one error.")


@styled()
def draw_tails(found: Found) -> Picture:
    """Kurtosis over y beside Gaussians, and the answers with the heaviest tail."""
    figure = new_figure(11.0, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    figure.subplots_adjust(left=0.055, right=0.99, top=0.9, bottom=0.2, wspace=0.16)
    names = [f"{task},\n{source}" for task, source in found]
    for shift, what, colour in ((-0.17, "gaussian", COLOURS[0]), (0.17, "kurtosis", COLOURS[1])):
        for place, one in enumerate(found.values()):
            low, mid, high = np.quantile(getattr(one, what), (0.05, 0.5, 0.95))
            left.plot([place + shift] * 2, [low, high], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
            left.plot(place + shift, mid, "o", color=colour, ms=6)
    left.plot([], [], "o-", color=COLOURS[0], label="Gaussians of the same covariance")
    left.plot([], [], "o-", color=COLOURS[1], label="answers")
    left.axhline(3, color=MUTED, lw=0.8, ls=":")
    left.set_xticks(range(len(names)), names, fontsize=8)
    left.set(ylabel="kurtosis, 5 to 95 % and median", yscale="log")
    left.set_yticks((1, 2, 3, 5, 10, 20), ("1", "2", "3", "5", "10", "20"))
    left.minorticks_off()
    left.legend(frameon=False, fontsize=8.5)
    key, place = max(((key, int(np.argmax(one.kurtosis))) for key, one in found.items()),
                     key=lambda kp: found[kp[0]].kurtosis[kp[1]])  # fmt: skip
    values = found[key].projected[:, place]
    grid = np.linspace(-5, 5, 200)
    right.hist(values, bins=30, density=True, color=COLOURS[1], alpha=0.6)
    right.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=COLOURS[0], lw=1.4)
    right.set_title(f"heaviest: {', '.join(key)}, kurtosis {found[key].kurtosis[place]:.1f}", fontsize=9)
    right.set(xlabel="first principal component, standardised")
    return Picture(figure, "Kurtosis along the first principal component of what y does not tell, over y.")


def run(scale: str) -> Experiment:
    """Sample, choose, measure, draw."""
    sizes = SIZES[scale]
    prior, ys, found = measured(sizes)
    return Experiment(
        name="cohen2024md/many_answers",
        title="A hundred answers, five shown",
        source="[cohen2024md], Sections 3 and 4, Appendix E, Figures 1 to 3, 5 to 7, 17",
        scale=scale,
        settings=sizes._asdict() | {"shown": SHOWN, "k": NEIGHBOUR, "seed": SEED, "steps": LONG_STEPS},
        tables=tables(found),
        claims=claims(found),
        pictures={
            "five": draw_five(prior, ys, found),
            "plane": draw_plane(found),
            "tails": draw_tails(found),
        },
        remarks=[
            "Digits of 8×8; the prior has kernels around training digits, so draws of the exact posterior stand beside "
            "answers of samplers. Logits of a classifier take the place of users and of an attribute predictor.",
            "The paper compares kurtosis with Gaussians of the same dimension; here they have the answers' covariance, "
            "whose first component is as dominant.",
        ],
    )


if __name__ == "__main__":
    main(run)
