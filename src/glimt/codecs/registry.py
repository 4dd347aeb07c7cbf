"""All wire protocols by name."""

from __future__ import annotations

from typing import Any

from glimt.codecs import (
    albaem,
    contrast,
    dectris_v1,
    dectris_v2,
    eiger_legacy,
    lecroy,
    pandabox,
    pandabox_text,
    sardana,
    stins,
    xspress3,
)
from glimt.codecs.protocol import WireProtocol
from glimt.model.errors import UsageError
from glimt.model.event import StreamData

PROTOCOLS: dict[str, WireProtocol] = {
    module.PROTOCOL.name: module.PROTOCOL
    for module in (
        stins,
        dectris_v1,
        dectris_v2,
        eiger_legacy,
        contrast,
        xspress3,
        albaem,
        pandabox,
        pandabox_text,
        lecroy,
        sardana,
    )
}
"""Every protocol glimt understands, under the name a configuration file gives it."""


def protocol_named(name: str) -> WireProtocol:
    """Return the protocol called ``name``.

    Raises
    ------
    UsageError
        There is none; the text lists those there are.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"no protocol {name!r}; there are: {', '.join(sorted(PROTOCOLS))}")
    return PROTOCOLS[name]


def protocol_of_type(typ: str) -> WireProtocol:
    """Return the protocol of stream data whose ``typ`` is ``typ``; of several the first, which has the fuller records.

    Raises
    ------
    UsageError
        There is none; the text lists those there are.
    """
    for protocol in PROTOCOLS.values():
        if protocol.typ == typ:
            return protocol
    known = sorted({protocol.typ for protocol in PROTOCOLS.values()})
    raise UsageError(f"no protocol has stream data of type {typ!r}; there are: {', '.join(known)}")


def parse(stream: StreamData) -> Any:
    """Decode what one stream contributed to an event, whatever its protocol.

    Parameters
    ----------
    stream : StreamData
        Such as ``event.streams["xrd"]``; its ``typ`` says which protocol it speaks.

    Returns
    -------
    Record
        The protocol's start, data or end packet, such as `glimt.codecs.stins.StinsImage`.

    Raises
    ------
    DecodeError
        The frames break the protocol.
    UsageError
        No protocol has this ``typ``. (PandABox text, ``PCAP_RAW``, is understood from its start packet on only: see
        `glimt.codecs.pandabox_text`.)
    """
    protocol = _BY_TYPE.get(stream.typ)
    if protocol is None:
        protocol = protocol_of_type(stream.typ)
    return protocol.decode(stream.frames)


_BY_TYPE = {typ: protocol_of_type(typ) for typ in {protocol.typ for protocol in PROTOCOLS.values()}}
