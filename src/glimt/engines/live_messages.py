"""What the processes of a live run say to each other: MessagePack over ZeroMQ, one tagged struct a message.

Only a process that said `Hello` with the token of the run is listened to.
"""

from __future__ import annotations

from typing import Any

import msgspec

from glimt.pipeline.failure import Failure


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """First message on every connection.

    Attributes
    ----------
    token : bytes
        The secret of the run.
    role : str
        ``"ingester"``, ``"reducer"`` or the name of a worker slot.
    process_id : int
        For the operator, who may want to look at the process.
    host : str
        The same.
    tags : list of str
        What a worker slot takes.
    """

    token: bytes
    role: str
    process_id: int
    host: str
    tags: list[str] = []


# Ingester to worker -----------------------------------------------------------------------------------------


class Welcome(msgspec.Struct, tag="welcome", frozen=True):
    """Answer to a worker's `Hello`: the streams' names and types by index, where large frames are."""

    stream_names: list[str]
    stream_types: list[str]
    memory_path: str
    memory_bytes: int


class ReducerAt(msgspec.Struct, tag="reducer_at", frozen=True):
    """Where results go from now on; what was not acknowledged is sent there again."""

    address: str


class ScanStart(msgspec.Struct, tag="scan_start", frozen=True):
    """A scan begins: make the user's class anew, with these parameters."""

    scan: int
    scan_id: str
    version: int
    data: dict[str, bytes]


class Values(msgspec.Struct, tag="values", frozen=True):
    """Parameter values that blocks name by their version; complete, not changes.

    Attributes
    ----------
    scan, version : int
        Their name.
    data : dict of str to bytes
        All values in wire form.
    event_number : int
        The first event they are for.
    """

    scan: int
    version: int
    data: dict[str, bytes]
    event_number: int = 0


class Finish(msgspec.Struct, tag="finish", frozen=True):
    """Every event of the scan is acknowledged: run the user's ``finish``."""

    scan: int


class Quit(msgspec.Struct, tag="quit", frozen=True):
    """The run is over: run the user's ``close``, end the process."""


# Worker to ingester -----------------------------------------------------------------------------------------


class Credit(msgspec.Struct, tag="credit", frozen=True):
    """One more block may be sent.

    Attributes
    ----------
    max_events, max_bytes : int
        Its limits.
    scan : int
        The scan it is for.
    done : int
        The block that was processed and makes room for it, -1 for the first ones.
    """

    max_events: int
    max_bytes: int
    scan: int
    done: int = -1


class Acknowledged(msgspec.Struct, tag="acknowledged", frozen=True):
    """The reducer has the results of a block: its frames may be forgotten.

    Attributes
    ----------
    block : int
        The block; no other in this run has its number.
    failed : list of int
        Serials of its deliveries that failed, in the worker or in the reducer.
    keeps_frames : bool
        The user's object holds frames of it: leave them alone until the worker is gone.
    """

    block: int
    failed: list[int] = []
    keeps_frames: bool = False


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """The user's ``finish`` ran."""

    scan: int


# Ingester to reducer ----------------------------------------------------------------------------------------


class Void(msgspec.Struct, tag="void", frozen=True):
    """These serials will never have a result: do not wait for them."""

    scan: int
    serials: list[int]


class SettledRuns(msgspec.Struct, tag="settled_runs", frozen=True):
    """To a new reducer process: nothing comes for these serials any more. `Missing` is the answer.

    Attributes
    ----------
    scan : int
        The scan.
    runs : list of (int, int)
        First, and behind the last.
    """

    scan: int
    runs: list[tuple[int, int]]


class ScanClosed(msgspec.Struct, tag="scan_closed", frozen=True):
    """The ingester knows that the scan has ended: its journal is not needed any more."""

    scan_id: str


class ScanEnd(msgspec.Struct, tag="scan_end", frozen=True):
    """Every serial of the scan was acknowledged or is void: run ``finish``, write the output file.

    Attributes
    ----------
    scan : int
        The scan.
    n_serials : int
        How many there were.
    account : dict
        The ledger of the scan, for the output file.
    give_up : bool
        Do not go on trying to write the output file.
    changes : list of (int, dict of str to bytes)
        The parameters, see `glimt.pipeline.value_history.ValueHistory`.
    """

    scan: int
    n_serials: int
    account: dict[str, Any]
    give_up: bool = False
    changes: list[tuple[int, dict[str, bytes]]] = []


class ScanEnded(msgspec.Struct, tag="scan_ended", frozen=True):
    """Reducer to ingester: ``finish`` ran and the output is written, or ``problem`` says why not."""

    scan: int
    problem: str = ""


class Missing(msgspec.Struct, tag="missing", frozen=True):
    """Reducer to ingester: what it does not have of the serials of a `SettledRuns`.

    Attributes
    ----------
    scan : int
        The scan.
    runs : list of (int, int)
        First, and behind the last. Those that never had a result are among them.
    why : str
        For the operator.
    """

    scan: int
    runs: list[tuple[int, int]]
    why: str


# Control and ingester ---------------------------------------------------------------------------------------


class BeginScan(msgspec.Struct, tag="begin_scan", frozen=True):
    """Control to ingester: begin a scan with this trigger map (JSON); refused as long as another one runs."""

    scan_id: str
    trigger_map: bytes
    all_wrap: bool


class StopScan(msgspec.Struct, tag="stop_scan", frozen=True):
    """Control to ingester: end the scan with what has come.

    Attributes
    ----------
    last : bool
        After it there is no other.
    insist : bool
        Do not wait for workers that do not come back from user code: end them.
    """

    last: bool = False
    insist: bool = False


class SetValues(msgspec.Struct, tag="set_values", frozen=True):
    """Control to ingester: use these parameter values from the next event on."""

    version: int
    data: dict[str, bytes]


class SlotDown(msgspec.Struct, tag="slot_down", frozen=True):
    """Control to ingester: the process of this slot has died.

    Attributes
    ----------
    slot, process_id, host : str, int, str
        Which one.
    retired : bool
        No other will take its place.
    was_killed : bool
        From outside, as far as is known.
    """

    slot: str
    process_id: int
    retired: bool = False
    host: str = ""
    was_killed: bool = False


class Report(msgspec.Struct, tag="report", frozen=True):
    """Ingester to control: its state, as plain values."""

    state: dict[str, Any]


class Remark(msgspec.Struct, tag="remark", frozen=True):
    """Ingester to control: what the operator should read."""

    text: str


class EndWorker(msgspec.Struct, tag="end_worker", frozen=True):
    """Ingester to control: end this process, whose user code does not come back; `SlotDown` is the answer.

    Attributes
    ----------
    slot, process_id, host : str, int, str
        Which one.
    why : str
        For the operator.
    """

    slot: str
    process_id: int
    host: str
    why: str


class Beat(msgspec.Struct, tag="beat", frozen=True):
    """Worker or reducer to control, from a thread of its own: it lives.

    Attributes
    ----------
    role : str
        Who.
    process_id : int
        Which process of it.
    state : dict
        Counters, as plain values.
    failures : list of Failure
        Calls of user code that raised since the last one (the first few of many).
    n_failures : int
        How many there were.
    remarks : list of str
        What the operator should read.
    """

    role: str
    process_id: int
    state: dict[str, Any]
    failures: list[Failure] = []
    n_failures: int = 0
    remarks: list[str] = []


class Alive(msgspec.Struct, tag="alive", frozen=True):
    """Control to worker or reducer, after each of its beats: it is heard."""


ToWorker = Welcome | ReducerAt | ScanStart | Values | Finish | Quit
FromWorker = Hello | Credit | Acknowledged | Finished
ToReducer = Hello | ScanStart | Values | Void | SettledRuns | ScanEnd | ScanClosed | Quit
FromReducer = Acknowledged | ScanEnded | Missing
ToIngester = BeginScan | StopScan | SetValues | SlotDown | ReducerAt | Quit
ToControl = Hello | Report | Remark | EndWorker | Beat
ToHeart = Alive | Quit

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_to_reducer = msgspec.msgpack.Decoder(ToReducer).decode
decode_from_reducer = msgspec.msgpack.Decoder(FromReducer).decode
decode_to_ingester = msgspec.msgpack.Decoder(ToIngester).decode
decode_to_control = msgspec.msgpack.Decoder(ToControl).decode
decode_to_heart = msgspec.msgpack.Decoder(ToHeart).decode
