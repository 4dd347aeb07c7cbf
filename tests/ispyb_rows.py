"""Rows that other rows of ISPyB need: who proposed, when they came, what they collected."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glimt.stores.results_rows import insert_row

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class CollectionRows:
    """Keys of a data collection and of all it belongs to.

    Attributes
    ----------
    proposal_id, session_id, dcgid, dcid, protein_id : int
    proposal_number : str
        With the code ``mx``; no two calls make the same.
    """

    proposal_id: int
    session_id: int
    dcgid: int
    dcid: int
    protein_id: int
    proposal_number: str


@dataclass(frozen=True)
class ProcessingRows:
    """Keys of a processing of a data collection.

    Attributes
    ----------
    job_id, program_id, autoproc_id, scaling_id : int
    """

    job_id: int
    program_id: int
    autoproc_id: int
    scaling_id: int


def make_collection(session: Session, *, n_images: int = 20, **columns: Any) -> CollectionRows:
    """Insert a data collection of images 1 to ``n_images``, with its group, session, proposal, person and a protein."""
    number = str(secrets.randbelow(10**9))
    person = insert_row(session, "Person", {"familyName": "Curie", "givenName": "Marie"})
    proposal = {"personId": person, "proposalCode": "mx", "proposalNumber": number, "title": "Radium"}
    proposal_id = insert_row(session, "Proposal", proposal)
    visit = {"proposalId": proposal_id, "visit_number": 1, "beamLineName": "i03"}
    session_id = insert_row(session, "BLSession", visit)
    dcgid = insert_row(session, "DataCollectionGroup", {"sessionId": session_id, "experimentType": "Mesh"})
    collected = {"startImageNumber": 1, "numberOfImages": n_images, "SESSIONID": session_id, **columns}
    dcid = insert_row(session, "DataCollection", {"dataCollectionGroupId": dcgid, **collected})
    protein_id = insert_row(session, "Protein", {"proposalId": proposal_id, "acronym": "thau"})
    return CollectionRows(proposal_id, session_id, dcgid, dcid, protein_id, number)


def make_processing(session: Session, dcid: int) -> ProcessingRows:
    """Insert a job with a program and a scaling for a data collection."""
    job_id = insert_row(session, "ProcessingJob", {"dataCollectionId": dcid, "recipe": "xia2"})
    program_id = insert_row(session, "AutoProcProgram", {"processingJobId": job_id, "processingPrograms": "xia2 dials"})
    autoproc_id = insert_row(session, "AutoProc", {"autoProcProgramId": program_id, "spaceGroup": "P41212"})
    scaling_id = insert_row(session, "AutoProcScaling", {"autoProcId": autoproc_id})
    return ProcessingRows(job_id, program_id, autoproc_id, scaling_id)
