"""The standard normal numbers of a sampler: from keys of each image, sample and step, or given by the caller."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, Key, described, example_keys

__all__ = ["Noise", "Purpose", "Supply", "supply"]

Purpose: TypeAlias = Literal["start", "step", "undo", "known", "measurement"]
"""What draws are for: the noisiest image, a reverse step, a step back in time, known pixels, a noisy copy of y."""

Noise: TypeAlias = Mapping[str, ArrayLike] | Callable[[int, str, tuple[int, ...]], ArrayLike]
"""Given draws: arrays by purpose, `start` (samples, N, H, W, C) and others (transitions, samples, N, ...); or a
function of (transition, purpose, shape), asked before the run in the order of the transitions, start first."""

_CODES: dict[str, int] = {"start": 0, "step": 1, "undo": 2, "known": 3, "measurement": 4}


class Supply(NamedTuple):
    """Where draws come from.

    Attributes:
        keys: (samples, N), or None where all draws are given.
        shapes: of the draws for one purpose, (samples, N, ...).
        given: (transitions, samples, N, ...) by purpose, to be scanned over; empty without given draws.
        start: draws for the first state, (samples, N, H, W, C).
        dtype: of all draws.
    """

    keys: Array | None
    shapes: dict[str, tuple[int, ...]]
    given: dict[str, Array]
    start: Array
    dtype: Any

    def draw(self, purpose: Purpose, transition: Array, given: Mapping[str, Array]) -> Array:
        """Standard normal numbers for one transition; `given` is the slice of `self.given` for it.

        Zeros where none were given because no transition uses them.
        """
        if self.keys is None:
            return given[purpose] if purpose in given else jnp.zeros(self.shapes[purpose], self.dtype)
        return _from_keys(self.keys, purpose, transition, self.shapes[purpose], self.dtype)


def supply(
    key: Key,
    noise: Noise | None,
    *,
    purposes: list[tuple[Purpose, ...]],
    shapes: dict[str, tuple[int, ...]],
    dtype: Any,
) -> Supply:
    """Draws for a whole run.

    Args:
        key: one key, or one for each image; images and samples fold in their numbers.
        noise: given draws, or None.
        purposes: of each transition, in the order in which the published programs draw.
        shapes: of the draws for each purpose, (samples, N, ...), `start` among them.
        dtype: of the draws.

    Raises:
        InputError: the key is none, or given draws are missing or have another shape.
    """
    samples, count = shapes["start"][:2]
    by_image = example_keys(key, count)
    if noise is None:
        keys = jax.vmap(lambda s: jax.vmap(jax.random.fold_in, in_axes=(0, None))(by_image, s))(jnp.arange(samples))
        start = _from_keys(keys, "start", jnp.int32(0), shapes["start"], dtype)
        return Supply(keys, shapes, {}, start, dtype)
    used = {purpose for of_one in purposes for purpose in of_one}
    if isinstance(noise, Mapping):
        start = _checked(noise.get("start"), "start", shapes["start"], dtype)
        whole = {p: (len(purposes), *shapes[p]) for p in sorted(used)}
        return Supply(None, shapes, {p: _checked(noise.get(p), p, s, dtype) for p, s in whole.items()}, start, dtype)
    if not callable(noise):
        raise InputError(f"noise: found {described(noise)}, expected arrays by purpose or a function")
    start = _checked(noise(0, "start", shapes["start"]), "start", shapes["start"], dtype)
    drawn: dict[str, list[Array]] = {p: [] for p in sorted(used)}
    for transition, of_one in enumerate(purposes):
        found: dict[str, Array] = {p: _checked(noise(transition, p, shapes[p]), p, shapes[p], dtype) for p in of_one}
        for p, draws in drawn.items():
            draws.append(found[p] if p in found else jnp.zeros(shapes[p], dtype))
    return Supply(None, shapes, {p: jnp.stack(draws) for p, draws in drawn.items()}, start, dtype)


def _from_keys(keys: Array, purpose: str, transition: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    def one(key: Key) -> Array:
        own = jax.random.fold_in(jax.random.fold_in(key, _CODES[purpose]), transition)
        return jax.random.normal(own, shape[2:], dtype)

    return jax.vmap(jax.vmap(one))(keys)


def _checked(draws: ArrayLike | None, purpose: str, shape: tuple[int, ...], dtype: Any) -> Array:
    found = None if draws is None else np.shape(draws)
    if found != shape:
        raise InputError(f"noise: found {found or 'nothing'} for {purpose!r}, expected an array of shape {shape}")
    return jnp.asarray(draws, dtype)
