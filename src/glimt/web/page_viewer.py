"""One viewer of the page: what it wants, what it has, and the messages that bring it up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from glimt.pipeline.number_history import NumberSeries
from glimt.web.page_companions import companions
from glimt.web.page_hub import PageHub
from glimt.web.page_message import Buffers, message
from glimt.web.page_plot import CannotPlotError, Held, plot_of
from glimt.web.page_want import PlotWant

SENT_LINES = 200
_LOG_KEYS = ("msg", "name", "levelname", "created")


@dataclass(slots=True)
class _Known:
    """What the page has been sent."""

    plots: dict[str, tuple[PlotWant, int]] = field(default_factory=dict)
    series: dict[str, tuple[NumberSeries, int, int]] = field(default_factory=dict)
    regions: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    state: int = 0
    log: int = 0
    serial: int = -1


class PageViewer:
    """Makes messages for one page, in any thread, one turn at a time.

    Parameters
    ----------
    hub : PageHub
        Where everything comes from.
    wake : callable
        Called by the hub, from its thread, when there is something new.
    """

    def __init__(self, hub: PageHub, wake: Callable[[], None]) -> None:
        self._hub = hub
        self._wake = wake
        self._wants: tuple[PlotWant, ...] = ()
        self._known = _Known()
        self._owes_history = False
        self._known_from = 0

    def wanted(self) -> set[str]:
        """Return the paths of the arrays that are on screen, and of what they need."""
        paths = {want.path for want in self._wants if want.kind != "number"}
        return paths.union(*(companions(self._hub.nodes, path) for path in paths))

    def wake(self) -> None:
        """There is something new; called from any thread."""
        self._wake()

    def begin(self, *, history: bool) -> None:
        """Forget what the page has: it begins anew."""
        self._known = _Known()
        self._owes_history = history

    def want(self, plots: list[PlotWant]) -> None:
        """Take what is on screen now."""
        self._wants = tuple(plots)
        self._known_from = self._hub.n_reads + 2  # the reading that goes on now may have begun before
        ids = {plot.id for plot in plots}
        self._known.plots = {key: value for key, value in self._known.plots.items() if key in ids}
        self._hub.wake()

    @property
    def is_behind(self) -> bool:
        """Whether there may be something that the page does not have."""
        return self._known.serial != self._hub.serial

    def turn(self) -> list[bytes]:
        """Return the messages that bring the page up to date; the last is ``data``."""
        hub, known = self._hub, self._known
        known.serial = hub.serial
        messages = []
        known.state, changed = hub.state.since(known.state)
        if changed:
            told = {"type": "state", "version": hub.version, "event_number": hub.event_number}
            messages.append(message(told | changed))
        known.log, entries = hub.logs.since(known.log)
        lines = [{key: entry[key] for key in _LOG_KEYS} for entry in entries[-SENT_LINES:]]
        if self._owes_history:
            self._owes_history = False
            buffers = Buffers()
            history = {"type": "history", "series": self._series(buffers), "log": lines}
            changes = [] if hub.parameters is None else hub.parameters.changes()
            messages.append(message(history | {"changes": changes}, buffers))
            lines = []
        buffers = Buffers()
        data: dict[str, Any] = {"type": "data", "version": hub.version, "event_number": hub.event_number}
        data |= {"time_s": hub.read_s, "plots": self._plots(buffers), "series": self._series(buffers)}
        data |= self._numbers() | self._points()
        if lines:
            data["log"] = lines
        messages.append(message(data, buffers))
        return messages

    def _numbers(self) -> dict[str, Any]:
        with self._hub.lock:
            numbers = self._hub.numbers
        if numbers == self._known.numbers:
            return {}
        self._known.numbers = numbers
        return {"numbers": numbers}

    def _points(self) -> dict[str, Any]:
        known = self._known.regions
        with self._hub.lock:
            curves = {key: curve for key, curve in self._hub.curves.curves.items() if curve.point}
            new = {key: curve.point for key, curve in curves.items() if known.get(key) != curve.serial}
            self._known.regions = {key: curve.serial for key, curve in curves.items()}
        return {"regions": new} if new else {}

    def _series(self, buffers: Buffers) -> list[dict[str, Any]]:
        found = []
        with self._hub.lock:
            for key, series in self._all_series():
                before, epoch, n_added = self._known.series.get(key, (series, -1, 0))
                is_anew = before is not series or epoch != series.epoch
                self._known.series[key] = series, series.epoch, series.n_added
                points = series.since(0 if is_anew else n_added)
                if len(points) or (is_anew and epoch >= 0):
                    told: dict[str, Any] = {"id": key, "buffer": buffers.add(points)}
                    found.append(told | {"reset": True} if is_anew else told)
        return found

    def _all_series(self) -> Iterator[tuple[str, NumberSeries]]:
        yield from self._hub.histories.series.items()
        for key, curve in self._hub.curves.curves.items():
            yield f"region:{key}", curve.series

    def _plots(self, buffers: Buffers) -> list[dict[str, Any]]:
        with self._hub.lock:
            held, x_of = dict(self._hub.held), dict(self._hub.x_of)
            nodes = self._hub.nodes
        found = []
        for want in self._wants:
            if want.kind == "number":
                continue  # all of them go as numbers
            content = held.get(want.path)
            x = x_of.get(want.path, ("", None))[1]
            version = -1 if content is None else max(content.version, 0 if x is None else x.version)
            is_coming = want.path in nodes and nodes[want.path].kind == "dataset" and nodes[want.path].shape is not None
            if content is None and (is_coming or self._hub.n_reads < self._known_from):
                continue  # not read yet
            if self._known.plots.get(want.id) == (want, version):
                continue
            self._known.plots[want.id] = want, version
            found.append(self._plot(want, content, x, buffers))
        return found

    def _plot(self, want: PlotWant, content: Held | None, x: Held | None, buffers: Buffers) -> dict[str, Any]:
        told: dict[str, Any] = {"id": want.id, "path": want.path, "kind": want.kind}
        if content is None:
            return told | {"problem": f"{want.path} is not published, or has no value"}
        told |= {"version": content.version, "event_number": content.event_number, "time_s": content.time_s}
        told |= {"age_s": round(max(time.time() - content.time_s, 0.0), 3)}
        told |= {"dtype": content.node.dtype, "full_shape": content.node.shape}
        try:
            array = None if x is None else x.array
            return told | plot_of(want, content, buffers, x=array, excluded=self._hub.excluded, pools=self._hub.pools)
        except (CannotPlotError, ValueError, TypeError, MemoryError) as error:
            return told | {"problem": str(error) or type(error).__name__}
