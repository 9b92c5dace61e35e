"""Attacks on restorers: one ascent rule times one objective, batched and compiled.

An objective maps measurements (N, ...) to values (N,); attacks see only callables.
"""

from jaxpr.attacks.apgd import apgd
from jaxpr.attacks.budget import alpha_psnr, epsilon_for_psnr, input_psnr
from jaxpr.attacks.explore import PosteriorExploration, RangeMaps, explore_posterior, range_coverage, range_maps
from jaxpr.attacks.gradients import GradientState, GradientStatus, classify_gradient, gradient_status
from jaxpr.attacks.ifgsm import ifgsm
from jaxpr.attacks.l2_adam import l2_adam
from jaxpr.attacks.lipschitz import lipschitz_ratio, local_lipschitz, shift_ratio
from jaxpr.attacks.objectives import (
    class_log_probability,
    expected_output_shift,
    farthest_from,
    negated,
    output_shift,
)
from jaxpr.attacks.sweep import ALPHAS, AttackSweep, attack_sweep

__all__ = [
    "ALPHAS",
    "AttackSweep",
    "GradientState",
    "GradientStatus",
    "PosteriorExploration",
    "RangeMaps",
    "alpha_psnr",
    "apgd",
    "attack_sweep",
    "class_log_probability",
    "classify_gradient",
    "epsilon_for_psnr",
    "expected_output_shift",
    "explore_posterior",
    "farthest_from",
    "gradient_status",
    "ifgsm",
    "input_psnr",
    "l2_adam",
    "lipschitz_ratio",
    "local_lipschitz",
    "negated",
    "output_shift",
    "range_coverage",
    "range_maps",
    "shift_ratio",
]
