"""Clean images to degrade and restore: packaged photographs and digits, folders, pairs, IDX, TFDS; the words of --data.

Every function returns an `ImageSource`, a random-access sequence that `grain` reads directly::

    source = data.crops(data.photos("train"), 64)
    batches = grain.MapDataset.source(source).seed(0).shuffle().batch(16)
"""

from jaxpr.data.arrays import from_arrays
from jaxpr.data.crops import crop_grid, crops
from jaxpr.data.decode import read_image
from jaxpr.data.folder import class_folder, image_folder
from jaxpr.data.idx import idx_images
from jaxpr.data.mnist import digits28
from jaxpr.data.packaged import digits, photos
from jaxpr.data.pairs import PairedSource, paired_crops, paired_folder
from jaxpr.data.resizing import resized
from jaxpr.data.source import ImageSource, Reader, Skipped
from jaxpr.data.splits import split_by_share
from jaxpr.data.tfds_images import tfds_images

__all__ = [
    "ImageSource",
    "PairedSource",
    "Reader",
    "Skipped",
    "class_folder",
    "crop_grid",
    "crops",
    "digits",
    "digits28",
    "from_arrays",
    "idx_images",
    "image_folder",
    "paired_crops",
    "paired_folder",
    "photos",
    "read_image",
    "resized",
    "split_by_share",
    "tfds_images",
]
