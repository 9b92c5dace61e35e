"""Non-local means against its definition in float64 and against scikit-image, whose shortcuts are imitated."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.data import astronaut
from skimage.restoration import denoise_nl_means

from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64
from jaxpr.restorers.nlm import nlm

FLOAT32 = 1e-5
Y = np.random.default_rng(0).random((2, 11, 9, 3), np.float32)
CASES = [(0.3, 0.0), (0.15, 0.1), (0.05, 0.0), (5.0, 0.0), (0.2, 0.4)]  # (h, sigma)


def schraudolph(exponent: float) -> float:
    """The exponential as scikit-image computes it: a number whose upper bits are linear in the exponent; 4 % off."""
    upper = np.int64(np.trunc(1048576 / np.log(2) * exponent + 1072693248 - 60801))
    return float(np.array(upper << 32, np.int64).view(np.float64))


def by_definition(y, *, h, sigma, patch, window, exp=np.exp, cutoff=np.inf):
    """One image (H, W, C), in float64, pixel by pixel."""
    height, width, channels = y.shape
    margin, reach = patch // 2, window // 2
    padded = np.pad(y.astype(np.float64), ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    positions = np.arange(patch) - margin
    spread = max((patch - 1) / 4, 1e-9)
    kernel = np.exp(-(positions[:, None] ** 2 + positions[None] ** 2) / (2 * spread**2))
    kernel /= kernel.sum() * channels * h**2
    out = np.zeros(y.shape)
    for row, column in itertools.product(range(height), range(width)):
        total = 0.0
        own = padded[row : row + patch, column : column + patch]
        for i in range(max(row - reach, 0), min(row + reach + 1, height)):
            for j in range(max(column - reach, 0), min(column + reach + 1, width)):
                terms = (own - padded[i : i + patch, j : j + patch]) ** 2 - 2 * sigma**2
                by_rows = np.cumsum((kernel[:, :, None] * terms).sum(axis=(1, 2)))
                weight = 0.0 if (by_rows[:-1] > cutoff).any() else exp(-max(by_rows[-1], 0))
                out[row, column] += weight * y[i, j]
                total += weight
        out[row, column] /= total
    return out


@pytest.mark.thorough
@pytest.mark.parametrize(("patch", "window"), [(3, 5), (5, 3), (1, 7), (7, 1), (5, 21)])
@pytest.mark.parametrize(("h", "sigma"), CASES)
def test_it_is_the_definition(patch, window, h, sigma):
    found = jax.jit(functools.partial(nlm, patch=patch, window=window))(Y, h=h, sigma=sigma)
    for image, one in zip(Y, found, strict=True):
        expected = by_definition(image, h=h, sigma=sigma, patch=patch, window=window)
        np.testing.assert_allclose(one, expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize(("h", "sigma"), CASES)
def test_scikit_image_differs_by_its_exponential_and_its_cutoff_only(h, sigma):
    image = Y[0].astype(np.float64)
    peer = denoise_nl_means(image, 5, 3, h=h, sigma=sigma, fast_mode=False, channel_axis=-1)
    imitated = by_definition(image, h=h, sigma=sigma, patch=5, window=7, exp=schraudolph, cutoff=5.0)
    np.testing.assert_allclose(peer, imitated, rtol=0, atol=1e-6)
    np.testing.assert_allclose(nlm(Y[:1], h=h, sigma=sigma, patch=5, window=7)[0], peer, rtol=0, atol=0.06)


def noisy(std: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    x = astronaut()[100:164, 180:244].astype(np.float32)[None] / 255
    return x, x + std * np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)


def psnr(a, b) -> float:
    return float(-10 * np.log10(np.mean((np.asarray(a) - b) ** 2)))


def test_a_photograph_is_denoised_as_well_as_by_scikit_image():
    x, y = noisy()
    found = psnr(nlm(y, h=0.06, sigma=0.1), x)
    peer = denoise_nl_means(y[0], 7, 10, h=0.06, sigma=0.1, fast_mode=False, channel_axis=-1)
    assert found > psnr(y, x) + 7
    assert found == pytest.approx(psnr(peer, x[0]), abs=0.1)


def test_limits():
    np.testing.assert_allclose(nlm(Y, h=1e-4), Y, atol=1e-6)
    inside = nlm(Y, h=1e4, window=3, patch=3)[:, 5, 4]
    np.testing.assert_allclose(inside, Y[:, 4:7, 3:6].mean(axis=(1, 2)), atol=1e-6)
    constant = np.full((1, 8, 8, 1), 0.3, np.float32)
    np.testing.assert_allclose(nlm(constant, h=0.1, sigma=0.1), constant, rtol=1e-6)


def test_invariances():
    found = nlm(Y, h=0.2, sigma=0.05, patch=3, window=7)
    options = {"patch": 3, "window": 7}
    np.testing.assert_allclose(nlm(Y[:, ::-1], h=0.2, sigma=0.05, **options), found[:, ::-1], atol=FLOAT32)
    swapped = nlm(Y.swapaxes(1, 2), h=0.2, sigma=0.05, **options)
    np.testing.assert_allclose(swapped, found.swapaxes(1, 2), atol=FLOAT32)
    np.testing.assert_allclose(nlm(255 * Y, h=51, sigma=12.75, **options), 255 * found, atol=255 * FLOAT32)
    assert found.min() >= Y.min()
    assert found.max() <= Y.max()


def test_each_image_has_its_own_noise():
    h, sigma = jnp.asarray([0.1, 0.4]), jnp.asarray([0.0, 0.2])
    found = nlm(Y, h=h, sigma=sigma, window=7)
    for n in range(2):
        np.testing.assert_allclose(found[n], nlm(Y[n : n + 1], h=h[n], sigma=sigma[n], window=7)[0], atol=FLOAT32)
    mapped = jax.vmap(lambda y, h, sigma: nlm(y[None], h=h, sigma=sigma, window=7)[0])(Y, h, sigma)
    np.testing.assert_allclose(mapped, found, atol=FLOAT32)


@pytest.mark.thorough
def test_gradients():
    options = {"patch": 3, "window": 5}
    with enable_x64(True):
        y = jnp.asarray(Y[:1], jnp.float64)
        direction = np.random.default_rng(2).standard_normal(y.shape)

        def value(y, h, sigma):
            return jnp.sum(nlm(y, h=h, sigma=sigma, **options) * direction)

        slopes = jax.grad(value, (0, 1, 2))(y, 0.3, 0.1)
        step = 1e-5
        along = (value(y + step * direction, 0.3, 0.1) - value(y - step * direction, 0.3, 0.1)) / (2 * step)
        np.testing.assert_allclose(jnp.sum(slopes[0] * direction), along, rtol=1e-6)
        of_h = (value(y, 0.3 + step, 0.1) - value(y, 0.3 - step, 0.1)) / (2 * step)
        of_sigma = (value(y, 0.3, 0.1 + step) - value(y, 0.3, 0.1 - step)) / (2 * step)
        np.testing.assert_allclose(slopes[1:], (of_h, of_sigma), rtol=1e-6)


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_window():
    def temporary(window):
        fn = jax.jit(jax.grad(lambda y: jnp.sum(nlm(y, h=0.1, window=window) ** 2)))
        y = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        return fn.lower(y).compile().memory_analysis().temp_size_in_bytes

    assert temporary(31) < 2 * temporary(3)  # the image is padded by half a window


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_dtypes(dtype):
    with enable_x64(dtype == "float64"):
        assert nlm(jnp.asarray(Y, dtype), h=0.1, sigma=0.1, window=3).dtype == dtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 4}, "patch: found 4, expected an odd number"),
        ({"window": 0}, "window: found 0"),
        ({"h": 0.0}, "h: found 0.0, expected a positive number"),
        ({"sigma": -0.1}, "sigma: found -0.1"),
        ({"h": np.ones(3, np.float32)}, r"h: found shape \(3,\), expected one number or \(2,\)"),
        ({"y": Y[0]}, "y: found shape"),
        ({"y": (255 * Y).astype(np.uint8)}, "y: found dtype uint8"),
        ({"y": Y.transpose(0, 3, 1, 2)}, "looks like NCHW"),
    ],
)
def test_errors(changes, message):
    options = {"y": Y, "h": 0.1} | changes
    with pytest.raises(InputError, match=message):
        nlm(options.pop("y"), **options)
