"""Reads a beamline file, and says of everything that is wrong in it which key, which line and what is allowed."""

from __future__ import annotations

import difflib
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from glimt.app.beamline import Beamline, BeamlineFile, Control, Events, Output, Pipeline
from glimt.app.beamline_checks import SectionChecks
from glimt.app.beamline_engine import Engine
from glimt.app.beamline_stream import Stream
from glimt.app.byte_size import parse_size, size_text
from glimt.app.problems import Problems, either
from glimt.app.stream_address import Endpoint, parse_endpoint
from glimt.app.toml_file import parse_document, read_text, written_path, written_secret
from glimt.app.toml_lines import TomlLines
from glimt.app.toml_struct import StructReader
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import UsageError

_MAX_STREAMS = 256


def load_beamline(path: Path | str) -> Beamline:
    """Return what the beamline file ``path`` says.

    Relative paths in it are relative to its folder; in what is returned they are absolute.

    Raises
    ------
    UsageError
        It cannot be read, is not TOML, or says something that cannot be. The text has one line for each problem, as
        ``beamline.toml:14: streams.eiger.when_full is "wait"; it can be block, drop-oldest or spill``.
    """
    text = read_text(path, kind="beamline file", hint="`glimt run` without a file says how to make one")
    document = parse_document(text, str(path))
    file = Path(os.path.abspath(path))
    problems = Problems(str(path), TomlLines(text))
    sections = SectionChecks(problems, file.parent)
    reader = StructReader(
        problems,
        written={
            "size": parse_size,
            "path": partial(written_path, folder=file.parent),
            "secret": written_secret,
            "parameter": _parameter,
            "protocol": _protocol,
        },
        checks={
            Pipeline: sections.pipeline,
            Stream: sections.stream,
            Events: sections.events,
            Engine: sections.engine,
            Output: sections.output,
            Control: sections.control,
        },
    )
    found = reader.read(BeamlineFile, document)
    if found is not None:
        _check_together(found, problems)
    problems.raise_if_any()
    if found is None:
        raise UsageError(f"{path} cannot be used")
    return _complete(found, file)


def _protocol(value: Any) -> str:
    if isinstance(value, str) and value in PROTOCOLS:
        return value
    near = difflib.get_close_matches(value, PROTOCOLS, n=1) if isinstance(value, str) else []
    meant = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"{meant}it can be {either(sorted(PROTOCOLS))}")


def _parameter(value: Any) -> bytes:
    if isinstance(value, dict):
        raise ValueError('a parameter is text, a number, true or false; put a name with dots in quotes: "a.b" = 3')
    if not isinstance(value, str | int | float):
        raise ValueError("it must be text, a number, true or false (others go into text, as the class reads it)")
    try:
        return str(value).encode()
    except ValueError:
        raise ValueError("it must be a number of fewer digits") from None


def _check_together(found: BeamlineFile, problems: Problems) -> None:
    """Check what sections say about each other."""
    if not 1 <= len(found.streams) <= _MAX_STREAMS:
        problems.add(("streams",), f"has {len(found.streams)} streams; there must be 1 to {_MAX_STREAMS}")
    for name, stream in found.streams.items():
        if found.events.join != "frame" and not stream.number_field:
            problems.add(
                ("streams", name, "number_field"),
                f'is missing; events.join = "{found.events.join}" needs the field that tells it, such as extra.number',
            )
        if found.events.join == "frame" and stream.number_field:
            problems.add(
                ("streams", name, "number_field"),
                'means nothing with events.join = "frame"; set that to trigger or clock, or remove this',
            )
    first = next(iter(found.streams), None)
    if first is not None and found.streams[first].optional and found.events.join == "clock":
        problems.add(("streams", first), 'is optional; with events.join = "clock" the first stream opens the events')
    elif found.streams and all(stream.optional for stream in found.streams.values()):
        problems.add(("streams",), "are all optional; events need one stream that they wait for")
    _check_queues(found, problems)
    _check_tags(found, problems)
    _check_endpoints(found, problems)


def _check_queues(found: BeamlineFile, problems: Problems) -> None:
    limit = found.engine.max_queue_bytes
    total = sum(stream.queue for stream in found.streams.values())
    if limit is not None and total > limit:
        problems.add(
            ("engine", "max_queue_bytes"),
            f"is {size_text(limit)}, but the queues of the streams are {size_text(total)} together; "
            "raise it or lower streams.NAME.queue",
        )


def _check_tags(found: BeamlineFile, problems: Problems) -> None:
    if found.events.mode == "automatic" and not any("generic" in tags for tags in found.engine.worker_tags.values()):
        problems.add(
            ("engine", "slots"),
            'have no worker with the tag generic; with events.mode = "automatic" nobody would take the events',
        )


def _check_endpoints(found: BeamlineFile, problems: Problems) -> None:
    """Check that no two streams listen at one address, or take each other's messages."""
    control = found.control
    host = "127.0.0.1" if control.host == "localhost" else control.host
    taken = [
        (f"control.{name}", Endpoint(host, port, listens=True))
        for name, port in (("port", control.port), ("view_port", control.view_port))
        if port
    ]
    for name, stream in found.streams.items():
        if stream.transport == "capture":
            continue
        listens = stream.bind or stream.transport == "http"
        endpoint = parse_endpoint(stream.address, transport=stream.transport, listens=listens)
        for other, known in taken:
            if endpoint.collides(known):
                reason = f"where {other} listens already; each needs an address of its own"
            elif endpoint == known and not listens and stream.transport != "zmq-sub":
                reason = f"as of {other}: the sender would give each of them a part of its messages"
            else:
                continue
            problems.add(("streams", name, "address"), f'is "{stream.address}", {reason}')
            break
        taken.append((f"streams.{name}", endpoint))


def _complete(found: BeamlineFile, file: Path) -> Beamline:
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    fields["name"] = found.name or re.sub(r"[^A-Za-z0-9_.-]", "_", file.stem).lstrip("_.-") or "beamline"
    return Beamline(**fields, path=file)
