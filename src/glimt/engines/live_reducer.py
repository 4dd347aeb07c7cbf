"""The life of the reducer process of a live run."""

from __future__ import annotations

import os
import secrets
import socket as network
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import zmq

from glimt.engines.event_block import RESULT_MARK, unpack_results
from glimt.engines.heart import Heart
from glimt.engines.live_messages import (
    Acknowledged,
    Hello,
    Missing,
    Quit,
    ScanClosed,
    ScanEnd,
    ScanEnded,
    ScanStart,
    SettledRuns,
    Values,
    Void,
    decode_to_reducer,
    encode,
)
from glimt.engines.parent import ParentWatch
from glimt.engines.run_keys import NO_KEYS, RunKeys, notice_vanished_peers
from glimt.engines.scan_reduction import ResultLog, ScanReduction
from glimt.pipeline.kept_scalars import KeptScalars
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.user_class import import_class
from glimt.pipeline.value_history import Changes

_RETRY_OUTPUT_S = 2.0
INGESTER = "ingester"


@dataclass(frozen=True, slots=True)
class ReducerRole:
    """All that the reducer process needs to know; pickled to it.

    Attributes
    ----------
    token : bytes
        The secret of the run.
    address : str
        Where results are sent; bound here.
    control_address : str
        ZeroMQ address.
    prepare : callable
        Called first: sets up logging and import names as in the process that started it.
    reducer_class : str
        As ``module.path:Class``.
    describe : callable
        Returns the descriptions of all parameters.
    open_log : callable
        Returns the `ResultLog` of a scan, by its identity.
    serve : callable or None
        Given an object with a method ``tree``, returns a context manager that shows it while it is open.
    write_output : callable or None
        Given the published tree, its lock, the scan's identity, its ledger and its parameters (see
        `glimt.pipeline.value_history.ValueHistory`), writes the output file
        and returns why it could not, or an empty text.
    keys : RunKeys
        Of the run.
    """

    token: bytes
    address: str
    control_address: str
    prepare: Callable[[], None]
    reducer_class: str
    describe: Callable[[], list[Any]]
    open_log: Callable[[str], ResultLog]
    serve: Callable[[Any], AbstractContextManager[Any]] | None = None
    write_output: Callable[[Mapping[str, Any], Any, str, dict[str, Any], Changes], str] | None = None
    keys: RunKeys = NO_KEYS


class LiveReducer:
    """The reducer process; `run` returns when the run is over.

    Parameters
    ----------
    role : ReducerRole
        What it is to do.
    """

    def __init__(self, role: ReducerRole) -> None:
        self._role = role
        role.prepare()
        self._class = import_class(role.reducer_class)
        self._parameters = ParameterSet(role.describe())
        self._user_context: dict[str, Any] = {}
        self._scan: ScanReduction | None = None
        self._n_before = 0  # results of the scans before
        self._early: list[tuple[bytes, list[bytes]]] = []
        self._ending: ScanEnd | None = None
        self._finished = False
        self._ended = -1
        self._output_problem = ""
        self._retry_at = 0.0
        self._peers: dict[bytes, str] = {}
        self._ingester = b""
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # answers are small, and as many as messages
        self._socket.setsockopt(zmq.LINGER, 2000)
        role.keys.serve(self._socket)
        if role.address.startswith("tcp:"):
            notice_vanished_peers(self._socket)
        self._socket.bind(role.address)
        self.address = self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        hello = Hello(role.token, "reducer", os.getpid(), network.gethostname())
        self._view_url = ""
        self._heart = Heart(role.control_address, hello, self._state, keys=role.keys)

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return what the reducer of the newest scan publishes, and the lock to hold while reading it."""
        scan = self._scan
        if scan is None or scan.runner is None:
            return {}, nullcontext()
        return scan.runner.tree()

    @property
    def newest_event(self) -> int | None:
        """Highest event number that the reducer of the newest scan took."""
        scan = self._scan
        return None if scan is None or scan.runner is None else scan.runner.newest_event

    @property
    def scalars(self) -> KeptScalars | None:
        """Scalars of the streams in the newest scan; ``None`` before the first."""
        return None if self._scan is None else self._scan.scalars

    def run(self) -> None:
        """Reduce until told to quit, or until the process that started this one is gone."""
        parent = ParentWatch()
        with self._role.serve(self) if self._role.serve is not None else nullcontext() as server:
            self._view_url = str(getattr(server, "url", ""))
            self._heart.beat_now()
            try:
                while not parent.is_gone():
                    if self._wait(parent) and not self._receive():
                        return
                    if self._ending is not None:
                        self._try_to_end()
            finally:
                self._close()

    def _wait(self, parent: ParentWatch) -> bool:
        if self._socket.poll(0):
            return True
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        parent.register(poller)
        return self._socket in dict(poller.poll(200 if self._ending is not None else 1000))

    def _receive(self) -> bool:
        """Take one message; False if it says to quit."""
        identity, *parts = self._socket.recv_multipart()
        if not parts:
            return True
        if identity not in self._peers:
            self._greet(identity, parts)
        elif parts[0] == RESULT_MARK:
            self._take_results(identity, parts[1:])
        elif identity == self._ingester:
            return self._take(decode_to_reducer(parts[0]))
        return True

    def _greet(self, identity: bytes, parts: list[bytes]) -> None:
        """Listen to a process only after it has shown the token of the run: results may be pickles."""
        try:
            hello = decode_to_reducer(parts[0])
        except (ValueError, RecursionError):
            return
        if isinstance(hello, Hello) and secrets.compare_digest(hello.token, self._role.token):
            self._peers[identity] = hello.role
            if hello.role == INGESTER:
                self._ingester = identity

    def _take(self, message: Any) -> bool:
        match message:
            case ScanStart():
                self._start_scan(message)
            case Values() if self._scan is not None and message.scan == self._scan.scan:
                self._scan.add_version(message.version, message.data)
            case Void() if self._scan is not None and message.scan == self._scan.scan:
                self._scan.void(message.serials)
            case SettledRuns() if self._scan is not None and message.scan == self._scan.scan:
                self._take_settled(self._scan, message.runs)
            case ScanClosed():
                self._close_scan(message.scan_id)
            case ScanEnd() if message.scan == self._ended:
                self._answer(ScanEnded(message.scan))
            case ScanEnd():
                self._finished = self._finished and self._ending is not None and self._ending.scan == message.scan
                self._ending, self._retry_at = message, 0.0
            case Quit():
                return False
        return True

    def _take_settled(self, scan: ScanReduction, runs: list[tuple[int, int]]) -> None:
        missing = scan.settle(runs)
        self._send(Missing(scan.scan, missing, scan.problem or "its journal does not have them"))

    def _close_scan(self, scan_id: str) -> None:
        """Forget the journal of a scan that has ended; if the process that ended it has died, of that one."""
        if self._scan is not None and self._scan.scan_id == scan_id:
            self._scan.dispose()
        else:
            self._role.open_log(scan_id).discard()

    def _start_scan(self, message: ScanStart) -> None:
        if self._scan is not None:
            if self._scan.scan == message.scan:
                return
            self._n_before += self._scan.n_results
            self._scan.dispose()
        self._output_problem = ""
        self._scan = ScanReduction(
            message,
            self._class,
            parameters=self._parameters,
            context=self._user_context,
            log=self._role.open_log(message.scan_id),
            acknowledge=self._acknowledge,
            fail=self._heart.fail,
            url=self.address,
        )
        if self._scan.recovered:
            self._heart.remark(f"the reducer is back with {self._scan.recovered:,} deliveries of scan {message.scan}")
        early, self._early = self._early, []
        for identity, parts in early:
            self._take_results(identity, parts)

    def _take_results(self, identity: bytes, parts: list[bytes]) -> None:
        head = unpack_results(parts)
        scan = self._scan
        if scan is None or head.scan > scan.scan:
            self._early.append((identity, parts))  # the ingester's word about the scan is still on its way
        elif head.scan == scan.scan:
            scan.take(identity, head, parts)

    def _acknowledge(self, identity: bytes, block: int, failed: list[int]) -> None:
        if identity:
            self._socket.send_multipart([identity, encode(Acknowledged(block, failed))])

    def _try_to_end(self) -> None:
        """Run ``finish`` once everything is reduced, then write the output, again and again if the disk is full."""
        scan, ending = self._scan, self._ending
        if ending is None or scan is None or scan.scan != ending.scan:
            self._ending = None
            return
        if scan.watermark < ending.n_serials or scan.n_waiting or time.monotonic() < self._retry_at:
            return
        if not self._finished:
            self._finished = True
            scan.finish()
        if self._role.write_output is not None and not ending.give_up:
            tree, lock = self.tree()
            problem = self._role.write_output(tree, lock, scan.scan_id, ending.account, ending.changes)
            if problem:
                if problem != self._output_problem:
                    self._output_problem = problem
                    self._heart.remark(problem)
                    self._answer(ScanEnded(ending.scan, problem))
                self._retry_at = time.monotonic() + _RETRY_OUTPUT_S
                return
            if self._output_problem:
                self._heart.remark("the output file is written now")
        self._output_problem = ""
        self._ending, self._ended = None, ending.scan
        self._answer(ScanEnded(ending.scan))  # the journal stays until the ingester says that it knows

    def _answer(self, message: ScanEnded) -> None:
        self._heart.beat_now()
        self._send(message)

    def _send(self, message: ScanEnded | Missing) -> None:
        self._socket.send_multipart([self._ingester, encode(message)])

    def _state(self) -> dict[str, Any]:
        scan = self._scan
        state: dict[str, Any] = {
            "address": self.address,
            "view_url": self._view_url,
            "cpu_s": time.process_time(),
            "output_problem": self._output_problem,
            "parameters_hash": self._parameters.content_hash,
        }
        if scan is not None:
            state |= {
                "scan": scan.scan,
                "n_results": scan.n_results,
                "n_all_results": self._n_before + scan.n_results,
                "n_failures": scan.n_failures,
                "n_waiting": scan.n_waiting,
                "n_duplicates": scan.n_duplicates,
                "watermark": scan.watermark,
                "journal_problem": scan.problem,
            }
        return state

    def _close(self) -> None:
        if self._scan is not None:
            self._scan.dispose(keep_log=self._ending is not None)
            if self._scan.runner is not None and (failure := self._scan.runner.close()) is not None:
                self._heart.fail(failure)
        self._heart.stop()
        self._context.destroy(linger=2000)


def run_reducer(role: ReducerRole) -> None:
    """Be the reducer process."""
    LiveReducer(role).run()
