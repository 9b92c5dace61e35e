"""What holds for all samplers: sets and batches, guidance, status, refusals; on odd, non-square images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import quick
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpr.core import InputError
from jaxpr.degradations import (
    AverageDownsample,
    BicubicDownsample,
    Blur,
    Grayscale,
    Inpainting,
    gaussian_kernel,
    parse_degradation,
)
from jaxpr.diffusion import cosine_transform, gaussian_denoiser, linear_schedule, respaced
from jaxpr.samplers import GUIDED_TASKS, Guidance, ddnm, ddrm, dps, guidance_preset, network_calls, repaint

SHAPE, COUNT, SAMPLES, STEPS = (5, 7, 2), 2, 3, 3
SCHEDULE, KEY = linear_schedule(), jax.random.key(0)
RNG = np.random.default_rng(0)
DENOISER = gaussian_denoiser(
    mean=(0.2 * RNG.standard_normal(SHAPE)).astype(np.float32),
    variance=(0.1 * np.exp(RNG.standard_normal(SHAPE))).astype(np.float32),
    schedule=SCHEDULE,
    basis=cosine_transform(*SHAPE[:2]),
)
MASK = Inpainting(RNG.random(SHAPE[:2]) < 0.5, channels=2)
BICUBIC = BicubicDownsample(SHAPE, 2)
TRUTH = RNG.random((COUNT, *SHAPE)).astype(np.float32)
CASES = {
    "ddrm": (ddrm, BICUBIC, {"noise_std": 0.05}),
    "ddnm": (ddnm, BICUBIC, {"noise_std": 0.05, "travel_length": 1, "travel_repeat": 2}),
    "dps": (dps, BICUBIC, {"noise_std": 0.05}),
    "repaint": (repaint, MASK, {"noise_std": 0.0, "jump_length": 1, "jump_repeat": 2}),
}
FLOAT32 = 1e-5  # of x in [0, 1]; another batch sums in another order
GUIDED = Guidance(2.0, 0.02)
FEW = pytest.mark.parametrize("name", quick(CASES, "dps", thorough=CASES))


@functools.cache
def sampler(name, **changed):
    """(key, y, noise) -> result, compiled."""
    fn, operator, options = CASES[name]
    settings = {"schedule": SCHEDULE, "samples": SAMPLES, "steps": STEPS, **options, **changed}
    return jax.jit(lambda key, y, noise=None: fn(key, DENOISER, y, operator, noise=noise, **settings))


def measured(name):
    return jnp.asarray(CASES[name][1](TRUTH))


def draws(name):
    """Given noise for all purposes."""
    calls = network_calls(STEPS, length=1, repeats=2) if name in ("ddnm", "repaint") else STEPS
    transitions = STEPS if calls == STEPS else 2 * calls - STEPS
    rng, sets = np.random.default_rng(1), (SAMPLES, COUNT, *SHAPE)
    used = {"ddnm": ("step", "undo"), "repaint": ("step", "undo", "known")}.get(name, ("step",))
    noise = {purpose: rng.standard_normal((transitions, *sets)).astype(np.float32) for purpose in used}
    return noise | {"start": rng.standard_normal(sets).astype(np.float32)}


@FEW
def test_guidance_of_nothing_is_the_plain_sampler(name):
    """The same program, so the same bits."""
    y = measured(name)
    plain = sampler(name).lower(KEY, y).as_text()
    for nothing in (Guidance(0.0), Guidance(1.0, 0.0)):
        assert sampler(name, guidance=nothing).lower(KEY, y).as_text() == plain
    assert sampler(name, guidance=GUIDED).lower(KEY, y).as_text() != plain


@FEW
def test_sets_have_no_order_and_equal_answers_are_no_trouble(name):
    run, noise, order = sampler(name, guidance=GUIDED), draws(name), np.array([2, 0, 1])
    found = run(KEY, measured(name), noise)
    permuted = {p: z[order] if p == "start" else z[:, order] for p, z in noise.items()}
    np.testing.assert_allclose(run(KEY, measured(name), permuted).x, found.x[order], atol=FLOAT32)
    assert np.mean(found.pushed) > 0.2
    same = {p: np.repeat(z[:1], 3, 0) if p == "start" else np.repeat(z[:, :1], 3, 1) for p, z in noise.items()}
    assert np.all(run(KEY, measured(name), same).finite)


@pytest.mark.thorough
@pytest.mark.parametrize("name", quick(CASES, "repaint", thorough=CASES))
def test_an_image_alone_is_the_image_in_its_batch(name):
    """With guidance, whose sets are of one image each; given the image's own key."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(KEY, jnp.arange(COUNT))
    run, y = sampler(name, guidance=GUIDED), measured(name)
    np.testing.assert_allclose(run(keys[1:], y[1:]).x[:, 0], run(KEY, y).x[:, 1], atol=FLOAT32)


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_jit_is_eager_and_first_samples_stay(name):
    fn, operator, options = CASES[name]
    settings = {"schedule": SCHEDULE, "steps": STEPS, **options}
    eager = fn(KEY, DENOISER, measured(name), operator, samples=SAMPLES, guidance=GUIDED, **settings)
    compiled = sampler(name, guidance=GUIDED)(KEY, measured(name))
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
        np.testing.assert_allclose(a, b, atol=FLOAT32)
    assert isinstance(eager.network_calls, int)
    more = sampler(name, samples=SAMPLES + 1)(KEY, measured(name)).x
    np.testing.assert_allclose(more[:SAMPLES], sampler(name)(KEY, measured(name)).x, atol=FLOAT32)
    np.testing.assert_allclose(
        sampler(name, schedule=respaced(SCHEDULE, STEPS), steps=None)(KEY, measured(name)).x.shape, compiled.x.shape
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_images_spread_over_devices_are_the_same_and_stay_there(name):
    y = jnp.asarray(CASES[name][1](np.random.default_rng(6).random((8, *SHAPE)).astype(np.float32)))
    spread = NamedSharding(Mesh(np.array(jax.devices()), ("images",)), PartitionSpec("images"))
    run = sampler(name, guidance=GUIDED)
    found = run(KEY, jax.device_put(y, spread)).x
    np.testing.assert_allclose(found, run(KEY, y).x, atol=FLOAT32)
    assert not found.sharding.is_fully_replicated


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_a_gradient_goes_through_the_whole_run(name):
    run = sampler(name, guidance=GUIDED)
    slope = jax.grad(lambda y: jnp.sum(run(KEY, y).x ** 2))(measured(name))
    assert np.isfinite(slope).all()
    assert np.any(slope != 0)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fn", "operator"),
    [
        (fn, operator)
        for fn in (ddrm, ddnm)
        for operator in (MASK, BICUBIC, Grayscale(SHAPE), AverageDownsample((6, 4, 2), 2))
    ],
)
def test_answers_without_noise_agree_with_y(fn, operator):
    y = operator(jnp.asarray(np.random.default_rng(4).random((1, *operator.shape), np.float32)))
    denoiser = gaussian_denoiser(
        mean=np.zeros(operator.shape, np.float32), variance=np.ones(operator.shape, np.float32), schedule=SCHEDULE
    )
    found = jax.jit(lambda key: fn(key, denoiser, y, operator, schedule=SCHEDULE, samples=2, noise_std=0.0, steps=5))(
        KEY
    )
    assert found.residual.max() < 1e-5


def test_known_pixels_are_those_of_y():
    y = measured("repaint")
    found = sampler("repaint", guidance=GUIDED)(KEY, y)
    for filled in (y, jnp.where(MASK.mask[None, :, :, None], y, 0.7)):  # what is in unknown pixels does not matter
        np.testing.assert_array_equal(sampler("repaint", guidance=GUIDED)(KEY, filled).x, found.x)
    np.testing.assert_array_equal(np.where(MASK.mask[None, None, :, :, None], found.x, 0), np.stack([y] * SAMPLES))
    assert not np.any(found.residual)


@pytest.mark.thorough
def test_blur_with_noise_ends_near_the_noise_level():
    operator = Blur(SHAPE, gaussian_kernel(0.6, size=3))
    y = operator(TRUTH) + 0.05 * np.random.default_rng(5).standard_normal(TRUTH.shape).astype(np.float32)
    for fn in (ddrm, ddnm):
        found = fn(KEY, DENOISER, y, operator, schedule=SCHEDULE, samples=2, noise_std=0.05, steps=50)
        assert 0.01 < found.residual.mean() < 0.07
        assert found.network_calls == 50


def test_presets_are_the_published_ones_in_one_unit():
    assert guidance_preset("repaint", "faces-inpainting").distance == pytest.approx(0.0014)
    assert guidance_preset("dps", "faces-inpainting").distance == pytest.approx(0.003)
    assert guidance_preset("ddnm", "faces-inpainting") == Guidance(0.9, 0.0015)
    official = guidance_preset("repaint", "faces-inpainting", convention="official")
    assert official == Guidance(0.3, 2.8e-4, convention="official")
    with pytest.raises(InputError, match="expected one of faces-x16,"):
        guidance_preset("ddrm", "faces-inpainting")
    assert len(GUIDED_TASKS) == 6


def call(name, **changed):
    fn, operator, options = CASES[name]
    arguments = {"denoiser": DENOISER, "y": measured(name), "operator": operator, "schedule": SCHEDULE, "samples": 2}
    return functools.partial(fn, KEY, **{**arguments, **options, "steps": STEPS, **changed})


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (call("ddrm", guidance=GUIDED, samples=1), "samples: found 1, expected at least 2 with guidance"),
        (call("ddrm", operator=lambda x: x), "operator: found function.*dps takes any"),
        (call("ddnm", operator="blur"), "operator: found str"),
        (
            call("dps", operator=parse_degradation("blur-1+noise-0.1")),
            r"operator: found a Degradation, expected .*noise_std",
        ),
        (call("repaint", operator=BICUBIC), "operator: found BicubicDownsample.*ddrm and ddnm"),
        (call("repaint", noise_std=0.05), "noise_std: found 0.05, expected 0.*use ddrm, ddnm or dps"),
        (call("dps", operator=lambda x: x), r"shape: found None, expected \(H, W, C\)"),
        (call("dps", operator=lambda x: x, shape=SHAPE), r"y: found shape \(2, 3, 4, 2\), expected \(2, 5, 7, 2\)"),
        (call("dps", conditioning="both"), "conditioning: found 'both'"),
        (call("ddrm", denoiser=lambda x, t: x), "denoiser: found an output of type"),
        (call("ddrm", denoiser=None), "denoiser: found None"),
        (call("ddrm", y=255 * TRUTH), "y: found"),
        (call("ddrm", steps=2000), "steps: found 2000"),
        (call("ddrm", schedule=respaced(SCHEDULE, 10)), "steps: found 3"),
        (call("ddrm", noise_std=-1.0), "noise_std: found -1.0"),
        (call("ddrm", eta=1.5), "eta: found 1.5"),
        (call("dps", noise={"start": TRUTH}), "noise: found"),
        (call("ddrm", guidance=0.5), "guidance: found 0.5"),
        (lambda: Guidance(-1.0), "eta: found -1.0"),
        (lambda: Guidance(1.0, convention="both"), "convention: found 'both'"),
    ],
)
def test_what_cannot_work_is_refused_before_sampling(refused, message):
    with pytest.raises(InputError, match=message) as caught:
        refused()
    assert "\n" not in str(caught.value)
