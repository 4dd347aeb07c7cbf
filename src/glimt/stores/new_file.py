"""Choose the name of a new result file so that no old data are lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from glimt.model.errors import StoreError, UsageError
from glimt.stores.hdf5_crash import living_writer
from glimt.stores.swmr_file import SwmrFile

_MAX_NUMBERED = 10_000


def new_swmr_file(path: str | Path, *, overwrite: bool, numbered: bool) -> SwmrFile:
    """Return a new file at ``path``; missing folders are made.

    Parameters
    ----------
    path : str or Path
        Wanted name.
    overwrite : bool
        Replace an existing file, unless a process of this host is writing it.
    numbered : bool
        If the file exists, take ``name_0001.h5`` and so on.

    Raises
    ------
    UsageError
        The file exists, or the path cannot be one.
    StoreError
        The file cannot be made.
    """
    wanted = os.path.abspath(os.fspath(path))
    if not os.fspath(path) or os.path.isdir(wanted):
        raise UsageError(f"{os.fspath(path)!r} is a folder; name a file, such as 'output/xrd_processed.h5'")
    if overwrite and numbered:
        raise UsageError("overwrite=True and numbered=True exclude each other")
    try:
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        if overwrite and os.path.lexists(wanted):
            if (writer := living_writer(wanted)) is not None:
                raise UsageError(f"{wanted} is being written by process {writer}; choose another name")
            os.unlink(wanted)  # readers of the old file keep it
        for candidate in _candidates(wanted, numbered=numbered):
            with suppress(FileExistsError):
                return SwmrFile(candidate)
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise StoreError(f"cannot be made: {getattr(error, 'strerror', None) or error}", path=wanted) from error
    raise UsageError(
        f"{wanted} exists; pass overwrite=True to replace it, or numbered=True to write a new file beside it"
    )


def _candidates(path: str, *, numbered: bool) -> Iterator[str]:
    yield path
    if numbered:
        stem, suffix = os.path.splitext(path)
        for number in range(1, _MAX_NUMBERED):
            yield f"{stem}_{number:04d}{suffix}"
