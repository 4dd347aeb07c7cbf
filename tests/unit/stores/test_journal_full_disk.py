"""The journal of a scan on a disk that is full, slow or interrupted: what is missing is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glimt.model.errors import StoreError
from glimt.stores.journal import Journal, journal_path
from glimt.stores.journal_reader import JournalReader
from journal_files import file_limit, read_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "journals", "scan-1")


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
    assert read_journal(path) == [(1, b"fits")]


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
    assert read_journal(path) == [(n_first, b"twelve bytes") for n_first in range(1, 30)]


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
    assert read_journal(path) == [(1, b"before"), (3, b"after it")]


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
