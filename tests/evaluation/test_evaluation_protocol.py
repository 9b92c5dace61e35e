"""Protocols: values that cannot be wrong, their settings by name, and the options of the command made of them."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxpr.cli.evaluate import Evaluate
from jaxpr.cli.options import ProtocolOptions, changes_of
from jaxpr.core import InputError
from jaxpr.data import from_arrays
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import SCALES, Protocol, evaluate
from jaxpr.evaluation.ascents import APGD, IFGSM, L2Adam
from jaxpr.evaluation.attack_checks import CHECKS
from jaxpr.evaluation.protocol import Distortion, Exploration, Patches, Probes, settings
from jaxpr.records import of_source
from jaxpr.records.metric_info import ATTACK
from jaxpr.restorers import nearest

DEGRADATION = parse_degradation("bicubic-x4")
PARTS = [Protocol, Distortion, Patches, IFGSM, APGD, L2Adam, Probes, Exploration]
ALL = {name for attack in (IFGSM, APGD, L2Adam) for name in settings(Protocol(attack=attack()))}


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Distortion, "border", -1),
        (Distortion, "channel", "hsv"),
        (Distortion, "lpips_network", "squeeze"),
        (Patches, "size", 0),
        (Patches, "stride", 2.5),
        (Patches, "features", "resnet"),
        (Patches, "most", 0),
        (IFGSM, "alpha", -0.1),
        (IFGSM, "alpha", float("nan")),
        (IFGSM, "steps", 0),
        (APGD, "rounds", 0),
        (L2Adam, "epsilon", 0.0),
        (L2Adam, "learning_rate", -1.0),
        (Exploration, "samples", 1),
        (Probes, "count", -1),
        (Probes, "sweep", [0.1]),
        (Probes, "sweep", (0.1, -0.1)),
        (Protocol, "crop", -8),
        (Protocol, "limit", 0),
        (Protocol, "samples", 1),
        (Protocol, "measurement_bits", 0),
        (Protocol, "attack", "ifgsm"),
        (Protocol, "patches", 16),
    ],
)
def test_values_that_cannot_be_made(kind, field, value):
    with pytest.raises(InputError, match=f"^{field}: found "):
        kind(**{field: value})


def test_settings_have_one_name_each_and_go_there_and_back():
    for protocol in (
        *SCALES.values(),
        Protocol(attack=L2Adam(epsilon=0.5)),
        Protocol(attack=APGD(rounds=2)),
        Protocol(attack=None),
    ):
        found = settings(protocol)
        assert Protocol(attack=protocol.attack).replace(**{k: v for k, v in found.items() if k != "attack"}) == protocol
        assert SCALES["paper"].replace(**found) == protocol
    leaves = [field.name for kind in PARTS for field in dataclasses.fields(kind)]
    # Four fields hold parts; three attacks share the setting of their steps, and two that of their radius.
    assert len(ALL) == len(leaves) - 4 - 2 - 1


def test_replacing_by_name():
    changed = SCALES["small"].replace(patch_size=8, explore_samples=2, attack="l2_adam", epsilon=0.5)
    assert (changed.patches.size, changed.probes.exploration.samples) == (8, 2)
    assert changed.attack == L2Adam(epsilon=0.5, steps=10)
    assert SCALES["smoke"].replace(alpha=0.1).replace(attack="apgd", attack_effort=3).attack == APGD(
        alpha=0.1, steps=2, rounds=3
    )
    assert changed.replace(attack=None).attack is None
    assert changed.replace(attack=None).sweep == ()
    assert SCALES["small"].replace() == SCALES["small"]
    for change, message in [
        ({"epsilon": 0.5}, "epsilon: found without attack l2_adam"),
        ({"attack_effort": 2}, "attack_effort: found without attack apgd"),
        ({"attack": "apgd", "attack_effort": 0}, "^attack_effort: found 0"),
        ({"attack": "pgd"}, "attack: found 'pgd', expected one of ifgsm, apgd, l2_adam"),
        ({"patch_sise": 8}, "patch_sise: found 8, expected one of .*did you mean patch_size"),
        ({"patch_size": 0}, "^patch_size: found 0"),
        ({"probes": -1}, "^probes: found -1"),
        ({"explore_steps": 0}, "^explore_steps: found 0"),
    ]:
        with pytest.raises(InputError, match=message):
            SCALES["small"].replace(**change)


def test_every_setting_is_an_option_with_words():
    names = {field.name.removesuffix("_levels") for field in dataclasses.fields(ProtocolOptions)}
    assert names == set(ALL)
    described = ProtocolOptions.__doc__.partition("Attributes:\n")[2].splitlines()
    assert len(described) == len(names)
    assert all(len(line.partition(": ")[2]) > 10 for line in described)


def test_options_change_what_was_given_only():
    given = Evaluate(out="x", crop=0, alpha_levels=2.0, sweep_levels=(1.0, 2.0), set_patches="none", probes=0)
    assert changes_of(given) == {
        "crop": 0,
        "alpha": 2 / 255,
        "sweep": (1 / 255, 2 / 255),
        "set_patches": None,
        "probes": 0,
    }
    assert not given.settled(DEGRADATION).probing
    assert Evaluate(out="x", attack="none").settled(DEGRADATION).attack is None
    with pytest.raises(InputError, match="sweep_levels: found 256, expected more than 0 and at most 255"):
        changes_of(Evaluate(out="x", sweep_levels=(1.0, 256.0)))


@pytest.mark.thorough
@pytest.mark.usefixtures("pages")
def test_without_an_attack_its_measures_are_left_out(tmp_path):
    images = from_arrays(list(np.random.default_rng(0).random((2, 32, 32, 3), np.float32)), name="noise")
    protocol = SCALES["smoke"].replace(crop=32, patch_size=8, features="pixels", lipschitz_iterations=2)
    results = {}
    for attack in (IFGSM(steps=2), None):
        results[attack] = evaluate(
            jax.random.key(0),
            {"nearest": lambda y: nearest(y, factor=2)},
            images,
            "average-x2",
            protocol=protocol.replace(attack=attack),
            out=tmp_path / str(attack),
            progress=False,
        )
    with_it, without = (found.restorers[0] for found in results.values())
    of_one_restorer = set(CHECKS) - {"transfer_ratio"}
    assert set(with_it.metrics) - set(without.metrics) == {*of_source(ATTACK), *of_one_restorer}
    assert not set(without.metrics) - set(with_it.metrics)
    for name, metric in without.metrics.items():
        np.testing.assert_equal(metric, with_it.metrics[name], err_msg=name)
    assert with_it.curves
    assert not without.curves
    assert results[None].protocol["attack"] is None
    assert (tmp_path / "None" / "report.html").exists()
