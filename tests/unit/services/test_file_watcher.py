"""What a recipe is told of files and images, against Zocalo's table of payloads."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError, UsageError
from glimt.services.file_watcher import FileWatcherService
from glimt.services.file_watcher_clock import machine, read_stamp
from glimt.services.recipe_log import RecipeLogFilter
from glimt.services.service import ServiceSetup
from hdf5_masters import frames, write_data, write_eiger_series
from service_steps import sent, step_for

STREAMS = ("first", "every", "last", "2", "select-2", "every-2", "timeout", "error", "any", "finally")
OUTPUT = {name: number for number, name in enumerate(STREAMS, 10)}
NAMES = {number: name for name, number in OUTPUT.items()}
BEGAN = 1_000_000.0


class Clock:
    """A time that only the test moves."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.set_by_s = 0.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - self.set_by_s - BEGAN

    def set(self, by_s: float) -> None:
        self.now += by_s
        self.set_by_s += by_s


class Watch:
    """A recipe's watch, round by round: each round may be done by another instance of the service."""

    def __init__(self, folder: Path, clock: Clock, parameters: dict[str, Any], output: Any = None) -> None:
        self.parameters, self.clock, self.folder = parameters, clock, folder
        self.output = OUTPUT if output is None else output
        self.payload: Any = []
        self.delay_s = 0.0
        self.is_over = False

    def round(self, service: FileWatcherService | None = None) -> list[tuple[str, Any]]:
        """Return what goes to which stream."""
        own = service or make_service(self.folder, self.clock)
        step = step_for(self.parameters, self.payload, self.output)
        own.handle(step)
        if service is None:
            own.close()
        told = sent(step)
        again = [(message, payload) for message, (to, payload) in zip(step.outgoing, told, strict=True) if to == 1]
        assert len(again) <= 1
        self.is_over = not again
        for message, payload in again:
            self.payload, self.delay_s = payload, message.delay_s
        return [(NAMES.get(to or 0, str(to)), payload) for to, payload in told if to != 1]


def make_service(folder: Path, clock: Clock, **configuration: Any) -> FileWatcherService:
    """Return a service that looks by itself."""
    return FileWatcherService(
        ServiceSetup({"notice": "never", **configuration}, (folder,), folder), clock=clock, monotonic=clock.monotonic
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(tmp_path: Path, clock: Clock) -> Callable[..., Watch]:
    def make(output: Any = None, /, **parameters: Any) -> Watch:
        return Watch(tmp_path, clock, {name.replace("_", "-"): value for name, value in parameters.items()}, output)

    return make


def _touch(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"x_{number:03d}.cbf").touch()


def _pattern(folder: Path, start: Any = 5, end: Any = 7, **more: Any) -> dict[str, Any]:
    return {"pattern": str(folder / "x_%03d.cbf"), "pattern_start": start, "pattern_end": end, **more}


def test_pattern_tells_every_stream_in_zocalos_order(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, 5, 6, 7)
    told = watch(**_pattern(tmp_path, "5", "7")).round()
    item = [
        {
            "file": str(tmp_path / f"x_{4 + n:03d}.cbf"),
            "file-number": n,
            "file-pattern-index": 4 + n,
            "file-seen-at": BEGAN,
        }
        for n in (1, 2, 3)
    ]
    counts = {"files-expected": 3, "files-seen": 3}
    assert told == [
        *((name, item[0]) for name in ("first", "every", "select-2", "every-2")),
        *((name, item[1]) for name in ("every", "2")),
        *((name, item[2]) for name in ("every", "last", "select-2", "every-2")),
        ("any", counts),
        ("finally", counts | {"success": True}),
    ]


def test_file_behind_a_gap_is_not_told(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, 5, 7)
    w = watch({"every": 11}, **_pattern(tmp_path))
    assert [payload["file-number"] for _, payload in w.round()] == [1]
    assert w.payload == {
        "filewatcher-status": {
            "seen-files": 1,
            "start-time": BEGAN,
            "last-seen": BEGAN,
            "glimt-first-seen": BEGAN,
            "glimt-clock": [machine(), BEGAN],
        }
    }
    assert w.round() == []
    _touch(tmp_path, 6)
    assert [payload["file-number"] for _, payload in w.round()] == [2, 3]
    assert w.is_over


def test_status_as_zocalo_writes_it_is_continued(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, 5, 6, 7)
    w = watch({"every": 11}, **_pattern(tmp_path))
    w.payload = {"filewatcher-status": {"seen-files": 2, "start-time": BEGAN - 60, "last-seen": BEGAN - 1}}
    assert [payload["file-number"] for _, payload in w.round()] == [3]


def test_burst_limit_bounds_a_round(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, 5, 6, 7)
    w = watch({"every": 11}, **_pattern(tmp_path, burst_limit="2"))
    assert len(w.round()) == 2
    assert (w.delay_s, w.is_over) == (0.0, False)
    assert len(w.round()) == 1
    assert w.is_over


def test_burst_wait_is_the_delay_of_the_next_round(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, 5)
    w = watch(**_pattern(tmp_path, burst_wait=7))
    w.round()
    assert w.delay_s == 7
    w.round()
    assert w.delay_s == 7


def test_rounds_without_news_become_seldom_and_soon_again(tmp_path: Path, watch: Any, clock: Clock) -> None:
    w = watch(**_pattern(tmp_path))
    delays = []
    for _ in range(40):
        w.round()
        delays.append(w.delay_s)
        clock.now += w.delay_s
    assert delays[0] == 0.002
    assert delays == sorted(delays)
    clock.now += 10
    w.round()
    assert w.delay_s == 0.512  # the longest power of two that is no more than Zocalo's second
    _touch(tmp_path, 5)
    w.round()
    assert w.delay_s == 0
    w.round()
    assert w.delay_s == 0.002


def test_nothing_for_the_first_file_times_out_from_the_start(tmp_path: Path, watch: Any, clock: Clock) -> None:
    w = watch(**_pattern(tmp_path, timeout=10, timeout_first="20"))
    w.round()
    clock.now += 20
    assert w.round() == []
    clock.now += 0.1
    assert w.round() == [
        (
            "timeout",
            {"file": str(tmp_path / "x_005.cbf"), "file-number": 1, "file-pattern-index": 5, "success": False},
        ),
        ("finally", {"files-expected": 3, "files-seen": 0, "success": False}),
    ]
    assert w.is_over


def test_nothing_for_a_later_file_times_out_from_the_last(tmp_path: Path, watch: Any, clock: Clock) -> None:
    w = watch({"any": 18, "timeout": 16, "finally": 19}, **_pattern(tmp_path, timeout=10, timeout_first=1000))
    clock.now += 500
    w.round()
    _touch(tmp_path, 5)
    w.round()
    clock.now += 9.9
    assert w.round() == []
    clock.now += 0.2
    assert [name for name, _ in w.round()] == ["timeout", "any", "finally"]


@pytest.mark.parametrize("jump_s", [3700.0, -3700.0])
def test_clock_that_is_set_ends_no_watch(tmp_path: Path, watch: Any, clock: Clock, jump_s: float) -> None:
    _touch(tmp_path, 5)
    w = watch(**_pattern(tmp_path, timeout=100))
    w.round()
    clock.set(jump_s)
    for _ in range(3):  # each by another instance, and the jump counts once
        clock.now += 33
        assert w.round() == []
    clock.now += 2
    assert [name for name, _ in w.round()] == ["timeout", "any", "finally"]


def test_clock_of_another_machine_is_taken_as_it_is(tmp_path: Path, watch: Any, clock: Clock) -> None:
    w = watch(**_pattern(tmp_path, timeout=100))
    w.round()
    w.payload["filewatcher-status"]["glimt-clock"][0] = "another"
    clock.set(101)
    assert [name for name, _ in w.round()] == ["timeout", "finally"]


@pytest.mark.parametrize("stamp", [None, [], [1, 2], ["x", True], ["x", "y"], ["x", float("nan")], {}])
def test_clock_that_makes_no_sense_is_none(stamp: Any) -> None:
    assert read_stamp(stamp) is None


def test_file_that_came_in_time_is_told_however_late_the_round(tmp_path: Path, watch: Any, clock: Clock) -> None:
    w = watch({"every": 11, "timeout": 16}, **_pattern(tmp_path, timeout=10))
    w.round()
    _touch(tmp_path, 5)
    clock.now += 100
    assert [name for name, _ in w.round()] == ["every"]
    assert not w.is_over


@pytest.mark.parametrize(("as_info", "level"), [(True, "INFO"), ("false", "WARNING")])
def test_timeout_is_logged_as_the_recipe_says(
    tmp_path: Path, watch: Any, clock: Clock, caplog: pytest.LogCaptureFixture, as_info: Any, level: str
) -> None:
    w = watch(**_pattern(tmp_path, timeout=1, log_timeout_as_info=as_info, expected_per_image_delay="0.5"))
    with caplog.at_level("INFO"):
        w.round()
        clock.now += 2
        w.round()
    record = next(record for record in caplog.records if "timeout after" in record.message)
    assert record.levelname == level
    assert record.__dict__["unexpected_delay"] == 2


def test_list_tells_what_is_there_and_stops_at_a_place_without_name(tmp_path: Path, watch: Any) -> None:
    path = tmp_path / "a.nxs"
    path.touch()
    w = watch({"every": 11, "error": 17, "any": 18, "finally": 19}, list=[str(path), None, str(path)])
    assert w.round() == [
        ("every", {"file": str(path), "file-list-index": 1, "file-seen-at": BEGAN}),
        ("error", {"file": None, "file-list-index": 2, "success": False}),
        ("any", {"files-expected": 3, "files-seen": 1}),
        ("finally", {"files-expected": 3, "files-seen": 1, "success": False}),
    ]
    assert w.is_over


def test_list_without_a_name_is_a_success_of_nothing(watch: Any) -> None:
    w = watch(list=[None])
    assert w.round() == [("finally", {"files-expected": 0, "files-seen": 0, "success": True})]
    assert w.is_over


def test_list_with_an_empty_name_at_first_is_an_error(watch: Any) -> None:
    assert watch(list=["", None]).round() == [
        ("error", {"file": "", "file-list-index": 1, "success": False}),
        ("finally", {"files-expected": 2, "files-seen": 0, "success": False}),
    ]


def test_list_times_out_with_the_file_that_did_not_come(tmp_path: Path, watch: Any, clock: Clock) -> None:
    w = watch({"timeout": 16}, list=[str(tmp_path / "a.nxs")], timeout=5)
    w.round()
    clock.now += 6
    expected = {"file": str(tmp_path / "a.nxs"), "file-list-index": 1, "success": False}
    assert w.round() == [("timeout", expected)]


def test_images_of_links_are_told_with_their_place_in_the_file(tmp_path: Path, watch: Any) -> None:
    master, _ = write_eiger_series(tmp_path, [2, 1])
    w = watch({"first": 10, "every": 11, "select-2": 14, "any": 18, "finally": 19}, hdf5=str(master))
    told = w.round()
    item = {
        "hdf5": str(master),
        "hdf5-index": 1,
        "file": str(master),
        "file-number": 2,
        "file-seen-at": BEGAN,
        "parameters": {"scan_range": "2,2"},
    }
    assert [name for name, _ in told] == [
        *("first", "every", "select-2"), "every", *("every", "select-2"), "any", "finally",
    ]  # fmt: skip
    assert told[3] == ("every", item)
    assert told[-1] == ("finally", {"images-expected": 3, "images-seen": 3, "success": True})
    assert w.is_over


def test_images_of_a_file_that_is_missing_are_waited_for(tmp_path: Path, watch: Any, clock: Clock) -> None:
    master, _ = write_eiger_series(tmp_path, [2, 2, 1])
    second = tmp_path / "scan_data_000002.h5"
    second.rename(tmp_path / "elsewhere")
    w = watch({"every": 11, "timeout": 16, "finally": 19}, hdf5=str(master), timeout=5)
    assert [payload["hdf5-index"] for _, payload in w.round()] == [0, 1]
    assert w.payload["filewatcher-status"] == {
        "seen-images": 2,
        "image-count": 5,
        "start-time": BEGAN,
        "last-seen": BEGAN,
        "glimt-first-seen": BEGAN,
        "glimt-clock": [machine(), BEGAN],
    }
    assert w.round() == []
    (tmp_path / "elsewhere").rename(second)
    assert [payload["hdf5-index"] for name, payload in w.round() if name == "every"] == [2, 3, 4]


def test_images_of_a_file_that_never_comes_time_out(tmp_path: Path, watch: Any, clock: Clock) -> None:
    path = str(tmp_path / "none.nxs")
    w = watch(hdf5=path, timeout=5)
    assert w.round() == []
    assert w.payload["filewatcher-status"] == {
        "seen-images": 0,
        "start-time": BEGAN,
        "image-count": None,
        "glimt-clock": [machine(), BEGAN],
    }
    clock.now += 6
    assert w.round() == [
        ("timeout", {"file": path, "hdf5-index": 0, "success": False}),
        ("finally", {"images-expected": None, "images-seen": 0, "success": False}),
    ]


def test_half_a_file_is_not_there_yet(tmp_path: Path, watch: Any) -> None:
    whole = tmp_path / "whole.h5"
    write_data(whole, frames(2))
    path = tmp_path / "half.h5"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    w = watch({"every": 11}, hdf5=str(path))
    assert w.round() == []
    path.write_bytes(whole.read_bytes())
    assert len(w.round()) == 2


def test_out_of_order_each_file_is_told_once_with_its_own_number(tmp_path: Path, watch: Any) -> None:
    w = watch(**_pattern(tmp_path, 1, 6, out_of_order="true"))
    arrivals: tuple[list[int], ...] = ([4], [], [1, 2], [6], [5], [3])
    told: list[tuple[str, Any]] = []
    for numbers in arrivals:
        _touch(tmp_path, *numbers)
        told += w.round()
    assert w.is_over
    every = [payload for name, payload in told if name == "every"]
    assert [payload["file-number"] for payload in every] == [4, 1, 2, 6, 5, 3]
    assert all(payload["file"].endswith(f"x_{payload['file-number']:03d}.cbf") for payload in every)
    assert [payload["file-number"] for name, payload in told if name == "select-2"] == [1, 6]
    assert [payload["file-number"] for name, payload in told if name == "last"] == [6]
    assert told[-1] == ("finally", {"files-expected": 6, "files-seen": 6, "success": True})


def test_out_of_order_status_is_compact(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, *range(2, 900))
    w = watch(**_pattern(tmp_path, 1, 1000, out_of_order=True, burst_limit=1000))
    assert sum(name == "every" for name, _ in w.round()) == 898
    assert w.payload["filewatcher-status"]["glimt-seen-beyond"] == [[1, 899]]
    assert w.round() == []


def test_site_may_choose_out_of_order_for_all_and_a_recipe_may_refuse(tmp_path: Path, watch: Any, clock: Clock) -> None:
    _touch(tmp_path, 6)
    service = make_service(tmp_path, clock, out_of_order=True)
    assert len(watch({"every": 11}, **_pattern(tmp_path)).round(service)) == 1
    assert watch({"every": 11}, **_pattern(tmp_path, out_of_order=False)).round(service) == []


def test_file_that_has_to_settle_is_told_later(tmp_path: Path, watch: Any, clock: Clock) -> None:
    _touch(tmp_path, 5, 6)
    (tmp_path / "x_005.cbf").write_bytes(b"x")
    for number in (5, 6):
        os.utime(tmp_path / f"x_{number:03d}.cbf", (BEGAN, BEGAN))
    w = watch({"every": 11}, **_pattern(tmp_path, settle="2"))
    assert w.round() == []
    clock.now += 2
    assert [payload["file-number"] for _, payload in w.round()] == [1]  # and an empty one does not count


def test_folder_of_that_name_is_no_file(tmp_path: Path, watch: Any) -> None:
    (tmp_path / "x_005.cbf").mkdir()
    assert watch(**_pattern(tmp_path)).round() == []


def test_step_without_output_only_watches(tmp_path: Path, watch: Any) -> None:
    _touch(tmp_path, 5, 6, 7)
    w = watch({}, **_pattern(tmp_path))
    assert w.round() == []
    assert w.is_over


def test_several_watches_in_one_batch_are_told_each_its_own(tmp_path: Path, clock: Clock) -> None:
    _touch(tmp_path, 5, 6, 7)
    steps = [
        step_for({"pattern": str(tmp_path / "x_%03d.cbf"), "pattern-start": n, "pattern-end": n}, [], {"every": 11})
        for n in (5, 6, 99)
    ]
    service = make_service(tmp_path, clock)
    service.handle_batch(steps)
    assert [[payload["file-pattern-index"] for to, payload in sent(step) if to == 11] for step in steps] == [
        [5],
        [6],
        [],
    ]
    assert sent(steps[2])[0][0] == 1


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
def test_status_that_makes_no_sense_rejects_the_message(tmp_path: Path, watch: Any, status: Any) -> None:
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


def test_lines_of_watches_that_are_handled_together_carry_their_own_recipe(tmp_path: Path, clock: Clock) -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.recipe_mark}: {record.getMessage()}")  # type: ignore[attr-defined]

    handler = Lines()
    handler.addFilter(RecipeLogFilter())
    logger = logging.getLogger("glimt.services")
    logger.addHandler(handler)
    before, logger.level = logger.level, logging.INFO
    service = make_service(tmp_path, clock)
    try:
        steps = []
        for name in ("one", "two"):
            (tmp_path / f"{name}_1.cbf").write_bytes(b"x")
            parameters = {"pattern": f"{tmp_path}/{name}_%d.cbf", "pattern-start": 1, "pattern-end": 1}
            steps.append(step_for(parameters, [], OUTPUT, environment={"ID": f"run-{name}"}))
        service.handle_batch(steps)
    finally:
        service.close()
        logger.removeHandler(handler)
        logger.level = before
    assert lines == [
        f" [recipe run-one]: watching for {tmp_path}/one_%d.cbf",
        f" [recipe run-two]: watching for {tmp_path}/two_%d.cbf",
        f" [recipe run-one]: all 1 of {tmp_path}/one_%d.cbf were seen",
        f" [recipe run-two]: all 1 of {tmp_path}/two_%d.cbf were seen",
    ]
