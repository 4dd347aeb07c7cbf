"""The example analysis: what happens in a battery electrode while it is charged, seen by a powder ring that moves.

``glimt demo`` runs these two classes; copy this file and change it into your own. They read a DECTRIS or a STINS
detector, and if there is a stream ``i0`` of an electrometer, what is shown is divided by it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glimt import AzimuthalIntegrator, Detector, EventData, Hdf5Store, IntParameter, Poni, ResultData, parse
from glimt.codecs.albaem import AlbaemData
from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.codecs.stins import StinsImage, StinsStart

STREAM = "detector"
MONITOR = "i0"


@dataclass
class Start:
    """What a worker tells about the start of a scan."""

    filename: str
    q: np.ndarray


@dataclass
class Diffractogram:
    """What a worker makes of one frame."""

    intensity: np.ndarray
    region_mean: float
    n_strong: int
    beam: float
    picture: np.ndarray | None


class PowderWorker:
    """Reduces each frame to a diffractogram and two numbers. There may be many of these, each with its own frames."""

    @staticmethod
    def describe_parameters() -> list[IntParameter]:
        """Say what can be changed, also while the analysis runs."""
        return [
            IntParameter(name="region_slow_min", default=246, unit="px", description="Region whose mean is followed"),
            IntParameter(name="region_slow_max", default=266, unit="px"),
            IntParameter(name="region_fast_min", default=411, unit="px"),
            IntParameter(name="region_fast_max", default=423, unit="px"),
            IntParameter(name="strong_counts", default=60, unit="counts", description="A strong pixel has more"),
            IntParameter(name="n_bins", default=240, description="Points of the diffractogram"),
        ]

    def __init__(self, **_: Any) -> None:
        self.integrator: AzimuthalIntegrator | None = None

    def get_tick_interval(self, parameters: dict[str, Any]) -> float:
        """Ask for a tick every half second: a whole picture that often is enough for the eye."""
        return 0.5

    def process_event(
        self, event: EventData, parameters: dict[str, Any], tick: bool = False
    ) -> Start | Diffractogram | None:
        """Reduce one event; what this returns goes to the reducer."""
        message = parse(event.streams[STREAM])
        if isinstance(message, StinsStart | DectrisV1Header):
            details = message.details[0] if isinstance(message, StinsStart) else message.config
            self.integrator = AzimuthalIntegrator(
                geometry_of(details), parameters["n_bins"].value, radial_range=(0.2, 2.8)
            )
            return Start(getattr(message, "filename", ""), self.integrator.radial_axis)
        if isinstance(message, StinsImage | DectrisV1Image):
            if self.integrator is None:
                raise RuntimeError("a frame came before the start of its series, which tells the geometry")
            frame = message.data
            region = frame[
                parameters["region_slow_min"].value : parameters["region_slow_max"].value,
                parameters["region_fast_min"].value : parameters["region_fast_max"].value,
            ]
            return Diffractogram(
                intensity=self.integrator.integrate(frame).intensity,
                region_mean=float(region.mean()),
                n_strong=int(np.count_nonzero(frame > parameters["strong_counts"].value)),
                beam=beam_of(event),
                picture=frame if tick else None,
            )
        return None  # the end of the scan


def beam_of(event: EventData) -> float:
    """Return how strong the beam was: the current of all channels of the electrometer [nA], 1 without one."""
    if MONITOR not in event.streams:
        return 1.0
    sample = parse(event.streams[MONITOR])
    if not isinstance(sample, AlbaemData):
        return 1.0
    currents = [value for name, value in sample.extra.items() if name.startswith("channel")]
    return float(sum(currents)) * 1e9


def geometry_of(details: dict[str, Any]) -> Poni:
    """Return the geometry that the detector's header tells; a PONI file from a calibration is the better source."""
    pixel = details["x_pixel_size"]
    shape = details["y_pixels_in_detector"], details["x_pixels_in_detector"]
    return Poni(
        Detector(pixel, pixel, shape=shape),
        dist=details["detector_distance"],
        poni1=details["beam_center_y"] * pixel,
        poni2=details["beam_center_x"] * pixel,
        wavelength=details["wavelength"] * 1e-10,
    )


class PowderReducer:
    """Collects what the workers found: everything into an HDF5 file, the newest into the live view."""

    def __init__(self, **_: Any) -> None:
        self.publish: dict[str, Any] = {}
        self.publish_rlock = threading.RLock()
        self.q: np.ndarray | None = None
        self.newest: deque[tuple[int, Diffractogram]] = deque(maxlen=1000)
        self.store: Hdf5Store | None = None

    def process_result(self, result: ResultData, parameters: dict[str, Any]) -> None:
        """Take what a worker returned."""
        found = result.payload
        if isinstance(found, Start):
            self.start(found, parameters)  # comes once from each worker
            return
        with self.publish_rlock:
            self.newest.append((result.event_number, found))
        if self.store is not None:
            number = result.event_number
            self.store.put("intensity", number, found.intensity, unit="counts", axes="q", dtype="float32")
            self.store.put("region_mean", number, found.region_mean, unit="counts")
            self.store.put("n_strong", number, found.n_strong)

    def start(self, found: Start, parameters: dict[str, Any]) -> None:
        """Open the result file, beside the raw data."""
        with self.publish_rlock:
            self.q = found.q
        if self.store is None and found.filename:  # no name: a live view of which nothing is to be kept
            raw = Path(found.filename)
            name = raw.with_name(f"{raw.stem}_processed.h5")
            self.store = Hdf5Store(name, parameters=parameters, overwrite=True, reducer=type(self))
            self.store.put_once("q", found.q, unit="1/angstrom")

    def timer(self) -> float:
        """Renew the live view; return the seconds to the next time."""
        with self.publish_rlock:
            newest = sorted(self.newest, key=lambda entry: entry[0])  # several workers: not always in order
            if newest:
                numbers, found = zip(*newest, strict=True)
                self.publish["powder"] = {
                    "_attrs": {"NX_class": "NXdata", "signal": "intensity", "axes": ["event_number", "q"]},
                    "event_number": np.array(numbers),
                    "q": self.q,
                    "q_attrs": {"units": "1/angstrom"},
                    "intensity": np.array([each.intensity for each in found], dtype=np.float32),
                    "intensity_attrs": {"units": "counts"},
                }
                self.publish["beam"] = np.array([each.beam for each in found])
                self.publish["region_mean"] = np.array([each.region_mean / each.beam for each in found])
                self.publish["n_strong"] = np.array([each.n_strong for each in found])
                pictures = [each.picture for each in found if each.picture is not None]
                if pictures:
                    self.publish["last_frame"] = pictures[-1]
        return 1.0

    def finish(self, parameters: dict[str, Any]) -> None:
        """Close the result file."""
        self.timer()
        if self.store is not None:
            self.store.close()
