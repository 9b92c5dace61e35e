import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.cli.decisions import Decisions
from jaxpr.core import InputError
from jaxpr.data import digits, from_arrays
from jaxpr.evaluation import decisions
from jaxpr.evaluation.decision_results import decisions_record, write_decisions
from jaxpr.evaluation.decisions import DecisionAttack, evaluate_decisions, sweep_decisions
from jaxpr.restorers import Restorer

KEY = jax.random.key(3)
CLASSES = 4


def judge(x):
    """Logits: the mean of each quarter of the rows."""
    return 20 * jnp.mean(x.reshape(x.shape[0], CLASSES, -1), axis=2)


def attacker(x):
    return 10 * jnp.mean(jnp.square(x.reshape(x.shape[0], CLASSES, -1)), axis=2)


def repeat(y):
    return jnp.repeat(jnp.repeat(y, 2, axis=1), 2, axis=2)


def constant(y):
    return jnp.broadcast_to(jnp.linspace(0, 1, 64).reshape(1, 8, 8, 1), (y.shape[0], 8, 8, 1)) + 0 * jnp.sum(y)


RESTORERS = {"repeat": repeat, "constant": constant}


@pytest.fixture(scope="module")
def images():
    x = np.random.default_rng(0).uniform(0.3, 0.6, (11, 8, 8, 1)).astype(np.float32)
    labels = np.arange(11) % CLASSES
    for i, label in enumerate(labels):
        x[i, 2 * label : 2 * label + 2] += 0.05
    return from_arrays(x, name="bands", labels=labels.tolist())


def run(images, **options):
    options = {"attacker": attacker, "judge": judge, "alpha": 0.1, "steps": 5, "batch_size": 4, **options}
    restorers = options.pop("restorers", RESTORERS)
    return evaluate_decisions(KEY, restorers, images, options.pop("degradation", "average-x2+noise-0.02"), **options)


@pytest.fixture(scope="module")
def targeted(images):
    return run(images, target=2)


@pytest.fixture(scope="module")
def untargeted(images):
    return run(images, restorers={"repeat": repeat})


def test_shares_sum_to_one_and_belong_to_the_decisions(targeted, untargeted):
    for found in (*targeted.restorers, *untargeted.restorers):
        for network in (found.judge, found.attacker):
            for shares, seen in ((network.shares_before, network.before), (network.shares_after, network.after)):
                assert shares.sum() == pytest.approx(1)
                np.testing.assert_allclose(shares, [np.mean(seen == i) for i in range(CLASSES)])
            assert network.changed.value == pytest.approx(np.mean(network.before != network.after))
    assert all(shares.sum() == pytest.approx(1) for shares, _ in targeted.source.values())


def test_a_constant_restorer_changes_nothing(targeted):
    repeat, constant = targeted.restorers
    for network in (constant.judge, constant.attacker):
        np.testing.assert_array_equal(network.before, network.after)
        assert network.changed == network.target_success == (0, 0)
    assert constant.blind == 1
    assert repeat.blind == 0


def test_the_attack_reaches_its_target(targeted):
    repeat = targeted.restorers[0]
    assert repeat.attacker.shares_after[2] == 1
    assert repeat.attacker.target_success == (1, 0)
    assert repeat.judge.shares_after[2] > 0.9 > repeat.judge.shares_before[2]
    # 11 examples, of which the attack moves every entry by alpha or to the bounds.
    assert 20 - 0.5 < repeat.input_psnr.value < 22


def test_the_attack_leaves_the_class(untargeted):
    repeat = untargeted.restorers[0]
    assert repeat.attacker.changed.value == 1
    assert repeat.judge.changed.value > 0.8
    assert repeat.judge.target_success is None
    assert repeat.judge.accuracy_after.value < repeat.judge.accuracy_before.value


def test_the_judge_is_asked_and_never_attacked(images, targeted):
    def stubborn(x):
        """Always the last class; its gradient is NaN, so that an attack through it could not move."""
        return jnp.sqrt(jnp.sum(0 * x, axis=(1, 2, 3)))[:, None] + jnp.arange(CLASSES)[None]

    (found,) = run(images, target=2, judge=stubborn, restorers={"repeat": repeat}).restorers
    assert found.judge.shares_before[CLASSES - 1] == found.judge.shares_after[CLASSES - 1] == 1
    np.testing.assert_array_equal(found.attacker.before, targeted.restorers[0].attacker.before)
    np.testing.assert_array_equal(found.attacker.after, targeted.restorers[0].attacker.after)
    assert found.attacker.shares_after[2] == 1


def test_accuracy_is_that_of_the_labels(images, untargeted):
    judgement = untargeted.restorers[0].judge
    labels = np.array(images.labels)
    assert judgement.accuracy_before.value == pytest.approx(np.mean(judgement.before == labels))
    assert untargeted.source["judge"][1].value == pytest.approx(
        np.mean(np.argmax(judge(np.stack(list(images))), axis=1) == labels)
    )


def test_the_batch_size_changes_nothing(images, targeted):
    again = run(images, batch_size=64, target=2, restorers={"repeat": repeat})
    first, second = targeted.restorers[0], again.restorers[0]
    for network in ("judge", "attacker"):
        np.testing.assert_array_equal(getattr(first, network).before, getattr(second, network).before)
        np.testing.assert_array_equal(getattr(first, network).after, getattr(second, network).after)
    assert first.input_psnr == pytest.approx(second.input_psnr, rel=1e-5)
    assert targeted.protocol == again.protocol


def test_a_sweep_is_its_attacks_one_by_one(images):
    attacks = [DecisionAttack(0.1, 2), DecisionAttack(0.1), DecisionAttack(0.02)]
    options = {"attacker": attacker, "judge": judge, "steps": 5, "batch_size": 4}
    swept = sweep_decisions(KEY, RESTORERS, images, "average-x2+noise-0.02", attacks, **options)
    for attack, found in zip(attacks, swept, strict=True):
        single = run(images, alpha=attack.alpha, target=attack.target)
        assert found.protocol == single.protocol
        for several, one in zip(found.restorers, single.restorers, strict=True):
            np.testing.assert_array_equal(several.judge.after, one.judge.after)
            assert several.judge.target_success == one.judge.target_success
            assert several.input_psnr == one.input_psnr
    weak, strong = swept[2].restorers[0], swept[1].restorers[0]
    assert weak.input_psnr.value > strong.input_psnr.value + 10
    with pytest.raises(InputError, match="attacks: found none"):
        sweep_decisions(KEY, RESTORERS, images, "average-x2", [], **options)


def test_restorers_with_one_function_share_a_program(images, monkeypatch):
    made = []
    monkeypatch.setattr(
        decisions, "_program", lambda *args, f=decisions._program, **kw: made.append(1) or f(*args, **kw)
    )

    def scaled(gain, key, y):
        return gain * repeat(y)

    members = {f"gain {g}": Restorer(scaled, np.float32(g), family="gain", setting=g) for g in (1.0, 0.8)}
    found = run(images, restorers=members | {"plain": lambda y: np.float32(0.8) * repeat(y)})
    assert len(made) == 2
    _, half, plain = found.restorers
    np.testing.assert_array_equal(half.judge.after, plain.judge.after)
    assert half.input_psnr == plain.input_psnr
    described = [(entry["family"], entry["setting"]) for entry in decisions_record(found)["restorers"]]
    assert described == [("gain", 1.0), ("gain", 0.8), (None, None)]


def test_an_attack_of_size_zero_and_no_labels(images):
    found = run(list(images), alpha=0.0, steps=1, restorers={"repeat": repeat})
    assert found.restorers[0].judge.changed.value == 0
    assert found.restorers[0].input_psnr.value == np.inf
    assert found.restorers[0].judge.accuracy_before is found.source["judge"][1] is found.samples[0].label is None
    record = decisions_record(found)["restorers"][0]
    assert record["input_psnr"] == {"value": None, "stderr": None}
    assert record["judge"]["accuracy_after"] is None


def test_what_is_written_of_a_limited_run_with_other_labels(images, tmp_path):
    out = tmp_path / "new" / "out"
    labels = np.full(11, 3)
    results = run(images, target=2, limit=3, labels=labels, out=out, restorers={"repeat": repeat})
    assert {path.name for path in out.iterdir()} == {"decisions.json", "decisions.png", "decisions.txt"}
    record = json.loads((out / "decisions.json").read_text())
    assert record == json.loads(json.dumps(decisions_record(results)))
    assert record["protocol"]["target"] == 2
    assert record["protocol"]["examples"] == 3
    assert len(record["restorers"][0]["judge"]["shares_after"]) == CLASSES
    judgement = results.restorers[0].judge
    assert judgement.accuracy_before.value == pytest.approx(np.mean(judgement.before == 3))
    assert [sample.name for sample in results.samples] == [images.names[i] for i in (0, 5, 10)]
    assert results.samples[1].label == "3"
    np.testing.assert_array_equal(results.samples[2].x, images[10])


def test_the_folder_must_be_one(untargeted, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="out: found a file at"):
        write_decisions(untargeted, tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restorers": {}}, "restorers: found none"),
        ({"target": 4}, "target: found 4, expected a class from 0 to 3"),
        ({"target": True}, "target: found True"),
        ({"alpha": -1.0}, "alpha: found -1.0"),
        ({"steps": 0}, "steps: found 0"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"limit": 0}, "limit: found 0"),
        ({"labels": [1, 2]}, r"labels: found int64 of shape \(2,\), expected integers \(11,\)"),
        ({"labels": [7] * 11}, "labels: found classes 7 to 7, expected 0 to 3"),
        ({"labels": [0.5] * 11}, "labels: found float64"),
        ({"classes": ["a"]}, "classes: found 1 names, expected one for each of 4"),
        ({"judge": lambda x: jnp.zeros((x.shape[0], 3))}, "judge: found 3 classes, expected those of attacker, 4"),
        ({"judge": lambda x: jnp.zeros(x.shape[0])}, "judge: found logits of shape"),
        ({"judge": lambda x: jnp.nan * judge(x)}, "judge: found NaN"),
        ({"restorers": {"r": lambda y: y}}, r"restorer r: found output of shape \(2, 4, 4, 1\)"),
        ({"restorers": {"r": lambda key, y: y}}, "restorer r: found a stochastic one, expected a deterministic y"),
        ({"restorers": {"r": lambda y: repeat(y) / 0}}, "restorer r: found 704 NaN or infinite values in restored"),
    ],
)
def test_mistakes_are_one_line(images, options, message):
    with pytest.raises(InputError, match=message) as caught:
        run(images, **options)
    assert "\n" not in str(caught.value)


def test_images_of_several_shapes():
    x = [np.zeros((8, 8, 1), np.float32), np.zeros((8, 10, 1), np.float32)]
    with pytest.raises(InputError, match="images: found 2 different shapes"):
        run(x)


def test_the_command(tmp_path, capsys):
    command = Decisions(out=tmp_path, restorers=("bicubic",), target=8, attack_steps=3, limit=6, batch_size=4)
    command.run()
    printed = capsys.readouterr().out
    assert "6 examples of digits-test, average-x2; I-FGSM towards class 8, α = 16/255, 3 steps" in printed
    assert printed.endswith(f"Figure: {tmp_path / 'decisions.png'}\n")
    assert (tmp_path / "decisions.txt").read_text() in printed
    record = json.loads((tmp_path / "decisions.json").read_text())
    assert record["protocol"]["alpha"] == 16 / 255
    assert record["protocol"]["classes"] == [str(i) for i in range(10)]
    assert record["restorers"][0]["judge"]["accuracy_before"] is not None
    assert Path(tmp_path / "decisions.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="dictionary: found 0"):
        Decisions(out=tmp_path, dictionary=0).run()


def test_digits_have_labels():
    assert set(digits("test").labels) == set(range(10))
