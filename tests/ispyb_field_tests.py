"""Where an ISPyB command gets its fields, and which are rejected, on every database; see `ispyb_service_tests`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError
from ispyb_rig import PIA, IspybRig


class IspybFieldTests:
    """The fields of a command."""

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
