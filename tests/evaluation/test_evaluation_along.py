"""Restorers along alpha in a run: shared programs, the ceiling D(E(x)) against direct computation, questions later."""

import jax
import numpy as np
import pytest
from test_evaluation_run import BICUBIC_X2, PROTOCOL, SOURCE, run

from jaxpr.evaluation.compiled import Compiled
from jaxpr.evaluation.examples import examples_of
from jaxpr.metrics import psnr
from jaxpr.records import alpha_curves, best_alphas, read_record
from jaxpr.restorers import (
    Training,
    autoencoded,
    bicubic,
    build_restorers,
    fit_transport,
    latent_transport,
    plain_encoder,
)


def encode(x):
    return x[:, ::2, ::2]


def decode(z):
    return z.repeat(2, 1).repeat(2, 2)


HALF = plain_encoder(encode, decode, name="half", multiple=2)


def test_members_share_programs_and_alpha_one_is_the_restorer():
    images = [SOURCE[i] for i in range(len(SOURCE))]
    training = Training(lambda: images, BICUBIC_X2, BICUBIC_X2, 3, 20, jax.random.key(0))
    restorers = build_restorers(["bicubic", "bicubic+transport:curve?patch=1"], training)
    compiled = Compiled(restorers, PROTOCOL)
    made = {name: compiled.programs(name) for name in restorers}
    assert len({id(found.restore.func) for found in made.values()}) == 2
    assert made["bicubic"].restore.func is made["bicubic+transport:1?patch=1"].restore.func


@pytest.mark.thorough
def test_the_ceiling_is_measured_from_the_truth(tmp_path):
    def restore(y):
        return bicubic(y, factor=2)

    x = np.stack([SOURCE[0][:32, :32], SOURCE[1][:32, :32]])
    fitted = fit_transport(np.asarray(x), np.asarray(x**1.2), encoder=HALF, patch=1)
    restorers = {"plain": restore, "again": autoencoded(restore, HALF)}
    restorers |= {f"moved {a:g}": latent_transport(restore, fitted, alpha=a, any_size=True) for a in (0.0, 0.5)}
    results = run(tmp_path / "run", restorers, protocol=PROTOCOL.replace(attack=None))
    (ceiling,) = results.references["ceilings"]
    assert (ceiling["name"], ceiling["encoder"]) == ("D(E(x)), half", {"name": "half", "sha256": None})
    examples = examples_of(SOURCE, BICUBIC_X2, PROTOCOL)
    crops = np.stack([examples.image(i) for i in range(len(examples))])
    found = float(np.mean(psnr(decode(encode(crops)), crops, data_range=1.0)))
    assert ceiling["metrics"]["psnr"]["value"] == pytest.approx(found, abs=1e-4)
    assert {"fd_pixels", "joint_fd_pixels", "ssim"} < set(ceiling["metrics"])
    record = read_record(tmp_path / "run")
    assert record["references"]["ceilings"] == [ceiling]
    (curve,) = alpha_curves(record)
    assert (curve.title, curve.alphas, curve.ceiling, curve.again) == ("moved 0", (0.0, 0.5), ceiling, None)
    assert best_alphas(record, wish="least-fd")[curve.title].alpha in (0.0, 0.5)
