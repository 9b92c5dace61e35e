"""`jaxpr transport`: move folders of outputs of any program towards natural images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

from jaxpr.core import InputError, Key, check_count, given_path, printable, seed_key
from jaxpr.data.folder import folder_source
from jaxpr.restorers import LatentTransport, fit_transport, load_transport, read_encoder, save_transport
from jaxpr.restorers.latent_transport_patches import check_patch
from jaxpr.restorers.latent_transport_settings import TransportSettings
from jaxpr.traversal import WISHES, Traversed, traverse

__all__ = ["TransportApply", "TransportFit", "TransportFolders"]

_SUFFIX = ".safetensors"
_OPTIONS = (
    *("out", "natural", "truth", "alpha", "points", "features", "channels", "wish", "lose_psnr", "page"),
    *("accept_other_code", "progress"),
)
_WISH = f"Say which of the measured alphas is best: {', '.join(WISHES)}."


@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """What decides a fit."""

    encoder: str | None = None
    """pixels (the default), an official autoencoder that was fetched, such as sd-vae-ft-mse, or its file."""

    patch: int | None = None
    """Side of the patches of latents, odd; 3 by default."""

    images: int | None = None
    """Of each set, at most; 16 by default, spread evenly."""

    encode: Literal["mode", "sample"] | None = None
    """Which latents: the most probable ones (the default), or drawn ones, as published."""

    preset: Literal["paper", "code"] | None = None
    """The published settings, of the paper or of its authors' code; single options change them."""

    channels: Literal[1, 3] = 3
    """1 for luma, 3 for RGB, whatever the files hold."""

    seed: int = 0
    """Decides draws, where there are any."""

    def fit(self, restored: Path, natural: Path) -> LatentTransport:
        """Fit the transport from one folder to the other."""
        chosen = {name: getattr(self, name) for name in ("encoder", "patch", "images", "encode")}
        settings = TransportSettings.of(self.preset)._replace(**{n: v for n, v in chosen.items() if v is not None})
        key = _keys(self.seed)[0]
        check_patch(settings.patch)
        check_count("images", settings.images)
        try:
            found = read_encoder(settings.encoder)
        except InputError as error:
            raise InputError(f"encoder: {str(error).removeprefix('source: ').removeprefix('path: ')}") from error
        both = {"restored": restored, "natural": natural}
        sets = [folder_source(name, folder, channels=self.channels) for name, folder in both.items()]
        drawn = key if settings.encode == "sample" else None
        return fit_transport(*sets, encoder=found, patch=settings.patch, sample_key=drawn, limit=settings.images)


def _keys(seed: int) -> tuple[Key, Key]:
    """Of the fit, and of the transport's draws."""
    k_fit, k_move = jax.random.split(seed_key("seed", seed))
    return k_fit, k_move


@dataclass(frozen=True, kw_only=True)
class TransportFit(_Fitting):
    """Fit a transport from outputs of a method to natural images, and write it to a file."""

    restored: Path
    """Folder of about ten outputs."""

    natural: Path
    """Folder of about ten natural images of about the same size; they need not be the outputs' truths."""

    out: Path
    """The new .safetensors file; an earlier one is replaced."""

    def run(self) -> None:
        """Fit, write, and say what was fitted on what."""
        out = given_path(self.out)
        _check_file(out)
        fitted = self.fit(self.restored, self.natural)
        try:
            sha256 = save_transport(fitted, out)
        except OSError as error:
            raise InputError(f"out: cannot write {printable(out)} ({error.strerror}), expected a new file") from error
        print(f"{_said(fitted)}\nwritten: {printable(out)}\nSHA-256: {sha256}")


@dataclass(frozen=True, kw_only=True)
class TransportApply(_Fitting):
    """Move a folder of outputs towards natural images; write the moved ones, and a page that says what it cost."""

    restored: tyro.conf.Positional[Path]
    """Folder of outputs of one method, of any sizes. It is only read."""

    out: Path
    """Folder for images/, transport.safetensors, transport.json and index.html. A stopped run goes on there, and one
    with another --alpha is quick."""

    natural: Path | None = None
    """Folder of natural images: what the transport is fitted to without --fitted, and what sets are compared with where
    there is no truth."""

    fitted: Path | None = None
    """File of `jaxpr transport fit`, in the place of a fit."""

    alpha: float = 0.0
    """Of the written images: 0 transported, 1 as they were; any number."""

    truth: Path | None = None
    """Folder with the truth of each output, by which distortion is measured."""

    wish: Annotated[Literal[tuple(WISHES)] | None, tyro.conf.arg(help=_WISH)] = None

    lose_psnr: float | None = None
    """Decibels of PSNR that may be lost for the wish (by default least-fd)."""

    points: int = 13
    """How many alphas are measured from -1 to 2, beside -1, 0, 1, 2 and --alpha."""

    features: str = "alexnet"
    """Of the Fréchet distances, as in evaluate."""

    page: bool = True
    """Measure, and write the page."""

    accept_other_code: bool = False
    """Go on with a folder that another version of jaxpr's code began."""

    progress: bool = True
    """Show progress bars."""

    def run(self) -> None:
        """Fit or read the transport, move, measure, and say where the page is."""
        options: dict[str, Any] = {name: getattr(self, name) for name in _OPTIONS}
        found = traverse(_keys(self.seed)[1], self.restored, self._transport, **options)
        print(_summary(found))

    def _transport(self) -> LatentTransport:
        if self.fitted is None:
            if self.natural is None:
                raise InputError("natural: found neither --natural nor --fitted, expected one of them")
            return self.fit(self.restored, self.natural)
        for name in ("patch", "images", "encode", "preset"):
            if getattr(self, name) is not None:
                raise InputError(f"{name}: found {getattr(self, name)} beside --fitted, expected it for a fit only")
        try:
            return load_transport(self.fitted, encoder=None if self.encoder is None else read_encoder(self.encoder))
        except InputError as error:
            text = str(error)
            raise InputError(f"fitted: {text.removeprefix('path: ')}") from error


_Action = (
    Annotated[TransportFit, tyro.conf.subcommand("fit")] | Annotated[TransportApply, tyro.conf.subcommand("apply")]
)


@dataclass(frozen=True, kw_only=True)
class TransportFolders:
    """Move a folder of outputs of any program towards natural images, and see what was won and lost."""

    action: tyro.conf.OmitSubcommandPrefixes[_Action]

    def run(self) -> None:
        """Do it."""
        self.action.run()


def _check_file(out: Path) -> None:
    if out.suffix != _SUFFIX:
        raise InputError(f"out: found {printable(repr(str(out)))[:200]}, expected a name with {_SUFFIX}")
    if not out.absolute().parent.is_dir():
        raise InputError(f"out: found no folder {printable(out.parent)}, expected one for the file")


def _said(fitted: LatentTransport) -> str:
    record = fitted.record
    both = {side: record[side] for side in ("restored", "natural")}
    sets = ", ".join(f"{of['images']} {side} images ({of['patches']:,} patches)" for side, of in both.items())
    noise = f"; noise in {record['noise_directions']} directions" if fitted.stochastic else ""
    return f"fitted: {sets}; {record['encoder']['name']}, patches of {fitted.patch}×{fitted.patch}{noise}"


def _summary(found: Traversed) -> str:
    lines = [f"{len(found.images)} images at α = {found.alpha:g}: {printable(found.folder / 'images')}"]
    if found.rows:
        own = found.row(found.alpha)
        shown = [
            f"{name} {apart.value:+.4g} ± {apart.stderr:.2g}"
            for name, apart in own.differences.items()
            if name.startswith(("psnr", "ssim", "lpips", "fd", "niqe"))
        ]
        lines += [f"from x*: {', '.join(shown)}"] if shown else []
    if found.wish is not None:
        wish = found.wish
        lost = "" if wish.psnr_lost is None else f", {wish.psnr_lost:.2f} dB of PSNR lost"
        limit = "" if wish.lose_psnr is None else f" with at most {wish.lose_psnr:g} dB lost"
        lines.append(f"{wish.wish}{limit}: α = {wish.alpha:g} ({wish.metric} {wish.value:.4g}{lost})")
    if found.rows:
        lines.append(f"Page: {printable(found.folder / 'index.html')}")
    return "\n".join(lines)
