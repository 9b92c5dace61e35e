"""Losses and steps of adversarial training against closed forms, float64 NumPy, and PyTorch beside."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpr.attacks import l2_adam
from jaxpr.core import InputError
from jaxpr.training import (
    DivergenceError,
    GanLosses,
    adversarial_robustness,
    critic_loss,
    fit_gan,
    gan_step,
    generator_loss,
    r1_penalty,
    random_robustness,
    start_gan,
)

KEY = jax.random.key(4)
QUICK = jax.random.key(4, impl="rbg")  # compiles faster than threefry
FLOAT32 = 1e-5  # relative; sums of at most some hundred terms
OPTIMIZERS = (optax.sgd(0.1), optax.sgd(0.2))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softplus(z):
    return np.logaddexp(0, np.float64(z))


@pytest.mark.parametrize("shape", [(7,), (5, 1), (2, 3, 4)])
def test_losses_in_float64(shape):
    real, fake = 3 * normal(*shape), 3 * normal(*shape, seed=1)
    # -log σ(z) and -log(1 - σ(z)), written out
    sigmoid = lambda z: 1 / (1 + np.exp(-np.float64(z)))  # noqa: E731
    np.testing.assert_allclose(generator_loss(fake), -np.log(sigmoid(fake)).mean(), rtol=FLOAT32)
    expected = -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()
    np.testing.assert_allclose(critic_loss(real, fake), expected, rtol=FLOAT32)


def test_losses_of_confident_critics_neither_overflow_nor_lose_their_slope():
    for logit in (-80.0, 0.0, 80.0):
        value, slope = jax.value_and_grad(generator_loss)(jnp.array([logit]))
        np.testing.assert_allclose(value, softplus(-logit), rtol=FLOAT32)
        np.testing.assert_allclose(slope, [-1 / (1 + np.exp(np.float64(logit)))], rtol=FLOAT32)
    np.testing.assert_allclose(critic_loss(jnp.array([-100.0]), jnp.array([100.0])), 200, rtol=FLOAT32)
    np.testing.assert_allclose(critic_loss(jnp.zeros(3), jnp.zeros(3)), 2 * np.log(2), rtol=FLOAT32)


def test_r1_of_a_quadratic_critic():
    # D(x) = xᵀ A x / 2 + bᵀ x has the gradient (A + Aᵀ) x / 2 + b.
    matrix, slope, x = normal(3, 3), normal(3, seed=1), normal(10, 3, seed=2)
    found = r1_penalty(lambda x: 0.5 * jnp.einsum("ni,ij,nj->n", x, matrix, x) + x @ slope, x)
    gradient = np.float64(x) @ np.float64(matrix + matrix.T) / 2 + slope
    np.testing.assert_allclose(found, np.sum(gradient**2) / 10, rtol=FLOAT32)


def test_r1_of_a_tree_counts_all_its_leaves_and_no_condition():
    x, y = normal(10, 3), normal(10, 2, 2, seed=1)

    def critic(pair):
        return jnp.sum(jnp.square(pair["x"]), axis=1) * jnp.sum(pair["y"], axis=(1, 2))

    squared, total = np.sum(np.float64(x) ** 2, axis=1), np.sum(np.float64(y), axis=(1, 2))
    of_x, of_y = 4 * np.mean(squared * total**2), 4 * np.mean(squared**2)  # y has four entries
    np.testing.assert_allclose(r1_penalty(critic, {"x": x, "y": y}), of_x + of_y, rtol=FLOAT32)
    np.testing.assert_allclose(r1_penalty(lambda x: critic({"x": x, "y": y}), x), of_x, rtol=FLOAT32)


def test_r1_is_differentiable_in_the_critic():
    x, w = normal(10, 3), normal(3, seed=1)
    # D = w·x + (w·x)²/2 has the squared gradient |w|² (1 + w·x)².
    found = jax.grad(lambda w: r1_penalty(lambda x: x @ w + jnp.square(x @ w) / 2, x))(w)
    w, inner = np.float64(w), 1 + np.float64(x) @ np.float64(w)
    expected = 2 * w * np.mean(inner**2) + 2 * np.sum(w**2) * np.mean(inner[:, None] * x, axis=0)
    np.testing.assert_allclose(found, expected, rtol=10 * FLOAT32)  # of two products of sums


@pytest.mark.parametrize("variance", [0.0, 0.2, 3.0])
def test_random_robustness_of_a_linear_map(variance):
    matrix, count = normal(3, 4), 100_000
    y = jnp.ones((count, 4))
    found = float(random_robustness(KEY, lambda y: y @ matrix.T, y, variance=variance))
    # E |A Z|² = variance |A|²_F with variance 2 |AᵀA|²_F variance² for one draw; five standard errors.
    error = float(np.sqrt(2 * np.sum((matrix.T @ matrix) ** 2) / count)) * variance
    assert found == pytest.approx(variance * float(np.sum(matrix**2)), abs=5 * error + 1e-12)


def test_random_robustness_of_images_asks_once_and_sums_over_pixels():
    calls = []

    def estimator(y):
        calls.append(y.shape)
        return jnp.tile(y, (1, 2, 2, 1))

    y = normal(6, 4, 4, 3)
    found = random_robustness(KEY, estimator, y, variance=0.5)
    assert calls == [(12, 4, 4, 3)]
    noise = np.sqrt(0.5) * np.float64(jax.random.normal(KEY, y.shape))
    np.testing.assert_allclose(found, 4 * np.sum(noise**2) / 6, rtol=FLOAT32)
    for bad in (-1.0, np.nan):
        with pytest.raises(InputError, match="variance: found"):
            random_robustness(KEY, estimator, y, variance=bad)


EPSILON = 0.3


def steepest(key, objective, y, matrix):
    """The exact attack on y -> A y: along the first right singular vector."""
    return y + EPSILON * np.linalg.svd(matrix)[2][0]


def test_adversarial_robustness_of_a_linear_map():
    matrix, y = normal(3, 4), normal(5, 4, seed=1)
    attack = functools.partial(steepest, matrix=matrix)
    worst = EPSILON**2 * np.linalg.norm(np.float64(matrix), 2) ** 2
    found = adversarial_robustness(KEY, lambda key, y: y @ matrix.T, y, attack=attack, draws=1)
    np.testing.assert_allclose(found, worst, rtol=FLOAT32)
    # What the sampler adds to every output cancels, because both sides get the same seeds.
    noisy = lambda key, y: y @ matrix.T + jax.random.normal(key, (len(y), 3))  # noqa: E731
    found = adversarial_robustness(KEY, noisy, y, attack=attack, draws=8)
    np.testing.assert_allclose(found, worst, rtol=10 * FLOAT32)


def test_the_attacks_of_the_library_reach_the_worst_case():
    # Adam turns every coordinate at one rate, so that it meets the direction well only where the map is isotropic.
    matrix, y = 2 * np.linalg.qr(normal(3, 3))[0], normal(5, 3, seed=1)
    attack = functools.partial(l2_adam, epsilon=EPSILON, steps=5, learning_rate=1.0)
    found = adversarial_robustness(KEY, lambda key, y: y @ matrix.T, y, attack=attack, draws=1)
    np.testing.assert_allclose(found, 4 * EPSILON**2, rtol=10 * FLOAT32)


def test_the_objective_is_the_mean_over_the_seeds_that_are_measured():
    y, seen = normal(5, 2), []

    def sampler(key, y):
        return y * jax.random.uniform(key)  # a slope of its own for each seed

    def attack(key, objective, y):
        seen.append(objective(y + 1))
        return y + 1

    found = adversarial_robustness(KEY, sampler, y, attack=attack, draws=6)
    assert seen[0].shape == (5,)
    np.testing.assert_allclose(found, jnp.mean(seen[0]), rtol=FLOAT32)
    slopes = seen[0] / 2  # two coordinates, moved by one each
    np.testing.assert_allclose(slopes, slopes[0], rtol=10 * FLOAT32)  # a difference of outputs of order one
    assert 0.05 < slopes[0] < 0.95


def test_seeds_differ():
    drawn = []

    def sampler(key, y):
        u = jax.random.uniform(key)
        jax.debug.callback(lambda u: drawn.append(float(u)), u)
        return y * u

    adversarial_robustness(KEY, sampler, normal(2, 2), attack=lambda key, objective, y: y + 1, draws=16)
    jax.effects_barrier()
    assert len(set(drawn)) == 16  # of outputs at y and at the attacked y


def test_no_derivative_passes_through_the_search():
    y = normal(5, 2)

    def loss(slope, *, frozen):
        def attack(key, objective, y):
            return y * (2.0 if frozen else slope)  # looks at the parameter; frozen: the value it has, 2

        return adversarial_robustness(KEY, lambda key, y: slope * y, y, attack=attack, draws=1)

    # |s y' - s y|² with y' = 2 y held fixed: derivative 2 s |y|²; with y' = s y there would be another term.
    expected = 2 * 2.0 * np.sum(np.float64(y) ** 2) / 5
    for frozen in (True, False):
        np.testing.assert_allclose(jax.grad(functools.partial(loss, frozen=frozen))(2.0), expected, rtol=FLOAT32)
    with pytest.raises(InputError, match="draws: found 0"):
        adversarial_robustness(KEY, lambda key, y: y, y, attack=lambda key, f, y: y, draws=0)


def bilinear():
    """Losses g·c, which tell which critic the generator saw."""
    return GanLosses(
        generator=lambda g, c, key, batch, step, options: g * c,
        critic=lambda g, c, key, batch, step, options: g * c + batch * c,
    )


def test_the_critic_moves_first():
    state = start_gan(jnp.float32(2.0), jnp.float32(3.0), OPTIMIZERS)
    new, measured = gan_step(KEY, state, 5.0, jnp.int32(0), losses=bilinear(), optimizers=OPTIMIZERS)
    critic = 3 - 0.2 * (2 + 5)  # from the old generator
    generator = 2 - 0.1 * critic  # from the new critic
    np.testing.assert_allclose([new.critic, new.generator], [critic, generator], rtol=FLOAT32)
    np.testing.assert_allclose(measured["critic_loss"], 2 * 3 + 5 * 3, rtol=FLOAT32)
    np.testing.assert_allclose(measured["generator_loss"], 2 * critic, rtol=FLOAT32)
    np.testing.assert_allclose(measured["parameters"], np.hypot(critic, generator), rtol=FLOAT32)


def test_losses_see_keys_of_their_own_the_step_and_the_options():
    def loss(g, c, key, batch, step, options):
        return g * c + jax.random.uniform(key) + 10 * step + options["weight"]

    found = {}
    for number, weight in ((0, 0.0), (1, 0.0), (0, 100.0)):
        state = start_gan(jnp.float32(0), jnp.float32(0), OPTIMIZERS)
        _, found[number, weight] = gan_step(
            KEY, state, None, number, losses=GanLosses(loss, loss), optimizers=OPTIMIZERS, options={"weight": weight}
        )
    for name in ("generator_loss", "critic_loss"):
        first = found[0, 0.0][name]
        assert 0 < first < 1
        np.testing.assert_allclose(found[1, 0.0][name] - first, 10, rtol=FLOAT32)
        np.testing.assert_allclose(found[0, 100.0][name] - first, 100, rtol=FLOAT32)
    assert found[0, 0.0]["generator_loss"] != found[0, 0.0]["critic_loss"]


def networks(seed=0):
    """A generator 1 -> 5 -> 1 and a critic 2 -> 6 -> 1 as trees."""

    def layers(sizes, seed):
        pairs = itertools.pairwise(sizes)
        return [{"w": normal(a, b, seed=seed + i) / np.sqrt(a), "b": 0.1 * normal(1, b, seed=seed + 9)}
                for i, (a, b) in enumerate(pairs)]  # fmt: skip

    return jax.tree.map(jnp.asarray, (layers((1, 5, 1), seed), layers((2, 6, 1), seed + 50)))


def apply(layers, x):
    x = jnp.tanh(x @ layers[0]["w"] + layers[0]["b"])
    return x @ layers[1]["w"] + layers[1]["b"]


def denoising_losses(gamma=1.0, variance=0.2):
    """A conditional GAN with R₁ and a robustness loss, of the pieces; `options` is the weight."""

    def judge(critic, x, y):
        return apply(critic, jnp.concatenate([x, y], axis=1))[:, 0]

    def critic(g, c, key, batch, step, options):
        x, y = batch
        r1 = r1_penalty(lambda pair: judge(c, *pair), (x, y))
        return critic_loss(judge(c, x, y), judge(c, apply(g, y), y)) + gamma / 2 * r1

    def generator(g, c, key, batch, step, options):
        estimator, y = functools.partial(apply, g), batch[1]
        robust = random_robustness(key, estimator, y, variance=variance)
        return generator_loss(judge(c, estimator(y), y)) + options * robust

    return GanLosses(generator, critic)


def data(count=64):
    x, n = normal(count, 1), normal(count, 1, seed=1)
    return x, x + n


ADAM = (optax.adam(1e-2, b1=0.5, b2=0.9), optax.adam(2e-2, b1=0.5, b2=0.9))


@pytest.mark.torch
def test_steps_are_those_of_torch():
    import torch

    state, batch, weight = start_gan(*networks(), ADAM), data(16), 0.7

    def parameters(layers):
        return [{k: torch.tensor(np.asarray(v), requires_grad=True) for k, v in layer.items()} for layer in layers]

    def net(layers, x):
        return torch.tanh(x @ layers[0]["w"] + layers[0]["b"]) @ layers[1]["w"] + layers[1]["b"]

    g, c = parameters(state.generator), parameters(state.critic)
    flat = lambda layers: [p for layer in layers for p in layer.values()]  # noqa: E731
    adam_g = torch.optim.Adam(flat(g), lr=1e-2, betas=(0.5, 0.9))
    adam_c = torch.optim.Adam(flat(c), lr=2e-2, betas=(0.5, 0.9))
    cross = torch.nn.functional.binary_cross_entropy_with_logits
    step = jax.jit(functools.partial(gan_step, losses=denoising_losses(), optimizers=ADAM))
    x, y = (torch.tensor(part) for part in batch)
    for number in range(4):
        key = jax.random.fold_in(KEY, number)
        state, measured = step(key, state, batch, number, options=weight)
        z = np.sqrt(0.2) * np.asarray(jax.random.normal(jax.random.split(key)[1], (16, 1)))  # the generator's key
        pair = torch.cat([x, y], 1).requires_grad_()
        real = net(c, pair)
        (slope,) = torch.autograd.grad(real.sum(), pair, create_graph=True)
        fake = net(c, torch.cat([net(g, y).detach(), y], 1))
        down = cross(real, torch.ones_like(real)) + cross(fake, torch.zeros_like(fake))
        down = down + 0.5 * slope.square().sum(1).mean()
        adam_c.zero_grad()
        down.backward()
        adam_c.step()
        logits = net(c, torch.cat([net(g, y), y], 1))
        shift = net(g, y) - net(g, y + torch.tensor(z, dtype=torch.float32))
        up = cross(logits, torch.ones_like(logits)) + weight * shift.square().sum(1).mean()
        adam_g.zero_grad()
        up.backward()
        adam_g.step()
        np.testing.assert_allclose(measured["critic_loss"], down.item(), rtol=FLOAT32)
        np.testing.assert_allclose(measured["generator_loss"], up.item(), rtol=FLOAT32)
    for ours, theirs in ((state.generator, g), (state.critic, c)):
        for leaf, other in zip(jax.tree.leaves(ours), [p[k] for p in theirs for k in ("b", "w")], strict=True):
            # Adam divides by √v: rounding of small gradients moves a step of 1e-2 by parts in 1e4.
            np.testing.assert_allclose(leaf, other.detach(), rtol=FLOAT32, atol=1e-5)


WEIGHTS = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.float32)


def ensemble(count, key=KEY):  # rbg's draws depend on the place in a batch
    keys = jax.random.split(key, count)
    states = jax.vmap(lambda factor: start_gan(*jax.tree.map(lambda p: factor * p, networks()), ADAM))
    return keys, states(1 + jnp.arange(count) / 10), jnp.asarray(WEIGHTS[:count])


def train(keys, state, weights, steps=12, **options):
    options = {"losses": denoising_losses(), "optimizers": ADAM, "batch_size": 8, "chunk": 12, **options}
    return fit_gan(keys, state, data(), steps=steps, options=weights, **options)


@pytest.mark.thorough
def test_training_is_steps_on_minibatches_drawn_with_the_number():
    key, state, weight = QUICK, start_gan(*networks(), ADAM), jnp.float32(0.5)
    found = train(key, state, weight, steps=3, chunk=1)
    step = jax.jit(functools.partial(gan_step, losses=denoising_losses(), optimizers=ADAM))
    for number in range(3):
        k_batch, k_step = jax.random.split(jax.random.fold_in(key, number))
        chosen = np.asarray(jax.random.randint(k_batch, (8,), 0, 64))
        state, measured = step(k_step, state, tuple(part[chosen] for part in data()), number, options=weight)
        for name, value in measured.items():
            np.testing.assert_allclose(found.history[name][number], value, rtol=10 * FLOAT32)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found.state, state)


@pytest.mark.thorough
def test_chunks_change_no_numbers():
    single = QUICK, start_gan(*networks(), ADAM), jnp.float32(0.5)
    jax.tree.map(np.testing.assert_array_equal, train(*single), train(*single, chunk=3))


@pytest.mark.thorough
def test_an_ensemble_equals_its_members():
    keys, states, weights = ensemble(3)
    together = train(keys, states, weights)
    assert together.history["generator_loss"].shape == (12, 3)
    for i in range(3):
        alone = train(keys[i], jax.tree.map(lambda leaf, i=i: leaf[i], states), weights[i])
        for name, values in alone.history.items():
            np.testing.assert_allclose(together.history[name][:, i], values, rtol=10 * FLOAT32)
        # Batched products sum in another order; twelve Adam steps of 1e-2 follow.
        close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-5)
        jax.tree.map(close, jax.tree.map(lambda leaf, i=i: leaf[i], together.state), alone.state)


@pytest.mark.thorough
def test_members_with_equal_keys_see_equal_minibatches():
    keys, states, weights = ensemble(2)
    same = jax.tree.map(lambda leaf: leaf[jnp.array([0, 0])], (keys, states, weights))
    history = train(*same).history["critic_loss"]
    np.testing.assert_array_equal(history[:, 0], history[:, 1])
    other = train(keys, *same[1:]).history["critic_loss"]
    assert (other[:, 0] != other[:, 1]).all()


@pytest.mark.thorough
def test_an_ensemble_over_eight_devices_equals_one_device():
    members = ensemble(8)
    mesh = jax.make_mesh((8,), ("member",), axis_types=(jax.sharding.AxisType.Auto,))
    across = jax.sharding.NamedSharding(mesh, jax.P("member"))
    plain, spread = train(*members), train(*jax.device_put(members, across))
    for leaf in jax.tree.leaves(spread.state):
        assert len(leaf.sharding.device_set) == 8
        assert not leaf.sharding.is_fully_replicated
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-5)  # as above
    jax.tree.map(close, spread, plain)


@pytest.mark.thorough
def test_divergence_names_step_and_quantity():
    def bad(g, c, key, batch, step, options):
        return jnp.sum(g[0]["w"]) * jnp.where(step == 7, jnp.nan, 1.0)

    good = denoising_losses()
    for chunk in (3, 12):
        with pytest.raises(DivergenceError, match="generator_loss: found nan at step 7"):
            train(QUICK, start_gan(*networks(), ADAM), 0.5, losses=GanLosses(bad, good.critic), chunk=chunk)


@pytest.mark.thorough
def test_mistakes():
    keys, states, weights = ensemble(2)
    for name in ("batch_size", "chunk"):
        with pytest.raises(InputError, match=f"{name}: found 0"):
            train(keys, states, weights, **{name: 0})
    with pytest.raises(InputError, match="steps: found -1"):
        train(keys, states, weights, steps=-1)
    for key in (0, None, jnp.zeros(2, jnp.uint32), jax.random.split(QUICK, (2, 2))):
        with pytest.raises(InputError, match="key: found"):
            train(key, states, weights)
    options = {"losses": bilinear(), "optimizers": ADAM, "steps": 1, "batch_size": 1}
    for wrong in ((np.zeros((3, 2)), np.zeros(4)), np.zeros((0, 2)), {}, None):
        with pytest.raises(InputError, match="data: found leading axes"):
            fit_gan(keys, states, wrong, options=weights, **options)
    alone = start_gan(*networks(), ADAM)
    for state, option in ((alone, weights), (states, weights[:1]), (states, 0.5), (ensemble(3)[1], weights)):
        with pytest.raises(InputError, match=r"state and options: found leading axes .*, expected the 2 of the keys"):
            train(keys, state, option)
