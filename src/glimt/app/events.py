"""The events of a replay: from capture files or a user's source class, whole or in blocks for several processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from glimt.codecs.capture import encode_item
from glimt.model.errors import DecodeError, UsageError, UserCodeError
from glimt.model.event import EventData, InternalWorkerMessage, StreamData
from glimt.pipeline.block import MAX_BYTES, Block, BuiltEvent, block_size
from glimt.pipeline.failure import describe_exception, user_trace
from glimt.pipeline.join import Joined, SourceAccount, join
from glimt.sources.capture import CaptureReader, Extent, time_ns


class ReplayEvents(Protocol):
    """Events to replay."""

    accounts: list[SourceAccount]

    def events(self) -> Iterator[BuiltEvent]:
        """Yield the events in order."""
        ...

    def blocks(self, n_workers: int) -> Iterator[Block]:
        """Yield the events in blocks that ``BlockReader`` reads in another process."""
        ...

    def progress(self) -> float | None:
        """Return how far it is, 0 to 1; ``None`` if that cannot be known."""
        ...


def _built(joined: Joined[InternalWorkerMessage]) -> BuiltEvent:
    messages = [message for message in joined.parts if message is not None]
    event = EventData(messages[0].event_number, messages[0].streams)
    if len(messages) > 1:
        try:
            event = EventData.from_internals(messages)
        except ValueError as error:
            raise UsageError(f"the captures cannot be joined: {error}") from None
    return event, joined.is_start, time_ns(messages[0].created_at)


class CaptureEvents:
    """The joined events of capture files.

    Parameters
    ----------
    paths : sequence of Path
        The captures.
    times : bool
        Read the items' time stamps too.
    """

    def __init__(self, paths: list[Path], *, times: bool) -> None:
        self._paths = paths
        self._times = times
        self.accounts = [SourceAccount(str(path)) for path in paths]
        self._readers = [CaptureReader(path, times=times) for path in paths]
        self._compressed = any(reader.is_compressed for reader in self._readers)

    def events(self) -> Iterator[BuiltEvent]:
        """Yield the events in order."""
        messages = [reader.messages() for reader in self._readers]
        if len(messages) == 1:
            yield from _single(messages[0], self.accounts[0])
        else:
            yield from map(_built, join(messages, self.accounts))

    def blocks(self, n_workers: int) -> Iterator[Block]:
        """Yield blocks: byte ranges of the files, or the items themselves if a file is compressed."""
        if self._compressed:
            return _blocks_by_value([reader.messages() for reader in self._readers], self.accounts, n_workers)
        return _cut(join([reader.extents() for reader in self._readers], self.accounts), n_workers, _ranges)

    def progress(self) -> float | None:
        """Return how much of the files was read, 0 to 1."""
        return min((done for reader in self._readers if (done := reader.progress()) is not None), default=None)


def _single(messages: Iterator[InternalWorkerMessage], account: SourceAccount) -> Iterator[BuiltEvent]:
    """Yield the events of one source: nothing to join, so nothing is spent on it."""
    last = 1 << 63
    try:
        for message in messages:
            number = message.event_number
            account.n_events += 1
            yield EventData(number, message.streams), number <= last, time_ns(message.created_at)
            last = number
    except DecodeError as error:
        account.error = error


class SourceEvents:
    """The joined events of a user's source class: ``get_source_generators()`` returns generators of messages.

    Parameters
    ----------
    cls : class
        Made without arguments.
    name : str
        For people.

    Raises
    ------
    UserCodeError, UsageError
        The class cannot be made, or has no generators.
    """

    def __init__(self, cls: Any, *, name: str) -> None:
        if not hasattr(cls, "get_source_generators"):
            raise UsageError(f"{name} has no method get_source_generators(self)")
        try:
            generators = list(cls().get_source_generators())
        except Exception as error:  # user code
            raise UserCodeError(f"{name} raised {describe_exception(error)}", trace=user_trace(error)) from error
        if not generators:
            raise UsageError(f"{name}.get_source_generators() returned no generator")
        self._generators = [_checked(generator, name) for generator in generators]
        self.accounts = [SourceAccount(f"{name}[{index}]") for index in range(len(generators))]

    def events(self) -> Iterator[BuiltEvent]:
        """Yield the events in order."""
        yield from map(_built, join(self._generators, self.accounts))

    def blocks(self, n_workers: int) -> Iterator[Block]:
        """Yield blocks with the items themselves."""
        return _blocks_by_value(self._generators, self.accounts, n_workers)

    def progress(self) -> float | None:
        """Return ``None``: how much is to come is not known."""
        return None


def _checked(generator: Iterable[Any], name: str) -> Iterator[InternalWorkerMessage]:
    """Yield a user's messages as ours: they may be dranspose's, or have frames of any kind."""
    messages = iter(generator)
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
        except Exception as error:  # user code
            raise UserCodeError(f"{name} raised {describe_exception(error)}", trace=user_trace(error)) from error
        try:
            streams = {str(key): StreamData(data.typ, list(data.frames)) for key, data in message.streams.items()}
            yield InternalWorkerMessage(int(message.event_number), streams, getattr(message, "created_at", None))
        except (AttributeError, TypeError, ValueError) as error:
            raise UsageError(f"{name} must yield InternalWorkerMessage, got {message!r:.100} ({error})") from None


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


def _blocks_by_value(
    messages: list[Iterator[InternalWorkerMessage]], accounts: list[SourceAccount], n_workers: int
) -> Iterator[Block]:
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


class BlockReader:
    """Reads the events of blocks in a worker process; made in the run's process and sent to the worker.

    Parameters
    ----------
    paths : sequence of Path
        The captures in which blocks are byte ranges.
    times : bool
        Parse time stamps.
    """

    def __init__(self, paths: list[Path], *, times: bool) -> None:
        self._paths = paths
        self._times = times
        self._readers: dict[int, CaptureReader] = {}

    def __call__(self, block: Block) -> Iterator[BuiltEvent]:
        """Yield the events of a block."""
        messages = [self._messages(index, part) for index, part in enumerate(block.parts) if part is not None]
        accounts = [SourceAccount("") for _ in messages]
        if len(messages) == 1:
            yield from _single(messages[0], accounts[0])
        else:
            yield from map(_built, join(messages, accounts))
        for account in accounts:
            if account.error is not None:
                raise account.error

    def _messages(self, index: int, part: tuple[int, int] | bytes) -> Iterator[InternalWorkerMessage]:
        if isinstance(part, bytes):
            return CaptureReader.of_bytes(part, times=self._times).messages()
        reader = self._readers.get(index)
        if reader is None:
            reader = self._readers[index] = CaptureReader(self._paths[index], times=self._times, patience=0)
        reader.select(*part)
        return reader.messages()
