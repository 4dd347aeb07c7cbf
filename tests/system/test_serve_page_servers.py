"""The page of `glimt serve` on the servers that facilities run: RabbitMQ and MariaDB, also while they are away."""

from __future__ import annotations

import json
import re
import signal
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from glimt.app.open_broker import open_broker
from glimt.brokers.broker import Outgoing
from grid_scan_rig import GridScanSite, grid_scan_site
from mariadb_server import mariadb_server, why_no_mariadb
from rabbitmq_server import running_rabbitmq, why_no_rabbitmq

N_IMAGES = 20


def read(site: GridScanSite, path: str) -> Any:
    """Return what the page shows; None where there is nothing."""
    found = re.search(r"see it in a browser: (http://127\.0\.0\.1:\d+)", site.log)
    if found is None:
        return None
    with urllib.request.urlopen(f"{found[1]}/json/{path}", timeout=30) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_page_shows_a_grid_scan_on_rabbitmq_and_mariadb_and_outlives_both(tmp_path: Path) -> None:
    missing = why_no_rabbitmq() or why_no_mariadb()
    if missing:
        pytest.skip(missing)
    with (
        tempfile.TemporaryDirectory(prefix="glimt-db-") as folder,
        mariadb_server(Path(folder)) as database,
        running_rabbitmq(management=True) as broker,
        grid_scan_site(
            tmp_path / "site", broker_url=broker.new_vhost("page"), results_url=database.new_database()
        ) as site,
    ):
        site.serve("--port", "0")
        site.wait_for(lambda: read(site, "services"), "the page")
        scan = site.images / "scan"
        scan.mkdir()
        words = ("--images", str(scan / "scan_7_#####.cbf"), "--grid", "5x4")
        run, dcid = site.go("per-image-analysis-gridscan", *words)
        site.simulate(scan, "--name", "scan_7", "--images", str(N_IMAGES), "--rate", "5", "--shape", "256x256")
        site.wait_for_scan(dcid, run, N_IMAGES)
        values = [row[1] for row in site.indicators(dcid)]
        lines = [values[i : i + 5] for i in range(0, N_IMAGES, 5)]
        snaked = [line[:: -1 if i % 2 else 1] for i, line in enumerate(lines)]
        site.wait_for(lambda: read(site, "grid_scan/spots") == snaked, "the heat map has all images")
        site.wait_for(lambda: [row[5] for row in read(site, "collections")] == [N_IMAGES], "all images are listed")
        ((number, name, _, grid, *_),) = read(site, "collections")
        assert (number, name, grid) == (dcid, "scan_7_#####.cbf", "5 x 4")
        site.wait_for(lambda: read(site, "centering"), "the center on the page")

        database.stop(signal.SIGKILL)
        site.wait_for(lambda: read(site, "database") is None, "the page says that the database is away")
        assert read(site, "grid_scan/spots") == snaked
        database.start()
        site.wait_for(lambda: read(site, "database") is not None, "the database is back on the page")

        broker.kill()
        site.wait_for(lambda: read(site, "waiting") is None, "the page says that the broker is away")
        broker.start()
        sender = open_broker(site.broker_url)
        sender.send([Outgoing(b"nonsense", queue="per_image_analysis")])
        sender.close()
        site.wait_for(lambda: read(site, "dead_letters") == 1, "the dead letter is on the page")
        site.wait_for(lambda: read(site, "waiting") == 0, "nothing waits")
        ((_, queue, reason, _),) = read(site, "newest_dead_letters")
        assert queue == "per_image_analysis"
        assert "no header workflows-recipe" in reason
        assert {"ispyb_connector", "per_image_analysis", "notify_gda"} <= {row[0] for row in read(site, "queues")}
        assert site.stop() == 0
        assert "Traceback" not in site.log
