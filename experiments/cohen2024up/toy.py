"""How uncertain a restorer must be for its perceptual quality, on toy laws: the U(P) function of [cohen2024up].

    python experiments/cohen2024up/toy.py [--scale smoke|small|paper] [--out FOLDER]

U(P) is the least N(X̂ - X | Y), the entropy power of the error, among restorers whose Rényi divergence (order 1/2) from
x given y is at most P; the slides put it between η(P) N(X|Y) and η(P) N(X_G|Y). Restorers of two laws are placed on
that plane: a Gaussian law of 8 dimensions in closed form, a mixture on the plane by Monte Carlo.

Small, two CPU cores, 12 s: N over the lower bound is 1.000 for Gaussian restorers from mean to posterior, 1.004
to 1.47 for others that are Gaussian given y, and 0.905 for the mean shown 96 % of the time, a posterior sample
otherwise (the remarks say why). Mixture: 1.000 (mean) and 1.084 ± 0.003 to 3.05 ± 0.06; the posterior sampler's N is
2.89 ± 0.04 times N(X|Y), of at most 4.07.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from jaxpr import uncertainty as up
from jaxpr.numerics import Moments
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.mixtures import Parts, difference
from jaxpr.reproduce.statistics import mean_std
from jaxpr.toys import JointGaussian, JointMixture, linear_gaussian, planar_mixture
from jaxpr.toys import gaussian_estimators as toy

SEED, DIM, NOISE = 0, 8, 1.5
SHARES = (1.0, 0.7, 0.4, 0.2, 0.08, 0.02)  # of the posterior's covariance
LOTTERY = (0.3, 0.6, 0.8, 0.9, 0.96)  # how often the mean is shown instead of a posterior sample
DIMS = (1, 2, 8, 32, 128, 512)
SHRUNK, WHITE, SHIFTED, DRAWN = "mean to posterior", "mean + white noise", "D_max + posterior noise", "lottery"
NORMAL, EXACT = "Gaussian of x's covariance", "deterministic"
FAMILIES = (SHRUNK, WHITE, SHIFTED, NORMAL, DRAWN, EXACT)
LOOKS = {family: look for family, *look in zip(FAMILIES, "o^vDXs", (*COLOURS[:5], INK), strict=True)}
KNOBS: dict[str, tuple[str, tuple[float, ...]]] = {
    SHRUNK: ("s", SHARES),
    NORMAL: ("s", SHARES),
    DRAWN: ("ε", LOTTERY),
}  # of the mixture's families
ROUNDING = 1e-4
CLAIMS = (
    "η lies between 1 and 2, falls and is convex",
    "Gaussian law: no restorer Gaussian given y lies below the bound; those on the way from mean to posterior reach it",
    "Gaussian law: no restorer at all lies below the bound",
    "Mixture: none of these restorers lies below the lower bound",
    "Mixture: restorers lie below the upper bound at small and large divergence",
    "Perfect perceptual quality at least doubles the uncertainty N(X|Y), and at most to 2 N(X_G|Y)",
    "MSE per coordinate is at least the uncertainty: D(P) ≥ U(P)",
    "The bound is stricter in higher dimensions",
)


class Sizes(NamedTuple):
    """What a scale means: measurements y per seed, draws at each y, seeds."""

    measurements: int
    draws: int
    seeds: int


SIZES = {"smoke": Sizes(100, 128, 2), "small": Sizes(500, 256, 5), "paper": Sizes(4000, 2048, 10)}


class Place(NamedTuple):
    """A restorer on the plane; numbers have one value for each seed, or one alone from closed forms."""

    name: tuple[str, str]  # of its family, and s, ε or its own
    divergence: np.ndarray  # P, nats
    uncertainty: np.ndarray  # N(X̂ - X | Y), squared units
    mse: np.ndarray  # per coordinate, squared units


class Plane(NamedTuple):
    """A law of dimension `dim`, its N(X|Y) and N(X_G|Y) for each seed, and restorers."""

    dim: int
    inherent: np.ndarray
    gaussian: np.ndarray
    places: list[Place]

    def bounds(self, divergence: float | np.ndarray) -> up.UncertaintyBounds:
        """Of U(P), from means over seeds."""
        return up.uncertainty_bounds(divergence, self.dim, inherent=self.inherent.mean(), gaussian=self.gaussian.mean())

    def ratio(self, place: Place) -> np.ndarray:
        """Uncertainty over the lower bound."""
        return place.uncertainty / (np.asarray(up.eta(place.divergence, self.dim)) * self.inherent)


def at_one(
    real: Parts, mean: jax.Array, cov: jax.Array, x: jax.Array, other: jax.Array, noise: jax.Array, uniform: jax.Array
) -> dict[str, jax.Array]:
    """By draws of x given one y (`x`, `other`): (divergence, entropy of the error, MSE) of each family's members."""
    mean, least = mean[None], jnp.trace(cov) / 2

    def placed(fake: Parts, drawn: jax.Array, share: jax.Array) -> jax.Array:
        both = jnp.concatenate([x, drawn])  # points of both laws, so that no weight in the overlap is large
        p, q = real.log_density(both), fake.log_density(both)
        overlap = jnp.mean(jnp.exp((p + q) / 2 - jnp.logaddexp(p, q) + math.log(2)))
        entropy = -jnp.mean(difference(fake, real).log_density(drawn - x))
        return jnp.stack([-2 * jnp.log(overlap), entropy, (1 + share) * least])

    def shrunk(s: jax.Array) -> jax.Array:
        fake = Parts(real.logits, mean + jnp.sqrt(s) * (real.means - mean), s * real.covs)
        return placed(fake, mean + jnp.sqrt(s) * (other - mean), s)

    def normal(s: jax.Array) -> jax.Array:
        return placed(Parts(jnp.zeros(1), mean, s * cov[None]), mean + noise @ jnp.linalg.cholesky(s * cov).T, s)

    def mean_at_times(chance: jax.Array) -> jax.Array:
        sampled, shown = difference(real, real), Parts(real.logits, mean - real.means, real.covs)
        sampled = sampled._replace(logits=sampled.logits + jnp.log1p(-chance))
        shown = shown._replace(logits=shown.logits + jnp.log(chance))
        error = jax.tree.map(lambda *parts: jnp.concatenate(parts), sampled, shown)
        entropy = -jnp.mean(error.log_density(jnp.where(uniform[:, None] < chance, mean, other) - x))
        return jnp.stack([-jnp.log1p(-chance), entropy, (2 - chance) * least])  # the atom overlaps with nothing

    rules = {SHRUNK: shrunk, NORMAL: normal, DRAWN: mean_at_times}
    found = {family: jax.vmap(rule)(jnp.array(KNOBS[family][1])) for family, rule in rules.items()}
    return found | {EXACT: jnp.stack([jnp.inf, -jnp.mean(real.log_density(x)), least])[None]}


def on_mixture(key: jax.Array, law: JointMixture, sizes: Sizes) -> dict[str, jax.Array]:
    """Means over y of `at_one`, and the entropy of X_G given Y, for one seed."""
    k_y, k_x, k_other, k_noise, k_uniform = jax.random.split(key, 5)
    count, draws = sizes.measurements, sizes.draws
    y = law.sample(k_y, count).y
    x, other = (law.posterior_sample(k, jnp.repeat(y, draws, axis=0)).reshape(count, draws, 2) for k in (k_x, k_other))
    noise, uniform = jax.random.normal(k_noise, x.shape), jax.random.uniform(k_uniform, x.shape[:2])
    within = jax.vmap(lambda c: c.posterior_mean(y), out_axes=1)(law.components)
    inner = jnp.repeat(law.components.residual.covariance[None], count, axis=0)
    real, covs = Parts(jnp.log(law.posterior_weights(y)), within, inner), law.posterior_covariance(y)
    each = real, law.posterior_mean(y), covs, x, other, noise, uniform
    found = jax.tree.map(lambda a: a.mean(axis=0), jax.lax.map(lambda one: at_one(*one), each, batch_size=25))
    return found | {"gaussian": jnp.mean(jnp.linalg.slogdet(2 * jnp.pi * jnp.e * covs)[1]) / 2}


def mixture_plane(law: JointMixture, sizes: Sizes) -> Plane:
    """Every family for the mixture."""
    measure = jax.jit(lambda key: on_mixture(key, law, sizes))
    runs = [jax.device_get(measure(key)) for key in jax.random.split(jax.random.key(SEED), sizes.seeds)]
    found = {name: np.stack([run[name] for run in runs], axis=-1) for name in runs[0]}
    members = {family: [f"{letter} = {knob:g}" for knob in knobs] for family, (letter, knobs) in KNOBS.items()}
    places = []
    for family, names in (members | {EXACT: ["mean"]}).items():
        for name, (cost, entropy, error) in zip(names, found[family], strict=True):
            places.append(Place((family, name), cost, np.asarray(up.entropy_power(entropy, 2)), error))
    return Plane(2, places[-1].uncertainty, np.asarray(up.entropy_power(found["gaussian"], 2)), places)


def gaussian_place(name: tuple[str, str], law: JointGaussian, estimator: toy.AffineEstimator) -> Place:
    """Closed form: exact moments of (x, x̂, y), of unlimited count, in the library's plane of streamed moments."""
    root_y, root, noise = (np.asarray(a, np.float64) for a in (law.marginal_y.root, law.residual.root, estimator.root))
    gain, matrix = np.asarray(law.gain, np.float64), np.asarray(estimator.matrix, np.float64)
    none, count = np.zeros_like(root), np.asarray(1e12)
    factor = np.block([[gain @ root_y, root, none], [matrix @ root_y, none, noise], [root_y, none, none]])
    moments = Moments(count, np.zeros(len(factor)), factor @ factor.T * (count - 1))
    found = up.plane_point(moments, width=DIM, noise_floor=0)
    values = found.divergence if noise.any() else math.inf, found.uncertainty, found.mse
    return Place(name, *(np.array([v]) for v in values))


def lottery(dim: int, chance: float) -> tuple[float, float]:
    """N(X̂ - X | Y) / N(X|Y) if X given Y is Gaussian and X̂ is the mean with this chance, a posterior sample otherwise.

    In whitened coordinates the error is (1 - ε) N(0, 2I) + ε N(0, I), a function of the radius alone. The second number
    is a bound by hand: a mixture's entropy is at most the mean of its parts' and that of the choice. The divergence is
    -ln(1 - ε), for the atom at the mean has no part in the overlap.
    """
    radius = np.linspace(1e-6, math.sqrt(2 * dim) + 12, 20_001)
    surface = math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2) + (dim - 1) * np.log(radius)
    sampled, shown = (-dim / 2 * math.log(2 * math.pi * v) - radius**2 / (2 * v) for v in (2, 1))
    density = np.logaddexp(math.log1p(-chance) + sampled, math.log(chance) + shown)
    power = up.entropy_power(-float(np.trapezoid(np.exp(density + surface) * density, radius)), dim)
    choice = -chance * math.log(chance) - (1 - chance) * math.log1p(-chance)
    return float(power), 2 ** (1 - chance) * math.exp(2 * choice / dim)


def gaussian_plane(law: JointGaussian) -> Plane:
    """Every family for the Gaussian law."""
    inherent = float(up.entropy_power(float(up.gaussian_entropy(law.residual.covariance)), DIM))
    mean, dmax, root = toy.gaussian_mmse(law), toy.gaussian_dmax(law), law.residual.root
    size = jnp.exp(jnp.mean(jnp.log(jnp.diagonal(root))))  # white noise of the posterior's entropy
    kinds = {SHRUNK: (mean, root), WHITE: (mean, size * jnp.eye(DIM)), SHIFTED: (dmax, root)}
    places = [
        gaussian_place((family, f"s = {s:g}"), law, base._replace(root=math.sqrt(s) * noise))
        for family, (base, noise) in kinds.items()
        for s in SHARES
    ]
    still = {"mean": mean, "D_max": dmax._replace(root=jnp.zeros_like(root))}
    places += [gaussian_place((EXACT, name), law, estimator) for name, estimator in still.items()]
    least = float(toy.gaussian_mse(law, mean)) / DIM
    for chance in LOTTERY:
        values = [-math.log1p(-chance)], [inherent * lottery(DIM, chance)[0]], [(2 - chance) * least]
        places.append(Place((DRAWN, f"ε = {chance:g}"), *map(np.array, values)))
    return Plane(DIM, np.array([inherent]), np.array([inherent]), places)


def least_error(variances: np.ndarray) -> np.ndarray:
    """P, D(P) and U(P), (3, A), of the Gaussian law and restorers that are Gaussian given y.

    With independent coordinates of variance σ² given y and s σ² of x̂, MSE (1 + s) σ² and P = ln((1 + s) / (2 √s)) are
    sums; the s of least MSE + price P is the positive root of 2 σ² s² + (2 σ² + price) s = price.
    """
    price = np.geomspace(1e-5, 1e5, 400)[:, None]
    b = 2 * variances[None] + price
    s = 2 * price / (b + np.sqrt(b * b + 8 * variances[None] * price))
    cost, error = np.sum(np.log((1 + s) / (2 * np.sqrt(s))), axis=1), np.mean((1 + s) * variances[None], axis=1)
    return np.stack([cost, error, np.exp(np.mean(np.log(variances))) * np.asarray(up.eta(cost, len(variances)))])


def cell(values: np.ndarray) -> Cell:
    """Mean and standard deviation over seeds; the number alone where it is the same for all."""
    if np.isinf(values[0]) or np.ptp(values) <= ROUNDING * abs(values[0]):
        return float(values[0]) if np.isfinite(values[0]) else "∞"
    return mean_std(values)


def plane_table(title: str, plane: Plane) -> Table:
    """The places and their regions; what lies on a bound up to rounding is optimal."""
    rows: list[list[Cell]] = []
    for p in plane.places:
        low, high = plane.bounds(p.divergence.mean())
        bounds = up.UncertaintyBounds((1 - ROUNDING) * low, (1 + ROUNDING) * high)
        cells = (p.divergence, p.uncertainty, p.mse, plane.ratio(p).round(4))
        rows.append([", ".join(p.name), *map(cell, cells), str(up.region(float(p.uncertainty.mean()), bounds))])
    return Table(title, ["", "P, nats", "N(X̂ - X|Y)", "MSE per coordinate", "N / lower bound", "region"], rows)


def dimensions() -> Table:
    """The bound and the lottery, of Gaussian laws."""
    chance = -math.expm1(-1)
    rows: list[list[Cell]] = [
        [f"{d}", *(float(up.eta(p, d)) for p in (0.1, 1.0, 10.0)), *lottery(d, chance)] for d in DIMS
    ]
    columns = ["d", "η(0.1)", "η(1)", "η(10)", "lottery at P = 1", "at most, by hand"]
    return Table("Dimensions: uncertainty of Gaussian laws in units of N(X|Y)", columns, rows)


def claims(gauss: Plane, mixed: Plane, curve: np.ndarray) -> list[Claim]:
    """What the slides say, on these numbers."""
    ratio = {p.name: float(gauss.ratio(p).mean()) for p in gauss.places}
    on = [r for name, r in ratio.items() if name[0] == SHRUNK]
    plain = min(r for name, r in ratio.items() if name[0] != DRAWN)
    worst = min(ratio, key=lambda name: ratio[name])
    lowest = min(float(mixed.ratio(p).mean()) for p in mixed.places)
    under = [p.uncertainty.mean() / float(mixed.bounds(p.divergence.mean()).upper) for p in mixed.places[: len(SHARES)]]
    factor = np.asarray(up.eta(np.linspace(0, 20, 2001), DIM))
    shape = factor[0] == 2 and factor[-1] >= 1 and np.all(np.diff(factor) < 0) and np.all(np.diff(factor, 2) > -1e-6)
    twice, most = mixed.places[0].uncertainty / mixed.inherent, 2 * mixed.gaussian.mean() / mixed.inherent.mean()
    margin, apart = min(p.mse.mean() / p.uncertainty.mean() for p in gauss.places + mixed.places), curve[1] / curve[2]
    far, drawn = [float(up.eta(1.0, d)) for d in DIMS], [lottery(d, -math.expm1(-1))[0] for d in DIMS]
    doubled = f"mixture {twice.mean():.2f} ± {twice.std(ddof=1):.2f} (limit {most:.2f})"
    far_text = f"η(1) {far[0]:.3f} (d = {DIMS[0]}) to {far[-1]:.3f} (d = {DIMS[-1]})"
    judged = (
        (shape, f"d = {DIM}: {factor[0]:.3f} at P = 0, {factor[-1]:.3f} at P = 20"),
        (plain > 1 - ROUNDING and max(on) < 1 + ROUNDING, f"least N / bound {plain:.5f}; on the way {max(on):.5f}"),
        (ratio[worst] > 1 - ROUNDING, f"N / bound {ratio[worst]:.3f} for {', '.join(worst)}; the notes say why"),
        (lowest > 1 - ROUNDING, f"least N / lower bound {lowest:.3f}"),
        (max(under) < 1 + ROUNDING, f"N / upper bound {min(under):.2f} to {max(under):.2f} from mean to posterior"),
        (abs(on[0] - 1) < ROUNDING and 2 <= twice.mean() <= most, f"Gaussian law {2 * on[0]:.4f}, {doubled}"),
        (margin > 1 - ROUNDING and np.all(apart > 1), f"least ratio {margin:.3f}, of the curves {apart.min():.3f}"),
        (far == sorted(far), f"{far_text}; lottery {drawn[0]:.3f} to {drawn[-1]:.3f}"),
    )
    return [Claim(text, bool(holds), found) for text, (holds, found) in zip(CLAIMS, judged, strict=True)]


def draw_plane(ax: Axes, plane: Plane, end: float) -> None:
    """Regions, bounds and places; a column at the right for infinite divergence."""
    grid, infinite = np.linspace(0, end, 400), 1.08 * end
    low, high = (np.asarray(b) for b in plane.bounds(grid))
    ax.fill_between(grid, 0, low, color="#f6e3e0", lw=0, zorder=0.3)
    ax.fill_between(grid, low, high, color="#e6f2e9", lw=0, zorder=0.3)
    ax.plot(grid, np.stack([low, high], axis=1), color=MUTED, lw=1.2, ls=(0, (5, 3)), zorder=1.5)
    for family, (marker, colour) in LOOKS.items():
        found = [(p.divergence.mean(), p.uncertainty.mean()) for p in plane.places if p.name[0] == family]
        shown = [(infinite if math.isinf(x) else x, y) for x, y in found if x <= end or math.isinf(x)]
        look: dict[str, Any] = {
            "color": colour,
            "mec": "white",
            "mew": 0.6,
            "zorder": 3,
            "clip_on": False,
            "label": family,
        }
        if shown:
            ax.plot(*zip(*shown, strict=True), marker, ms=6.5, **look)
    ax.axvline(1.03 * end, color=MUTED, lw=0.8)
    ticks, top = np.linspace(0, end, 5), 1.05 * max(p.uncertainty.mean() for p in plane.places)
    ax.set_xticks([*ticks, infinite], [*(f"{t:g}" for t in ticks), "∞"])
    ax.set(xlim=(0, 1.12 * end), ylim=(0.8 * low[-1], top), xlabel="divergence P  (nats)")
    words: dict[str, Any] = {"color": MUTED, "style": "italic", "fontsize": 9}
    ax.text(0.25 * end, 0.85 * low[-1], "impossible, says the lower bound", **words)
    ax.text(0.52 * end, 0.72 * top, "suboptimal", **words)
    if high[0] > 1.01 * low[0]:
        ax.text(0.42 * end, 0.35 * low[170] + 0.65 * high[170], "optimal", **words)


@styled()
def figure_planes(gauss: Plane, mixed: Plane) -> Picture:
    """The plane of both laws."""
    figure = new_figure(11.2, 4.7)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.065, right=0.99, top=0.84, bottom=0.115, wspace=0.16)
    draw_plane(left, gauss, 6.0)
    draw_plane(right, mixed, 4.0)
    left.set(title=f"Gaussian law, d = {DIM}", ylabel="uncertainty N(X̂ - X | Y)  (squared units of x)")
    right.set_title("Mixture of four, d = 2")
    handles = {h.get_label(): h for ax in (left, right) for h in ax.get_legend_handles_labels()[0]}
    look: dict[str, Any] = {"ncols": 6, "frameon": False, "fontsize": 9, "columnspacing": 1.4, "handletextpad": 0.2}
    figure.legend(handles.values(), handles, loc="upper center", **look)
    return Picture(
        figure,
        "Each mark is a restorer, dashed are the bounds. At ∞ lie the deterministic ones, D_max among them, however "
        "natural its outputs. Lotteries pass below the bound of the Gaussian law.",
    )


@styled()
def figure_dimensions(curve: np.ndarray) -> Picture:
    """How the bound rises with dimension, with lotteries below it; distortion above uncertainty."""
    figure = new_figure(11.2, 4.4)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.99, top=0.92, bottom=0.12, wspace=0.18)
    grid, costs = np.geomspace(1e-2, 10, 300), np.geomspace(1e-2, 8, 40)
    for d, colour in zip(DIMS, COLOURS, strict=False):
        left.plot(grid, up.eta(grid, d), color=colour, lw=1.7, label=f"η, d = {d}")
        if d >= 8:
            left.plot(costs, [lottery(d, c)[0] for c in -np.expm1(-costs)], color=colour, lw=1.2, ls=(0, (3, 2)))
    left.plot([], [], color=INK, lw=1.2, ls=(0, (3, 2)), label="lottery, d ≥ 8")
    left.set(xscale="log", title="Gaussian laws: bound and lotteries", ylabel="uncertainty / N(X|Y)", ylim=(0.98, 2.25))
    left.legend(frameon=False, fontsize=9, ncols=4, loc="upper right", columnspacing=1.2)
    right.plot(curve[0], curve[1], color=COLOURS[1], lw=1.8, label="D(P): least MSE per coordinate")
    right.plot(curve[0], curve[2], color=COLOURS[0], lw=1.8, label="U(P): least uncertainty")
    right.set(title=f"Gaussian law, d = {DIM}, restorers Gaussian given y", ylabel="squared units of x")
    right.set(xlim=(0, 12), ylim=(0, None))
    right.legend(frameon=False, fontsize=9.5)
    for ax in (left, right):
        ax.set_xlabel("divergence P  (nats)")
    return Picture(
        figure,
        "Left: with d the bound approaches 2 at every divergence; lotteries (dashed, in the bounds' colours) do not. "
        "Right: distortion is above uncertainty.",
    )


def run(scale: str) -> Experiment:
    """Place the restorers on both planes, compare dimensions, draw."""
    sizes, chance, mixture = SIZES[scale], LOTTERY[-1], planar_mixture(noise_std=NOISE)
    # Denoising in 8 dimensions with unit noise; variances from 10 down to 0.1, so no posterior is round.
    law = linear_gaussian(np.zeros(DIM), np.diag(np.geomspace(10, 0.1, DIM)), np.eye(DIM), np.eye(DIM))
    gauss, mixed = gaussian_plane(law), mixture_plane(mixture, sizes)
    curve = least_error(np.asarray(jnp.diagonal(law.residual.covariance), np.float64))
    powers = f"N(X|Y) = {mixed.inherent.mean():.3f}, N(X_G|Y) = {mixed.gaussian.mean():.3f}"
    return Experiment(
        name="cohen2024up/toy",
        title="The uncertainty-perception function of a Gaussian law and of a mixture",
        source="[cohen2024up], slides on U(P), its bounds, dimensionality, and D(P)",
        scale=scale,
        settings={"dim": DIM, "noise_std": NOISE, "seed": SEED, "s": SHARES, "ε": LOTTERY, **sizes._asdict()},
        tables=[
            plane_table(
                f"Gaussian law, d = {DIM}, closed forms (lottery: quadrature): N(X|Y) = {gauss.inherent[0]:.4f}", gauss
            ),
            plane_table(f"Mixture, d = 2, {powers}; mean ± standard deviation over seeds", mixed),
            dimensions(),
        ],
        claims=claims(gauss, mixed, curve),
        pictures={"planes": figure_planes(gauss, mixed), "dimensions": figure_dimensions(curve)},
        remarks=[
            "The slides print no numbers, and neither η nor the order of the divergence; here the order is 1/2 and η "
            "that of restorers that are Gaussian given y.",
            "The slides bound the least uncertainty over all restorers, whatever the law of x̂ given y. So the lottery "
            "counts against them: the mean with chance ε, a posterior sample otherwise, with P = -ln(1 - ε). A mixture "
            "has at most the mean entropy of its parts plus that of the choice, so its N is at most 2^(1 - ε) "
            f"e^(2 H(ε) / d) N(X|Y): that is {lottery(DIM, chance)[1]:.3f} N(X|Y) at ε = {chance:g}, d = {DIM}, where "
            f"the bound says at least {float(up.eta(-math.log1p(-chance), DIM)):.3f}. As d grows, η rises to 2 and the "
            "lottery falls to 2^(1 - ε): for restorers of any kind the tradeoff need not become harder.",
            "The divergence compares laws given y: D_max, with outputs of the law of x, is as far from it as the mean.",
        ],
    )


if __name__ == "__main__":
    main(run)
