"""Finds the protocol that messages speak which the configured one does not understand."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from glimt.codecs.protocol import PacketKind, WireProtocol
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import GlimtError
from glimt.model.health import MAX_SAMPLE_PART_BYTES, MAX_SAMPLE_PARTS, BadMessage

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MAX_PADDED_BYTES = 64 << 20


def sample_message(parts: Sequence[Buffer]) -> BadMessage:
    """Return a message as `glimt.model.health.StreamHealth` keeps bad ones, bounded."""
    views = [memoryview(part).cast("B") for part in parts[:MAX_SAMPLE_PARTS]]
    return {
        "parts": [base64.b64encode(view[:MAX_SAMPLE_PART_BYTES]).decode() for view in views],
        "lengths": [view.nbytes for view in views],
    }


def protocols_that_accept(samples: Sequence[BadMessage], *, but: str = "") -> list[str]:
    """Return the names of the protocols that understand more than half of the messages, the likeliest first.

    Parameters
    ----------
    samples : sequence of dict
        Messages in the order in which they came. What was cut off is taken for zeros: protocols look at headers and
        lengths before they look at pixels.
    but : str
        The protocol that is known not to.
    """
    messages = [message for sample in samples if (message := _restored(sample)) is not None]
    found = {name: _score(protocol, messages) for name, protocol in PROTOCOLS.items() if name != but}
    return [name for name in sorted(found, key=found.__getitem__, reverse=True) if found[name] != _NOT_AT_ALL]


_NOT_AT_ALL = (0, 0)


def _restored(sample: BadMessage) -> list[bytes] | None:
    try:
        parts = [base64.b64decode(part, validate=True) for part in sample.get("parts", [])]
    except (binascii.Error, ValueError):
        return None
    lengths: list[int] = sample.get("lengths", [])
    if len(lengths) != len(parts) or sum(map(abs, lengths)) > _MAX_PADDED_BYTES:
        return parts
    return [part.ljust(length, b"\0") for part, length in zip(parts, lengths, strict=True)]


def _score(protocol: WireProtocol, messages: list[list[bytes]]) -> tuple[int, int]:
    """Return how many messages are understood and how many packets of a series come out."""
    assembler: Any = protocol.assembler()
    n_understood = n_packets = 0
    for parts in messages:
        try:
            packets = assembler.push(parts)
        except GlimtError:
            continue
        n_understood += 1
        n_packets += sum(packet.kind is not PacketKind.OTHER for packet in packets)
    return (n_understood, n_packets) if n_packets and 2 * n_understood > len(messages) else _NOT_AT_ALL
