"""The folder of a run: whose it is, by which code, and that what is stored is what was computed."""

import errno
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr import data, evaluation, report, restorers
from jaxpr.core import InputError
from jaxpr.evaluation import compiled, probes, run
from jaxpr.evaluation.draws import computation_of
from jaxpr.evaluation.state import BatchStore, codes_of, open_run
from jaxpr.records.results import from_record
from jaxpr.restorers import as_restorer

UP = functools.partial(restorers.nearest, factor=4)
FAST = evaluation.SCALES["smoke"]._replace(
    features="pixels", sweep=(), lipschitz_iterations=0, attack_steps=1, limit=2, crop=48, patch_size=8
)


def evaluated(out, restorers=None, *, protocol=FAST, **options):
    restorers = {"up": UP} if restorers is None else restorers
    key, images = jax.random.key(0), data.photos("test")
    return evaluation.evaluate(
        key, restorers, images, "bicubic-x4", protocol=protocol, out=out, progress=False, **options
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    evaluated(out)
    return out


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def store(tmp_path):
    state = open_run(tmp_path / "run", {"a": 1}, code="c")
    found = BatchStore(state, "restorer")
    found.save([0, 1], {"psnr": np.array([20.0, 21.0]), "features": np.ones((2, 3), np.float32)})
    return found


def changed(path, change):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays["psnr"].__setitem__(0, 99.0),
        lambda arrays: arrays.pop("psnr"),
        lambda arrays: arrays.update(ssim=np.ones(2)),
        lambda arrays: arrays.update(psnr=arrays["psnr"].astype(np.float32)),
        lambda arrays: arrays.update(features=arrays["features"].reshape(3, 2)),
        lambda arrays: arrays.update(psnr=arrays["psnr"][::-1].copy()),
        lambda arrays: arrays.pop("content_sha256"),
    ],
    ids=["value", "removed", "added", "dtype", "shape", "order", "digest"],
)
def test_a_changed_batch_is_noticed(store, change):
    (path,) = store.folder.glob("batch-*.npz")
    assert [float(arrays["psnr"]) for arrays in store.load(2)] == [20.0, 21.0]
    changed(path, change)
    with pytest.raises(InputError, match=r"batch-00000000-00000001\.npz: found content with digest .*delete the file"):
        list(store.load(2))


def test_a_batch_of_another_restorer_or_of_other_examples_is_noticed(store):
    (path,) = store.folder.glob("batch-*.npz")
    other = BatchStore(store.folder.parent, "other")
    shutil.copy(path, other.folder / path.name)
    other.refresh()
    with pytest.raises(InputError, match="found content with digest"):
        list(other.load(2))
    path.rename(path.with_name("batch-00000002-00000003.npz"))
    moved = BatchStore(store.folder.parent, "restorer")
    assert moved.done([2, 3])
    moved.save([0, 1], {"psnr": np.zeros(2)})
    with pytest.raises(InputError, match="found content with digest"):
        list(moved.load(4))


@pytest.mark.parametrize(
    "name",
    [
        "batch-00000000-00000001 (1).npz",
        "batch-00000000-00000001.npz.part",
        "batch-x-y.npz",
        "batch-0-1.npz",
        "._a.npz",
    ],
)
def test_files_of_other_programs_are_passed_over(store, name):
    (path,) = store.folder.glob("batch-*.npz")
    shutil.copy(path, store.folder / name)
    again = BatchStore(store.folder.parent, "restorer")
    assert not again.done([2])
    assert len(list(again.load(2))) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 100])
def test_damaged_files_are_named(store, content):
    (path,) = store.folder.glob("batch-*.npz")
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"batch-.*: cannot be read .*expected arrays of an earlier run; delete the file"
    ):
        list(store.load(2))


@pytest.mark.thorough
def test_a_damaged_probe_is_named_and_computed_again_when_deleted(copied):
    (probe,) = copied.glob("state/up-*/probe.npz")
    probe.write_bytes(b"")
    with pytest.raises(InputError, match=r"probe\.npz: cannot be read"):
        evaluated(copied)
    probe.unlink()
    evaluated(copied)


@pytest.mark.parametrize("text", ["[]", "3", "true", '"x"', "", "{", '{"a": NaN}', "[" * 100_000, '{"a": 1}'])
def test_a_protocol_that_is_none_or_another(tmp_path, text):
    (tmp_path / "protocol.json").write_text(text)
    with pytest.raises(InputError, match=r"out: (found|cannot read)"):
        open_run(tmp_path, {"a": 2}, code="c")


@pytest.mark.thorough
def test_other_code_is_refused_unless_accepted(copied, monkeypatch):
    before = json.loads((copied / "results.json").read_text())
    assert "earlier_code_sha256" not in before["provenance"]
    first = codes_of(copied)
    assert first == [before["provenance"]["code_sha256"]]
    for module in (compiled, run):
        monkeypatch.setattr(module, "code_sha256", lambda: "f" * 64)
    with pytest.raises(InputError, match=f"out: found a run of other code .{first[0][:12]}.*accept-other-code"):
        evaluated(copied)
    results = evaluated(copied, accept_other_code=True)
    assert codes_of(copied) == [*first, "f" * 64]
    assert results.provenance["earlier_code_sha256"] == first
    evaluated(copied)  # accepted once


@pytest.mark.thorough
def test_a_run_from_before_codes_were_kept_is_other_code(copied):
    path = copied / "protocol.json"
    protocol = json.loads(path.read_text())
    del protocol["code_sha256"]
    path.write_text(json.dumps(protocol))
    with pytest.raises(InputError, match=r"found a run of other code .unknown."):
        evaluated(copied)


@pytest.mark.thorough
def test_comparisons_name_versions_that_differ(copied, finished, tmp_path):
    path = copied / "results.json"
    record = json.loads(path.read_text())
    record["provenance"]["code_sha256"] = "e" * 64
    record["provenance"]["libraries"]["jax"] = "0.0.1"
    path.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match=r"runs: computed by different versions .*code_sha256 .*e{12}.*jax .*0\.0\.1"):
        merged = evaluation.compare([finished, copied], out=tmp_path / "both")
    assert set(merged["provenance"]["versions_that_differ"]) == {"code_sha256", "jax"}


@pytest.mark.thorough
def test_the_numbers_are_there_before_the_pictures(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ValueError("cannot draw")

    monkeypatch.setattr(report, "write_report", fails)
    with pytest.raises(ValueError, match="cannot draw"):
        evaluated(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["restorers"][0]["name"] == "up"
    assert (tmp_path / "run" / "results.csv").exists()


def test_a_finished_run_that_cannot_be_written_is_shown(copied, monkeypatch):
    """As on a read-only disk; a run that is not finished needs the disk."""
    before = (copied / "results.json").read_bytes()

    def fails(path, content):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(run, "write_atomically", fails)
    with pytest.warns(UserWarning, match=r"out: .* cannot be written; what is there stays as it is"):
        results = evaluated(copied)
    assert results.restorers[0].name == "up"
    assert (copied / "results.json").read_bytes() == before
    (copied / "report.html").unlink()
    with pytest.raises(OSError, match="Read-only"):
        evaluated(copied)


def test_strengths_are_shown_in_grey_levels(tmp_path):
    open_run(tmp_path / "run", {"alpha": 1 / 255}, code="c")
    with pytest.raises(InputError, match=r"found a run with alpha = 1/255 in .*, expected 2/255"):
        open_run(tmp_path / "run", {"alpha": 2 / 255}, code="c")


@pytest.mark.thorough
@pytest.mark.usefixtures("pages")
def test_no_name_stops_a_run(tmp_path):
    names = ["caf\udce9", "a$b$\\frac{", "two\nlines", "\x1b[2J", "<b>&", "日本語"]
    results = evaluated(tmp_path / "run", dict.fromkeys(names, UP))
    shown = [restorer.name for restorer in results.restorers]
    assert shown == ["caf\\xe9", "a$b$\\frac{", "two\\x0alines", "\\x1b[2J", "<b>&", "日本語"]
    assert [r["name"] for r in json.loads((tmp_path / "run" / "results.json").read_text())["restorers"]] == shown
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("restorers", [{}, {"": UP}, {" ": UP}, {3: UP}, [UP], {"a\n": UP, "a\\x0a": UP}])
def test_restorers_need_names(tmp_path, restorers):
    with pytest.raises(InputError, match="restorers: found"):
        evaluated(tmp_path / "run", restorers)
    assert not (tmp_path / "run").exists()


def up(y):
    return jnp.repeat(jnp.repeat(y, 4, 1), 4, 2)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_measured_in_float32(tmp_path, finished, dtype):
    results = evaluated(tmp_path / "run", {"half": lambda y: up(y).astype(dtype)})
    metrics = results.restorers[0].metrics
    whole = from_record(json.loads((finished / "results.json").read_text())).restorers[0].metrics
    for name in ("psnr", "lipschitz_mean", "fd_pixels"):
        # Half precision has 8 bits (bfloat16) or 11; outputs near 1 move by up to 1/256.
        assert metrics[name].value == pytest.approx(whole[name].value, rel=0.05), name


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda y: 255 * up(y), "looks like 0 to 255, expected .0, 1."),
        (lambda y: 65535 * up(y), "looks like 0 to 65535"),
        (lambda y: 2 * up(y) - 1, "looks like -1 to 1"),
        (lambda y: (255 * up(y)).astype(jnp.uint8), "found output of uint8, expected floating point"),
        (lambda y: up(y) > 0.5, "found output of bool"),
        (lambda y: jnp.transpose(up(y), (0, 3, 1, 2)), r"looks like NCHW, expected \(1, 48, 48, 3\)"),
        (lambda y: up(y)[..., :1], "found output of shape"),
        (lambda y: [up(y)], "found list for output"),
        (lambda y: up(y).at[0, 0, 0, 0].set(jnp.inf), "found 1 NaN or infinite"),
    ],
)
def test_outputs_are_looked_at_at_the_door(tmp_path, function, message):
    with pytest.raises(InputError, match=f"restorer odd: .*{message}"):
        evaluated(tmp_path / "run", {"odd": function})
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_wild_outputs_are_measured(tmp_path):
    """Overshoot, sharpening and noise are no other range."""
    noise = jax.random.normal(jax.random.key(0), (1, 48, 48, 3))
    restorers = {
        "sharp": lambda y: up(y) + 3 * (up(y) - 0.5),
        "noisy": lambda y: up(y) + 4 * noise,
        "dark": lambda y: 0 * up(y) - 0.05,
    }
    assert len(evaluated(tmp_path / "run", restorers).restorers) == 3


@pytest.mark.parametrize(
    ("low", "high", "measurements"), [(-1, 1, True), (0, 255, True), (0, 255, False), (-2, 3, False)]
)
def test_a_declared_range_gives_the_same_numbers(low, high, measurements):
    def odd(y):
        inside = (y - low) / (high - low) if measurements else y
        return low + (high - low) * up(inside)

    y = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    found = restorers.in_range(odd, low, high, measurements=measurements)(y)
    np.testing.assert_allclose(found, up(y), atol=1e-6)  # a few roundings of numbers up to 255, over 255
    stochastic = restorers.in_range(lambda key, y: odd(y), low, high, measurements=measurements)
    np.testing.assert_array_equal(stochastic(jax.random.key(0), y), found)
    with pytest.raises(InputError, match="low, high: found 1 and 0"):
        restorers.in_range(odd, 1, 0)


def with_backward(backward):
    """The upscaler with a backward rule of its own."""

    @jax.custom_vjp
    def restore(y):
        return up(y)

    restore.defvjp(lambda y: (up(y), None), lambda _, g: (backward(g),))
    return restore


def blocks(g):
    n, height, width, channels = g.shape
    return g.reshape(n, height // 4, 4, width // 4, 4, channels).sum((2, 4))


def on_the_host(g):
    n, height, width, channels = g.shape
    shape = jax.ShapeDtypeStruct((n, height // 4, width // 4, channels), g.dtype)
    return jax.pure_callback(lambda found: np.asarray(blocks(np.asarray(found))), shape, g)


def probed(restorer):
    key, protocol = jax.random.key(0), FAST._replace(lipschitz_iterations=3)
    keys, x = jax.random.split(key, 1), jax.random.uniform(key, (1, 32, 32, 3))
    program = probes.probe_program(computation_of(as_restorer("mine", restorer)), protocol)
    return program((), keys, x, x[:, ::4, ::4])


@pytest.mark.thorough
def test_a_backward_rule_of_ones_own_has_a_spectral_norm():
    (found,) = probed(with_backward(blocks)).metrics["local_lipschitz"]
    (expected,) = probed(up).metrics["local_lipschitz"]
    assert float(expected) == pytest.approx(4, rel=1e-3)  # every value is written 16 times; three power iterations
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.thorough
def test_a_backward_rule_without_derivative_has_none_and_the_record_says_why(tmp_path):
    protocol = FAST._replace(lipschitz_iterations=3, probes=1, limit=1)
    results = evaluated(tmp_path / "run", {"mine": with_backward(on_the_host)}, protocol=protocol)
    metrics = results.restorers[0].metrics
    assert np.isnan(metrics["local_lipschitz"].value)
    assert metrics["local_lipschitz"].note.startswith(
        "undefined: JAX cannot differentiate the restorer's backward rule"
    )
    assert metrics["lipschitz_mean"].value > 0


def test_bad_outputs_are_not_taken_for_a_missing_derivative():
    with pytest.raises(InputError, match="found int32"):
        probed(lambda y: up(y).astype(jnp.int32))
