"""Resized images: Pillow's to the last byte, a triangle's by hand, and known shapes before any pixel is made."""

import pickle

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import from_arrays, image_folder, resized
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import Protocol
from jaxpr.evaluation.examples import examples_of
from jaxpr.training import Crops


def images(*shapes, bits=8, seed=0):
    generator, most = np.random.default_rng(seed), 2**bits - 1
    return [generator.integers(0, most + 1, shape).astype(np.float32) / np.float32(most) for shape in shapes]


def source(*shapes, **options):
    return from_arrays(images(*shapes, **options), name="set")


def triangle(size_in: int, size_out: int) -> np.ndarray:
    """Antialiased bilinear resizing from its definition: a triangle, cut off and normalised at the border."""
    scale = size_in / size_out
    reach = max(scale, 1.0)
    centres = (np.arange(size_out) + 0.5) * scale
    weights = np.maximum(1 - np.abs(np.arange(size_in) + 0.5 - centres[:, None]) / reach, 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("shape", "size"), [((218, 178, 3), (102, 102)), ((30, 41, 1), (64, 50)), ((50, 21, 3), (10,))]
)
def test_resizing_is_a_triangle_and_pillows_to_the_last_byte(tmp_path, shape, size):
    made = source(shape)
    found = resized(made, size=size)[0]
    height, width = found.shape[:2]
    expected = np.einsum("hi,iwc->hwc", triangle(shape[0], height), made[0].astype(np.float64))
    expected = np.einsum("wj,hjc->hwc", triangle(shape[1], width), expected)
    assert np.abs(found - expected).max() < 1.1 / 255  # rounded twice to 255ths
    deep = source(shape, bits=16)
    expected = np.einsum("hi,wj,ijc->hwc", triangle(shape[0], height), triangle(shape[1], width), deep[0].astype(float))
    np.testing.assert_allclose(resized(deep, size=size)[0], expected, atol=2e-6)  # float32, not rounded to bytes
    # As a program does that reads a file and resizes it.
    levels = np.round(made[0] * 255).astype(np.uint8)
    Image.fromarray(levels.squeeze()).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        pillow = np.asarray(file.resize((width, height), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.round(found * 255).astype(np.uint8).squeeze(), pillow)
    from_file = resized(image_folder(tmp_path, channels=shape[2]), size=size)
    np.testing.assert_array_equal(from_file[0], found)


def test_celeba_becomes_the_papers_size():
    made = resized(source((218, 178, 3)), size=(102, 102), centre=64)
    assert (made.name, made.shape(0)) == ("set-resize102x102-centre64", (64, 64, 3))
    whole = resized(source((218, 178, 3)), size=(102, 102))[0]
    np.testing.assert_array_equal(made[0], whole[19:83, 19:83])
    levels = made[0] * 255
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)  # bytes, so that a pool holds bytes


def test_shapes_are_known_before_pixels():
    made = source((218, 178, 3), (100, 301, 3), (64, 64, 3))
    for size, centre, shapes in [
        ((102,), None, [(124, 102), (102, 307), (102, 102)]),
        ((102,), 64, [(64, 64)] * 3),
        ((20, 30), None, [(20, 30)] * 3),
        ((), 61, [(61, 61)] * 3),
    ]:
        found = resized(made, size=size, centre=centre)
        assert [found.shape(i)[:2] for i in range(3)] == [image.shape[:2] for image in found] == shapes
    assert resized(made) is made
    np.testing.assert_array_equal(resized(made, centre=61)[0], made[0][78:139, 58:119])
    np.testing.assert_array_equal(resized(made, size=(64,))[2], made[2])


def test_labels_names_and_fingerprints():
    made = from_arrays(images((9, 9, 1), (8, 8, 1)), name="set", labels=[4, 2])
    found = resized(made, size=(6,), centre=4)
    assert (found.names, found.labels) == (made.names, (4, 2))
    prints = {resized(made, size=size, centre=c).fingerprint for size in [(), (6,), (6, 6)] for c in (None, 4)}
    assert len(prints) == 6
    copy = pickle.loads(pickle.dumps(found))
    assert copy.fingerprint == found.fingerprint
    np.testing.assert_array_equal(copy[1], found[1])
    assert found[1:].fingerprint == resized(made[1:], size=(6,), centre=4).fingerprint


def test_evaluation_and_recipes_resize(tmp_path):
    protocol = Protocol(resize=(24, 24), centre=16, crop=0).replace(patch_size=4)
    made = source((40, 50, 3), (30, 20, 3))
    examples = examples_of(made, parse_degradation("average-x2"), protocol)
    assert examples.shapes == ((16, 16, 3),) * 2
    np.testing.assert_array_equal(examples.image(1), resized(made, size=(24, 24), centre=16)[1])
    cut = examples_of(made, parse_degradation("average-x2"), protocol.replace(crop=8))
    assert len(cut) == 8
    with pytest.raises(InputError, match="set-000001: found 30×20 pixels, expected at least centre 32"):
        examples_of(made, parse_degradation("average-x2"), protocol.replace(resize=(), centre=32))
    for i, image in enumerate(made):
        Image.fromarray(np.round(image * 255).astype(np.uint8)).save(tmp_path / f"{i}.png")
    data = Crops(source=f"split:0.5:{tmp_path}", size=16, degradation="average-x2", resize=[24, 24], centre=16)
    assert data.resize == (24, 24)
    train, test = data.read("train"), data.read("test")
    assert sorted(train.names + test.names) == ["0.png", "1.png"]
    np.testing.assert_array_equal(train[0], examples.image(int(train.names[0][0])))
    assert data.shown().names == test.names


def test_mistakes_are_refused():
    made = source((20, 30, 3))
    for size in ((1, 2, 3), 5, "5", (0,), (1.5,), (-1, 4), (2**15,), (True,), None):
        with pytest.raises(InputError, match="size: found "):
            resized(made, size=size)
    for centre in (0, -1, 1.5, "4"):
        with pytest.raises(InputError, match="centre: found "):
            resized(made, centre=centre)
    with pytest.raises(InputError, match="source: found list"):
        resized([1])
    with pytest.raises(InputError, match=r"set-000000: found 20×30 pixels, expected at least centre 21"):
        resized(made, centre=21)[0]
    with pytest.raises(InputError, match=r"set-000000: found 8×12 pixels after resizing, expected at least centre 9"):
        resized(made, size=(8,), centre=9).shape(0)
    with pytest.raises(InputError, match=r"size: found 20000 pixels of 1×20 resized"):
        resized(source((1, 20, 1)), size=(1000,)).shape(0)
    for change in ({"resize": (0,)}, {"resize": (1, 2, 3)}, {"centre": 0}):
        with pytest.raises(InputError, match=f"^{next(iter(change))}: found "):
            Protocol(**change)
        with pytest.raises(InputError, match=f"^{next(iter(change))}: found "):
            Crops(source="photos", size=8, degradation="average-x2", **change)
