"""The events of a replay: from capture files or a user's source class, whole or in blocks for several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from glimt.app.blocks import blocks_by_range, blocks_by_value, blocks_of_one_file
from glimt.app.stream_names import StreamNames
from glimt.model.errors import DecodeError, UsageError, UserCodeError
from glimt.model.event import EventData, InternalWorkerMessage, StreamData
from glimt.pipeline.block import Block
from glimt.pipeline.failure import describe_exception, user_trace
from glimt.pipeline.join import Joined, SourceAccount, join
from glimt.sources.capture import CaptureReader


class ReplayEvents(Protocol):
    """Events to replay."""

    accounts: list[SourceAccount]

    def events(self) -> Iterator[EventData]:
        """Yield the events in order."""
        ...

    def blocks(self, n_workers: int) -> Iterator[Block]:
        """Yield the events in blocks that ``BlockReader`` reads in another process."""
        ...

    def progress(self) -> float | None:
        """Return how far it is, 0 to 1; ``None`` if that cannot be known."""
        ...

    def fraction(self, block: Block) -> float | None:
        """Return how far the end of a block is, 0 to 1; ``None`` if that cannot be known."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


def _built(joined: Joined[InternalWorkerMessage]) -> EventData:
    messages = [message for message in joined.parts if message is not None]
    if len(messages) == 1:
        return messages[0]
    try:
        event = EventData.from_internals(messages)
    except ValueError as error:
        raise UsageError(f"the captures cannot be joined: {error}") from None
    return InternalWorkerMessage(event.event_number, event.streams, messages[0].created_at)


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
        self._closed = False
        self._compressed = any(reader.is_compressed for reader in self._readers)

    def events(self) -> Iterator[EventData]:
        """Yield the events in order."""
        messages = [reader.messages() for reader in self._readers]
        if len(messages) == 1:
            yield from _single(messages[0], self.accounts[0])
        else:
            yield from map(_built, join(messages, self.accounts))

    def blocks(self, n_workers: int) -> Iterator[Block]:
        """Yield blocks: byte ranges of the files, or the items themselves if a file is compressed."""
        if self._compressed:
            return blocks_by_value([reader.messages() for reader in self._readers], self.accounts, n_workers)
        if len(self._readers) == 1:
            return blocks_of_one_file(self._readers[0].extent_batches(), self.accounts[0], n_workers)
        return blocks_by_range([reader.extents() for reader in self._readers], self.accounts, n_workers)

    def progress(self) -> float | None:
        """Return how much of the files was read, 0 to 1."""
        if self._closed:
            return 1.0
        return min((done for reader in self._readers if (done := reader.progress()) is not None), default=None)

    def fraction(self, block: Block) -> float | None:
        """Return where in the files a block ends, 0 to 1; of compressed files, how much was read by now."""
        ends = [part[1] for part in block.parts if isinstance(part, tuple)]
        sizes = [path.stat().st_size for path in self._paths]
        return self.progress() if not ends or not all(sizes) else min(1.0, max(ends) / max(sizes))

    def close(self) -> None:
        """Close the files."""
        self._closed = True
        for reader in self._readers:
            reader.close()


def _single(messages: Iterator[InternalWorkerMessage], account: SourceAccount) -> Iterator[EventData]:
    """Yield the events of one source: nothing to join, so nothing is spent on it."""
    try:
        yield from messages
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

    def events(self) -> Iterator[EventData]:
        """Yield the events in order."""
        yield from map(_built, join(self._generators, self.accounts))

    def blocks(self, n_workers: int) -> Iterator[Block]:
        """Yield blocks with the items themselves."""
        return blocks_by_value(self._generators, self.accounts, n_workers)

    def progress(self) -> float | None:
        """Return ``None``: how much is to come is not known."""
        return None

    def fraction(self, block: Block) -> float | None:
        """Return ``None``: how much is to come is not known."""
        return None

    def close(self) -> None:
        """Nothing to close."""


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


class BlockReader:
    """Reads the events of blocks in a worker process; made in the run's process and sent to the worker.

    Parameters
    ----------
    paths : sequence of Path
        The captures in which blocks are byte ranges.
    times : bool
        Parse time stamps.
    names : StreamNames, optional
        Other names for the streams.
    """

    def __init__(self, paths: list[Path], *, times: bool, names: StreamNames | None = None) -> None:
        self._paths = [path.absolute() for path in paths]  # user code may change the folder
        self._times = times
        self._names = names or StreamNames()
        self._readers: dict[int, CaptureReader] = {}

    def __call__(self, block: Block) -> Iterator[EventData]:
        """Yield the events of a block."""
        messages = [self._messages(index, part) for index, part in enumerate(block.parts) if part is not None]
        accounts = [SourceAccount("") for _ in messages]
        if len(messages) == 1:
            yield from self._names.renamed(_single(messages[0], accounts[0]))
        else:
            yield from self._names.renamed(map(_built, join(messages, accounts)))
        for account in accounts:
            if account.error is not None:
                raise account.error

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers.values():
            reader.close()

    def _messages(self, index: int, part: tuple[int, int] | bytes) -> Iterator[InternalWorkerMessage]:
        if isinstance(part, bytes):
            return CaptureReader.of_bytes(part, times=self._times).messages()
        reader = self._readers.get(index)
        if reader is None:
            reader = self._readers[index] = CaptureReader(self._paths[index], times=self._times)
        reader.select(*part)
        return reader.messages()
