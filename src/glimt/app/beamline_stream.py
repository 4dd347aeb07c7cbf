"""One stream of a beamline file: where its messages come from and what they mean."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from glimt.app.written import ByteCount, FilePath, ProtocolName, Secret, SecretText
from glimt.sources.source_options import SourceOptions

_ADDRESS_SAYS = "an address, such as tcp://127.0.0.1:9999"

_FIELD = r"\A([^\W_]\w*(\.[^\W_]\w*){0,7})?\Z"
_FIELD_SAYS = "a field of the decoded message, such as frame or extra.trigger_id"

Transport = Literal["zmq-pull", "zmq-sub", "zmq-req", "tcp", "http", "capture"]


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[streams.NAME]``.

    Attributes
    ----------
    transport : str
        How messages come: ZeroMQ PULL, SUB or REQ, lines over TCP, HTTP POST, or out of a recorded capture.
    address : str
        ``tcp://host:port`` or ``ipc://path`` (ZeroMQ, TCP), ``http://host:port`` where to listen (HTTP), or a file.
    protocol : str
        Name of a protocol in `glimt.codecs.registry.PROTOCOLS`.
    bind : bool
        Listen at ``address`` instead of connecting to it (ZeroMQ PULL and SUB).
    queue : int
        So much of this stream may wait in memory [bytes].
    when_full : str
        What then happens: ``"block"`` stops reading, which may hold up the detector; ``"drop-oldest"`` forgets what
        waits longest, and counts it; ``"spill"`` writes to a capture on disk.
    first_frame : int or "auto"
        Number of the first frame of a series (or of the first trigger, if joined by that), where the protocol does not
        tell.
    optional : bool
        Events do not wait for this stream.
    number_field : str
        Field of the decoded record, such as ``extra.trigger_id``, that tells which event it belongs to when
        ``events.join`` is ``"trigger"`` or ``"clock"``.
    topic : str
        ZeroMQ SUB: what messages must begin with.
    request : str or None
        ZeroMQ REQ: what asks for the next message, ``next`` if not given. TCP: the first line that is sent; if not
        given an empty one, to be answered by ``OK``.
    timeout_s : float
        ZeroMQ REQ: how long an answer may take before it is asked again; TCP: a connection; HTTP: a request [s].
    speed : float
        Capture: so many times as fast as recorded; 0 is as fast as it is taken.
    rate_hz : float or None
        Capture: this rate instead of the recorded one [Hz].
    loops : int
        Capture: how often it is played; 0 is without end.
    stream : str
        Capture: name of the stream in the file; may be empty if it has one.
    token, token_file
        HTTP: what senders must send as ``Authorization: Bearer``, or a file with it.
    """

    transport: Transport
    address: Annotated[str, Meta(min_length=1, max_length=1000, extra={"says": _ADDRESS_SAYS})]
    protocol: ProtocolName
    bind: bool = False
    queue: ByteCount = 256_000_000
    when_full: Literal["block", "drop-oldest", "spill"] = "block"
    first_frame: Annotated[int, Meta(ge=0, le=1 << 62)] | Literal["auto"] = "auto"
    optional: bool = False
    number_field: Annotated[str, Meta(pattern=_FIELD, max_length=500, extra={"says": _FIELD_SAYS})] = ""
    topic: Annotated[str, Meta(max_length=1000)] = ""
    request: Annotated[str, Meta(max_length=1000)] | None = None
    timeout_s: Annotated[float, Meta(ge=0.01, le=3600)] = 5.0
    speed: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    rate_hz: Annotated[float, Meta(gt=0, le=1e7)] | None = None
    loops: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 1
    stream: Annotated[str, Meta(max_length=200)] = ""
    token: SecretText = Secret()  # immutable
    token_file: FilePath | None = None


TRANSPORTS_OF_KEY: dict[str, tuple[str, ...]] = {
    "bind": ("zmq-pull", "zmq-sub"),
    "topic": ("zmq-sub",),
    "request": ("zmq-req", "tcp"),
    "timeout_s": ("zmq-req", "tcp", "http"),
    "speed": ("capture",),
    "rate_hz": ("capture",),
    "loops": ("capture",),
    "stream": ("capture",),
    "token": ("http",),
    "token_file": ("http",),
}
"""Keys that mean something for some transports only."""

TRANSPORTS_OF_PROTOCOL: dict[str, tuple[str, ...]] = {
    "pandabox-text": ("tcp", "capture"),
    "sardana": ("http", "capture"),
    "albaem": ("zmq-sub", "zmq-pull", "zmq-req", "http", "capture"),
    "pandabox": ("zmq-sub", "zmq-pull", "zmq-req", "http", "capture"),
}
"""What can carry a protocol, the usual one first."""

TRANSPORTS_OF_OTHERS = ("zmq-pull", "zmq-sub", "zmq-req", "capture")
"""What can carry the protocols that are not named above: messages of several parts, which neither TCP nor HTTP has."""


def source_options(stream: Stream) -> SourceOptions:
    """Return what opens the source of a stream.

    Raises
    ------
    UsageError
        The source cannot be made like this.
    """
    return SourceOptions(
        transport=stream.transport,
        address=stream.address,
        bind=stream.bind,
        topic=stream.topic,
        request=stream.request,
        timeout_s=stream.timeout_s if stream.transport in TRANSPORTS_OF_KEY["timeout_s"] else None,
        token=str(stream.token) or None,
        speed=stream.speed,
        rate_hz=stream.rate_hz or 0.0,
        loops=stream.loops,
        stream=stream.stream,
    )
