"""Measure, attack and study image-restoration algorithms in JAX.

Import the subpackage you need, for example `from jaxpr import metrics`. Importing jaxpr touches no device and changes
no configuration.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["InputError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "InputError":  # on demand: importing jaxpr imports nothing, so that `jaxpr doctor` always runs
        return importlib.import_module("jaxpr.core").InputError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
