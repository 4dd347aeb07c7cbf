"""When a node was last seen to change."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from glimt.model.publish_tree import Path

_KEPT = 20_000


class ModificationTimes:
    """Time stamps that move only when a node changes, as far as that is cheap to tell.

    The server sees the tree only when it is asked, so the time is that of the first look that found the change.
    """

    def __init__(self) -> None:
        self.started_s = time.time()
        self._seen: OrderedDict[Path, tuple[int, float]] = OrderedDict()
        self._lock = Lock()

    def stamp(self, path: Path, fingerprint: int | None) -> float:
        """Return the time of the last change [s since 1970].

        Parameters
        ----------
        path : tuple of str
            The node.
        fingerprint : int or None
            Of its contents; None when they are too large to compare, which counts as changed now.
        """
        now = time.time()
        if fingerprint is None:
            return now
        with self._lock:
            seen = self._seen.get(path)
            if seen is None or seen[0] != fingerprint:
                seen = (fingerprint, now)
                self._seen[path] = seen
            self._seen.move_to_end(path)
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        return seen[1]
