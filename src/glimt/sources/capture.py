"""Events from a capture file, in the order in which they were recorded."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

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
from glimt.model.event import InternalWorkerMessage, StreamData, time_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from glimt.codecs.capture.scan import ScanTable

IntArray = npt.NDArray[np.int64]

_PLAIN_ITEMS = 2000
"""Items read one by one before the compiled scanner is worth its import."""
_PLAIN_BATCH = 256
_CHUNK = 4 << 20
"""How much the scanner is given at once [bytes]."""
_LARGE_ITEM = 1 << 16
"""From this size on [bytes] items are read one by one: their frames go straight from the file to their own bytes."""


def _with_time(message: InternalWorkerMessage, when: datetime | None) -> InternalWorkerMessage:
    message.created_at = when
    return message


class Extent(NamedTuple):
    """Where the item of one event lies in a capture, ``offset`` to ``end`` [bytes]; its time [ns], -1 if not parsed."""

    event_number: int
    offset: int
    end: int
    when_ns: int


class ExtentBatch(NamedTuple):
    """Many extents as columns, each ``(n,)`` int64: see `Extent`."""

    event_numbers: IntArray
    offsets: IntArray
    ends: IntArray
    when_ns: IntArray


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
        for batch in self.extent_batches():
            for row in zip(*(column.tolist() for column in batch), strict=True):
                yield Extent(*row)

    def extent_batches(self) -> Iterator[ExtentBatch]:
        """Yield the same as `extents` in batches, as columns."""
        plain: list[tuple[int, int, int, int]] = []
        damage: CaptureError | None = None
        for found in self._items_until_damage():
            if isinstance(found, CaptureError):
                damage = found
                break
            if isinstance(found, ItemLayout):
                when = self._layout_time(found) if self._times else -1
                plain.append((found.event_number, found.offset, found.end, when))
                if len(plain) < _PLAIN_BATCH and found.end - plain[0][1] < _CHUNK:
                    continue
            if plain:
                yield ExtentBatch(*np.array(plain, np.int64).T)
                plain = []
            if not isinstance(found, ItemLayout):
                events = found.table.events
                times = np.full(len(events), -1, np.int64)
                if self._times:
                    stamps = zip(events[:, 5].tolist(), events[:, 6].tolist(), strict=True)
                    times[:] = [time_ns(self._time(found, at, length)) if at >= 0 else -1 for at, length in stamps]
                yield ExtentBatch(events[:, 2], events[:, 0] + found.base, events[:, 1] + found.base, times)
        if plain:
            yield ExtentBatch(*np.array(plain, np.int64).T)
        if damage is not None:
            raise damage

    def _items_until_damage(self) -> Iterator[ItemLayout | _Scanned | CaptureError]:
        """Yield the error too, instead of raising it: what was found before it is still to be delivered."""
        try:
            yield from self._items()
        except CaptureError as error:
            yield error

    def select(self, start: int, stop: int, *, patience: int = _PLAIN_ITEMS) -> None:
        """Go on with the items between these byte offsets, which must be item boundaries."""
        self._offset, self._stop, self._patience = start, stop, patience

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
        """Yield scanned events, run by run of those that have the same stream and number of frames."""
        alike = found.table.events[:, 7]
        borders = [*np.flatnonzero(alike == 0).tolist(), len(alike)]
        for first, stop in itertools.pairwise(borders):
            run = self._run(found, first, stop)
            yield from map(_with_time, run, self._times_of(found, first, stop)) if self._times else run

    def _run(self, found: _Scanned, first: int, stop: int) -> Iterator[InternalWorkerMessage]:
        # The hot loop of replay: nothing here but slicing and making the objects of an event. Columns, because a list
        # for each row would be a hundred thousand objects for the garbage collector to walk.
        buffer, table = found.buffer, found.table
        numbers = table.events[first:stop, 2].tolist()
        self._last_event = numbers[-1]
        if not table.events[first, 4]:
            yield from (InternalWorkerMessage(number) for number in numbers)
            return
        row = int(table.events[first, 3])
        name_at, name_length, typ_at, typ_length, first_frame, n_frames = table.streams[row].tolist()
        name = buffer[name_at : name_at + name_length].decode()
        typ = buffer[typ_at : typ_at + typ_length].decode()
        frames = table.frames[first_frame : first_frame + n_frames * (stop - first)].reshape(stop - first, n_frames, 2)
        starts, ends = frames[:, :, 0], frames.sum(axis=2)
        if n_frames == 2:
            columns = (starts[:, 0].tolist(), ends[:, 0].tolist(), starts[:, 1].tolist(), ends[:, 1].tolist())
            for number, start, end, start_1, end_1 in zip(numbers, *columns, strict=True):
                yield InternalWorkerMessage(number, {name: StreamData(typ, [buffer[start:end], buffer[start_1:end_1]])})
            return
        for number, frame_starts, frame_ends in zip(numbers, starts, ends, strict=True):
            places = zip(frame_starts.tolist(), frame_ends.tolist(), strict=True)
            yield InternalWorkerMessage(number, {name: StreamData(typ, [buffer[at:end] for at, end in places])})

    def _times_of(self, found: _Scanned, first: int, stop: int) -> Iterator[datetime | None]:
        for created, length in found.table.events[first:stop, 5:7].tolist():
            yield self._time(found, created, length) if created >= 0 else None

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
