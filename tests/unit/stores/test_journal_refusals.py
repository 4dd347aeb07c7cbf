"""Files that the journal of a scan refuses: of another process, user or scan, or no journal at all."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import zlib
from pathlib import Path

import pytest

from glimt.model.errors import DecodeError, StoreError, UsageError
from glimt.stores.journal import Journal, journal_path
from glimt.stores.journal_reader import JournalReader
from glimt.stores.journal_record import SegmentHeader, encode_header
from journal_files import read_journal, write_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "journals", "scan-1")


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
    assert read_journal(path) == [(1, b"here")]


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
    write_journal(path)
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(UsageError, match="can be written by other users"):
            Journal(path, scan_id="scan-1")
        with pytest.raises(UsageError, match="can be written by other users"):
            JournalReader(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the administrator can give files away")
def test_another_users_file_is_refused(path: Path) -> None:
    write_journal(path)
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
    write_journal(path)
    content = bytearray(path.read_bytes())
    content[8] = 2
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="journal version 2, this glimt reads version 1; finish the scan"):
        JournalReader(path)


def test_another_scans_journal_is_refused(path: Path) -> None:
    write_journal(path)
    with pytest.raises(UsageError, match=r"is the journal of scan 'scan-1', not of 'scan-2'; remove it"):
        Journal(path, scan_id="scan-2")


def test_a_damaged_header_is_told_for_every_byte_of_it(path: Path) -> None:
    write_journal(path, [])
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


@pytest.mark.parametrize("kind", [-1, 255, 256])
def test_kinds_out_of_range_are_refused(path: Path, kind: int) -> None:
    with Journal(path, scan_id="scan-1") as journal:
        with pytest.raises(UsageError, match=f"cannot be of kind {kind}; choose 0..254"):
            journal.append(kind, b"")
        with pytest.raises(UsageError, match=f"cannot be of kind {kind}; choose 0..254"):
            journal.checkpoint(b"", watermark=0, waiting=[(kind, b"")])
        journal.append(1, b"fine")
    assert read_journal(path) == [(1, b"fine")]


@pytest.mark.parametrize("scan_id", ["", ".", "..", "../x", "a/b", "a b", "é", "x" * 101, "a\n"])
def test_a_scan_whose_name_is_no_file_name_is_refused(tmp_path: Path, scan_id: str) -> None:
    for make in (lambda: journal_path(tmp_path, scan_id), lambda: Journal(tmp_path / "a.journal", scan_id=scan_id)):
        with pytest.raises(UsageError, match="cannot name a journal"):
            make()
    assert list(tmp_path.iterdir()) == []
