"""Outputs from folders in an evaluation: the numbers of the restorer that made them; what is refused or told."""

import functools
import math

import jax
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import image_folder, photos
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import Protocol, evaluate
from jaxpr.metrics import per_pixel_std, psnr
from jaxpr.restorers import bicubic, from_folder, from_host

pytestmark = pytest.mark.thorough

KEY = jax.random.key(5)
PROTOCOL = (
    Protocol()
    .replace(crop=32, patch_size=8, patch_stride=4, attack_steps=2, features="pixels", sweep=(), lipschitz_iterations=0)
    .replace(uncertainty_block=0, samples=2, attack_draws=2)
)
DEGRADATION = parse_degradation("bicubic-x2")
NAMES = ("first", "second", "third")
# PNG rounds outputs to 8 bits: by less than 0.002 each, so by less than 0.1 dB around 35 dB.
ROUNDED_DB = 0.1


def save(path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(255 * np.clip(np.asarray(image), 0, 1)).astype(np.uint8)).save(path)


def restored(x) -> np.ndarray:
    """What bicubic makes of each crop of an evaluation's grid, put together; of whole images it differs at seams."""
    blocks = x.reshape(2, 32, 2, 32, 3).swapaxes(1, 2).reshape(4, 32, 32, 3)
    y = np.round(255 * np.clip(DEGRADATION(KEY, blocks), 0, 1)) / 255
    return np.asarray(bicubic(y, factor=2)).reshape(2, 2, 32, 32, 3).swapaxes(1, 2).reshape(64, 64, 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """True images of 64×64, what bicubic made of them, and two noisy draws of that."""
    root, random = tmp_path_factory.mktemp("outputs"), np.random.default_rng(0)
    whole = np.asarray(photos("test")[0])
    for i, name in enumerate(NAMES):
        x = np.round(255 * whole[64 * i : 64 * i + 64, 100:164]) / 255
        save(root / "truth" / f"{name}.png", x)
        save(root / "made" / f"{name}x2_out.png", restored(x.astype(np.float32)))
        for draw in range(2):
            save(root / "draws" / f"{name}_{draw}.png", x + 0.05 * random.standard_normal(x.shape))
    return root


def run(folders, out, restorers, degradation="bicubic-x2", **options):
    images = image_folder(folders / "truth")
    return evaluate(KEY, restorers, images, degradation, protocol=PROTOCOL, out=out, progress=False, **options)


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    restorers = {
        "bicubic": functools.partial(bicubic, factor=2),
        "made": from_folder(folders / "made"),
        "draws": from_folder(folders / "draws"),
    }
    return run(folders, tmp_path_factory.mktemp("run") / "demo", restorers)


def metrics(results, name: str):
    return next(found.metrics for found in results.restorers if found.name == name)


def test_outputs_have_the_numbers_of_what_made_them(finished):
    ours, theirs = metrics(finished, "made"), metrics(finished, "bicubic")
    assert abs(ours["psnr"].value - theirs["psnr"].value) < ROUNDED_DB
    assert ours["fd_pixels"].value == pytest.approx(theirs["fd_pixels"].value, rel=0.05)
    assert ours["joint_fd_pixels"].value == pytest.approx(theirs["joint_fd_pixels"].value, rel=0.05)


def test_nothing_is_attacked_and_the_record_says_so(finished):
    for name in ("made", "draws"):
        for metric in ("lipschitz_mean", "adversarial_output_psnr"):
            found = metrics(finished, name)[metric]
            assert math.isnan(found.value)
            assert "only outputs are known" in found.note
    assert metrics(finished, "bicubic")["lipschitz_mean"].value > 0
    weights = {found.name: found.weights for found in finished.restorers}
    assert (weights["made"]["rule"], weights["made"]["draws"], weights["made"]["files"]) == ("{}x2_out", 1, 3)
    assert (weights["draws"]["rule"], weights["draws"]["draws"]) == ("{}_#", 2)


def crops_of(images) -> np.ndarray:
    """The crops of 32×32 of images of 64×64, (12, 32, 32, 3)."""
    whole = np.stack(list(images))
    return whole.reshape(3, 2, 32, 2, 32, 3).swapaxes(2, 3).reshape(12, 32, 32, 3)


def test_draws_are_a_stochastic_restorer_s(finished, folders):
    found, truth = metrics(finished, "draws"), crops_of(image_folder(folders / "truth"))
    files = image_folder(folders / "draws")
    draws = np.stack([crops_of(files[draw::2]) for draw in range(2)])
    assert found["psnr"].value == pytest.approx(float(np.mean(psnr(draws[0], truth, data_range=1.0))), rel=1e-6)
    assert found["per_pixel_std"].value == pytest.approx(float(np.mean(per_pixel_std(draws))), rel=1e-5)
    assert "per_pixel_std" not in metrics(finished, "made")


@pytest.mark.thorough
def test_changed_files_are_another_restorer(folders, tmp_path):
    for name in NAMES:
        save(tmp_path / "own" / f"{name}.png", np.full((64, 64, 3), 0.5))
    run(folders, tmp_path / "run", {"own": from_folder(tmp_path / "own")})
    save(tmp_path / "own" / "third.png", np.full((64, 64, 3), 0.4))
    with pytest.raises(InputError, match="restorer own: found other outputs than in the earlier run"):
        run(folders, tmp_path / "run", {"own": from_folder(tmp_path / "own")})


@pytest.mark.thorough
def test_without_a_known_degradation_outputs_and_images_alone_are_compared(folders, tmp_path):
    found = run(folders, tmp_path / "run", {"made": from_folder(folders / "made")}, "unknown")
    names = set(found.restorers[0].metrics)
    assert {"psnr", "fd_pixels"} <= names
    assert not any(name.startswith(("joint", "lr_psnr", "measurement", "consistency", "lipschitz")) for name in names)
    with pytest.raises(InputError, match="degradation: found 'unknown' with restorer bicubic, which needs measurement"):
        run(folders, tmp_path / "other", {"bicubic": functools.partial(bicubic, factor=2)}, "unknown")


@pytest.mark.thorough
def test_sizes_and_shifts(folders, tmp_path):
    for name in NAMES:
        x = image_folder(folders / "truth")[NAMES.index(name)]
        save(tmp_path / "small" / f"{name}.png", x[:60])
        save(tmp_path / "moved" / f"{name}.png", np.roll(x, (1, 0), (0, 1)))
    with pytest.raises(InputError, match=r"restorer a: found 60×64 pixels for first.png, expected 64×64 as first.png"):
        run(folders, tmp_path / "run", {"a": from_folder(tmp_path / "small")})
    with pytest.warns(UserWarning, match="restorer a: outputs look shifted by 1 pixels down and 0 right"):
        run(folders, tmp_path / "run", {"a": from_folder(tmp_path / "moved")})


def test_missing_and_extra_files(folders, tmp_path):
    save(tmp_path / "some" / "first.png", np.zeros((64, 64, 3)))
    with pytest.raises(InputError, match=r"restorer a: found no file for second\.png, third\.png of 3 images"):
        run(folders, tmp_path / "run", {"a": from_folder(tmp_path / "some")})
    with pytest.raises(InputError, match=r"path: found nothing at .*/none, expected a folder of images"):
        from_folder(tmp_path / "none")
    assert not (tmp_path / "run").exists()


def on_host(y):
    """Bicubic in NumPy's arrays, which refuses to be traced."""
    return np.asarray(bicubic(np.array(y), factor=2), np.float64)


@pytest.mark.thorough
def test_a_restorer_on_the_host_has_the_same_numbers_and_a_bound_from_below(folders, tmp_path):
    found = run(folders, tmp_path / "run", {"traced": functools.partial(bicubic, factor=2), "host": from_host(on_host)})
    ours, theirs = metrics(found, "host"), metrics(found, "traced")
    for name in ("psnr", "fd_pixels", "joint_fd_pixels", "lr_psnr"):
        assert ours[name].value == pytest.approx(theirs[name].value, rel=1e-4)
    # The other's perturbations are among those that were tried, and the function is the same.
    assert ours["lipschitz_mean"].value >= theirs["lipschitz_mean"].value * (1 - 1e-4)
    assert "perturbations that attack traced" in ours["lipschitz_mean"].note


@pytest.mark.thorough
def test_random_directions_alone_bound_it_too(folders, tmp_path):
    def noisy(key, y):
        return on_host(y) + 0.02 * np.asarray(jax.random.normal(key, (1, 32, 32, 3)))

    found = metrics(run(folders, tmp_path / "run", {"host": from_host(noisy)}), "host")
    # Of bicubic enlargement alone: draws have the same noise before and after.
    assert 0.5 < found["lipschitz_mean"].value < 2.1
    assert found["per_pixel_std"].value == pytest.approx(0.02 * math.sqrt(0.5), rel=0.5)
    assert "random directions were tried" in found["lipschitz_mean"].note


def test_what_a_host_restorer_does_wrong_is_named(folders, tmp_path):
    for function, message in (
        (lambda y: y, r"restorer a: found output of shape \(.*, 16, 16, 3\)"),
        (lambda y: on_host(y) * math.nan, "restorer a: found .* NaN or infinite values"),
        (lambda y: (255 * on_host(y)).astype(np.uint8), "restorer a: found output of uint8"),
        (lambda y: [][1], r"restorer a: measurements of shape .*: failed \(IndexError"),
    ):
        with pytest.raises(InputError, match=message):
            run(folders, tmp_path / "run", {"a": from_host(function)})
    assert not (tmp_path / "run").exists()
