"""What the commands of the ISPyB service must write on every database; see `ispyb_service_tests`."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimt.model.errors import RejectedMessageError
from ispyb_examples import EXAMPLES, NOON
from ispyb_rig import PIA, IspybRig
from service_steps import sent

WITHOUT_FIELDS = {
    "insert_cryoem_initial_model",
    "insert_motion_correction",
    "insert_particle_classification",
    "insert_particle_classification_group",
    "insert_particle_picker",
    "insert_relative_ice_thickness",
    "insert_screening",
    "insert_tomogram",
    "register_processing",
    "write_autoproc",
}
"""Commands whose fields may all be missing: an empty row points to nothing, and says nothing."""


class IspybCommandTests:
    """The rows that each command writes."""

    @pytest.mark.parametrize("command", EXAMPLES)
    def test_command_writes_its_row_and_returns_its_key(self, rig: IspybRig, tmp_path: Path, command: str) -> None:
        example = EXAMPLES[command]
        fields = example.fields(rig, tmp_path)

        result = rig.run(command, **fields)

        where = {example.key: result} if example.key else {}
        if command == PIA:
            where["dataCollectionId"] = rig.collection.dcid
        row = rig.rows(example.table, **where)[-1]
        for name, value in example.expected.items():
            is_number = isinstance(value, (int, float))
            found = float(row[name]) if is_number else row[name]
            assert found == (pytest.approx(value) if is_number else value), name
        if not example.key:
            assert result is None

    @pytest.mark.parametrize("command", sorted(set(EXAMPLES) - WITHOUT_FIELDS))
    def test_command_without_its_fields_is_rejected(self, rig: IspybRig, command: str) -> None:
        with pytest.raises(RejectedMessageError):
            rig.run(command)

    def test_job_has_its_parameters_sweeps_and_a_message_to_start_it(self, rig: IspybRig) -> None:
        dcid = rig.collection.dcid
        step = rig.step(
            "create_ispyb_job",
            DCID=dcid,
            sweeps=[{"DCID": dcid, "start": 2, "end": 5}],
            parameters=[{"key": "resolution", "value": 1.5}, {"key": "spacegroup", "value": "P4"}],
            triggervariables=[{"key": "statistic-cluster", "value": "iris"}],
            autostart=True,
        )
        rig.service.handle(step)

        job = rig.result(step)
        wanted = {"parameters": {"statistic-cluster": "iris", "ispyb_process": job}}
        assert (3, wanted) in sent(step)
        assert [
            (r["parameterKey"], r["parameterValue"]) for r in rig.rows("ProcessingJobParameter", processingJobId=job)
        ] == [
            ("resolution", "1.5"),
            ("spacegroup", "P4"),
        ]
        sweep = rig.row("ProcessingJobImageSweep", processingJobId=job)
        assert (sweep["dataCollectionId"], sweep["startImage"], sweep["endImage"]) == (dcid, 2, 5)

    def test_job_that_does_not_start_is_held_and_covers_the_whole_collection(self, rig: IspybRig) -> None:
        step = rig.step("create_ispyb_job", DCID=rig.collection.dcid)
        rig.service.handle(step)

        assert (4, {"parameters": {"ispyb_process": rig.result(step)}}) in sent(step)
        sweep = rig.row("ProcessingJobImageSweep", processingJobId=rig.result(step))
        assert (sweep["startImage"], sweep["endImage"]) == (1, 20)

    def test_program_of_a_scaling_is_the_parent_of_what_works_on_it(self, rig: IspybRig) -> None:
        result = rig.run(
            "register_processing",
            program="big_ep",
            upstream_source="dials",
            environment={"scaling_id": [rig.processing.scaling_id]},
        )
        row = rig.row("AutoProcProgram", autoProcProgramId=result)

        assert (row["parentAutoProcProgramId"], row["processingPipelineId"]) == (rig.processing.program_id, 13)

    def test_scaling_has_statistics_of_three_shells(self, rig: IspybRig) -> None:
        scaling = rig.run("insert_scaling", **EXAMPLES["insert_scaling"].fields(rig, Path()))

        shells = rig.rows("AutoProcScalingStatistics", autoProcScalingId=scaling)
        assert {row["scalingStatisticsType"] for row in shells} == {"overall", "innerShell", "outerShell"}
        assert [row["completeness"] for row in shells] == [99.5] * 3
        assert [row["anomalous"] for row in shells] == [1] * 3

    def test_integration_is_updated_and_joined_to_its_scaling_once(self, rig: IspybRig) -> None:
        fields = {"dcid": rig.collection.dcid, "scaling_id": rig.processing.scaling_id}
        first = rig.run("upsert_integration", cell_a=50, **fields)
        second = rig.run("upsert_integration", integration_id=first, cell_b=60, **fields)

        row = rig.row("AutoProcIntegration", autoProcIntegrationId=first)
        assert second == first
        assert (row["cell_a"], row["cell_b"]) == (50, 60)
        assert rig.count("AutoProcScaling_has_Int", autoProcIntegrationId=first) == 1

    def test_run_of_molecular_replacement_has_a_program_and_its_files(self, rig: IspybRig) -> None:
        result = rig.run("insert_mxmr_run", **EXAMPLES["insert_mxmr_run"].fields(rig, Path()))

        program = rig.row("MXMRRun", mxMRRunId=result)["autoProcProgramId"]
        row = rig.row("AutoProcProgram", autoProcProgramId=program)
        assert (row["processingPrograms"], row["processingStatus"], row["processingEndTime"]) == ("dimple", 1, NOON)
        file = rig.row("AutoProcProgramAttachment", autoProcProgramId=program)
        assert (file["fileType"], file["fileName"], file["filePath"]) == ("Log", "run.log", "/p")

    def test_dimple_result_fills_four_tables(self, rig: IspybRig) -> None:
        run = rig.run("insert_dimple_result", **EXAMPLES["insert_dimple_result"].fields(rig, Path()))

        program = rig.row("MXMRRun", mxMRRunId=run)["autoProcProgramId"]
        blobs = rig.rows("MXMRRunBlob", mxMRRunId=run)
        assert [(row["x"], row["mapType"], row["nearestAtomName"]) for row in blobs] == [
            (1, "anomalous", "CA"),
            (4, "difference", None),
        ]
        assert len(rig.row("AutoProcProgram", autoProcProgramId=program)["processingCommandLine"]) == 255
        assert rig.row("AutoProcProgramAttachment", autoProcProgramId=program)["fileType"] == "Log"

    def test_phasing_fills_its_tables(self, rig: IspybRig) -> None:
        analysis = rig.run(
            "insert_phasing_analysis_results", **EXAMPLES["insert_phasing_analysis_results"].fields(rig, Path())
        )

        scaled = rig.row("Phasing_has_Scaling", phasingAnalysisId=analysis)["phasingHasScalingId"]
        assert [
            float(row["statisticsValue"]) for row in rig.rows("PhasingStatistics", phasingHasScalingId1=scaled)
        ] == [
            0.7,
            0.6,
        ]
        phasing = rig.row("Phasing", phasingAnalysisId=analysis)
        program = phasing["phasingProgramRunId"]
        assert (phasing["method"], phasing["enantiomorph"]) == ("shelxe", 0)
        assert rig.row("PreparePhasingData", phasingAnalysisId=analysis)["phasingProgramRunId"] == program
        assert rig.row("SubstructureDetermination", phasingAnalysisId=analysis)["method"] == "SAD"
        assert rig.row("ModelBuilding", phasingAnalysisId=analysis)["phasingProgramRunId"] == program
        assert rig.count("PhasingProgramAttachment", phasingProgramRunId=program) == 2
        assert len(rig.row("PhasingProgramRun", phasingProgramRunId=program)["phasingCommandLine"]) == 255

    def test_centring_has_a_row_for_each_crystal(self, rig: IspybRig) -> None:
        payload = {
            "status": "success",
            "type": "2d",
            "results": [
                {
                    "centre_of_mass": [1.5, 2.5],
                    "max_voxel": [1, 2],
                    "n_voxels": 3,
                    "total_count": 7,
                    "status": "success",
                },
                {"status": "fail", "message": "No good images found"},
            ],
        }
        centring = rig.run("insert_xray_centring", payload, dcgid=rig.collection.dcgid)

        rows = rig.rows("XrayCentringResult", xrayCentringId=centring)
        assert [(row["centreOfMassX"], row["centreOfMassZ"], row["maxVoxelY"], row["status"]) for row in rows] == [
            (1.5, None, 2, "success"),
            (None, None, None, "failure"),
        ]

    def test_programs_files_and_title_are_read(self, rig: IspybRig, tmp_path: Path) -> None:
        rig.run("add_program_attachment", **EXAMPLES["add_program_attachment"].fields(rig, tmp_path))

        programs = rig.run("retrieve_programs_for_job_id", rpid=str(rig.processing.job_id))
        files = rig.run("retrieve_program_attachments_for_program_id", program_id=rig.processing.program_id)
        visit = f"mx{rig.collection.proposal_number}-1"
        assert [(row["id"], row["programs"]) for row in programs] == [(rig.processing.program_id, "xia2 dials")]
        assert [(row["fileName"], row["importanceRank"]) for row in files] == [("a.mtz", 1)]
        assert rig.run("retrieve_proposal_title", visit=visit) == "Radium"
        assert (
            rig.run("retrieve_proposal_title", proposalcode="mx", proposalnumber=rig.collection.proposal_number)
            == "Radium"
        )

    def test_image_results_are_updated_where_the_new_message_says_something(self, rig: IspybRig) -> None:
        dcid = rig.collection.dcid
        rig.run(PIA, {"file-number": 3, "n_spots_total": 5, "total_intensity": 100.5}, dcid=dcid)
        rig.run(PIA, {"file-number": 3, "dozor_score": 0.25}, dcid=dcid)

        row = rig.row("ImageQualityIndicators", dataCollectionId=dcid, imageNumber=3)
        assert (row["spotTotal"], float(row["dozor_score"]), float(row["totalIntegratedSignal"])) == (5, 0.25, 100.5)
