"""Where the messages of a run are, on a real broker in a file."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from glimt.app.broker_message import recipe_id
from glimt.app.recipe_follow import dead_letter_lines, follow_run, where_lines
from glimt.app.recipe_progress import OpenScan, QueueShare, is_missing, look_at_run
from glimt.app.site import Site
from glimt.app.site_file import load_site
from glimt.app.written import Secret
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.model.errors import BrokerError, UsageError
from glimt.services.x_ray_centering_state import CenteringState

RUN = "0f0f0f0f-run"
RECIPE = {"1": {"queue": "work"}, "start": [[1, []]]}


def envelope(run: str, payload: object = None) -> bytes:
    message = {"environment": {"ID": run}, "payload": payload, "recipe": RECIPE, "recipe-path": []}
    return json.dumps({**message, "recipe-pointer": 1}).encode()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLIMT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "glimt").mkdir()
    return load_site()


@pytest.fixture
def broker(site: Site) -> Iterator[SqliteBroker]:
    connection = SqliteBroker(str(site.broker_url))
    connection.declare([QueueSpec("work"), QueueSpec("processing_recipe"), QueueSpec("xrc.x", expiration_s=60.0)])
    yield connection
    connection.close()


def test_a_run_is_over_when_nothing_of_it_waits_or_is_held(site: Site, broker: SqliteBroker) -> None:
    assert look_at_run(site, RUN).is_over
    broker.send([Outgoing(json.dumps({"recipes": ["x"], "parameters": {"guid": RUN}}).encode(), "processing_recipe")])
    assert look_at_run(site, RUN).queues == (QueueShare("processing_recipe", 1, 0, 0, 0),)
    broker.purge("processing_recipe")
    broker.send([Outgoing(envelope(RUN), "work")] * 3 + [Outgoing(envelope(RUN), "work", delay_s=100)])
    broker.send([Outgoing(envelope("0f0f0f0f-run-2"), "work"), Outgoing(envelope("other", RUN), "work")])
    broker.subscribe("work", prefetch=1)
    (held,) = broker.receive()
    progress = look_at_run(site, RUN)
    assert progress.queues == (QueueShare("work", 2, 1, 1, 1),)
    assert not progress.is_over
    assert where_lines(progress) == ["work: 2 waiting, 1 delayed, 1 being handled"]
    assert look_at_run(site, "other").queues[0].n_messages == 1
    broker.refuse(held, "no such file")
    (letter,) = look_at_run(site, RUN).dead_letters
    assert (letter.queue, letter.reason) == ("work", "no such file")


def test_dead_letters_do_not_keep_a_run_from_being_over(site: Site, broker: SqliteBroker) -> None:
    broker.send([Outgoing(envelope(RUN), "work", message_id="m1")])
    broker.subscribe("work")
    (held,) = broker.receive()
    broker.refuse(held, "no such file")
    progress = look_at_run(site, RUN)
    assert progress.is_over
    assert list(dead_letter_lines(progress)) == ["work: m1: no such file"]
    assert look_at_run(site, "other-run").dead_letters == ()


def test_a_result_that_another_program_may_fetch_is_not_waited_for(site: Site, broker: SqliteBroker) -> None:
    broker.send([Outgoing(envelope(RUN), "xrc.x")])
    progress = look_at_run(site, RUN)
    assert progress.is_over
    assert "for another program" in where_lines(progress)[0]
    broker.subscribe("xrc.x")
    assert not look_at_run(site, RUN).is_over


def test_a_scan_of_which_images_are_missing_is_waited_for(site: Site, broker: SqliteBroker) -> None:
    del broker
    path = site.state_folder / "x_ray_centering" / "x_ray_centering.sqlite"
    path.parent.mkdir()
    CenteringState(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO grids (grid_id, dcid, run, n_images, n_seen, last_seen, envelope, origin)"
            " VALUES (1, 7, ?, 20, 17, 0, x'', 'm')",
            (RUN,),
        )
    progress = look_at_run(site, RUN)
    assert progress.scans == (OpenScan(7, 17, 20),)
    assert not progress.is_over
    assert where_lines(progress) == ["X-ray centering: 17 of 20 images of data collection 7"]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE grids SET state = 'aborted'")
        connection.execute("INSERT INTO answers VALUES ('m', 1, 'abort', x'', 1)")
    assert not look_at_run(site, RUN).is_over
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET due = 0")
    connection.close()
    assert look_at_run(site, RUN).is_over


def test_waiting_ends_when_the_last_message_is_done(site: Site, broker: SqliteBroker) -> None:
    broker.send([Outgoing(envelope(RUN), "work")])
    lines: list[str] = []
    progress = follow_run(site, RUN, stop=threading.Event(), tell=lines.append, timeout_s=0.2)
    assert not progress.is_over
    broker.subscribe("work")
    (held,) = broker.receive()
    done = threading.Timer(0.2, lambda: broker.settle([held]))
    done.start()
    progress = follow_run(site, RUN, stop=threading.Event(), tell=lines.append, timeout_s=30)
    assert progress.is_over
    done.join()
    assert lines == []


def test_where_nobody_could_say_when_a_run_is_over_waiting_is_refused(site: Site) -> None:
    rabbit = replace(site, broker_url=Secret("amqp://user:secret@broker.invalid/zocalo"))
    with pytest.raises(UsageError, match="RabbitMQ does not tell which run a message belongs to"):
        follow_run(rabbit, RUN, stop=threading.Event(), tell=print)


def test_a_service_that_was_killed_takes_nothing_and_holds_nothing(site: Site, broker: SqliteBroker) -> None:
    script = (
        "import sys, time; from glimt.brokers.sqlite import SqliteBroker; broker = SqliteBroker(sys.argv[1]);"
        "broker.subscribe('work'); broker.receive(timeout_s=60); print('holds', flush=True); time.sleep(60)"
    )
    broker.send([Outgoing(envelope(RUN), "work")])
    service = subprocess.Popen([sys.executable, "-c", script, site.broker_url], stdout=subprocess.PIPE)
    assert service.stdout is not None
    assert service.stdout.readline() == b"holds\n"
    assert look_at_run(site, RUN).queues == (QueueShare("work", 0, 0, 1, 1),)
    service.kill()
    service.communicate()
    assert look_at_run(site, RUN).queues == (QueueShare("work", 1, 0, 0, 0, is_end=True),)


def test_scans_that_cannot_be_read_are_not_taken_for_done(site: Site, broker: SqliteBroker) -> None:
    del broker
    path = site.state_folder / "x_ray_centering" / "x_ray_centering.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"")
    assert look_at_run(site, RUN).is_over  # it is being made
    path.write_bytes(b"no SQLite file at all " * 100)
    with pytest.raises(BrokerError, match=r"x_ray_centering\.sqlite: the scans .* nobody can say whether the run is"):
        look_at_run(site, RUN)


def test_an_identity_that_nobody_could_write_harms_no_list() -> None:
    assert recipe_id(b'{"parameters": {"guid": "\\ud800x"}}') == "?x"
    assert recipe_id(envelope("\udcffy")) == "?y"
    assert recipe_id(envelope(RUN)) == RUN


def test_a_file_that_one_may_not_look_at_is_not_taken_for_missing(
    site: Site, broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    del broker
    folder = site.state_folder / "x_ray_centering"
    stat = Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if path.parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(BrokerError, match=r"x_ray_centering\.sqlite: the scans .* may you read the file"):
        look_at_run(site, RUN)
    monkeypatch.undo()
    assert is_missing(folder / "x_ray_centering.sqlite")
    assert is_missing(site.state_folder / "broker.sqlite" / "below a file")
    assert not is_missing(site.state_folder / "broker.sqlite")
