"""Small fully connected networks as pure functions, in the layout that is fastest for many of them side by side.

Points are columns: a layer maps (features, N) to `weight @ x + bias`, so that N, the long axis, is contiguous. Besides
the output there is the *activation pattern*, which entries of each hidden layer are positive: with it the gradient with
respect to the input is a chain of masked products, whose own derivative needs no second-order differentiation.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, Key

__all__ = ["Layer", "Layers", "init_mlp", "input_gradient", "mlp", "mlp_with_pattern"]


class Layer(NamedTuple):
    """One affine map.

    Attributes:
        weight: (out, in).
        bias: (out, 1).
    """

    weight: Array
    bias: Array


Layers = tuple[Layer, ...]


def init_mlp(key: Key, sizes: Sequence[int]) -> Layers:
    """Weights and biases uniform in ±1/√in, PyTorch's default for linear layers, which the toy papers' networks use.

    Args:
        key: from `jax.random.key`.
        sizes: features of the input, of each hidden layer, and of the output.

    Raises:
        InputError: fewer than two sizes, or one below 1.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(f"sizes: found {tuple(sizes)}, expected at least two positive numbers of features")

    def layer(key: Key, fan_in: int, fan_out: int) -> Layer:
        k_weight, k_bias = jax.random.split(key)
        bound = 1 / math.sqrt(fan_in)
        return Layer(
            jax.random.uniform(k_weight, (fan_out, fan_in), jnp.float32, minval=-bound, maxval=bound),
            jax.random.uniform(k_bias, (fan_out, 1), jnp.float32, minval=-bound, maxval=bound),
        )

    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(layer(*arguments) for arguments in zip(keys, sizes[:-1], sizes[1:], strict=True))


def mlp(layers: Layers, x: Array) -> Array:
    """The network with rectifiers after all layers but the last: (in, N) to (out, N)."""
    return mlp_with_pattern(layers, x)[0]


def mlp_with_pattern(layers: Layers, x: Array) -> tuple[Array, tuple[Array, ...]]:
    """Output (out, N) and, for each hidden layer, which of its entries are active, bool (features, N)."""
    pattern = []
    for weight, bias in layers[:-1]:
        before = weight @ x + bias
        pattern.append(~(before <= 0))  # NaN counts as active, so that it reaches the output
        x = jnp.where(pattern[-1], before, 0)
    return layers[-1].weight @ x + layers[-1].bias, tuple(pattern)


def input_gradient(layers: Layers, pattern: Sequence[Array]) -> Array:
    """Gradient (in, N) of the sum of the outputs with respect to the input, given the activation pattern there.

    Without hidden layers it is the same everywhere, (in, 1).

    A rectifier network is affine where its pattern is constant; so is this chain in each of the weights, and its
    reverse-mode derivative costs what that of the network does.

    Raises:
        InputError: the pattern is not that of these layers.
    """
    if len(pattern) != len(layers) - 1:
        raise InputError(f"pattern: found {len(pattern)} layers, expected {len(layers) - 1}")
    flow = jnp.sum(layers[-1].weight, axis=0)[:, None]
    for layer, active in zip(layers[-2::-1], pattern[::-1], strict=True):
        flow = layer.weight.T @ jnp.where(active, flow, 0)
    return flow
