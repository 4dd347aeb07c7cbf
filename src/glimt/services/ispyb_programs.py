"""Programs that process data: AutoProcProgram, what they say and the files they leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.confined_path import confined_path
from glimt.services.ispyb_command import Column, Command, CommandRun, Count, Moment, Text, row_command
from glimt.stores.results_rows import insert_row, update_row
from glimt.stores.results_schema import results_table

PIPELINES = {
    "fast_dp": 3,
    "xia2.multiplex": 5,
    "xia2 dials": 6,
    "xia2 3dii": 7,
    "autoPROC": 8,
    "fast_ep": 9,
    "dimple": 10,
    "MrBUMP": 11,
    "big_ep/xds": 12,
    "big_ep/dials": 13,
    "autoPROC+STARANISO": 14,
    "xia2 dials (multi)": 15,
    "xia2 3dii (multi)": 16,
}
"""Numbers of ISPyB's table ProcessingPipeline, by program or program/upstream source."""

_PROGRAM_FILES = ("Log", "Result", "Graph")
_COLLECTION_FILES = ("snapshot", "log", "xy", "recip", "pia")
_OUTCOMES = {"success": 1, "failure": 0}
_ENVIRONMENT_LENGTH = 255


class UpdateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a program fares; ``status`` is success, failure, or anything else while it runs."""

    program_id: int
    message: Annotated[Text, Column("processingMessage")] = None
    status: Text = None
    start_time: Annotated[Moment, Column("processingStartTime")] = None
    update_time: Annotated[Moment, Column("processingEndTime")] = None


class RegisterProcessing(msgspec.Struct, frozen=True, kw_only=True):
    """A program that begins; ``rpid`` is the job it works for, ``scaling_id`` (or a list of them) what it works on."""

    program: str | None = None
    cmdline: Text = None
    environment: dict[str, Any] | str | None = None
    upstream_source: str | None = None
    scaling_id: int | list[int] | str | None = None
    rpid: int | str | None = None


class UpdateProgramName(msgspec.Struct, frozen=True, kw_only=True):
    """What a program is called."""

    program_id: int
    program: str


class AddProgramAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a program left; it must exist."""

    program_id: int
    file_name: str
    file_path: str
    file_type: Text = None
    importance_rank: Count = None


class AddProgramMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a program says; ``severity`` is ERROR, WARNING or INFO."""

    program_id: Annotated[int, Column("autoProcProgramId")]
    severity: Annotated[str, Column("severity")]
    message: Annotated[Text, Column("message")] = None
    description: Annotated[Text, Column("description")] = None


class AddCollectionAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to a data collection; it must exist."""

    dcid: int
    file_name: str
    file_path: str
    file_type: Text = None


def _update_program(run: CommandRun, program_id: int, values: Mapping[str, Any]) -> int:
    if not update_row(run.session, "AutoProcProgram", program_id, values):
        raise RejectedMessageError(f"there is no AutoProcProgram {program_id}")
    return program_id


def _update_status(run: CommandRun, command: UpdateStatus) -> int:
    values = {
        "processingMessage": command.message,
        "processingStatus": _OUTCOMES.get(str(command.status).lower()),
        "processingStartTime": command.start_time,
        "processingEndTime": command.update_time,
    }
    return _update_program(run, command.program_id, values)


def _update_name(run: CommandRun, command: UpdateProgramName) -> int:
    return _update_program(run, command.program_id, {"processingPrograms": command.program})


def _register(run: CommandRun, command: RegisterProcessing) -> int:
    environment = command.environment
    scaling = command.scaling_id
    if isinstance(environment, Mapping):
        scaling = scaling or environment.get("scaling_id")
        environment = ", ".join(f"{key}={value}" for key, value in environment.items())
    if isinstance(scaling, list):
        scaling = scaling[0] if scaling else None
    key = f"{command.program}/{command.upstream_source}" if command.upstream_source else command.program
    values = {
        "processingJobId": None if command.rpid in {None, ""} else _digits(command.rpid, "rpid"),
        "processingPrograms": command.program,
        "processingCommandLine": command.cmdline,
        "processingEnvironment": None if environment is None else environment[:_ENVIRONMENT_LENGTH],
        "processingPipelineId": PIPELINES.get(key or ""),
        "parentAutoProcProgramId": _program_of_scaling(run, _digits(scaling, "scaling_id")) if scaling else None,
        "recordTimeStamp": run.now,
    }
    return insert_row(run.session, "AutoProcProgram", values)


def _digits(value: Any, name: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise RejectedMessageError(f"register_processing: {name} {text[:60]!r} is no number of a row")
    return int(text)


def _program_of_scaling(run: CommandRun, scaling_id: int) -> int | None:
    import sqlalchemy as sa

    scaling, autoproc = results_table("AutoProcScaling"), results_table("AutoProc")
    joined = scaling.join(autoproc, scaling.c.autoProcId == autoproc.c.autoProcId)
    wanted = sa.select(autoproc.c.autoProcProgramId).select_from(joined)
    found: int | None = run.session.execute(wanted.where(scaling.c.autoProcScalingId == scaling_id)).scalar()
    return found


def _add_program_attachment(run: CommandRun, command: AddProgramAttachment) -> int:
    _existing_file(run, command.file_path, command.file_name)
    values = {
        "autoProcProgramId": command.program_id,
        "fileType": _known(command.file_type, _PROGRAM_FILES, "Log"),
        "fileName": command.file_name,
        "filePath": command.file_path,
        "importanceRank": command.importance_rank,
        "recordTimeStamp": run.now,
    }
    return insert_row(run.session, "AutoProcProgramAttachment", values)


def _add_collection_attachment(run: CommandRun, command: AddCollectionAttachment) -> int:
    path = _existing_file(run, command.file_path, command.file_name)
    values = {
        "dataCollectionId": command.dcid,
        "fileFullPath": path,
        "fileType": _known(command.file_type, _COLLECTION_FILES, "log"),
        "createTime": run.now,
    }
    return insert_row(run.session, "DataCollectionFileAttachment", values)


def _existing_file(run: CommandRun, folder: str, name: str) -> str:
    """Return the path as the message gives it, once it is known to lead to a file that is open to messages."""
    path = Path(folder) / name
    try:
        exists = confined_path(str(path), run.roots).is_file()
    except OSError as error:
        raise RejectedMessageError(f"{path}: {error.strerror or error}") from None
    if not exists:
        raise RejectedMessageError(f"{path} is not attached: there is no such file")
    return str(path)


def _known(kind: Text, allowed: tuple[str, ...], otherwise: str) -> str:
    return next((name for name in allowed if name.lower() == str(kind).lower()), otherwise)


_FILE_FIELDS = frozenset({"file_name", "file_path", "importance_rank"})
COMMANDS = (
    Command("update_processing_status", UpdateStatus, _update_status, ("AutoProcProgram",)),
    Command("register_processing", RegisterProcessing, _register, ("AutoProcProgram",)),
    Command("update_program_name", UpdateProgramName, _update_name, ("AutoProcProgram",)),
    Command(
        "add_program_attachment",
        AddProgramAttachment,
        _add_program_attachment,
        ("AutoProcProgramAttachment",),
        literal=_FILE_FIELDS,
    ),
    row_command("add_program_message", AddProgramMessage, "AutoProcProgramMessage"),
    Command(
        "add_datacollection_attachment",
        AddCollectionAttachment,
        _add_collection_attachment,
        ("DataCollectionFileAttachment",),
        literal=_FILE_FIELDS,
    ),
)
