"""The pipeline end to end on small images, against independent recomputation of its numbers."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jaxpr._core import InputError
from jaxpr.attacks import ifgsm, lipschitz_ratio, output_shift
from jaxpr.data import from_arrays
from jaxpr.degradations import Degradation, parse_degradation
from jaxpr.estimators import bicubic, consistent, nearest
from jaxpr.evaluation import Protocol, evaluate, to_record
from jaxpr.metrics import Moments, extract_patches, frechet_distance, joint_features, psnr
from jaxpr.models import feature_extractor

KEY = jax.random.key(3)
PROTOCOL = Protocol(crop=32, patch_size=8, patch_stride=4, attack_steps=2, features="pixels")
BICUBIC_X2 = parse_degradation("bicubic-x2")
RESTORERS = {"nearest": functools.partial(nearest, factor=2), "bicubic": functools.partial(bicubic, factor=2)}

# What the command line promises for any batch size; on a CPU the numbers are in fact equal.
BATCH_RTOL = 1e-5


def smooth_images(*sizes: tuple[int, int], channels: int = 3) -> list[np.ndarray]:
    """Random images with structure at several scales."""
    random = np.random.default_rng(7)
    images = []
    for height, width in sizes:
        noise = random.random((height, width, channels))
        image = sum(gaussian_filter(noise, (s, s, 0), mode="wrap") * s for s in (1, 3))
        images.append(((image - image.min()) / np.ptp(image)).astype(np.float32))
    return images


SOURCE = from_arrays(smooth_images((70, 66), (64, 97), (40, 40)), name="smooth")


def run(out, restorers=RESTORERS, source=SOURCE, degradation=BICUBIC_X2, *, protocol=PROTOCOL, **options):
    return evaluate(KEY, restorers, source, degradation, protocol=protocol, out=out, progress=False, **options)


def numbers(results) -> dict[tuple[str, str], tuple[float, float]]:
    return {(r.name, name): (m.value, m.stderr) for r in results.restorers for name, m in r.metrics.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "demo"
    return out, run(out, batch_size=4)


def test_the_folder_holds_the_record_the_table_and_the_report(finished):
    out, results = finished
    record = json.loads((out / "results.json").read_text())
    assert record == json.loads(json.dumps(to_record(results)))
    assert set(record) == {"protocol", "provenance", "restorers"}
    assert [r["name"] for r in record["restorers"]] == ["nearest", "bicubic"]
    assert set(record["restorers"][0]["metrics"]) == {
        "rmse",
        "psnr",
        "ssim",
        "lpips_alexnet",
        "lr_psnr",
        "fd_pixels",
        "joint_fd_pixels",
        "lipschitz_mean",
        "adversarial_output_psnr",
        "adversarial_input_psnr",
    }
    rows = (out / "results.csv").read_text().splitlines()
    assert rows[0].startswith("restorer,rmse,rmse_stderr,psnr,psnr_stderr")
    assert len(rows) == 3
    page = (out / "report.html").read_text()
    assert "bicubic" in page
    assert {p.name for p in (out / "figures").iterdir()} > {"tradeoff.png", "distortion_perception.png"}


def test_numbers_equal_an_independent_computation(finished):
    _, results = finished
    crops = [image[t : t + 32, s : s + 32] for image, t, s in _crop_places()]
    x = jnp.asarray(np.stack(crops))
    operator = BICUBIC_X2.operator((32, 32, 3))
    y = jnp.round(jnp.clip(operator(x), 0, 1) * 255) / 255
    _, k_attack = jax.random.split(KEY)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(k_attack, jnp.arange(len(crops)))
    estimator = RESTORERS["bicubic"]
    restored = estimator(y)
    y_adv = ifgsm(keys, output_shift(estimator, y), y, alpha=1 / 255, steps=2, bounds=(0, 1))
    expected = {
        "psnr": np.mean(psnr(restored, x, data_range=1.0)),
        "lr_psnr": np.mean(psnr(operator(restored), y, data_range=1.0)),
        "lipschitz_mean": np.mean(lipschitz_ratio(estimator, y, y_adv)),
        "adversarial_input_psnr": np.mean(psnr(y_adv, y, data_range=1.0)),
    }
    features = feature_extractor("pixels").apply
    fx, fr = (features(extract_patches(images, size=16, stride=8)) for images in (x, restored))
    fy = features(extract_patches(y, size=8, stride=4))
    dims = fx.shape[1]
    expected["fd_pixels"] = frechet_distance(Moments.zero(dims).update(fx), Moments.zero(dims).update(fr))
    joint = [Moments.zero(2 * dims).update(joint_features(f, fy)) for f in (fx, fr)]
    expected["joint_fd_pixels"] = frechet_distance(*joint)
    found = dict(results.restorers[1].metrics)
    for name, value in expected.items():
        # Float32 in programs of other shapes; the signs in the attack turn some of that into a step of its own.
        tolerance = 1e-3 if name == "lipschitz_mean" else 1e-4
        assert found[name].value == pytest.approx(float(value), rel=tolerance), name


def _crop_places():
    for image in SOURCE:
        height, width = image.shape[:2]
        for row in range(height // 32):
            for column in range(width // 32):
                yield image, height % 32 // 2 + 32 * row, width % 32 // 2 + 32 * column


def test_protocol_says_what_was_measured(finished):
    _, results = finished
    protocol = results.protocol
    assert (protocol["images"], protocol["examples"], protocol["scale_factor"]) == (3, 2 * 2 + 2 * 3 + 1, 2)
    assert protocol["patches"] == 11 * 9
    assert protocol["degradation"] == "bicubic-x2"
    assert protocol["alpha"] == pytest.approx(1 / 255)
    assert results.provenance["libraries"]["jax"] == jax.__version__
    assert not any("seconds" in json.dumps(results.protocol) for _ in (0,))


def test_attack_stays_within_one_grey_level(finished):
    _, results = finished
    for restorer in results.restorers:
        # One grey level on every pixel is 48.13 dB; clipping at the range can only make the change smaller.
        assert restorer.metrics["adversarial_input_psnr"].value >= 48.13


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_numbers_do_not_depend_on_the_batch_size(finished, tmp_path, batch_size):
    expected, found = numbers(finished[1]), numbers(run(tmp_path / "run", batch_size=batch_size))
    assert found.keys() == expected.keys()
    for name, (value, _) in expected.items():
        assert found[name][0] == pytest.approx(value, rel=BATCH_RTOL), name


def test_interrupted_run_resumes_with_identical_bytes(finished, tmp_path, monkeypatch):
    from jaxpr.evaluation.state import BatchStore

    out, saved, save = tmp_path / "run", [], BatchStore.save

    def interrupting(self, indices, arrays):
        if len(saved) in (2, 5):
            saved.append("interrupted")
            raise KeyboardInterrupt
        save(self, indices, arrays)
        saved.append(indices)

    monkeypatch.setattr(BatchStore, "save", interrupting)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(out, batch_size=4)
        assert not (out / "results.json").exists()
    run(out, batch_size=4)
    batches = [indices for indices in saved if indices != "interrupted"]
    assert len(batches) == 9  # 3 batches of references and of two restorers: none was computed twice
    found, expected = (json.loads((folder / "results.json").read_text()) for folder in (out, finished[0]))
    assert json.dumps(found["restorers"]) == json.dumps(expected["restorers"])
    assert json.dumps(found["protocol"]) == json.dumps(expected["protocol"])


def test_a_restorer_can_be_added_to_a_finished_run(tmp_path):
    out = tmp_path / "run"
    first = run(out, {"nearest": RESTORERS["nearest"]})
    second = run(out)
    assert second.restorers[0] == first.restorers[0]
    assert second.restorers[1].name == "bicubic"


def test_perfect_restorer_and_perfect_consistency(tmp_path):
    estimator = consistent(RESTORERS["bicubic"], BICUBIC_X2)
    results = run(tmp_path / "run", {"bicubic+project": estimator})
    assert results.restorers[0].metrics["lr_psnr"].value > 120  # float32 rounding of unit intensities
    identity = parse_degradation("identity")
    results = run(tmp_path / "identity", {"copy": lambda y: y}, degradation=identity)
    metrics = results.restorers[0].metrics
    assert metrics["lipschitz_mean"].value == pytest.approx(1, rel=1e-5)
    assert metrics["lr_psnr"].value == np.inf
    assert "infinite for 11 of 11" in metrics["lr_psnr"].note
    record = json.loads((tmp_path / "identity" / "results.json").read_text())
    assert record["restorers"][0]["metrics"]["lr_psnr"]["value"] is None


def test_whole_images_of_different_sizes(tmp_path):
    protocol = PROTOCOL._replace(crop=None)
    results = run(tmp_path / "run", protocol=protocol, source=from_arrays(smooth_images((33, 40), (41, 35)), name="s"))
    assert (results.protocol["examples"], results.protocol["images"]) == (2, 2)
    assert results.protocol["patches"] == 3 * 4 + 4 * 3  # y of 16×20 and 20×17
    assert np.isfinite(results.restorers[0].metrics["psnr"].stderr)


def test_noise_and_jpeg_and_grey_digits(tmp_path):
    from jaxpr.data import digits

    noisy = parse_degradation("average-x2+noise-0.05+jpeg-60")
    results = run(tmp_path / "noisy", degradation=noisy)
    assert 15 < results.restorers[0].metrics["psnr"].value < 40
    protocol = Protocol(crop=None, patch_size=4, patch_stride=4, attack_steps=1, features="pixels", limit=6)
    restorers = {"nearest": functools.partial(nearest, factor=2, channels=1)}
    results = run(tmp_path / "digits", restorers, digits("test"), parse_degradation("average-x2"), protocol=protocol)
    assert "ssim" not in results.restorers[0].metrics  # 8×8 pixels hold no 11×11 window
    assert results.protocol["examples"] == 6


def test_python_callers_may_pass_plain_arrays(tmp_path):
    images = smooth_images((32, 32), (32, 32))
    results = evaluate(KEY, RESTORERS, images, BICUBIC_X2, protocol=PROTOCOL, out=str(tmp_path / "run"), progress=False)
    assert results.protocol["images"] == 2


def test_operators_and_strings_are_degradations_too(finished, tmp_path):
    expected = numbers(finished[1])
    for name, degradation in {"operator": BICUBIC_X2.operator((32, 32, 3)), "string": "bicubic-x2"}.items():
        found = numbers(run(tmp_path / name, {"nearest": RESTORERS["nearest"]}, degradation=degradation, batch_size=4))
        assert found == {key: value for key, value in expected.items() if key[0] == "nearest"}


def test_every_restorer_is_compiled_once(tmp_path, monkeypatch):
    from jaxpr.evaluation import run as pipeline

    compiled = []
    compile_restorer = pipeline.compile_restorer
    monkeypatch.setattr(
        pipeline, "compile_restorer", lambda *args: compiled.append(compile_restorer(*args)) or compiled[-1]
    )
    # New functions: `jit` shares its cache between wrappers of one function, so other tests' shapes would count.
    run(tmp_path / "run", {name: functools.partial(f) for name, f in RESTORERS.items()}, batch_size=3)
    assert [(r.restore._cache_size(), r.attack._cache_size()) for r in compiled] == [(1, 1), (1, 1)]


class TestBadInput:
    """Each is one clear line, and nothing is written."""

    @pytest.mark.parametrize(
        ("restorer", "message"),
        [
            (
                lambda y: y,
                r"restorer mine: found output float32 of shape \(1, 16, 16, 3\), expected .*\(1, 32, 32, 3\)",
            ),
            (lambda y: jnp.full((y.shape[0], 32, 32, 3), jnp.nan), "restorer mine: found 3072 NaN or infinite values"),
            (lambda y: np.asarray(y), "restorer mine: failed on measurements of shape"),
            (lambda y: {"image": y}, "restorer mine: found output dict"),
            (lambda y: nearest(y, factor=2, channels=1), "restorer mine: y: found 3 channels, expected 1 or 1"),
            (lambda y: jnp.zeros((y.shape[0], 32, 32, 3), jnp.int32), "restorer mine: found output int32"),
        ],
    )
    def test_restorer(self, tmp_path, restorer, message):
        with pytest.raises(InputError, match=message):
            run(tmp_path / "run", {"mine": restorer})
        assert not (tmp_path / "run").exists()

    def test_restorer_that_fails_later(self, tmp_path):
        def fragile(y):
            restored = nearest(y, factor=2)
            return jnp.where(jnp.mean(y) > 0.5, jnp.nan, restored)

        dark = [np.full((32, 32, 3), 0.1, np.float32), np.full((32, 32, 3), 0.9, np.float32)]
        with pytest.raises(InputError, match=r"restorer fragile: found 3072 NaN .* of smooth-000001"):
            run(tmp_path / "run", {"fragile": fragile}, from_arrays(dark, name="smooth"), batch_size=1)
        assert not (tmp_path / "run" / "results.json").exists()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"crop": 33}, "crop: found 33, expected a multiple of the scale factor 2"),
            ({"crop": 64}, r"smooth-000002: found 40×40 pixels, expected at least size 64"),
            ({"patch_size": 17}, "measurement of only 16 pixels"),
            ({"patch_stride": 0}, "patch_stride: found 0"),
            ({"alpha": 0.0}, "alpha: found 0.0, expected a positive number"),
            ({"attack_steps": 0}, "attack_steps: found 0"),
            ({"features": "resnet"}, "features: found 'resnet', expected one of alexnet, vgg16, pixels"),
            ({"lpips_network": "squeeze"}, "lpips_network: found 'squeeze'"),
            ({"limit": 0}, "limit: found 0"),
        ],
    )
    def test_protocol(self, tmp_path, change, message):
        with pytest.raises(InputError, match=message):
            run(tmp_path / "run", protocol=PROTOCOL._replace(**change))
        assert not (tmp_path / "run").exists()

    def test_folder_of_another_protocol(self, finished):
        out, _ = finished
        before = (out / "results.json").read_bytes()
        with pytest.raises(InputError, match=r"found a run with alpha = 0.0039.*, expected 0.0078"):
            run(out, protocol=PROTOCOL._replace(alpha=2 / 255))
        with pytest.raises(InputError, match="found a run with data_fingerprint"):
            run(out, source=from_arrays(smooth_images((70, 66), (64, 97), (40, 40))[::-1], name="smooth"))
        assert (out / "results.json").read_bytes() == before

    def test_another_restorer_under_a_name_of_the_folder(self, finished):
        with pytest.raises(InputError, match="restorer nearest: found other outputs than in the earlier run"):
            run(finished[0], {"nearest": RESTORERS["bicubic"]})

    def test_folder_with_other_files_or_a_file(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(InputError, match="found other files"):
            run(tmp_path)
        with pytest.raises(InputError, match="expected a folder"):
            run(tmp_path / "notes.txt")
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_broken_state_file_is_named(self, tmp_path):
        out = tmp_path / "run"
        run(out, {"nearest": RESTORERS["nearest"]})
        broken = next((out / "state").glob("nearest-*/batch-*.npz"))
        broken.write_bytes(b"not an archive")
        with pytest.raises(InputError, match=rf"{broken.name}: cannot be read"):
            run(out, {"nearest": RESTORERS["nearest"]})

    def test_degradation_that_does_not_fit(self, tmp_path):
        with pytest.raises(InputError, match="factor: found 3, which does not divide images of 32x32"):
            run(tmp_path / "run", degradation=Degradation("odd", parse_degradation("average-x3").build))
        with pytest.raises(InputError, match=r"found images of shape \(32, 32, 3\), expected \(32, 40, 3\)"):
            run(tmp_path / "run", degradation=BICUBIC_X2.operator((32, 40, 3)))
        with pytest.raises(InputError, match="degradation: found function, expected a Degradation"):
            run(tmp_path / "run", degradation=lambda x: x)
        with pytest.raises(InputError, match=r"found measurements of 8×8 pixels .* by its factor 2"):
            run(tmp_path / "run", degradation=Degradation("odd", parse_degradation("average-x4").build, factor=2))

    def test_no_restorers(self, tmp_path):
        with pytest.raises(InputError, match="restorers: found none"):
            run(tmp_path / "run", {})
