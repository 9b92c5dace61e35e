"""Crops that are drawn on the device: they are crops, everywhere, and depend on their own key only."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.training import pool as pools
from jaxpr.training.pool import ImagePool, draw_crops, image_pool

KEY = jax.random.key(5)


def images(*sizes, channels=3):
    """Images of bytes whose pixels are all different, so that a crop tells where it comes from."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, channels)).astype(np.float32) / 255 for size in sizes]


def symmetries_of(image):
    """The eight of the square."""
    turned = [np.rot90(image, i) for i in range(4)]
    return turned + [t[:, ::-1] for t in turned]


@pytest.mark.thorough
@pytest.mark.parametrize(("symmetries", "expected"), [(1, 1), (2, 2), (8, 8)])
def test_crops_are_crops_of_every_place_in_every_symmetry(symmetries, expected):
    sources, size = images((4, 5), (6, 4)), 4
    places = [
        image[top : top + size, left : left + size]
        for image in sources
        for top in range(image.shape[0] - size + 1)
        for left in range(image.shape[1] - size + 1)
    ]
    pool = image_pool(sources, smallest=size)
    assert pool.pixels.dtype == jnp.uint8
    crops = np.asarray(draw_crops(jax.random.split(KEY, 800), pool, size=size, symmetries=symmetries))
    assert crops.dtype == np.float32
    seen = {}
    for crop in crops:
        matches = [
            (i, s)
            for i, place in enumerate(places)
            for s, turned in enumerate(symmetries_of(place))
            if np.abs(turned - crop).max() < 1e-6  # a device may divide by 255 with another last bit
        ]
        assert len(matches) == 1
        seen[matches[0]] = seen.get(matches[0], 0) + 1
    assert len(seen) == len(places) * expected
    assert {i for i, _ in seen} == set(range(5))
    if symmetries < 8:
        assert {s for _, s in seen} <= {0, 4}
    # Both images are equally likely, although one has two places and the other three; five standard deviations.
    first = sum(count for (i, _), count in seen.items() if i < 2)
    assert abs(first - 400) < 5 * np.sqrt(200)


@pytest.mark.thorough
def test_a_crop_depends_on_its_own_key():
    pool = image_pool(images((9, 9), (12, 7)), smallest=5)
    keys = jax.random.split(KEY, 6)
    options = {"size": 5, "symmetries": 8, "candidates": 2}
    together = draw_crops(keys, pool, **options)
    np.testing.assert_array_equal(together[3:4], draw_crops(keys[3:4], pool, **options))


@pytest.mark.thorough
def test_of_several_places_the_most_varied_is_taken():
    flat, varied = np.full((8, 8, 1), 0.5, np.float32), images((8, 8), channels=1)[0]
    pool = image_pool([flat, varied], smallest=8)
    share = [
        float(
            jnp.mean(
                jnp.var(draw_crops(jax.random.split(KEY, 400), pool, size=8, symmetries=1, candidates=n), (1, 2, 3)) > 0
            )
        )
        for n in (1, 3)
    ]
    for found, expected in zip(share, (1 / 2, 7 / 8), strict=True):
        assert abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 400)


def test_levels_that_are_no_bytes_stay_floats():
    source = digits("train")[:5]
    pool = image_pool(source, smallest=8)
    assert pool.pixels.dtype == jnp.float32  # sixteenths
    np.testing.assert_array_equal(np.asarray(pool.pixels).reshape(5, 8, 8, 1), np.stack(list(source)))
    mixed = image_pool([*source, *images((8, 8), channels=1)], smallest=8)
    np.testing.assert_array_equal(np.asarray(mixed.pixels)[-64:].reshape(8, 8, 1), images((8, 8), channels=1)[0])


def test_mistakes_are_refused():
    with pytest.raises(InputError, match=r"images\[1\]: found 4×9 pixels, expected 5 a side"):
        image_pool(images((5, 5), (4, 9)), smallest=5)
    with pytest.raises(InputError, match=r"images: found channels \[1, 3\]"):
        image_pool([*images((5, 5)), *images((5, 5), channels=1)], smallest=5)
    with pytest.raises(InputError, match=r"images: found channels \[\]"):
        image_pool([], smallest=5)
    pool = image_pool(images((5, 5)), smallest=5)
    with pytest.raises(InputError, match="symmetries: found 4"):
        draw_crops(jax.random.split(KEY, 2), pool, size=5, symmetries=4)
    with pytest.raises(InputError, match="candidates: found 0"):
        draw_crops(jax.random.split(KEY, 2), pool, size=5, symmetries=1, candidates=0)


@pytest.mark.parametrize("kind", ["bytes", pytest.param("floats", marks=pytest.mark.thorough)])
def test_pools_in_files_and_in_blocks_draw_the_same(monkeypatch, tmp_path, kind):
    sources = images((5, 9), (7, 5), (5, 7), (5, 5), (8, 7))
    if kind == "floats":  # one among bytes
        sources[3] = np.random.default_rng(1).random((5, 5, 3), np.float32)
    few, keys = image_pool(sources, smallest=5), jax.random.split(KEY, 40)
    assert few.blocks is None
    draw = jax.jit(functools.partial(draw_crops, size=5, symmetries=1))
    drawn = draw(keys, few)
    for in_memory, most in [(0, 1000), (400, 1000), (0, 80)]:
        with monkeypatch.context() as patch:
            patch.setattr(pools, "_IN_MEMORY", in_memory)
            patch.setattr(pools, "_MOST_PIXELS", most)
            patch.setattr(pools, "_BLOCK", 60 if most == 80 else 2**30)
            many = image_pool(iter(sources), smallest=5, folder=tmp_path)
        assert many.pixels.dtype == few.pixels.dtype
        np.testing.assert_array_equal(draw(keys, many), drawn)
        if most == 80:  # 45 | 35 | 35, 25 | 56 pixels, none of them in two blocks
            assert many.pixels.shape == (4, 60, 3)
            assert np.asarray(many.blocks).tolist() == [0, 1, 2, 2, 3]
        else:
            np.testing.assert_array_equal(many.pixels, few.pixels)
            np.testing.assert_array_equal(many.offsets, few.offsets)
    assert list(tmp_path.iterdir()) == []  # the files have no names


@pytest.mark.thorough
def test_positions_beyond_32_bits_are_reached(tmp_path):
    """A file of three blocks, of which nearly nothing is stored: the last image lies beyond 2^31 pixels."""
    block = 2**30
    places = [(0, 7), (1, block - 30), (2, block - 30)]
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        for value, (number, offset) in enumerate(places, start=1):
            file.seek(number * block + offset)
            file.write(bytes(np.arange(25, dtype=np.uint8) + 50 * value))
        file.truncate(3 * block)
        stored = np.asarray(np.memmap(file, np.uint8, "r", 0, (3, block, 1)))
        five = jnp.full(3, 5, jnp.int32)
        blocks, offsets = (jnp.asarray(each, jnp.int32) for each in zip(*places, strict=True))
        pool = ImagePool(jax.device_put(stored, may_alias=True), offsets, five, five, blocks)
        crops = np.asarray(jax.jit(lambda keys, pool: draw_crops(keys, pool, size=5, symmetries=1))(KEYS, pool))
    levels = np.round(crops * 255).astype(int).reshape(-1, 25)
    assert set(map(tuple, levels)) == {tuple(range(50 * value, 50 * value + 25)) for value in (1, 2, 3)}


KEYS = jax.random.split(KEY, 30)
MEASURED = """
import functools, sys
import jax, jax.numpy as jnp, numpy as np
from jaxpr.training import pool as pools
from jaxpr.training.pool import draw_crops, image_pool
pools._IN_MEMORY = 2**24
def held():
    found = dict(line.split(":") for line in open("/proc/self/status"))
    return [int(found[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon")]
def images(count):
    level = np.arange(64 * 64 * 3).reshape(64, 64, 3)
    for i in range(count):
        yield ((level + i) % 256).astype(np.float32) / np.float32(255)
@jax.jit
def loop(pool, steps):
    def body(i, total):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), i), 64)
        return total + draw_crops(keys, pool, size=64, symmetries=2).mean()
    return jax.lax.fori_loop(0, steps, body, 0.0)
count, folder = int(sys.argv[1]), sys.argv[2]
loop(image_pool(images(10), smallest=64), 10).block_until_ready()
before = held()
pool = image_pool(images(count), smallest=64, folder=folder)
built = held()
mean = float(loop(pool, 50))
print(*before, *built, *held(), pool.pixels.nbytes / 2**20, mean)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")
def test_a_pool_of_many_images_is_not_in_memory(tmp_path):
    """12,000 images as CelebA's at 64×64, 141 MiB; the whole, 162,770 of them, would be 2.0 GB.

    What making it adds to the program's own memory is what is kept before the file is begun, here 16 MiB. What drawing
    adds is a second compilation and pages of the file that are looked at, which are not the program's own.
    """
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, "12000", str(tmp_path)], capture_output=True, text=True, check=True
    )
    before, _, built, own_built, drawn, own_drawn, stored, mean = map(float, run.stdout.split())
    assert stored == pytest.approx(12000 * 64 * 64 * 3 / 2**20)
    assert built - before < 16 + 50 < stored / 2
    assert own_drawn - own_built < 50
    assert drawn - built < stored + 50
    assert 20 < mean < 30  # 50 times about a half
    assert 162_770 * 64 * 64 * 3 < 2.01e9


def test_a_pool_without_room_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(pools, "_IN_MEMORY", 0)
    with pytest.raises(InputError, match=r"folder: cannot write 75 bytes into .*nowhere .*; TMPDIR names another"):
        image_pool(images((5, 5)), smallest=5, folder=tmp_path / "nowhere")
