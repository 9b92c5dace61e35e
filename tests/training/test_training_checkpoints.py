"""Runs that are cut, killed or refused: what goes on from a checkpoint is bit for bit the whole run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpr.core import InputError
from jaxpr.training import (
    Checkpoints,
    DivergenceError,
    GanLosses,
    GanState,
    fit_gan,
    minibatch_step,
    run_steps,
    start,
    start_gan,
)

KEY = jax.random.key(9)
QUICK = jax.random.key(9, impl="rbg")  # compiles faster than threefry


class State(NamedTuple):
    weights: dict
    count: jax.Array
    key: jax.Array


def begin():
    return State({"a": jnp.arange(4.0), "b": (jnp.ones((2, 3), jnp.bfloat16),)}, jnp.int32(7), KEY)


def step(number, state, data):
    noise = jax.random.normal(state.key, (4,))
    weights = {"a": 0.7 * state.weights["a"] + noise + data, "b": (state.weights["b"][0] * 1.125,)}
    new = State(weights, state.count + number, jax.random.fold_in(state.key, number))
    return new, {"a": weights["a"], "loss": jnp.sum(noise)}


def run(steps, checkpoints=None, *, step=step, state=None, **options):
    return run_steps(step, begin() if state is None else state, 0.25, steps=steps, checkpoints=checkpoints, **options)


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert ours.dtype == theirs.dtype
        if jnp.issubdtype(ours.dtype, jax.dtypes.prng_key):
            ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
        np.testing.assert_array_equal(ours, theirs)


def stored(folder):
    return sorted(int(path.name) for path in Path(folder).iterdir())


@pytest.fixture(scope="module")
def whole():
    return run(20)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_checkpoints_change_no_numbers_and_the_last_two_are_kept(tmp_path, whole, chunk):
    found = run(20, Checkpoints(tmp_path / "new" / "folder", 6), chunk=chunk)
    assert_equal(found, whole)
    assert stored(tmp_path / "new" / "folder") == [18, 20]


def test_a_run_that_goes_on_is_the_whole_run(tmp_path, whole):
    checkpoints = Checkpoints(tmp_path, 6)
    for steps in (3, 3, 7, 12, 20):  # before a checkpoint is due, at once again, past one, at one, to the end
        found = run(steps, checkpoints, chunk=5)
        assert len(found.history["loss"]) == steps
    assert_equal(found, whole)
    again = run(20, Checkpoints(str(tmp_path), 9))  # how often they are written is free to change
    assert_equal(again, whole)
    assert_equal(run(11, checkpoints), whole)  # finished already


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(tmp_path, whole):
    def interrupted(number, state, data):
        jax.debug.callback(lambda n: steps.append(int(n)), number)
        return step(number, state, data)

    steps = []
    checkpoints = Checkpoints(tmp_path, 4)
    save, saved = Checkpoints.save, []

    def stop(self, done, *rest):
        save(self, done, *rest)
        saved.append(done)
        if done == 8:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            run(20, checkpoints)
    assert saved == [4, 8]
    found = run(20, checkpoints, step=interrupted)
    jax.effects_barrier()
    assert sorted(steps) == list(range(8, 20))
    assert_equal(found, whole)


def test_divergence_leaves_the_checkpoints_before_it(tmp_path, whole):
    def bad(number, state, data):
        state, measured = step(number, state, data)
        return state, measured | {"loss": jnp.where(number == 14, jnp.nan, measured["loss"])}

    checkpoints = Checkpoints(tmp_path, 4)
    for _ in range(2):  # the second run starts at 12
        with pytest.raises(DivergenceError, match="loss: found nan at step 14"):
            run(20, checkpoints, step=bad)
        assert stored(tmp_path) == [8, 12]
    assert_equal(run(20, checkpoints), whole)


@pytest.mark.thorough
def test_minibatches_and_gans_go_on(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)

    def squared(params, key, batch):
        return jnp.mean(jnp.square(batch @ params["w"] - 1)) + 0.1 * jax.random.normal(key) * params["w"][0]

    def train(steps, checkpoints):
        adam = optax.adam(0.05)
        state = start({"w": jnp.zeros(3)}, adam)
        step = minibatch_step(loss=squared, optimizer=adam, batch_size=8)
        return run_steps(step, state, (QUICK, x), steps=steps, checkpoints=checkpoints, chunk=4)

    losses = GanLosses(
        lambda g, c, key, batch, step, options: jnp.mean(jnp.square(batch @ g - c)) + jax.random.normal(key) * g[0],
        lambda g, c, key, batch, step, options: jnp.mean(jnp.square(batch @ g + options * c)),
    )

    def gan(steps, checkpoints):
        optimizers = (optax.adam(0.05), optax.adam(0.02))
        state = jax.vmap(lambda w: start_gan(w, jnp.sum(w), optimizers))(jnp.eye(2, 3))
        keys, weights = jax.random.split(QUICK, 2), jnp.array([1.0, 2.0])
        options = {"losses": losses, "optimizers": optimizers, "batch_size": 8, "chunk": 4, "options": weights}
        return fit_gan(keys, state, x, steps=steps, checkpoints=checkpoints, **options)

    for name, procedure in (("minibatches", train), ("gan", gan)):
        checkpoints = Checkpoints(tmp_path / name, 4)
        procedure(8, checkpoints)
        assert stored(tmp_path / name) == [4, 8]
        assert_equal(procedure(16, checkpoints), procedure(16, None))
    assert isinstance(gan(16, checkpoints).state, GanState)


def test_restored_states_are_sharded_as_those_given(tmp_path):
    across = jax.sharding.NamedSharding(jax.make_mesh((8,), ("member",)), jax.P("member"))

    def double(number, state, data):
        return 2 * state, {"sum": jnp.sum(state)}

    run(3, Checkpoints(tmp_path, 3), step=double, state=jax.device_put(jnp.arange(8.0), across))
    for sharding in (across, jax.sharding.SingleDeviceSharding(jax.devices()[3])):
        found = Checkpoints(tmp_path, 3).latest(jax.device_put(jnp.zeros(8), sharding)).state
        assert found.sharding == sharding
        np.testing.assert_array_equal(found, 8 * np.arange(8))


def test_nothing_stored_is_none(tmp_path):
    assert Checkpoints(tmp_path / "missing").latest(begin()) is None
    (tmp_path / "notes.txt").write_text("of somebody")
    (tmp_path / "12.orbax-checkpoint-tmp").mkdir()  # a write that was cut
    assert Checkpoints(tmp_path).latest(begin()) is None
    assert run(2, Checkpoints(tmp_path)).history["loss"].shape == (2,)


@pytest.fixture
def folder(tmp_path):
    run(2, Checkpoints(tmp_path / "run"))
    return tmp_path / "run"


def assert_refused(folder, state, *because):
    with pytest.raises(InputError, match="checkpoints: found") as error:
        Checkpoints(folder).latest(state)
    assert "\n" not in str(error.value)
    for part in (str(folder), *because):
        assert part in str(error.value)


def test_states_of_other_arrays_are_refused(folder):
    right = begin()
    assert_refused(
        folder, right._replace(count=jnp.zeros(2, jnp.int32)), "an array int32[] for one int32[2]", "2 that does"
    )
    assert_refused(folder, right._replace(count=jnp.float32(0)), "an array int32[] for one float32[]")
    assert_refused(folder, right._replace(weights={}), "4 arrays for 2", "remove the folder to start anew")
    assert_refused(folder, (right, right), "4 arrays for 8")


def test_a_history_of_other_quantities_is_refused(folder):
    def other(number, state, data):
        return state, {"error": jnp.zeros(())}

    with pytest.raises(InputError, match="checkpoints: found a history of a, loss, expected one of error"):
        run(4, Checkpoints(folder), step=other)


@pytest.mark.parametrize("how", ["cut", "missing"])
def test_corrupt_descriptions_are_refused(folder, how):
    harm(folder / "2" / "_METADATA", how)
    assert_refused(folder, begin(), "2 that does not hold this run's state (unreadable)", "remove the folder")


@pytest.mark.thorough
def test_corrupt_data_are_refused(folder):
    """In a process of its own: orbax leaves failed tasks behind, which complain later."""
    script = """
import sys, jax.numpy as jnp
from jaxpr.training import Checkpoints
for folder in sys.argv[1:]:
    try:
        print(Checkpoints(folder).latest(jnp.zeros(3)))
    except Exception as error:
        print(type(error).__name__, str(error), sep=": ")
"""
    harmed = []
    for name in ("manifest.ocdbt", "d"):
        for how in ("cut", "missing"):
            harmed.append(folder.with_name(f"{name}-{how}"))
            shutil.copytree(folder, harmed[-1])
            harm(harmed[-1] / "2" / name, how)
    done = subprocess.run([sys.executable, "-c", script, *map(str, harmed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, place in zip(lines, harmed, strict=True):
        assert line.startswith(f"InputError: checkpoints: found {place}/2 that does not hold this run's state (unread")


def harm(place, how):
    if how == "missing":
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        return
    for path in [place] if place.is_file() else place.iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "photos" / "7").mkdir(parents=True)
    (tmp_path / "photos" / "7" / "a.png").write_bytes(b"no state")
    assert_refused(tmp_path / "photos", begin(), "7 that does not hold this run's state (unreadable)")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "7").write_text("a file")
    assert_refused(tmp_path / "files", begin(), "7 that does not hold")
    assert_refused(tmp_path / "files" / "7", begin(), "expected a folder")
    for every in (0, -1, 2.5, None):
        with pytest.raises(InputError, match=f"every: found {every}"):
            run(3, Checkpoints(tmp_path / "new", every))


SCRIPT = """
import sys
import jax, jax.numpy as jnp, numpy as np
from pathlib import Path
from jaxpr.training import Checkpoints, run_steps

def step(number, state, data):
    noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), number), state.shape)
    return 0.9 * state @ data + noise, {"norm": jnp.linalg.norm(state)}

folder = Path(sys.argv[1])
run = run_steps(step, jnp.eye(60), jnp.eye(60)[::-1], steps=int(sys.argv[2]), chunk=3,
                checkpoints=Checkpoints(folder / "run", 5))
np.savez(folder / "found.npz", state=run.state, norm=run.history["norm"])
"""


def launch(folder, steps):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(steps)], stderr=subprocess.PIPE, text=True)


def kill_at(folder, total, steps, delay=0.0):
    """Kill a run `delay` seconds after it has stored so many steps; returns how many it then has."""
    process = launch(folder, total)

    def last():
        return max((int(p.name) for p in (folder / "run").glob("*") if p.name.isdecimal()), default=0)

    while last() < steps and process.poll() is None:
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    return last()


def assert_ends_like_an_undisturbed_run(folder, undisturbed, total):
    for place in (folder, undisturbed):
        process = launch(place, total)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    ours, theirs = (np.load(place / "found.npz") for place in (folder, undisturbed))
    for name in ("state", "norm"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert len(ours["norm"]) == total


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_killed_run_goes_on(tmp_path):
    assert 10 <= kill_at(tmp_path / "killed", 40, 10) < 40
    assert_ends_like_an_undisturbed_run(tmp_path / "killed", tmp_path / "undisturbed", 40)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_run_killed_ten_times_at_random_moments(tmp_path):
    random, seen = np.random.default_rng(0), 0
    for _ in range(10):
        # Most of the time goes into writing, so that most of these fall into a write or the removal of an old state.
        seen = kill_at(tmp_path / "killed", 90, min(seen + int(random.integers(0, 10)), 60), random.uniform(0, 0.05))
    assert_ends_like_an_undisturbed_run(tmp_path / "killed", tmp_path / "undisturbed", 90)
