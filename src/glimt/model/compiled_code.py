"""How code on arrays is compiled: without the interpreter's lock, once a machine, anew when its sources change."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import cfunc, njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call with each combination of argument types, and keep the result on disk.

    What is on disk is used as long as no Python file in the folder of ``function`` changes: Numba itself looks at the
    file of the function alone, and not at those of the functions that it calls.
    """
    try:
        kernel: Any = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither beside the source nor in a home folder can be written: compile in every process
        return cast("F", njit(nogil=True)(function))
    files: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    stamp_name = "_source_stamp"  # of Numba 0.61 to 0.66; without it only the function's own file is watched
    if hasattr(files, stamp_name):
        own = getattr(files, stamp_name)
        setattr(files, stamp_name, (own, _folder_stamp(Path(function.__code__.co_filename).parent)))
    return cast("F", kernel)


@lru_cache(maxsize=16)
def _folder_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change [ns] and size of all Python files of a folder."""
    found = [(path.name, path.stat()) for path in folder.glob("*.py")]
    return tuple(sorted((name, status.st_mtime_ns, status.st_size) for name, status in found))


def compiled_address(signature: Any, function: Callable[..., Any]) -> int:
    """Compile now, as a C function that lives as long as the process, and return its address."""
    try:
        kernel: Any = cfunc(signature, cache=True)(function)
    except RuntimeError:
        kernel = cfunc(signature)(function)
    _keep_alive.append(kernel)
    return int(kernel.address)


_keep_alive: list[Any] = []
