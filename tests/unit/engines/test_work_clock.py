"""Since when workers are busy with what they have."""

from __future__ import annotations

from glimt.engines.work_clock import WorkClock


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_is_busy_with_its_oldest_message_since_it_was_done_with_the_one_before() -> None:
    time = Time()
    clock = WorkClock(time)
    clock.send("w0", 1)
    clock.send("w0", 2)
    time.now += 4
    clock.done("w0", 1)
    time.now += 3
    assert clock.overdue(3.5) == {}
    assert clock.overdue(2.5) == {"w0": 2}
    assert clock.moved_at == 104


def test_a_worker_without_messages_is_not_busy() -> None:
    time = Time()
    clock = WorkClock(time)
    clock.send("w0", 1)
    clock.send("w1", 2)
    clock.done("w0", 1)
    clock.forget("w1")
    time.now += 1000
    assert clock.overdue(1) == {}
    clock.send("w0", 3)
    assert clock.overdue(1) == {}
    time.now += 2
    assert clock.overdue(1) == {"w0": 3}


def test_messages_of_others_are_not_done() -> None:
    time = Time()
    clock = WorkClock(time)
    clock.send("w0", 1)
    clock.done("w1", 1)
    clock.done("w0", -1)
    time.now += 2
    assert clock.overdue(1) == {"w0": 1}
