"""The architectures of the two classifiers of digits; `weights.digit_classifier` has them trained."""

import jax
import pytest

from jaxpr.core import InputError
from jaxpr.models.classifier import DIGIT_CLASSIFIERS, ClassifierConfig, classifier_model, digit_model
from jaxpr.models.discriminators import VggCriticConfig, vgg_critic


def test_the_two_networks_differ_in_layers():
    shapes = [set(jax.eval_shape(digit_model(name).init, jax.random.key(0))) for name in DIGIT_CLASSIFIERS]
    assert shapes[0] & shapes[1] == {"head"}


def test_an_unknown_name():
    with pytest.raises(InputError, match="name: found 'lawyer', expected one of attacker, judge"):
        digit_model("lawyer")


@pytest.mark.parametrize(("design", "size", "halvings"), [("pooled", 28, 2), ("residual", 28, 2), ("residual", 12, 1)])
def test_images_of_any_size(design, size, halvings):
    config = ClassifierConfig(design, size, channels=3, classes=5, width=2, halvings=halvings)
    model = classifier_model(config)
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((2, *config.shape), "float32")
    assert jax.eval_shape(model.apply, params, x).shape == (2, 5)


def test_the_two_designs_share_no_layers_but_the_head():
    shapes = [
        set(jax.eval_shape(classifier_model(ClassifierConfig(d, 28)).init, jax.random.key(0)))
        for d in ("pooled", "residual")
    ]
    assert shapes[0] & shapes[1] == {"head"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"design": "deep"}, "design: found 'deep', expected one of pooled, residual"),
        ({"size": 30}, "size: found 30, expected a multiple of 2\\^2"),
        ({"classes": 1}, "classes: found 1"),
        ({"halvings": 0}, "halvings: found 0"),
        ({"width": 0}, "width: found 0"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        classifier_model(ClassifierConfig("pooled", 28)._replace(**changes))


@pytest.mark.parametrize("size", [8, 12, 28, 64])
def test_a_critic_of_such_images(size):
    model = vgg_critic(VggCriticConfig(size=size, channels=2, width=2))
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((3, size, size, 2), "float32")
    assert jax.eval_shape(model.apply, params, x).shape == (3,)
    for other in (4, 18, 36):
        with pytest.raises(InputError, match=r"size: found .*, expected 4 to 7 times a power of two"):
            vgg_critic(VggCriticConfig(size=other, channels=2, width=2))
