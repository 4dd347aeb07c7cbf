"""The account of each scan, in ledgers that go on counting."""

from __future__ import annotations

from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.scan_account import ScanAccount


def test_a_scan_has_what_was_settled_since_the_one_before() -> None:
    ledger = StreamLedger("xrd")
    account = ScanAccount([ledger])
    ledger.receive(10, 1000)
    ledger.reduce(7)
    ledger.drop("incomplete", 2)
    ledger.fail()
    ledger.miss(3, 4)
    first = account.of_scan()["xrd"]
    assert (first["received"], first["reduced"], first["failed"], first["dropped"]) == (10, 7, 1, {"incomplete": 2})
    assert (first["n_missing"], first["pending"]) == (2, 0)
    account.end_scan()
    ledger.receive(3, 300)
    ledger.reduce(2)
    second = account.of_scan()["xrd"]
    assert (second["received"], second["reduced"], second["failed"], second["dropped"]) == (2, 2, 0, {})
    assert second["n_missing"] == 0
    assert ledger.received == 13


def test_packets_of_the_next_scan_are_not_counted_in_this_one() -> None:
    ledger = StreamLedger("xrd")
    account = ScanAccount([ledger])
    ledger.receive(5, 500)
    ledger.reduce(4)
    found = account.of_scan()["xrd"]
    assert found["received"] == found["reduced"] == 4
    assert found["pending"] == 0
    account.end_scan()
    ledger.reduce()
    assert account.of_scan()["xrd"]["received"] == 1
