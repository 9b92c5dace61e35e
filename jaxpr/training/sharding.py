"""Members of an ensemble, or examples of a batch, spread over devices."""

from typing import Any

import jax

__all__ = ["sharded"]


def sharded(members: Any) -> Any:
    """A tree of arrays whose leading axis is members of an ensemble, spread over all devices if they divide it."""
    count = {leaf.shape[0] for leaf in jax.tree.leaves(members)}.pop()
    devices = jax.devices()
    used = max(n for n in range(1, len(devices) + 1) if count % n == 0)
    mesh = jax.make_mesh((used,), ("member",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices[:used])
    return jax.device_put(members, jax.sharding.NamedSharding(mesh, jax.P("member")))
