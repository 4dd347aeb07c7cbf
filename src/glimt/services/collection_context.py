"""Where the Dispatcher learns what a run of a recipe is about: the results database, or a file beside the images."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec

from glimt.model.errors import RejectedMessageError, UsageError
from glimt.services.collection_names import FolderTemplates, collection_names, job_names
from glimt.services.confined_path import confined_path
from glimt.stores.collections_db import CollectionFacts, Row, read_collection, read_job, run_status
from glimt.stores.collections_db_registration import RegisteredCollection, RegisteredGrid, split_visit
from glimt.stores.results_db import ResultsDatabase

MAX_FILE_BYTES = 4 * 1024 * 1024

_NO = ("", "0", "false", "no", "off", "none")


@dataclass(frozen=True, slots=True)
class CollectionNames:
    """What a provider adds to a run of a recipe.

    Parameters
    ----------
    parameters : dict
        Names and values; they replace those of the message.
    recipes : list of str
        Recipes to run beside those that the message names.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    recipes: list[str] = field(default_factory=list)


class CollectionContext(Protocol):
    """Something that knows data collections."""

    def is_ready(self, parameters: Mapping[str, Any]) -> bool:
        """Say whether what the parameters point to is there, and ended if they want that."""
        ...

    def find_names(self, parameters: Mapping[str, Any], *, guid: str) -> CollectionNames:
        """Return what is known of the data collection that the parameters point to; nothing if they point to none.

        Raises
        ------
        RejectedMessageError
            They point to one that is not there.
        ResultsDatabaseError
            It cannot be looked up now.
        """
        ...


class IspybContext:
    """Knows the data collections (``ispyb_dcid``) and jobs (``ispyb_process``) of the results database.

    With the parameter ``ispyb_wait_for_runstatus`` a data collection is ready when its run status is there.

    Parameters
    ----------
    database : ResultsDatabase
    folders : FolderTemplates
        Where results go.
    """

    def __init__(self, database: ResultsDatabase, folders: FolderTemplates) -> None:
        self._database, self._folders = database, folders

    def is_ready(self, parameters: Mapping[str, Any]) -> bool:
        """Say whether the run status is there, or need not be."""
        if not _is_true(parameters.get("ispyb_wait_for_runstatus")):
            return True
        dcid = _identity(parameters, "ispyb_dcid")
        if dcid is None:
            return True
        with self._database.reading() as session:
            return run_status(session, dcid) is not None

    def find_names(self, parameters: Mapping[str, Any], *, guid: str) -> CollectionNames:
        """Look up the data collection, or the job and its data collection."""
        dcid, job_id = _identity(parameters, "ispyb_dcid"), _identity(parameters, "ispyb_process")
        found = CollectionNames()
        if dcid is None and job_id is None:
            return found
        with self._database.reading() as session:
            if job_id is not None:
                job = read_job(session, job_id)
                if job is None:
                    raise RejectedMessageError(f"ispyb_process is {job_id}, and there is no such job in the database")
                dcid = dcid or job.job["dataCollectionId"]
            facts = None if dcid is None else read_collection(session, dcid)
        if dcid is not None:
            if facts is None:
                raise RejectedMessageError(
                    f"ispyb_dcid is {dcid}, and there is no such data collection in the database"
                )
            found.parameters.update(collection_names(facts, guid=guid, folders=self._folders))
        if job_id is not None and job is not None:
            found.parameters.update(job_names(job))
            if job.job["recipe"]:
                found.recipes.append(f"ispyb-{job.job['recipe']}")
        return found


class _FileGrid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    steps_x: Annotated[int, msgspec.Meta(gt=0)]
    steps_y: Annotated[int, msgspec.Meta(gt=0)]
    dx_mm: float = 0.02
    dy_mm: float = 0.02
    microns_per_pixel_x: float = 1.0
    microns_per_pixel_y: float = 1.0
    snapshot_offset_x_px: float = 0.0
    snapshot_offset_y_px: float = 0.0
    is_snaked: bool = True
    orientation: str = "horizontal"


class _CollectionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    image_template: str
    n_images: Annotated[int, msgspec.Meta(gt=0)]
    image_directory: str | None = None
    first_image: int = 1
    dcid: Annotated[int, msgspec.Meta(gt=0)] | None = None
    dcg_dcids: list[int] = []
    experiment_type: str = "OSC"
    beamline: str = ""
    visit: str = ""
    grid: _FileGrid | None = None
    exposure_s: float | None = None
    wavelength_angstrom: float | None = None
    detector_distance_mm: float | None = None
    beam_x_mm: float | None = None
    beam_y_mm: float | None = None
    axis_start_deg: float | None = None
    axis_width_deg: float | None = None
    sample_id: int | None = None
    comments: str = ""
    names: dict[str, Any] = {}


class FileContext:
    """Knows the data collection that a JSON file (parameter ``collection_file``) describes; needs no database.

    The file is an object with ``image_template`` and ``n_images``, and what else is known: ``image_directory`` (else
    its own folder), ``first_image``, ``dcid`` (else made from its path), ``dcg_dcids``, ``experiment_type``,
    ``beamline``, ``visit``, ``grid`` (as `glimt.stores.collections_db_registration.RegisteredGrid`), ``exposure_s``,
    ``wavelength_angstrom``, ``detector_distance_mm``, ``beam_x_mm``, ``beam_y_mm``, ``axis_start_deg``,
    ``axis_width_deg``, ``sample_id``, ``comments``, and ``names``: further names for the recipe. It is ready when the
    file is there and is JSON: half a file is one that is still being written.

    Parameters
    ----------
    roots : sequence of Path
        Folders open to messages.
    folders : FolderTemplates
        Where results go.
    """

    def __init__(self, roots: Sequence[Path], folders: FolderTemplates) -> None:
        self._roots, self._folders = roots, folders

    def is_ready(self, parameters: Mapping[str, Any]) -> bool:
        """Say whether the file is there as a whole, or none is named."""
        given = parameters.get("collection_file")
        if given is None:
            return True
        path = confined_path(given, self._roots)
        return path.is_file() and _is_json(_read_bytes(path))

    def find_names(self, parameters: Mapping[str, Any], *, guid: str) -> CollectionNames:
        """Read the file, if one is named."""
        given = parameters.get("collection_file")
        if given is None:
            return CollectionNames()
        path = confined_path(given, self._roots)
        told = _read_file(path)
        facts = _facts(told, path)
        return CollectionNames(collection_names(facts, guid=guid, folders=self._folders) | told.names)


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RejectedMessageError(f"{path}: {error.strerror or error}") from None
    if len(text) > MAX_FILE_BYTES:
        raise RejectedMessageError(f"{path}: more than {MAX_FILE_BYTES} bytes")
    return text


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return False
    except RecursionError:
        return True  # whole or not, it will never be read
    return True


def _read_file(path: Path) -> _CollectionFile:
    text = _read_bytes(path)
    try:
        return msgspec.json.decode(text, type=_CollectionFile)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RejectedMessageError(f"{path} describes no data collection: {error}") from None


def _facts(told: _CollectionFile, path: Path) -> CollectionFacts:
    values = {name: getattr(told, name) for name in told.__struct_fields__ if name not in _NOT_COLUMNS}
    grid = None if told.grid is None else RegisteredGrid(**msgspec.structs.asdict(told.grid))
    try:
        registered = RegisteredCollection(
            **values, image_directory=told.image_directory or str(path.parent), visit=told.visit, grid=grid
        )
        columns = registered.columns()
        visit = split_visit(told.visit) if told.visit else None
    except UsageError as error:
        raise RejectedMessageError(f"{path}: {error}") from None
    dcid = told.dcid or zlib.crc32(str(path).encode()) or 1
    row: Row = {**columns, "dataCollectionId": dcid, "dataCollectionGroupId": dcid}
    siblings = [row, *({"dataCollectionId": other} for other in told.dcg_dcids if other != dcid)]
    return CollectionFacts(
        collection=row,
        group={"experimentType": told.experiment_type, "dataCollectionGroupId": dcid},
        session={"beamLineName": told.beamline, "visit_number": visit and visit[2]},
        proposal={"proposalCode": visit and visit[0], "proposalNumber": visit and visit[1]},
        grid=None if grid is None else grid.columns(),
        siblings=siblings,
    )


_NOT_COLUMNS = frozenset({"image_directory", "dcid", "dcg_dcids", "visit", "grid", "names"})


def _identity(parameters: Mapping[str, Any], name: str) -> int | None:
    value = parameters.get(name)
    if value is None or value == "":
        return None
    try:
        number = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        number = 0
    if isinstance(value, bool) or not 0 < number < 1 << 53:
        raise RejectedMessageError(f"{name} is {str(value)[:60]!r}; it has to be a whole number of 1 or more")
    return number


def _is_true(value: Any) -> bool:
    return value.strip().lower() not in _NO if isinstance(value, str) else bool(value)
