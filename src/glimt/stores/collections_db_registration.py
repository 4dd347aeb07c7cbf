"""Entering a data collection where no beamline does: the rows that services and beamline software look for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from glimt.model.errors import RejectedMessageError, UsageError
from glimt.stores.results_rows import insert_row
from glimt.stores.results_schema import results_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_IMAGES = 1 << 24
SUCCESSFUL = "DataCollection Successful"

_VISIT = re.compile(r"([A-Za-z]{1,20})(\d{1,20})-(\d{1,6})", re.ASCII)
_HASHES = re.compile(r"#+")
_PERCENT = re.compile(r"%0?(\d{0,2})d", re.ASCII)
_NUMBERED = re.compile(r"(.+)_(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RegisteredGrid:
    """A grid scan to be entered; the names are those of ISPyB's GridInfo.

    Parameters
    ----------
    steps_x, steps_y : int
    dx_mm, dy_mm : float
        Size of a box [mm].
    microns_per_pixel_x, microns_per_pixel_y : float
        Of the camera's picture [µm/px].
    snapshot_offset_x_px, snapshot_offset_y_px : float
        Corner of the grid on that picture [px].
    is_snaked : bool
        Every second line was scanned backwards.
    orientation : str
        ``horizontal`` or ``vertical``: along which axis the lines are.
    """

    steps_x: int
    steps_y: int
    dx_mm: float = 0.02
    dy_mm: float = 0.02
    microns_per_pixel_x: float = 1.0
    microns_per_pixel_y: float = 1.0
    snapshot_offset_x_px: float = 0.0
    snapshot_offset_y_px: float = 0.0
    is_snaked: bool = True
    orientation: str = "horizontal"

    def columns(self) -> dict[str, Any]:
        """Return the row of GridInfo, without its keys."""
        return {
            "steps_x": float(self.steps_x),
            "steps_y": float(self.steps_y),
            "dx_mm": self.dx_mm,
            "dy_mm": self.dy_mm,
            "micronsPerPixelX": self.microns_per_pixel_x,
            "micronsPerPixelY": self.microns_per_pixel_y,
            "snapshot_offsetXPixel": self.snapshot_offset_x_px,
            "snapshot_offsetYPixel": self.snapshot_offset_y_px,
            "snaked": int(self.is_snaked),
            "orientation": self.orientation,
        }


@dataclass(frozen=True, slots=True)
class RegisteredCollection:
    """A data collection to be entered.

    Parameters
    ----------
    image_directory : str
        Absolute path.
    image_template : str
        ``thau_1_####.cbf``, ``thau_1_%04d.cbf`` or a single file such as ``thau_1.nxs``.
    n_images : int
    first_image : int
    experiment_type : str
        One of ISPyB's: ``OSC``, ``Mesh``, ``Mesh3D``, ``Screening``, ``Characterization``, ….
    beamline, visit : str
        Of the session; the visit as ``mx12345-6``.
    grid : RegisteredGrid or None
    group_id : int or None
        Of the scan's partner, for a pair of grid scans; ``None`` makes a group of its own.
    exposure_s, wavelength_angstrom, detector_distance_mm, beam_x_mm, beam_y_mm : float or None
    axis_start_deg, axis_width_deg : float or None
        Rotation before the first and during each image.
    sample_id : int or None
        A BLSample that is there.
    comments : str
    run_status : str or None
        ``None`` while it runs.
    started : datetime or None
        In local time, as ISPyB has it.
    """

    image_directory: str
    image_template: str
    n_images: int
    first_image: int = 1
    experiment_type: str = "OSC"
    beamline: str = ""
    visit: str = "xx0-1"
    grid: RegisteredGrid | None = None
    group_id: int | None = None
    exposure_s: float | None = None
    wavelength_angstrom: float | None = None
    detector_distance_mm: float | None = None
    beam_x_mm: float | None = None
    beam_y_mm: float | None = None
    axis_start_deg: float | None = None
    axis_width_deg: float | None = None
    sample_id: int | None = None
    comments: str = ""
    run_status: str | None = SUCCESSFUL
    started: datetime | None = None

    def columns(self) -> dict[str, Any]:
        """Return the row of DataCollection, without its keys.

        Raises
        ------
        UsageError
            The template, the folder or the number of images makes no sense.
        """
        if not self.image_directory.startswith("/"):
            raise UsageError(f"the folder of the images is {self.image_directory!r}; give its absolute path")
        if not (0 < self.n_images <= MAX_IMAGES and 0 <= self.first_image <= MAX_IMAGES):
            raise UsageError(f"{self.n_images} images from {self.first_image} on; 1 to {MAX_IMAGES} are accepted")
        template, prefix, number = split_template(self.image_template)
        width = self.axis_width_deg
        if width is None and self.grid is not None:
            width = 0.0
        return {
            "imageDirectory": self.image_directory.rstrip("/") + "/",
            "fileTemplate": template,
            "imagePrefix": prefix,
            "dataCollectionNumber": number,
            "imageSuffix": template.rpartition(".")[2],
            "numberOfImages": self.n_images,
            "startImageNumber": self.first_image,
            "exposureTime": self.exposure_s,
            "wavelength": self.wavelength_angstrom,
            "detectorDistance": self.detector_distance_mm,
            "xBeam": self.beam_x_mm,
            "yBeam": self.beam_y_mm,
            "axisStart": self.axis_start_deg,
            "axisRange": width,
            "overlap": 0.0,
            "BLSAMPLEID": self.sample_id,
            "comments": self.comments or None,
            "runStatus": self.run_status,
            **({} if self.started is None else {"startTime": self.started.replace(microsecond=0)}),
        }


def split_template(template: str) -> tuple[str, str, int]:
    """Return a template of image files with ``#`` for digits, the prefix before the run's number, and that number.

    ``thau_1_%04d.cbf`` is ``thau_1_####.cbf``, ``thau`` and 1; a name without a number of a run has 1.

    Raises
    ------
    UsageError
        It is a path, has no name, or places for more than one number.
    """
    if "/" in template or "\0" in template or not template.strip("#%."):
        raise UsageError(f"{template!r} is not the template of a file name, such as thau_1_####.cbf")
    hashes = _PERCENT.sub(lambda found: "#" * max(int(found[1] or 1), 1), template)
    if len(_HASHES.findall(hashes)) > 1 or "%" in hashes:
        raise UsageError(f"{template!r} has no, or more than one, place for the image's number")
    stem = _HASHES.sub("", hashes.rpartition(".")[0] or hashes)
    for ending in ("_master", "_", "-", "."):
        stem = stem.removesuffix(ending)
    numbered = _NUMBERED.fullmatch(stem)
    return (hashes, numbered[1], int(numbered[2])) if numbered else (hashes, stem, 1)


def split_visit(visit: str) -> tuple[str, str, int]:
    """Return code and number of the proposal and number of the visit, of ``mx12345-6``.

    Raises
    ------
    UsageError
        It has not that form.
    """
    found = _VISIT.fullmatch(visit)
    if found is None:
        raise UsageError(f"the visit is {visit!r}; it has the form mx12345-6")
    return found[1], found[2], int(found[3])


def register_collection(session: Session, collection: RegisteredCollection) -> int:
    """Enter a data collection and what it hangs on, and return its identity (``dcid``).

    Proposal, session and person are made if they are not there.

    Raises
    ------
    UsageError
        The collection makes no sense; the text says what.
    RejectedMessageError
        The database does not take it, such as an experiment type that ISPyB does not have.
    """
    visit = split_visit(collection.visit)
    columns = collection.columns()
    group_id = collection.group_id
    if group_id is None:
        session_id = _session_id(session, visit, collection.beamline)
        group = {
            "sessionId": session_id,
            "experimentType": collection.experiment_type,
            "blSampleId": collection.sample_id,
            "startTime": columns.get("startTime"),
        }
        group_id = insert_row(session, "DataCollectionGroup", group)
    else:
        session_id = _session_of_group(session, group_id)
    dcid = insert_row(
        session, "DataCollection", {**columns, "dataCollectionGroupId": group_id, "SESSIONID": session_id}
    )
    if collection.grid is not None:
        keys = {"dataCollectionId": dcid, "dataCollectionGroupId": group_id}
        insert_row(session, "GridInfo", {**collection.grid.columns(), **keys})
    return dcid


def remove_collection(session: Session, dcid: int) -> None:
    """Take out a data collection that `register_collection` entered, and its group if it has no other one."""
    import sqlalchemy as sa

    made, grids = results_table("DataCollection"), results_table("GridInfo")
    groups = results_table("DataCollectionGroup")
    group_id = session.execute(sa.select(made.c.dataCollectionGroupId).where(made.c.dataCollectionId == dcid)).scalar()
    session.execute(sa.delete(grids).where(grids.c.dataCollectionId == dcid))
    session.execute(sa.delete(made).where(made.c.dataCollectionId == dcid))
    others = sa.select(made.c.dataCollectionId).where(made.c.dataCollectionGroupId == group_id)
    if group_id is not None and session.execute(others).first() is None:
        session.execute(sa.delete(groups).where(groups.c.dataCollectionGroupId == group_id))


def _session_id(session: Session, visit: tuple[str, str, int], beamline: str) -> int:
    code, number, visit_number = visit
    login = {"login": "glimt"}
    person = _find_or_insert(session, "Person", login, {"familyName": "glimt"})
    proposal = _find_or_insert(
        session,
        "Proposal",
        {"proposalCode": code, "proposalNumber": number},
        {"personId": person, "title": "entered by glimt"},
    )
    identity = {"proposalId": proposal, "visit_number": visit_number}
    return _find_or_insert(session, "BLSession", identity, {"beamLineName": beamline or None})


def _find_or_insert(session: Session, table: str, identity: dict[str, Any], others: dict[str, Any]) -> int:
    """Return the row of this identity, which the table has once; another process may enter it at the same moment."""
    found = _find(session, table, identity)
    if found is not None:
        return found
    try:
        with session.begin_nested():
            return insert_row(session, table, {**identity, **others})
    except RejectedMessageError:
        found = _find(session, table, identity, is_latest=True)
        if found is None:
            raise
        return found


def _session_of_group(session: Session, group_id: int) -> int:
    import sqlalchemy as sa

    table = results_table("DataCollectionGroup")
    chosen = sa.select(table.c.sessionId).where(table.c.dataCollectionGroupId == group_id)
    found = session.execute(chosen).first()
    if found is None:
        raise RejectedMessageError(f"there is no DataCollectionGroup {group_id}")
    return int(found[0])


def _find(session: Session, table: str, identity: dict[str, Any], *, is_latest: bool = False) -> int | None:
    """Return the row of this identity, as this transaction sees it or as it is by now."""
    import sqlalchemy as sa

    target = results_table(table)
    key = next(iter(target.primary_key.columns))
    chosen = sa.select(key).where(*(target.c[name] == value for name, value in identity.items())).order_by(key)
    found = session.execute(chosen.with_for_update() if is_latest else chosen).first()
    return None if found is None else int(found[0])
