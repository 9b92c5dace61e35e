"""The experiments of [cohen2024md]: what their numbers and claims mean."""

import numpy as np
import pytest

from jaxpr.reproduce import load_experiment
from jaxpr.reproduce.sampled_sets import image_prior


def test_kurtosis_tells_rare_modes_from_gaussians():
    module = load_experiment("cohen2024md/many_answers")
    generator = np.random.default_rng(0)
    points = generator.standard_normal((1000, 3)) * (1.0, 0.5, 0.2)
    found, gaussian = module.kurtosis_pair(generator, points)
    assert abs(found - 3) < 0.7
    assert abs(gaussian - 3) < 0.7
    points[:20, 0] += 12  # two of a hundred answers lie apart
    found, gaussian = module.kurtosis_pair(generator, points)
    assert found > 10
    assert abs(gaussian - 3) < 0.7


def guided_claims(more: float, worse: float, psnr: float):
    """Claims of a prior with two tasks and one sampler each, by their first words after the prior's name."""
    module = load_experiment("cohen2024md/guided_sets")
    prior = image_prior("digits", images=4, kernels=2)
    spread = np.array([-0.1, 0.1, -0.05, 0.05])
    ones = np.ones(4)
    rows = {
        (task, "ddrm"): module.Row(
            (ones, ones + more + spread), (ones, ones + worse + spread), (50 * ones, psnr * ones), (ones, ones), 0.5
        )
        for task in ("inpainting", "×4, σ = 0.05")
    }
    chosen = [task for task in module.tasks_of(prior) if task.name in ("inpainting", "×4, σ = 0.05")]
    found = module.Found(prior, chosen, rows, {}, ("a", "b"))
    table = module.table(found)
    assert all(len(row) == len(table.columns) for row in table.rows)
    return [claim.holds for claim in module.claims(found)]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0.5, 0.0, 50.5), [True, True, True, True]),
        ((0.01, 0.0, 50.0), [False, True, True, True]),  # within two errors
        ((0.5, 0.5, 50.0), [True, False, True, True]),
        ((0.5, -0.5, 44.0), [True, True, False, False]),
    ],
)
def test_claims_of_guided_sets_are_decided_by_errors(numbers, expected):
    assert guided_claims(*numbers) == expected


def test_diversity_must_rise_at_every_setting():
    module = load_experiment("cohen2024md/guidance_ablation")
    spread = np.array([-0.1, 0.1, -0.05, 0.05])

    def sweep(*means: float):
        zeros, sets = np.zeros(4), np.zeros((5, 8, 8, 1))
        return {str(i): module.Point(m + i * spread, zeros, zeros, zeros, sets) for i, m in enumerate(means)}

    assert module.rising(sweep(1.0, 2.0, 3.0), np.arange(4))[0]
    assert not module.rising(sweep(1.0, 2.0, 2.01), np.arange(4))[0]


def test_exactness_compares_what_it_measured():
    module = load_experiment("cohen2024md/sampler_exactness")
    looks = set(module.LOOKS)
    assert all(set(module.methods(sizes)) == looks for sizes in module.SIZES.values())
    assert module.mean_error(np.array([1.0, 3.0])) == (2.0, 1.0)
