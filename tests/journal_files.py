"""Journals of one scan, written and read back, and a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glimt.stores.journal import Journal
from glimt.stores.journal_reader import JournalReader

RECORDS = [(1, b"first"), (0, b""), (254, bytes(range(256)) * 40), (3, b"last")]


@contextmanager
def file_limit(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond: what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_journal(path: Path, records: list[tuple[int, bytes]] = RECORDS) -> int:
    """Write a journal of these records; return its size [bytes]."""
    with Journal(path, scan_id="scan-1") as journal:
        for kind, body in records:
            journal.append(kind, body)
        return journal.n_bytes


def read_journal(path: Path) -> list[tuple[int, bytes]]:
    """Return the records of a journal."""
    with JournalReader(path, scan_id="scan-1") as reader:
        return list(reader)
