"""Classifiers by name: the words of `jaxpr decisions` for the one that is attacked and for those that judge.

All take images (N, H, W, C) in [0, 1], as restorers return them; what else a network needs (other channels, sizes,
normalisation) belongs into the function or module that is named.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from jaxpr.core import Array, InputError, load_named
from jaxpr.evaluation.decisions import Classifier
from jaxpr.restorers.torch_bridge import from_torch
from jaxpr.weights.classifiers import trained_classifier
from jaxpr.weights.packaged import PACKAGED_CLASSIFIERS

__all__ = ["CLASSIFIER_WORDS", "named_classifier", "named_score"]

_TRAINED = "trained:"
_NAMED = re.compile(r".+:[A-Za-z_]\w*", re.DOTALL)

CLASSIFIER_WORDS = (
    (", ".join(PACKAGED_CLASSIFIERS), "come with jaxpr"),
    ("trained:PATH", "weights of jaxpr train"),
    (
        "path/to/file.py:NAME, package.module:NAME",
        "your own function of JAX, x -> logits (N, classes) for images x (N, H, W, C) in [0, 1], or a torch.nn.Module "
        "that takes (N, C, H, W)",
    ),
)
"""What can be written for a classifier, and what it means."""


def named_classifier(argument: str, spec: str) -> Classifier:
    """The classifier that a word names.

    Args:
        argument: what messages begin with, such as "attacker".
        spec: see `CLASSIFIER_WORDS`.

    Returns:
        Maps images (N, H, W, C) in [0, 1] to logits (N, classes).

    Raises:
        InputError: an unknown word, or a file, function or module that cannot be loaded.
    """
    if spec in PACKAGED_CLASSIFIERS or spec.startswith(_TRAINED):
        try:
            return trained_classifier(spec.removeprefix(_TRAINED))
        except InputError as error:
            raise InputError(f"{argument}: {str(error).removeprefix('source: ')}") from error
    found = _loaded(argument, spec, CLASSIFIER_WORDS, expected="a function x -> logits or a torch.nn.Module")
    return _from_torch(found, _logits) if _is_torch(found) else found


def named_score(argument: str, spec: str) -> Classifier:
    """The judge of one number, such as an age, that a word names.

    Args:
        argument: what messages begin with.
        spec: `path/to/file.py:NAME` or `package.module:NAME`, a function of JAX or a torch.nn.Module.

    Returns:
        Maps images (N, H, W, C) in [0, 1] to (N,).

    Raises:
        InputError: as `named_classifier`.
    """
    found = _loaded(argument, spec, CLASSIFIER_WORDS[-1:], expected="a function x -> (N,) or a torch.nn.Module")
    if not _is_torch(found):
        return found
    columns = _from_torch(found, _number)
    return lambda x: columns(x)[:, 0]


def _loaded(argument: str, spec: str, words: Sequence[tuple[str, str]], *, expected: str) -> Any:
    if not _NAMED.fullmatch(spec):
        known = ", ".join(shown for shown, _ in words)
        raise InputError(f"{argument}: found {spec!r}, expected one of {known}")
    found = load_named(argument, spec, module="_jaxpr_classifiers", expected=expected)
    if isinstance(found, type):
        raise InputError(f"{argument}: found the class {found.__name__} for {spec!r}, expected {expected}")
    return found


def _is_torch(found: object) -> bool:
    """Whether it is a module of torch, which need not be installed to answer."""
    return any(kind.__name__ == "Module" and kind.__module__.startswith("torch.") for kind in type(found).__mro__)


def _from_torch(module: Any, select: Callable[[Any], Any]) -> Classifier:
    """A module of torch as a function (N, H, W, C) -> (N, K); its output passes the bridge as images of one pixel."""
    restorer = from_torch(module, select=select)

    def function(x: Array) -> Array:
        return restorer.apply(restorer.params, None, x)[:, 0, 0, :]

    return function


def _logits(output: Any) -> Any:
    found = getattr(output, "logits", output)
    if getattr(found, "ndim", None) != 2:
        raise ValueError(f"found output of shape {tuple(getattr(found, 'shape', ()))}, expected logits (N, classes)")
    return found[:, :, None, None]


def _number(output: Any) -> Any:
    found = getattr(output, "logits", output)
    if getattr(found, "ndim", None) not in (1, 2) or (found.ndim == 2 and found.shape[1] != 1):
        raise ValueError(f"found output of shape {tuple(getattr(found, 'shape', ()))}, expected (N,) or (N, 1)")
    return found.reshape(-1, 1, 1, 1)
