"""The tradeoff of [ohayon2024] on networks that nobody here trained, with paired errors: minutes on two cores."""

import functools

import jax
import pytest

from jaxpr.data import photos
from jaxpr.evaluation import SCALES, evaluate
from jaxpr.records.differences import paired_difference
from jaxpr.restorers import bicubic, published_restorer, trained_restorer

PUBLISHED = ("realesr-animevideo-x4", "realesrgan-anime-x4", "realesrgan-x4", "realsr-df2k-x4")


@pytest.mark.slow
def test_what_looks_most_real_is_most_erratic(tmp_path):
    restorers = {"bicubic": functools.partial(bicubic, factor=4), "photos-l1": trained_restorer("photos-l1")}
    restorers |= {name: published_restorer(None, name=name) for name in PUBLISHED}
    protocol = SCALES["small"].replace(limit=5, attack_steps=5, probes=0, uncertainty_block=0)
    found = evaluate(
        jax.random.key(0), restorers, photos("test"), "bicubic-x4", protocol=protocol, out=tmp_path, batch_size=1
    )
    metrics = {restorer.name: restorer.metrics for restorer in found.restorers}
    ratio = {name: of["lipschitz_mean"].value for name, of in metrics.items()}
    distance = {name: of["joint_fd_alexnet"].value for name, of in metrics.items()}
    assert max(ratio, key=ratio.get) == min(distance, key=distance.get) == "realsr-df2k-x4"
    assert sorted(ratio, key=ratio.get)[:3] == ["bicubic", "photos-l1", "realesr-animevideo-x4"]
    # Paired, the few photographs are enough for these; all 24 crops show the distances' differences, too (README).
    for name, other in (("photos-l1", "bicubic"), ("realesr-animevideo-x4", "bicubic")):
        assert paired_difference(metrics[name]["lipschitz_mean"], metrics[other]["lipschitz_mean"]).low > 0
    for name, other in (("realsr-df2k-x4", "realesrgan-x4"), ("photos-l1", "bicubic")):
        assert paired_difference(metrics[name]["joint_fd_alexnet"], metrics[other]["joint_fd_alexnet"]).value < 0
