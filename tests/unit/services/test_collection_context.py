from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError, ResultsDatabaseError, UsageError
from glimt.services.collection_context import FileContext, IspybContext
from glimt.services.collection_names import NOT_FILLED, FolderTemplates, collection_names, image_pattern
from glimt.stores.collections_db import CollectionFacts, read_collection, read_job
from glimt.stores.collections_db_registration import (
    RegisteredCollection,
    RegisteredGrid,
    register_collection,
    split_template,
)
from glimt.stores.results_db import ResultsDatabase
from glimt.stores.results_rows import insert_row, update_row

GRID = RegisteredGrid(14, 9, dx_mm=0.04, dy_mm=0.03, microns_per_pixel_x=0.5, microns_per_pixel_y=0.25)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ResultsDatabase]:
    made = ResultsDatabase(f"sqlite:///{tmp_path / 'results.sqlite'}")
    made.prepare()
    yield made
    made.close()


def _register(database: ResultsDatabase, **changes: Any) -> int:
    values: dict[str, Any] = {
        "image_directory": "/data/i03/mx12345-6/thau",
        "image_template": "thau_2_####.cbf",
        "n_images": 126,
        "first_image": 5,
        "experiment_type": "Mesh3D",
        "beamline": "i03",
        "visit": "mx12345-6",
        "grid": GRID,
        "exposure_s": 0.01,
    }
    with database.transaction() as session:
        return register_collection(session, RegisteredCollection(**{**values, **changes}))


def _names(database: ResultsDatabase, **parameters: Any) -> dict[str, Any]:
    return IspybContext(database, FolderTemplates()).find_names(parameters, guid="run-1").parameters


def test_registered_collection_has_the_names_that_recipes_use(database: ResultsDatabase) -> None:
    dcid = _register(database)
    names = _names(database, ispyb_dcid=str(dcid))
    assert names["ispyb_dcid"] == dcid
    assert names["ispyb_beamline"] == "i03"
    assert names["ispyb_visit"] == "mx12345-6"
    assert names["ispyb_dcg_experiment_type"] == "Mesh3D"
    assert names["ispyb_detectorclass"] == "pilatus"
    assert (names["ispyb_image_first"], names["ispyb_image_last"]) == (5, 130)
    assert names["ispyb_image_pattern"] == "thau_2_%04d.cbf"
    assert names["ispyb_image_pattern"] % names["ispyb_image_first"] == "thau_2_0005.cbf"
    assert names["ispyb_image"] == names["ispyb_images"] == "/data/i03/mx12345-6/thau/thau_2_0005.cbf:5:130"
    info = names["ispyb_dc_info"]
    assert (info["imageDirectory"], info["imagePrefix"], info["dataCollectionNumber"]) == (
        "/data/i03/mx12345-6/thau/",
        "thau",
        2,
    )
    assert (info["exposureTime"], info["uuid"], info["BLSAMPLEID"]) == (0.01, "run-1", None)
    assert info["gridinfo"]["steps_x"] == 14
    assert info["gridinfo"]["micronsPerPixelY"] == 0.25
    assert names["ispyb_visit_directory"] == "/data/i03/mx12345-6"
    assert names["ispyb_results_directory"] == "/data/i03/mx12345-6/processed/thau/thau_2/run-1"
    assert names["ispyb_working_directory"] == "/data/i03/mx12345-6/tmp/glimt/thau/thau_2/run-1"
    assert [name for name, of_class in names["ispyb_dc_class"].items() if of_class] == ["grid"]
    assert all(names[name] is None for name in NOT_FILLED)
    json.dumps(names)


def test_results_lie_beside_images_that_are_in_no_folder_of_a_visit(database: ResultsDatabase) -> None:
    names = _names(database, ispyb_dcid=_register(database, image_directory="/home/me/images/", visit="xx0-1"))
    assert names["ispyb_results_directory"] == "/home/me/images/processed/thau_2/run-1"


def test_pair_of_scans_knows_of_each_other(database: ResultsDatabase) -> None:
    first = _register(database)
    with database.reading() as session:
        facts = read_collection(session, first)
    assert facts is not None
    second = _register(database, group_id=facts.group["dataCollectionGroupId"])
    assert _names(database, ispyb_dcid=first)["ispyb_dcg_dcids"] == [second]
    names = _names(database, ispyb_dcid=second)
    assert names["ispyb_dcg_dcids"] == [first]
    assert names["ispyb_related_sweeps"] == [[first, 5, 130], [second, 5, 130]]
    assert names["ispyb_dc_info"]["dataCollectionGroupId"] == facts.group["dataCollectionGroupId"]


def test_proposal_and_session_are_made_once(database: ResultsDatabase) -> None:
    dcids = [_register(database), _register(database), _register(database, visit="mx12345-7")]
    with database.reading() as session:
        found = [read_collection(session, dcid) for dcid in dcids]
    sessions = [facts.session["sessionId"] for facts in found if facts]
    proposals = {facts.proposal["proposalId"] for facts in found if facts}
    assert sessions[0] == sessions[1] != sessions[2]
    assert len(proposals) == 1


def test_sample_crystal_and_wells_are_found(database: ResultsDatabase) -> None:
    dcid = _register(database)
    with database.transaction() as session:
        facts = read_collection(session, dcid)
        assert facts is not None
        protein_values = {"proposalId": facts.proposal["proposalId"], "acronym": "thau", "sequence": "ATF"}
        protein = insert_row(session, "Protein", protein_values)
        cell = {"cell_a": 58.0, "cell_b": 58.0, "cell_c": 150.0, "cell_alpha": 90, "cell_beta": 90, "cell_gamma": 90}
        crystal = insert_row(session, "Crystal", {"proteinId": protein, "spaceGroup": "P41212", **cell})
        container = insert_row(session, "Container", {"code": "puck", "priorityPipelineId": None})
        sample_values = {"crystalId": crystal, "containerId": container, "location": "3", "name": "pin"}
        multi = {**sample_values, "loopType": "multipin_2x50+9"}
        samples = [insert_row(session, "BLSample", {**multi, "subLocation": place}) for place in (1, 2)]
        insert_row(session, "BLSample", {**sample_values, "location": "4", "subLocation": 1})
        update_row(session, "DataCollection", dcid, {"BLSAMPLEID": samples[0]})
        pdb = insert_row(session, "PDB", {"code": "1THW", "source": "AlphaFold"})
        insert_row(session, "Protein_has_PDB", {"proteinid": protein, "pdbid": pdb})
    names = _names(database, ispyb_dcid=dcid)
    assert names["ispyb_msp_sample_ids"] == {"1": samples[0], "2": samples[1]}
    assert names["ispyb_pin_info"] == {"loopType": "multipin_2x50+9"}
    assert names["ispyb_dc_info"]["BLSAMPLEID"] == samples[0]
    assert names["ispyb_space_group"] == "P41212"
    assert names["ispyb_unit_cell"] == [58.0, 58.0, 150.0, 90.0, 90.0, 90.0]
    assert names["ispyb_protein_info"]["sequence"] == "ATF"
    assert names["ispyb_pdb"] == [{"filepath": None, "code": "1THW", "source": "AlphaFold"}]
    assert names["ispyb_related_dcids"] == [{"sample_id": samples[0], "name": "pin", "dcids": [dcid]}]
    json.dumps(names)


def test_job_adds_its_recipe_parameters_and_sweeps(database: ResultsDatabase) -> None:
    dcid = _register(database)
    with database.transaction() as session:
        job = insert_row(session, "ProcessingJob", {"dataCollectionId": dcid, "recipe": "autoprocessing-xia2"})
        for value in ("a", "b"):
            row = {"processingJobId": job, "parameterKey": "data", "parameterValue": value}
            insert_row(session, "ProcessingJobParameter", row)
        sweep = {"processingJobId": job, "dataCollectionId": dcid, "startImage": 10, "endImage": 20}
        insert_row(session, "ProcessingJobImageSweep", sweep)
        assert read_job(session, job + 1) is None
    found = IspybContext(database, FolderTemplates()).find_names({"ispyb_process": str(job)}, guid="run-1")
    assert found.recipes == ["ispyb-autoprocessing-xia2"]
    names = found.parameters
    assert names["ispyb_dcid"] == dcid
    assert names["ispyb_processing_parameters"] == {"data": ["a", "b"]}
    assert names["ispyb_reprocessing_parameters"] == {"data": "b"}
    assert names["ispyb_images"] == "/data/i03/mx12345-6/thau/thau_2_0010.cbf:10:20"
    assert names["ispyb_processing_job"]["sweeps"] == [{"DCID": dcid, "start": 10, "end": 20}]


def test_collection_that_runs_is_ready_when_its_status_is_there(database: ResultsDatabase) -> None:
    dcid = _register(database, run_status=None)
    context = IspybContext(database, FolderTemplates())
    assert context.is_ready({"ispyb_dcid": dcid})
    assert context.is_ready({"ispyb_dcid": dcid, "ispyb_wait_for_runstatus": "0"})
    assert not context.is_ready({"ispyb_dcid": dcid, "ispyb_wait_for_runstatus": "1"})
    with database.transaction() as session:
        update_row(session, "DataCollection", dcid, {"runStatus": "DataCollection Successful"})
    assert context.is_ready({"ispyb_dcid": dcid, "ispyb_wait_for_runstatus": "1"})


def test_request_that_names_no_collection_adds_nothing(database: ResultsDatabase) -> None:
    assert _names(database) == {}


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"ispyb_dcid": 99}, "ispyb_dcid is 99"),
        ({"ispyb_process": 99}, "ispyb_process is 99"),
        ({"ispyb_dcid": "first"}, "whole number"),
        ({"ispyb_dcid": -1}, "whole number"),
        ({"ispyb_dcid": True}, "whole number"),
    ],
)
def test_collection_that_is_not_there_is_named(
    database: ResultsDatabase, parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RejectedMessageError, match=complaint):
        _names(database, **parameters)


def test_database_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    database = ResultsDatabase(f"sqlite:///{tmp_path / 'none.sqlite'}")
    with pytest.raises(ResultsDatabaseError):
        _names(database, ispyb_dcid=1)
    database.close()


def test_classes_of_scans() -> None:
    def classes(experiment: str = "OSC", **row: Any) -> list[str]:
        facts = CollectionFacts({"dataCollectionId": 1, **row}, group={"experimentType": experiment})
        names = collection_names(facts, guid="run-1", folders=FolderTemplates())
        return [name for name, of_class in names["ispyb_dc_class"].items() if of_class]

    assert classes(numberOfImages=100, axisRange=0.1, overlap=0.0) == ["rotation"]
    assert classes(numberOfImages=100, axisRange=0.0) == ["grid"]
    assert classes(numberOfImages=1, axisRange=0.1) == ["screen"]
    assert classes(numberOfImages=3, axisRange=0.5, overlap=-44.5) == ["screen"]
    assert classes("Characterization", numberOfImages=3, axisRange=0.5, overlap=-44.5) == ["screen", "characterization"]
    assert classes("SSX-Chip", numberOfImages=3, axisRange=0.5) == ["serial_fixed"]


def test_file_beside_the_images_tells_the_same_as_the_database(tmp_path: Path, database: ResultsDatabase) -> None:
    file = tmp_path / "collection.json"
    grid = {"steps_x": 14, "steps_y": 9, "dx_mm": 0.04, "dy_mm": 0.03}
    grid |= {"microns_per_pixel_x": 0.5, "microns_per_pixel_y": 0.25}
    told = {"image_template": "thau_2_####.cbf", "n_images": 126, "first_image": 5, "experiment_type": "Mesh3D"}
    told |= {"beamline": "i03", "visit": "mx12345-6", "exposure_s": 0.01, "dcid": 1, "grid": grid, "dcg_dcids": [1, 7]}
    file.write_text(json.dumps({**told, "names": {"operator": "me"}}))
    context = FileContext([tmp_path], FolderTemplates())
    parameters = {"collection_file": str(file)}
    assert context.is_ready(parameters)
    names = context.find_names(parameters, guid="run-1").parameters
    same = _names(database, ispyb_dcid=_register(database, image_directory=str(tmp_path)))
    assert names["operator"] == "me"
    assert names["ispyb_dcg_dcids"] == [7]
    for name in same.keys() - {"ispyb_dc_info", "ispyb_dcg_dcids"}:
        assert names[name] == same[name], name
    for name, value in names["ispyb_dc_info"].items():
        if name != "gridinfo":
            assert same["ispyb_dc_info"][name] == value, name
    gridinfo = names["ispyb_dc_info"]["gridinfo"]
    assert {name: same["ispyb_dc_info"]["gridinfo"][name] for name in gridinfo} == gridinfo


def test_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    context = FileContext([tmp_path], FolderTemplates())
    assert not context.is_ready({"collection_file": str(tmp_path / "late.json")})
    assert context.is_ready({})
    assert context.find_names({}, guid="run-1").parameters == {}


@pytest.mark.parametrize("text", [b"", b'{"image_template": "a_#', b'{"image_template": "\xc3'])
def test_file_that_is_still_being_written_is_waited_for(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "collection.json"
    file.write_bytes(text)
    context = FileContext([tmp_path], FolderTemplates())
    assert not context.is_ready({"collection_file": str(file)})
    file.write_text('{"image_template": "a_#.cbf", "n_images": 1}')
    assert context.is_ready({"collection_file": str(file)})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "describes no data collection"),
        ("[1]", "describes no data collection"),
        ('{"image_template": "a_#.cbf"}', "n_images"),
        ('{"image_template": "a_#.cbf", "n_images": 0}', "n_images"),
        ('{"image_template": "a_#.cbf", "n_images": 1, "beam_line": "x"}', "beam_line"),
        ('{"image_template": "../a_#.cbf", "n_images": 1}', "not the template"),
        ('{"image_template": "a_#.cbf", "n_images": 1, "visit": "none"}', "mx12345-6"),
    ],
)
def test_file_that_makes_no_sense_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "collection.json"
    file.write_text(text)
    with pytest.raises(RejectedMessageError, match=complaint):
        FileContext([tmp_path], FolderTemplates()).find_names({"collection_file": str(file)}, guid="run-1")


def test_file_outside_the_roots_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(RejectedMessageError, match="outside"):
        FileContext([tmp_path], FolderTemplates()).is_ready({"collection_file": "/etc/passwd"})


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("thau_1_####.cbf", ("thau_1_####.cbf", "thau", 1)),
        ("thau_12_%05d.cbf", ("thau_12_#####.cbf", "thau", 12)),
        ("thau_%d.cbf", ("thau_#.cbf", "thau", 1)),
        ("thau_3_master.h5", ("thau_3_master.h5", "thau", 3)),
        ("my_crystal_4.nxs", ("my_crystal_4.nxs", "my_crystal", 4)),
        ("thau.nxs", ("thau.nxs", "thau", 1)),
    ],
)
def test_templates_are_taken_apart(template: str, parts: tuple[str, str, int]) -> None:
    assert split_template(template) == parts


@pytest.mark.parametrize("template", ["", "####", "a/b_##.cbf", "a_##_##.cbf", "a_%s.cbf", "a%%_#.cbf"])
def test_templates_that_make_no_sense_are_refused(template: str) -> None:
    with pytest.raises(UsageError, match=r"template|place"):
        split_template(template)


def test_percent_signs_of_a_file_name_stay() -> None:
    assert image_pattern("100%_##.cbf") % 7 == "100%_07.cbf"


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"visit": "nothing"}, UsageError, "mx12345-6"),
        ({"image_directory": "images"}, UsageError, "absolute"),
        ({"n_images": 0}, UsageError, "0 images"),
        ({"experiment_type": "Dance"}, RejectedMessageError, "Dance"),
        ({"group_id": 77}, RejectedMessageError, "DataCollectionGroup 77"),
    ],
)
def test_collection_that_makes_no_sense_is_not_registered(
    database: ResultsDatabase, changes: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        _register(database, **changes)


def test_unknown_name_in_a_folder_template_is_refused() -> None:
    with pytest.raises(UsageError, match="none of visit_folder"):
        FolderTemplates(results="{visit_fodler}/x").check()
