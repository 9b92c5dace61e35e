"""Protocols by name, and what papers report on test sets that are recognised by their files."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxpr.cli.evaluate import Evaluate
from jaxpr.core import InputError
from jaxpr.data import ImageSource, from_arrays
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import SCALES, evaluate
from jaxpr.evaluation.benchmarks import recognised_benchmark
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.presets import PRESETS, preset_changes, presets_met, published_record
from jaxpr.evaluation.protocol import settings
from jaxpr.records import to_record
from jaxpr.report import published_text, write_report
from jaxpr.restorers import bicubic

SR = parse_degradation("bicubic-x4")
SET5 = ("baby", "bird", "butterfly", "head", "woman")
FITTING = dict.fromkeys(PRESETS, SR) | {"denoising": parse_degradation("noise-0.1")}
KODAK = tuple(f"kodim{i:02d}" for i in range(1, 25))


def images(names: tuple[str, ...], first: tuple[int, int] = (512, 512)) -> ImageSource:
    """Images of one shape under these names; of zeros, so that they cost nothing."""
    source = from_arrays([np.zeros((*first, 3), np.float32)] * len(names), name="set")
    return dataclasses.replace(source, names=names)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_a_protocol_that_meets_it(name):
    degradation = FITTING[name]
    changes = preset_changes(name, degradation)
    protocol = SCALES["small"].replace(**changes)
    assert {setting: settings(protocol)[setting] for setting in changes} == changes
    examples = examples_of(images(SET5), degradation, protocol)
    assert presets_met(examples, degradation, protocol)[name] == changes
    assert name not in presets_met(examples, degradation, protocol.replace(border=1, attack_steps=7, patch_stride=7))


def test_presets_of_super_resolution_follow_the_factor():
    assert preset_changes("sr-benchmark", parse_degradation("bicubic-x3"))["border"] == 3
    assert preset_changes("div2k", parse_degradation("bicubic-x2"))["border"] == 8
    assert preset_changes("fid-imagenet", parse_degradation("average-x8"))["patch_size"] == 32


@pytest.mark.parametrize(
    ("name", "degradation", "expected"),
    [
        ("sr-bench", "bicubic-x4", "did you mean sr-benchmark"),
        ("sr-benchmark", "noise-0.1", "expected super-resolution"),
        ("denoising", "bicubic-x4", "expected noise-STD"),
        ("fid-imagenet", "bicubic-x3", "divides 256"),
    ],
)
def test_presets_refuse_what_they_are_not_for(name, degradation, expected):
    with pytest.raises(InputError, match=f"protocol: .*{expected}"):
        preset_changes(name, parse_degradation(degradation))


def test_options_of_the_command_go_before_the_preset_and_the_preset_before_the_scale():
    given = Evaluate(out="x", protocol="sr-benchmark", border=6, scale="smoke").settled(SR)
    assert (given.distortion.border, given.distortion.channel, given.crop) == (6, "y", 0)
    assert given.limit == SCALES["smoke"].limit


@pytest.mark.parametrize(
    ("names", "first", "found"),
    [
        (SET5, (512, 512), "Set5"),
        (tuple(f"GT/{name}_GT.png" for name in reversed(SET5)), (504, 504), "Set5"),
        (SET5, (256, 256), None),
        (SET5[:4], (512, 512), None),
        ((*SET5, "lenna"), (512, 512), None),
        (tuple(f"img_{i:03d}_SRF_4_HR.png" for i in range(1, 101)), (644, 1024), "Urban100"),
        (tuple(f"img_{i:03d}_SRF_4_HR.png" for i in range(1, 101)), (480, 320), None),
        (tuple(f"{i:04d}x4.png" for i in range(801, 901)), (64, 64), "DIV2K-val"),
        (KODAK, (768, 512), "Kodak24"),
    ],
)
def test_test_sets_are_recognised_by_all_of_their_files(names, first, found):
    known = recognised_benchmark(images(names, first))
    assert (known and known.name) == found


def test_published_numbers_belong_to_the_degradation():
    set5, kodak = recognised_benchmark(images(SET5)), recognised_benchmark(images(KODAK, (512, 768)))
    assert [row.network for row in set5.published(SR)][:2] == ["bicubic", "EDSR"]
    assert set5.published(SR)[0][1:3] == (28.42, 0.8104)
    assert set5.published(parse_degradation("average-x4")) == ()
    assert {row.psnr for row in kodak.published(parse_degradation(f"noise-{25 / 255:.5f}"))} >= {32.15, 32.89}
    assert kodak.published(parse_degradation("noise-0.1")) == ()


def test_published_numbers_are_for_whole_sets_and_name_what_differs():
    source = images(SET5)
    assert published_record(examples_of(source, SR, SCALES["small"]), SR, SCALES["small"]) is None
    whole = SCALES["small"].replace(crop=0)
    known = published_record(examples_of(source, SR, whole), SR, whole)
    assert known["set"] == "Set5"
    assert known["differs"] == ["channel", "border"]
    part = whole.replace(limit=3)
    assert published_record(examples_of(source, SR, part), SR, part) is None


@pytest.mark.thorough
def test_a_run_on_a_known_set_shows_papers_beside_its_own(tmp_path):
    texture = np.random.default_rng(0).random((512, 512, 3), np.float32)
    source = dataclasses.replace(from_arrays([texture] * 5, name="set"), names=SET5)
    protocol = SCALES["smoke"].replace(
        **preset_changes("sr-benchmark", SR), limit=None, attack=None, probes=0, features="pixels", uncertainty_block=0
    )
    restorers = {"bicubic": lambda y: bicubic(y, factor=4)}
    results = evaluate(jax.random.key(0), restorers, source, SR, protocol=protocol, out=tmp_path, progress=False)
    words = published_text(to_record(results))
    own = results.restorers[0].metrics["psnr"].value
    assert words.splitlines()[0] == "Protocol sr-benchmark: crop 0, measurement_bits 8, channel y, border 4"
    assert ["bicubic", f"{own:.2f}"] in [line.split()[:2] for line in words.splitlines()]
    assert "28.42  0.8104  Lim et al. 2017" in words
    assert "Measured here as there" in words
    page = write_report(to_record(results), out=tmp_path / "page").read_text()
    assert "Published on Set5, bicubic-x4" in page
    assert "Wang et al. 2018" in page
