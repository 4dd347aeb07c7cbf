"""What a live run says about itself: the one dict that status, doctor, metrics and pages are made of.

Every key may be left out where it is not known; readers then say nothing about it. Ages and rates are as of the moment
the dict was made, counts are of the present scan unless their text says otherwise.
"""

from __future__ import annotations

from typing import Literal, TypedDict

MAX_SAMPLES = 4
"""Bad messages kept as a sample for each stream."""

MAX_SAMPLE_PARTS = 16
MAX_SAMPLE_PART_BYTES = 32 << 10
"""Each part of a sample is cut at this length before it is encoded [bytes]."""

RunState = Literal["starting", "waiting", "running", "finishing", "stopping", "stopped", "failed"]
ConnectionState = Literal["listening", "connecting", "connected", "lost", "ended", "failed"]
SeriesState = Literal["none", "open", "ended"]
ProcessState = Literal["starting", "ready", "busy", "restarting", "stopped", "failed"]
QueuePolicy = Literal["block", "drop-oldest", "spill"]


class Ledger(TypedDict, total=False):
    """Where the packets of one stream went: ``received = reduced + failed + sum(dropped) + pending``, always.

    Attributes
    ----------
    received, reduced, failed, pending : int
        Packets.
    dropped : dict of str to int
        Reason to packets.
    n_missing : int
        Numbers that were never received; not part of the sum.
    """

    received: int
    reduced: int
    failed: int
    dropped: dict[str, int]
    pending: int
    n_missing: int


class GapPattern(TypedDict, total=False):
    """Which numbers of a stream are missing.

    Attributes
    ----------
    first, last : int
        First and last missing frame number.
    n_missing : int
        How many, between them.
    step : int or None
        Difference of successive *received* frame numbers from the first gap on, where it was always the same (2: every
        second frame came); ``None`` where it varied.
    """

    first: int
    last: int
    n_missing: int
    step: int | None


class BadMessage(TypedDict, total=False):
    """A message that was not understood.

    Attributes
    ----------
    parts : list of str
        At most `MAX_SAMPLE_PARTS`, each cut at `MAX_SAMPLE_PART_BYTES`, in base64.
    lengths : list of int
        Of the same parts, before they were cut [bytes].
    """

    parts: list[str]
    lengths: list[int]


class QueueHealth(TypedDict, total=False):
    """A queue bounded in bytes.

    Attributes
    ----------
    used_bytes, limit_bytes : int
        What it holds and may hold.
    policy : str
        What happens when it is full: ``"block"``, ``"drop-oldest"`` or ``"spill"``.
    full_s : float
        For how long it has been full without a break [s]; 0 if it is not.
    """

    used_bytes: int
    limit_bytes: int
    policy: QueuePolicy
    full_s: float


class StreamHealth(TypedDict, total=False):
    """One stream.

    Attributes
    ----------
    protocol : str
        Name in the codec registry, such as ``"stins"``.
    transport : str
        As the beamline file says, such as ``"zmq-pull"``.
    address : str
        With the port that was taken.
    connection : str
        ``"listening"`` (waits for senders, none has come), ``"connecting"`` (never reached the other end),
        ``"connected"``, ``"lost"`` (was connected, tries again), ``"ended"`` (a source with an end), ``"failed"``
        (given up; see ``reason``).
    reason : str
        Why the connection is lost or failed.
    silent_s : float
        For how long nothing has come; since the start if nothing ever came [s].
    connected_s : float
        For how long the sender has been there, without a break that was seen [s]; left out where it is not there, or
        where that is not known.
    n_messages, n_bytes : int
        Received since the run began.
    message_rate : float
        Messages a second, recently.
    n_bad : int
        Messages that break the protocol, since the run began; part of ``n_messages``.
    first_bad, last_bad : str
        What is wrong with the first and the newest of them.
    sample_of_bad : list of BadMessage
        The first bad messages, at most `MAX_SAMPLES`; `glimt.app.bad_sample.sample_message` makes one.
    series : str
        ``"none"`` (no start packet yet), ``"open"``, ``"ended"``.
    n_series : int
        Start packets since the run began.
    gaps : GapPattern or None
        Missing numbers of the present series.
    header_shape, frame_shape : list of int or None
        What the header announced, and what the newest frame has (slow, fast) [px].
    header_type, frame_type : str or None
        NumPy names of the pixel types, such as ``"uint16"``.
    last_event : int
        Highest event number that came.
    n_awaited : int
        Events that other streams have sent and this one has not.
    queue : QueueHealth
        What waits in the ingester.
    ledger : Ledger
        The account.
    """

    protocol: str
    transport: str
    address: str
    connection: ConnectionState
    reason: str
    silent_s: float
    connected_s: float
    n_messages: int
    n_bytes: int
    message_rate: float
    n_bad: int
    first_bad: str
    last_bad: str
    sample_of_bad: list[BadMessage]
    series: SeriesState
    n_series: int
    gaps: GapPattern | None
    header_shape: list[int] | None
    frame_shape: list[int] | None
    header_type: str | None
    frame_type: str | None
    last_event: int
    n_awaited: int
    queue: QueueHealth
    ledger: Ledger


class WorkerHealth(TypedDict, total=False):
    """One worker slot.

    Attributes
    ----------
    state : str
        ``"starting"``, ``"ready"``, ``"busy"``, ``"restarting"``, ``"stopped"``, ``"failed"`` (not started again).
    tags : list of str
        What it takes.
    n_restarts : int
        Since the run began.
    last_exit : str
        How its last process ended, such as ``"killed by SIGKILL"``.
    n_events, n_failures : int
        Events given to user code, and those in which it raised.
    last_failure : str
        The newest error, one line.
    event_rate : float
        Events a second, recently.
    busy : float
        Part of the time spent in user code, recently, 0 to 1.
    """

    state: ProcessState
    tags: list[str]
    n_restarts: int
    last_exit: str
    n_events: int
    n_failures: int
    last_failure: str
    event_rate: float
    busy: float


class ReducerHealth(TypedDict, total=False):
    """The reducer; keys as in `WorkerHealth`.

    Attributes
    ----------
    n_results : int
        Results given to user code.
    n_all_results : int
        The same of all scans since the process began, as `WorkerHealth.n_events` counts.
    result_rate : float
        Results a second, recently.
    backlog : QueueHealth
        Results that wait for it.
    n_waiting : int
        How many.
    """

    state: ProcessState
    n_restarts: int
    last_exit: str
    n_results: int
    n_all_results: int
    n_failures: int
    last_failure: str
    result_rate: float
    busy: float
    backlog: QueueHealth
    n_waiting: int


class ScanHealth(TypedDict, total=False):
    """The present scan, or the last one.

    Attributes
    ----------
    scan_id : str or None
        UUID; ``None`` before the first.
    scan_number : int
        How many scans began in this run.
    last_assigned, completed_events : int
        As ``/api/v1/progress``.
    total_events : int or None
        ``None`` where the end is open.
    finished : bool
        Whether all is done.
    n_failures : int
        Events in which user code raised.
    event_rate : float
        Completed events a second, recently.
    elapsed_s : float
        Since the first event [s].
    """

    scan_id: str | None
    scan_number: int
    last_assigned: int
    completed_events: int
    total_events: int | None
    finished: bool
    n_failures: int
    event_rate: float
    elapsed_s: float


class DiskHealth(TypedDict, total=False):
    """A folder that the run writes to.

    Attributes
    ----------
    what : str
        What is written, such as ``"results"``, ``"spill"``, ``"journal"``.
    free_bytes, total_bytes : int
        Of its file system.
    write_rate : float
        Bytes a second, recently.
    error : str or None
        Why the last write failed.
    """

    what: str
    free_bytes: int
    total_bytes: int
    write_rate: float
    error: str | None


class Health(TypedDict, total=False):
    """A whole run.

    Attributes
    ----------
    name : str
        Of the beamline file.
    version : str
        Of glimt.
    state : str
        ``"starting"``, ``"waiting"`` (for a map or a start packet), ``"running"``, ``"finishing"``, ``"stopping"``,
        ``"stopped"``, ``"failed"``.
    reason : str
        Why it failed or stops.
    mode : str
        ``"automatic"`` or ``"map"``.
    uptime_s : float
        Since the run began [s].
    scan : ScanHealth
        The present scan.
    streams : dict of str to StreamHealth
        By stream name.
    workers : dict of str to WorkerHealth
        By slot name, such as ``"worker-0"``.
    reducer : ReducerHealth
        The reducer.
    ingester : QueueHealth
        All events that are held in memory, of all streams.
    disks : dict of str to DiskHealth
        By path of the folder.
    latency_s : dict of str to float
        Quantile (``"0.5"``, ``"0.99"``) to time from receiving to reduced [s].
    """

    name: str
    version: str
    state: RunState
    reason: str
    mode: Literal["automatic", "map"]
    uptime_s: float
    scan: ScanHealth
    streams: dict[str, StreamHealth]
    workers: dict[str, WorkerHealth]
    reducer: ReducerHealth
    ingester: QueueHealth
    disks: dict[str, DiskHealth]
    latency_s: dict[str, float]


def ledger_of(health: Health) -> dict[str, Ledger]:
    """Return the account of each stream."""
    return {name: stream.get("ledger", {}) for name, stream in health.get("streams", {}).items()}


def received_of(ledger: Ledger) -> int:
    """Return what the outcomes add up to; the account is right where this is ``received``."""
    outcomes = ledger.get("reduced", 0) + ledger.get("failed", 0) + ledger.get("pending", 0)
    return outcomes + sum(ledger.get("dropped", {}).values())


SOURCE_KEYS = frozenset(StreamHealth.__annotations__) - {
    *("sample_of_bad", "gaps", "header_shape", "frame_shape", "header_type", "frame_type"),
    *("last_event", "n_awaited", "ledger"),
}
"""What of a stream is about where it comes from."""


def sources_of(health: Health) -> dict[str, dict[str, object]]:
    """Return what is known of each stream's connection."""
    streams = health.get("streams", {})
    return {
        name: {key: value for key, value in stream.items() if key in SOURCE_KEYS} for name, stream in streams.items()
    }
