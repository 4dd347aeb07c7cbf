"""The reducer's results on disk until a scan is over, as `glimt.engines.scan_reduction.ResultLog` wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from glimt.engines.scan_reduction import ResultLog
from glimt.model.errors import StoreError
from glimt.stores.journal import Journal, journal_path

_ONE_PART, _PARTS = 1, 2
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def _record(parts: Sequence[bytes]) -> tuple[int, bytes]:
    """Return a message as a record of the journal."""
    return (_ONE_PART, parts[0]) if len(parts) == 1 else (_PARTS, _encode(list(parts)))


class JournalLog:
    """A `Journal` of messages; see `ResultLog`.

    Parameters
    ----------
    folder : Path
        Where journals are.
    scan_id : str
        The scan.
    """

    def __init__(self, folder: Path, scan_id: str) -> None:
        self._journal: Journal | None = None
        self._problem = ""
        self.scan_id = scan_id
        try:
            self._journal = Journal(journal_path(folder, scan_id), scan_id=scan_id)
        except StoreError as error:  # a full disk at the start of a scan must not keep it from running
            self._problem = str(error)

    @property
    def problem(self) -> str:
        """Why results are not kept at the moment, empty while they are."""
        if self._journal is None:
            return self._problem
        return "" if self._journal.broken is None else str(self._journal.broken)

    def recover(self) -> tuple[bytes | None, int, Iterator[list[bytes]]]:
        """Return the last checkpoint's state, its watermark, and the messages after it."""
        if self._journal is None:
            return None, 0, iter(())
        with self._journal.recover() as reader:
            records = list(reader)
            state, watermark = reader.state, reader.watermark
        return state, watermark, (_decode(body) if kind == _PARTS else [body] for kind, body in records)

    def keep(self, parts: Sequence[bytes]) -> None:
        """Write a message."""
        if self._journal is not None:
            self._journal.append(*_record(parts))

    def checkpoint(self, state: bytes, watermark: int, waiting: Sequence[Sequence[bytes]]) -> None:
        """Put a state, and messages that are not in it, in the place of all before; a full disk changes nothing."""
        if self._journal is None:
            return
        try:
            self._journal.checkpoint(state, watermark=watermark, waiting=map(_record, waiting))
            self._problem = ""
        except StoreError as error:
            self._problem = str(error)

    def discard(self) -> None:
        """Remove the journal."""
        if self._journal is not None:
            self._journal.discard()


class NoLog:
    """Keeps nothing: a reducer that is killed begins anew with what comes after."""

    problem: str = "there is no journal (output.journal = false)"

    def recover(self) -> tuple[bytes | None, int, Iterator[list[bytes]]]:
        """Return nothing."""
        return None, 0, iter(())

    def keep(self, parts: Sequence[bytes]) -> None:
        """Keep nothing."""

    def checkpoint(self, state: bytes, watermark: int, waiting: Sequence[Sequence[bytes]]) -> None:
        """Keep nothing."""

    def discard(self) -> None:
        """Nothing is there."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """Opens the log of a scan; pickled to the reducer's process.

    Attributes
    ----------
    folder : Path or None
        Where journals are; ``None`` keeps none.
    """

    folder: Path | None

    def __call__(self, scan_id: str) -> ResultLog:
        """Return the log."""
        return NoLog() if self.folder is None else JournalLog(self.folder, scan_id)
