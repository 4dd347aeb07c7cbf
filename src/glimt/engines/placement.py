"""Where the roles of a live run are: processes of this machine, or what another placement makes of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from glimt.engines.parent import ParentWatch
from glimt.engines.run_keys import NO_KEYS
from glimt.model.errors import GlimtError, UserCodeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from glimt.engines.run_keys import RunKeys

_LONGEST_SOCKET_FOLDER = 70  # the system allows 108 characters for a socket's path


class PlacedRole(Protocol):
    """One process of a role, wherever it is."""

    @property
    def sentinel(self) -> int | None:
        """A file descriptor that becomes readable when it ends, ``None`` if there is none."""
        ...

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        ...

    def describe_death(self) -> str:
        """How it ended, in words."""
        ...

    @property
    def refusal(self) -> str:
        """Why it cannot do what it was started for, so that another would not either; empty if it did not say so."""
        ...

    def end(self, wait_s: float) -> None:
        """Let it end by itself for so long [s], then make it end."""
        ...


class Placement(Protocol):
    """Starts roles."""

    shares_memory: bool
    """Whether workers are on the ingester's machine."""
    keys: RunKeys
    """Of the connections of control and reducer."""
    frame_keys: RunKeys
    """Of the connections between ingester and workers, which carry the frames."""
    start_limit_s: float
    """How long starting all roles may take [s]."""
    quiet_limit_s: float
    """How long a role without a sentinel may be silent before it is taken as dead [s]."""
    lease_s: float | None
    """How long workers go on without hearing from the control process [s]; ``None`` if they see it end."""

    def address(self, name: str) -> str:
        """Return the ZeroMQ address at which a role or the control process is to bind.

        Ends with ``:*`` if a port is chosen at that moment; then workers are started when the ingester has told it.
        """
        ...

    def start(self, name: str, run: Callable[[Any], None], role: Any) -> PlacedRole:
        """Start a role: somewhere, ``run(role)`` is called."""
        ...

    def close(self) -> None:
        """Give back what was taken for it."""
        ...


class LocalPlacement:
    """Roles are processes of this machine, which talk over sockets in a folder of this user's own."""

    shares_memory = True
    keys = frame_keys = NO_KEYS  # sockets in a folder of this user's own
    start_limit_s = 120.0
    quiet_limit_s = float("inf")
    lease_s: float | None = None

    def __init__(self) -> None:
        folder = tempfile.gettempdir()
        if len(folder) > _LONGEST_SOCKET_FOLDER:
            folder = "/tmp"  # the path of a socket must be short
        self._folder = Path(tempfile.mkdtemp(prefix="glimt-", dir=folder))

    def address(self, name: str) -> str:
        """Return an address in the private folder."""
        return f"ipc://{self._folder}/{name}"

    def start(self, name: str, run: Callable[[Any], None], role: Any) -> LocalRole:
        """Start a process."""
        return LocalRole(name, run, role, self._folder)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


class LocalRole:
    """A process of this machine.

    Parameters
    ----------
    name : str
        What it is called in process lists.
    run : callable
        What it does, given ``role``.
    role : object
        Picklable.
    folder : Path, optional
        What it removes if the process that started it was killed before it could do that.
    """

    def __init__(self, name: str, run: Callable[[Any], None], role: Any, folder: Path | None = None) -> None:
        self.name = name
        self.refusal = ""
        context = multiprocessing.get_context("spawn")
        self._refusals, refuse = context.Pipe(duplex=False)
        # Spawned, not forked: threads of this process would not survive in the child, their locks would.
        # Not a daemon: a user's worker may have processes of its own.
        self._process: SpawnProcess = context.Process(
            target=run_role, args=(run, role, refuse, folder), name=name, daemon=False
        )
        self._process.start()
        refuse.close()

    @property
    def process_id(self) -> int:
        """Of the operating system."""
        return self._process.pid or -1

    @property
    def sentinel(self) -> int | None:
        """Readable when it ends."""
        return self._process.sentinel

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def describe_death(self) -> str:
        """How it ended, in words."""
        code = self._process.exitcode
        with contextlib.suppress(EOFError, OSError):
            if self._refusals.poll(0):
                self.refusal = self._refusals.recv_bytes().decode()
        if self.refusal:
            return self.refusal
        if code is None:
            return f"{self.name} (process {self.process_id}) does not answer"
        if code < 0:
            return f"{self.name} (process {self.process_id}) was killed by {signal.Signals(-code).name}"
        return f"{self.name} (process {self.process_id}) ended with exit code {code}"

    def end(self, wait_s: float) -> None:
        """Wait for its end, then kill it."""
        self._process.join(timeout=wait_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(timeout=5.0)
        with contextlib.suppress(ValueError):  # not reaped yet: nothing more can be done here
            self._process.close()


def run_role(run: Callable[[Any], None], role: Any, refuse: Connection, folder: Path | None = None) -> None:
    """Be the process of a role; if it cannot do what it is for, say why and end."""
    # Ctrl-C and the end of a service are for the run, which tells its roles; a group signal must not end them first.
    # Not SIG_IGN, which programs that user code starts would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_to_the_run)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        run(role)
    except GlimtError as error:
        if isinstance(error, UserCodeError) and error.trace:
            sys.stderr.write(f"{error.trace}\n")
        refuse.send_bytes(str(error).encode())
        sys.exit(1)
    finally:
        if folder is not None and ParentWatch().is_gone():
            shutil.rmtree(folder, ignore_errors=True)


def _leave_to_the_run(number: int, frame: object) -> None:
    del number, frame
