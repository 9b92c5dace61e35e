"""The packaged classifiers of digits: as accurate as they say, differentiable, read only if they are theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.models.classifier import DIGIT_CLASSIFIERS
from jaxpr.weights import classifiers
from jaxpr.weights.classifiers import digit_classifier
from jaxpr.weights.native import unpack_weights
from jaxpr.weights.packaged import packaged_content, packaged_entry


@pytest.fixture(scope="module")
def held_out():
    source = digits("test")
    return jnp.asarray(np.stack(list(source))), np.array(source.labels)


@pytest.mark.parametrize("name", DIGIT_CLASSIFIERS)
def test_classifiers_are_as_accurate_as_their_files_say(name, held_out):
    images, labels = held_out
    _, metadata = unpack_weights(packaged_content(f"digits-{name}"))
    found = np.mean(np.argmax(jax.jit(digit_classifier(name))(images), axis=1) == labels)
    assert found == pytest.approx(metadata["test_accuracy"], abs=2 / len(labels))
    assert found > 0.96
    assert metadata["data_fingerprint"] == digits("train").fingerprint
    assert packaged_entry(f"digits-{name}").size < 2 * 2**20
    assert metadata["command"].endswith("train_digit_classifiers --write")
    assert metadata["recipe"]["seed"] == packaged_entry(f"digits-{name}").seed


@pytest.mark.parametrize("name", DIGIT_CLASSIFIERS)
def test_classifiers_are_the_same_compiled_and_differentiable(name, held_out):
    x = held_out[0][:5]
    logits = digit_classifier(name)
    np.testing.assert_allclose(jax.jit(logits)(x), logits(x), rtol=1e-4, atol=1e-4)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(logits(x)[:, 3])))(x)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=(1, 2, 3)) > 0).all()
    assert logits(x).dtype == jnp.float32


def test_weights_of_another_architecture_are_refused(monkeypatch):
    monkeypatch.setattr(classifiers, "packaged_content", lambda name: packaged_content("digits-judge"))
    with pytest.raises(InputError, match="digits-attacker: found parameters of other shapes"):
        digit_classifier.__wrapped__("attacker")


def test_mistakes():
    with pytest.raises(InputError, match="name: found 'lawyer', expected one of attacker, judge"):
        digit_classifier("lawyer")
    for shape in ((8, 8, 1), (2, 8, 8, 3), (2, 16, 16, 1)):
        with pytest.raises(InputError, match=r"x: found shape .*, expected digits \(N, 8, 8, 1\)"):
            digit_classifier("judge")(jnp.zeros(shape))
