"""The ingester's connections to worker processes: who is which slot, and what each has been told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import zmq

from glimt.engines.live_messages import (
    Finish,
    Hello,
    Quit,
    ReducerAt,
    ScanStart,
    Values,
    Welcome,
    decode_from_worker,
    encode,
)

_NOBODY = -1


class _Link:
    """One worker process."""

    __slots__ = ("host", "identity", "process_id", "scan", "version")

    def __init__(self, identity: bytes, process_id: int, host: str) -> None:
        self.host = host
        self.identity = identity
        self.process_id = process_id
        self.scan = _NOBODY
        self.version = _NOBODY


class WorkerLinks:
    """Connections to the workers.

    Parameters
    ----------
    socket : zmq.Socket
        ROUTER, bound.
    token : bytes
        What a process must say before it is listened to.
    slots : mapping of str to frozenset of str
        Names of the worker slots, and their tags.
    welcome : Welcome
        What each process is told first.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], *, token: bytes, slots: Mapping[str, frozenset[str]], welcome: Welcome
    ) -> None:
        self._socket = socket
        self._token = token
        self._slots = slots
        self._welcome = encode(welcome)
        self._reducer_at: bytes | None = None
        self._links: dict[str, _Link] = {}
        self._names: dict[bytes, str] = {}
        self._start: ScanStart | None = None
        self._versions: dict[int, bytes] = {}
        self._newcomers: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """Return the slots that have a process."""
        return iter(self._links)

    def receive(self, limit: int) -> Iterator[tuple[str, Any]]:
        """Yield messages that are there, with the slot each is from; a `Hello` for a process that is new."""
        for _ in range(limit):
            try:
                identity, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            slot = self._names.get(identity)
            try:
                message = decode_from_worker(parts[0])
            except (IndexError, ValueError, RecursionError):
                continue
            if isinstance(message, Hello):
                if self._accepts(message):
                    yield message.role, message
                    self._greet(identity, message)
            elif slot is not None:
                yield slot, message

    def _accepts(self, message: Hello) -> bool:
        return secrets.compare_digest(message.token, self._token) and message.role in self._slots

    def _greet(self, identity: bytes, message: Hello) -> None:
        self.forget(message.role)
        self._links[message.role] = _Link(identity, message.process_id, message.host)
        self._names[identity] = message.role
        self._newcomers.append(message.role)
        self._send(identity, self._welcome)
        if self._reducer_at is not None:
            self._send(identity, self._reducer_at)

    def newcomers(self) -> list[str]:
        """Return the slots that have a new process since the last call."""
        found, self._newcomers = self._newcomers, []
        return [slot for slot in dict.fromkeys(found) if slot in self._links]

    def is_from(self, slot: str, process_id: int, host: str) -> bool:
        """Tell whether this process is the one that a slot has."""
        return self.process(slot) == (process_id, host)

    def process(self, slot: str) -> tuple[int, str] | None:
        """Return the process of a slot and its host, ``None`` if it has none."""
        link = self._links.get(slot)
        return None if link is None else (link.process_id, link.host)

    def forget(self, slot: str) -> None:
        """Forget the process of a slot: it has died."""
        link = self._links.pop(slot, None)
        if link is not None:
            del self._names[link.identity]

    def use_reducer(self, address: str) -> None:
        """Tell all workers, and those to come, where results go."""
        self._reducer_at = encode(ReducerAt(address))
        for link in self._links.values():
            self._send(link.identity, self._reducer_at)

    def begin_scan(self, start: ScanStart) -> None:
        """Tell all workers, and those to come, that a scan begins."""
        self._start = start
        self._versions = {start.version: encode(Values(start.scan, start.version, start.data))}
        for slot in self._links:
            self.join_scan(slot)

    def join_scan(self, slot: str) -> None:
        """Tell a worker about the scan that runs, if there is one."""
        link, start = self._links[slot], self._start
        if start is not None and link.scan != start.scan:
            link.scan, link.version = start.scan, start.version
            self._send(link.identity, encode(start))

    def add_version(self, values: Values) -> None:
        """Keep parameter values that events will name."""
        self._versions[values.version] = encode(values)

    def use_version(self, slot: str, version: int) -> None:
        """Make sure that a worker uses these parameter values for what is sent to it next."""
        link = self._links[slot]
        if link.version != version:
            self._send(link.identity, self._versions[version])
            link.version = version

    def send(self, slot: str, parts: Sequence[Any]) -> None:
        """Send a message; to a worker that is gone, nothing: what it does not acknowledge is given to another."""
        link = self._links.get(slot)
        if link is not None:
            self._socket.send_multipart([link.identity, *parts], copy=False)

    def finish(self, scan: int) -> set[str]:
        """Tell the workers that the scan is over; return the slots that will answer."""
        self._start = None
        told = {slot for slot, link in self._links.items() if link.scan == scan}
        for slot in told:
            self._send(self._links[slot].identity, encode(Finish(scan)))
        return told

    def quit(self) -> None:
        """Tell all workers to end."""
        for link in self._links.values():
            self._send(link.identity, encode(Quit()))

    def _send(self, identity: bytes, message: bytes) -> None:
        self._socket.send_multipart([identity, message])
