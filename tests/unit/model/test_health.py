"""What a run says about itself."""

from __future__ import annotations

import msgspec

from glimt.model.health import Health, StreamHealth, ledger_of, received_of, sources_of

STREAM: StreamHealth = {
    "protocol": "stins",
    "connection": "connected",
    "n_bad": 1,
    "sample_of_bad": [{"parts": ["eA=="], "lengths": [1]}],
    "gaps": {"first": 3, "last": 9, "n_missing": 4, "step": 2},
    "frame_shape": [10, 10],
    "queue": {"used_bytes": 10, "limit_bytes": 100, "policy": "block", "full_s": 0.0},
    "ledger": {"received": 50, "reduced": 30, "failed": 2, "dropped": {"bad": 1, "late": 7}, "pending": 10},
}
HEALTH: Health = {"name": "balder", "state": "running", "streams": {"eiger": STREAM, "i0": {}}}


def test_outcomes_add_up_to_what_was_received() -> None:
    assert received_of(STREAM["ledger"]) == 50
    assert ledger_of(HEALTH) == {"eiger": STREAM["ledger"], "i0": {}}
    assert received_of({"received": 9, "reduced": 3, "dropped": {"late": 2}}) == 5


def test_sources_show_connections_and_no_samples() -> None:
    eiger = sources_of(HEALTH)["eiger"]
    assert eiger["connection"] == "connected"
    assert eiger["queue"] == STREAM["queue"]
    assert not {"ledger", "sample_of_bad", "gaps", "frame_shape"} & set(eiger)


def test_health_survives_json_unchanged() -> None:
    assert msgspec.json.decode(msgspec.json.encode(HEALTH), type=Health) == HEALTH
