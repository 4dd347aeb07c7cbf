"""The ingester's connection to the reducer: what it must know about the scan, told again to a new process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zmq

from glimt.engines.live_messages import Quit, ScanClosed, ScanEnd, ScanStart, SettledRuns, Values, Void, encode
from glimt.engines.run_keys import RunKeys


class ReducerLink:
    """Connection to the reducer.

    Parameters
    ----------
    context : zmq.Context
        Of the ingester.
    hello : bytes
        What is said first.
    keys : RunKeys
        Of the run.

    Attributes
    ----------
    socket : zmq.Socket or None
        To be polled, once it is registered; ``None`` before the reducer is there.
    is_replaced : bool
        The process is not the one that the scan began with.
    n_asked : int
        Answers about settled serials that are still to come: until then, the account of the scan is not known.
    """

    def __init__(self, context: zmq.Context[Any], hello: bytes, keys: RunKeys) -> None:
        self._keys = keys
        self._context = context
        self._hello = hello
        self.socket: zmq.Socket[bytes] | None = None
        self._poller: zmq.Poller | None = None  # that waits for it
        # What a new process is told. Void serials are not among it: there may be any number of them.
        self._told: list[bytes] = []
        self._scan = -1
        self.is_replaced = False
        self.n_asked = 0

    def connect(self, address: str, settled: list[tuple[int, int]]) -> None:
        """Use the reducer at this address; it is told about the scan that runs, but not its end, or about the last one.

        Parameters
        ----------
        address : str
            Where it is.
        settled : list of (int, int)
            Serials of the scan that runs for which nothing comes any more: first, and behind the last.
        """
        self.is_replaced = self.socket is not None
        self._forget()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.LINGER, 2000)
        self._keys.join(self.socket)
        self.socket.connect(address)
        self.socket.send(self._hello)
        for message in self._told:
            self.socket.send(message)
        self.n_asked = 0
        if settled:
            self.settle(settled)

    def _forget(self) -> None:
        """End the connection at once.

        A connection to a process that died connects to the next one by itself, and would say who it is there behind the
        new connection: that process would then answer to, and listen to, one that is no more.
        """
        if self.socket is None:
            return
        if self._poller is not None:
            self._poller.unregister(self.socket)
            self._poller = None
        self.socket.close(linger=0)
        self.socket = None

    def register(self, poller: zmq.Poller) -> None:
        """Let a poller wait for the newest connection, if it does not yet."""
        if self.socket is not None and self._poller is None:
            poller.register(self.socket, zmq.POLLIN)
            self._poller = poller

    def receive(self) -> Iterator[bytes]:
        """Yield the messages that are there."""
        while self.socket is not None:
            try:
                yield self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return

    def begin_scan(self, start: ScanStart) -> None:
        """Tell that a scan begins."""
        self._scan = start.scan
        self._told, self.is_replaced, self.n_asked = [], False, 0
        self._tell(encode(start))

    def add_version(self, values: Values) -> None:
        """Tell parameter values that results will name."""
        self._tell(encode(values))

    def void(self, serials: list[int]) -> None:
        """Tell serials that will never have a result."""
        if self.socket is not None:  # otherwise it is told what is settled when it comes
            self.socket.send(encode(Void(self._scan, serials)))

    def settle(self, runs: list[tuple[int, int]]) -> None:
        """Tell a new process serials for which nothing comes any more: it says which of them it does not have."""
        if self.socket is not None:
            self.n_asked += 1
            self.socket.send(encode(SettledRuns(self._scan, runs)))

    def end_scan(self, end: ScanEnd) -> None:
        """Tell that there is no more."""
        if self.socket is not None:
            self.socket.send(encode(end))

    def close_scan(self, scan_id: str) -> None:
        """Tell that the end of the scan is known here; a process that comes later has to tidy up for one that died."""
        self._told = []
        self._tell(encode(ScanClosed(scan_id)))

    def _tell(self, message: bytes) -> None:
        self._told.append(message)
        if self.socket is not None:
            self.socket.send(message)

    def quit(self) -> None:
        """Tell the reducer to end."""
        if self.socket is not None:
            self.socket.send(encode(Quit()))
