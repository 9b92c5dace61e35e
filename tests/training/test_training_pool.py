"""Crops that are drawn on the device: they are crops, everywhere, and depend on their own key only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.training.pool import draw_crops, image_pool

KEY = jax.random.key(5)


def images(*sizes, channels=3):
    """Images of bytes whose pixels are all different, so that a crop tells where it comes from."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, channels)).astype(np.float32) / 255 for size in sizes]


def symmetries_of(image):
    """The eight of the square."""
    turned = [np.rot90(image, i) for i in range(4)]
    return turned + [t[:, ::-1] for t in turned]


@pytest.mark.thorough
@pytest.mark.parametrize(("symmetries", "expected"), [(1, 1), (2, 2), (8, 8)])
def test_crops_are_crops_of_every_place_in_every_symmetry(symmetries, expected):
    sources, size = images((4, 5), (6, 4)), 4
    places = [
        image[top : top + size, left : left + size]
        for image in sources
        for top in range(image.shape[0] - size + 1)
        for left in range(image.shape[1] - size + 1)
    ]
    pool = image_pool(sources, smallest=size)
    assert pool.pixels.dtype == jnp.uint8
    crops = np.asarray(draw_crops(jax.random.split(KEY, 800), pool, size=size, symmetries=symmetries))
    assert crops.dtype == np.float32
    seen = {}
    for crop in crops:
        matches = [
            (i, s)
            for i, place in enumerate(places)
            for s, turned in enumerate(symmetries_of(place))
            if np.abs(turned - crop).max() < 1e-6  # a device may divide by 255 with another last bit
        ]
        assert len(matches) == 1
        seen[matches[0]] = seen.get(matches[0], 0) + 1
    assert len(seen) == len(places) * expected
    assert {i for i, _ in seen} == set(range(5))
    if symmetries < 8:
        assert {s for _, s in seen} <= {0, 4}
    # Both images are equally likely, although one has two places and the other three; five standard deviations.
    first = sum(count for (i, _), count in seen.items() if i < 2)
    assert abs(first - 400) < 5 * np.sqrt(200)


@pytest.mark.thorough
def test_a_crop_depends_on_its_own_key():
    pool = image_pool(images((9, 9), (12, 7)), smallest=5)
    keys = jax.random.split(KEY, 6)
    options = {"size": 5, "symmetries": 8, "candidates": 2}
    together = draw_crops(keys, pool, **options)
    np.testing.assert_array_equal(together[3:4], draw_crops(keys[3:4], pool, **options))


@pytest.mark.thorough
def test_of_several_places_the_most_varied_is_taken():
    flat, varied = np.full((8, 8, 1), 0.5, np.float32), images((8, 8), channels=1)[0]
    pool = image_pool([flat, varied], smallest=8)
    share = [
        float(
            jnp.mean(
                jnp.var(draw_crops(jax.random.split(KEY, 400), pool, size=8, symmetries=1, candidates=n), (1, 2, 3)) > 0
            )
        )
        for n in (1, 3)
    ]
    for found, expected in zip(share, (1 / 2, 7 / 8), strict=True):
        assert abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 400)


def test_levels_that_are_no_bytes_stay_floats():
    source = digits("train")[:5]
    pool = image_pool(source, smallest=8)
    assert pool.pixels.dtype == jnp.float32  # sixteenths
    np.testing.assert_array_equal(np.asarray(pool.pixels).reshape(5, 8, 8, 1), np.stack(list(source)))
    mixed = image_pool([*source, *images((8, 8), channels=1)], smallest=8)
    np.testing.assert_array_equal(np.asarray(mixed.pixels)[-64:].reshape(8, 8, 1), images((8, 8), channels=1)[0])


def test_mistakes_are_refused():
    with pytest.raises(InputError, match=r"images\[1\]: found 4×9 pixels, expected 5 a side"):
        image_pool(images((5, 5), (4, 9)), smallest=5)
    with pytest.raises(InputError, match=r"images: found channels \[1, 3\]"):
        image_pool([*images((5, 5)), *images((5, 5), channels=1)], smallest=5)
    with pytest.raises(InputError, match=r"images: found channels \[\]"):
        image_pool([], smallest=5)
    pool = image_pool(images((5, 5)), smallest=5)
    with pytest.raises(InputError, match="symmetries: found 4"):
        draw_crops(jax.random.split(KEY, 2), pool, size=5, symmetries=4)
    with pytest.raises(InputError, match="candidates: found 0"):
        draw_crops(jax.random.split(KEY, 2), pool, size=5, symmetries=1, candidates=0)
