r"""Diffusion samplers: jaxpr, and the same loop around the same network in PyTorch.

    .venv/bin/python -m benchmarks.samplers [--scale smoke|small|paper] [--repeats 5]

The network is the small ADM U-Net of the recipe `photos32` (width 32, attention at the lowest resolution) with drawn
weights; the task is inpainting without noise, so that a sampler's arithmetic is a few lines in PyTorch, too. All draws
are given, so that all contenders compute the same images: the value is four of their numbers. Time is that of all
steps of all answers together, compilation excluded; the first call has it.

    jaxpr               `samplers.ddrm`, `ddnm` or `dps`, one compiled scan over the steps
    jaxpr, plain        the same with convolutions as XLA:CPU lays them out itself inside a scan
    jaxpr, cache 3      the network's deep part at every third step only (ddrm and ddnm; other images, therefore)
    torch eager         PyTorch, channels first
    torch channels last PyTorch, channels last

Sizes: smoke two answers of 8×8, 2 steps; small ten answers of 32×32, 20 steps; paper how time and memory grow with the
number of answers, their size and the steps.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import Contender, compare, parse
from jaxpr.degradations import Inpainting
from jaxpr.diffusion import Schedule, cached_denoiser, from_eps, linear_schedule, respaced, strided
from jaxpr.models.adm_files import ADM_UNET
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet, split_adm_unet
from jaxpr.models.naming import abstract_parameters, convert, torch_shapes

ETA, SCALE = 0.85, 0.5
SCHEDULE = linear_schedule()


class Size(NamedTuple):
    """What is sampled: so many answers to one measurement, of so many pixels, in so many steps."""

    sampler: str
    answers: int
    side: int
    steps: int

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.sampler} {self.answers}x{self.side}x{self.side}, {self.steps} steps"


SIZES = {
    "smoke": [Size(sampler, 2, 8, 2) for sampler in ("ddrm", "ddnm", "dps")],
    "small": [Size(sampler, 10, 32, 20) for sampler in ("ddrm", "ddnm", "dps")],
    "paper": [
        *(Size("ddnm", answers, 32, 20) for answers in (1, 5, 25)),
        *(Size("ddnm", 5, side, 20) for side in (64, 128)),
        *(Size("ddnm", 5, 32, steps) for steps in (50, 100)),
    ],
}
NETWORK = ADMUNetConfig(
    out_channels=3,
    model_channels=32,
    num_res_blocks=1,
    attention_resolutions=(4,),
    channel_mult=(1, 2, 2),
    num_head_channels=32,
)


class Problem(NamedTuple):
    """The same for all contenders.

    Attributes:
        tensors: of the network, under the names of a file.
        y: the measurement (1, side, side, 3), zero where nothing is known.
        known: (side, side).
        start: the first state on [-1, 1], (answers, side, side, 3).
        draws: of the steps, (steps, answers, side, side, 3).
    """

    tensors: dict[str, np.ndarray]
    y: np.ndarray
    known: np.ndarray
    start: np.ndarray
    draws: np.ndarray


def problem(size: Size) -> Problem:
    """Weights that let about as much through as comes in, an image without its upper half, and noise."""
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in torch_shapes(abstract_parameters(adm_unet(NETWORK))).items():
        values = random.standard_normal(shape, np.float32)
        gain = 0.1 if name.startswith("out.2") else 1.0
        tensors[name] = values * np.float32(gain / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.1)
    known = np.repeat(np.arange(size.side)[:, None] >= size.side // 2, size.side, axis=1)
    shape = (size.side, size.side, 3)
    y = random.random((1, *shape), np.float32) * known[..., None]
    start = random.standard_normal((size.answers, *shape), np.float32)
    return Problem(tensors, y, known, start, random.standard_normal((size.steps, *start.shape), np.float32))


def visited(size: Size) -> Schedule:
    """The timesteps of the sampler."""
    return (respaced if size.sampler == "dps" else strided)(SCHEDULE, size.steps)


def ours(size: Size, *, plain: bool = False, cache: int = 1) -> Callable[[], Any]:
    """The library's sampler; `plain` with JAX's own convolutions; `cache` with deep features of so many steps."""
    if plain:
        from jaxpr.models import layers

        layers.canonical_convolutions = lambda fn: fn
    from jaxpr import samplers

    given, model = problem(size), adm_unet(NETWORK)
    params = convert(abstract_parameters(model), given.tensors, ADM_UNET.namings, source="drawn")
    noise = {"start": given.start[:, None], "step": given.draws[:, :, None]}
    sample: Any = {"ddrm": samplers.ddrm, "ddnm": samplers.ddnm, "dps": samplers.dps}[size.sampler]
    options: dict[str, Any] = {"scale": SCALE} if size.sampler == "dps" else {"eta": ETA}

    def denoiser(params: Any) -> Any:
        adapter = functools.partial(from_eps, schedule=SCHEDULE)
        if cache == 1:
            return adapter(functools.partial(model.apply, params))
        parts = split_adm_unet(NETWORK)
        whole, shallow = functools.partial(parts.whole, params), functools.partial(parts.shallow, params)
        return cached_denoiser(whole, shallow, adapter=adapter, every=cache)

    @jax.jit
    def run(params: Any, y: Any, noise: Any) -> Any:
        return sample(
            jax.random.key(0),
            denoiser(params),
            y,
            Inpainting(given.known, channels=3),
            schedule=visited(size),
            samples=size.answers,
            noise_std=0.0,
            noise=noise,
            **options,
        ).x

    noise, y = jax.tree.map(jnp.asarray, (noise, given.y))
    return lambda: run(params, y, noise)[0, 0, 0, :2, :2]


class TorchUNet:
    """The network in PyTorch, channels first, from the same tensors."""

    def __init__(self, tensors: dict[str, np.ndarray], layout: Any) -> None:
        import torch

        self.torch, self.f = torch, torch.nn.functional
        self.w = {name: torch.tensor(a) for name, a in tensors.items()}
        self.w = {name: a.to(memory_format=layout) if a.dim() == 4 else a for name, a in self.w.items()}

    def norm(self, name: str, x: Any) -> Any:
        """Of 32 groups of channels."""
        return self.f.group_norm(x, 32, self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5)

    def conv(self, name: str, x: Any) -> Any:
        """With zeros around the image."""
        weight = self.w[f"{name}.weight"]
        return self.f.conv2d(x, weight, self.w[f"{name}.bias"], padding=weight.shape[2] // 2)

    def dense(self, name: str, x: Any) -> Any:
        """On the last axis."""
        return self.f.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def residual(self, name: str, x: Any, embedding: Any, resample: Callable[[Any], Any] | None = None) -> Any:
        """A block, which may change the resolution."""
        h = self.f.silu(self.norm(f"{name}.norm1", x))
        if resample is not None:
            h, x = resample(h), resample(x)
        h = self.conv(f"{name}.conv1", h)
        scale, shift = self.dense(f"{name}.temb_proj", self.f.silu(embedding))[:, :, None, None].chunk(2, 1)
        h = self.norm(f"{name}.norm2", h) * (1 + scale) + shift
        h = self.conv(f"{name}.conv2", self.f.silu(h))
        return h + (self.conv(f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in self.w else x)

    def attention(self, name: str, x: Any) -> Any:
        """Over all positions."""
        n, width, height, columns = x.shape
        qkv = self.dense(f"{name}.qkv", self.norm(f"{name}.norm", x).flatten(2).transpose(1, 2))
        q, k, v = qkv.view(n, height * columns, -1, 3, NETWORK.num_head_channels).permute(3, 0, 2, 1, 4)
        h = self.f.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.dense(f"{name}.proj_out", h).transpose(1, 2).view(n, width, height, columns)

    def stage(self, name: str, x: Any, embedding: Any) -> Any:
        """A block, and attention where there is one."""
        x = self.residual(f"{name}.0", x, embedding)
        return self.attention(f"{name}.1", x) if f"{name}.1.qkv.weight" in self.w else x

    def __call__(self, x: Any, t: int) -> Any:
        """The predicted noise of (N, C, H, W) at one time."""
        half = NETWORK.model_channels // 2
        phases = t * self.torch.exp(-np.log(10000) / half * self.torch.arange(half))
        waves = self.torch.cat([phases.cos(), phases.sin()])[None]
        embedding = self.dense("time_embed.dense.1", self.f.silu(self.dense("time_embed.dense.0", waves)))
        halve, double = (
            functools.partial(self.f.avg_pool2d, kernel_size=2),
            functools.partial(self.f.interpolate, scale_factor=2, mode="nearest"),
        )
        levels, blocks = len(NETWORK.channel_mult), NETWORK.num_res_blocks
        kept = [self.conv("input_blocks.0.0", x)]
        for level in range(levels):
            if level:
                kept.append(self.residual(f"input_blocks.{len(kept)}.0", kept[-1], embedding, halve))
            for _ in range(blocks):
                kept.append(self.stage(f"input_blocks.{len(kept)}", kept[-1], embedding))
        h = self.stage("middle_block", kept[-1], embedding)
        h = self.residual("middle_block.2", h, embedding)
        for i in range(levels * (blocks + 1)):
            name = f"output_blocks.{i}"
            h = self.stage(name, self.torch.cat([h, kept.pop()], 1), embedding)
            if i < (levels - 1) * (blocks + 1) and i % (blocks + 1) == blocks:
                last = 2 if f"{name}.1.qkv.weight" in self.w else 1
                h = self.residual(f"{name}.{last}", h, embedding, double)
        return self.conv("out.2", self.f.silu(self.norm("out.0", h)))


def torch_eager(size: Size, *, channels_last: bool = False) -> Callable[[], Any]:
    """The loops in PyTorch, as their authors write them."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    given = problem(size)
    network = TorchUNet(given.tensors, layout)
    start, y, draws = (
        torch.tensor(np.moveaxis(array, -1, -3).copy()) for array in (given.start, 2 * given.y - 1, given.draws)
    )
    known = torch.tensor(given.known)
    start = start.to(memory_format=layout)
    schedule = visited(size)
    run = {"ddrm": torch_ddrm, "ddnm": torch_ddnm, "dps": torch_dps}[size.sampler]
    return lambda: (run(network, start, y, known, draws, schedule)[0, :2, 0, :2].T.numpy() + 1) / 2


def torch_ddrm(network: Any, x: Any, y: Any, known: Any, draws: Any, schedule: Schedule) -> Any:
    """Of inpainting without noise: known pixels are y with the step's noise, others a step of DDIM."""
    import torch

    levels = np.append(1.0, schedule.alpha_bar)
    sigma = np.sqrt((1 - levels) / levels)
    with torch.inference_mode():
        x = float(np.sqrt(levels[-1])) * torch.where(known, y + float(sigma[-1]) * x, float(sigma[-1]) * x)
        for i, z in zip(range(schedule.steps, 0, -1), draws, strict=True):
            eps = network(x, int(schedule.timesteps[i - 1]))
            x0 = (x - float(np.sqrt(1 - levels[i])) * eps) / float(np.sqrt(levels[i]))
            level = float(sigma[i - 1])
            unseen = x0 + level * (float(np.sqrt(1 - ETA**2)) * eps + ETA * z)
            x = float(np.sqrt(levels[i - 1])) * torch.where(known, y + level * z, unseen)
    return x


def torch_ddnm(network: Any, x: Any, y: Any, known: Any, draws: Any, schedule: Schedule) -> Any:
    """Known pixels of each prediction are y, then a step of DDIM."""
    import torch

    levels = np.append(1.0, schedule.alpha_bar)
    with torch.inference_mode():
        for i, z in zip(range(schedule.steps, 0, -1), draws, strict=True):
            eps = network(x, int(schedule.timesteps[i - 1]))
            x0 = (x - float(np.sqrt(1 - levels[i])) * eps) / float(np.sqrt(levels[i]))
            x0 = torch.where(known, y, x0)
            noise = float(np.sqrt(1 - levels[i - 1]))
            x = float(np.sqrt(levels[i - 1])) * x0 + noise * (ETA * z + float(np.sqrt(1 - ETA**2)) * eps)
    return x


def torch_dps(network: Any, x: Any, y: Any, known: Any, draws: Any, schedule: Schedule) -> Any:
    """A step of DDPM, and one along the gradient of the distance to y."""
    import torch

    found, levels = schedule.reverse_coefficients(), np.asarray(schedule.alpha_bar)
    for i, z in zip(range(schedule.steps - 1, -1, -1), draws, strict=True):
        x = x.detach().requires_grad_()
        eps = network(x, int(schedule.timesteps[i]))
        x0 = ((x - float(np.sqrt(1 - levels[i])) * eps) / float(np.sqrt(levels[i]))).clamp(-1, 1)
        norms = torch.where(known, x0 - y, 0).flatten(1).norm(dim=1)
        (slope,) = torch.autograd.grad(norms.sum(), x)
        with torch.no_grad():
            x = float(found.of_x0[i]) * x0 + float(found.of_x[i]) * x - SCALE * slope
            x = x + (i > 0) * float(np.exp(found.log_variance[i] / 2)) * z
    return x.detach()


def main() -> None:
    """All contenders at all sizes of a scale."""
    options = parse(__doc__)
    for size in SIZES[options.scale]:
        contenders: dict[str, Contender] = {
            "jaxpr": functools.partial(ours, size),
            "jaxpr, plain": functools.partial(ours, size, plain=True),
            "torch eager": functools.partial(torch_eager, size),
            "torch channels last": functools.partial(torch_eager, size, channels_last=True),
        }
        if size.sampler != "dps":
            contenders["jaxpr, cache 3"] = functools.partial(ours, size, cache=3)
        if options.scale == "paper":
            del contenders["jaxpr, plain"]
        found = compare(options, size.name, contenders, baseline="torch eager")
        for name, run in found.items():
            print(f"{name:26}{size.steps / np.median(run['seconds']):10.3g} steps per second")


if __name__ == "__main__":
    main()
