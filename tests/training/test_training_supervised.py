import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpr.core import InputError
from jaxpr.training import (
    DivergenceError,
    augment,
    classification_loss,
    minibatch_step,
    run_steps,
    start,
    train_step,
)

KEY = jax.random.key(5)
QUICK = jax.random.key(5, impl="rbg")  # compiles faster than threefry
SGD = optax.sgd(0.1)


def regression():
    """Data of a noiseless linear law, and its slope."""
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    slope = np.array([1.0, -2.0, 0.5], np.float32)
    return (x, x @ slope), slope


def squared(params, key, batch):
    x, wanted = batch
    return jnp.mean(jnp.square(x @ params["w"] - wanted))


def begin(optimizer=SGD):
    return start({"w": jnp.zeros(3)}, optimizer)


def run(key=QUICK, state=None, optimizer=SGD, *, loss=squared, batch_size=8, steps=30, **options):
    step = minibatch_step(loss=loss, optimizer=optimizer, batch_size=batch_size)
    state = begin(optimizer) if state is None else state
    return run_steps(step, state, (key, regression()[0]), steps=steps, **options)


def test_learns_a_linear_law():
    state, history = run(steps=300)
    np.testing.assert_allclose(state.params["w"], regression()[1], atol=1e-4)
    assert {name: values.shape for name, values in history.items()} == dict.fromkeys(
        ("loss", "gradient", "parameters"), (300,)
    )
    assert history["loss"][-1] < 1e-6 < history["loss"][0]


def test_same_key_same_parameters_other_key_others():
    first, again, other = run()[0], run()[0], run(jax.random.key(6, impl="rbg"))[0]
    np.testing.assert_array_equal(first.params["w"], again.params["w"])
    assert (np.asarray(first.params["w"]) != np.asarray(other.params["w"])).any()


@pytest.mark.thorough
def test_chunks_and_interruptions_change_nothing():
    optimizer = optax.adam(0.05)
    whole, history = run(optimizer=optimizer, chunk=30)
    pieces, _ = run(optimizer=optimizer, chunk=10)
    half, early = run(optimizer=optimizer, steps=13)
    resumed, late = run(state=half, optimizer=optimizer, first=13)
    np.testing.assert_array_equal(whole.params["w"], pieces.params["w"])
    np.testing.assert_array_equal(whole.params["w"], resumed.params["w"])
    np.testing.assert_array_equal(history["loss"], np.concatenate([early["loss"], late["loss"]]))


def test_one_step_is_the_same_compiled():
    batch = jax.tree.map(jnp.asarray, regression()[0])
    step = functools.partial(train_step, loss=squared, optimizer=SGD)
    eager, compiled = step(KEY, begin(), batch), jax.jit(step)(KEY, begin(), batch)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), eager, compiled)


def test_the_loss_gets_a_key_of_its_own_at_every_step():
    def loss(params, key, batch):
        return jax.random.uniform(key) + 0 * jnp.sum(params["w"])

    assert len(np.unique(run(loss=loss)[1]["loss"])) == 30


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_the_first_bad_step_is_named(bad):
    def loss(params, key, batch):
        # The second parameter only counts steps: its gradient is -1 and the rate 0.1.
        return -params["w"][1] + jnp.where(params["w"][1] > 1.15, bad, 0.0)

    with pytest.raises(DivergenceError, match=r"loss: found (nan|inf) at step 12, expected finite"):
        run(loss=loss, chunk=5)


def test_divergence_of_parameters_is_seen_in_the_last_step_too():
    with pytest.raises(DivergenceError, match="parameters: found inf at step 0"):
        run(optimizer=optax.sgd(1e38), steps=1)


def test_bad_gradients_behind_a_good_loss():
    def loss(params, key, batch):
        return jnp.sum(jnp.sqrt(jnp.square(params["w"])))  # finite at zero, its gradient is not

    with pytest.raises(DivergenceError, match="gradient: found nan at step 0"):
        run(loss=loss)


def test_mistakes():
    with pytest.raises(InputError, match="batch_size: found 0"):
        run(batch_size=0)
    step = minibatch_step(loss=squared, optimizer=SGD, batch_size=1)
    for data in ((np.zeros((3, 2)), np.zeros(4)), np.zeros((0, 2)), {}, np.float32(1)):
        with pytest.raises(InputError, match="data: found leading axes"):
            step(jnp.int32(0), begin(), (KEY, data))
    with pytest.raises(InputError, match="smoothing: found 1"):
        classification_loss(lambda params, x: x, smoothing=1.0)


def test_classification_loss_is_the_cross_entropy():
    logits, labels = jax.random.normal(KEY, (4, 3)), jnp.array([0, 2, 1, 1])
    expected = -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(4), labels])
    plain = classification_loss(lambda params, x: x + params)
    assert float(plain(0.0, KEY, (logits, labels))) == pytest.approx(float(expected), rel=1e-5)
    smooth = classification_loss(lambda params, x: x + params, smoothing=0.3)
    mixed = 0.7 * expected - 0.3 * jnp.mean(jax.nn.log_softmax(logits))
    assert float(smooth(0.0, KEY, (logits, labels))) == pytest.approx(float(mixed), rel=1e-5)
    doubled = classification_loss(lambda params, x: x, augmentation=lambda key, x: 2 * x)
    assert float(doubled(0.0, KEY, (logits, labels))) == pytest.approx(float(plain(logits, KEY, (logits, labels))))


def test_augmentation_shifts_and_adds_noise():
    x = jnp.zeros((400, 5, 5, 1)).at[:, 2, 2].set(1.0)
    shifted = np.asarray(jax.jit(functools.partial(augment, shift=1, noise_std=0.0))(KEY, x))
    assert (shifted.sum(axis=(1, 2, 3)) == 1).all()
    rows, columns = np.nonzero(shifted[..., 0].sum(axis=0))
    assert set(zip(rows, columns, strict=True)) == {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)}
    noisy = jax.jit(functools.partial(augment, shift=0))(KEY, x, noise_std=0.1)
    assert np.std(noisy - x) == pytest.approx(0.1, rel=0.05)


def test_augmentation_of_an_example_does_not_depend_on_its_batch():
    x = jax.random.uniform(KEY, (6, 5, 5, 1))
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(KEY, jnp.arange(6))
    compiled = jax.jit(functools.partial(augment, shift=2, noise_std=0.1))
    whole = compiled(KEY, x)
    np.testing.assert_array_equal(whole[3:], compiled(keys, x)[3:])
    with pytest.raises(InputError, match="shift: found -1"):
        augment(KEY, x, shift=-1, noise_std=0.0)
    with pytest.raises(InputError, match="noise_std: found -1"):
        augment(KEY, x, shift=0, noise_std=-1.0)
