"""Parts of a source by a share: disjoint, whole, drawn by names alone."""

import hashlib
import random

import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.evaluate import _train_images
from jaxpr.core import InputError
from jaxpr.data import digits, from_arrays, split_by_share
from jaxpr.data.words import has_splits, named_images


def source(names, labels=None):
    """One image for each name, which its value tells."""
    values = [int(name[1:]) / 1000 for name in names]
    images = [np.full((2, 3, 1), value, np.float32) for value in values]
    return from_arrays(images, name="set", names=names, labels=labels)


NAMES = [f"n{i:03d}" for i in range(100)]


@pytest.mark.parametrize("share", [0.9, 0.8, 1 / 3, 0.001, 0.999])
def test_parts_are_disjoint_and_whole_and_of_the_share(share):
    train, test = (split_by_share(source(NAMES), split, share=share) for split in ("train", "test"))
    assert sorted(train.names + test.names) == NAMES
    assert len(train) == min(max(round(100 * share), 1), 99)
    assert list(train.names) == sorted(train.names)  # in the order of the source
    # By hand: the smallest hashes train.
    hashed = sorted(NAMES, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert set(train.names) == set(hashed[: len(train)])
    for part in (train, test):
        assert [f"n{round(1000 * float(image[0, 0, 0])):03d}" for image in part] == list(part.names)
    assert train.name == f"set-split{share:g}-train"
    assert train.fingerprint != test.fingerprint


def test_names_alone_decide():
    shuffled = random.Random(3).sample(NAMES, 100)
    assert set(split_by_share(source(shuffled), "test", share=0.7).names) == set(
        split_by_share(source(NAMES), "test", share=0.7).names
    )
    # One image more moves one other at most.
    more = split_by_share(source([*NAMES, "n500"]), "test", share=0.7).names
    assert len(set(more) ^ set(split_by_share(source(NAMES), "test", share=0.7).names)) <= 2
    # A fixed split stays fixed.
    assert split_by_share(source(NAMES[:10]), "test", share=0.8).names == ("n003", "n008")


def test_each_class_is_split():
    labels = [i % 3 for i in range(99)] + [7]
    train, test = (split_by_share(source(NAMES, labels), split, share=0.8) for split in ("train", "test"))
    assert np.bincount(train.labels, minlength=8).tolist() == [26, 26, 26, 0, 0, 0, 0, 1]
    assert np.bincount(test.labels, minlength=8).tolist() == [7, 7, 7, 0, 0, 0, 0, 0]
    halves = [split_by_share(digits("train"), split, share=0.5) for split in ("train", "test")]
    assert sum(map(len, halves)) == 1438


def test_words_and_the_images_that_train(tmp_path):
    for i in range(10):
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / f"{i}.png")
    word = f"split:0.8:{tmp_path}"
    train, test = named_images(word, "train"), named_images(word, "test")
    assert (len(train), len(test), set(train.names) & set(test.names)) == (8, 2, set())
    assert test.name == f"{tmp_path.name}-split0.8-test"
    assert named_images(f"split:0.8:train:{tmp_path}", "test").fingerprint == train.fingerprint
    assert named_images(f"split:0.8:test:{tmp_path}", "train").fingerprint == test.fingerprint
    assert has_splits("photos")
    assert has_splits(word)
    assert not any(has_splits(other) for other in (f"split:0.8:test:{tmp_path}", str(tmp_path), "tfds:a:b"))
    found, own = _train_images(None, word, skip_bad=False)
    assert (found.fingerprint, own) == (train.fingerprint, True)
    found, own = _train_images(None, str(tmp_path), skip_bad=False)
    assert (found.name, own) == ("photos-train", False)


@pytest.mark.parametrize(
    "word", ["split:", "split:0.5", "split:0.5:", "split:0.5:train:", "split:0:x", "split:1:x", "split:nan:x",
             "split:x:x", "split:-1:x", "split:0.5:photos", "split:0.5:split:0.5:x", "split:0.5:test:digits"],
)  # fmt: skip
def test_bad_words(word):
    with pytest.raises(InputError, match=r"^data: found 'split:.*', expected "):
        named_images(word, "test")


def test_mistakes_are_refused():
    for share in (0, 1, -0.5, float("nan"), float("inf"), "0.5", True, None):
        with pytest.raises(InputError, match=r"share: found .* expected a number above 0 and below 1"):
            split_by_share(source(NAMES), "train", share=share)
    with pytest.raises(InputError, match="split: found 'validation', expected 'train' or 'test'"):
        split_by_share(source(NAMES), "validation", share=0.5)
    with pytest.raises(InputError, match="source: found list"):
        split_by_share([1], "test", share=0.5)
    with pytest.raises(InputError, match="source: found no two images in set, expected some to train, some to test"):
        split_by_share(source(NAMES[:1]), "train", share=0.5)
    with pytest.raises(InputError, match="source: found no two images of a class in set"):
        split_by_share(source(NAMES[:3], [0, 1, 2]), "test", share=0.5)
