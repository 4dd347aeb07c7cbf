"""What every source is to the rest of glimt: something to poll, messages that are there, and how it is doing."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import zmq


class SourceState(msgspec.Struct, kw_only=True):
    """How a source is doing, since it was opened.

    Attributes
    ----------
    connected : bool or None
        Whether a sender is there now; ``None`` where that cannot be known.
    n_messages, n_bytes : int
        Messages handed out, and the size of their parts [bytes].
    n_reconnects : int
        How often a sender came back after it was lost.
    n_refused : int
        What arrived and was not handed out, or not whole: too large, too many parts, a line that was cut off.
    last_error : str
        The last thing that went wrong, for a human; empty if nothing did.
    last_message_ns : int
        When messages were last handed out [ns since 1970 UTC], 0 if never.
    is_ended : bool
        Nothing will come any more: a recording was played to its end, and all of it was handed out.
    detail : str
        What else a human wants to know.
    """

    connected: bool | None = None
    n_messages: int = 0
    n_bytes: int = 0
    n_reconnects: int = 0
    n_refused: int = 0
    last_error: str = ""
    last_message_ns: int = 0
    is_ended: bool = False
    detail: str = ""


READ_BYTES = 16 << 20
"""About so much should be taken of a source at once [bytes], lest it fills the memory and others wait."""


class MessageSource(Protocol):
    """Where messages enter: one stream from one address. Used by one thread."""

    @property
    def address(self) -> str:
        """The address, with the port that was taken."""
        ...

    @property
    def socket(self) -> zmq.Socket[bytes] | int:
        """What a ``zmq.Poller`` registers for ``POLLIN``: a socket or a file descriptor, the same until `close`."""
        ...

    def receive_ready(self, limit: int) -> list[list[Any]]:
        """Return what is there without waiting: at most ``limit`` messages, each a list of parts in wire order.

        A source that would have to take memory for them ends with the message that exceeds `READ_BYTES`.
        Parts are `bytes`, or ``zmq.Frame`` where they are large and came without a copy. What is refused is counted
        in `state`; nothing that comes over the wire raises.
        """
        ...

    def state(self) -> SourceState:
        """Return a copy of the state. Cheap; to be asked every few seconds."""
        ...

    def close(self) -> None:
        """Close within a second; safe to call twice. What was not handed out is gone."""
        ...
