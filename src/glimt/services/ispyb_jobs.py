"""Processing jobs: ProcessingJob with its parameters and image sweeps."""

from __future__ import annotations

from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import Command, CommandRun, Flag, Text
from glimt.stores.results_rows import insert_row
from glimt.stores.results_schema import results_table


class Sweep(msgspec.Struct, frozen=True):
    """Images of a data collection, both ends included."""

    DCID: int
    start: int
    end: int


class KeyValue(msgspec.Struct, frozen=True):
    """One of a list of named values."""

    key: str
    value: Any = None


class CreateJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be processed, and how."""

    DCID: int | None = None
    sweeps: list[Sweep] = []
    parameters: list[KeyValue] = []
    triggervariables: list[KeyValue] = []
    source: Text = None
    comment: Text = None
    displayname: Text = None
    recipe: Text = None
    autostart: Flag = None


def _create_job(run: CommandRun, command: CreateJob) -> int:
    sweeps = command.sweeps or [_whole_collection(run, command.DCID)]
    values = {
        "dataCollectionId": command.DCID or sweeps[0].DCID,
        "displayName": command.displayname,
        "comments": command.comment,
        "recipe": command.recipe,
        "automatic": command.source == "automatic",
        "recordTimestamp": run.now,
    }
    job_id = insert_row(run.session, "ProcessingJob", values)
    for parameter in command.parameters:
        pair = {"parameterKey": parameter.key, "parameterValue": parameter.value}
        insert_row(run.session, "ProcessingJobParameter", {"processingJobId": job_id, **pair})
    for sweep in command.sweeps or sweeps:
        images = {"dataCollectionId": sweep.DCID, "startImage": sweep.start, "endImage": sweep.end}
        insert_row(run.session, "ProcessingJobImageSweep", {"processingJobId": job_id, **images})
    started = {variable.key: variable.value for variable in command.triggervariables} | {"ispyb_process": job_id}
    run.messages.append(("trigger" if _is_true(command.autostart) else "held", {"parameters": started}))
    return job_id


def _whole_collection(run: CommandRun, dcid: int | None) -> Sweep:
    import sqlalchemy as sa

    if not dcid:
        raise RejectedMessageError("create_ispyb_job: neither DCID nor sweeps says what to process")
    table = results_table("DataCollection")
    wanted = sa.select(table.c.startImageNumber, table.c.numberOfImages).where(table.c.dataCollectionId == dcid)
    found = run.session.execute(wanted).first()
    if found is None:
        raise RejectedMessageError(f"there is no data collection {dcid}")
    start, n_images = found
    if not start or not n_images:
        raise RejectedMessageError(f"data collection {dcid} does not say which images it has; give sweeps")
    return Sweep(dcid, start, start + n_images - 1)


def _is_true(flag: Flag) -> bool:
    return flag.strip().lower() in {"true", "1", "yes"} if isinstance(flag, str) else bool(flag)


COMMANDS = (
    Command(
        "create_ispyb_job",
        CreateJob,
        _create_job,
        ("ProcessingJob", "ProcessingJobParameter", "ProcessingJobImageSweep"),
    ),
)
