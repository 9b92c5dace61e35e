"""Functions that numba compiles when they are first called, so that importing them needs no numba."""

import functools
from collections.abc import Callable
from typing import Any

from jaxpr.transport.inputs import optional

__all__ = ["CompiledKernel"]


class CompiledKernel:
    """Decorator: nopython code, without the interpreter's lock, kept on disk where a folder can be written.

    Kernels may call each other: numba asks `_numba_type_` of what it finds in a function's module.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        functools.update_wrapper(self, fn)

    @functools.cached_property
    def dispatcher(self) -> Any:
        """What numba makes of the function; machine code follows for each combination of types."""
        numba = optional("numba")
        try:
            return numba.njit(cache=True, nogil=True)(self.fn)
        except RuntimeError:  # no folder for the cache
            return numba.njit(nogil=True)(self.fn)

    @property
    def _numba_type_(self) -> Any:
        return self.dispatcher._numba_type_

    def __call__(self, *args: Any) -> Any:
        """Compile if need be, and run."""
        return self.dispatcher(*args)
