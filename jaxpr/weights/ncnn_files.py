"""Reading the files of ncnn: the layers of a network in a text, `.param`, and their numbers in order, `.bin`.

What a network computes is in the text, so a file is only taken for a known network if its layers are that network's
(see `ncnn_graphs`). Every byte of the numbers belongs to a layer, or the file is refused.

Format: github.com/Tencent/ncnn, docs/developer-guide/param-and-model-file-structure.md and operators.md.
"""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import InputError, file_at, printable

__all__ = ["HALF", "MAGIC", "NcnnLayer", "NcnnFile", "number_file", "read_ncnn"]

MAGIC = b"7767517"
"""What a `.param` begins with."""
HALF = (0x01306B47).to_bytes(4, "little")
"""In front of numbers that are stored in float16."""

_FLOAT = bytes(4)
_ARRAY = -23300  # options of this number and below are arrays
_MOST_TEXT, _MOST_LAYERS = 1 << 24, 100_000
_SUFFIXES = (".param", ".bin")

Option = float | tuple[float, ...]


class NcnnLayer(NamedTuple):
    """A layer as a `.param` has it.

    Attributes:
        kind: such as "Convolution".
        name: its own.
        inputs: names of what it takes.
        outputs: names of what it gives.
        options: numbers and arrays of numbers by their keys.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[int, Option]

    def number(self, key: int, *, default: int = 0) -> int:
        """An option that is a whole number."""
        value = self.options.get(key, default)
        if not isinstance(value, int | float) or value != int(value):
            raise InputError(f"layer {printable(self.name)}: found {value} for its option {key}, expected an integer")
        return int(value)


class NcnnFile(NamedTuple):
    """A network as ncnn's two files have it.

    Attributes:
        path: of the numbers, the `.bin`.
        layers: in order.
        tensors: by the names of their layers: `NAME.weight` and `NAME.bias`; views of the file, in its own dtypes.
    """

    path: Path
    layers: tuple[NcnnLayer, ...]
    tensors: Mapping[str, np.ndarray]


def number_file(path: Path) -> Path:
    """The `.bin` of one of the two files.

    Raises:
        InputError: the other one is not there.
    """
    stem = path.with_suffix("") if path.suffix in _SUFFIXES else path
    for suffix in _SUFFIXES:
        other = stem.with_name(stem.name + suffix)
        if not other.exists():
            raise InputError(
                f"{printable(path)}: found no {printable(other.name)} beside it, expected both files of an ncnn network"
            )
    return stem.with_name(stem.name + ".bin")


def read_ncnn(path: Path) -> NcnnFile:
    """Read both files of a network.

    Args:
        path: of either; the other lies beside it.

    Raises:
        InputError: one of them is missing, damaged, or of layers or numbers of another kind; they do not belong
            together.
    """
    numbers = number_file(path)
    text = file_at("path", numbers.with_suffix(".param"), expected="ncnn's .param")
    layers = _layers(text)
    content: Any = np.memmap(numbers, np.uint8, mode="r") if numbers.stat().st_size else np.zeros(0, np.uint8)
    reader = _Numbers(numbers, content)
    tensors: dict[str, np.ndarray] = {}
    for layer in layers:
        for part, array in _TAKES.get(layer.kind, _nothing)(layer, reader).items():
            tensors[f"{layer.name}.{part}"] = array
    if reader.left:
        raise InputError(
            f"{printable(numbers)}: found {reader.left} bytes more than the layers of {printable(text.name)} have, "
            "expected files that belong together"
        )
    return NcnnFile(numbers, layers, tensors)


class _Numbers:
    """What is left of a `.bin`."""

    def __init__(self, path: Path, content: np.ndarray) -> None:
        self._path, self._content = path, content

    @property
    def left(self) -> int:
        """Bytes that no layer has taken."""
        return len(self._content)

    def plain(self, layer: NcnnLayer, count: int) -> np.ndarray:
        """The next numbers, in float32."""
        return self._bytes(layer, 4 * count).view(np.float32)

    def marked(self, layer: NcnnLayer, count: int) -> np.ndarray:
        """The next numbers behind a word that says how they are stored; filled up to whole words."""
        mark = self._bytes(layer, 4).tobytes()
        if mark == _FLOAT:
            return self.plain(layer, count)
        if mark != HALF:
            raise InputError(
                f"{printable(self._path)}, layer {printable(layer.name)}: found numbers of the kind "
                f"0x{mark[::-1].hex()}, expected float32 or float16 (quantised networks are not read)"
            )
        return self._bytes(layer, 2 * count + 2 * (count % 2))[: 2 * count].view(np.float16)

    def _bytes(self, layer: NcnnLayer, count: int) -> np.ndarray:
        if count > len(self._content):
            raise InputError(
                f"{printable(self._path)}, layer {printable(layer.name)}: found {len(self._content)} bytes left, "
                f"expected {count}"
            )
        taken, self._content = self._content[:count], self._content[count:]
        return taken


def _nothing(layer: NcnnLayer, numbers: _Numbers) -> dict[str, np.ndarray]:
    return {}


def _convolution(layer: NcnnLayer, numbers: _Numbers) -> dict[str, np.ndarray]:
    outputs, width, size = layer.number(0), layer.number(1), layer.number(6)
    height = layer.number(11, default=width)
    inputs, rest = divmod(size, max(1, outputs * height * width))
    if rest or min(outputs, width, height, inputs) < 1:
        raise InputError(
            f"layer {printable(layer.name)}: found {size} weights, expected a multiple of {outputs}·{height}·{width}"
        )
    weight = numbers.marked(layer, size).reshape(outputs, inputs, height, width)
    return {"weight": weight} | ({"bias": numbers.plain(layer, outputs)} if layer.number(5) else {})


def _slopes(layer: NcnnLayer, numbers: _Numbers) -> dict[str, np.ndarray]:
    return {"weight": numbers.plain(layer, max(0, layer.number(0)))}


_TAKES = {"Convolution": _convolution, "PReLU": _slopes}
_WITHOUT = ("Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle")


def _layers(path: Path) -> tuple[NcnnLayer, ...]:
    """The layers of a text, each complete and of a kind whose numbers are known."""
    try:
        if path.stat().st_size > _MOST_TEXT:
            raise InputError(f"{printable(path)}: found {path.stat().st_size} bytes, expected the text of a network")
        lines = path.read_text("ascii").split("\n")
        magic, (count, _), rest = (
            lines[0].strip(),
            map(int, lines[1].split()),
            [line for line in lines[2:] if line.strip()],
        )
    except (UnicodeDecodeError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{printable(path)}: cannot be read, expected the text of an ncnn network") from error
    if magic.encode() != MAGIC or count != len(rest) or count > _MOST_LAYERS:
        raise InputError(
            f"{printable(path)}: found {magic[:16]!r} and {len(rest)} layers, expected {MAGIC.decode()!r} and {count}"
        )
    layers = tuple(_layer(path, line) for line in rest)
    name, times = Counter(layer.name for layer in layers).most_common(1)[0] if layers else ("", 0)
    if times > 1:
        raise InputError(
            f"{printable(path)}: found two layers with the name {printable(name)}, expected different ones"
        )
    return layers


def _layer(path: Path, line: str) -> NcnnLayer:
    try:
        kind, name, *words = line.split()
        given, made = int(words[0]), int(words[1])
        names, options = words[2 : 2 + given + made], words[2 + given + made :]
        if len(names) != given + made or min(given, made) < 0:
            raise ValueError("too few names")
        layer = NcnnLayer(kind, name, tuple(names[:given]), tuple(names[given:]), dict(map(_option, options)))
    except (ValueError, IndexError, OverflowError) as error:
        found = printable(line.strip()[:60])
        raise InputError(f"{printable(path)}: cannot read the layer {found!r}, expected ncnn's form") from error
    if kind not in _TAKES and kind not in _WITHOUT:
        known = ", ".join((*_TAKES, *_WITHOUT))
        raise InputError(
            f"{printable(path)}: found a layer of the kind {printable(kind)[:40]}, expected only those of the networks "
            f"that can be read ({known})"
        )
    return layer


def _option(word: str) -> tuple[int, Option]:
    """`KEY=VALUE`, or `-(23300 + KEY)=COUNT,VALUE,...`."""
    key, _, value = word.partition("=")
    if int(key) > _ARRAY:
        return int(key), _finite(value)
    count, *values = value.split(",")
    if int(count) != len(values):
        raise ValueError("another number of values")
    return _ARRAY - int(key), tuple(map(_finite, values))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value
