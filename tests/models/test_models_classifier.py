"""The architectures of the two classifiers of digits; `weights.digit_classifier` has them trained."""

import jax
import pytest

from jaxpr.core import InputError
from jaxpr.models.classifier import DIGIT_CLASSIFIERS, digit_model


def test_the_two_networks_differ_in_layers():
    shapes = [set(jax.eval_shape(digit_model(name).init, jax.random.key(0))) for name in DIGIT_CLASSIFIERS]
    assert shapes[0] & shapes[1] == {"head"}


def test_an_unknown_name():
    with pytest.raises(InputError, match="name: found 'lawyer', expected one of attacker, judge"):
        digit_model("lawyer")
