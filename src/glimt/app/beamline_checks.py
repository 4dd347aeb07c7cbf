"""What must fit together within a section of a beamline file."""

from __future__ import annotations

import os
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from glimt.app.beamline import PLACEHOLDERS, Control, Events, Output, Pipeline
from glimt.app.beamline_engine import MAX_WORKERS, Engine
from glimt.app.beamline_stream import TRANSPORTS_OF_KEY, TRANSPORTS_OF_OTHERS, TRANSPORTS_OF_PROTOCOL, Stream
from glimt.app.problems import either, path_text, value_text
from glimt.app.stream_address import is_loopback, parse_endpoint
from glimt.app.written import Secret

if TYPE_CHECKING:
    from glimt.app.problems import Problems
    from glimt.app.toml_lines import Key

_MIN_TOKEN = 16
_TOKEN = re.compile(rf"[!-~]{{{_MIN_TOKEN},500}}")
_MAX_TOKEN_FILE = 1000


class _HasToken(Protocol):
    @property
    def token(self) -> Secret: ...
    @property
    def token_file(self) -> Path | None: ...


_T = TypeVar("_T", bound=msgspec.Struct)


class SectionChecks:
    """Checks sections and completes them: default paths become absolute, tokens are read from their files.

    Parameters
    ----------
    problems : Problems
        Where is collected what is wrong.
    folder : Path
        Of the file; relative paths start there.
    """

    def __init__(self, problems: Problems, folder: Path) -> None:
        self._add = problems.add
        self._folder = folder

    def pipeline(self, pipeline: Pipeline, table: dict[str, Any], key: Key) -> Pipeline:
        """Check that modules and parameters are where the section says."""
        pipeline = msgspec.structs.replace(pipeline, path=self._folder / pipeline.path)
        if not os.path.isdir(pipeline.path):
            self._add((*key, "path"), f"is {path_text(pipeline.path)}; it must be a folder that exists")
        self._check_file(pipeline.parameter_file, (*key, "parameter_file"))
        return pipeline

    def events(self, events: Events, table: dict[str, Any], key: Key) -> Events:
        """Check that the way of joining is possible."""
        if events.mode == "map":
            self._check_file(events.map, (*key, "map"))
            if events.join == "clock":
                self._add((*key, "join"), 'is "clock"; with mode = "map" it can be frame or trigger')
        elif events.map is not None:
            self._add((*key, "map"), 'means nothing with mode = "automatic"; set mode = "map"')
        if events.join == "clock" and events.clock_tolerance is None:
            self._add((*key, "clock_tolerance"), 'is missing; join = "clock" needs how far apart two times may be')
        if events.join != "clock" and events.clock_tolerance is not None:
            self._add((*key, "clock_tolerance"), f'means nothing with join = "{events.join}"')
        return events

    def stream(self, stream: Stream, table: dict[str, Any], key: Key) -> Stream:
        """Check that transport, address and protocol fit together."""
        for name in table:
            transports = TRANSPORTS_OF_KEY.get(name)
            if transports is not None and stream.transport not in transports:
                self._add(
                    (*key, name), f"means nothing for transport {stream.transport}; it belongs to {either(transports)}"
                )
        if "speed" in table and "rate_hz" in table:
            self._add((*key, "rate_hz"), "and speed are both given; keep one of them")
        self._check_protocol(stream, key)
        if stream.transport == "capture":
            path = os.path.join(self._folder, os.path.expanduser(stream.address))
            self._check_file(Path(path), (*key, "address"))
            return msgspec.structs.replace(stream, address=path)
        if stream.transport == "http":
            stream = self._with_token(stream, key)
        try:
            endpoint = parse_endpoint(
                stream.address, transport=stream.transport, listens=stream.bind or stream.transport == "http"
            )
        except ValueError as error:
            self._add((*key, "address"), f"is {value_text(stream.address)}; {error}")
        else:
            if stream.transport == "http":
                self._check_exposed(endpoint.host, stream.token, (*key, "address"), stream.address)
        return stream

    def _check_protocol(self, stream: Stream, key: Key) -> None:
        transports = TRANSPORTS_OF_PROTOCOL.get(stream.protocol, TRANSPORTS_OF_OTHERS)
        if stream.transport not in transports:
            self._add(
                (*key, "transport"),
                f'is "{stream.transport}", which does not carry {stream.protocol}; it can be {either(transports)}',
            )

    def engine(self, engine: Engine, table: dict[str, Any], key: Key) -> Engine:
        """Check that the number of workers is told once, and what belongs to one kind of engine only."""
        if engine.kind == "inline" and (engine.slots or engine.workers):
            name = "slots" if engine.slots else "workers"
            self._add((*key, name), 'means nothing with use = "inline:", which has one worker in this process')
        elif engine.slots:
            n_workers = sum(slots.workers for slots in engine.slots)
            if n_workers > MAX_WORKERS:
                self._add((*key, "slots"), f"are {n_workers:,} workers; at most {MAX_WORKERS:,} are possible")
            elif engine.stated_workers not in {None, n_workers}:
                self._add(
                    (*key, "slots"),
                    f"hold {n_workers}, but {engine.stated_workers} workers are asked for; say the number in one place",
                )
        elif engine.kind == "local" and engine.workers and engine.stated_workers != engine.workers:
            self._add((*key, "workers"), f'is {engine.workers}, but use is "{engine.use}"; say the number in one place')
        elif engine.kind != "inline":
            self._check_count(engine, key)
        if "slurm" in table and engine.kind != "slurm":
            self._add((*key, "slurm"), f'means nothing with use = "{engine.use}"; set use = "slurm:PARTITION"')
        return engine

    def _check_count(self, engine: Engine, key: Key) -> None:
        n_workers = engine.stated_workers
        if n_workers is None:
            how = "local:N" if engine.kind == "local" else "workers = N, or [[engine.slots]]"
            self._add((*key, "use"), f'is "{engine.use}", which does not say how many workers; add it: {how}')
        elif not 1 <= n_workers <= MAX_WORKERS:
            self._add((*key, "use"), f'is "{engine.use}"; it must be 1 to {MAX_WORKERS:,} workers')

    def output(self, output: Output, table: dict[str, Any], key: Key) -> Output:
        """Check that files can be made where the section says, and that scans get files of their own."""
        output = msgspec.structs.replace(
            output,
            journal_folder=self._folder / output.journal_folder,
            spill_folder=self._folder / output.spill_folder,
        )
        for name in ("journal_folder", "spill_folder"):
            path = getattr(output, name)
            if os.path.exists(path) and not os.path.isdir(path):
                self._add((*key, name), f"is {path_text(path)}, which is a file; it must be a folder")
        if output.file is not None and (wrong := _wrong_with_template(output.file)):
            self._add((*key, "file"), f"is {value_text(table['file'])}; {wrong}")
        return output

    def control(self, control: Control, table: dict[str, Any], key: Key) -> Control:
        """Check that nobody gets in without a token, and that ports differ."""
        control = self._with_token(control, key)
        self._check_exposed(control.host, control.token, (*key, "host"), control.host)
        if control.port and control.port == control.view_port:
            self._add((*key, "view_port"), f"is {control.port}, as port is; they must differ (0 is any free port)")
        return control

    def _check_file(self, path: Path | None, key: Key) -> None:
        if path is not None and not os.path.isfile(path):
            self._add(key, f"is {path_text(path)}; it must be a file that exists")

    def _check_exposed(self, host: str, token: Secret, key: Key, written: str) -> None:
        if not token and not is_loopback(host):
            self._add(
                key,
                f"is {value_text(written)}, which other machines reach; that needs a token or token_file "
                "(without one it must be 127.0.0.1)",
            )

    def _with_token(self, section: Any, key: Key) -> Any:
        """Return the section with the token of its file."""
        has: _HasToken = section
        name, token = "token", has.token
        if has.token_file is not None:
            if token:
                self._add((*key, "token_file"), "and token are both given; keep one of them")
                return section
            name = "token_file"
            try:
                with open(has.token_file, "rb") as file:
                    token = Secret(file.read(_MAX_TOKEN_FILE).decode("ascii", errors="replace").strip())
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                self._add((*key, name), f"is {path_text(has.token_file)}, which cannot be read: {reason}")
                return section
        if (token or name == "token_file") and not _TOKEN.fullmatch(token):
            self._add((*key, name), f"holds no usable token; it must be {_MIN_TOKEN} to 500 letters, digits and signs")
        return msgspec.structs.replace(section, token=token)


def _wrong_with_template(file: Path) -> str:
    try:
        parts = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(str(file)) if name is not None]
    except ValueError:
        return "its braces must come in pairs, as in results_{scan}.h5"
    for name, spec, how in parts:
        if name not in PLACEHOLDERS or spec or how:
            return f"what stands in braces can be {either(PLACEHOLDERS)}"
    if "scan" not in {name for name, _, _ in parts}:
        return "it must contain {scan}, or the next scan would have no file"
    folder = str(file.parent)
    if "{" not in folder and not os.path.isdir(folder) and not os.path.isdir(os.path.dirname(folder)):
        return f"the folder that {folder} shall be made in must exist"
    return ""
