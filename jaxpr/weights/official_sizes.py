"""Sizes of the published networks that restore images, by the names of their files."""

from typing import Any

from jaxpr.models.gfpgan import GFPGANConfig
from jaxpr.models.restormer import RestormerConfig
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.srvggnet import SRVGGNetConfig
from jaxpr.models.swin2sr import Swin2SRConfig
from jaxpr.models.swinir import SwinIRConfig

__all__ = ["OFFICIAL_SIZES"]

_MEDIUM: dict[str, Any] = {
    **{"in_chans": 3, "img_size": 64, "window_size": 8, "img_range": 1.0, "mlp_ratio": 2.0, "resi_connection": "1conv"},
    **{"depths": (6,) * 6, "embed_dim": 180, "num_heads": (6,) * 6},
}
_SMALL = _MEDIUM | {"depths": (6,) * 4, "embed_dim": 60, "num_heads": (6,) * 4, "upsampler": "pixelshuffledirect"}
_LARGE = _MEDIUM | {"depths": (6,) * 9, "embed_dim": 240, "num_heads": (8,) * 9, "resi_connection": "3conv"}
_SAME_SIZE = _MEDIUM | {"img_size": 128, "upscale": 1, "upsampler": ""}
_JPEG = _SAME_SIZE | {"img_size": 126, "window_size": 7, "img_range": 255.0}


def _swinir() -> dict[str, Any]:
    sizes = {
        **{f"classical-x{n}": _MEDIUM | {"upscale": n, "upsampler": "pixelshuffle"} for n in (2, 3, 4, 8)},
        **{
            f"classical-div2k-x{n}": _MEDIUM | {"img_size": 48, "upscale": n, "upsampler": "pixelshuffle"}
            for n in (2, 3, 4, 8)
        },
        **{f"lightweight-x{n}": _SMALL | {"upscale": n} for n in (2, 3, 4)},
        **{
            f"real-{kind}x{n}": _MEDIUM | {"upscale": n, "upsampler": "nearest+conv"}
            for kind in ("", "psnr-")
            for n in (2, 4)
        },
        **{f"real-large-{kind}x4": _LARGE | {"upscale": 4, "upsampler": "nearest+conv"} for kind in ("", "psnr-")},
        **{f"gray-denoise{s}": _SAME_SIZE | {"in_chans": 1} for s in (15, 25, 50)},
        **{f"color-denoise{s}": _SAME_SIZE for s in (15, 25, 50)},
        **{f"gray-jpeg{q}": _JPEG | {"in_chans": 1} for q in (10, 20, 30, 40)},
        **{f"color-jpeg{q}": _JPEG for q in (10, 20, 30, 40)},
    }
    return {f"swinir-{name}": SwinIRConfig(**fields) for name, fields in sizes.items()}


def _swin2sr() -> dict[str, Any]:
    sizes = {
        **{f"classical-x{n}": _MEDIUM | {"upscale": n, "upsampler": "pixelshuffle"} for n in (2, 4)},
        "compressed-x4": _MEDIUM | {"img_size": 48, "upscale": 4, "upsampler": "pixelshuffle_aux"},
        "lightweight-x2": _SMALL | {"upscale": 2},
        "real-x4": _MEDIUM | {"upscale": 4, "upsampler": "nearest+conv"},
        "jpeg": _JPEG | {"in_chans": 1},
    }
    return {f"swin2sr-{name}": Swin2SRConfig(**fields) for name, fields in sizes.items()}


def _restormer() -> dict[str, Any]:
    grey = RestormerConfig(inp_channels=1, out_channels=1)
    sizes = {
        **{f"gaussian{s}": RestormerConfig() for s in (15, 25, 50, "-blind")},
        **{f"gray-gaussian{s}": grey for s in (15, 25, 50, "-blind")},
        "real-denoising": RestormerConfig(),
        **{
            name: RestormerConfig(LayerNorm_type="WithBias")
            for name in ("deraining", "motion-deblurring", "defocus-deblurring")
        },
    }
    return {f"restormer-{name}": config for name, config in sizes.items()}


OFFICIAL_SIZES: dict[str, Any] = {
    **_swinir(),
    **_swin2sr(),
    **_restormer(),
    **dict.fromkeys(("realesrgan-x4", "realesrnet-x4", "esrgan-x4", "bsrgan-x4", "bsrnet-x4"), RRDBNetConfig()),
    **dict.fromkeys(("rrdb-psnr-x4", "realsr-df2k-x4"), RRDBNetConfig()),
    "realesr-animevideo-x4": SRVGGNetConfig(),
    **dict.fromkeys(("realesr-general-x4", "realesr-general-wdn-x4"), SRVGGNetConfig(num_conv=32)),
    "realesrgan-x2": RRDBNetConfig(unshuffle=2),
    "realesrgan-anime-x4": RRDBNetConfig(num_block=6),
    "bsrgan-x2": RRDBNetConfig(upsamplings=1),
    **dict.fromkeys(("gfpgan-1.3", "gfpgan-1.4"), GFPGANConfig()),
}
"""The configuration of each restorer in `OFFICIAL_FILES`."""
