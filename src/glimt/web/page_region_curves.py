"""The curves of all regions: a point for every version of what they lie on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.web.page_history import Series
from glimt.web.page_message import number_json
from glimt.web.page_plot import Held
from glimt.web.page_region import PageRegion
from glimt.web.page_region_pixels import RegionPixels, RegionSums
from glimt.web.page_split import split_of

Array = npt.NDArray[Any]

COLUMNS = ("time_s", "event_number", "value", "sum", "mean", "n_pixels", "denominator", "on", "delay")
_NAN = float("nan")


@dataclass(slots=True)
class RegionCurve:
    """One region and its points; columns of the series are `COLUMNS`."""

    region: PageRegion
    series: Series = field(default_factory=lambda: Series(len(COLUMNS)))
    point: dict[str, Any] = field(default_factory=dict)
    seen: tuple[int, ...] = ()
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Now:
    """What a reading has for the regions: newest arrays, numbers, how to exclude pixels of an image, and when."""

    held: Mapping[str, Held]
    numbers: Mapping[str, float]
    excluded: Callable[[Held], Array | None]
    time_s: float
    event_number: int | None


class RegionCurves:
    """Follows the regions; not for several threads at once."""

    def __init__(self) -> None:
        self.curves: dict[str, RegionCurve] = {}
        self._pixels: dict[str, tuple[Any, RegionPixels]] = {}
        self._serial = 0

    def use(self, regions: Iterable[PageRegion]) -> None:
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

    def _measure_image(self, held: Held, curves: list[RegionCurve], now: Now, *, histograms: bool) -> None:
        try:
            pixels = self._pixels_of(held, curves, now)
            sums = pixels.sums(held.array)
        except UsageError as error:
            for curve in curves:
                self._tell(curve, held, {"problem": str(error)})
            return
        for index, (curve, found) in enumerate(zip(curves, sums, strict=True)):
            if curve.seen == (held.version,):
                continue
            point = self._point(curve, found, held, now)
            if histograms:
                point["histogram"] = pixels.histogram(index, held.array)
            elif "histogram" in curve.point:
                point["histogram"] = curve.point["histogram"]
            self._tell(curve, held, point)

    def _pixels_of(self, held: Held, curves: list[RegionCurve], now: Now) -> RegionPixels:
        if held.array.ndim != 2 or held.array.dtype.kind not in "biufc":
            raise UsageError(f"{held.node.path} is no image, it has the shape {list(held.node.shape or ())}")
        excluded = now.excluded(held)
        regions = [curve.region.region() for curve in curves]
        key = held.array.shape, regions, None if excluded is None else hash(excluded.tobytes())
        known = self._pixels.get(held.node.path)
        if known is None or known[0] != key:
            shape = (held.array.shape[0], held.array.shape[1])
            self._pixels[held.node.path] = known = key, RegionPixels(shape, regions, excluded)
        return known[1]

    def _point(self, curve: RegionCurve, found: RegionSums, held: Held, now: Now) -> dict[str, Any]:
        region = curve.region
        denominator = None if region.denominator is None else now.numbers.get(region.denominator, _NAN)
        value = divided(found.total if region.quantity == "sum" else found.mean, denominator)
        on, delay = (_number(path, now) for path in _split_paths(region))
        event = _NAN if held.event_number is None else held.event_number
        below = _NAN if denominator is None else denominator
        curve.series.add(held.time_s, event, value, found.total, found.mean, found.n_pixels, below, on, delay)
        point = {
            "value": number_json(value),
            "sum": found.total,
            "mean": number_json(found.mean),
            "n_pixels": found.n_pixels,
            "denominator": number_json(denominator),
        }
        return point | _problem_of(region, now)

    # Numbers ----------------------------------------------------------------------------------------------------

    def _follow(self, curve: RegionCurve, now: Now) -> bool:
        held = now.held.get(curve.region.image)
        if held is None:
            return False
        others = (curve.region.denominator, curve.region.events, *_split_paths(curve.region))
        seen = tuple(now.held[path].version if path and path in now.held else 0 for path in (held.node.path, *others))
        if seen == curve.seen:
            return False
        if held.array.shape == ():
            # One value at a time: what it is divided by may change at another moment, and alone makes no new point.
            if curve.seen[:1] == seen[:1]:
                return False
            self._add_value(curve, held, now)
        else:
            self._take_curve(curve, held, now)
        curve.seen = seen
        return True

    def _add_value(self, curve: RegionCurve, held: Held, now: Now) -> None:
        value = now.numbers.get(held.node.path, _NAN)
        region = curve.region
        denominator = None if region.denominator is None else now.numbers.get(region.denominator, _NAN)
        ratio = divided(value, denominator)
        on, delay = (_number(path, now) for path in _split_paths(region))
        event = _NAN if held.event_number is None else held.event_number
        below = _NAN if denominator is None else denominator
        curve.series.add(held.time_s, event, ratio, value, value, 1, below, on, delay)
        point = {"value": number_json(ratio), "sum": number_json(value), "mean": number_json(value), "n_pixels": 1}
        self._tell(curve, held, point | {"denominator": number_json(denominator)} | _problem_of(region, now))

    def _take_curve(self, curve: RegionCurve, held: Held, now: Now) -> None:
        """Take one value an event, all of them anew: the curve may have been cut at its beginning."""
        region = curve.region
        try:
            columns = _event_columns(region, held, now)
        except UsageError as error:
            self._tell(curve, held, {"problem": str(error)})
            return
        curve.series.reset(np.stack(columns, axis=1))
        newest = columns[2][-1] if held.array.size else _NAN
        point = {"value": number_json(float(newest)), "n_pixels": int(held.array.size), "sum": None, "mean": None}
        self._tell(curve, held, point | {"denominator": None, "problem": ""})

    # Both -------------------------------------------------------------------------------------------------------

    def _tell(self, curve: RegionCurve, held: Held, point: dict[str, Any]) -> None:
        self._serial += 1
        curve.serial = self._serial
        curve.seen = (held.version,)
        curve.point = {"problem": ""} | point | {"event_number": held.event_number, "time_s": held.time_s}
        split = curve.region.split
        if split is not None and len(curve.series):
            rows = curve.series.points
            on = rows[:, 7] if split.on else None
            curve.point["split"] = split_of(split, rows[:, 2], on, rows[:, 8] if split.delay else None)


def divided(value: float, denominator: float | None) -> float:
    """Return the quotient; NaN where the denominator is zero or no number."""
    if denominator is None:
        return value
    return value / denominator if denominator else _NAN


def _split_paths(region: PageRegion) -> tuple[str | None, str | None]:
    return (None, None) if region.split is None else (region.split.on, region.split.delay)


def _number(path: str | None, now: Now) -> float:
    return _NAN if path is None else now.numbers.get(path, _NAN)


def _problem_of(region: PageRegion, now: Now) -> dict[str, str]:
    needed = [path for path in (region.denominator, *_split_paths(region)) if path and path not in now.numbers]
    return {"problem": f"there is no number {needed[0]}" if needed else ""}


def _event_columns(region: PageRegion, held: Held, now: Now) -> list[Array]:
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
        shape = "nothing" if held is None else f"{held.node.dtype} {list(held.array.shape)}"
        raise UsageError(f"{path} has to be {n} numbers, one an event; it is {shape}")
    return held.array.astype(np.float64)
