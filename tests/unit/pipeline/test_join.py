from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from glimt.model.errors import DecodeError
from glimt.pipeline.join import Joined, SourceAccount, join


class Item(NamedTuple):
    event_number: int
    source: str = "a"


def items(*numbers: int, source: str = "a") -> Iterator[Item]:
    return (Item(number, source) for number in numbers)


def run(*sources: Iterator[Item]) -> tuple[list[Joined[Item]], list[SourceAccount]]:
    accounts = [SourceAccount(str(index)) for index in range(len(sources))]
    return list(join(sources, accounts)), accounts


def numbers(joined: list[Joined[Item]]) -> list[tuple[int, list[bool]]]:
    return [(event.event_number, [part is not None for part in event.parts]) for event in joined]


def test_sources_are_joined_by_number_with_holes_counted() -> None:
    joined, accounts = run(items(0, 1, 2, 3, 4, 5, 6), items(0, 3, 6))
    assert [number for number, _ in numbers(joined)] == [0, 1, 2, 3, 4, 5, 6]
    assert [present[1] for _, present in numbers(joined)] == [True, False, False, True, False, False, True]
    assert (accounts[0].n_events, accounts[0].n_missing) == (7, 0)
    assert (accounts[1].n_events, accounts[1].n_missing) == (3, 4)
    assert accounts[1].describe_gaps() == "1 to 2, 4 to 5"


def test_a_lost_item_is_a_gap_and_never_a_shift() -> None:
    joined, accounts = run(items(0, 1, 2, 3), items(0, 1, 3))
    assert numbers(joined) == [(0, [True, True]), (1, [True, True]), (2, [True, False]), (3, [True, True])]
    assert accounts[1].gaps == [(2, 2)]


def test_the_end_is_the_end_of_the_longest() -> None:
    joined, accounts = run(items(0, 1), items(0, 1, 2, 3, 4))
    assert len(joined) == 5
    assert accounts[0].describe_gaps() == "2 to 4"


def test_only_event_0_is_a_start_so_that_no_data_are_sent_twice() -> None:
    joined, _ = run(items(0, 1, 2, 3), items(2, 3))
    assert [event.is_start for event in joined] == [True, False, False, False]
    joined, _ = run(items(100, 101))
    assert [event.is_start for event in joined] == [False, False]


def test_a_number_that_falls_begins_another_scan_in_every_source() -> None:
    joined, accounts = run(items(0, 1, 2, 0, 1, 2), items(0, 2, 0, 1))
    assert numbers(joined) == [
        (0, [True, True]),
        (1, [True, False]),
        (2, [True, True]),
        (0, [True, True]),
        (1, [True, True]),
        (2, [True, False]),
    ]
    assert [event.is_start for event in joined] == [True, False, False, True, False, False]
    assert accounts[1].n_missing == 2


def test_a_damaged_source_ends_and_the_others_go_on() -> None:
    def damaged() -> Iterator[Item]:
        yield Item(0)
        yield Item(1)
        raise DecodeError("truncated")

    joined, accounts = run(damaged(), items(0, 1, 2, 3))
    assert len(joined) == 4
    assert str(accounts[0].error) == "truncated"
    assert accounts[0].n_missing == 2


def test_nothing_joins_to_nothing() -> None:
    assert run() == ([], [])
    assert run(items())[0] == []


def test_many_gaps_are_counted_and_the_first_are_named() -> None:
    account = SourceAccount("x")
    for number in range(0, 40, 2):
        account.missed(number)
    assert account.n_missing == 20
    assert account.describe_gaps() == "0, 2, 4, 6, 8, ..."
