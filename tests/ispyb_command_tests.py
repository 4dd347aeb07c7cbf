"""What every command of the ISPyB service must do on every database: inherit, and give a fixture ``url``."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError
from glimt.stores.results_done import forget_results, recorded_result
from ispyb_examples import EXAMPLES, NOON
from ispyb_rig import IspybRig
from ispyb_rows import make_processing
from service_steps import sent

PIA = "store_per_image_analysis_results"
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
    """The service on one database."""

    @pytest.fixture
    def rig(self, url: str, tmp_path: Path) -> Iterator[IspybRig]:
        rig = IspybRig(url, (tmp_path,))
        yield rig
        rig.close()

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

    def test_fields_come_from_the_message_before_the_recipe(self, rig: IspybRig) -> None:
        program = rig.processing.program_id
        rig.run("update_program_name", {"program": "from the message"}, program_id=program, program="from the recipe")

        assert rig.row("AutoProcProgram", autoProcProgramId=program)["processingPrograms"] == "from the message"

    def test_a_value_the_recipe_lacks_is_the_text_none_and_counts_as_missing(self, rig: IspybRig) -> None:
        result = rig.run(
            "write_autoproc", {"autoproc_id": None}, autoproc_id="None", refinedcell_a="None", spacegroup="P1"
        )

        assert rig.row("AutoProc", autoProcId=result)["refinedCell_a"] is None

    def test_environment_is_put_into_fields(self, rig: IspybRig) -> None:
        step = rig.step(
            "update_program_name",
            program_id="$ispyb_autoprocprogram_id",
            program="${what} of $unknown",
            known={"ispyb_autoprocprogram_id": rig.processing.program_id, "what": "name"},
        )
        rig.service.handle(step)

        row = rig.row("AutoProcProgram", autoProcProgramId=rig.processing.program_id)
        assert row["processingPrograms"] == "name of $unknown"

    def test_stored_result_is_seen_by_later_steps_of_the_recipe(self, rig: IspybRig) -> None:
        step = rig.step("insert_movie", dcid=rig.collection.dcid, store_result="ispyb_movie_id")
        rig.service.handle(step)

        assert step.environment["ispyb_movie_id"] == rig.result(step)

    def test_file_names_of_attachments_are_taken_as_they_are(self, rig: IspybRig, tmp_path: Path) -> None:
        (tmp_path / "$x.log").touch()
        step = rig.step(
            "add_program_attachment",
            program_id="$p",
            file_path=str(tmp_path),
            file_name="$x.log",
            known={"x": "other", "p": rig.processing.program_id},
        )
        rig.service.handle(step)

        assert (
            rig.row("AutoProcProgramAttachment", autoProcProgramAttachmentId=rig.result(step))["fileName"] == "$x.log"
        )

    @pytest.mark.parametrize("name", ["missing.log", "../outside.log", "/etc/hostname"])
    def test_attachment_that_is_missing_or_outside_is_rejected(self, rig: IspybRig, tmp_path: Path, name: str) -> None:
        program = rig.processing.program_id
        with pytest.raises(RejectedMessageError, match=r"no such file|outside"):
            rig.run("add_program_attachment", program_id=program, file_path=str(tmp_path), file_name=name)

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

    def test_row_that_points_nowhere_is_rejected_with_the_name_of_what_is_missing(self, rig: IspybRig) -> None:
        with pytest.raises(RejectedMessageError, match=r"dataCollectionId = 999999999.*DataCollection"):
            rig.run("insert_movie", dcid=999999999)

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"severity": "FATAL"}, "none of ERROR, WARNING, INFO"),
            ({"severity": ["ERROR"]}, "severity"),
            ({"program_id": 2**40, "severity": "INFO"}, "outside"),
            ({"program_id": "many", "severity": "INFO"}, "program_id"),
        ],
    )
    def test_value_that_does_not_fit_is_rejected(self, rig: IspybRig, fields: dict[str, Any], reason: str) -> None:
        with pytest.raises(RejectedMessageError, match=reason):
            rig.run("add_program_message", **{"program_id": rig.processing.program_id, **fields})

    def test_path_that_is_too_long_is_rejected_and_not_cut(self, rig: IspybRig) -> None:
        with pytest.raises(RejectedMessageError, match="255"):
            rig.run("insert_movie", dcid=rig.collection.dcid, movie_path="/" + "x" * 300)

    def test_image_results_are_updated_where_the_new_message_says_something(self, rig: IspybRig) -> None:
        dcid = rig.collection.dcid
        rig.run(PIA, {"file-number": 3, "n_spots_total": 5, "total_intensity": 100.5}, dcid=dcid)
        rig.run(PIA, {"file-number": 3, "dozor_score": 0.25}, dcid=dcid)

        row = rig.row("ImageQualityIndicators", dataCollectionId=dcid, imageNumber=3)
        assert (row["spotTotal"], float(row["dozor_score"]), float(row["totalIntegratedSignal"])) == (5, 0.25, 100.5)

    def test_image_index_outranks_file_number(self, rig: IspybRig) -> None:
        result = rig.run(PIA, {"file-number": 3, "file-pattern-index": 4, "n_spots_total": 5}, dcid=rig.collection.dcid)
        assert result == 4

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            ({"file-number": 0, "n_spots_total": 5}, "count from 1"),
            ({"file-pattern-index": 0, "n_spots_total": 5}, "count from 1"),
            ({"file-number": -1, "n_spots_total": 5}, "count from 1"),
            ({"n_spots_total": 5}, "which image"),
            ({"file-number": 1}, "none of"),
            ({"file-number": 1, "n_spots_total": "many"}, "n_spots_total"),
            ({"file-number": 1, "n_spots_total": 2**31}, "outside"),
        ],
    )
    def test_image_result_that_makes_no_sense_is_rejected(
        self, rig: IspybRig, message: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(RejectedMessageError, match=reason):
            rig.run(PIA, message, dcid=rig.collection.dcid)

    def test_many_image_results_are_written_at_once(self, rig: IspybRig) -> None:
        dcid = rig.collection.dcid
        steps = [rig.step(PIA, {"file-number": n, "n_spots_total": n}, dcid=dcid) for n in range(1, 101)]
        rig.service.handle_batch(steps)

        rows = rig.rows("ImageQualityIndicators", dataCollectionId=dcid)
        assert [(row["imageNumber"], row["spotTotal"]) for row in rows] == [(n, n) for n in range(1, 101)]
        assert [rig.result(step) for step in steps] == list(range(1, 101))

    def test_batch_with_one_bad_message_writes_nothing(self, rig: IspybRig) -> None:
        dcid = rig.collection.dcid
        steps = [rig.step(PIA, {"file-number": n, "n_spots_total": n}, dcid=dcid) for n in (1, 2, 0)]
        with pytest.raises(RejectedMessageError):
            rig.service.handle_batch(steps)

        assert rig.count("ImageQualityIndicators", dataCollectionId=dcid) == 0
        assert [step.outgoing for step in steps] == [[], [], []]

    def test_batch_may_mix_commands(self, rig: IspybRig) -> None:
        dcid = rig.collection.dcid
        steps = [rig.step("insert_movie", dcid=dcid), rig.step(PIA, {"file-number": 1, "dozor_score": 2}, dcid=dcid)]
        rig.service.handle_batch(steps)

        assert rig.count("Movie", dataCollectionId=dcid) == 1
        assert rig.result(steps[1]) == 1

    def test_message_that_is_delivered_again_writes_nothing_and_answers_the_same(self, rig: IspybRig) -> None:
        fields: dict[str, Any] = {"DCID": rig.collection.dcid, "autostart": True, "store_result": "ispyb_job_id"}
        first = rig.step("create_ispyb_job", message_id=f"twice-{rig.collection.dcid}", **fields)
        again = rig.step("create_ispyb_job", message_id=f"twice-{rig.collection.dcid}", **fields)
        rig.service.handle(first)
        rig.service.handle(again)

        assert rig.count("ProcessingJob", dataCollectionId=rig.collection.dcid) == 2  # the rig's own is the other
        assert sent(again) == sent(first)
        assert again.environment == first.environment
        assert [m.message_id for m in again.outgoing] == [m.message_id for m in first.outgoing]

    def test_two_services_that_get_one_message_write_it_once(self, rig: IspybRig, url: str, tmp_path: Path) -> None:
        other = IspybRig(url, (tmp_path,))
        identity = f"both-{rig.collection.dcid}"
        steps = [rig.step("insert_movie", dcid=rig.collection.dcid, message_id=identity) for _ in range(2)]
        barrier = threading.Barrier(2)

        def work(service: Any, step: Any) -> None:
            barrier.wait()
            service.handle(step)

        threads = [
            threading.Thread(target=work, args=pair) for pair in zip((rig.service, other.service), steps, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        other.close()

        assert rig.count("Movie", dataCollectionId=rig.collection.dcid) == 1
        assert rig.result(steps[0]) == rig.result(steps[1])

    def test_old_entries_of_what_was_done_are_dropped(self, rig: IspybRig) -> None:
        identity = f"old-{rig.collection.dcid}"
        rig.service.handle(rig.step("insert_movie", dcid=rig.collection.dcid, message_id=identity))
        with rig.database.transaction() as session:
            assert forget_results(session, older_than=timedelta(days=1)) == 0
            assert recorded_result(session, identity) is not None
            assert forget_results(session, older_than=timedelta(days=-1)) >= 1
            assert recorded_result(session, identity) is None

    def test_sequence_runs_in_one_transaction_and_passes_keys_on(self, rig: IspybRig) -> None:
        step = rig.step(
            "multipart_message",
            {"spacegroup": "P4"},
            program_id=rig.processing.program_id,
            overall={"r_merge": 0.5},
            innerShell={},
            outerShell={},
            ispyb_command_list=[
                {"ispyb_command": "write_autoproc", "store_result": "ispyb_autoproc_id"},
                {"ispyb_command": "insert_scaling", "autoproc_id": "$ispyb_autoproc_id", "store_result": "scaling"},
                {"ispyb_command": "upsert_integration", "dcid": rig.collection.dcid, "scaling_id": "$scaling"},
            ],
            store_result="last",
            known={"scaling": 1},
        )
        rig.service.handle(step)

        autoproc = rig.row("AutoProc", autoProcId=step.environment["ispyb_autoproc_id"])
        link = rig.row("AutoProcScaling_has_Int", autoProcIntegrationId=rig.result(step))
        assert (autoproc["spaceGroup"], autoproc["autoProcProgramId"]) == ("P4", rig.processing.program_id)
        assert link["autoProcScalingId"] == step.environment["scaling"] != 1
        assert step.environment["last"] == rig.result(step)

    def test_step_sees_its_own_fields_also_where_they_are_nested(self, rig: IspybRig) -> None:
        centring = EXAMPLES["insert_xray_centring"].fields(rig, Path())
        result = rig.run(
            "multipart_message", ispyb_command_list=[{"ispyb_command": "insert_xray_centring", **centring}]
        )

        assert rig.count("XrayCentringResult", xrayCentringId=result) == 1

    def test_step_that_fails_undoes_those_before_it(self, rig: IspybRig) -> None:
        steps = [
            {"ispyb_command": "insert_movie", "dcid": rig.collection.dcid},
            {"ispyb_command": "insert_movie", "dcid": 999999999},
        ]
        step = rig.step("multipart_message", ispyb_command_list=steps)
        with pytest.raises(RejectedMessageError, match=r"step 2 of 2 \(insert_movie\)"):
            rig.service.handle(step)

        assert rig.count("Movie", dataCollectionId=rig.collection.dcid) == 0
        assert step.outgoing == []

    @pytest.mark.parametrize(
        "steps",
        [
            None,
            [],
            "x",
            [1],
            [{}],
            [{"ispyb_command": "drop_table"}],
            [{"ispyb_command": "multipart_message"}],
            [{}] * 1001,
        ],
    )
    def test_sequence_that_is_none_is_rejected(self, rig: IspybRig, steps: Any) -> None:
        with pytest.raises(RejectedMessageError, match=r"multipart|step 1"):
            rig.run("multipart_message", ispyb_command_list=steps)

    def test_buffer_stores_a_key_that_another_message_looks_up(self, rig: IspybRig) -> None:
        program = rig.processing.program_id
        command = {"ispyb_command": "insert_particle_classification_group", "type": "2D"}
        message = {"buffer_command": command, "buffer_store": 5, "store_result": "group"}
        step = rig.step("buffer", message, program_id=program)
        rig.service.handle(step)
        child = rig.run(
            "buffer",
            {
                "buffer_lookup": {"particle_classification_group_id": 5},
                "buffer_command": {"ispyb_command": "insert_particle_classification", "class_number": 1},
            },
            program_id=program,
        )

        row = rig.row("ParticleClassification", particleClassificationId=child)
        assert row["particleClassificationGroupId"] == rig.result(step) == step.environment["group"]

    def test_buffer_stores_the_newest_key(self, rig: IspybRig) -> None:
        message = {"buffer_command": {"ispyb_command": "insert_movie", "dcid": rig.collection.dcid}, "buffer_store": 1}
        keys = [rig.run("buffer", message, program_id=rig.processing.program_id) for _ in range(2)]

        row = rig.row("zc_ZocaloBuffer", AutoProcProgramID=rig.processing.program_id)
        assert row["Reference"] == keys[1] != keys[0]

    def test_key_that_is_not_there_yet_is_waited_for(self, rig: IspybRig) -> None:
        with rig.database.transaction() as session:
            other = make_processing(session, rig.collection.dcid)
        steps = [
            {"ispyb_command": "insert_movie", "dcid": rig.collection.dcid},
            {
                "ispyb_command": "buffer",
                "buffer_lookup": {"movie_id": 9},
                "buffer_command": {"ispyb_command": "insert_motion_correction"},
            },
        ]
        step = rig.step("multipart_message", {"x": 1}, program_id=other.program_id, ispyb_command_list=steps)
        rig.service.handle(step)

        ((target, payload),) = sent(step)
        assert target == 1
        assert payload["x"] == 1
        assert step.outgoing[0].delay_s == 20
        assert rig.count("Movie", dataCollectionId=rig.collection.dcid) == 0
        expired = rig.step("multipart_message", {"buffer_expiry_time": 1.0}, program_id=1, ispyb_command_list=steps)
        with pytest.raises(RejectedMessageError, match="number 9"):
            rig.service.handle(expired)

    @pytest.mark.parametrize(("delay", "expected_s"), [("30", 30), (0, 1), (-5, 1), ("nan", 1), (1e9, 600), (None, 20)])
    def test_wait_for_a_key_is_neither_busy_nor_endless(self, rig: IspybRig, delay: Any, expected_s: float) -> None:
        command = {"ispyb_command": "insert_movie"}
        message = {"buffer_lookup": {"dcid": 3}, "buffer_command": command, "buffer_expiry_time": 1e30}
        step = rig.step("buffer", message, program_id=rig.processing.program_id, delay=delay)
        before = time.time()
        rig.service.handle(step)

        ((_, payload),) = sent(step)
        assert step.outgoing[0].delay_s == expected_s
        assert 600 <= payload["buffer_expiry_time"] - before < 660

    def test_plain_message_that_waits_is_sent_to_its_queue_again(self, rig: IspybRig) -> None:
        command = {"ispyb_command": "insert_movie"}
        content = {"buffer_lookup": {"dcid": 3}, "buffer_command": command}
        step = rig.plain({"ispyb_command": "buffer", "program_id": rig.processing.program_id}, content)
        rig.service.handle(step)

        (message,) = step.outgoing
        body = json.loads(message.body)
        assert message.queue == step.queue
        assert body["parameters"] == step.payload["parameters"]
        assert body["content"]["buffer_lookup"] == {"dcid": 3}

    def test_plain_message_is_done(self, rig: IspybRig) -> None:
        step = rig.plain({"ispyb_command": PIA, "dcid": rig.collection.dcid}, {"file-number": 2, "n_spots_total": 4})
        rig.service.handle(step)

        assert rig.row("ImageQualityIndicators", dataCollectionId=rig.collection.dcid)["spotTotal"] == 4
        assert step.outgoing == []

    def test_without_idempotency_no_table_of_ours_is_used(self, rig: IspybRig, url: str, tmp_path: Path) -> None:
        other = IspybRig(url, (tmp_path,), idempotency=False)
        identity = f"kept-{rig.collection.dcid}"
        for _ in range(2):
            other.service.handle(other.step("insert_movie", dcid=other.collection.dcid, message_id=identity))
        with rig.database.transaction() as session:
            assert recorded_result(session, identity) is None
        assert rig.count("Movie", dataCollectionId=other.collection.dcid) == 2
        other.close()
