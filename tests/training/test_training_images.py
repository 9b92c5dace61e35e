"""Training of image restorers: single steps from their parts, sharded runs, exact continuation, an end at NaN."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpr.attacks import l2_adam
from jaxpr.data import digits
from jaxpr.metrics import lpips
from jaxpr.models.discriminators import UNetCriticConfig, VggCriticConfig
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig
from jaxpr.training import (
    Adam,
    AdversarialLoss,
    Checkpoints,
    Crops,
    DivergenceError,
    NetworkSettings,
    RestorerLosses,
    RestorerRecipe,
    RobustnessLoss,
    adversarial_robustness,
    critic_loss,
    generator_loss,
    run_steps,
    sharded,
)
from jaxpr.training.images import crop_step, restorer_step, start_restorer
from jaxpr.training.losses import Adversary, absolute_error, critic_objective, perceptual_error, squared_error
from jaxpr.training.pool import draw_crops, image_pool
from jaxpr.training.restorer_task import build_procedure
from jaxpr.weights import perceptual_network

KEY = jax.random.key(6)
ATTACK = functools.partial(l2_adam, epsilon=0.2, steps=2, learning_rate=1.0)
CRITIC = VggCriticConfig(size=8, channels=1, width=2)
ADVERSARIAL = AdversarialLoss(weight=1.0, critic=CRITIC)
LOSSES = RestorerLosses(pixel=0.5, adversarial=ADVERSARIAL, robustness=RobustnessLoss(weight=2.0, draws=2, examples=3))
RECIPE = RestorerRecipe(
    name="tiny",
    data=Crops(source="digits", size=8, degradation="inpaint-top-0.75"),
    network=NetworkSettings(sizes=UNetConfig(channels=1, width=2, scales=1), stochastic=True),
    losses=LOSSES,
    optimizer=Adam(steps=9, batch=8, rate=1e-2, critic_rate=1e-2),
)
X = jnp.asarray(np.stack(list(digits("train")[:8])))
KEYS = jax.random.split(KEY, 8)
CLOSE = {"rtol": 2e-4, "atol": 2e-6}  # gradients of some ten float32 layers


def procedure(losses=LOSSES, *, stochastic=True):
    network = dataclasses.replace(RECIPE.network, stochastic=stochastic)
    made = build_procedure(dataclasses.replace(RECIPE, losses=losses, network=network))
    return made if made.robustness is None else made._replace(robustness=made.robustness._replace(attack=ATTACK))


@pytest.fixture(scope="module")
def everything():
    """The procedure with all losses, its state, and a compiled step."""
    made = procedure()
    return (
        made,
        jax.jit(functools.partial(start_restorer, procedure=made))(KEY),
        jax.jit(functools.partial(restorer_step, procedure=made)),
    )


def assert_close(found, expected, **tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, **(tolerance or CLOSE))


@pytest.mark.thorough
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_step_is_the_sum_of_its_parts(everything, step):
    """Eq. (8) of [ohayon2023], differentiated as a whole; the robustness loss is in every third step."""
    made, state, compiled = everything
    new, measured = compiled(KEYS, state, X, step)
    k_degrade, k_seed, k_robust = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(KEYS)
    y = made.degrade(k_degrade, X)
    z = made.restorer.seeds(k_seed, y)
    adam = made.optimizers[0]

    @jax.jit
    def whole():
        fake, renewed = made.restorer.train(state.params, y, z)
        down, slope = jax.value_and_grad(critic_objective)(state.critic, made.adversary, X, fake, y)
        critic = optax.apply_updates(state.critic, made.optimizers[1].update(slope, state.critic_optimizer)[0])

        def loss(params):
            fake, _ = made.restorer.train(params, y, z)
            logits = made.adversary.critic.apply(critic, 2 * fake - 1)
            parts = {"pixel": jnp.mean(jnp.abs(fake - X)), "adversarial": jnp.mean(jax.nn.softplus(-logits))}
            sampler = lambda key, y: made.restorer.apply(params, y, made.restorer.seeds(key, y))  # noqa: E731
            robust = adversarial_robustness(k_robust[0], sampler, y[:3], attack=ATTACK, draws=2)
            parts["robustness"] = jnp.where(step % 3 == 2, robust, 0.0)
            return 0.5 * parts["pixel"] + parts["adversarial"] + 2 * parts["robustness"], parts

        (total, parts), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        return parts | {"loss": total, "critic": down}, critic, gradient, renewed

    parts, critic, gradient, renewed = whole()
    assert set(measured) == {*parts, "parameters"}
    for name, value in parts.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-4, err_msg=name)
    assert (measured["robustness"] > 0) == (step == 2)
    np.testing.assert_allclose(measured["parameters"], optax.tree.norm((new.params, new.critic)), rtol=1e-5)
    assert_close(new.critic, critic)
    # Adam's first step is the sign of the gradient, whatever rounding does to its size; its first moment tells that.
    moments = jax.tree.map(lambda fixed, g: 0 * g if fixed else 0.5 * g, made.restorer.statistics, gradient)
    assert_close(new.optimizer[0].mu, moments, rtol=1e-3, atol=1e-4)
    updates, _ = adam.update(jax.tree.map(lambda m: 2 * m, new.optimizer[0].mu), state.optimizer)
    moved = optax.apply_updates(state.params, updates)
    expected = jax.tree.map(lambda fixed, a, b: a if fixed else b, made.restorer.statistics, renewed, moved)
    assert_close(new.params, expected)


@pytest.mark.thorough
def test_parts_without_weight_are_left_out():
    made = procedure(RestorerLosses(pixel=0.5), stochastic=False)
    assert made.adversary is made.robustness is None
    state = start_restorer(KEY, made)
    assert state.critic == {}
    _, measured = jax.eval_shape(functools.partial(restorer_step, procedure=made), KEYS, state, X, 0)
    assert set(measured) == {"pixel", "loss", "parameters"}


@pytest.mark.thorough
def test_training_goes_on_from_given_parameters(everything):
    made, state, _ = everything
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + 1, state.params)
    again = start_restorer(KEY, made, params=params)
    assert_close(again.params, params)
    assert_close(again.critic, state.critic)


def test_conditional_critics_see_the_measurement():
    critic = VggCriticConfig(size=8, channels=2, width=2)
    adversarial = AdversarialLoss(weight=1.0, critic=critic, conditional=True)
    made = procedure(RestorerLosses(adversarial=adversarial))
    seen = []
    critic = made.adversary.critic._replace(apply=lambda params, x: seen.append(x) or jnp.zeros(len(x)))
    y = made.degrade(KEYS, X)
    made.adversary._replace(critic=critic).logits({}, X, y)
    np.testing.assert_allclose(seen[0], jnp.concatenate([2 * X - 1, 2 * y - 1], axis=-1), atol=1e-6)


@pytest.mark.thorough
def test_critics_of_pixels_are_penalised_by_their_mean():
    weights = jnp.arange(1.0, 17).reshape(4, 4)
    pixels = AdversarialLoss(weight=1.0, critic=UNetCriticConfig(channels=1, width=1))
    critic = procedure(RestorerLosses(adversarial=pixels)).adversary.critic._replace(
        apply=lambda params, x: params * x[..., :1] * weights[None, ..., None]
    )
    adversary = Adversary(critic, 1.0, penalty=3.0)
    real, fake = jax.random.uniform(KEY, (2, 5, 4, 4, 1))
    found = critic_objective(jnp.float32(2.0), adversary, real, fake, real)
    logits = [2 * (2 * x - 1) * weights[None, ..., None] for x in (real, fake)]
    slope = 2 * 2 * weights / 16  # the mean over 16 pixels; intensities are stretched by two
    np.testing.assert_allclose(found, critic_loss(*logits) + 3 / 2 * jnp.sum(slope**2), rtol=1e-5)
    gradient = jax.grad(lambda fake: critic_objective(jnp.float32(2.0), adversary, real, fake, real))(fake)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.thorough
def test_losses_by_hand():
    x, y = jnp.array([[0.0, 1.0], [0.5, 0.5]]), jnp.array([[0.5, 1.0], [0.5, 0.0]])
    assert float(absolute_error(x, y)) == 0.25
    assert float(squared_error(x, y)) == 0.125
    network = perceptual_network("alexnet")
    a, b = jax.random.uniform(KEY, (2, 2, 32, 32, 3))
    np.testing.assert_allclose(perceptual_error(network)(a, b), jnp.mean(lpips(a, b, network=network)), rtol=1e-6)


def run(made, slots, *, steps=6, state=None, **options):
    pool = image_pool(digits("train")[:50], smallest=8)
    state = start_restorer(KEY, made) if state is None else state
    step = crop_step(made, size=8, symmetries=1)
    return run_steps(step, state, (KEY, pool, slots), steps=steps, chunk=3, **options)


@pytest.fixture(scope="module")
def alone():
    return run(procedure(), jnp.arange(8))


@pytest.mark.slow
def test_eight_devices_give_what_one_gives(alone):
    slots = sharded(jnp.arange(8))
    assert len(slots.sharding.device_set) == 8
    everywhere = jax.sharding.NamedSharding(slots.sharding.mesh, jax.P())
    made = procedure()
    spread = run(made, slots, state=jax.device_put(start_restorer(KEY, made), everywhere))
    for name, values in spread.history.items():
        # Adam magnifies the rounding of sums in another order wherever a gradient is next to nothing.
        np.testing.assert_allclose(values, alone.history[name], rtol=2e-3, atol=1e-4, err_msg=name)
    assert_close(spread.state.params, alone.state.params, rtol=0.02, atol=2e-3)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(spread.state))
    assert len(jax.tree.leaves(spread.state.params)[0].sharding.device_set) == 8


@pytest.mark.slow
def test_a_run_that_goes_on_is_the_whole_run(tmp_path, alone):
    seen = []
    checkpoints = Checkpoints(tmp_path, 3)
    watch = lambda step, state, history: seen.append((step, len(history["loss"])))  # noqa: E731
    run(procedure(), jnp.arange(8), steps=3, checkpoints=checkpoints, watch=watch)
    found = run(procedure(), jnp.arange(8), checkpoints=checkpoints, watch=watch)
    assert seen == [(3, 3), (6, 6)]
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (found.history["robustness"] > 0).tolist() == [False, False, True] * 2


@pytest.mark.thorough
def test_divergence_names_the_step():
    made = procedure(RestorerLosses(pixel=0.5), stochastic=False)  # whatever the losses are: the fewest to compile
    poisoned = made._replace(degrade=lambda keys, x: made.degrade(keys, x).at[0].set(jnp.nan))
    with pytest.raises(DivergenceError, match="found nan at step 0"):
        run(poisoned, jnp.arange(8))


@pytest.mark.slow
def test_an_rrdbnet_learns_and_a_perceptual_loss_takes_part():
    recipe = RestorerRecipe(
        name="photograph",
        data=Crops(source="photos", size=64, degradation="bicubic-x4"),
        network=NetworkSettings(sizes=RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4)),
        losses=RestorerLosses(pixel=1.0, perceptual=0.1),
        optimizer=Adam(steps=40, batch=4, rate=2e-3, betas=(0.9, 0.99)),
    )
    made = build_procedure(recipe)
    ramp = np.linspace(0, 1, 96, dtype=np.float32)
    image = 0.5 + 0.5 * np.sin(40 * ramp[:, None, None] * ramp[None, :, None] * np.array([1.0, 1.5, 2.0]))
    pool = image_pool([image.astype(np.float32)], smallest=64)
    first = start_restorer(KEY, made)
    found = run_steps(crop_step(made, size=64, symmetries=8), first, (KEY, pool, jnp.arange(4)), steps=40)
    assert (found.history["perceptual"] > 0).all()
    x = draw_crops(jax.random.split(KEY, 8), pool, size=64, symmetries=8)
    y = made.degrade(jax.random.split(KEY, 8), x)
    before, after = (absolute_error(made.restorer.apply(s.params, y, ()), x) for s in (first, found.state))
    assert after < 0.95 * before


@pytest.mark.thorough
def test_generator_loss_is_used_with_the_new_critic(everything):
    made, state, compiled = everything
    new, measured = compiled(KEYS, state, X, 0)
    k_degrade, k_seed, _ = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(KEYS)
    y = made.degrade(k_degrade, X)

    @jax.jit
    def loss(critic):
        fake, _ = made.restorer.train(state.params, y, made.restorer.seeds(k_seed, y))
        return generator_loss(made.adversary.logits(critic, fake, y))

    new_loss, old_loss = loss(new.critic), loss(state.critic)
    np.testing.assert_allclose(measured["adversarial"], new_loss, rtol=1e-4)
    assert abs(new_loss - old_loss) > 1e-3
