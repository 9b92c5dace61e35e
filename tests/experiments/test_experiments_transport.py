"""The experiments on transport of [adrai2023]: what their claims need, and patches against the package's own."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.records.results import Metric
from jaxpr.report.experiments import experiment_record
from jaxpr.reproduce import load_experiment
from jaxpr.reproduce.patch_maps import exact_map, folded, gaussian_patches, patches_of, texture_wise, w2
from jaxpr.reproduce.transported import Traversal
from jaxpr.restorers.latent_transport_patches import PatchMap, move_latents

traversals, ablations, beyond = (
    load_experiment(f"adrai2023/{name}") for name in ("traversals", "transport_ablations", "transport_beyond")
)
NOISE = np.array([-0.2, 0.1, 0.0, 0.2, -0.1])  # of five photographs


def metric(value, change=0.0, noise=1.0):
    """A number that is `change` away from another: the difference's error is that of `noise`."""
    shared = value + np.linspace(-1, 1, 5)
    return Metric(value + change, 0.1, left_out=tuple(shared + change + noise * NOISE))


def traversal(restorer, *, fd, psnr, near=0.0, task="made", encoder="pixels", again=0.0):
    """x̂₀ has these changes from x*, and at 0.9 PSNR changes by `near`; LPIPS follows FD; FD of D(E(x*)) by `again`."""

    def row(fd, psnr, noise):
        found = {
            "fd": metric(50.0, fd, noise),
            "psnr": metric(30.0, psnr, noise),
            "lpips": metric(0.5, fd / 100, noise / 100),
        }
        return found | {"ssim": metric(0.9), "kd": metric(1.0, fd / 10, noise), "mse": metric(100.0)}

    rows = {-0.5: row(fd / 2, 2 * psnr, 0.1), 0.0: row(fd, psnr, 0.1), 0.9: row(fd / 10, near, 0.1), 1.0: row(0, 0, 0)}
    return Traversal(task, restorer, encoder, rows, row(again, 0, 0), [])


def claims_of(*found):
    return {claim.text.removeprefix("pixels: "): claim for claim in traversals.claims(found, {})}


GOOD = [traversal(name, fd=-5.0, psnr=-1.0) for name in ("lmmse", "photos-l1", "photos-gan-0.03", "y")]


def test_claims_hold_where_differences_exclude_zero():
    found = claims_of(*GOOD, traversal(traversals.NLM, fd=3.0, psnr=-1.0, near=0.3))
    four = found.pop("transport moves at least four restorers to the left, errors excluding zero")
    assert four.holds
    assert four.found.startswith("4 of 5: lmmse (made) -5.00 ± 0.")
    assert found.pop("NLM is the exception: its FD rises").holds
    assert found["PSNR rises for some at an α near 1"].found.startswith(f"{traversals.NLM} (made) +0.3")
    assert not found.pop("FD is least outside of [0, 1] for some").holds
    assert not found.pop("LPIPS at α = 0 stays as it is, or falls").holds  # NLM's rises
    assert all(claim.holds for claim in found.values())


def test_claims_fail_where_one_restorer_does_not_follow():
    bad = traversal("lmmse", fd=-0.05, psnr=0.5, task="other")  # within the error, and better in PSNR
    found = claims_of(*GOOD[1:], bad, traversal(traversals.NLM, fd=-3.0, psnr=-1.0))
    assert not found["FD falls at α = 0 for restorers trained with a pixel loss"].holds
    assert not found["NLM is the exception: its FD rises"].holds
    assert not found["x̂₀ loses PSNR, in dB"].holds
    assert not found["PSNR rises for some at an α near 1"].holds
    assert found["FD falls at α = 0 for other restorers than NLM, too"].holds


@pytest.mark.parametrize("ceiling", [24.0, 35.0])
def test_an_autoencoder_that_loses_more_than_restorers_is_asked_for_its_map_only(ceiling):
    names = ("bicubic", "lmmse", "photos-l1", "photos-gan-0.03")
    found = [traversal(name, fd=4.0, psnr=-9.0, encoder="made", again=10.0) for name in names]
    claims = traversals.claims(found, {"made": {"psnr": metric(ceiling)}})
    assert claims[0].text.startswith("made: x̂₀ is more natural than D(E(x*)) for at least four")
    assert claims[0].holds
    assert claims[0].found.startswith("4 of 4, lower for 4: bicubic (made) -6.00 ± 0.")
    assert (len(claims) == 1) == (ceiling < 30)
    assert not traversals.claims(found[1:], {"made": {"psnr": metric(24.0)}})[0].holds


def test_tables_have_a_row_for_each_alpha_that_is_best():
    class On:
        ceilings: dict = {}  # noqa: RUF012
        groups = np.arange(5)
        test = type("Test", (), {"groups": groups})

    one = traversal("lmmse", fd=-5.0, psnr=-1.0, near=-0.1)
    table = traversals.table("made", [one], On)
    assert [row[0] for row in table.rows] == ["lmmse, pixels: x*", "  x̂ at α = 0"]  # PSNR is best at 1, FD at 0
    assert all(len(row) == len(table.columns) for row in table.rows)
    along = traversals.along_table([one], "fd", "FD")
    assert along.rows[0][1:] == [47.5, 45.0, 49.5, 50.0]


def test_means_over_choices_keep_what_is_paired():
    several = [{"fd": metric(50.0, change)} for change in (1.0, 3.0)]
    found = ablations.averaged(several)["fd"]
    assert found.value == 52.0
    np.testing.assert_allclose(found.left_out, np.linspace(-1, 1, 5) + 52 + NOISE)
    assert [choice.tolist() for choice in ablations.cyclic(6, 2, 3)] == [[0, 1], [2, 3], [4, 5]]


def study(**changes):
    """Variants with changes of PSNR and FD from the standard map, which wins 10 of FD."""
    values = {
        name: {
            "psnr": metric(30.0, psnr, 0.1),
            "fd": metric(50.0, fd, 0.1),
            "lpips": metric(0.5),
            "lr_psnr": metric(40),
        }
        for name, (psnr, fd) in {"x*": (1.0, 10.0), "standard": (0.0, 0.0), **changes}.items()
    }
    return ablations.Studied("made", "pixels", values)


def test_claims_of_ablations():
    names = {"1 × 1": (0.5, 4.0), "7 × 7": (-0.5, -1.0), "3 of 6 photographs": (0.01, 0.5)}
    names |= {ablations.OTHERS: (-1.0, -2.0), "54 patches of 3 × 3": (-1.0, 0.0), "900 patches of 3 × 3": (0.0, 0.0)}
    enlarged = study()._replace(values={"x*": study().values["standard"], "standard": study(a=(-1.0, 2.0)).values["a"]})
    one = study(**names, **{"twice, fitted again": (0.0, 0.0)})
    found = {claim.text.removeprefix("made, pixels: "): claim.holds for claim in ablations.claims([one], enlarged)}
    assert not found.pop("few patches of 3 × 3 do as well as all of the same crops")
    assert len(found) == 6
    assert all(found.values())
    worse = study(**{name: (-a, -b) for name, (a, b) in names.items()}, **{"twice, fitted again": (0.0, -3.0)})
    assert not any(claim.holds for claim in ablations.own_claims(worse) if "few photographs" not in claim.text)
    table = ablations.table(one, 5)
    assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.thorough
def test_patches_fold_back_and_move_as_the_package_moves_them():
    rng = np.random.default_rng(0)
    images = rng.random((2, 5, 6, 3))
    patches = patches_of(images, side=3)
    np.testing.assert_allclose(folded(patches, side=3), images, atol=1e-12)
    matrix, offset = 0.3 * rng.standard_normal((27, 27)), rng.standard_normal(27)
    expected = move_latents(None, jnp.asarray(images, jnp.float32), PatchMap(matrix, offset), patch=3)
    np.testing.assert_allclose(folded(patches @ matrix.T + offset, side=3), expected, atol=1e-4)  # float32


@pytest.mark.thorough
def test_w2_of_shifted_patches_is_the_shift():
    points = np.random.default_rng(1).random((20, 27))
    assert w2(points, points[::-1] + 0.1) == pytest.approx(0.1 * math.sqrt(27))
    np.testing.assert_array_equal(exact_map(points[::-1], points + 0.1), points[::-1] + 0.1)


def test_each_texture_has_its_own_map():
    """Two kinds of patches, flat and varied, in both sets: each goes to its kind, moments and all."""
    rng, side, channels = np.random.default_rng(2), 2, 3

    def patches(scales, count):
        return np.concatenate([rng.normal(size=(count, side**2 * channels)) * s for s in scales])

    points, targets = patches((0.1, 4.0), 40)[rng.permutation(80)], patches((0.5, 20.0), 60)
    moved = texture_wise(points, targets, classes=2, channels=channels)
    kind = np.abs(points).max(axis=1) > 1
    assert kind.sum() == 40
    for of_points, of_targets in ((~kind, slice(0, 60)), (kind, slice(60, 120))):
        np.testing.assert_allclose(np.cov(moved[of_points].T), np.cov(targets[of_targets].T), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(moved[of_points].mean(axis=0), targets[of_targets].mean(axis=0), atol=1e-9)
    one = texture_wise(points, targets, classes=1, channels=channels)
    np.testing.assert_allclose(one, gaussian_patches(points, targets))
    with pytest.raises(InputError, match="classes: found 8, of 10 patches each, expected more than 12"):
        texture_wise(points, targets, classes=8, channels=channels)


@pytest.mark.parametrize("script", [traversals, ablations, beyond], ids=lambda script: script.__name__.split(".")[-1])
def test_paper_scale_says_where_its_data_should_be(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="expected ImageNet"):
        script.run("paper")


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A folder such as the paper's, of small pictures."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        folder = tmp_path / "data" / "imagenet512" / split
        folder.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)


SMALLER = [
    (traversals, {"crop": 64, "alphas": (0.0, 1.0), "tasks": 3, "restorers": 1, "patch": 64, "batch": 3}),
    (ablations, {"crop": 64, "patches": (1, 3), "few": (2,), "choices": 2, "sides": (16,), "restorers": 1, "seen": 64}),
    (beyond, {"crop": 64, "restorers": 1, "alphas": (0.0, 1.0), "attacked": 32, "steps": 1, "window": 8, "repeats": 2}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "changes"), SMALLER, ids=[script.__name__ for script, _ in SMALLER])
def test_paper_scale_starts_on_a_small_folder(imagenet, script, changes, monkeypatch):
    sizes = script.SIZES["paper"]._replace(**changes)
    monkeypatch.setitem(script.SIZES, "paper", sizes._replace(textures=2) if script is beyond else sizes)
    found = script.run("paper")
    experiment_record(found, {})
    assert found.claims
    if script is not beyond:
        assert any("sd-vae-ft-mse" in remark for remark in found.remarks)
