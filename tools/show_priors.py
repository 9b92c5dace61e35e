"""What a denoiser knows: unconditional samples beside images that it learned from, and how far they are from others.

    python tools/show_priors.py digits28 [photos32 ...] --out docs/priors [--count 1000] [--steps 100]

Takes names of packaged denoisers and files of `jaxpr train`. For each it draws samples (an image of which nothing is
known, by DDPM's steps with clipped predictions) and writes NAME.png: 64 samples, and below eight of them beside the
nearest of the training images or crops, which shows whether it repeats them. NAME.json keeps, and the terminal shows,
Fréchet distances of samples to training and to test images, and of these to each other, all of equally many images.
They are in features of AlexNet, and in pixels after resizing to 8×8.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxpr.core import seed_key
from jaxpr.data.words import named_images
from jaxpr.metrics import frechet_distance_from_features
from jaxpr.models.adm_unet import adm_unet
from jaxpr.training.denoiser import prior_samples
from jaxpr.training.pool import draw_crops, image_pool
from jaxpr.weights import PACKAGED_DENOISERS, feature_extractor
from jaxpr.weights.denoisers import PREDICTIONS, PackedDenoiser, packaged_denoiser, read_denoiser

SPACES = ("alexnet", "pixels")
BATCH, SHOWN, COLUMNS, ENLARGED = 50, 64, 16, 2


def samples(packed: PackedDenoiser, key: Any, *, count: int, steps: int) -> np.ndarray:
    """Images of the prior, (count, side, side, C) in [0, 1]."""
    network, schedule = functools.partial(adm_unet(packed.config).apply, packed.params), packed.noise_schedule()
    denoiser = PREDICTIONS[packed.prediction](network, schedule=schedule)
    shape = (packed.side, packed.side, packed.config.in_channels)

    @jax.jit
    def draw(key: Any) -> Any:
        found = prior_samples(key, denoiser, shape, schedule=schedule, count=min(BATCH, count), steps=steps)
        return jnp.clip(found, 0, 1)

    keys = jax.random.split(key, -(-count // BATCH))
    return np.concatenate([np.asarray(draw(each)) for each in keys])[:count]


def learned_from(packed: PackedDenoiser, key: Any, *, split: Any, count: int) -> np.ndarray:
    """Images as those that it was trained on, (N, side, side, C): whole ones, at most `count`, or so many crops."""
    data = packed.metadata["recipe"]["data"]
    source = named_images(data["source"], split)
    if all(image.shape[:2] == (packed.side, packed.side) for image in source):
        chosen = np.asarray(jax.random.permutation(key, len(source)))[:count]
        return np.stack([source[int(i)] for i in chosen])
    pool = image_pool(source, smallest=packed.side)
    keys = jax.random.split(key, count)
    return np.asarray(draw_crops(keys, pool, size=packed.side, symmetries=data["symmetries"]))


def distances(sets: dict[str, np.ndarray]) -> dict[str, float]:
    """Fréchet distances of all pairs of sets in all spaces."""
    found = {}
    for space in SPACES:
        apply = jax.jit(feature_extractor(space).apply)
        features = {
            name: np.concatenate([np.asarray(apply(images[i : i + BATCH])) for i in range(0, len(images), BATCH)])
            for name, images in sets.items()
        }
        names = list(sets)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                value = frechet_distance_from_features(features[one], features[other])
                found[f"{space}: {one} - {other}"] = float(value)
    return found


def nearest(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each image the one among others at the least mean squared difference."""
    return np.stack([among[np.argmin(np.square(among - image).mean((1, 2, 3)))] for image in images])


def sheet(drawn: np.ndarray, train: np.ndarray) -> Image.Image:
    """The picture: samples; then eight of them beside what is nearest."""
    few = drawn[: COLUMNS // 2]
    pairs = np.stack([few, nearest(few, train)], axis=1).reshape(-1, *drawn.shape[1:])
    images = np.concatenate([drawn[:SHOWN], pairs])
    images = np.pad(images, ((0, -len(images) % COLUMNS), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
    rows = images.reshape(-1, COLUMNS, *images.shape[1:])
    whole = rows.transpose(0, 2, 1, 3, 4).reshape(rows.shape[0] * rows.shape[2], -1, rows.shape[4])
    levels = np.round(255 * np.clip(whole, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    return picture.resize((ENLARGED * picture.width, ENLARGED * picture.height), Image.Resampling.NEAREST)


def show(name: str, out: Path, *, count: int, steps: int, seed: int) -> dict[str, Any]:
    """Write the picture and the numbers of one denoiser; the numbers."""
    packed = packaged_denoiser(name) if name in PACKAGED_DENOISERS else read_denoiser(name)
    label = packed.metadata["recipe"]["name"]
    k_samples, k_train, k_test = jax.random.split(seed_key("seed", seed), 3)
    train = learned_from(packed, k_train, split="train", count=count)
    test = learned_from(packed, k_test, split="test", count=count)
    count = min(count, len(train), len(test))
    drawn = samples(packed, k_samples, count=count, steps=steps)
    found = {
        "denoiser": label,
        "sha256": packed.sha256,
        "seed": seed,
        "steps": steps,
        "images": count,
        "frechet": distances({"samples": drawn, "train": train[:count], "test": test[:count]}),
    }
    out.mkdir(parents=True, exist_ok=True)
    sheet(drawn, train).save(out / f"{label}.png", optimize=True)
    (out / f"{label}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main() -> None:
    """All that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("priors", nargs="+", help="packaged denoisers, or files of jaxpr train")
    parser.add_argument("--out", type=Path, required=True, help="folder of pictures and numbers")
    parser.add_argument("--count", type=int, default=1000, help="samples for the distances")
    parser.add_argument("--steps", type=int, default=100, help="calls of the network for each sample")
    parser.add_argument("--seed", type=int, default=0, help="of samples and of the choice of images")
    options = parser.parse_args()
    for name in options.priors:
        found = show(name, options.out, count=options.count, steps=options.steps, seed=options.seed)
        print(found["denoiser"])
        for pair, value in found["frechet"].items():
            print(f"  {pair:32}{value:10.4g}")


if __name__ == "__main__":
    main()
