"""An example of every command of the ISPyB service, and what must stand in the database afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ispyb_rig import IspybRig

NOON = datetime(2026, 11, 21, 12, 0, 0)
SHELL = {"r_merge": 0.05, "completeness": "99.5", "n_tot_obs": 1000, "cc_half": 0.99, "res_lim_low": 50, "anom": "True"}
PHASING = {
    "PhasingContainer": {
        "PhasingAnalysis": {"recordTimeStamp": "2026-11-21 12:00:00"},
        "PhasingProgramRun": {"phasingPrograms": "fast_ep", "phasingStatus": "1", "phasingCommandLine": "x" * 300},
        "PhasingProgramAttachment": [
            {"fileType": "Logfile", "fileName": "a.html", "filePath": "/p", "recordTimeStamp": "2026-11-21 12:00:00"},
            {"fileType": "Map", "fileName": "a.mtz", "filePath": "/p", "recordTimeStamp": "2026-11-21 12:00:00"},
        ],
        "Phasing": {"method": "shelxe", "solventContent": "0.35", "enantiomorph": "0", "lowRes": "27.4"},
        "PreparePhasingData": {"lowRes": "27.4", "highRes": "2.2"},
        "SubstructureDetermination": {"method": "SAD", "lowRes": "27.4"},
        "ModelBuilding": [{"lowRes": "27.4", "highRes": "2.2"}],
        "Phasing_has_ScalingContainer": {
            "Phasing_has_Scaling": "None",
            "PhasingStatistics": [
                {"numberOfBins": "10", "binNumber": "1", "metric": "FOM", "statisticsValue": "0.7"},
                {"numberOfBins": "10", "binNumber": "2", "metric": "FOM", "statisticsValue": "0.6"},
            ],
        },
    }
}


def _model(rig: IspybRig) -> dict[str, Any]:
    return {
        "mxmrrun": {
            "auto_proc_scaling_id": rig.processing.scaling_id,
            "rwork_start": 0.3,
            "rwork_end": 0.2,
            "rfree_start": 0.35,
            "rfree_end": 0.25,
            "space_group": "P41212",
            "LLG": None,
        },
        "blobs": [
            {
                "xyz": [1, 2, 3],
                "height": 5.5,
                "map_type": "anomalous",
                "nearest_atom": {"name": "CA", "chain_id": "A", "res_seq": 7, "res_name": "LYS"},
                "nearest_atom_distance": 1.5,
                "filepath": "/p/blob.png",
            },
            {"xyz": [4, 5, 6], "height": 4, "map_type": "difference"},
        ],
        "auto_proc_program": {
            "command_line": "dimple " + "x" * 300,
            "programs": "dimple",
            "status": 1,
            "message": "done",
            "start_time": "2026-11-21T11:00:00",
            "end_time": "2026-11-21T12:00:00",
        },
        "attachments": [
            {"file_type": "log", "file_path": "/p", "file_name": "dimple.log", "timestamp": "2026-11-21T12:00:00"}
        ],
    }


@dataclass(frozen=True)
class Example:
    """A command, and the row that its result is the key of.

    Attributes
    ----------
    fields : callable
        Takes the rig and a folder that paths may lie in.
    table : str
    key : str
        Column that the result stands in.
    expected : dict
        Further columns.
    """

    fields: Callable[[IspybRig, Path], dict[str, Any]]
    table: str
    key: str
    expected: dict[str, Any]


def _file(folder: Path, name: str) -> dict[str, str]:
    (folder / name).write_text("ATOM")
    return {"file_path": str(folder), "file_name": name}


def _correction(rig: IspybRig) -> int:
    result: int = rig.run("insert_motion_correction", dcid=rig.collection.dcid, micrograph_name="/m/a.mrc")
    return result


def _screened(rig: IspybRig, depth: int) -> int:
    steps: tuple[tuple[str, str], ...] = (
        ("insert_screening", "dcid"),
        ("insert_screening_output", "screening_id"),
        ("insert_screening_strategy", "screening_output_id"),
        ("insert_screening_strategy_wedge", "screening_strategy_id"),
    )
    key = rig.collection.dcid
    for command, parent in steps[:depth]:
        key = rig.run(command, **{parent: key})
    return key


EXAMPLES: dict[str, Example] = {
    "create_ispyb_job": Example(
        lambda rig, _: {
            "DCID": rig.collection.dcid,
            "sweeps": [],
            "source": "automatic",
            "displayname": "x",
            "recipe": "r",
        },
        "ProcessingJob",
        "processingJobId",
        {"automatic": 1, "displayName": "x", "recipe": "r"},
    ),
    "update_processing_status": Example(
        lambda rig, _: {
            "program_id": rig.processing.program_id,
            "status": "success",
            "message": "y" * 300,
            "update_time": "2026-11-21T12:00:00",
        },
        "AutoProcProgram",
        "autoProcProgramId",
        {"processingStatus": 1, "processingMessage": "y" * 255, "processingEndTime": NOON},
    ),
    "register_processing": Example(
        lambda rig, _: {
            "program": "xia2 dials",
            "cmdline": "xia2",
            "environment": {"a": 1, "b": "c"},
            "rpid": str(rig.processing.job_id),
        },
        "AutoProcProgram",
        "autoProcProgramId",
        {"processingEnvironment": "a=1, b=c", "processingPipelineId": 6, "processingCommandLine": "xia2"},
    ),
    "update_program_name": Example(
        lambda rig, _: {"program_id": rig.processing.program_id, "program": "fast_dp"},
        "AutoProcProgram",
        "autoProcProgramId",
        {"processingPrograms": "fast_dp"},
    ),
    "add_program_attachment": Example(
        lambda rig, folder: {
            "program_id": rig.processing.program_id,
            **_file(folder, "a.mtz"),
            "file_type": "RESULT",
            "importance_rank": "1",
        },
        "AutoProcProgramAttachment",
        "autoProcProgramAttachmentId",
        {"fileType": "Result", "fileName": "a.mtz", "importanceRank": 1},
    ),
    "add_program_message": Example(
        lambda rig, _: {
            "program_id": rig.processing.program_id,
            "severity": "warning",
            "message": "ice",
            "description": "much",
        },
        "AutoProcProgramMessage",
        "autoProcProgramMessageId",
        {"severity": "WARNING", "message": "ice", "description": "much"},
    ),
    "add_datacollection_attachment": Example(
        lambda rig, folder: {"dcid": rig.collection.dcid, **_file(folder, "s.jpg"), "file_type": "unheard of"},
        "DataCollectionFileAttachment",
        "dataCollectionFileAttachmentId",
        {"fileType": "log"},
    ),
    "store_per_image_analysis_results": Example(
        lambda rig, _: {
            "dcid": str(rig.collection.dcid),
            "file-number": 7,
            "n_spots_total": 12,
            "n_spots_no_ice": 10,
            "estimated_d_min": 1.5,
            "total_intensity": float("nan"),
        },
        "ImageQualityIndicators",
        "imageNumber",
        {
            "spotTotal": 12,
            "inResTotal": 12,
            "goodBraggCandidates": 10,
            "method1Res": 1.5,
            "method2Res": 1.5,
            "totalIntegratedSignal": None,
            "iceRings": 0,
        },
    ),
    "insert_screening": Example(
        lambda rig, _: {"dcid": rig.collection.dcid, "programversion": "mosflm", "shortcomments": "z" * 30},
        "Screening",
        "screeningId",
        {"programVersion": "mosflm", "shortComments": "z" * 20},
    ),
    "insert_screening_input": Example(
        lambda rig, _: {"screening_id": _screened(rig, 1), "beamx": 1.5, "minsignal2noise": "3"},
        "ScreeningInput",
        "screeningInputId",
        {"beamX": 1.5, "minimumSignalToNoise": 3},
    ),
    "insert_screening_output": Example(
        lambda rig, _: {
            "screening_id": _screened(rig, 1),
            "mosaicity": 0.5,
            "numspotsfound": "20",
            "alignmentSuccess": 1,
        },
        "ScreeningOutput",
        "screeningOutputId",
        {"mosaicity": 0.5, "mosaicityEstimated": 1, "numSpotsFound": 20, "indexingSuccess": 1, "alignmentSuccess": 1},
    ),
    "insert_screening_output_lattice": Example(
        lambda rig, _: {
            "screening_output_id": _screened(rig, 2),
            "spacegroup": "P4",
            "unitcella": 57.5,
            "unit_cell_b": 1,
        },
        "ScreeningOutputLattice",
        "screeningOutputLatticeId",
        {"spaceGroup": "P4", "unitCell_a": 57.5, "unitCell_b": 1},
    ),
    "insert_screening_strategy": Example(
        lambda rig, _: {"screening_output_id": _screened(rig, 2), "phistart": 10, "program": "BEST"},
        "ScreeningStrategy",
        "screeningStrategyId",
        {"phiStart": 10, "anomalous": 0, "program": "BEST"},
    ),
    "insert_screening_strategy_wedge": Example(
        lambda rig, _: {"screening_strategy_id": _screened(rig, 3), "noimages": 90},
        "ScreeningStrategyWedge",
        "screeningStrategyWedgeId",
        {"wedgeNumber": 1, "numberOfImages": 90},
    ),
    "insert_screening_strategy_sub_wedge": Example(
        lambda rig, _: {"screening_strategy_wedge_id": _screened(rig, 4), "rotationaxis": "Omega", "resolution": 1.5},
        "ScreeningStrategySubWedge",
        "screeningStrategySubWedgeId",
        {"subWedgeNumber": 1, "rotationAxis": "Omega", "RESOLUTION": 1.5},
    ),
    "upsert_integration": Example(
        lambda rig, _: {
            "dcid": rig.collection.dcid,
            "scaling_id": rig.processing.scaling_id,
            "program_id": rig.processing.program_id,
            "cell_a": 57.5,
            "start_image_no": 1,
            "refined_xbeam": 2.5,
        },
        "AutoProcIntegration",
        "autoProcIntegrationId",
        {"cell_a": 57.5, "startImageNumber": 1, "refinedXBeam": 2.5},
    ),
    "register_integration": Example(
        lambda rig, _: {"dcid": rig.collection.dcid, "cell_gamma": 90},
        "AutoProcIntegration",
        "autoProcIntegrationId",
        {"cell_gamma": 90},
    ),
    "write_autoproc": Example(
        lambda rig, _: {"program_id": rig.processing.program_id, "spacegroup": "P4", "refinedcell_a": 57.5},
        "AutoProc",
        "autoProcId",
        {"spaceGroup": "P4", "refinedCell_a": 57.5},
    ),
    "insert_scaling": Example(
        lambda rig, _: {
            "autoproc_id": rig.processing.autoproc_id,
            "overall": SHELL,
            "innerShell": SHELL,
            "outerShell": SHELL,
        },
        "AutoProcScaling",
        "autoProcScalingId",
        {},
    ),
    "store_dimple_failure": Example(
        lambda rig, _: {"scaling_id": rig.processing.scaling_id, "directory": "/p"}, "MXMRRun", "mxMRRunId", {}
    ),
    "insert_mxmr_run": Example(
        lambda rig, _: {
            "scaling_id": rig.processing.scaling_id,
            "success": 1,
            "rstart": 0.5,
            "rend": 0.25,
            "rundir": "/p",
            "logfile": "/p/run.log",
            "pipeline": "dimple",
            "endtime": "2026-11-21 12:00:00",
        },
        "MXMRRun",
        "mxMRRunId",
        {"rValueStart": 0.5, "rValueEnd": 0.25},
    ),
    "insert_mxmr_run_blob": Example(
        lambda rig, _: {
            "mxmr_run_id": rig.run("insert_mxmr_run", scaling_id=rig.processing.scaling_id),
            "view1": "a.png",
        },
        "MXMRRunBlob",
        "mxMRRunBlobId",
        {"view1": "a.png", "view2": None},
    ),
    "insert_dimple_result": Example(
        lambda rig, _: _model(rig), "MXMRRun", "mxMRRunId", {"rValueEnd": 0.2, "spaceGroup": "P41212", "LLG": None}
    ),
    "insert_metal_id_result": Example(lambda rig, _: _model(rig), "MXMRRun", "mxMRRunId", {"rFreeValueEnd": 0.25}),
    "insert_phasing_analysis_results": Example(
        lambda rig, _: {"phasing_results": PHASING, "scaling_id": rig.processing.scaling_id},
        "PhasingAnalysis",
        "phasingAnalysisId",
        {"recordTimeStamp": NOON},
    ),
    "insert_xray_centring": Example(
        lambda rig, _: {
            "dcgid": rig.collection.dcgid,
            "status": "success",
            "type": "3d",
            "results": [
                {
                    "centre_of_mass": [1.5, 2.5, 3.5],
                    "max_voxel": [1, 2, 3],
                    "max_count": 9,
                    "n_voxels": 4,
                    "total_count": 30.5,
                    "bounding_box": [[0, 1, 2], [3, 4, 5]],
                }
            ],
        },
        "XrayCentring",
        "xrayCentringId",
        {"status": "success", "xrayCentringType": "3d"},
    ),
    "insert_data_collection_group": Example(
        lambda rig, _: {"session_id": rig.collection.session_id, "experiment_type": "single particle", "start_time": 0},
        "DataCollectionGroup",
        "dataCollectionGroupId",
        {"experimentType": "single particle", "comments": "Created for Murfey", "startTime": datetime.fromtimestamp(0)},
    ),
    "insert_data_collection": Example(
        lambda rig, _: {
            "dcgid": rig.collection.dcgid,
            "image_directory": "/d",
            "image_suffix": "tiff",
            "voltage": "300",
            "session_id": rig.collection.session_id,
            "start_time": "2026-11-21 12:00:00",
        },
        "DataCollection",
        "dataCollectionId",
        {"imageDirectory": "/d", "voltage": 300, "startTime": NOON},
    ),
    "upsert_data_collection_mx": Example(
        lambda rig, _: {"dcid": rig.collection.dcid, "dcgid": rig.collection.dcgid, "xtal_snapshot2": "/s/2.png"},
        "DataCollection",
        "dataCollectionId",
        {"xtalSnapshotFullPath2": "/s/2.png", "numberOfImages": 20},
    ),
    "insert_pdb_files": Example(
        lambda rig, folder: {
            "protein_id": rig.collection.protein_id,
            "source": "AlphaFold",
            "pdb_files": [str(Path(_file(folder, "a.pdb")["file_path"]) / "a.pdb"), str(folder / "missing.pdb")],
        },
        "PDB",
        "",
        {"name": "a.pdb", "contents": "ATOM", "source": "AlphaFold"},
    ),
    "insert_movie": Example(
        lambda rig, _: {"dcid": rig.collection.dcid, "movie_number": 3, "movie_path": "/m/3.tiff", "timestamp": 86400},
        "Movie",
        "movieId",
        {"movieNumber": 3, "movieFullPath": "/m/3.tiff", "createdTimeStamp": datetime.fromtimestamp(86400)},
    ),
    "insert_motion_correction": Example(
        lambda rig, _: {
            "dcid": rig.collection.dcid,
            "image_number": 2,
            "micrograph_full_path": "/m/2.mrc",
            "drift_frames": [[1, 0.5, 0.5]],
        },
        "MotionCorrection",
        "motionCorrectionId",
        {"imageNumber": 2, "micrographFullPath": "/m/2.mrc"},
    ),
    "insert_ctf": Example(
        lambda rig, _: {"motion_correction_id": _correction(rig), "box_size_x": 512, "estimated_resolution": "3.5"},
        "CTF",
        "ctfId",
        {"boxSizeX": 512, "estimatedResolution": 3.5},
    ),
    "insert_relative_ice_thickness": Example(
        lambda rig, _: {"motion_correction_id": _correction(rig), "minimum": 1, "q1": 2, "median": 3, "maximum": 5},
        "RelativeIceThickness",
        "relativeIceThicknessId",
        {"minimum": 1, "q1": 2, "median": 3, "q3": None, "maximum": 5},
    ),
    "insert_tomogram": Example(
        lambda rig, _: {"dcid": rig.collection.dcid, "volume_file": "a.mrc", "size_x": 100, "proj_xy": "xy.png"},
        "Tomogram",
        "tomogramId",
        {"volumeFile": "a.mrc", "sizeX": 100, "projXY": "xy.png"},
    ),
    "insert_tilt_image_alignment": Example(
        lambda rig, _: {
            "dcid": rig.collection.dcid,
            "path": "/m/tilt_7_motion_corrected.mrc",
            "tomogram_id": (
                rig.run("insert_movie", dcid=rig.collection.dcid, movie_path="/m/tilt_7.tiff"),
                rig.run("insert_tomogram", dcid=rig.collection.dcid),
            )[1],
            "defocus_u": 1.5,
        },
        "TiltImageAlignment",
        "tomogramId",
        {"defocusU": 1.5},
    ),
    "insert_particle_picker": Example(
        lambda rig, _: {"motion_correction_id": _correction(rig), "number_of_particles": 10, "particle_diameter": 1.5},
        "ParticlePicker",
        "particlePickerId",
        {"numberOfParticles": 10, "particleDiameter": 1.5},
    ),
    "insert_particle_classification_group": Example(
        lambda rig, _: {"program_id": rig.processing.program_id, "type": "2d", "symmetry": "C1"},
        "ParticleClassificationGroup",
        "particleClassificationGroupId",
        {"type": "2D", "symmetry": "C1"},
    ),
    "insert_particle_classification": Example(
        lambda rig, _: {
            "particle_classification_group_id": rig.run("insert_particle_classification_group", type="3D"),
            "class_number": 1,
            "selected": True,
        },
        "ParticleClassification",
        "particleClassificationId",
        {"classNumber": 1, "selected": 1},
    ),
    "insert_cryoem_initial_model": Example(
        lambda rig, _: {
            "particle_classification_id": rig.run("insert_particle_classification", class_number=1),
            "resolution": 12.5,
            "number_of_particles": 5,
        },
        "CryoemInitialModel",
        "cryoemInitialModelId",
        {"resolution": 12.5, "numberOfParticles": 5},
    ),
}

READS = ("retrieve_programs_for_job_id", "retrieve_program_attachments_for_program_id", "retrieve_proposal_title")
WITHOUT_ROWS = ("insert_class2d", "insert_class3d")
