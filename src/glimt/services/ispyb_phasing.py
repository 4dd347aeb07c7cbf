"""Phasing: one nested result, a dozen tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import Command, CommandRun
from glimt.services.ispyb_fields import without_missing
from glimt.stores.results_rows import insert_row

_CONTAINER = "PhasingContainer"
_STATISTICS = ("numberOfBins", "binNumber", "lowRes", "highRes", "metric", "statisticsValue", "nReflections")
_RUN = (
    "phasingCommandLine",
    "phasingPrograms",
    "phasingStatus",
    "phasingMessage",
    "phasingStartTime",
    "phasingEndTime",
)
_FILE = ("fileType", "fileName", "filePath", "recordTimeStamp")
_STAGES = {
    "PreparePhasingData": ("spaceGroupId", "lowRes", "highRes"),
    "SubstructureDetermination": ("spaceGroupId", "method", "lowRes", "highRes"),
    "Phasing": ("spaceGroupId", "method", "solventContent", "enantiomorph", "lowRes", "highRes"),
    "ModelBuilding": ("spaceGroupId", "lowRes", "highRes"),
}
_MOST_PARTS = 1000


class PhasingResults(msgspec.Struct, frozen=True, kw_only=True):
    """``{"PhasingContainer": {…}}``, whose objects are named as ISPyB's tables and their values as the columns."""

    phasing_results: dict[str, Any]
    scaling_id: int


def _phasing(run: CommandRun, command: PhasingResults) -> int:
    results = without_missing(command.phasing_results)
    container = results.get(_CONTAINER)
    if not isinstance(container, Mapping):
        raise RejectedMessageError(f"phasing_results has no {_CONTAINER}")
    analysis = _first(container, "PhasingAnalysis")
    if not analysis.get("recordTimeStamp"):
        raise RejectedMessageError(f"phasing_results: {_CONTAINER}.PhasingAnalysis has no recordTimeStamp")
    analysis_id = insert_row(run.session, "PhasingAnalysis", {"recordTimeStamp": analysis["recordTimeStamp"]})
    scaled = {"phasingAnalysisId": analysis_id, "autoProcScalingId": command.scaling_id}
    scaled_id = insert_row(run.session, "Phasing_has_Scaling", {**scaled, "recordTimeStamp": run.now})
    scaling = _first(container, "Phasing_has_ScalingContainer")
    for statistics in _parts(scaling, "PhasingStatistics"):
        _insert(run, "PhasingStatistics", statistics, _STATISTICS, phasingHasScalingId1=scaled_id)
    program = _first(container, "PhasingProgramRun")
    run_id = _insert(run, "PhasingProgramRun", program, _RUN, recordTimeStamp=run.now)
    for stage, names in _STAGES.items():
        if stage in container:
            keys = {"phasingAnalysisId": analysis_id, "phasingProgramRunId": run_id, "recordTimeStamp": run.now}
            _insert(run, stage, _first(container, stage), names, **keys)
    for attachment in _parts(container, "PhasingProgramAttachment"):
        _insert(run, "PhasingProgramAttachment", attachment, _FILE, phasingProgramRunId=run_id)
    return analysis_id


def _insert(run: CommandRun, table: str, values: Mapping[str, Any], names: tuple[str, ...], **keys: Any) -> int:
    return insert_row(run.session, table, {**{name: values.get(name) for name in names}, **keys})


def _first(container: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    parts = _parts(container, name)
    return parts[0] if parts else {}


def _parts(container: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return what stands under a name, an object or a list of them, as a list."""
    found = container.get(name)
    parts = found if isinstance(found, list) else [] if found is None else [found]
    if len(parts) > _MOST_PARTS:
        raise RejectedMessageError(f"phasing_results: {name} has {len(parts)} parts; {_MOST_PARTS} are the most")
    for part in parts:
        if not isinstance(part, Mapping):
            raise RejectedMessageError(f"phasing_results: {name} is {type(part).__name__}, not an object")
    return parts


COMMANDS = (
    Command(
        "insert_phasing_analysis_results",
        PhasingResults,
        _phasing,
        (
            "PhasingAnalysis",
            "Phasing_has_Scaling",
            "PhasingStatistics",
            "PhasingProgramRun",
            *_STAGES,
            "PhasingProgramAttachment",
        ),
    ),
)
