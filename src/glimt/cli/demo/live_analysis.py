"""What ``glimt demo`` runs live: rings, spots and regions of a detector, on the page while they are measured.

Copy this file and change it into your own. The regions that are drawn on the page come to the worker as the parameter
``rois``; what it measures in them is divided by the beam that an electrometer saw in the same event.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from glimt import AzimuthalIntegrator, EventData, IntParameter, Poni, ResultData, parse
from glimt.cli.demo.analysis import STREAM, beam_of, geometry_of
from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_region import roi_of
from glimt.model.parameters import RoiParameter
from glimt.model.region import Region

KEPT = 2000
SPOT = np.dtype([("slow", np.float32), ("fast", np.float32), ("counts", np.float32)])


@dataclass
class Begin:
    """What a worker tells about the start of a series."""

    q: np.ndarray
    geometry: dict[str, Any]


@dataclass
class Measured:
    """What a worker makes of one frame; picture and spots only now and then."""

    beam: float
    n_strong: int
    mean: float
    regions: dict[str, float] = field(default_factory=dict)
    intensity: np.ndarray | None = None
    picture: np.ndarray | None = None
    spots: np.ndarray | None = None


class LiveWorker:
    """Measures each frame; there may be many of these, each with its own frames."""

    @staticmethod
    def describe_parameters() -> list[IntParameter | RoiParameter]:
        """Say what can be changed while it runs: the page makes a form of it."""
        return [
            RoiParameter(name="rois", description="Regions, drawn on the page"),
            IntParameter(
                name="strong_counts", default=60, minimum=1, maximum=1000, unit="counts",
                description="A strong pixel has more",
            ),
            IntParameter(name="n_bins", default=240, minimum=8, maximum=2000, description="Points of the curve"),
        ]  # fmt: skip

    def __init__(self, **_: Any) -> None:
        self.geometry: Poni | None = None
        self.integrator: AzimuthalIntegrator | None = None
        self.rois: tuple[list[Region], RoiIntegrator] | None = None

    def get_tick_interval(self, parameters: dict[str, Any]) -> float:
        """Ask for a tick ten times a second: as often as the page shows a picture."""
        return 0.1

    def process_event(
        self, event: EventData, parameters: dict[str, Any], tick: bool = False
    ) -> Begin | Measured | None:
        """Reduce one event; what this returns goes to the reducer."""
        message = parse(event.streams[STREAM])
        if isinstance(message, DectrisV1Header):
            self.geometry, self.integrator = geometry_of(message.config), None
            return Begin(self.integrate_into(parameters["n_bins"].value).radial_axis, _told(self.geometry))
        if not isinstance(message, DectrisV1Image):
            return None  # the end of the series
        frame = message.data
        strong = frame > parameters["strong_counts"].value
        measured = Measured(beam_of(event), int(np.count_nonzero(strong)), float(frame.mean()))
        measured.regions = self.measure_regions(frame, parameters["rois"].value)
        if tick:
            measured.intensity = self.integrate_into(parameters["n_bins"].value).integrate(frame).intensity
            measured.picture, measured.spots = frame, brightest(frame, strong)
        return measured

    def integrate_into(self, n_bins: int) -> AzimuthalIntegrator:
        """Return the integrator with so many points; a new one where that has changed."""
        if self.geometry is None:
            raise RuntimeError("a frame came before the start of its series, which tells the geometry")
        if self.integrator is None or self.integrator.radial_axis.size != n_bins:
            self.integrator = AzimuthalIntegrator(self.geometry, n_bins, radial_range=(0.2, 2.8))
        return self.integrator

    def measure_regions(self, frame: np.ndarray, regions: list[Region]) -> dict[str, float]:
        """Return the sum of each region [counts]."""
        if self.rois is None or self.rois[0] != regions or self.rois[1].shape != frame.shape:
            shape = (frame.shape[0], frame.shape[1])
            self.rois = regions, RoiIntegrator(shape, [roi_of(region) for region in regions])
        totals = self.rois[1].integrate(frame).total
        return {region.name: float(total) for region, total in zip(regions, totals, strict=True)}


def brightest(frame: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Return the strong pixels that are brighter than all eight around them, as `SPOT`; at most the 200 brightest."""
    padded = np.pad(frame, 1)
    rows, columns = np.nonzero(strong)
    around = [padded[1 + rows + i, 1 + columns + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    counts = frame[rows, columns]
    top = np.flatnonzero((counts > np.stack(around)).all(axis=0)) if counts.size else np.zeros(0, np.int64)
    top = top[np.argsort(counts[top])[::-1][:200]]
    spots = np.zeros(top.size, SPOT)
    spots["slow"], spots["fast"], spots["counts"] = rows[top] + 0.5, columns[top] + 0.5, counts[top]
    return spots


def _told(geometry: Poni) -> dict[str, Any]:
    told = {key: value for key, value in asdict(geometry).items() if key != "detector"}
    return told | {"pixel1": geometry.detector.pixel1, "pixel2": geometry.detector.pixel2}


class LiveReducer:
    """Shows the newest picture and curves, and what the regions held in the newest events."""

    def __init__(self, **_: Any) -> None:
        self.publish: dict[str, Any] = {}
        self.publish_rlock = threading.RLock()
        self.begin: Begin | None = None
        self.kept: deque[tuple[int, Measured]] = deque(maxlen=KEPT)
        self.newest: tuple[int, Measured] | None = None

    def process_result(self, result: ResultData, parameters: dict[str, Any]) -> None:
        """Take what a worker returned."""
        found = result.payload
        with self.publish_rlock:
            if isinstance(found, Begin):
                self.begin = found
                return
            # Of pictures only the newest is kept.
            self.kept.append((result.event_number, replace(found, picture=None, spots=None, intensity=None)))
            if found.picture is not None:
                self.newest = result.event_number, found

    def timer(self) -> float:
        """Renew what is shown; return the seconds to the next time."""
        with self.publish_rlock:
            if self.newest is not None:
                self.show_newest(*self.newest)
                self.newest = None
            if self.kept:
                self.show_events(sorted(self.kept, key=lambda entry: entry[0]))  # several workers: not in order
        return 0.1

    def show_newest(self, number: int, found: Measured) -> None:
        """Publish one event: picture, spots, curve and numbers belong together."""
        self.publish["image"] = found.picture
        self.publish["image_attrs"] = {
            "units": "counts", "axes": ["slow", "fast"], "log": True, "spots": "/spots", "event_number": number,
            "geometry": {} if self.begin is None else self.begin.geometry,
        }  # fmt: skip
        self.publish["spots"] = found.spots
        self.publish["i0"], self.publish["i0_attrs"] = found.beam, {"units": "nA"}
        self.publish["mean"], self.publish["mean_attrs"] = found.mean, {"units": "counts/px"}
        self.publish["n_spots"] = 0 if found.spots is None else int(found.spots.size)
        self.publish["n_strong"], self.publish["n_strong_attrs"] = found.n_strong, {"units": "px"}
        if self.begin is not None and found.intensity is not None:
            q = self.begin.q
            if q.size != found.intensity.size:
                q = np.linspace(q[0], q[-1], found.intensity.size)
            self.publish["powder"] = {
                "_attrs": {"NX_class": "NXdata", "signal": "intensity", "axes": ["q"]},
                "q": q,
                "q_attrs": {"units": "1/angstrom"},
                "intensity": found.intensity,
                "intensity_attrs": {"units": "counts/px", "axes": ["q"], "x": "q"},
            }

    def show_events(self, events: list[tuple[int, Measured]]) -> None:
        """Publish one value an event: the beam, and each region divided by it."""
        beam = np.array([found.beam for _, found in events])
        names = sorted({name for _, found in events[-100:] for name in found.regions})
        shown: dict[str, Any] = {"event_number": np.array([number for number, _ in events]), "beam": beam}
        shown["beam_attrs"] = {"units": "nA", "axes": ["event"], "x": "event_number"}
        for name in names:
            key = name.replace("/", "_")
            if key.endswith("_attrs"):
                continue
            sums = np.array([found.regions.get(name, np.nan) for _, found in events])
            shown[key] = sums / beam
            shown[f"{key}_attrs"] = {"units": "counts/nA", "axes": ["event"], "x": "event_number"}
        self.publish["events"] = shown
