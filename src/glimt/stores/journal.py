"""A reducer's memory: the results it was given, on disk before they are reduced, and its last checkpoint."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from glimt.model.errors import GlimtError, StoreError, UsageError
from glimt.stores.journal_file import create_locked, open_locked, remove_leftover, sync_folder
from glimt.stores.journal_reader import JournalReader
from glimt.stores.journal_record import (
    HEAD_BYTES,
    MAX_BODY_BYTES,
    STATE,
    SegmentHeader,
    encode_head,
    encode_header,
    mark_incomplete,
)

Body = bytes | bytearray | memoryview

_SCAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DEFAULT_MAX_BYTES = 4 << 30


def journal_path(folder: Path, scan_id: str) -> Path:
    """Return the file of a scan's journal.

    Raises
    ------
    UsageError
        The scan's identity cannot be a file name.
    """
    _check_scan_id(scan_id)
    return folder / f"{scan_id}.journal"


def _check_scan_id(scan_id: str) -> None:
    if not _SCAN_ID.fullmatch(scan_id):
        raise UsageError(f"scan {scan_id!r} cannot name a journal; use up to 100 letters, digits, '.', '_' and '-'")


class Journal:
    """Append-only file of one scan (format: `glimt.stores.journal_record`); a context manager.

    Every record is handed to the operating system by one call: a killed process loses no record whose `append`
    returned. Records are not forced to the disk, so a machine that loses power loses the last seconds of them; a
    checkpoint is forced. A checkpoint begins a new file, which takes the place of the old one in one step: whenever the
    process is killed, one of the two is there, whole.

    If a record cannot be written (disk full, quota, device, ``max_bytes``), the journal is ``broken``: the record is
    taken back, the file is marked as incomplete, and `append` only counts until the next successful `checkpoint`.

    Parameters
    ----------
    path : Path
        The file (`journal_path`); missing folders are made. If it exists, this goes on behind its last whole record;
        one that a killed process left half is removed.
    scan_id : str
        Whose results these are.
    max_bytes : int
        Largest file; while a checkpoint is made, it and the file before it are both there.

    Attributes
    ----------
    n_bytes : int
        Length of the file.
    n_records : int
        Records in it, without the state.
    broken : StoreError or None
        Why records are not written any more.
    n_lost : int
        Records that are missing since it is broken, as far as this process knows.

    Raises
    ------
    UsageError
        The file is another scan's or user's, a symbolic link, being written by another process, or can be written by
        other users; or the scan's identity cannot be a file name.
    DecodeError
        It exists and is not a journal, or its checkpoint is damaged.
    StoreError
        It cannot be made or read.
    """

    def __init__(self, path: Path, *, scan_id: str, max_bytes: int = _DEFAULT_MAX_BYTES) -> None:
        _check_scan_id(scan_id)
        self.path = path
        self.scan_id = scan_id
        self.max_bytes = max_bytes
        self.n_bytes = self.n_records = self.n_lost = 0
        self.broken: StoreError | None = None
        self._new_path = path.with_name(f"{path.name}.new")
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.path.lexists(path):
                self._resume()
            else:
                self._replace(SegmentHeader(scan_id, 0, has_state=False), ())
        except (OSError, ValueError) as error:
            if isinstance(error, GlimtError):
                raise
            raise self._failure("the journal cannot be made", error) from error

    def _resume(self) -> None:
        descriptor = open_locked(self.path)
        try:
            with self.recover() as reader:
                self.n_records = sum(1 for _ in reader)
            self.n_bytes = reader.good_bytes
            if reader.is_complete:
                os.ftruncate(descriptor, self.n_bytes)
            else:
                why = reader.end or "an earlier process could not write all"
                self.broken = self._failure("records are missing", why)
                mark_incomplete(descriptor)
            with suppress(OSError, UsageError):
                remove_leftover(self._new_path)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def recover(self) -> JournalReader:
        """Return what is in the journal, for a reducer to begin with; close it after reading.

        Raises
        ------
        UsageError, DecodeError, StoreError
            As `JournalReader`.
        """
        return JournalReader(self.path, scan_id=self.scan_id)

    def append(self, kind: int, body: Body) -> None:
        """Write a record; if that fails, the journal is ``broken`` and the caller goes on without.

        Parameters
        ----------
        kind : int
            What it is, 0..254, the caller's to choose.
        body : buffer
            Contiguous.

        Raises
        ------
        UsageError
            The kind is out of range, or the journal is closed.
        """
        _check_kind(kind)
        if self.broken is not None:
            self.n_lost += 1
            return
        try:
            self.n_bytes = _write_record(self._descriptor, kind, body, self.n_bytes, self.max_bytes)
        except OSError as error:
            if self._descriptor < 0:
                raise UsageError(f"{self.path} is closed; make a new journal") from None
            self._break(error)
        else:
            self.n_records += 1

    def _break(self, error: OSError) -> None:
        self.n_lost += 1
        self.broken = self._failure("until the next checkpoint, results are lost if the reducer dies", error)
        with suppress(OSError):
            os.ftruncate(self._descriptor, self.n_bytes)
        with suppress(OSError):
            mark_incomplete(self._descriptor)

    def checkpoint(self, state: bytes, *, watermark: int, waiting: Iterable[tuple[int, Body]] = ()) -> None:
        """Replace all records by the reducer's state; a journal that was broken is whole again.

        Parameters
        ----------
        state : bytes
            All results with serials below ``watermark`` are in it, and no other.
        watermark : int
            Where `ResultOrder` resumes.
        waiting : iterable of (int, buffer)
            Records of what was acknowledged and is not in the state: results that wait for one before them.

        Raises
        ------
        StoreError
            It cannot be written; the journal is as it was before.
        UsageError
            A kind is out of range, or the journal is closed.
        """
        if self._descriptor < 0:
            raise UsageError(f"{self.path} is closed; make a new journal")
        records = chain([(STATE, state)], waiting)
        try:
            self._replace(SegmentHeader(self.scan_id, watermark, has_state=True), records)
        except OSError as error:
            raise self._failure("the checkpoint cannot be written", error) from error
        self.n_records -= 1
        self.broken, self.n_lost = None, 0

    def _replace(self, header: SegmentHeader, records: Iterable[tuple[int, Body]]) -> None:
        """Put a new file in the place of the old one, which stays as it is if that fails."""
        descriptor = create_locked(self._new_path)
        try:
            n_bytes, n_records = _write(descriptor, memoryview(encode_header(header)), 0), 0
            for kind, body in records:
                if not (header.has_state and n_records == 0):
                    _check_kind(kind)
                n_bytes = _write_record(descriptor, kind, body, n_bytes, self.max_bytes)
                n_records += 1
            os.fsync(descriptor)
            if self._descriptor < 0 and os.path.lexists(self.path):
                raise UsageError(f"{self.path} is being made by another process; end that one first")
            os.replace(self._new_path, self.path)
        except BaseException:
            with suppress(OSError):
                self._new_path.unlink()
            os.close(descriptor)
            raise
        old, self._descriptor = self._descriptor, descriptor
        self.n_bytes, self.n_records = n_bytes, n_records
        if old >= 0:
            os.close(old)
        sync_folder(self.path.parent)

    def _failure(self, what: str, why: Exception | str) -> StoreError:
        return StoreError(f"{what}: {getattr(why, 'strerror', None) or why}", path=str(self.path))

    def close(self) -> None:
        """Close; the file stays, to be recovered from. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Close and remove the file: the scan's results are where they should be."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self.path.unlink()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_kind(kind: int) -> None:
    if not 0 <= kind < STATE:
        raise UsageError(f"a record cannot be of kind {kind}; choose 0..{STATE - 1}")


def _write_record(descriptor: int, kind: int, body: Body, offset: int, max_bytes: int) -> int:
    """Write a record at ``offset`` and return where it ends.

    By offset, so that a record during which a signal's exception came is overwritten by the next one.

    Raises
    ------
    OSError
        Not all of it could be written, or it would end behind ``max_bytes``.
    """
    n_body = body.nbytes if isinstance(body, memoryview) else len(body)
    n_bytes = HEAD_BYTES + n_body
    room = max_bytes - offset
    if n_bytes > room:
        raise OSError(f"a record of {n_bytes} bytes does not fit into the {room} bytes left of the journal's limit")
    if n_body > MAX_BODY_BYTES:
        raise OSError(f"a record of {n_body} bytes is larger than the journal's largest, {MAX_BODY_BYTES} bytes")
    head = encode_head(kind, body, n_body)
    n_written = os.pwritev(descriptor, (head, body), offset)
    if n_written != n_bytes:  # a signal, more than 2 GB, or a disk that is about to be full
        if n_written < HEAD_BYTES:
            n_written = _write(descriptor, memoryview(head)[n_written:], offset + n_written) - offset
        _write(descriptor, memoryview(body).cast("B")[n_written - HEAD_BYTES :], offset + n_written)
    return offset + n_bytes


def _write(descriptor: int, data: memoryview, offset: int) -> int:
    """Write all of ``data`` and return where it ends."""
    while data:
        n_written = os.pwrite(descriptor, data, offset)
        data, offset = data[n_written:], offset + n_written
    return offset
