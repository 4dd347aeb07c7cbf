"""How processes tell each other that there is something to receive: a named pipe for each receiver, beside the file."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable
from pathlib import Path

_POLL_S = 0.02


def pipe_path(path: Path, owner: int) -> Path:
    """Return where the pipe of a receiver is."""
    return path.with_name(f"{path.name}-wake-{owner}")


class WakePipe:
    """The end of a receiver's pipe that it waits at; where no pipe can be made, `wait` returns after a short time.

    Parameters
    ----------
    path : Path
        The broker's file.
    owner : int
        The receiver.
    """

    def __init__(self, path: Path, owner: int) -> None:
        self.path = pipe_path(path, owner)
        self._own = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # for this process: works without any folder
        self._named: int | None = None
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            os.mkfifo(self.path, 0o600)
            # Open for writing as well, so that it never ends.
            self._named = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._ends = [self._own[0], *([] if self._named is None else [self._named])]

    def drain(self) -> None:
        """Forget what was said so far; what is to be received must be looked for after this."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                while len(os.read(end, 4096)) == 4096:
                    pass

    def wait(self, timeout_s: float) -> None:
        """Wait until somebody says something, or for ``timeout_s``."""
        if self._named is None:
            timeout_s = min(timeout_s, _POLL_S)
        poll = select.poll()
        for end in self._ends:
            poll.register(end, select.POLLIN)
        poll.poll(max(1000.0 * timeout_s, 0.0))

    def wake(self) -> None:
        """Let `wait` in another thread return."""
        with contextlib.suppress(OSError):
            os.write(self._own[1], b"w")

    def close(self) -> None:
        """Take the pipe away."""
        for end in (*self._own, *([] if self._named is None else [self._named])):
            with contextlib.suppress(OSError):
                os.close(end)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Waker:
    """Wakes receivers; keeps their pipes open.

    Parameters
    ----------
    path : Path
        The broker's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends: dict[int, int] = {}

    def wake(self, owners: Iterable[int]) -> None:
        """Tell receivers to look; those that are gone or never wait are passed over."""
        for owner in owners:
            try:
                if owner not in self._ends:
                    self._ends[owner] = os.open(
                        pipe_path(self._path, owner), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
                    )
                os.write(self._ends[owner], b"w")
            except BlockingIOError:
                pass  # full: it will look
            except OSError:
                self._forget(owner)

    def close(self) -> None:
        """Close all pipes."""
        for owner in list(self._ends):
            self._forget(owner)

    def _forget(self, owner: int) -> None:
        end = self._ends.pop(owner, None)
        if end is not None:
            with contextlib.suppress(OSError):
                os.close(end)
