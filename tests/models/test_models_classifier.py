import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.models import classifier
from jaxpr.models.classifier import DIGIT_CLASSIFIERS, digit_model
from jaxpr.weights.classifiers import digit_classifier
from jaxpr.weights.native import pack_weights, unpack_weights


@pytest.fixture(scope="module")
def held_out():
    source = digits("test")
    return jnp.asarray(np.stack(list(source))), np.array(source.labels)


@pytest.mark.parametrize("name", DIGIT_CLASSIFIERS)
def test_packaged_classifiers_are_as_accurate_as_their_files_say(name, held_out):
    images, labels = held_out
    path = classifier._FOLDER / f"digits-{name}.safetensors"
    _, metadata = unpack_weights(path.read_bytes())
    found = np.mean(np.argmax(jax.jit(digit_classifier(name))(images), axis=1) == labels)
    assert found == pytest.approx(metadata["test_accuracy"], abs=2 / len(labels))
    assert found > 0.96
    assert metadata["data_fingerprint"] == digits("train").fingerprint
    assert path.stat().st_size < 2 * 2**20


@pytest.mark.parametrize("name", DIGIT_CLASSIFIERS)
def test_classifiers_are_the_same_compiled_and_differentiable(name, held_out):
    x = held_out[0][:5]
    logits = digit_classifier(name)
    np.testing.assert_allclose(jax.jit(logits)(x), logits(x), rtol=1e-4, atol=1e-4)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(logits(x)[:, 3])))(x)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=(1, 2, 3)) > 0).all()
    assert logits(x).dtype == jnp.float32


def test_the_two_networks_differ_in_layers():
    shapes = [set(jax.eval_shape(digit_model(name).init, jax.random.key(0))) for name in DIGIT_CLASSIFIERS]
    assert shapes[0] & shapes[1] == {"head"}


def test_packing_keeps_everything_and_gives_the_same_bytes():
    params = {"b": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3)}, "a": {"bias": np.zeros(2, np.float32)}}
    metadata = {"seed": 3, "command": "x"}
    content = pack_weights(params, metadata)
    assert content == pack_weights(dict(reversed(params.items())), dict(reversed(metadata.items())))
    unpacked, described = unpack_weights(content)
    assert described == metadata
    assert jax.tree.structure(unpacked) == jax.tree.structure(params)
    np.testing.assert_array_equal(unpacked["b"]["kernel"], params["b"]["kernel"])


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0nonsense", pack_weights({}, {})[:-1]])
def test_bytes_that_are_no_weights(content):
    with pytest.raises(InputError, match="content: found no packed weights"):
        unpack_weights(content)


def test_a_changed_file_is_not_read(tmp_path, monkeypatch):
    content = (classifier._FOLDER / "digits-judge.safetensors").read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    (tmp_path / "digits-judge.safetensors").write_bytes(changed)
    monkeypatch.setattr(classifier, "_FOLDER", tmp_path)
    with pytest.raises(InputError, match=f"found SHA-256 {hashlib.sha256(changed).hexdigest()}, expected"):
        digit_classifier.__wrapped__("judge")
    with pytest.raises(InputError, match=r"digits-attacker\.safetensors: cannot be read"):
        digit_classifier.__wrapped__("attacker")


def test_weights_of_another_architecture_are_refused(tmp_path, monkeypatch):
    content = (classifier._FOLDER / "digits-judge.safetensors").read_bytes()
    (tmp_path / "digits-attacker.safetensors").write_bytes(content)
    monkeypatch.setattr(classifier, "_FOLDER", tmp_path)
    monkeypatch.setitem(classifier._SHA256, "attacker", hashlib.sha256(content).hexdigest())
    with pytest.raises(InputError, match="parameters of other shapes"):
        digit_classifier.__wrapped__("attacker")


def test_mistakes():
    for function in (digit_classifier, digit_model):
        with pytest.raises(InputError, match="name: found 'lawyer', expected one of attacker, judge"):
            function("lawyer")
    for shape in ((8, 8, 1), (2, 8, 8, 3), (2, 16, 16, 1)):
        with pytest.raises(InputError, match=r"x: found shape .*, expected digits \(N, 8, 8, 1\)"):
            digit_classifier("judge")(jnp.zeros(shape))


def test_metadata_says_how_to_make_the_weights():
    for name in DIGIT_CLASSIFIERS:
        _, metadata = unpack_weights((classifier._FOLDER / f"digits-{name}.safetensors").read_bytes())
        assert metadata["command"] == "python -m experiments.train_digit_classifiers --write"
        assert json.loads(json.dumps(metadata["recipe"]))["seed"] >= 0
