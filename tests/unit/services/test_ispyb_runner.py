"""The ISPyB service behind a broker: many results of images at once, and messages that are wrong among them."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.brokers.broker import REASON, Outgoing, QueueSpec
from glimt.brokers.memory import MemoryBroker
from glimt.model.errors import RejectedMessageError, RetryMessageError
from glimt.services.ispyb import IspybService
from glimt.services.recipe_step import RECIPE_HEADER
from glimt.services.runner import ServiceRunner
from glimt.services.service import ServiceSetup
from glimt.stores.results_db import prepare_results
from ispyb_rig import IspybRig
from service_steps import plain_step, step_for

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


def _plain(command: str, number: int, **fields: Any) -> Outgoing:
    body = {"parameters": {"ispyb_command": command, "number": number}, "content": fields}
    return Outgoing(json.dumps(body).encode(), queue="ispyb_connector")


def test_message_that_the_database_refuses_is_a_dead_letter_and_holds_up_no_other(
    rig: IspybRig, tmp_path: Path
) -> None:
    broker = MemoryBroker(f"memory:ispyb-refused-{rig.collection.proposal_number}")
    runner = ServiceRunner(rig.service, broker)
    runner.open()
    rig.run("register_processing", {"program": "p"})  # makes missing tables, once
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.execute("DROP TABLE AutoProcProgramMessage")
    connection.close()
    before = rig.count("AutoProcProgram")
    message = _plain("add_program_message", 0, program_id=rig.processing.program_id, severity="INFO", message="x")
    broker.send([message, *(_plain("register_processing", n, program="p", cmdline=f"{n}") for n in range(1, 10))])
    began = time.monotonic()
    while runner.poll():
        pass

    assert time.monotonic() - began < 30  # not wait_s
    assert rig.count("AutoProcProgram") == before + 9
    (dead,) = broker.peek("dlq.ispyb_connector")
    assert "no such table: AutoProcProgramMessage" in str(dead.headers[REASON])


def test_wait_for_a_database_that_answered_since_begins_anew(
    rig: IspybRig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = IspybService(
        ServiceSetup(
            {"wait_s": 0.0}, roots=(tmp_path,), state_folder=tmp_path, results_url=rig.service.setup.results_url
        )
    )
    file, hidden = tmp_path / "results.sqlite", tmp_path / "hidden.sqlite"
    service.handle(rig.step("register_processing", {"program": "p"}))
    service.close()
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{file}{suffix}").exists():
            Path(f"{file}{suffix}").rename(f"{hidden}{suffix}")
    file.mkdir()
    with caplog.at_level(logging.INFO), pytest.raises(RetryMessageError):
        service.handle(rig.step("register_processing", {"program": "p"}))
    file.rmdir()
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{hidden}{suffix}").exists():
            Path(f"{hidden}{suffix}").rename(f"{file}{suffix}")
    with caplog.at_level(logging.INFO), pytest.raises(RejectedMessageError, match="no such row"):
        service.handle(rig.step("add_program_message", {"severity": "INFO"}, program_id=10**9))
    service.close()
    assert "the results database is back" in caplog.text


def test_equal_commands_without_an_identity_are_both_done(rig: IspybRig) -> None:
    body = {"parameters": {"ispyb_command": "register_processing"}, "content": {"program": "p", "cmdline": "equal"}}
    for _ in range(2):
        rig.service.handle(plain_step(body, is_identified=False))
    rig.service.handle_batch([plain_step(body, is_identified=False) for _ in range(2)])
    assert rig.count("AutoProcProgram", processingCommandLine="equal") == 4

    steps = [step_for({"ispyb_command": "register_processing"}, {"program": "p"}, 2, is_identified=False) for _ in "12"]
    for step in steps:
        rig.service.handle(step)
    first, second = (step.outgoing[0].message_id for step in steps)
    assert first != second  # what comes after would do only one of them


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
