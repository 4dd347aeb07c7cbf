"""Where things are in a buffer full of items, compiled: `glimt.codecs.capture.layout` for captures of small events.

Stops before the first item that is cut by the end of the buffer or is anything but regular; that one is left to
`read_layout`, which knows what to say about it. Importing this module imports Numba (0.3 s), so do it for large
captures only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from glimt.codecs.capture.layout import (
    MAX_FRAMES,
    MAX_NAME_BYTES,
    MESSAGE_TAG,
    SELF_DESCRIBED,
    STREAM_TAG,
    ItemLayout,
    StreamLayout,
)

IntArray = npt.NDArray[np.int64]

_UINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = 0, 2, 3, 4, 5, 6
_SMALLEST_ITEM = 16  # bytes: fewer cannot hold the tags, so a buffer has at most len / 16 items


class ScanTable(NamedTuple):
    """What `scan` found, one row each; all offsets count from the start of the buffer.

    Attributes
    ----------
    events : ndarray, (n, 8) int64
        Offset, end, event number, first row in ``streams``, number of streams, offset and length of the time stamp's
        text (-1 and 0 without one), and 1 if name, type and number of frames are those of the event before.
    streams : ndarray, (n, 6) int64
        Offset and length of the name, offset and length of the type, first row in ``frames``, number of frames.
    frames : ndarray, (n, 2) int64
        Offset and length.
    """

    events: IntArray
    streams: IntArray
    frames: IntArray

    def layout(self, buffer: bytes, row: int, *, base: int = 0) -> ItemLayout:
        """Return one row in the form `read_layout` gives; ``base`` is the buffer's offset in the capture."""
        offset, end, number, first, n_streams, created, created_length, _ = self.events[row].tolist()
        streams = []
        for name, name_length, typ, typ_length, first_frame, n_frames in self.streams[
            first : first + n_streams
        ].tolist():
            frames = [(base + at, length) for at, length in self.frames[first_frame : first_frame + n_frames].tolist()]
            streams.append(
                StreamLayout(
                    buffer[name : name + name_length].decode(), buffer[typ : typ + typ_length].decode(), frames
                )
            )
        stamp = None if created < 0 else (base + created, created_length)
        return ItemLayout(base + offset, base + end, number, streams, stamp)


@numba.njit(nogil=True, cache=True, inline="always")
def _head(buffer: Any, at: int) -> Any:
    """Return major type, argument and offset behind the head at ``at``; the offset is -1 for what is not regular."""
    if at < 0 or at >= buffer.size:
        return 0, 0, -1
    first = np.int64(buffer[at])
    major = first >> 5
    info = first & 31
    if info < 24:
        return major, info, at + 1
    if info > 27:
        return 0, 0, -1
    size = 1 << (info - 24)
    if at + 1 + size > buffer.size or (size == 8 and buffer[at + 1] > 127):
        return 0, 0, -1
    value = np.int64(0)
    for k in range(size):
        value = (value << 8) | np.int64(buffer[at + 1 + k])
    return major, value, at + 1 + size


@numba.njit(nogil=True, cache=True, inline="always")
def _argument(buffer: Any, at: int, major: int, limit: int) -> Any:
    """Return argument and offset behind the head at ``at``, -1 unless it has this major type and is within limits."""
    found, argument, end = _head(buffer, at)
    if end < 0 or found != major or argument > limit:
        return 0, -1
    return argument, end


@numba.njit(nogil=True, cache=True, inline="always")
def _tag(buffer: Any, at: int, number: int) -> Any:
    """Return the offset behind the tag ``number`` at ``at``, -1 if that is not there."""
    argument, end = _argument(buffer, at, _TAG, number)
    return end if argument == number else -1


@numba.njit(nogil=True, cache=True)
def _skip_text(buffer: Any, at: int, limit: int) -> Any:
    """Return offset and length of the ASCII text at ``at``, -1 and 0 if it is none."""
    length, at = _argument(buffer, at, _TEXT, limit)
    if at < 0 or length > buffer.size - at:
        return -1, 0
    for k in range(length):
        if buffer[at + k] > 127:  # may be UTF-8 or not: read_layout tells
            return -1, 0
    return at, length


@numba.njit(nogil=True, cache=True)
def _scan_stream(buffer: Any, at: int, streams: Any, row: int, frames: Any, n_frames: int) -> Any:
    """Read one stream at ``at`` into row ``row``; return the offset behind it (-1 if irregular) and the frame count."""
    name, name_length = _skip_text(buffer, at, MAX_NAME_BYTES)
    at = -1 if name < 0 else _tag(buffer, name + name_length, STREAM_TAG)
    fields, at = _argument(buffer, at, _ARRAY, 2)
    typ, typ_length = _skip_text(buffer, at, MAX_NAME_BYTES)
    at = -1 if typ < 0 or fields != 2 else typ + typ_length
    count, at = _argument(buffer, at, _ARRAY, min(MAX_FRAMES, frames.shape[0] - n_frames))
    if at < 0:
        return -1, n_frames
    streams[row] = (name, name_length, typ, typ_length, n_frames, count)
    for k in range(count):
        major, length, at = _head(buffer, at)
        if at < 0 or (major != _BYTES and major != _TEXT) or length > buffer.size - at:
            return -1, n_frames
        frames[n_frames + k, 0] = at
        frames[n_frames + k, 1] = length
        at += length
    return at, n_frames + count


@numba.njit(nogil=True, cache=True)
def _is_alike(buffer: Any, streams: Any) -> bool:
    """Tell whether two streams have the same name, type and number of frames."""
    if streams[0, 5] != streams[1, 5]:
        return False
    for column in (0, 2):
        length = streams[1, column + 1]
        if streams[0, column + 1] != length:
            return False
        for k in range(length):
            if buffer[streams[0, column] + k] != buffer[streams[1, column] + k]:
                return False
    return True


@numba.njit(nogil=True, cache=True)
def _scan_item(
    buffer: Any, start: int, events: Any, row: int, streams: Any, n_streams: int, frames: Any, n_frames: int
) -> Any:
    """Read one item at ``start`` into row ``row``; return the offset behind it (-1 if irregular) and the new counts."""
    at = _tag(buffer, start, SELF_DESCRIBED)
    at = _tag(buffer, start if at < 0 else at, MESSAGE_TAG)
    n_fields, at = _argument(buffer, at, _ARRAY, 3)
    number, at = _argument(buffer, at, _UINT, np.iinfo(np.int64).max)
    # Several streams in one item must have different names, which read_layout checks.
    count, at = _argument(buffer, at, _MAP, min(1, streams.shape[0] - n_streams))
    if at < 0 or n_fields < 2:
        return -1, n_streams, n_frames
    events[row] = (start, 0, number, n_streams, count, -1, 0, 0)
    if count:
        at, n_frames = _scan_stream(buffer, at, streams, n_streams, frames, n_frames)
        if at < 0:
            return -1, n_streams, n_frames
        events[row, 7] = (
            row > 0 and events[row - 1, 4] == 1 and _is_alike(buffer, streams[n_streams - 1 : n_streams + 1])
        )
    if n_fields == 3:
        at, length = _skip_text(buffer, _tag(buffer, at, 0), 64)
        if at < 0:
            return -1, n_streams, n_frames
        events[row, 5] = at
        events[row, 6] = length
        at += length
    events[row, 1] = at
    return at, n_streams + count, n_frames


@numba.njit(nogil=True, cache=True)
def _scan(buffer: Any, events: Any, streams: Any, frames: Any) -> Any:
    n_events, n_streams, n_frames, at = 0, 0, 0, 0
    while n_events < events.shape[0] and at < buffer.size:
        end, stream_count, frame_count = _scan_item(buffer, at, events, n_events, streams, n_streams, frames, n_frames)
        if end < 0:
            break
        at, n_streams, n_frames = end, stream_count, frame_count
        n_events += 1
    return n_events, n_streams, n_frames


def scan(buffer: bytes) -> ScanTable:
    """Find all whole, regular items from the start of ``buffer`` on.

    Parameters
    ----------
    buffer : bytes
        Part of a capture, beginning with an item.

    Returns
    -------
    ScanTable
        Its last event ends where the first item begins that was left; no rows if that is the first one. Every event in
        it has at most one stream, and its names are ASCII.
    """
    rows = len(buffer) // _SMALLEST_ITEM + 1
    events = np.empty((rows, 8), np.int64)
    streams = np.empty((rows, 6), np.int64)
    frames = np.empty((2 * rows, 2), np.int64)
    n_events, n_streams, n_frames = _scan(np.frombuffer(buffer, np.uint8), events, streams, frames)
    return ScanTable(events[:n_events], streams[:n_streams], frames[:n_frames])
