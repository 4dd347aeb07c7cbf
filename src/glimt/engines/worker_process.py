"""One worker process as the run sees it: starting, messages, death and restart."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from glimt.engines.local_worker import run_worker
from glimt.engines.messages import Change, Done, Finish, Finished, FromWorker, Ready, Refused, Work
from glimt.model.errors import UsageError, UserCodeError, WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.context import SpawnProcess

    from glimt.engines.local_worker import WorkerSpec
    from glimt.pipeline.block import Block
    from glimt.pipeline.failure import Failure

log = logging.getLogger("glimt")

_START_LIMIT_S = 120.0
_FINISH_LIMIT_S = 600.0
_STEP_S = 1.0

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(FromWorker)


class WorkerProcess:
    """One of the workers of a local run, over all the processes that it may need.

    Parameters
    ----------
    spec : WorkerSpec
        What it is to do.
    index : int
        Its place among the workers.
    folder : str
        Where its socket lives; private to this user.
    """

    def __init__(self, spec: WorkerSpec, index: int, folder: str) -> None:
        self.index = index
        self.name = f"worker-{index}"
        self._spec = spec
        self._folder = folder
        self._context: zmq.Context[Any] = zmq.Context.instance()
        self._socket: zmq.Socket[bytes] | None = None
        self._process: SpawnProcess | None = None
        self._starts = 0
        # Parameters as the oldest unanswered block needs them, what to send after a restart, the last start block.
        self._base: dict[str, bytes] = {}
        self._sent: deque[Work | Change] = deque()
        self._start_block: Block | None = None
        self._suspect = -1

    def start(self, data: dict[str, bytes]) -> None:
        """Start a process with these parameter values; does not wait for it."""
        self._starts += 1
        self._base = dict(data)
        address = f"ipc://{self._folder}/{self.index}-{self._starts}"
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # bounded by the number of blocks a worker may have
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.bind(address)
        # Spawned, not forked: threads of this process would not survive in the child, their locks would.
        self._process = multiprocessing.get_context("spawn").Process(
            target=run_worker,
            args=(dataclasses.replace(self._spec, data=self._base), self.name, address),
            name=self.name,
            daemon=False,  # a user's worker may have processes of its own
        )
        self._process.start()

    def wait_until_ready(self) -> None:
        """Wait until the worker's class is made.

        Raises
        ------
        UsageError, UserCodeError
            It cannot be made.
        WorkerDiedError
            The process ended, or takes minutes.
        """
        message = self._next(_START_LIMIT_S)
        if isinstance(message, Refused):
            if message.trace:
                raise UserCodeError(message.error, trace=message.trace)
            raise UsageError(message.error)
        if not isinstance(message, Ready):
            raise WorkerDiedError(f"{self.describe_death()} before it was ready")

    def change(self, values: dict[str, bytes]) -> None:
        """Give new parameter values, for the blocks sent after them."""
        if values:
            self._send(Change(values))

    def work(self, block: Block) -> None:
        """Give a block."""
        self._send(Work(block))

    def _send(self, message: Work | Change) -> None:
        self._sent.append(message)
        self._put(message)

    def _put(self, message: Work | Change | Finish) -> None:
        if self._socket is not None:
            # Never wait: only a worker that has died takes nothing, and what was sent to it is sent again.
            with contextlib.suppress(zmq.Again):
                self._socket.send(_encode(message), zmq.NOBLOCK, copy=False)

    def unanswered(self) -> list[Block]:
        """Return the blocks that were given and not answered."""
        return [message.block for message in self._sent if isinstance(message, Work)]

    def receive(self) -> Done | None:
        """Return the next answer, which must be there; ``None`` if the process has died."""
        message = self._next(0.0)
        if not isinstance(message, Done):
            return None
        while self._sent:
            sent = self._sent.popleft()
            if isinstance(sent, Work):
                if sent.block.is_start:
                    self._start_block = sent.block
                break
            self._base.update(sent.values)
        return message

    def restart(self) -> Block | None:
        """Start a new process in place of a dead one and give it what the other had not answered.

        Returns
        -------
        Block or None
            The block on which two processes died: it is not given a third time.

        Raises
        ------
        UsageError, UserCodeError, WorkerDiedError
            The new process does not get ready.
        """
        self._close()
        resend = list(self._sent)
        first = next((message.block for message in resend if isinstance(message, Work)), None)
        blamed = None
        if first is not None and first.number == self._suspect:
            blamed = first
            resend.remove(Work(first))
        self._suspect = -1 if first is None or blamed is not None else first.number
        self._sent.clear()
        self.start(self._base)
        self.wait_until_ready()
        start = self._start_block
        if start is not None and first is not None and not first.is_start:
            # What a scan begins with is the worker's state: it is needed again, its result is not.
            self._put(Work(start))
            self._next(_START_LIMIT_S)
        for message in resend:
            self._send(message)
        return blamed

    def describe_death(self) -> str:
        """Return how the process ended, in words."""
        if self._process is None:
            return f"{self.name} was never started"
        self._process.join(timeout=5.0)
        code, pid = self._process.exitcode, self._process.pid
        if code is None:
            return f"{self.name} (process {pid}) does not answer"
        if code < 0:
            return f"{self.name} (process {pid}) was killed by {signal.Signals(-code).name}"
        return f"{self.name} (process {pid}) ended with exit code {code}"

    def finish(self) -> None:
        """Tell the worker that there are no more events."""
        self._put(Finish())

    def wait_until_finished(self) -> list[Failure]:
        """Wait until ``finish`` and ``close`` ran; return what they raised.

        Raises
        ------
        WorkerDiedError
            The process ended before that.
        """
        while (message := self._next(_FINISH_LIMIT_S)) is not None:
            if isinstance(message, Finished):
                return message.failures
        raise WorkerDiedError(self.describe_death())

    def end(self) -> None:
        """Make sure that the process is gone."""
        if self._process is not None and self._process.is_alive():
            self._process.join(timeout=1.0)
        self._close()

    def _close(self) -> None:
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _next(self, limit_s: float) -> Any:
        """Return the next message, ``None`` if the process died or is silent for so long."""
        socket, process = self._socket, self._process
        if socket is None or process is None:
            return None
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(process.sentinel, zmq.POLLIN)
        until = time.monotonic() + limit_s
        # In steps: a process that the worker forked keeps the sentinel from telling that the worker is gone.
        while not socket.poll(0) and process.is_alive() and (left := until - time.monotonic()) > 0:
            poller.poll(int(min(left, _STEP_S) * 1000))
        # What a process said before it ended may still be on its way.
        patience_ms = 0 if process.is_alive() else 200
        return _decoder.decode(socket.recv()) if socket.poll(patience_ms) else None

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process is not None and self._process.is_alive()

    def register(self, poller: zmq.Poller) -> tuple[Any, Any]:
        """Wait for this worker too; return what the poller will name it by."""
        if self._socket is None or self._process is None:
            raise WorkerDiedError(f"{self.name} is not running")
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._process.sentinel, zmq.POLLIN)
        return self._socket, self._process.sentinel


def wait_for_any(workers: Iterable[WorkerProcess]) -> list[WorkerProcess]:
    """Wait until workers have an answer or have died; return them."""
    poller = zmq.Poller()
    names = [(worker, *worker.register(poller)) for worker in workers]
    while True:
        ready = dict(poller.poll(int(_STEP_S * 1000)))
        found = [worker for worker, socket, _ in names if socket in ready or not worker.is_alive()]
        if found:
            return found
