"""PONI files, versions 1, 2, 2.1 and 3 without parallax: text to `Poni` and back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glimt.model.errors import DecodeError, UsageError
from glimt.model.geometry import Detector, Poni
from glimt.model.known_detectors import KNOWN_DETECTORS

MAX_PONI_CHARACTERS = 1 << 20

_REQUIRED = ("distance", "poni1", "poni2", "rot1", "rot2", "rot3")
_KNOWN = frozenset(
    {*_REQUIRED, "wavelength", "poni_version", "detector", "detector_config", "pixelsize1", "pixelsize2", "splinefile"}
)


def parse_poni(text: str) -> Poni:
    """Return the geometry that the content of a PONI file describes.

    ``key: value`` lines, keys in any case, ``#`` starts a comment, the last of several equal keys counts, as in pyFAI.
    Version 1 has pixel sizes and no shape; 2 names the detector and configures it in JSON; 2.1 adds the orientation.

    Raises
    ------
    DecodeError
        A key is missing or is not a number, the detector is unknown, or the file asks for a distortion (spline, NeXus
        detector, parallax) that glimt does not apply.
    """
    if len(text) > MAX_PONI_CHARACTERS:
        raise DecodeError(f"longer than {MAX_PONI_CHARACTERS} characters", where="PONI text")
    values: dict[str, Any] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            values[key.strip().lower()] = value.strip()
    if not values.keys() & _KNOWN:
        raise DecodeError("there is no line such as 'Distance: 0.1', this is not a PONI file", where="PONI text")
    return poni_from_mapping(values)


def poni_from_mapping(mapping: Mapping[str, Any]) -> Poni:
    """Return the geometry from the keys of a PONI file, values as text or numbers.

    Raises
    ------
    DecodeError
        As for `parse_poni`.
    """
    values = {str(key).lower(): value for key, value in mapping.items() if not _is_none(value)}
    if "dist" in values:
        values.setdefault("distance", values["dist"])
    missing = [key for key in _REQUIRED if key not in values]
    if missing:
        raise DecodeError(f"{', '.join(missing)} missing; a PONI file has {', '.join(_REQUIRED)}", where="PONI text")
    _check_version(values)
    try:
        distance, poni1, poni2, rot1, rot2, rot3 = (values[key] for key in _REQUIRED)
        return Poni(_detector(values), distance, poni1, poni2, rot1, rot2, rot3, values.get("wavelength"))
    except UsageError as error:
        raise DecodeError(str(error), where="PONI text") from None


def read_poni(path: str | os.PathLike[str]) -> Poni:
    """Return the geometry in a PONI file.

    Raises
    ------
    UsageError
        The file cannot be read.
    DecodeError
        It is not a PONI file that glimt understands.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MAX_PONI_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"PONI file {os.fspath(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DecodeError("it is not text", where=f"PONI file {os.fspath(path)}") from None
    return parse_poni(text)


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "none"))


def _check_version(values: Mapping[str, Any]) -> None:
    try:
        version = float(values.get("poni_version", 1))
    except (TypeError, ValueError):
        raise DecodeError(f"poni_version is {str(values['poni_version'])[:40]!r}", where="PONI text") from None
    if not 1 <= version <= 3:
        raise DecodeError(f"poni_version is {version:g}; versions 1 to 3 are understood", where="PONI text")
    if str(values.get("parallax", "false")).strip().lower() != "false":
        raise DecodeError("it asks for a parallax correction, which glimt does not apply", where="PONI text")
    if "splinefile" in values:
        raise DecodeError("it names a distortion (splinefile), which glimt does not apply", where="PONI text")


def _config(values: Mapping[str, Any]) -> dict[str, Any]:
    config = values.get("detector_config", {})
    if isinstance(config, (str, bytes)):
        try:
            config = json.loads(config)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"detector_config is not JSON ({str(error)[:80]})", where="PONI text") from None
    if not isinstance(config, Mapping):
        raise DecodeError("detector_config is not a JSON object", where="PONI text")
    plain = {str(key).lower(): value for key, value in config.items() if not _is_none(value)}
    if "splinefile" in plain:
        raise DecodeError(
            "detector_config names a distortion (splineFile), which glimt does not apply", where="PONI text"
        )
    return plain


def _detector(values: Mapping[str, Any]) -> Detector:
    config = _config(values)
    name = str(values.get("detector", "Detector"))
    pixel1 = config.get("pixel1", values.get("pixelsize1"))
    pixel2 = config.get("pixel2", values.get("pixelsize2"))
    shape = config.get("max_shape", config.get("shape"))
    if name.lower() != "detector":
        if name.lower() not in KNOWN_DETECTORS:
            raise DecodeError(
                f"detector {name[:40]!r} is not known here; write 'Detector: Detector' and a Detector_config with "
                "pixel1, pixel2 [m] and max_shape",
                where="PONI text",
            )
        known = KNOWN_DETECTORS[name.lower()]
        pixel1, pixel2 = pixel1 or known.pixel_size_m, pixel2 or known.pixel_size_m
        shape = shape or known.shape
    if pixel1 is None or pixel2 is None:
        raise DecodeError(
            "pixel sizes missing (pixel1 and pixel2 in Detector_config, or pixelsize1, pixelsize2)", where="PONI text"
        )
    orientation = config.get("orientation") or 3
    return Detector(pixel1, pixel2, shape, name, orientation)


def format_poni(poni: Poni) -> str:
    """Return the content of a PONI file, version 2.1."""
    detector = poni.detector
    config = {
        "pixel1": detector.pixel1,
        "pixel2": detector.pixel2,
        "max_shape": None if detector.shape is None else list(detector.shape),
        "orientation": detector.orientation,
    }
    lines = [
        "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis",
        "poni_version: 2.1",
        f"Detector: {detector.name}",
        f"Detector_config: {json.dumps(config)}",
        f"Distance: {poni.dist!r}",
        *(f"{name.capitalize()}: {getattr(poni, name)!r}" for name in _REQUIRED[1:]),
    ]
    if poni.wavelength is not None:
        lines.append(f"Wavelength: {poni.wavelength!r}")
    return "\n".join(lines) + "\n"
