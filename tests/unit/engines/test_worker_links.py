"""Who is which worker slot, and what each has been told; over connections within this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from glimt.engines.live_messages import (
    Credit,
    Finish,
    Finished,
    Hello,
    Quit,
    ReducerAt,
    ScanStart,
    Values,
    Welcome,
    decode_to_worker,
    encode,
)
from glimt.engines.worker_links import WorkerLinks

TOKEN = b"secret of the run"
GENERIC = frozenset({"generic"})
WELCOME = Welcome(["det"], ["STINS"], "/memory", 4096)
START = ScanStart(1, "scan", 5, {"scale": b"1"})
LIMIT_MS = 5000


class Bench:
    """A bound ROUTER with its links, and processes that connect to it."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.router: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.router.bind("inproc://workers")
        slots = {"worker-0": GENERIC, "worker-1": GENERIC}
        self.links = WorkerLinks(self.router, token=TOKEN, slots=slots, welcome=WELCOME)
        self.n_processes = 0
        self.sockets = [self.router]

    def connect(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        socket.connect("inproc://workers")
        self.sockets.append(socket)
        return socket

    def process(self, slot: str = "worker-0", token: bytes = TOKEN) -> zmq.Socket[bytes]:
        """Start a process of a slot, that says who it is."""
        self.n_processes += 1
        socket = self.connect()
        socket.send(encode(Hello(token, slot, 1000 + self.n_processes, "host")))
        return socket

    def heard(self) -> list[tuple[str, Any]]:
        return list(self.links.receive(100))


def told(socket: zmq.Socket[bytes]) -> list[Any]:
    """Return what a process has been told; what is sent within a process is there at once."""
    messages = []
    while socket.poll(0):
        parts = socket.recv_multipart()
        messages.append(decode_to_worker(parts[0]) if len(parts) == 1 else parts)
    return messages


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for socket in made.sockets:
        socket.close(linger=0)
    made.context.term()


def test_a_process_that_knows_the_token_is_welcome(bench: Bench) -> None:
    process = bench.process()
    [(slot, hello)] = bench.heard()
    assert slot == "worker-0"
    assert isinstance(hello, Hello)
    assert told(process) == [WELCOME]
    assert bench.links.newcomers() == ["worker-0"]
    assert bench.links.newcomers() == []
    assert list(bench.links) == ["worker-0"]


@pytest.mark.parametrize(
    "first",
    [
        encode(Hello(b"guess", "worker-0", 1, "host")),
        encode(Hello(TOKEN, "worker-99", 1, "host")),
        encode(Hello(TOKEN, "reducer", 1, "host")),
        encode(Finished(1)),
        b"",
        b"\xff" * 100,
        b"\x91" * 5000,
    ],
    ids=["wrong token", "unknown slot", "another role", "no hello", "nothing", "garbage", "deep"],
)
def test_anybody_else_is_not_listened_to(bench: Bench, first: bytes) -> None:
    process = bench.connect()
    process.send(first)
    process.send(encode(Credit(1, 1, 1)))
    assert bench.heard() == []
    assert told(process) == []
    assert list(bench.links) == []


def test_garbage_of_a_known_process_is_left_out(bench: Bench) -> None:
    process = bench.process()
    bench.heard()
    process.send(b"\xc1")
    process.send(encode(Credit(3, 4, 1)))
    assert bench.heard() == [("worker-0", Credit(3, 4, 1))]


def test_at_most_so_many_messages_are_taken_at_a_time(bench: Bench) -> None:
    process = bench.process()
    bench.heard()
    for number in range(5):
        process.send(encode(Finished(number)))
    assert len(list(bench.links.receive(2))) == 2
    assert len(bench.heard()) == 3


def test_a_new_process_takes_the_place_of_the_old_one(bench: Bench) -> None:
    old = bench.process()
    bench.heard()
    new = bench.process()
    bench.heard()
    old.send(encode(Credit(1, 1, 1)))  # it was not dead, after all
    new.send(encode(Credit(2, 2, 1)))
    assert bench.heard() == [("worker-0", Credit(2, 2, 1))]
    assert bench.links.is_from("worker-0", 1002, "host")
    assert not bench.links.is_from("worker-0", 1001, "host")
    assert not bench.links.is_from("worker-0", 1002, "other host")
    told(old)
    bench.links.send("worker-0", [b"B", b"head"])
    assert told(old) == []
    assert told(new)[-1] == [b"B", b"head"]


def test_the_old_process_is_said_to_be_lost_before_the_new_one_is_there(bench: Bench) -> None:
    bench.process()
    bench.heard()
    bench.links.newcomers()
    bench.process()
    received = bench.links.receive(100)
    next(received)
    bench.links.forget("worker-0")  # what the ingester does then
    assert list(bench.links) == []
    assert list(received) == []
    assert list(bench.links) == ["worker-0"]


def test_what_is_sent_to_a_slot_without_a_process_goes_nowhere(bench: Bench) -> None:
    bench.links.send("worker-1", [b"B"])
    process = bench.process("worker-1")
    bench.heard()
    bench.links.forget("worker-1")
    bench.links.forget("worker-1")
    bench.links.send("worker-1", [b"B"])
    assert told(process) == [WELCOME]


def test_everybody_is_told_where_the_reducer_is(bench: Bench) -> None:
    early = bench.process("worker-0")
    bench.heard()
    bench.links.use_reducer("ipc://here")
    late = bench.process("worker-1")
    bench.heard()
    bench.links.use_reducer("ipc://there")
    assert told(early) == [WELCOME, ReducerAt("ipc://here"), ReducerAt("ipc://there")]
    assert told(late) == [WELCOME, ReducerAt("ipc://here"), ReducerAt("ipc://there")]


def test_everybody_joins_a_scan_once(bench: Bench) -> None:
    early = bench.process("worker-0")
    bench.heard()
    bench.links.begin_scan(START)
    late = bench.process("worker-1")
    bench.heard()
    for slot in ("worker-0", "worker-1"):
        bench.links.join_scan(slot)
    assert told(early) == [WELCOME, START]
    assert told(late) == [WELCOME, START]


def test_without_a_scan_there_is_none_to_join(bench: Bench) -> None:
    process = bench.process()
    bench.heard()
    bench.links.join_scan("worker-0")
    assert told(process) == [WELCOME]


def test_a_version_of_the_parameters_is_told_when_it_is_needed_and_only_then(bench: Bench) -> None:
    process = bench.process()
    bench.heard()
    bench.links.begin_scan(START)
    values = Values(1, 6, {"scale": b"2"}, 17)
    bench.links.add_version(values)
    bench.links.use_version("worker-0", 5)
    assert told(process) == [WELCOME, START]
    bench.links.use_version("worker-0", 6)
    bench.links.use_version("worker-0", 6)
    assert told(process) == [values]
    bench.links.use_version("worker-0", 5)  # an event that is given again
    assert told(process) == [Values(1, 5, {"scale": b"1"})]


def test_a_process_that_comes_later_begins_with_the_first_version(bench: Bench) -> None:
    bench.links.begin_scan(START)
    values = Values(1, 6, {"scale": b"2"}, 17)
    bench.links.add_version(values)
    process = bench.process()
    bench.heard()
    bench.links.join_scan("worker-0")
    bench.links.use_version("worker-0", 6)
    assert told(process) == [WELCOME, START, values]


def test_only_those_who_joined_the_scan_are_asked_to_finish_it(bench: Bench) -> None:
    process = bench.process("worker-0")
    bench.heard()
    bench.links.begin_scan(START)
    other = bench.process("worker-1")
    bench.heard()  # it has not joined yet
    assert bench.links.finish(1) == {"worker-0"}
    assert told(process) == [WELCOME, START, Finish(1)]
    bench.links.join_scan("worker-1")
    assert told(other) == [WELCOME]


def test_the_end_of_the_run_is_told_to_all(bench: Bench) -> None:
    processes = [bench.process("worker-0"), bench.process("worker-1")]
    bench.heard()
    bench.links.quit()
    assert [told(process)[-1] for process in processes] == [Quit(), Quit()]
