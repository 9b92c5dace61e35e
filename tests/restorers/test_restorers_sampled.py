"""Samplers as restorers: the same answers as from the sampler, each example its own, words and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.diffusion import from_eps, gaussian_denoiser, linear_schedule
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.functional import Model
from jaxpr.restorers import Training, build_restorers
from jaxpr.restorers.priors import Prior, read_prior
from jaxpr.restorers.sampled import SAMPLERS, sampled_restorer, sampling_options
from jaxpr.samplers import ddnm
from jaxpr.weights.denoisers import pack_denoiser

SCHEDULE = linear_schedule()
TINY = ADMUNetConfig(
    in_channels=1,
    out_channels=1,
    model_channels=32,
    num_res_blocks=1,
    attention_resolutions=(),
    channel_mult=(1, 1),
    num_head_channels=32,
)
AVERAGE = parse_degradation("average-x2")
EXACT = gaussian_denoiser(mean=np.zeros((8, 6, 1)), variance=np.full((8, 6, 1), 0.1), schedule=SCHEDULE)
NETWORK = Model(lambda key: {}, lambda params, x, t: EXACT(x, t).eps)
GAUSSIAN = Prior(NETWORK, {}, SCHEDULE, None, 1, 1, {"file": "none"})
Y = jax.random.uniform(jax.random.key(0), (2, 4, 3, 1), minval=0.3, maxval=0.7)


def words(spec, *, degradation=AVERAGE):
    training = Training(
        images=lambda: [],
        degrade=lambda keys, x: x,
        degradation=degradation,
        channels=1,
        dictionary=1,
        key=jax.random.key(0),
    )
    return build_restorers([spec], training)[spec]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "weights.safetensors"
    params = adm_unet(TINY).init(jax.random.key(0))
    path.write_bytes(pack_denoiser(TINY, params, {}, side=8, schedule="linear"))
    return path


@pytest.mark.thorough
def test_it_draws_what_the_sampler_draws_and_each_example_on_its_own():
    restorer = sampled_restorer("ddnm", GAUSSIAN, AVERAGE, steps=5)
    keys = jax.random.split(jax.random.key(1), 2)
    found = jax.jit(restorer)(keys, Y)
    denoiser = from_eps(lambda x, t: EXACT(x, t).eps, schedule=SCHEDULE)
    operator = AVERAGE.operator((8, 6, 1))
    alone = ddnm(keys[1:], denoiser, Y[1:], operator, schedule=SCHEDULE, samples=1, noise_std=0.0, steps=5).x[0]
    np.testing.assert_allclose(found[1:], alone, atol=1e-5)
    np.testing.assert_allclose(operator(found), Y, atol=1e-6)
    assert (restorer.stochastic, restorer.cost, restorer.scale, restorer.differentiable) == (True, 5, 2, False)
    assert restorer.weights["sampler"] == "ddnm"


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_makes_images_and_counts_its_calls(sampler):
    degradation = parse_degradation("inpaint-top-0.5")
    options = {"jump_length": 2, "jump_repeat": 2} if sampler == "repaint" else {}
    restorer = sampled_restorer(sampler, GAUSSIAN, degradation, steps=6, options=options)
    y = jax.random.uniform(jax.random.key(2), (2, 8, 6, 1))
    found = restorer(jax.random.key(3), y)
    assert found.shape == y.shape
    assert bool(jnp.isfinite(found).all())
    # RePaint walks two of its three stretches of two steps twice.
    assert restorer.cost == (10 if sampler == "repaint" else 6)
    if sampler != "dps":
        np.testing.assert_allclose(found[:, 4:], y[:, 4:], atol=1e-5)


@pytest.mark.thorough
def test_weights_of_a_file_become_a_restorer_by_a_word(weights):
    restorer = words(f"ddrm:{weights}?steps=2&eta=0.5&attack=yes")
    assert restorer.cost == 2
    assert restorer.differentiable is None
    assert restorer.weights["eta"] == 0.5
    assert restorer.weights["sha256"] == read_prior(weights).record["sha256"]
    assert jax.eval_shape(restorer, jax.random.key(0), Y[:, :, :2]).shape == (2, 8, 4, 1)
    with pytest.raises(InputError, match="y: found 8×6 pixels of x, expected multiples of 4"):
        sampled_restorer("ddrm", read_prior(weights)._replace(multiple=4), AVERAGE)(jax.random.key(0), Y)


@pytest.mark.parametrize(
    ("word", "degradation", "expected"),
    [
        (
            "ddrm:{}?step=5",
            "average-x2",
            "options: found 'step=5', expected NAME=NUMBER, once each of steps, cache, eta",
        ),
        ("ddrm:{}?steps=5&steps=5", "average-x2", "options: found 'steps=5'"),
        ("ddnm:{}?eta=much", "average-x2", "options: found 'eta=much'"),
        ("dps:{}?attack=1", "average-x2", "options: found 'attack=1'"),
        ("dps:{}?cache=2", "average-x2", "cache: found 2 with dps, expected 1 where a gradient goes"),
        ("ddrm:{}?cache=2&attack=yes", "average-x2", "cache: found 2 with attack=yes"),
        ("ddrm:nowhere", "average-x2", "found no file nowhere"),
        ("repaint:{}", "average-x2", "found 'average-x2' with repaint, expected inpainting without noise"),
        ("ddnm:{}", "average-x2+jpeg-50", "with ddnm, expected a linear one"),
        ("ddnm:{}", "realworld-x2", "with ddnm, expected a linear one"),
    ],
)
def test_words_are_refused_in_one_line(weights, word, degradation, expected):
    with pytest.raises(InputError, match="restorers: .*" + expected) as error:
        words(word.format(weights), degradation=parse_degradation(degradation))
    assert "\n" not in str(error.value)


def test_options_of_the_function_are_the_samplers_own():
    with pytest.raises(InputError, match=r"options: found eta=0\.5, expected numbers for scale"):
        sampled_restorer("dps", GAUSSIAN, AVERAGE, options={"eta": 0.5})
    with pytest.raises(InputError, match="sampler: found 'ddim', expected one of ddrm, ddnm, dps, repaint"):
        sampled_restorer("ddim", GAUSSIAN, AVERAGE)
    assert sampling_options("ddrm", "") == (None, {}, False, 1)
    with pytest.raises(InputError, match="cache: found 2, expected 1 for a prior that is not a U-Net of ADM by itself"):
        sampled_restorer("ddrm", GAUSSIAN, AVERAGE, cache=2)


@pytest.mark.thorough
def test_cached_features_change_little_and_are_recorded(weights):
    whole, cached = (words(f"ddnm:{weights}?steps=20{more}") for more in ("", "&cache=2"))
    assert "cache" not in whole.weights
    assert cached.weights["cache"] == 2
    answers = [jax.jit(restorer)(jax.random.key(3), Y) for restorer in (whole, cached)]
    assert 0 < np.abs(answers[0] - answers[1]).mean() < 0.5 * np.abs(answers[0]).mean()
