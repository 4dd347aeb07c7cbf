"""Runs of items that are laid out alike, found at the speed of memory.

A detector sends the same header with other digits and the same number of pixels again and again, so most items of a
capture differ from the one before only in their event number, their time and their payloads. Whether the next thousand
items are such a run is one comparison of a few columns of bytes; `read_layout` need only look at the first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glimt.codecs.capture.layout import ItemLayout, StreamLayout

_TAG_OF_TWO_BYTES = 0xD9
_ARRAYS = (0x82, 0x83)
_EMBEDDED = 24  # smaller event numbers are part of their head byte


class Run(NamedTuple):
    """Consecutive items, all laid out like the first.

    Attributes
    ----------
    buffer : bytes
        The items.
    offset : int
        Where ``buffer`` begins in the capture.
    size : int
        Bytes of each item.
    event_numbers : ndarray, (n,) int64
        Their event numbers.
    streams : list of StreamLayout
        The streams of each; offsets of frames count from the start of an item.
    created : tuple of int or None
        Where in an item the text of its time stamp lies.
    """

    buffer: bytes
    offset: int
    size: int
    event_numbers: npt.NDArray[np.int64]
    streams: list[StreamLayout]
    created: tuple[int, int] | None

    @property
    def end(self) -> int:
        """Offset behind the last item."""
        return self.offset + self.size * len(self.event_numbers)

    def layout(self, row: int) -> ItemLayout:
        """Return one item in the form that `read_layout` gives."""
        start = self.offset + row * self.size
        streams = [
            StreamLayout(name, typ, [(start + at, length) for at, length in frames])
            for name, typ, frames in self.streams
        ]
        created = None if self.created is None else (start + self.created[0], self.created[1])
        return ItemLayout(start, start + self.size, int(self.event_numbers[row]), streams, created)


def find_run(buffer: bytes, model: ItemLayout, item: bytes) -> Run | None:
    """Find the items at the start of ``buffer`` that are laid out like ``model``.

    Parameters
    ----------
    buffer : bytes
        What follows the model in the capture.
    model : ItemLayout
        Layout of the item just before ``buffer``.
    item : bytes
        That item.

    Returns
    -------
    Run or None
        At least one item. ``None`` if the first is another one, or if the model's event number is below 24.
    """
    size = model.end - model.offset
    n_items = len(buffer) // size
    if n_items == 0 or model.event_number < _EMBEDDED:
        return None
    place = _event_number_place(item)
    if place is None:
        return None
    number_at, number_width = place
    free = [(number_at, number_width)]
    free += [(at - model.offset, length) for stream in model.streams for at, length in stream.frames]
    if model.created is not None:
        free.append((model.created[0] - model.offset, model.created[1]))
    items = np.frombuffer(buffer, np.uint8, n_items * size).reshape(n_items, size)
    alike = np.ones(n_items, np.bool_)
    expected = np.frombuffer(item, np.uint8)
    at = 0
    for start, length in [*free, (size, 0)]:  # what lies between them must be the same in every item
        if start > at:
            alike &= (items[:, at:start] == expected[at:start]).all(axis=1)
        at = start + length
    count = n_items if alike.all() else int(alike.argmin())
    if not count:
        return None
    numbers = np.ascontiguousarray(items[:count, number_at : number_at + number_width]).view(f">u{number_width}")
    streams = [
        StreamLayout(name, typ, [(at - model.offset, length) for at, length in frames])
        for name, typ, frames in model.streams
    ]
    created = None if model.created is None else (model.created[0] - model.offset, model.created[1])
    if numbers.max() > np.iinfo(np.int64).max:
        return None
    return Run(buffer, model.end, size, numbers[:, 0].astype(np.int64), streams, created)


def _event_number_place(item: bytes) -> tuple[int, int] | None:
    """Return where in an item the argument of its event number lies, and its width; None if heads are not the usual."""
    head = 0
    while item[head] == _TAG_OF_TWO_BYTES:
        head += 3
    if item[head] not in _ARRAYS or not _EMBEDDED <= item[head + 1] < _EMBEDDED + 4:
        return None
    return head + 2, 1 << (item[head + 1] - _EMBEDDED)
