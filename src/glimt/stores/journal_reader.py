"""Reads a journal back: the state it begins with, and every whole record behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from glimt.model.errors import DecodeError, StoreError, UsageError
from glimt.stores.journal_file import open_existing
from glimt.stores.journal_record import HEAD_BYTES, STATE, body_check, decode_head, read_header

_BUFFER_BYTES = 1 << 18


class JournalReader:
    """What can be recovered from a journal; iterate over it once for its records, as (kind, body).

    Reading stops at the first record that is not whole. A killed process leaves at most its last record cut short
    (``is_torn``), of which nobody was told that it is written. Anything else (``is_damaged``) is the doing of a killed
    machine or a bad disk. Only what is in the file when it is opened is read; one record at a time is in memory.

    Parameters
    ----------
    path : Path
        The journal; it must be this user's own, for its state may contain a pickle.
    scan_id : str, optional
        Refuse the journal of any other scan.

    Attributes
    ----------
    scan_id : str
        Whose results these are.
    watermark : int
        All serials below are in ``state``.
    state : bytes or None
        The reducer's state as it was given to `Journal.checkpoint`, ``None`` if there was no checkpoint.
    good_bytes : int
        Up to this byte the journal was read and is whole.
    is_torn, is_damaged : bool
        Why reading stopped before the end, if it did.
    end : str
        The same in words, empty if everything was whole.

    Raises
    ------
    UsageError
        It is another scan's, another user's, a symbolic link or not a file.
    DecodeError
        It is not a journal, or its header or state is damaged.
    StoreError
        It cannot be opened or read.
    """

    def __init__(self, path: Path, *, scan_id: str | None = None) -> None:
        self.path = path
        self.state: bytes | None = None
        self.is_torn = self.is_damaged = False
        self.end = ""
        self._file = os.fdopen(open_existing(path, os.O_RDONLY), "rb", buffering=_BUFFER_BYTES)
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            header, self._is_marked = read_header(self._file, str(path))
            self.scan_id, self.watermark = header.scan_id, header.watermark
            if scan_id is not None and header.scan_id != scan_id:
                raise UsageError(f"{path} is the journal of scan {header.scan_id!r}, not of {scan_id!r}; remove it")
            self.good_bytes = self._file.tell()
            if header.has_state:
                self._read_state()
        except OSError as error:
            self._file.close()
            raise self._store_error(error) from error
        except BaseException:
            self._file.close()
            raise

    @property
    def is_complete(self) -> bool:
        """Whether every record that was said to be written is there; final after iteration."""
        return not (self._is_marked or self.is_damaged)

    def _read_state(self) -> None:
        record = self._read()
        if record is None or record[0] != STATE:
            why = self.end or "it is missing"
            raise DecodeError(f"the checkpoint cannot be read ({why}); reduce the scan anew", where=str(self.path))
        self.state = record[1]

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Return the records, in the order in which they were written.

        Raises
        ------
        StoreError
            The device fails.
        """
        try:
            while (record := self._read()) is not None:
                yield record
        except OSError as error:
            raise self._store_error(error) from error

    def _read(self) -> tuple[int, bytes] | None:
        left = self._size - self.good_bytes
        if not left or self.end:
            return None
        try:
            kind, body = self._read_whole(left)
        except EOFError as error:
            self.is_torn, self.end = True, f"{error}, at byte {self.good_bytes}"
            return None
        except DecodeError as error:
            self.is_damaged, self.end = True, f"{error.what}, at byte {self.good_bytes}"
            return None
        self.good_bytes += HEAD_BYTES + len(body)
        return kind, body

    def _read_whole(self, left: int) -> tuple[int, bytes]:
        """Return the next record; `EOFError` if it ends behind the file, `DecodeError` if it is damaged."""
        head = self._file.read(HEAD_BYTES) if left >= HEAD_BYTES else b""
        if len(head) < HEAD_BYTES:
            raise EOFError(f"a record is cut after {left} bytes")
        kind, n_bytes, check = decode_head(head)
        body = self._file.read(n_bytes) if n_bytes <= left - HEAD_BYTES else b""
        if len(body) < n_bytes:
            raise EOFError(f"a record of {n_bytes} bytes is cut after {left - HEAD_BYTES}")
        if body_check(head, body) != check:
            raise DecodeError(f"a record of {n_bytes} bytes is damaged (checksum)")
        return kind, body

    def _store_error(self, error: OSError) -> StoreError:
        return StoreError(f"the journal cannot be read: {error.strerror or error}", path=str(self.path))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
