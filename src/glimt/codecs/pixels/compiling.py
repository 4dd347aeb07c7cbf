"""How the pixel kernels are compiled: without the GIL, and kept on disk if there is a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import cfunc, njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at first call, for each combination of argument types."""
    try:
        kernel: Any = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither beside the source nor in a home folder can be written: compile in every process
        kernel = njit(nogil=True)(function)
    return cast("F", kernel)


def compiled_address(signature: Any, function: Callable[..., Any]) -> int:
    """Compile now, as a C function that lives as long as the process, and return its address."""
    try:
        kernel: Any = cfunc(signature, cache=True)(function)
    except RuntimeError:
        kernel = cfunc(signature)(function)
    _keep_alive.append(kernel)
    return int(kernel.address)


_keep_alive: list[Any] = []
