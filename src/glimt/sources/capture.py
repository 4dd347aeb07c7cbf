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
    Run,
    Window,
    find_run,
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

IntArray = npt.NDArray[np.int64]

_CHUNK = 4 << 20
"""How much is looked at for a run of alike items at once, at most [bytes]."""
_FIRST_CHUNK = 1 << 16
_LARGE_ITEM = 1 << 16
"""From this size on [bytes] items are read one by one: their frames go straight from the file to their own bytes."""
_MAX_WAIT = 1 << 10
"""Where runs are short, up to so many items are read one by one before the next is looked for."""
_PLAIN_BATCH = 256


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


class CaptureReader:
    """Reads one capture, plain or compressed with gzip, without ever holding more than a few megabytes and one event.

    Parameters
    ----------
    path : Path
        The file.
    times : bool
        Parse the items' time stamps too.
    window : Window, optional
        Where the bytes are, if not in the file; ``path`` then only names them.

    Raises
    ------
    UsageError
        The file cannot be opened.
    CaptureError
        While reading: the file is truncated, damaged or not a capture. Everything before that was delivered.
    """

    def __init__(self, path: Path, *, times: bool = False, window: Window | None = None) -> None:
        self.path = path
        self._times = times
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
            if isinstance(found, Run):
                messages = self._run_messages(found)
                yield from map(_with_time, messages, self._run_times(found)) if self._times else messages
            else:
                yield self._message(found)

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
            if isinstance(found, Run):
                n_items = len(found.event_numbers)
                offsets = found.offset + found.size * np.arange(n_items)
                times = np.full(n_items, -1, np.int64)
                if self._times:
                    times[:] = [time_ns(when) for when in self._run_times(found)]
                yield ExtentBatch(found.event_numbers, offsets, offsets + found.size, times)
        if plain:
            yield ExtentBatch(*np.array(plain, np.int64).T)
        if damage is not None:
            raise damage

    def _items_until_damage(self) -> Iterator[ItemLayout | Run | CaptureError]:
        """Yield the error too, instead of raising it: what was found before it is still to be delivered."""
        try:
            yield from self._items()
        except CaptureError as error:
            yield error

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
        return time_ns(self._time(self._window.read(*layout.created), layout.created[0]))

    def _message(self, layout: ItemLayout) -> InternalWorkerMessage:
        try:
            return message_from_layout(self._window, layout, times=self._times)
        except ItemError as error:
            raise self._error(error) from None

    def _run_messages(self, run: Run) -> Iterator[InternalWorkerMessage]:
        # The hot loop of replay: nothing here but slicing and making the objects of an event.
        buffer, size, numbers = run.buffer, run.size, run.event_numbers.tolist()
        starts = range(0, size * len(numbers), size)
        places = [(name, typ, [(at, at + length) for at, length in frames]) for name, typ, frames in run.streams]
        if [len(frames) for *_, frames in places] == [2]:  # header and pixels
            ((name, typ, ((head, head_end), (body, body_end))),) = places
            for number, start in zip(numbers, starts, strict=True):
                frames = [buffer[start + head : start + head_end], buffer[start + body : start + body_end]]
                yield InternalWorkerMessage(number, {name: StreamData(typ, frames)})
            return
        for number, start in zip(numbers, starts, strict=True):
            yield InternalWorkerMessage(
                number,
                {
                    name: StreamData(typ, [buffer[start + at : start + end] for at, end in frames])
                    for name, typ, frames in places
                },
            )

    def _run_times(self, run: Run) -> Iterator[datetime | None]:
        if run.created is None:
            yield from itertools.repeat(None, len(run.event_numbers))
            return
        first, length = run.created
        for at in range(first, run.size * len(run.event_numbers), run.size):
            yield self._time(run.buffer[at : at + length], run.offset + at)

    def _time(self, text: bytes, offset: int) -> datetime:
        try:
            return parse_time(text, offset=offset)
        except ItemError as error:
            raise self._error(error) from None

    def _items(self) -> Iterator[ItemLayout | Run]:
        chunk, wait, waited, size = _FIRST_CHUNK, 1, 0, 0
        while self._stop is None or self._offset < self._stop:
            layout = self._next_layout()
            if layout is None:
                return
            yield layout
            self._last_event = layout.event_number
            waited += 1
            if layout.end - layout.offset != size or size >= _LARGE_ITEM or waited < wait:
                size = layout.end - layout.offset
                continue
            run = self._find_run(layout, chunk)
            waited = 0
            if run is None:
                wait = min(2 * wait, _MAX_WAIT)
                continue
            yield run
            self._last_event = int(run.event_numbers[-1])
            filled = run.size * (len(run.event_numbers) + 1) > len(run.buffer)
            wait, chunk = 1, min(2 * chunk, _CHUNK) if filled else _FIRST_CHUNK

    def _find_run(self, layout: ItemLayout, chunk: int) -> Run | None:
        length = chunk if self._stop is None else min(chunk, self._stop - self._offset)
        try:
            item = self._window.read(layout.offset, layout.end - layout.offset)
            buffer = self._window.read(self._offset, length)
        except (EOFError, OSError, zlib.error):
            return None  # read item by item up to the damage
        run = find_run(buffer, layout, item)
        if run is not None:
            self._offset = run.end
        return run

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

    def _error(self, error: ItemError) -> CaptureError:
        cause = f"truncated: {error.what}" if error.truncated else error.what
        return self._failure(cause, error.offset)

    def _failure(self, what: str, offset: int) -> CaptureError:
        return CaptureError(
            what, path=str(self.path), offset=offset, good_bytes=self._offset, last_event=self._last_event
        )

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
