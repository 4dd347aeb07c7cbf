"""Values in a CrystFEL geometry file: numbers, directions, quantities with units, axes of the data array.

Functions raise `ValueError` with what is needed instead; the parser adds line and key.
"""

from __future__ import annotations

import math
import re
from typing import Any

from glimt.codecs.crystfel_geometry_record import BeamValue, GeometryValue, Vector

MAX_VALUE = 2000
"""Longest value of a line [characters]."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}", re.ASCII)
_TERM = re.compile(r"([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?)?([xyz])", re.ASCII)
MOST_INT = 1 << 31
_BEAM_UNITS = {"photon_energy": ("eV", "keV", "MeV"), "wavelength": ("m", "A"), "electron_voltage": ("V", "kV")}


def number(text: str) -> float:
    """Return a finite number."""
    value = float(text) if len(text) <= 100 and _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError("a number is needed")
    return value


def positive(text: str) -> float:
    """Return a number above 0."""
    value = number(text)
    if not value > 0:
        raise ValueError("a number above 0 is needed")
    return value


def whole(text: str) -> int:
    """Return a whole number, which may be written ``0.0``."""
    value = number(text)
    if value != math.floor(value) or abs(value) >= MOST_INT:
        raise ValueError("a whole number is needed")
    return int(value)


def flag_value(text: str) -> int:
    """Return a flagged value as CrystFEL keeps it: without its fraction."""
    value = number(text)
    if abs(value) >= 1 << 62:
        raise ValueError("a smaller number is needed")
    return int(value)


def bits(text: str) -> int:
    """Return bits of a mask, decimal or hexadecimal."""
    if _HEX.fullmatch(text):
        return int(text, 16)
    value = number(text)
    if value != math.floor(value) or not 0 <= value < 1 << 64:
        raise ValueError("a whole number such as 0xfe00 is needed")
    return int(value)


def truth(text: str) -> bool:
    """Return true or false."""
    word = text.lower()
    if word in ("true", "false"):
        return word == "true"
    try:
        return whole(text) != 0
    except ValueError:
        raise ValueError("true or false is needed") from None


def direction(text: str) -> Vector:
    """Return what a sum such as ``-0.99x + 0.01y`` says, (x, y, z)."""
    rest, place, parts = "".join(text.split()), 0, {"x": 0.0, "y": 0.0, "z": 0.0}
    while place < len(rest):
        term = _TERM.match(rest, place)
        if term is None or (place > 0 and not term[1]):
            break
        parts[term[3]] += float(f"{term[1]}{term[2] or '1'}")
        place = term.end()
    if not rest or place < len(rest) or not all(math.isfinite(part) for part in parts.values()):
        raise ValueError("a sum such as -0.99x +0.01y is needed")
    return parts["x"], parts["y"], parts["z"]


def quantity(text: str, units: tuple[str, ...] = ("m", "mm")) -> GeometryValue:
    """Return a number or a header location, with one of some units or none."""
    value, _, unit = text.partition(" ")
    unit = unit.strip()
    if unit not in ("", *units):
        raise ValueError(f"a number or a location is needed, with the unit {' or '.join(units)}, one space between")
    if not value:
        raise ValueError("a number or a location is needed")
    try:
        return GeometryValue(number(value), unit)
    except ValueError:
        if value[0] in "+-.0123456789":
            raise
    return GeometryValue(value, unit)


def beam(key: str, text: str) -> BeamValue:
    """Return photon energy, wavelength or voltage."""
    found = quantity(text, _BEAM_UNITS[key])
    if key != "photon_energy" and not found.unit:
        raise ValueError(f"a unit is needed: {' or '.join(_BEAM_UNITS[key])}")
    if isinstance(found.value, float) and not found.value > 0:
        raise ValueError("a number above 0 is needed")
    return BeamValue(found.value, found.unit, key)


def path(text: str) -> str:
    """Return a path in an HDF5 file."""
    if not text.startswith("/"):
        raise ValueError("a path that starts with / is needed")
    return text


def axis(text: str) -> int | str:
    """Return what an axis of the data array is."""
    if text in ("ss", "fs", "%"):
        return text
    try:
        index = whole(text)
    except ValueError:
        index = -1
    if not 0 <= index < 1 << 20:
        raise ValueError("ss, fs, % or an index is needed")
    return index


def names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise ValueError("names with commas between are needed")
    return found


def text_of(value: Any) -> str:
    """Return a number as it is written to a file; exactly the same number when it is read."""
    return repr(float(value)) if isinstance(value, float) else str(value)
