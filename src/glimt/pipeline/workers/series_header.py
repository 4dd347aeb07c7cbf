"""What a detector says about a series before its first frame, by the names that all protocols share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.codecs.dectris_v2 import DectrisV2Start
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni


@dataclass(frozen=True, slots=True, eq=False)
class SeriesHeader:
    """The header of a series; ``None`` for what it does not say.

    Parameters
    ----------
    pixel_size_m, beam_center_px : (float, float) or None
        Slow and fast; the beam center counts from the outer corner of the first pixel.
    distance_m, wavelength_angstrom, sensor_thickness_m : float or None
        As named.
    sensor_material : str or None
        Such as ``"Si"``.
    saturation_value : float or None
        Largest count that can be trusted.
    mask : ndarray or None
        (slow, fast) bool, True = excluded.
    """

    pixel_size_m: tuple[float, float] | None = None
    beam_center_px: tuple[float, float] | None = None
    distance_m: float | None = None
    wavelength_angstrom: float | None = None
    sensor_thickness_m: float | None = None
    sensor_material: str | None = None
    saturation_value: float | None = None
    mask: npt.NDArray[np.bool_] | None = None

    def poni(self, shape: tuple[int, int]) -> Poni:
        """Return the geometry of frames of a shape (slow, fast).

        Raises
        ------
        UsageError
            The header does not give it; the text says what is missing, and to set the parameter ``poni``.
        """
        if self.pixel_size_m is None or self.beam_center_px is None or self.distance_m is None:
            wanted = ("pixel_size_m", "beam_center_px", "distance_m")
            missing = [name for name in wanted if getattr(self, name) is None]
            raise UsageError(
                f"the detector does not say {', '.join(missing)}: set the parameter 'poni' to what a PONI file has"
            )
        slow, fast = self.pixel_size_m
        return Poni(
            Detector(slow, fast, shape),
            self.distance_m,
            self.beam_center_px[0] * slow,
            self.beam_center_px[1] * fast,
            wavelength=self.wavelength_angstrom * 1e-10 if self.wavelength_angstrom else None,
        )


def header_of(record: Any) -> SeriesHeader | None:
    """Return what the first message of a series says, ``None`` if ``record`` is no such message of a known detector.

    Raises
    ------
    DecodeError
        Its pixel mask is damaged.
    """
    if isinstance(record, DectrisV1Header):
        return _of_dectris_v1(record)
    if isinstance(record, DectrisV2Start):
        return _of_dectris_v2(record)
    return None


def _of_dectris_v1(record: DectrisV1Header) -> SeriesHeader:
    config = record.config
    mask = record.pixel_mask
    material = config.get("sensor_material")
    return SeriesHeader(
        pixel_size_m=_both(_positive(config, "y_pixel_size"), _positive(config, "x_pixel_size")),
        beam_center_px=_both(_number(config, "beam_center_y"), _number(config, "beam_center_x")),
        distance_m=_positive(config, "detector_distance"),
        wavelength_angstrom=_positive(config, "wavelength"),
        sensor_thickness_m=_positive(config, "sensor_thickness"),
        sensor_material=material if isinstance(material, str) else None,
        saturation_value=_positive(config, "countrate_correction_count_cutoff"),
        mask=None if mask is None else mask != 0,
    )


def _of_dectris_v2(record: DectrisV2Start) -> SeriesHeader:
    fields = {name: getattr(record, name) for name in record.__struct_fields__ if not name.startswith("_")}
    masks = record.pixel_mask
    mask = masks[next(iter(masks))] if len(masks) else None
    place = record.detector_translation or []
    return SeriesHeader(
        pixel_size_m=_both(_positive(fields, "pixel_size_y"), _positive(fields, "pixel_size_x")),
        beam_center_px=_both(_number(fields, "beam_center_y"), _number(fields, "beam_center_x")),
        distance_m=_positive({"z": place[2]}, "z") if len(place) == 3 else None,
        wavelength_angstrom=_positive(fields, "incident_wavelength"),
        sensor_thickness_m=_positive(fields, "sensor_thickness"),
        sensor_material=record.sensor_material,
        saturation_value=_positive(fields, "saturation_value"),
        mask=None if mask is None else mask != 0,
    )


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _positive(values: Mapping[str, Any], name: str) -> float | None:
    value = _number(values, name)
    return value if value is not None and value > 0 else None


def _both(slow: float | None, fast: float | None) -> tuple[float, float] | None:
    return None if slow is None or fast is None else (slow, fast)
