"""The ingester's connection to a reducer that is killed before it has heard a word."""

from __future__ import annotations

from pathlib import Path

import zmq

from glimt.engines.live_messages import ScanStart, decode_to_reducer, encode
from glimt.engines.reducer_link import ReducerLink
from glimt.engines.run_keys import NO_KEYS

START = ScanStart(3, "scan", 0, {})


def test_a_process_that_follows_one_that_never_came_hears_one_ingester(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path / 'r'}"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        link, poller = ReducerLink(context, b"hello", NO_KEYS), zmq.Poller()
        link.connect(address, [])  # of a process that is dead by now
        link.register(poller)
        link.begin_scan(START)
        link.connect(address, [(0, 5)])
        assert link.is_replaced
        reducer = context.socket(zmq.ROUTER)
        reducer.bind(address)
        heard: dict[bytes, list[bytes]] = {}
        while reducer.poll(500):
            identity, message = reducer.recv_multipart()
            heard.setdefault(identity, []).append(message)
        ((identity, (hello, start, settled)),) = heard.items()
        assert hello == b"hello"
        assert decode_to_reducer(start) == START
        assert decode_to_reducer(settled).runs == [(0, 5)]
        assert link.n_asked == 1

        link.register(poller)
        reducer.send_multipart([identity, encode(START)])
        assert dict(poller.poll(5000)) == {link.socket: zmq.POLLIN}
        assert [*link.receive()] == [encode(START)]
    finally:
        context.destroy(linger=0)
