"""Layers of the library's networks. Parameters have the names and shapes of Flax's own layers."""

from flax import nnx

from jaxpr._core import Array
from jaxpr.numerics.convolution import canonical_convolutions

__all__ = ["Conv"]


class Conv(nnx.Conv):
    """`nnx.Conv`, in all its options and in its parameters `kernel` and `bias`, with fast gradients in CPU loops.

    Its convolution is that of `numerics.conv`; values are those of `nnx.Conv`.
    """

    def __call__(self, inputs: Array) -> Array:
        """Map (..., H, W, in_features) to (..., H', W', out_features)."""
        return canonical_convolutions(super().__call__)(inputs)
