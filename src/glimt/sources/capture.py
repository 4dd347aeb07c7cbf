"""Events from a capture file, in the order in which they were recorded."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glimt.codecs.capture import (
    BytesWindow,
    GzipWindow,
    ItemError,
    ItemLayout,
    Window,
    message_from_layout,
    open_window,
    parse_time,
    read_layout,
)
from glimt.model.errors import CaptureError, UsageError
from glimt.model.event import InternalWorkerMessage, StreamData

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from glimt.codecs.capture.scan import ScanTable

_PLAIN_ITEMS = 2000
"""Items read one by one before the compiled scanner is worth its import."""
_CHUNK = 4 << 20
"""How much the scanner is given at once [bytes]."""
_LARGE_ITEM = 1 << 16
"""From this size on [bytes] items are read one by one: their frames go straight from the file to their own bytes."""


def time_ns(when: datetime | None) -> int:
    """Return a time in nanoseconds since 1970 UTC, -1 for none."""
    return -1 if when is None else round(when.timestamp() * 1e6) * 1000


class Extent(NamedTuple):
    """Where the item of one event lies in a capture, ``offset`` to ``end`` [bytes]; its time [ns], -1 if not parsed."""

    event_number: int
    offset: int
    end: int
    when_ns: int


class _Scanned(NamedTuple):
    buffer: bytes
    base: int
    table: ScanTable


class CaptureReader:
    """Reads one capture, plain or compressed with gzip, without ever holding more than a few megabytes and one event.

    Parameters
    ----------
    path : Path
        The file.
    times : bool
        Parse the items' time stamps too.
    patience : int
        Items to read one by one before the compiled scanner is worth its import.
    window : Window, optional
        Where the bytes are, if not in the file; ``path`` then only names them.

    Raises
    ------
    UsageError
        The file cannot be opened.
    CaptureError
        While reading: the file is truncated, damaged or not a capture. Everything before that was delivered.
    """

    def __init__(
        self, path: Path, *, times: bool = False, patience: int = _PLAIN_ITEMS, window: Window | None = None
    ) -> None:
        self.path = path
        self._times = times
        self._patience = patience
        self._offset = 0
        self._stop: int | None = None
        self._last_event: int | None = None
        try:
            self._window = open_window(path) if window is None else window
        except OSError as error:
            raise UsageError(f"cannot read capture {path}: {error.strerror or error}") from None

    @classmethod
    def of_bytes(cls, data: bytes, *, times: bool = False) -> CaptureReader:
        """Return a reader of a capture in memory."""
        return cls(Path("(memory)"), times=times, window=BytesWindow(data))

    @property
    def is_compressed(self) -> bool:
        """Whether places in the file cannot be reached without reading all before them."""
        return isinstance(self._window, GzipWindow)

    @property
    def position(self) -> int:
        """Offset up to which the capture was read [bytes]."""
        return self._offset

    def close(self) -> None:
        """Close the file."""
        self._window.close()

    def messages(self) -> Iterator[InternalWorkerMessage]:
        """Yield every item as a message; a second call goes on where the first stopped."""
        for found in self._items():
            if isinstance(found, ItemLayout):
                yield self._message(found)
            else:
                yield from self._scanned_messages(found)

    def extents(self) -> Iterator[Extent]:
        """Yield number and place of every event; payloads of large frames are skipped, not read."""
        for found in self._items():
            if isinstance(found, ItemLayout):
                when = self._layout_time(found) if self._times else -1
                yield Extent(found.event_number, found.offset, found.end, when)
            else:
                columns = [found.table.events[:, k].tolist() for k in (2, 0, 1, 5, 6)]
                for number, offset, end, created, length in zip(*columns, strict=True):
                    when = time_ns(self._time(found, created, length)) if created >= 0 and self._times else -1
                    yield Extent(number, found.base + offset, found.base + end, when)

    def select(self, start: int, stop: int) -> None:
        """Go on with the items between these byte offsets, which must be item boundaries."""
        self._offset, self._stop = start, stop

    def progress(self) -> float | None:
        """Return how much of the file was read, 0 to 1; ``None`` if it cannot be known."""
        size = self._window.size()
        return None if not size else min(1.0, self._window.consumed(self._offset) / size)

    def _layout_time(self, layout: ItemLayout) -> int:
        if layout.created is None:
            return -1
        try:
            return time_ns(parse_time(self._window.read(*layout.created), offset=layout.created[0]))
        except ItemError as error:
            raise self._error(error) from None

    def _message(self, layout: ItemLayout) -> InternalWorkerMessage:
        try:
            return message_from_layout(self._window, layout, times=self._times)
        except ItemError as error:
            raise self._error(error) from None

    def _scanned_messages(self, found: _Scanned) -> Iterator[InternalWorkerMessage]:
        # The hot loop of replay: nothing here but slicing and making the objects of an event. Columns, because a list
        # for each row would be a hundred thousand objects for the garbage collector to walk.
        buffer = found.buffer
        events, stream_columns = found.table.events, [column.tolist() for column in found.table.streams.T]
        name_ats, name_lengths, typ_ats, typ_lengths, first_frames, frame_counts = stream_columns
        frame_ats, frame_ends = found.table.frames[:, 0].tolist(), found.table.frames.sum(axis=1).tolist()
        texts: dict[bytes, tuple[str, str]] = {}
        for number, row, n_streams, created, created_length in zip(*(c.tolist() for c in events.T[2:]), strict=True):
            self._last_event = number
            streams = {}
            if n_streams:
                name_at, typ_at = name_ats[row], typ_ats[row]
                key = buffer[name_at : typ_at + typ_lengths[row]]
                known = texts.get(key)
                if known is None:
                    known = texts[key] = (key[: name_lengths[row]].decode(), key[typ_at - name_at :].decode())
                first = first_frames[row]
                frames = [buffer[frame_ats[k] : frame_ends[k]] for k in range(first, first + frame_counts[row])]
                streams[known[0]] = StreamData(known[1], frames)
            when = self._time(found, created, created_length) if created >= 0 and self._times else None
            yield InternalWorkerMessage(number, streams, when)

    def _time(self, found: _Scanned, at: int, length: int) -> datetime:
        try:
            return parse_time(found.buffer[at : at + length], offset=found.base + at)
        except ItemError as error:
            raise self._error(error) from None

    def _items(self) -> Iterator[ItemLayout | _Scanned]:
        patience = self._patience
        while self._stop is None or self._offset < self._stop:
            if patience == 0:
                found = self._scan()
                if found is not None:
                    yield found
                    continue
            layout = self._next_layout()
            if layout is None:
                return
            yield layout
            self._last_event = layout.event_number
            patience = max(patience - 1, 0) if layout.end - layout.offset < _LARGE_ITEM else _PLAIN_ITEMS

    def _next_layout(self) -> ItemLayout | None:
        try:
            self._window.forget(self._offset)
            layout = read_layout(self._window, self._offset)
        except ItemError as error:
            raise self._error(error) from None
        except (EOFError, OSError, zlib.error) as error:
            raise self._failure(f"cannot be read ({error})", self._offset) from None
        if layout is not None:
            self._offset = layout.end
        return layout

    def _scan(self) -> _Scanned | None:
        from glimt.codecs.capture.scan import scan  # costs 0.3 s: only for captures of many events

        base = self._offset
        length = _CHUNK if self._stop is None else min(_CHUNK, self._stop - base)
        try:
            self._window.forget(base)
            buffer = self._window.read(base, length)
        except (EOFError, OSError, zlib.error):
            return None  # read item by item up to the damage
        table = scan(buffer)
        if not len(table.events):
            return None
        self._offset = base + int(table.events[-1, 1])
        return _Scanned(buffer, base, table)

    def _error(self, error: ItemError) -> CaptureError:
        cause = f"truncated: {error.what}" if error.truncated else error.what
        return self._failure(cause, error.offset)

    def _failure(self, what: str, offset: int) -> CaptureError:
        return CaptureError(what, path=str(self.path), offset=offset, last_event=self._last_event)

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
