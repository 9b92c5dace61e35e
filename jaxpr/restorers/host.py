"""Restorers in plain Python, NumPy, OpenCV or another framework, which JAX cannot trace."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxpr.core import InputError
from jaxpr.restorers.restorer import Restorer, as_restorer

__all__ = ["from_host"]


def from_host(function: Callable[..., Any], *, label: str = "") -> Restorer:
    """A function of NumPy arrays as a restorer: `y -> x̂` on batches, or `(key, y) -> x̂` if it is stochastic.

    It is called outside of compiled programs, and never differentiated: an evaluation measures it without a gradient's
    attack, by random directions and by perturbations that attack another restorer, which bound K̄ from below.

    Args:
        function: takes y (N, h, w, C) in [0, 1], a float32 NumPy array, and returns x̂ (N, H, W, C), any array that
            NumPy takes. With two required arguments it is called for each example on its own, with a key of
            `jax.random`.
        label: what it calls itself.

    Raises:
        InputError: not a function of one or two arguments. When called: it was traced, or fails.
    """
    found = as_restorer(label or "function", function)
    return Restorer(
        _OnHost(found.apply), found.params, stochastic=found.stochastic, label=label, differentiable=False, host=True
    )


class _OnHost:
    """A function that takes and gives NumPy arrays."""

    def __init__(self, apply: Callable[[Any, Any, Any], Any]) -> None:
        self._apply = apply

    def __call__(self, params: Any, key: Any, y: Any) -> Any:
        if isinstance(y, jax.core.Tracer):
            raise InputError("restorer: found a trace, expected arrays: it runs on the host, where JAX cannot see it")
        return np.asarray(self._apply(params, key, np.asarray(y)))
