"""Commands that read: programs of a job, files of a program, the title of a proposal."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import Command, CommandRun
from glimt.stores.results_rows import json_value
from glimt.stores.results_schema import results_table

_MOST_ROWS = 1000
_VISIT = re.compile(r"([A-Za-z]{2})(\d+)-\d+", re.ASCII)
_PROGRAM_COLUMNS = {
    "id": "autoProcProgramId",
    "commandLine": "processingCommandLine",
    "programs": "processingPrograms",
    "status": "processingStatus",
    "message": "processingMessage",
    "startTime": "processingStartTime",
    "endTime": "processingEndTime",
    "environment": "processingEnvironment",
    "recordTimeStamp": "recordTimeStamp",
    "jobId": "processingJobId",
}
_ATTACHMENT_COLUMNS = {
    "attachmentId": "autoProcProgramAttachmentId",
    "fileType": "fileType",
    "filePath": "filePath",
    "fileName": "fileName",
    "importanceRank": "importanceRank",
}


class ProgramsForJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job whose programs are wanted."""

    rpid: int


class AttachmentsForProgram(msgspec.Struct, frozen=True, kw_only=True):
    """The program whose files are wanted."""

    program_id: int


class ProposalTitle(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal, by ``visit`` (``mx1234-5``), or by code and number."""

    visit: str | None = None
    proposalcode: str | None = None
    proposalnumber: str | int | None = None


def _programs(run: CommandRun, command: ProgramsForJob) -> list[dict[str, Any]]:
    return _rows(run, "AutoProcProgram", _PROGRAM_COLUMNS, "processingJobId", command.rpid)


def _attachments(run: CommandRun, command: AttachmentsForProgram) -> list[dict[str, Any]]:
    return _rows(run, "AutoProcProgramAttachment", _ATTACHMENT_COLUMNS, "autoProcProgramId", command.program_id)


def _rows(run: CommandRun, name: str, columns: dict[str, str], where: str, value: int) -> list[dict[str, Any]]:
    import sqlalchemy as sa

    table = results_table(name)
    key = next(iter(table.primary_key.columns))
    wanted = sa.select(*(table.c[column].label(label) for label, column in columns.items()))
    found = run.session.execute(wanted.where(table.c[where] == value).order_by(key).limit(_MOST_ROWS))
    return [{label: json_value(item) for label, item in row._mapping.items()} for row in found]  # noqa: SLF001


def _title(run: CommandRun, command: ProposalTitle) -> str | None:
    import sqlalchemy as sa

    visit = _VISIT.fullmatch(command.visit or "")
    code, number = visit.groups() if visit else (command.proposalcode, command.proposalnumber)
    if not code or number is None:
        raise RejectedMessageError("retrieve_proposal_title: give visit, such as mx1234-5, or code and number")
    table = results_table("Proposal")
    wanted = sa.select(table.c.title).where(table.c.proposalCode == code, table.c.proposalNumber == str(number))
    found = run.session.execute(wanted).first()
    if found is None:
        raise RejectedMessageError(f"there is no proposal {code}{number}")
    title: str | None = found.title
    return title


COMMANDS = (
    Command("retrieve_programs_for_job_id", ProgramsForJob, _programs, ("AutoProcProgram",)),
    Command(
        "retrieve_program_attachments_for_program_id",
        AttachmentsForProgram,
        _attachments,
        ("AutoProcProgramAttachment",),
    ),
    Command("retrieve_proposal_title", ProposalTitle, _title, ("Proposal",)),
)
