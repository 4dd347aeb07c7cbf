"""Per-image analysis: the nine statistics of every frame, as DIALS and Zocalo have them."""

from __future__ import annotations

import dataclasses
from typing import Any

from glimt.model.event import EventData
from glimt.model.parameters import Parameter, StrParameter
from glimt.pipeline.workers.detector_stream import (
    DetectorStream,
    Frame,
    Values,
    geometry_parameter,
    setting,
    stream_parameters,
)
from glimt.pipeline.workers.image_analysis import ImageAnalyzer, geometry_of
from glimt.pipeline.workers.made_for import MadeFor
from glimt.pipeline.workers.spot_options import parse_spot_options


class PerImageAnalysisWorker:
    """Count the spots of every frame and estimate its resolution.

    A frame's result is a dictionary of the fields of `glimt.kernels.image_quality.ImageQuality`.
    """

    def __init__(self) -> None:
        self._stream = DetectorStream()
        self._analyzer: MadeFor[ImageAnalyzer] = MadeFor(_make)

    @staticmethod
    def describe_parameters() -> list[Parameter]:
        """Return the parameters."""
        return [
            *stream_parameters(),
            geometry_parameter(),
            StrParameter(name="spots", description="what a spot is, as DIALS writes it: sigma_strong=3 d_max=40"),
        ]

    def process_event(self, event: EventData, parameters: Values | None = None) -> dict[str, Any] | None:
        """Return the statistics of the event's frame; nothing for an event without one.

        Raises
        ------
        UsageError, DecodeError
            The frame is damaged, its geometry is not known, or the parameters make no sense.
        """
        frame = self._stream.read(event, parameters)
        if frame is None:
            return None
        return dataclasses.asdict(self._analyzer.get(self._stream, frame, parameters).analyze(frame))


def _make(stream: DetectorStream, frame: Frame, parameters: Values | None) -> ImageAnalyzer:
    header = stream.header
    geometry = geometry_of(
        stream.geometry((frame.shape[0], frame.shape[1]), parameters),
        sensor_thickness_m=header.sensor_thickness_m,
        sensor_material=header.sensor_material,
    )
    mask = stream.mask(frame, parameters)
    return ImageAnalyzer(
        geometry,
        options=parse_spot_options(setting(parameters, "spots", "")),
        mask=mask,
        saturation_value=header.saturation_value,
        untrusted=stream.untrusted(frame, parameters, mask=mask, saturated=True),
    )
