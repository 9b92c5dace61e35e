"""TFDS through `data_source`, without TensorFlow: data sets written here, and TFDS's own mocks."""

import io
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import crops, tfds_images

tfds = pytest.importorskip("tensorflow_datasets")

IMAGES = [np.random.default_rng(i).integers(0, 256, (10 + i, 12, 3), np.uint8) for i in range(5)]


def encoded(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A real data set on disk: 3 images to train in two shards, 2 to test. Encoded images need no TensorFlow."""
    root = tmp_path_factory.mktemp("tfds")
    folder = root / "tiny_pictures" / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "mask": tfds.features.Image(shape=(None, None, 4)),
            "label": tfds.features.ClassLabel(num_classes=5),
        }
    )
    features.save_config(folder)
    identity = tfds.core.DatasetIdentity(
        name="tiny_pictures", version="1.0.0", data_dir=str(folder), module_name="tests", config_name=None
    )
    writer = tfds.core.SequentialWriter(
        tfds.core.DatasetInfo(builder=identity, features=features), max_examples_per_shard=2, file_format="array_record"
    )
    mask = encoded(np.zeros((2, 2, 4), np.uint8))
    examples = [{"image": encoded(image), "mask": mask, "label": i} for i, image in enumerate(IMAGES)]
    writer.initialize_splits(["train", "test"])
    writer.add_examples({"train": examples[:3], "test": examples[3:]})
    writer.close_all()
    return root


def test_images_are_those_written(data_dir):
    source = tfds_images("tiny_pictures", "train", data_dir=data_dir)
    assert source.name == "tiny_pictures-train"
    assert source.names == tuple(f"tiny_pictures-train-00000{i}" for i in range(3))
    for i, image in enumerate(source):
        assert image.dtype == np.float32
        assert source.shape(i) == (10 + i, 12, 3)
        np.testing.assert_array_equal(image, IMAGES[i].astype(np.float32) / np.float32(255))


def test_the_folder_may_start_at_home(data_dir, monkeypatch):
    monkeypatch.setenv("HOME", str(data_dir.parent))
    assert len(tfds_images("tiny_pictures", "test", data_dir=f"~/{data_dir.name}")) > 0


def test_sub_splits_and_crops(data_dir):
    source = tfds_images("tiny_pictures", "train[1:]", data_dir=data_dir)
    assert [source.shape(i)[0] for i in range(len(source))] == [11, 12]
    cut = crops(source, 5)
    assert len(cut) == 8
    np.testing.assert_array_equal(cut[0], source[0][:5, 1:6])


def test_fingerprint_names_version_and_split(data_dir):
    def fingerprint(split: str) -> str:
        return tfds_images("tiny_pictures", split, data_dir=data_dir).fingerprint

    assert fingerprint("train") == fingerprint("train")
    assert len({fingerprint("train"), fingerprint("test"), fingerprint("train[1:]")}) == 3


def test_sources_pickle(data_dir):
    source = tfds_images("tiny_pictures", "test", data_dir=data_dir)
    twin = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(twin[1], source[1])
    assert twin.fingerprint == source.fingerprint


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("tiny_pictures", "valid", "'tiny_pictures', split 'valid', data_dir .*Unknown split 'valid'"),
        ("tiny_pictures", "train[7:]", "'train\\[7:\\]'.*incompatible with 3 examples"),
        ("no_such_set", "train", "'no_such_set', split 'train', data_dir .*not found"),
        ("mnist", "test", "'mnist', split 'test', data_dir .*expected it on disk"),
    ],
)
def test_what_is_not_on_disk_is_named(data_dir, name, split, message):
    with pytest.raises(InputError, match=message):
        tfds_images(name, split, data_dir=data_dir)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=f"'mnist', split 'test', data_dir '{tmp_path}/none'"):
        tfds_images("mnist", "test", data_dir=tmp_path / "none")


def test_a_missing_image_key_lists_what_exists(data_dir):
    with pytest.raises(InputError, match=r"image_key: found no 'hr' .*expected one of \['image', 'label', 'mask'\]"):
        tfds_images("tiny_pictures", "train", data_dir=data_dir, image_key="hr")


@pytest.mark.parametrize("image_key", ["label", "mask"])
def test_a_feature_that_is_no_opaque_image_is_refused(data_dir, image_key):
    with pytest.raises(InputError, match=f"image_key: found '{image_key}' = .*expected an 8- or 16-bit Image"):
        tfds_images("tiny_pictures", "train", data_dir=data_dir, image_key=image_key)


def test_without_tfds_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match="pip install tensorflow-datasets"):
        tfds_images("mnist", "test")


@pytest.mark.parametrize(
    ("name", "split", "image_key", "shape"),
    [("mnist", "test", "image", (28, 28, 1)), ("celeb_a", "train", "image", (218, 178, 3))],
)
def test_mocked_data_sets_of_fixed_size(name, split, image_key, shape):
    with tfds.testing.mock_data(num_examples=3):
        source = tfds_images(name, split, image_key=image_key)
        assert len(source) == 3
        assert source.shape(2) == source[2].shape == shape
        assert 0 <= source[2].min() < source[2].max() <= 1


def test_a_mocked_data_set_with_another_image_key():
    with tfds.testing.mock_data(num_examples=2):
        source = tfds_images("div2k", "validation", image_key="hr")
        assert source.names[1] == "div2k-validation-000001"
        assert source[1].shape[-1] == 3
