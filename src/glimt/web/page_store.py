"""What people made on the page and want to find again: regions and layouts, in one file beside the run."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from glimt.model.errors import ParameterError, UsageError
from glimt.model.region import MAX_REGIONS
from glimt.web.page_region import PageRegion, new_id

_log = logging.getLogger(__name__)

FILE_NAME = "glimt-page.json"
MAX_LAYOUT_BYTES = 256 << 10
MAX_LAYOUTS = 100
MAX_LAYOUT_DEPTH = 50
MAX_FILE_BYTES = 64 << 20
_LAYOUT_NAME = re.compile(r"[A-Za-z0-9 _-]{1,60}")


class _Kept(msgspec.Struct):
    regions: list[PageRegion] | None = None
    layout: dict[str, Any] = {}
    layouts: dict[str, dict[str, Any]] = {}


class PageStore:
    """Regions and layouts, shared by all viewers; may be used by several threads.

    Parameters
    ----------
    file : Path or None
        Where they are kept; ``None``: only in memory.
    on_change : callable
        Called after each change, in the thread that made it.

    Attributes
    ----------
    version : int
        Grows with each change of the regions.
    layout_version : int
        Grows with each change of a layout.
    """

    def __init__(self, file: Path | None = None, *, on_change: Callable[[], None] = lambda: None) -> None:
        self._file = file
        self._on_change = on_change
        self._lock = threading.RLock()
        self._kept = _Kept() if file is None else _read(file)
        self._cannot_write = False
        self.version = 1
        self.layout_version = 1

    @property
    def regions(self) -> list[PageRegion]:
        """All regions, in the order in which they were made."""
        return list(self._kept.regions or [])

    @property
    def has_regions(self) -> bool:
        """Whether regions were ever set, if only to none."""
        return self._kept.regions is not None

    def region(self, region_id: str) -> PageRegion:
        """Return one; `KeyError` if there is none of this id."""
        for region in self.regions:
            if region.id == region_id:
                return region
        raise KeyError(f"there is no region {region_id[:40]!r}")

    def put(self, region: PageRegion, *, who: str = "") -> PageRegion:
        """Take a region, in place of the one with its id if there is one; a new one gets an id.

        Raises
        ------
        UsageError
            There are too many, or its name is taken.
        """
        with self._lock:
            made = msgspec.structs.replace(region, id=region.id or new_id())
            others = self.regions
            place = next((i for i, known in enumerate(others) if known.id == made.id), len(others))
            self.replace([*others[:place], made, *others[place + 1 :]], who=who, changed={made.id})
            return self.region(made.id)

    def remove(self, region_id: str, *, who: str = "") -> None:
        """Forget one; `KeyError` if there is none of this id."""
        with self._lock:
            self.region(region_id)
            self.replace([region for region in self.regions if region.id != region_id], who=who, changed=set())

    def replace(self, regions: list[PageRegion], *, who: str = "", changed: set[str] | None = None) -> None:
        """Take these instead of all; ``changed`` says which are new, all if it is left out.

        Raises
        ------
        UsageError
            There are too many, or two have one name or id.
        """
        if len(regions) > MAX_REGIONS:
            raise UsageError(f"{len(regions)} regions are too many; at most {MAX_REGIONS} are possible")
        for what, values in (("name", [region.name for region in regions]), ("id", [region.id for region in regions])):
            twice = {value for value in values if value and values.count(value) > 1}
            if twice:
                raise UsageError(f"two regions have the {what} {sorted(twice)[0]!r}")
        with self._lock:
            self.version += 1
            stamp = {"version": self.version, "changed_by": who[:200], "changed_s": time.time()}
            self._kept.regions = [
                msgspec.structs.replace(region, id=region.id or new_id(), **stamp)
                if changed is None or region.id in changed
                else region
                for region in regions
            ]
            self._write()
        self._on_change()

    def layout(self, name: str | None = None) -> dict[str, Any]:
        """Return the layout of the run, or one by name; `KeyError` if there is none."""
        if name is None:
            return self._kept.layout
        if name not in self._kept.layouts:
            raise KeyError(f"there is no layout {name[:60]!r}")
        return self._kept.layouts[name]

    def layout_names(self) -> list[str]:
        """Return the names of all layouts that have one."""
        return sorted(self._kept.layouts)

    def save_layout(self, layout: dict[str, Any] | None, name: str | None = None) -> int:
        """Keep a layout, or forget one (``None``); return the new version.

        Raises
        ------
        UsageError
            Its name is none, or there are too many.
        KeyError
            There is none to forget.
        """
        if name is not None and not _LAYOUT_NAME.fullmatch(name):
            raise UsageError("a layout's name is 1 to 60 letters, digits, spaces, '-' and '_'")
        if _is_deeper(layout, MAX_LAYOUT_DEPTH):
            raise UsageError(f"a layout has at most {MAX_LAYOUT_DEPTH} lists and objects inside each other")
        with self._lock:
            if name is None:
                self._kept.layout = layout or {}
            elif layout is None:
                self.layout(name)
                del self._kept.layouts[name]
            elif name not in self._kept.layouts and len(self._kept.layouts) >= MAX_LAYOUTS:
                raise UsageError(f"there are {MAX_LAYOUTS} layouts already; delete one")
            else:
                self._kept.layouts[name] = layout
            self.layout_version += 1
            self._write()
        self._on_change()
        return self.layout_version

    def _write(self) -> None:
        if self._file is None:
            return
        beside = self._file.with_name(self._file.name + ".new")
        try:
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(self._kept)))
            os.replace(beside, self._file)
            self._cannot_write = False
        except OSError as error:
            if not self._cannot_write:
                _log.warning("regions and layouts of the page cannot be kept in %s: %s", self._file, error.strerror)
            self._cannot_write = True


def _is_deeper(value: Any, depth: int) -> bool:
    """Tell whether lists and objects are nested deeper; what is read in one thread may be too deep for another."""
    waiting = [(value, 1)]
    while waiting:
        found, level = waiting.pop()
        if isinstance(found, dict | list):
            if level > depth:
                return True
            waiting += [(each, level + 1) for each in (found.values() if isinstance(found, dict) else found)]
    return False


def _read(file: Path) -> _Kept:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"it has more than {MAX_FILE_BYTES} bytes")
        return msgspec.json.decode(file.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return _Kept()
    except (OSError, UsageError, ParameterError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        _log.warning("%s is not read, and a copy of it is kept: %s", file, error)
        with_reason = file.with_name(file.name + ".damaged")
        try:
            os.replace(file, with_reason)
        except OSError:
            _log.warning("%s cannot be moved out of the way", file)
        return _Kept()
