"""Looks at what a beamline file names before it is run: are senders there, ports free, folders writable."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glimt.app.finding import Finding
from glimt.app.process_rules import full_disk
from glimt.app.stream_address import parse_endpoint
from glimt.web.health import DiskHealth

if TYPE_CHECKING:
    from glimt.app.beamline import Beamline
    from glimt.app.beamline_stream import Stream

_CONNECT_S = 2.0


def diagnose_file(beamline: Beamline) -> list[Finding]:
    """Return what would go wrong if the file were run now.

    Addresses are tried by opening and closing a TCP connection, without a word of ZeroMQ: senders give nothing away.
    """
    found = [finding for name, stream in beamline.streams.items() for finding in _stream(name, stream)]
    for folder in dict.fromkeys(_folders(beamline)):
        found += _folder(folder)
    return found


def _stream(name: str, stream: Stream) -> Iterator[Finding]:
    if stream.transport == "capture":
        return
    listens = stream.bind or stream.transport == "http"
    endpoint = parse_endpoint(stream.address, transport=stream.transport, listens=listens)
    if endpoint.port == 0:  # any free one, or none
        return
    try_it = _listen if listens else _connect
    yield from try_it(name, stream, endpoint.host, endpoint.port)


def _connect(name: str, stream: Stream, host: str, port: int) -> Iterator[Finding]:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        yield Finding(
            "warning",
            f"stream {name}: nothing answers at {stream.address} ({reason})",
            "The detector's stream is off, the host or port is wrong, or a firewall is between.",
            f"Switch the stream on, and compare streams.{name}.address with what the detector says.",
        )


def _listen(name: str, stream: Stream, host: str, port: int) -> Iterator[Finding]:
    any_host = "" if host in {"*", "0.0.0.0"} else host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((any_host, port))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Finding(
                "error",
                f"stream {name}: cannot listen at {stream.address} ({reason})",
                "Another program, perhaps another run, has the port, or the address is not of this machine.",
                f"End the other program, or change streams.{name}.address.",
            )


def _folders(beamline: Beamline) -> Iterator[Path]:
    output = beamline.output
    if output.file is not None:
        yield Path(output.file).parent
    if any(stream.when_full == "spill" for stream in beamline.streams.values()):
        yield Path(output.spill_folder)


def _folder(folder: Path) -> Iterator[Finding]:
    standing = folder
    while not standing.exists() and standing != standing.parent:
        standing = standing.parent
    if not os.access(standing, os.W_OK | os.X_OK):
        yield Finding(
            "error",
            f"nothing can be written to {folder}",
            f"{standing} is not writable for this user.",
            "Change the folder under [output] in the beamline file, or its permissions.",
        )
        return
    try:
        usage = shutil.disk_usage(standing)
    except OSError:
        return
    disk: DiskHealth = {"what": "output", "free_bytes": usage.free, "total_bytes": usage.total}
    yield from full_disk({"disks": {str(folder): disk}})
