"""The life of one worker process of `glimt.engines.local`."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import zmq

from glimt.engines.messages import Change, Done, Finish, Finished, Ready, Refused, ToWorker, Work
from glimt.model.errors import GlimtError, UserCodeError
from glimt.model.event import EventData, time_ns
from glimt.pipeline.block import Block
from glimt.pipeline.failure import Failure, describe_exception
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.result_codec import encode_result, transfer
from glimt.pipeline.stream_scalars import small_frames
from glimt.pipeline.user_class import import_class
from glimt.pipeline.worker_runner import WorkerRunner


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All that a worker process needs to know; pickled to it by `multiprocessing`.

    Attributes
    ----------
    prepare : callable
        Called first: sets up logging and import names as in the process that started it.
    worker_class : str
        As ``module.path:Class``.
    describe : callable
        Returns the descriptions of all parameters; called after ``prepare``, since they may be of a user's own class.
    data : dict of str to bytes
        Parameter values in wire form.
    read : callable
        Returns the events of a block.
    has_page : bool
        Somebody looks at scalars of the streams.
    """

    prepare: Callable[[], None]
    worker_class: str
    describe: Callable[[], list[Any]]
    data: dict[str, bytes]
    read: Callable[[Block], Iterator[EventData]]
    has_page: bool = False


def run_worker(spec: WorkerSpec, name: str, address: str) -> None:
    """Process blocks until told to finish, or until the process that started this one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which tells its workers
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.SNDHWM, 0)  # bounded by the number of blocks a worker may have
    socket.connect(address)
    try:
        _serve(spec, name, socket)
    finally:
        socket.close(linger=10_000)
        context.term()


def _serve(spec: WorkerSpec, name: str, socket: zmq.Socket[bytes]) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decoder = msgspec.msgpack.Decoder(ToWorker)
    try:
        spec.prepare()
        parameters = ParameterSet(spec.describe(), spec.data)
        worker = WorkerRunner(import_class(spec.worker_class), name=name, parameters=parameters)
    except GlimtError as error:
        trace = error.trace if isinstance(error, UserCodeError) else ""
        socket.send(encode(Refused(str(error), trace)))
        return
    socket.send(encode(Ready()))
    while True:
        content = _receive(socket)
        if content is None:
            return
        message = decoder.decode(content)
        if isinstance(message, Work):
            socket.send(encode(_process(worker, message.block, spec)), copy=False)
        elif isinstance(message, Change):
            parameters.update(message.values)
        elif isinstance(message, Finish):
            failures = [failure for failure in (worker.finish(), worker.close()) if failure is not None]
            socket.send(encode(Finished(failures)))
            return


def _receive(socket: zmq.Socket[bytes]) -> bytes | None:
    """Return the next message, ``None`` if the process that sends them has died."""
    parent = multiprocessing.parent_process()
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    if parent is not None:
        poller.register(parent.sentinel, zmq.POLLIN)
    events = dict(poller.poll())
    orphaned = parent is not None and parent.sentinel in events
    return socket.recv() if socket in events and not orphaned else None


def _process(worker: WorkerRunner, block: Block, spec: WorkerSpec) -> Done:
    numbers: list[int] = []
    payloads: list[Any] = []
    failures: list[Failure] = []
    kept: list[tuple[int, bytes]] = []
    process, values, clocked = worker.hook, worker.parameters.values, worker.needs_times
    previous_ns, tick, problem = block.previous_ns, False, ""
    try:
        for index, event in enumerate(spec.read(block), start=block.first_index):
            if spec.has_page and (small := small_frames(event)) is not None:
                kept.append((event.event_number, small))
            try:
                if clocked:
                    when_ns = time_ns(getattr(event, "created_at", None))
                    tick = worker.tick(index, when_ns, previous_ns)
                    previous_ns = when_ns
                payload = process(event, values, tick)
                if payload is not None:
                    # A worker may return the same array again and again: keep what is in it now.
                    payloads.append(transfer(payload))
                    numbers.append(event.event_number)
            except (
                Exception,
                SystemExit,
            ) as error:  # user code, or a result that cannot be sent: its event failed, the run goes on
                failures.append(worker.failure(error, event.event_number))
    except GlimtError as error:
        problem = str(error)
    except Exception as error:
        problem = (
            f"{worker.name} cannot read events {block.first_event} to {block.last_event}: {describe_exception(error)}"
        )
    return Done(block.number, worker.parameters.content_hash, numbers, encode_result(payloads), failures, problem, kept)
