"""Sums and means of regions of interest of every frame."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_shapes import AnyRoi, PolygonRoi, RingRoi, Roi
from glimt.model.errors import UsageError
from glimt.model.event import EventData
from glimt.model.parameters import Parameter, StrParameter
from glimt.pipeline.workers.detector_stream import DetectorStream, Frame, Values, setting, stream_parameters
from glimt.pipeline.workers.made_for import MadeFor

MAX_TEXT = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,60}", re.ASCII)
_EXAMPLE = '[{"name": "beam", "slow": [10, 20], "fast": [30, 40]}]'


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A region as it is written in JSON."""

    name: str
    slow: tuple[int, int] | None = None
    fast: tuple[int, int] | None = None
    corners: list[tuple[float, float]] | None = None
    center: tuple[float, float] | None = None
    radius: tuple[float, float] | None = None

    def region(self) -> AnyRoi:
        """Return the region; `UsageError` if it is none or more than one."""
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"a region is called {self.name[:60]!r}; use letters, digits and _")
        match (self.slow, self.fast, self.corners, self.center, self.radius):
            case (slow, fast, None, None, None) if slow is not None and fast is not None:
                return Roi(*slow, *fast)
            case (None, None, corners, None, None) if corners is not None:
                return PolygonRoi(tuple(corners))
            case (None, None, None, center, radius) if center is not None and radius is not None:
                return RingRoi(*center, *radius)
        raise UsageError(
            f"region {self.name!r} needs slow and fast (rectangle), or corners (polygon), or center and radius (ring)"
        )


def parse_regions(text: str) -> dict[str, AnyRoi]:
    """Return the regions that a JSON text describes, by name.

    Parameters
    ----------
    text : str
        A list of objects with a ``name`` and ``slow``, ``fast`` ([min, max], half-open), or ``corners``
        ([[slow, fast], ...]), or ``center`` ([slow, fast]) and ``radius`` ([min, max]), all in pixels.

    Raises
    ------
    UsageError
        Not such a text; it says what is wrong.
    """
    if len(text) > MAX_TEXT:
        raise UsageError(f"regions in {len(text)} characters; at most {MAX_TEXT} are read")
    try:
        shapes = msgspec.json.decode(text or "[]", type=list[_Shape])
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"the regions cannot be read ({str(error)[:200]}); write them as {_EXAMPLE}") from None
    regions = {shape.name: shape.region() for shape in shapes}
    if len(regions) != len(shapes):
        raise UsageError("two regions have the same name")
    return regions


class RegionsWorker:
    """Add up regions of every frame.

    A frame's result is a dictionary ``NAME/total`` and ``NAME/mean`` [counts] of each region; masked pixels are left
    out, and the mean of a region without pixels is NaN.
    """

    def __init__(self) -> None:
        self._stream = DetectorStream()
        self._regions: MadeFor[tuple[list[str], RoiIntegrator]] = MadeFor(_make)

    @staticmethod
    def describe_parameters() -> list[Parameter]:
        """Return the parameters."""
        return [
            *stream_parameters(),
            StrParameter(name="regions", default="[]", description=f"JSON such as {_EXAMPLE}"),
        ]

    def process_event(self, event: EventData, parameters: Values | None = None) -> dict[str, Any] | None:
        """Return the sums of the event's frame; nothing for an event without a frame.

        Raises
        ------
        UsageError, DecodeError
            The frame is damaged, or the regions make no sense.
        """
        frame = self._stream.read(event, parameters)
        if frame is None:
            return None
        names, integrator = self._regions.get(self._stream, frame, parameters)
        sums = integrator.integrate(frame)
        result: dict[str, Any] = {}
        for k, name in enumerate(names):
            result[f"{name}/total"], result[f"{name}/mean"] = float(sums.total[k]), float(sums.mean[k])
        return result


def _make(stream: DetectorStream, frame: Frame, parameters: Values | None) -> tuple[list[str], RoiIntegrator]:
    regions = parse_regions(setting(parameters, "regions", "[]"))
    if not regions:
        raise UsageError(f"there are no regions: set the parameter 'regions' to JSON such as {_EXAMPLE}")
    shape = (frame.shape[0], frame.shape[1])
    return list(regions), RoiIntegrator(shape, list(regions.values()), mask=stream.mask(frame, parameters))
