"""Workers as Dask tasks, wherever the scheduler has places for them; everything else on this machine.

Dask places, and starts again elsewhere what a machine has lost. Events and results never pass through it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
import uuid
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from glimt.engines.dask_keeper import Ending, keep_role, needed_versions
from glimt.engines.placement import LocalRole, PlacedRole
from glimt.engines.run_keys import NO_KEYS, RunKeys

if TYPE_CHECKING:
    import distributed

SLOT_RESOURCE = "slot"
"""Dask workers offer places for roles as this resource."""
_HERE = frozenset({"ingester", "reducer"})
_POLL_S = 0.02
_ORDER_S = 5.0


class DaskPlacement:
    """Ingester and reducer are processes of this machine, each worker is one that a Dask task keeps.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    host : str
        Address of this machine by which the workers reach it.
    close_cluster : callable, optional
        Called at the end: gives back machines that were taken for this run alone.
    start_limit_s : float
        How long the workers may wait for their places [s].
    quiet_limit_s : float
        How long a worker may be silent before its place is given to another [s].
    lease_s : float
        How long a worker goes on without hearing from the control process [s].
    encrypts : bool, optional
        Whether what the processes say to each other is encrypted; without it if the host is not a loopback address.
    encrypts_frames : bool
        Whether that holds for events on their way to workers, too.
    """

    shares_memory = False

    def __init__(
        self,
        client: distributed.Client,
        host: str,
        *,
        close_cluster: Callable[[], object] = lambda: None,
        start_limit_s: float = 600.0,
        quiet_limit_s: float = 5.0,
        lease_s: float | None = 30.0,
        encrypts: bool | None = None,
        encrypts_frames: bool = True,
    ) -> None:
        self.start_limit_s, self.quiet_limit_s, self.lease_s = start_limit_s, quiet_limit_s, lease_s
        if encrypts is None:
            encrypts = not stays_here(host)
        self.keys = RunKeys.made() if encrypts else NO_KEYS
        self.frame_keys = RunKeys.made() if encrypts and encrypts_frames else NO_KEYS
        self._client = client
        self._host = host
        self._close_cluster = close_cluster
        self._tasks: list[DaskRole] = []

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler is."""
        return str(self._client.scheduler.address)

    def address(self, name: str) -> str:
        """Return an address of this machine; the port is chosen when it is bound."""
        return f"tcp://{self._host}:*"

    def start(self, name: str, run: Callable[[Any], None], role: Any) -> PlacedRole:
        """Start a process here, or a task that starts one where Dask finds a place."""
        if name in _HERE:
            return LocalRole(name, run, role)
        placed = DaskRole(self._client, name, run, role)
        self._tasks = [task for task in self._tasks if not task.is_settled] + [placed]
        return placed

    def close(self) -> None:
        """Stop what still runs, and give back the machines."""
        for task in self._tasks:
            task.settle()
        # A scheduler that is gone cannot be told; its workers end without it.
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self._client.close(timeout=_ORDER_S)
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self._close_cluster()


def stays_here(host: str) -> bool:
    """Tell whether nobody on other machines can reach an address of this one."""
    return ipaddress.ip_address(host).is_loopback


class DaskRole:
    """The process of a role that a Dask task keeps.

    Dask runs the task again elsewhere if it loses the machine; the new process takes the place of the old one by saying
    hello. If the process itself ends, or is silent, the task is over and the supervisor makes another.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    name : str
        The role.
    run : callable
        What it does, given ``role``.
    role : object
        Picklable.
    """

    sentinel = None

    def __init__(self, client: distributed.Client, name: str, run: Callable[[Any], None], role: Any) -> None:
        self.name = name
        self.refusal = ""
        self._client = client
        self._stop = f"glimt-stop-{name}-{uuid.uuid4().hex}"
        self._death = ""
        self._orders: threading.Thread | None = None
        self._future: distributed.Future | None = None
        content = bytes(ForkingPickler.dumps((run, role)))
        try:
            self._future = client.submit(
                keep_role,
                name,
                content,
                needed_versions(),
                self._stop,
                key=f"glimt-{name}-{uuid.uuid4().hex}",
                resources={SLOT_RESOURCE: 1},
                pure=False,
            )
        except Exception as error:  # noqa: BLE001 - of any kind: there is no scheduler, and the supervisor tries again
            self._death = f"{name} cannot be given to Dask: {error}"

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it is left."""
        return not self.is_alive() and (self._orders is None or not self._orders.is_alive())

    def is_alive(self) -> bool:
        """Whether the task waits or runs."""
        return self._future is not None and not self._future.done()

    def describe_death(self) -> str:
        """How it ended, in words."""
        future = self._future
        if future is None or not future.done():
            return self._death or f"{self.name} does not answer"
        try:
            ending = Ending(*future.result(timeout=_ORDER_S))
        except Exception as error:  # noqa: BLE001 - whatever was raised there, or by Dask
            return f"{self.name} has no process: Dask says {type(error).__name__}: {error}"
        self.refusal = ending.refusal
        return ending.death

    def end(self, wait_s: float) -> None:
        """Let it end by itself for so long [s], then have it ended; does not wait for that."""
        deadline = time.monotonic() + wait_s
        while self.is_alive() and time.monotonic() < deadline:
            threading.Event().wait(_POLL_S)
        if self._future is not None and self._orders is None:
            self._orders = threading.Thread(target=self._give_up, name=f"end-{self.name}", daemon=True)
            self._orders.start()

    def settle(self) -> None:
        """Wait until the scheduler knows that it is to end."""
        if self._orders is not None:
            self._orders.join(timeout=_ORDER_S)

    def _give_up(self) -> None:
        import distributed

        assert self._future is not None
        # First the keeper, which then kills the process; then Dask, which otherwise would run the task elsewhere.
        with contextlib.suppress(Exception):  # the scheduler is gone: then the keeper ends by itself
            if not self._future.done():
                distributed.Event(self._stop, client=self._client).set()
            self._client.cancel([self._future], force=True)
