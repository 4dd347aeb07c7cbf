"""``tcp://host:port`` and ``http://host:port`` taken apart."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from glimt.model.errors import UsageError


def host_and_port(address: str, scheme: str, *, any_port: bool = False) -> tuple[str, int]:
    """Return host and port of an address; the scheme may be left out.

    Parameters
    ----------
    address : str
        Such as ``tcp://panda.example:8888`` or ``[::1]:8888``.
    scheme : str
        Such as ``"tcp"``.
    any_port : bool
        Whether port 0 (any free port) is meant to be allowed.

    Raises
    ------
    UsageError
        It does not have this form.
    """
    text = address if "://" in address else f"{scheme}://{address}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    is_plain = host and port is not None and parts.scheme == scheme and parts.path in {"", "/"} and not parts.query
    if not (host and port is not None and is_plain) or parts.username is not None or (port == 0 and not any_port):
        ports = "0 (any free port) to 65535" if any_port else "1 to 65535"
        raise UsageError(
            f"address {address[:200]!r} cannot be used: it should look like {scheme}://127.0.0.1:8888, "
            f"with a port of {ports}"
        )
    return host, port


def check_zmq_port(address: str) -> None:
    """Raise `UsageError` for a ZeroMQ address with a port that is none; ZeroMQ itself would wait for ever."""
    port = address.rpartition(":")[2]
    if address.startswith("tcp://") and port.isdecimal() and (len(port) > 5 or int(port) > 65535):
        raise UsageError(f"cannot connect to {address[:200]!r}: a port is 0 to 65535")


def is_loopback(host: str) -> bool:
    """Whether only this machine can be reached under, or reach, ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
