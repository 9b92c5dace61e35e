"""Cases of the sweep over JAX's modes: laws, degradations, estimators, attacks. See `modes_measures.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from modes_measures import COV, KEY, MEAN, X, Y, on_device, uniform
from modes_samplers import DIFFUSION, SAMPLERS

from jaxpr import attacks, degradations, restorers, toys

SMALL = X[:, :8, :8]
LINE, PLANE, SHARE = uniform(5, 1, seed=1), uniform(5, 2, seed=2), np.float32(0.5)
EYE = np.eye(2, dtype=np.float32)


def law():
    return toys.joint_gaussian(MEAN, COV, width=2)


def singular():
    return toys.normal(np.zeros(2, np.float32), np.ones((2, 2), np.float32))


def mixture():
    return toys.planar_mixture(noise_std=0.5)


def narrow():
    """A mixture whose measurement is a number."""
    weights, means = np.array([0.5, 0.5], np.float32), uniform(2, 1)
    covs, one = np.ones((2, 1, 1), np.float32), np.ones((1, 1), np.float32)
    return toys.linear_mixture(weights, means, covs, one, one)


def ring():
    return toys.elliptic_ring(np.float32([0.6, 0.5]), np.float32([1.2, 1.0]))


def everything(made, dim_y: int):
    """All methods of a law."""

    def run():
        found, x, y = made(), jnp.asarray(PLANE), jnp.asarray(uniform(5, dim_y, seed=3))
        methods = {
            name: getattr(found, name)
            for name in dir(found)
            if not name.startswith("_") and callable(getattr(found, name)) and name not in ("index", "count", "sample")
        }
        one = ("contains", "log_density_x", "score_x")
        other = ("slices", "log_density_y", "score_y", "posterior_weights", "posterior_mean", "posterior_covariance")
        results = [found.sample(KEY, 4)]
        for name, method in methods.items():
            if name == "posterior_sample":
                results.append(method(KEY, y))
            elif name == "matched_gaussian":
                results.append(method())
            else:
                results.append(method(x) if name in one else method(y) if name in other else method(x, y))
        return results

    return run


DISTRIBUTIONS = {
    "denoising_gaussian": lambda: toys.denoising_gaussian(noise_std=0.5, dim=2).sample(KEY, 3),
    "elliptic_ring": ring,
    "imbalanced_mixture": lambda: toys.imbalanced_mixture(noise_std=0.5).sample(KEY, 3),
    "joint_gaussian": law,
    "linear_gaussian": lambda: toys.linear_gaussian(MEAN[:2], COV[:2, :2], EYE, EYE),
    "linear_mixture": lambda: narrow().sample(KEY, 3),
    "normal": lambda: toys.normal(MEAN, COV),
    "planar_mixture": mixture,
    "uniform_disk": lambda: toys.uniform_disk(radius=2.0).sample(KEY, 4),
    "uniform_square": lambda: toys.uniform_square(side=2.0),
    "EllipticRing": everything(ring, 1),
    "JointGaussian": everything(law, 2),
    "JointMixture": everything(mixture, 2),
    "Normal": lambda: [
        (n.sample(KEY, 3), n.log_density(jnp.asarray(PLANE)), n.score(jnp.asarray(PLANE)))
        for n in (toys.normal(MEAN[:2], COV[:2, :2]), singular())
    ],
    "UniformSquare": everything(toys.uniform_square, 1),
    "JointGaussian: singular": lambda: toys.linear_gaussian(
        np.zeros(2, np.float32), np.ones((2, 2), np.float32), EYE, 0 * EYE
    ).log_density(*on_device(PLANE, PLANE)),
}


def operated(make):
    """All that an operator does."""

    def run():
        operator, x = make(), jnp.asarray(SMALL)
        y, svd = operator(x), operator.svd()
        spectrum = svd.vt(x)
        return y, operator.adjoint(y), operator.pinv(y), operator.project(x, y), svd.v(spectrum), svd.singular_values

    return run


def parsed(spec: str):
    return degradations.parse_degradation(spec)(KEY, jnp.asarray(SMALL))


DEGRADATIONS = {
    "AverageDownsample": operated(lambda: degradations.AverageDownsample((8, 8, 3), 2)),
    "BicubicDownsample": operated(lambda: degradations.BicubicDownsample((8, 8, 3), 2)),
    "Blur": operated(lambda: degradations.Blur((8, 8, 3), degradations.gaussian_kernel(1.0, size=5))),
    "Degradation": lambda: parsed("average-x2+noise-0.1"),
    "Grayscale": operated(lambda: degradations.Grayscale((8, 8, 3))),
    "Identity": operated(lambda: degradations.Identity((8, 8, 3))),
    "Inpainting": operated(lambda: degradations.Inpainting(np.eye(8))),
    "as_degradation": lambda: degradations.as_degradation("average-x2")(KEY, jnp.asarray(SMALL)),
    "blind_face": lambda: degradations.blind_face(KEY, jnp.asarray(SMALL)),
    "blind_face_surrogate": lambda: degradations.blind_face_surrogate(KEY, jnp.asarray(SMALL)),
    "gaussian_kernel": lambda: degradations.gaussian_kernel(1.0),
    "gaussian_noise": lambda: degradations.gaussian_noise(KEY, SMALL, std=0.1),
    "jpeg": lambda: degradations.jpeg(jnp.asarray(SMALL), quality=60),
    "jpeg_surrogate": lambda: degradations.jpeg_surrogate(jnp.asarray(SMALL), quality=60),
    "parse_degradation": lambda: parsed("noise-0.1"),
    "real_world": lambda: degradations.real_world(
        KEY, jnp.asarray(uniform(1, 32, 32, 3)), factor=2, ranges=degradations.RealWorldRanges(jpeg_quality=None)
    ),
    "real_world: JPEG": lambda: degradations.real_world(KEY, jnp.asarray(uniform(1, 32, 32, 3)), factor=2),
}

GRID = restorers.PatchGrid(factor=2, core=2, margin=1, stride=2)
PAIRS = [(uniform(16, 16, 3, seed=4), uniform(8, 8, 3, seed=5))]
twice = functools.partial(restorers.nearest, factor=2)


def training():
    degradation = degradations.parse_degradation("average-x2")
    return restorers.Training(lambda: [uniform(32, 32, 3)], degradation, degradation, 3, 20, KEY)


def built():
    specs = ("bicubic", "lmmse", "exemplar:0.1")
    return [restorer(jnp.asarray(SMALL)) for restorer in restorers.build_restorers(specs, training()).values()]


def trained():
    return restorers.trained_restorer("digits-average-x2-deterministic-l1-0")(jnp.asarray(uniform(1, 4, 4, 1)))


def transported():
    """Of a grey source, so that there is noise."""
    images = [uniform(3, 9, 8, 3, seed=seed) for seed in (6, 7)]
    grey = images[0][..., :1].repeat(3, axis=-1)
    encoder = restorers.plain_encoder(jnp.sinh, jnp.arcsinh, name="sinh")
    fitted = restorers.fit_transport(grey, images[1], encoder=encoder, patch=1)
    pixels = restorers.fit_transport(*images, encoder=restorers.pixel_encoder(), patch=3)
    quiet = restorers.latent_transport(twice, pixels, alpha=0.5)
    return quiet(jnp.asarray(SMALL)), restorers.latent_transport(twice, fitted, alpha=2)(KEY, jnp.asarray(SMALL))


def drawn_estimators():
    affine = toys.gaussian_posterior(law())
    return affine.mean(jnp.asarray(PLANE)), affine.sample(KEY, jnp.asarray(PLANE))


ESTIMATORS = {
    "AffineEstimator": drawn_estimators,
    "Restorer": lambda: restorers.Restorer(lambda gain, key, y: gain * y, 2.0)(jnp.asarray(SMALL)),
    "PatchGrid": lambda: GRID.assemble(jnp.asarray(GRID.contexts(SMALL))[..., :48], (8, 8)),
    "autoencoded": lambda: restorers.autoencoded(
        twice, restorers.plain_encoder(jnp.sinh, jnp.arcsinh, name="sinh", multiple=3)
    )(jnp.asarray(SMALL)),
    "bicubic": lambda: restorers.bicubic(jnp.asarray(SMALL), factor=2),
    "build_restorers": built,
    "consistent": lambda: restorers.consistent(twice, degradations.parse_degradation("bicubic-x2"))(jnp.asarray(SMALL)),
    "denoising_dmax": lambda: toys.denoising_dmax(jnp.asarray(LINE), noise_std=1.0),
    "denoising_mmse": lambda: toys.denoising_mmse(jnp.asarray(LINE), noise_std=1.0),
    "denoising_posterior": lambda: toys.denoising_posterior(KEY, jnp.asarray(LINE), noise_std=1.0),
    "disk_wave": lambda: toys.disk_wave(jnp.asarray(LINE), alpha=8.0),
    "dmax_conditional_mse": lambda: toys.dmax_conditional_mse(jnp.asarray(LINE), noise_std=1.0),
    "dmax_residual_noise": lambda: toys.dmax_residual_noise(noise_std=1.0),
    "exemplar": lambda: restorers.exemplar(
        restorers.fit_exemplars(KEY, PAIRS, grid=GRID, count=12), jnp.asarray(SMALL), grid=GRID, temperature=0.1
    ),
    "fit_exemplars": lambda: restorers.fit_exemplars(KEY, PAIRS, grid=GRID, count=12),
    "fit_lmmse": lambda: restorers.fit_lmmse(PAIRS, grid=GRID),
    "gaussian_conditional_mse": lambda: toys.gaussian_conditional_mse(
        law(), toys.gaussian_mmse(law()), jnp.asarray(PLANE)
    ),
    "gaussian_dmax": lambda: toys.gaussian_dmax(law()),
    "gaussian_interpolation": lambda: toys.gaussian_interpolation(law(), alpha=0.5),
    "gaussian_mmse": lambda: toys.gaussian_mmse(law()),
    "gaussian_mse": lambda: toys.gaussian_mse(law(), toys.gaussian_posterior(law())),
    "gaussian_output_law": lambda: toys.gaussian_output_law(law(), toys.gaussian_mmse(law())).gain,
    "gaussian_posterior": lambda: toys.gaussian_posterior(law()),
    "gaussian_residual_law": lambda: toys.gaussian_residual_law(law(), toys.gaussian_posterior(law()), EYE).gain,
    "gaussian_tradeoff": lambda: toys.gaussian_tradeoff(law(), alpha=0.5),
    "independent_conditional_mse": lambda: toys.independent_conditional_mse(*on_device(LINE, LINE, LINE, LINE)),
    "in_range": lambda: restorers.in_range(twice, -1, 1)(jnp.asarray(SMALL)),
    "interpolated": lambda: toys.interpolated(toys.planar_dmax(ring()), ring().posterior_mean, alpha=0.5)(
        KEY, jnp.asarray(LINE)
    ),
    "lanczos": lambda: restorers.lanczos(jnp.asarray(SMALL), factor=3),
    "latent_transport": transported,
    "patch_moments": lambda: restorers.patch_moments(jnp.asarray(SMALL), patch=3),
    "lmmse": lambda: restorers.lmmse(restorers.fit_lmmse(PAIRS, grid=GRID), jnp.asarray(SMALL), grid=GRID),
    "mmse_conditional_mse": lambda: toys.mmse_conditional_mse(noise_std=1.0),
    "mmse_residual_noise": lambda: toys.mmse_residual_noise(noise_std=1.0),
    "monotone_dmax": lambda: toys.monotone_dmax(narrow(), jnp.asarray(LINE)),
    "nearest": lambda: twice(jnp.asarray(SMALL)),
    "nlm": lambda: restorers.nlm(jnp.asarray(SMALL), h=0.1, window=3, patch=3),
    "nlm: window of one pixel": lambda: restorers.nlm(jnp.asarray(SMALL), h=0.1, window=1, patch=3),
    "planar_dmax": lambda: toys.planar_dmax(ring())(KEY, jnp.asarray(LINE)),
    "posterior_conditional_mse": lambda: toys.posterior_conditional_mse(noise_std=1.0),
    "posterior_residual_noise": lambda: toys.posterior_residual_noise(noise_std=1.0),
    "posterior_second_moment": lambda: toys.posterior_second_moment(jnp.asarray(LINE), noise_std=1.0),
    "ring_avoiding": lambda: toys.ring_avoiding(ring(), jnp.asarray(LINE), alpha=8.0),
    "ring_crossing": lambda: toys.ring_crossing(ring(), jnp.asarray(LINE), alpha=8.0),
    "tiled": lambda: restorers.tiled(twice, tile=4, overlap=2, scale=2, feather=1)(jnp.asarray(SMALL)),
    "trained_restorer": trained,
    "zigzag": lambda: toys.zigzag(jnp.asarray(LINE), frequency=3),
    "zigzag_transport": lambda: toys.zigzag_transport(jnp.asarray(PLANE), frequency=3),
    "zigzag_transport_cost": lambda: toys.zigzag_transport_cost(frequency=3),
    "zigzag_w2_bound": lambda: toys.zigzag_w2_bound(frequency=3),
}


def squared(y):
    return y * y


def constant(y):
    return 0 * y


def sampler(key, y):
    return y * y + 0.1 * jax.random.normal(key, y.shape, y.dtype)


def blunt(make, estimator=squared):
    """I-FGSM on an objective; few steps, so that no sign hangs on a rounding."""
    y = jnp.asarray(SMALL)
    return attacks.ifgsm(KEY, make(estimator, y), y, alpha=0.1, steps=2, bounds=(0.0, 1.0))


def adam(estimator=squared, **options):
    y = jnp.asarray(SMALL)
    options = {"epsilon": 0.5, "learning_rate": 1.0, **options}
    return attacks.l2_adam(KEY, attacks.output_shift(estimator, y), y, steps=2, bounds=(0.0, 1.0), **options)


def auto(estimator=squared, rounds=1):
    y = jnp.asarray(SMALL)
    objective = attacks.output_shift(estimator, y)
    return attacks.apgd(KEY, objective, y, alpha=0.1, steps=2, bounds=(0.0, 1.0), rounds=rounds)


def sweep(estimator=squared):
    alphas = np.float32([0.0, 0.1])
    return attacks.attack_sweep(KEY, estimator, jnp.asarray(SMALL), alphas=alphas, steps=2, bounds=(0.0, 1.0))


def explored(samples=3, estimator=squared):
    y = jnp.asarray(SMALL)
    return attacks.explore_posterior(KEY, estimator, y, samples=samples, alpha=0.1, steps=2, bounds=(0.0, 1.0))


def probabilities(x):
    return jnp.mean(x, axis=(1, 2))


ATTACKS = {
    "alpha_psnr": lambda: attacks.alpha_psnr(0.1, data_range=1.0),
    "apgd": auto,
    "apgd: constant": lambda: auto(constant),
    "apgd: two rounds": lambda: auto(rounds=2),
    "attack_sweep": sweep,
    "attack_sweep: constant": lambda: sweep(constant),
    "class_log_probability": lambda: blunt(lambda f, y: attacks.class_log_probability(f, probabilities, 1)),
    "classify_gradient": lambda: [
        str(attacks.classify_gradient(KEY, f, jnp.asarray(SMALL))) for f in (squared, constant, np.asarray)
    ],
    "epsilon_for_psnr": lambda: attacks.epsilon_for_psnr(30.0, (8, 8, 3), data_range=1.0),
    "expected_output_shift": lambda: blunt(lambda f, y: attacks.expected_output_shift(KEY, sampler, y, draws=2)),
    "explore_posterior": explored,
    "explore_posterior: constant": lambda: explored(estimator=constant),
    "explore_posterior: one sample": lambda: explored(samples=1),
    "farthest_from": lambda: blunt(lambda f, y: attacks.farthest_from(f, f(y)[None])),
    "gradient_status": lambda: attacks.gradient_status(KEY, squared, jnp.asarray(SMALL)),
    "ifgsm": lambda: blunt(attacks.output_shift),
    "ifgsm: constant": lambda: blunt(attacks.output_shift, constant),
    "input_psnr": lambda: attacks.input_psnr(*on_device(X, Y), data_range=1.0),
    "input_psnr: equal": lambda: attacks.input_psnr(*on_device(X, X), data_range=1.0),
    "l2_adam": adam,
    "l2_adam: constant": lambda: adam(constant),
    "l2_adam: radius zero": lambda: adam(epsilon=0.0),
    "lipschitz_ratio": lambda: attacks.lipschitz_ratio(squared, *on_device(X, Y)),
    "lipschitz_ratio: equal": lambda: attacks.lipschitz_ratio(squared, *on_device(X, X)),
    "local_lipschitz": lambda: attacks.local_lipschitz(KEY, squared, jnp.asarray(SMALL), iterations=3),
    "local_lipschitz: constant": lambda: attacks.local_lipschitz(KEY, constant, jnp.asarray(SMALL), iterations=3),
    "negated": lambda: blunt(lambda f, y: attacks.negated(attacks.output_shift(f, y))),
    "output_shift": lambda: attacks.output_shift(squared, jnp.asarray(X))(jnp.asarray(Y)),
    "range_coverage": lambda: attacks.range_coverage(*on_device(np.stack([X, Y]), X)),
    "range_maps": lambda: attacks.range_maps(jnp.asarray(np.stack([X, Y]))),
    "shift_ratio": lambda: attacks.shift_ratio(*on_device(X, Y, Y, X)),
}
PROGRAMS = {
    "toys": DISTRIBUTIONS,
    "degradations": DEGRADATIONS,
    "restorers": ESTIMATORS,
    "attacks": ATTACKS,
    "diffusion": DIFFUSION,
    "samplers": SAMPLERS,
}
