"""Samplers in an evaluation: sets, budgets, forecasts, attacks when asked for, what is flagged."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import from_arrays
from jaxpr.degradations import parse_degradation
from jaxpr.diffusion import linear_schedule
from jaxpr.evaluation import Protocol, budget, evaluate
from jaxpr.evaluation.budget import foretell, keep_steps, within_budget
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.stream import prepare
from jaxpr.metrics import rmse
from jaxpr.models.functional import Model
from jaxpr.restorers import Restorer, as_restorer, nearest, sampled_restorer
from jaxpr.restorers.priors import Prior
from jaxpr.samplers import Guidance

KEY = jax.random.key(5)
SCHEDULE = linear_schedule()
AVERAGE = parse_degradation("average-x2")
PROTOCOL = Protocol().replace(
    crop=16, patch_size=4, patch_stride=4, features="pixels", probes=0, uncertainty_block=0, samples=4, attack=None
)
IMAGES = from_arrays(np.random.default_rng(0).uniform(0.2, 0.8, (3, 16, 16, 1)).astype(np.float32), name="noise")
ROUNDING = 1e-5


def eps(variance, x, t):
    """Of independent pixels around grey."""
    level = jnp.asarray(SCHEDULE.alpha_bar, x.dtype)[t].reshape(-1, 1, 1, 1)
    return jnp.sqrt(1 - level) * x / (level * variance + 1 - level)


PRIOR = Prior(Model(lambda key: np.float32(0.1), eps), np.float32(0.1), SCHEDULE, None, 1, 1, {"file": "none"})


def sampler(word="ddnm", **options):
    return sampled_restorer(word, PRIOR, AVERAGE, **options)


def run(out, restorers, *, protocol=PROTOCOL, **options):
    return evaluate(KEY, restorers, IMAGES, AVERAGE, protocol=protocol, out=out, progress=False, **options)


def prepared(*, progress=True):
    examples = examples_of(IMAGES, AVERAGE, PROTOCOL)
    made = prepare(KEY, examples, degrader(AVERAGE, bits=8), protocol=PROTOCOL)
    return made._replace(progress=progress)


@pytest.mark.thorough
def test_what_is_measured_is_the_first_of_the_set(tmp_path):
    restorer = sampler(steps=3, guidance=Guidance(2.0, None))
    results = run(tmp_path / "run", {"guided": restorer}).restorers[0]
    x = jnp.stack([IMAGES[i] for i in range(3)])
    y = jnp.round(255 * AVERAGE(KEY, x)) / 255
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(KEY, 2), jnp.arange(3))
    drawn = np.asarray(jax.jit(lambda keys, y: restorer.draws(keys, y, count=4))(keys, y))
    metrics = results.metrics
    assert metrics["rmse"].value == pytest.approx(float(np.mean(rmse(drawn[0], x))), rel=1e-4)
    assert metrics["per_pixel_std"].value == pytest.approx(np.std(drawn, axis=0, ddof=1).mean(), rel=1e-4)
    assert metrics["lr_psnr"].value > 60
    assert metrics["lr_psnr_pinv"].value > 60
    assert 1 <= metrics["component_kurtosis"].value <= 4 - 2 + 1 / 3
    assert metrics["measurement_rmse"].note == ""
    record = json.loads((tmp_path / "run" / "results.json").read_text())["restorers"][0]
    assert record["weights"]["guidance"] == {"eta": 2.0, "distance": None, "convention": "paper"}
    assert (record["weights"]["steps"], record["variant"]) == (3, "guidance")


@pytest.mark.thorough
def test_guided_sets_are_wider(tmp_path):
    found = {"plain": sampler(steps=4), "guided": sampler(steps=4, guidance=Guidance(2.0, None))}
    plain, guided = (result.metrics for result in run(tmp_path / "run", found).restorers)
    assert guided["per_pixel_std"].value > 1.1 * plain["per_pixel_std"].value


def test_a_budget_lowers_steps_that_nobody_asked_for(tmp_path, monkeypatch, capsys):
    # Three pieces of one example each; 0.1 s for a call of the network.
    monkeypatch.setattr(budget, "_seconds_for_a_call", lambda found, run: 0.1)
    mine = {
        "free": sampler(),
        "asked": sampler(steps=90),
        "other": as_restorer("other", lambda y: nearest(y, factor=2)),
    }
    found = within_budget(mine, prepared(), seconds=12.1, out=tmp_path)
    assert (found["free"].steps, found["free"].cost, found["free"].weights["steps"]) == (40, 40, 40)
    assert (found["asked"], found["other"]) == (mine["asked"], mine["other"])
    assert capsys.readouterr().err == "free: 40 of 100 steps, about 12 s of 12 s\n"
    assert within_budget(mine, prepared(), seconds=1e6, out=tmp_path)["free"].steps == 100
    assert within_budget(mine, prepared(), seconds=0.1, out=tmp_path)["free"].steps == budget.FEWEST_STEPS
    # A guided twin, twice as dear, is given as many steps as the plain one.
    monkeypatch.setattr(budget, "_seconds_for_a_call", lambda found, run: 0.2 if found.together else 0.1)
    pair = {"plain": sampler(), "guided": sampler(guidance=Guidance(0.8, 4e-4))}
    pair = {name: dataclasses.replace(found, family="ddnm") for name, found in pair.items()}
    found_both = within_budget(pair, prepared(), seconds=12.1, out=tmp_path)
    assert [found_both[name].steps for name in pair] == [20, 20]
    monkeypatch.setattr(budget, "_seconds_for_a_call", lambda found, run: 0.1)
    repaint = sampled_restorer("repaint", PRIOR, parse_degradation("inpaint-top-0.5"))
    jumps = within_budget({"free": repaint}, prepared(), seconds=300.0, out=tmp_path)["free"]
    assert jumps.cost <= 1000 < jumps.with_steps(jumps.steps + 1).cost
    # Another time of day: the run goes on as it began.
    keep_steps(tmp_path, found)
    monkeypatch.setattr(budget, "_seconds_for_a_call", lambda found, run: 0.2)
    assert within_budget(mine, prepared(), seconds=12.1, out=tmp_path)["free"].steps == 40
    assert "40 steps, as this run began" in capsys.readouterr().err
    for seconds, expected in ((0.0, "budget: found 0"), (12.0, "budget: found no sampler whose steps")):
        with pytest.raises(InputError, match=expected):
            within_budget({"asked": mine["asked"]}, prepared(), seconds=seconds, out=tmp_path)


def test_long_runs_are_foretold(monkeypatch, capsys):
    mine = {"long": sampler(), "short": sampler(steps=5), "done": sampler(), "other": Restorer(lambda p, k, y: y)}
    monkeypatch.setattr(budget, "_seconds_for_a_call", lambda found, run: 0.5)
    foretell(mine, prepared(), {"long": 2, "short": 3, "done": 0, "other": 3})
    assert capsys.readouterr().err == "long: 100 calls of its network × 8 answers, about 1.7 min\n"


@pytest.mark.thorough
def test_a_run_with_a_budget_goes_on_with_its_steps(tmp_path):
    first = run(tmp_path / "run", {"ddnm": sampler()}, budget=1e-3)
    assert first.restorers[0].weights["steps"] == budget.FEWEST_STEPS
    for seconds in (1e6, None):
        for folder in (tmp_path / "run" / "state").glob("ddnm*/batch*"):
            folder.unlink()
        again = run(tmp_path / "run", {"ddnm": sampler()}, budget=seconds)
        assert again.restorers[0].metrics == first.restorers[0].metrics


def broken(params, keys, y, count):
    """The second answer is not there."""
    large = jnp.repeat(jnp.repeat(y, 2, axis=1), 2, axis=2)[None]
    return large + jnp.where(jnp.arange(count) == 1, jnp.nan, 0).reshape(-1, 1, 1, 1, 1)


def off(params, keys, y, count):
    """All answers are too bright."""
    return 0.1 + jnp.zeros((count, 1, 1, 1, 1)) + jnp.repeat(jnp.repeat(y, 2, axis=1), 2, axis=2)[None]


def of_sets(apply_set, **options):
    one = lambda params, key, y: apply_set(params, key, y, 1)[0]  # noqa: E731
    return Restorer(one, stochastic=True, apply_set=apply_set, differentiable=False, **options)


def test_an_answer_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(InputError, match="restorer mine: found 256 NaN or infinite values in the restoration of"):
        run(tmp_path / "run", {"mine": of_sets(broken)})


@pytest.mark.thorough
def test_answers_that_do_not_agree_with_y_are_noted(tmp_path):
    weights = {"sampler": "mine", "noise_std": 0.02}
    metrics = run(tmp_path / "run", {"mine": of_sets(off, weights=weights)}).restorers[0].metrics
    assert metrics["measurement_rmse"].value == pytest.approx(0.1, rel=1e-3)
    assert metrics["measurement_rmse"].note == "far beyond the noise of 0.02 that the sampler was told of"


@pytest.mark.thorough
@pytest.mark.parametrize("word", ["ddrm", "dps"])
def test_an_attack_moves_the_answers_of_a_sampler(tmp_path, word):
    protocol = PROTOCOL.replace(attack="ifgsm", attack_steps=2, attack_draws=2, limit=1)
    found = {"attacked": sampler(word, steps=3, attacked=True), "spared": sampler(word, steps=3)}
    attacked, spared = (result.metrics for result in run(tmp_path / "run", found, protocol=protocol).restorers)
    assert attacked["lipschitz_mean"].value > 0.1
    assert np.isfinite(attacked["adversarial_output_psnr"].value)
    assert np.isnan(spared["lipschitz_mean"].value)
    assert "no attack can follow it" in spared["lipschitz_mean"].note
