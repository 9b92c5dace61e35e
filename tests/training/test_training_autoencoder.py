"""Training of autoencoders: losses against NumPy, single steps, runs that are cut or spread, files, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.models.autoencoder_kl import AutoencoderKLConfig, Posterior, autoencoder_kl
from jaxpr.models.discriminators import PatchCriticConfig
from jaxpr.training import (
    Adam,
    AutoencoderLosses,
    AutoencoderRecipe,
    Checkpoints,
    DenoiserCrops,
    PatchLoss,
    drive,
    load_recipes,
    run_steps,
    task_of,
)
from jaxpr.training.autoencoder import autoencoder_procedure, autoencoder_step, kl_divergence, start_autoencoder
from jaxpr.training.tasks import Averaged, with_average
from jaxpr.weights import perceptual_network
from jaxpr.weights.autoencoders import read_autoencoder

KEY = jax.random.key(8)
SIZES = AutoencoderKLConfig(
    in_channels=1, out_channels=1, block_out_channels=(4, 4), layers_per_block=1, latent_channels=2, norm_num_groups=2
)
CRITIC = PatchCriticConfig(channels=1, width=2, halvings=1)
PATCHES = PatchLoss(weight=0.5, critic=CRITIC, critic_from=2, penalty=0.0)
LOSSES = AutoencoderLosses(pixel=2.0, perceptual=0.0, kl=1e-2, adversarial=PATCHES)
X = jnp.asarray(np.stack(list(digits("train")[:4])))
KEYS = jax.random.split(KEY, 4)


def recipe(**changes):
    given = {
        "name": "tiny",
        "data": DenoiserCrops(source="digits", size=8),
        "network": SIZES,
        "losses": LOSSES,
        "optimizer": Adam(steps=4, batch=8, rate=1e-2, critic_rate=1e-2, average=0.5),
    }
    return AutoencoderRecipe(**(given | changes))


def test_the_divergence_is_that_of_a_quadrature():
    mean, logvar = (jax.random.normal(key, (2, 3, 3, 2)) for key in jax.random.split(KEY))
    line = np.linspace(-30, 30, 200_001)
    log_prior = -(line**2) / 2
    values = []
    for m, v in zip(np.float64(mean).ravel(), np.exp(np.float64(logvar)).ravel(), strict=True):
        log_density = -((line - m) ** 2) / (2 * v) - np.log(v) / 2
        values.append(np.trapezoid(np.exp(log_density) * (log_density - log_prior), line) / np.sqrt(2 * np.pi))
    np.testing.assert_allclose(kl_divergence(Posterior(mean, logvar)), np.mean(values), rtol=1e-5)


@pytest.fixture(scope="module")
def stepped():
    """A procedure, the state before, and what steps 1 (without the critic) and 2 (with it) make of it."""
    made = autoencoder_procedure(recipe())
    state = jax.jit(functools.partial(start_autoencoder, procedure=made))(KEY)
    step = jax.jit(functools.partial(autoencoder_step, procedure=made))
    return made, state, step(KEYS, state, X, 1), step(KEYS, state, X, 2)


def softplus(z):
    return np.logaddexp(0, np.float64(z))


@pytest.mark.thorough
def test_losses_of_a_step_in_numpy(stepped):
    made, state, (_, without), (new, measured) = stepped
    posterior = jax.jit(made.network.encode)(state.params, 2 * X - 1)
    mean, logvar = (np.float64(part) for part in posterior)
    noise = np.stack([jax.random.normal(key, posterior.mean.shape[1:]) for key in KEYS])
    latents = mean + np.exp(logvar / 2) * noise
    restored = np.float64(jax.jit(made.network.decode)(state.params, jnp.float32(latents)) + 1) / 2
    critic = jax.jit(made.adversary.critic.apply)
    on_real, on_fake = (critic(state.critic.params, jnp.float32(2 * np.asarray(x) - 1)) for x in (X, restored))
    renewed = critic(new.critic.params, jnp.float32(2 * restored - 1))
    expected = {
        "pixel": np.abs(restored - np.asarray(X)).mean(),
        "kl": np.mean(mean**2 + np.exp(logvar) - 1 - logvar) / 2,
        "critic": softplus(-on_real).mean() + softplus(on_fake).mean(),
        "adversarial": softplus(-renewed).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-4, err_msg=name)
    loss = 2 * expected["pixel"] + 1e-2 * expected["kl"]
    np.testing.assert_allclose(without["loss"], loss, rtol=1e-4)
    assert {name: float(without[name]) for name in ("critic", "adversarial", "weight")} == dict.fromkeys(
        ("critic", "adversarial", "weight"), 0
    )
    np.testing.assert_allclose(measured["loss"], loss + measured["weight"] * expected["adversarial"], rtol=1e-4)
    # Of the mean absolute error the gradient is known: ± 2 / size wherever the two differ.
    errors = 2 / np.sqrt(restored.size)
    slope = jax.grad(lambda x: jnp.mean(jax.nn.softplus(-made.adversary.critic.apply(new.critic.params, 2 * x - 1))))
    norm = np.linalg.norm(slope(jnp.float32(restored)))
    np.testing.assert_allclose(measured["weight"], 0.5 * errors / norm, rtol=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [1, 2])
def test_a_step_descends_the_sum_of_the_losses(stepped, number):
    made, state, *steps = stepped
    new, measured = steps[number - 1]

    @jax.jit
    @jax.grad
    def gradient(params):
        posterior = made.network.encode(params, 2 * X - 1)
        noise = jax.vmap(lambda key: jax.random.normal(key, posterior.mean.shape[1:]))(KEYS)
        restored = (made.network.decode(params, posterior.at(noise)) + 1) / 2
        logits = made.adversary.critic.apply(new.critic.params, 2 * restored - 1)
        verdict = measured["weight"] * jnp.mean(jax.nn.softplus(-logits))
        return 2 * jnp.mean(jnp.abs(restored - X)) + 1e-2 * kl_divergence(posterior) + verdict

    # Adam's first moment tells the gradient, which its step, about a sign, does not.
    for found, expected in zip(
        jax.tree.leaves(new.opt_state[0].mu), jax.tree.leaves(gradient(state.params)), strict=True
    ):
        np.testing.assert_allclose(found, 0.5 * np.asarray(expected), rtol=2e-3, atol=1e-6)
    moved = any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (new.critic, state.critic)), strict=True))
    assert moved == (number == 2)
    norm = optax.tree.norm((new.params, new.critic.params))
    np.testing.assert_allclose(measured["parameters"], norm, rtol=1e-5)


@pytest.mark.slow
def test_perceptual_errors_and_fixed_weights_take_part():
    colours = SIZES._replace(in_channels=3, out_channels=3)
    patches = PatchLoss(weight=0.5, critic=CRITIC._replace(channels=3), balanced=False)
    losses = AutoencoderLosses(pixel=0.0, perceptual=2.0, adversarial=patches)
    changes = {"data": DenoiserCrops(source="photos", size=32), "network": colours, "losses": losses}
    made = autoencoder_procedure(recipe(**changes))
    state = jax.jit(functools.partial(start_autoencoder, procedure=made))(KEY)
    x = jax.random.uniform(KEY, (1, 32, 32, 3))
    _, measured = jax.jit(functools.partial(autoencoder_step, procedure=made))(KEYS[:1], state, x, 0)
    assert set(measured) == {"perceptual", "kl", "critic", "adversarial", "weight", "loss", "parameters"}
    posterior = jax.jit(made.network.encode)(state.params, 2 * x - 1)
    latents = posterior.at(jax.random.normal(KEYS[0], posterior.mean.shape[1:])[None])
    restored = (jax.jit(made.network.decode)(state.params, latents) + 1) / 2
    network, expected = perceptual_network("alexnet"), 0.0
    for weights, *taps in zip(network.weights, network.taps(restored), network.taps(x), strict=True):
        found, wanted = (
            np.float64(tap) / (np.linalg.norm(np.float64(tap), axis=-1, keepdims=True) + 1e-10) for tap in taps
        )
        expected += ((found - wanted) ** 2 @ np.float64(weights)).mean()
    np.testing.assert_allclose(measured["perceptual"], expected, rtol=1e-3)
    parts = (2, "perceptual"), (1e-6, "kl"), (0.5, "adversarial")
    np.testing.assert_allclose(measured["loss"], sum(w * measured[name] for w, name in parts), rtol=1e-4)


def run(task, devices, *, steps=4, **options):
    """The averaged run, from its start, on so many devices."""
    state, data = task.start(digits("train")[:50], None)
    if devices == 1:
        state, data = jax.device_put((state, data), jax.devices()[0])
    step = with_average(task.step, decay=0.5)
    return run_steps(step, Averaged(state, state.params), data, steps=steps, chunk=3, **options), data


@pytest.fixture(scope="module")
def alone():
    return run(task_of(recipe()), 1)[0]


@pytest.mark.slow
def test_eight_devices_give_what_one_gives(alone):
    spread, (_, _, slots) = run(task_of(recipe()), 8)
    assert len(slots.sharding.device_set) == 8
    for name, values in spread.history.items():
        # Adam magnifies the rounding of sums in another order wherever a gradient is next to nothing.
        np.testing.assert_allclose(values, alone.history[name], rtol=2e-3, atol=1e-4, err_msg=name)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(spread.state))


@pytest.mark.slow
def test_a_run_that_goes_on_is_the_whole_run(tmp_path, alone):
    checkpoints = Checkpoints(tmp_path, 3)
    run(task_of(recipe()), 1, steps=3, checkpoints=checkpoints)
    found, _ = run(task_of(recipe()), 1, checkpoints=checkpoints)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (found.history["critic"] > 0).tolist() == [False, False, True, True]


@pytest.mark.thorough
def test_a_run_ends_with_a_file_that_holds_the_autoencoder_and_how_it_was_made(tmp_path):
    done = drive(task_of(recipe()), tmp_path, command="jaxpr train tiny", progress=False)
    packed = read_autoencoder(done.weights)
    assert packed.config == SIZES
    assert (packed.metadata["command"], packed.metadata["data"]) == ("jaxpr train tiny", "digits-train")
    assert packed.metadata["recipe"]["losses"]["adversarial"]["critic"]["kind"] == "PatchCriticConfig"
    assert autoencoder_kl(SIZES).encode(packed.params, X).mean.shape == (4, 4, 4, 2)
    with Image.open(tmp_path / "tiny" / "samples" / "step-0000004.png") as picture:
        assert picture.height * 4 == picture.width  # two rows of eight
    again = recipe(name="again", begin_with="tiny")
    begun, _ = task_of(again).start(digits("train")[:10], done.weights.read_bytes())
    np.testing.assert_array_equal(
        *(jax.tree.leaves(tree)[0] for tree in (begun.params, jax.tree.map(np.asarray, packed.params)))
    )
    other = recipe(network=SIZES._replace(latent_channels=1))
    with pytest.raises(InputError, match="begin_with: found AutoencoderKLConfig"):
        task_of(other).start(digits("train")[:10], done.weights.read_bytes())


COLOURS = SIZES._replace(in_channels=3, out_channels=3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"network": None}, "network: found None, expected an AutoencoderKLConfig"),
        ({"network": SIZES._replace(out_channels=3)}, "network: found out_channels 3, expected 1"),
        ({"network": SIZES._replace(norm_num_groups=3)}, r"block_out_channels: found \(4, 4\) channels"),
        ({"data": DenoiserCrops(source="digits", size=7)}, "size: found 7, expected a multiple of 2"),
        ({"data": DenoiserCrops(source="digits", size=4)}, "size: found 4, expected 6 or more for the critic"),
        ({"losses": AutoencoderLosses()}, "perceptual: found images of 1 channels, expected 3, or weight 0"),
        ({"network": COLOURS}, "critic: found 1 channels, expected 3"),
    ],
)
def test_recipes_refuse_what_cannot_be_trained(changes, expected):
    with pytest.raises(InputError, match=expected):
        recipe(**changes)


@pytest.mark.parametrize(
    ("part", "options", "expected"),
    [
        (AutoencoderLosses, {"pixel": 0.0, "perceptual": 0.0}, "pixel, perceptual: found none"),
        (AutoencoderLosses, {"kl": -1.0}, "kl: found -1"),
        (AutoencoderLosses, {"perceptual_network": "inception"}, "perceptual_network: found 'inception'"),
        (PatchLoss, {"weight": 1.0, "critic": None}, "critic: found None, expected a PatchCriticConfig"),
        (PatchLoss, {"weight": 0.0, "critic": CRITIC}, "weight: found 0"),
        (PatchLoss, {"weight": 1.0, "critic": CRITIC, "critic_from": -1}, "critic_from: found -1"),
    ],
)
def test_losses_refuse_what_cannot_be(part, options, expected):
    with pytest.raises(InputError, match=expected):
        part(**options)


def test_images_of_other_channels_are_refused(tmp_path):
    colours = recipe(data=DenoiserCrops(source="photos", size=8))
    with pytest.raises(InputError, match="source: found images of 3 channels, expected 1"):
        drive(task_of(colours), tmp_path, command="", progress=False)


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_the_config_of_autoencoders_has_recipes_of_every_scale(scale):
    assert list(load_recipes("autoencoders", scale)) == ["photos-kl4", "photos-kl8"]
