"""The experiments on trained digits: their parts against closed forms, and whole runs with small untrained networks."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.models.unet import UNetConfig
from jaxpr.report.experiments import write_experiment
from jaxpr.reproduce import digit_scores, load_experiment
from jaxpr.reproduce import digits as dr
from jaxpr.weights.native import pack_restorer

TASK = "average-x4"
ROUNDING = 1e-4  # float32 sums over 64 pixels, relative
FREE = {name: np.zeros(2) for name in ("output_psnr", "spread", "fd", "precision", "inconsistency", "joint_fd")}


gans, attack, smoothing = map(
    load_experiment, ("ohayon2023/restoration_gans", "ohayon2023/stochastic_attack", "beyond/smoothing")
)
LINEAR = dr.Sampling(
    seeds=lambda key, y: jax.random.normal(key, y.shape, y.dtype),
    apply=lambda params, y, z: params[0] * y + params[1] * z,
    stochastic=True,
)


@pytest.fixture(scope="module")
def recipes():
    return dr.recipes_of("small")


@pytest.fixture(scope="module")
def task(recipes):
    (found,) = dr.tasks_of(recipes, (TASK,))
    return found


@pytest.fixture(scope="module")
def inpainting(recipes):
    (found,) = dr.tasks_of(recipes, ("inpainting",))
    return found


@pytest.fixture(scope="module")
def runs(recipes, tmp_path_factory):
    """A folder of runs with networks of width 2 that nobody trained, two seeds of one task."""
    folder = tmp_path_factory.mktemp("runs")
    for name, recipe in recipes.items():
        if recipe.data.degradation != TASK or recipe.seed > 1:
            continue
        config = RestorerConfig(UNetConfig(channels=1, width=2, scales=1), TASK, 4, True, recipe.network.stochastic)
        made = restorer_network(config, operators=parse_degradation(TASK).operator)
        params = made.init(jax.random.key(list(recipes).index(name)))
        (folder / name).mkdir()
        (folder / name / "weights.safetensors").write_bytes(pack_restorer(config, params, {}))
    return folder


def test_tasks_have_images_measurements_and_the_radius_of_training(task, inpainting):
    assert task.x.shape == inpainting.x.shape == (359, 8, 8, 1)
    assert task.real.shape == (1438, 8, 8, 1)
    np.testing.assert_allclose(task.y, task.operator(task.x))
    # The mean square of a perturbation of 34 dB is 10^-3.4.
    assert task.epsilon == pytest.approx(np.sqrt(4 * 10**-3.4))
    assert inpainting.epsilon == pytest.approx(np.sqrt(64 * 10**-3.29))


def test_unknown_tasks_and_kinds_are_named(recipes, task, tmp_path):
    with pytest.raises(InputError, match=r"wanted: found average-x5, expected tasks among inpainting"):
        dr.tasks_of(recipes, ("average-x5",))
    with pytest.raises(InputError, match=r"kind: found 'robust', expected one of stochastic erratic"):
        dr.family(task, "robust", [0], tmp_path)
    with pytest.raises(InputError, match=r"cannot open .*digits-average-x4-stochastic-robust-0"):
        dr.family(task, dr.STO_ROBUST, [0], tmp_path)


@pytest.mark.thorough
def test_a_restorer_under_a_wrong_name_is_refused(task, runs, tmp_path):
    for source, target in (("stochastic", "deterministic"), ("deterministic", "stochastic")):
        folder = tmp_path / f"digits-{TASK}-{target}-erratic-0"
        folder.mkdir()
        content = (runs / f"digits-{TASK}-{source}-erratic-0" / "weights.safetensors").read_bytes()
        (folder / "weights.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"found \(degradation, consistent, stochastic\)"):
            dr.family(task, f"{target} erratic", [0], tmp_path)


@pytest.mark.thorough
def test_families_agree_with_their_measurements_and_only_stochastic_ones_vary(task, runs):
    for kind, most in ((dr.STO_ERRATIC, np.inf), (dr.ERRATIC, 0)):
        found = dr.family(task, kind, [0, 1], runs)
        y = task.y[:3]
        x = dr.outputs(found.sampling, found.params[1], y, dr.noise(found.sampling, jax.random.key(0), y, 2))
        np.testing.assert_allclose(task.operator(x[0]), y, atol=1e-6)  # float32 projection
        change = float(jnp.max(jnp.abs(x[0] - x[1])))
        assert (change > 1e-6) == (most > 0)
        assert change <= most


def test_the_objective_of_a_linear_sampler_is_its_gain(inpainting):
    y = inpainting.y[:4]
    objective = dr.shift_objective(LINEAR, (3.0, 0.5), y, dr.noise(LINEAR, jax.random.key(0), y, 5))
    moved = y + 0.1 * jax.random.normal(jax.random.key(1), y.shape)
    expected = 9 * jnp.sum((moved - y) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(objective(moved), expected, rtol=ROUNDING)
    np.testing.assert_allclose(jax.grad(lambda z: objective(z).sum())(moved), 18 * (moved - y), atol=1e-4)


def test_probes_of_a_linear_sampler_are_those_of_its_gain_and_noise(inpainting):
    program = dr.DigitProgram(inpainting, LINEAR, attack_draws=3, draws=200)
    found = program.probe(jax.random.key(0), (2.0, 0.1), 20)
    assert {a.shape for a in found} == {(20,)}
    # Twice the shift is 6.02 dB less PSNR, whatever δ was found.
    np.testing.assert_allclose(found.output_psnr, found.input_psnr - 20 * np.log10(2), atol=1e-3)
    np.testing.assert_allclose(found.shift, 4 * 64 * 10 ** (-found.input_psnr / 10), rtol=1e-3)
    assert float(found.input_psnr.min()) >= inpainting.recipe.losses.robustness.psnr - 1e-3
    assert (
        float(found.input_psnr.max()) < inpainting.recipe.losses.robustness.psnr + 1e-2
    )  # a linear map is attacked to the brim
    # The standard deviation of 200 draws is off by 5 %, its mean over 64 pixels and 20 examples by 0.14 %.
    assert float(found.spread.mean()) == pytest.approx(0.1, rel=0.01)


@pytest.mark.thorough
def test_deterministic_restorers_take_one_draw_and_have_no_spread(inpainting):
    program = dr.DigitProgram(inpainting, LINEAR._replace(stochastic=False), attack_draws=3, draws=200)
    assert (program.attack_draws, program.draws) == (1, 0)
    assert not np.any(program.probe(jax.random.key(0), (1.0, 0.0), 2).spread)


@pytest.mark.thorough
def test_the_truth_scores_as_natural_images_do(task):
    none = dr.Probed(*(jnp.ones(2) for _ in dr.Probed._fields))
    found, natural = digit_scores.score(task, task.x, none), digit_scores.natural_scores(task)
    assert found.psnr == np.inf
    assert found.rmse == found.inconsistency == 0
    for name in ("fd", "joint_fd", "fd_judge", "precision", "recall"):
        assert getattr(found, name) == getattr(natural, name)
    shuffled = digit_scores.score(task, task.x[::-1], none)
    assert shuffled.fd == pytest.approx(natural.fd, rel=ROUNDING)  # the same set,
    assert shuffled.joint_fd > 1.5 * natural.joint_fd  # at the wrong measurements, though 4 of 68 numbers only
    grey = digit_scores.score(task, task.x * 0 + task.x.mean(), none)
    assert grey.recall == 0
    assert grey.fd > 10 * natural.fd


@pytest.mark.thorough
def test_smoothing_without_noise_is_the_restorer_and_projection_keeps_consistency(task, runs):
    erratic = dr.family(task, dr.ERRATIC, [0], runs)
    sampler, y = smoothing.smoothing(task, erratic.sampling), task.y[:5]
    z = sampler.seeds(jax.random.key(0), y)
    plain = erratic.sampling.apply(erratic.params[0], y, erratic.sampling.seeds(jax.random.key(0), y))
    np.testing.assert_array_equal(sampler.apply((erratic.params[0], 0.0, 0.0), y, z), plain)
    for share in (0.0, 1.0):
        x = sampler.apply((erratic.params[0], 0.3, share), y, z)
        # As it is, f answers y + σN; projected, y. Both up to float32.
        np.testing.assert_allclose(task.operator(x), y + (1 - share) * 0.3 * z[1], atol=1e-6)


def test_mosaic_and_enlarged_put_pixels_where_they_belong():
    small = np.array([[0.1, 0.2], [0.3, 0.4]])[..., None]
    np.testing.assert_array_equal(gans.enlarged(small, 4)[::2, ::2], small)
    canvas = gans.mosaic([[small, small + 1], [small, small]], gaps=[1])
    assert canvas.shape == (5, 6, 1)
    np.testing.assert_array_equal(canvas[:2, 4:, 0], np.ones((2, 2)))  # clipped
    np.testing.assert_array_equal(canvas[3:, 4:], small)
    np.testing.assert_array_equal(canvas[:, 2:4, 0], np.ones((5, 2)))


@pytest.mark.parametrize(("lost", "holds"), [((0.3, 0.3), True), ((0.3, 0.02), False)])
def test_claims_on_the_cost_of_robustness_need_every_seed(lost, holds):
    recalls = {dr.STO_ERRATIC: (0.5, 0.5), dr.STO_ROBUST: (0.45, 0.45), dr.ERRATIC: (0.5, 0.5)}
    recalls[dr.ROBUST] = tuple(0.5 - part for part in lost)
    values = {kind: FREE | {"recall": np.array(each)} for kind, each in recalls.items()}
    found = {claim.text: claim for claim in gans.task_claims("t", values)}
    claim = found["t: robustness costs the deterministic restorer more recall than the stochastic one"]
    assert claim.holds == holds
    assert not found["t: robustness costs the deterministic restorer more FD than the stochastic one"].holds


@pytest.mark.parametrize(("stochastic", "holds"), [(32.0, [True, True, True]), (25.0, [True, False, True])])
def test_claims_on_attacks(stochastic, holds):
    levels = dict(zip(dr.KINDS, (21.0, stochastic, 20.0, 30.0, 33.0), strict=True))
    curves = {kind: attack.Curve(np.zeros((2, 6)), np.full((2, 6), level)) for kind, level in levels.items()}
    assert [claim.holds for claim in attack.claims("t", curves)[:3]] == holds


def test_rises_allows_for_spread_but_wants_the_end_above_the_start():
    assert smoothing.rises(np.array([[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]]))
    assert smoothing.rises(np.array([[1.0, 1.2], [0.95, 1.2], [3.0, 3.1]]))
    assert not smoothing.rises(np.array([[1.0, 1.1], [0.5, 0.6], [3.0, 3.1]]))
    assert not smoothing.rises(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 0.9]]))


def test_equal_robustness_is_that_of_the_least_noise_that_reaches_it():
    shift = np.array([[3.0, 3.0, 3.0], [2.0, 2.5, 2.9], [1.0, 1.5, 2.8]])
    np.testing.assert_array_equal(smoothing.first_calm(shift, np.array([2.2, 1.5, 1.0])), [1, 2, -1])
    values = [FREE | {"sensitivity": row, "recall": row / 10} for row in shift]
    values = [{name: np.resize(v, 3) for name, v in each.items()} for each in values]
    trained = {name: np.zeros(3) for name in values[0]} | {"sensitivity": np.array([2.2, 1.5, 1.0])}
    found = smoothing.Smoothed({smoothing.PROJECTED: values}, {dr.ROBUST: trained})
    change, words = smoothing.compared(found, dr.ROBUST, "recall", (0.0, 0.1, 0.2))
    np.testing.assert_allclose(change, [0.2, 0.15, np.nan])
    assert words.startswith("2 of 3 seeds reach its robustness, at σ = 0.1, 0.2; recall 0.175 ± 0.035 against 0.000")


@pytest.mark.slow
@pytest.mark.parametrize("script", [gans, attack, smoothing], ids=lambda script: script.__name__.split(".")[2])
def test_whole_runs_at_the_smallest_scale(script, runs, tmp_path):
    record = write_experiment(script.run("smoke", runs), tmp_path, {})
    assert json.loads((tmp_path / "record.json").read_text("utf-8"))["scale"] == "smoke"
    assert all((tmp_path / picture["file"]).stat().st_size > 5_000 for picture in record["pictures"])
    sure = [claim for claim in record["claims"] if "onsisten" in claim["text"]]  # what no training decides
    assert len(sure) == (script is not attack)
    assert all(claim["holds"] for claim in sure)
