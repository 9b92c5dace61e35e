"""NIQE of a run: of images, of all blocks together, not at all; the truth's own; parameters of the user's."""

import functools
import math

import jax
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import photos
from jaxpr.evaluation import Protocol, evaluate
from jaxpr.evaluation.naturalness import FEWEST_BLOCKS, naturalness, niqe_model, niqe_record
from jaxpr.metrics import (
    SmallSampleWarning,
    extract_patches,
    frechet_distance_from_features,
    niqe,
    packaged_niqe_parameters,
)
from jaxpr.metrics.niqe import niqe_distance, niqe_features, usable_blocks
from jaxpr.restorers import nearest
from jaxpr.weights import feature_extractor

MODEL = packaged_niqe_parameters()
WHOLE = np.asarray(photos("test")[0])[None, :480, :480]  # 25 blocks
CROPS = WHOLE[0, :384, :384].reshape(2, 192, 2, 192, 3).swapaxes(1, 2).reshape(4, 192, 192, 3)


def test_images_with_enough_blocks_count_one_by_one():
    images = np.concatenate([WHOLE, WHOLE[:, ::-1], WHOLE**2])
    found = naturalness(niqe_features(images), np.array([0, 0, 1]), parameters=MODEL)
    assert found.value == pytest.approx(np.mean(niqe(images, parameters=MODEL)), rel=1e-12)
    assert found.note == ""


def test_smaller_ones_count_together_with_an_error_over_photographs():
    groups = np.arange(8)
    blocks = list(niqe_features(np.concatenate([CROPS, CROPS[:, ::-1, ::-1] ** 1.2])))
    found = naturalness(blocks, groups, parameters=MODEL)
    assert found.value == pytest.approx(niqe_distance(np.concatenate(blocks), parameters=MODEL), rel=1e-12)
    left = [
        niqe_distance(np.concatenate([b for j, b in enumerate(blocks) if j != i]), parameters=MODEL) for i in groups
    ]
    assert found.stderr == pytest.approx(math.sqrt(7 / 8 * np.sum((left - np.mean(left)) ** 2)), rel=1e-9)
    assert "of all 32 blocks of 96×96 pixels together" in found.note


def test_too_few_blocks_rank_nothing():
    found = naturalness(niqe_features(CROPS), np.arange(4), parameters=MODEL)
    assert math.isnan(found.value)
    assert found.note == f"undefined for 16 blocks of 96×96 pixels; needs at least {FEWEST_BLOCKS}"
    assert naturalness([None, None], np.arange(2), parameters=MODEL) is None


def test_features_and_distance_are_niqe_and_refuse_other_shapes():
    features = niqe_features(WHOLE)
    assert features.shape == (1, 25, 36)
    assert usable_blocks(features[0]) == 25
    assert niqe_distance(features[0], parameters=MODEL) == niqe(WHOLE, parameters=MODEL)[0]
    with pytest.raises(InputError, match=r"features: found shape \(1, 25, 36\)"):
        niqe_distance(features, parameters=MODEL)


@pytest.mark.thorough
def test_parameters_of_the_user_s_decide_the_numbers_and_are_recorded(tmp_path):
    file = tmp_path / "other_params.npz"
    np.savez(file, mu_pris_param=MODEL.mean[None] + 0.1, cov_pris_param=2 * MODEL.covariance)
    protocol = Protocol().replace(
        crop=None, patch_size=120, patch_stride=60, attack=None, probes=0, uncertainty_block=0, features="pixels"
    )
    protocol = protocol.replace(niqe_parameters=str(file))
    found = evaluate(
        jax.random.key(0),
        {"nearest": functools.partial(nearest, factor=2)},
        [WHOLE[0], WHOLE[0, :, ::-1]],
        "bicubic-x2",
        protocol=protocol,
        out=tmp_path / "run",
        progress=False,
    )
    images = np.stack([WHOLE[0], WHOLE[0, :, ::-1]])
    expected = np.mean(niqe(images, parameters=niqe_model(str(file))))
    assert found.references["truth"]["niqe"]["value"] == pytest.approx(expected, rel=1e-9)
    assert found.restorers[0].metrics["niqe"].value > expected  # squares of 2×2 pixels
    assert found.protocol["niqe_parameters"] == "other_params"
    assert found.protocol["niqe_sha256"] == niqe_record(str(file))["niqe_sha256"]
    # The two images are the two halves.
    pixels = feature_extractor("pixels").apply
    halves = [np.asarray(pixels(extract_patches(image[None], size=240, stride=120))) for image in images]
    assert found.references["truth"]["fd_pixels"]["note"].startswith("one half of the true images")
    with pytest.warns(SmallSampleWarning):
        distance = float(frechet_distance_from_features(*halves))
    assert found.references["truth"]["fd_pixels"]["value"] == pytest.approx(distance, rel=1e-4)


@pytest.mark.parametrize(("file", "message"), [("none.npz", "cannot be read"), ("none.txt", "found ending '.txt'")])
def test_parameters_that_are_not_there(tmp_path, file, message):
    with pytest.raises(InputError, match=f"niqe_parameters: .*{message}"):
        niqe_model(str(tmp_path / file))
