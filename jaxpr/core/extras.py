"""Optional packages: what to install where one is missing."""

from jaxpr.core.checks import InputError

__all__ = ["missing_extra"]

_PACKAGES = {"torch": "torch", "transport": "numba POT ott-jax", "tfds": "tensorflow-datasets"}


def missing_extra(argument: str, extra: str) -> InputError:
    """The error for an argument that needs an extra of jaxpr, with a command that works wherever jaxpr came from."""
    packages = _PACKAGES[extra]
    return InputError(f"{argument}: found no {packages.replace(' ', ', ')}, expected it; run: pip install {packages}")
