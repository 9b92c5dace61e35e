"""Programs to be lowered for accelerators: degradations, attacks, metrics, transport, uncertainty, selection."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from lowering_cases import (
    COUNT,
    COV,
    IMAGES,
    INDICES,
    KEY,
    MEAN,
    MOMENTS,
    POINTS,
    VALUES,
    Case,
    case,
    classify,
    floats,
    gradient,
    keys,
    noisy,
    smooth,
)

from jaxpr import attacks, degradations, metrics, restorers, transport, uncertainty, weights
from jaxpr.degradations.degradation import parse_degradation
from jaxpr.restorers.latent_transport_patches import move_latents
from jaxpr.restorers.patches import PatchGrid

SHAPE, OUTPUTS = (16, 16, 3), floats(3, 2, 16, 16, 3)
OPERATORS = {
    "blur.Blur": lambda: degradations.Blur(SHAPE, degradations.gaussian_kernel(1.0)),
    "pixelwise.Grayscale": lambda: degradations.Grayscale(SHAPE),
    "pixelwise.Identity": lambda: degradations.Identity(SHAPE),
    "pixelwise.Inpainting": lambda: degradations.Inpainting(np.eye(16)),
    "separable.Separable": lambda: degradations.BicubicDownsample(SHAPE, 4),
}


def of_operator(operator: Any, x: jax.Array) -> tuple[Any, ...]:
    y, svd = operator(x), operator.svd()
    there = svd.u(svd.ut(y)), svd.v(svd.vt(x)), svd.singular_values
    return y, operator.adjoint(y), operator.pinv(y), operator.project(x, y), there


def operator_names(name: str) -> str:
    found = f"degradations.{name}: adjoint pinv svd"
    return found + " project" if name.endswith("Inpainting") else found


def transport_of_pixels() -> restorers.LatentTransport:
    """Fitted on noise."""
    images = np.random.default_rng(0).random((2, 2, 8, 8, 3), np.float32)
    return restorers.fit_transport(*images, encoder=restorers.pixel_encoder())


DEGRADATIONS = [
    *(case(operator_names(name), lambda x, m=make: of_operator(m(), x), IMAGES) for name, make in OPERATORS.items()),
    case(
        "degradations.linear.LinearOperator: project",
        lambda x: of_operator(degradations.AverageDownsample(SHAPE, 2), x),
        IMAGES,
    ),
    case(
        "degradations.noise: gaussian_noise",
        lambda k, x, s: degradations.gaussian_noise(k, x, std=s),
        KEY,
        IMAGES,
        COUNT,
    ),
    case("degradations.blind_face: blind_face_surrogate", degradations.blind_face_surrogate, keys(2), IMAGES),
    case("degradations.jpeg: jpeg_surrogate", functools.partial(degradations.jpeg_surrogate, quality=50), IMAGES),
    case(
        "degradations.degradation.Degradation: operator",
        lambda k, x: parse_degradation("bicubic-x4+noise-0.1")(k, x),
        keys(2),
        IMAGES,
    ),
]
ATTACKS = [
    case(
        "attacks.ifgsm: ifgsm",
        lambda k, y, a: attacks.ifgsm(k, attacks.output_shift(smooth, y), y, alpha=a, steps=2, bounds=(0.0, 1.0)),
        keys(2),
        IMAGES,
        COUNT,
    ),
    case(
        "attacks.apgd: apgd",
        lambda k, y, a: attacks.apgd(
            k, attacks.output_shift(smooth, y), y, alpha=a, steps=2, bounds=(0.0, 1.0), rounds=2
        ),
        keys(2),
        IMAGES,
        COUNT,
    ),
    case(
        "attacks.objectives: output_shift expected_output_shift class_log_probability farthest_from negated",
        lambda k, y, label: (
            attacks.output_shift(smooth, y)(2 * y),
            attacks.expected_output_shift(k, noisy, y, draws=2)(2 * y),
            gradient(attacks.class_log_probability(smooth, classify, label))(y),
            attacks.negated(attacks.farthest_from(smooth, jnp.stack([y, 2 * y])))(y),
        ),
        KEY,
        IMAGES,
        jax.ShapeDtypeStruct((2,), jnp.int32),
    ),
    case(
        "attacks.l2_adam: l2_adam",
        lambda k, y, e: attacks.l2_adam(
            k, attacks.output_shift(smooth, y), y, epsilon=e, steps=2, learning_rate=1.0, bounds=(0.0, 1.0)
        ),
        keys(2),
        IMAGES,
        COUNT,
    ),
    case(
        "attacks.sweep: attack_sweep",
        lambda k, y, a: attacks.attack_sweep(k, smooth, y, alphas=a, steps=2, bounds=None),
        keys(2),
        IMAGES,
        floats(3),
    ),
    case("attacks.gradients: gradient_status", lambda k, y: attacks.gradient_status(k, smooth, y), KEY, IMAGES),
    case(
        "attacks.lipschitz: lipschitz_ratio local_lipschitz shift_ratio",
        lambda k, y, z: (
            attacks.lipschitz_ratio(smooth, y, z),
            attacks.local_lipschitz(k, smooth, y, iterations=2),
            attacks.shift_ratio(y, z, z, y),
        ),
        KEY,
        IMAGES,
        IMAGES,
    ),
    case(
        "attacks.explore: explore_posterior range_maps range_coverage",
        lambda k, y, z: (
            attacks.explore_posterior(k, smooth, y, samples=2, alpha=0.1, steps=2, bounds=None),
            attacks.range_coverage(z, y),
            attacks.range_maps(z),
        ),
        KEY,
        IMAGES,
        OUTPUTS,
    ),
    case(
        "attacks.budget: input_psnr alpha_psnr",
        lambda y, z, a: (attacks.input_psnr(y, z, data_range=1.0), attacks.alpha_psnr(a, data_range=1.0)),
        IMAGES,
        IMAGES,
        COUNT,
    ),
]
GRID = PatchGrid(factor=2, core=2, margin=1, stride=1)
ENTRIES = 3 * GRID.context**2
ESTIMATORS = [
    case(
        "restorers.upscaling: nearest bicubic lanczos",
        lambda y: (
            restorers.nearest(y, factor=2),
            restorers.bicubic(y, factor=2),
            restorers.lanczos(y, factor=2),
        ),
        IMAGES,
    ),
    case("restorers.nlm: nlm", lambda y, h: restorers.nlm(y, h=h, patch=3, window=5), IMAGES, COUNT),
    case(
        "restorers.tiled: tiled",
        lambda y: restorers.tiled(smooth, tile=8, overlap=2, scale=1)(y),
        IMAGES,
    ),
    case("restorers.ranges: in_range", lambda y: restorers.in_range(smooth, -1, 1)(y), IMAGES),
    case(
        "restorers.consistent: consistent",
        lambda y: restorers.consistent(functools.partial(restorers.nearest, factor=4), parse_degradation("bicubic-x4"))(
            y
        ),
        floats(2, 4, 4, 3),
    ),
    case(
        "restorers.latent_transport_moments: patch_moments",
        functools.partial(restorers.patch_moments, patch=3),
        floats(2, 8, 9, 2),
    ),
    case(
        "restorers.latent_transport_patches: move_latents",
        lambda k, *given: gradient(lambda z, moves: move_latents(k, z, moves, patch=3))(*given),
        keys(2),
        floats(2, 8, 9, 2),
        restorers.PatchMap(floats(18, 18), floats(18), floats(18, 4)),
    ),
    Case(
        ("restorers.latent_transport.latent_transport",),
        lambda: (gradient(restorers.latent_transport(smooth, transport_of_pixels())), IMAGES),
    ),
    Case(
        ("restorers.autoencoded.autoencoded",),
        lambda: (gradient(restorers.autoencoded(smooth, transport_of_pixels().encoder)), IMAGES),
    ),
    case(
        "restorers.lmmse: lmmse",
        functools.partial(restorers.lmmse, grid=GRID),
        restorers.Lmmse(floats(ENTRIES, 3 * 16), floats(3 * 16)),
        floats(2, 8, 8, 3),
    ),
    case(
        "restorers.patches.PatchGrid: contexts assemble",
        lambda y, p: (GRID.contexts(y), GRID.assemble(p, (8, 8))),
        floats(2, 8, 8, 3),
        jax.eval_shape(lambda y: GRID.contexts(y)[..., : 3 * 16], floats(2, 8, 8, 3)),
    ),
    case(
        "restorers.exemplar: exemplar",
        lambda c, d, y, t: restorers.exemplar(_exemplars(c, d), y, grid=GRID, temperature=t),
        floats(5, ENTRIES),
        floats(5, 3 * 16),
        floats(2, 8, 8, 3),
        COUNT,
    ),
]


def _exemplars(contexts: jax.Array, details: jax.Array) -> Any:
    return restorers.Exemplars(contexts, details)


def noise_of(x: jax.Array, y: jax.Array) -> Any:
    return metrics.residual_noise(x, y, std=0.1)


METRICS = [
    case(
        "metrics.distortion: mse rmse psnr ssim",
        lambda x, y: (
            gradient(metrics.mse)(x, y),
            metrics.rmse(x, y),
            metrics.psnr(x, y, data_range=1.0),
            gradient(functools.partial(metrics.ssim, data_range=1.0))(x, y),
        ),
        IMAGES,
        IMAGES,
    ),
    case(
        "metrics.consistency: measurement_deviation measurement_psnr measurement_rmse residual_noise",
        lambda x, y: (
            metrics.measurement_deviation(smooth, x, y),
            metrics.measurement_psnr(smooth, x, y, data_range=1.0),
            metrics.measurement_rmse(smooth, x, y),
            noise_of(x, y),
        ),
        IMAGES,
        IMAGES,
    ),
    case("metrics.protocol: crop_border luma", lambda x: metrics.luma(metrics.crop_border(x, border=2)), IMAGES),
    case(
        "metrics.diversity: first_component_kurtosis pairwise_diversity per_pixel_std per_pixel_std_map",
        lambda s: (
            metrics.first_component_kurtosis(s),
            metrics.pairwise_diversity(s, metrics.mse),
            metrics.per_pixel_std(s),
            metrics.per_pixel_std_map(s),
        ),
        OUTPUTS,
    ),
    case(
        "metrics.joint: extract_patches joint_features",
        lambda x, a: (metrics.extract_patches(x, size=5, stride=3), metrics.joint_features(a, a)),
        IMAGES,
        POINTS,
    ),
    case("metrics.frechet: frechet_distance", gradient(metrics.frechet_distance), MOMENTS, MOMENTS),
    case("metrics.frechet: frechet_distance_from_features", metrics.frechet_distance_from_features, POINTS, POINTS),
    case(
        "metrics.conditional: conditional_frechet_distance",
        functools.partial(metrics.conditional_frechet_distance, width=2),
        MOMENTS,
        MOMENTS,
    ),
    case("metrics.inception: inception_score", functools.partial(metrics.inception_score, splits=2), POINTS),
    case(
        "metrics.kernel: kernel_distance",
        functools.partial(metrics.kernel_distance, subsets=2, subset_size=3),
        KEY,
        POINTS,
        POINTS,
    ),
    case("metrics.kernel: kernel_distance_full", metrics.kernel_distance_full, POINTS, POINTS),
    case("metrics.kernel: kernel_distance_subsets", metrics.kernel_distance_subsets, POINTS, POINTS, INDICES, INDICES),
    case(
        "metrics.manifold: manifold_scores precision_recall density_coverage",
        lambda a, b: (
            metrics.manifold_scores(a, b, k=2),
            metrics.precision_recall(a, b, k=2),
            metrics.density_coverage(a, b, k=2),
        ),
        POINTS,
        POINTS,
    ),
    case(
        "metrics.perceptual: lpips lpips_map",
        lambda x, y: (
            gradient(functools.partial(metrics.lpips, network=weights.perceptual_network("alexnet")))(x, y),
            metrics.lpips_map(x, y, network=weights.perceptual_network("alexnet")),
        ),
        floats(1, 32, 32, 3),
        floats(1, 32, 32, 3),
    ),
]
TRANSPORT = [
    case("transport.gaussian: gaussian_w2", gradient(transport.gaussian_w2), MEAN, COV, MEAN, COV),
    case("transport.gaussian: gaussian_map", gradient(transport.gaussian_map), COV, COV),
    case(
        "transport.gaussian: transport_points",
        lambda k, x, m, n, a: transport.transport_points(k, x, transport.GaussianMap(m, m), n, n, alpha=a),
        KEY,
        POINTS,
        COV,
        MEAN,
        COUNT,
    ),
    case(
        "transport.sinkhorn: sinkhorn_divergence",
        lambda x, y: transport.sinkhorn_divergence(x, y, epsilon=0.1),
        POINTS,
        POINTS,
    ),
    case(
        "transport.sliced: wasserstein_1d sliced_wasserstein",
        lambda k, x, y, u, v: (
            transport.wasserstein_1d(u, v, p=2, weights_x=u, weights_y=v),
            transport.sliced_wasserstein(k, x, y, projections=3, p=2),
        ),
        KEY,
        POINTS,
        POINTS,
        VALUES,
        VALUES,
    ),
]
UNCERTAINTY = [
    case(
        "uncertainty.entropy: gaussian_entropy",
        lambda c: (uncertainty.gaussian_entropy(c), gradient(uncertainty.gaussian_entropy)(c)),
        COV,
    ),
    case("uncertainty.entropy: entropy_power", functools.partial(uncertainty.entropy_power, dim=4), VALUES),
    case("uncertainty.entropy: knn_entropy", functools.partial(uncertainty.knn_entropy, k=2), POINTS),
    case(
        "uncertainty.divergence: renyi_gaussian",
        lambda *given: tuple(
            gradient(functools.partial(uncertainty.renyi_gaussian, order=o))(*given) for o in (0.5, 1)
        ),
        MEAN,
        COV,
        MEAN,
        COV,
    ),
    case(
        "uncertainty.conditional: conditional_gaussian",
        functools.partial(uncertainty.conditional_gaussian, width=2),
        MEAN,
        COV,
    ),
    case(
        "uncertainty.conditional: conditional_renyi",
        functools.partial(uncertainty.conditional_renyi, width=2, order=0.5, noise_floor=0.1),
        MOMENTS,
        MOMENTS,
    ),
    case(
        "uncertainty.bounds: eta uncertainty_bounds",
        lambda p, a: (uncertainty.eta(p, 4), uncertainty.uncertainty_bounds(p, 4, inherent=a, gaussian=2 * a)),
        VALUES,
        VALUES,
    ),
    case(
        "uncertainty.blocks: local_blocks",
        functools.partial(uncertainty.local_blocks, block=2, context=1, stride=2),
        IMAGES,
        floats(2, 8, 8, 3),
    ),
]
CASES = DEGRADATIONS + ATTACKS + ESTIMATORS + METRICS + TRANSPORT + UNCERTAINTY
