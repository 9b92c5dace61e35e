"""The runner on a recurrence whose every value is known, so that a lost, doubled or reordered step is seen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.training import DivergenceError, multi_step, run_steps
from jaxpr.training.runner import count_examples

KEY = jax.random.key(2)


def step(number, state, data):
    """Noisy steps whose order matters; the noise belongs to the number."""
    state = 0.9 * state + data + jax.random.normal(jax.random.fold_in(KEY, number), state.shape)
    return state, {"number": number, "state": state, "mean": jnp.mean(state)}


def run(step=step, state=None, data=0.5, steps=23, **options):
    return run_steps(step, jnp.arange(3.0) if state is None else state, data, steps=steps, **options)


def test_every_step_once_and_in_order():
    state, history = run()
    expected = np.arange(3.0)
    for number in range(23):
        expected = 0.9 * expected + 0.5 + np.float64(jax.random.normal(jax.random.fold_in(KEY, number), (3,)))
        np.testing.assert_allclose(history["state"][number], expected, atol=1e-5)  # float32, values of order one
    np.testing.assert_array_equal(state, history["state"][-1])
    np.testing.assert_array_equal(history["number"], np.arange(23))
    assert {name: values.shape for name, values in history.items()} == {
        "number": (23,),
        "state": (23, 3),
        "mean": (23,),
    }


@pytest.mark.parametrize("chunk", [1, 5, 23, 1000])
def test_the_length_of_chunks_changes_no_numbers(chunk):
    jax.tree.map(np.testing.assert_array_equal, run(chunk=chunk), run(chunk=7))


def test_a_run_cut_in_two_is_the_whole_run():
    whole = run()
    early = run(steps=9)
    late = run(state=early.state, first=9)
    np.testing.assert_array_equal(whole.state, late.state)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(values, np.concatenate([early.history[name], late.history[name]]))


def test_nothing_left_to_do():
    state = jnp.ones(3)
    for steps, first in ((0, 0), (5, 5), (5, 8)):
        found, history = run(state=state, steps=steps, first=first)
        assert found is state
        assert history == {}


def test_chunks_of_any_length_share_one_program():
    def traces(steps: int) -> int:
        seen = []

        def counted(number, state, data):
            seen.append(1)
            return step(number, state, data)

        run(step=counted, steps=steps, chunk=10)
        return len(seen)

    assert traces(63) == traces(60) == traces(10)


def test_data_are_arguments_not_constants():
    # Large data closed over would be folded into the program: 100 s in one case.
    seen = []

    def look(number, state, data):
        seen.append(isinstance(data, jax.core.Tracer))
        return state, {}

    assert run(step=look, data=np.zeros(10), steps=2).history == {}
    assert set(seen) == {True}


def diverging(number, state, data, *, at, value, name):
    return state, {"loss": jnp.zeros(()), "norm": jnp.zeros(2)} | {
        name: jnp.where(number == at, value, jnp.arange(2.0))
    }


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize(("at", "value", "shown"), [(0, np.nan, "nan"), (13, np.inf, "inf"), (22, -np.inf, "-inf")])
def test_the_first_step_that_is_not_finite_is_named(chunk, at, value, shown):
    bad = functools.partial(diverging, at=at, value=jnp.array([0.0, value]), name="norm")
    with pytest.raises(DivergenceError) as error:
        run(step=bad, chunk=chunk)
    assert str(error.value) == (
        f"norm: found {shown} at step {at}, expected finite values; try a smaller learning rate"
    )


def test_of_several_quantities_the_one_that_failed_first_is_named():
    def bad(number, state, data):
        return state, {
            "late": jnp.where(number >= 8, jnp.inf, 0.0),
            "early": jnp.where(number >= 6, jnp.nan, 0.0),
        }

    with pytest.raises(DivergenceError, match="early: found nan at step 6"):
        run(step=bad)


def test_a_shown_quantity_and_the_bar_change_nothing(capsys):
    plain = run(steps=10)
    assert capsys.readouterr() == ("", "")
    shown = run(steps=10, progress=True, title="fitting", shown="mean")
    assert "fitting" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, plain, shown)


def test_sharded_states_stay_sharded():
    state = jax.device_put(
        jnp.arange(16.0), jax.sharding.NamedSharding(jax.make_mesh((8,), ("member",)), jax.P("member"))
    )
    found = run(step=lambda number, state, data: (state + number, {"largest": jnp.max(state)}), state=state).state
    assert len(found.sharding.device_set) == 8
    np.testing.assert_array_equal(found, np.arange(16) + 23 * 22 / 2)


def test_multi_step_is_the_product_of_the_factors_so_far():
    rate = multi_step(0.8, factor=0.5, at=[10, 20, 25])
    found = [float(rate(number)) for number in range(30)]
    np.testing.assert_allclose(found, [0.8] * 10 + [0.4] * 10 + [0.2] * 5 + [0.1] * 5, rtol=1e-6)  # float32


def test_count_examples():
    assert count_examples({"x": np.zeros((4, 2)), "y": [np.zeros(4), jnp.zeros((4, 1))]}) == 4
    for data in ((np.zeros((3, 2)), np.zeros(4)), np.zeros((0, 2)), {}, np.float32(1), None):
        with pytest.raises(InputError, match="data: found leading axes"):
            count_examples(data)


def test_mistakes():
    for options in ({"steps": -1}, {"steps": 2.0}, {"first": -1}, {"chunk": 0}, {"chunk": True}, {"steps": None}):
        (name, value), *_ = options.items()
        with pytest.raises(InputError, match=f"{name}: found {value}, expected an integer"):
            run(**options)
    with pytest.raises(InputError, match=r"shown: found 3, expected a name or None"):
        run(shown=3)
    with pytest.raises(InputError, match=r"shown: found 'loss', expected one of mean, number, state"):
        run(shown="loss")
