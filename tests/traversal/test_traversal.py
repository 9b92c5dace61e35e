"""Folders of outputs moved: files, pixels, curves against direct computation, what is kept, refused and shown."""

import json
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.commands import main
from jaxpr.core import InputError
from jaxpr.data import image_folder
from jaxpr.metrics import Moments, extract_patches, frechet_distance, psnr
from jaxpr.restorers import fit_transport, latent_transport, load_transport, pixel_encoder
from jaxpr.traversal import check_traversal_folder, traverse
from jaxpr.traversal.moving import mixed_levels
from jaxpr.weights import feature_extractor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MODULE = sys.modules["jaxpr.traversal.traverse"]  # its package has the function under this name
KEY = jax.random.key(0)
FEW = {"points": 2, "features": "pixels"}
COUNT, SIDE = 6, 48


def pixels(folder):
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Truths with grain, outputs without, natural images, and a traversal of them from Python."""
    root = tmp_path_factory.mktemp("traversal")
    random = np.random.default_rng(0)
    for name in ("truth", "restored", "natural"):
        (root / name).mkdir()
    for i in range(COUNT):
        smooth = np.kron(random.uniform(60, 190, (2, SIDE // 8, SIDE // 8, 3)), np.ones((1, 8, 8, 1)))
        grain = random.normal(0, 12, (2, SIDE, SIDE, 3))
        soft = smooth[0] + np.kron(grain[0].reshape(24, 2, 24, 2, 3).mean((1, 3)), np.ones((2, 2, 1)))
        for name, image in (("truth", smooth[0] + grain[0]), ("natural", smooth[1] + grain[1]), ("restored", soft)):
            Image.fromarray(np.clip(image, 0, 255).round().astype(np.uint8)).save(root / name / f"image-{i}.png")
    return root


@pytest.fixture(scope="module")
def fitted(place):
    return fit_transport(image_folder(place / "restored"), image_folder(place / "natural"), encoder=pixel_encoder())


@pytest.fixture(scope="module")
def found(place, fitted):
    options = {"truth": place / "truth", "natural": place / "natural", "lose_psnr": 100.0, **FEW}
    return traverse(KEY, place / "restored", fitted, out=place / "out", **options)


@pytest.mark.thorough
def test_alpha_zero_is_latent_transport(place, fitted, found):
    assert {path.name for path in (place / "out").iterdir()} == {
        *("images", "state", "protocol.json", "transport.safetensors", "transport.json", "index.html")
    }
    x = np.stack(list(image_folder(place / "restored")))
    moved = latent_transport(lambda x: x, fitted)
    expected = np.asarray(moved(KEY, x) if moved.stochastic else moved(x), np.float64)
    written = np.stack(list(pixels(place / "out/images").values()))
    assert list(pixels(place / "out/images")) == list(pixels(place / "restored"))
    # Where rounding to a level is a close call, compiled for one image instead of six it may fall to the other side.
    assert np.abs(written - np.clip(expected, 0, 1) * 255).max() < 0.51
    assert load_transport(place / "out/transport.safetensors").record == fitted.record


@pytest.mark.thorough
def test_curves_are_what_a_direct_computation_gives(place, fitted, found):
    assert found.alphas == (-1.0, 0.0, 1.0, 2.0)
    names = ["x̂ at α = -1", "x̂₀", "x*", "x̂ at α = 2", "D(E(x*))", "D(E(truth))"]
    assert [row.name for row in found.rows] == names
    x, truth = (np.stack(list(image_folder(place / name))) for name in ("restored", "truth"))
    moved = latent_transport(lambda x: x, fitted)
    x_0 = np.asarray(moved(KEY, x) if moved.stochastic else moved(x))
    extract = feature_extractor("pixels").apply
    for alpha in (-1.0, 2.0):
        mixed = jnp.asarray(mixed_levels(x_0, x, alpha) / np.float32(255), jnp.float32)
        row = found.row(alpha)
        distances = np.asarray(psnr(mixed, jnp.asarray(truth), data_range=1.0))
        assert row.metrics["psnr"].value == pytest.approx(distances.mean(), abs=1e-3)
        assert row.metrics["psnr"].stderr == pytest.approx(distances.std(ddof=1) / np.sqrt(COUNT), rel=1e-2)
        plain = np.asarray(psnr(jnp.asarray(x), jnp.asarray(truth), data_range=1.0))
        apart = row.differences["psnr"]
        assert apart.value == pytest.approx((distances - plain).mean(), abs=1e-3)
        assert apart.stderr == pytest.approx((distances - plain).std(ddof=1) / np.sqrt(COUNT), rel=2e-2)
        sides = [Moments.zero(192).update(extract(extract_patches(jnp.asarray(images), size=48, stride=24)))
                 for images in (truth, mixed)]  # fmt: skip
        with pytest.warns(UserWarning, match="biased"):
            distance = float(frechet_distance(*sides))
        assert row.metrics["fd_pixels"].value == pytest.approx(distance, rel=1e-3)
    # Pixels are their own latents: the autoencoder loses nothing.
    assert found.rows[-2].metrics["psnr"].value == pytest.approx(found.row(1.0).metrics["psnr"].value, abs=1e-4)


@pytest.mark.thorough
def test_another_alpha_needs_nothing_new_and_alpha_one_gives_the_outputs_back(place, fitted, found, monkeypatch):
    def refused(*_):
        raise AssertionError("the transport ran again")

    monkeypatch.setattr(MODULE, "mover", lambda *_: refused)
    before = {path: path.stat().st_mtime_ns for path in (place / "out/state").rglob("*.npz")}
    options = {"truth": place / "truth", "natural": place / "natural", **FEW}
    again = traverse(KEY, place / "restored", fitted, out=place / "out", alpha=1.0, page=False, **options)
    assert again.rows == ()
    assert not (place / "out/index.html").exists()
    for name, image in pixels(place / "restored").items():
        np.testing.assert_array_equal(pixels(place / "out/images")[name], image)
    traverse(KEY, place / "restored", fitted, out=place / "out", lose_psnr=100.0, **options)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.thorough
def test_a_stopped_traversal_goes_on(place, fitted, found, tmp_path, monkeypatch):
    out, options = tmp_path / "out", {"truth": place / "truth", "natural": place / "natural", **FEW}
    plain, calls = MODULE.mover, []

    def stopping(key, fitted):
        move = plain(key, fitted)

        def once(number, x):
            calls.append(number)
            if calls == [0, 1, 2]:
                raise KeyboardInterrupt
            return move(number, x)

        return once

    monkeypatch.setattr(MODULE, "mover", stopping)
    with pytest.raises(KeyboardInterrupt):
        traverse(KEY, place / "restored", fitted, out=out, **options)
    again = traverse(KEY, place / "restored", fitted, out=out, **options)
    assert calls == [0, 1, 2, 2, 3, 4, 5]
    assert repr(again.rows) == repr(found.rows)  # with NaN, which equals nothing


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"out": "restored"}, "out: found the folder of restored"),
        ({"out": "natural/inside"}, "out: found a folder inside of natural"),
        ({"out": "."}, "out: found other files"),
        ({"alpha": float("nan")}, "alpha: found nan"),
        ({"truth": "nowhere"}, "truth: found nothing at"),
        ({"natural": None, "wish": "least-fd"}, "wish: found least-fd without natural images or truths"),
        ({"lose_psnr": 1.0}, "lose_psnr: found no truths"),
        ({"wish": "least-joint-fd"}, "wish: found 'least-joint-fd', expected one of least-fd, least-niqe, least-lpips"),
    ],
)
def test_what_is_refused(place, fitted, change, expected):
    options = {"out": "new", "natural": "natural", **change}
    options = {n: place / v if n in ("out", "natural", "truth") and v else v for n, v in options.items()}
    before = sorted(place.rglob("*"))
    with pytest.raises(InputError, match=expected):
        traverse(KEY, place / "restored", fitted, **options)
    assert sorted(place.rglob("*")) == before


@pytest.mark.thorough
def test_other_settings_in_the_same_folder_are_refused(place, fitted, found):
    with pytest.raises(InputError, match="features = 'pixels'"):
        traverse(KEY, place / "restored", fitted, out=found.folder, truth=place / "truth", natural=place / "natural")


def test_an_out_folder_beside_the_inputs_is_taken(tmp_path):
    assert check_traversal_folder("out", tmp_path / "b", {"restored": tmp_path / "a"}) == tmp_path / "b"


@pytest.mark.thorough
def test_the_command_fits_and_applies(place, tmp_path, capsys):
    file, out = tmp_path / "soft.safetensors", tmp_path / "out"
    folders = ("--natural", f"{place}/natural")
    main(["transport", "fit", "--restored", f"{place}/restored", *folders, "--out", str(file)])
    assert "fitted: 6 restored images" in capsys.readouterr().out
    words = ("transport", "apply", f"{place}/restored", "--fitted", str(file), *folders, "--out", str(out))
    main([*words, "--points", "2", "--features", "pixels", "--wish", "least-fd", "--alpha", "-0.5", "--no-progress"])
    said = capsys.readouterr().out
    assert re.search(r"from x\*: .*fd_pixels [-+]", said)
    assert re.search(r"least-fd: α = \S+ \(fd_pixels", said)
    record = json.loads((out / "transport.json").read_text(encoding="utf-8"))
    assert (record["alpha"], record["reference"], record["wish"]["lose_psnr"]) == (-0.5, "natural", None)
    assert record["fitted"]["restored"]["sources"] == ["restored"]
    assert file.read_bytes() == (out / "transport.safetensors").read_bytes()
    with pytest.raises(SystemExit) as stop:
        main([*words, "--patch", "5"])
    assert stop.value.code == 2
    assert "--patch: found 5 beside --fitted" in capsys.readouterr().err


@pytest.mark.thorough
def test_the_page_holds_its_pictures_and_loads_nothing(place, found):
    page = (found.folder / "index.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["examples"]) == COUNT
    assert set(data["examples"][0]) == {"name", "restored", "moved", "truth"}
    assert len(data["curves"]["psnr"]["values"]) == len(data["alphas"]) == 4
    assert set(re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page)) == set()
    assert 'id="wish"' in page


@pytest.mark.thorough
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_mixes_what_alpha_says(place, found):
    x, x_0 = (mixed_levels(*both) for both in _first(place, found))
    for alpha in (0.5, 1.0):
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
        words += [f"--user-data-dir={place}/browser", (found.folder / "index.html").as_uri() + f"#{alpha}"]
        page = subprocess.run(words, capture_output=True, text=True, timeout=120).stdout
        assert f'data-alpha="{alpha:g}"' in page
        shown = np.array(re.search(r'data-first="(\d+),(\d+),(\d+)"', page).groups(), float)
        assert np.abs(shown - ((1 - alpha) * x_0[0, 0] + alpha * x[0, 0].astype(float))).max() <= 0.5


def _first(place, found):
    """Arguments that give x* and x̂₀ of the first output."""
    x = image_folder(place / "restored")[0]
    x_0 = np.asarray(Image.open(found.folder / "images/image-0.png")) / 255
    return (x, x, 1.0), (x_0, x, 0.0)
