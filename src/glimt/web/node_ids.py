"""Identifiers of groups and datasets, as the HDF REST API wants them, and back to paths.

h5pyd 1.0 only takes ids of 36 characters after the ``g-`` or ``d-``, so a path goes in as a digest. The ids of
dranspose, ``g-h5dict-`` and the path in hexadecimal, are understood too: clients may have kept them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Literal, TypeAlias

from glimt.model.publish_tree import Path, path_text, split_path

Collection: TypeAlias = Literal["groups", "datasets"]

_PREFIX: dict[Collection, str] = {"groups": "g-", "datasets": "d-"}
_DRANSPOSE = "h5dict-"
_KEPT = 100_000


def node_id(path: Path, collection: Collection) -> str:
    """Return the id: prefix and 32 hexadecimal digits, grouped 8-8-4-6-6 as hsds does."""
    digits = _digits(path)
    return _PREFIX[collection] + "-".join((digits[:8], digits[8:16], digits[16:20], digits[20:26], digits[26:]))


def _digits(path: Path) -> str:
    return hashlib.blake2b(path_text(path).encode(), digest_size=16).hexdigest()


class NodeIds:
    """Remembers which path an id was given out for.

    Parameters
    ----------
    all_paths : callable
        Every path there is now; asked for an id that was not given out here, such as one kept from before a restart.
    """

    def __init__(self, all_paths: Callable[[], Iterable[Path]]) -> None:
        self._all_paths = all_paths
        self._paths: OrderedDict[str, Path] = OrderedDict()
        self._lock = Lock()

    def issue(self, path: Path, collection: Collection) -> str:
        """Return the id of a group or dataset."""
        issued = node_id(path, collection)
        self._remember(issued[2:], path)
        return issued

    def path_of(self, text: str, collection: Collection) -> Path:
        """Return the path that an id stands for.

        Raises
        ------
        KeyError
            It is no id of this collection, or stands for nothing.
        """
        prefix = _PREFIX[collection]
        if not text.startswith(prefix):
            raise KeyError(f"{text[:80]!r} is no id in {collection}: these start with {prefix!r}")
        name = text.removeprefix(prefix)
        if name.startswith(_DRANSPOSE):
            return _path_of_dranspose(name.removeprefix(_DRANSPOSE))
        with self._lock:
            found = self._paths.get(name)
        return self._search(name) if found is None else found

    def _search(self, name: str) -> Path:
        for path in self._all_paths():
            if node_id(path, "groups")[2:] == name:
                self._remember(name, path)
                return path
        raise KeyError(f"no group or dataset has the id {name[:80]!r}")

    def _remember(self, name: str, path: Path) -> None:
        with self._lock:
            self._paths[name] = path
            self._paths.move_to_end(name)
            if len(self._paths) > _KEPT:
                self._paths.popitem(last=False)


def _path_of_dranspose(digits: str) -> Path:
    try:
        return split_path(bytes.fromhex(digits).decode())
    except ValueError:
        raise KeyError(f"the id ends in {digits[:80]!r}, which is no path in hexadecimal") from None
