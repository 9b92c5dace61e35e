"""Attacks on restorers: one ascent rule times one objective, batched and compiled.

An objective maps measurements (N, ...) to values (N,); attacks see only callables.
"""

from jaxpr.attacks.ifgsm import ifgsm
from jaxpr.attacks.lipschitz import lipschitz_ratio, shift_ratio
from jaxpr.attacks.objectives import output_shift

__all__ = ["ifgsm", "lipschitz_ratio", "output_shift", "shift_ratio"]
