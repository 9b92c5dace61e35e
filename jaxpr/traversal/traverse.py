"""From a folder of outputs to a folder of moved ones, measured along alpha; a stopped one goes on.

Images are read and moved one at a time, and what was moved and measured is kept in the folder, so that another alpha is
found without the restorer and without the autoencoder.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
from tqdm import tqdm

from jaxpr.core import InputError, Key, check_count, check_key, code_sha256, described, is_number
from jaxpr.data import ImageSource
from jaxpr.evaluation.state import BatchStore, open_run
from jaxpr.metrics import Moments
from jaxpr.records.along import RESTORED, alpha_name, best_alpha, check_lose_psnr
from jaxpr.records.differences import compared
from jaxpr.records.results import Described, Metric, RestorerResult, Results
from jaxpr.restorers import LatentTransport, save_transport
from jaxpr.restorers.latent_transport_files import pack_transport
from jaxpr.traversal.folders import InputFolders, check_traversal_folder, open_folders
from jaxpr.traversal.measuring import Patched, feature_blocks, measured_set, measurer
from jaxpr.traversal.moving import autoencoder, mixed_levels, mover
from jaxpr.traversal.traversed import WISHES, Traversed
from jaxpr.traversal.writing import TRANSPORT, write_images, write_traversal
from jaxpr.weights import feature_extractor

__all__ = ["traverse"]

_LARGEST_PATCH = 64  # pixels, that of the features' networks
_LEAST, _MOST = -1.0, 2.0
_MOST_POINTS = 1001
_FAMILY = "transport"

_Measure: TypeAlias = Callable[[np.ndarray, np.ndarray | None], dict[str, np.ndarray]]


def traverse(
    key: Key,
    restored: str | os.PathLike[str],
    fitted: LatentTransport | Callable[[], LatentTransport],
    *,
    out: str | os.PathLike[str],
    natural: str | os.PathLike[str] | None = None,
    truth: str | os.PathLike[str] | None = None,
    alpha: float = 0.0,
    points: int = 13,
    features: str = "alexnet",
    channels: int = 3,
    wish: str | None = None,
    lose_psnr: float | None = None,
    page: bool = True,
    accept_other_code: bool = False,
    progress: bool = False,
) -> Traversed:
    """Move the outputs in a folder towards natural images, and measure what is won and lost along alpha.

    Fréchet distances are from the truths where they are known, else from the natural images. The restorer is not
    needed; the autoencoder sees every image once, whatever alphas are asked for later.

    Args:
        key: of draws, where the transport draws; those of an image depend on the key and its place alone.
        restored: folder of outputs, of any sizes. It is only read, as `natural` and `truth` are.
        fitted: of `fit_transport` or `load_transport`; or what gives one, called once all else was found to be right.
        out: folder for `images/`, `transport.safetensors`, `transport.json`, `index.html`, and what a stopped or later
            run needs; new, empty, or that of the same traversal, whatever its alpha.
        natural: folder of natural images, such as those that it was fitted on; None for none.
        truth: folder with the truth of each output; None where it is not known.
        alpha: of the written images: 0 transported, 1 as they were; any number.
        points: measured from -1 to 2, beside -1, 0, 1, 2 and `alpha`; at least two.
        features: extractor of the Fréchet distance, see `weights.feature_extractor`.
        channels: 3 for RGB, 1 for luma, whatever the files hold.
        wish: what should be least, one of `WISHES`; None for no question.
        lose_psnr: decibels of PSNR that may be lost for the wish, which is then "least-fd" unless it is given.
        page: measure, and write the page.
        accept_other_code: go on with a folder that other code began.
        progress: show progress bars.

    Returns:
        `Traversed`; without a page it has no rows.

    Raises:
        InputError: folders or images that do not fit, a folder that holds other things, or a wish without its needs.
    """
    check_key(key, single=True)
    _check_numbers(alpha, points, lose_psnr)
    feature_extractor(features)  # raises for an unknown name
    given = {"restored": restored, "natural": natural, "truth": truth}
    folder = check_traversal_folder("out", out, {name: path for name, path in given.items() if path is not None})
    inputs = open_folders(restored, natural=natural, truth=truth, channels=channels)
    asked = "least-fd" if wish is None and lose_psnr is not None else wish
    _check_wish(asked, lose_psnr, inputs, page=page)
    fitted = fitted if isinstance(fitted, LatentTransport) else fitted()
    settings = _settings(key, inputs, fitted, features, channels)
    state = open_run(folder, settings, code=code_sha256(), accept_other_code=accept_other_code)
    save_transport(fitted, folder / TRANSPORT)
    work = _Work(key, inputs, fitted, state, progress)
    work.move()
    write_images(folder, inputs, work.moved, alpha)
    found = Traversed(folder, alpha, (), (), work.kind, fitted.record, settings, inputs.restored.names)
    if page:
        patched = Patched(features, settings["patch_size"], settings["patch_stride"])
        alphas = _alphas(points, alpha)
        rows = _rows(work, patched, alphas)
        found = found._replace(alphas=alphas, rows=rows)
        if asked is not None:
            found = found._replace(wish=best_alpha(alphas, rows, wish=asked, lose_psnr=lose_psnr))
    write_traversal(found, inputs, work.moved, page=page)
    return found


def _check_numbers(alpha: float, points: int, lose_psnr: float | None) -> None:
    if not (is_number(alpha) and math.isfinite(alpha)):
        raise InputError(f"alpha: found {described(alpha)}, expected one finite number")
    check_count("points", points, at_least=2)
    if points > _MOST_POINTS:
        raise InputError(f"points: found {points}, expected at most {_MOST_POINTS}")
    if lose_psnr is not None:
        check_lose_psnr(lose_psnr)


def _check_wish(wish: str | None, lose_psnr: float | None, inputs: InputFolders, *, page: bool) -> None:
    """Raise where a wish cannot be answered, before anything is computed."""
    if wish is not None and wish not in WISHES:
        raise InputError(f"wish: found {wish!r}, expected one of {', '.join(WISHES)}")
    if wish is not None and not page:
        raise InputError(f"wish: found {wish} where nothing is measured, expected a page")
    if wish == "least-fd" and inputs.truth is None and inputs.natural is None:
        raise InputError("wish: found least-fd without natural images or truths, expected one of them")
    if inputs.truth is None and (wish == "least-lpips" or lose_psnr is not None):
        raise InputError(f"{'wish' if lose_psnr is None else 'lose_psnr'}: found no truths, expected a folder of them")


def _settings(key: Key, inputs: InputFolders, fitted: LatentTransport, features: str, channels: int) -> dict[str, Any]:
    """What decides the numbers; alphas are not among it, since images of any alpha can follow."""
    sources = {name: getattr(inputs, name) for name in ("restored", "natural", "truth")}
    size = min(_LARGEST_PATCH, *(min(s.shape(i)[:2]) for s in sources.values() if s is not None for i in range(len(s))))
    return {
        "kind": "traversal",
        **{name: source and {"name": source.name, "sha256": source.fingerprint} for name, source in sources.items()},
        "channels": channels,
        "transport_sha256": hashlib.sha256(pack_transport(fitted)).hexdigest(),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "features": features,
        "patch_size": size,
        "patch_stride": max(1, size // 2),
    }


def _alphas(points: int, alpha: float) -> tuple[float, ...]:
    grid = np.linspace(_LEAST, _MOST, points).round(9).tolist()
    return tuple(sorted({*grid, _LEAST, 0.0, 1.0, _MOST, round(float(alpha), 9)}))


class _Work:
    """What the steps of a traversal share: images, the transport, and what is done already."""

    def __init__(self, key: Key, inputs: InputFolders, fitted: LatentTransport, state: Path, progress: bool) -> None:
        self.key, self.inputs, self.fitted, self.progress = key, inputs, fitted, progress
        self._state = state
        self.moved = self.store("moved")
        self.kind = "truth" if inputs.truth is not None else "natural" if inputs.natural is not None else ""

    def store(self, name: str) -> BatchStore:
        """Arrays of images, by their numbers."""
        return BatchStore(self._state, name)

    def along(self, alpha: float) -> BatchStore:
        """What was measured of the outputs at alpha."""
        return self.store(f"alpha {alpha:.9f}")

    def missing(self, stores: list[BatchStore], count: int, label: str) -> Iterator[int]:
        """Numbers of the images that one of the stores has not."""
        numbers = [i for i in range(count) if not all(store.done([i]) for store in stores)]
        return iter(tqdm(numbers, desc=label, disable=not (self.progress and numbers)))

    def move(self) -> None:
        """x̂₀ and D(E(x*)) of the outputs that have none yet."""
        move, reconstruct = mover(self.key, self.fitted), autoencoder(self.fitted)
        restored = self.inputs.restored
        for number in self.missing([self.moved], len(restored), "moving"):
            x = restored[number]
            _keep(self.moved, number, {"moved": move(number, x), "reconstructed": reconstruct(x)})


def _keep(store: BatchStore, number: int, arrays: dict[str, np.ndarray]) -> None:
    store.save([number], {name: array[None] for name, array in arrays.items()})


def _rows(work: _Work, patched: Patched, alphas: tuple[float, ...]) -> tuple[RestorerResult, ...]:
    """All rows, with their differences from x*."""
    measure, count = measurer(patched), len(work.inputs.restored)
    _measure_outputs(work, measure, alphas)
    reference = work.inputs.truth or work.inputs.natural
    real: list[Moments] | None = None
    ceiling: list[RestorerResult] = []
    if reference is not None:
        real, ceiling = _measure_reference(work, reference, patched, measure)

    def metrics(store: BatchStore) -> dict[str, Metric]:
        return measured_set(store, count, patched, real=real, paired=work.kind == "truth")

    rows = []
    for alpha in tqdm(alphas, desc="comparing", disable=not work.progress):
        name = alpha_name(alpha)
        described_as = Described(label=name, family=_FAMILY, setting=alpha)
        rows.append(RestorerResult(name, metrics(work.along(alpha)), {}, {}, described_as=described_as))
    rows.append(RestorerResult(f"D(E({RESTORED}))", metrics(work.store("reconstructed")), {}, {}))
    return compared(Results({}, {}, (*rows, *ceiling), {}), baseline=RESTORED).restorers


def _measure_outputs(work: _Work, measure: _Measure, alphas: tuple[float, ...]) -> None:
    """Measure every output at every alpha, and as the autoencoder gives it back, unless it was."""
    restored, truths, plain = work.inputs.restored, work.inputs.truth, work.store("reconstructed")
    stores = {alpha: work.along(alpha) for alpha in alphas}
    missing = set(work.missing([*stores.values(), plain], len(restored), "finding"))
    if not missing:
        return
    kept = enumerate(work.moved.load(len(restored)))
    for number, arrays in tqdm(kept, desc="measuring", total=len(restored), disable=not work.progress):
        if number not in missing:
            continue
        x, truth = restored[number], None if truths is None else truths[number]
        for alpha, store in stores.items():
            if not store.done([number]):
                _keep(store, number, measure(mixed_levels(arrays["moved"], x, alpha), truth))
        if not plain.done([number]):
            _keep(plain, number, measure(mixed_levels(arrays["reconstructed"], x, 0.0), truth))


def _measure_reference(
    work: _Work, reference: ImageSource, patched: Patched, measure: _Measure
) -> tuple[list[Moments], list[RestorerResult]]:
    """Moments of the images that are compared with, and the ceiling: the row of their D(E(x)), measured from x."""
    count, reconstruct = len(reference), autoencoder(work.fitted)
    plain, again = work.store(work.kind), work.store(f"{work.kind} reconstructed")
    for number in work.missing([plain, again], count, f"measuring {work.kind}"):
        x = reference[number]
        _keep(plain, number, measure(mixed_levels(x, x, 1.0), None))
        _keep(again, number, measure(mixed_levels(reconstruct(x), x, 0.0), x))
    real = feature_blocks(plain, count)
    found = measured_set(again, count, patched, real=real, paired=True)
    if work.kind != "truth":  # other images than the outputs: no pairs with them
        found = {name: metric._replace(left_out=()) for name, metric in found.items()}
    return real, [RestorerResult(f"D(E({work.kind}))", found, {}, {})]
