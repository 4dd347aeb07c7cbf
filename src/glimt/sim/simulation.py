"""Sends what a simulated device makes: paced, with faults, and with an account of what was really sent."""

from __future__ import annotations

import threading
import time
from random import Random
from types import TracebackType
from typing import Self

from glimt.model.errors import UsageError
from glimt.model.event import frame_bytes
from glimt.sim.device import Device, Message, Series
from glimt.sim.faults import Action, Faults, garbage, truncated
from glimt.sim.pacing import Pacer
from glimt.sim.plan import SimulationPlan
from glimt.sim.report import SeriesReport, SimulationReport
from glimt.sim.transport import LINGER_MS, LINGER_STOPPED_MS, Transport

_SLICE_MS = 100
_END_PATIENCE_S = 1.0


class Simulation:
    """A device at work; a context manager that closes the transport.

    Frames are sent in order of their triggers unless a fault says otherwise. A receiver that does not keep up delays
    the series: frames are not skipped.

    Parameters
    ----------
    device : Device
        Makes the messages.
    transport : Transport
        Takes them to the receiver.
    plan : SimulationPlan
        How much, and when.
    faults : Faults
        What goes wrong.

    Attributes
    ----------
    report : SimulationReport
        What was sent so far; whole once `run` has returned.
    """

    def __init__(
        self,
        device: Device,
        transport: Transport,
        *,
        plan: SimulationPlan | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.report = SimulationReport(protocol=device.protocol, address=transport.address)
        self._device = device
        self._transport = transport
        self._plan = plan or SimulationPlan()
        self._faults = faults or Faults()
        self._began = 0.0
        self._next_message = 0

    def run(self, stop: threading.Event | None = None) -> SimulationReport:
        """Send all series.

        Parameters
        ----------
        stop : Event, optional
            Once set, the series ends after the current frame, with its end message.

        Raises
        ------
        UsageError
            Nobody received for ``timeout_s``.
        """
        stop, plan, number = stop or threading.Event(), self._plan, 0
        pacer = Pacer(
            rate_hz=plan.rate_hz,
            start_at=plan.start_at,
            trigger_delay_s=plan.trigger_delay_s,
            jitter_s=self._faults.jitter_ms * 1e-3,
        )
        try:
            while not stop.is_set() and (not plan.n_series or number < plan.n_series):
                if number and plan.series_gap_s and plan.start_at is None and stop.wait(plan.series_gap_s):
                    break
                if not self._send_series(number, pacer, stop):
                    break
                number += 1
        finally:
            self._update()
        if stop.is_set():
            self.close(linger_ms=LINGER_STOPPED_MS)
        return self.report

    def _send_series(self, number: int, pacer: Pacer, stop: threading.Event) -> bool:
        plan, faults, device = self._plan, self._faults, self._device
        series = Series(plan.first_series + number, self._next_message, plan.n_frames, pacer.period_s)
        account = SeriesReport(series.series_id)
        if not self._send_header(series, account, number, stop):
            return False
        self.report.n_series += 1
        self.report.series.append(account)
        pacer.begin_series(number * (plan.n_frames * pacer.period_s + plan.series_gap_s))
        limit, account.aborted = faults.n_frames_of(number, plan.n_frames)
        if not account.aborted or limit:  # an abort may come before the first frame
            self._send_frames(series, account, number, limit, pacer, stop)
        n_made = -(-account.n_made // device.frames_per_message)
        self._next_message += 1 + n_made
        if not account.aborted:
            self._next_message += 1
            if not faults.hits_series(faults.missing_end, "end", number):
                messages = device.end(series, account.n_made)
                account.end_sent = self._send_all(messages, stop, patience_s=_END_PATIENCE_S)
        return True

    def _send_header(self, series: Series, account: SeriesReport, number: int, stop: threading.Event) -> bool:
        faults = self._faults
        if not faults.hits_series(faults.missing_header, "header", number):
            copies = 2 if faults.hits_series(faults.repeated_header, "repeat", number) else 1
            for _ in range(copies):
                if not self._send_all(self._device.start(series), stop):
                    return account.n_headers > 0
                account.n_headers += 1
        size = self._device.frames_per_message
        per_series = -(-series.n_frames // size)
        stale = min(faults.stale, series.n_frames or faults.stale)
        if stale and series.series_id:
            first_message = max(0, series.first_message - per_series - 2)
            old = Series(series.series_id - 1, first_message, series.n_frames, series.period_s)
            for first in range(max(0, series.n_frames - stale), series.n_frames or stale):
                if not self._send_all(self._device.frames(old, first, 1), stop):
                    break
                account.stale.append(first)
        return True

    def _send_frames(
        self, series: Series, account: SeriesReport, number: int, limit: int, pacer: Pacer, stop: threading.Event
    ) -> None:
        faults, device, size = self._faults, self._device, self._device.frames_per_message
        n_messages = -(-limit // size) if limit else None
        jitter, noise = faults.random(number, "jitter"), faults.random(number, "noise")
        highest, is_free = -1, pacer.is_free and faults.stall_after is None
        for position, action in faults.schedule(number, n_messages, size):
            first = position * size
            count = min(size, limit - first) if limit else size
            if not is_free and not self._wait(account, pacer, stop, jitter):
                return
            if stop.is_set():
                return
            if action is Action.SEND:
                if not self._send_all(device.frames(series, first, count), stop):
                    return
                account.n_sent += count
                self.report.n_frames += count
            elif not self._send_touched(series, account, (first, count, action), noise, stop):
                return
            account.n_made += count
            if first < highest and action in _LEAVES_WHOLE:
                account.reordered += range(first, first + count)
            elif action in _LEAVES_WHOLE:
                highest = first

    def _wait(self, account: SeriesReport, pacer: Pacer, stop: threading.Event, jitter: Random) -> bool:
        for _ in range(self._device.frames_per_message):  # what holds several frames leaves with the last of them
            if not pacer.wait(stop, jitter):
                return False
        after = self._faults.stall_after
        if after is not None and account.stalled_after is None and account.n_made >= after:
            account.stalled_after = account.n_made
            return not stop.wait(self._faults.stall_s)
        return True

    def _send_touched(
        self,
        series: Series,
        account: SeriesReport,
        planned: tuple[int, int, Action],
        noise: Random,
        stop: threading.Event,
    ) -> bool:
        first, count, action = planned
        messages = self._device.frames(series, first, count)
        match action:
            case Action.DROP:
                messages, touched = [], account.dropped
            case Action.TRUNCATE:
                messages, touched = [[truncated(frame_bytes(messages[0][0]))]], account.truncated
            case Action.GARBAGE:
                messages, touched = [[garbage(noise, frame_bytes(messages[0][0]))]], account.garbage
            case _:
                touched = account.duplicated
        if not self._send_all(messages, stop):
            return False
        if action is Action.DUPLICATE:
            account.n_sent += count
            self.report.n_frames += count
            if not self._send_all(messages, stop):
                return True
            account.n_sent += count
            self.report.n_frames += count
        touched += range(first, first + count)
        return True

    def _send_all(self, messages: list[Message], stop: threading.Event, *, patience_s: float = 0.0) -> bool:
        """Send messages when the receiver takes them; False if it did not before ``stop`` and the patience after it."""
        send, report = self._transport.send, self.report
        for message in messages:
            if not send(message) and not self._send_later(message, stop, patience_s):
                return False
            if not report.n_messages:
                self._began, report.began_ns = time.monotonic(), time.time_ns()
            report.n_messages += 1
            for part in message:
                report.n_bytes += len(part)
        return True

    def _send_later(self, message: Message, stop: threading.Event, patience_s: float) -> bool:
        waited_since = time.monotonic()
        timeout_s = self._plan.timeout_s
        while True:
            if stop.is_set():
                if patience_s <= 0:
                    return False
                patience_s -= _SLICE_MS * 1e-3
            if timeout_s is not None and time.monotonic() - waited_since >= timeout_s:
                raise UsageError(f"nobody received on {self._transport.address} for {timeout_s:g} s")
            self._transport.wait(_SLICE_MS)
            if self._transport.send(message):
                return True

    def _update(self) -> None:
        self.report.elapsed_s = time.monotonic() - self._began if self._began else 0.0
        self.report.n_refused = self._transport.n_refused
        self.report.n_disconnects = self._transport.n_disconnects

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Wait for the receiver to take what is queued, ``linger_ms`` at most, and close; safe to call twice."""
        self._transport.close(linger_ms=linger_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(linger_ms=LINGER_MS if error is None else 0)


_LEAVES_WHOLE = frozenset({Action.SEND, Action.DUPLICATE})


def simulate(
    device: Device,
    transport: Transport,
    *,
    faults: Faults | None = None,
    plan: SimulationPlan | None = None,
    stop: threading.Event | None = None,
) -> SimulationReport:
    """Send all series of ``device`` through ``transport``, close it, and return what was sent.

    Raises
    ------
    UsageError
        Nobody received for the plan's ``timeout_s``.
    """
    with Simulation(device, transport, plan=plan, faults=faults) as simulation:
        return simulation.run(stop)
