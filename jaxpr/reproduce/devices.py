"""Devices of a program that computes experiments: each core of a CPU, and members of ensembles spread over all."""

import os
from collections.abc import Sequence
from typing import Any

import jax

__all__ = ["sharded", "use_all_cores"]


def use_all_cores() -> None:
    """Make each core of a CPU a device, so that independent members of an ensemble train side by side.

    For programs, before they use JAX first; without effect afterwards.
    """
    try:
        jax.config.update("jax_num_cpu_devices", len(_cores()))
    except RuntimeError:  # JAX is in use already
        return


def sharded(members: Any) -> Any:
    """A tree of arrays whose leading axis is members of an ensemble, spread over all devices if they divide it."""
    count = {leaf.shape[0] for leaf in jax.tree.leaves(members)}.pop()
    devices = jax.devices()
    used = max(n for n in range(1, len(devices) + 1) if count % n == 0)
    mesh = jax.make_mesh((used,), ("member",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices[:used])
    return jax.device_put(members, jax.sharding.NamedSharding(mesh, jax.P("member")))


def _cores() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
