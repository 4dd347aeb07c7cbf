"""How processes tell each other what there is to receive: a socket for each receiver, beside the file."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

_POLL_S = 0.02
_LONGEST_ADDRESS = 100  # of 107 bytes that a socket's address can have
_LARGEST_BYTES = 1 << 16
_LOOK = b""


def socket_path(path: Path, owner: int) -> Path:
    """Return where the socket of a receiver is."""
    return path.with_name(f"{path.name}-wake-{owner}")


class WakeSocket:
    """The end that a receiver waits at; where no socket can be made, `wait` returns after a short time.

    Parameters
    ----------
    path : Path
        The broker's file.
    owner : int
        The receiver.
    """

    def __init__(self, path: Path, owner: int) -> None:
        self.path = socket_path(path, owner)
        self._own = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # for this process: works without any folder
        self._poll = select.poll()
        self._poll.register(self._own[0], select.POLLIN)
        self._named: socket.socket | None = None
        self._closing = threading.RLock()  # a signal may call wake while this thread closes
        self._is_closed = False
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.path.unlink(missing_ok=True)
            os.fchmod(made.fileno(), 0o600)  # before it has its name, so that nobody else can ever use it
            with _address(self.path) as address:
                made.bind(address)
            self.path.chmod(0o600)
        except OSError:
            made.close()
        else:
            self._named = made
            self._poll.register(made.fileno(), select.POLLIN)

    def wait(self, timeout_s: float) -> list[bytes]:
        """Wait until somebody says something, or for ``timeout_s``; return the messages that came along."""
        if self._named is None:
            timeout_s = min(timeout_s, _POLL_S)
        found: list[bytes] = []
        for end, _ in self._poll.poll(max(1000.0 * timeout_s, 0.0)):
            with contextlib.suppress(OSError):
                if end == self._own[0]:
                    os.read(end, 4096)
                elif self._named is not None:
                    while not (said := self._named.recv(2 * _LARGEST_BYTES)):
                        pass  # one look is enough for all who said that there is something
                    found.append(said)
        return found

    def wake(self) -> None:
        """Let `wait` in another thread return."""
        with self._closing, contextlib.suppress(OSError):
            if not self._is_closed:  # else the number may be that of another file by now
                os.write(self._own[1], b"w")

    def close(self) -> None:
        """Take the socket away; harmless when repeated."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            for end in self._own:
                os.close(end)
        if self._named is not None:
            self._named.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Waker:
    """Wakes receivers; keeps the ways to them open.

    Parameters
    ----------
    path : Path
        The broker's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends: dict[int, socket.socket] = {}

    def wake(self, owners: Iterable[int]) -> None:
        """Tell receivers to look; those that are gone or never wait are passed over."""
        for owner in owners:
            self.tell(owner, _LOOK)

    def tell(self, owner: int, message: bytes) -> None:
        """Send a message to a receiver; one that is too large, or cannot be taken now, it finds when it looks."""
        try:
            end = self._ends.get(owner) or self._reach(owner)
            end.send(message if len(message) <= _LARGEST_BYTES else _LOOK)
        except BlockingIOError:
            pass  # full: it will look
        except OSError:
            self._forget(owner)

    def close(self) -> None:
        """Close all ways."""
        for owner in list(self._ends):
            self._forget(owner)

    def _reach(self, owner: int) -> socket.socket:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            with _address(socket_path(self._path, owner)) as address:
                end.connect(address)
        except OSError:
            end.close()
            raise
        for other in [other for other in self._ends if not socket_path(self._path, other).exists()]:
            self._forget(other)  # gone: nobody would ever tell it anything again
        self._ends[owner] = end
        return end

    def _forget(self, owner: int) -> None:
        end = self._ends.pop(owner, None)
        if end is not None:
            end.close()


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give the address of a socket: a path that is too long for one is told by its opened folder."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
