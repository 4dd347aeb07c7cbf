"""The control side of a live run: starts its roles, restarts those that die, passes commands on, knows their state."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zmq

from glimt.engines.live_messages import (
    Alive,
    Beat,
    EndWorker,
    Hello,
    Quit,
    ReducerAt,
    Remark,
    Report,
    SlotDown,
    decode_to_control,
    encode,
)
from glimt.model.errors import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from glimt.engines.placement import PlacedRole, Placement
    from glimt.pipeline.failure import Failure

log = logging.getLogger("glimt")

INGESTER, REDUCER = "ingester", "reducer"
_FAST_DEATHS = 5
"""So many processes in a row that die before they say a word mean that the next would, too."""
_KILLED = "killed by SIGKILL"
"""So ends what is said of a process that an operator, or the system for want of memory, has ended."""
_LONGEST_PAUSE_S = 5.0
_KEPT_BEATS = 256


@dataclass(slots=True)
class RoleState:
    """What is known about a role.

    Attributes
    ----------
    state : dict
        What its process last told.
    process_id, host
        Which process that was.
    heard_at : float
        When (monotonic) [s].
    n_restarts : int
        How many processes came after the first.
    last_death : str
        How the last of them ended.
    is_retired : bool
        It is not restarted any more.
    history : deque
        When (monotonic) [s] and what it told, the newest last: a minute or so.
    """

    state: dict[str, Any] = field(default_factory=dict)
    process_id: int = -1
    host: str = ""
    heard_at: float = 0.0
    n_restarts: int = 0
    last_death: str = ""
    is_retired: bool = False
    history: deque[tuple[float, dict[str, Any]]] = field(default_factory=lambda: deque(maxlen=_KEPT_BEATS))
    # Of the process that runs now, and of the restarts.
    placed: PlacedRole | None = None
    is_new: bool = True
    n_fast_deaths: int = 0
    deaths: deque[float] = field(default_factory=deque)
    restart_at: float = 0.0


class Supervisor:
    """Keeps the roles of one run alive, in a thread of its own.

    Parameters
    ----------
    placement : Placement
        Where they are.
    roles : mapping of str to (callable, callable)
        For each role: makes what is pickled to it, and what runs there with it. ``"ingester"``, ``"reducer"`` and the
        worker slots.
    token : bytes
        The secret of the run.
    on_failure : callable
        Told of calls of user code that raised: the role, the first few of them, and how many there were.
    on_remark : callable
        Told what the operator should read.
    on_report : callable
        Told the ingester's state, each time it comes.
    max_restarts : int
        A role that dies more often than this within ``restart_window_s`` [s] is not started again.
    restart_window_s : float
        See there.

    Attributes
    ----------
    address : str
        Where roles send their beats.
    ingester_address : str
        Where workers connect.
    roles : dict of str to RoleState
        By name.
    problem : str
        Why a role cannot be started; empty while all can.
    """

    def __init__(
        self,
        placement: Placement,
        roles: Mapping[str, tuple[Callable[[], Any], Callable[[Any], None]]],
        *,
        token: bytes,
        on_failure: Callable[[str, list[Failure], int], None],
        on_remark: Callable[[str], None],
        on_report: Callable[[dict[str, Any]], None],
        max_restarts: int = 100,
        restart_window_s: float = 60.0,
    ) -> None:
        self._placement = placement
        self._make = dict(roles)
        self._token = token
        self._on_failure = on_failure
        self._on_remark = on_remark
        self._on_report = on_report
        self._max_restarts = max_restarts
        self._restart_window_s = restart_window_s
        self.roles = {name: RoleState() for name in roles}
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        placement.keys.serve(self._socket)
        self._socket.bind(placement.address("control"))
        self.address = self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._peers: dict[bytes, tuple[str, int]] = {}
        self._current: dict[str, bytes] = {}
        self._unplaced: set[str] = set()
        self.ingester_address = placement.address(INGESTER)
        self._chooses_port = self.ingester_address.endswith(":*")
        if self._chooses_port:
            self.ingester_address = ""
        self._ingester = b""
        self._unsent: deque[bytes] = deque()
        self._reducer_at = ""
        self._read_wake, self._write_wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._ready = threading.Event()
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all roles; does not wait for them."""
        for name in self._make:
            self._start(name)
        self._thread.start()

    def wait_until_ready(self, limit_s: float = 120.0) -> None:
        """Wait until every role has said that it is there.

        Raises
        ------
        WorkerDiedError
            One cannot be started, or does not come.
        """
        if not self._ready.wait(limit_s):
            missing = ", ".join(name for name, role in self.roles.items() if role.is_new)
            raise WorkerDiedError(f"{missing} did not start within {limit_s:.0f} s")
        if self.problem:
            raise WorkerDiedError(self.problem)

    def command(self, message: Any) -> None:
        """Send a command to the ingester, from any thread; it is kept until there is one."""
        self._unsent.append(encode(message))
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError, OSError):
            os.write(self._write_wake, b"w")

    def close(self, wait_s: float = 10.0) -> None:
        """Tell all roles to end and wait for that; after so long [s] they are killed."""
        self._stopping = True
        self.command(Quit())
        self._thread.join(timeout=wait_s + 5)
        deadline = time.monotonic() + wait_s
        for role in self.roles.values():
            if role.placed is not None:  # one that is only just starting would wait for an ingester that is gone
                role.placed.end(0.0 if role.is_new else max(0.1, deadline - time.monotonic()))
        self._socket.close()
        self._context.term()
        os.close(self._read_wake)
        os.close(self._write_wake)

    def _start(self, name: str) -> None:
        make, run = self._make[name]
        role = self.roles[name]
        if name not in (INGESTER, REDUCER) and not self.ingester_address:
            self._unplaced.add(name)
            return
        role.is_new = True
        role.heard_at = time.monotonic()
        role.placed = self._placement.start(name, run, make())

    def _start_again(self, name: str) -> None:
        """Start a role while the run goes on: what is not possible now is tried again."""
        try:
            self._start(name)
        except OSError as error:  # no memory or no process is left, or it was killed before it was given its role
            role = self.roles[name]
            role.last_death = f"{name} cannot be started at the moment: {error}"
            role.restart_at = time.monotonic() + _LONGEST_PAUSE_S
            self._on_remark(role.last_death)

    def _run(self) -> None:
        while True:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._read_wake, zmq.POLLIN)
            for role in self.roles.values():
                if role.placed is not None and role.placed.sentinel is not None:
                    poller.register(role.placed.sentinel, zmq.POLLIN)
            found = dict(poller.poll(self._pause_ms()))
            if self._read_wake in found:
                os.read(self._read_wake, 4096)
            while self._socket.poll(0):
                self._receive()
            self._send_commands()
            if self._stopping and not self._unsent:
                return
            self._look_after_roles()

    def _pause_ms(self) -> int:
        waits = [role.restart_at - time.monotonic() for role in self.roles.values() if role.restart_at]
        return max(0, min([500, *(int(wait * 1000) + 1 for wait in waits)]))

    def _send_commands(self) -> None:
        while self._ingester and self._unsent:
            self._socket.send_multipart([self._ingester, self._unsent.popleft()])
        if self._stopping and not self._ingester:
            self._unsent.clear()

    def _receive(self) -> None:
        identity, *parts = self._socket.recv_multipart()
        try:
            message = decode_to_control(parts[0])
        except (IndexError, ValueError, RecursionError):
            return
        if isinstance(message, Hello):
            if secrets.compare_digest(message.token, self._token) and message.role in self.roles:
                self._note_replacement(message)
                self._forget_peer(message.role)
                self._peers[identity] = (message.role, message.process_id)
                self._current[message.role] = identity
                self.roles[message.role].host = message.host
                if message.role == INGESTER:
                    self._ingester = identity
                    if self._reducer_at:
                        self._unsent.appendleft(encode(ReducerAt(self._reducer_at)))
            return
        if identity not in self._peers or self._current.get(self._peers[identity][0]) != identity:
            # It was taken as dead and another has its place, or its connection broke and what it was told is lost.
            self._socket.send_multipart([identity, encode(Quit())])
            return
        name, process_id = self._peers[identity]
        if isinstance(message, Beat):
            self._take_beat(name, message)
            self._socket.send_multipart([identity, encode(Alive())])
        elif name == INGESTER:
            self._take_from_ingester(message, process_id)

    def _take_from_ingester(self, message: Any, process_id: int) -> None:
        match message:
            case Report():
                self._heard(INGESTER, process_id, message.state)
                self._learn_address(str(message.state.get("address", "")))
                self._on_report(message.state)
            case Remark():
                self._on_remark(message.text)
            case EndWorker():
                role = self.roles.get(message.slot)
                if role is not None and role.placed is not None and self._is_process(role, message):
                    self._bury(message.slot, role, time.monotonic(), message.why)

    def _is_process(self, role: RoleState, message: EndWorker) -> bool:
        """Tell whether this is still the process of the role: one that is new has the place of another."""
        return not role.is_new and (role.process_id, role.host) == (message.process_id, message.host)

    def _learn_address(self, address: str) -> None:
        """Start the workers that waited for the ingester to choose its port."""
        if self.ingester_address or not address:
            return
        self.ingester_address = address
        names, self._unplaced = sorted(self._unplaced), set()
        for name in names:
            self._start_again(name)

    def _take_beat(self, name: str, beat: Beat) -> None:
        role = self.roles[name]
        came_back = role.is_new or role.process_id != beat.process_id
        self._heard(name, beat.process_id, beat.state)
        if name == REDUCER and came_back:
            self._reducer_at = str(beat.state.get("address", ""))
            if self._ingester:  # otherwise it is told when it comes
                self._unsent.append(encode(ReducerAt(self._reducer_at)))
        if beat.n_failures:
            self._on_failure(name, beat.failures, beat.n_failures)
        for remark in beat.remarks:
            self._on_remark(remark)

    def _heard(self, name: str, process_id: int, state: dict[str, Any]) -> None:
        role = self.roles[name]
        if process_id != role.process_id:
            role.history.clear()
        role.state, role.process_id, role.heard_at = state, process_id, time.monotonic()
        role.history.append((role.heard_at, state))
        if role.is_new:
            role.is_new, role.n_fast_deaths = False, 0
            if not any(other.is_new for other in self.roles.values()):
                self._ready.set()

    def _look_after_roles(self) -> None:
        now = time.monotonic()
        for name, role in self.roles.items():
            if role.placed is None:
                pass
            elif not role.placed.is_alive():
                self._bury(name, role, now, role.placed.describe_death())
            elif role.placed.sentinel is None and not role.is_new:
                quiet_s = now - role.heard_at
                if quiet_s > self._placement.quiet_limit_s:
                    self._bury(name, role, now, f"{name} on {role.host} has not been heard for {quiet_s:.0f} s")
            if role.restart_at and now >= role.restart_at:
                role.restart_at = 0.0
                role.n_restarts += 1
                self._start_again(name)

    def _bury(self, name: str, role: RoleState, now: float, death: str) -> None:
        assert role.placed is not None
        role.last_death = death
        refusal = role.placed.refusal
        role.placed.end(0.0)
        role.placed = None
        self._forget_peer(name)
        if self._stopping:
            return
        role.n_fast_deaths += role.is_new
        role.deaths.append(now)
        while role.deaths[0] < now - self._restart_window_s:
            role.deaths.popleft()
        is_often = len(role.deaths) > self._max_restarts
        role.is_retired = bool(refusal) or is_often or role.n_fast_deaths >= _FAST_DEATHS
        if name == INGESTER:
            self._lose_ingester(now)
        elif name != REDUCER:
            was_killed = death.endswith(_KILLED)
            self._unsent.append(encode(SlotDown(name, role.process_id, role.is_retired, role.host, was_killed)))
            self._send_commands()
        if role.is_retired:
            self._give_up(name, refusal or self._why_retired(role, is_often=is_often))
            return
        self._on_remark(f"{role.last_death}; another one takes its place")
        pause = 0.0 if not role.n_fast_deaths else min(0.1 * 4**role.n_fast_deaths, _LONGEST_PAUSE_S)
        role.restart_at = now + pause

    def _why_retired(self, role: RoleState, *, is_often: bool) -> str:
        if is_often:
            return (
                f"{role.last_death}, {len(role.deaths)} times within {self._restart_window_s:g} s: it is not replaced"
            )
        return f"{role.last_death}, {_FAST_DEATHS} times before it was ready; its output above says why"

    def _give_up(self, name: str, why: str) -> None:
        """Note that a role is not started again: the run goes on only if another worker is left."""
        workers = [role for other, role in self.roles.items() if other not in (INGESTER, REDUCER)]
        if name in (INGESTER, REDUCER) or not self._ready.is_set() or all(role.is_retired for role in workers):
            self.problem = why
        if self._ready.is_set():
            self._on_remark(why)
        self._ready.set()

    def _note_replacement(self, hello: Hello) -> None:
        """Count a process in the place of one that nobody saw end: its placement started it elsewhere by itself."""
        role = self.roles[hello.role]
        if role.is_new or (role.process_id, role.host) == (hello.process_id, hello.host):
            return
        role.n_restarts += 1
        role.last_death = f"the machine of {hello.role} ({role.host}) was lost; it was started again on {hello.host}"
        self._on_remark(role.last_death)

    def _forget_peer(self, name: str) -> None:
        identity = self._current.pop(name, None)
        if identity is not None:
            del self._peers[identity]

    def _lose_ingester(self, now: float) -> None:
        """Begin anew with all workers: what they have is of a scan that is lost with the ingester."""
        self._ingester = b""
        last = self.roles[INGESTER].state
        if last.get("is_running"):
            self._on_remark(
                f"scan {last['scan_id']} is lost with the ingester, and has no output: {last['n_finished']:,} of its "
                f"events were finished and {last['n_outstanding']:,} on their way when it was last heard"
            )
        if self._chooses_port:
            self.ingester_address = ""
        self._unsent.clear()
        for name, role in self.roles.items():
            if name not in (INGESTER, REDUCER) and role.placed is not None:
                role.placed.end(0.0)
                role.placed = None
                role.restart_at = now
