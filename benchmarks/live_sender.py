"""The detector of ``live.py``: a process that sends prepared STINS messages over ZeroMQ PUSH, for either program.

A line of JSON on standard input is one series; a line of JSON on standard output says when it was sent. Only pyzmq.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import zmq

HEAD = b'{"htype":"image","msg_number":%d,"frame":%d,"shape":[%d,%d],"type":"uint16","compression":"%s","sent_ns":%d}'
LARGE = 1 << 16


def send_series(socket: zmq.Socket[bytes], pool: list[bytes], order: dict[str, Any]) -> dict[str, int]:
    """Send start, images and end; return the times of the first and the last image [ns, monotonic]."""
    n_frames, rate_hz, shape = order["frames"], order["rate_hz"], order["shape"]
    compression = order["compression"].encode()
    copy = len(pool[0]) < LARGE
    more = zmq.SNDMORE
    send = socket.send
    heads = [] if rate_hz else [HEAD % (i + 1, i, *shape, compression, 0) for i in range(n_frames)]
    send(b'{"htype":"header","filename":"","msg_number":0}')
    n_pool = len(pool)
    if not rate_hz:
        first_ns = time.monotonic_ns()
        for index, head in enumerate(heads):
            send(head, more)
            send(pool[index % n_pool], 0, copy=copy)
    else:
        time.sleep(0.5)  # the receiver opens its scan meanwhile: the age of a frame is to be seen, not that
        first_ns = time.monotonic_ns()
        for index in range(n_frames):
            due = first_ns + int(index * 1e9 / rate_hz)
            time.sleep(max(0.0, (due - time.monotonic_ns()) * 1e-9))
            send(HEAD % (index + 1, index, *shape, compression, time.monotonic_ns()), more)
            send(pool[index % n_pool], 0, copy=copy)
    last_ns = time.monotonic_ns()
    send(b'{"htype":"series_end","msg_number":%d}' % (n_frames + 1))
    return {"first_ns": first_ns, "last_ns": last_ns}


def main() -> None:
    """Bind, then send what each line of standard input orders."""
    address, payloads, payload_bytes = sys.argv[1], Path(sys.argv[2]).read_bytes(), json.loads(sys.argv[3])
    pool, start = [], 0
    for size in payload_bytes:
        pool.append(payloads[start : start + size])
        start += size
    socket = zmq.Context().socket(zmq.PUSH)
    socket.set_hwm(32 if len(pool[0]) >= LARGE else 10_000)
    socket.bind(address)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(send_series(socket, pool, json.loads(line))), flush=True)
    socket.close(linger=0)


if __name__ == "__main__":
    main()
