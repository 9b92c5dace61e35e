"""What an exploration found, and how it becomes files: its record, the answers, and the page.

`explore.json` is described in docs/explore.md.
"""

import html
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpr import __version__
from jaxpr.core import TEMPORARY_PREFIX, InputError, claim_folder, given_path, printable, utf8, write_atomically
from jaxpr.degradations import Degradation, Inpainting
from jaxpr.exploration.pictures import coloured, pixel_maps, png_of
from jaxpr.exploration.spaces import SPACES
from jaxpr.report.explored import exploration_page
from jaxpr.selection import OverlappingTree

__all__ = ["AnswerSet", "Answers", "Explored", "check_exploration_folder", "exploration_record"]

SCHEMA_VERSION = 1
_PAGE, _RECORD, _ANSWERS = "explore.html", "explore.json", "answers"
_CONSISTENT_NOISE = 1.5  # of the noise's standard deviation
_CONSISTENT = 10 ** (-45 / 20)  # root mean square at 45 dB, [cohen2024md], Appendix C
_HEIGHT = 900  # of a page in a notebook, in screen pixels


class AnswerSet(NamedTuple):
    """A few answers that stand for all.

    Attributes:
        method: "random", "kmeans", "uniformization", "farthest" or "guided".
        indices: (n,) of the answers; empty for "guided", whose answers are its own.
        images: (n, H, W, C).
        diversity: mean distance between two of them.
        coverage_distance: mean distance of further answers, which no set was chosen from, to the nearest of them; NaN
            without any.
        name: of the guided restorer; "" for the others.
    """

    method: str
    indices: np.ndarray
    images: np.ndarray
    diversity: float
    coverage_distance: float
    name: str = ""


class Answers(NamedTuple):
    """The answers of one restorer. Host arrays.

    Attributes:
        name: of the restorer.
        label: its word.
        images: (N, H, W, C), not clipped.
        residual: (N,) root mean square of A x̂ - y; None where the degradation has no linear operator.
        radius: (N,) distance to the 6th nearest answer, itself counted, by which densities are estimated.
        rank: (N,) 1 for the most probable answer, by these densities.
        sets: of few.
        tree: of all.
        held_out: number of further answers.
        left_out: answers that were not finite.
        weights: as of the restorer.
    """

    name: str
    label: str
    images: np.ndarray
    residual: np.ndarray | None
    radius: np.ndarray
    rank: np.ndarray
    sets: tuple[AnswerSet, ...]
    tree: OverlappingTree
    held_out: int
    left_out: int
    weights: Mapping[str, Any] | None = None


class Explored(NamedTuple):
    """Answers to one measurement. A notebook shows it as its page.

    Attributes:
        image: name of the image.
        y: the measurement, (h, w, c).
        truth: (H, W, C); None where it is not known.
        degradation: of y.
        answers: of each restorer.
        settings: what was asked for, JSON-able.
    """

    image: str
    y: np.ndarray
    truth: np.ndarray | None
    degradation: Degradation
    answers: tuple[Answers, ...]
    settings: Mapping[str, Any]

    def save(self, folder: str | Path) -> Path:
        """Write `explore.html`, one page that loads nothing, `explore.json`, and the answers as PNG files.

        Args:
            folder: made if it does not exist; an earlier exploration in it is replaced.

        Returns:
            The path of the page.

        Raises:
            InputError: the folder holds other things, or cannot be written.
        """
        return _save(self, Path(folder))

    def _repr_html_(self) -> str:
        return _framed(self)


def exploration_record(explored: Explored) -> dict[str, Any]:
    """What `explore.json` holds; see docs/explore.md."""
    height, width, channels = explored.answers[0].images.shape[1:]
    return {
        "schema_version": SCHEMA_VERSION,
        "jaxpr": __version__,
        "image": explored.image,
        "truth_known": explored.truth is not None,
        "degradation": explored.degradation.name,
        "noise_std": explored.degradation.noise_std,
        "shape": [height, width, channels],
        "measurement_shape": list(explored.y.shape),
        "settings": {**explored.settings, "space_means": SPACES[explored.settings["space"]]},
        "restorers": [_restorer_record(explored, number) for number in range(len(explored.answers))],
    }


def _save(explored: Explored, folder: Path) -> Path:
    """Write page, record and answers; each file whole or not at all, the page last."""
    folder = given_path(folder)
    check_exploration_folder("folder", folder)
    claim_folder("folder", folder)
    record, pictures = exploration_record(explored), _pictures(explored)
    for stale in _own_pictures(folder):
        if stale.relative_to(folder).as_posix() not in pictures:
            stale.unlink()
    for name, data in pictures.items():
        if name.startswith(_ANSWERS):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
    write_atomically(folder / _RECORD, utf8(json.dumps(record, indent=1, allow_nan=False) + "\n"))
    write_atomically(folder / _PAGE, utf8(exploration_page(record, pictures)))
    return folder / _PAGE


def check_exploration_folder(name: str, folder: Path) -> None:
    """Raise unless a folder is new, empty, or holds an earlier exploration and nothing else."""
    if not folder.is_dir():
        return
    others = [
        path.name
        for path in folder.iterdir()
        if path.name not in (_PAGE, _RECORD, _ANSWERS) and not path.name.startswith(TEMPORARY_PREFIX)
    ]
    if others:
        raise InputError(
            f"{name}: found {printable(min(others))} in {printable(folder)}, expected a new folder or an earlier "
            "exploration"
        )


def _framed(explored: Explored) -> str:
    """The page in a frame of its own."""
    page = exploration_page(exploration_record(explored), _pictures(explored))
    style = f"width: 100%; height: {_HEIGHT}px; border: 0"
    return f'<iframe srcdoc="{html.escape(page)}" style="{style}" title="answers"></iframe>'


def _restorer_record(explored: Explored, number: int) -> dict[str, Any]:
    answers, files = explored.answers[number], _files(explored, number)
    nodes = answers.tree
    return {
        "name": answers.name,
        "label": answers.label,
        "weights": None if answers.weights is None else dict(answers.weights),
        "left_out": answers.left_out,
        "held_out": answers.held_out,
        "largest": {name: float(values.max()) for name, values in pixel_maps(answers.images).items()},
        "answers": [
            {
                "file": file,
                "rank": int(answers.rank[i]),
                "neighbour_distance": float(answers.radius[i]),
                **_consistency(explored, answers, i),
            }
            for i, file in enumerate(files)
        ],
        "sets": [
            {
                "method": found.method,
                "name": found.name,
                "answers": found.indices.tolist(),
                "files": _set_files(explored, number, position),
                "diversity": found.diversity,
                "coverage_distance": None if math.isnan(found.coverage_distance) else found.coverage_distance,
            }
            for position, found in enumerate(answers.sets)
        ],
        "tree": [
            {"answer": int(point), "parent": int(parent), "rank": int(rank), "guest": bool(guest), "below": below}
            for point, parent, rank, guest, below in zip(*nodes, _sizes(nodes.parent), strict=True)
        ],
    }


def _consistency(explored: Explored, answers: Answers, index: int) -> dict[str, Any]:
    """How far A x̂ is from y, and whether that is about as far as noise explains."""
    noise = explored.degradation.noise_std
    if answers.residual is None:
        return {"residual": None, "relative_residual": None, "consistent": None}
    residual = float(answers.residual[index])
    limit = max(_CONSISTENT_NOISE * noise, _CONSISTENT)
    return {
        "residual": residual,
        "relative_residual": residual / noise if noise else None,
        "consistent": residual <= limit if explored.degradation.jpeg_quality is None else None,
    }


def _sizes(parents: np.ndarray) -> list[int]:
    """How many nodes are below each; parents come first."""
    below = np.zeros(len(parents), int)
    for node in range(len(parents) - 1, -1, -1):
        if parents[node] >= 0:
            below[parents[node]] += below[node] + 1
    return [int(size) for size in below]


def _folder(explored: Explored, number: int) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", explored.answers[number].name.lower()).strip("-")[:40]
    return f"{_ANSWERS}/{number}-{slug or 'restorer'}"


def _files(explored: Explored, number: int) -> list[str]:
    count = len(explored.answers[number].images)
    return [f"{_folder(explored, number)}/{i:0{max(3, len(str(count - 1)))}d}.png" for i in range(count)]


def _set_files(explored: Explored, number: int, position: int) -> list[str]:
    found, files = explored.answers[number].sets[position], _files(explored, number)
    if found.method != "guided":
        return [files[i] for i in found.indices]
    return [f"{_folder(explored, number)}-guided-{position}/{i:03d}.png" for i in range(len(found.images))]


def _own_pictures(folder: Path) -> list[Path]:
    """Pictures of an earlier exploration."""
    return [path for path in folder.glob(f"{_ANSWERS}/*/*.png") if re.fullmatch(r"\d{3,}\.png", path.name)]


def _pictures(explored: Explored) -> dict[str, bytes]:
    """All pictures of the page as PNG files, by name; those of answers under their files' names."""
    found = {"measurement": png_of(explored.y, known=_known(explored))}
    if explored.truth is not None:
        found["truth"] = png_of(explored.truth)
    for number, answers in enumerate(explored.answers):
        clipped, maps = np.clip(answers.images, 0, 1), pixel_maps(answers.images)
        found[f"mean/{number}"] = png_of(clipped.mean(axis=0))
        found[f"smallest/{number}"] = png_of(clipped.min(axis=0))
        found[f"largest/{number}"] = png_of(clipped.max(axis=0))
        found |= {f"{name}/{number}": png_of(coloured(values)) for name, values in maps.items()}
        found |= {file: png_of(image) for file, image in zip(_files(explored, number), answers.images, strict=True)}
        for position, chosen in enumerate(answers.sets):
            if chosen.method == "guided":
                files = _set_files(explored, number, position)
                found |= {file: png_of(image) for file, image in zip(files, chosen.images, strict=True)}
    return found


def _known(explored: Explored) -> np.ndarray | None:
    """(h, w) where y is known, if it has holes."""
    if not explored.degradation.has_operator:
        return None
    operator = explored.degradation.operator(explored.answers[0].images.shape[1:])
    return np.asarray(operator.mask, bool) if isinstance(operator, Inpainting) else None
