"""The page's sentences: what was measured, what came out, and what the figures show."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpr.records.metric_info import MetricInfo
from jaxpr.records.metric_table import metric_info
from jaxpr.records.reading import best_names, measured, metric_names
from jaxpr.report.strips import DIFFERENCE_GAIN
from jaxpr.report.text import format_value

__all__ = ["CAPTIONS", "MAPS_CAPTION", "STRIP_CAPTION", "findings", "resizing_words", "strength", "summary"]

CAPTIONS = {
    "tradeoff": (
        "Robustness against joint perceptual quality",
        "Each marker is one restorer. Further left, its outputs look more like real images and fit their inputs "
        "better; further down, it reacts less to a tiny change of its input. One would like to be at the lower "
        "left, but if the degradation loses information no deterministic restorer can be: the closer the pairs "
        "(output, input) come to pairs (real image, input), the more erratic the restorer must be. The dashed line "
        "joins the restorers that no other beats on both axes; nothing was found in the tinted region beyond it. "
        "Thin lines join settings of one method, hollow markers are variants. Bars are standard errors over the "
        "choice of photographs; all restorers saw the same ones, so differences between them are more certain than "
        "the bars suggest.",
    ),
    "distortion_perception": (
        "Distortion against perceptual quality",
        "Further left, the outputs as a population look more like real images; further down, each output is closer to "
        "its own original. Where the degradation loses information, the answer with the smallest error is an "
        "average of the possible originals, and averages are blurred; so the best of both cannot be had at once. "
        "Nothing was found in the tinted corner.",
    ),
    "consistency": (
        "Consistency with the input",
        "LR-PSNR: every output is degraded again and compared with the input it came from. Plane: "
        "√(joint FD − FD) is the part of the joint distance that the look of the outputs alone does not explain, so "
        "restorers with equally natural outputs (same position across) differ in height if their outputs fit "
        "the inputs differently well.",
    ),
    "manifold": (
        "Precision and recall",
        "Further left, more of the restored patches lie among real ones; further down, more of the real patches lie "
        "among restored ones. Averaging restorers often miss the variety of real images, which shows as low recall.",
    ),
    "sweep": (
        "Attacks of growing strength",
        "Each line follows one restorer through attacks of growing radius (written above), on a few examples. At the "
        "same horizontal position all restorers got an equally changed input; the lower the line, the more their "
        "output changed. Below the grey diagonal the output changes more than the input.",
    ),
    "uncertainty": (
        "Uncertainty and perception",
        "For small blocks of pixels, given their surroundings in y: how unpredictable the error of a restorer is, and "
        "how far its outputs are from varying as natural images do. Restorers whose outputs are Gaussian given y are "
        "not below the lower curve; those of photographs need not be Gaussian, so no region is impossible here. A "
        "deterministic restorer has an infinite divergence in truth; its finite one is that of a linear Gaussian model "
        "of blocks. At the right the same uncertainty against the mean squared error, "
        "which cannot be smaller than it (dashed line).",
    ),
    "along": (
        "Along α",
        "α = 1 is x*, the restorer as it is; α = 0 is x̂₀, its outputs transported towards natural images; other α mix "
        "the two, or go on beyond them (dashed). Bars are standard errors of the difference from x* over the same "
        "photographs; so are those along the lines that follow a restorer through the planes. Lines across: D(E(x*)) "
        "is what the autoencoder alone makes of x* (dashed), D(E(x)) of the truth "
        "(dotted), which no transported output can be expected to be better than.",
    ),
    "decisions": (
        "Decisions behind the restorers",
        "What a classifier that the attack never saw decides about the restorations: bars are shares of classes before "
        "(light) and after an attack through restorer and another classifier, lines those of the clean images. "
        "Examples show the attacked input and the restorations before and after; red words are changed decisions.",
    ),
    "robustness": (
        "Sensitivity to a small change of the input",
        "An attack changes each input slightly, so as to change the output as much as it can. The open circle is the "
        "PSNR between the original and the attacked input, the filled marker the PSNR between the two outputs: the "
        "further the marker lies to the left of the circle, the more the restorer amplifies the change.",
    ),
}

STRIP_CAPTION = (
    "Truth and input at the left. Then for each restorer: its output (PSNR against the truth), its output for the "
    f"attacked input (PSNR against the output above), and their absolute difference times {DIFFERENCE_GAIN:g}."
)

MAPS_CAPTION = (
    "How much each pixel of the output changed when the input was attacked (root mean square over channels; one scale "
    "of colours for all restorers of an example). K is the ratio of the whole change to that of the input. Below, the "
    "same by spatial frequency, fine detail at the right: the change of the output in a band over the change of the "
    "input in that band, as far as frequencies go in y; and over the whole change of the input, where the squares of a "
    "restorer's bands add up to K². What comes out beyond the dashed line cannot have been in y."
)

COUNT_KEYS = ("images", "num_images", "image_count", "count", "n_images", "examples")
ALPHA_KEYS = ("alpha", "attack_alpha")
STEP_KEYS = ("attack_steps", "steps")


def _first(protocol: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((protocol[key] for key in keys if protocol.get(key) is not None), None)


def strength(alpha: Any) -> str:
    """`1/255` for 0.00392...; other numbers as they are."""
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        return str(alpha)
    levels = alpha * 255
    if abs(levels - round(levels)) < 1e-3 and levels > 0.5:
        return f"{round(levels)}/255"
    return f"{alpha:.4g}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")


def resizing_words(protocol: Mapping[str, Any]) -> str:
    """How images were resized and cut before anything else; nothing if they were not."""
    size, centre = protocol.get("resize"), protocol.get("centre")
    words = []
    if isinstance(size, Sequence) and size:
        words.append(
            f"resized to {' × '.join(map(str, size))} pixels" + (" on the shorter side" if len(size) == 1 else "")
        )
    if isinstance(centre, int) and centre:
        words.append(f"cut to the central {centre} × {centre} pixels")
    return " and ".join(words)


def summary(record: Mapping[str, Any]) -> str:
    """A paragraph in plain words: how many restorers, images, which degradation, which attack."""
    protocol = record.get("protocol") or {}
    count, degradation = _first(protocol, COUNT_KEYS), protocol.get("degradation")
    alpha, steps = _first(protocol, ALPHA_KEYS), _first(protocol, STEP_KEYS)
    restorers = _counted(len(record["restorers"]), "restorer")
    images = _counted(count, "image") if isinstance(count, int) and not isinstance(count, bool) else "images"
    crop, examples = protocol.get("crop"), protocol.get("examples")
    if isinstance(crop, int) and isinstance(examples, int):
        images = f"{_counted(examples, 'crop')} ({crop} × {crop} pixels) of {images}"
    if words := resizing_words(protocol):
        images += f", {words},"
    damage = f"degraded by {degradation}" if degradation else "that had been degraded"
    text = f"{restorers} had to recover {images} {damage}."
    text += " Their outputs were compared with the originals, with real images as a population, and with the inputs."
    if alpha is not None:
        moves = f" in {_counted(steps, 'step')}" if isinstance(steps, int) and not isinstance(steps, bool) else ""
        text += f" Each input was then changed by at most α = {strength(alpha)} per value{moves}, so as to change the "
        text += "output as much as possible; how much it does change is the restorer's sensitivity."
    return text


def findings(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(question, winner, value) for the main metrics of which there is a best restorer."""
    asked: dict[str, MetricInfo] = {}
    for info in map(metric_info, metric_names(record)):
        if info.question:
            asked.setdefault(info.question, info)
    found = []
    for question, info in asked.items():
        best = best_names(record, info.key, direction=info.direction)
        winners = [entry for entry in record["restorers"] if entry["name"] in best]
        if not winners:
            continue
        value = measured(winners[0], info.key)
        shown = format_value(value.value * info.scale, value.stderr * info.scale) if value else "–"
        winner = winners[0]["name"] if len(winners) == 1 else f"{winners[0]['name']} and {len(winners) - 1} more"
        found.append((question, winner, f"{info.label} {shown} {info.unit}".strip()))
    return found
