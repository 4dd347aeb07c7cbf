"""Viewers of a page that are slow, hostile or too many, and the others, who are not held up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from glimt.web.page_socket import MAX_PROBLEMS, MAX_VIEWERS
from glimt.web.page_want import MAX_MESSAGE_BYTES
from page_rig import IMAGE, Served, first_value, serving


@pytest.fixture
def page() -> Iterator[Served]:
    with serving() as served:
        yield served


def test_a_viewer_that_never_gets_ready_holds_up_nobody(page: Served) -> None:
    random = np.random.default_rng(1)
    with page.look(plots=[IMAGE]), page.look(plots=[IMAGE]) as quick:
        began, n_images = time.monotonic(), 0
        took = []
        while n_images < 20:
            start = time.perf_counter()
            page.published.show(image=random.integers(0, 9, (2048, 2048), dtype=np.uint16))
            took.append(time.perf_counter() - start)
            quick.image()
            n_images += 1
        assert time.monotonic() - began < 20
        assert sorted(took)[10] < 0.5


def test_a_viewer_gets_the_newest_and_not_what_it_missed(page: Served) -> None:
    page.published.show(image=np.zeros((8, 8)))
    with page.look(plots=[IMAGE]) as slow, page.look(plots=[IMAGE]) as quick:
        slow.image()
        for i in range(1, 6):
            page.published.show(image=np.full((8, 8), float(i)))
            quick.until(lambda header, buffers: first_value(header, buffers) == i)  # noqa: B023  it is called at once
        while slow.receive()[0]["type"] != "data":
            pass  # one turn may have been on its way
        slow.say(op="ready")
        assert first_value(*slow.until(lambda header, buffers: first_value(header, buffers) is not None)) == 5


def test_messages_that_make_no_sense_are_answered_and_end_the_connection_in_the_end(page: Served) -> None:
    with page.look() as viewer:
        viewer.say(op="dance")
        header, _ = viewer.until(lambda header, _: header["type"] == "problem")
        assert "dance" in header["reason"]
        viewer.socket.send(b"\x00\xff")
        header, _ = viewer.until(lambda header, _: header["type"] == "problem")
        assert "text" in header["reason"]
        with pytest.raises(ConnectionClosed, match="1008"):
            viewer.repeat("nonsense", MAX_PROBLEMS + 5)
    with page.look() as viewer:  # the next one is not affected
        viewer.until(lambda header, _: header["type"] == "data")


def test_a_message_that_is_too_long_closes_the_connection(page: Served) -> None:
    with page.look() as viewer, pytest.raises(ConnectionClosed, match="1009"):
        viewer.repeat("x" * (MAX_MESSAGE_BYTES + 4096), 1)


def test_more_viewers_than_there_is_room_for_are_sent_away(page: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            stack.enter_context(page.look()).until(lambda header, _: header["type"] == "data")
        with pytest.raises(ConnectionClosed, match="1013"), page.look() as viewer:
            viewer.receive()
    deadline = time.monotonic() + 20
    while page.hub.n_viewers and time.monotonic() < deadline:
        time.sleep(0.05)
    assert page.hub.n_viewers == 0
