"""One connection to RabbitMQ, without threads and callbacks: what is sent is written at once, what comes is queued.

pika's own connections cost several system calls for each message, and their callbacks belong to one thread; this one
writes what belongs together at once, and any thread may serve it that holds the lock, which `glimt.brokers.amqp` has.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from pika import amqp_object, spec

from glimt.brokers import amqp_frames as wire
from glimt.brokers.amqp_address import AmqpAddress
from glimt.brokers.amqp_confirms import Confirms
from glimt.model.errors import BrokerError

_log = logging.getLogger(__name__)
_OPEN_S = 10.0
_ANSWER_S = 60.0
_FRAME_MAX = 1 << 17
_READ_BYTES = 1 << 18


class AmqpConnectionError(BrokerError):
    """The connection is gone, or was never made."""


class AmqpChannelError(BrokerError):
    """The broker refused something and closed the channel.

    Parameters
    ----------
    code : int
        404 not there, 405 locked, 406 other arguments, 403 forbidden.
    """

    def __init__(self, code: int, text: str, channel: int) -> None:
        super().__init__(f"RabbitMQ refuses ({code}): {text}")
        self.code, self.channel = code, channel


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that came: to a consumer, as the answer to ``basic.get``, or back because nobody takes it."""

    channel: int
    consumer_tag: str
    delivery_tag: int
    was_delivered: bool
    exchange: str
    routing_key: str
    properties: wire.Properties
    body: bytes
    reason: str = ""


class _Content:
    """Puts a message together from its frames."""

    def __init__(self, start: Incoming) -> None:
        self._start = start
        self._properties = wire.Properties()
        self._size = -1
        self._parts: list[bytes] = []

    def add(self, kind: int, payload: bytes) -> Incoming | None:
        if kind == wire.HEADER:
            self._size = wire.content_size(payload)
            self._properties = wire.readable_properties(payload, 12)
        else:
            self._parts.append(payload)
            self._size -= len(payload)
        if self._size > 0:
            return None
        start = self._start
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        return Incoming(
            start.channel,
            start.consumer_tag,
            start.delivery_tag,
            start.was_delivered,
            start.exchange,
            start.routing_key,
            self._properties,
            body,
            start.reason,
        )


class AmqpConnection:
    """A connection with its channels.

    Attributes
    ----------
    incoming : deque of Incoming
        Deliveries to consumers, in the order they came.
    returned : list of Incoming
        Messages that were sent and that no queue took.
    canceled : list of str
        Tags of consumers that the broker ended, because their queue is gone.
    confirms : Confirms
        What the broker says of the messages that were sent.

    Raises
    ------
    AmqpConnectionError
        No node answers, or it does not let one in.
    """

    def __init__(self, address: AmqpAddress) -> None:
        self.address = address
        self.incoming: deque[Incoming] = deque()
        self.returned: list[Incoming] = []
        self.canceled: list[str] = []
        self.confirms = Confirms()
        self._problems: deque[AmqpChannelError] = deque()
        self._buffer = bytearray()
        self._open_contents: dict[int, _Content] = {}
        self._answers: deque[tuple[int, Any]] = deque()
        self._gets: deque[Incoming] = deque()
        self._frame_max = _FRAME_MAX
        self._heartbeat_s = float(address.heartbeat_s)
        self._read_at = self._written_at = time.monotonic()
        self._socket = self._connect()
        try:
            self._shake_hands()
        except BrokerError:
            self.close_socket()
            raise

    def _connect(self) -> socket.socket:
        problems = []
        for host, port in self.address.shuffled_hosts():
            try:
                raw = socket.create_connection((host, port), _OPEN_S)
                context = self.address.tls_context()
                opened = raw if context is None else context.wrap_socket(raw, server_hostname=host)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                problems.append(f"{host}:{port}: {error}")
            else:
                return opened
        raise AmqpConnectionError(f"cannot reach RabbitMQ at {self.address} ({'; '.join(problems)})")

    def _shake_hands(self) -> None:
        self.write([b"AMQP\x00\x00\x09\x01"])
        self._await(0, spec.Connection.Start, within_s=_OPEN_S)
        response = f"\0{self.address.user}\0{self.address.password}"
        capabilities = {
            "consumer_cancel_notify": True,
            "connection.blocked": True,
            "authentication_failure_close": True,
        }
        self._post(
            0,
            spec.Connection.StartOk(
                client_properties={"product": "glimt", "platform": "Python", "capabilities": capabilities},
                mechanism="PLAIN",
                response=response,
                locale="en_US",
            ),
        )
        tune = self._await(0, spec.Connection.Tune, within_s=_OPEN_S)
        self._frame_max = min(tune.frame_max or _FRAME_MAX, _FRAME_MAX)
        if tune.heartbeat:
            self._heartbeat_s = min(self._heartbeat_s, tune.heartbeat)
        self._post(
            0,
            spec.Connection.TuneOk(
                channel_max=tune.channel_max, frame_max=self._frame_max, heartbeat=round(self._heartbeat_s)
            ),
        )
        self._post(0, spec.Connection.Open(virtual_host=self.address.vhost))
        self._await(0, spec.Connection.OpenOk, within_s=_OPEN_S)

    @property
    def frame_max(self) -> int:
        """Largest frame [bytes] that both sides agreed on."""
        return self._frame_max

    def open_channel(self, channel: int) -> None:
        """Open a channel; once more after it was closed by an `AmqpChannelError`."""
        self.call(channel, spec.Channel.Open(), spec.Channel.OpenOk)

    def call(self, channel: int, method: amqp_object.Method, *answers: type[amqp_object.Method]) -> Any:
        """Send a method and return its answer, which is one of ``answers``."""
        self._post(channel, method)
        return self._await(channel, *answers)

    def get(self, channel: int, queue: str) -> Incoming | None:
        """Take one message from a queue, unacknowledged; none if it is empty."""
        self._post(channel, spec.Basic.Get(queue=queue))
        answer = self._await(channel, spec.Basic.GetOk, spec.Basic.GetEmpty)
        while isinstance(answer, spec.Basic.GetOk) and not self._gets:
            self.read(_ANSWER_S)
        return self._gets.popleft() if isinstance(answer, spec.Basic.GetOk) else None

    def post(self, channel: int, method: amqp_object.Method) -> None:
        """Send a method that has no answer."""
        self._post(channel, method)

    def select_confirms(self, channel: int) -> None:
        """Open the channel for sending (once more, after it was closed), on which the broker answers for messages."""
        self.open_channel(channel)
        self.call(channel, spec.Confirm.Select(), spec.Confirm.SelectOk)
        self.confirms = Confirms()

    def publish(self, frames: list[bytes], n_messages: int, *, within_s: float = _ANSWER_S) -> list[int]:
        """Send messages and wait until the broker has answered for each; return which it did not take, from 0 on."""
        first = self.confirms.expect(n_messages)
        self.write(frames)
        deadline = time.monotonic() + within_s
        while not self.confirms.is_complete:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise self._lost(f"no answer for messages within {within_s:g} s; is it out of memory or disk space?")
            self.read(left_s)
        return [number - first for number in self.confirms.rejected()]

    def write_and_wait(self, frames: list[bytes], channel: int) -> None:
        """Send frames, and return when the broker has read them without closing the channel."""
        # A limit for consumers that begin later, who set their own: nothing but its answer is wanted.
        frames.append(_QOS[0] + channel.to_bytes(2, "big") + _QOS[1])
        self.write(frames)
        self._await(channel, spec.Basic.QosOk)

    def write(self, frames: list[bytes]) -> None:
        """Send frames, all in one go.

        Raises
        ------
        AmqpConnectionError
            The connection is gone.
        """
        try:
            self._socket.settimeout(_ANSWER_S)
            self._socket.sendall(b"".join(frames))
        except OSError as error:
            raise self._lost(str(error)) from None
        self._written_at = time.monotonic()

    def read(self, timeout_s: float, *, waker: int = -1) -> bool:
        """Wait for something to come, at most so long, and take it; heartbeats are answered meanwhile.

        Parameters
        ----------
        timeout_s : float
            0 to look only.
        waker : int
            File descriptor that ends the wait as well when it can be read.

        Returns
        -------
        bool
            Whether anything came.

        Raises
        ------
        AmqpConnectionError
            The connection is gone.
        AmqpChannelError
            The broker closed a channel.
        """
        if self._problems:
            raise self._problems.popleft()
        deadline = time.monotonic() + timeout_s
        while True:
            self._beat()
            wait_s = max(0.0, min(deadline - time.monotonic(), self._heartbeat_s / 4))
            try:
                ready = self._pending() or _wait(self._socket.fileno(), waker, wait_s)
            except (OSError, ValueError) as error:
                raise self._lost(str(error)) from None
            if ready & _MINE:
                self._take()
                return True
            if ready or time.monotonic() >= deadline:
                return False

    def _pending(self) -> int:
        pending = getattr(self._socket, "pending", None)  # TLS keeps what it has decrypted already
        return _MINE if pending is not None and pending() else 0

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._written_at > self._heartbeat_s / 2:
            self.write([wire.HEARTBEAT_FRAME])
        if now - self._read_at > 2 * self._heartbeat_s and not _wait(self._socket.fileno(), -1, 0.0):
            raise self._lost(f"it was silent for {now - self._read_at:.0f} s")

    def _take(self) -> None:
        try:
            self._socket.settimeout(_ANSWER_S)
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            raise self._lost(str(error)) from None
        if not data:
            raise self._lost("it was closed")
        self._read_at = time.monotonic()
        self._buffer += data
        try:
            for kind, channel, payload in wire.take_frames(self._buffer, frame_max=self._frame_max):
                try:
                    self._dispatch(kind, channel, payload)
                except AmqpChannelError as error:
                    self._problems.append(error)
        except wire.MALFORMED as error:
            self.close_socket()
            raise AmqpConnectionError(f"what came from {self.address} is not AMQP 0-9-1: {error}") from None
        if self._problems:
            raise self._problems.popleft()

    def _dispatch(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == wire.METHOD:
            if wire.is_delivery(payload):
                tag, delivery_tag, again, exchange, key = wire.read_delivery(payload)
                start = Incoming(channel, tag, delivery_tag, again, exchange, key, _NO_PROPERTIES, b"")
                self._open_contents[channel] = _Content(start)
            elif (answer := wire.read_confirm(payload)) is not None:
                number, is_multiple, is_taken = answer
                self.confirms.take(number, is_multiple=is_multiple, is_taken=is_taken)
            else:
                self._dispatch_method(channel, payload)
        elif kind in (wire.HEADER, wire.BODY):
            content = self._open_contents.get(channel)
            if content is None:
                raise ValueError(f"a part of a message on channel {channel}, where none began")
            message = content.add(kind, payload)
            if message is not None:
                del self._open_contents[channel]
                self._file(message)
        elif kind != wire.HEARTBEAT:
            raise ValueError(f"a frame of the unknown kind {kind}")

    def _file(self, message: Incoming) -> None:
        if message.reason:
            self.returned.append(message)
        elif message.consumer_tag:
            self.incoming.append(message)
        else:
            self._gets.append(message)

    def _dispatch_method(self, channel: int, payload: bytes) -> None:
        method = spec.methods[int.from_bytes(payload[:4], "big")]()
        method.decode(payload, 4)
        match method:
            case spec.Basic.Return():
                reason = f"{method.reply_code} {method.reply_text}"
                start = Incoming(
                    channel, "", 0, False, method.exchange, method.routing_key, _NO_PROPERTIES, b"", reason
                )
                self._open_contents[channel] = _Content(start)
            case spec.Basic.GetOk():
                key, exchange = method.routing_key, method.exchange
                again = bool(method.redelivered)
                start = Incoming(channel, "", method.delivery_tag, again, exchange, key, _NO_PROPERTIES, b"")
                self._open_contents[channel] = _Content(start)
                self._answers.append((channel, method))
            case spec.Basic.Cancel():
                self.canceled.append(method.consumer_tag)
            case spec.Channel.Close():
                self._post(channel, spec.Channel.CloseOk())
                self._open_contents.pop(channel, None)
                raise AmqpChannelError(method.reply_code, method.reply_text, channel)
            case spec.Connection.Close():
                self._post(0, spec.Connection.CloseOk())
                raise self._lost(f"RabbitMQ ended it: {method.reply_code} {method.reply_text}")
            case spec.Connection.Blocked():
                _log.warning("%s takes no messages for now: %s", self.address, method.reason)
            case spec.Connection.Unblocked():
                _log.warning("%s takes messages again", self.address)
            case _:
                self._answers.append((channel, method))

    def _post(self, channel: int, method: amqp_object.Method) -> None:
        payload = struct.pack(">I", method.INDEX) + b"".join(method.encode())
        self.write([wire.frame(wire.METHOD, channel, payload)])

    def _await(self, channel: int, *answers: type[amqp_object.Method], within_s: float = _ANSWER_S) -> Any:
        deadline = time.monotonic() + within_s
        while True:
            while self._answers:
                found_on, method = self._answers.popleft()
                if found_on == channel and isinstance(method, answers):
                    return method
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                names = " or ".join(answer.NAME for answer in answers)
                raise self._lost(f"no {names} within {within_s:g} s; is it out of memory or disk space?")
            self.read(left_s)

    def _lost(self, why: str) -> AmqpConnectionError:
        self.close_socket()
        return AmqpConnectionError(f"the connection to RabbitMQ at {self.address} is lost: {why}")

    def close(self) -> None:
        """Say good-bye and close; harmless when it is gone already."""
        try:
            self.call(0, spec.Connection.Close(200, "done", 0, 0), spec.Connection.CloseOk)
        except BrokerError:
            return
        finally:
            self.close_socket()

    def close_socket(self) -> None:
        """Close without a word."""
        self._socket.close()


_NO_PROPERTIES = wire.Properties()
_MINE, _WAKER = 1, 2
_whole = wire.frame(wire.METHOD, 0, struct.pack(">I", spec.Basic.Qos.INDEX) + struct.pack(">IHB", 0, 1, 0))
_QOS = _whole[:1], _whole[3:]


def _wait(mine: int, waker: int, timeout_s: float) -> int:
    """Wait for one of two file descriptors; return which can be read."""
    poll = select.poll()
    poll.register(mine, select.POLLIN)
    if waker >= 0:
        poll.register(waker, select.POLLIN)
    found = 0
    for descriptor, _ in poll.poll(int(timeout_s * 1000 + 0.999)):
        found |= _MINE if descriptor == mine else _WAKER
    return found


class Waker:
    """Ends the wait of another thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return what can be read once `wake` was called."""
        return self._reader

    def wake(self) -> None:
        """Wake; counts for the next wait if none is on."""
        try:
            os.write(self._writer, b"w")
        except BlockingIOError:
            return  # it is full of calls already

    def taken(self, timeout_s: float = 0.0) -> bool:
        """Return whether `wake` was called since the last time, waiting at most so long."""
        ready, _, _ = select.select([self._reader], [], [], timeout_s)
        if ready:
            os.read(self._reader, 1 << 16)
        return bool(ready)

    def close(self) -> None:
        """Close both ends."""
        os.close(self._reader)
        os.close(self._writer)
