"""The `jaxpr` command.

Bad input ends with one line on stderr and exit code 2; an interrupted run resumes with the same command.
"""

import dataclasses
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

import jaxpr
from jaxpr._core import InputError, first_line
from jaxpr.cli_data import PACKAGED, named_images
from jaxpr.cli_decisions import Decisions
from jaxpr.cli_doctor import Doctor
from jaxpr.cli_reproduce import Reproduce
from jaxpr.cli_train import Train
from jaxpr.cli_weights import Weights
from jaxpr.data import ImageSource, PairedSource, paired_folder
from jaxpr.degradations import parse_degradation
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.estimators import Training, build_restorers, default_restorers
from jaxpr.evaluation import SCALES, Protocol, compare, evaluate, to_record
from jaxpr.evaluation.measure import degrader
from jaxpr.report import text_table

__all__ = ["main"]

_DICTIONARY = {"smoke": 256, "small": 4096, "paper": 16384}


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate restorers on degraded images: distortion, perception, consistency, robustness; write a report."""

    out: Path
    """Folder of the run. The same command in the same folder resumes an interrupted run."""

    data: str = "photos"
    """photos or digits (packaged, test split), a folder of images, tfds:NAME:SPLIT[:IMAGE_KEY], or
    pairs:LOW_FOLDER:HIGH_FOLDER for data that bring their own measurements."""

    train: str | None = None
    """Where fitted restorers (lmmse, exemplar) learn: as --data; default: the train split of packaged data, else the
    packaged photographs. Must not overlap with --data."""

    degradation: str = "bicubic-x4"
    """For example bicubic-x4, average-x2, blur-1.5, grayscale, noise-0.1, bicubic-x4+noise-0.02+jpeg-50, realworld-x4;
    with pairs: given."""

    restorers: tuple[str, ...] = ()
    """nearest, bicubic, lanczos, nlm:H (H in intensity units, about 0.6 σ of the noise), lmmse, exemplar:TEMPERATURE;
    trained:PATH of jaxpr train, or the name of a trained one that comes with jaxpr (photos-gan-0.01, for example);
    NAME:PATH with a published file and a name of jaxpr weights fetch (swinir-classical-x4:FILE.pth), NAME alone once
    fetched, network:PATH for one without a name, network:PATH#DICTIONARY if the file holds several; file.py:function or
    package.module:function; +project behind any of them makes it perfectly consistent. By default classical ones, and
    those that were trained for the degradation."""

    scale: Literal["smoke", "small", "paper"] = "small"
    """smoke: seconds; small: minutes on two CPU cores; paper: the sizes of the paper. The options below override it."""

    crop: int | None = None
    """Side of the crops that images are cut into; 0 for whole images."""

    patch_size: int | None = None
    """Side of the patches of y behind the Fréchet distances."""

    patch_stride: int | None = None
    """Step between these patches."""

    alpha_levels: float | None = None
    """Strength of the attack in grey levels of 255."""

    attack_steps: int | None = None
    """Steps of the attack."""

    features: str | None = None
    """Feature extractor of the set measures: alexnet, vgg16, pixels, or inception:FILE with the published weights, with
    which distances are called FID and KID, and the inception score is measured too."""

    tile: int | None = None
    """Published networks restore in overlapping tiles of so many pixels of y, for large images."""

    limit: int | None = None
    """Evaluate only so many crops or images."""

    border: int | None = None
    """Pixels cut off on every side before RMSE, PSNR and SSIM."""

    channel: Literal["rgb", "y"] | None = None
    """RMSE, PSNR and SSIM on colours or on luma."""

    attack: Literal["ifgsm", "l2_adam"] | None = None
    """The attack behind K̄: ∞-norm (--alpha-levels) or Euclidean (--epsilon)."""

    epsilon: float | None = None
    """Radius of l2_adam, Euclidean norm over a measurement."""

    probes: int | None = None
    """Examples for the costly measures (attack sweep, spectral norm, exploration); 0 leaves these measures out."""

    samples: int | None = None
    """Draws per measurement from stochastic restorers."""

    explore_samples: int | None = None
    """Explore the posterior by attacks: outputs per measurement; 0 for none."""

    explore_steps: int | None = None
    """Steps of the exploration per output."""

    dictionary: int | None = None
    """Number of exemplars."""

    seed: int = 0
    """Decides noise, the attacks' starts and the choice of exemplars."""

    batch_size: int = 8
    """Images restored together; changes memory and speed, not the numbers."""

    skip_bad: bool = False
    """Leave out unreadable files of a folder, and report them, instead of stopping."""

    progress: bool = True
    """Show progress bars."""

    distributed: bool = False
    """One of several processes that share the folder --out; cluster schedulers and TPUs are recognised, elsewhere give
    the next three options as well."""

    coordinator: str | None = None
    """HOST:PORT of process 0."""

    processes: int | None = None
    """Number of processes."""

    process_id: int | None = None
    """Number of this process, from 0."""

    def protocol(self) -> Protocol:
        """The scale's protocol with this command's changes."""
        changes: dict[str, Any] = {
            "patch_size": self.patch_size,
            "patch_stride": self.patch_stride,
            "alpha": None if self.alpha_levels is None else self.alpha_levels / 255,
            "attack_steps": self.attack_steps,
            "features": self.features,
            "limit": self.limit,
            "border": self.border,
            "channel": self.channel,
            "attack": self.attack,
            "epsilon": self.epsilon,
            "probes": self.probes or None,
            "samples": self.samples,
            "explore_samples": self.explore_samples,
            "explore_steps": self.explore_steps,
        }
        protocol = SCALES[self.scale]._replace(**{name: value for name, value in changes.items() if value is not None})
        if self.probes == 0:
            protocol = protocol._replace(sweep=(), lipschitz_iterations=0, explore_samples=0)
        return protocol if self.crop is None else protocol._replace(crop=self.crop or None)

    def run(self) -> None:
        """Evaluate and print the table."""
        if self.distributed:
            _join(self.coordinator, self.processes, self.process_id)
        key, protocol = jax.random.key(self.seed), self.protocol()
        protocol.check()
        k_evaluate, k_fit = jax.random.split(key)
        images = _test_images(self.data, skip_bad=self.skip_bad)
        train = self.train if self.train is not None else (self.data if self.data in PACKAGED else "photos")
        degradation = parse_degradation(self.degradation)
        if isinstance(images, PairedSource) and not degradation.has_operator:
            degradation = dataclasses.replace(degradation, factor=images.factor)
        training = Training(
            images=lambda: named_images(train, "train", skip_bad=self.skip_bad),
            degrade=degrader(degradation, bits=protocol.measurement_bits, compiled=jax.jit),
            degradation=degradation,
            channels=(images.high if isinstance(images, PairedSource) else images).shape(0)[2],
            dictionary=self.dictionary or _DICTIONARY[self.scale],
            key=k_fit,
            tile=self.tile,
        )
        warn_of_idle_accelerator()
        specs = self.restorers or default_restorers(degradation, training.channels)
        restorers = build_restorers(specs, training)
        results = evaluate(
            k_evaluate,
            restorers,
            images,
            degradation,
            protocol=protocol,
            out=self.out,
            batch_size=self.batch_size,
            progress=self.progress and jax.process_index() == 0,
        )
        if jax.process_index() == 0:
            _show(to_record(results), self.out)


def _join(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    """Join the other processes of a distributed run."""
    try:
        jax.distributed.initialize(coordinator, processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"distributed: cannot join the other processes ({first_line(error)}), expected a known cluster or "
            "--coordinator, --processes and --process-id"
        ) from error


def _show(record: dict[str, Any], out: Path) -> None:
    print(text_table(record))
    print(f"\nReport: {out / 'report.html'}")


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Merge finished runs of one protocol into one table and one set of figures."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of finished runs."""

    out: Path
    """Folder for the merged report."""

    def run(self) -> None:
        """Merge and print the table."""
        _show(compare(self.runs, out=self.out), self.out)


def _test_images(spec: str, *, skip_bad: bool) -> ImageSource | PairedSource:
    if not spec.startswith("pairs:"):
        return named_images(spec, "test", skip_bad=skip_bad)
    folders = spec.split(":")[1:]
    if len(folders) != 2 or skip_bad:
        raise InputError(f"data: found {spec!r}, expected pairs:LOW_FOLDER:HIGH_FOLDER, without --skip-bad")
    return paired_folder(*folders)


_Command = (
    Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Decisions, tyro.conf.subcommand("decisions")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Weights, tyro.conf.subcommand("weights")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: words after the program's name; None takes them from the terminal.
    """
    command: Evaluate | Compare | Decisions | Reproduce | Train | Weights | Doctor = tyro.cli(
        _Command, prog="jaxpr", description=jaxpr.__doc__, args=arguments
    )
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            command.run()
    except InputError as error:
        _stop(f"error: {first_line(error)}", code=2)
    except OSError as error:
        _stop(f"error: {error.filename or 'file'}: {error.strerror or error}; finished work is kept", code=2)
    except KeyboardInterrupt:
        _stop("interrupted; the same command resumes the run", code=130)


def _stop(message: str, *, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
