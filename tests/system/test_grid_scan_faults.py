"""What no service can deal with is told, and everything goes on: messages that make no sense, and a full disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glimt.app.open_broker import open_broker
from glimt.brokers.broker import Outgoing
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import start_recipe
from glimt.services.recipe_step import RECIPE_HEADER
from grid_scan_rig import grid_scan_site

GRIDINFO = {
    "steps_x": 2, "steps_y": 1, "dx_mm": 0.02, "dy_mm": 0.02, "micronsPerPixelX": 1, "micronsPerPixelY": 1,
    "snapshot_offsetXPixel": 0, "snapshot_offsetYPixel": 0, "snaked": 1, "orientation": "horizontal",
}  # fmt: skip
STORE = {"ispyb_command": "store_per_image_analysis_results", "dcid": 1}
GOOD_IMAGE = {"file-number": 1, "n_spots_total": 5, "n_spots_no_ice": 4, "estimated_d_min": 2.0}


def step(queue: str, payload: Any, *, parameters: Any = None, then: Any = None, **node: Any) -> Outgoing:
    """Return the first message of a recipe of one step, or of two if ``then`` is the second."""
    recipe = {"1": {"queue": queue, "parameters": parameters or {}, **node}, "start": [[1, payload]]}
    if then is not None:
        recipe["2"] = then
    (envelope,) = start_recipe(Recipe.from_dict(recipe), environment={"ID": "bad-message"})
    return Outgoing(body=envelope.encode(), queue=queue, headers={RECIPE_HEADER: True})


def bad_messages(folder: Path) -> list[tuple[Outgoing, list[str]]]:
    """Return messages, and what of the reason has to be said of each."""
    image, outside = str(folder / "a.cbf"), str(folder.parent / "site.toml")
    pattern = str(folder / "a_%05d.cbf")
    grid = {**GRIDINFO, "steps_x": -2}
    centering = {"dcid": 1}
    recipe = {RECIPE_HEADER: True}

    def request(**message: Any) -> Outgoing:
        return Outgoing(body=json.dumps({"parameters": {}, **message}).encode(), queue="processing_recipe")

    own = {"1": {"queue": "nobody.reads.this", "parameters": {}}, "start": [[1, []]]}
    return [
        # Not JSON, to every service.
        *(
            (Outgoing(body=b"{not json", queue=queue, headers=recipe), ["JSON"])
            for queue in (
                "filewatcher", "per_image_analysis", "per_image_analysis.hdf5_select", "images", "ispyb_connector",
                "ispyb_pia", "reduce.xray_centering", "notify_gda", "processing_recipe",
            )
        ),
        (Outgoing(body=b"\xff\xfe", queue="processing_recipe"), ["JSON"]),
        (Outgoing(body=b"{}", queue="per_image_analysis", headers=recipe), ["recipe"]),
        # Wrong types.
        (step("per_image_analysis", {"file": 5}), ["file"]),
        (step("per_image_analysis", {"file": image}, parameters={"d_max": "forty"}), ["d_max"]),
        (step("filewatcher", [], parameters={"pattern": pattern, "pattern-start": "one", "pattern-end": 2}), ["start"]),
        (step("images", {"file": image, "size-x": "wide"}, parameters={"image_command": "diffraction"}), ["size-x"]),
        (step("ispyb_pia", {**GOOD_IMAGE, "n_spots_total": "many"}, parameters=STORE), ["n_spots_total"]),
        (step("ispyb_pia", GOOD_IMAGE, parameters={**STORE, "dcid": "None"}), ["dcid"]),
        (step("reduce.xray_centering", {**GOOD_IMAGE, "n_spots_total": "NaN"}, parameters=centering, gridinfo=GRIDINFO),
         ["n_spots_total"]),
        (step("notify_gda", {"file-number": [1]}, parameters={"dcid": 1, "host": "h", "port": 1}), ["image number"]),
        (step("per_image_analysis.hdf5_select", {}, parameters={"file": image, "image-start": "x", "image-end": 3}),
         ["image-start"]),
        (request(recipes="not-a-list"), ["recipes"]),
        # Unknown command.
        (step("ispyb_connector", {}, parameters={"ispyb_command": "drop_table"}), ["drop_table"]),
        (step("images", {"file": image}, parameters={"image_command": "paint"}), ["paint", "diffraction"]),
        # A path outside the roots.
        (step("per_image_analysis", {"file": outside}), ["site.toml", str(folder)]),
        (step("per_image_analysis", {"file": f"{folder}/../site.toml"}), [str(folder)]),
        (step("images", {"file": outside}, parameters={"image_command": "diffraction"}), ["site.toml"]),
        (step("filewatcher", [], parameters={"list": ["/etc/passwd"]}), ["/etc/passwd"]),
        (step("reduce.xray_centering", GOOD_IMAGE, parameters={**centering, "output": "/etc/Dials5AResults.json"},
              gridinfo=GRIDINFO), ["/etc/Dials5AResults.json"]),
        # Image number 0.
        (step("ispyb_pia", {**GOOD_IMAGE, "file-number": 0}, parameters=STORE), ["image 0"]),
        (step("reduce.xray_centering", {**GOOD_IMAGE, "file-number": 0}, parameters=centering, gridinfo=GRIDINFO),
         ["file-number"]),
        (step("notify_gda", {"file-number": 0}, parameters={"dcid": 1, "host": "h", "port": 1}), ["file-number"]),
        (step("per_image_analysis", {"file": image, "parameters": {"scan_range": "0,0"}}), ["scan_range"]),
        # A negative grid, and an image outside the grid.
        (step("reduce.xray_centering", GOOD_IMAGE, parameters=centering, gridinfo=grid), ["-2"]),
        (step("reduce.xray_centering", {**GOOD_IMAGE, "file-number": 3}, parameters=centering, gridinfo=GRIDINFO),
         ["3", "2 x 1"]),
        # Unknown recipe, and an unknown queue.
        (request(recipes=["no-such-recipe"]), ["no-such-recipe"]),
        (request(recipes=["../../etc/passwd"]), ["passwd"]),
        (request(custom_recipe=own), ["nobody.reads.this"]),
        (step("filewatcher", [], parameters={"list": [None]}, output={"finally": 2}, then=own["1"]),
         ["nobody.reads.this"]),
    ]  # fmt: skip


@pytest.mark.slow
def test_bad_messages_are_dead_letters_that_say_why_and_services_go_on(tmp_path: Path) -> None:
    with grid_scan_site(tmp_path / "site") as site:
        site.serve()
        site.wait_for(lambda: "Ctrl-C ends it" in site.log, "the services")
        site.wait_for(lambda: len(site.processes()) == 8, "all processes")
        processes = site.processes()
        bad = bad_messages(site.images)
        broker = open_broker(site.broker_url)
        broker.send([message for message, _ in bad])
        site.wait_for(
            lambda: (
                sum(each.n_ready for each in broker.status() if each.name.startswith("dlq.")) >= len(bad)
                or not any(
                    each.n_ready or each.n_unsettled or each.n_delayed
                    for each in broker.status()
                    if "dlq" not in each.name
                )
            ),
            "the end of all messages",
        )
        letters: dict[str, list[str]] = {}
        for letter in site.dead_letters():
            letters.setdefault(letter["queue"], []).append(letter["reason"])
        sent_to = sorted(message.queue for message, _ in bad)
        assert sorted(queue for queue, reasons in letters.items() for _ in reasons) == sent_to, letters
        for message, words in bad:
            fitting = [reason for reason in letters[message.queue] if all(word in reason for word in words)]
            assert fitting, f"{message.queue}: no reason with {words} among {letters[message.queue]}"
        broker.close()
        # Nothing died of it, and the same processes do their work.
        assert site.processes() == processes
        assert "Traceback" not in site.log
        writer = site.simulate(site.images / "good", "--name", "scan_1", "--images", "6", "--rate", "0")
        template = str(site.images / "good" / "scan_1_#####.cbf")
        run, dcid = site.go("per-image-analysis-gridscan", "--images", template, "--last", "6", "--grid", "3x2")
        site.wait_for_scan(dcid, run, 6)
        assert writer.wait(60) == 0
        assert site.outcome(dcid, run, site.images / "good").message["status"] == "success"
        assert len(site.dead_letters()) == len(bad)
        assert site.processes() == processes
        assert site.stop() == 0


# In a mount namespace of its own: a small disk for broker, database and the services' state. What is left of it is
# taken while the scan runs, and given back when the services have said that it is full.
DRIVER = """
import os
import sys
import time
from pathlib import Path

from grid_scan_rig import grid_scan_site
from test_grid_scan_kills import N_IMAGES, left_over, start, undisturbed, write_scan


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        for size in (1 << 20, 1 << 16, 1 << 12, 1 << 8):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                pass


def main():
    folder, disk = Path(sys.argv[1]), Path(sys.argv[2])
    with grid_scan_site(folder / "site", state=disk / "state") as site:
        site.serve()
        expected = undisturbed(site)
        scan = write_scan(site, "full")
        run, dcid = start(site, "full")
        site.wait_for(lambda: site.n_indicators(dcid) > 150, "the middle of the scan")
        fill(disk / "ballast")
        site.wait_for(lambda: "full" in site.log.partition("best image")[2], "a word about the disk")
        time.sleep(10.0)
        # Room that SQLite has already in its files is used up by and by.
        fill(disk / "ballast2")
        n_before = site.n_indicators(dcid)
        time.sleep(2.0)
        assert n_before < N_IMAGES, "the scan was over before the disk was full"
        assert site.n_indicators(dcid) < N_IMAGES
        print("LOG", site.log)
        for path in disk.glob("ballast*"):
            path.unlink()
        site.wait_for_scan(dcid, run, N_IMAGES)
        site.wait_for(lambda: not left_over(site), "empty queues")
        assert site.outcome(dcid, run, scan) == expected
        assert site.dead_letters() == []
        assert site.stop() == 0
        assert "Traceback" not in site.log, site.log[-6000:]


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_full_disk_is_told_and_the_scan_is_finished_when_there_is_room(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare")
    driver, disk = tmp_path / "driver.py", tmp_path / "disk"
    driver.write_text(DRIVER)
    disk.mkdir()
    script = 'mount -t tmpfs -o size=48m none "$1" || exit 77; shift; exec "$@"'
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parents[1]), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk), sys.executable, str(driver),
         str(tmp_path), str(disk)],
        capture_output=True, text=True, timeout=280, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"a small disk needs a mount that is not allowed here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "disk" in done.stdout
