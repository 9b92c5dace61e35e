"""Files of ADM's networks: their names, and the sizes that are seen in them."""

from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = ["ADM_UNET", "NAMING", "recognise_encoder"]


def recognise_encoder(shapes: Shapes) -> ADMUNetConfig | None:
    """Sizes of the way down; `out_channels` and `num_classes` are left as they are."""
    first, times = shapes.get("input_blocks.0.0.weight"), shapes.get("time_embed.dense.0.weight")
    blocks = _recognise_blocks(shapes)
    if first is None or times is None or blocks is None:
        return None
    stages = 1 + max(indices(shapes, r"input_blocks\.(\d+)\."))
    if stages % (blocks + 1):
        return None
    levels = [f"input_blocks.{i + 1}" for i in range(0, stages, blocks + 1)]  # the first block of each
    widths = [shapes[f"{level}.0.conv1.weight"][0] for level in levels]
    down = f"input_blocks.{blocks + 1}.0"  # the first change of resolution
    several = len(levels) > 1
    return ADMUNetConfig(
        in_channels=first[1],
        model_channels=times[1],
        num_res_blocks=blocks,
        attention_resolutions=tuple(2**i for i, level in enumerate(levels) if f"{level}.1.qkv.weight" in shapes),
        channel_mult=tuple(width // times[1] if width % times[1] == 0 else width / times[1] for width in widths),
        use_scale_shift_norm=shapes["middle_block.0.temb_proj.weight"][0] == 2 * widths[-1],
        resblock_updown=several and f"{down}.conv1.weight" in shapes,
        conv_resample=not several or any(f"{down}.{conv}.weight" in shapes for conv in ("conv1", "conv")),
    )


def _recognise_blocks(shapes: Shapes) -> int | None:
    """How many each level of the way down has; None if that cannot be seen."""
    stages = indices(shapes, r"input_blocks\.(\d+)\.")
    convolutions = indices(shapes, r"input_blocks\.(\d+)\.0\.conv\.")
    without = [i for i in range(max(stages, default=0)) if i not in stages]  # parameters
    upwards = indices(shapes, r"output_blocks\.(\d+)\.[12]\.norm1\.")
    attending = indices(shapes, r"input_blocks\.(\d+)\.1\.qkv\.")
    if convolutions or without:
        return (*convolutions, *without)[0] - 1
    if upwards:
        return upwards[0]  # where the lowest level's last block is, one more than on the way down
    if "output_blocks.0.0.norm1.weight" in shapes:  # one level
        return len(stages) - 1
    # Blocks that change the resolution stand between the levels and have no attention.
    return next((i for i in range(len(attending)) if attending[0] + i not in attending), len(attending)) or None


def _recognise(shapes: Shapes) -> ADMUNetConfig | None:
    """Heads cannot be seen: their number and order are those of the published file of the same sizes."""
    config, last = recognise_encoder(shapes), shapes.get("out.2.weight")
    if config is None or last is None or "output_blocks.0.0.norm1.weight" not in shapes:
        return None
    classes = shapes.get("label_emb.weight")
    config = config._replace(out_channels=last[0], num_classes=None if classes is None else classes[0])
    sizes = (config.model_channels, config.num_res_blocks, config.channel_mult, config.attention_resolutions)
    return config._replace(
        num_head_channels=-1 if sizes in _FOUR_HEADS else config.num_head_channels,
        use_new_attention_order=sizes == _NEW_ORDER,
    )


_FOUR_HEADS = (
    (256, 2, (1, 1, 2, 3, 4), (4, 8, 16)),  # 128x128_diffusion.pt
    (192, 2, (1, 1, 2, 2, 4, 4), (8, 16, 32)),  # 64_256_upsampler.pt
)
_NEW_ORDER = (192, 3, (1, 2, 3, 4), (2, 4, 8))  # 64x64_diffusion.pt

NAMING = Naming(
    rename=(
        (r"^time_embed\.0\.", "time_embed.dense.0."),
        (r"^time_embed\.2\.", "time_embed.dense.1."),
        (r"\.in_layers\.0\.", ".norm1."),
        (r"\.in_layers\.2\.", ".conv1."),
        (r"\.emb_layers\.1\.", ".temb_proj."),
        (r"\.out_layers\.0\.", ".norm2."),
        (r"\.out_layers\.3\.", ".conv2."),
        (r"\.skip_connection\.", ".nin_shortcut."),
        (r"\.op\.", ".conv."),
    )
)
"""The names in published files; ours are those of the DDPM U-Net inside blocks."""

ADM_UNET = Network(
    name="ADM U-Net",
    namings=(NAMING,),
    recognise=_recognise,
    build=lambda config, compute: adm_unet(config, compute=compute),
)
