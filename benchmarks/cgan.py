r"""Training of the toy CGAN of [ohayon2024] at eight robustness weights, against PyTorch.

Command:   .venv/bin/python -m benchmarks.cgan [--scale smoke|small|paper] [--repeats 5]

The work: so many steps for each of 8 values of λ. A step updates a critic and a generator of six hidden layers of 16
(Appendix D.1) on a minibatch of 128 of 100,000 pairs, with R₁ with respect to x and y, the robustness loss of eq. (5),
and Adam (0.5, 0.9); ours also with the schedule of its rate. The paper takes 100,000 steps. Compilation is excluded.
The value is the mean of both losses, generator's and critic's, over the last tenth of the steps that were timed last:
all start from equal weights and draw minibatches and noise of their own.

    jaxpr                 `fit_gan`, the members spread over the cores
    jaxpr, one device     the same without that
    torch ensemble        baddbmm on stacked weights, all λ in one graph, fused Adam, on one thread or two
    torch, λ after λ      linear layers, one network at a time, one thread; not at the paper's size
"""

import argparse
import functools
import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import Contender, compare, parse

STEPS = {"smoke": 50, "small": 1000, "paper": 100_000}
WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
GENERATOR, CRITIC = (1, *[16] * 6, 1), (2, *[16] * 6, 1)
PAIRS, BATCH, VARIANCE = 100_000, 128, 0.2


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Training data (X, Y), columns."""
    x, noise = np.random.default_rng(0).standard_normal((2, PAIRS, 1), np.float32)
    return x, x + noise


class Gate:
    """In place of checkpoints: lets a training go on for `every` steps whenever it is asked to.

    So the compiled program of one call of `fit_gan` is timed in pieces, the first of which compiles it.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.asked: queue.Queue[None] = queue.Queue()
        self.done: queue.Queue[dict[str, np.ndarray]] = queue.Queue()

    def until_next(self, step: int) -> int:
        """Steps until the next piece is complete."""
        return self.every - step % self.every

    def latest(self, like: Any) -> None:
        """Nothing is stored; wait to be asked."""
        self.asked.get()

    def save(self, step: int, state: Any, history: dict[str, np.ndarray]) -> None:
        """Hand the measurements over, and wait."""
        self.done.put(history)
        self.asked.get()

    def run(self) -> list[float]:
        """Ask for a piece; the means of its last losses."""
        self.asked.put(None)
        history = self.done.get()
        last = slice(-max(self.every // 10, 1), None)
        return [float(history[name][last].mean()) for name in ("generator_loss", "critic_loss")]


def ours(steps: int, pieces: int, *, spread: bool) -> Callable[[], Any]:
    """One call of `fit_gan`."""
    from jaxpr.reproduce import use_all_cores

    if spread:
        use_all_cores()
    import jax
    import jax.numpy as jnp

    from jaxpr.toys import denoiser_losses, denoiser_optimizers, start_denoiser
    from jaxpr.training import fit_gan, sharded

    keys = jax.random.split(jax.random.key(0), len(WEIGHTS))
    state = jax.vmap(start_denoiser)(jnp.broadcast_to(jax.random.key(1), keys.shape))
    gate = Gate(steps)
    train = functools.partial(
        fit_gan,
        sharded(keys),
        sharded(state),
        pairs(),
        losses=denoiser_losses(variance=VARIANCE),
        optimizers=denoiser_optimizers(),
        steps=pieces * steps,
        batch_size=BATCH,
        options=sharded(jnp.asarray(WEIGHTS)),
        chunk=1000,
        checkpoints=gate,  # type: ignore[arg-type]
    )
    threading.Thread(target=train, daemon=True).start()
    return gate.run


def layers(vector: np.ndarray, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (..., in, out) and biases (..., 1, out) out of parameters of jaxpr (..., P)."""
    found, begin = [], 0
    for fan_in, fan_out in itertools.pairwise(sizes):
        middle, end = begin + fan_in * fan_out, begin + (fan_in + 1) * fan_out
        weight = vector[..., begin:middle].reshape(*vector.shape[:-1], fan_out, fan_in)
        bias = vector[..., None, middle:end]
        found.append((np.swapaxes(weight, -1, -2).copy(), bias.copy()))
        begin = end
    return found


class TorchGan:
    """Networks and optimisers for the weights λ, stacked; or for one of them, without a leading axis."""

    def __init__(self, weights: Any) -> None:
        import jax
        import torch

        from jaxpr.toys import start_denoiser

        state = start_denoiser(jax.random.key(1))
        self.torch, self.weights, lead = torch, torch.tensor(weights), np.shape(weights)
        self.x, self.y = (torch.from_numpy(part) for part in pairs())
        self.networks, self.adams = [], []
        for vector, sizes in ((state.generator, GENERATOR), (state.critic, CRITIC)):
            stacked = np.broadcast_to(np.asarray(vector), (*lead, vector.size))
            network = [tuple(torch.tensor(p, requires_grad=True) for p in pair) for pair in layers(stacked, sizes)]
            self.networks.append(network)
            flat = [p for pair in network for p in pair]
            self.adams.append(torch.optim.Adam(flat, lr=1e-4, betas=(0.5, 0.9), fused=True))

    def apply(self, network: list[Any], h: Any) -> Any:
        """Points (..., N, in) to outputs (..., N, out)."""
        product = self.torch.addmm if h.ndim == 2 else self.torch.baddbmm
        for weight, bias in network[:-1]:
            h = product(bias, h, weight).relu_()
        return product(network[-1][1], h, network[-1][0])

    def step(self) -> tuple[Any, Any]:
        """One update of the critics and one of the generators; both losses of each member."""
        torch, (generator, critic), (adam_g, adam_c) = self.torch, self.networks, self.adams
        softplus = torch.nn.functional.softplus
        chosen = torch.randint(PAIRS, (*self.weights.shape, BATCH))
        x, y = self.x[chosen], self.y[chosen]
        with torch.no_grad():
            fake = torch.cat([self.apply(generator, y), y], -1)
        real = torch.cat([x, y], -1).requires_grad_()
        logits = self.apply(critic, real)
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        down = softplus(-logits).mean((-2, -1)) + softplus(self.apply(critic, fake)).mean((-2, -1))
        down = down + 0.5 * slope.square().sum(-1).mean(-1)
        self.update(adam_c, critic, down)
        outputs = self.apply(generator, torch.cat([y, y + VARIANCE**0.5 * torch.randn_like(y)], -2))
        first, second = outputs[..., :BATCH, :], outputs[..., BATCH:, :]
        up = softplus(-self.apply(critic, torch.cat([first, y], -1))).mean((-2, -1))
        up = up + self.weights * (first - second).square().mean((-2, -1))
        self.update(adam_g, generator, up)
        return up.detach(), down.detach()

    def update(self, adam: Any, network: list[Any], losses: Any) -> None:
        """A step of Adam; gradients of the network alone."""
        flat = [p for pair in network for p in pair]
        for parameter, gradient in zip(flat, self.torch.autograd.grad(losses.sum(), flat), strict=True):
            parameter.grad = gradient
        adam.step()

    def run(self, steps: int) -> list[float]:
        """Steps, and the means of the last losses."""
        found = [self.step() for _ in range(steps)][-max(steps // 10, 1) :]
        return [float(self.torch.stack(losses).mean()) for losses in zip(*found, strict=True)]


def torch_ensemble(steps: int, threads: int) -> Callable[[], Any]:
    """All λ in one graph."""
    import torch

    torch.set_num_threads(threads)
    return functools.partial(TorchGan(np.asarray(WEIGHTS, np.float32)).run, steps)


def torch_single(steps: int) -> Callable[[], Any]:
    """One λ after the other."""
    import torch

    torch.set_num_threads(1)
    gans = [TorchGan(np.float32(weight)) for weight in WEIGHTS]
    return lambda: np.mean([gan.run(steps) for gan in gans], axis=0)


def main() -> None:
    """All contenders."""
    options = parse(__doc__)
    steps = STEPS[options.scale]
    contenders: dict[str, Contender] = {
        "torch ensemble": lambda: torch_ensemble(steps, 1),
        "torch ensemble, 2 threads": lambda: torch_ensemble(steps, 2),
        "jaxpr": lambda: ours(steps, options.repeats + 1, spread=True),
        "jaxpr, one device": lambda: ours(steps, options.repeats + 1, spread=False),
        "torch, λ after λ": lambda: torch_single(steps),
    }
    if options.scale == "paper":
        del contenders["torch, λ after λ"]
        options = argparse.Namespace(**vars(options) | {"repeats": 1})
    compare(options, f"8 x {steps} steps", contenders, baseline="torch ensemble")


if __name__ == "__main__":
    main()
