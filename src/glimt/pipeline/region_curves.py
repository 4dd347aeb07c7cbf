"""Regions followed from event to event: a point for every version of the images and numbers that they lie on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame
from glimt.kernels.pump_probe import pump_probe
from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_histogram import RoiHistogram
from glimt.kernels.roi_region import roi_of
from glimt.model.errors import UsageError
from glimt.model.followed_region import FollowedRegion
from glimt.pipeline.number_history import NumberSeries

Array = npt.NDArray[Any]

COLUMNS = ("time_s", "event_number", "value", "sum", "mean", "n_pixels", "denominator", "on", "delay")
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest content of a published path.

    Attributes
    ----------
    array : ndarray
        As published; of more than two axes the last plane. Never changed.
    version : int
        Grows with each change of it.
    time_s : float
        When it changed, since 1970.
    event_number : int or None
        Highest event number then.
    scalars : mapping of str to float
        Numbers of that very event, by path; they come before those of `Now`.
    """

    array: Array
    version: int
    time_s: float
    event_number: int | None
    scalars: Mapping[str, float] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True, slots=True)
class Now:
    """What a reading has for the regions.

    Attributes
    ----------
    held : mapping of str to Newest
        Newest arrays by path.
    numbers : mapping of str to float
        All published numbers by path.
    excluded : callable
        Returns which pixels of the image at a path are excluded, (slow, fast) bool; ``None`` for none.
    """

    held: Mapping[str, Newest]
    numbers: Mapping[str, float]
    excluded: Callable[[str], Array | None]

    def at(self, newest: Newest) -> Now:
        """Return the same with the scalars of the event that an array is of."""
        return replace(self, numbers={**self.numbers, **newest.scalars}) if newest.scalars else self


@dataclass(slots=True)
class RegionCurve:
    """One region and its points.

    Attributes
    ----------
    region : FollowedRegion
        What is followed.
    series : NumberSeries
        The points, of the columns `COLUMNS`.
    point : dict
        More of the newest point: ``value``, ``sum``, ``mean``, ``n_pixels``, ``denominator``, ``event_number``,
        ``time_s``, ``problem``; ``histogram`` of an image, ``split`` where the region has one. NaN is not known.
    seen : tuple of int
        Versions that it was measured at.
    serial : int
        Grows with each new point of any region.
    """

    region: FollowedRegion
    series: NumberSeries = field(default_factory=lambda: NumberSeries(len(COLUMNS)))
    point: dict[str, Any] = field(default_factory=dict)
    seen: tuple[int, ...] = ()
    serial: int = 0


class RegionCurves:
    """Follows the regions; not for several threads at once."""

    def __init__(self) -> None:
        self.curves: dict[str, RegionCurve] = {}
        self._images: dict[str, _ImageRegions] = {}
        self._serial = 0

    def use(self, regions: Iterable[FollowedRegion]) -> None:
        """Follow these from now on; a region that measures something else than before begins anew."""
        kept: dict[str, RegionCurve] = {}
        for region in regions:
            known = self.curves.get(region.id)
            if known is None:
                kept[region.id] = RegionCurve(region)
                continue
            if not known.region.measures_as(region):
                known.series.reset()
                known.point, known.seen = {}, ()
            known.region = region
            kept[region.id] = known
        self.curves = kept

    def wanted(self) -> set[str]:
        """Return the paths of the arrays that are needed."""
        paths: set[str] = set()
        for curve in self.curves.values():
            region, split = curve.region, curve.region.split
            paths.add(region.image)
            if region.kind == "value":
                paths |= {path for path in (region.denominator, region.events) if path}
                paths |= {path for path in ((split.on, split.delay) if split else ()) if path}
        return paths

    def measure(self, now: Now, *, histograms: bool) -> bool:
        """Add the points of what is new; tell whether there are any."""
        by_image: dict[str, list[RegionCurve]] = {}
        n_new = 0
        for curve in self.curves.values():
            if curve.region.kind == "value":
                n_new += self._follow(curve, now)
            elif curve.region.image in now.held:
                by_image.setdefault(curve.region.image, []).append(curve)
        for image, curves in by_image.items():
            seen = (now.held[image].version,)
            if any(curve.seen != seen for curve in curves):
                self._measure_image(now.held[image], curves, now, histograms=histograms)
                n_new += 1
        return n_new > 0

    # Images -----------------------------------------------------------------------------------------------------

    def _measure_image(self, held: Newest, curves: list[RegionCurve], now: Now, *, histograms: bool) -> None:
        now = now.at(held)
        try:
            pixels = _pixels_of(curves[0].region.image, held.array)
            regions = self._regions_of(pixels, curves, now)
            found = regions.integrator.integrate(pixels)
        except UsageError as error:
            for curve in curves:
                self._tell(curve, held, {"problem": str(error)})
            return
        for index, curve in enumerate(curves):
            if curve.seen == (held.version,):
                continue
            total, mean, n_pixels = float(found.total[index]), float(found.mean[index]), int(found.n_pixels[index])
            value = total if curve.region.quantity == "sum" else mean
            point = self._add_point(curve, held, now, value, total, mean, n_pixels)
            if histograms:
                point["histogram"] = asdict(regions.histogram(index).measure(pixels))
            elif "histogram" in curve.point:
                point["histogram"] = curve.point["histogram"]
            self._tell(curve, held, point)

    def _regions_of(self, pixels: Array, curves: list[RegionCurve], now: Now) -> _ImageRegions:
        path = curves[0].region.image
        excluded = now.excluded(path)
        regions = [curve.region.region() for curve in curves]
        key = pixels.shape, regions, None if excluded is None else hash(excluded.tobytes())
        known = self._images.get(path)
        if known is None or known.key != key:
            rois = [roi_of(region) for region in regions]
            integrator = RoiIntegrator((pixels.shape[0], pixels.shape[1]), rois, mask=excluded)
            self._images[path] = known = _ImageRegions(key, integrator, excluded)
        return known

    # Numbers ----------------------------------------------------------------------------------------------------

    def _follow(self, curve: RegionCurve, now: Now) -> bool:
        region = curve.region
        held = now.held.get(region.image)
        if held is None:
            return False
        now = now.at(held)
        paths = (region.image, region.denominator, region.events, *_split_paths(region))
        seen = tuple(now.held[path].version if path and path in now.held else 0 for path in paths)
        if seen == curve.seen:
            return False
        if held.array.shape == ():
            # One value at a time: what it is divided by may change at another moment, and alone makes no new point.
            if curve.seen[:1] == seen[:1]:
                return False
            value = _one_number(held.array)
            self._tell(curve, held, self._add_point(curve, held, now, value, value, value, 1))
        else:
            self._take_curve(curve, held, now)
        curve.seen = seen
        return True

    def _take_curve(self, curve: RegionCurve, held: Newest, now: Now) -> None:
        """Take one value an event, all of them anew: the curve may have been cut at its beginning."""
        try:
            columns = _event_columns(curve.region, held, now)
        except UsageError as error:
            self._tell(curve, held, {"problem": str(error)})
            return
        curve.series.reset(np.stack(columns, axis=1))
        newest = float(columns[2][-1]) if held.array.size else _NAN
        point = {"value": newest, "n_pixels": int(held.array.size), "sum": _NAN, "mean": _NAN, "denominator": _NAN}
        self._tell(curve, held, point)

    # Both -------------------------------------------------------------------------------------------------------

    def _add_point(
        self, curve: RegionCurve, held: Newest, now: Now, value: float, total: float, mean: float, n_pixels: int
    ) -> dict[str, Any]:
        region = curve.region
        below = _NAN if region.denominator is None else now.numbers.get(region.denominator, _NAN)
        ratio = value if region.denominator is None else value / below if below else _NAN
        on, delay = (_NAN if path is None else now.numbers.get(path, _NAN) for path in _split_paths(region))
        event = _NAN if held.event_number is None else held.event_number
        curve.series.add(held.time_s, event, ratio, total, mean, n_pixels, below, on, delay)
        point = {"value": ratio, "sum": total, "mean": mean, "n_pixels": n_pixels, "denominator": below}
        return point | {"problem": _problem_of(region, now)}

    def _tell(self, curve: RegionCurve, held: Newest, point: dict[str, Any]) -> None:
        self._serial += 1
        curve.serial = self._serial
        curve.seen = (held.version,)
        curve.point = {"problem": ""} | point | {"event_number": held.event_number, "time_s": held.time_s}
        split = curve.region.split
        if split is not None and len(curve.series):
            rows = curve.series.points
            on, delay = rows[:, 7] if split.on else None, rows[:, 8] if split.delay else None
            found = pump_probe(
                rows[:, 2], on, delay, above=split.above, low=split.low, high=split.high, n_bins=split.n_bins
            )
            curve.point["split"] = asdict(found)


@dataclass(slots=True)
class _ImageRegions:
    """The regions of images of one shape and mask; made once, used for each image."""

    key: Any
    integrator: RoiIntegrator
    excluded: Array | None
    histograms: dict[int, RoiHistogram] = field(default_factory=dict)

    def histogram(self, index: int) -> RoiHistogram:
        if index not in self.histograms:
            roi = self.integrator.rois[index]
            self.histograms[index] = RoiHistogram(self.integrator.shape, roi, mask=self.excluded)
        return self.histograms[index]


def _one_number(array: Array) -> float:
    if array.dtype.kind not in "biufc":
        return _NAN
    return abs(complex(array.item())) if array.dtype.kind == "c" else float(array.item())


def _pixels_of(path: str, array: Array) -> Array:
    if array.ndim != 2 or array.dtype.kind not in "biufc":
        raise UsageError(f"{path} is no image, it has the shape {list(array.shape)}")
    pixels = np.abs(array) if array.dtype.kind == "c" else array
    return checked_frame(pixels, (array.shape[0], array.shape[1]))


def _split_paths(region: FollowedRegion) -> tuple[str | None, str | None]:
    return (None, None) if region.split is None else (region.split.on, region.split.delay)


def _problem_of(region: FollowedRegion, now: Now) -> str:
    needed = [path for path in (region.denominator, *_split_paths(region)) if path and path not in now.numbers]
    return f"there is no number {needed[0]}" if needed else ""


def _event_columns(region: FollowedRegion, held: Newest, now: Now) -> list[Array]:
    n = held.array.size
    value = _per_event(region.image, n, now)
    below = np.ones(n) if region.denominator is None else _per_event(region.denominator, n, now)
    event = np.full(n, _NAN) if region.events is None else _per_event(region.events, n, now)
    on, delay = (np.full(n, _NAN) if path is None else _per_event(path, n, now) for path in _split_paths(region))
    ratio = np.full(n, _NAN)
    np.divide(value, below, out=ratio, where=below != 0)
    return [np.full(n, held.time_s), event, ratio, value, value, np.ones(n), below, on, delay]


def _per_event(path: str, n: int, now: Now) -> Array:
    if path in now.numbers:
        return np.full(n, now.numbers[path])
    held = now.held.get(path)
    if held is None or held.array.dtype.kind not in "biuf" or held.array.shape != (n,):
        shape = "nothing" if held is None else f"{held.array.dtype} {list(held.array.shape)}"
        raise UsageError(f"{path} has to be {n} numbers, one an event; it is {shape}")
    return held.array.astype(np.float64)
