"""Raw recordings of multipart messages: a CBOR sequence (RFC 8742) of arrays of byte strings, plain or gzip.

``[ part : bstr, ... ]`` for each message as it came over the wire, nothing else: what dranspose's tests and several
beamlines keep of a detector's ZeroMQ stream. Read head by head, so that nothing is allocated that is not there.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from glimt.codecs.capture import Window, open_window
from glimt.model.errors import DecodeError, UsageError
from glimt.model.frame import MAX_ARRAY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PARTS = 4096
"""Most parts that a message may have; an image has 2 to 5."""

_BYTES, _TEXT, _ARRAY, _TAG = 2, 3, 4, 6
_MAJOR_NAMES = ("a number", "a negative number", "bytes", "text", "an array", "a map", "a tag", "a simple value")
_SELF_DESCRIBED, _CAPTURE_TAG = 55799, 42877


class MultipartRecording:
    """Reads one raw recording; a context manager.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    n_messages : int
        Messages read so far.

    Raises
    ------
    UsageError
        The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_messages = 0
        self._offset = 0
        try:
            self._window: Window = open_window(path)
        except OSError as error:
            raise UsageError(f"cannot read recording {path}: {error.strerror or error}") from None

    def messages(self) -> Iterator[list[bytes]]:
        """Yield the parts of each message in order.

        Raises
        ------
        DecodeError
            The file is truncated, damaged or no such recording: text with byte offset (in the decompressed stream).
            What came before was yielded.
        """
        while True:
            try:
                self._window.forget(self._offset)
                if not self._window.read(self._offset, 1):
                    return
                parts = self._message()
            except (EOFError, OSError, zlib.error) as error:
                self._fail(f"cannot be read ({error})", self._offset)
            self.n_messages += 1
            yield parts

    def progress(self) -> float | None:
        """Return how much of the file was read, 0 to 1; ``None`` if it cannot be known."""
        size = self._window.size()
        return None if not size else min(1.0, self._window.consumed(self._offset) / size)

    def _message(self) -> list[bytes]:
        at = self._offset
        major, n_parts, offset = self._head(at, "a message")
        if (major, n_parts) == (_TAG, _SELF_DESCRIBED):
            major, n_parts, offset = self._head(offset, "a message")
        if (major, n_parts) == (_TAG, _CAPTURE_TAG):
            raise DecodeError(
                f"the item at byte {at} is an event of a capture: glimt replay takes this file as it is",
                where=str(self.path),
            )
        if major != _ARRAY:
            found = f"tag {n_parts}" if major == _TAG else _MAJOR_NAMES[major]
            self._fail(f"not a recording: a message should be an array of byte strings, found {found}", at)
        if n_parts > MAX_PARTS:
            self._fail(f"a message announces {n_parts} parts, at most {MAX_PARTS} are accepted", at)
        parts: list[bytes] = []
        total = 0
        for number in range(n_parts):
            what, at = f"part {number} of message {self.n_messages}", offset
            major, length, offset = self._head(at, what)
            if major not in {_BYTES, _TEXT}:
                self._fail(f"{what} should be bytes, found {_MAJOR_NAMES[major]}", at)
            total += length
            if total > MAX_ARRAY_BYTES:
                self._fail(f"{what} announces {length} bytes, at most {MAX_ARRAY_BYTES} in all are accepted", at)
            if not self._window.holds(offset, length):
                self._fail(f"truncated: the data end inside {what} of {length} bytes", offset)
            parts.append(self._window.read(offset, length))
            offset += length
        self._offset = offset
        return parts

    def _head(self, at: int, what: str) -> tuple[int, int, int]:
        """Return major type, argument and the offset behind the CBOR head at ``at``."""
        data = self._window.read(at, 1)
        if not data:
            self._fail(f"truncated: the data end where {what} should be", at)
        major, info = data[0] >> 5, data[0] & 31
        if info < 24:
            return major, info, at + 1
        if info > 27:
            self._fail(f"{what} has an indefinite or reserved length", at)
        size = 1 << (info - 24)
        data = self._window.read(at + 1, size)
        if len(data) < size:
            self._fail(f"truncated: the data end inside {what}", at)
        return major, int.from_bytes(data, "big"), at + 1 + size

    def _fail(self, what: str, offset: int) -> NoReturn:
        good = f"{self.n_messages} messages before it are good" if self.n_messages else "no message before it is good"
        raise DecodeError(f"{what} at byte {offset}; {good}", where=str(self.path)) from None

    def close(self) -> None:
        """Close the file."""
        self._window.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
