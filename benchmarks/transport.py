r"""Latent transport: fit and apply on ten latents, jaxpr and the same algorithm in PyTorch.

    .venv/bin/python -m benchmarks.transport [--scale smoke|small|paper] [--repeats 5]

Ten restored and ten natural latents of 64×64×4 (those of pictures of 512×512 under Stable Diffusion's autoencoder) are
drawn smooth; fitted is the map of p × p patches, and the ten restored ones are moved. No autoencoder runs. The value is
four numbers of the result. Compilation is excluded; the first call has it.

    torch               unfold, sums of outer products, eigenvalues and matrix products in float64, fold, as the
                        authors' program does it
    torch, float32      the same with patches moved in float32
    jaxpr               `patch_moments`, the map, and what `latent_transport` compiles
    jaxpr, fit          the fit alone

Sizes: smoke two latents of 8×8, p = 3; small p = 3, 5, 7; paper p = 3 and the moments of 10⁶ patches, whose memory
should stay that of one latent.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import Contender, compare, parse


class Size(NamedTuple):
    """So many latents of side × side × 4 in each set, patches of p × p."""

    latents: int
    side: int
    patch: int

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.latents}x{self.side}x{self.side}x4, p = {self.patch}"


SIZES = {
    "smoke": [Size(2, 8, 3)],
    "small": [Size(10, 64, patch) for patch in (3, 5, 7)],
    "paper": [Size(10, 64, 3), Size(260, 64, 3)],
}


def problem(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Restored and natural latents: white noise, summed over neighbours; the restored are smoother."""

    def drawn(seed: int, weight: float) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((size.latents, size.side + 1, size.side + 1, 4), np.float32)
        found: np.ndarray = noise[:, 1:, 1:] + weight * (noise[:, :-1, 1:] + noise[:, 1:, :-1])
        return found

    return drawn(0, 0.6), drawn(1, 0.2)


def ours(size: Size, *, fit_only: bool = False) -> Callable[[], Any]:
    """The library, in the parts that `fit_transport` and `latent_transport` are made of."""
    from jaxpr.restorers import patch_moments
    from jaxpr.restorers.latent_transport_fit import map_between
    from jaxpr.restorers.latent_transport_patches import move_latents

    restored, natural = problem(size)
    move = jax.jit(functools.partial(move_latents, None, patch=size.patch))
    latents = jnp.asarray(restored)

    def run() -> Any:
        statistics = (patch_moments(images, patch=size.patch) for images in (restored, natural))
        fitted = map_between(*statistics, rcond=1e-10)
        return fitted.matrix[:2, :2] if fit_only else move(latents, fitted)[0, :2, :2, 0]

    return run


def torch_whole(size: Size, *, narrow: bool = False) -> Callable[[], Any]:
    """The steps one after the other, patches as rows of a matrix."""
    import torch
    from torch.nn import functional

    patch, margin = size.patch, size.patch // 2
    restored, natural = (torch.tensor(np.moveaxis(x, -1, 1).copy()) for x in problem(size))
    dtype = torch.float32 if narrow else torch.float64

    def rows(x: Any) -> Any:
        return functional.unfold(x, patch).transpose(1, 2).flatten(0, 1)

    def statistics(x: Any) -> tuple[Any, Any]:
        total, products, count = 0, 0, 0
        for image in x:
            points = rows(image[None].double())
            total, products, count = total + points.sum(0), products + points.T @ points, count + len(points)
        mean = total / count
        return mean, (products - count * torch.outer(mean, mean)) / (count - 1)

    def power(matrix: Any, exponent: float) -> Any:
        values, vectors = torch.linalg.eigh(matrix)
        return (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T

    def run() -> Any:
        with torch.inference_mode():
            (mean_s, cov_s), (mean_t, cov_t) = statistics(restored), statistics(natural)
            root, inverse = power(cov_s, 0.5), power(cov_s, -0.5)
            matrix = inverse @ power(root @ cov_t @ root, 0.5) @ inverse
            padded = functional.pad(restored.to(dtype), (margin,) * 4, mode="replicate")
            moved = (rows(padded) - mean_s.to(dtype)) @ matrix.T.to(dtype) + mean_t.to(dtype)
            moved = moved.view(len(restored), -1, moved.shape[1]).transpose(1, 2)
            shape = restored.shape[2:]
            ones = functional.fold(torch.ones_like(moved[:1]), shape, patch, padding=margin)
            return (functional.fold(moved, shape, patch, padding=margin) / ones)[0, 0, :2, :2].numpy()

    return run


def main() -> None:
    """All contenders at all sizes of a scale."""
    options = parse(__doc__)
    for size in SIZES[options.scale]:
        contenders: dict[str, Contender] = {
            "torch": functools.partial(torch_whole, size),
            "torch, float32": functools.partial(torch_whole, size, narrow=True),
            "jaxpr": functools.partial(ours, size),
            "jaxpr, fit": functools.partial(ours, size, fit_only=True),
        }
        compare(options, size.name, contenders, baseline="torch")


if __name__ == "__main__":
    main()
