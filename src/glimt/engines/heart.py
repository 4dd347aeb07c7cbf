"""Tells the control process that this one lives, from a thread of its own: user code may take long."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from glimt.engines.live_messages import Beat, Hello, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from glimt.pipeline.failure import Failure

BEAT_S = 0.25
_KEPT_FAILURES = 10


class Heart:
    """Sends a `Beat` four times a second, with what there is to report.

    Parameters
    ----------
    address : str
        Of the control process.
    hello : Hello
        Who this is.
    state : callable
        Returns counters as plain values; called from this thread.
    """

    def __init__(self, address: str, hello: Hello, state: Callable[[], dict[str, Any]]) -> None:
        self._address = address
        self._hello = hello
        self._state = state
        self._lock = threading.Lock()
        self._failures: list[Failure] = []
        self._n_failures = 0
        self._remarks: list[str] = []
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._thread.start()

    def fail(self, failure: Failure) -> None:
        """Report a call of user code that raised."""
        with self._lock:
            self._n_failures += 1
            if len(self._failures) < _KEPT_FAILURES:
                self._failures.append(failure)

    def remark(self, text: str) -> None:
        """Report something that the operator should read, once."""
        with self._lock:
            self._remarks.append(text)

    def beat_now(self) -> None:
        """Report without waiting for the next beat."""
        self._wake.set()

    def stop(self) -> None:
        """Send what is left and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        context = zmq.Context()  # its own: the other sockets of this process belong to another thread
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.SNDHWM, 100)
        socket.connect(self._address)
        socket.send(encode(self._hello))
        while True:
            stopping = self._stopping
            with suppress(zmq.Again):  # nobody listens: the next beat says the same
                socket.send(encode(self._beat()), zmq.NOBLOCK)
            if stopping:
                break
            self._wake.wait(BEAT_S)
            self._wake.clear()
        socket.close()
        context.term()

    def _beat(self) -> Beat:
        with self._lock:
            failures, self._failures = self._failures, []
            n_failures, self._n_failures = self._n_failures, 0
            remarks, self._remarks = self._remarks, []
        return Beat(self._hello.role, os.getpid(), self._state(), failures, n_failures, remarks)
