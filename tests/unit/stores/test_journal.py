"""The journal of a scan: what is written is there, whatever happens to its end."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import StoreError, UsageError
from glimt.stores.journal import Journal, journal_path
from glimt.stores.journal_reader import JournalReader
from journal_files import RECORDS, read_journal, write_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "journals", "scan-1")


def test_records_come_back_in_order(path: Path) -> None:
    n_bytes = write_journal(path)
    assert path.name == "scan-1.journal"
    assert path.stat().st_size == n_bytes
    with JournalReader(path) as reader:
        assert (reader.scan_id, reader.watermark, reader.state) == ("scan-1", 0, None)
        assert list(reader) == RECORDS
        assert reader.good_bytes == n_bytes
        assert reader.is_complete
        assert reader.end == ""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_a_record(path: Path, kind: type) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        journal.append(1, kind(b"abc"))
        doubles: Any = memoryview(struct.pack("<3d", 1, 2, 3)).cast("d")
        journal.append(2, doubles)
        assert (journal.n_records, journal.broken) == (2, None)
    assert read_journal(path) == [(1, b"abc"), (2, struct.pack("<3d", 1, 2, 3))]


def test_a_record_is_in_the_file_as_soon_as_append_returns(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        for n_written, (kind, body) in enumerate(RECORDS):
            assert read_journal(path) == RECORDS[:n_written]
            journal.append(kind, body)
            assert path.stat().st_size == journal.n_bytes


def test_a_journal_that_exists_is_gone_on_with(path: Path) -> None:
    write_journal(path)
    with Journal(path, scan_id="scan-1") as journal:
        assert journal.n_records == len(RECORDS)
        journal.append(9, b"more")
    assert read_journal(path) == [*RECORDS, (9, b"more")]


def test_a_journal_cut_anywhere_gives_every_whole_record_and_goes_on(path: Path) -> None:
    records = [(1, b"first"), (0, b""), (7, b"seventy"), (3, b"last")]
    write_journal(path, [])
    ends = [path.stat().st_size]
    for n_records in range(1, len(records) + 1):
        path.unlink()
        ends.append(write_journal(path, records[:n_records]))
    whole = path.read_bytes()
    for cut in range(ends[0], len(whole)):
        path.write_bytes(whole[:cut])
        n_whole = max(n for n, end in enumerate(ends) if end <= cut)
        with JournalReader(path) as reader:
            assert list(reader) == records[:n_whole]
            assert reader.good_bytes == ends[n_whole]
            assert reader.is_torn == (cut != ends[n_whole])
            assert reader.is_complete
            assert reader.end.endswith(f"at byte {ends[n_whole]}" if reader.is_torn else "")
        with Journal(path, scan_id="scan-1") as journal:
            assert (journal.n_records, journal.n_bytes, journal.broken) == (n_whole, ends[n_whole], None)
            assert path.stat().st_size == ends[n_whole]
            journal.append(8, b"new")
        assert read_journal(path) == [*records[:n_whole], (8, b"new")]


def test_a_flipped_bit_anywhere_is_noticed(path: Path) -> None:
    records = [(1, b"first"), (0, b""), (7, b"seventy")]
    write_journal(path, [])
    header_bytes = path.stat().st_size
    path.unlink()
    write_journal(path, records)
    whole = path.read_bytes()
    for position in range(header_bytes, len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with JournalReader(path) as reader:
                found = list(reader)
                assert found == records[: len(found)]
                assert len(found) < len(records)
                assert reader.is_damaged
                assert not reader.is_complete


def test_a_damaged_journal_is_not_gone_on_with_before_a_checkpoint(path: Path) -> None:
    write_journal(path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with Journal(path, scan_id="scan-1") as journal:
        assert "records are missing: a record of 4 bytes is damaged (checksum), at byte" in str(journal.broken)
        journal.append(1, b"nowhere")
        assert journal.n_lost == 1
        assert path.stat().st_size == len(damaged)
        journal.checkpoint(b"state", watermark=9)
        assert journal.broken is None
        journal.append(1, b"somewhere")
    assert read_journal(path) == [(1, b"somewhere")]


def test_zeros_behind_the_last_record_are_damage(path: Path) -> None:
    """What some file systems leave behind when the machine dies."""
    n_bytes = write_journal(path)
    with path.open("ab") as file:
        file.write(bytes(5000))
    with JournalReader(path) as reader:
        assert list(reader) == RECORDS
        assert (reader.good_bytes, reader.is_damaged) == (n_bytes, True)


def test_a_checkpoint_takes_the_place_of_the_records(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        for kind, body in RECORDS:
            journal.append(kind, body)
        journal.checkpoint(b"the state", watermark=17, waiting=[(5, b"early"), (6, memoryview(b"birds"))])
        assert journal.n_records == 2
        journal.append(7, b"after")
        assert (journal.n_records, journal.n_bytes) == (3, path.stat().st_size)
        with journal.recover() as reader:
            assert (reader.state, reader.watermark) == (b"the state", 17)
            assert list(reader) == [(5, b"early"), (6, b"birds"), (7, b"after")]
        journal.checkpoint(b"", watermark=18)
        journal.append(8, b"again")
    with JournalReader(path) as reader:
        assert (reader.state, reader.watermark) == (b"", 18)
        assert list(reader) == [(8, b"again")]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_journal_with_a_checkpoint_is_gone_on_with(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        journal.checkpoint(b"the state", watermark=17, waiting=[(5, b"early")])
    with Journal(path, scan_id="scan-1") as journal:
        assert journal.n_records == 1
        journal.append(6, b"more")
        with journal.recover() as reader:
            assert (reader.state, list(reader)) == (b"the state", [(5, b"early"), (6, b"more")])


@pytest.mark.parametrize("leftover", [b"", b"half a checkp", None])
def test_what_a_killed_checkpoint_left_behind_is_removed(path: Path, leftover: bytes | None) -> None:
    write_journal(path)
    new = path.with_name(path.name + ".new")
    if leftover is None:
        new.symlink_to(path)
    else:
        new.write_bytes(leftover)
    with Journal(path, scan_id="scan-1") as journal:
        assert not os.path.lexists(new)
        with journal.recover() as reader:
            assert list(reader) == RECORDS
    path.unlink()
    new.write_bytes(b"half a header")
    write_journal(path)
    assert read_journal(path) == RECORDS
    assert not new.exists()


def test_a_journal_removed_at_the_end_of_its_scan_is_gone(path: Path) -> None:
    journal = Journal(path, scan_id="scan-1")
    journal.append(1, b"x")
    journal.discard()
    journal.discard()
    journal.close()
    assert list(path.parent.iterdir()) == []
    with pytest.raises(UsageError, match="is closed; make a new journal"):
        journal.append(1, b"")
    with pytest.raises(UsageError, match="is closed; make a new journal"):
        journal.checkpoint(b"", watermark=0)
    with pytest.raises(StoreError, match="the journal cannot be opened: No such file"):
        JournalReader(path)
