"""The toy GANs: fast losses against plain ones, penalties against their definitions, schedules, trained ensembles."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxpr.attacks import l2_adam
from jaxpr.core import InputError
from jaxpr.toys import (
    denoiser_losses,
    denoiser_optimizers,
    denoising_gaussian,
    plain_denoiser_losses,
    planar_losses,
    planar_optimizers,
    start_denoiser,
    start_planar,
    toy_denoiser,
    toy_restorer,
    uniform_disk,
)
from jaxpr.training import (
    adversarial_robustness,
    critic_loss,
    fit_gan,
    generator_loss,
    r1_penalty,
)
from jaxpr.transport import joint_emd

KEY = jax.random.key(0)
WIDTH = 16
ATTACK = functools.partial(l2_adam, epsilon=1e-3, steps=4, learning_rate=1e-4)
STEP = jnp.int32(0)


@pytest.fixture
def denoiser():
    """A state whose critic is not flat, and a minibatch."""
    state = start_denoiser(KEY)
    batch = denoising_gaussian(noise_std=1.0).sample(jax.random.key(1), 128)
    return state.generator, 3 * state.critic, tuple(batch)


@pytest.mark.thorough
@pytest.mark.parametrize("network", ["generator", "critic"])
def test_fast_losses_are_the_plain_ones(denoiser, network):
    generator, critic, batch = denoiser
    argument = {"generator": 0, "critic": 1}[network]
    fast, plain = (
        jax.value_and_grad(getattr(losses(), network), argnums=argument)(
            generator, critic, jax.random.key(2), batch, STEP, 0.3
        )
        for losses in (denoiser_losses, plain_denoiser_losses)
    )
    np.testing.assert_allclose(fast[0], plain[0], rtol=1e-5)
    assert float(jnp.abs(plain[1]).max()) > 1e-3
    # float32: sums over 128 examples in another order
    np.testing.assert_allclose(fast[1], plain[1], rtol=0, atol=1e-5 * float(jnp.abs(plain[1]).max()) + 1e-7)


def test_networks_are_those_of_the_paper(denoiser):
    generator, critic, _ = denoiser
    hidden = 5 * (16 * 16 + 16) + (16 + 1)  # of seven layers, all but the first
    assert generator.shape == ((1 + 1) * 16 + hidden,)
    assert critic.shape == ((2 + 1) * 16 + hidden,)


def test_rates_halve_from_the_middle_on():
    for steps, rate, critic_rate in ((100_000, 1e-4, 1e-4), (1000, 2e-4, 2e-3)):
        optimizers = denoiser_optimizers(steps=steps, rate=rate, critic_rate=critic_rate)
        for optimizer, first in zip(optimizers, (rate, critic_rate), strict=True):
            state = optimizer.init(jnp.zeros(1))

            def size_at(count, optimizer=optimizer, state=state):
                # Adam's first step has the size of the rate, whatever the gradient.
                moved = jax.tree.map(lambda leaf: leaf, state)
                schedule = moved[1]._replace(count=jnp.int32(count))
                return -float(optimizer.update(jnp.ones(1), (moved[0], schedule))[0][0])

            for share, halvings in ((0, 0), (0.501, 0), (0.549, 0), (0.551, 1), (0.601, 2), (0.951, 9), (0.999, 9)):
                assert size_at(int(share * steps)) == pytest.approx(first / 2**halvings, rel=1e-5), share


def test_restorations_keep_y_and_vary_with_the_key_only_if_stochastic():
    generator = start_planar(KEY, width=WIDTH).generator
    y = jnp.linspace(-1, 1, 9)[:, None]
    for span in (0.0, 1.0):
        restore = toy_restorer(generator, width=WIDTH, span=span)
        first, second = (restore(jax.random.key(seed), y) for seed in (1, 2))
        np.testing.assert_array_equal(first[:, :1], y)
        assert bool(jnp.array_equal(first, second)) == (span == 0)
    for wrong in (jnp.zeros(9), jnp.zeros((9, 2))):
        with pytest.raises(InputError, match="y: found "):
            toy_restorer(generator, width=WIDTH, span=0.0)(KEY, wrong)
        with pytest.raises(InputError, match="y: found "):
            toy_denoiser(start_denoiser(KEY).generator)(wrong)


@pytest.mark.thorough
def test_planar_losses_are_their_definitions():
    state = start_planar(KEY, width=WIDTH)
    critic, key, options = 3 * state.critic, jax.random.key(3), (jnp.float32(2e5), jnp.float32(1.0))
    batch = uniform_disk().sample(jax.random.key(4), 32).x
    losses = planar_losses(width=WIDTH, attack=ATTACK, draws=3)
    plain = planar_losses(width=WIDTH, attack=ATTACK, draws=3, penalty=0.0)

    with_penalty = losses.critic(state.generator, critic, key, batch, STEP, options)
    without = plain.critic(state.generator, critic, key, batch, STEP, options)
    logits = functools.partial(_logits, critic)
    restore = toy_restorer(state.generator, width=WIDTH, span=1.0)
    fake = restore(key, batch[:, :1])
    np.testing.assert_allclose(without, critic_loss(logits(batch), logits(fake)), rtol=1e-5)
    np.testing.assert_allclose(with_penalty - without, 5 * r1_penalty(logits, batch), rtol=1e-3)

    k_draw, k_robust = jax.random.split(key)
    gan = generator_loss(logits(restore(k_draw, batch[:, :1])))
    robust = adversarial_robustness(k_robust, restore, batch[:, :1], attack=ATTACK, draws=3)
    for step, share in ((1, 0), (2, 1), (3, 0), (5, 1)):
        found = jax.jit(losses.generator)(state.generator, critic, key, batch, jnp.int32(step), options)
        np.testing.assert_allclose(found, gan + share * options[0] * robust, rtol=1e-5)
    unrobust = planar_losses(width=WIDTH)
    np.testing.assert_allclose(unrobust.generator(state.generator, critic, key, batch, jnp.int32(2), options), gan)
    assert options[0] * robust > 0.01 * gan


def _logits(critic, points):
    """Five layers in plain NumPy order: weights and biases lie one after the other in the vector."""
    sizes, place, x = (2, WIDTH, WIDTH, WIDTH, WIDTH, 1), 0, points.T
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weight = critic[place : place + fan_in * fan_out].reshape(fan_out, fan_in)
        bias = critic[place + fan_in * fan_out : place + (fan_in + 1) * fan_out][:, None]
        place += (fan_in + 1) * fan_out
        x = weight @ x + bias
        x = jnp.maximum(x, 0) if index < len(sizes) - 2 else x
    assert place == critic.size
    return x[0]


@pytest.mark.slow
def test_a_member_of_an_ensemble_trains_as_it_would_alone():
    data = uniform_disk().sample(jax.random.key(5), 500).x
    keys = jax.random.split(jax.random.key(6), 2)
    options = (jnp.array([0.0, 1e3]), jnp.array([0.0, 1.0]))
    state = jax.vmap(functools.partial(start_planar, width=WIDTH))(keys)
    train = functools.partial(
        fit_gan,
        data=data,
        losses=planar_losses(width=WIDTH, attack=ATTACK, draws=2),
        optimizers=planar_optimizers(),
        steps=4,
        batch_size=16,
    )
    together = train(keys, state, options=options)
    for i in range(2):
        alone = train(keys[i], jax.tree.map(lambda leaf, i=i: leaf[i], state), options=tuple(o[i] for o in options))
        # Adam turns the rounding of tiny gradients into steps of up to its rate of 1e-4.
        np.testing.assert_allclose(together.state.generator[i], alone.state.generator, atol=1e-5)


@pytest.mark.slow
def test_fast_training_ends_like_plain_training():
    """Rounding makes each run go its own way; over seeds K̄ and JEMD are distributed alike."""
    law, seeds, steps = denoising_gaussian(noise_std=1.0), 16, 4000
    pairs = law.sample(jax.random.key(7), 20_000)
    keys = jax.random.split(jax.random.key(8), seeds)
    real, other = law.sample(jax.random.key(9), 1000), law.sample(jax.random.key(10), 1000)
    ends = []
    for losses in (denoiser_losses(), plain_denoiser_losses()):
        run = fit_gan(
            keys,
            jax.vmap(start_denoiser)(keys),
            tuple(pairs),
            losses=losses,
            optimizers=denoiser_optimizers(steps=steps, rate=1e-3, critic_rate=1e-2),
            steps=steps,
            batch_size=128,
            options=jnp.full(seeds, 0.03),
        )
        outputs = [toy_denoiser(generator)(other.y) for generator in run.state.generator]
        slopes = [
            float(jnp.mean(jnp.abs(x - toy_denoiser(generator)(other.y + 0.4)))) / 0.4
            for x, generator in zip(outputs, run.state.generator, strict=True)
        ]
        distances = [joint_emd(tuple(real), (x, other.y), cost="l1").value for x in outputs]
        ends.append((np.array(slopes), np.array(distances)))
    for fast, plain in zip(*ends, strict=True):
        # By ranks, because a run in many has not settled yet.
        assert scipy.stats.mannwhitneyu(fast, plain).pvalue > 0.01
