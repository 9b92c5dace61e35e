"""Programs to be lowered for accelerators: functions on arrays. A case names the public functions it goes through."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr import numerics, selection, toys
from jaxpr.core import map_chunks
from jaxpr.metrics import Moments
from jaxpr.selection.farthest import farthest_from_start, farthest_in_distances
from jaxpr.selection.hierarchy import farthest_tree, priority_tree
from jaxpr.selection.inputs import squared_gaps
from jaxpr.selection.kmeans import kmeans_from_centroids, nearest_to_centroids
from jaxpr.selection.uniformization import (
    neighbour_distance,
    uniformization_from_gumbel,
    uniformization_log_probabilities,
)


class Case(NamedTuple):
    """A program.

    Attributes:
        names: of the public functions it is made of, without `jaxpr.`.
        make: returns the function and its arguments: shapes, arrays, or trees of them.
    """

    names: tuple[str, ...]
    make: Callable[[], tuple[Any, ...]]


def floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def keys(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jax.eval_shape(lambda: jax.random.key(0)).dtype)


def case(names: str, fn: Callable[..., Any], *arguments: Any) -> Case:
    """Names share the module of the first; `module.{a,b}` is written `module: a b`."""
    module, _, members = names.partition(": ")
    return Case(tuple(f"{module}.{member}" for member in members.split()), lambda: (fn, *arguments))


KEY, COUNT = keys(), floats()
IMAGES, POINTS, VALUES = floats(2, 16, 16, 3), floats(8, 4), floats(8)
MEAN, COV = floats(4), floats(4, 4)
MOMENTS = Moments(COUNT, MEAN, COV)
INDICES = jax.ShapeDtypeStruct((2, 3), jnp.int32)


def smooth(y: jax.Array) -> jax.Array:
    return jnp.sin(3 * y)


def smooth2(y: jax.Array) -> jax.Array:
    return jnp.concatenate([y, smooth(y)], axis=1)


def noisy(key: jax.Array, y: jax.Array) -> jax.Array:
    return smooth(y) + jax.random.normal(key, y.shape)


def classify(x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=(1, 2))


def gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Of the sum of all results, by all arguments."""

    def total(*args: Any) -> Any:
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(fn(*args)))

    return lambda *args: jax.grad(total, argnums=tuple(range(len(args))))(*args)


NUMERICS = [
    case(
        "numerics.balls: example_norms project_l2 project_linf sample_l2 sample_linf",
        lambda key, x: (
            numerics.example_norms(x),
            numerics.project_l2(x, radius=0.1),
            numerics.project_linf(x, radius=0.1),
            numerics.sample_l2(key, x, radius=0.1),
            numerics.sample_linf(key, x, radius=0.1),
        ),
        KEY,
        IMAGES,
    ),
    case(
        "numerics.convolution: conv canonical_convolutions",
        gradient(numerics.canonical_convolutions(lambda x, k: numerics.conv(x, k, padding=((1, 1), (1, 1))))),
        IMAGES,
        floats(3, 3, 3, 2),
    ),
    case("numerics.guards: safe_sqrt", gradient(numerics.safe_sqrt), POINTS),
    case("numerics.kernels: kernel_sums", numerics.kernel_sums, POINTS, POINTS, floats(8, 1), floats(8, 1)),
    case("numerics.moments.Moments: update merge covariance", lambda m, x: m.update(x).covariance, MOMENTS, POINTS),
    case("numerics.moments.Moments: zero", lambda x: Moments.zero(4).update(x), POINTS),
    case("numerics.neighbours: squared_distances", numerics.squared_distances, POINTS, POINTS),
    case("numerics.neighbours: nearest_distances", functools.partial(numerics.nearest_distances, k=3), POINTS, POINTS),
    case("numerics.overlap: neighbour_radii", functools.partial(numerics.neighbour_radii, k=3), POINTS),
    case("numerics.overlap: count_balls", numerics.count_balls, POINTS, POINTS, VALUES, VALUES),
    case("numerics.psd: psd_sqrt", numerics.psd_sqrt, COV),
    case("numerics.psd: bures_term", gradient(numerics.bures_term), COV, COV),
    case(
        "numerics.resampling: resize",
        lambda x: numerics.resize(x, (8, 24), kernel=numerics.CUBIC, antialias=True),
        IMAGES,
    ),
    case("core.chunks: map_chunks", lambda x: map_chunks(smooth, x, size=3), POINTS),
]


def of_law(law: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[Any, ...]:
    """All that Gaussian and mixture laws do."""
    return (
        (law.sample(key, 3), law.posterior_sample(key, y), law.posterior_mean(y), law.posterior_covariance(y)),
        (law.log_density(x, y), law.log_density_x(x), law.log_density_y(y), law.log_likelihood(x, y)),
        (law.log_posterior(x, y), law.score_posterior(x, y), law.score_x(x), law.score_y(y)),
    )


def of_planar(law: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[Any, ...]:
    return (
        (law.sample(key, 3), law.posterior_sample(key, y), law.posterior_mean(y), law.posterior_covariance(y)),
        (law.log_density_x(x), law.log_density_y(y), law.log_posterior(x, y), law.contains(x), law.slices(y)),
    )


def of_gaussian(mean: jax.Array, cov: jax.Array, alpha: jax.Array, y: jax.Array) -> tuple[Any, ...]:
    law = toys.joint_gaussian(mean, cov, width=2)
    found = toys.gaussian_interpolation(law, alpha=alpha)
    return (
        (toys.gaussian_mmse(law), toys.gaussian_posterior(law), toys.gaussian_dmax(law)),
        (toys.gaussian_tradeoff(law, alpha=alpha), toys.gaussian_mse(law, found)),
        (toys.gaussian_conditional_mse(law, found, y), toys.gaussian_output_law(law, found)),
        (toys.gaussian_residual_law(law, found, np.eye(2, dtype=np.float32)), found.mean(y)),
    )


def of_denoising(key: jax.Array, y: jax.Array, std: jax.Array) -> tuple[Any, ...]:
    e = toys
    given = {"noise_std": std}
    return (
        (e.denoising_mmse(y, **given), e.denoising_dmax(y, **given), e.denoising_posterior(key, y, **given)),
        (e.mmse_conditional_mse(**given), e.dmax_conditional_mse(y, **given), e.posterior_conditional_mse(**given)),
        (e.mmse_residual_noise(**given), e.dmax_residual_noise(**given), e.posterior_residual_noise(**given)),
        (e.posterior_second_moment(y, **given), e.independent_conditional_mse(y, y, y, y)),
    )


def members(owner: str, names: str) -> str:
    return " ".join(f"{owner}.{name}" for name in names.split())


LAW = "posterior_mean posterior_covariance log_density log_density_x log_density_y "
LAW += "log_likelihood log_posterior score_posterior score_x score_y"
PLANAR = "posterior_mean posterior_covariance log_density_x log_density_y log_posterior contains slices"
PAIRS = (KEY, floats(8, 2), floats(8, 2))
TOYS = [
    case(
        "toys.normal: normal Normal.log_density Normal.score Normal.covariance",
        lambda mean, cov, key, x: (
            (law := toys.normal(mean, cov)).sample(key, 3),
            law.log_density(x),
            law.score(x),
            law.covariance,
        ),
        MEAN,
        COV,
        KEY,
        POINTS,
    ),
    case(
        "toys.gaussian: denoising_gaussian linear_gaussian " + members("JointGaussian", LAW),
        lambda std, *rest: of_law(toys.denoising_gaussian(noise_std=std, dim=2), *rest),
        COUNT,
        *PAIRS,
    ),
    case(
        "toys.mixture: planar_mixture " + members("JointMixture", LAW),
        lambda std, *rest: of_law(toys.planar_mixture(noise_std=std), *rest),
        COUNT,
        *PAIRS,
    ),
    case(
        "toys.laws: Law.sample JointLaw.posterior_sample",
        lambda std, key, y: (
            (law := toys.denoising_gaussian(noise_std=std, dim=2)).sample(key, 3),
            law.posterior_sample(key, y),
        ),
        COUNT,
        KEY,
        floats(8, 2),
    ),
    case(
        "toys.mixture: linear_mixture",
        lambda means: toys.linear_mixture(np.ones(2), means, np.ones((2, 1, 1)), np.eye(1), np.eye(1)),
        floats(2, 1),
    ),
    case(
        "toys.mixture: imbalanced_mixture JointMixture.matched_gaussian JointMixture.posterior_weights",
        lambda std, y: (
            (law := toys.imbalanced_mixture(noise_std=std)).matched_gaussian(),
            law.posterior_weights(y),
        ),
        COUNT,
        floats(8, 2),
    ),
    case(
        "toys.planar: elliptic_ring EllipticRing.area " + members("PlanarLaw", PLANAR),
        lambda outer, *rest: (
            of_planar(law := toys.elliptic_ring(outer / 2, outer), *rest),
            law.area,
        ),
        floats(2),
        KEY,
        floats(8, 2),
        floats(8, 1),
    ),
    case(
        "toys.planar: uniform_square",
        lambda side, *rest: of_planar(toys.uniform_square(side=side), *rest),
        COUNT,
        KEY,
        floats(8, 2),
        floats(8, 1),
    ),
    case(
        "toys.gaussian_estimators: gaussian_mmse gaussian_posterior gaussian_dmax gaussian_interpolation "
        "gaussian_tradeoff gaussian_mse gaussian_conditional_mse gaussian_output_law gaussian_residual_law "
        "AffineEstimator.mean",
        of_gaussian,
        MEAN,
        COV,
        COUNT,
        floats(8, 2),
    ),
    case(
        "toys.gaussian_estimators: AffineEstimator.sample",
        lambda law, *rest: toys.gaussian_posterior(law).sample(*rest),
        jax.eval_shape(lambda: toys.denoising_gaussian(noise_std=1.0, dim=2)),
        KEY,
        floats(8, 2),
    ),
    case("toys.gaussian: joint_gaussian", functools.partial(toys.joint_gaussian, width=2), MEAN, COV),
    case(
        "toys.denoising: denoising_mmse denoising_dmax denoising_posterior mmse_conditional_mse "
        "dmax_conditional_mse posterior_conditional_mse mmse_residual_noise dmax_residual_noise "
        "posterior_residual_noise posterior_second_moment independent_conditional_mse",
        of_denoising,
        KEY,
        floats(8, 1),
        COUNT,
    ),
    case("toys.planar: uniform_disk", lambda r: toys.uniform_disk(radius=r), COUNT),
    case(
        "toys.dmax: planar_dmax interpolated",
        lambda key, y, alpha: toys.interpolated(toys.planar_dmax(toys.uniform_disk()), smooth2, alpha=alpha)(key, y),
        KEY,
        floats(8, 1),
        COUNT,
    ),
    case(
        "toys.dmax: monotone_dmax",
        lambda law, y: toys.monotone_dmax(law, y),
        jax.eval_shape(
            lambda: toys.linear_mixture(np.ones(2), np.array([[-1.0], [1.0]]), np.ones((2, 1, 1)), np.eye(1), np.eye(1))
        ),
        floats(8, 1),
    ),
    case(
        "toys.planar_estimators: disk_wave zigzag zigzag_transport zigzag_transport_cost zigzag_w2_bound",
        lambda x, y, f: (
            toys.zigzag_transport_cost(frequency=f),
            toys.zigzag_w2_bound(frequency=f),
            toys.disk_wave(y, alpha=0.5),
            toys.zigzag(y, frequency=3),
            toys.zigzag_transport(x, frequency=3),
        ),
        floats(8, 2),
        floats(8, 1),
        COUNT,
    ),
    case(
        "toys.planar_estimators: ring_avoiding ring_crossing",
        lambda law, y: (
            toys.ring_avoiding(law, y, alpha=0.5),
            toys.ring_crossing(law, y, alpha=0.5),
        ),
        jax.eval_shape(lambda: toys.elliptic_ring((0.5, 0.5), (1.0, 1.0))),
        floats(8, 1),
    ),
]


SELECTION = [
    case(
        "selection.farthest: farthest_points farthest_from_start farthest_in_distances",
        lambda k, f, d, i: (
            selection.farthest_points(k, f, count=3, subset=5),
            farthest_from_start(f, i, count=3),
            farthest_in_distances(d, i, count=3),
        ),
        KEY,
        POINTS,
        floats(8, 8),
        jax.ShapeDtypeStruct((), jnp.int32),
    ),
    case(
        "selection.hierarchy: hierarchy uniformization_hierarchy farthest_tree priority_tree",
        lambda k, f, p: (
            selection.hierarchy(k, f, count=3),
            selection.uniformization_hierarchy(k, f, count=3, k=2),
            farthest_tree(f, p, count=3),
            priority_tree(f, p, count=3),
        ),
        KEY,
        POINTS,
        VALUES,
    ),
    case(
        "selection.kmeans: kmeans_representatives kmeans_from_centroids nearest_to_centroids",
        lambda k, f, c: (
            selection.kmeans_representatives(k, f, count=3),
            kmeans_from_centroids(f, c, iterations=2, distinct=True),
            nearest_to_centroids(f, c, distinct=True),
        ),
        KEY,
        POINTS,
        floats(3, 4),
    ),
    case(
        "selection.uniformization: uniformization uniformization_from_gumbel uniformization_log_probabilities "
        "neighbour_distance",
        lambda k, f, r: (
            selection.uniformization(k, f, count=3, k=2, keep=0.9),
            uniformization_from_gumbel(f, r, count=3, k=2, keep=0.9),
            uniformization_log_probabilities(r, dim=4, keep=0.9),
            neighbour_distance(f, k=2),
        ),
        KEY,
        POINTS,
        VALUES,
    ),
    case("selection.inputs: squared_gaps", squared_gaps, POINTS, POINTS),
    case(
        "selection.distances: farthest_points_in_distances hierarchy_in_distances uniformization_in_distances "
        "uniformization_hierarchy_in_distances",
        lambda k, d: (
            selection.farthest_points_in_distances(k, d, count=3, subset=5),
            selection.hierarchy_in_distances(k, d, count=3),
            selection.uniformization_in_distances(k, d, count=3, k=2, keep=0.9),
            selection.uniformization_hierarchy_in_distances(k, d, count=3, k=2),
        ),
        KEY,
        floats(8, 8),
    ),
    case(
        "selection.kmedoids: kmedoids_representatives",
        lambda k, d: selection.kmedoids_representatives(k, d, count=3),
        KEY,
        floats(8, 8),
    ),
    case(
        "selection.components: principal_components PrincipalComponents.project",
        lambda f, g: (selection.principal_components(f).project(g), selection.principal_components(f.T)),
        POINTS,
        POINTS,
    ),
    case("selection.set_report: set_report", selection.set_report, floats(3, 3), floats(5, 3)),
]
CASES = NUMERICS + TOYS + SELECTION
