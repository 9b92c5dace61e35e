"""Priors: denoisers that come with jaxpr, published ones, classes and a classifier's gradient, precision, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import BFLOAT16, error
from safetensors.numpy import save_file

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.diffusion import cached_denoiser, from_v, linear_schedule
from jaxpr.models.adm_classifier import ADMClassifierConfig, adm_classifier
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.ddpm_unet import DDPMUNetConfig, ddpm_unet
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.restorers import priors as module
from jaxpr.restorers import read_prior, sampled_restorer
from jaxpr.restorers.priors import OFFICIAL_PRIORS, adapter_of, prior_options
from jaxpr.weights import PACKAGED_DENOISERS
from jaxpr.weights.denoisers import pack_denoiser, unpack_denoiser
from jaxpr.weights.native import pack_weights, unpack_weights

SMALL = ADMUNetConfig(3, 64, 6, 1, (2,), (1, 1))
LABELLED = SMALL._replace(num_classes=10)
CLASSIFIER = ADMClassifierConfig(None, 3, 64, 10, 1, (2,), (1, 1), pool="adaptive")
X = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
T = jnp.array([30, 700])


def published(path, model):
    """A file with the names and shapes of a published one, and drawn weights."""
    random = np.random.default_rng(0)
    shapes = torch_shapes(abstract_parameters(model))
    save_file({name: random.normal(0, 0.05, of).astype(np.float32) for name, of in shapes.items()}, path)
    return path


def zeros(model):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), abstract_parameters(model))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    published(folder / "ema_0.9999_000005.safetensors", adm_unet(SMALL))
    published(folder / "classes.safetensors", adm_unet(LABELLED))
    published(folder / "classifier.safetensors", adm_classifier(CLASSIFIER))
    return folder


@pytest.mark.parametrize("name", PACKAGED_DENOISERS)
def test_packaged_denoisers_are_priors_by_name(name):
    prior = read_prior(name)
    assert prior.record["sha256"]
    assert prior.learned_variance is None
    shape = (1, prior.multiple, prior.multiple, prior.channels)
    eps = jax.eval_shape(prior.model.apply, prior.params, jnp.zeros(shape), jnp.zeros(1, jnp.int32))
    assert eps.shape == shape


@pytest.mark.thorough
@pytest.mark.parametrize("name", PACKAGED_DENOISERS)
def test_packaged_denoisers_remove_noise(name):
    """Of an image of one grey, at a middle level: less than half of it is left."""
    prior = read_prior(name)
    noise = jax.random.normal(jax.random.key(0), (2, 8 * prior.multiple, 8 * prior.multiple, prior.channels))
    signal = np.sqrt(prior.schedule.alpha_bar[300])
    x = -0.9 * signal + np.sqrt(1 - signal**2) * noise
    found = jax.jit(prior.model.apply)(prior.params, x, jnp.int32(300))
    assert jnp.mean((found - noise) ** 2) < 0.25


def test_a_name_goes_before_a_file(tmp_path, monkeypatch):
    config = ADMUNetConfig(1, 32, 1, 1, (), (1,), num_head_channels=32)
    packed = unpack_denoiser(pack_denoiser(config, zeros(adm_unet(config)), {}, side=4, schedule="cosine"))
    monkeypatch.setattr(module, "PACKAGED_DENOISERS", ("digits0",))
    monkeypatch.setattr(module, "packaged_denoiser", {"digits0": packed}.__getitem__)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits0").write_bytes(b"other")
    prior = read_prior("digits0")
    assert (prior.record["sha256"], prior.schedule) == (packed.sha256, packed.noise_schedule())
    expected = r"found no file digit0, expected weights of a denoiser, or one of digits0, adm-.*; did you mean digits0"
    with pytest.raises(InputError, match=expected):
        read_prior("digit0")


def test_a_network_that_predicts_v_is_read_so_whole_and_in_parts(tmp_path):
    config = ADMUNetConfig(1, 32, 1, 1, (), (1, 1), num_head_channels=32)
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype(np.float32), zeros(adm_unet(config)))
    path = tmp_path / "file.safetensors"
    path.write_bytes(pack_denoiser(config, params, {}, side=4, schedule="linear", prediction="v"))
    prior, x, times = read_prior(path), X[..., :1], jnp.array([30, 999])
    network = functools.partial(jax.jit(adm_unet(config).apply), prior.params)
    expected = from_v(network, schedule=prior.schedule)(x, times)
    adapter = adapter_of(prior.prediction, schedule=prior.schedule, learned_variance=None)
    for found in (
        adapter(functools.partial(prior.model.apply, prior.params))(x, times),
        cached_denoiser(*(functools.partial(part, prior.params) for part in prior.split), adapter=adapter, every=2)(
            x, times
        ),
    ):  # a compiled program beside an eager one
        np.testing.assert_allclose(found.eps, expected.eps, atol=1e-5)
        np.testing.assert_allclose(found.x0, expected.x0, atol=1e-5)


@pytest.mark.thorough
def test_the_gradient_of_a_classifier_moves_the_same_noise_whatever_is_predicted(folder, tmp_path):
    config = SMALL._replace(out_channels=3)
    path, guided = tmp_path / "file.safetensors", {"label": 4, "classifier": folder / "classifier.safetensors"}
    params = jax.tree.map(np.asarray, adm_unet(config).init(jax.random.key(0)))
    path.write_bytes(pack_denoiser(config, params, {}, side=4, schedule="linear", prediction="v"))
    plain, moved = read_prior(path), read_prior(path, **guided)
    noise = read_prior(folder / "ema_0.9999_000005.safetensors", **guided)
    slope = jax.jit(noise.model.apply)(noise.params, X, T) - jax.jit(adm_unet(SMALL).apply)(
        noise.params["denoiser"], X, T
    )

    def eps(prior):
        adapter = adapter_of(prior.prediction, schedule=prior.schedule, learned_variance=None)
        return jax.jit(adapter(functools.partial(prior.model.apply, prior.params)))(X, T).eps

    # A difference of numbers of order 1 in float32.
    np.testing.assert_allclose(eps(moved) - eps(plain), slope[..., :3], atol=2e-6)
    assert np.abs(slope[..., :3]).max() > 1e-4


def test_files_without_a_prediction_predict_the_noise():
    config = ADMUNetConfig(1, 32, 1, 1, (), (1,), num_head_channels=32)
    params, metadata = unpack_weights(pack_denoiser(config, zeros(adm_unet(config)), {}, side=4, schedule="linear"))
    del metadata["denoiser"]["prediction"]
    assert unpack_denoiser(pack_weights(params, metadata)).prediction == "noise"


@pytest.mark.parametrize("name", OFFICIAL_PRIORS)
def test_official_names_ask_for_what_is_not_fetched(name, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXPR_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=f"jaxpr weights fetch {name} gets it"):
        read_prior(name)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "variance", "multiple"),
    [
        (adm_unet(SMALL), "range", 2),
        (ddpm_unet(DDPMUNetConfig(ch=32, ch_mult=(1, 1), num_res_blocks=1, attention_levels=(1,))), None, 2),
    ],
)
def test_published_networks_are_priors(tmp_path, model, variance, multiple):
    prior = read_prior(published(tmp_path / "published.safetensors", model))
    assert (prior.learned_variance, prior.channels, prior.multiple) == (variance, 3, multiple)
    degradation = parse_degradation("average-x2")
    restorer = sampled_restorer("ddrm", prior, degradation, steps=2)
    y = jax.random.uniform(jax.random.key(0), (1, 2, 4, 3))
    np.testing.assert_allclose(degradation.operator((4, 8, 3))(jax.jit(restorer)(jax.random.key(1), y)), y, atol=1e-5)


@pytest.mark.thorough
def test_a_class_is_a_label_of_the_network(folder):
    prior = read_prior(folder / "classes.safetensors", label=3)
    assert (prior.record["class"], prior.learned_variance) == (3, "range")
    expected = jax.jit(adm_unet(LABELLED).apply)(prior.params, X, T, jnp.array([3, 3]))
    np.testing.assert_allclose(jax.jit(prior.model.apply)(prior.params, X, T), expected, atol=1e-6)


@pytest.mark.thorough
def test_the_gradient_of_a_classifier_is_in_the_predicted_noise(folder):
    prior = read_prior(
        folder / "ema_0.9999_000005.safetensors",
        label=4,
        classifier=folder / "classifier.safetensors",
        classifier_scale=2.0,
    )
    found = jax.jit(prior.model.apply)(prior.params, X, T)
    plain = adm_unet(SMALL).apply(prior.params["denoiser"], X, T)
    np.testing.assert_array_equal(found.shape, plain.shape)
    np.testing.assert_allclose(found[..., 3:], plain[..., 3:], atol=1e-5)
    # Along the change, by differences of the classifier's log-probability.
    change = (found - plain)[..., :3]
    spread = np.sqrt(1 - linear_schedule().alpha_bar[np.asarray(T)])
    logits = functools.partial(adm_classifier(CLASSIFIER).apply, prior.params["classifier"])
    step = 1e-2 * change / jnp.linalg.norm(change.reshape(2, -1), axis=1)[:, None, None, None]
    sides = [jax.nn.log_softmax(logits(X + sign * step, T))[:, 4] for sign in (1, -1)]
    slopes = (sides[0] - sides[1]) / 2e-2  # minus the length of the gradient
    lengths = np.linalg.norm(np.asarray(change).reshape(2, -1), axis=1)
    np.testing.assert_allclose(-2 * spread * slopes, lengths, rtol=1e-2)
    assert lengths.min() > 1e-4
    assert prior.record["classifier"]["scale"] == 2.0


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_is_that_of_the_network_alone(folder, precision):
    path = folder / "ema_0.9999_000005.safetensors"
    prior = read_prior(path, precision=precision)
    found, full = (jax.jit(model.apply)(prior.params, X, T) for model in (prior.model, adm_unet(SMALL)))
    assert found.dtype == jnp.float32
    assert prior.record["precision"] == precision
    assert 1e-6 < error(found, full) < BFLOAT16


def test_options_of_priors_are_told_from_those_of_samplers():
    assert prior_options("") == ({}, "")
    assert prior_options("steps=5&class=07&precision=float16") == ({"label": 7, "precision": "float16"}, "steps=5")
    assert prior_options("classifier=a/b.pt&classifier_scale=0.5") == (
        {"classifier": "a/b.pt", "classifier_scale": 0.5},
        "",
    )
    for text in ("class=cat", "class=1&class=2", "precision=", "classifier_scale=-1"):
        with pytest.raises(InputError, match=r"options: found '.*', expected class=\.\.\., classifier"):
            prior_options(text)


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        ("classes", {}, r"class: found None, expected one of 0 \.\.\. 9, as in \?class=7"),
        ("classes", {"label": 10}, "class: found 10, expected one of 0"),
        ("ema_0.9999_000005", {"label": 1}, "class: found 1 for .*, expected none for a network without classes"),
        (
            "ema_0.9999_000005",
            {"classifier": "classes", "label": 1},
            "classifier: found ADM U-Net in .*, expected an ADM cl",
        ),
        ("ema_0.9999_000005", {"classifier": "classifier"}, "class: found None, expected one of 0"),
        (
            "ema_0.9999_000005",
            {"precision": "half"},
            "precision: found 'half', expected one of float32, bfloat16, float16",
        ),
        ("classifier", {}, "source: found ADM classifier in .*, expected a denoiser"),
    ],
)
def test_what_a_network_does_not_take_is_refused(folder, file, options, expected):
    if "classifier" in options:
        options = options | {"classifier": folder / f"{options['classifier']}.safetensors"}
    with pytest.raises(InputError, match=expected):
        read_prior(folder / f"{file}.safetensors", **options)
