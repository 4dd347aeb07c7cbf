from __future__ import annotations

from pathlib import Path

import pytest

from captures import stins_messages, write_capture
from glimt.app.events import BlockReader, CaptureEvents
from glimt.model.event import EventData, InternalWorkerMessage
from glimt.pipeline import block as block_module
from glimt.pipeline.block import Block


def blocks_of(paths: list[Path], n_workers: int = 2) -> list[Block]:
    events = CaptureEvents(paths, times=True)
    try:
        return list(events.blocks(n_workers))
    finally:
        events.close()


def events_of(paths: list[Path]) -> list[EventData]:
    events = CaptureEvents(paths, times=True)
    try:
        return list(events.events())
    finally:
        events.close()


def read_back(paths: list[Path], blocks: list[Block]) -> list[EventData]:
    reader = BlockReader(paths, times=True)
    found = [event for block in blocks for event in reader(block)]
    reader.close()
    return found


def thinned(messages: list[InternalWorkerMessage], keep: int) -> list[InternalWorkerMessage]:
    return [message for message in messages if message.event_number % keep == 0]


@pytest.mark.parametrize("suffix", [".cbors", ".cbors.gz"])
@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_blocks_hold_all_events_once_and_in_order(suffix: str, n_workers: int, tmp_path: Path) -> None:
    path = write_capture(tmp_path / f"a{suffix}", stins_messages(700, period_s=0.01))
    blocks = blocks_of([path], n_workers)
    assert read_back([path], blocks) == events_of([path])
    assert [block.number for block in blocks] == list(range(len(blocks)))
    assert sum(block.n_events for block in blocks) == 702
    assert [block.first_index for block in blocks] == [
        sum(block.n_events for block in blocks[:k]) for k in range(len(blocks))
    ]
    assert blocks[0].is_start
    assert blocks[0].n_events == 1
    assert not any(block.is_start for block in blocks[1:])


def test_joined_files_are_cut_into_ranges_of_each(tmp_path: Path) -> None:
    every = stins_messages(100, stream="a", period_s=0.01)
    some = thinned(stins_messages(120, stream="b", period_s=0.01), 5)
    paths = [write_capture(tmp_path / "a.cbors", every), write_capture(tmp_path / "b.cbors", some)]
    blocks = blocks_of(paths)
    assert read_back(paths, blocks) == events_of(paths)
    assert sum(block.n_events for block in blocks) == 102 + 4
    assert all(part is None or isinstance(part, tuple) for block in blocks for part in block.parts)


def test_several_scans_in_one_file_each_begin_a_block_of_their_own(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(20) + stins_messages(10))
    blocks = blocks_of([path])
    starts = [block for block in blocks if block.is_start]
    assert [(block.first_event, block.n_events) for block in starts] == [(0, 1), (0, 1)]
    assert len(read_back([path], blocks)) == 34


def test_blocks_know_the_time_before_them(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(10, period_s=0.5))
    blocks = blocks_of([path], 1)
    assert blocks[0].previous_ns == -1
    assert blocks[2].previous_ns - blocks[1].previous_ns == blocks[1].n_events * 500_000_000


def test_blocks_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.app.blocks.MAX_BYTES", 2000)
    path = write_capture(tmp_path / "a.cbors", stins_messages(200))
    for block in blocks_of([path], 1):
        start, end = block.parts[0]
        assert end - start <= 2000


def test_blocks_grow_so_that_every_worker_has_work_at_once() -> None:
    sizes = [block_module.block_size(number, 2) for number in range(22)]
    assert sizes[:6] == [1, 1, 2, 2, 4, 4]
    assert max(sizes) == block_module.MAX_EVENTS
