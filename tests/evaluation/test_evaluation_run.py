"""The pipeline end to end on small images, against independent recomputation of its numbers."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
import pytest
from flax import traverse_util
from scipy.ndimage import gaussian_filter

from jaxpr import records
from jaxpr.attacks import ifgsm, lipschitz_ratio, output_shift
from jaxpr.core import InputError
from jaxpr.data import PairedSource, from_arrays
from jaxpr.degradations import Degradation, parse_degradation
from jaxpr.evaluation import Protocol, devices, evaluate, leaderboard, stream
from jaxpr.evaluation.attack_checks import CHECKS
from jaxpr.evaluation.probes import SPECTRAL
from jaxpr.metrics import (
    Moments,
    SmallSampleWarning,
    crop_border,
    extract_patches,
    frechet_distance,
    joint_features,
    kernel_distance_full,
    luma,
    precision_recall,
    psnr,
)
from jaxpr.models.inception import inception
from jaxpr.records import read_record, to_record
from jaxpr.report.tables import metric_tables
from jaxpr.restorers import Restorer, bicubic, consistent, nearest
from jaxpr.weights import feature_extractor
from jaxpr.weights.torch_files import write_checkpoint

KEY = jax.random.key(3)
FULL = Protocol().replace(
    crop=32, patch_size=8, patch_stride=4, attack_steps=2, features="pixels", lipschitz_iterations=3
)
# Without the measures on probes and blocks, which take long to compile.
PROTOCOL = FULL._replace(sweep=(), lipschitz_iterations=0, uncertainty_block=0)
BICUBIC_X2 = parse_degradation("bicubic-x2")
RESTORERS = {"nearest": functools.partial(nearest, factor=2), "bicubic": functools.partial(bicubic, factor=2)}

# The sign in an attack's step turns the rounding of another program into more.
ATTACKED_RTOL = 1e-3
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
    with pytest.MonkeyPatch.context() as patch:
        for module in (devices, stream):
            patch.setattr(module, "local_devices", lambda: jax.local_devices()[:1])
        return out, run(out, batch_size=4)


OF_IMAGES = {"rmse", "psnr", "ssim", "lpips_alexnet", "lr_psnr", "lr_psnr_pinv", "measurement_rmse"}
OF_ATTACKS = {"lipschitz_mean", "adversarial_output_psnr", "adversarial_input_psnr"}
OF_SETS = {"kid", "precision", "recall", "density", "coverage", "fd", "extrapolated_fd"}
OF_PAIRS = {f"joint_{name}" for name in OF_SETS - {"extrapolated_fd"}} | {"extrapolated_joint_fd"}
WITH_FEATURES = {f"{name}_pixels" for name in OF_SETS | OF_PAIRS | {"consistency_fd", "conditional_fd"}}
OF_BLOCKS = {"entropy_power", "entropy_power_knn", "renyi_divergence", "block_mse"}


def jittered(key, y):
    """A stochastic restorer."""
    restored = bicubic(y, factor=2)
    return restored + 0.02 * jax.random.normal(key, restored.shape)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A run with every measure, of a deterministic and a stochastic restorer."""
    out = tmp_path_factory.mktemp("run") / "complete"
    # Blocks of 2×2: the few crops hold too few places for larger ones.
    protocol = FULL._replace(explore_samples=2, explore_steps=2, samples=3, attack_draws=2, uncertainty_block=2)
    restorers = {"bicubic": RESTORERS["bicubic"], "jittered": jittered}
    with pytest.MonkeyPatch.context() as patch:
        for module in (devices, stream):
            patch.setattr(module, "local_devices", lambda: jax.local_devices()[:1])
        return out, run(out, restorers, protocol=protocol)


def test_the_folder_holds_the_record_the_table_and_the_report(complete):
    out, results = complete
    record = json.loads((out / "results.json").read_text())
    assert record == json.loads(json.dumps(to_record(results)))
    assert set(record) == {"schema_version", "protocol", "provenance", "references", "restorers", "baseline"}
    deterministic, stochastic = record["restorers"]
    probed = {*SPECTRAL, "exploration_coverage", "exploration_range", "exploration_input_psnr", *CHECKS}
    expected = OF_IMAGES | OF_ATTACKS | WITH_FEATURES | OF_BLOCKS | probed
    assert set(deterministic["metrics"]) == expected
    diversity = {"per_pixel_std", "pairwise_lpips_alexnet", "pairwise_distance_pixels"}
    assert set(stochastic["metrics"]) == expected | diversity
    assert deterministic["labels"]["uncertainty_region"].endswith("the Gaussian bounds")
    rows = (out / "results.csv").read_text().splitlines()
    assert rows[0].startswith("restorer,rmse,rmse_stderr,psnr,psnr_stderr")
    assert len(rows) == 3
    page = (out / "report.html").read_text()
    assert "bicubic" in page
    assert {p.name for p in (out / "figures").iterdir()} > {"tradeoff.png", "sweep.png", "uncertainty.png"}


def test_the_curve_grows_with_the_attack(complete):
    curve = complete[1].restorers[0].curves["attack_sweep"]
    assert curve["alpha"] == pytest.approx([level / 255 for level in (1, 2, 4, 8, 16, 32)])
    for column in ("input_psnr", "output_psnr"):
        assert (np.diff(curve[column]) < 0).all()
    # The first radius is that of the attack; the probes are two of the examples.
    assert curve["ratio"][0] == pytest.approx(complete[1].restorers[0].metrics["lipschitz_mean"].value, rel=0.05)


def test_spectral_norm_is_at_least_what_the_attack_finds(complete):
    metrics = complete[1].restorers[0].metrics
    assert metrics["local_lipschitz"].value > 0.99 * metrics["lipschitz_mean"].value


def test_stochastic_restorer_is_measured_as_such(complete):
    deterministic, stochastic = (restorer.metrics for restorer in complete[1].restorers)
    # Its noise has deviation 0.02; three draws per pixel underestimate it by the factor √(2/2) Γ(3/2) / Γ(1) = 0.886.
    assert stochastic["per_pixel_std"].value == pytest.approx(0.02 * 0.886, rel=0.02)
    # The same seed before and after the attack: the noise itself is no instability.
    assert stochastic["lipschitz_mean"].value == pytest.approx(deterministic["lipschitz_mean"].value, rel=1e-3)
    assert stochastic["rmse"].value > deterministic["rmse"].value
    assert stochastic["entropy_power"].value > deterministic["entropy_power"].value


def test_record_and_results_are_the_same(complete):
    from jaxpr.records.results import from_record

    out, results = complete
    record = json.loads((out / "results.json").read_text())
    schema = json.loads((Path(records.__file__).parent / "results.schema.json").read_text())
    jsonschema.validate(record, schema)
    assert schema["properties"]["schema_version"]["const"] == records.SCHEMA_VERSION
    assert read_record(out) == record
    again = from_record(record)
    assert to_record(again) == json.loads(json.dumps(to_record(results)))


@pytest.mark.thorough
def test_a_leaderboard_shows_the_images_that_a_run_keeps(finished, tmp_path):
    out, results = finished
    leaderboard([out], out=tmp_path / "board")
    page = (tmp_path / "board" / "leaderboard.html").read_text("utf-8")
    # For each: truth, input, restored, attacked.
    assert page.count("data:image/png;base64,") == 4 * len(results.provenance["strips"]) * len(results.restorers) > 0
    assert "No command was recorded" in page


def test_numbers_equal_an_independent_computation(finished):
    _, results = finished
    crops = [image[t : t + 32, s : s + 32] for image, t, s in _crop_places()]
    x = jnp.asarray(np.stack(crops))
    operator = BICUBIC_X2.operator((32, 32, 3))
    y = jnp.round(jnp.clip(operator(x), 0, 1) * 255) / 255
    _, k_attack = jax.random.split(KEY)
    folded = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(k_attack, jnp.arange(len(crops)))
    keys = jax.vmap(jax.random.split)(folded)[:, 0]  # the other halves decide the seeds of stochastic restorers
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
    joint = [Moments.zero(2 * dims).update(joint_features(f, fy)) for f in (fx, fr)]
    with pytest.warns(SmallSampleWarning):
        expected["fd_pixels"] = frechet_distance(Moments.zero(dims).update(fx), Moments.zero(dims).update(fr))
    with pytest.warns(SmallSampleWarning):
        expected["joint_fd_pixels"] = frechet_distance(*joint)
    expected["consistency_fd_pixels"] = np.sqrt(expected["joint_fd_pixels"] - expected["fd_pixels"])
    expected["kid_pixels"] = kernel_distance_full(fx, fr)
    expected["precision_pixels"], expected["recall_pixels"] = precision_recall(fx, fr, k=3)
    found = dict(results.restorers[1].metrics)
    for name, value in expected.items():
        # Float32 in programs of other shapes; the signs in the attack turn some of that into a step of its own.
        tolerance = 1e-3 if name in ("lipschitz_mean", "kid_pixels") else 1e-4
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


@pytest.mark.parametrize(
    "batch_size",
    [pytest.param(n, marks=pytest.mark.slow if n == 1 else pytest.mark.thorough) for n in (3, 1, 16)],
)
def test_numbers_do_not_depend_on_the_batch_size(finished, tmp_path, batch_size):
    expected, found = numbers(finished[1]), numbers(run(tmp_path / "run", batch_size=batch_size))
    assert found.keys() == expected.keys()
    for name, (value, _) in expected.items():
        assert found[name][0] == pytest.approx(value, rel=BATCH_RTOL, nan_ok=True), name


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_restorer_can_be_added_to_a_finished_run(tmp_path):
    out = tmp_path / "run"
    first = run(out, {"nearest": RESTORERS["nearest"]})
    second = run(out)
    assert second.restorers[0] == first.restorers[0]
    assert second.restorers[1].name == "bicubic"


@pytest.mark.thorough
def test_what_is_only_there_to_compare_with_is_no_restorer_of_the_record(finished, tmp_path):
    out = tmp_path / "run"
    results = run(out, reference="bicubic", batch_size=4)
    assert results.restorers[0].metrics == finished[1].restorers[0].metrics
    assert [result.name for result in results.restorers] == ["nearest"]
    beside, ranked = results.references["restorer"], finished[1].restorers[1]
    assert beside["name"] == "bicubic"
    assert beside["metrics"]["psnr"]["value"] == ranked.metrics["psnr"].value
    assert not {"lipschitz_mean", *CHECKS} & set(beside["metrics"])
    assert read_record(out, name="out")["references"]["restorer"] == json.loads(json.dumps(beside))
    rows = metric_tables(to_record(results))[0]["rows"]
    assert [(row["name"], row["reference"]) for row in rows] == [("bicubic", True), ("nearest", False)]


@pytest.mark.slow
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


@pytest.mark.slow
def test_whole_images_of_different_sizes(tmp_path):
    protocol = PROTOCOL._replace(crop=None)
    results = run(tmp_path / "run", protocol=protocol, source=from_arrays(smooth_images((33, 40), (41, 35)), name="s"))
    assert (results.protocol["examples"], results.protocol["images"]) == (2, 2)
    assert results.protocol["patches"] == 3 * 4 + 4 * 3  # y of 16×20 and 20×17
    assert np.isfinite(results.restorers[0].metrics["psnr"].stderr)


@pytest.mark.slow
def test_noise_and_jpeg_and_grey_digits(tmp_path):
    from jaxpr.data import digits

    noisy = parse_degradation("average-x2+noise-0.05+jpeg-60")
    results = run(tmp_path / "noisy", degradation=noisy)
    assert 15 < results.restorers[0].metrics["psnr"].value < 40
    protocol = Protocol().replace(crop=None, patch_size=4, patch_stride=4, attack_steps=1, features="pixels", limit=6)
    restorers = {"nearest": functools.partial(nearest, factor=2, channels=1)}
    results = run(tmp_path / "digits", restorers, digits("test"), parse_degradation("average-x2"), protocol=protocol)
    assert "ssim" not in results.restorers[0].metrics  # 8×8 pixels hold no 11×11 window
    assert results.protocol["examples"] == 6


@pytest.mark.slow
def test_python_callers_may_pass_plain_arrays(tmp_path):
    images = smooth_images((32, 32), (32, 32))
    results = evaluate(KEY, RESTORERS, images, BICUBIC_X2, protocol=PROTOCOL, out=str(tmp_path / "run"), progress=False)
    assert results.protocol["images"] == 2


@pytest.mark.slow
def test_operators_and_strings_are_degradations_too(finished, tmp_path):
    expected = numbers(finished[1])
    for name, degradation in {"operator": BICUBIC_X2.operator((32, 32, 3)), "string": "bicubic-x2"}.items():
        found = numbers(run(tmp_path / name, {"nearest": RESTORERS["nearest"]}, degradation=degradation, batch_size=4))
        assert found == {key: value for key, value in expected.items() if key[0] == "nearest"}


@pytest.mark.thorough
def test_every_restorer_is_compiled_once(tmp_path, monkeypatch):
    from jaxpr.evaluation import compiled as pipeline

    def compilations(program):
        return (program if hasattr(program, "_cache_size") else program.__wrapped__)._cache_size()

    compiled = []
    programs = pipeline.programs
    monkeypatch.setattr(
        pipeline, "programs", lambda *given, **named: compiled.append(programs(*given, **named)) or compiled[-1]
    )
    # New functions: `jit` shares its cache between wrappers of one function, so other tests' shapes would count.
    run(tmp_path / "run", {name: functools.partial(f) for name, f in RESTORERS.items()}, batch_size=3)
    assert [tuple(map(compilations, (p.restore, p.attack, p.respond))) for p in compiled] == [(1, 1, 1), (1, 1, 1)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("restorer", "note"),
    [
        (lambda y: jnp.round(255 * bicubic(y, factor=2)) / 255, "the gradient is zero for 11 of 11 examples"),
        (lambda y: jnp.sqrt(jnp.maximum(bicubic(y, factor=2), 0) * 0), "the gradient is undefined"),
        (
            lambda y: jax.pure_callback(
                lambda a: np.repeat(np.repeat(np.asarray(a), 2, 1), 2, 2),
                jax.ShapeDtypeStruct((y.shape[0], 32, 32, 3), jnp.float32),
                y,
            ),
            "JAX cannot compute it",
        ),
    ],
)
def test_a_restorer_without_gradient_is_never_called_robust(tmp_path, restorer, note):
    protocol = PROTOCOL._replace(lipschitz_iterations=2)
    metrics = run(tmp_path / "run", {"blind": restorer}, protocol=protocol).restorers[0].metrics
    for name in ("lipschitz_mean", "adversarial_output_psnr"):
        assert np.isnan(metrics[name].value)
        assert note in metrics[name].note
    assert np.isfinite(metrics["psnr"].value)
    assert "local_lipschitz" not in metrics or np.isnan(metrics["local_lipschitz"].value)


@pytest.mark.thorough
def test_border_and_luma_are_part_of_the_protocol(tmp_path):
    protocol = PROTOCOL._replace(border=4, channel="y")
    results = run(tmp_path / "run", {"bicubic": RESTORERS["bicubic"]}, protocol=protocol)
    assert (results.protocol["border"], results.protocol["channel"]) == (4, "y")
    x = jnp.asarray(np.stack([image[t : t + 32, s : s + 32] for image, t, s in _crop_places()]))
    y = jnp.round(jnp.clip(BICUBIC_X2.operator((32, 32, 3))(x), 0, 1) * 255) / 255
    shown, truth = (luma(crop_border(images, border=4)) for images in (RESTORERS["bicubic"](y), x))
    expected = float(np.mean(psnr(shown, truth, data_range=1.0)))
    assert results.restorers[0].metrics["psnr"].value == pytest.approx(expected, rel=1e-5)


@pytest.mark.thorough
def test_l2_attack_stays_in_its_ball(tmp_path):
    protocol = PROTOCOL._replace(attack="l2_adam", epsilon=0.2, attack_steps=3, measurement_bits=None)
    results = run(tmp_path / "run", {"bicubic": RESTORERS["bicubic"]}, protocol=protocol)
    # ‖δ‖ <= 0.2 over 16·16·3 values.
    assert results.restorers[0].metrics["adversarial_input_psnr"].value >= -20 * np.log10(0.2 / np.sqrt(768)) - 1e-3
    assert results.protocol["epsilon"] == 0.2
    assert "alpha" not in results.protocol


@pytest.mark.slow
def test_denoisers_are_asked_what_they_took_away(tmp_path):
    def blur(y):
        return (y + jnp.roll(y, 1, 1) + jnp.roll(y, 1, 2) + jnp.roll(y, (1, 1), (1, 2))) / 4

    protocol = PROTOCOL._replace(measurement_bits=None)
    run_ = run(
        tmp_path / "run", {"copy": lambda y: y * 0.999, "blur": blur}, degradation="noise-0.1", protocol=protocol
    )
    copy, blurred = (restorer.metrics for restorer in run_.restorers)
    assert copy["residual_std_ratio"].value < 0.02
    assert 0.5 < blurred["residual_std_ratio"].value < 3
    assert blurred["residual_whiteness"].value > 1.5


@pytest.mark.thorough
def test_pairs_bring_their_own_measurements(tmp_path):
    high = from_arrays(smooth_images((40, 64), (32, 33)), name="high")
    low = from_arrays([np.round(image[:32:2, : image.shape[1] // 2 * 2 : 2] * 255) / 255 for image in high], name="low")
    high = from_arrays([image[:32] for image in high], name="high")
    pairs = PairedSource(low, high, 2)
    results = run(tmp_path / "given", source=pairs, degradation="given")
    assert (results.protocol["degradation"], results.protocol["examples"]) == ("given", 3)
    assert results.protocol["measurements"] == "low-crops16"
    metrics = results.restorers[0].metrics
    assert "lr_psnr" not in metrics
    # Nearest neighbours repeat every second pixel of x: recompute from the arrays.
    x = np.stack([high[0][:, :32], high[0][:, 32:], high[1][:, :32]])
    y = np.stack([low[0][:, :16], low[0][:, 16:], low[1][:, :16]])
    expected = np.sqrt(np.mean((np.repeat(np.repeat(y, 2, 1), 2, 2) - x) ** 2, axis=(1, 2, 3))).mean()
    assert metrics["rmse"].value == pytest.approx(expected, rel=1e-5)
    nominal = run(tmp_path / "nominal", source=pairs, degradation="bicubic-x2")
    assert np.isfinite(nominal.restorers[0].metrics["lr_psnr"].value)
    with pytest.raises(InputError, match="factor 4 for pairs with factor 2"):
        run(tmp_path / "wrong", source=pairs, degradation="bicubic-x4")


class TestBadInput:
    """Each is one clear line, and nothing is written."""

    @pytest.mark.parametrize(
        ("restorer", "message"),
        [
            (
                lambda y: y,
                r"restorer mine: found output of shape \(1, 16, 16, 3\), expected .*\(1, 32, 32, 3\)",
            ),
            (lambda y: jnp.full((y.shape[0], 32, 32, 3), jnp.nan), "restorer mine: found 3072 NaN or infinite values"),
            (lambda y: np.asarray(y), r"restorer mine: measurements of shape .*: failed .TracerArrayConversionError"),
            (lambda y: {"image": y}, "restorer mine: found dict for output"),
            (lambda y: nearest(y, factor=2, channels=1), r"restorer mine: .*: y: found 3 channels, expected 1 or 1"),
            (lambda y: jnp.zeros((y.shape[0], 32, 32, 3), jnp.int32), "restorer mine: found output of int32"),
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
        with pytest.raises(InputError, match=r"found a run with alpha = 1/255 .*, expected 2/255"):
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

    def test_something_to_compare_with_that_is_not_there_or_is_the_baseline(self, tmp_path):
        with pytest.raises(
            InputError, match="reference: found 'lanczos', expected one of the restorers nearest, bicubic"
        ):
            run(tmp_path / "run", reference="lanczos")
        with pytest.raises(InputError, match="baseline: found 'bicubic', expected one of the restorers nearest"):
            run(tmp_path / "run", reference="bicubic", baseline="bicubic")

    def test_no_restorers(self, tmp_path):
        with pytest.raises(InputError, match="restorers: found none"):
            run(tmp_path / "run", {})


class Traced:
    """A function of (gain, key, y) that counts how often JAX looks into it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, gain, key, y):
        self.count += isinstance(y, jax.core.Tracer)
        return gain * nearest(y, factor=2)


@pytest.mark.thorough
def test_restorers_with_one_function_are_compiled_once_and_keep_their_parameters(tmp_path):
    counts, protocol = [], PROTOCOL._replace(limit=2)
    for gains in ((1.0,), (1.0, 0.9, 0.5)):
        apply = Traced()
        members = {f"gain {g}": Restorer(apply, np.float32(g), family="gain", setting=g) for g in gains}
        found = run(tmp_path / str(len(gains)), members, protocol=protocol)
        counts.append(apply.count)
    assert counts[0] == counts[1]
    plain = run(tmp_path / "plain", {"plain": lambda y: np.float32(0.9) * nearest(y, factor=2)}, protocol=protocol)
    for name, metric in plain.restorers[0].metrics.items():
        assert found.restorers[1].metrics[name].value == pytest.approx(metric.value, rel=ATTACKED_RTOL, nan_ok=True), (
            name
        )
    record = json.loads((tmp_path / "3" / "results.json").read_text())
    described = [(e["name"], e["label"], e["family"], e["setting"], e["variant"]) for e in record["restorers"]]
    assert described == [(f"gain {g}", "", "gain", g, None) for g in gains]


@pytest.mark.thorough
def test_one_that_says_it_has_no_derivative_is_not_attacked(tmp_path):
    restorer = Restorer(lambda params, key, y: nearest(y, factor=2), differentiable=False)
    found = run(tmp_path / "run", {"mine": restorer}, protocol=PROTOCOL._replace(limit=2)).restorers[0].metrics
    assert np.isnan(found["lipschitz_mean"].value)
    assert np.isfinite(found["psnr"].value)


@pytest.mark.thorough
@pytest.mark.usefixtures("pages")
def test_a_record_says_which_weights_made_its_numbers(tmp_path):
    weights = {"file": "mine.pth", "sha256": "1" * 64}
    mine = Restorer(lambda params, key, y: nearest(y, factor=2), weights=weights)
    found = run(tmp_path / "run", {"mine": mine} | RESTORERS)
    assert [restorer.weights for restorer in found.restorers] == [weights, None, None]
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["restorers"][0]["weights"] == weights
    page = (tmp_path / "run" / "report.html").read_text()
    assert "mine.sha256" in page
    assert "1" * 64 in page


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_inception_gives_its_score_and_official_names(tmp_path):
    """With drawn weights: the published file has the same structure."""
    model = inception()
    params = jax.jit(model.init)(KEY)
    path = tmp_path / "inception.safetensors"
    tensors = {}
    for name, value in traverse_util.flatten_dict(params, sep=".").items():
        *place, leaf = name.split(".")
        official = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}.get(leaf, leaf)
        turned = {4: (3, 2, 0, 1), 2: (1, 0)}.get(np.ndim(value), (0,))
        tensors[".".join([*place, official])] = np.ascontiguousarray(np.asarray(value).transpose(turned))
    write_checkpoint(path, tensors, {})
    protocol = PROTOCOL._replace(features=f"inception:{path}", crop=16, patch_size=8, patch_stride=8)
    source = from_arrays(smooth_images((48, 48), (48, 64)), name="smooth")
    found = run(tmp_path / "run", {"nearest": RESTORERS["nearest"]}, source, protocol=protocol)
    metrics = found.restorers[0].metrics
    assert 1 <= metrics["inception_score"].value <= 1008
    assert 1 <= found.references["inception_score"]["value"] <= 1008
    assert np.isfinite(metrics["fd_inception"].value)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "FID" in page
    assert "inception score" in page
