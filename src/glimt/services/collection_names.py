"""The names under which a recipe finds what is known of a data collection: ``ispyb_beamline``, ``ispyb_dc_info``, …."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError, UsageError
from glimt.stores.collections_db import CollectionFacts, ProcessingJobFacts, Row

_HASHES = re.compile(r"#+")
_SERIAL = {
    "Serial Fixed": "serial_fixed",
    "SSX-Chip": "serial_fixed",
    "Serial Jet": "serial_jet",
    "SSX-Jet": "serial_jet",
}

_FOLDER_NAMES = (
    "visit_folder",
    "rest",
    "image_directory",
    "visit",
    "beamline",
    "prefix",
    "number",
    "dcid",
    "guid",
)
NOT_FILLED = (
    "ispyb_final_directory",
    "ispyb_project",
    "ispyb_reference_geometry",
    "ispyb_ssx_events",
    "ispyb_ssx_shots_per_image",
)
"""Names that Diamond fills from its own tables and files, and that are always null here."""


class FolderTemplates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where results of a data collection go: the table ``[services.dispatcher.folders]`` of the site file.

    Each is a path with these names in braces: ``visit_folder`` (the folder of the visit if the images lie below one of
    that name, else the images' own), ``rest`` (from there to the images), ``image_directory``, ``visit``, ``beamline``,
    ``prefix``, ``number`` (of the data collection), ``dcid``, ``guid`` (of the run of the recipe).

    Parameters
    ----------
    visit : str
    working : str
    results : str
    """

    visit: str = "{visit_folder}"
    working: str = "{visit_folder}/tmp/glimt/{rest}/{prefix}_{number}/{guid}"
    results: str = "{visit_folder}/processed/{rest}/{prefix}_{number}/{guid}"

    def filled(self, names: Mapping[str, str]) -> tuple[str, str, str]:
        """Return the three paths, without doubled slashes.

        Raises
        ------
        UsageError
            A template names something else.
        """
        return self._fill(self.visit, names), self._fill(self.working, names), self._fill(self.results, names)

    def check(self) -> None:
        """Raise if a template names what is not known of a data collection.

        Raises
        ------
        UsageError
            The text names it.
        """
        self.filled(dict.fromkeys(_FOLDER_NAMES, "x"))

    @staticmethod
    def _fill(template: str, names: Mapping[str, str]) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in names:
                known = ", ".join(names)
                raise UsageError(f"[services.dispatcher.folders]: {found[0]} in {template!r} is none of {known}")
            return names[found[1]]

        return os.path.normpath(re.sub(r"\{(\w*)\}", value, template))


def collection_names(facts: CollectionFacts, *, guid: str, folders: FolderTemplates) -> dict[str, Any]:
    """Return what a recipe may use of a data collection.

    Filled: ``ispyb_dcid``, ``ispyb_beamline``, ``ispyb_detectorclass``, ``ispyb_detectorname``, ``ispyb_dc_info`` (all
    columns of DataCollection, ``gridinfo`` and ``uuid``), ``ispyb_dcg_experiment_type``, ``ispyb_dc_class``,
    ``ispyb_diffraction_plan``, ``ispyb_protein_info``, ``ispyb_energy_scan_info``, ``ispyb_smiles``,
    ``ispyb_preferred_processing``, ``ispyb_image_first``, ``_last``, ``_template``, ``_directory`` and ``_pattern``,
    ``ispyb_image``, ``ispyb_images``, ``ispyb_visit``, ``ispyb_visit_directory``, ``ispyb_working_directory``,
    ``ispyb_results_directory``, ``ispyb_pdb`` (those in the database), ``ispyb_crystal``, ``ispyb_space_group``,
    ``ispyb_unit_cell`` (of the crystal; no files are read), ``ispyb_related_dcids`` (same sample and its groups),
    ``ispyb_dcg_dcids``, ``ispyb_related_sweeps``, ``ispyb_related_images``, ``ispyb_pin_info``,
    ``ispyb_msp_sample_ids``. `NOT_FILLED` are null, ``ispyb_preferred_processing`` is always ``xia2/DIALS``.

    Parameters
    ----------
    facts : CollectionFacts
    guid : str
        Of the run of the recipe.
    folders : FolderTemplates
        Where results go.
    """
    row = facts.collection
    dcid = row.get("dataCollectionId")
    names: dict[str, Any] = dict.fromkeys(NOT_FILLED)
    names |= {
        "ispyb_dcid": dcid,
        "ispyb_beamline": facts.session.get("beamLineName") or "",
        "ispyb_detectorclass": _detector_class(facts),
        "ispyb_detectorname": (facts.detector or {}).get("detectorModel"),
        "ispyb_dc_info": {**row, "gridinfo": facts.grid, "uuid": guid},
        "ispyb_dcg_experiment_type": facts.group.get("experimentType") or "",
        "ispyb_dc_class": _scan_class(facts),
        "ispyb_diffraction_plan": facts.plan,
        "ispyb_protein_info": facts.protein,
        "ispyb_energy_scan_info": facts.energy_scan,
        "ispyb_smiles": (facts.sample or {}).get("SMILES"),
        "ispyb_preferred_processing": "xia2/DIALS",
        "ispyb_pdb": [{"filepath": None, "code": pdb["code"], "source": pdb["source"]} for pdb in facts.structures],
        "ispyb_crystal": facts.crystal,
        "ispyb_space_group": (facts.crystal or {}).get("spaceGroup"),
        "ispyb_unit_cell": _unit_cell(facts.crystal),
        "ispyb_related_dcids": facts.related,
        "ispyb_dcg_dcids": [one["dataCollectionId"] for one in facts.siblings if one["dataCollectionId"] != dcid],
        "ispyb_pin_info": {"loopType": (facts.sample or {}).get("loopType")},
        "ispyb_msp_sample_ids": _wells(facts),
    }
    names |= _image_names(facts)
    visit = _visit(facts)
    image_directory = str(row.get("imageDirectory") or "/")
    visit_folder, rest = _below_visit(image_directory, visit)
    known = {
        "visit_folder": visit_folder,
        "rest": rest,
        "image_directory": image_directory,
        "visit": visit,
        "beamline": names["ispyb_beamline"],
        "prefix": str(row.get("imagePrefix") or ""),
        "number": str(row.get("dataCollectionNumber") or 1),
        "dcid": str(dcid),
        "guid": guid,
    }
    of_visit, working, results = folders.filled(known)
    return names | {
        "ispyb_visit": visit,
        "ispyb_visit_directory": of_visit,
        "ispyb_working_directory": working,
        "ispyb_results_directory": results,
    }


def job_names(facts: ProcessingJobFacts) -> dict[str, Any]:
    """Return what a recipe may use of a job of reprocessing, beside what it may of its data collection.

    ``ispyb_processing_job`` (columns of ProcessingJob, and ``sweeps``), ``ispyb_processing_parameters`` (name to list
    of values), ``ispyb_reprocessing_parameters`` (name to the last value), ``ispyb_images`` (of its sweeps) and
    ``ispyb_process``.
    """
    values: dict[str, list[str]] = {}
    for name, value in facts.parameters:
        values.setdefault(name, []).append(value)
    sweeps = [{"DCID": row["dataCollectionId"], "start": first, "end": last} for row, first, last in facts.sweeps]
    names: dict[str, Any] = {
        "ispyb_process": facts.job["processingJobId"],
        "ispyb_processing_job": {**facts.job, "sweeps": sweeps},
        "ispyb_processing_parameters": values,
        "ispyb_reprocessing_parameters": {name: given[-1] for name, given in values.items()},
    }
    if facts.sweeps:
        names["ispyb_images"] = ",".join(_image_range(row, first, last) for row, first, last in facts.sweeps)
    return names


def image_pattern(template: str) -> str:
    """Return a template of file names with ``%04d`` for ``####``; percent signs of its own are doubled."""
    return _HASHES.sub(lambda found: f"%0{len(found[0])}d", template.replace("%", "%%"))


def _image_names(facts: CollectionFacts) -> dict[str, Any]:
    row = facts.collection
    first, n_images = row.get("startImageNumber"), row.get("numberOfImages")
    names: dict[str, Any] = {
        "ispyb_image_first": first,
        "ispyb_image_last": None if first is None or n_images is None else first + n_images - 1,
        "ispyb_image_template": row.get("fileTemplate"),
        "ispyb_image_directory": row.get("imageDirectory"),
        "ispyb_image_pattern": image_pattern(str(row["fileTemplate"])) if row.get("fileTemplate") else None,
        "ispyb_image": None,
        "ispyb_images": "",
        "ispyb_related_sweeps": [],
        "ispyb_related_images": [],
    }
    for one in facts.siblings or [row]:
        start, count = one.get("startImageNumber"), one.get("numberOfImages")
        if start is None or count is None or not one.get("fileTemplate"):
            continue
        images = _image_range(one, start, start + count - 1)
        names["ispyb_related_sweeps"].append([one.get("dataCollectionId"), start, start + count - 1])
        names["ispyb_related_images"].append([one.get("dataCollectionId"), images])
        if one.get("dataCollectionId") == row.get("dataCollectionId"):
            names["ispyb_image"] = names["ispyb_images"] = images
    return names


def _image_range(row: Row, first: int, last: int) -> str:
    pattern = image_pattern(str(row.get("fileTemplate")))
    try:
        file = pattern % first
    except TypeError:
        file = pattern % ()
    except ValueError as error:
        raise RejectedMessageError(f"fileTemplate {row.get('fileTemplate')!r} makes no sense: {error}") from None
    return f"{os.path.join(str(row.get('imageDirectory') or ''), file)}:{first}:{last}"


def _scan_class(facts: CollectionFacts) -> dict[str, bool]:
    row, experiment = facts.collection, str(facts.group.get("experimentType") or "")
    n_images, width, overlap = row.get("numberOfImages"), row.get("axisRange"), row.get("overlap")
    is_grid = facts.grid is not None or bool(n_images and n_images > 1 and width == 0)
    is_screen = not is_grid and (n_images == 1 or bool(overlap))
    serial = _SERIAL.get(experiment)
    return {
        "grid": is_grid,
        "screen": is_screen,
        "characterization": experiment == "Characterization",
        "rotation": bool(not is_grid and not is_screen and serial is None and width),
        "serial_fixed": serial == "serial_fixed",
        "serial_jet": serial == "serial_jet",
        "diamond_anvil_cell": experiment == "Diamond Anvil High Pressure",
    }


def _detector_class(facts: CollectionFacts) -> str | None:
    told = " ".join(str((facts.detector or {}).get(name) or "") for name in ("detectorModel", "detectorType")).lower()
    for known in ("eiger", "pilatus"):
        if known in told:
            return known
    suffix = str(facts.collection.get("imageSuffix") or "").lower()
    return {"h5": "eiger", "nxs": "eiger", "cbf": "pilatus"}.get(suffix)


def _unit_cell(crystal: Row | None) -> list[float] | None:
    cell = [(crystal or {}).get(f"cell_{part}") for part in ("a", "b", "c", "alpha", "beta", "gamma")]
    return [float(length) for length in cell if length] if all(cell) else None


def _wells(facts: CollectionFacts) -> dict[str, int] | None:
    wells = {str(one["subLocation"]): one["blSampleId"] for one in facts.same_pin if one["subLocation"] is not None}
    return wells or None


def _visit(facts: CollectionFacts) -> str:
    code, number = facts.proposal.get("proposalCode"), facts.proposal.get("proposalNumber")
    visit_number = facts.session.get("visit_number")
    return f"{code}{number}-{visit_number}" if code and number and visit_number is not None else ""


def _below_visit(image_directory: str, visit: str) -> tuple[str, str]:
    """Return the folder of the visit on the way to the images, and the way from there; else the images' own folder."""
    folder = os.path.normpath(image_directory)
    parts = folder.split("/")
    if visit and visit in parts:
        place = parts.index(visit) + 1
        return "/".join(parts[:place]), "/".join(parts[place:])
    return folder, ""
