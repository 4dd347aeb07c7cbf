"""The journal of a scan: what is written is there, whatever happens to its end."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import DecodeError, StoreError, UsageError
from glimt.stores.journal import Journal, journal_path
from glimt.stores.journal_reader import JournalReader
from glimt.stores.journal_record import SegmentHeader, encode_header

RECORDS = [(1, b"first"), (0, b""), (254, bytes(range(256)) * 40), (3, b"last")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "journals", "scan-1")


@contextmanager
def file_limit(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond: what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(path: Path, records: list[tuple[int, bytes]] = RECORDS) -> int:
    with Journal(path, scan_id="scan-1") as journal:
        for kind, body in records:
            journal.append(kind, body)
        return journal.n_bytes


def read(path: Path) -> list[tuple[int, bytes]]:
    with JournalReader(path, scan_id="scan-1") as reader:
        return list(reader)


def test_records_come_back_in_order(path: Path) -> None:
    n_bytes = write(path)
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
    assert read(path) == [(1, b"abc"), (2, struct.pack("<3d", 1, 2, 3))]


def test_a_record_is_in_the_file_as_soon_as_append_returns(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        for n_written, (kind, body) in enumerate(RECORDS):
            assert read(path) == RECORDS[:n_written]
            journal.append(kind, body)
            assert path.stat().st_size == journal.n_bytes


def test_a_journal_that_exists_is_gone_on_with(path: Path) -> None:
    write(path)
    with Journal(path, scan_id="scan-1") as journal:
        assert journal.n_records == len(RECORDS)
        journal.append(9, b"more")
    assert read(path) == [*RECORDS, (9, b"more")]


def test_a_journal_cut_anywhere_gives_every_whole_record_and_goes_on(path: Path) -> None:
    records = [(1, b"first"), (0, b""), (7, b"seventy"), (3, b"last")]
    write(path, [])
    ends = [path.stat().st_size]
    for n_records in range(1, len(records) + 1):
        path.unlink()
        ends.append(write(path, records[:n_records]))
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
        assert read(path) == [*records[:n_whole], (8, b"new")]


def test_a_flipped_bit_anywhere_is_noticed(path: Path) -> None:
    records = [(1, b"first"), (0, b""), (7, b"seventy")]
    write(path, [])
    header_bytes = path.stat().st_size
    path.unlink()
    write(path, records)
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
    write(path)
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
    assert read(path) == [(1, b"somewhere")]


def test_zeros_behind_the_last_record_are_damage(path: Path) -> None:
    """What some file systems leave behind when the machine dies."""
    n_bytes = write(path)
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
    write(path)
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
    write(path)
    assert read(path) == RECORDS
    assert not new.exists()


@pytest.mark.parametrize("room", [0, 1, 12, 13, 14, 50, 112])
def test_a_full_disk_breaks_the_journal_until_a_checkpoint(path: Path, room: int) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        journal.append(1, b"fits")
        n_bytes = journal.n_bytes
        with file_limit(n_bytes + room):
            journal.append(2, bytes(100))
            assert "until the next checkpoint, results are lost if the reducer dies: File too large" in str(
                journal.broken
            )
            journal.append(3, b"")  # would fit, but what comes before it is missing
        journal.append(3, b"")
        assert (journal.n_bytes, journal.n_records, journal.n_lost) == (n_bytes, 1, 3)
        assert path.stat().st_size == n_bytes
        with journal.recover() as reader:
            assert list(reader) == [(1, b"fits")]
            assert not reader.is_complete
            assert reader.end == ""
        journal.checkpoint(b"state", watermark=4)
        assert (journal.broken, journal.n_lost) == (None, 0)
        journal.append(4, b"on")
    with JournalReader(path) as reader:
        assert (reader.state, list(reader), reader.is_complete) == (b"state", [(4, b"on")], True)


def test_a_broken_journal_stays_broken_for_the_next_process(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal, file_limit(journal.n_bytes + 60):
        journal.append(1, b"fits")
        journal.append(1, bytes(60))
        assert journal.broken is not None
    with Journal(path, scan_id="scan-1") as journal:
        assert "records are missing: an earlier process could not write all" in str(journal.broken)
        journal.append(1, b"")
        assert journal.n_lost == 1
    assert read(path) == [(1, b"fits")]


def test_a_checkpoint_that_does_not_fit_leaves_everything_as_it_was(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        journal.checkpoint(b"old", watermark=1)
        journal.append(1, b"one")
        with (
            file_limit(journal.n_bytes + 1000),
            pytest.raises(StoreError, match="the checkpoint cannot be written: File too large") as caught,
        ):
            journal.checkpoint(bytes(5000), watermark=2)
        assert caught.value.path == str(path)
        assert journal.broken is None
        journal.append(2, b"two")
        assert journal.n_records == 2
    with JournalReader(path) as reader:
        assert (reader.state, reader.watermark, list(reader)) == (b"old", 1, [(1, b"one"), (2, b"two")])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_device_that_takes_a_part_at_a_time_gets_everything(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for records above 2 GB; the rest goes by other calls, whose parts may be short, too."""
    write_whole = os.pwrite

    def write_first(descriptor: int, pieces: tuple[bytes, bytes], offset: int) -> int:
        return write_whole(descriptor, b"".join(pieces)[:n_first], offset)

    monkeypatch.setattr(os, "pwritev", write_first)
    monkeypatch.setattr(os, "pwrite", lambda descriptor, piece, offset: write_whole(descriptor, piece[:5], offset))
    with Journal(path, scan_id="scan-1") as journal:
        for n_first in range(1, 30):
            journal.append(n_first, b"twelve bytes")
        assert journal.broken is None
    assert read(path) == [(n_first, b"twelve bytes") for n_first in range(1, 30)]


def test_a_record_that_a_signal_interrupted_is_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole = os.pwritev

    def interrupted(descriptor: int, pieces: tuple[bytes, bytes], offset: int) -> int:
        write_whole(descriptor, [b"".join(pieces)[:20]], offset)
        raise KeyboardInterrupt

    with Journal(path, scan_id="scan-1") as journal:
        journal.append(1, b"before")
        monkeypatch.setattr(os, "pwritev", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append(2, b"interrupted")
        monkeypatch.setattr(os, "pwritev", write_whole)
        journal.append(3, b"after it")
    assert read(path) == [(1, b"before"), (3, b"after it")]


def test_the_largest_size_is_kept(path: Path) -> None:
    with Journal(path, scan_id="scan-1", max_bytes=300) as journal:
        journal.append(1, bytes(100))
        n_bytes = journal.n_bytes
        journal.append(1, bytes(300))
        assert f"does not fit into the {300 - n_bytes} bytes left of the journal's limit" in str(journal.broken)
        with pytest.raises(StoreError, match="checkpoint cannot be written: a record of 313 bytes does not fit"):
            journal.checkpoint(bytes(300), watermark=1)
        journal.checkpoint(bytes(10), watermark=1)
        assert journal.broken is None
        assert journal.n_bytes < 100


def test_a_journal_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file/a.journal: the journal cannot be made: "):
        Journal(tmp_path / "file" / "a.journal", scan_id="a")
    with file_limit(10), pytest.raises(StoreError, match="the journal cannot be made: File too large"):
        Journal(tmp_path / "a.journal", scan_id="a")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    with pytest.raises(StoreError, match=r"the journal cannot be made: .*null"):
        Journal(tmp_path / "a\0.journal", scan_id="a")


def test_two_processes_cannot_write_one_journal(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        for _ in range(2):
            with pytest.raises(UsageError, match="is being written by another process"):
                Journal(path, scan_id="scan-1")
            journal.checkpoint(b"", watermark=0)  # a new file, which is locked as well
    Journal(path, scan_id="scan-1").close()


def test_a_journal_replaced_while_it_is_opened_is_still_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of the file that was replaced is free, but that file is no longer the journal."""
    take_lock = fcntl.flock
    n_locks = 0

    def lock_after_a_checkpoint(descriptor: int, how: int) -> None:
        nonlocal n_locks
        n_locks += 1
        if n_locks == 1:
            journal.checkpoint(b"newer", watermark=1)
        take_lock(descriptor, how)

    with Journal(path, scan_id="scan-1") as journal:
        monkeypatch.setattr(fcntl, "flock", lock_after_a_checkpoint)
        with pytest.raises(UsageError, match="is being written by another process"):
            Journal(path, scan_id="scan-1")
        assert n_locks > 1
        journal.append(1, b"here")
    assert read(path) == [(1, b"here")]


def test_a_journal_that_another_process_makes_meanwhile_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: path.write_bytes(b"the other's"))
    with pytest.raises(UsageError, match="is being made by another process; end that one first"):
        Journal(path, scan_id="scan-1")
    assert path.read_bytes() == b"the other's"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_files_are_private(path: Path) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        journal.checkpoint(b"", watermark=0)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_others_can_write_is_refused(path: Path) -> None:
    write(path)
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(UsageError, match="can be written by other users"):
            Journal(path, scan_id="scan-1")
        with pytest.raises(UsageError, match="can be written by other users"):
            JournalReader(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the administrator can give files away")
def test_another_users_file_is_refused(path: Path) -> None:
    write(path)
    os.chown(path, 12345, -1)
    with pytest.raises(UsageError, match=r"belongs to another user \(id 12345\)"):
        Journal(path, scan_id="scan-1")


def test_a_symbolic_link_is_refused_and_its_target_left_alone(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for content in (None, b"precious"):
        if content:
            target.write_bytes(content)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        with pytest.raises(UsageError, match="is a symbolic link"):
            Journal(path, scan_id="scan-1")
        with pytest.raises(UsageError, match="is a symbolic link"):
            JournalReader(path)
        assert (target.read_bytes() if target.exists() else None) == content


def test_folders_and_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(StoreError, match="the journal cannot be opened: Is a directory"):
        Journal(tmp_path / "folder", scan_id="a")
    for make in (lambda path: Journal(path, scan_id="a"), JournalReader):
        with pytest.raises(UsageError, match="is not a file"):
            make(tmp_path / "pipe")


@pytest.mark.parametrize("content", [b"", b"GLMTJRN", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_foreign_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"scan-1.journal: this is not a journal of glimt; remove it"):
        Journal(path, scan_id="scan-1")
    assert path.read_bytes() == content


def test_another_version_is_refused(path: Path) -> None:
    write(path)
    content = bytearray(path.read_bytes())
    content[8] = 2
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="journal version 2, this glimt reads version 1; finish the scan"):
        JournalReader(path)


def test_another_scans_journal_is_refused(path: Path) -> None:
    write(path)
    with pytest.raises(UsageError, match=r"is the journal of scan 'scan-1', not of 'scan-2'; remove it"):
        Journal(path, scan_id="scan-2")


def test_a_damaged_header_is_told_for_every_byte_of_it(path: Path) -> None:
    write(path, [])
    whole = path.read_bytes()
    for position in [*range(8), *range(11, len(whole))]:
        for damaged in (whole[:position], whole[:position] + bytes([whole[position] ^ 0x40]) + whole[position + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(DecodeError, match=r"scan-1\.journal: "):
                JournalReader(path)


@pytest.mark.parametrize("text", [b"", b"\xc0", b"\x93\x01\x02\x03", b"\x81\xa7scan_id\x05"])
def test_a_header_of_the_right_checksum_and_the_wrong_content_is_refused(path: Path, text: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(struct.pack("<8sHBII", b"GLMTJRNL", 1, 0, len(text), zlib.crc32(text, 1)) + text)
    path.chmod(0o600)
    with pytest.raises(DecodeError, match="the header is damaged"):
        JournalReader(path)


def test_a_checkpoint_without_its_state_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(encode_header(SegmentHeader("scan-1", 3, has_state=True)))
    path.chmod(0o600)
    with pytest.raises(DecodeError, match=r"the checkpoint cannot be read \(it is missing\)"):
        Journal(path, scan_id="scan-1")
    path.unlink()
    with Journal(path, scan_id="scan-1") as journal:
        journal.checkpoint(b"the state", watermark=3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DecodeError, match=r"\(a record of 9 bytes is cut after 8, at byte \d+\); reduce the scan anew"):
        JournalReader(path)


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


@pytest.mark.parametrize("kind", [-1, 255, 256])
def test_kinds_out_of_range_are_refused(path: Path, kind: int) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        with pytest.raises(UsageError, match=f"cannot be of kind {kind}; choose 0..254"):
            journal.append(kind, b"")
        with pytest.raises(UsageError, match=f"cannot be of kind {kind}; choose 0..254"):
            journal.checkpoint(b"", watermark=0, waiting=[(kind, b"")])
        journal.append(1, b"fine")
    assert read(path) == [(1, b"fine")]


@pytest.mark.parametrize("scan_id", ["", ".", "..", "../x", "a/b", "a b", "é", "x" * 101, "a\n"])
def test_a_scan_whose_name_is_no_file_name_is_refused(tmp_path: Path, scan_id: str) -> None:
    for make in (lambda: journal_path(tmp_path, scan_id), lambda: Journal(tmp_path / "a.journal", scan_id=scan_id)):
        with pytest.raises(UsageError, match="cannot name a journal"):
            make()
    assert list(tmp_path.iterdir()) == []
