"""The whole public interface: docstrings, signatures, fixed names, jit = eager, dtypes, strict rank promotion."""

import functools
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpr
from jaxpr import (
    attacks,
    data,
    degradations,
    diffusion,
    evaluation,
    metrics,
    numerics,
    restorers,
    samplers,
    uncertainty,
    weights,
)
from jaxpr.core.versions import enable_x64
from jaxpr.numerics import Moments

KEY = jax.random.key(0)
PACKAGES = [module.name for module in pkgutil.iter_modules(jaxpr.__path__) if module.ispkg]


def public() -> dict[str, object]:
    """All functions and classes that `__all__` of any module names, by their own full name."""
    found = {}
    for module in pkgutil.walk_packages(jaxpr.__path__, "jaxpr."):
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            value = getattr(loaded, name)
            if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__.startswith("jaxpr."):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


PUBLIC = public()


def functions() -> dict[str, object]:
    """Public functions and the public methods of public classes."""
    found = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
    for name, cls in PUBLIC.items():
        if inspect.isclass(cls):
            for member, value in vars(cls).items():
                plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                plain = plain.fget if isinstance(plain, property) else plain
                if not member.startswith("_") and inspect.isfunction(plain):
                    found[f"{name}.{member}"] = plain
    return found


FUNCTIONS = functions()


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_exist_once_and_the_package_says_what_it_is(package):
    module = importlib.import_module(f"jaxpr.{package}")
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__) > 0
    assert all(hasattr(module, name) for name in module.__all__)
    assert not any(name.startswith("_") for name in module.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC | FUNCTIONS))
def test_every_public_name_has_a_docstring(name):
    value = (PUBLIC | FUNCTIONS)[name]
    assert value.__doc__
    assert value.__doc__.strip()
    # Named tuples and dataclasses get their signature as docstring if they have none of their own.
    assert not value.__doc__.startswith(f"{value.__name__}(")


# Takes settings by their names, and refuses what is none.
NAMED_FREELY = {"jaxpr.evaluation.protocol.Protocol.replace"}
# Data, not options, that may be left out.
OPTIONAL_DATA = {
    "jaxpr.cli.main": {"arguments"},
    "jaxpr.cli.commands.main": {"arguments"},
    "jaxpr.reproduce.running.main": {"arguments"},
    "jaxpr.diffusion.schedule.linear_schedule": {"steps", "start", "end"},  # fixed by outsiders
    "jaxpr.numerics.statistics.grouped_mean": {"groups"},
    "jaxpr.report.decisions.figure_decisions": {"samples"},
    "jaxpr.report.page.write_report": {"strips"},
    "jaxpr.report.text.format_value": {"stderr"},
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_signatures_keep_the_rules(name):
    parameters = [p for p in inspect.signature(FUNCTIONS[name]).parameters.values() if p.name not in ("self", "cls")]
    assert name in NAMED_FREELY or not any(p.kind is p.VAR_KEYWORD for p in parameters)
    assert not any(p.name in ("rng", "prng_key", "generator") for p in parameters)
    names = [p.name for p in parameters]
    if "key" in names:
        assert names[0] == "key"
        assert parameters[0].default is inspect.Parameter.empty
        assert parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    defaults = {p.name for p in parameters if p.kind is not p.KEYWORD_ONLY and p.default is not p.empty}
    assert defaults == OPTIONAL_DATA.get(name, set())  # options are keyword-only


def bare(value: object) -> str:
    """The signature without annotations and without self."""
    signature = inspect.signature(value)
    kept = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=kept, return_annotation=signature.empty))


OPERATORS = {
    degradations.Inpainting: "(mask, *, channels=3)",
    degradations.AverageDownsample: "(shape, factor)",
    degradations.BicubicDownsample: "(shape, factor)",
    degradations.Grayscale: "(shape)",
    degradations.Blur: "(shape, kernel)",
}
SAMPLER = "(key, denoiser, y, operator, *, schedule, samples, noise_std, guidance=None, noise=None, steps=None, "
FIXED = [
    *OPERATORS.items(),
    (degradations.gaussian_noise, "(key, x, *, std)"),
    (degradations.jpeg, "(x, *, quality)"),
    (degradations.jpeg_surrogate, "(x, *, quality)"),
    (attacks.apgd, "(key, objective, y, *, alpha, steps, bounds, rounds=1)"),
    (attacks.ifgsm, "(key, objective, y, *, alpha, steps, bounds)"),
    (attacks.output_shift, "(estimator, y)"),
    (attacks.lipschitz_ratio, "(estimator, y, y_adv)"),
    (metrics.mse, "(restored, reference)"),
    (metrics.rmse, "(restored, reference)"),
    (metrics.psnr, "(restored, reference, *, data_range)"),
    (metrics.ssim, "(restored, reference, *, data_range)"),
    (metrics.lpips, "(restored, reference, *, network)"),
    (metrics.frechet_distance, "(real, fake)"),
    (metrics.joint_features, "(x_features, y_features)"),
    (metrics.extract_patches, "(images, *, size, stride)"),
    (metrics.Moments.zero, "(dim)"),
    (metrics.Moments.update, "(features)"),
    (metrics.Moments.merge, "(other)"),
    (attacks.l2_adam, "(key, objective, y, *, epsilon, steps, learning_rate, bounds=None)"),
    (attacks.expected_output_shift, "(key, sampler, y, *, draws)"),
    (attacks.class_log_probability, "(estimator, classifier, label)"),
    (attacks.farthest_from, "(estimator, references, *, weights=None)"),
    (attacks.local_lipschitz, "(key, estimator, y, *, iterations)"),
    (
        attacks.explore_posterior,
        "(key, estimator, y, *, samples, alpha, steps, bounds, data_range=1.0)",
    ),
    (metrics.kernel_distance, "(key, real, fake, *, subsets, subset_size, block=1024)"),
    (metrics.precision_recall, "(real, fake, *, k)"),
    (metrics.inception_score, "(probabilities, *, splits)"),
    (metrics.per_pixel_std, "(samples)"),
    (metrics.pairwise_diversity, "(samples, distance)"),
    (uncertainty.entropy_power, "(entropy, dim)"),
    (uncertainty.gaussian_entropy, "(cov)"),
    (uncertainty.knn_entropy, "(samples, *, k)"),
    (uncertainty.renyi_gaussian, "(mean_a, cov_a, mean_b, cov_b, *, order)"),
    (uncertainty.eta, "(divergence, dim)"),
    (diffusion.linear_schedule, "(steps=1000, start=0.0001, end=0.02)"),
    (diffusion.respaced, "(schedule, steps)"),
    (diffusion.from_eps, "(model, *, schedule, learned_variance=None)"),
    (diffusion.cached_denoiser, "(whole, shallow, *, adapter, every)"),
    (
        samplers.ddrm,
        SAMPLER + "eta=0.85, eta_b=1.0, clip=False, cutoff=1e-05, convention=None, trace=False)",
    ),
    (
        samplers.ddnm,
        SAMPLER + "eta=0.85, travel_length=1, travel_repeat=1, clip=False, cutoff=1e-05, convention=None, trace=False)",
    ),
    (
        samplers.dps,
        SAMPLER + "scale=1.0, conditioning='ps', shape=None, clip=True, convention=None, trace=False)",
    ),
    (
        samplers.repaint,
        SAMPLER + "jump_length=10, jump_repeat=10, clip=True, convention=None, trace=False)",
    ),
    (data.photos, "(split)"),
    (data.digits, "(split)"),
    (data.paired_folder, "(low, high, *, channels=3, pattern=None)"),
    (data.image_folder, "(path, *, channels=3, skip_bad=False)"),
    (data.idx_images, "(images, *, labels=None)"),
    (data.resized, "(source, *, size=(), centre=None)"),
    (data.split_by_share, "(source, split, *, share)"),
    (data.tfds_images, "(name, split, *, data_dir=None, image_key='image')"),
    (evaluation.compare, "(runs, *, out, baseline=None)"),
    (evaluation.leaderboard, "(runs, *, out)"),
    (
        evaluation.evaluate,
        "(key, restorers, images, degradation, *, protocol, out, batch_size=8, progress=True, decisions=None, "
        "baseline=None, reference=None, accept_other_code=False, command=None, budget=None)",
    ),
]


@pytest.mark.parametrize(("value", "signature"), FIXED, ids=[value.__qualname__ for value, _ in FIXED])
def test_fixed_names_have_their_fixed_signatures(value, signature):
    assert bare(value) == signature


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda cls: cls.__name__)
def test_operators_have_their_fixed_methods(operator):
    methods = {name: bare(getattr(operator, name)) for name in ("__call__", "adjoint", "pinv", "project", "svd")}
    assert methods == {"__call__": "(x)", "adjoint": "(y)", "pinv": "(y)", "project": "(x, y)", "svd": "()"}


def test_moments_have_mean_and_covariance():
    moments = metrics.Moments.zero(3).update(np.eye(3))
    np.testing.assert_allclose(moments.mean, 1 / 3)
    np.testing.assert_allclose(moments.covariance, np.eye(3) / 2 - 1 / 6, atol=1e-15)  # float64


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


IMAGES, OTHERS, POINTS = uniform(2, 16, 16, 3), uniform(2, 16, 16, 3, seed=1), uniform(6, 4)


def attack(y):
    return attacks.ifgsm(KEY, attacks.output_shift(lambda z: z * z, y), y, alpha=0.1, steps=2, bounds=None)


PURE = {
    "nearest": (functools.partial(restorers.nearest, factor=2), IMAGES),
    "bicubic": (functools.partial(restorers.bicubic, factor=2), IMAGES),
    "lanczos": (functools.partial(restorers.lanczos, factor=3), IMAGES),
    "mse": (metrics.mse, IMAGES, OTHERS),
    "rmse": (metrics.rmse, IMAGES, OTHERS),
    "psnr": (functools.partial(metrics.psnr, data_range=1.0), IMAGES, OTHERS),
    "ssim": (functools.partial(metrics.ssim, data_range=1.0), IMAGES, OTHERS),
    "extract_patches": (functools.partial(metrics.extract_patches, size=5, stride=3), IMAGES),
    "joint_features": (metrics.joint_features, POINTS, POINTS),
    "pixels": (weights.feature_extractor("pixels").apply, IMAGES),
    "gaussian_noise": (lambda x: degradations.gaussian_noise(KEY, x, std=0.1), IMAGES),
    "jpeg_surrogate": (functools.partial(degradations.jpeg_surrogate, quality=50), IMAGES),
    "bicubic_downsample": (degradations.BicubicDownsample((16, 16, 3), 4), IMAGES),
    "average_downsample": (degradations.AverageDownsample((16, 16, 3), 2), IMAGES),
    "grayscale": (degradations.Grayscale((16, 16, 3)), IMAGES),
    "blur": (degradations.Blur((16, 16, 3), degradations.gaussian_kernel(1.0)), IMAGES),
    "inpainting": (degradations.Inpainting(np.eye(16)), IMAGES),
    "example_norms": (numerics.example_norms, IMAGES),
    "project_linf": (functools.partial(numerics.project_linf, radius=0.1), IMAGES),
    "project_l2": (functools.partial(numerics.project_l2, radius=0.1), IMAGES),
    "squared_distances": (numerics.squared_distances, POINTS, POINTS),
    "nearest_distances": (functools.partial(numerics.nearest_distances, k=2), POINTS, uniform(9, 4, seed=1)),
    "shift_ratio": (attacks.shift_ratio, IMAGES, OTHERS, OTHERS, IMAGES),
    "ifgsm": (attack, IMAGES),
    "luma": (metrics.luma, IMAGES),
    "crop_border": (functools.partial(metrics.crop_border, border=2), IMAGES),
    "per_pixel_std": (metrics.per_pixel_std, uniform(3, 2, 8, 8, 1)),
}
FLOAT32 = 1e-5  # compiled sums of up to 768 terms run in another order


# The tests of the degradations compare these; they take long to compile.
COMPARED_ELSEWHERE = {"jpeg_surrogate", "gaussian_noise", "blur"}


@pytest.mark.parametrize("name", [name for name in PURE if name not in COMPARED_ELSEWHERE])
def test_jit_equals_eager(name):
    fn, *arguments = PURE[name]
    arguments = [jnp.asarray(a) for a in arguments]
    np.testing.assert_allclose(jax.jit(fn)(*arguments), fn(*arguments), rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in PURE for dtype in ("float32", "bfloat16", "float64")],
)
def test_the_output_has_the_dtype_of_the_input(name, dtype):
    fn, *arguments = PURE[name]
    with enable_x64(dtype == "float64"):
        shapes = [jax.ShapeDtypeStruct(a.shape, dtype) for a in arguments]
        assert jax.eval_shape(fn, *shapes).dtype == dtype


@pytest.mark.parametrize("name", ["psnr", "nearest_distances"])
def test_calls_leave_float64_off(name):
    fn, *arguments = PURE[name]
    fn(*(jnp.asarray(a) for a in arguments))
    metrics.frechet_distance(*[Moments.zero(4).update(POINTS)] * 2)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("name", ["psnr", "ssim", "nearest_distances"])
def test_arguments_may_be_constants_of_a_jitted_function(name):
    fn, first, second = PURE[name]
    first, second = jnp.asarray(first), jnp.asarray(second)
    found = jax.jit(lambda a: fn(a, second))(first)
    np.testing.assert_allclose(found, fn(first, second), rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.parametrize(
    ("fn", "argument"),
    [
        (numerics.psd_sqrt, POINTS.T @ POINTS),
        (lambda features: Moments.zero(4).update(features).covariance, POINTS),
        (lambda cov: numerics.bures_term(cov, cov), POINTS.T @ POINTS),
    ],
    ids=["psd_sqrt", "Moments", "bures_term"],
)
def test_float64_code_gives_the_same_when_traced(fn, argument):
    np.testing.assert_allclose(jax.jit(fn)(jnp.asarray(argument)), fn(argument), rtol=FLOAT32, atol=FLOAT32)
