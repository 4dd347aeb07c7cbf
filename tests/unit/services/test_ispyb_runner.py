"""The ISPyB service behind a broker: many results of images at once, and messages that are wrong among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.brokers.broker import REASON, Outgoing, QueueSpec
from glimt.brokers.memory import MemoryBroker
from glimt.services.recipe_step import RECIPE_HEADER
from glimt.services.runner import ServiceRunner
from glimt.stores.results_db import prepare_results
from ispyb_rig import IspybRig

PIA = "store_per_image_analysis_results"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[IspybRig]:
    url = f"sqlite:///{tmp_path}/results.sqlite"
    prepare_results(url)
    rig = IspybRig(url, (tmp_path,))
    yield rig
    rig.close()


def _message(rig: IspybRig, payload: Any) -> Outgoing:
    step = {"queue": "ispyb_pia", "parameters": {"ispyb_command": PIA, "dcid": rig.collection.dcid}, "output": 2}
    recipe = {"1": step, "2": {"queue": "after"}, "start": [[1, []]]}
    body = {"payload": payload, "recipe": recipe, "recipe-path": [], "recipe-pointer": 1, "environment": {"ID": "run"}}
    return Outgoing(json.dumps(body).encode(), queue="ispyb_pia", headers={RECIPE_HEADER: True})


def test_good_messages_are_written_and_bad_ones_are_dead_letters_with_the_reason(rig: IspybRig) -> None:
    broker = MemoryBroker(f"memory:ispyb-{rig.collection.proposal_number}")
    broker.declare([QueueSpec("after")])
    runner = ServiceRunner(rig.service, broker)
    runner.open()
    payloads: list[dict[str, Any]] = [
        {"file-number": number, "n_spots_total": number} for number in range(251)
    ]  # there is no image 0
    payloads[100] = {"file-number": "many", "n_spots_total": 100}
    broker.send([_message(rig, payload) for payload in payloads])
    while runner.poll():
        pass

    rows = rig.rows("ImageQualityIndicators", dataCollectionId=rig.collection.dcid)
    assert [row["imageNumber"] for row in rows] == [number for number in range(1, 251) if number != 100]
    dead = broker.peek("dlq.ispyb_pia")
    assert [str(letter.headers[REASON]).split(":")[0] for letter in dead] == [
        f"image 0 of data collection {rig.collection.dcid}",
        PIA,
    ]
    assert {status.name: status.n_ready for status in broker.status()}["after"] == 249
