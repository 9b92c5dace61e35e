"""What toy laws have in common: how they are drawn from. Formulas and densities are the laws' own.

A law is a frozen dataclass of arrays, registered as a tree, so that it goes through JAX's transformations.
"""

import abc
from typing import Any, Generic, NamedTuple, TypeVar

import jax

from jaxpr.core import Array, Key, check_count, example_keys

__all__ = ["JointLaw", "Law", "Pairs"]

Draw = TypeVar("Draw")


class Pairs(NamedTuple):
    """Draws of a joint law.

    Attributes:
        x: (N, d), the clean points.
        y: (N, m), their measurements.
    """

    x: Array
    y: Array


class Law(abc.ABC, Generic[Draw]):
    """Something that can be drawn from."""

    def sample(self, key: Key, n: int) -> Draw:
        """Return n draws, arrays with leading axis n; draw i depends on the key and i only.

        Args:
            key: one key, or an array of n keys, one for each draw.
            n: number of draws. Static.

        Raises:
            InputError: n is not a positive integer, or the key is not one of `jax.random.key`.
        """
        check_count("n", n)
        draws: Draw = jax.vmap(self._draw)(example_keys(key, n))
        return draws

    @abc.abstractmethod
    def _draw(self, key: Key) -> Draw:
        """One draw, without the leading axis."""


class JointLaw(Law[Pairs]):
    """The law of x and its measurement y."""

    def posterior_sample(self, key: Key, y: Array) -> Array:
        """One draw of p(x|y) for each y, (N, d); [ohayon2024, Eq. (82)] for the toy denoising problem.

        Args:
            key: one key, or an array of N keys, one for each y.
            y: (N, m).

        Raises:
            InputError: y does not fit, or the key is not one of `jax.random.key`.
        """
        given = self._given(y)
        return jax.vmap(self._draw_given)(example_keys(key, y.shape[0]), given)

    @abc.abstractmethod
    def _given(self, y: Array) -> Any:
        """What is known of x for each y: a tree of arrays with leading axis N."""

    @abc.abstractmethod
    def _draw_given(self, key: Key, given: Any) -> Array:
        """One draw of x, (d,), by what is known for one y."""
