import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.cli.decisions import Decisions
from jaxpr.core import InputError
from jaxpr.data import digits, from_arrays
from jaxpr.evaluation import (
    AttackedDecisions,
    DecisionAttack,
    Patches,
    Protocol,
    decisions,
    evaluate,
    evaluate_decisions,
)
from jaxpr.evaluation.state import BatchStore
from jaxpr.records.decisions import decisions_record
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


def attacked(*attacks, **options):
    return AttackedDecisions(**{"attacker": attacker, "judge": judge, "attacks": attacks, "steps": 5, **options})


def run(images, *, restorers=RESTORERS, degradation="average-x2+noise-0.02", alpha=0.1, target=None, **options):
    of_classifiers = {name: options.pop(name) for name in ("attacker", "judge", "steps", "classes") if name in options}
    asked = attacked(DecisionAttack(alpha, target), **of_classifiers)
    (found,) = evaluate_decisions(KEY, restorers, images, degradation, asked, **{"batch_size": 4, **options})
    return found


@pytest.fixture(scope="module")
def targeted(images):
    return run(images, target=2)


@pytest.fixture(scope="module")
def untargeted(images):
    return run(images, restorers={"repeat": repeat})


@pytest.mark.thorough
def test_shares_sum_to_one_and_belong_to_the_decisions(targeted, untargeted):
    for found in (*targeted.restorers, *untargeted.restorers):
        for network in (found.judge, found.attacker):
            for shares, seen in ((network.shares_before, network.before), (network.shares_after, network.after)):
                assert shares.sum() == pytest.approx(1)
                np.testing.assert_allclose(shares, [np.mean(seen == i) for i in range(CLASSES)])
            assert network.changed.value == pytest.approx(np.mean(network.before != network.after))
    assert all(shares.sum() == pytest.approx(1) for shares, _ in targeted.source.values())


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_the_batch_size_changes_nothing(images, targeted):
    again = run(images, batch_size=64, target=2, restorers={"repeat": repeat})
    first, second = targeted.restorers[0], again.restorers[0]
    for network in ("judge", "attacker"):
        np.testing.assert_array_equal(getattr(first, network).before, getattr(second, network).before)
        np.testing.assert_array_equal(getattr(first, network).after, getattr(second, network).after)
    assert first.input_psnr == pytest.approx(second.input_psnr, rel=1e-5)
    assert targeted.protocol == again.protocol


@pytest.mark.thorough
def test_several_attacks_are_each_of_them_alone(images, tmp_path):
    attacks = [DecisionAttack(0.1, 2), DecisionAttack(0.1), DecisionAttack(0.02)]
    asked = attacked(*attacks)
    several = evaluate_decisions(KEY, RESTORERS, images, "average-x2+noise-0.02", asked, batch_size=4, out=tmp_path)
    assert {path.stem for path in tmp_path.glob("decisions*")} == {f"decisions-{number}" for number in range(3)}
    for attack, found in zip(attacks, several, strict=True):
        single = run(images, alpha=attack.alpha, target=attack.target)
        assert found.protocol == single.protocol
        for ours, alone in zip(found.restorers, single.restorers, strict=True):
            np.testing.assert_array_equal(ours.judge.after, alone.judge.after)
            assert ours.judge.target_success == alone.judge.target_success
            assert ours.input_psnr == alone.input_psnr
    weak, strong = several[2].restorers[0], several[1].restorers[0]
    assert weak.input_psnr.value > strong.input_psnr.value + 10
    with pytest.raises(InputError, match="attacks: found none"):
        attacked()


@pytest.mark.thorough
def test_a_run_that_was_stopped_goes_on(images, tmp_path, monkeypatch):
    """Batches that are stored are not computed again, and the end is what it would have been."""
    whole = run(images, target=2, out=tmp_path / "whole")
    out = tmp_path / "stopped"
    save, saved = BatchStore.save, []

    def stop(self, indices, arrays):
        if len(saved) == 4:
            raise KeyboardInterrupt
        saved.append((self.folder.name, indices))
        save(self, indices, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(BatchStore, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            run(images, target=2, out=out)
        assert not (out / "decisions.json").exists()
    monkeypatch.setattr(BatchStore, "save", lambda *args: saved.append((args[0].folder.name, args[1])) or save(*args))
    again = run(images, target=2, out=out)
    assert len({(name, tuple(indices)) for name, indices in saved}) == len(saved) == 9
    assert decisions_record(again)["restorers"] == decisions_record(whole)["restorers"]
    with pytest.raises(InputError, match=r"out: found a run with decisions_target = \[2\] in .*, expected \[1\]"):
        run(images, target=1, out=out)
    with pytest.raises(InputError, match=r"out: found a run with decisions_alpha = 25.5/255 in .*, expected 51/255"):
        run(images, target=2, alpha=0.2, out=out)
    with pytest.raises(InputError, match="restorer repeat: found other outputs"):
        run(images, target=2, out=out, restorers={"repeat": lambda y: 0.9 * repeat(y)})


@pytest.mark.usefixtures("eight_devices")
def test_eight_devices_find_the_same(images, targeted):
    found = run(images, target=2, restorers={"repeat": repeat}).restorers[0]
    np.testing.assert_array_equal(found.judge.after, targeted.restorers[0].judge.after)
    assert found.input_psnr == pytest.approx(targeted.restorers[0].input_psnr, rel=1e-5)


@pytest.mark.thorough
@pytest.mark.usefixtures("pages")
def test_they_are_a_measure_of_an_evaluation(images, targeted, tmp_path):
    """The same numbers as alone, beside all others; what cannot be attacked has none."""
    protocol = Protocol(crop=None, patches=Patches(size=2, stride=2, features="pixels"), attack=None)
    protocol = protocol.replace(probes=0, uncertainty_block=0, samples=2)
    restorers = {"repeat": repeat, "noisy": lambda key, y: repeat(y) + 0.01 * jax.random.normal(key, (1, 8, 8, 1))}
    results = evaluate(
        KEY,
        restorers,
        images,
        "average-x2+noise-0.02",
        protocol=protocol,
        out=tmp_path,
        progress=False,
        decisions=attacked(DecisionAttack(0.1, 2)),
    )
    metrics, alone = results.restorers[0].metrics, targeted.restorers[0]
    assert metrics["decisions_changed"][:2] == alone.judge.changed
    assert metrics["decisions_reached"][:2] == alone.judge.target_success
    assert metrics["decisions_right_attacked"][:2] == alone.judge.accuracy_after
    assert metrics["decisions_input_psnr"].value == pytest.approx(alone.input_psnr.value, rel=1e-5)
    assert metrics["psnr"].value > 10
    assert not [name for name in results.restorers[1].metrics if name.startswith("decisions")]
    assert json.loads((tmp_path / "decisions.json").read_text())["restorers"][0]["name"] == "repeat"
    assert "Decisions behind the restorers" in (tmp_path / "report.html").read_text()
    once, twice = attacked(DecisionAttack()), attacked(DecisionAttack(), DecisionAttack())
    for known, asked, message in (
        (restorers, twice, "attacks: found 2, expected one"),
        ({"noisy": restorers["noisy"]}, once, "decisions: found no deterministic restorer"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(KEY, known, images, "average-x2", protocol=protocol, out=tmp_path / "new", decisions=asked)
    assert not (tmp_path / "new").exists()


@pytest.mark.thorough
def test_restorers_with_one_function_share_a_program(images, monkeypatch):
    made = []

    def counted(fn, *, original=decisions.spread, **options):
        made.append(getattr(fn, "__name__", ""))
        return original(fn, **options)

    monkeypatch.setattr(decisions, "spread", counted)

    def scaled(gain, key, y):
        return gain * repeat(y)

    members = {f"gain {g}": Restorer(scaled, np.float32(g), family="gain", setting=g) for g in (1.0, 0.8)}
    found = run(images, restorers=members | {"plain": lambda y: np.float32(0.8) * repeat(y)})
    assert made.count("program") == 2
    _, half, plain = found.restorers
    np.testing.assert_array_equal(half.judge.after, plain.judge.after)
    assert half.input_psnr == plain.input_psnr
    described = [(entry["family"], entry["setting"]) for entry in decisions_record(found)["restorers"]]
    assert described == [("gain", 1.0), ("gain", 0.8), (None, None)]


@pytest.mark.thorough
def test_an_attack_of_size_zero_and_no_labels(images):
    found = run(list(images), alpha=0.0, steps=1, restorers={"repeat": repeat})
    assert found.restorers[0].judge.changed.value == 0
    assert found.restorers[0].input_psnr.value == np.inf
    assert found.restorers[0].judge.accuracy_before is found.source["judge"][1] is found.samples[0].label is None
    record = decisions_record(found)["restorers"][0]
    assert record["input_psnr"] == {"value": None, "stderr": None}
    assert record["judge"]["accuracy_after"] is None


@pytest.mark.thorough
def test_what_is_written_of_a_limited_run(images, tmp_path):
    out = tmp_path / "new" / "out"
    labelled = from_arrays(np.stack(list(images)), name="bands", labels=[3] * 11)
    results = run(labelled, target=2, limit=3, out=out, restorers={"repeat": repeat})
    files = {"decisions.json", "decisions.png", "decisions.txt", "protocol.json", "state"}
    assert {path.name for path in out.iterdir()} == files
    record = json.loads((out / "decisions.json").read_text())
    assert record == json.loads(json.dumps(decisions_record(results)))
    assert record["protocol"]["target"] == 2
    assert record["protocol"]["examples"] == 3
    assert len(record["restorers"][0]["judge"]["shares_after"]) == CLASSES
    judgement = results.restorers[0].judge
    assert judgement.accuracy_before.value == pytest.approx(np.mean(judgement.before == 3))
    assert [sample.name for sample in results.samples] == [labelled.names[i] for i in (0, 5, 10)]
    assert results.samples[1].label == "3"
    np.testing.assert_allclose(results.samples[2].x, images[10], atol=1 / 65535)  # kept with 16 bits


@pytest.mark.thorough
def test_an_example_is_attacked_alike_under_any_limit(images):
    """Noise and start belong to its place in the data."""
    all_of_them, few = (run(images, target=2, limit=limit, restorers={"repeat": repeat}) for limit in (None, 3))
    np.testing.assert_array_equal(few.restorers[0].judge.after, all_of_them.restorers[0].judge.after[[0, 5, 10]])
    np.testing.assert_allclose(few.samples[1].y, all_of_them.samples[1].y, atol=0)


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
        ({"classes": ["a"]}, "classes: found 1 names, expected one for each of 4"),
        ({"judge": lambda x: jnp.zeros((x.shape[0], 3))}, "judge: found 3 classes, expected those of attacker, 4"),
        ({"judge": lambda x: jnp.zeros(x.shape[0])}, "judge: found logits of shape"),
        ({"judge": lambda x: jnp.nan * judge(x)}, "judge: found NaN"),
        ({"restorers": {"r": lambda y: y}}, r"restorer r: found output of shape \(4, 4, 4, 1\)"),
        ({"restorers": {"r": lambda key, y: y}}, "restorer r: found a stochastic one, expected a deterministic y"),
        ({"restorers": {"r": lambda y: repeat(y) / 0}}, "restorer r: found 64 NaN or infinite values in the rest"),
    ],
)
def test_mistakes_are_one_line(images, options, message):
    with pytest.raises(InputError, match=message) as caught:
        run(images, **options)
    assert "\n" not in str(caught.value)


def test_labels_of_other_classes(images):
    with pytest.raises(InputError, match="labels: found classes 7 to 7, expected 0 to 3"):
        run(from_arrays(np.stack(list(images)), name="bands", labels=[7] * 11))


@pytest.mark.thorough
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
