"""Measures of sets: LPIPS by embedding, consistency in decibels, digits by classifiers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.data import digits
from jaxpr.degradations import AverageDownsample, Inpainting
from jaxpr.metrics import lpips
from jaxpr.reproduce.sampled_sets import SetTask, image_prior
from jaxpr.reproduce.set_measures import perceptual_embedding, set_measures
from jaxpr.weights import perceptual_network


@pytest.mark.thorough
def test_squared_distances_of_embeddings_are_lpips():
    a, b = (np.random.default_rng(i).random((2, 16, 16, 3), np.float32) for i in range(2))
    network = perceptual_network("vgg16")
    found = jax.jit(lambda x: perceptual_embedding(x, network=network))(jnp.asarray(np.concatenate([a, b])))
    expected = jax.jit(lambda a, b: lpips(a, b, network=network))(a, b)
    np.testing.assert_allclose(jnp.sum((found[:2] - found[2:]) ** 2, axis=1), expected, rtol=1e-3)


@pytest.mark.thorough
def test_digits_are_measured_by_classifiers_and_consistency_in_decibels():
    by = set_measures(image_prior("digits", images=2, kernels=3))
    source = digits("test")
    x = np.stack([source[i] for i in range(6)]).reshape(3, 2, 8, 8, 1)
    assert (by.diversity(np.stack([x[0]] * 3)) < 1e-3).all()
    assert (by.diversity(x) > 1).all()
    assert (by.unlikeness(x) < by.unlikeness(np.full_like(x, 0.5))).all()
    assert by.features(x[0]).shape == (2, 10)
    task = SetTask("average", AverageDownsample((8, 8, 1), 4), 0.0, "objects-x4")
    y = task.measure(x[0], seed=0)
    plain, official = by.consistency(task, x[:1] + np.float32(0.1), y)
    np.testing.assert_allclose(plain, 20, atol=1e-3)  # 0.1 everywhere
    assert (official >= plain - 1e-6).all()  # clipping only helps
    mask = Inpainting(np.arange(64).reshape(8, 8) < 32, channels=1)
    task = SetTask("inpainting", mask, 0.0, "objects-inpainting")
    plain, _ = by.consistency(task, x[:1] + np.float32(0.1), task.measure(x[0], seed=0))
    np.testing.assert_allclose(plain, 20, atol=1e-3)  # over known pixels
