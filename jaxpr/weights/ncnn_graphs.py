"""Networks that ncnn's files can be, layer by layer, and the official names of their tensors.

A file of ncnn has no names of parameters, but all of the computation. So it is compared with the layers that the
network has: a residual scale, a slope or a resize that differs makes it another network.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from jaxpr.weights.ncnn_files import NcnnFile, NcnnLayer, Option

__all__ = ["official_tensors"]

_CONVOLUTION: Mapping[int, Option] = {1: 3, 4: 1, 5: 1}
_LEAKY: Mapping[int, Option] = {**_CONVOLUTION, 9: 2, 10: (0.2,)}
_RESIDUAL: Mapping[int, Option] = {0: 1, 1: (0.2, 1.0)}  # a sum with these factors
# What an option is where it is not written; a key in brackets stands for the value of that option.
_DEFAULTS: Mapping[str, Mapping[int, float | list[int]]] = {
    "Convolution": {
        2: 1,
        3: 1,
        4: 0,
        5: 0,
        8: 0,
        9: 0,
        18: 0,
        19: 0,
        11: [1],
        12: [2],
        13: [3],
        14: [4],
        15: [4],
        16: [4],
    },
    "Concat": {0: 0},
    "Eltwise": {0: 0},
    "BinaryOp": {0: 0, 1: 0, 2: 0},
    "Interp": {0: 0, 3: 0, 4: 0, 5: 0, 6: 0},
    "PixelShuffle": {1: 0},
}
_SIZES = {"Convolution": (0, 6), "PReLU": (0,)}  # of tensors, which are compared as shapes


class _Node(NamedTuple):
    """A layer by what it computes.

    Attributes:
        kind: of the layer.
        inputs: places of the nodes that it takes; -1 is the image.
        options: those that are not defaults.
    """

    kind: str
    inputs: tuple[int, ...]
    options: Mapping[int, Option]


class _Plan:
    """The layers of a network, written down in order."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self.names: list[str] = []

    def add(self, kind: str, inputs: tuple[int, ...], options: Mapping[int, Option] | None = None) -> int:
        """One more layer; returns its place."""
        self.nodes.append(_Node(kind, inputs, options or {}))
        return len(self.nodes) - 1

    def conv(self, name: str, x: int, *, leaky: bool = False) -> int:
        """A convolution of 3×3, by the official name of its tensors."""
        self.names += [f"{name}.weight", f"{name}.bias"]
        return self.add("Convolution", (x,), _LEAKY if leaky else _CONVOLUTION)

    def prelu(self, name: str, x: int) -> int:
        """Slopes of channels."""
        self.names.append(f"{name}.weight")
        return self.add("PReLU", (x,))

    def enlarged(self, x: int, factor: int) -> int:
        """Every pixel repeated."""
        return self.add("Interp", (x,), {0: 1, 1: factor, 2: factor})


_IMAGE = -1


def official_tensors(file: NcnnFile) -> tuple[str, dict[str, np.ndarray]] | None:
    """The network that a file's layers are, and its tensors by their official names; None if no known one."""
    found = list(_nodes(file.layers))
    for network, plan in _PLANS.items():
        expected = plan(found)
        if expected.nodes == found and len(expected.names) == len(file.tensors):
            return network, dict(zip(expected.names, file.tensors.values(), strict=True))
    return None


def _nodes(layers: tuple[NcnnLayer, ...]) -> Iterator[_Node]:
    """Layers by what they compute: copies of one value are that value."""
    places: dict[str, int] = {}
    count = 0
    for layer in layers:
        inputs = tuple(places.get(name, -2) for name in layer.inputs)  # -2 is nowhere, so no plan has it
        if layer.kind in ("Input", "Split"):
            places |= dict.fromkeys(layer.outputs, _IMAGE if layer.kind == "Input" else inputs[0])
            continue
        places |= dict.fromkeys(layer.outputs, count)
        count += 1
        yield _Node(layer.kind, inputs, _written(layer))


def _written(layer: NcnnLayer) -> dict[int, Option]:
    """Options that are neither sizes nor what they are by default."""
    defaults = _DEFAULTS.get(layer.kind, {})

    def default(key: int) -> Option | None:
        value = defaults.get(key)
        return layer.options.get(value[0], default(value[0])) if isinstance(value, list) else value

    sizes = _SIZES.get(layer.kind, ())
    return {key: value for key, value in layer.options.items() if key not in sizes and value != default(key)}


def _rrdbnet(found: list[_Node]) -> _Plan:
    kinds = [node.kind for node in found]
    plan = _Plan()
    first = x = plan.conv("conv_first", _IMAGE)
    for block in range(kinds.count("Eltwise") // 4):
        start = x
        for dense in (1, 2, 3):
            name, seen = f"body.{block}.rdb{dense}", [x]
            for i in (1, 2, 3, 4):
                joined = plan.add("Concat", tuple(seen)) if i > 1 else x
                seen.append(plan.conv(f"{name}.conv{i}", joined, leaky=True))
            last = plan.conv(f"{name}.conv5", plan.add("Concat", tuple(seen)))
            x = plan.add("Eltwise", (last, x), _RESIDUAL)
        x = plan.add("Eltwise", (x, start), _RESIDUAL)
    x = plan.add("BinaryOp", (first, plan.conv("conv_body", x)))
    for i in range(kinds.count("Interp")):
        x = plan.conv(f"conv_up{i + 1}", plan.enlarged(x, 2), leaky=True)
    plan.conv("conv_last", plan.conv("conv_hr", x, leaky=True))
    return plan


def _srvggnet(found: list[_Node]) -> _Plan:
    plan, x = _Plan(), _IMAGE
    layers = [node.kind for node in found].count("PReLU")
    factors = [node.options.get(0) for node in found if node.kind == "PixelShuffle"]
    factor = int(factors[0]) if len(factors) == 1 and isinstance(factors[0], float) else 0
    for i in range(layers):
        x = plan.prelu(f"body.{2 * i + 1}", plan.conv(f"body.{2 * i}", x))
    x = plan.add("PixelShuffle", (plan.conv(f"body.{2 * layers}", x),), {0: factor})
    plan.add("BinaryOp", (x, plan.enlarged(_IMAGE, factor)))
    return plan


_PLANS: Mapping[str, Callable[[list[_Node]], _Plan]] = {"RRDBNet": _rrdbnet, "SRVGGNetCompact": _srvggnet}
