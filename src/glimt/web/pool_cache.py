"""Pictures that viewers share: who looks at the same part of the same image gets the same pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from glimt.kernels.pooling import Pooled, limits

_CACHED = 32


class PoolCache:
    """The newest pictures; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Hashable, tuple[Pooled, tuple[float, float]]] = {}

    def get(self, key: Hashable, make: Callable[[], Pooled]) -> tuple[Pooled, tuple[float, float]]:
        """Return the picture of a key and its limits, made if it is not there."""
        with self._lock:
            if key not in self._found:
                pooled = make()
                self._found[key] = pooled, limits(pooled)
                while len(self._found) > _CACHED:
                    del self._found[next(iter(self._found))]
            return self._found[key]
