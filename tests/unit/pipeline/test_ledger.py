from __future__ import annotations

import json
from typing import get_args

import pytest

from glimt.model.errors import GlimtError
from glimt.pipeline.ledger import ARRIVAL, DROP_REASONS, DropReason, Ledger, LedgerError, StreamLedger


def filled() -> StreamLedger:
    account = StreamLedger("xrd")
    account.receive(10, 1000)
    account.reduce(4)
    account.fail(1)
    account.drop("incomplete", 2)
    account.refuse("repeated", 100)
    account.refuse_bad(ValueError("no header"))
    return account


def test_every_packet_is_accounted_for_once() -> None:
    account = filled()
    account.check()
    assert (account.received, account.received_bytes) == (12, 1100)
    assert (account.reduced, account.failed, account.n_dropped, account.pending) == (4, 1, 4, 3)
    assert account.dropped == {"incomplete": 2, "repeated": 1, "bad": 1}


@pytest.mark.parametrize("counter", ["received", "reduced", "failed", "pending"])
def test_a_packet_too_many_is_found(counter: str) -> None:
    account = filled()
    setattr(account, counter, getattr(account, counter) + 1)
    with pytest.raises(LedgerError, match=r"stream 'xrd': 1\d packets received, but 1\d accounted for"):
        account.check()


def test_a_packet_settled_twice_is_found_even_if_the_sum_fits() -> None:
    account = StreamLedger("xrd")
    account.receive(1, 10)
    account.reduce()
    account.fail()
    with pytest.raises(LedgerError, match="pending -1"):
        account.check()


def test_a_ledger_error_is_both_ours_and_an_assertion() -> None:
    assert issubclass(LedgerError, GlimtError)
    assert issubclass(LedgerError, AssertionError)


def test_all_reasons_are_explained() -> None:
    assert set(get_args(DropReason)) == set(DROP_REASONS)


def test_neighboring_gaps_are_one_and_only_the_first_few_are_kept() -> None:
    account = StreamLedger("xrd")
    account.miss(3, 3)
    account.miss(4, 6)
    for first in range(10, 30, 2):
        account.miss(first, first)
    assert account.n_missing == 14
    assert account.gaps == [(3, 6), (10, 10), (12, 12), (14, 14), (16, 16)]
    assert account.describe_gaps() == "3 to 6, 10, 12, 14, 16, ..."


def test_remarks_say_what_was_wrong_in_words() -> None:
    account = filled()
    account.miss(5, 6)
    account.n_series, account.n_broken_off, account.joined_by = 2, 1, ARRIVAL
    text = "\n".join(account.remarks())
    assert "1 packets left out (bad: broke the protocol), the first: no header (message 12)" in text
    assert "2 events are missing: 5 to 6" in text
    assert "1 of 2 series were replaced" in text
    assert "a lost one shifts the rest" in text
    assert StreamLedger("quiet").remarks() == []


def test_accounts_add_up_and_stay_right() -> None:
    ledger, other = Ledger(["xrd", "panda"]), Ledger(["xrd", "i0"])
    ledger["xrd"].add(filled())
    ledger["panda"].receive(3, 30)
    other["xrd"].receive(5, 50)
    other["xrd"].miss(1, 2)
    other["i0"].refuse("outside")
    ledger.add(other)
    ledger.check()
    assert [account.name for account in ledger] == ["xrd", "panda", "i0"]
    total = ledger.total()
    total.check()
    assert total.received == 12 + 3 + 5 + 1
    assert total.n_missing == 2
    assert ledger["xrd"].gaps == [(1, 2)]
    assert other["xrd"].received == 5


def test_accounts_joined_by_different_things_say_so() -> None:
    first, second = StreamLedger("xrd", joined_by="frame number"), StreamLedger("xrd", joined_by=ARRIVAL)
    first.add(second)
    assert first.joined_by == "different fields"


def test_as_dict_is_plain_json() -> None:
    ledger = Ledger(["xrd"])
    ledger["xrd"].add(filled())
    ledger["xrd"].miss(7, 8)
    content = json.loads(json.dumps(ledger.as_dict()))["xrd"]
    assert content["received"] == content["reduced"] + content["failed"] + content["pending"] + sum(
        content["dropped"].values()
    )
    assert content["gaps"] == [[7, 8]]
    assert content["first_bad"].startswith("no header")


def test_an_unknown_stream_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="no stream 'eiger'; there are: xrd, panda"):
        Ledger(["xrd", "panda"])["eiger"]


def test_packets_whose_result_is_lost_have_failed() -> None:
    ledger = StreamLedger("det")
    ledger.receive(3, 30)
    ledger.reduce(2)
    ledger.lose(2)
    assert (ledger.reduced, ledger.failed, ledger.pending) == (0, 2, 1)
    ledger.check()
