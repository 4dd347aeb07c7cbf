"""What the page of services shows: a tree as a reducer's ``publish``, renewed part by part."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glimt.services.recipe_log import printable

Column = tuple[str, Literal["text", "count", "number"]]

_MAX_TEXT_BYTES = 300
_TYPES = {"count": np.dtype(np.int64), "number": np.dtype(np.float64)}


class ServeTree:
    """Holds the tree; any number of threads may read and renew it.

    Parameters
    ----------
    names : sequence of str
        Of what comes, in the order in which it is shown.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._publish: dict[str, Any] = dict.fromkeys(names)
        self._lock = threading.RLock()

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return the tree and the lock to hold while reading it."""
        return self._publish, self._lock

    def put(self, values: Mapping[str, Any]) -> None:
        """Replace some of its members, and the attributes of them."""
        with self._lock:
            self._publish.update(values)


def table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> npt.NDArray[Any]:
    """Return rows as a structured array, which the page draws as a table.

    Parameters
    ----------
    columns : sequence of (str, {"text", "count", "number"})
        Names and types; texts become UTF-8 of 300 bytes at most, without what is not printable.
    rows : iterable of sequence
        ``None`` is an empty text, NaN or 0.
    """
    taken = list(rows)
    parts: list[npt.NDArray[Any]] = []
    for index, (_, kind) in enumerate(columns):
        values = [row[index] for row in taken]
        if kind == "text":
            parts.append(np.array([_text(value) for value in values] or [b""], np.bytes_)[: len(values)])
        else:
            missing = np.nan if kind == "number" else 0
            parts.append(np.array([missing if value is None else value for value in values], _TYPES[kind]))
    types = [
        (name, np.dtype("S1") if not part.dtype.itemsize else part.dtype)
        for (name, _), part in zip(columns, parts, strict=True)
    ]
    made = np.zeros(len(taken), types)
    for (name, _), part in zip(columns, parts, strict=True):
        made[name] = part
    return made


def _text(value: Any) -> bytes:
    if value is None:
        return b""
    return printable(str(value)).encode(errors="replace")[:_MAX_TEXT_BYTES].decode(errors="ignore").encode()
