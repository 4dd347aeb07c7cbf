"""Hits of serial crystallography: frames with enough peaks, found by peakfinder8."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.peakfinder8 import Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radius_map import flat_radius_map
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import UsageError
from glimt.model.event import EventData
from glimt.model.geometry import Poni
from glimt.model.parameters import FloatParameter, IntParameter, Parameter
from glimt.pipeline.workers.detector_stream import (
    DetectorStream,
    Frame,
    Values,
    geometry_parameter,
    setting,
    stream_parameters,
)
from glimt.pipeline.workers.image_analysis import geometry_of
from glimt.pipeline.workers.made_for import MadeFor
from glimt.pipeline.workers.panel_hits import PanelHitFinder

MOST_PIXELS = 1 << 20


def _whole(name: str, default: int, low: int, high: int, description: str) -> Parameter:
    return IntParameter(name=name, default=default, minimum=low, maximum=high, description=description)


class HitFinderWorker:
    """Find the Bragg peaks of every frame and say whether it is a hit.

    A frame's result is a dictionary: ``n_peaks``, ``is_hit``, and ``peak_fs``, ``peak_ss`` [px, 0 the middle of the
    first pixel] and ``peak_intensity`` [counts] (max_num_peaks,) float32, NaN behind the last peak. With the parameter
    ``geometry`` also ``peak_panel`` (max_num_peaks,) int32, -1 behind the last peak, and ``peak_d`` [Å] float32.
    """

    def __init__(self) -> None:
        self._stream = DetectorStream()
        self._finder: MadeFor[Peakfinder8 | PanelHitFinder] = MadeFor(_make)

    @staticmethod
    def describe_parameters() -> list[Parameter]:
        """Return the parameters, by the names they have in OM."""
        return [
            *stream_parameters(),
            geometry_parameter(),
            FloatParameter(name="adc_threshold", default=10.0, minimum=0.0, unit="counts", description="of a pixel"),
            FloatParameter(name="minimum_snr", default=5.0, minimum=0.0, description="of a pixel and of a peak"),
            _whole("min_pixel_count", 2, 1, MOST_PIXELS, "fewest pixels of a peak"),
            _whole("max_pixel_count", 200, 1, MOST_PIXELS, "most pixels of a peak"),
            _whole("local_bg_radius", 3, 1, 100, "half the radius of the local background [px]"),
            _whole("max_num_peaks", 256, 1, 16384, "peaks that are kept"),
            _whole("min_num_peaks_for_hit", 15, 0, MOST_PIXELS, "fewest peaks of a hit"),
            _whole("max_num_peaks_for_hit", 5000, 0, MOST_PIXELS, "most peaks of a hit"),
        ]

    def process_event(self, event: EventData, parameters: Values | None = None) -> dict[str, Any] | None:
        """Return the peaks of the event's frame; nothing for an event without a frame.

        Raises
        ------
        UsageError, DecodeError
            The frame is damaged, the beam center is not known, or the parameters make no sense.
        """
        frame = self._stream.read(event, parameters)
        if frame is None:
            return None
        finder = self._finder.get(self._stream, frame, parameters)
        found, rule = finder.find(frame), finder.parameters
        fewest = setting(parameters, "min_num_peaks_for_hit", 15)
        most = setting(parameters, "max_num_peaks_for_hit", 5000)
        result: dict[str, Any] = {"n_peaks": found.n_found, "is_hit": fewest <= found.n_found <= most}
        for name in ("fs", "ss", "intensity"):
            result[f"peak_{name}"] = _padded(found.peaks[name], rule.max_num_peaks)
        if isinstance(finder, PanelHitFinder) and found.panel_number is not None:
            result["peak_panel"] = np.full(rule.max_num_peaks, -1, np.int32)
            result["peak_panel"][: len(found)] = found.panel_number
            result["peak_d"] = _padded(finder.d_spacing(found), rule.max_num_peaks)
        return result


def _padded(values: npt.NDArray[Any], n: int) -> npt.NDArray[np.float32]:
    padded = np.full(n, np.nan, np.float32)
    padded[: len(values)] = values
    return padded


def beam_center_px(poni: Poni) -> tuple[float, float]:
    """Return where the beam hits a flat detector, (slow, fast) [px] from the outer corner of the first pixel.

    Raises
    ------
    UsageError
        The beam runs along the detector.
    """
    origin1, step1, origin2, step2 = poni.detector.axes()
    rotation = poni.rotation()
    beam = rotation.T @ np.array([0.0, 0.0, 1.0])
    if beam[2] < 1e-6:
        raise UsageError("the beam does not hit the detector: check the rotations of the PONI file")
    along = poni.dist / beam[2]
    return (
        float((poni.poni1 + along * beam[0] - origin1) / step1),
        float((poni.poni2 + along * beam[1] - origin2) / step2),
    )


def _make(stream: DetectorStream, frame: Frame, parameters: Values | None) -> Peakfinder8 | PanelHitFinder:
    shape = (frame.shape[0], frame.shape[1])
    rule = Peakfinder8Parameters(
        adc_threshold=setting(parameters, "adc_threshold", 10.0),
        minimum_snr=setting(parameters, "minimum_snr", 5.0),
        min_pixel_count=setting(parameters, "min_pixel_count", 2),
        max_pixel_count=setting(parameters, "max_pixel_count", 200),
        local_bg_radius=setting(parameters, "local_bg_radius", 3),
        max_num_peaks=setting(parameters, "max_num_peaks", 256),
    )
    mask = stream.mask(frame, parameters)
    geometry = stream.geometry(shape, parameters)
    if isinstance(geometry, DetectorGeometry):
        header = stream.header
        placed = geometry_of(
            geometry, sensor_thickness_m=header.sensor_thickness_m, sensor_material=header.sensor_material
        )
        # As in CrystFEL, a saturated peak is a peak; only flagged pixels are left out.
        untrusted = stream.untrusted(frame, parameters, mask=mask, saturated=False)
        return PanelHitFinder(placed, rule, mask=mask, untrusted=untrusted)
    radius = flat_radius_map(shape, beam_center_px(geometry), truncated=True)
    return Peakfinder8(radius, rule, mask=mask)
