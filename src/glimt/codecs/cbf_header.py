"""What a miniCBF says about its exposure: the lines of text that PILATUS and EIGER write in front of the pixels.

Source: DECTRIS, "CBF header specification" 1.2 to 1.5; SLS/DECTRIS detectors and the beamlines that add to them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from glimt.model.errors import UsageError

_NUMBER = r"[-+]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][-+]?\d{1,3})?"
_LINE = re.compile(r"#?\s*([A-Za-z][A-Za-z0-9_.]{0,60})\s*[:=]?\s*(.*)")
_QUANTITY = re.compile(rf"({_NUMBER})(?![\d.])\s*([A-Za-zµÅ]*)")
_PAIR = re.compile(rf"\(?\s*({_NUMBER})\s*([A-Za-zµ]*)\s*[x,]\s*({_NUMBER})\s*([A-Za-zµ]*)")
_SENSOR = re.compile(rf"#?\s*(\w{{1,40}})\s+sensor,?\s+thickness\s*[:=]?\s*({_NUMBER})\s*([A-Za-zµ]*)")

METERS = {"": 1.0, "m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9}
SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
ANGSTROM = {"": 1.0, "a": 1.0, "å": 1.0, "angstrom": 1.0, "nm": 10.0, "m": 1e10, "pm": 1e-2}
COUNTS = {"": 1.0, "counts": 1.0}
ELECTRONVOLT = {"": 1.0, "ev": 1.0, "kev": 1e3}
DEGREES = {"": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0}

MAX_LINES = 2000
MAX_LINE_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class CbfHeader:
    """The header of one image; ``None`` for what it does not say.

    Parameters
    ----------
    detector : str or None
        Model, such as ``"PILATUS3 6M"``.
    serial_number : str or None
        Such as ``"60-0119"``.
    pixel_size_m : (float, float) or None
        Slow and fast.
    beam_center_px : (float, float) or None
        Slow and fast, as written: the file has fast first.
    distance_m, wavelength_angstrom, exposure_s, period_s : float or None
        As named.
    count_cutoff : float or None
        Largest count that can be trusted.
    threshold_ev, sensor_thickness_m : float or None
        As named.
    sensor_material : str or None
        Such as ``"Silicon"``.
    start_angle_deg, angle_increment_deg : float or None
        Of the rotation axis.
    """

    detector: str | None = None
    serial_number: str | None = None
    pixel_size_m: tuple[float, float] | None = None
    beam_center_px: tuple[float, float] | None = None
    distance_m: float | None = None
    wavelength_angstrom: float | None = None
    exposure_s: float | None = None
    period_s: float | None = None
    count_cutoff: float | None = None
    threshold_ev: float | None = None
    sensor_thickness_m: float | None = None
    sensor_material: str | None = None
    start_angle_deg: float | None = None
    angle_increment_deg: float | None = None


def _quantity(text: str, units: dict[str, float]) -> float | None:
    """Return the first number, in the unit of ``units``; ``None`` if there is none or its unit is another."""
    found = _QUANTITY.match(text)
    return _scaled(found[1], found[2], units) if found else None


def _scaled(number: str, unit: str, units: dict[str, float]) -> float | None:
    factor = units.get(unit.lower())
    value = float(number) * factor if factor is not None else math.nan
    return value if math.isfinite(value) else None


def _turned_pair(text: str, units: dict[str, float]) -> tuple[float, float] | None:
    """Return two numbers, written fast and slow, as (slow, fast)."""
    found = _PAIR.match(text)
    if not found:
        return None
    fast, slow = _scaled(found[1], found[2], units), _scaled(found[3], found[4], units)
    return (slow, fast) if slow is not None and fast is not None else None


def _detector(text: str) -> dict[str, Any]:
    model, _, serial = text.partition(",")
    number = serial.strip().removeprefix("S/N").strip(" :,")
    return {"detector": model.strip() or None, "serial_number": number or None}


def _one(field: str, units: dict[str, float]) -> Callable[[str], dict[str, Any]]:
    return lambda text: {field: _quantity(text, units)}


def _two(field: str, units: dict[str, float]) -> Callable[[str], dict[str, Any]]:
    return lambda text: {field: _turned_pair(text, units)}


_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "detector": _detector,
    "pixel_size": _two("pixel_size_m", METERS),
    "beam_xy": _two("beam_center_px", {"": 1.0, "pixels": 1.0, "px": 1.0}),
    "detector_distance": _one("distance_m", METERS),
    "wavelength": _one("wavelength_angstrom", ANGSTROM),
    "exposure_time": _one("exposure_s", SECONDS),
    "exposure_period": _one("period_s", SECONDS),
    "count_cutoff": _one("count_cutoff", COUNTS),
    "threshold_setting": _one("threshold_ev", ELECTRONVOLT),
    "start_angle": _one("start_angle_deg", DEGREES),
    "angle_increment": _one("angle_increment_deg", DEGREES),
}


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines()[:MAX_LINES]:
        yield line[:MAX_LINE_CHARACTERS].strip()


def read_cbf_header(text: str) -> CbfHeader:
    """Return what the header's lines say; lines that cannot be understood are left out, the first of each kind counts.

    Nothing here is needed to read the pixels, so that a strange line is no error: the field is ``None``.
    """
    fields: dict[str, Any] = {}
    for line in _lines(text):
        sensor = _SENSOR.match(line)
        if sensor:
            fields.setdefault("sensor_material", sensor[1])
            fields.setdefault("sensor_thickness_m", _scaled(sensor[2], sensor[3], METERS))
            continue
        named = _LINE.match(line)
        reader = _READERS.get(named[1].lower()) if named else None
        if named and reader:
            for field, value in reader(named[2].strip()).items():
                if value is not None:
                    fields.setdefault(field, value)
    return CbfHeader(**fields)


def _whole(number: float | None) -> str:
    """Return a count as detectors write it: other readers expect no point."""
    return str(int(number)) if number is not None and float(number).is_integer() else repr(number)


def write_cbf_header(header: CbfHeader) -> str:
    """Return the lines of a header; `read_cbf_header` is the way back.

    Raises
    ------
    UsageError
        A text has a line break, which would begin another line of the file.
    """
    for text in (header.detector, header.serial_number, header.sensor_material):
        if text is not None and not text.isprintable():
            raise UsageError(f"{text[:40]!r} cannot stand in a CBF header; leave out line breaks")
    pixel, center = header.pixel_size_m, header.beam_center_px
    serial = f", S/N {header.serial_number}" if header.serial_number else ""
    lines = {
        f"Detector: {header.detector}{serial}": header.detector,
        f"Pixel_size {pixel[1]!r} m x {pixel[0]!r} m" if pixel else "": pixel,
        f"{header.sensor_material or 'Silicon'} sensor, thickness {header.sensor_thickness_m!r} m": (
            header.sensor_thickness_m
        ),
        f"Exposure_time {header.exposure_s!r} s": header.exposure_s,
        f"Exposure_period {header.period_s!r} s": header.period_s,
        f"Count_cutoff {_whole(header.count_cutoff)} counts": header.count_cutoff,
        f"Threshold_setting: {header.threshold_ev!r} eV": header.threshold_ev,
        f"Wavelength {header.wavelength_angstrom!r} A": header.wavelength_angstrom,
        f"Detector_distance {header.distance_m!r} m": header.distance_m,
        f"Beam_xy ({center[1]!r}, {center[0]!r}) pixels" if center else "": center,
        f"Start_angle {header.start_angle_deg!r} deg.": header.start_angle_deg,
        f"Angle_increment {header.angle_increment_deg!r} deg.": header.angle_increment_deg,
    }
    return "".join(f"# {line}\r\n" for line, value in lines.items() if value is not None)
