"""Each rule of the doctor, on runs that have what it looks for and on runs that have not."""

from __future__ import annotations

import copy
from typing import Any, cast

import msgspec
import pytest

from glimt.app.bad_sample import protocols_that_accept, sample_message
from glimt.app.doctor import Finding, diagnose, is_whole
from glimt.codecs.registry import PROTOCOLS
from glimt.model.health import MAX_SAMPLE_PART_BYTES, MAX_SAMPLE_PARTS, Health
from hostile_wire import SERIES

STINS_IMAGE = [
    b'{"htype":"image","msg_number":1,"frame":0,"shape":[1000,1000],"type":"uint16","compression":"none"}',
    bytes(2_000_000),
]

WHOLE: Health = {
    "name": "balder",
    "state": "running",
    "reason": "",
    "mode": "automatic",
    "uptime_s": 100.0,
    "scan": {"scan_number": 1, "completed_events": 90, "total_events": None, "finished": False, "n_failures": 0},
    "streams": {
        name: {
            "protocol": "stins",
            "transport": "zmq-pull",
            "address": "tcp://127.0.0.1:9999",
            "connection": "connected",
            "silent_s": 0.1,
            "n_messages": 100,
            "n_bad": 0,
            "series": "open",
            "gaps": None,
            "header_shape": [10, 10],
            "frame_shape": [10, 10],
            "header_type": "uint16",
            "frame_type": "uint16",
            "n_awaited": 1,
            "queue": {"used_bytes": 10, "limit_bytes": 1000, "policy": "block", "full_s": 0.0},
            "ledger": {"received": 100, "reduced": 90, "failed": 0, "dropped": {}, "pending": 10, "n_missing": 0},
        }
        for name in ("eiger", "panda")
    },
    "workers": {
        f"worker-{number}": {"state": "busy", "n_restarts": 0, "n_failures": 0, "busy": 0.5, "tags": ["generic"]}
        for number in range(2)
    },
    "reducer": {"state": "ready", "n_restarts": 0, "n_failures": 0, "busy": 0.1, "n_waiting": 0},
    "ingester": {"used_bytes": 10, "limit_bytes": 1000, "full_s": 0.0},
    "disks": {"/data": {"what": "results", "free_bytes": 10**12, "write_rate": 1e6, "error": None}},
}


def changed(*path: str, **values: Any) -> Health:
    """Return the whole run with some values of one part of it changed."""
    health = copy.deepcopy(cast("dict[str, Any]", WHOLE))
    part = health
    for name in path:
        part = part[name]
    part.update(values)
    return cast("Health", health)


def eiger(**values: Any) -> Health:
    return changed("streams", "eiger", **values)


def dropped(**reasons: int) -> dict[str, Any]:
    return {"received": sum(reasons.values()), "dropped": reasons}


def only(health: Health) -> Finding:
    """Return the only finding."""
    (finding,) = diagnose(health)
    return finding


def test_a_run_that_is_whole_has_no_findings() -> None:
    assert diagnose(WHOLE) == []


def test_nothing_is_said_about_what_is_not_known() -> None:
    assert diagnose({}) == []
    assert diagnose({"streams": {"eiger": {}}, "workers": {"worker-0": {}}, "reducer": {}, "disks": {"/": {}}}) == []


def test_a_failed_run_is_an_error_with_its_reason() -> None:
    finding = only(changed(state="failed", reason="the ingester ended"))
    assert (finding.severity, finding.what) == ("error", "the run has failed: the ingester ended")


def test_a_run_that_waits_for_its_map_is_a_note() -> None:
    finding = only(changed(state="waiting", mode="map"))
    assert finding.severity == "note"
    assert "POST /api/v1/sequence" in finding.do
    assert is_whole([finding])


@pytest.mark.parametrize(
    ("connection", "words"),
    [("failed", "cannot be used (taken)"), ("lost", "is lost"), ("connecting", "never connected")],
)
def test_a_connection_that_is_not_there_is_an_error(connection: str, words: str) -> None:
    finding = only(eiger(connection=connection, reason="taken", silent_s=60.0))
    assert finding.severity == "error"
    assert words in finding.what
    assert "eiger" in finding.what


def test_a_connection_that_is_new_is_given_time() -> None:
    assert diagnose(eiger(connection="connecting", silent_s=1.0, n_messages=0)) == []


def test_a_connection_that_never_came_is_a_warning_while_nothing_else_runs() -> None:
    health: Health = {"streams": {"eiger": {"connection": "connecting", "silent_s": 60.0, "n_messages": 0}}}
    assert only(health).severity == "warning"


@pytest.mark.parametrize(("connection", "words"), [("connected", "nothing has come for 60 s"), ("listening", "nobody")])
def test_silence_is_a_warning_only_while_others_get_data(connection: str, words: str) -> None:
    silent = {"connection": connection, "silent_s": 60.0, "n_messages": 0, "series": "none"}
    finding = only(eiger(**silent))
    assert finding.severity == "warning"
    assert words in finding.what
    alone = {"state": "waiting", "streams": {"eiger": silent}}
    assert only(cast("Health", alone)).severity == "note"


def test_silence_counts_from_when_the_sender_was_there() -> None:
    silent = {"connection": "connected", "silent_s": 60.0, "n_messages": 0, "series": "none"}
    assert diagnose(eiger(**silent, connected_s=4.0)) == []
    assert "connected, but nothing has come for 12 s" in only(eiger(**silent, connected_s=12.0)).what
    assert diagnose(eiger(silent_s=60.0, connected_s=4.0)) == []


def test_silence_inside_a_series_is_a_warning_and_between_series_nothing() -> None:
    assert "silent for 60 s inside a series" in only(eiger(silent_s=60.0)).what
    assert diagnose(eiger(silent_s=60.0, series="ended")) == []


def test_some_bad_messages_are_a_warning_with_the_first_reason() -> None:
    finding = only(eiger(n_bad=3, first_bad="stins, part 0: no JSON"))
    assert finding.severity == "warning"
    assert "3 of 100 messages break stins" in finding.what
    assert "stins, part 0: no JSON" in finding.why


def test_only_bad_messages_are_another_protocol_which_is_named() -> None:
    sample = [sample_message(STINS_IMAGE)]
    finding = only(eiger(protocol="dectris-v1", n_bad=100, sample_of_bad=sample, series="none"))
    assert finding.severity == "error"
    assert "all 100 messages break dectris-v1" in finding.what
    assert finding.do == 'Set streams.eiger.protocol = "stins": it understands these messages.'


def test_only_bad_messages_that_nothing_understands_are_an_error_without_a_guess() -> None:
    finding = only(eiger(n_bad=100, sample_of_bad=[sample_message([b"GET / HTTP/1.1\r\n\r\n"])]))
    assert "Set streams.eiger.protocol to what the detector speaks" in finding.do


def test_a_missing_header_is_an_error() -> None:
    finding = only(eiger(series="none", ledger=dropped(outside=100)))
    assert (finding.severity, finding.what) == ("error", "stream eiger: 100 packets came, but no header")
    assert "Arm the detector again" in finding.do


def test_packets_outside_of_a_series_are_a_warning() -> None:
    assert only(eiger(ledger=dropped(outside=4))).severity == "warning"


@pytest.mark.parametrize(
    ("step", "n_missing", "words"),
    [(2, 50, "another client takes every second frame"), (4, 75, "3 other clients take 3 of 4 frames")],
)
def test_numbers_that_alternate_go_to_other_clients(step: int, n_missing: int, words: str) -> None:
    finding = only(eiger(gaps={"first": 1, "last": 99, "n_missing": n_missing, "step": step}))
    assert finding.severity == "error"
    assert words in finding.what
    assert "PUSH" in finding.why


@pytest.mark.parametrize(
    "gaps", [{"n_missing": 50, "step": None}, {"n_missing": 1, "step": 2}, {"n_missing": 2, "step": 3}]
)
def test_other_gaps_are_losses(gaps: dict[str, Any]) -> None:
    finding = only(eiger(gaps={"first": 1, "last": 99} | gaps))
    assert finding.severity == "warning"
    assert "numbers are missing, from 1 to 99" in finding.what
    assert "client" not in finding.what


def test_frames_of_another_shape_than_announced_are_an_error() -> None:
    finding = only(eiger(frame_shape=[5, 10], frame_type="uint32"))
    assert finding.severity == "error"
    assert "shape 5 x 10, not 10 x 10 and type uint32, not uint16" in finding.what


@pytest.mark.parametrize(
    ("policy", "reasons", "severity", "words"),
    [
        ("block", {}, "warning", "the sender waits"),
        ("drop-oldest", {"full": 7}, "error", "7 packets were dropped"),
        ("spill", {"spilled": 8}, "warning", "8 packets went to the spill capture"),
    ],
)
def test_a_full_queue_is_told_with_its_consequence(
    policy: str, reasons: dict[str, int], severity: str, words: str
) -> None:
    queue = {"used_bytes": 990, "limit_bytes": 1000, "policy": policy, "full_s": 2.0}
    finding = only(eiger(queue=queue, ledger=dropped(**reasons)))
    assert (finding.severity, words in finding.what) == (severity, True)
    assert "is full" in finding.what


def test_a_late_stream_is_named_together_with_those_it_harms() -> None:
    health = eiger(n_awaited=500, ledger=dropped(late=3))
    health["streams"]["panda"]["ledger"] = {"received": 4, "dropped": {"incomplete": 4}}
    finding = only(health)
    assert finding.severity == "error"
    assert finding.what == "stream eiger is late: 500 events wait for it; 3 packets came after their event was closed"
    assert "events of panda were dropped" in finding.why


def test_a_stream_a_little_behind_is_not_late() -> None:
    assert diagnose(eiger(n_awaited=9)) == []


@pytest.mark.parametrize(
    ("reason", "words"),
    [("no_scan", "no trigger map"), ("no_worker", "no worker that may take them"), ("repeated", "was there already")],
)
def test_packets_dropped_for_other_reasons_are_explained(reason: str, words: str) -> None:
    assert words in only(eiger(ledger=dropped(**{reason: 5}))).what


def test_an_account_that_does_not_add_up_is_our_own_fault() -> None:
    finding = only(eiger(ledger={"received": 100, "reduced": 90}))
    assert "100 packets were received, but 90 are accounted for" in finding.what
    assert "fault in glimt" in finding.why


@pytest.mark.parametrize(
    ("n_restarts", "last_exit", "severity", "why"),
    [
        (1, "killed by SIGKILL", "warning", "out of memory"),
        (3, "killed by SIGSEGV", "error", "library"),
        (1, "exit code 1", "warning", "log has the traceback"),
    ],
)
def test_workers_that_die_are_told_with_a_likely_cause(
    n_restarts: int, last_exit: str, severity: str, why: str
) -> None:
    finding = only(changed("workers", "worker-0", n_restarts=n_restarts, last_exit=last_exit))
    assert finding.severity == severity
    assert finding.what == f"worker-0 died {'once' if n_restarts == 1 else '3 times'}; last: {last_exit}"
    assert why in finding.why


def test_no_worker_left_comes_first() -> None:
    health = changed("workers", "worker-0", state="failed")
    assert [finding.what for finding in diagnose(health)] == ["worker-0 died once and is not started again"]
    health["workers"]["worker-1"]["state"] = "failed"
    assert diagnose(health)[0].what == "no worker is left"


def test_an_analysis_that_raises_is_told_with_its_newest_error() -> None:
    health = changed("workers", "worker-1", n_failures=4, last_failure="ValueError: odd")
    health["reducer"]["n_failures"] = 1
    finding = only(health)
    assert finding.what == "the analysis raised in 5 events (worker-1 4, reducer 1)"
    assert "ValueError: odd" in finding.why


def test_workers_without_time_left_are_a_warning_only_if_all_are() -> None:
    health = changed("workers", "worker-0", busy=1.0)
    assert diagnose(health) == []
    health["workers"]["worker-1"]["busy"] = 0.99
    assert only(health).what == "all 2 workers are busy all the time"


@pytest.mark.parametrize(
    "values",
    [{"busy": 0.99, "n_waiting": 7}, {"backlog": {"used_bytes": 600, "limit_bytes": 1000}, "n_waiting": 7}],
)
def test_a_slow_reducer_is_a_warning(values: dict[str, Any]) -> None:
    finding = only(changed("reducer", **values))
    assert finding.severity == "warning"
    assert "7 results wait for it" in finding.what


def test_a_reducer_that_dies_is_told() -> None:
    assert only(changed("reducer", n_restarts=2, last_exit="exit code 3")).what == (
        "the reducer died 2 times; last: exit code 3"
    )


def test_full_memory_is_a_warning() -> None:
    assert "for 5 s" in only(changed("ingester", full_s=5.0)).what


@pytest.mark.parametrize(
    ("values", "severity", "words"),
    [
        ({"free_bytes": 1 << 20}, "error", "has 1 MB left"),
        ({"free_bytes": 500 << 20, "write_rate": 0.0}, "warning", "has 524 MB left"),
        ({"free_bytes": 10**10, "write_rate": 1e8}, "warning", "full in 2 min"),
        ({"error": "No space left on device"}, "error", "results cannot be written to /data"),
    ],
)
def test_a_disk_that_is_or_will_be_full_is_told(values: dict[str, Any], severity: str, words: str) -> None:
    finding = only(changed("disks", "/data", **values))
    assert (finding.severity, words in finding.what) == (severity, True)


def test_the_worst_comes_first() -> None:
    health = changed(state="waiting", mode="map")
    health["streams"]["eiger"]["n_bad"] = 1
    health["reducer"]["state"] = "failed"
    assert [finding.severity for finding in diagnose(health)] == ["error", "warning", "note"]


def test_every_finding_says_why_and_what_to_do() -> None:
    health = eiger(n_bad=1, n_awaited=100, header_shape=[1], gaps={"n_missing": 9, "step": 2}, ledger=dropped(full=1))
    for finding in diagnose(health):
        assert finding.why.endswith(".")
        assert finding.do


def test_health_as_it_comes_over_the_wire_is_diagnosed_the_same() -> None:
    health = eiger(n_bad=100, sample_of_bad=[sample_message(STINS_IMAGE)], protocol="lecroy")
    assert diagnose(msgspec.json.decode(msgspec.json.encode(health), type=Health)) == diagnose(health)


def test_samples_are_bounded() -> None:
    sample = sample_message([bytes(10 * MAX_SAMPLE_PART_BYTES)] * (2 * MAX_SAMPLE_PARTS))
    assert len(sample["parts"]) == len(sample["lengths"]) == MAX_SAMPLE_PARTS
    assert len(sample["parts"][0]) <= MAX_SAMPLE_PART_BYTES * 4 / 3 + 4


@pytest.mark.parametrize(
    "sample",
    [{}, {"parts": ["§"], "lengths": [1]}, {"parts": [""], "lengths": [1 << 60]}, {"parts": [], "lengths": [-5]}],
)
def test_a_hostile_sample_names_no_protocol(sample: Any) -> None:
    assert protocols_that_accept([sample]) == []


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_messages_of_each_protocol_are_recognized(name: str) -> None:
    samples = [sample_message(message) for message in SERIES[name]]
    assert name in protocols_that_accept(samples)
    assert name not in protocols_that_accept(samples, but=name)
