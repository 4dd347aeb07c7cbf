"""What a reducer loses is taken back from the account, event by event."""

from __future__ import annotations

from glimt.engines.reduced_events import ReducedEvents

BOTH = ((0, 1), (1, 3))
ONE = ((0, 2),)


def test_events_that_are_lost_are_told_by_their_streams_and_once() -> None:
    events = ReducedEvents()
    for serial in range(6):
        events.open(1)
        assert events.reduce(serial, BOTH if serial % 2 else ONE)
    assert events.lose([(0, 3), (5, 6)]) == {(0,): 2, (0, 1): 2}
    assert events.lose([(0, 6)]) == {(0,): 1, (0, 1): 1}
    assert not events.lose([(0, 6)])


def test_an_event_of_several_deliveries_is_lost_as_a_whole() -> None:
    events = ReducedEvents()
    events.open(1)
    events.open(3)
    events.open(1)
    assert events.reduce(0, ONE)
    assert events.reduce(1, BOTH)
    assert events.lose([(2, 4)]) == {(0, 1): 1}
    assert events.lose([(0, 5)]) == {(0,): 1}


def test_an_event_of_which_a_part_is_lost_before_the_rest_comes_is_not_reduced() -> None:
    events = ReducedEvents()
    events.open(2)
    assert not events.lose([(0, 1)])
    assert not events.reduce(0, ONE)
    assert not events.lose([(0, 2)])


def test_deliveries_without_a_result_cannot_be_lost() -> None:
    events = ReducedEvents()
    events.open(1)
    events.leave_out(0)
    events.void([0])
    events.open(2)
    events.void([1])
    assert events.reduce(1, ONE)
    events.leave_out(-1)
    assert not events.lose([(0, 2)])
    assert events.lose([(0, 1000)]) == {(0,): 1}


def test_any_number_of_combinations_of_streams_is_told_apart() -> None:
    events = ReducedEvents()
    layouts = [((number, 1), (number + 1, 2)) for number in range(5000)]
    for serial, layout in enumerate(layouts):
        events.open(1)
        assert events.reduce(serial, layout)
    lost = events.lose([(0, 5000)])
    assert lost == {(number, number + 1): 1 for number in range(5000)}
