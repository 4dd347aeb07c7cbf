"""Data collections and their groups, and models from the protein data bank."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.confined_path import confined_path
from glimt.services.ispyb_command import Column, Command, CommandRun, Id, Moment, Number, Text, row_command
from glimt.stores.results_rows import insert_row

_LOG = logging.getLogger(__name__)
_LARGEST_MODEL = 2**24 - 1
"""Bytes; what MariaDB's MEDIUMTEXT takes."""
_MOST_MODELS = 1000


class CollectionGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group of data collections of a session."""

    session_id: Annotated[int, Column("sessionId")]
    experiment_type: Annotated[Text, Column("experimentType")] = None
    start_time: Annotated[Moment, Column("startTime")] = None


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A data collection of a group."""

    dcgid: Annotated[int, Column("dataCollectionGroupId")]
    start_time: Annotated[Moment, Column("startTime")] = None
    image_directory: Annotated[Text, Column("imageDirectory")] = None
    image_suffix: Annotated[Text, Column("imageSuffix")] = None
    session_id: Annotated[Id, Column("SESSIONID")] = None
    voltage: Annotated[Number, Column("voltage")] = None


class CrystalSnapshots(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures of the crystal; without ``dcid`` a data collection is made."""

    dcid: Id = None
    dcgid: Annotated[Id, Column("dataCollectionGroupId")] = None
    xtal_snapshot1: Annotated[Text, Column("xtalSnapshotFullPath1")] = None
    xtal_snapshot2: Annotated[Text, Column("xtalSnapshotFullPath2")] = None
    xtal_snapshot3: Annotated[Text, Column("xtalSnapshotFullPath3")] = None
    xtal_snapshot4: Annotated[Text, Column("xtalSnapshotFullPath4")] = None


class PdbFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Models of a protein, with their text; files that are not there are left out."""

    protein_id: int
    source: Text = None
    pdb_files: list[str]


def _pdb_files(run: CommandRun, command: PdbFiles) -> None:
    if not command.pdb_files or len(command.pdb_files) > _MOST_MODELS:
        raise RejectedMessageError(f"insert_pdb_files: pdb_files names {len(command.pdb_files)} files")
    for name in command.pdb_files:
        path = confined_path(name, run.roots)
        try:
            contents = _contents(path)
        except FileNotFoundError:
            _LOG.warning("%s: no such file, left out", path)
            continue
        pdb = {"name": Path(name).name, "contents": contents, "source": command.source}
        pdb_id = insert_row(run.session, "PDB", pdb)
        insert_row(run.session, "Protein_has_PDB", {"proteinid": command.protein_id, "pdbid": pdb_id})


def _contents(path: Path) -> str:
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        with path.open("rb") as file:
            contents = file.read(_LARGEST_MODEL + 1)
        text = contents.decode()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise RejectedMessageError(f"{path}: cannot be read as text: {error}") from None
    if len(contents) > _LARGEST_MODEL:
        raise RejectedMessageError(f"{path}: is larger than the {_LARGEST_MODEL} bytes that ISPyB takes")
    return text


_COLLECTION, _GROUP = "DataCollection", "DataCollectionGroup"
COMMANDS = (
    row_command("insert_data_collection_group", CollectionGroup, _GROUP, comments="Created for Murfey"),
    row_command("insert_data_collection", Collection, _COLLECTION),
    row_command("upsert_data_collection_mx", CrystalSnapshots, _COLLECTION, "dcid"),
    Command("insert_pdb_files", PdbFiles, _pdb_files, ("PDB", "Protein_has_PDB")),
)
