"""How the kernels are compiled: without the GIL, and kept on disk if there is a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call with each combination of argument types."""
    try:
        return cast("F", njit(nogil=True, cache=True)(function))
    except RuntimeError:  # neither beside the source nor in a home folder can be written: compile in every process
        return cast("F", njit(nogil=True)(function))
