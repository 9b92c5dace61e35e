"""Where the authors of published networks put their files, and the SHA-256 of those for which it is known."""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["OFFICIAL_FILES", "OfficialFile"]


class OfficialFile(NamedTuple):
    """A file of weights as its authors published it.

    Attributes:
        file: its name on disk here.
        urls: the authors' address first, then copies of the same content; none where it must be put there by hand.
        sha256: of the content; only its first digits, or empty, where the whole is not known.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str

    @property
    def known(self) -> bool:
        """Whether the whole SHA-256 is known, so that any copy can be checked."""
        return len(self.sha256) == _DIGITS


_DIGITS = 64

_SWINIR = "https://github.com/JingyunLiang/SwinIR/releases/download/v0.0/"
_SWIN2SR = "https://github.com/mv-lab/swin2sr/releases/download/v0.0.1/"
_REALESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download/"
_BASICSR_PSNR = (  # the file that BasicSR's list of pretrained networks names
    "https://drive.usercontent.google.com/download?id=1swaV5iBMFfg-DL6ZyiARztbhutDCWXMM&export=download&confirm=t"
)
_KAIR = "https://github.com/cszn/KAIR/releases/download/v1.0/"
_RESTORMER = "https://github.com/swz30/Restormer/releases/download/v1.0/"
_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/"
_ADM = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/"
_TORCHVISION = "https://download.pytorch.org/models/"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
_HUGGING_FACE = "https://huggingface.co/"
_FID = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
)

# Where three of them, which few lists have, are from:
# - ESRGAN: its first eight digits are in the authors' file name, the whole is in lists of converted weights; of its
#   network for PSNR there are the eight digits alone.
# - sd-vae-ft-mse: the Git LFS object of revision 31f26fde of its Hugging Face repository.
# - Restormer's defocus deblurring: one list of checksums of downloads, whose other entries agree with those here.
_SHA256 = {
    "001_classicalSR_DF2K_s64w8_SwinIR-M_x2.pth": "2032ebf8f401dd3ce2fae5f3852117cb72101ec6ed8358faa64c2a3fa09ed4ac",
    "001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth": "4e78e33f22c1aa8a773db0cf4a7381bae97c2362c717f155439ebc690cbd9215",
    "002_lightweightSR_DIV2K_s64w8_SwinIR-S_x2.pth": "193b229909ca89cd8b55de9c9e7fce146ae759d59dfcd78d8feb9dd1d6fa0fd7",
    "003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x2_GAN.pth": (
        "f397408977a3e07eb06afb7238d453a12ef35ebab7328a54241f307860dbe342"
    ),
    "003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x4_GAN.pth": (
        "b9afb61e65e04eb7f8aba5095d070bbe9af28df76acd0c9405aeb33b814bcfc6"
    ),
    "003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x4_PSNR.pth": (
        "1fd8fed99684bd271db55563e4906d36459cf535446820053f7a1081d4781dc5"
    ),
    "003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN.pth": (
        "99adfa91350a84c99e946c1eb3d8fce34bc28f57d807b09dc8fe40a316328c0a"
    ),
    "003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_PSNR.pth": (
        "450be6eac63a59959b55a83df6743444de9f018547f81d16f699b3680d366ad7"
    ),
    "005_colorDN_DFWB_s128w8_SwinIR-M_noise15.pth": "917cd972f7ba80786871add249ad43e4477ce2db59b4ad63e2fa446f7221d013",
    "006_colorCAR_DFWB_s126w7_SwinIR-M_jpeg10.pth": "0005b707e0e6f75b4d13c7447e2f184858ddbdcec95aa7eb8c07e8afa1d26bd9",
    "RealESRGAN_x4plus.pth": "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    "RealESRGAN_x2plus.pth": "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    "RealESRGAN_x4plus_anime_6B.pth": "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    "RealESRNet_x4plus.pth": "a820b9bde89a874d7599d545567308ce6c128fc8754a53208eda016d40aa81df",
    "ESRGAN_SRx4_DF2KOST_official-ff704c30.pth": "ff704c30ff560305e48ed1f4db895e525ab6bc81a46fafe80c0094a271c806d9",
    "realesr-animevideov3.pth": "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
    "realesr-general-x4v3.pth": "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    "realesr-general-wdn-x4v3.pth": "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
    "ESRGAN_PSNR_SRx4_DF2K_official-150ff491.pth": "150ff491",
    "BSRGAN.pth": "5d505a0766160921e0388d76e1ddf08cb114303990f9080432bf2b1c988b1c54",
    "BSRNet.pth": "fa633d80ff4db5a546740ae8e3baebe925fc84d3c03e3e9002493acc5e88c3ec",
    "single_image_defocus_deblurring.pth": "7dce451f33f8f5e0faf7c4e3996e5dcc1bd425ecd1ada99b0f9750e490fd4c9e",
    "GFPGANv1.3.pth": "c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
    "GFPGANv1.4.pth": "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
    "256x256_diffusion_uncond.pt": "a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
    "sd-vae-ft-mse.safetensors": "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
    "vae-ft-mse-840000-ema-pruned.safetensors": "735e4c3a447a3255760d7f86845f09f937809baa529c17370d83e4c3758f3c75",
    "pt_inception-2015-12-05-6726825d.pth": "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "vgg16-397923af.pth": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "alexnet-owt-7be5be79.pth": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "lpips-v0.1-vgg.pth": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "lpips-v0.1-alex.pth": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
}


def _at(base: str, names: Mapping[str, str]) -> dict[str, OfficialFile]:
    """Files that lie under one address with their own names."""
    return {name: _file(file, base + file) for name, file in names.items()}


def _file(file: str, *urls: str) -> OfficialFile:
    return OfficialFile(file, urls, _SHA256.get(file, ""))


def _swinir() -> dict[str, str]:
    return {
        **{f"swinir-classical-x{n}": f"001_classicalSR_DF2K_s64w8_SwinIR-M_x{n}.pth" for n in (2, 3, 4, 8)},
        **{f"swinir-classical-div2k-x{n}": f"001_classicalSR_DIV2K_s48w8_SwinIR-M_x{n}.pth" for n in (2, 3, 4, 8)},
        **{f"swinir-lightweight-x{n}": f"002_lightweightSR_DIV2K_s64w8_SwinIR-S_x{n}.pth" for n in (2, 3, 4)},
        **{f"swinir-real-x{n}": f"003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x{n}_GAN.pth" for n in (2, 4)},
        **{f"swinir-real-psnr-x{n}": f"003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x{n}_PSNR.pth" for n in (2, 4)},
        "swinir-real-large-x4": "003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN.pth",
        "swinir-real-large-psnr-x4": "003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_PSNR.pth",
        **{f"swinir-gray-denoise{s}": f"004_grayDN_DFWB_s128w8_SwinIR-M_noise{s}.pth" for s in (15, 25, 50)},
        **{f"swinir-color-denoise{s}": f"005_colorDN_DFWB_s128w8_SwinIR-M_noise{s}.pth" for s in (15, 25, 50)},
        **{f"swinir-gray-jpeg{q}": f"006_CAR_DFWB_s126w7_SwinIR-M_jpeg{q}.pth" for q in (10, 20, 30, 40)},
        **{f"swinir-color-jpeg{q}": f"006_colorCAR_DFWB_s126w7_SwinIR-M_jpeg{q}.pth" for q in (10, 20, 30, 40)},
    }


OFFICIAL_FILES: dict[str, OfficialFile] = {
    **_at(_SWINIR, _swinir()),
    "realesrgan-x4": _file("RealESRGAN_x4plus.pth", _REALESRGAN + "v0.1.0/RealESRGAN_x4plus.pth"),
    "realesrgan-x2": _file("RealESRGAN_x2plus.pth", _REALESRGAN + "v0.2.1/RealESRGAN_x2plus.pth"),
    "realesrgan-anime-x4": _file(
        "RealESRGAN_x4plus_anime_6B.pth", _REALESRGAN + "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth"
    ),
    **_at(
        _REALESRGAN + "v0.1.1/",
        {"realesrnet-x4": "RealESRNet_x4plus.pth", "esrgan-x4": "ESRGAN_SRx4_DF2KOST_official-ff704c30.pth"},
    ),
    **_at(
        _REALESRGAN + "v0.2.5.0/",
        {
            "realesr-animevideo-x4": "realesr-animevideov3.pth",
            "realesr-general-x4": "realesr-general-x4v3.pth",
            "realesr-general-wdn-x4": "realesr-general-wdn-x4v3.pth",
        },
    ),
    "rrdb-psnr-x4": _file("ESRGAN_PSNR_SRx4_DF2K_official-150ff491.pth", _BASICSR_PSNR),
    "realsr-df2k-x4": _file("DF2K.pth"),
    **_at(_KAIR, {"bsrgan-x4": "BSRGAN.pth", "bsrgan-x2": "BSRGANx2.pth", "bsrnet-x4": "BSRNet.pth"}),
    **_at(
        _SWIN2SR,
        {
            "swin2sr-classical-x2": "Swin2SR_ClassicalSR_X2_64.pth",
            "swin2sr-classical-x4": "Swin2SR_ClassicalSR_X4_64.pth",
            "swin2sr-compressed-x4": "Swin2SR_CompressedSR_X4_48.pth",
            "swin2sr-lightweight-x2": "Swin2SR_Lightweight_X2_64.pth",
            "swin2sr-real-x4": "Swin2SR_RealworldSR_X4_64_BSRGAN_PSNR.pth",
            "swin2sr-jpeg": "Swin2SR_Jpeg_dynamic.pth",
        },
    ),
    **_at(
        _RESTORMER,
        {
            **{f"restormer-gaussian{s}": f"gaussian_color_denoising_sigma{s}.pth" for s in (15, 25, 50)},
            **{f"restormer-gray-gaussian{s}": f"gaussian_gray_denoising_sigma{s}.pth" for s in (15, 25, 50)},
            "restormer-gaussian-blind": "gaussian_color_denoising_blind.pth",
            "restormer-gray-gaussian-blind": "gaussian_gray_denoising_blind.pth",
            "restormer-real-denoising": "real_denoising.pth",
            "restormer-deraining": "deraining.pth",
            "restormer-motion-deblurring": "motion_deblurring.pth",
            "restormer-defocus-deblurring": "single_image_defocus_deblurring.pth",
        },
    ),
    **_at(_GFPGAN, {"gfpgan-1.3": "GFPGANv1.3.pth", "gfpgan-1.4": "GFPGANv1.4.pth"}),
    **_at(
        _ADM,
        {
            "adm-256-uncond": "256x256_diffusion_uncond.pt",
            "adm-256": "256x256_diffusion.pt",
            "adm-256-classifier": "256x256_classifier.pt",
        },
    ),
    "ddpm-celeba-hq": _file(
        "celeba_hq.ckpt", "https://image-editing-test-12345.s3-us-west-2.amazonaws.com/checkpoints/celeba_hq.ckpt"
    ),
    "inception-fid": _file("pt_inception-2015-12-05-6726825d.pth", *_FID),
    "sd-vae-ft-mse": _file(
        "sd-vae-ft-mse.safetensors",
        _HUGGING_FACE + "stabilityai/sd-vae-ft-mse/resolve/main/diffusion_pytorch_model.safetensors",
    ),
    "sd-vae-ft-mse-original": _file(
        "vae-ft-mse-840000-ema-pruned.safetensors",
        _HUGGING_FACE + "stabilityai/sd-vae-ft-mse-original/resolve/main/vae-ft-mse-840000-ema-pruned.safetensors",
    ),
    "vit-base-patch16-224": _file(
        "vit-base-patch16-224.safetensors",
        _HUGGING_FACE + "google/vit-base-patch16-224/resolve/main/model.safetensors",
    ),
    **_at(_TORCHVISION, {"vgg16": "vgg16-397923af.pth", "alexnet": "alexnet-owt-7be5be79.pth"}),
    "lpips-vgg": _file("lpips-v0.1-vgg.pth", _LPIPS + "vgg.pth"),
    "lpips-alex": _file("lpips-v0.1-alex.pth", _LPIPS + "alex.pth"),
}
"""By the names that `jaxpr weights fetch` takes."""
