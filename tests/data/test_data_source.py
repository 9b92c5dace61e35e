"""`ImageSource` and sources of arrays: the sequence protocol, slices, fingerprints, pickling, grain."""

import copy
import hashlib
import pickle

import grain
import numpy as np
import pytest
from absl import flags

from jaxpr.core import InputError
from jaxpr.data import ImageSource, from_arrays


def ramp(count: int = 5) -> list[np.ndarray]:
    """Images of different sizes whose every pixel is their number over ten."""
    return [np.full((3 + i, 4, 1), i / 10, np.float32) for i in range(count)]


def test_a_source_is_a_sequence_of_images():
    source = from_arrays(ramp(), name="ramp")
    assert len(source) == 5
    assert source.names[3] == "ramp-000003"
    assert source[3].shape == source.shape(3) == (6, 4, 1)
    assert source[np.int64(3)][0, 0, 0] == np.float32(0.3)
    np.testing.assert_array_equal(source[-1], source[4])
    assert source.shape(-5) == (3, 4, 1)
    assert [image.shape[0] for image in source] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("index", [5, -6, 100])
def test_an_index_out_of_range_is_an_index_error(index):
    source = from_arrays(ramp(), name="ramp")
    with pytest.raises(IndexError, match=f"ramp: found index {index}, expected one below 5"):
        source[index]


def test_a_fractional_index_is_refused():
    with pytest.raises(TypeError, match="float"):
        from_arrays(ramp(), name="ramp")[1.0]


def test_slices_are_sources():
    source = from_arrays(ramp(), name="ramp", labels=[0, 1, 2, 3, 4])
    part = source[3:0:-2]
    assert isinstance(part, ImageSource)
    assert (part.name, part.names, part.labels) == ("ramp[3:0:-2]", ("ramp-000003", "ramp-000001"), (3, 1))
    np.testing.assert_array_equal(part[1], source[1])
    assert part.shape(0) == (6, 4, 1)
    assert source[:2].name == "ramp[:2]"
    assert source[1:][1:].names == source[2:].names
    assert source[1:][1:].fingerprint == source[2:].fingerprint


def test_an_empty_slice_is_refused():
    with pytest.raises(InputError, match="found no images"):
        from_arrays(ramp(), name="ramp")[5:]


def test_images_are_copies():
    source = from_arrays(ramp(), name="ramp")
    source[1][:] = 7
    assert source[1].max() == np.float32(0.1)


def test_fingerprint_is_the_hash_of_names_and_content():
    image = np.full((1, 2, 1), 0.5, np.float32)
    content = hashlib.sha256(b"(1, 2, 1)" + np.array([0.5, 0.5], "<f4").tobytes())
    expected = hashlib.sha256(b"a\0" + content.digest()).hexdigest()
    assert from_arrays([image], name="x", names=["a"]).fingerprint == expected


def test_fingerprint_changes_with_content_names_and_order_only():
    images = ramp()
    base = from_arrays(images, name="a", names="pqrst").fingerprint
    assert from_arrays(images, name="b", names="pqrst").fingerprint == base
    changed = copy.deepcopy(images)
    changed[2][0, 0, 0] += np.float32(1e-6)
    reshaped = [*images[:4], images[4].reshape(4, 7, 1)]
    others = [
        from_arrays(changed, name="a", names="pqrst"),
        from_arrays(reshaped, name="a", names="pqrst"),
        from_arrays(images, name="a", names="pqrsu"),
        from_arrays(images[::-1], name="a", names="tsrqp"),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 5


def test_a_source_survives_pickling():
    source = from_arrays(ramp(), name="ramp", labels=range(5))
    twin = pickle.loads(pickle.dumps(source))
    assert (twin.names, twin.labels, twin.fingerprint) == (source.names, source.labels, source.fingerprint)
    np.testing.assert_array_equal(twin[2], source[2])


def test_repr_is_short_and_without_addresses():
    assert repr(from_arrays(ramp(), name="ramp")) == "ImageSource('ramp', 5 images)"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "found no images"),
        ([np.zeros((4, 4), np.float32)], r"images\[0\]: found shape \(4, 4\), expected \(H, W, C\)"),
        (np.zeros((4, 4, 3), np.float32), r"images\[0\]: found shape \(4, 3\), expected \(H, W, C\)"),
        (np.zeros((0, 4, 4, 3), np.float32), "found no images"),
        (3, "images: found int, expected a sequence"),
        (None, "images: found NoneType, expected a sequence"),
        ("abc", r"images\[0\]: found shape \(\), expected"),
        ([[[[0.5], [0.5]], [[0.5]]]], r"images\[0\]: found list, expected an array"),
        ([np.full((2, 2, 1), None)], r"images\[0\]: found dtype object, expected floating"),
        ([np.full((2, 2, 1), "a")], r"images\[0\]: found dtype <U1, expected floating"),
        ([np.zeros((4, 4, 3), np.uint8)], r"expected floating point in \[0, 1\]; divide by 255"),
        ([np.zeros((4, 4, 3), np.int32)], "found dtype int32, expected floating"),
        ([np.zeros((4, 4, 3), bool)], "found dtype bool, expected floating"),
        ([np.zeros((4, 4, 3), np.complex64)], "found dtype complex64, expected floating"),
        ([np.zeros((6, 6, 5))], "found 5 channels"),
        ([np.zeros((4, 4, 3), np.uint8)], "found dtype uint8"),
        ([np.zeros((4, 4, 3)), np.full((4, 4, 3), 255.0)], r"images\[1\]: found values in \[255, 255\]"),
        ([np.full((4, 4, 3), np.nan)], "NaN"),
        ([np.zeros((3, 8, 8))], "looks like NCHW"),
    ],
)
def test_bad_arrays_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        from_arrays(images, name="bad")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["a"]}, "names: found 1, expected one for each of 5"),
        ({"names": list("abcda")}, "found 4 different of 5, expected unique names"),
        ({"labels": [1, 2]}, "labels: found 2, expected one for each of 5"),
        ({"labels": 1}, "labels: found int, expected a sequence"),
        ({"labels": [0.5] * 5}, "labels: found float, expected integers"),
        ({"labels": np.zeros((5, 100))}, "labels: found ndarray, expected integers$"),
        ({"names": 3}, "names: found int, expected a sequence"),
        ({"names": [1, 2, 3, 4, 5]}, "names: found int, expected text"),
    ],
)
def test_names_and_labels_must_fit(options, message):
    with pytest.raises(InputError, match=message):
        from_arrays(ramp(), name="ramp", **options)


def test_names_are_made_printable():
    source = from_arrays(ramp(), name="ramp", names=["a", "b\n", r"b\x0a", "\udcff", "é"])
    assert source.names == ("a", r"b\x0a'", r"b\x0a", r"\xff", "é")
    assert source.fingerprint != from_arrays(ramp(), name="ramp").fingerprint


@pytest.mark.parametrize(
    ("names", "name", "message"),
    [
        (("a\n",), "x", r"names: found a\\x0a, expected printable characters"),
        (("\udce9",), "x", r"names: found \\xe9, expected printable"),
        ((3,), "x", "names: found int, expected text"),
        (("a",), "\x1b", r"name: found \\x1b, expected printable"),
        (("a",), None, "name: found NoneType, expected text"),
    ],
)
def test_a_source_takes_only_names_that_can_be_written(names, name, message):
    with pytest.raises(InputError, match=f"^{message}"):
        ImageSource(name=name, names=names, reader=from_arrays(ramp(), name="ramp").reader)


def square(count: int = 10) -> ImageSource:
    return from_arrays(np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) / count, name="square")


def test_grain_shuffles_and_batches_deterministically():
    def batches(seed: int) -> list[np.ndarray]:
        return list(grain.MapDataset.source(square()).seed(seed).shuffle().batch(4))

    first, again, other = batches(0), batches(0), batches(1)
    assert [batch.shape for batch in first] == [(4, 1, 1, 1), (4, 1, 1, 1), (2, 1, 1, 1)]
    order = np.concatenate(first).ravel()
    np.testing.assert_array_equal(order, np.concatenate(again).ravel())
    assert not np.array_equal(order, np.concatenate(other).ravel())
    np.testing.assert_array_equal(np.sort(order), np.arange(10, dtype=np.float32) / 10)


def test_grain_resumes_where_it_stopped():
    def iterator():
        return iter(grain.MapDataset.source(square()).seed(0).shuffle().batch(4).to_iter_dataset())

    first = iterator()
    next(first)
    state = first.get_state()
    expected = [next(first), next(first)]
    second = iterator()
    second.set_state(state)
    np.testing.assert_array_equal(np.concatenate([next(second), next(second)]), np.concatenate(expected))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_grain_data_loader_gives_the_same_batches_in_workers(workers):
    flags.FLAGS.mark_as_parsed()  # grain's worker processes read absl flags, which an application's main has parsed
    loader = grain.DataLoader(
        data_source=square(),
        sampler=grain.samplers.IndexSampler(num_records=10, shuffle=True, seed=0, num_epochs=1),
        operations=[grain.transforms.Batch(4)],
        worker_count=workers,
    )
    batches = [np.array(batch).ravel() for batch in loader]
    assert [len(batch) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(10, dtype=np.float32) / 10)
