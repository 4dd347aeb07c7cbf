"""CrystFEL geometry files: text to `CrystfelGeometry`.

Written from the description in crystfel_geometry(5), CrystFEL 0.11; what only older files have (a camera length for
each panel, rigid groups) is read as well. `glimt.codecs.crystfel_geometry_text` writes, and
`glimt.codecs.crystfel_geometry_detector` makes a `DetectorGeometry` of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from glimt.codecs import crystfel_geometry_values as values
from glimt.codecs.crystfel_geometry_groups import checked_bad_regions, checked_groups
from glimt.codecs.crystfel_geometry_panel import PanelDraft
from glimt.codecs.crystfel_geometry_record import BeamValue, CrystfelGeometry, CrystfelPanel, GeometryValue
from glimt.model.errors import DecodeError, UsageError

MAX_CHARACTERS = 1 << 23
MAX_PANELS = 1 << 14
MAX_BAD_REGIONS = 1 << 11
MAX_IGNORED = 100
MAX_PREAMBLE = 1000

Names = tuple[str, tuple[str, ...]]
Numbered = tuple[int, str]


class _Draft:
    """A geometry file, read so far."""

    def __init__(self) -> None:
        self.defaults, self.panels = PanelDraft(), dict[str, PanelDraft]()
        self.first_lines: dict[str, int] = {}
        self.late: tuple[int, str] | None = None
        self.beam: BeamValue | None = None
        self.lengths: dict[str, GeometryValue] = {}
        self.texts: dict[str, str] = {}
        self.bandwidth = 1e-8
        self.groups: list[tuple[int, Names]] = []
        self.rigid: list[Names] = []
        self.collections: list[Names] = []
        self.bad: dict[str, dict[str, Numbered]] = {}
        self.ignored: list[str] = []

    def take(self, line: int, key: str, text: str) -> None:
        """Take one line; raises ValueError for a value that is none."""
        owner, slash, name = key.partition("/")
        if slash:
            self._take_of(line, owner, name, text)
        elif not self._take_global(line, key, text):
            self._note(self.defaults.set(key, text), line, key)
            self.late = line, key

    def _take_of(self, line: int, owner: str, name: str, text: str) -> None:
        if not owner or not name or "/" in name or owner != owner.strip() or name != name.strip():
            raise ValueError("a key is written panel/name, without blanks around the stroke")
        if owner.startswith("bad"):
            if owner not in self.bad and len(self.bad) == MAX_BAD_REGIONS:
                raise ValueError(f"more than {MAX_BAD_REGIONS} bad regions")
            self.bad.setdefault(owner, {})[name] = (line, text)
            return
        if owner not in self.panels:
            if len(self.panels) == MAX_PANELS:
                raise ValueError(f"more than {MAX_PANELS} panels")
            self.panels[owner], self.first_lines[owner] = PanelDraft(self.defaults), line
            self.late = None
        self._note(self.panels[owner].set(name, text), line, f"{owner}/{name}")

    def _note(self, known: bool, line: int, key: str) -> None:
        if not known and len(self.ignored) < MAX_IGNORED:
            self.ignored.append(f"line {line}: {key[:100]}")

    def _take_global(self, line: int, key: str, text: str) -> bool:
        if key in ("photon_energy", "wavelength", "electron_voltage"):
            if self.beam is not None and self.beam.key != key:
                raise ValueError(f"the file has {self.beam.key} already; one of the two is enough")
            self.beam = values.beam(key, text)
        elif key in ("clen", "detector_shift_x", "detector_shift_y"):
            self.lengths[key] = values.quantity(text)
        elif key == "bandwidth":
            self.bandwidth = values.positive(text)
        elif key == "peak_list":
            self.texts[key] = values.path(text)
        elif key == "peak_list_type":
            if text not in ("auto", "cxi", "list3"):
                raise ValueError("auto, cxi or list3 is needed")
            self.texts[key] = text
        else:
            return self._take_group(line, key, text)
        return True

    def _take_group(self, line: int, key: str, text: str) -> bool:
        if key.startswith("group_"):
            self.groups.append((line, (key.removeprefix("group_"), values.names(text))))
        elif key.startswith("rigid_group_collection_"):
            self.collections.append((key.removeprefix("rigid_group_collection_"), values.names(text)))
        elif key.startswith("rigid_group_"):
            self.rigid.append((key.removeprefix("rigid_group_"), values.names(text)))
        else:
            return key.startswith("rigid_group")
        return True

    def finish(self, preamble: tuple[str, ...]) -> CrystfelGeometry:
        """Return the record."""
        if not self.panels:
            raise DecodeError("there is no panel, such as 'panel0/min_fs = 0'", where=WHERE)
        if self.late is not None:
            raise DecodeError(
                "a parameter of panels after the last new panel has no effect: move it before the panels, or write "
                "it for a panel, as panel/key",
                where=_where(*self.late),
            )
        if ("detector_shift_x" in self.lengths) != ("detector_shift_y" in self.lengths):
            raise DecodeError("detector_shift_x and detector_shift_y need each other", where=WHERE)
        panels = tuple(self._finish_panel(name, draft) for name, draft in self.panels.items())
        shapes = {panel.name: panel for panel in panels}
        return CrystfelGeometry(
            panels=panels,
            beam=self.beam,
            clen=self.lengths.get("clen"),
            shift_x=self.lengths.get("detector_shift_x"),
            shift_y=self.lengths.get("detector_shift_y"),
            bandwidth=self.bandwidth,
            peak_list=self.texts.get("peak_list"),
            peak_list_type=self.texts.get("peak_list_type"),
            groups=checked_groups(self.groups, frozenset(shapes), where=WHERE),
            rigid_groups=tuple(self.rigid),
            rigid_group_collections=tuple(self.collections),
            bad_regions=checked_bad_regions(self.bad, shapes, where=WHERE),
            preamble=preamble,
            ignored=tuple(self.ignored),
        )

    def _finish_panel(self, name: str, draft: PanelDraft) -> CrystfelPanel:
        try:
            return draft.finish(name)
        except ValueError as error:
            where = f"{WHERE}, panel {name[:60]} (first on line {self.first_lines[name]})"
            raise DecodeError(str(error), where=where) from None


WHERE = "CrystFEL geometry"


def _where(line: int, key: str) -> str:
    return f"{WHERE}, line {line}, {key[:100]}"


def parse_geometry(text: str) -> CrystfelGeometry:
    """Return what the content of a CrystFEL geometry file says.

    ``key = value`` lines; ``;`` starts a comment. A panel parameter without a panel holds for all panels that are first
    mentioned after it. Parameters that are not known have no effect and are listed in ``ignored``.

    Raises
    ------
    DecodeError
        A line is no ``key = value``, a value is none for its key, something is missing or does not fit; the text names
        line and key.
    """
    if len(text) > MAX_CHARACTERS:
        raise DecodeError(f"longer than {MAX_CHARACTERS} characters", where=WHERE)
    draft, preamble, started = _Draft(), list[str](), False
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        line, semicolon, comment = raw.partition(";")
        line = line.strip()
        if not line:
            if semicolon and not started and len(preamble) < MAX_PREAMBLE:
                preamble.append(comment)
            continue
        started = True
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key:
            raise DecodeError(f"{line[:60]!r} is no 'key = value'", where=f"{WHERE}, line {number}")
        if len(key) > values.MAX_VALUE or len(value) > values.MAX_VALUE * (50 if "group" in key else 1):
            raise DecodeError("longer than any key or value can be", where=_where(number, key))
        try:
            draft.take(number, key, value)
        except ValueError as error:
            raise DecodeError(f"{value[:60]!r}: {error}", where=_where(number, key)) from None
    return draft.finish(tuple(preamble))


def read_geometry(path: str | os.PathLike[str]) -> CrystfelGeometry:
    """Return what a CrystFEL geometry file says.

    Raises
    ------
    UsageError
        The file cannot be read.
    DecodeError
        It is no CrystFEL geometry file.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"geometry file {os.fspath(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DecodeError("it is not text", where=f"geometry file {os.fspath(path)}") from None
    return parse_geometry(text)
