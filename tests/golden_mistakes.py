"""Sizes and inputs that networks with golden outputs refuse, and how the messages begin. See `golden_cases.py`."""

import golden_sizes as sizes
import numpy as np
from golden_cases import CASES

from jaxpr.models.inception import InceptionConfig
from jaxpr.models.vit import ViTConfig

AUTOENCODER = CASES["sd_vae-reduced"].config

# (configuration, changes to it, message)
SIZES = [
    (sizes.ADM, {"model_channels": 48}, "model_channels and channel_mult: found (48, 96) channels, expected multiples"),
    (sizes.ADM, {"channel_mult": ()}, "channel_mult and num_res_blocks: found () and 1, expected one or more"),
    (sizes.ADM, {"num_head_channels": 48}, "num_head_channels: found 48, expected -1 or a divisor of 64"),
    (sizes.ADM, {"num_head_channels": -1, "num_heads": 7}, "num_heads: found 7, expected a divisor of 64"),
    (sizes.ADM, {"num_head_channels": -1, "num_heads_upsample": 5}, "num_heads: found 5, expected a divisor of 64"),
    (sizes.CLASSIFIER, {"pool": "max"}, "pool: found 'max', expected one of attention, adaptive, spatial"),
    (sizes.CLASSIFIER, {"image_size": None}, "num_head_channels and image_size: found 16 and None"),
    (sizes.CLASSIFIER, {"num_head_channels": -1}, "num_head_channels and image_size: found -1 and 4"),
    (AUTOENCODER, {"block_out_channels": (8, 6)}, "block_out_channels: found (8, 6) channels, expected multiples of 4"),
    (AUTOENCODER, {"block_out_channels": ()}, "block_out_channels and layers_per_block: found () and 2"),
    (AUTOENCODER, {"layers_per_block": 0}, "block_out_channels and layers_per_block: found (8, 16, 16, 24) and 0"),
    (sizes.DDPM, {"ch": 48}, "ch and ch_mult: found (48, 48, 96) channels, expected multiples of 32"),
    (sizes.DDPM, {"ch_mult": ()}, "ch_mult and num_res_blocks: found () and 1"),
    (sizes.DDPM, {"num_res_blocks": 0}, "ch_mult and num_res_blocks: found (1, 2) and 0"),
    (sizes.FACES, {"out_size": 48}, "out_size: found 48, expected a power of two, 8 to 1024"),
    (sizes.FACES, {"out_size": 4}, "out_size: found 4, expected a power of two"),
    (sizes.FACES, {"narrow": 1 / 512}, "narrow: found 0.001953125, expected enough for one channel"),
    (sizes.RESTORMER, {"LayerNorm_type": "biasfree"}, "LayerNorm_type: found 'biasfree', expected one of"),
    (sizes.RESTORMER, {"heads": (1, 2, 4)}, "num_blocks and heads: found (1, 1, 1, 1) and (1, 2, 4), expected four"),
    (sizes.RESTORMER, {"heads": (1, 2, 4, 3)}, "heads: found (1, 2, 4, 3), expected divisors of the widths, 4"),
    (sizes.RESTORMER, {"dim": 5}, "dim: found 5, expected an even number"),
    (sizes.RESTORMER, {"inp_channels": 6}, "inp_channels: found 6, expected 3 as out_channels"),
    (sizes.SWINIR, {"upsampler": "bilinear"}, "upsampler: found 'bilinear'"),
    (sizes.SWINIR, {"upscale": 6}, "upscale: found 6, expected a power of two or 3"),
    (sizes.SWINIR, {"upsampler": "nearest+conv", "upscale": 3}, "upscale: found 3, expected 2 or 4"),
    (sizes.SWINIR, {"upsampler": ""}, "upscale: found 4, expected 1"),
    (sizes.SWINIR, {"num_heads": (2,)}, "depths and num_heads: found (2, 2) and (2,)"),
    (sizes.SWINIR, {"num_heads": (5, 5)}, "embed_dim: found 12, expected a multiple"),
    (sizes.SWINIR, {"img_size": 3}, "img_size: found 3, expected a divisor of the window 4"),
    (sizes.SWINIR, {"resi_connection": "2conv"}, "resi_connection: found '2conv'"),
    (sizes.SWIN2SR, {"upsampler": "bilinear"}, "upsampler: found 'bilinear'"),
    (sizes.SWIN2SR, {"upscale": 6}, "upscale: found 6, expected a power of two or 3"),
    (sizes.SWIN2SR, {"upsampler": "nearest+conv"}, "upscale: found 2, expected 4 with nearest+conv"),
    (sizes.SWIN2SR, {"upsampler": ""}, "upscale: found 2, expected 1"),
    (sizes.SWIN2SR, {"num_heads": (2, 2)}, "depths and num_heads: found (1,) and (2, 2)"),
    (sizes.SWIN2SR, {"num_heads": (5,)}, "embed_dim: found 12, expected a multiple"),
    (sizes.SWIN2SR, {"img_size": 3}, "img_size: found 3, expected a divisor of the window 4"),
    (sizes.SWIN2SR, {"window_size": 1}, "window_size and img_size: found 1 and 8, expected > 1"),
    (sizes.SWIN2SR, {"resi_connection": "2conv"}, "resi_connection: found '2conv'"),
    (ViTConfig(), {"num_attention_heads": 5}, "hidden_size: found 768, expected a multiple of num_attention_heads 5"),
    (ViTConfig(), {"image_size": 8}, "image_size: found 8, expected at least patch_size 16"),
]

UNSHUFFLED = sizes.RRDBNET._replace(unshuffle=2)
# (configuration, shape of the images, other inputs, message)
INPUTS = [
    (sizes.ADM, (1, 4, 4, 1), (0,), "x: found shape (1, 4, 4, 1), expected (N, H, W, 3)"),
    (sizes.ADM, (1, 4, 5, 3), (0,), "x: found 4×5 pixels, expected multiples of 2"),
    (sizes.ADM, (1, 4, 4, 3), (np.zeros(2),), "t: found shape (2,), expected () or (1,)"),
    (sizes.ADM, (1, 4, 4, 3), (0, 1), "y: found labels, expected None"),
    (sizes.ADM_LABELLED, (1, 4, 4, 3), (0,), "y: found None, expected labels of 3 classes"),
    (sizes.ADM_LABELLED, (1, 4, 4, 3), (0, np.zeros(1, np.float32)), "y: found float32 (1,), expected integers () or"),
    (sizes.CLASSIFIER, (1, 1, 4, 3), (0,), "x: found 1×4 pixels, expected 2 or more"),
    (sizes.CLASSIFIER, (1, 4, 6, 3), (0,), "x: found 2×3 pixels before the pool, expected 4 in all"),
    (sizes.DDPM, (1, 8, 8, 1), (0,), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
    (sizes.DDPM, (1, 8, 7, 3), (0,), "x: found 8×7 pixels, expected multiples of 2"),
    (sizes.DDPM, (1, 8, 8, 3), (np.zeros(2),), "t: found shape (2,), expected () or (1,)"),
    (sizes.FACES, (1, 8, 8, 1), (), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
    (sizes.FACES, (1, 8, 16, 3), (), "x: found 8×16 pixels, expected 8×8"),
    (sizes.FACES, (1, 8, 8, 3), ((),), "noises: found shapes [], expected [(1, 4, 4, 1), (1, 8, 8, 1), (1, 8, 8, 1)]"),
    (InceptionConfig(), (1, 299, 299, 1), (), "x: found shape (1, 299, 299, 1), expected (N, H, W, 3)"),
    (InceptionConfig(), (1, 75, 74, 3), (), "x: found 75×74 pixels, expected at least 75×75"),
    (sizes.CRITIC, (1, 16, 16, 2), (), "x: found"),
    (sizes.RESTORMER, (1, 8, 8, 1), (), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
    (sizes.RESTORMER, (1, 3, 8, 3), (), "x: found 3×8 pixels, expected enough to reflect 5 rows"),
    (UNSHUFFLED, (1, 6, 6, 1), (), "x: found shape (1, 6, 6, 1), expected (N, H, W, 3)"),
    (UNSHUFFLED, (6, 6, 3), (), "x: found shape (6, 6, 3), expected (N, H, W, 3)"),
    (UNSHUFFLED, (1, 6, 5, 3), (), "x: found 6×5 pixels, expected multiples of 2"),
    (sizes.SWINIR, (1, 8, 8, 1), (), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
    (sizes.SWINIR, (1, 2, 8, 3), (), "x: found 2×8 pixels, expected enough to reflect 2 rows"),
    (sizes.SWIN2SR, (1, 8, 8, 1), (), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
    (sizes.SWIN2SR, (1, 2, 8, 3), (), "x: found 2×8 pixels, expected enough to reflect 2 rows"),
    (sizes.VIT, (1, 32, 32, 1), (), "x: found shape (1, 32, 32, 1), expected (N, H, W, 3)"),
    (sizes.VIT, (1, 7, 32, 3), (), "x: found 7×32 pixels, expected at least one patch of 8"),
]
