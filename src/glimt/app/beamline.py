"""What a beamline file says: the sections of ``beamline.toml`` as records, every key with its default.

`glimt.app.beamline_file.load_beamline` makes them; paths in them are absolute, sizes are bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from glimt.app.beamline_engine import Engine
from glimt.app.beamline_stream import Stream
from glimt.app.written import ClassPath, FilePath, ParameterText, Secret, SecretText, StreamName

PortNumber = Annotated[int, Meta(ge=0, le=65535)]
PLACEHOLDERS = ("scan", "date", "name")


class Pipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[pipeline]``: which classes look at the events.

    Attributes
    ----------
    worker, reducer : str
        As ``module.path:Class``.
    path : Path
        Where their modules are looked for; the folder of the file if it is not given.
    parameter_file : Path or None
        Values of parameters, as `glimt.pipeline.parameter_file` reads them; those in ``[parameters]`` come first.
    """

    worker: ClassPath
    reducer: ClassPath
    path: FilePath = Path(".")  # replaced by the file's folder
    parameter_file: FilePath | None = None


class Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[events]``: how the streams become events.

    Attributes
    ----------
    mode : str
        ``"automatic"``: a scan begins with the start packets of the streams. ``"map"``: with a trigger map.
    map : Path or None
        The trigger map of the first scan; without it the run waits until one is posted.
    join : str
        What belongs together: equal ``"frame"`` numbers, equal ``"trigger"`` numbers or nearest ``"clock"`` times.
    clock_tolerance : float or None
        How far apart two clock times may be [unit of the clock].
    reorder : int
        So many events a stream may be ahead of a frame that is still expected.
    late_s : float or "never"
        How long an event waits for its missing parts [s].
    incomplete : str
        What happens to an event of which a part is lost: ``"drop"`` or ``"deliver"`` what is there.
    """

    mode: Literal["automatic", "map"] = "automatic"
    map: FilePath | None = None
    join: Literal["frame", "trigger", "clock"] = "frame"
    clock_tolerance: Annotated[float, Meta(ge=0)] | None = None
    reorder: Annotated[int, Meta(ge=1, le=1_000_000)] = 8
    late_s: Annotated[float, Meta(gt=0, le=1e6)] | Literal["never"] = 30.0
    incomplete: Literal["drop", "deliver"] = "drop"

    @property
    def late_after_s(self) -> float | None:
        """`late_s` as a number; ``None`` is never."""
        return None if isinstance(self.late_s, str) else self.late_s


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[output]``: what stays of a scan.

    Attributes
    ----------
    file : Path or None
        Where the ``publish`` tree and the account of the scan are written when it ends, with ``{scan}``, ``{date}`` and
        ``{name}`` to be filled in by `file_of`; ``None`` writes nothing.
    journal : bool
        Keep every result on disk until the scan has ended, so that a reducer that dies can go on.
    journal_folder : Path
        Where.
    spill_folder : Path
        Where a stream with ``when_full = "spill"`` writes what does not fit in memory.
    """

    file: FilePath | None = None
    journal: bool = True
    journal_folder: FilePath = Path("journal")  # made absolute when the file is read
    spill_folder: FilePath = Path("spill")

    def file_of(self, *, scan: str, date: str, name: str) -> Path | None:
        """Return the file of one scan; values must be names without ``/``.

        Raises
        ------
        ValueError
            A value would lead to another folder.
        """
        if self.file is None:
            return None
        text = str(self.file)
        for placeholder, value in zip(PLACEHOLDERS, (scan, date, name), strict=True):
            if not value or "/" in value or "\0" in value or value in {".", ".."}:
                raise ValueError(f"{placeholder} {value!r} cannot be part of a file name")
            text = text.replace(f"{{{placeholder}}}", value.replace("{", "(").replace("}", ")"))
        return Path(text)


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[control]``: where the run can be asked and steered over HTTP.

    Attributes
    ----------
    host : str
        Address of this machine to listen on. Anything but loopback needs a token.
    port, view_port : int
        Of the control routes and of the live view; 0 is any free port.
    token : str
        What clients must send; from ``token_file`` if that is given. ``""`` is none.
    token_file : Path or None
        A file with the token in its only line.
    """

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "127.0.0.1"
    port: PortNumber = 5000
    view_port: PortNumber = 5001
    token: SecretText = Secret()  # immutable
    token_file: FilePath | None = None


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[log]``: what is logged.

    Attributes
    ----------
    level : str
        The least important messages that are kept.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"


class BeamlineFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of ``beamline.toml``.

    Attributes
    ----------
    name : str
        What the beamline is called; the file's name without its ending if it is not given.
    pipeline, streams, events, engine, output, control, log
        The sections. ``streams`` has one for each stream, by name.
    parameters : dict of str to bytes
        Values of parameters in wire form.
    """

    name: StreamName = ""
    pipeline: Pipeline
    streams: dict[StreamName, Stream]
    events: Events = Events()
    engine: Engine = Engine()
    parameters: dict[str, ParameterText] = {}
    output: Output = Output()
    control: Control = Control()
    log: Log = Log()


class Beamline(BeamlineFile, frozen=True, kw_only=True):
    """A beamline file that was read and found to be right.

    Attributes
    ----------
    path : Path
        The file.
    """

    path: Path

    @property
    def queue_bytes(self) -> int:
        """What all streams together may hold [bytes]."""
        return self.engine.max_queue_bytes or sum(stream.queue for stream in self.streams.values())
