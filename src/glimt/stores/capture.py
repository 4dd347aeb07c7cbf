"""Captures: the events of a stream in one file, as they came, for replay."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from glimt.codecs.capture.item import encode_parts
from glimt.model.errors import StoreError, UsageError
from glimt.stores.capture_file import CaptureFile, GzipFile, PlainFile, open_capture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from glimt.model.event import StreamData

WriteMode = Literal["new", "overwrite", "append"]

_BLOCK_BYTES = 4 << 20
_BLOCK_S = 1.0


class CaptureWriter:
    """Writes a capture (`glimt.codecs.capture`); a context manager.

    Events are written in blocks of whole items, when 4 MB have come together, at the first `write` a second after the
    last block, and at `flush`. What a crash can leave behind is a cut last item, which readers report; everything
    before it is readable. If the disk is full the file is cut back to its last whole item.

    Parameters
    ----------
    path : Path
        The file, compressed if it ends in ``.gz``. Missing folders are made.
    mode : str
        ``"new"`` refuses a file that exists, ``"overwrite"`` replaces it when the first block is written, ``"append"``
        goes on behind its last item (a cut one is removed first).

    Attributes
    ----------
    n_events, n_bytes : int
        Events that were given, and the bytes that are in the file.

    Raises
    ------
    UsageError
        The file exists, is being written by another process, cannot be made, or (to append) is no whole capture.
    """

    def __init__(self, path: Path, *, mode: WriteMode = "new") -> None:
        self.path = path
        self.n_events = 0
        self._failure: StoreError | None = None
        self._is_closed = False
        self._pieces: list[bytes] = []
        self._waiting: list[tuple[int, int]] = []  # event number, and where in the block its item ends
        self._block_bytes = 0
        self._written_at = time.monotonic()
        self._last_event: int | None = None
        descriptor = open_capture(path, mode=mode)
        kind: type[CaptureFile] = GzipFile if path.suffix == ".gz" else PlainFile
        self._file = kind(descriptor, path, replace=mode == "overwrite")

    @property
    def n_bytes(self) -> int:
        """Bytes in the file, compressed ones where they are."""
        return self._file.size

    def write(self, event_number: int, streams: Mapping[str, StreamData], created_at: datetime | None = None) -> None:
        """Append an event.

        Parameters
        ----------
        event_number : int
            From 0; larger than the one before, or a new scan begins.
        streams : mapping of str to StreamData
            Frames may be `bytes`, ``zmq.Frame`` or any other buffer.
        created_at : datetime, optional
            When the event arrived, with a time zone.

        Raises
        ------
        StoreError
            The file cannot be written, now or before; names the first event that is not in it.
        UsageError
            The event number is negative, or the writer is closed.
        """
        self._check()
        if event_number < 0:
            raise UsageError(f"event number {event_number} is negative")
        pieces = encode_parts(event_number, streams, created_at)
        self._pieces += pieces
        self._block_bytes += sum(map(len, pieces))
        self._waiting.append((event_number, self._block_bytes))
        self.n_events += 1
        if self._block_bytes >= _BLOCK_BYTES or time.monotonic() - self._written_at >= _BLOCK_S:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises
        ------
        StoreError
            As `write`.
        """
        self._check()
        self._written_at = time.monotonic()
        if not self._waiting:
            return
        pieces, self._pieces = self._pieces, []
        waiting, self._waiting = self._waiting, []
        self._block_bytes = 0
        try:
            self._file.append(pieces, [end for _, end in waiting])
        except OSError as error:
            self._fail(error, waiting)
        self._last_event = waiting[-1][0]

    def _fail(self, error: OSError, waiting: list[tuple[int, int]]) -> NoReturn:
        n_whole = self._file.n_whole
        if n_whole:
            self._last_event = waiting[n_whole - 1][0]
        readable = "nothing" if self._last_event is None else f"everything up to event {self._last_event}"
        self._failure = StoreError(
            f"cannot write event {waiting[n_whole][0]}: {error.strerror or error}; {readable} is readable in the file",
            path=str(self.path),
        )
        raise self._failure from error

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise UsageError(f"{self.path} is closed; make a new writer")

    def close(self) -> None:
        """Write what waits and close; a file into which nothing came is removed. Safe to call twice.

        Raises
        ------
        StoreError
            As `write`; the file is closed nevertheless.
        """
        if self._is_closed:
            return
        try:
            if self._failure is None:
                self.flush()
        finally:
            self._is_closed = True
            self._finish_file()

    def _finish_file(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            if self._failure is None:
                self._failure = StoreError(f"cannot be closed: {error.strerror or error}", path=str(self.path))
                raise self._failure from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
