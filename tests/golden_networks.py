"""What tests of published networks share: golden cases with drawn weights, checks that hold for every network."""

import functools
import gzip
import json
import math
import re
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.models.naming import compare_tensors

FOLDER = Path(__file__).parent / "golden"

# Maximum error over maximum magnitude: float32 sums in another order, over tens of layers.
FLOAT32 = 1e-5
# Eight bits of mantissa through tens of layers, with residual connections around them.
BFLOAT16 = 5e-2


@functools.cache
def manifest(network: str) -> dict:
    plain = FOLDER / network / "manifest.json"
    if plain.exists():
        return json.loads(plain.read_text("utf-8"))
    return json.loads(gzip.decompress((FOLDER / network / "manifest.json.gz").read_bytes()))


@functools.cache
def arrays(network: str) -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / network / "golden.npz"))


def quick(names, *kept, thorough=()) -> list:
    """Cases to test, all but the kept ones marked: each builds or compiles a network of its own."""
    assert {*kept, *thorough} <= set(names)
    marks = {name: pytest.mark.thorough if name in thorough else pytest.mark.slow for name in names}
    return [name if name in kept else pytest.param(name, marks=marks[name]) for name in names]


def shapes(keys: list) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape, *_ in keys}


def drawn(keys: list, gain: float) -> dict[str, np.ndarray]:
    """The tensors of a file by the rule of tests/golden; those that the network computes are left out."""
    return {name: draw(name, tuple(shape), fill, gain) for name, shape, _, fill, *_ in keys if fill != "k"}


def draw(name: str, shape: tuple[int, ...], fill: str, gain: float) -> np.ndarray:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if fill == "v":
        return (0.5 + random.random(shape)).astype(np.float32)
    values = random.standard_normal(shape)
    scaled = {
        "w": values * gain / math.sqrt(max(1, math.prod(shape[1:]))),
        "s": 1 + 0.1 * values,
        "b": 0.1 * values,
        "m": 0.1 * values,
    }
    return scaled[fill].astype(np.float32)


def fills(named: dict[str, tuple[int, ...]]) -> list:
    """Key lists, with the usual fills, for shapes alone."""
    return [
        [name, shape, "float32", "w" if len(shape) > 1 else "s" if name.endswith("weight") else "b"]
        for name, shape in named.items()
    ]


def nhwc(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def nchw(images) -> np.ndarray:
    return np.asarray(images).transpose(0, 3, 1, 2)


def error(found, expected: np.ndarray) -> float:
    """Maximum error over maximum magnitude."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def repeated(entry: dict, *, groups: int, blocks: int) -> list:
    """The complete list where a manifest lists the first group for all, and its blocks 0 and 1 for the others."""
    keys = list(entry["keys_outside_layers"])
    for group in range(groups):
        for name, *rest in entry["layer0"]:
            name = name.replace("layers.0.", f"layers.{group}.", 1)
            match = re.search(r"\.blocks\.(\d+)\.", name)
            copies = [name]
            if match:
                if int(match[1]) > 1:
                    continue
                same = range(int(match[1]), blocks, 2)
                copies = [name.replace(match[0], f".blocks.{block}.") for block in same]
            keys += [[copy, *rest] for copy in copies]
    return keys


def full_input(described: str) -> np.ndarray:
    """Images, (N, H, W, C), that a manifest describes in words: uniform numbers of a shape, in [0, 1] or [-1, 1]."""
    shape = tuple(map(int, re.search(r"random\(\(([\d,]+)\)\)", described)[1].split(",")))
    images = np.random.default_rng(0).random(shape)
    return nhwc((2 * images - 1 if "*2-1" in described else images).astype(np.float32))


def assert_summary(found: np.ndarray, expected: dict) -> None:
    """Statistics and some values of a large output, (N, C, H, W) or (N, C)."""
    assert found.shape == tuple(expected["shape"])
    scale = max(abs(expected["max"]), abs(expected["min"]))
    values = found.ravel()[expected["slice_flat_index"]]
    assert np.abs(values - expected["slice_values"]).max() <= FLOAT32 * scale
    for name in ("mean", "std", "min", "max"):
        assert abs(getattr(found, name)() - expected[name]) <= FLOAT32 * scale


def assert_complete(abstract: dict, named: dict[str, tuple[int, ...]], namings) -> None:
    """A published file's complete list of tensors is that of our network, given by its abstract parameters."""
    _, mismatch = compare_tensors(abstract, named, namings)
    assert mismatch.total == 0, mismatch.describe()


def gradients(model):
    """(params, x) -> (gradients of both, output), as one program: compiling is most of the time."""

    def loss(params, x):
        out = model.apply(params, x)
        return jnp.sum(jnp.sin(out)), out

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))


def assert_near(found, expected) -> None:
    """Gradients by two programs are equal up to rounding."""
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # Sums over all positions; those that cancel, as the biases of keys do, are rounding of the largest gradients.
        assert np.abs(one - other).max() <= 10 * FLOAT32 * np.abs(other).max() + 1e-6 * largest
