"""The clock of a SQLite broker's file: not changed when somebody sets the time of day, never going back."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from glimt.brokers import sqlite_clock, sqlite_file
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.brokers.sqlite_file import SqliteFile

HOUR_NS = 3_600_000_000_000


def opened(folder: Path) -> SqliteBroker:
    broker = SqliteBroker(f"sqlite:{folder / 'broker.db'}")
    broker.declare([QueueSpec("work")])
    broker.subscribe("work", prefetch=10)
    return broker


def set_time_of_day(monkeypatch: pytest.MonkeyPatch, ahead_ns: int) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead_ns)


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("ahead_ns", [-HOUR_NS, HOUR_NS])
def test_delays_and_expirations_are_the_same_when_the_time_of_day_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_ns: int, reopened: bool
) -> None:
    broker = opened(tmp_path)
    start = time.monotonic()
    broker.send([Outgoing(b"late", queue="work", delay_s=0.3), Outgoing(b"kept", queue="work", expiration_s=60)])
    broker.send([Outgoing(b"old", queue="work", delay_s=0.1, expiration_s=0.1)])
    set_time_of_day(monkeypatch, ahead_ns)
    if reopened:
        broker.close()
        broker = opened(tmp_path)
    time.sleep(0.25)
    kept = broker.receive(10)
    assert [delivery.body for delivery in kept] == [b"kept"]
    broker.refuse(kept[0], "again", retry_after_s=0.1)
    bodies = {delivery.body for _ in range(2) for delivery in broker.receive(10, timeout_s=5)}
    assert 0.3 <= time.monotonic() - start < 3.0
    assert bodies == {b"late", b"kept"}
    broker.close()


def test_after_a_restart_of_the_machine_it_goes_on_and_never_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reopened(boot: str, time_of_day_ns: int) -> int:
        monkeypatch.setattr(sqlite_file, "boot_id", lambda: boot)
        monkeypatch.setattr(time, "time_ns", lambda: time_of_day_ns)
        file = SqliteFile(tmp_path / "broker.db")
        now_ns = file.now_ns()
        file.close()
        return now_ns - day_ns

    day_ns = time.time_ns()
    minute_ns = HOUR_NS // 60
    assert 0 <= reopened("first", day_ns) < minute_ns
    assert 0 <= reopened("first", day_ns + HOUR_NS) < minute_ns
    assert HOUR_NS <= reopened("second", day_ns + HOUR_NS) < HOUR_NS + minute_ns  # it was off for an hour
    assert HOUR_NS <= reopened("third", 0) < HOUR_NS + minute_ns  # and has lost its time of day
    assert reopened("", day_ns + 5) == 5  # a system that does not tell


def test_all_connections_read_the_same_clock(tmp_path: Path) -> None:
    files = [SqliteFile(tmp_path / "broker.db") for _ in range(2)]
    first, second, third = files[0].now_ns(), files[1].now_ns(), files[0].now_ns()
    assert first <= second <= third
    assert abs(first - time.time_ns()) < HOUR_NS
    assert sqlite_clock.since_boot_ns() > 0
    for file in files:
        file.close()


def test_a_file_of_the_version_before_is_brought_to_this_one(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.send([Outgoing(b"%d" % n, queue="work", delay_s=0.05 * n) for n in range(3)])
    broker.close()
    with sqlite3.connect(tmp_path / "broker.db") as connection:  # as version 1 was
        connection.execute("ALTER TABLE subscription DROP COLUMN waits")
        connection.execute("DROP TABLE clock")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    again = opened(tmp_path)
    assert [d.body for _ in range(3) for d in again.receive(1, timeout_s=5)] == [b"0", b"1", b"2"]
    again.close()
