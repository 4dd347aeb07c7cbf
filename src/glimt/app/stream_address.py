"""Addresses in a beamline file: where a stream connects to or listens."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_URL = re.compile(r"([a-z]+)://(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s/:\[\]@?#]+):(\d{1,5}|\*)/?", re.ASCII)
_IPC = re.compile(r"ipc://([^\x00\n]{1,100})")
_ANY_HOST = frozenset({"*", "0.0.0.0", "::"})

SCHEMES: dict[str, tuple[str, ...]] = {
    "zmq-pull": ("tcp", "ipc"),
    "zmq-sub": ("tcp", "ipc"),
    "zmq-req": ("tcp", "ipc"),
    "tcp": ("tcp",),
    "http": ("http",),
}
"""What addresses of each transport begin with; that of ``capture`` is a file."""


class Endpoint(NamedTuple):
    """One end of a connection.

    Attributes
    ----------
    host : str
        A name or address, without brackets; the path for ``ipc``.
    port : int
        0 is any free one (or none, for ``ipc``).
    listens : bool
        Whether we are the one that listens there.
    """

    host: str
    port: int
    listens: bool

    def collides(self, other: Endpoint) -> bool:
        """Whether not both can listen."""
        if not (self.listens and other.listens) or self.port != other.port:
            return False
        if self.port == 0:  # any free port, or a path
            return self.host == other.host and self.host.startswith("/")
        return self.host == other.host or bool({self.host, other.host} & _ANY_HOST)


def parse_endpoint(address: str, *, transport: str, listens: bool) -> Endpoint:
    """Return what an address means.

    Raises
    ------
    ValueError
        The address cannot be used; the text says what it must be.
    """
    schemes = SCHEMES[transport]
    form = " or ".join("ipc:///path" if scheme == "ipc" else f"{scheme}://host:port" for scheme in schemes)
    if "ipc" in schemes and (found := _IPC.fullmatch(address)):
        return Endpoint(f"/{found[1].lstrip('/')}" if found[1].startswith("/") else f"/./{found[1]}", 0, listens)
    match = _URL.fullmatch(address)
    if match is None or match[1] not in schemes:
        raise ValueError(f"for {transport} it must be {form}")
    host, port = match[2].strip("[]"), 0 if match[3] == "*" else int(match[3])
    if port > 65535:
        raise ValueError("its port must be at most 65535")
    if not listens and port == 0:
        raise ValueError("to connect, it needs the port of the sender")
    if not listens and host in _ANY_HOST:
        raise ValueError("to connect, it needs the name of the sender's machine; to listen there, set bind = true")
    return Endpoint("127.0.0.1" if host == "localhost" else host, port, listens)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens at ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
