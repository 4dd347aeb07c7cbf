"""Cuts the events of a replay into blocks, each for one worker process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from glimt.codecs.capture import encode_item
from glimt.model.errors import DecodeError
from glimt.model.event import InternalWorkerMessage, time_ns
from glimt.pipeline.block import MAX_BYTES, Block, block_size
from glimt.pipeline.join import Joined, SourceAccount, join
from glimt.sources.capture import Extent, ExtentBatch


def _ranges(group: list[Joined[Any]]) -> list[tuple[int, int] | bytes | None]:
    """Return where the items of a block lie in each file; they are consecutive there."""
    parts: list[tuple[int, int] | bytes | None] = []
    for items in zip(*(joined.parts for joined in group), strict=True):
        present: list[Extent] = [item for item in items if item is not None]
        parts.append((present[0].offset, present[-1].end) if present else None)
    return parts


def _encoded(group: list[Joined[Any]]) -> list[tuple[int, int] | bytes | None]:
    parts: list[tuple[int, int] | bytes | None] = []
    for items in zip(*(joined.parts for joined in group), strict=True):
        present = [encode_item(item) for item in items if item is not None]
        parts.append(b"".join(present) if present else None)
    return parts


def blocks_by_range(extents: list[Iterator[Extent]], accounts: list[SourceAccount], n_workers: int) -> Iterator[Block]:
    """Yield blocks of joined events as byte ranges of each file."""
    return _cut(join(extents, accounts), n_workers, _ranges)


def blocks_by_value(
    messages: list[Iterator[InternalWorkerMessage]], accounts: list[SourceAccount], n_workers: int
) -> Iterator[Block]:
    """Yield blocks of joined events as encoded items."""
    return _cut(join(messages, accounts), n_workers, _encoded)


def _bytes_of(joined: Joined[Any]) -> int:
    size = 0
    for part in joined.parts:
        if isinstance(part, Extent):
            size += part.end - part.offset
        elif part is not None:
            size += sum(len(frame) for frame in part.get_all_frames())
    return size


def _when(joined: Joined[Any]) -> int:
    part = next(part for part in joined.parts if part is not None)
    return part.when_ns if isinstance(part, Extent) else time_ns(part.created_at)


def _cut(
    joined: Iterator[Joined[Any]],
    n_workers: int,
    parts: Callable[[list[Joined[Any]]], list[tuple[int, int] | bytes | None]],
) -> Iterator[Block]:
    """Cut events into blocks: one event where a scan begins, then ever more up to the limits of `Block`."""
    numbers = itertools.count()
    first_index, previous_ns = 0, -1
    group: list[Joined[Any]] = []

    def block() -> Block:
        return Block(
            next(numbers),
            first_index,
            len(group),
            group[0].event_number,
            group[-1].event_number,
            group[0].is_start,
            previous_ns,
            parts(group),
        )

    size, wanted, made = 0, 1, 0
    for item in joined:
        if group and (item.is_start or group[0].is_start or len(group) >= wanted or size >= MAX_BYTES):
            yield block()
            made += 1
            wanted = block_size(made, n_workers)
            first_index += len(group)
            previous_ns = _when(group[-1])
            group, size = [], 0
        group.append(item)
        size += _bytes_of(item)
    if group:
        yield block()


def blocks_of_one_file(batches: Iterator[ExtentBatch], account: SourceAccount, n_workers: int) -> Iterator[Block]:
    """Yield the blocks of a single file: nothing to join, so whole columns are cut at once."""
    made, index, previous_ns = 0, 0, -1
    try:
        for batch in batches:
            numbers = batch.event_numbers
            starts = np.flatnonzero(numbers == 0)
            is_start = set(starts.tolist())
            borders = np.append(starts, len(numbers)).tolist()
            row = 0
            while row < len(numbers):
                stop = row + 1
                if row not in is_start:
                    border = next(border for border in borders if border > row)
                    by_bytes = int(np.searchsorted(batch.ends, batch.offsets[row] + MAX_BYTES, side="right"))
                    stop = max(stop, min(border, row + block_size(made, n_workers), by_bytes))
                yield Block(
                    made,
                    index,
                    stop - row,
                    int(numbers[row]),
                    int(numbers[stop - 1]),
                    row in is_start,
                    previous_ns,
                    [(int(batch.offsets[row]), int(batch.ends[stop - 1]))],
                )
                made += 1
                index += stop - row
                account.n_events += stop - row
                previous_ns = int(batch.when_ns[stop - 1])
                row = stop
    except DecodeError as error:
        account.error = error
