"""How an evaluation calls restorers: one key per example, and parameters as arguments of what is compiled."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, Key, Sampler
from jaxpr.restorers.restorer import Apply, ApplySet, Restorer

__all__ = ["Computation", "computation_of"]


class Computation(NamedTuple):
    """What a restorer computes, apart from its parameters; restorers that have it in common share compiled programs.

    Attributes:
        apply: `(params, key, y) -> x̂`.
        stochastic: does x̂ depend on the key?
        apply_set: as of `Restorer`.
        together: as of `Restorer`.
    """

    apply: Apply
    stochastic: bool
    apply_set: ApplySet | None = None
    together: bool = False

    def sampler(self, params: Any) -> Sampler:
        """`(key, y) -> x̂` in float32, in which everything is measured; a deterministic one ignores its key."""
        return functools.partial(self._sample, params)

    def draw(self, params: Any, keys: Key, y: Array) -> Array:
        """X̂ (N, H, W, C) with one key per example.

        A stochastic restorer is called for each example on its own, with a batch of one, so its numbers do not depend
        on which examples share a batch.
        """
        if not self.stochastic:
            return self._sample(params, None, y)
        return jax.vmap(lambda key, single: self._sample(params, key, single[None])[0])(keys, y)

    def first(self, params: Any, keys: Key, y: Array) -> Array:
        """Draw number 0 of each measurement, (N, H, W, C), where the others do not change it."""
        if self.apply_set is None:
            return self.draw(params, jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 0), y)
        return self.draws(params, keys, y, count=1)[0]

    def draws(self, params: Any, keys: Key, y: Array, *, count: int) -> Array:
        """`count` restorations of each measurement, (count, N, H, W, C), see `Restorer.draws`."""
        whole = Restorer(
            self.apply, params, stochastic=self.stochastic, apply_set=self.apply_set, together=self.together
        )
        return _measured(whole.draws(keys, y, count=count))

    def _sample(self, params: Any, key: Any, y: Array) -> Array:
        return _measured(self.apply(params, key if self.stochastic else None, y))


def _measured(output: Any) -> Any:
    """Half (or double) precision widened (or narrowed); what is no array is left for the trial to refuse."""
    dtype = getattr(output, "dtype", None)
    return output.astype(jnp.float32) if dtype is not None and jnp.issubdtype(dtype, jnp.floating) else output


def computation_of(restorer: Restorer) -> Computation:
    """What a restorer computes, by which compiled programs are found again."""
    return Computation(restorer.apply, restorer.stochastic, restorer.apply_set, restorer.together)
