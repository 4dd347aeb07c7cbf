"""Data collections in the results database: what is known of one, and how one is entered where no beamline does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from glimt.stores.results_schema import results_table

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

Row = dict[str, Any]

MAX_RELATED = 1000
"""Most data collections of a group or a sample that are looked up; the newest ones."""


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """What is known of a data collection; rows have the columns' names in ISPyB and values that JSON has.

    Parameters
    ----------
    collection : dict
        Of DataCollection.
    group, session, proposal : dict
        Empty if there is none.
    grid, detector, plan, sample, crystal, protein : dict or None
        Of GridInfo, Detector, DiffractionPlan, BLSample, Crystal and Protein.
    energy_scan : dict or None
        The newest of the sample.
    structures : list of dict
        Of PDB, of the protein.
    siblings : list of dict
        All data collections of the group, this one too, oldest first.
    same_pin : list of dict
        Samples in the same place of the container: the wells of a pin of several samples.
    related : list of dict
        ``{"sample_id" or "sample_group_id", "name", "dcids"}``: collections of the same sample and of its groups.
    """

    collection: Row
    group: Row = field(default_factory=dict)
    session: Row = field(default_factory=dict)
    proposal: Row = field(default_factory=dict)
    grid: Row | None = None
    detector: Row | None = None
    plan: Row | None = None
    sample: Row | None = None
    crystal: Row | None = None
    protein: Row | None = None
    energy_scan: Row | None = None
    structures: list[Row] = field(default_factory=list)
    siblings: list[Row] = field(default_factory=list)
    same_pin: list[Row] = field(default_factory=list)
    related: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProcessingJobFacts:
    """A job of reprocessing.

    Parameters
    ----------
    job : dict
        Of ProcessingJob.
    parameters : list of (str, str)
        In the order in which they were given.
    sweeps : list of (dict, int, int)
        Row of DataCollection, first and last image.
    """

    job: Row
    parameters: list[tuple[str, str]]
    sweeps: list[tuple[Row, int, int]]


def run_status(session: Session, dcid: int) -> str | None:
    """Return how a data collection ended; ``None`` while it runs, or if it is not there."""
    import sqlalchemy as sa

    table = results_table("DataCollection")
    found = session.execute(sa.select(table.c.runStatus).where(table.c.dataCollectionId == dcid)).first()
    return None if found is None or found[0] is None else str(found[0])


def read_collection(session: Session, dcid: int) -> CollectionFacts | None:
    """Return what is known of a data collection; ``None`` if there is no such one."""
    collection = _row(session, "DataCollection", dcid)
    if collection is None:
        return None
    group = _row(session, "DataCollectionGroup", collection["dataCollectionGroupId"]) or {}
    visit = _row(session, "BLSession", group.get("sessionId") or collection["SESSIONID"]) or {}
    sample = _row(session, "BLSample", collection["BLSAMPLEID"] or group.get("blSampleId"))
    crystal = _row(session, "Crystal", sample["crystalId"]) if sample else None
    protein = _row(session, "Protein", crystal["proteinId"]) if crystal else None
    plan_id = collection["dataCollectionPlanId"] or (sample or {}).get("diffractionPlanId")
    siblings = _rows(session, "DataCollection", dataCollectionGroupId=collection["dataCollectionGroupId"])
    return CollectionFacts(
        collection=collection,
        group=group,
        session=visit,
        proposal=_row(session, "Proposal", visit.get("proposalId")) or {},
        grid=_grid(session, collection),
        detector=_row(session, "Detector", collection["detectorId"]),
        plan=_row(session, "DiffractionPlan", plan_id),
        sample=sample,
        crystal=crystal,
        protein=protein,
        energy_scan=_newest(_rows(session, "EnergyScan", blSampleId=sample["blSampleId"])) if sample else None,
        structures=_structures(session, protein),
        siblings=siblings or [collection],
        same_pin=_same_pin(session, sample),
        related=_related(session, sample),
    )


def read_job(session: Session, job_id: int) -> ProcessingJobFacts | None:
    """Return a job of reprocessing; ``None`` if there is no such one."""
    job = _row(session, "ProcessingJob", job_id)
    if job is None:
        return None
    parameters = _rows(session, "ProcessingJobParameter", processingJobId=job_id)
    sweeps = []
    for sweep in _rows(session, "ProcessingJobImageSweep", processingJobId=job_id):
        swept = _row(session, "DataCollection", sweep["dataCollectionId"])
        if swept is not None and sweep["startImage"] is not None and sweep["endImage"] is not None:
            sweeps.append((swept, sweep["startImage"], sweep["endImage"]))
    return ProcessingJobFacts(job, [(row["parameterKey"], row["parameterValue"]) for row in parameters], sweeps)


def plain_row(row: Mapping[Any, Any]) -> Row:
    """Return a row with values that JSON has: times as ``2026-11-21 09:58:25``, exact numbers as floats."""
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _row(session: Session, table: str, key: int | None) -> Row | None:
    import sqlalchemy as sa

    if key is None:
        return None
    target = results_table(table)
    found = session.execute(sa.select(target).where(_key(target) == key)).mappings().first()
    return None if found is None else plain_row(found)


def _rows(session: Session, table: str, **equal: Any) -> list[Row]:
    """Return the newest `MAX_RELATED` rows with these values, oldest first; none if a value is ``None``."""
    import sqlalchemy as sa

    if any(value is None for value in equal.values()):
        return []
    target = results_table(table)
    chosen = sa.select(target).where(*(target.c[name] == value for name, value in equal.items()))
    found = session.execute(chosen.order_by(_key(target).desc()).limit(MAX_RELATED)).mappings()
    return [plain_row(row) for row in found][::-1]


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _newest(rows: list[Row]) -> Row | None:
    return rows[-1] if rows else None


def _grid(session: Session, collection: Row) -> Row | None:
    own = _rows(session, "GridInfo", dataCollectionId=collection["dataCollectionId"])
    return _newest(own or _rows(session, "GridInfo", dataCollectionGroupId=collection["dataCollectionGroupId"]))


def _structures(session: Session, protein: Row | None) -> list[Row]:
    if protein is None:
        return []
    links = _rows(session, "Protein_has_PDB", proteinid=protein["proteinId"])
    return [row for link in links if (row := _row(session, "PDB", link["pdbid"])) is not None]


def _same_pin(session: Session, sample: Row | None) -> list[Row]:
    if sample is None or sample["containerId"] is None or sample["location"] is None:
        return []
    return _rows(session, "BLSample", containerId=sample["containerId"], location=sample["location"])


def _related(session: Session, sample: Row | None) -> list[Row]:
    """Return the collections of the sample and of each of the groups that it is in."""
    if sample is None:
        return []
    key = sample["blSampleId"]
    related: list[Row] = [{"sample_id": key, "name": sample["name"], "dcids": _collections_of(session, [key])}]
    for link in _rows(session, "BLSampleGroup_has_BLSample", blSampleId=key):
        group = _row(session, "BLSampleGroup", link["blSampleGroupId"])
        members = _rows(session, "BLSampleGroup_has_BLSample", blSampleGroupId=link["blSampleGroupId"])
        dcids = _collections_of(session, [member["blSampleId"] for member in members])
        related.append({"sample_group_id": link["blSampleGroupId"], "name": (group or {}).get("name"), "dcids": dcids})
    return [entry for entry in related if entry["dcids"]]


def _collections_of(session: Session, samples: list[int]) -> list[int]:
    import sqlalchemy as sa

    collections, groups = results_table("DataCollection"), results_table("DataCollectionGroup")
    joined = collections.join(groups, collections.c.dataCollectionGroupId == groups.c.dataCollectionGroupId)
    chosen = (
        sa.select(collections.c.dataCollectionId)
        .select_from(joined)
        .where(sa.or_(collections.c.BLSAMPLEID.in_(samples), groups.c.blSampleId.in_(samples)))
        .order_by(collections.c.dataCollectionId.desc())
        .limit(MAX_RELATED)
    )
    return sorted(session.execute(chosen).scalars())
