"""The broker in a SQLite file: the contract, and what is its own."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from glimt.brokers import sqlite_messages
from glimt.brokers.broker import MAX_DELIVERIES, Broker, Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.brokers.sqlite_file import SqliteFile
from glimt.brokers.sqlite_owner import is_gone, lease_clock_ns, this_process
from glimt.model.errors import BrokerError
from glimt.testing.broker_contract import BrokerContract


class TestSqliteBroker(BrokerContract):
    delay_s = 0.15
    quiet_s = 0.05
    take_over_s = 5.0

    def new_place(self, folder: Path) -> str:
        return f"sqlite:{folder / 'broker.db'}"

    def connect(self, place: str) -> Broker:
        return SqliteBroker(place)

    def cut(self, broker: Broker) -> None:
        with sqlite3.connect(broker.url.partition(":")[2]) as connection:
            connection.execute("UPDATE owner SET renewed_ns = renewed_ns - 100000000000")
        connection.close()
        other = SqliteBroker(broker.url)
        other.status()  # looks for receivers that are gone
        other.close()


def url_in(folder: Path, options: str = "") -> str:
    return f"sqlite:{folder / 'broker.db'}{options}"


def opened(folder: Path) -> SqliteBroker:
    broker = SqliteBroker(url_in(folder))
    broker.declare([QueueSpec("work"), QueueSpec("other")])
    return broker


def test_the_file_and_those_beside_it_are_for_its_owner_only(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.subscribe("work")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 4  # the file, the log, its index, the pipe
    assert set(modes.values()) == {0o600}
    broker.close()
    assert [file.name for file in tmp_path.iterdir()] == ["broker.db"]


def test_messages_outlive_all_connections(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.send([Outgoing(b"x", queue="work", delay_s=0.01), Outgoing(b"y", queue="work")])
    broker.close()
    again = SqliteBroker(url_in(tmp_path, "?synchronous=full"))
    again.subscribe("work", prefetch=2)
    taken = [again.receive(timeout_s=5)[0].body for _ in range(2)]
    again.close()
    assert sorted(taken) == [b"x", b"y"]


def test_a_process_that_leaves_does_not_take_the_log_of_those_that_stay(tmp_path: Path) -> None:
    """POSIX locks are a process's: whoever closes the file once more than needed gives them all up."""
    leave = "import sys; from glimt.brokers.sqlite import SqliteBroker; SqliteBroker(sys.argv[1]).close()"
    with closing(SqliteBroker(url_in(tmp_path))) as first, closing(SqliteBroker(url_in(tmp_path))):
        first.declare([QueueSpec("work")])
        subprocess.run([sys.executable, "-c", leave, first.url], check=True, timeout=60)
        assert (tmp_path / "broker.db-wal").exists()
        first.send([Outgoing(b"later", queue="work")])
        count = "import sys; from glimt.brokers.sqlite import SqliteBroker; print(SqliteBroker(sys.argv[1]).status())"
        seen = subprocess.run([sys.executable, "-c", count, first.url], check=True, timeout=60, stdout=subprocess.PIPE)
        assert b"name='work', n_ready=1" in seen.stdout


def test_a_file_of_a_newer_glimt_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "broker.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(BrokerError, match="newer glimt"):
        SqliteBroker(url_in(tmp_path))


def test_files_that_are_no_brokers_are_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "broker.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE precious (x)")
    before = other.read_bytes()
    with pytest.raises(BrokerError, match="no broker's"):
        SqliteBroker(url_in(tmp_path))
    assert other.read_bytes() == before
    other.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(BrokerError, match="no SQLite file"):
        SqliteBroker(url_in(tmp_path))


@pytest.mark.parametrize("name", ["missing/broker.db", "."])
def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokerError, match=r"cannot be (opened|made)"):
        SqliteBroker(f"sqlite:{tmp_path / name}")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.send([Outgoing(bytes(50_000), queue="work")])
    broker.close()
    file = tmp_path / "broker.db"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(BrokerError, match="damaged"):
        SqliteBroker(url_in(tmp_path)).subscribe("work")


def test_who_blocks_the_file_for_too_long_is_told_about(tmp_path: Path) -> None:
    opened(tmp_path).close()
    file = SqliteFile(tmp_path / "broker.db", busy_s=0.05)
    with closing(sqlite3.connect(tmp_path / "broker.db", isolation_level=None)) as blocking:
        blocking.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerError, match="too long"), file.writing():
            pass
        blocking.execute("ROLLBACK")
    with file.writing() as connection:
        connection.execute("DELETE FROM queue")
    file.close()


def test_what_was_deleted_is_used_again_and_at_last_given_back(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.subscribe("work", prefetch=100)
    for _ in range(30):
        broker.send([Outgoing(bytes(50_000), queue="work") for _ in range(10)])
        broker.settle(broker.receive(100, timeout_s=5))
    sizes = sum(file.stat().st_size for file in tmp_path.iterdir() if "wake" not in file.name)
    broker.close()
    assert sizes < 60_000_000  # of 15 MB that went through, and of a log that is cut
    assert (tmp_path / "broker.db").stat().st_size < 5_000_000


def test_deliveries_in_a_queue_of_a_hundred_thousand_stay_fast(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    for _ in range(10):
        broker.send([Outgoing(b"x", queue="work") for _ in range(10_000)])
    broker.subscribe("work", prefetch=1)
    (plan,) = broker._file.read("EXPLAIN QUERY PLAN DELETE FROM ready WHERE queue = 1 AND (rank, id) <= (9, 5)")
    assert "queue=? AND (rank,id)<(?,?)" in plan[3]
    broker.close()


def test_a_process_that_is_there_keeps_its_messages_and_one_that_is_not_does_not() -> None:
    me, now = this_process(), lease_clock_ns()
    assert not is_gone(me, now)
    assert not is_gone(me, now - 30 * 10**9)  # its threads may be kept waiting
    assert is_gone(me, now - 100 * 10**9)
    assert not is_gone(me, now - 100 * 10**9, trusts_leases=False)
    assert is_gone(me, now + 10**12)
    for other in (
        replace(me, boot="another"),
        replace(me, started=me.started - 1),
        replace(me, pid=2**22 + 1),
    ):
        assert is_gone(other, now)
    elsewhere = replace(me, namespace=1)
    assert not is_gone(elsewhere, now)
    assert is_gone(elsewhere, now - 6 * 10**9)


def test_a_child_that_nobody_waited_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        stat_line = Path(f"/proc/{child.pid}/stat").read_text()
        process = replace(this_process(), pid=child.pid, started=int(stat_line.rpartition(")")[2].split()[19]))
        assert not is_gone(process, lease_clock_ns())
        child.kill()
        while " Z " not in Path(f"/proc/{child.pid}/stat").read_text():
            pass
        assert is_gone(process, lease_clock_ns())


def test_without_a_socket_a_receiver_still_hears_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no sockets here")

    monkeypatch.setattr(os, "fchmod", refuse)
    broker, sender = opened(tmp_path), opened(tmp_path)
    broker.subscribe("work")
    timer = threading.Timer(0.1, sender.send, [[Outgoing(b"x", queue="work")]])
    timer.start()
    start = time.monotonic()
    assert len(broker.receive(timeout_s=10)) == 1
    assert time.monotonic() - start < 2
    timer.join()
    broker.close()
    sender.close()


def test_another_thread_may_close_a_receiver(tmp_path: Path) -> None:
    broker = opened(tmp_path)
    broker.subscribe("work")
    timer = threading.Timer(0.1, broker.close)
    timer.start()
    with pytest.raises(BrokerError, match="closed"):
        broker.receive(timeout_s=10)
    timer.join()


def test_what_no_receiver_saw_is_not_delivered_too_often(tmp_path: Path) -> None:
    sender = opened(tmp_path)
    sender.declare([QueueSpec("counted")])
    sender.send([Outgoing(body=str(number).encode(), queue="counted") for number in range(10)])
    seen: list[list[tuple[bytes, int]]] = []
    for _ in range(2 * MAX_DELIVERIES):
        dying = SqliteBroker(sender.url)
        dying.subscribe("counted", prefetch=10)
        seen.append([(each.body, each.n_deliveries) for each in dying.receive(10)])
        assert dying._receiver is not None
        dying._receiver._shut()
        with dying._file.writing() as connection:  # what others do when its process is gone
            sqlite_messages.give_back(connection, dying._receiver.owner)
        dying._receiver = None
        dying.close()
    together = [(str(number).encode(), n) for n in (1, 2) for number in range(10)]
    assert seen[0] + seen[1] == together
    assert seen[2:6] == [[(b"0", n)] for n in (3, 4, 5, 6)]
    assert seen[6] == [(b"1", 3)]
    assert [letter.body for letter in sender.peek("dlq.counted")] == [b"0", b"1"]
    orderly = SqliteBroker(sender.url)
    orderly.subscribe("counted", prefetch=10)
    assert len(orderly.receive(10)) == 1
    orderly.close()
    assert [each.n_deliveries for each in sender.peek("counted")] == [5, *[2] * 7]
    sender.close()
