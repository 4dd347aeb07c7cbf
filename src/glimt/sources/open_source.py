"""Opens the source that a configuration names. A new transport is one file with its source, and one line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from glimt.model.errors import UsageError
from glimt.sources.capture_player import CapturePlayer
from glimt.sources.http_post import HttpPostSource
from glimt.sources.message_source import MessageSource
from glimt.sources.source_options import SourceOptions
from glimt.sources.tcp_lines import TcpLinesSource
from glimt.sources.zmq_request import ZmqRequestSource
from glimt.sources.zmq_socket import ZmqSource


class Transport(NamedTuple):
    """How a source is opened, and which of the options it uses."""

    open: Callable[[SourceOptions], MessageSource]
    options: frozenset[str]


def _transport(open_it: Callable[[SourceOptions], MessageSource], options: str) -> Transport:
    return Transport(open_it, frozenset({"transport", "address", *options.split()}))


TRANSPORTS: dict[str, Transport] = {
    "zmq-pull": _transport(ZmqSource.pull, "bind queue_messages max_message_bytes"),
    "zmq-sub": _transport(ZmqSource.sub, "bind queue_messages max_message_bytes topic"),
    "zmq-req": _transport(ZmqRequestSource.from_options, "request timeout_s queue_bytes max_message_bytes"),
    "tcp": _transport(TcpLinesSource.from_options, "request timeout_s queue_bytes"),
    "http": _transport(HttpPostSource.from_options, "token timeout_s queue_bytes max_message_bytes"),
    "capture": _transport(CapturePlayer.from_options, "stream speed rate_hz loops queue_bytes"),
}
"""Every transport under the name a configuration gives it."""


def check_options(options: SourceOptions) -> None:
    """Raise `UsageError` for a transport that does not exist, or an option that it does not use."""
    transport = TRANSPORTS.get(options.transport)
    if transport is None:
        raise UsageError(f"transport is {options.transport[:80]!r}; it can be {', '.join(TRANSPORTS)}")
    for field in dataclasses.fields(options):
        if field.name not in transport.options and getattr(options, field.name) != field.default:
            users = ", ".join(name for name, other in TRANSPORTS.items() if field.name in other.options)
            raise UsageError(f"{field.name} means nothing to transport {options.transport}; it belongs to {users}")


def open_source(options: SourceOptions) -> MessageSource:
    """Open a source; it begins to connect, listen or read at once.

    Raises
    ------
    UsageError
        No such transport, an option it does not use, or an address that cannot be used.
    """
    check_options(options)
    return TRANSPORTS[options.transport].open(options)
