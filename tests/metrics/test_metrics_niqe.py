"""NIQE against reference values, its parameter files, and what it is for."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from jaxpr.core import InputError
from jaxpr.data import photos
from jaxpr.metrics import NiqeParameters, fit_niqe, load_niqe_parameters, niqe, packaged_niqe_parameters
from jaxpr.metrics.niqe import _block_features, _gray

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "niqe" / "golden.npz")
ARTIFICIAL = NiqeParameters("artificial", GOLDEN["mu_prisparam"], GOLDEN["cov_prisparam"])
GREY = GOLDEN["gray_uint8"].astype(np.float32)[..., None] / 255
# The reference smooths with a window of float32 weights.
FLOAT32_WINDOW = 1e-6
# ... and its float32 luma rounds a few pixels to the other neighbour.
FLOAT32_LUMA = 2e-5


@pytest.mark.parametrize(
    ("border", "expected"), [(0, [7.627132834504635, 7.948311214232003]), (4, [7.626467180051729, 7.950141378709869])]
)
def test_grey_images_equal_the_reference(border, expected):
    images = GREY[:, border : GREY.shape[1] - border, border : GREY.shape[2] - border]
    np.testing.assert_allclose(niqe(images, parameters=ARTIFICIAL), expected, rtol=FLOAT32_WINDOW)


def test_colour_images_equal_the_reference():
    image = np.moveaxis(GOLDEN["rgb_uint8_crop"], 0, -1)[None].astype(np.float32) / 255
    np.testing.assert_allclose(niqe(image, parameters=ARTIFICIAL), [7.609691220961638], rtol=FLOAT32_LUMA)


def test_features_equal_the_reference():
    found = _block_features(_gray(GREY[0]))[0]
    by_column = found[[0, 3, 1, 4, 2, 5]] if np.abs(found[1] - GOLDEN["features"][1]).max() > 0.01 else found
    np.testing.assert_allclose(by_column, GOLDEN["features"], atol=5e-6)  # float32 window


@pytest.fixture(scope="module")
def photograph():
    return photos("test")[0][:288, :288]


def test_blur_and_noise_make_an_image_less_natural(photograph):
    noisy = photograph + 0.1 * np.random.default_rng(0).standard_normal(photograph.shape).astype(np.float32)
    images = np.stack([photograph, gaussian_filter(photograph, (2, 2, 0)), np.clip(noisy, 0, 1)])
    found = niqe(images, parameters=packaged_niqe_parameters())
    # With six photographs behind the parameters blur is judged less surely than noise.
    assert found[1] > found[0] + 0.5
    assert found[2] > found[0] + 1


def test_an_image_does_not_depend_on_its_batch(photograph):
    images = np.stack([photograph, photograph[::-1]])
    alone = [niqe(image[None], parameters=packaged_niqe_parameters())[0] for image in images]
    np.testing.assert_array_equal(niqe(jnp.asarray(images), parameters=packaged_niqe_parameters()), alone)


def test_packaged_parameters_are_those_of_the_training_photographs():
    packaged = packaged_niqe_parameters()
    assert packaged.name == "jaxpr-photos-train"
    again = fit_niqe(photos("train"), name="again", sharpness=0.5)
    np.testing.assert_allclose(again.mean, packaged.mean, rtol=1e-9)
    np.testing.assert_allclose(again.covariance, packaged.covariance, rtol=1e-7, atol=1e-12)
    assert np.linalg.eigvalsh(packaged.covariance).min() > 0


@pytest.mark.parametrize(
    ("names", "suffix"),
    [(("mu_prisparam", "cov_prisparam"), ".mat"), (("mu_pris_param", "cov_pris_param"), ".npz")],
)
def test_parameter_files_of_both_kinds(tmp_path, names, suffix):
    path = tmp_path / f"modelparameters{suffix}"
    arrays = dict(zip(names, (ARTIFICIAL.mean[None], ARTIFICIAL.covariance), strict=True))
    savemat(path, arrays) if suffix == ".mat" else np.savez(path, **arrays)
    found = load_niqe_parameters(path)
    assert found.name == "modelparameters"
    np.testing.assert_array_equal(found.mean, ARTIFICIAL.mean)
    np.testing.assert_array_equal(found.covariance, ARTIFICIAL.covariance)


def test_bad_parameter_files_are_one_clear_line(tmp_path):
    for name, write in {
        "absent.mat": lambda path: None,
        "broken.mat": lambda path: path.write_bytes(b"not a matrix" * 30),
        "broken.npz": lambda path: path.write_bytes(b"PK\3\4 cut"),
        "other.npz": lambda path: np.savez(path, weights=np.zeros(3)),
        "short.npz": lambda path: np.savez(path, mu_pris_param=np.zeros(35), cov_pris_param=np.eye(36)),
        "pickled.npz": lambda path: np.savez(path, mu_pris_param=np.array([{}], object), allow_pickle=True),
    }.items():
        write(tmp_path / name)
        with pytest.raises(InputError, match=r"expected") as error:
            load_niqe_parameters(tmp_path / name)
        assert "\n" not in str(error.value)


def test_careless_input(photograph):
    parameters = packaged_niqe_parameters()
    assert np.isnan(niqe(np.full((1, 192, 192, 1), 0.5, np.float32), parameters=parameters)).all()
    assert np.isnan(niqe(photograph[None, :96, :100], parameters=parameters)).all()  # one block has no covariance
    with pytest.raises(InputError, match="96×96"):
        niqe(photograph[None, :95, :200], parameters=parameters)
    with pytest.raises(InputError, match="traced"):
        jax.jit(lambda x: niqe(x, parameters=parameters))(photograph[None])
    with pytest.raises(InputError, match="expected 1 or 3"):
        niqe(photograph[None, ..., :2], parameters=parameters)
    with pytest.raises(InputError, match=r"values in \[0, 255\]"):
        niqe(np.round(255 * photograph[None]) * (photograph[None] > photograph.min()), parameters=parameters)
    with pytest.raises(InputError, match="sharp blocks, expected more than 36"):
        fit_niqe([photograph], name="one", sharpness=0.75)
