"""Parameters as the page sees them: who changed what, when, from which event on; and the one that regions are."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from glimt.model.errors import ParameterError
from glimt.model.region import Region, regions_from_json, regions_to_json
from glimt.pipeline.parameter_changes import TakenValue
from glimt.web.parameter_access import ParameterAccess

_log = logging.getLogger(__name__)

KEPT_CHANGES = 1000
TOGETHER_S = 10.0
"""Regions that one person changes within this time of the last change are one change: each step of a key is sent."""
TOLD_CHANGES = 100
_TOLD_BYTES = 64 << 10

SetParameter = Callable[[str, bytes], TakenValue]
"""Changes a value; returns the content hash, and the first event with the new value."""


class PageParameters:
    """The parameters of a run, and what was done to them; may be used by several threads.

    Parameters
    ----------
    access : ParameterAccess
        The run's.
    set_parameter : callable, optional
        Changes one and tells the event; without it ``access.set`` is used.
    on_change : callable
        Called after each change.
    """

    def __init__(
        self,
        access: ParameterAccess,
        set_parameter: SetParameter | None = None,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._access = access
        self._set = set_parameter or (lambda name, data: TakenValue(access.set(name, data), None))
        self._on_change = on_change
        self._lock = threading.Lock()
        self._changes: deque[dict[str, Any]] = deque(maxlen=KEPT_CHANGES)
        self._hash = ""

    def get(self, name: str) -> bytes:
        """Return a value in wire form; `KeyError` if there is none."""
        return self._access.get(name)

    def set(self, name: str, data: bytes, *, who: str) -> dict[str, Any]:
        """Change a value; return what is told of the change, with the content ``hash``.

        Raises
        ------
        ParameterError
            The value is not allowed.
        """
        taken = self._set(name, data)
        change = {"name": name, "value": _text(data), "who": who, "time_s": time.time()}
        change |= {"event_number": taken.event_number, "scan_number": taken.scan_number}
        with self._lock:
            if self._continues(change):
                self._changes.pop()
            self._changes.append(change)
            self._hash = taken.content_hash
        self._on_change()
        return change | {"hash": taken.content_hash}

    def _continues(self, change: dict[str, Any]) -> bool:
        """Tell whether the last change was to the regions too, and by the same person a moment ago."""
        last = self._changes[-1] if self._changes else {}
        is_same = all(last.get(key) == change[key] for key in ("name", "who"))
        return is_same and change["name"] == self.roi_name and change["time_s"] - last["time_s"] < TOGETHER_S

    def changes(self, n_most: int = KEPT_CHANGES) -> list[dict[str, Any]]:
        """Return the newest changes, oldest first."""
        with self._lock:
            return list(self._changes)[-n_most:]

    def told(self) -> dict[str, Any]:
        """Return descriptions and values as the page is told."""
        descriptions = sorted(self._access.describe(), key=lambda entry: str(entry.get("name")))
        values = {}
        for entry in descriptions:
            name = str(entry.get("name"))
            try:
                values[name] = _text(self._access.get(name))
            except KeyError:
                values[name] = None
        return {"descriptions": descriptions, "values": values, "hash": self._hash}

    # Regions ----------------------------------------------------------------------------------------------------

    @property
    def roi_name(self) -> str | None:
        """Name of the first parameter that takes regions."""
        return next((str(entry["name"]) for entry in self._access.describe() if entry.get("dtype") == "roi"), None)

    def regions(self) -> list[Region] | None:
        """Return the regions that the run has, ``None`` if no class takes any."""
        name = self.roi_name
        try:
            return None if name is None else regions_from_json(self._access.get(name))
        except (KeyError, ParameterError) as error:
            _log.warning("the regions of parameter %s cannot be read: %s", name, error)
            return None

    def set_regions(self, regions: list[Region], *, who: str) -> dict[str, Any] | None:
        """Give the run other regions; return name and event number, ``None`` if it takes none or has them."""
        name = self.roi_name
        if name is None or self.regions() == regions:
            return None
        change = self.set(name, regions_to_json(regions), who=who)
        return {"name": name, "event_number": change["event_number"]}


def _text(data: bytes) -> str | None:
    if len(data) > _TOLD_BYTES:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
