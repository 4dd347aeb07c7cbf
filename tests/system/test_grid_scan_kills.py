"""A grid scan of a thousand images whose services are killed at random moments ends as an undisturbed one does."""

from __future__ import annotations

import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from grid_scan_rig import GridScanSite, Outcome, grid_scan_site
from mariadb_server import mariadb_server, why_no_mariadb
from rabbitmq_server import RabbitServer, rabbitmq, why_no_rabbitmq

__all__ = ["rabbitmq"]

N_IMAGES, GRID = 1000, "40x25"
N_KILLS = 20
RATE_HZ = 60
SEED = int(os.environ.get("GLIMT_KILL_SEED", "1"))


def write_scan(site: GridScanSite, name: str, *, rate_hz: float = RATE_HZ) -> Path:
    """Let a detector write a scan; the same images each time."""
    folder = site.images / name
    words = ["--name", "scan_1", "--images", str(N_IMAGES), "--rate", str(rate_hz), "--shape", "128x128", "--seed", "5"]
    site.simulate(folder, *words)
    return folder


def start(site: GridScanSite, name: str) -> tuple[str, int]:
    """Start the recipe for a scan."""
    template = str(site.images / name / "scan_1_#####.cbf")
    return site.go("per-image-analysis-gridscan", "--images", template, "--last", str(N_IMAGES), "--grid", GRID)


def undisturbed(site: GridScanSite) -> Outcome:
    """Run the scan without any disturbance."""
    folder = write_scan(site, "undisturbed", rate_hz=0)
    run, dcid = start(site, "undisturbed")
    site.wait_for_scan(dcid, run, N_IMAGES)
    outcome = site.outcome(dcid, run, folder)
    assert [row[0] for row in outcome.rows] == list(range(1, N_IMAGES + 1))
    assert len({row[1] for row in outcome.rows}) > 20, "images of all kinds"
    assert len(outcome.centers) == 1
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["sqlite", "rabbitmq"])
def test_killed_services_lead_to_the_same_rows_and_the_same_centre(tmp_path: Path, broker: str, request: Any) -> None:
    options = {}
    if broker == "rabbitmq":
        if missing := why_no_rabbitmq():
            pytest.skip(missing)
        server: RabbitServer = request.getfixturevalue("rabbitmq")
        options = {"broker_url": server.new_vhost("kills")}
    chance = random.Random(SEED)
    with grid_scan_site(tmp_path / "site", **options) as site:
        site.serve()
        expected = undisturbed(site)
        folder = write_scan(site, "killed")
        run, dcid = start(site, "killed")
        # The first kills are at once, while the recipe is dispatched; the last ones while the centre is computed.
        moments = sorted([0, 0, *(chance.randrange(N_IMAGES - 20) for _ in range(N_KILLS - 4)), N_IMAGES - 2, N_IMAGES])
        n_rows, dead = [], []
        for moment in moments:
            site.wait_for(lambda moment=moment: site.n_indicators(dcid) >= moment, f"{moment} rows")
            victims = site.wait_for(lambda: [pid for pid in site.processes() if pid not in dead], "a process to kill")
            dead.append(chance.choice(victims))
            os.kill(dead[-1], signal.SIGKILL)
            n_rows.append(site.n_indicators(dcid))
        site.wait_for_scan(dcid, run, N_IMAGES)
        site.wait_for(lambda: not left_over(site), "empty queues")
        killed = re.findall(r"glimt: (\w+) was ended by SIGKILL", site.log)
        assert len(set(killed)) >= 4, killed
        assert len({n for n in n_rows if 0 < n < N_IMAGES}) > 5, f"the kills came at no interesting moment: {n_rows}"
        assert site.outcome(dcid, run, folder) == expected
        assert site.dead_letters() == []
        assert site.stop() == 0


def left_over(site: GridScanSite) -> dict[str, tuple[int, int]]:
    """Return the queues that are not empty."""
    return {each.name: (each.n_ready, each.n_delayed or 0) for each in site.broker_status() if each.n_ready}


@pytest.mark.slow
def test_broker_that_is_stopped_and_then_killed_changes_nothing(tmp_path: Path, request: Any) -> None:
    if missing := why_no_rabbitmq():
        pytest.skip(missing)
    server: RabbitServer = request.getfixturevalue("rabbitmq")
    with grid_scan_site(tmp_path / "site", broker_url=server.new_vhost("restart")) as site:
        site.serve()
        expected = undisturbed(site)
        folder = write_scan(site, "restart")
        run, dcid = start(site, "restart")
        for n_rows, end in ((100, server.stop), (400, server.kill)):
            site.wait_for(lambda n_rows=n_rows: site.n_indicators(dcid) > n_rows, f"{n_rows} rows")
            n_said = site.log.count("cannot reach RabbitMQ")
            try:
                end()
                assert site.n_indicators(dcid) < N_IMAGES - 100
                site.wait_for(lambda n=n_said: site.log.count("cannot reach RabbitMQ") > n, "a word about the broker")
            finally:
                server.start()
        site.wait_for_scan(dcid, run, N_IMAGES)
        site.wait_for(lambda: not left_over(site), "empty queues")
        assert site.outcome(dcid, run, folder) == expected
        assert site.dead_letters() == []
        assert site.stop() == 0
        assert "Traceback" not in site.log
        assert "was ended" not in site.log


@pytest.mark.slow
def test_database_that_is_away_for_ten_seconds_changes_nothing(tmp_path: Path) -> None:
    if missing := why_no_mariadb():
        pytest.skip(missing)
    with (
        tempfile.TemporaryDirectory(prefix="glimt-db-") as database,
        mariadb_server(Path(database)) as server,
        grid_scan_site(tmp_path / "site", results_url=server.new_database()) as site,
    ):
        site.serve()
        expected = undisturbed(site)
        folder = write_scan(site, "away")
        run, dcid = start(site, "away")
        site.wait_for(lambda: site.n_indicators(dcid) > 150, "the middle of the scan")
        server.stop(signal.SIGKILL)
        away_s = time.monotonic()
        site.wait_for(lambda: "waiting for the results database" in site.log, "a word about the database")
        # The beamline does not wait for the database: the centre comes all the same.
        site.wait_for(lambda: run in {each.recipe_id for each in site.centred}, "the centre")
        time.sleep(max(10.0 - (time.monotonic() - away_s), 0.0))
        server.start()
        site.wait_for_scan(dcid, run, N_IMAGES)
        assert "the results database is back" in site.log
        site.wait_for(lambda: not left_over(site), "empty queues")
        assert site.outcome(dcid, run, folder) == expected
        assert site.dead_letters() == []
        assert site.stop() == 0
        assert "Traceback" not in site.log
        assert "was ended" not in site.log
