"""Tells the control process that this one lives, from a thread of its own: user code may take long."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from glimt.engines.live_messages import Beat, Hello, Quit, decode_to_heart, encode
from glimt.engines.run_keys import NO_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from glimt.engines.run_keys import RunKeys
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
    keys : RunKeys
        Of the run.
    lease_s : float or None
        For a process that nothing on its machine belongs to: how long it goes on without hearing from control [s].

    Attributes
    ----------
    is_given_up : bool
        Control has another process for this role, or has not been heard for the lease: this one has to end.
    """

    def __init__(
        self,
        address: str,
        hello: Hello,
        state: Callable[[], dict[str, Any]],
        *,
        keys: RunKeys = NO_KEYS,
        lease_s: float | None = None,
    ) -> None:
        self.is_given_up = False
        self._keys = keys
        self._lease_s = lease_s
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
        self._keys.join(socket)
        socket.connect(self._address)
        socket.send(encode(self._hello))
        heard_at = time.monotonic()
        while True:
            stopping = self._stopping
            with suppress(zmq.Again):  # nobody listens: the next beat says the same
                socket.send(encode(self._beat()), zmq.NOBLOCK)
            if stopping:
                break
            if self._listen(socket):
                heard_at = time.monotonic()
            elif self._lease_s is not None and time.monotonic() - heard_at > self._lease_s:
                self.is_given_up = True
            self._wake.wait(BEAT_S)
            self._wake.clear()
        socket.close()
        context.term()

    def _listen(self, socket: zmq.Socket[bytes]) -> bool:
        """Take what control says; tell whether it says anything."""
        is_heard = False
        while socket.poll(0):
            is_heard = True
            if isinstance(decode_to_heart(socket.recv()), Quit):
                self.is_given_up = True
        return is_heard

    def _beat(self) -> Beat:
        with self._lock:
            failures, self._failures = self._failures, []
            n_failures, self._n_failures = self._n_failures, 0
            remarks, self._remarks = self._remarks, []
        return Beat(self._hello.role, os.getpid(), self._state(), failures, n_failures, remarks)
