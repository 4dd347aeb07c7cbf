"""Azimuthal integration of every frame."""

from __future__ import annotations

from typing import Any

from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.radial_units import UNITS
from glimt.model.event import EventData
from glimt.model.parameters import FloatParameter, IntParameter, Parameter, StrParameter
from glimt.pipeline.workers.detector_stream import (
    DetectorStream,
    Frame,
    Values,
    geometry_parameter,
    setting,
    stream_parameters,
)
from glimt.pipeline.workers.made_for import MadeFor


class AzimuthalWorker:
    """Integrate every frame over azimuth, or in sectors.

    A frame's result is a dictionary: ``intensity``, ``sigma`` (radial,) or (azimuth, radial), ``radial_axis``, and with
    sectors ``azimuth_axis`` [deg].
    """

    def __init__(self) -> None:
        self._stream = DetectorStream()
        self._integrator: MadeFor[AzimuthalIntegrator] = MadeFor(_make)

    @staticmethod
    def describe_parameters() -> list[Parameter]:
        """Return the parameters."""
        return [
            *stream_parameters(),
            geometry_parameter(),
            IntParameter(name="radial_bins", default=1000, minimum=1, maximum=100_000, description="number of bins"),
            IntParameter(name="azimuth_bins", default=0, minimum=0, maximum=3600, description="sectors; 0: one circle"),
            StrParameter(name="unit", default="q_A^-1", choices=list(UNITS), description="of the radial axis"),
            IntParameter(name="n_splitting", default=1, minimum=1, maximum=16, description="parts of a pixel's side"),
            FloatParameter(
                name="polarization_factor", default=-2.0, minimum=-2.0, maximum=1.0,
                description="1 horizontal, -1 vertical, 0 circular; -2: no correction",
            ),
        ]  # fmt: skip

    def process_event(self, event: EventData, parameters: Values | None = None) -> dict[str, Any] | None:
        """Return the integrated frame; nothing for an event without a frame.

        Raises
        ------
        UsageError, DecodeError
            The frame is damaged, its geometry is not known, or the parameters make no sense.
        """
        frame = self._stream.read(event, parameters)
        if frame is None:
            return None
        integrator = self._integrator.get(self._stream, frame, parameters)
        found = integrator.integrate(frame)
        result = {"intensity": found.intensity, "sigma": found.sigma, "radial_axis": integrator.radial_axis}
        return result if integrator.azimuth_axis is None else result | {"azimuth_axis": integrator.azimuth_axis}


def _make(stream: DetectorStream, frame: Frame, parameters: Values | None) -> AzimuthalIntegrator:
    factor = setting(parameters, "polarization_factor", -2.0)
    return AzimuthalIntegrator(
        stream.geometry((frame.shape[0], frame.shape[1]), parameters),
        setting(parameters, "radial_bins", 1000),
        azimuth_bins=setting(parameters, "azimuth_bins", 0) or None,
        unit=setting(parameters, "unit", "q_A^-1"),
        mask=stream.mask(frame, parameters),
        n_splitting=setting(parameters, "n_splitting", 1),
        polarization_factor=None if factor < -1 else factor,
    )
