"""Cases of the sweep over JAX's modes: numerics, metrics, transport, uncertainty, selection. See `test_modes.py`.

A case is a function without arguments, under the public name that it calls; what follows a colon tells cases of one
name apart. Arrays that go in are float32.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr import metrics, numerics, selection, transport, uncertainty
from jaxpr.degradations import AverageDownsample
from jaxpr.weights import perceptual_network

KEY = jax.random.key(3)


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


X, Y = uniform(2, 12, 12, 3), uniform(2, 12, 12, 3, seed=1)
LARGE = uniform(1, 40, 40, 3, seed=2)
POINTS, OTHERS = uniform(24, 3), uniform(20, 3, seed=1) + np.float32(0.25)
MANY = uniform(300, 3, seed=4)  # more than one block of neighbours
SAMPLES = uniform(3, 2, 8, 8, 3, seed=5)
GROUPS = np.arange(24) % 4
COV = np.cov(uniform(40, 4, seed=6).T).astype(np.float32)
COV_B = np.cov(uniform(40, 4, seed=7).T).astype(np.float32)
MEAN, MEAN_B = uniform(4, seed=8), uniform(4, seed=9)


def on_device(*arrays):
    return [jnp.asarray(array) for array in arrays]


def moments(seed=0, width=4):
    return numerics.Moments.zero(width).update(uniform(40, width, seed=seed))


def joint_moments():
    x, y, restored = uniform(60, 2, seed=1), uniform(60, 2, seed=2), uniform(60, 2, seed=3)
    return [numerics.Moments.zero(4).update(metrics.joint_features(part, y)) for part in (x, restored)]


def merged():
    a, b = moments(0), moments(1)
    return a.merge(b).covariance


def traced_moments():
    return jax.jit(lambda p: numerics.Moments.zero(3).update(p).covariance)(jnp.asarray(POINTS))


def weighted_mean(values, weights):
    return jnp.sum(values * weights) / jnp.sum(weights)


NUMERICS = {
    "bootstrap": lambda: numerics.bootstrap(KEY, weighted_mean, uniform(24), draws=8, groups=GROUPS),
    "bures_term": lambda: numerics.bures_term(COV, COV_B),
    "bures_term: traced": lambda: jax.jit(numerics.bures_term)(*on_device(COV, COV_B)),
    "canonical_convolutions": lambda: numerics.canonical_convolutions(
        lambda x: jax.lax.conv_general_dilated(
            x, jnp.asarray(uniform(3, 3, 3, 2)), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )(jnp.asarray(X)),
    "conv": lambda: numerics.conv(*on_device(X, uniform(3, 3, 3, 2)), padding=((1, 1), (1, 1))),
    "count_balls": lambda: numerics.count_balls(
        POINTS, OTHERS, np.full(24, 0.05, np.float32), np.full(20, 0.05, np.float32)
    ),
    "example_norms": lambda: numerics.example_norms(jnp.asarray(X)),
    "example_norms: gradient at zero": lambda: jax.grad(lambda x: jnp.sum(numerics.example_norms(x)))(
        jnp.zeros((2, 3), jnp.float32)
    ),
    "fit_line": lambda: numerics.fit_line(np.arange(5.0), np.array([1.0, 2.1, 2.9, 4.2, 5.0])),
    "grouped_mean": lambda: numerics.grouped_mean(uniform(24), GROUPS),
    "grouped_mean: one value": lambda: numerics.grouped_mean(uniform(1)),
    "jackknife": lambda: numerics.jackknife(lambda groups: float(np.mean(groups)), [0.5, 1.0, 2.5]),
    "kernel_sums": lambda: numerics.kernel_sums(POINTS, OTHERS, uniform(24, 2), uniform(20, 2)),
    "kernel_sums: blocks": lambda: numerics.kernel_sums(POINTS, OTHERS, uniform(24, 2), uniform(20, 2), block=10),
    "Moments.covariance": traced_moments,
    "Moments.merge": merged,
    "Moments.update": moments,
    "Moments.zero": lambda: numerics.Moments.zero(3),
    "nearest_distances": lambda: numerics.nearest_distances(*on_device(POINTS, MANY), k=2, block=128),
    "nearest_distances: many": lambda: numerics.nearest_distances(*on_device(POINTS, MANY), k=20),
    "neighbour_radii": lambda: numerics.neighbour_radii(POINTS, k=2),
    "neighbour_radii: blocks": lambda: numerics.neighbour_radii(MANY, k=2, block=128),
    "neighbour_radii: sorted": lambda: numerics.neighbour_radii(POINTS, k=18),
    "project_l2": lambda: numerics.project_l2(jnp.asarray(X), radius=0.5),
    "project_l2: nothing": lambda: numerics.project_l2(jnp.zeros((2, 3), jnp.float32), radius=0.0),
    "project_linf": lambda: numerics.project_linf(jnp.asarray(X), radius=0.5),
    "psd_sqrt": lambda: numerics.psd_sqrt(COV),
    "psd_sqrt: traced": lambda: jax.jit(numerics.psd_sqrt)(jnp.asarray(COV)),
    "psd_sqrt: gradient": lambda: jax.grad(lambda c: jnp.sum(numerics.psd_sqrt(c)))(jnp.asarray(COV)),
    "resize": lambda: numerics.resize(X, (5, 7), kernel=numerics.CUBIC),
    "resize_matrix": lambda: numerics.resize_matrix(12, 5, kernel=numerics.LANCZOS3),
    "safe_sqrt": lambda: jax.value_and_grad(lambda x: jnp.sum(numerics.safe_sqrt(x)))(jnp.zeros(2, jnp.float32)),
    "sample_l2": lambda: numerics.sample_l2(KEY, jnp.asarray(X), radius=0.5),
    "sample_linf": lambda: numerics.sample_linf(KEY, jnp.asarray(X), radius=0.5),
    "squared_distances": lambda: numerics.squared_distances(*on_device(POINTS, OTHERS)),
}


def shares(*shape):
    drawn = uniform(*shape)
    return drawn / drawn.sum(axis=1, keepdims=True)


def lpips_network():
    return perceptual_network("alexnet")


def niqe_parameters():
    return metrics.packaged_niqe_parameters()


METRICS = {
    "conditional_frechet_distance": lambda: metrics.conditional_frechet_distance(*joint_moments(), width=2),
    "crop_border": lambda: metrics.crop_border(jnp.asarray(X), border=2),
    "density_coverage": lambda: metrics.density_coverage(POINTS, OTHERS, k=2),
    "extract_patches": lambda: metrics.extract_patches(jnp.asarray(X), size=5, stride=3),
    "fit_niqe": lambda: metrics.fit_niqe([uniform(768, 768, 3)], name="drawn", sharpness=0.0)[1:],
    "frechet_distance": lambda: metrics.frechet_distance(moments(0), moments(1)),
    "frechet_distance: traced": lambda: jax.jit(
        lambda a, b: metrics.frechet_distance(*(numerics.Moments.zero(3).update(p) for p in (a, b)))
    )(*on_device(POINTS, OTHERS)),
    "frechet_distance_from_features": lambda: metrics.frechet_distance_from_features(POINTS, OTHERS),
    "frechet_extrapolated": lambda: metrics.frechet_extrapolated(KEY, MANY, uniform(200, 3), points=4, smallest=0.4),
    "inception_score": lambda: metrics.inception_score(shares(20, 4), splits=2),
    "inception_score: one split": lambda: metrics.inception_score(np.eye(4, dtype=np.float32), splits=1),
    "joint_features": lambda: metrics.joint_features(*on_device(POINTS, POINTS)),
    "kernel_distance": lambda: metrics.kernel_distance(KEY, POINTS, OTHERS, subsets=3, subset_size=8),
    "kernel_distance: one subset": lambda: metrics.kernel_distance(KEY, POINTS, OTHERS, subsets=1, subset_size=20),
    "kernel_distance: traced": lambda: jax.jit(
        lambda a, b: metrics.kernel_distance(KEY, a, b, subsets=2, subset_size=8)[:3]
    )(*on_device(POINTS, OTHERS)),
    "kernel_distance_full": lambda: metrics.kernel_distance_full(POINTS, OTHERS),
    "kernel_distance_grouped": lambda: metrics.kernel_distance_grouped(POINTS, OTHERS, GROUPS, np.arange(20) % 4),
    "kernel_distance_grouped: one group": lambda: metrics.kernel_distance_grouped(
        POINTS, OTHERS, np.zeros(24, int), np.zeros(20, int)
    ),
    "kernel_distance_subsets": lambda: metrics.kernel_distance_subsets(
        MANY, MANY + np.float32(0.5), np.arange(8).reshape(2, 4), np.arange(8).reshape(2, 4)
    ),
    "lpips": lambda: metrics.lpips(*on_device(LARGE, LARGE[:, ::-1].copy()), network=lpips_network()),
    "lpips: gradient at equal images": lambda: jax.grad(
        lambda x: jnp.sum(metrics.lpips(x, jnp.asarray(LARGE), network=lpips_network()))
    )(jnp.asarray(LARGE)),
    "lpips_map": lambda: metrics.lpips_map(*on_device(LARGE, LARGE[:, ::-1].copy()), network=lpips_network()),
    "luma": lambda: metrics.luma(jnp.asarray(X)),
    "manifold_scores": lambda: metrics.manifold_scores(POINTS, OTHERS, k=2),
    "measurement_deviation": lambda: metrics.measurement_deviation(
        AverageDownsample((12, 12, 3), 2), *on_device(X, Y[:, ::2, ::2])
    ),
    "measurement_psnr": lambda: metrics.measurement_psnr(
        AverageDownsample((12, 12, 3), 2), *on_device(X, Y[:, ::2, ::2]), data_range=1.0
    ),
    "measurement_rmse": lambda: metrics.measurement_rmse(
        AverageDownsample((12, 12, 3), 2), *on_device(X, Y[:, ::2, ::2])
    ),
    "mse": lambda: metrics.mse(*on_device(X, Y)),
    "niqe": lambda: metrics.niqe(uniform(1, 192, 192, 3), parameters=niqe_parameters()),
    "niqe: flat image": lambda: metrics.niqe(np.full((1, 192, 192, 3), 0.5, np.float32), parameters=niqe_parameters()),
    "packaged_niqe_parameters": lambda: niqe_parameters()[1:],
    "first_component_kurtosis": lambda: metrics.first_component_kurtosis(jnp.asarray(SAMPLES)),
    "first_component_kurtosis: equal draws": lambda: metrics.first_component_kurtosis(jnp.ones((4, 2, 3, 3, 1))),
    "pairwise_diversity": lambda: metrics.pairwise_diversity(jnp.asarray(SAMPLES), metrics.rmse),
    "per_pixel_std": lambda: metrics.per_pixel_std(jnp.asarray(SAMPLES)),
    "per_pixel_std_map": lambda: metrics.per_pixel_std_map(jnp.asarray(SAMPLES)),
    "precision_recall": lambda: metrics.precision_recall(POINTS, OTHERS, k=2),
    "psnr": lambda: metrics.psnr(*on_device(X, Y), data_range=1.0),
    "psnr: equal": lambda: metrics.psnr(*on_device(X, X), data_range=1.0),
    "residual_noise": lambda: metrics.residual_noise(*on_device(LARGE, LARGE[:, ::-1].copy()), std=0.1),
    "residual_noise: no residual": lambda: metrics.residual_noise(*on_device(LARGE, LARGE), std=0.1),
    "rmse": lambda: metrics.rmse(*on_device(X, Y)),
    "ssim": lambda: metrics.ssim(*on_device(X, Y), data_range=1.0),
}

TRANSPORT = {
    "emd": lambda: transport.emd(POINTS, OTHERS, cost="l2"),
    "emd: weights": lambda: transport.emd(
        POINTS, OTHERS, cost="squared_l2", weights_x=np.full(24, 1 / 24), weights_y=np.full(20, 1 / 20)
    )[:2],
    "gaussian_map": lambda: transport.gaussian_map(COV, COV_B),
    "gaussian_map: traced": lambda: jax.jit(transport.gaussian_map)(*on_device(COV, COV_B)),
    "gaussian_w2": lambda: transport.gaussian_w2(MEAN, COV, MEAN_B, COV_B),
    "gaussian_w2: gradient": lambda: jax.grad(transport.gaussian_w2)(*on_device(MEAN, COV, MEAN_B, COV_B)),
    "joint_emd": lambda: transport.joint_emd((POINTS, POINTS), (POINTS[::-1].copy(), POINTS), cost="l2"),
    "sinkhorn_divergence": lambda: transport.sinkhorn_divergence(*on_device(POINTS, OTHERS), epsilon=0.1),
    "sinkhorn_divergence: gradient": lambda: jax.grad(
        lambda x: transport.sinkhorn_divergence(x, jnp.asarray(OTHERS), epsilon=0.2, cost="l2").value
    )(jnp.asarray(POINTS)),
    "sliced_wasserstein": lambda: transport.sliced_wasserstein(KEY, *on_device(POINTS, OTHERS), projections=5, p=2),
    "sliced_wasserstein: gradient at equal sets": lambda: jax.grad(
        lambda x: transport.sliced_wasserstein(KEY, x, jnp.asarray(POINTS), projections=5, p=2)
    )(jnp.asarray(POINTS)),
    "transport_points": lambda: transport.transport_points(
        KEY, uniform(5, 4), transport.gaussian_map(COV, COV_B), MEAN, MEAN_B, alpha=0.5
    ),
    "wasserstein_1d": lambda: transport.wasserstein_1d(*on_device(uniform(9), uniform(7, seed=1)), p=2),
    "wasserstein_1d: weights": lambda: transport.wasserstein_1d(
        *on_device(uniform(9), uniform(7, seed=1)), p=1, weights_x=shares(1, 9)[0], weights_y=shares(1, 7)[0]
    ),
}


def bounds():
    return uncertainty.uncertainty_bounds(np.float32(0.5), 3, inherent=np.float32(1.0), gaussian=np.float32(2.0))


UNCERTAINTY = {
    "conditional_gaussian": lambda: uncertainty.conditional_gaussian(MEAN, COV, width=2),
    "conditional_knn_entropy": lambda: uncertainty.conditional_knn_entropy(
        *on_device(uniform(40, 2), uniform(40, 2, seed=1)), k=3
    ),
    "conditional_renyi": lambda: uncertainty.conditional_renyi(*joint_moments(), width=2, order=0.5, noise_floor=1e-4),
    "entropy_power": lambda: uncertainty.entropy_power(jnp.asarray(uniform(3)), 4),
    "eta": lambda: uncertainty.eta(jnp.asarray([0.0, 0.5, np.inf], jnp.float32), 3),
    "gaussian_entropy": lambda: uncertainty.gaussian_entropy(COV),
    "gaussian_entropy: singular": lambda: uncertainty.gaussian_entropy(np.ones((2, 2), np.float32)),
    "gaussian_entropy: traced": lambda: jax.jit(uncertainty.gaussian_entropy)(jnp.asarray(COV)),
    "knn_entropy": lambda: uncertainty.knn_entropy(jnp.asarray(POINTS), k=2),
    "knn_entropy: traced": lambda: jax.jit(lambda p: uncertainty.knn_entropy(p, k=2))(jnp.asarray(POINTS)),
    "knn_entropy: copies": lambda: uncertainty.knn_entropy(jnp.asarray(np.repeat(POINTS[:3], 4, axis=0)), k=2),
    "local_blocks": lambda: uncertainty.local_blocks(
        jnp.asarray(uniform(2, 16, 16, 3)), jnp.asarray(uniform(2, 8, 8, 3)), block=4, context=1, stride=2
    ),
    "plane_point": lambda: uncertainty.plane_point(moments(0, width=5), width=2, noise_floor=1e-4),
    "region": lambda: str(uncertainty.region(1.5, bounds())),
    "renyi_gaussian": lambda: uncertainty.renyi_gaussian(MEAN, COV, MEAN_B, COV_B, order=0.5),
    "renyi_gaussian: traced": lambda: jax.jit(functools.partial(uncertainty.renyi_gaussian, order=0.5))(
        *on_device(MEAN, COV, MEAN_B, COV_B)
    ),
    "uncertainty_bounds": bounds,
}


def tree():
    return selection.farthest_tree(POINTS, uniform(24, seed=3), count=6)


TABLE = np.abs(uniform(24, 24, seed=4) + uniform(24, 24, seed=4).T) * (1 - np.eye(24, dtype=np.float32))
SELECTION = {
    "children": lambda: selection.children(tree(), 0),
    "farthest_from_start": lambda: selection.farthest_from_start(POINTS, 3, count=5),
    "farthest_in_distances": lambda: selection.farthest_in_distances(
        numerics.squared_distances(*on_device(POINTS, POINTS)), 3, count=5
    ),
    "farthest_points": lambda: selection.farthest_points(KEY, POINTS, count=4, subset=12),
    "farthest_points_in_distances": lambda: selection.farthest_points_in_distances(KEY, TABLE, count=4, subset=12),
    "farthest_tree": tree,
    "hierarchy": lambda: selection.hierarchy(KEY, POINTS, count=6),
    "hierarchy_in_distances": lambda: selection.hierarchy_in_distances(KEY, TABLE, count=6),
    "kmeans_from_centroids": lambda: selection.kmeans_from_centroids(POINTS, POINTS[:3]),
    "kmeans_representatives": lambda: selection.kmeans_representatives(KEY, POINTS, count=3, restarts=2),
    "kmeans_representatives: one": lambda: selection.kmeans_representatives(KEY, POINTS, count=1, restarts=1),
    "kmedoids_representatives": lambda: selection.kmedoids_representatives(KEY, TABLE, count=3, restarts=2),
    "nearest_to_centroids": lambda: selection.nearest_to_centroids(POINTS, POINTS[:3], distinct=True),
    "neighbour_distance": lambda: selection.neighbour_distance(POINTS, k=3),
    "overlapping_tree": lambda: selection.overlapping_tree(TABLE, uniform(24, seed=3), count=4, factor=1.0),
    "principal_components": lambda: selection.principal_components(POINTS, count=2).features,
    "PrincipalComponents: project": lambda: selection.principal_components(POINTS, count=2).project(POINTS[:3]),
    "principal_components: wide": lambda: selection.principal_components(POINTS[:3], count=25).features,
    "priority_tree": lambda: selection.priority_tree(POINTS, uniform(24, seed=3), count=6),
    "set_report": lambda: selection.set_report(TABLE[:4, :4], TABLE[4:, :4])[:2],
    "to_newick": lambda: selection.to_newick(tree()),
    "uniformization": lambda: selection.uniformization(KEY, POINTS, count=4, k=3, keep=0.8),
    "uniformization_from_gumbel": lambda: selection.uniformization_from_gumbel(
        POINTS, uniform(24, seed=3), count=4, k=3, keep=0.8
    ),
    "uniformization_from_gumbel: copies": lambda: (
        selection.uniformization_from_gumbel(
            np.repeat(POINTS[:4], 6, axis=0), uniform(24, seed=3), count=2, k=3, keep=0.8
        ).indices
    ),
    "uniformization_hierarchy": lambda: selection.uniformization_hierarchy(KEY, POINTS, count=4, k=3),
    "uniformization_hierarchy_in_distances": lambda: selection.uniformization_hierarchy_in_distances(
        KEY, TABLE, count=4, k=3
    ),
    "uniformization_in_distances": lambda: selection.uniformization_in_distances(KEY, TABLE, count=4, k=3, keep=0.8),
    "uniformization_log_probabilities": lambda: selection.uniformization_log_probabilities(
        uniform(24, seed=3), dim=3, keep=0.8
    ),
}
MEASURES = {
    "numerics": NUMERICS,
    "metrics": METRICS,
    "transport": TRANSPORT,
    "uncertainty": UNCERTAINTY,
    "selection": SELECTION,
}
