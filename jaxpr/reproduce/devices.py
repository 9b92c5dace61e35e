"""Devices of a program that computes experiments: each core of a CPU."""

import os
from collections.abc import Sequence

import jax

__all__ = ["use_all_cores"]


def use_all_cores() -> None:
    """Make each core of a CPU a device, so that independent members of an ensemble train side by side.

    For programs, before they use JAX first; without effect afterwards.
    """
    try:
        jax.config.update("jax_num_cpu_devices", len(_cores()))
    except RuntimeError:  # JAX is in use already
        return


def _cores() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
