"""Live runs in a test: user classes and a beamline file in a folder, simulated senders, and what must come out."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from glimt.app.beamline_file import load_beamline
from glimt.app.live.live_run import LiveRun
from glimt.engines.placement import LocalPlacement, Placement
from glimt.sim.device import Series
from glimt.sim.devices import SizedDevice
from glimt.sim.faults import Faults
from glimt.sim.plan import SimulationPlan
from glimt.sim.report import SeriesReport, SimulationReport
from glimt.sim.simulation import Simulation
from glimt.sim.zmq_transport import ZmqTransport

LIMIT_S = 60.0
"""Far more than anything here takes: what is not there by then has failed."""

# The result depends on every byte of every event and on the order in which results are reduced.
ANALYSIS = """
import os, threading, time, zlib
import numpy as np

def check_of(event):
    check = 0
    for name in sorted(event.streams):
        for frame in event.streams[name].frames:
            check = zlib.crc32(memoryview(frame), check)
    return check

class Worker:
    def __init__(self, parameters=None, context=None, state=None):
        self.name = state.name

    def process_event(self, event, parameters=None):
        return check_of(event)

class Reducer:
    def __init__(self, parameters=None, context=None):
        self.publish = {}
        self.numbers, self.checks, self.chain = [], [], 0

    def process_result(self, result, parameters=None):
        self.numbers.append(result.event_number)
        self.checks.append(result.payload)
        self.chain = (self.chain * 1000003 + 31 * result.event_number + result.payload) % (1 << 61)

    def finish(self):
        self.publish["numbers"] = np.array(self.numbers, dtype=np.int64)
        self.publish["checks"] = np.array(self.checks, dtype=np.int64)
        self.publish["chain"] = np.int64(self.chain)
"""

_modules = itertools.count()


class Sender:
    """A simulated device in a thread of this process.

    Parameters
    ----------
    device : SizedDevice
        Makes the messages.
    plan : SimulationPlan
        How much, and when.
    faults : Faults, optional
        What goes wrong.
    address : str
        A free port if it is not given.
    """

    def __init__(
        self,
        device: SizedDevice,
        plan: SimulationPlan,
        faults: Faults | None = None,
        *,
        address: str = "tcp://127.0.0.1:*",
    ) -> None:
        self.device, self.plan = device, plan
        self._transport = ZmqTransport(address, message_bytes=device.message_bytes)
        self.address = self._transport.address
        self._simulation = Simulation(device, self._transport, plan=plan, faults=faults)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def _run(self) -> None:
        try:
            self._simulation.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again in `join`
            self._error = error

    @property
    def n_frames(self) -> int:
        """Frames sent so far."""
        return self._simulation.report.n_frames

    def start(self) -> Sender:
        """Begin to send."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the series after the current frame."""
        self._stop.set()

    def join(self) -> SimulationReport:
        """Wait until all is sent; return what that was."""
        self._thread.join(timeout=LIMIT_S)
        assert not self._thread.is_alive(), "the sender does not come to an end"
        if self._error is not None:
            raise self._error
        return self._simulation.report

    def close(self) -> None:
        """Stop and close, whatever was sent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=LIMIT_S)
        self._simulation.close(linger_ms=0)


@dataclass
class Sent:
    """What a receiver should have got of one series: the parts of each message by event number."""

    series: SeriesReport
    start: list[bytes] = field(default_factory=list)
    data: dict[int, list[bytes]] = field(default_factory=dict)
    end: list[bytes] | None = None


def sent_by(sender: Sender) -> list[Sent]:
    """Return what arrived whole of each series, made anew from the device."""
    first_message, found = 0, []
    report = sender.join()
    plan, device = sender.plan, sender.device
    period_s = 1 / plan.rate_hz if plan.rate_hz else 0.0
    for number, account in enumerate(report.series):
        series = Series(plan.first_series + number, first_message, plan.n_frames, period_s)
        sent = Sent(account)
        if account.n_headers:
            sent.start = _parts(device.start(series)[-1])
        missing = set(account.missing)
        for frame in range(account.n_made):
            if frame not in missing:
                sent.data[frame + 1] = _parts(device.frames(series, frame, 1)[0])
        if account.end_sent:
            sent.end = _parts(device.end(series, account.n_made)[0])
        first_message += 1 + account.n_made + (not account.aborted)
        found.append(sent)
    return found


def _parts(message: Sequence[Any]) -> list[bytes]:
    return [bytes(part) for part in message]


def check_of(parts: Iterable[bytes]) -> int:
    """Return what the analysis makes of an event."""
    check = 0
    for part in parts:
        check = zlib.crc32(part, check)
    return check


def whole_events(*streams: Sent, n_workers: int) -> list[tuple[int, int]]:
    """Return (event number, check) of every complete event of a series, in the order in which they are reduced.

    Streams are in the order of their names. Start and end go to every worker.
    """
    events = [(0, check_of(part for sent in streams for part in sent.start))] * n_workers
    complete = set(streams[0].data).intersection(*(sent.data for sent in streams[1:]))
    events += [(n, check_of(part for sent in streams for part in sent.data[n])) for n in sorted(complete)]
    if all(sent.end is not None for sent in streams):
        last = max(max(sent.data, default=0) for sent in streams) + 1
        events += [(last, check_of(part for sent in streams for part in sent.end or []))] * n_workers
    return events


@dataclass
class Output:
    """What a scan left: results in the order in which they were reduced, and the file's account."""

    events: list[tuple[int, int]]
    chain: int
    ledger: dict[str, dict[str, Any]]
    published: dict[str, Any]


def chain_of(events: Iterable[tuple[int, int]]) -> int:
    """Return what the reducer's chained sum must be."""
    chain = 0
    for number, check in events:
        chain = (chain * 1000003 + 31 * number + check) % (1 << 61)
    return chain


class LiveRig:
    """A folder with everything that a live run needs.

    Parameters
    ----------
    folder : Path
        Empty.
    senders : mapping of str to str
        Address by stream.
    analysis : str
        Python source behind `ANALYSIS`: classes that differ from it.
    worker, reducer : str
        Names of the classes.
    stream, sections : str
        Further lines for each stream, and further sections of the beamline file.
    engine, output : str
        Lines of these sections.
    """

    def __init__(
        self,
        folder: Path,
        senders: Mapping[str, str],
        *,
        analysis: str = "",
        worker: str = "Worker",
        reducer: str = "Reducer",
        stream: str = "",
        sections: str = "",
        engine: str = 'use = "local:2"',
        output: str = "",
        protocol: str = "stins",
    ) -> None:
        self.folder = folder
        self.module = f"live_analysis_{os.getpid()}_{next(_modules)}"
        (folder / f"{self.module}.py").write_text(ANALYSIS + analysis)
        lines = ["[pipeline]", f'worker = "{self.module}:{worker}"', f'reducer = "{self.module}:{reducer}"']
        for name, address in senders.items():
            lines += [f"[streams.{name}]", 'transport = "zmq-pull"', f'address = "{address}"', stream]
            lines.append(f'protocol = "{protocol}"')
        lines += ["[engine]", engine, "max_restarts = 1000", sections]
        lines += ["[output]", 'file = "out_{scan}.h5"' if "file =" not in output else "", output]
        self.file = folder / "beamline.toml"
        self.file.write_text("\n".join(lines) + "\n")

    @contextmanager
    def run(self, place: Callable[[], Placement] = LocalPlacement) -> Iterator[LiveRun]:
        """Start the processes; at the end none of them is left, and this process is as it was."""
        root, environment = logging.getLogger(), os.environ.get("LOG_LEVEL")
        handlers, level, path, finders = root.handlers[:], root.level, sys.path[:], sys.meta_path[:]
        pids: set[int] = set()
        try:
            with LiveRun(load_beamline(self.file), place()) as run:
                try:
                    yield run
                finally:
                    pids |= {role.process_id for role in run.roles.values()}
        finally:
            root.handlers[:], sys.path[:], sys.meta_path[:] = handlers, path, finders
            root.setLevel(level)
            sys.modules.pop(self.module, None)
            if environment is None:
                os.environ.pop("LOG_LEVEL", None)
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "processes are left behind"

    def output(self, scan_id: str, folder: Path | None = None) -> Output:
        """Return what the output file of a scan says."""
        with h5py.File((folder or self.folder) / f"out_{scan_id}.h5") as file:
            published = {name: _value(item) for name, item in file.items() if name != "glimt"}
            ledger = _value(file["glimt/ledger"])
        numbers, checks = published.pop("numbers", []), published.pop("checks", [])
        events = list(zip(map(int, numbers), map(int, checks), strict=True))
        return Output(events, int(published.pop("chain", 0)), ledger, published)


def _value(item: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(item, h5py.Group):
        return {name: _value(child) for name, child in item.items()}
    return item[()]


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait until something is so; fail if it is not in time."""
    deadline = time.monotonic() + limit_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_s:g} s: {what}"
        pause.wait(0.005)


def wait_for(run: LiveRun, condition: Callable[[dict[str, Any]], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait for a report of the ingester."""
    assert run.wait_for_report(condition, limit_s), f"not in {limit_s:g} s: {what}; {run.remarks}; {run.report}"


def wait_for_scans(run: LiveRun, n_scans: int, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Wait until so many scans have begun and ended; return the report that says so."""
    wait_for(run, lambda r: r.get("n_scans", 0) >= n_scans and not r["is_running"], f"end of scan {n_scans}", limit_s)
    return run.report


def kill(run: LiveRun, role: str) -> int:
    """Kill the process of a role with SIGKILL once it lives and was heard; return what its id was."""
    wait_until(lambda: _is_up(run, role), f"{role} lives")
    state = run.roles[role]
    placed, pid = state.placed, state.process_id
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state.placed is not placed, f"the death of {role} is noticed")
    return pid


def _is_up(run: LiveRun, role: str) -> bool:
    state = run.roles[role]
    placed: Any = state.placed
    return placed is not None and not state.is_new and placed.process_id == state.process_id


def wait_until_up(run: LiveRun) -> None:
    """Wait until every role lives and was heard."""
    wait_until(lambda: all(_is_up(run, role) for role in run.roles), "all processes live")


def check_ledger(report: Mapping[str, Any], *, pending: int = 0) -> dict[str, dict[str, Any]]:
    """Check the identity of every stream's account; return the accounts by stream."""
    accounts = {stream["name"]: stream["ledger"] for stream in report["streams"]}
    for name, account in accounts.items():
        dropped = sum(account["dropped"].values())
        total = account["reduced"] + account["failed"] + dropped + account["pending"]
        assert account["received"] == total, (name, account)
        assert account["pending"] == pending, (name, account)
        assert min(account["reduced"], account["failed"], account["pending"], 0, *account["dropped"].values()) == 0
    return accounts


def check_result(output: Output, expected: list[tuple[int, int]]) -> None:
    """Check that exactly these events were reduced, in this order."""
    if output.events != expected:
        pairs = zip(output.events, expected, strict=False)
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(output.events), len(expected)))
        around = slice(max(0, place - 2), place + 3)
        raise AssertionError(
            f"{len(output.events)} results for {len(expected)}, different from place {place} on: "
            f"{output.events[around]} for {expected[around]}"
        )
    assert output.chain == chain_of(expected)


ENDLESS = SimulationPlan(n_frames=0, rate_hz=3000)
"""Until the sender is stopped."""


@contextmanager
def sending(
    device: SizedDevice,
    plan: SimulationPlan,
    faults: Faults | None = None,
    *,
    address: str = "tcp://127.0.0.1:*",
) -> Iterator[Sender]:
    """Open a sender, which begins with `Sender.start`; close it at the end."""
    sender = Sender(device, plan, faults, address=address)
    try:
        yield sender
    finally:
        sender.close()
