"""Latent transport as a restorer: closed forms, a float64 reference, alpha, keys, devices, gradients, files, errors."""

import functools
import warnings
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from latent_reference import moved, optimal_map, patches_inside

from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64
from jaxpr.data import from_arrays
from jaxpr.models import AutoencoderKLConfig, autoencoder_kl
from jaxpr.numerics import Moments
from jaxpr.restorers import (
    TransportWarning,
    as_restorer,
    autoencoded,
    fit_transport,
    kl_encoder,
    latent_transport,
    load_transport,
    patch_statistics,
    pixel_encoder,
    plain_encoder,
    read_encoder,
    save_transport,
)
from jaxpr.restorers.latent_transport_fit import map_between
from jaxpr.restorers.latent_transport_settings import TRANSPORT_PRESETS
from jaxpr.weights.autoencoders import pack_autoencoder

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "transport_dmax" / "golden.npz")
KEY = jax.random.key(0)
FLOAT32 = 2e-5
PIXELS = pixel_encoder()


def smooth(count: int, height: int, width: int, channels: int = 3, *, seed: int = 0, strength: float = 0.1):
    """Images whose neighbouring pixels and channels belong together."""
    noise = np.random.default_rng(seed).standard_normal((count, height + 1, width + 1, channels))
    mixed = noise @ np.random.default_rng(99).standard_normal((channels, channels))
    field = mixed[:, 1:, 1:] + 0.5 * mixed[:, :-1, 1:] + 0.5 * mixed[:, 1:, :-1]
    return np.clip(0.5 + strength * field, 0, 1).astype(np.float32)


RESTORED, NATURAL = smooth(3, 12, 11, seed=1, strength=0.05), smooth(4, 13, 10, seed=2)


def identity(x):
    return x


IDENTITY = as_restorer("identity", identity)


@functools.partial(jax.jit, static_argnums=0)
def _applied(apply, params, key, y):
    return apply(params, key, y)


def run(restorer, *inputs):
    """The restorer, compiled once for all that share their function."""
    return np.asarray(_applied(restorer.apply, restorer.params, inputs[0] if len(inputs) == 2 else None, inputs[-1]))


@pytest.fixture(scope="module")
def fitted():
    return fit_transport(RESTORED, NATURAL, encoder=PIXELS, patch=3)


@pytest.fixture(scope="module")
def noisy():
    """A source without colour: two thirds of the directions are missing."""
    grey = np.repeat(RESTORED[..., :1], 3, axis=-1)
    return fit_transport(grey, NATURAL, encoder=PIXELS, patch=1)


@pytest.mark.parametrize("patch", [1, 3])
def test_it_is_what_the_paper_says_patch_by_patch(patch, fitted):
    fitted = fitted if patch == 3 else fit_transport(RESTORED, NATURAL, encoder=PIXELS, patch=patch)
    points = [patches_inside(x.astype(np.float64), patch).reshape(-1, 3 * patch**2) for x in (RESTORED, NATURAL)]
    matrix, offset = optimal_map(*points)
    np.testing.assert_allclose(fitted.moves.matrix, matrix, atol=1e-8 * np.abs(matrix).max())
    found = run(latent_transport(IDENTITY, fitted), RESTORED)
    np.testing.assert_allclose(found, moved(RESTORED, matrix, offset, patch), atol=FLOAT32)
    assert not np.allclose(found, RESTORED, atol=0.05)


def test_the_covariance_of_moved_pixels_is_the_natural_one():
    with enable_x64(True):
        found = fit_transport(RESTORED, NATURAL, encoder=PIXELS, patch=1)
        moved_pixels = latent_transport(IDENTITY, found)(jnp.asarray(RESTORED, jnp.float64))
    points, natural = (np.asarray(x, np.float64).reshape(-1, 3) for x in (moved_pixels, NATURAL))
    np.testing.assert_allclose(np.cov(points.T), np.cov(natural.T), atol=1e-9)
    np.testing.assert_allclose(points.mean(0), natural.mean(0), atol=1e-9)


@pytest.mark.parametrize("patch", [1, 3])
def test_a_singular_source_is_filled_with_noise(patch):
    grey = np.repeat(RESTORED[..., :1], 3, axis=-1)
    found = fit_transport(grey, NATURAL, encoder=PIXELS, patch=patch)
    source, target = (np.asarray(of.moments.covariance) for of in (found.restored, found.natural))
    root = found.moves.noise_root
    assert root.shape[1] == 2 * patch**2
    reached = found.moves.matrix @ source @ found.moves.matrix.T + root @ root.T
    np.testing.assert_allclose(reached, target, atol=1e-9)
    restorer = latent_transport(IDENTITY, found)
    assert restorer.stochastic
    assert restorer.weights["transport"]["noise"] == "for each patch"
    quiet = latent_transport(IDENTITY, found, deterministic=True)
    assert not quiet.stochastic
    assert quiet.weights["transport"]["noise"] == "switched off"


def test_the_departures_of_the_authors_code_are_not_repeated(noisy):
    """Their covariance of the noise at alpha is (1 - alpha)^(1/2) of the whole; by Eq. (4) it is (1 - alpha)²."""
    np.testing.assert_allclose(GOLDEN["deg_noise_cov_pg0.5"], GOLDEN["deg_Cw0"][0] * 0.5**0.5, atol=1e-12)
    sides = [
        Moments(np.float64(100), GOLDEN[f"full_mean_{side}"][0], 99 * GOLDEN[f"deg_cov_{side}"][0])
        for side in ("source", "target")
    ]
    found = map_between(*sides, rcond=1e-10)
    np.testing.assert_allclose(found.matrix, GOLDEN["deg_T0"][0], atol=3e-4)
    np.testing.assert_allclose(found.noise_root @ found.noise_root.T, GOLDEN["deg_Cw0"][0], atol=3e-4)
    theirs = GOLDEN["deg_deterministic_part_pg0.0"]
    np.testing.assert_allclose(GOLDEN["deg_X"] @ found.matrix.T + found.offset, theirs, atol=3e-3)
    keys = jax.random.split(jax.random.key(7), 3)
    differences = []
    for alpha in (0.0, 0.5, -1.0):
        restorer = latent_transport(IDENTITY, noisy, alpha=alpha)
        differences.append(run(restorer, keys, RESTORED) - run(restorer, KEY, RESTORED))
    np.testing.assert_allclose(differences[1], 0.5 * differences[0], atol=FLOAT32)
    np.testing.assert_allclose(differences[2], 2 * differences[0], atol=FLOAT32)
    # Not one draw for all patches: neighbours differ.
    assert np.std(np.diff(differences[0], axis=2)) > 0.5 * np.std(differences[0]) > 0
    # Near-singular, where theirs is NaN.
    near = sides[0]._replace(scatter=sides[0].scatter + 1e-13 * np.diag([1.0, -1, 1, -1, 1, -1]))
    assert all(np.isfinite(part).all() for part in map_between(near, sides[1], rcond=1e-10))


@pytest.mark.thorough
def test_alpha_mixes_pixels_and_members_share_their_function(fitted):
    x0, half, beyond, itself = (latent_transport(IDENTITY, fitted, alpha=alpha) for alpha in (0, 0.5, -0.5, 1))
    assert x0.apply == half.apply == beyond.apply
    assert itself.apply == IDENTITY.apply  # bit by bit what it was
    before = _applied._cache_size()
    np.testing.assert_array_equal(run(itself, RESTORED), RESTORED)
    images = {restorer.setting: run(restorer, RESTORED) for restorer in (x0, half, beyond, itself)}
    assert _applied._cache_size() <= before + 2
    np.testing.assert_allclose(images[0], x0(RESTORED), atol=FLOAT32)  # jit = eager
    for alpha, image in images.items():
        np.testing.assert_allclose(image, (1 - alpha) * images[0] + alpha * RESTORED, atol=FLOAT32)
    assert (half.variant, half.setting, half.differentiable) == ("transport", 0.5, None)


def test_an_image_alone_is_the_image_in_a_batch(noisy, fitted):
    keys, restorer = jax.random.split(KEY, 3), latent_transport(IDENTITY, noisy)
    together = run(restorer, keys, RESTORED)
    np.testing.assert_allclose(run(restorer, keys[2:], RESTORED[2:]), together[2:], atol=1e-6)
    plain = latent_transport(IDENTITY, fitted)
    np.testing.assert_allclose(run(plain, RESTORED[1:2]), run(plain, RESTORED)[1:2], atol=1e-6)


@pytest.mark.thorough
def test_a_stochastic_restorer_and_the_noise_have_keys_of_their_own(noisy):
    def sampler(key, y):
        return y + 0.01 * jax.random.normal(key, y.shape)

    restorer = latent_transport(sampler, noisy)
    draws = jax.jit(lambda key, y: restorer.draws(key, y, count=2))(KEY, RESTORED)
    assert draws.shape == (2, *RESTORED.shape)
    assert np.abs(draws[0] - draws[1]).mean() > 0.01
    itself = latent_transport(sampler, noisy, alpha=1)
    np.testing.assert_array_equal(itself(KEY, RESTORED), sampler(KEY, RESTORED))
    # What the restorer draws for a key is the same at every alpha, alone and in sets.
    half, both = latent_transport(sampler, noisy, alpha=0.5), (KEY, jnp.asarray(RESTORED))
    np.testing.assert_allclose(run(half, *both), (run(restorer, *both) + run(itself, *both)) / 2, atol=FLOAT32)


def test_gradients_are_finite_and_right(fitted):
    restorer = latent_transport(lambda y: y**2, fitted, alpha=0.3)
    y = jnp.asarray(RESTORED[:1])
    direction = jnp.asarray(np.random.default_rng(0).standard_normal(y.shape), jnp.float32)
    gradient = jax.jit(jax.grad(lambda y: jnp.vdot(restorer(y), direction)))(y)
    assert np.isfinite(gradient).all()
    step = 1e-2
    difference = np.vdot(run(restorer, y + step * direction) - run(restorer, y - step * direction), direction)
    np.testing.assert_allclose(np.vdot(gradient, direction), difference / (2 * step), rtol=1e-3)


@pytest.mark.thorough
def test_devices_change_nothing(fitted):
    images = smooth(8, 8, 9, seed=4)
    spread = NamedSharding(Mesh(np.array(jax.devices()), ("examples",)), PartitionSpec("examples"))
    sharded = jax.device_put(images, spread)
    restorer = latent_transport(IDENTITY, fitted)
    np.testing.assert_allclose(run(restorer, sharded), run(restorer, images), atol=1e-6)
    found = patch_statistics(sharded, encoder=PIXELS, patch=3)
    expected = patch_statistics(images, encoder=PIXELS, patch=3)
    assert found.images == 8
    np.testing.assert_allclose(found.moments.scatter, expected.moments.scatter, rtol=1e-12, atol=1e-12)


def test_statistics_merge_and_take_images_from_anywhere(tmp_path, monkeypatch):
    from PIL import Image

    eight_bits = np.round(NATURAL * 255).astype(np.uint8)
    for number, image in enumerate(eight_bits):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    images = eight_bits.astype(np.float32) / 255
    whole = patch_statistics(images, encoder=PIXELS, patch=3)
    parts = [patch_statistics(part, encoder=PIXELS, patch=3) for part in (images[:1], images[1:])]
    monkeypatch.setattr("jaxpr.restorers.latent_transport_fit._MOST_PIXELS", 1)  # bands of one row
    others = [
        parts[0].merge(parts[1]),
        patch_statistics(tmp_path, encoder=PIXELS, patch=3),
        patch_statistics(from_arrays(images, name="mine"), encoder=PIXELS, patch=3),
        patch_statistics((image for image in images), encoder=PIXELS, patch=3, limit=9),
    ]
    for found in others:
        assert (found.images, found.sides) == (4, (10, 13))
        np.testing.assert_allclose(found.moments.scatter, whole.moments.scatter, rtol=1e-7, atol=1e-7)
    assert others[2].sources == ("mine",)
    assert patch_statistics(images, encoder=PIXELS, patch=3, limit=2).images == 2


CONFIG = AutoencoderKLConfig(3, 3, (4, 8), 1, 2, 2)


@pytest.fixture(scope="module")
def encoder():
    params = jax.jit(autoencoder_kl(CONFIG).model.init)(jax.random.key(3))
    return kl_encoder(CONFIG, params, name="tiny", sha256="0" * 64)


@pytest.mark.thorough
def test_an_autoencoder_of_any_image_size_drawn_or_by_its_mode(encoder):
    """Sides of 13 and 11 are extended to 14 and 12, and cut again; the range is converted once."""
    images = smooth(3, 13, 11, seed=6)
    network = autoencoder_kl(CONFIG)
    encode, decode = jax.jit(network.encode), jax.jit(network.decode)
    expected = encode(encoder.params, 2 * images[:, :12, :10] - 1).mean
    statistics = patch_statistics(images, encoder=encoder, patch=1)
    np.testing.assert_allclose(statistics.moments.mean, np.mean(expected, (0, 1, 2)), atol=1e-5)
    found = fit_transport(images, images, encoder=encoder, patch=1, sample_key=KEY)
    assert found.encode == "sample"
    restorer = latent_transport(IDENTITY, found, encode="mode")
    assert not restorer.stochastic
    padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    latents = encode(encoder.params, 2 * padded - 1).mean
    matrix, offset = (np.asarray(part, np.float64) for part in found.moves[:2])
    decoded = decode(encoder.params, jnp.asarray(moved(np.asarray(latents), matrix, offset, 1), jnp.float32))
    np.testing.assert_allclose(run(restorer, images), (decoded[:, :13, :11] + 1) / 2, atol=1e-4)
    drawn = latent_transport(IDENTITY, found)
    assert drawn.stochastic
    assert 1e-6 < np.abs(run(drawn, KEY, images) - run(restorer, images)).mean() < 0.5
    other = latent_transport(IDENTITY, replace(found, encoder=kl_encoder(CONFIG, encoder.params, name="tiny")))
    assert other.apply == drawn.apply  # encoders of equal sizes share their programs


@pytest.mark.thorough
def test_an_autoencoder_alone(encoder):
    """D(E(x*)) of sides that are extended and cut again, in single draws and in sets, and its map alone."""
    images = jnp.asarray(smooth(2, 13, 11, seed=6))
    network = autoencoder_kl(CONFIG)
    padded = np.pad(np.sqrt(images), ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    latents = jax.jit(network.encode)(encoder.params, 2 * padded - 1).mean
    expected = (jax.jit(network.decode)(encoder.params, latents)[:, :13, :11] + 1) / 2
    again = autoencoded(jnp.sqrt, encoder)
    np.testing.assert_allclose(run(again, images), expected, atol=1e-5)
    np.testing.assert_allclose(again(images), expected, atol=1e-5)  # jit = eager
    alone = again.autoencoder
    np.testing.assert_allclose(run(alone, jnp.sqrt(images)), expected, atol=1e-5)
    assert (again.variant, alone.weights) == ("autoencoded", {"autoencoder": encoder.record})
    drawn = autoencoded(lambda key, y: y + jax.random.uniform(key, y.shape) / 9, encoder)
    draws = jax.jit(lambda key, y: drawn.draws(key, y, count=2))(KEY, images)
    assert np.abs(draws[0] - draws[1]).mean() > 1e-6
    assert autoencoded(jnp.sqrt, PIXELS).autoencoder is None  # loses nothing
    np.testing.assert_array_equal(autoencoded(jnp.sqrt, PIXELS)(images), jnp.sqrt(images))


def test_a_pair_of_functions_is_an_encoder():
    """Logits: an encoder that is not linear."""

    def encode(x):
        return jnp.log((x + 0.1) / (1.1 - x))

    def decode(z):
        return 1.2 * jax.nn.sigmoid(z) - 0.1

    found = fit_transport(RESTORED, RESTORED, encoder=plain_encoder(encode, decode, name="logits"), patch=3)
    np.testing.assert_allclose(run(latent_transport(IDENTITY, found), RESTORED), RESTORED, atol=1e-4)


def test_a_fitted_transport_is_a_file(tmp_path, fitted, noisy):
    for found in (fitted, noisy):
        sha256 = save_transport(found, tmp_path / "it.safetensors")
        again = load_transport(tmp_path / "it.safetensors")
        assert again.record == found.record
        assert save_transport(again, tmp_path / "again.safetensors") == sha256
        first, second = (run(latent_transport(IDENTITY, of, deterministic=True), RESTORED) for of in (found, again))
        np.testing.assert_array_equal(first, second)
    assert fitted.record["restored"] == {"images": 3, "patches": 270, "sides": [11, 12], "sources": ["arrays"]}


def test_files_of_another_encoder_or_of_none_are_refused(tmp_path, fitted):
    encoder = replace(PIXELS, name="tiny", sha256="0" * 64)
    save_transport(fitted, path := tmp_path / "it.safetensors")
    with pytest.raises(InputError, match=r"^encoder: found {'name': 'tiny'.*expected {'name': 'pixels'.*fitted with$"):
        load_transport(path, encoder=encoder)
    save_transport(fit_transport(NATURAL, NATURAL, encoder=encoder, patch=1), path)
    with pytest.raises(InputError, match=r"^encoder: found None, expected tiny, with which"):
        load_transport(path)
    with pytest.raises(InputError, match=r"^encoder: found .*1111.*expected .*0000"):
        load_transport(path, encoder=replace(encoder, sha256="1" * 64))
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"it\.safetensors: content: found no packed weights"):
        load_transport(path)
    with pytest.raises(InputError, match=r"^path: "):
        load_transport(tmp_path / "none.safetensors")


def test_bad_images_are_told_with_numbers(fitted):
    with pytest.raises(InputError, match=r"^restored: found 24 patches of 27 entries \(c p²\) in 2 images, "):
        fit_transport(smooth(2, 5, 6), NATURAL, encoder=PIXELS)
    with pytest.raises(InputError, match=r"^natural: found constant images .standard deviation 0 over 200 patches"):
        fit_transport(RESTORED, np.full((2, 12, 12, 3), 0.5, np.float32), encoder=PIXELS)
    with pytest.raises(InputError, match=r"^natural\[0\]: found 2×9 latents, expected at least a patch, 3×3"):
        fit_transport(RESTORED, smooth(1, 2, 9), encoder=PIXELS)
    with pytest.raises(InputError, match=r"^restored\[0\]: found values in "):
        fit_transport(255 * RESTORED, NATURAL, encoder=PIXELS)
    with pytest.raises(InputError, match=r"^restored: found none, expected at least one"):
        fit_transport([], NATURAL, encoder=PIXELS)
    with pytest.raises(InputError, match=r"^alpha: found nan, expected one finite number"):
        latent_transport(IDENTITY, fitted, alpha=np.nan)
    statistics = patch_statistics(NATURAL, encoder=PIXELS, patch=1)
    with pytest.raises(InputError, match=r"^natural: found statistics of patches of 1, expected 3"):
        fit_transport(RESTORED, statistics, encoder=PIXELS)
    with pytest.raises(InputError, match=r"^other: found patch 1, expected 3"):
        fitted.natural.merge(statistics)
    with pytest.raises(InputError, match=r"^path: cannot open /nothing/there.safetensors"):
        read_encoder("/nothing/there.safetensors")


@pytest.mark.thorough
def test_an_autoencoder_of_jaxpr_train_is_an_encoder(tmp_path):
    config = AutoencoderKLConfig(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)
    params = autoencoder_kl(config).model.init(KEY)
    (tmp_path / "weights.safetensors").write_bytes(pack_autoencoder(config, params, {}))
    found, given = read_encoder(tmp_path / "weights.safetensors"), kl_encoder(config, params, name="given")
    assert (found.name, found.multiple, len(found.sha256)) == ("weights.safetensors", 2, 64)
    latents = given.encode(given.params, NATURAL[:, :12]).mean
    np.testing.assert_array_equal(found.encode(found.params, NATURAL[:, :12]).mean, latents)
    np.testing.assert_array_equal(found.decode(found.params, latents), given.decode(given.params, latents))


@pytest.mark.thorough
def test_what_may_work_less_well_is_a_warning(fitted):
    with pytest.warns(TransportWarning, match=r"natural: found one image \(2304 patches\)"):
        found = fit_transport(smooth(4, 50, 50), smooth(1, 50, 50), encoder=PIXELS)
    with pytest.warns(TransportWarning, match=r"sides of 11 to 12, natural ones of 50 to 50 pixels"):
        fit_transport(RESTORED, smooth(2, 50, 50), encoder=PIXELS)
    with pytest.warns(TransportWarning, match=r"found images of 13×10 pixels, expected about the resolution"):
        latent_transport(IDENTITY, found)(NATURAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latent_transport(IDENTITY, found, any_size=True)(NATURAL)


def test_presets_are_what_was_published():
    assert {name: preset[:3] for name, preset in TRANSPORT_PRESETS.items()} == {
        "paper": (3, "sd-vae-ft-mse", 10),
        "code": (5, "sd-vae-ft-ema", 16),
    }
