r"""What transport does to consistency and robustness, and what a Gaussian map leaves to gain: beyond [adrai2023].

    python experiments/adrai2023/transport_beyond.py [--scale smoke|small|paper] [--out FOLDER]

Photographs reduced by bicubic ×4, restored by interpolation, a linear map, the pixel loss and a GAN, and moved in
patches of pixels. Along α: how x̂ explains y (PSNR of A x̂ against y), K̄ (how much an attack on y changes x̂, over how
much it changes y: I-FGSM within 1/255), and both once x̂ is projected onto {x : A x = y}. Then exact transport between
two sets of patches, beside the Gaussian map of the same sets: the exact one knows their whole laws.

Small, two CPU cores, 3 min 28 s; x* and x̂₀, ± standard errors over five
photographs of x* and of the difference:

                             K̄                       FD         LR-PSNR dB        PSNR dB
    bicubic     3.5, +0.93 ± 0.00      201, -34 ± 13        42.3, +3.9      30.0, +0.2 ± 0.1
    lmmse       5.4, +6.9 ± 0.2        160, -30 ± 20        60.9, -14.7     30.6, -0.9 ± 0.3
    photos-l1   6.2, +3.3 ± 0.3        134, -15 ± 4         139.6, -89.7    31.5, -0.7 ± 0.3
    photos-gan  22 , +5 ± 2             92, -4 ± 3          139.6, -80.4    30.2, -0.5 ± 0.1

Transport makes all of them more erratic: at α = 0 K̄ has grown by a quarter (bicubic, the GAN), a half (photos-l1) or
more than twice (lmmse), evenly along α; for the GAN the interval holds zero. It sharpens by amplifying, and what an
attack adds to y is amplified, too. Outputs that were consistent to rounding explain y to 50 to 59 dB, still beyond 8
bits, so projecting them gives little PSNR back (0.1 dB; 0.2 for bicubic) and takes little of FD.

Exact transport of 1,440 patches is no nearer to other natural patches than the Gaussian map of the same sets, W2 0.64
and 0.61, and costs 2.7 ± 1.1 dB more: it is as far from them as two natural sets are, for it learns the known one by
heart. A Gaussian map for each of four textures does as exact transport does (0.64, 2.7 ± 1.2 dB more): it learns more
of the known set, too. With so few windows content decides, and all lose 13 dB and more.

paper: images of 512 × 512 in data/imagenet512/train and val, 100 of each, the same restorers.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import ifgsm, lipschitz_ratio, output_shift
from jaxpr.core import Array
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation.measure import degrader
from jaxpr.records.results import Metric, mean_metric
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, MARKERS, new_figure, styled
from jaxpr.report.text import format_value
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.moved_sets import Meter, Problem, change_from, mixed
from jaxpr.reproduce.patch_maps import exact_map, folded, gaussian_patches, patches_of, texture_wise, w2
from jaxpr.reproduce.statistics import mean_std, signed
from jaxpr.reproduce.transported import Held, both_sides, held
from jaxpr.restorers import Training, build_restorers, latent_transport, pixel_encoder

SEED, PATCH, DEGRADATION, RADIUS = 0, 3, "bicubic-x4", 1 / 255
RESTORERS = ("bicubic", "lmmse", "photos-l1", "photos-gan-0.03")
STAR, GAUSSIAN, TEXTURES, EXACT = "x*", "Gaussian map", "Gaussian map of each texture", "exact transport"
FLOOR = "other natural patches"


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        crop: side of the crops.
        each: crops of every test photograph.
        train: crops of every training photograph.
        restorers: so many of `RESTORERS`, the last ones.
        alphas: where all is measured, 0 and 1 among them.
        attacked: side of the middles of crops that are attacked.
        steps: of the attack.
        window: side of the windows, one a crop, whose patches are transported exactly.
        repeats: of exact transport, with other windows.
        textures: classes of patches with a Gaussian map each.
        batch: crops computed together.
    """

    crop: int
    each: int
    train: int
    restorers: int = len(RESTORERS)
    alphas: tuple[float, ...] = (-0.5, 0.0, 0.5, 1.0)
    attacked: int = 64
    steps: int = 5
    window: int = 12
    repeats: int = 4
    textures: int = 4
    batch: int = 10


SIZES = {
    "smoke": Sizes(64, 3, 1, 1, (0.0, 1.0), 32, 1, 4, 2, 1, 5),
    "small": Sizes(128, 6, 6),
    "paper": Sizes(512, 1, 1, alphas=(-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0), attacked=256, steps=100),
}

Values = dict[str, Metric]


class Along(NamedTuple):
    """One restorer.

    Attributes:
        restorer: its name.
        rows: metrics by alpha, with the gain K̄.
        projected: the same of outputs that are made consistent.
        largest: largest singular value of the map of a patch.
        noisy: whether the map would add noise, which is left out here.
    """

    restorer: str
    rows: dict[float, Values]
    projected: dict[float, Values]
    largest: float
    noisy: bool


@functools.partial(jax.jit, static_argnums=(0, 1))
def gains(apply: Callable[..., Array], steps: int, params: Any, keys: Array, y: Array) -> Array:
    """K̄'s ratio of each measurement (N,); one program for all alphas."""

    def estimator(measured: Array) -> Array:
        return apply(params, None, measured)

    attacked = ifgsm(keys, output_shift(estimator, y), y, alpha=RADIUS, steps=steps, bounds=(0.0, 1.0))
    return lipschitz_ratio(estimator, y, attacked)


@functools.partial(jax.jit, static_argnums=0)
def projected(project: Callable[..., Array], images: Array, y: Array) -> Array:
    """What is nearest to images among those that y allows."""
    return project(images, y)


def moved_along(name: str, on: Held, sizes: Sizes) -> Along:
    """Move one restorer along alpha and measure it, as it is and projected; every third crop is attacked."""
    fitted, degradation = on.fitted(PATCH, encoder=pixel_encoder()), on.problem.degradation
    moved, project = on.moved(fitted, deterministic=True), degradation.operator(on.x.shape[1:]).project
    low, high = ((sizes.crop + sign * sizes.attacked) // 2 // degradation.factor for sign in (-1, 1))
    chosen = np.arange(0, len(on.y), 3)
    attacked, keys = on.y[chosen, low:high, low:high], jax.random.split(jax.random.key(SEED + 1), len(chosen))
    parts = [slice(i, i + sizes.batch) for i in range(0, len(chosen), sizes.batch)]
    rows, exact = {}, {}
    for alpha in sizes.alphas:
        restorer = latent_transport(on.restorer, fitted, alpha=alpha, deterministic=True, any_size=True)
        ratios = [gains(restorer.apply, sizes.steps, restorer.params, keys[i], jnp.asarray(attacked[i])) for i in parts]
        images = mixed(moved, on.star, alpha)
        pairs = [(jnp.asarray(images[i]), jnp.asarray(on.y[i])) for i, _ in on.parts]
        consistent = np.concatenate([np.asarray(projected(project, *pair)) for pair in pairs])
        gain = {"gain": mean_metric(np.concatenate([np.asarray(r) for r in ratios]), on.groups[chosen])}
        rows[alpha], exact[alpha] = on.metrics(images) | gain, on.metrics(consistent)
    largest = float(np.linalg.norm(np.asarray(fitted.moves.matrix), 2))
    return Along(name, rows, exact, largest, fitted.stochastic)


def moved_patches(on: Held, sizes: Sizes, repeat: int) -> dict[str, tuple[float, float, float]]:
    """PSNR of windows, and W2 to natural patches of others, of patches as they are moved and once averaged.

    Of every photograph a third of the crops is restored and moved, a third is known as natural, and a third is what
    the results are compared with.
    """
    rng, third = np.random.default_rng((SEED, repeat)), np.arange(len(on.x)) % 3
    place = rng.integers(0, sizes.crop - sizes.window + 1, 2)
    cut = tuple(slice(int(p), int(p) + sizes.window) for p in place)
    x, star = (images[:, *cut].astype(np.float64) for images in (on.x, on.star))
    least = min(int(np.sum(third == t)) for t in range(3))
    moving, known, fresh = (np.flatnonzero((third + repeat) % 3 == t)[:least] for t in range(3))
    source = patches_of(star[moving], side=PATCH)
    points, targets, others = (
        p.reshape(-1, p.shape[3]) for p in (source, *(patches_of(x[part], side=PATCH) for part in (known, fresh)))
    )
    found = {STAR: points, GAUSSIAN: gaussian_patches(points, targets)}
    if sizes.textures > 1:
        found[TEXTURES] = texture_wise(points, targets, classes=sizes.textures, channels=x.shape[3])
    found[EXACT] = exact_map(points, targets)
    values = {}
    for name, moved in found.items():
        images = star[moving] if name == STAR else folded(moved.reshape(source.shape), side=PATCH)
        psnr = float(np.mean(-10 * np.log10(np.mean((images - x[moving]) ** 2, axis=(1, 2, 3)))))
        again = patches_of(images, side=PATCH).reshape(points.shape)
        values[name] = (psnr, w2(moved, others), w2(again, others))
    floor = w2(targets, others)
    return values | {FLOOR: (np.nan, floor, floor)}


def table(one: Along) -> Table:
    """One restorer along alpha."""
    star, rows = one.rows[1.0], []
    for alpha, values in one.rows.items():
        cells: list[Cell] = [f"α = {alpha:g}"]
        for metric in ("psnr", "fd", "lr_psnr", "gain"):
            cells.append((values[metric].value, values[metric].stderr))
            apart = change_from(values, star, metric)
            cells.append(None if alpha == 1 else (apart.value, apart.stderr))
        exact = one.projected[alpha]
        rows.append([*cells, *((exact[m].value, exact[m].stderr) for m in ("psnr", "fd"))])
    columns = ["", "PSNR dB", "Δ", "FD", "Δ", "LR-PSNR dB", "Δ", "K̄", "Δ", "PSNR, projected", "FD, projected"]
    noise = "; its noise is left out" if one.noisy else ""
    title = f"{one.restorer}; ± standard errors over photographs, Δ paired difference from x* (α = 1)"
    return Table(f"{title}; the map of a patch stretches by up to {one.largest:.1f}{noise}", columns, rows)


def exact_table(found: Sequence[Mapping[str, tuple[float, float, float]]], restorer: str) -> Table:
    """Means over windows."""
    rows: list[list[Cell]] = []
    for name in found[0]:
        values = np.array([each[name] for each in found])
        rows.append([name, *(None if np.isnan(column).any() else mean_std(column) for column in values.T)])
    title = f"Patches of {PATCH} × {PATCH} of {restorer}, mean ± standard deviation over {len(found)} sets of windows"
    return Table(title, ["", "PSNR dB", "W2 of moved patches", "W2 once averaged"], rows)


def told(values: Values, base: Values, metric: str) -> str:
    """A difference with its error and sign."""
    return signed(*change_from(values, base, metric)[:2])


def claims(found: Sequence[Along], exact: Sequence[Mapping[str, tuple[float, float, float]]]) -> list[Claim]:
    """Ours, but for the first, of the paper; a difference counts where its interval excludes zero."""

    def listed(metric: str) -> str:
        return "; ".join(f"{a.restorer} {told(a.rows[0.0], a.rows[1.0], metric)}" for a in found)

    lost = [a for a in found if change_from(a.rows[0.0], a.rows[1.0], "lr_psnr").high < 0]
    erratic = [a for a in found if change_from(a.rows[0.0], a.rows[1.0], "gain").low > 0]
    between = [a for a in found if all(inside(a, alpha) for alpha in a.rows if 0 < alpha < 1)]
    gained = [a for a in found if change_from(a.projected[0.0], a.rows[0.0], "psnr").low > 0]
    natural = [a for a in found if change_from(a.projected[0.0], a.rows[1.0], "fd").high < 0]
    ranges = {name: np.array([each[name] for each in exact]) for name in exact[0]}

    def gap(name: str, column: int) -> tuple[float, float]:
        """By how much the Gaussian map's number is larger than another map's, with its error over sets of windows."""
        mean, spread = mean_std(ranges[GAUSSIAN][:, column] - ranges[name][:, column])
        return mean, spread / np.sqrt(len(exact))

    nearer, costs = gap(EXACT, 2), gap(EXACT, 0)
    back, kept = (
        "; ".join(f"{a.restorer} {told(a.projected[0.0], a.rows[alpha], metric)}" for a in found)
        for alpha, metric in ((0.0, "psnr"), (1.0, "fd"))
    )
    return [
        Claim(
            "x̂₀ explains y worse than an x* that is consistent (Section 6)",
            all(a in lost for a in found if a.restorer.startswith("photos")),
            f"dB: {listed('lr_psnr')}",
        ),
        Claim("Transport makes restorers more erratic: K̄ rises at α = 0", len(erratic) == len(found), listed("gain")),
        Claim(
            "K̄ lies between its ends for α between 0 and 1",
            len(between) == len(found),
            "; ".join(f"{a.restorer} {', '.join(gains_of(a))}" for a in found),
        ),
        Claim("Projection after transport gives PSNR back", len(gained) == len(found), f"dB: {back}"),
        Claim("Projection after transport keeps an FD below that of x*", len(natural) == len(found), kept),
        Claim(
            "Exact transport of patches is nearer to natural ones than the Gaussian map, once averaged",
            nearer[0] > 2 * nearer[1],
            f"W2 lower by {format_value(*nearer)}",
        ),
        Claim(
            "Exact transport of so few patches costs PSNR",
            costs[0] > 2 * costs[1],
            f"{format_value(*costs)} dB less than the Gaussian map",
        ),
        *([] if TEXTURES not in ranges else [textured(gap)]),
    ]


def textured(gap: Callable[[str, int], tuple[float, float]]) -> Claim:
    """Whether classes of patches are worth it."""
    nearer, costs = gap(TEXTURES, 2), gap(TEXTURES, 0)
    return Claim(
        "A Gaussian map for each texture is nearer to natural patches than one for all, once averaged",
        nearer[0] > 2 * nearer[1],
        f"W2 lower by {format_value(*nearer)}; PSNR lower by {format_value(*costs)} dB",
    )


def gains_of(one: Along) -> list[str]:
    """K̄ along alpha, in words."""
    return [f"{values['gain'].value:.2f}" for values in one.rows.values()]


def inside(one: Along, alpha: float) -> bool:
    """Whether K̄ there is between those at 0 and at 1."""
    low, high = sorted(one.rows[end]["gain"].value for end in (0.0, 1.0))
    return low <= one.rows[alpha]["gain"].value <= high


@styled()
def draw(found: Sequence[Along]) -> Picture:
    """K̄, consistency and PSNR against FD, curves along alpha; hollow where alpha is 0, light where projected."""
    figure = new_figure(12.6, 4.3)
    axes = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.06, right=0.99, top=0.97, bottom=0.13, wspace=0.24)
    names = {"gain": "K̄  (← more robust)", "lr_psnr": "LR-PSNR (dB)  (more consistent →)", "psnr": "PSNR (dB)"}
    for ax, (metric, label) in zip(axes, names.items(), strict=True):
        for number, one in enumerate(found):
            alphas = sorted(one.rows)
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            places = np.array([[one.rows[a]["fd"].value, one.rows[a][metric].value] for a in alphas])
            ax.plot(*places.T, color=colour, lw=1.5, zorder=2)
            ax.plot(*places[alphas.index(1.0)], marker, color=colour, ms=7, label=one.restorer, zorder=4)
            ax.plot(*places[alphas.index(0.0)], marker, color=colour, mfc="white", ms=7, mew=1.5, zorder=4)
            if metric == "psnr":
                exact = np.array([[one.projected[a]["fd"].value, one.projected[a]["psnr"].value] for a in alphas])
                ax.plot(*exact.T, color=colour, lw=1.1, ls=(0, (4, 2)), alpha=0.7, zorder=1)
        ax.set(xlabel="FD  (← more natural)", ylabel=label)
    axes[0].legend(frameon=False, fontsize=8.5)
    ends = f"{min(found[0].rows):g} to {max(found[0].rows):g}"
    return Picture(figure, f"Along α from {ends}: filled x*, hollow x̂₀; right, dashed, projected outputs.")


def run(scale: str) -> Experiment:
    """Fit, move, attack, project, transport exactly, draw."""
    sizes, large = SIZES[scale], scale == "paper"
    train, test, images = both_sides(
        crop=sizes.crop, train=sizes.train, each=sizes.each, large=large, photographs=(100, 100)
    )
    degradation = parse_degradation(DEGRADATION)
    degrade = degrader(degradation, bits=8, compiled=jax.jit)
    problem = Problem(degradation, degrade, jax.random.key(SEED))
    crops = train.arrays()
    training = Training(lambda: images or crops, degrade, degradation, 3, 512, problem.key, None)
    meter = Meter("alexnet", patch=64, stride=32)
    found: list[Along] = []
    exact: list[dict[str, tuple[float, float, float]]] = []
    for name, restorer in build_restorers(RESTORERS[-sizes.restorers :], training).items():
        on = held(problem, restorer, crops, test, meter, batch=sizes.batch)
        found.append(moved_along(name, on, sizes))
        if name == RESTORERS[-2] or not exact:
            exact = [moved_patches(on, sizes, repeat) for repeat in range(sizes.repeats)]
            chosen, windows = name, len(on.x) // 3
    return Experiment(
        name="adrai2023/transport_beyond",
        title="Consistency, robustness and exact transport",
        source="beyond [adrai2023], Sections 4 and 6",
        scale=scale,
        settings={"seed": SEED, "patch": PATCH, "radius": RADIUS, "degradation": DEGRADATION, **sizes._asdict()},
        tables=[*map(table, found), exact_table(exact, chosen)],
        claims=claims(found, exact),
        pictures={"along": draw(found)},
        remarks=[
            f"Measured are {len(test)} crops; attacked is every third, its middle of {sizes.attacked} pixels, by "
            f"{sizes.steps} steps of I-FGSM: K̄ is a lower bound. Errors are over photographs.",
            "Where restored patches fill fewer directions than natural ones the map would add noise, which is left "
            "out, so that K̄ is that of a function.",
            f"Exact transport: {windows * sizes.window**2} patches of {windows} windows of {sizes.window} pixels, as "
            "many natural ones of other crops of the same photographs, and as many to compare with. It is a "
            "permutation of those patches, and says nothing of others. Textures are "
            f"{sizes.textures} classes of equal size by how much a patch varies.",
        ],
    )


if __name__ == "__main__":
    main(run)
