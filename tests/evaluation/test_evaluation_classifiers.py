"""Words of `jaxpr decisions` for classifiers: packaged, trained, the user's own, torch's; and a judge of one number."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.decisions import Decisions
from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.evaluation.classifiers import named_classifier, named_score
from jaxpr.models import ClassifierConfig, classifier_model
from jaxpr.weights import digit_classifier
from jaxpr.weights.classifiers import pack_classifier

OWN = """
import jax, jax.numpy as jnp
def logits(x): return 20 * jnp.mean(x, axis=(1, 2))  # the channel that is brightest
def other(x): return 9 * jnp.mean(jnp.square(x), axis=(1, 2))
def inks(x): return jnp.mean(x, axis=(1, 2, 3))
def column(x): return inks(x)[:, None]
def two(x): return logits(x)[:, :2]
def one(x): return logits(x)[:, :1]
def flat(x): return inks(x)
def shares(x): return jax.nn.softmax(logits(x))
def classes(x): return jnp.argmax(logits(x), axis=1)[:, None] * jnp.ones((1, 3), jnp.int32)
def undefined(x): return logits(x) * jnp.nan
def raising(x): raise ValueError("no")
def host(x):
    import numpy
    return numpy.asarray(x).mean(axis=(1, 2))
NUMBER = 3
class Network: pass
"""
TORCH = """
import torch
class Net(torch.nn.Module):
    def __init__(self, size=3):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(3)[:size] * 20)
    def forward(self, x): return x.mean(dim=(2, 3)) @ self.weight.T
net, score, images = Net(), Net(1), torch.nn.Conv2d(3, 3, 3)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with colours in a folder for each class, and files with classifiers."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for channel, name in enumerate(("blue-ish", "green", "red")[::-1]):
        for number in range(3):
            (tmp_path / "colours" / name).mkdir(parents=True, exist_ok=True)
            pixels = random.integers(60, 120, (8, 8, 3), np.uint8)
            pixels[..., channel] += 30
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{number}.png")
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def command(place, **changes):
    wanted = {
        "attacker": "own.py:logits",
        "judge": "own.py:other",
        "restorers": ("nearest",),
        "data": "classes:colours",
    }
    Decisions(out=place / "out", attack_steps=3, progress=False, **(wanted | changes)).run()


@pytest.mark.thorough
def test_an_image_folder_and_functions_of_the_users_own(place, capsys):
    command(place, score="own.py:inks", target=0)
    printed = capsys.readouterr().out
    record = json.loads((place / "out" / "decisions.json").read_text())
    # Classes in the order of their names, channels in another.
    assert record["protocol"]["classes"] == ["blue-ish", "green", "red"]
    assert record["source"]["judge"]["accuracy"]["value"] == pytest.approx(1 / 3)  # green alone is where it should be
    (found,) = record["restorers"]
    assert found["judge"]["kept"]["value"] == 1
    assert found["judge"]["shares_after"][0] > found["judge"]["shares_before"][0]
    # One channel rises by alpha, the other two fall by as much.
    assert found["scores"]["shift"]["value"] == pytest.approx(-16 / 255 / 3, rel=0.02)
    assert found["scores"]["after"]["mean"]["value"] - found["scores"]["before"]["mean"]["value"] == pytest.approx(
        found["scores"]["shift"]["value"]
    )
    assert "towards class blue-ish" in printed
    assert "judge of one number" in printed
    assert "natural image's class kept by nearest: 100" in printed
    assert "labels: found none" not in printed
    # Another classifier in the same folder would mix batches.
    with pytest.raises(InputError, match="judge: found other outputs than in the earlier run in this folder"):
        command(place, score="own.py:inks", target=0, judge="own.py:shares")


def test_a_folder_without_classes_says_so(place, capsys):
    command(place, data="colours", limit=2)
    assert "labels: found none of colours" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attacker": None}, "attacker: found none for --data classes:colours, expected a classifier"),
        ({"judge": None}, "judge: found none"),
        ({"judge": "own.py:logits"}, "judge: found 'own.py:logits', the attacked classifier, expected another"),
        ({"judge": "own.py:two"}, "judge: found 2 classes, expected those of attacker, 3"),
        ({"attacker": "own.py:one"}, "attacker: found 1 class, expected at least two"),
        ({"attacker": "own.py:flat"}, r"attacker: found logits of shape \(\d+,\), expected \(N, classes\)"),
        ({"attacker": "own.py:shares"}, "attacker: found probabilities .*, expected logits"),
        ({"attacker": "own.py:classes"}, "attacker: found int32 for clean images, expected floating point"),
        ({"attacker": "own.py:undefined"}, "attacker: found NaN or infinite logits"),
        ({"attacker": "own.py:raising"}, "attacker: failed .ValueError: no., expected a classifier that maps"),
        ({"attacker": "own.py:host"}, "attacker: failed .TracerArrayConversionError"),
        ({"score": "own.py:column"}, r"score: found shape \(\d+, 1\), expected one number for each image"),
        ({"score": "own.py:NUMBER"}, "score: found no function 'NUMBER' in own.py"),
        ({"target": 3}, "target: found 3, expected a class from 0 to 2"),
        ({"data": "classes:colours/red"}, "data: found 0 in .*, expected a folder for each of two classes"),
        ({"attacker": "digits-attacker"}, r"attacker: x: found shape \(\d+, 8, 8, 3\), expected images \(N, 8, 8, 1\)"),
    ],
)
def test_mistakes_are_one_line(place, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        command(place, **changes)
    assert "\n" not in str(caught.value)
    assert not (place / "out").exists() or not list((place / "out").glob("decisions*"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "judge: found 'nothing', expected one of digits-attacker, digits-judge, trained:PATH"),
        ("own.py:Network", "judge: found the class Network for 'own.py:Network'"),
        ("own.py:nothing", "judge: found no function 'nothing' in own.py, expected a function x -> logits"),
        ("trained:nowhere", "judge: found 'nowhere', expected weights of jaxpr train or one of digits"),
        ("trained:own.py", "judge: .*own.py: content: found no packed weights"),
        ("no.such.module:f", "judge: cannot import 'no.such.module'"),
    ],
)
def test_words_that_name_nothing(place, spec, message):
    with pytest.raises(InputError, match=message):
        named_classifier("judge", spec)


@pytest.mark.thorough
def test_packaged_and_trained_classifiers(tmp_path):
    x = jnp.asarray(digits("test")[:4].select(range(4))[0][None])
    np.testing.assert_array_equal(named_classifier("judge", "digits-judge")(x), digit_classifier("judge")(x))
    config = ClassifierConfig("residual", 8, classes=3, width=2, halvings=1)
    model = classifier_model(config)
    params = model.init(jax.random.key(0))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pack_classifier(config, params, {"seed": 1}))
    ours = named_classifier("attacker", f"trained:{path}")
    np.testing.assert_array_equal(ours(x), model.apply(params, x))
    with pytest.raises(InputError, match=r"x: found shape \(1, 28, 28, 1\), expected images \(N, 8, 8, 1\)"):
        ours(jnp.zeros((1, 28, 28, 1)))
    path.write_bytes(pack_classifier(config._replace(width=3), params, {}))
    with pytest.raises(InputError, match=r"content: found .* expected shape"):
        named_classifier("attacker", f"trained:{path}")
    path.write_bytes(pack_classifier(config._replace(design="deep"), params, {}))
    with pytest.raises(InputError, match=r"content: found weights without a classifier .design: found 'deep'"):
        named_classifier("attacker", f"trained:{path}")


def test_modules_of_torch(place):
    pytest.importorskip("torch")
    (place / "torched.py").write_text(TORCH)
    (place / "own.py").write_text(OWN)
    x = jnp.asarray(np.random.default_rng(1).uniform(size=(4, 8, 8, 3)).astype(np.float32))
    theirs, same = named_classifier("attacker", "torched.py:net"), named_classifier("attacker", "own.py:logits")
    np.testing.assert_allclose(jax.jit(theirs)(x), same(x), rtol=1e-5)
    slope, wanted = (jax.jit(jax.grad(lambda x, f=f: jnp.sum(f(x)[:, 1])))(x) for f in (theirs, same))
    np.testing.assert_allclose(slope, wanted, rtol=1e-5)
    np.testing.assert_allclose(named_score("score", "torched.py:score")(x), same(x)[:, 0], rtol=1e-5)
    command(place, attacker="torched.py:net", score="torched.py:score")
    with pytest.raises(InputError, match=r"attacker: module: failed .* found output of shape .* expected logits"):
        command(place, attacker="torched.py:images")
