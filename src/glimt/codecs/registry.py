"""All wire protocols by name."""

from __future__ import annotations

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
