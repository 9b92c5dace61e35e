r"""I-FGSM through a super-resolution network: jaxpr, the same ascent without its convolutions, and PyTorch.

    .venv/bin/python -m benchmarks.attack [--scale smoke|small|paper] [--repeats 5]

The network is an RRDB (Wang et al. 2018, ESRGAN; residual-in-residual dense blocks) with random weights and plain
`lax.conv_general_dilated`, as a user would bring it. Every contender restores the clean measurements and does the same
ascent steps of the shift of the output; the time is that of all of it, compilation excluded. The value is two entries
of the attacked measurements: equal for all contenders but the first, which draws a random start of its own.

    jaxpr               `attacks.ifgsm`: one compiled scan over the steps
    one step compiled   a Python loop over a jitted step: no scan, so XLA:CPU chooses its layouts itself
    plain scan          what `jax.grad` inside `lax.scan` costs without `canonical_convolutions`
    torch eager         PyTorch, channels first
    torch channels last PyTorch, channels last

Sizes: smoke 1 block on 2 images 16×16; small 4 blocks, 32 features, 8 images 32×32 (×4); paper the published RRDB
(23 blocks, 64 features, growth 32) on 8 images 128×128, for accelerators.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import compare, parse

STEPS = 4
ALPHA = 8 / 255


class Size(NamedTuple):
    """Of the network and its batch."""

    images: int
    pixels: int
    blocks: int
    features: int
    growth: int


SIZES = {"smoke": Size(2, 16, 1, 8, 4), "small": Size(8, 32, 4, 32, 16), "paper": Size(8, 128, 23, 64, 32)}


def problem(size: Size) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Kernels (HWIO) by name and images in [0, 1]."""
    random = np.random.default_rng(0)
    shapes = {"first": (3, size.features), "up1": (size.features,) * 2, "up2": (size.features,) * 2}
    shapes |= {"body": (size.features,) * 2, "fine": (size.features,) * 2, "last": (size.features, 3)}
    for block in range(size.blocks):
        for dense in range(3):
            for i in range(5):
                out = size.growth if i < 4 else size.features
                shapes[f"{block}.{dense}.{i}"] = (size.features + i * size.growth, out)
    kernels = {name: random.normal(size=(3, 3, *s)) / np.sqrt(9 * s[0]) for name, s in shapes.items()}
    images = random.random((size.images, size.pixels, size.pixels, 3), np.float32)
    return {name: kernel.astype(np.float32) for name, kernel in kernels.items()}, images


def rrdb(size: Size, x: Any, conv: Callable[[str, Any], Any], act: Any, cat: Any, double: Any) -> Any:
    """The network on any library's primitives."""
    x = trunk = conv("first", x)
    for block in range(size.blocks):
        start = trunk
        for dense in range(3):
            parts = [trunk]
            for i in range(4):
                parts.append(act(conv(f"{block}.{dense}.{i}", cat(parts))))
            trunk = trunk + 0.2 * conv(f"{block}.{dense}.4", cat(parts))
        trunk = start + 0.2 * trunk
    x = x + conv("body", trunk)
    x = act(conv("up1", double(x)))
    x = act(conv("up2", double(x)))
    return conv("last", act(conv("fine", x)))


def jax_network(size: Size) -> tuple[Callable[[jax.Array], jax.Array], jax.Array]:
    """The network with plain JAX convolutions, and its inputs."""
    kernels, images = problem(size)
    weights = jax.tree.map(jnp.asarray, kernels)

    def conv(name: str, x: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, weights[name], (1, 1), "SAME", dimension_numbers=layout)

    def double(x: jax.Array) -> jax.Array:
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)

    def network(y: jax.Array) -> jax.Array:
        return rrdb(size, y, conv, lambda x: jax.nn.leaky_relu(x, 0.2), lambda p: jnp.concatenate(p, -1), double)

    return network, jnp.asarray(images)


def start(y: jax.Array) -> jax.Array:
    """The same small start for every contender but ours, which draws its own."""
    return ALPHA / 100 * jnp.asarray(np.random.default_rng(1).uniform(-1, 1, y.shape), jnp.float32)


def step_of(network: Callable[[jax.Array], jax.Array], clean: jax.Array, y: jax.Array, delta: jax.Array) -> jax.Array:
    """One step of I-FGSM in plain JAX."""
    gradient = jax.grad(lambda z: jnp.sum(jnp.square(network(z) - clean)))(jnp.clip(y + delta, 0, 1))
    return jnp.clip(delta + ALPHA / STEPS * jnp.sign(gradient), -ALPHA, ALPHA)


def ours(size: Size) -> Callable[[], Any]:
    """The library's attack."""
    from jaxpr.attacks import ifgsm, output_shift

    network, y = jax_network(size)

    @jax.jit
    def run(y: jax.Array) -> jax.Array:
        objective = output_shift(network, y)
        return ifgsm(jax.random.key(0), objective, y, alpha=ALPHA, steps=STEPS, bounds=(0.0, 1.0))

    return lambda: run(y)[0, 0, 0, :2]


def one_step(size: Size) -> Callable[[], Any]:
    """A compiled step, called from Python."""
    network, y = jax_network(size)
    restore = jax.jit(network)
    step = jax.jit(lambda clean, delta: step_of(network, clean, y, delta))

    def run() -> jax.Array:
        clean, delta = restore(y), start(y)
        for _ in range(STEPS):
            delta = step(clean, delta)
        return (y + delta)[0, 0, 0, :2]

    return run


def plain_scan(size: Size) -> Callable[[], Any]:
    """The step inside a scan, without `canonical_convolutions`."""
    network, y = jax_network(size)

    @jax.jit
    def run(delta: jax.Array) -> jax.Array:
        clean = network(y)
        return jax.lax.scan(lambda d, _: (step_of(network, clean, y, d), None), delta, length=STEPS)[0]

    return lambda: (y + run(start(y)))[0, 0, 0, :2]


def torch_eager(size: Size, *, channels_last: bool) -> Callable[[], Any]:
    """The step in PyTorch."""
    import torch

    kernels, images = problem(size)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    weights = {
        name: torch.tensor(k.transpose(3, 2, 0, 1).copy()).to(memory_format=layout) for name, k in kernels.items()
    }
    y = torch.tensor(images.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)
    delta0 = torch.tensor(np.asarray(start(jnp.asarray(images))).transpose(0, 3, 1, 2).copy()).to(memory_format=layout)

    def conv(name: str, x: Any) -> Any:
        return torch.nn.functional.conv2d(x, weights[name], padding=1)

    def network(x: Any) -> Any:
        act = lambda x: torch.nn.functional.leaky_relu(x, 0.2)  # noqa: E731
        double = lambda x: torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")  # noqa: E731
        return rrdb(size, x, conv, act, lambda parts: torch.cat(parts, 1), double)

    def run() -> Any:
        with torch.no_grad():
            clean = network(y)
        delta = delta0
        for _ in range(STEPS):
            moved = (y + delta).clamp(0, 1).requires_grad_()
            (gradient,) = torch.autograd.grad((network(moved) - clean).square().sum(), moved)
            delta = (delta + ALPHA / STEPS * gradient.sign()).clamp(-ALPHA, ALPHA)
        return (y + delta)[0, :2, 0, 0].numpy()

    return run


def main() -> None:
    """All contenders at one size."""
    options = parse(__doc__)
    size = SIZES[options.scale]
    contenders = {
        "jaxpr": lambda: ours(size),
        "one step compiled": lambda: one_step(size),
        "plain scan": lambda: plain_scan(size),
        "torch eager": lambda: torch_eager(size, channels_last=False),
        "torch channels last": lambda: torch_eager(size, channels_last=True),
    }
    compare(options, options.scale, contenders, baseline="torch eager")


if __name__ == "__main__":
    main()
