"""Looks at what a beamline file names before it is run: classes, senders, ports, folders, tokens."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glimt.app.finding import Finding
from glimt.app.process_rules import full_disk
from glimt.app.stream_address import parse_endpoint
from glimt.model.errors import UsageError, UserCodeError
from glimt.model.health import DiskHealth
from glimt.pipeline.user_class import import_class

if TYPE_CHECKING:
    from glimt.app.beamline import Beamline
    from glimt.app.beamline_stream import Stream

_CONNECT_S = 2.0


def diagnose_file(beamline: Beamline) -> list[Finding]:
    """Return what would go wrong if the file were run now.

    Addresses are tried by opening and closing a TCP connection, without a word of ZeroMQ: senders give nothing away.
    """
    found = [*_classes(beamline), *_control(beamline)]
    found += [finding for name, stream in beamline.streams.items() for finding in _stream(name, stream)]
    for folder in dict.fromkeys(_folders(beamline)):
        found += _folder(folder)
    return found


def _classes(beamline: Beamline) -> Iterator[Finding]:
    """Import worker and reducer, as a run does first."""
    path = str(beamline.pipeline.path)
    if path not in sys.path:
        sys.path.insert(0, path)
    for key in ("worker", "reducer"):
        try:
            import_class(getattr(beamline.pipeline, key))
        except (UsageError, UserCodeError) as error:
            why = error.trace.strip().rpartition("\n")[2] if isinstance(error, UserCodeError) else ""
            yield Finding(
                "error",
                f"pipeline.{key}: {error}",
                why or f"Modules are looked for in {path} (pipeline.path).",
                f"Correct the module, or pipeline.{key} or pipeline.path in the beamline file.",
            )


def _control(beamline: Beamline) -> Iterator[Finding]:
    control = beamline.control
    for key in ("port", "view_port"):
        port = getattr(control, key)
        if port:
            yield from _listen(f"control.{key}", f"{control.host}:{port}", f"control.{key}", control.host, port)
    if control.token_file is not None:
        yield from _token_file(control.token_file)


def _token_file(path: Path) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # reading the beamline file has said so already
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Finding(
            "warning",
            f"other users of this machine can read the token in {path}",
            "Whoever has the token can steer the run.",
            f"chmod 600 {path}",
        )


def _stream(name: str, stream: Stream) -> Iterator[Finding]:
    if stream.transport == "capture":
        return
    listens = stream.bind or stream.transport == "http"
    endpoint = parse_endpoint(stream.address, transport=stream.transport, listens=listens)
    if endpoint.port == 0:  # any free one, or none
        return
    if listens:
        yield from _listen(f"stream {name}", stream.address, f"streams.{name}.address", endpoint.host, endpoint.port)
    else:
        yield from _connect(name, stream, endpoint.host, endpoint.port)


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


def _listen(what: str, address: str, key: str, host: str, port: int) -> Iterator[Finding]:
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
                f"{what}: cannot listen at {address} ({reason})",
                "Another program, perhaps another run, has the port, or the address is not of this machine.",
                f"End the other program, or change {key}.",
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
