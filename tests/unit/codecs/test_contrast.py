"""Contrast: a real recording, messages made here, and what the pickles may hold."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.codecs.contrast import (
    PROTOCOL,
    ContrastFinished,
    ContrastHeartbeat,
    ContrastRunning,
    ContrastStarted,
    decode,
    encode,
)
from glimt.codecs.protocol import PacketKind
from glimt.codecs.restricted_pickle import loads
from glimt.model.errors import DecodeError
from raw_recordings import recorded_messages


def made(kind: Any, **keys: Any) -> Any:
    """Make a record with keys of the beamline, which its type does not name."""
    return kind(**keys)


@pytest.fixture(scope="module")
def recording(shared_data: Path) -> list[list[bytes]]:
    """The messages of one scan of NanoMAX."""
    return recorded_messages(shared_data / "dranspose" / "contrast-dump.cbors")


def test_the_recording_has_one_scan_of_twenty_points(recording: list[list[bytes]]) -> None:
    assembler = PROTOCOL.assembler()
    kinds = [packet.kind for message in recording for packet in assembler.push(message)]
    assert Counter(kinds) == {PacketKind.START: 1, PacketKind.DATA: 20, PacketKind.END: 1, PacketKind.OTHER: 4}
    assert kinds[0] is PacketKind.OTHER  # a heartbeat


def test_recorded_messages_decode(recording: list[list[bytes]]) -> None:
    records = [decode(message) for message in recording]
    scan = [record for record in records if not isinstance(record, ContrastHeartbeat)]
    started, running, finished = scan[0], scan[1], scan[-1]
    assert isinstance(records[0], ContrastHeartbeat)
    assert isinstance(started, ContrastStarted)
    assert (started.scannr, started.description) == (2, "mesh sx -2 2 3 sy -2 2 4 0.1")
    assert started.snapshot["attenuator3_x"] == 0.536
    assert isinstance(running, ContrastRunning)
    assert running.dt == pytest.approx(2.4109, abs=1e-4)
    assert running.sx == pytest.approx(-2.000431059888797)
    np.testing.assert_allclose(running.pseudo["x"], [-2.00405186])
    assert next(iter(running.panda0)) == "COUNTER1.OUT_Value"
    assert isinstance(finished, ContrastFinished)
    assert finished.path == started.path


def test_recorded_messages_come_back_equal(recording: list[list[bytes]]) -> None:
    for message in recording:
        record = decode(message)
        assert decode(encode(record)) == record
        assert pickle.loads(pickle.dumps(record)) == record
        assert loads(encode(record)[0], where="test").keys() == loads(message[0], where="test").keys()


def test_keys_of_the_beamline_are_arguments_attributes_and_printed() -> None:
    record = made(ContrastRunning, dt=0.5, sx=-2.0, pseudo={"x": np.array([1.0])})
    assert record.status == "running"
    assert record.pseudo["x"] == 1.0
    assert str(record) == "status='running' dt=0.5 sx=-2.0 pseudo={'x': array([1.])}"
    assert repr(record) == "ContrastRunning(status='running', dt=0.5, sx=-2.0, pseudo={'x': array([1.])})"
    assert decode(encode(record)) == record
    assert decode(encode(record)) != made(ContrastRunning, dt=0.5, sx=-2.0, pseudo={"x": np.array([2.0])})
    with pytest.raises(AttributeError, match="no field 'sy'; it has status, dt, sx, pseudo"):
        _ = record.sy


def test_numbers_of_numpy_fill_the_fields() -> None:
    pickled = pickle.dumps({"status": "running", "dt": np.float32(0.5)})
    assert decode([pickled]) == ContrastRunning(dt=0.5)
    pickled = pickle.dumps({"status": "started", "path": "", "scannr": np.int64(7), "description": ""})
    assert decode([pickled]) == ContrastStarted(path="", scannr=7, description="")


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ([], "0 parts, a message has 1"),
        ([pickle.dumps({"status": "heartbeat"})] * 2, "2 parts, a message has 1"),
        ([pickle.dumps([1])], "a pickled list, not a dict by names"),
        ([pickle.dumps({1: 2})], "a pickled dict, not a dict by names"),
        ([pickle.dumps({"dt": 1})], "no 'status', which says what the message is: started, running, finished, heart"),
        ([pickle.dumps({"status": "paused"})], "status 'paused' is not one of started, running"),
        ([pickle.dumps({"status": "running"})], "contrast running, part 0: bad header .*`dt`"),
        ([pickle.dumps({"status": "running", "dt": "soon"})], "Expected `float`, got `str`"),
        ([b'{"status": "running"}'], "not a pickle of protocol 2 to 5"),
    ],
)
def test_what_is_no_message_is_refused(message: list[bytes], what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        decode(message)
