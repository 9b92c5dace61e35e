"""The vision transformer as a classifier of images, under the names of Hugging Face's files.

Images in [-1, 1] (`2x - 1`), at 224×224 for the published `google/vit-base-patch16-224`; other sizes interpolate the
position embeddings. The way from a restorer to class probabilities is `softmax(apply(params, 2x - 1))`.

Paper: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, check_channels, conv2d, gelu, in_turn, layer_norm, linear
from jaxpr.models.naming import Naming, Network, Shapes, indices
from jaxpr.models.windows import attention
from jaxpr.numerics.resampling import CUBIC_SHARP, clamp, resize

__all__ = ["VIT", "ViTConfig", "vit"]

_HEAD_WIDTH = 64
_HUGE_WIDTH, _HUGE_HEADS = 1280, 16


class ViTConfig(NamedTuple):
    """Sizes of a ViT, named as in its published `config.json`; the defaults are those of ViT-B/16.

    Attributes:
        hidden_size: width.
        num_hidden_layers: blocks.
        num_attention_heads: heads of each.
        intermediate_size: width inside the blocks' dense layers.
        image_size: side of the images in training, a multiple of the patches.
        patch_size: side of the patches.
        num_channels: of the images.
        layer_norm_eps: of the normalisations.
        qkv_bias: whether queries, keys and values have biases.
        num_labels: classes.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True
    num_labels: int = 1000


class _Attention(nnx.Module):
    """Queries, keys and values of multi-head attention over all tokens."""

    def __init__(self, config: ViTConfig, *, compute: Compute, rngs: Keys) -> None:
        self.heads, self.compute = config.num_attention_heads, nnx.static(compute)
        width = config.hidden_size
        for name in ("query", "key", "value"):
            setattr(self, name, linear(width, width, bias=config.qkv_bias, compute=compute, rngs=rngs))

    def __call__(self, x: Array) -> Array:
        n, length, width = x.shape
        q, k, v = (
            part.reshape(n, length, self.heads, -1).transpose(0, 2, 1, 3)
            for part in (self.query(x), self.key(x), self.value(x))
        )
        scale = (width // self.heads) ** -0.5
        out = attention(q, k, v, scale=scale, compute=self.compute)
        return out.transpose(0, 2, 1, 3).reshape(n, length, width)


class _Block(nnx.Module):
    """Attention, then dense layers, both behind a normalisation and beside a residual connection."""

    def __init__(self, config: ViTConfig, *, compute: Compute, rngs: Keys) -> None:
        width, inner, epsilon = config.hidden_size, config.intermediate_size, config.layer_norm_eps

        def dense(inputs: int, outputs: int) -> nnx.Dict:
            return nnx.Dict({"dense": linear(inputs, outputs, compute=compute, rngs=rngs)})

        self.attention = nnx.Dict(
            {"attention": _Attention(config, compute=compute, rngs=rngs), "output": dense(width, width)}
        )
        self.intermediate = dense(width, inner)
        self.output = dense(inner, width)
        self.layernorm_before = layer_norm(width, epsilon=epsilon, compute=compute, rngs=rngs)
        self.layernorm_after = layer_norm(width, epsilon=epsilon, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.attention["output"].dense(self.attention["attention"](self.layernorm_before(x)))
        return x + self.output.dense(gelu(self.intermediate.dense(self.layernorm_after(x))))


class _Embeddings(nnx.Module):
    """Patches to tokens, row by row, behind a token of the class; each gets the embedding of its position."""

    def __init__(self, config: ViTConfig, *, compute: Compute, rngs: Keys) -> None:
        self.side, self.compute = config.image_size // config.patch_size, nnx.static(compute)
        width, patch = config.hidden_size, config.patch_size

        def drawn(tokens: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.truncated_normal(rngs.params(), -2, 2, (1, tokens, width), jnp.float32))

        self.cls_token = drawn(1)
        self.position_embeddings = drawn(self.side**2 + 1)
        projection = conv2d(config.num_channels, width, size=patch, stride=patch, padding=0, compute=compute, rngs=rngs)
        self.patch_embeddings = nnx.Dict({"projection": projection})

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, num_channels) to tokens (N, 1 + H/patch · W/patch, width)."""
        patches = self.patch_embeddings.projection(x)
        n, height, width, channels = patches.shape
        first = jnp.broadcast_to(self.cls_token[...].astype(patches.dtype), (n, 1, channels))
        tokens = jnp.concatenate([first, patches.reshape(n, -1, channels)], axis=1)
        return tokens + self._positions(height, width).astype(patches.dtype)

    def _positions(self, height: int, width: int) -> Array:
        embeddings = self.position_embeddings[...]
        if (height, width) == (self.side, self.side):
            return embeddings
        grid = embeddings[:, 1:].reshape(1, self.side, self.side, -1)
        grid = resize(grid, (height, width), kernel=CUBIC_SHARP, antialias=False, border=clamp)
        return jnp.concatenate([embeddings[:, :1], grid.reshape(1, height * width, -1)], axis=1)


class _Encoder(nnx.Module):
    def __init__(self, config: ViTConfig, *, compute: Compute, rngs: Keys) -> None:
        blocks = [_Block(config, compute=compute, rngs=rngs) for _ in range(config.num_hidden_layers)]
        self.layer = nnx.List(blocks)


class _Trunk(nnx.Module):
    """All but the classifier."""

    def __init__(self, config: ViTConfig, *, compute: Compute, rngs: Keys) -> None:
        self.remat = compute.remat
        self.embeddings = _Embeddings(config, compute=compute, rngs=rngs)
        self.encoder = _Encoder(config, compute=compute, rngs=rngs)
        self.layernorm = layer_norm(config.hidden_size, epsilon=config.layer_norm_eps, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, num_channels) to normalised tokens, the class's first."""
        return self.layernorm(in_turn(self.encoder.layer, self.embeddings(x), remat=self.remat))


class _ViT(nnx.Module):
    def __init__(self, config: ViTConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config = nnx.static(config)
        self.vit = _Trunk(config, compute=compute, rngs=rngs)
        self.classifier = linear(config.hidden_size, config.num_labels, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, num_channels) to logits (N, num_labels)."""
        check_channels(x, self.config.num_channels)
        if min(x.shape[1:3]) < (patch := self.config.patch_size):
            raise InputError(f"x: found {x.shape[1]}×{x.shape[2]} pixels, expected at least one patch of {patch}")
        return self.classifier(self.vit(x)[:, 0]).astype(x.dtype)


def vit(config: ViTConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps images (N, H, W, num_channels) in [-1, 1] to logits (N, num_labels). At another size
        than `image_size`, position embeddings are interpolated bicubically, as the published code does when asked to;
        rows and columns of pixels beyond whole patches are not looked at.

    Raises:
        InputError: sizes that do not fit together; when applied: an image smaller than a patch.
    """
    if config.hidden_size % config.num_attention_heads:
        raise InputError(
            f"hidden_size: found {config.hidden_size}, expected a multiple of num_attention_heads "
            f"{config.num_attention_heads}"
        )
    if config.image_size < config.patch_size:
        raise InputError(f"image_size: found {config.image_size}, expected at least patch_size {config.patch_size}")
    return functional(lambda rngs: _ViT(config, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> ViTConfig | None:
    """Heads cannot be seen: 16 for the width 1280 (ViT-H), else one for every 64 channels, as all published have."""
    block = "vit.encoder.layer.0."
    names = (
        "vit.embeddings.patch_embeddings.projection.weight",
        "vit.embeddings.position_embeddings",
        block + "intermediate.dense.weight",
        "classifier.weight",
    )
    if any(name not in shapes for name in names):
        return None
    projection, positions, inner, classifier = (shapes[name] for name in names)
    width, channels, patch, _ = projection
    heads = _HUGE_HEADS if width == _HUGE_WIDTH else max(1, width // _HEAD_WIDTH)
    return ViTConfig(
        hidden_size=width,
        num_hidden_layers=len(indices(shapes, r"vit\.encoder\.layer\.(\d+)\.")),
        num_attention_heads=heads,
        intermediate_size=inner[0],
        image_size=math.isqrt(positions[1] - 1) * patch,
        patch_size=patch,
        num_channels=channels,
        qkv_bias=block + "attention.attention.query.bias" in shapes,
        num_labels=classifier[0],
    )


VIT = Network(
    name="ViT",
    namings=(Naming(ignored=(r"^vit\.pooler\.", r"^vit\.embeddings\.position_ids$")),),
    recognise=_recognise,
    build=lambda config, compute: vit(config, compute=compute),
)
