"""What an autoencoder loses: photographs that it never saw beside what its decoder makes of their latents.

    python tools/show_autoencoder.py photos-kl4 [FILE ...] --out docs/autoencoders [--data photos]

Takes names of packaged autoencoders, files of `jaxpr train`, and published files of AutoencoderKL, such as Stable
Diffusion's. Photographs are encoded whole, less the pixels by which they exceed multiples of the autoencoder's factor;
the latents are the posterior's means. autoencoders.png has a piece of each photograph, the original above the
reconstructions in the order of the names; autoencoders.json keeps, and the terminal shows, PSNR and LPIPS averaged over
the photographs, and the Fréchet distance of 64×64 patches of the reconstructions to those of the originals in features
of AlexNet.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxpr.data.words import named_images
from jaxpr.metrics import extract_patches, frechet_distance_from_features, lpips, psnr
from jaxpr.models.autoencoder_kl import AUTOENCODER_KL, AutoencoderKLConfig, autoencoder_kl
from jaxpr.weights import feature_extractor, load_network, perceptual_network
from jaxpr.weights.autoencoders import own_autoencoder

PATCH, STRIDE, BATCH, SHOWN, GAP, ROOM = 64, 32, 50, 192, 4, 8
NETWORKS = ("alexnet", "vgg16")


class Named(NamedTuple):
    """An autoencoder and where it is from."""

    name: str
    config: AutoencoderKLConfig
    params: Any
    sha256: str


def read(source: str) -> Named:
    """A packaged autoencoder, one of `jaxpr train`, or a published one."""
    found = own_autoencoder(source)
    if found is not None:
        return Named(found.metadata["recipe"]["name"], found.config, found.params, found.sha256)
    loaded = load_network(source, network=AUTOENCODER_KL.name)
    return Named(Path(source).stem, loaded.config, loaded.params, loaded.checkpoint.sha256)


@functools.cache
def errors() -> Any:
    """Maps (restored, image) to PSNR and both LPIPS of one image each."""
    pairs = [(name, perceptual_network(name)) for name in NETWORKS]

    @jax.jit
    def measured(restored: Any, image: Any) -> dict[str, Any]:
        found = {f"lpips_{name}": lpips(restored, image, network=of)[0] for name, of in pairs}
        return {"psnr": psnr(restored, image, data_range=1.0)[0], **found}

    return measured


def features(images: list[np.ndarray]) -> np.ndarray:
    """Features of all patches, (patches, 256)."""
    apply = jax.jit(feature_extractor("alexnet").apply)
    cut = [extract_patches(jnp.asarray(image[None]), size=PATCH, stride=STRIDE) for image in images]
    patches = np.concatenate(list(map(np.asarray, cut)))
    return np.concatenate([np.asarray(apply(patches[i : i + BATCH])) for i in range(0, len(patches), BATCH)])


def measure(autoencoder: Named, images: list[np.ndarray]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What an autoencoder loses of images (H, W, C), and its reconstructions, each a little smaller perhaps."""
    network, factor = autoencoder_kl(autoencoder.config), autoencoder.config.factor

    @jax.jit
    def both(params: Any, x: Any) -> tuple[Any, Any, Any]:
        posterior = network.encode(params, 2 * x - 1)
        restored = jnp.clip((network.decode(params, posterior.mean) + 1) / 2, 0, 1)
        return restored, jnp.std(posterior.mean, axis=(0, 1, 2)), jnp.mean(posterior.std)

    cut, restored, rows, spreads = [], [], [], []
    for image in images:
        height, width = (side // factor * factor for side in image.shape[:2])
        cut.append(image[:height, :width])
        found, *spread = both(autoencoder.params, cut[-1][None])
        restored.append(np.asarray(found[0]))
        rows.append({name: float(value) for name, value in errors()(found, cut[-1][None]).items()})
        spreads.append([np.asarray(value, np.float64) for value in spread])
    real, fake = features(cut), features(restored)
    record = {
        "autoencoder": autoencoder.name,
        "sha256": autoencoder.sha256,
        "factor": factor,
        "latent_channels": autoencoder.config.latent_channels,
        "parameters": sum(np.size(leaf) for leaf in jax.tree.leaves(autoencoder.params)),
        **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        "fd_alexnet": float(frechet_distance_from_features(real, fake)),
        "patches": len(real),
        "latent_std": np.mean([spread[0] for spread in spreads], axis=0).round(4).tolist(),
        "posterior_std": float(np.mean([spread[1] for spread in spreads])),
        "images": rows,
    }
    return record, restored


def sheet(images: list[np.ndarray], restored: list[list[np.ndarray]]) -> Image.Image:
    """The middle of each image, the reconstructions of each autoencoder below."""
    size = min(SHOWN, *(min(one.shape[:2]) for several in restored for one in several))

    def piece(image: np.ndarray, shown: np.ndarray) -> np.ndarray:
        # At the same place of all, although some lack the last rows and columns.
        top, left = (max(0, (side - size) // 2 - ROOM) for side in image.shape[:2])
        return np.pad(shown[top : top + size, left : left + size], ((0, GAP), (0, GAP), (0, 0)), constant_values=1)

    rows = [np.concatenate(list(map(piece, images, several)), axis=1) for several in (images, *restored)]
    return Image.fromarray(np.round(255 * np.concatenate(rows)).astype(np.uint8))


def main() -> None:
    """All that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("autoencoders", nargs="+", help="packaged autoencoders, or files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the picture and the numbers")
    parser.add_argument("--data", default="photos", help="as for jaxpr evaluate; of packaged sets the test split")
    options = parser.parse_args()
    images = list(named_images(options.data, "test"))
    measured = [measure(read(name), images) for name in options.autoencoders]
    records = [record for record, _ in measured]
    options.out.mkdir(parents=True, exist_ok=True)
    sheet(images, [restored for _, restored in measured]).save(options.out / "autoencoders.png", optimize=True)
    text = json.dumps({"data": options.data, "autoencoders": records}, indent=1) + "\n"
    (options.out / "autoencoders.json").write_text(text, encoding="utf-8")
    columns = ("psnr", "lpips_alexnet", "lpips_vgg16", "fd_alexnet", "posterior_std")
    print(f"{'':32}" + "".join(f"{name:>15}" for name in columns))
    for record in records:
        print(f"{record['autoencoder']:32}" + "".join(f"{record[name]:15.4g}" for name in columns))


if __name__ == "__main__":
    main()
