"""``dranspose.helpers.h5dump``: the published tree as an HDF5 file."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from glimt.stores.publish_file import write_publish_file

_log = logging.getLogger(__name__)


def dump(
    data: Mapping[str, Any], filename: str | os.PathLike[str], lock: AbstractContextManager[Any] | None = None
) -> None:
    """Write a ``publish`` dict to an HDF5 file.

    Unlike dranspose's it closes the file, holds the lock only to copy, and leaves an older file of that name alone
    until the new one is complete.

    Parameters
    ----------
    data : dict
        Nested dicts are groups; ``X_attrs`` holds the attributes of ``X``.
    filename : path
        The file.
    lock : context manager, optional
        The reducer's ``publish_rlock``.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    for problem in write_publish_file(data, filename, lock=lock):
        _log.warning("unable to dump %s: %s", problem.path, problem.reason)
