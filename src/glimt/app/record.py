"""Records a live stream into a capture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from glimt.app.series import SeriesAccount, SeriesNumbering
from glimt.codecs.protocol import PacketKind, WireProtocol
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import StreamData
from glimt.sources.source_options import DEFAULT_QUEUE_MESSAGES
from glimt.sources.zmq_socket import SocketKind, ZmqSource
from glimt.stores.capture import CaptureWriter, WriteMode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SLICE_S = 0.2
_SHOW_S = 0.1


class RecordingEnd(Enum):
    """Why a recording ended."""

    SERIES = "the series ended"
    FRAMES = "the frames asked for are there"
    TIMEOUT = "nothing came any more"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What to record, and until when.

    Attributes
    ----------
    protocol : WireProtocol
        What the messages speak.
    address : str
        ZeroMQ address.
    output : Path
        The capture to write.
    stream : str
        Name of the stream in the capture; that of the protocol if empty.
    socket : str
        ``"pull"`` or ``"sub"``.
    bind : bool
        Wait for a sender to connect, instead of connecting to one.
    n_frames : int or None
        End with this many data packets.
    n_series : int
        End with the end of this many series; 0 goes on until it is stopped.
    timeout_s : float or None
        End if no message came for so long.
    mode : str
        What `CaptureWriter` does with a file that exists.
    queue_messages : int
        Messages that may wait in memory.
    """

    protocol: WireProtocol
    address: str
    output: Path
    stream: str = ""
    socket: SocketKind = "pull"
    bind: bool = False
    n_frames: int | None = None
    n_series: int = 1
    timeout_s: float | None = None
    mode: WriteMode = "new"
    queue_messages: int = DEFAULT_QUEUE_MESSAGES

    def __post_init__(self) -> None:
        if self.n_frames is not None and self.n_frames < 1:
            raise UsageError(f"--frames {self.n_frames}: at least one frame is needed")
        if self.n_series < 0:
            raise UsageError(f"--series {self.n_series} is negative; 0 means until it is stopped")
        if self.timeout_s is not None and not 0 < self.timeout_s < float("inf"):
            raise UsageError(f"--timeout {self.timeout_s} s: a positive number of seconds is needed")


class Recording:
    """One recording; make it (which opens file and socket), then `run` it. A context manager.

    Parameters
    ----------
    options : RecordOptions
        What to record.
    progress : callable, optional
        Called now and then with the number of events and the fraction done (``None`` if unknown).

    Attributes
    ----------
    account : SeriesAccount
        What came.
    address : str
        Where it listens, with the port that was taken.
    end : RecordingEnd or None
        Why it ended.
    elapsed_s : float
        From the first event to the last [s].

    Raises
    ------
    UsageError
        The file exists or cannot be made, or the address cannot be used.
    """

    def __init__(self, options: RecordOptions, *, progress: Callable[[int, float | None], None] | None = None) -> None:
        self._options = options
        self._progress = progress
        self._stream = options.stream or options.protocol.name
        self._numbering = SeriesNumbering(options.protocol)
        self._n_data = 0
        self.end: RecordingEnd | None = None
        self.elapsed_s = 0.0
        self._began_at = 0.0
        self._source = ZmqSource(
            options.address, kind=options.socket, bind=options.bind, queue_messages=options.queue_messages
        )
        try:
            self._writer = CaptureWriter(options.output, mode=options.mode)
        except BaseException:
            self._source.close()
            raise
        self.address = self._source.address

    @property
    def account(self) -> SeriesAccount:
        """What came so far."""
        return self._numbering.account

    @property
    def n_bytes(self) -> int:
        """Size of the capture [bytes]."""
        return self._writer.n_bytes

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> SeriesAccount:
        """Record to the end; whatever ends it, what came is in the file.

        Parameters
        ----------
        should_stop : callable
            Asked several times a second.

        Raises
        ------
        StoreError
            The capture cannot be written.
        """
        try:
            self._receive(should_stop)
        finally:
            self._source.close()
            self._writer.close()
        return self.account

    def _receive(self, should_stop: Callable[[], bool]) -> None:
        heard_at = shown_at = time.monotonic()
        while self.end is None:
            if should_stop():
                self.end = RecordingEnd.STOPPED
                return
            try:
                parts = self._source.receive(_SLICE_S)
            except DecodeError as error:
                self.account.n_messages += 1
                self.account.add_bad(error)
                continue
            now = time.monotonic()
            if parts is not None:
                heard_at = now
                self._take(parts, now)
            else:
                self._writer.flush()
                if self._options.timeout_s is not None and now - heard_at >= self._options.timeout_s:
                    self.end = RecordingEnd.TIMEOUT
            if self._progress is not None and now - shown_at >= _SHOW_S:
                shown_at = now
                self._progress(self.account.n_events, self._fraction())

    def _take(self, parts: list[Any], now: float) -> None:
        created_at = datetime.now(UTC)
        typ = self._options.protocol.typ
        for event in self._numbering.events(parts):
            self._writer.write(event.event_number, {self._stream: StreamData(typ, event.frames)}, created_at)
            self._began_at = self._began_at or now
            self.elapsed_s = now - self._began_at
            if event.kind is PacketKind.DATA:
                self._n_data += 1
                if self._n_data == self._options.n_frames:
                    self.end = RecordingEnd.FRAMES
                    return
            elif event.kind is PacketKind.END and self.account.n_ended == self._options.n_series:
                self.end = RecordingEnd.SERIES
                return

    def _fraction(self) -> float | None:
        return None if self._options.n_frames is None else min(1.0, self._n_data / self._options.n_frames)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing: no bad messages, no gaps, and not ended by silence before or inside a series."""
        silent = self.end is RecordingEnd.TIMEOUT and (self._numbering.is_open or not self.account.n_series)
        return self.account.is_whole and not silent

    def close(self) -> None:
        """Close socket and file; safe to call twice, and after `run`."""
        self._source.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
