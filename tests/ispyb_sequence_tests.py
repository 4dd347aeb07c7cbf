"""Commands of the ISPyB service that need the keys of others, on every database; see `ispyb_service_tests`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError
from ispyb_examples import EXAMPLES
from ispyb_rig import IspybRig
from ispyb_rows import make_processing
from service_steps import sent


class IspybSequenceTests:
    """Sequences in one message, and keys that wait in a buffer."""

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
