"""The queue between a source's thread and the poller."""

from __future__ import annotations

import select
import threading

from glimt.sources.message_queue import MessageQueue


def is_readable(queue: MessageQueue) -> bool:
    return bool(select.select([queue.descriptor], [], [], 0)[0])


def test_the_descriptor_is_readable_exactly_while_something_waits() -> None:
    queue = MessageQueue(100)
    assert not is_readable(queue)
    for number in range(3):
        assert queue.reserve(10)
        assert not number or is_readable(queue)
        assert queue.put([b"%d" % number], 10)
    assert queue.take(2) == ([[b"0"], [b"1"]], 20)
    assert is_readable(queue)
    assert queue.take(2) == ([[b"2"]], 10)
    assert not is_readable(queue)
    assert queue.take(2) == ([], 0)
    queue.close()


def test_reserved_room_counts_and_can_be_given_back() -> None:
    queue = MessageQueue(100)
    assert queue.reserve(60, 0)
    assert not queue.reserve(60, 0)
    queue.release(60)
    assert queue.reserve(60, 0)
    queue.close()


def test_one_message_larger_than_the_bound_passes_alone() -> None:
    queue = MessageQueue(10)
    assert queue.reserve(1000, 0)
    assert queue.put([b"x"], 1000)
    assert not queue.reserve(1, 0)
    assert queue.take(5) == ([[b"x"]], 1000)
    assert queue.reserve(1, 0)
    queue.close()


def test_the_number_of_messages_is_bounded_even_if_they_are_empty() -> None:
    queue = MessageQueue(10, max_messages=3)
    for _ in range(3):
        assert queue.reserve(0, 0)
        assert queue.put([], 0)
    assert not queue.reserve(0, 0)
    queue.close()


def test_who_waits_for_room_gets_it_when_something_is_taken_and_order_is_kept() -> None:
    queue = MessageQueue(50)

    def fill() -> None:
        for number in range(500):
            assert queue.reserve(10)
            assert queue.put([number], 10)

    thread = threading.Thread(target=fill)
    thread.start()
    taken: list[int] = []
    while len(taken) < 500:
        assert select.select([queue.descriptor], [], [], 10)[0]
        messages, _ = queue.take(7)
        assert len(messages) <= 5
        taken += [number for (number,) in messages]
    thread.join()
    assert taken == list(range(500))
    queue.close()


def test_closing_lets_go_who_waits_and_takes_nothing_more() -> None:
    queue = MessageQueue(10)
    assert queue.reserve(10)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(queue.reserve(10)))
    thread.start()
    queue.close()
    queue.close()
    thread.join(10)
    assert answers == [False]
    assert not queue.put([b"x"], 10)
    assert queue.take(1) == ([], 0)
