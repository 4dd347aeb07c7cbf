"""Places for large frames: none overlaps, none is lost, all of it is free at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from glimt.engines.frame_memory import FrameMemory, SharedFrames
from glimt.model.errors import UsageError

PAGES = 4
SIZE = PAGES * 4096
LINE = 64


@contextmanager
def memory(n_bytes: int = SIZE) -> Iterator[FrameMemory]:
    made = FrameMemory(n_bytes)
    try:
        yield made
    finally:
        made.close()


def content(number: int, size: int) -> bytes:
    return bytes([number % 251 + 1]) * size


def holes(taken: dict[int, int], end: int) -> list[int]:
    """Return the sizes of what lies between the places that are taken."""
    found, at = [], 0
    for start in sorted(taken):
        found.append(start - at)
        at = start + taken[start]
    return [size for size in (*found, end - at) if size]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, SIZE // 3), st.integers(0, 1000)), max_size=60))
def test_places_never_overlap_and_a_frame_is_refused_only_if_no_hole_is_large_enough(
    steps: list[tuple[bool, int, int]],
) -> None:
    with memory() as frames:
        held: dict[int, bytes] = {}
        taken: dict[int, int] = {}
        for number, (is_put, size, which) in enumerate(steps):
            if is_put:
                needed = max(LINE, -(-size // LINE) * LINE)
                fits = any(hole >= needed for hole in holes(taken, SIZE))
                place = frames.put(content(number, size))
                assert (place is not None) == fits
                if place is not None:
                    assert place % LINE == 0
                    assert all(place + needed <= start or start + length <= place for start, length in taken.items())
                    held[place], taken[place] = content(number, size), needed
            elif held:
                place = sorted(held)[which % len(held)]
                frames.free(place)
                del held[place], taken[place]
            assert frames.used_bytes == sum(taken.values())
            assert all(bytes(frames.view(place, len(data))) == data for place, data in held.items())
        for place in list(held):
            frames.free(place)
        assert frames.used_bytes == 0
        assert frames.put(bytes(SIZE)) == 0  # one piece again


@given(st.permutations(range(8)))
def test_places_given_back_in_any_order_become_one_piece(order: list[int]) -> None:
    with memory(8 * 4096) as frames:
        places = [frames.put(bytes(4096)) for _ in range(8)]
        assert frames.put(b"") is None
        for index in order:
            place = places[index]
            assert place is not None
            frames.free(place)
        assert frames.put(bytes(8 * 4096)) == 0


def test_the_lowest_place_that_is_large_enough_is_taken() -> None:
    with memory() as frames:
        places = [frames.put(bytes(size)) for size in (LINE, 4 * LINE, LINE, LINE)]
        assert places == [0, LINE, 5 * LINE, 6 * LINE]
        frames.free(0)
        frames.free(5 * LINE)
        assert frames.put(bytes(2 * LINE)) == 7 * LINE
        assert frames.put(bytes(LINE)) == 0


def test_a_place_cannot_be_given_back_twice() -> None:
    with memory() as frames:
        assert frames.put(b"abc") == 0
        frames.free(0)
        with pytest.raises(KeyError):
            frames.free(0)


@pytest.mark.parametrize(
    "frame",
    [b"abcdefgh", memoryview(b"abcdefgh"), bytearray(b"abcdefgh"), zmq.Frame(b"abcdefgh")],
    ids=["bytes", "memoryview", "bytearray", "zmq"],
)
def test_any_kind_of_frame_is_taken(frame: bytes) -> None:
    with memory() as frames:
        place = frames.put(frame)
        assert place is not None
        assert bytes(frames.view(place, 8)) == b"abcdefgh"


def test_pixels_are_taken_as_their_bytes() -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    with memory() as frames:
        place = frames.put(pixels.data)
        assert place is not None
        assert bytes(frames.view(place, 24)) == pixels.tobytes()


def test_another_mapping_sees_what_was_put() -> None:
    with memory() as frames:
        shared = SharedFrames(frames.path, frames.n_bytes)
        frames.put(b"first")
        place = frames.put(b"second")
        assert place is not None
        assert bytes(shared.view(place, 6)) == b"second"
        shared.close()


def test_a_frame_that_is_still_held_survives_the_end_of_both_sides() -> None:
    frames = FrameMemory(SIZE)
    shared = SharedFrames(frames.path, frames.n_bytes)
    place = frames.put(b"kept by the user")
    assert place is not None
    mine, theirs = frames.view(place, 16), shared.view(place, 16)
    shared.close()
    frames.close()
    assert bytes(mine) == bytes(theirs) == b"kept by the user"


def test_memory_that_cannot_be_had_is_an_error_that_says_how_much() -> None:
    with pytest.raises(UsageError, match=str(1 << 62)):
        FrameMemory(1 << 62)


def test_memory_of_a_process_that_is_gone_cannot_be_opened() -> None:
    frames = FrameMemory(SIZE)
    path = frames.path
    frames.close()
    with pytest.raises(OSError, match=r"fd|No such file"):
        SharedFrames(path, SIZE)
