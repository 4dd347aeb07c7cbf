"""Molecular replacement and refinement: runs, blobs of unexplained density, DIMPLE and metal identification."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import msgspec

from glimt.services.ispyb_command import (
    Column,
    Command,
    CommandRun,
    Count,
    Flag,
    Id,
    Moment,
    Number,
    Text,
    row_command,
    values_of,
)
from glimt.stores.results_rows import insert_row, require_row, update_row, upsert_row
from glimt.stores.results_schema import results_table

_PROGRAM, _FILE, _RUN, _BLOB = "AutoProcProgram", "AutoProcProgramAttachment", "MXMRRun", "MXMRRunBlob"


class MxmrRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of molecular replacement; what is not in MXMRRun goes to its program and the program's files."""

    id: Id = None
    scaling_id: Annotated[int, Column("autoProcScalingId")]
    success: Flag = None
    message: Text = None
    pipeline: Text = None
    input_coord_file: str | None = None
    output_coord_file: str | None = None
    input_mtz_file: str | None = None
    output_mtz_file: str | None = None
    run_dir: str | None = None
    log_file: str | None = None
    cmd_line: Text = None
    r_start: Annotated[Number, Column("rValueStart")] = None
    r_end: Annotated[Number, Column("rValueEnd")] = None
    rfree_start: Annotated[Number, Column("rFreeValueStart")] = None
    rfree_end: Annotated[Number, Column("rFreeValueEnd")] = None
    starttime: Moment = None
    endtime: Moment = None


class DimpleFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A DIMPLE that came to nothing."""

    scaling_id: int
    directory: str | None = None


class MxmrRunBlob(msgspec.Struct, frozen=True, kw_only=True):
    """Three views of a blob."""

    id: Id = None
    mxmr_run_id: Annotated[int, Column("mxMRRunId")]
    view1: Annotated[Text, Column("view1")] = None
    view2: Annotated[Text, Column("view2")] = None
    view3: Annotated[Text, Column("view3")] = None


class Atom(msgspec.Struct, frozen=True, kw_only=True):
    """An atom of a model."""

    name: Annotated[str, Column("nearestAtomName")]
    chain_id: Annotated[str, Column("nearestAtomChainId")]
    res_seq: Annotated[int, Column("nearestAtomResSeq")]
    res_name: Annotated[str, Column("nearestAtomResName")]


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """Density that the model does not explain."""

    xyz: tuple[float, float, float]
    height: Annotated[float, Column("height")]
    map_type: Annotated[Literal["anomalous", "difference"], Column("mapType")]
    occupancy: Annotated[Number, Column("occupancy")] = None
    nearest_atom: Atom | None = None
    nearest_atom_distance: Annotated[Number, Column("nearestAtomDistance")] = None
    filepath: Annotated[Text, Column("filePath")] = None
    view1: Annotated[Text, Column("view1")] = None
    view2: Annotated[Text, Column("view2")] = None
    view3: Annotated[Text, Column("view3")] = None


class RunOfModel(msgspec.Struct, frozen=True, kw_only=True):
    """R factors before and after; without ``auto_proc_program_id`` a program is made."""

    auto_proc_scaling_id: Annotated[int, Column("autoProcScalingId")]
    auto_proc_program_id: Id = None
    rwork_start: Annotated[float, Column("rValueStart")]
    rwork_end: Annotated[float, Column("rValueEnd")]
    rfree_start: Annotated[float, Column("rFreeValueStart")]
    rfree_end: Annotated[float, Column("rFreeValueEnd")]
    space_group: Annotated[Text, Column("spaceGroup")] = None
    LLG: Annotated[Number, Column("LLG")] = None
    TFZ: Annotated[Number, Column("TFZ")] = None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The program that ran."""

    command_line: Annotated[str, Column("processingCommandLine")]
    programs: Annotated[str, Column("processingPrograms")]
    status: Annotated[int, Column("processingStatus")]
    message: Annotated[str, Column("processingMessage")]
    start_time: Annotated[str | float, Column("processingStartTime")]
    end_time: Annotated[str | float, Column("processingEndTime")]


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the program left."""

    file_type: Annotated[Literal["log", "result", "graph", "debug", "input"], Column("fileType")]
    file_path: Annotated[str, Column("filePath")]
    file_name: Annotated[str, Column("fileName")]
    timestamp: Annotated[str | float, Column("recordTimeStamp")]
    importance_rank: Annotated[Count, Column("importanceRank")] = None


class ModelResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that DIMPLE or metal identification found."""

    mxmrrun: RunOfModel
    blobs: list[Blob]
    auto_proc_program: Program
    attachments: list[Attachment]


def _mxmr_run(run: CommandRun, command: MxmrRun) -> int:
    run_id = upsert_row(run.session, _RUN, command.id, values_of(command))
    program = {
        "processingCommandLine": command.cmd_line,
        "processingPrograms": None if command.pipeline is None else str(command.pipeline)[:50],
        "processingStatus": command.success,
        "processingMessage": command.message,
        "processingStartTime": command.starttime,
        "processingEndTime": command.endtime,
        "recordTimeStamp": command.endtime,
    }
    known = _program_of(run, run_id)
    if known is None:
        now = {name: run.now for name in ("processingStartTime", "recordTimeStamp") if program[name] is None}
        known = insert_row(run.session, _PROGRAM, {**program, **now})
        update_row(run.session, _RUN, run_id, {"autoProcProgramId": known})
    else:
        update_row(run.session, _PROGRAM, known, program)
    _mxmr_files(run, command, known)
    return run_id


def _program_of(run: CommandRun, run_id: int) -> int | None:
    import sqlalchemy as sa

    table = results_table(_RUN)
    found: int | None = run.session.execute(
        sa.select(table.c.autoProcProgramId).where(table.c.mxMRRunId == run_id)
    ).scalar()
    return found


def _mxmr_files(run: CommandRun, command: MxmrRun, program_id: int) -> None:
    files = (
        ("Input", command.input_coord_file, None),
        ("Input", command.input_mtz_file, None),
        ("Result", command.output_coord_file, None),
        ("Result", command.output_mtz_file, None),
        ("Log", command.log_file, 0),
    )
    folder = command.run_dir
    for kind, name, rank in files:
        if name is None:
            continue
        inside = name.removeprefix(os.path.join(folder, "")) if folder else name
        values: dict[str, Any] = {"autoProcProgramId": program_id, "fileType": kind, "fileName": inside}
        values |= {"filePath": folder, "importanceRank": rank, "recordTimeStamp": command.endtime}
        insert_row(run.session, _FILE, values)


def _dimple_failure(run: CommandRun, command: DimpleFailure) -> int:
    failed = MxmrRun(
        scaling_id=command.scaling_id, success=0, message="Unknown error", pipeline="dimple", run_dir=command.directory
    )
    return _mxmr_run(run, failed)


def _model_result(run: CommandRun, command: ModelResult) -> int:
    program_id = command.mxmrrun.auto_proc_program_id
    program = values_of(command.auto_proc_program)
    if program_id is None:
        program_id = insert_row(run.session, _PROGRAM, {**program, "recordTimeStamp": run.now})
    else:
        require_row(run.session, _PROGRAM, program_id)
        update_row(run.session, _PROGRAM, program_id, program)
    run_id = insert_row(run.session, _RUN, {**values_of(command.mxmrrun), "autoProcProgramId": program_id})
    for blob in command.blobs:
        atom = values_of(blob.nearest_atom) if blob.nearest_atom is not None else {}
        place = dict(zip("xyz", blob.xyz, strict=True))
        insert_row(run.session, _BLOB, {"mxMRRunId": run_id, **values_of(blob), **place, **atom})
    for attachment in command.attachments:
        insert_row(run.session, _FILE, {"autoProcProgramId": program_id, **values_of(attachment)})
    return run_id


_RESULT_TABLES = (_PROGRAM, _RUN, _BLOB, _FILE)
COMMANDS = (
    Command("store_dimple_failure", DimpleFailure, _dimple_failure, (_RUN, _PROGRAM)),
    Command("insert_mxmr_run", MxmrRun, _mxmr_run, (_RUN, _PROGRAM, _FILE), loose=True),
    row_command("insert_mxmr_run_blob", MxmrRunBlob, _BLOB, "id", loose=True),
    Command("insert_dimple_result", ModelResult, _model_result, _RESULT_TABLES),
    Command("insert_metal_id_result", ModelResult, _model_result, _RESULT_TABLES),
)
