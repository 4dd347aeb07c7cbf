"""Plays a recording as if its device were there."""

from __future__ import annotations

import itertools
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from glimt.codecs.capture import open_window
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import time_ns
from glimt.sources.capture import CaptureReader
from glimt.sources.message_queue import DEFAULT_QUEUE_BYTES
from glimt.sources.multipart_recording import MultipartRecording
from glimt.sources.original_messages import original_messages
from glimt.sources.threaded_source import ThreadedSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glimt.sources.source_options import SourceOptions

_PEEK_EVENTS = 1000
_PEEK_BYTES = 64 << 20
_LATE_S = 0.1
_SELF_DESCRIBED_CAPTURE = (b"\xd9\xd9\xf7\xd9\xa7\x7d", b"\xd9\xa7\x7d")


class RecordedEvent(NamedTuple):
    """What one event of a recording was on the wire, and when it was recorded [ns], -1 if that is not known."""

    messages: list[list[Any]]
    when_ns: int


class CapturePlayer(ThreadedSource):
    """Hands out the messages of one stream of a capture, or of a raw recording, in order. A context manager.

    Nothing is skipped: while its messages are not taken it waits, and then goes on at its pace, without a burst.
    When the last is out, ``state().is_ended`` is true. Damage in the file ends it there, with the reason in the state.

    Parameters
    ----------
    path : Path
        A capture (``.cbors``) or a raw recording of multipart messages, also compressed with gzip.
    stream : str
        Which stream; may be empty if the capture has one. A raw recording has one without a name.
    speed : float
        1 as it was recorded, 10 ten times as fast; 0 as fast as it is taken.
    rate_hz : float
        So many events a second, whatever the recorded times; 0 leaves it to ``speed``.
    loops : int
        How often it is played; 0 without end.
    queue_bytes : int
        How far it reads ahead [bytes].

    Raises
    ------
    UsageError
        There is no such file or stream, or it has no times to follow.
    """

    def __init__(
        self,
        path: Path,
        *,
        stream: str = "",
        speed: float = 1.0,
        rate_hz: float = 0.0,
        loops: int = 1,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
    ) -> None:
        self._path = path
        self._stream = stream
        self._speed = 0.0 if rate_hz else speed
        self._rate_hz = rate_hz
        self._loops = loops
        self._is_capture = _is_capture(path)
        self._look()
        super().__init__(str(path), queue_bytes=queue_bytes)
        self._state.connected = True
        self._n_events = 0
        self._due_s = 0.0
        self._thread.start()

    @classmethod
    def from_options(cls, options: SourceOptions) -> Self:
        """Open the source that the options describe."""
        return cls(
            Path(options.address.removeprefix("file://")),
            stream=options.stream,
            speed=options.speed,
            rate_hz=options.rate_hz,
            loops=options.loops,
            queue_bytes=options.queue_bytes,
        )

    def _look(self) -> None:
        """Find the stream, and whether there are times, at the beginning of the file."""
        if not self._is_capture:
            if self._stream:
                raise UsageError(
                    f"{self._path} is a raw recording, which has no stream {self._stream[:80]!r}: name none"
                )
            self._check_times(-1)
            return
        names, when_ns, is_whole = self._peek()
        if not names:
            raise UsageError(f"{self._path} has no events")
        known = ", ".join(sorted(names))
        if not self._stream and len(names) > 1:
            raise UsageError(f"stream is needed: {self._path} has {known}")
        if self._stream not in names and self._stream and is_whole:
            raise UsageError(f"stream is {self._stream[:80]!r}; {self._path} has {known}")
        self._stream = self._stream or names.pop()
        self._check_times(when_ns)

    def _peek(self) -> tuple[set[str], int, bool]:
        """Return the streams at the beginning, the first time [ns], and whether that was the whole file."""
        names: set[str] = set()
        when_ns = -1
        with CaptureReader(self._path, times=True) as reader:
            try:
                for number, message in enumerate(reader.messages()):
                    if number == 0:
                        when_ns = time_ns(message.created_at)
                    names.update(message.streams)
                    if number >= _PEEK_EVENTS or reader.position > _PEEK_BYTES or self._stream in names:
                        return names, when_ns, False
            except DecodeError as error:
                if not names:
                    raise UsageError(str(error)) from None
        return names, when_ns, True

    def _check_times(self, when_ns: int) -> None:
        if self._speed and when_ns < 0:
            raise UsageError(
                f"{self._path} has no times to follow: give rate_hz, or speed = 0 for as fast as it is taken"
            )

    def _run(self) -> None:
        rounds = range(self._loops) if self._loops else itertools.count()
        try:
            for number in rounds:
                n_before = self._n_events
                self._state.detail = f"{self._path}, round {number + 1}" if self._loops != 1 else str(self._path)
                for event in self._pace(self._events()):
                    for parts in event.messages:
                        if not self._hand_over(parts, sum(map(len, parts))):
                            return
                if self._n_events == n_before:
                    what = f"stream {self._stream[:80]!r}" if self._is_capture else "messages"
                    self._state.last_error = f"{self._path} has no {what}"
                    return
        except (DecodeError, UsageError) as error:
            self._state.last_error = str(error)
        finally:
            self._state.connected = False

    def _events(self) -> Iterator[RecordedEvent]:
        if not self._is_capture:
            with MultipartRecording(self._path) as recording:
                for parts in recording.messages():
                    yield RecordedEvent([parts], -1)
            return
        with CaptureReader(self._path, times=bool(self._speed)) as reader:
            for message in reader.messages():
                data = message.streams.get(self._stream)
                if data is not None:
                    yield RecordedEvent(original_messages(data), time_ns(message.created_at))

    def _pace(self, events: Iterator[RecordedEvent]) -> Iterator[RecordedEvent]:
        """Yield each event when it is due, until the source is closed."""
        last_ns = -1
        for event in events:
            wait = 1 / self._rate_hz if self._rate_hz else 0.0
            if self._speed and last_ns >= 0 <= event.when_ns:
                wait = max(0.0, (event.when_ns - last_ns) / 1e9 / self._speed)
            last_ns = max(last_ns, event.when_ns)
            if wait or not self._n_events:
                now = time.monotonic()
                self._due_s = self._due_s + wait if self._n_events else now
                if now - self._due_s > _LATE_S:
                    self._due_s = now
                elif self._due_s > now and self._stopping.wait(self._due_s - now):
                    return
            if self._stopping.is_set():
                return
            self._n_events += 1
            yield event


def _is_capture(path: Path) -> bool:
    try:
        window = open_window(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return window.read(0, 6).startswith(_SELF_DESCRIBED_CAPTURE)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    finally:
        window.close()
