"""The experiments of [ohayon2024] on restored images: what their numbers mean, and that they run on any weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.models.unet import UNetConfig
from jaxpr.numerics.statistics import Estimate
from jaxpr.records import Described
from jaxpr.records.decisions import DecisionResults, Judgement, RestorerDecisions
from jaxpr.report.experiments import experiment_record
from jaxpr.reproduce import indices, load_experiment
from jaxpr.restorers import as_restorer
from jaxpr.weights.native import pack_restorer


@pytest.fixture
def runs(tmp_path):
    """Untrained restorers of digits, as `jaxpr train digits` would leave them."""
    degradation = parse_degradation("average-x4")
    for word, stochastic in (
        ("deterministic-erratic", False),
        ("deterministic-l1", False),
        ("stochastic-robust", True),
    ):
        network = UNetConfig(channels=1, width=4, scales=2)
        config = RestorerConfig(network, degradation.name, degradation.factor, True, stochastic)
        params = restorer_network(config, operators=degradation.operator).init(jax.random.key(len(word)))
        folder = tmp_path / f"digits-average-x4-{word}-0"
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(pack_restorer(config, params, {}))
    return tmp_path


# Decisions


def judgement(share, target):
    sure, shares = Estimate(share, 0.01), np.full(10, 0.1)
    return Judgement(
        before=np.zeros(1, int),
        after=np.zeros(1, int),
        shares_before=shares,
        shares_after=shares + target * (np.arange(10) == 3),
        changed=sure,
        target_success=sure,
        accuracy_before=Estimate(0.5, 0.01),
        accuracy_after=Estimate(0.5 - share / 2, 0.01),
    )


def decisions(gan, l1, *, gap=0.0):
    """Three seeds with these shares of changed decisions, and this difference in input PSNR."""
    found = []
    for seed in range(3):
        for kind, share, psnr in (("GAN", gan[seed], 30.0), ("ℓ1", l1[seed], 30.0 + gap)):
            judged = judgement(share, share - l1[seed])
            psnrs = Estimate(psnr, 0.1)
            found.append(RestorerDecisions(f"{kind}, seed {seed}", judged, judged, psnrs, 0.0, Described(family=kind)))
    return DecisionResults({"examples": 100}, {}, {}, tuple(found), ())


ATTACKS = ("inputs at 34 dB or more, away", "α = 16/255, away", "α = 16/255, towards 3")


def pipeline_claims(gan, l1, **changes):
    module = load_experiment("ohayon2024/pipeline_attack")
    sizes = module.SIZES["small"]._replace(tasks=("average-x4",))
    results = decisions(gan, l1, **changes)
    found = {("average-x4", how): results for how in module.ATTACKS}
    tables = module.tables(found, sizes)
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    return tables, {
        claim.text.split(":")[0].removeprefix("average-x4, "): claim.holds for claim in module.claims(found, sizes)
    }


def test_many_more_decisions_behind_the_gan():
    tables, found = pipeline_claims((0.6, 0.5, 0.7), (0.2, 0.3, 0.25))
    assert all(found[name] for name in ATTACKS)
    # Mean and sample deviation of 60, 50 and 70 %.
    np.testing.assert_allclose(tables[0].rows[0][1], (60, 10))


@pytest.mark.parametrize(
    ("gan", "l1"),
    [
        ((0.4, 0.4, 0.4), (0.3, 0.3, 0.3)),  # more, but not many more
        ((0.9, 0.9, 0.2), (0.3, 0.3, 0.3)),  # not at every seed
        ((0.3, 0.3, 0.3), (0.6, 0.6, 0.6)),
    ],
)
def test_not_many_more_decisions_behind_the_gan(gan, l1):
    _, found = pipeline_claims(gan, l1)
    assert not any(found[name] for name in ATTACKS)


@pytest.mark.parametrize(
    ("shares", "holds"),
    [
        ([(0.4, 0.5), (0.5, 0.3), (0.4, 0.1)], True),
        ([(0.4, 0.5), (0.5, 0.3), (0.4, 0.35)], False),  # ℓ1 grows again
        ([(0.8, 0.5), (0.5, 0.3), (0.1, 0.2)], False),  # the GAN falls as much
    ],
)
def test_noise_calms_the_pixel_loss(shares, holds):
    module = load_experiment("ohayon2024/pipeline_attack")
    found = {
        (task, how): decisions([gan] * 3, [l1] * 3)
        for task, (gan, l1) in zip(module.NOISE, shares, strict=True)
        for how in module.ATTACKS
    }
    claims = module.claims(found, module.SIZES["small"]._replace(tasks=module.NOISE))
    (claim,) = (claim for claim in claims if "noise on y" in claim.text)
    assert claim.holds is holds


@pytest.mark.parametrize(("gap", "fair"), [(0.9, True), (1.1, False), (-5.0, True)])
def test_a_gan_whose_inputs_are_changed_more_proves_nothing(gap, fair):
    _, found = pipeline_claims((0.6, 0.5, 0.7), (0.2, 0.3, 0.25), gap=gap)
    assert {found[name] for name in ATTACKS} == {fair}


@pytest.mark.slow
def test_pipeline_on_any_weights(runs):
    found = load_experiment("ohayon2024/pipeline_attack").run("smoke", runs)
    record = experiment_record(found, {})
    assert record["settings"]["digits"] == 20
    assert set(found.pictures) == {"strengths", "shares", "average-x4"}
    assert all(row[5][0] > 34 for row in found.tables[0].rows)
    # An α of 16/255 at most, whose PSNR is 24.08 dB.
    assert all(34 > row[5][0] > 24.08 for row in found.tables[1].rows)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(InputError, match="digits-average-x4-deterministic-erratic-0"):
        load_experiment("ohayon2024/pipeline_attack").run("smoke", tmp_path)


# Exploration


@pytest.mark.parametrize(("task", "unknown"), [("inpainting", 48), ("average-x4", 64)])
def test_unknown_pixels(task, unknown):
    found = load_experiment("ohayon2024/posterior_exploration").problem(task, 5)
    assert found.x.shape == (5, 8, 8, 1)
    assert found.unknown.sum() == unknown
    assert not found.unknown[6:].any() or task != "inpainting"


def test_agreement_of_range_maps():
    correlation = load_experiment("ohayon2024/posterior_exploration").agreement
    a = np.array([[1.0, 2.0, 5.0], [3.0, 1.0, 2.0]])
    assert correlation(a, np.exp(a)) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(a, np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])) == pytest.approx(1)  # the constant row is out
    assert correlation(a, np.ones_like(a)) == 0


def test_perfect_answers_score_perfectly():
    module = load_experiment("ohayon2024/posterior_exploration")
    at = module.problem("average-x4", 6)
    outputs = np.stack([at.x] * 3)
    outputs[1, ..., 0, 0, :] += 0.5
    answers = module.Answers(outputs, np.full(6, 31.5))
    found = module.Scores(*np.array(module.score(at, answers, answers)))
    assert found.coverage == 1
    assert found.width == pytest.approx(255 * 0.5 / 64)  # one pixel of 64 moves
    assert found.agreement == pytest.approx(1)
    assert found.input_psnr == 31.5
    assert module.joint_distance(at, np.stack([at.x] * 3)) < 0.1 * module.joint_distance(at, np.stack([1 - at.x] * 3))


@pytest.mark.thorough
def test_wrong_answers_cover_nothing():
    module = load_experiment("ohayon2024/posterior_exploration")
    at = module.problem("average-x4", 4)
    outputs = np.where(np.asarray(at.x) > 0.5, 0.0, 1.0).astype(np.float32)[None]
    found = module.Scores(*module.score(at, module.Answers(outputs, np.full(4, 40.0)), module.Answers(outputs, None)))
    assert found.coverage == 0
    assert found.width == 0
    assert found.classes == 1


def test_random_changes_are_corners_of_the_ball():
    module = load_experiment("ohayon2024/posterior_exploration")
    y = jnp.full((2, 2, 2, 1), 0.5)
    found = module.shaken(jax.random.key(0), as_restorer("same", lambda y: y), y)
    np.testing.assert_array_equal(found.outputs[0], y)
    np.testing.assert_allclose(np.abs(found.outputs[1:] - 0.5), module.ALPHA, atol=1e-6)  # float32
    np.testing.assert_allclose(found.input_psnr, -20 * math.log10(module.ALPHA), atol=1e-3)  # float32 decibels


@pytest.mark.slow
def test_exploration_on_any_weights(runs):
    module = load_experiment("ohayon2024/posterior_exploration")
    found = module.run("smoke", runs)
    experiment_record(found, {})
    assert set(found.pictures) == {"answers-average-x4", "coverage"}
    rows = {row[0]: row for row in found.tables[0].rows}
    bound = -20 * math.log10(module.ALPHA)
    for name in (module.EXPLORED, module.RANDOM, module.BLURRED):
        assert rows[name][6][0] > bound - 0.01  # float32 decibels
    assert rows[module.DRAWN][6] == "–"


# Super-resolution


def entry(name, gain, joint_fd, **changes):
    values = {
        "lipschitz_mean": gain,
        "joint_fd_alexnet": joint_fd,
        "fd_alexnet": joint_fd - 1,
        "rmse": 0.1,
        "psnr": 20.0,
        "kid_alexnet": joint_fd,
        "joint_kid_alexnet": joint_fd / 2,
        **{f"{joint}{kind}_alexnet": 0.5 for joint in ("", "joint_") for kind in ("precision", "recall")},
        **changes,
    }
    return {"name": name, "metrics": {key: {"value": value, "stderr": 0.01} for key, value in values.items()}}


def sr_record(gains, distances, robust):
    module = load_experiment("ohayon2024/superresolution")
    names = [*module.FAMILY, module.ROBUST]
    values = [*zip(gains, distances, strict=True), robust]
    return {
        "protocol": {"features": "alexnet", "examples": 4, "images": 2, "patches": 50},
        "restorers": [entry(name, *both) for name, both in zip(names, values, strict=True)],
    }


GAINS, DISTANCES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (9.0, 8.0, 7.0, 6.0, 5.0, 4.0)


def sr_claims(*args, error=0.01):
    """Claims by their beginnings; without the second of two photographs all values move by up to `error`."""
    module, record = load_experiment("ohayon2024/superresolution"), sr_record(*args)
    left_out = {}
    for number, restored in enumerate(record["restorers"]):
        values = [restored["metrics"][name]["value"] for name in ("lipschitz_mean", "joint_fd_alexnet")]
        place = np.array([values[0], math.sqrt(values[1])])
        left_out[restored["name"]] = np.stack([place, place + error * (number % 4)])
    found = module.Measured(record, None, left_out)
    for table in module.tables(found):
        assert all(len(row) == len(table.columns) for row in table.rows)
    return {claim.text.split(":")[0].split(",")[0]: claim for claim in module.claims(found)}


def test_a_family_on_the_tradeoff():
    found = sr_claims(GAINS, DISTANCES, (2.0, 7.5))
    (along,) = (claim for text, claim in found.items() if text.startswith("Along the family K̄"))
    assert along.holds
    assert "15 of 15 pairs" in along.found
    assert found["The robust member has a smaller K̄ than its twin"].holds
    assert found["The robust member has a larger √joint FD than its twin"].holds


def test_a_family_off_the_tradeoff():
    found = sr_claims(GAINS, DISTANCES[::-1], (5.5, 5.0))
    (along,) = (claim for text, claim in found.items() if text.startswith("Along the family K̄"))
    assert not along.holds
    assert "0 of 15 pairs" in along.found
    assert not found["The robust member has a smaller K̄ than its twin"].holds
    assert not found["The robust member has a larger √joint FD than its twin"].holds


def test_indices_as_they_are_plotted():
    record = sr_record(GAINS, DISTANCES, (2.0, 7.5))
    first = record["restorers"][0]
    plain, joint, excess = indices.index_values(record, first, indices.FD)
    assert plain[0] == pytest.approx(math.sqrt(8))
    assert joint == pytest.approx((3, 0.01 / 6))  # σ of √v is σ / (2 √v)
    assert excess[0] == pytest.approx(1)
    assert indices.index_values(record, first, indices.KD)[2][0] == pytest.approx(math.sqrt(4.5))
    assert indices.index_values(record, first, indices.INDICES[2])[:2] == ((0.5, 0.01), (0.5, 0.01))
    first["metrics"]["joint_fd_alexnet"]["value"] = -0.1  # an unbiased estimate may be negative
    assert all(math.isnan(value) for value in indices.index_values(record, first, indices.FD)[1])


def test_differences_within_their_errors_are_none():
    found = sr_claims(GAINS, DISTANCES, (2.0, 7.5), error=5.0)
    assert not found["The robust member has a smaller K̄ than its twin"].holds
    assert not found["The robust member has a larger √joint FD than its twin"].holds


def test_paper_scale_says_where_its_data_should_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="expected DIV2K"):
        load_experiment("ohayon2024/superresolution").run("paper")
