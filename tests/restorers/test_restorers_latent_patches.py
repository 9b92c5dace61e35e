"""Moments of patches and moved patches: against all patches one by one, and golden numbers of the authors' code."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_reference import averaged, moved, patches_around, patches_inside

from jaxpr.core import InputError, precision
from jaxpr.core.versions import enable_x64
from jaxpr.restorers import PatchMap, latent_transport_moments, patch_moments
from jaxpr.restorers.latent_transport_patches import move_latents

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "transport_dmax" / "patches.npz")
FLOAT64, FLOAT32 = 1e-11, 2e-5
SHAPES = [((2, 7, 6, 3), 1), ((2, 7, 6, 3), 3), ((1, 5, 5, 2), 5), ((3, 6, 13, 1), 5), ((1, 9, 8, 2), 3)]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def their_order(patches: np.ndarray) -> np.ndarray:
    """Rows of theirs, (locations · batch, c p p), as ours, (batch, 7, 6, p p c)."""
    cut = patches.reshape(7, 6, 2, 3, 3, 3)
    return np.transpose(cut, (2, 0, 1, 4, 5, 3)).reshape(2, 7, 6, 27)


def test_the_reference_is_what_the_authors_compute():
    z = np.moveaxis(2 * GOLDEN["img"] - 1, 1, -1)
    first = np.moveaxis(patches_inside(z, 3)[:, 0, :3].reshape(2, 3, 3, 3, 3), -1, 2).reshape(2, 3, 27)
    np.testing.assert_allclose(np.swapaxes(first, 0, 1).reshape(6, 27)[:5], GOLDEN["p3_patches_nopad"], atol=1e-6)
    sums = np.moveaxis(patches_around(z, 3).sum((0, 1, 2)).reshape(3, 3, 3), -1, 0).ravel()
    np.testing.assert_allclose(sums, GOLDEN["p3_patches_padded_sum"], atol=1e-4)
    folded = averaged(their_order(np.random.default_rng(14).standard_normal((84, 27))), 3)
    np.testing.assert_allclose(np.moveaxis(folded, -1, 1), GOLDEN["p3_unpatchify_random"], atol=FLOAT64)


@pytest.mark.parametrize(("shape", "patch"), SHAPES, ids=str)
def test_moments_are_those_of_all_patches(shape, patch):
    z = normal(*shape) + 100
    found = patch_moments(z, patch=patch)
    points = patches_inside(z.astype(np.float64), patch).reshape(-1, patch**2 * shape[3])
    assert found.count == len(points)
    np.testing.assert_allclose(found.mean, points.mean(0), rtol=FLOAT64)
    centred = points - points.mean(0)
    np.testing.assert_allclose(found.scatter, centred.T @ centred, atol=1e-9)


@pytest.mark.parametrize(("shape", "patch"), [((5, 8, 9, 2), 3), ((3, 7, 16, 1), 7), ((4, 16, 15, 2), 15)], ids=str)
def test_moments_do_not_depend_on_how_many_are_summed_at_once(shape, patch, monkeypatch):
    z = normal(*shape) + 100
    whole = patch_moments(z, patch=patch)
    monkeypatch.setattr(latent_transport_moments, "_AT_ONCE", 2 * shape[1] * shape[2])
    parts = patch_moments(z, patch=patch)
    points = patches_inside(z.astype(np.float64), patch).reshape(-1, patch**2 * shape[3])
    centred = points - points.mean(0)
    for found in (whole, parts):
        np.testing.assert_allclose(found.scatter, centred.T @ centred, atol=1e-9)


def test_merged_moments_are_those_of_all():
    z = normal(5, 8, 7, 2)
    whole, parts = patch_moments(z, patch=3), [patch_moments(part, patch=3) for part in (z[:1], z[1:2], z[2:])]
    for merged in (parts[0].merge(parts[1]).merge(parts[2]), parts[0].merge(parts[1].merge(parts[2]))):
        for field, expected in zip(merged, whole, strict=True):
            np.testing.assert_allclose(field, expected, rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.parametrize("platforms", [("tpu",), ("cpu", "tpu")], ids=["float64", "float32"])
def test_moments_inside_a_program(platforms, monkeypatch):
    """The second as a program for a TPU has them; the bound is the one that the docstring states."""
    monkeypatch.setattr(precision, "FLOAT32_PLATFORMS", platforms)
    z = 0.01 * normal(10, 64, 64, 4) + 1
    exact = patch_moments(z, patch=3)
    found = jax.jit(lambda z: patch_moments(z, patch=3))(z)
    error = np.abs(found.scatter - exact.scatter).max() / np.abs(exact.scatter).max()
    assert error < (4e-6 if "cpu" in platforms else 2e-7)
    np.testing.assert_allclose(found.mean, exact.mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [*SHAPES, ((1, 1, 1, 2), 3), ((1, 13, 9, 2), 5), ((1, 2, 17, 1), 3), ((2, 15, 14, 1), 7)],
    ids=str,
)
def test_moved_latents_are_those_of_all_patches(shape, patch):
    z, dim = normal(*shape), patch**2 * shape[3]
    matrix, offset = normal(dim, dim, seed=1) / patch, normal(dim, seed=2)
    found = jax.jit(lambda z, moves: move_latents(None, z, moves, patch=patch))(z, PatchMap(matrix, offset))
    np.testing.assert_allclose(found, moved(z, matrix, offset, patch), atol=FLOAT32 * patch)


@pytest.mark.thorough
def test_patches_draw_noise_of_their_own():
    """Its covariance is that of averaged independent patches, and image 1 alone is image 1 of a batch."""
    root = normal(9, 2)
    moves = PatchMap(np.eye(9, dtype=np.float32), np.zeros(9, np.float32), root)
    z, keys = jnp.zeros((2, 60, 61, 1)), jax.random.split(jax.random.key(0), 2)
    run = jax.jit(lambda keys, z: move_latents(keys, z, moves, patch=3))
    found = np.asarray(run(keys, z))
    np.testing.assert_allclose(run(keys[1:], z[1:]), found[1:], atol=1e-6)
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.05
    inside = found[:, 1:-1, 1:-1, 0]
    expected = {lag: _covariance_at(root, lag) for lag in ((0, 0), (0, 1), (2, 2), (0, 3))}
    for (i, j), value in expected.items():
        pairs = inside[:, i:, j:] * inside[:, : inside.shape[1] - i, : inside.shape[2] - j]
        assert abs(pairs.mean() - value) < 0.05 * expected[0, 0]
    assert expected[0, 3] == 0


def _covariance_at(root: np.ndarray, lag: tuple[int, int]) -> float:
    """Of two pixels so far apart: patches that hold both contribute."""
    cov = (root @ root.T).reshape(3, 3, 3, 3)
    return sum(
        cov[a, b, a + lag[0], b + lag[1]] / 81 for a in range(3 - min(lag[0], 3)) for b in range(3 - min(lag[1], 3))
    )


def test_float64_stays_float64():
    with enable_x64(True):
        z = np.random.default_rng(0).standard_normal((1, 9, 9, 2))
        matrix, offset = np.random.default_rng(1).standard_normal((18, 18)), np.zeros(18)
        found = jax.jit(lambda z: move_latents(None, z, PatchMap(matrix, offset), patch=3))(z)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, moved(z, matrix, offset, 3), atol=1e-12)


def test_what_does_not_fit_is_one_line():
    z = normal(1, 4, 4, 1)
    with pytest.raises(InputError, match=r"^patch: found 2, expected an odd number$"):
        patch_moments(z, patch=2)
    with pytest.raises(InputError, match=r"^latents: found 4×4, expected at least a patch, 5×5$"):
        patch_moments(z, patch=5)
    with pytest.raises(InputError, match=r"^latents: found shape \(4, 4\), expected latents"):
        patch_moments(z[0, :, :, 0], patch=1)
    with pytest.raises(InputError, match=r"NaN or infinite"):
        patch_moments(z * np.nan, patch=1)
    with pytest.raises(InputError, match=r"^moves: found a matrix \(2, 2\), expected \(9, 9\)"):
        move_latents(None, jnp.asarray(z), PatchMap(np.eye(2), np.zeros(2)), patch=3)
    with pytest.raises(InputError, match=r"^keys: found None, expected one for each"):
        move_latents(None, jnp.asarray(z), PatchMap(np.eye(9), np.zeros(9), np.ones((9, 1))), patch=3)
