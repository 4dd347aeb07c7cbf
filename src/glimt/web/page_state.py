"""What all pages are told of the run; each is told only what differs from what it was told before."""

from __future__ import annotations

import threading
from typing import Any


class PageState:
    """Values by key, each with a number that grows when the value changes; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, tuple[int, Any]] = {}
        self._serial = 0

    def put(self, key: str, value: Any) -> bool:
        """Set a value, not to be changed afterwards; tell whether it is another one."""
        with self._lock:
            known = self._values.get(key)
            if known is not None and known[1] == value:
                return False
            self._serial += 1
            self._values[key] = self._serial, value
            return True

    def get(self, key: str) -> Any:
        """Return a value, ``None`` if it was never set."""
        return self._values.get(key, (0, None))[1]

    def since(self, serial: int) -> tuple[int, dict[str, Any]]:
        """Return the serial number now, and what changed after ``serial``."""
        with self._lock:
            return self._serial, {key: value for key, (number, value) in self._values.items() if number > serial}
