"""Messages, statuses, links and configurations that a file watcher refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError, UsageError
from service_steps import step_for
from set_clock import Clock
from watch_rounds import OUTPUT, Make, make_service


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "nothing to watch for"),
        ({"pattern": "/r/x_%d", "pattern-start": 1}, "pattern-end"),
        ({"pattern": "/r/x_%d", "pattern-start": "one", "pattern-end": 2}, "pattern-start 'one'"),
        ({"pattern": "/r/x_%d", "pattern-start": 1.5, "pattern-end": 2}, "pattern-start '1.5'"),
        ({"pattern": "/r/x_%d", "pattern-start": float("nan"), "pattern-end": 2}, "pattern-start"),
        ({"pattern": "/r/x_%d", "pattern-start": 3, "pattern-end": 2}, "before"),
        ({"pattern": "/r/x_%d", "pattern-start": 1, "pattern-end": 10**12}, "no more than"),
        ({"pattern": "/r/x_", "pattern-start": 1, "pattern-end": 2}, "one place"),
        ({"pattern": "/r/x_%d_%d", "pattern-start": 1, "pattern-end": 2}, "one place"),
        ({"pattern": "/r/x_%999999999d", "pattern-start": 1, "pattern-end": 2}, "one place"),
        ({"pattern": "/r/x_%c", "pattern-start": 1, "pattern-end": 2}, "one place"),
        ({"pattern": 5, "pattern-start": 1, "pattern-end": 2}, "a text"),
        ({"list": "a"}, "list of up to"),
        ({"list": [5]}, "no path"),
        ({"list": ["/etc/passwd"]}, "outside the folders"),
        ({"hdf5": 7}, "hdf5"),
        ({"hdf5": "/etc/hosts"}, "outside the folders"),
        ({"list": [None, "/r"], "timeout": "soon"}, "timeout 'soon'"),
        ({"list": [None, "/r"], "timeout-first": -1}, "timeout-first"),
        ({"list": [None, "/r"], "burst-limit": 0}, "burst-limit"),
        ({"list": [None, "/r"], "out-of-order": "maybe"}, "out-of-order"),
        ({"list": [None, "/r"], "hdf5-dataset": "data"}, "hdf5-dataset"),
    ],
)
def test_parameters_that_make_no_sense_reject_the_message(
    tmp_path: Path, clock: Clock, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(RejectedMessageError, match=said):
        make_service(tmp_path, clock).handle(step_for(parameters, [], OUTPUT))


@pytest.mark.parametrize(
    "status",
    [
        7,
        {"seen-files": -1},
        {"seen-files": "many"},
        {"seen-files": 0, "start-time": "now"},
        {"seen-files": 0, "start-time": float("inf")},
        {"seen-files": 3, "glimt-seen-beyond": [[2, 5]]},
        {"seen-files": 3, "glimt-seen-beyond": [[5, 6], [6, 8]]},
        {"seen-files": 3, "glimt-seen-beyond": {"5": 6}},
    ],
)
def test_status_that_makes_no_sense_rejects_the_message(tmp_path: Path, watch: Make, status: Any) -> None:
    w = watch(list=[str(tmp_path / "a")])
    w.payload = {"filewatcher-status": status}
    with pytest.raises(RejectedMessageError, match="filewatcher-status"):
        w.round()


def test_link_that_leads_out_of_the_roots_rejects_the_message(tmp_path: Path, clock: Clock) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").touch()
    (root / "x_1").symlink_to(tmp_path / "secret")
    parameters = {"pattern": str(root / "x_%d"), "pattern-start": 0, "pattern-end": 1, "out-of-order": True}
    with pytest.raises(RejectedMessageError, match="outside"):
        make_service(root, clock).handle(step_for(parameters, [], OUTPUT))


def test_configuration_with_an_unknown_key_is_an_error(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(UsageError, match=r"services\.file_watcher"):
        make_service(tmp_path, clock, patience=1)
