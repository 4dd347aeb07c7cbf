"""What a simulation really sent, and which frames it touched: what a receiver's ledger is compared with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

MAX_SERIES_REPORTS = 10_000
"""Of an endless simulation the latest series are listed; the totals are those of all."""


@dataclass(slots=True)
class SeriesReport:
    """One series. Frames are counted from 0 in each; lists of frames are in the order of sending.

    Parameters
    ----------
    series_id : int
        As on the wire, where the protocol numbers its series.
    n_made : int
        Frames that the device took: those sent, and those a fault kept back.
    n_sent : int
        Frames of this series that went out undamaged; one that was duplicated counts twice.
    n_headers : int
        How often its start was sent: 0, 1 or 2.
    end_sent, aborted : bool
        Whether its end was sent; whether it broke off before all frames.
    dropped, truncated, garbage : list of int
        Frames that did not arrive whole.
    duplicated : list of int
        Frames sent twice.
    reordered : list of int
        Frames sent after one with a higher number.
    stale : list of int
        Frames of the series before that were sent after the header of this one.
    stalled_after : int or None
        Frames after which the device stalled.
    """

    series_id: int
    n_made: int = 0
    n_sent: int = 0
    n_headers: int = 0
    end_sent: bool = False
    aborted: bool = False
    dropped: list[int] = field(default_factory=list)
    duplicated: list[int] = field(default_factory=list)
    reordered: list[int] = field(default_factory=list)
    truncated: list[int] = field(default_factory=list)
    garbage: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    stalled_after: int | None = None

    @property
    def missing(self) -> list[int]:
        """Frames below `n_made` that no receiver can have, in order."""
        return sorted({*self.dropped, *self.truncated, *self.garbage})


@dataclass(slots=True)
class SimulationReport:
    """What was sent: series begun, frames, messages, bytes of messages, and the time from the first to the last.

    Parameters
    ----------
    protocol, address : str
        Of the device, and where it sent.
    n_series, n_frames, n_messages, n_bytes : int
        Totals. Frames are those of `SeriesReport.n_sent`; messages and bytes are all that left, damaged ones too.
    n_refused : int
        Messages that an HTTP receiver answered with an error.
    n_disconnects : int
        How often a TCP client left; the message it was being sent is lost with it.
    began_ns : int
        When the first message left, UTC [ns].
    elapsed_s : float
        From the first message to the last.
    series : sequence of SeriesReport
        The last `MAX_SERIES_REPORTS`.
    """

    protocol: str = ""
    address: str = ""
    n_series: int = 0
    n_frames: int = 0
    n_messages: int = 0
    n_bytes: int = 0
    n_refused: int = 0
    n_disconnects: int = 0
    began_ns: int = 0
    elapsed_s: float = 0.0
    series: deque[SeriesReport] = field(default_factory=lambda: deque(maxlen=MAX_SERIES_REPORTS))

    def to_json(self) -> bytes:
        """Return the report as JSON text, indented."""
        named = {name: getattr(self, name) for name in self.__slots__} | {"series": [*self.series]}
        return msgspec.json.format(msgspec.json.encode(named), indent=2) + b"\n"
