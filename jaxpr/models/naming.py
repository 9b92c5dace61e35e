"""From the tensors of a PyTorch file to the parameters of our networks, by one rule for all of them.

A network declared here has its official names: the parameter at path `layers.0.conv.kernel` is the tensor
`layers.0.conv.weight`. The last part is renamed (`kernel`, `scale` and `embedding` are `weight`; `mean` and `var` of
normalisations are `running_mean` and `running_var`), kernels are transposed (convolutions (O, I, H, W) to
(H, W, I, O), dense layers (O, I) to (I, O)), shapes are checked. What else a published file needs, other generations
of names and tensors that are no parameters, stands in the `Naming` tables of its network.

To add a network: declare it with `models.layers` under the names of its file, write a `Network` with its tables, and
list that in `models.networks`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxpr.core import InputError, printable
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute

__all__ = [
    "Mismatch",
    "Naming",
    "Network",
    "Shapes",
    "WeightsError",
    "abstract_parameters",
    "compare_tensors",
    "convert",
    "indices",
    "torch_shapes",
]

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor shapes by their names in PyTorch."""

_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}
_NEVER_PARAMETERS = (r"(^|\.)num_batches_tracked$",)
_LISTED = 8


class Naming(NamedTuple):
    """How the names in some published files differ from those of our declaration.

    Attributes:
        rename: (regular expression, replacement) applied to a name in the file, all in this order.
        ignored: regular expressions of names, after renaming, that are no parameters: masks and tables that are
            computed here, training's leftovers, heads that are not used.
        prefix: what the network's names begin with if the file holds more; other names are left out, the prefix is
            dropped before renaming.
    """

    rename: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    prefix: str = ""

    def canonical(self, name: str) -> str | None:
        """The name in our declaration of a name in the file; None if it does not belong to the network."""
        if not name.startswith(self.prefix):
            return None
        name = name.removeprefix(self.prefix)
        for pattern, replacement in self.rename:
            name = re.sub(pattern, replacement, name)
        return name

    def is_ignored(self, canonical: str) -> bool:
        """Whether the tensor of this canonical name is no parameter."""
        return any(re.search(pattern, canonical) for pattern in (*self.ignored, *_NEVER_PARAMETERS))


class Network(NamedTuple):
    """A published architecture.

    Attributes:
        name: short, for messages.
        namings: the naming schemes of its files.
        recognise: the configuration that a file's shapes (under canonical names, with all that is ignored later)
            speak of; None if it is not of this architecture. What shapes cannot tell is documented with each network.
        build: makes the network of a configuration.
    """

    name: str
    namings: tuple[Naming, ...]
    recognise: Callable[[Shapes], Any | None]
    build: Callable[[Any, Compute], Model]


class Mismatch(NamedTuple):
    """What keeps a file from being a network's weights.

    Attributes:
        missing: names of parameters that the file lacks.
        unexpected: names in the file that are neither parameters nor ignored.
        misshapen: (name in the file, its shape, the expected shape).
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def total(self) -> int:
        """How many there are; zero if everything fits."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)

    def describe(self) -> str:
        """Them in words, the first few of each kind by name."""
        shapes = [f"{name} {found}, expected {expected}" for name, found, expected in self.misshapen]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "wrongly shaped": shapes}
        return ", ".join(f"{len(found)} {kind} ({_first(found)})" for kind, found in kinds.items() if found)


class WeightsError(InputError):
    """A file does not hold the weights of the network.

    Attributes:
        mismatch: all differences; the message names the first of them.
    """

    def __init__(self, message: str, mismatch: Mismatch) -> None:
        super().__init__(message)
        self.mismatch = mismatch


def abstract_parameters(model: Model) -> dict[Any, Any]:
    """A model's parameters as shapes and dtypes; nothing is allocated."""
    return jax.eval_shape(model.init, jax.random.key(0))


def torch_shapes(parameters: Mapping[Any, Any]) -> dict[str, tuple[int, ...]]:
    """The complete list of tensors, under canonical names, that a PyTorch file of these parameters has.

    Args:
        parameters: nested dict of arrays or of their abstract values.
    """
    return {_torch_name(path): _torch_shape(path, leaf.shape) for path, leaf in _flat(parameters).items()}


def compare_tensors(
    parameters: Mapping[Any, Any], shapes: Shapes, namings: Iterable[Naming]
) -> tuple[Naming, Mismatch]:
    """The naming scheme under which a file fits a network best, and what still differs.

    Args:
        parameters: the network's, abstract or not.
        shapes: of the tensors in the file.
        namings: schemes to try.
    """
    expected = torch_shapes(parameters)
    tried = [(naming, _mismatch(expected, shapes, naming)) for naming in namings]
    return min(tried, key=lambda pair: pair[1].total)


def convert(
    parameters: Mapping[Any, Any], tensors: Mapping[str, np.ndarray], namings: Iterable[Naming], *, source: str
) -> dict[Any, Any]:
    """The parameters that a file's tensors are; every one of them must be there, and nothing else.

    Args:
        parameters: the network's abstract parameters: which paths, shapes and dtypes are wanted.
        tensors: of the file, any floating-point dtype.
        namings: naming schemes of the network's files.
        source: what to call the file in messages.

    Returns:
        Nested dict of arrays like `parameters`.

    Raises:
        WeightsError: tensors are missing, unexpected or of a wrong shape.
        InputError: weights that are NaN, infinite or no floating-point numbers.
    """
    naming, mismatch = compare_tensors(parameters, {name: a.shape for name, a in tensors.items()}, namings)
    if mismatch.total:
        raise WeightsError(f"{source}: found {mismatch.describe()} of {len(tensors)} tensors", mismatch)
    by_name = {naming.canonical(name): name for name in tensors}
    flat = {}
    for path, leaf in _flat(parameters).items():
        name = by_name[_torch_name(path)]
        values = _finite(source, name, tensors[name], leaf.dtype)
        flat[path] = jnp.array(_from_torch(path, values, leaf.shape))
    return traverse_util.unflatten_dict(flat)


def indices(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    """The different integers, in order, that the one group of a regular expression finds at the start of the names."""
    found = {int(match[1]) for name in shapes if (match := re.match(pattern, name))}
    return tuple(sorted(found))


def _flat(parameters: Mapping[Any, Any]) -> dict[tuple[Any, ...], Any]:
    return traverse_util.flatten_dict(dict(parameters))


def _torch_name(path: tuple[Any, ...]) -> str:
    return ".".join([*map(str, path[:-1]), _LEAVES.get(str(path[-1]), str(path[-1]))])


def _torch_shape(path: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[-1], shape[-2], *shape[:-2]) if path[-1] == "kernel" else tuple(shape)


def _finite(source: str, name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    """The array in another precision."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputError(f"{source}: found {array.dtype} in {printable(name)}, expected floating-point numbers")
    with np.errstate(over="ignore"):  # becomes infinite
        values = array.astype(dtype)
    if not np.isfinite(values).all():
        raise InputError(
            f"{source}: found NaN or infinite values in {printable(name)}, expected finite {dtype} weights"
        )
    return values


def _from_torch(path: tuple[Any, ...], array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if path[-1] != "kernel":
        return array.reshape(shape)
    array = array.reshape(_torch_shape(path, shape))
    return array.transpose(*range(2, array.ndim), 1, 0)


def _same_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Equal, or a dense layer and a 1×1 convolution, which files store as one or the other."""
    if found == expected:
        return True
    pointwise = all(side == 1 for side in (*found[2:], *expected[2:]))
    return name.endswith(".weight") and len(expected) > 1 and found[:2] == expected[:2] and pointwise


def _mismatch(expected: Shapes, shapes: Shapes, naming: Naming) -> Mismatch:
    sources: dict[str, str] = {}
    unexpected, misshapen = [], []
    for name, shape in shapes.items():
        canonical = naming.canonical(name)
        if canonical is None or (canonical not in expected and naming.is_ignored(canonical)):
            continue
        if canonical not in expected or canonical in sources:  # also two tensors for one parameter
            unexpected.append(name)
            continue
        sources[canonical] = name
        if not _same_shape(canonical, tuple(shape), expected[canonical]):
            misshapen.append((name, tuple(shape), expected[canonical]))
    missing = [name for name in expected if name not in sources]
    return Mismatch(tuple(missing), tuple(unexpected), tuple(misshapen))


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return printable(", ".join(names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")
