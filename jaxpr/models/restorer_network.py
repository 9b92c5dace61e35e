r"""Restorers: a network, the degradation it undoes, and where its noise goes, as pure functions of (parameters, y, z).

The network G sees A†y (a U-Net, whose input and output have one size) or y itself (an RRDBNet). A consistent restorer
returns the nearest image to G's output among those with A x̂ = y, so that it is consistent by construction, untrained
too. A deterministic one is the same network with z = 0 ([ohayon2023], Section 6.1).

Operators come from callers, who know degradations by name: `parse_degradation(config.degradation).operator`.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, Key, check_count, example_keys
from jaxpr.models.functional import StatefulModel
from jaxpr.models.layers import Compute
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.unet import UNetConfig, noise_shapes, unet

__all__ = [
    "Operator",
    "RestorerNetwork",
    "network_of",
    "RestorerConfig",
    "check_config",
    "restorer_network",
]


class Operator(Protocol):
    """What a restorer needs of a linear degradation A."""

    def pinv(self, y: Array) -> Array:
        """A† y."""

    def project(self, x: Array, y: Array) -> Array:
        """The nearest x' to x with A x' = y."""


class RestorerConfig(NamedTuple):
    """What makes a restorer, apart from its parameters.

    Attributes:
        network: sizes of the network.
        degradation: the name of what it undoes.
        factor: pixels of x per pixel of y along an axis.
        consistent: whether outputs are projected onto {x : A x = y}.
        stochastic: whether z is drawn; zero otherwise.
    """

    network: UNetConfig | RRDBNetConfig
    degradation: str
    factor: int
    consistent: bool
    stochastic: bool

    @property
    def channels(self) -> int:
        """Channels of x and of y."""
        return self.network.channels if isinstance(self.network, UNetConfig) else self.network.num_out_ch


class RestorerNetwork(NamedTuple):
    """A restorer as pure functions.

    Attributes:
        config: what it was made of.
        init: maps a key to parameters.
        apply: maps (parameters, y, z) to x̂, each example on its own; y (N, h, w, C) in [0, 1], any h and w that the
            network and the degradation take, x̂ (N, factor·h, factor·w, C).
        train: likewise with the statistics of the batch, to x̂ and the parameters with renewed running statistics.
        seeds: maps (key or one key per example, y) to z: standard normal arrays, or zeros if it is deterministic.
        statistics: see `StatefulModel`.
    """

    config: RestorerConfig
    init: Callable[[Key], dict[Any, Any]]
    apply: Callable[[Any, Array, Any], Array]
    train: Callable[[Any, Array, Any], tuple[Array, Any]]
    seeds: Callable[[Key, Array], tuple[Array, ...]]
    statistics: dict[Any, Any]


def restorer_network(
    config: RestorerConfig,
    *,
    operators: Callable[[tuple[int, int, int]], Operator],
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> RestorerNetwork:
    """The functions of a restorer.

    Args:
        config: what to make.
        operators: maps the shape (H, W, C) of x to A for such images; called while functions are traced.
        compute: dtype, precision and memory of the network.

    Raises:
        InputError: a factor below one, an RRDBNet of another scale, or one that should be stochastic.
    """
    network = network_of(config, compute)
    on_pixels = isinstance(config.network, UNetConfig)

    def operator_of(y: Array) -> Operator:
        _, height, width, channels = _checked(y)
        return operators((config.factor * height, config.factor * width, channels))

    def inputs(y: Array, z: Any) -> tuple[Any, ...]:
        return (operator_of(y).pinv(y), z) if on_pixels else (y,)

    def consistent(x: Array, y: Array) -> Array:
        return operator_of(y).project(x, y) if config.consistent else x

    def apply(params: Any, y: Array, z: Any) -> Array:
        return consistent(network.apply(params, *inputs(y, z)), y)

    def train(params: Any, y: Array, z: Any) -> tuple[Array, Any]:
        x, renewed = network.train(params, *inputs(y, z))
        return consistent(x, y), renewed

    def seeds(key: Key, y: Array) -> tuple[Array, ...]:
        n, height, width, _ = _checked(y)
        if not isinstance(config.network, UNetConfig):
            return ()
        shapes = noise_shapes(config.network, config.factor * height, config.factor * width)
        if not config.stochastic:
            return tuple(jnp.zeros((n, *shape), y.dtype) for shape in shapes)

        def draw(key: Key) -> tuple[Array, ...]:
            keys = jax.random.split(key, len(shapes))
            return tuple(jax.random.normal(k, shape, y.dtype) for k, shape in zip(keys, shapes, strict=True))

        return jax.vmap(draw)(example_keys(key, n))

    return RestorerNetwork(config, network.init, apply, train, seeds, network.statistics)


def check_config(config: RestorerConfig) -> None:
    """Raise unless a restorer can be made so.

    Raises:
        InputError: a factor below one, an RRDBNet of another scale, or one that should be stochastic.
    """
    check_count("factor", config.factor)
    if isinstance(config.network, UNetConfig):
        return
    if config.network.scale != config.factor:
        raise InputError(f"network: found an RRDBNet of scale {config.network.scale}, expected {config.factor}")
    if config.stochastic:
        raise InputError("stochastic: found an RRDBNet, which has no input for noise, expected a U-Net")


def network_of(config: RestorerConfig, compute: Compute) -> StatefulModel:
    """The network alone, before anything is made consistent."""
    check_config(config)
    if isinstance(config.network, UNetConfig):
        return unet(config.network, compute=compute)
    model = rrdbnet(config.network, compute=compute)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return StatefulModel(
        model.init,
        model.apply,
        lambda params, *args: (model.apply(params, *args), params),
        jax.tree.map(lambda _: False, shapes),
    )


def _checked(y: Array) -> tuple[int, int, int, int]:
    if jnp.ndim(y) != 4 or not jnp.issubdtype(jnp.result_type(y), jnp.floating):
        raise InputError(
            f"y: found {jnp.result_type(y)} of shape {jnp.shape(y)}, expected measurements (N, h, w, C), floating point"
        )
    n, height, width, channels = jnp.shape(y)
    return n, height, width, channels
