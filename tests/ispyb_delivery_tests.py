"""Messages to the ISPyB service that come together, or again, on every database; see `ispyb_service_tests`."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError
from glimt.stores.results_done import forget_results, recorded_result
from ispyb_rig import PIA, IspybRig
from service_steps import sent


class IspybDeliveryTests:
    """Batches and repeats."""

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
