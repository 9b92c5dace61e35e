"""Data sets prepared by TensorFlow Datasets, read at random without TensorFlow."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpr.core import InputError, missing_extra, printable
from jaxpr.data.source import ImageSource

__all__ = ["tfds_images"]


@dataclass(frozen=True)
class _Examples:
    """Reader of one feature of a `tfds.data_source`."""

    examples: Any
    image_key: str

    def load(self, i: int) -> np.ndarray:
        pixels = self.examples[i][self.image_key]
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)

    def shape(self, i: int) -> tuple[int, int, int]:
        height, width, channels = self.examples.dataset_info.features[self.image_key].shape
        if height is None or width is None:
            height, width, channels = self.examples[i][self.image_key].shape
        return height, width, channels

    def content(self, i: int) -> Iterator[bytes]:
        # Hashing the pixels would decode data sets of many gigabytes. Their name carries a version, and the sizes of
        # all shards come with it.
        info = self.examples.dataset_info
        shards = sorted((name, split.shard_lengths, split.num_bytes) for name, split in info.splits.items())
        yield repr((info.full_name, self.examples.split, self.image_key, shards, i)).encode()


def tfds_images(
    name: str, split: str, *, data_dir: str | os.PathLike[str] | None = None, image_key: str = "image"
) -> ImageSource:
    """Images of a data set that TensorFlow Datasets has prepared on disk, through `tfds.data_source`.

    Nothing is downloaded and TensorFlow is not needed. The data set must be stored for random access: prepare it once
    with `tfds.builder(name, file_format='array_record').download_and_prepare()`.

    Args:
        name: TFDS name, such as 'celeb_a', 'div2k/bicubic_x4' or 'imagenet_v2:3.0.0'.
        split: TFDS split, such as 'test' or 'train[:1000]'.
        data_dir: where data sets were prepared; None is TFDS's default, ~/tensorflow_datasets.
        image_key: the feature that holds the image, 'hr' for DIV2K.

    Returns:
        Source of float32 images (H, W, 1) or (H, W, 3) in [0, 1], named '{name}-{split}-{i:06d}'. Its fingerprint
        covers the data set's full name with version, the split and the sizes of all shards, not the pixels. `shape`
        decodes an image if the data set does not declare one size.

    Raises:
        InputError: tensorflow-datasets is not installed, the data set or split is not on disk, or no feature
            `image_key` is an image of 1 or 3 channels, 8 or 16 bits deep.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise missing_extra("tfds_images", "tfds") from error
    folder = None if data_dir is None else os.path.expanduser(data_dir)  # text: TFDS also reads gs://bucket
    where = f"{name!r}, split {split!r}, data_dir {folder!r}"
    try:
        examples = tfds.data_source(name, split=split, data_dir=folder, download=False)
    except Exception as error:  # TFDS raises errors of its own and of the file system, often of many lines
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"TFDS data set {where}: cannot be opened ({printable(reason)}), expected it on disk, prepared with "
            "file_format='array_record'"
        ) from error
    features = examples.dataset_info.features
    if image_key not in features:
        raise InputError(
            f"image_key: found no {image_key!r} in TFDS data set {where}, expected one of {sorted(features)}"
        )
    image = features[image_key]
    if (
        not isinstance(image, tfds.features.Image)
        or image.shape[-1] not in (1, 3)
        or np.dtype(image.np_dtype).itemsize > 2
    ):
        raise InputError(
            f"image_key: found {image_key!r} = {image} in TFDS data set {where}, expected an 8- or 16-bit Image"
        )
    return ImageSource(
        name=f"{name}-{split}",
        names=tuple(f"{name}-{split}-{i:06d}" for i in range(len(examples))),
        reader=_Examples(examples, image_key),
    )
