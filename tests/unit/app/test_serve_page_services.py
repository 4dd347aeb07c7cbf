"""Services as the page of `glimt serve` shows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from glimt.app.serve_page_services import ServiceAccounts
from glimt.app.serve_page_tree import table
from glimt.app.serve_state import ServedState
from glimt.services.service_activity import ServiceActivity, ServiceState


class Bench:
    """Services that are what a test says, and a clock that goes when it says so."""

    def __init__(self, *names: str, instances: int = 1) -> None:
        self.now = 100.0
        self.activities = {
            (name, number): ServiceActivity(clock=lambda: self.now) for name in names for number in range(instances)
        }
        self.pids: dict[tuple[str, int], int | None] = {key: 40 + i for i, key in enumerate(self.activities)}
        self.is_over = False
        self.n_starts = 1
        self.accounts = ServiceAccounts(self.look, clock=lambda: self.now)

    def look(self) -> list[ServedState]:
        return [
            ServedState(
                name, f"{name}[{number}]", self.pids[name, number], self.n_starts, self.is_over, activity.read()
            )
            for (name, number), activity in self.activities.items()
        ]

    def row(self, shown: dict[str, Any], name: str) -> dict[str, Any]:
        table = shown["services"]
        (row,) = table[table["service"] == name.encode()]
        return dict(zip(table.dtype.names, row.tolist(), strict=True))


def test_rate_counts_and_silence_of_a_service() -> None:
    bench = Bench("per_image_analysis", "ispyb")
    activity = bench.activities["per_image_analysis", 0]
    bench.accounts.take()
    for _ in range(4):
        bench.now += 1
        activity.add("handled", 5)
        shown = bench.accounts.take()

    assert shown["messages"] == shown["images"] == 5.0
    assert shown["results_written"] == 0
    bench.activities["ispyb", 0].add("handled", 3)
    activity.add("rejected")
    bench.accounts.take()
    bench.now += 7
    shown = bench.accounts.take()

    row = bench.row(shown, "per_image_analysis")
    assert (row["done"], row["rejected"], row["silent, s"], row["pid"], row["starts"]) == (20, 1, 7, b"40", 1)
    assert shown["results_written"] == 3
    for _ in range(3):
        bench.now += 5
        shown = bench.accounts.take()
    assert shown["messages"] == 0.0, "nothing came for longer than rates look back"


def test_service_that_never_had_a_message_is_not_said_to_be_silent_since_then() -> None:
    bench = Bench("images")
    assert np.isnan(bench.row(bench.accounts.take(), "images")["silent, s"])


def test_instances_are_one_row_with_all_their_states() -> None:
    bench = Bench("images", instances=3)
    for number, state in enumerate((ServiceState.IDLE, ServiceState.PROCESSING, ServiceState.IDLE)):
        bench.activities["images", number].enter(state)
    bench.now += 1
    row = bench.row(bench.accounts.take(), "images")
    assert (row["state"], row["instances"], row["pid"]) == (b"2 \xc3\x97 idle, 1 \xc3\x97 processing", 3, b"40 41 42")

    bench.now += 41
    assert b"processing since 42 s" in bench.row(bench.accounts.take(), "images")["state"]


def test_service_without_process_says_whether_it_comes_back() -> None:
    bench = Bench("images")
    bench.pids["images", 0] = None
    assert bench.row(bench.accounts.take(), "images")["state"] == b"starting again"
    bench.is_over = True
    assert bench.row(bench.accounts.take(), "images")["state"] == b"ended"
    health = bench.accounts.health()
    assert health["reason"] == "images[0] ended and is not started again"
    assert health["workers"]["images[0]"]["state"] == "failed"


def test_account_of_the_dock_has_rate_and_share_of_time() -> None:
    bench = Bench("images")
    activity = bench.activities["images", 0]
    bench.accounts.take()
    activity.enter(ServiceState.PROCESSING)
    bench.now += 1
    activity.enter(ServiceState.IDLE)
    activity.add("handled", 4)
    bench.now += 3
    bench.accounts.take()

    assert bench.accounts.health()["workers"]["images[0]"] == {
        "state": "ready",
        "n_events": 4,
        "n_failures": 0,
        "event_rate": 1.0,
        "busy": 0.25,
        "n_restarts": 0,
    }


def test_table_takes_any_text_and_says_nothing_where_there_is_none() -> None:
    columns = (("text", "text"), ("count", "count"), ("number", "number"))
    made = table(columns, [("a\nb\x00\ud800", None, None), ("×" * 400, 2, 0.5), (None, 3, 1)])

    assert made["text"][0] == b"a\\nb\\x00\\ud800"
    assert made["text"][1].decode() == "×" * 150
    assert made["text"][2] == b""
    assert made["count"].tolist() == [0, 2, 3]
    assert np.isnan(made["number"][0])
    assert table(columns, []).dtype.names == ("text", "count", "number")
    assert len(table(columns, [])) == 0
