"""``glimt convert`` and ``glimt record`` as users call them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import cbor2
import pytest

from glimt.sources.capture import CaptureReader

GLIMT = [sys.executable, "-m", "glimt"]
ENDLESS = ["simulate", "stins", "--shape", "64x64", "--rate", "100", "--frames", "0"]


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GLIMT, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def numbers(path: Path) -> list[int]:
    with CaptureReader(path) as reader:
        return [message.event_number for message in reader.messages()]


@pytest.mark.parametrize(
    ("protocol", "name", "typ", "n_events"),
    [
        # As many events as dranspose's ingesters make of them; of the oscilloscope: start, 2 triggers, stop.
        ("pandabox", "pcap-zmq.cbors", "PCAP", 1502),
        ("xspress3", "xspress3-dump.cbors", "xspress", 22),
        ("contrast", "contrast-dump.cbors", "contrast", 22),
        ("albaem", "albaem-dump.cbors", "albaem", 6),
        ("dectris-v1", "eiger-small.cbors", "EIGER_LEGACY", 5),
        ("lecroy", "maui-02-continuous-3.cbor.gz", "lecroy_9fwdWp6Rq7", 4),
    ],
)
def test_real_recordings_become_captures(
    tmp_path: Path, shared_data: Path, protocol: str, name: str, typ: str, n_events: int
) -> None:
    done = run("convert", protocol, shared_data / "dranspose" / name, "out.cbors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{n_events:,} events of 1 series" in done.stderr
    with CaptureReader(tmp_path / "out.cbors") as reader:
        messages = list(reader.messages())
    assert [message.event_number for message in messages] == list(range(n_events))
    assert {message.streams[protocol].typ for message in messages} == {typ}


def test_a_capture_is_not_converted_again(tmp_path: Path, shared_data: Path) -> None:
    done = run("convert", "stins", shared_data / "dranspose" / "dump_xrd.cbors", "out.cbors", cwd=tmp_path)
    assert done.returncode == 1
    assert "glimt replay takes this file as it is" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_cut_recording_is_converted_up_to_the_cut(tmp_path: Path, shared_data: Path) -> None:
    data = (shared_data / "dranspose" / "albaem-dump.cbors").read_bytes()
    (tmp_path / "cut.cbors").write_bytes(data[:-10])
    done = run("convert", "albaem", "cut.cbors", "out.cbors.gz", "--stream", "i0", cwd=tmp_path)
    assert done.returncode == 1
    assert "cut.cbors: truncated: the data end inside part 0 of message 5" in done.stderr
    assert numbers(tmp_path / "out.cbors.gz") == [0, 1, 2, 3, 4]


def test_mistakes_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "raw.cbors").write_bytes(cbor2.dumps([b"x"]))
    (tmp_path / "there.cbors").write_bytes(b"precious")
    for arguments, text in (
        (("convert", "stinks", "raw.cbors", "out.cbors"), "stins"),
        (("convert", "stins", "missing.cbors", "out.cbors"), "cannot read recording missing.cbors: No such file"),
        (("convert", "stins", "raw.cbors", "there.cbors"), "there.cbors exists"),
        (("convert", "stins", "raw.cbors", "raw.cbors", "--overwrite"), "is the recording itself"),
        (("record", "stins", "tcp://127.0.0.1:*", "there.cbors", "--bind"), "there.cbors exists"),
        (("record", "stins", "nowhere", "out.cbors"), "an address looks like tcp://"),
        (("record", "stins", "tcp://127.0.0.1:*", "out.cbors", "--append", "--overwrite"), "exclude each other"),
        (("simulate", "stins", "--shape", "big"), "rows x columns"),
    ):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("glimt: ")
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "there.cbors").read_bytes() == b"precious"
    assert not (tmp_path / "out.cbors").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_detector_and_recording_with_everything_written(tmp_path: Path, number: signal.Signals) -> None:
    record = subprocess.Popen(
        [*GLIMT, "record", "stins", "tcp://127.0.0.1:*", "a.cbors", "--bind"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert record.stderr is not None
    address = record.stderr.readline().split()[3]
    simulate = subprocess.Popen(
        [*GLIMT, *ENDLESS, "--connect", "--address", address],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not ((tmp_path / "a.cbors").stat().st_size > 300_000):
            time.sleep(0.05)
        simulate.send_signal(number)
        _, simulated = simulate.communicate(timeout=20)
        _, recorded = record.communicate(timeout=20)
    finally:
        simulate.kill()
        record.kill()
    assert simulate.returncode == 0, simulated
    assert record.returncode == 0, recorded
    n_frames = int(simulated.splitlines()[-1].split()[1].replace(",", ""))
    assert numbers(tmp_path / "a.cbors") == list(range(n_frames + 2))
    assert f"{n_frames + 2:,} events of 1 series" in recorded


def test_a_signal_ends_a_recording_in_the_middle_of_a_series(tmp_path: Path) -> None:
    simulate = subprocess.Popen(
        [*GLIMT, *ENDLESS, "--address", "tcp://127.0.0.1:*"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert simulate.stderr is not None
    address = simulate.stderr.readline().split()[-1]
    record = subprocess.Popen(
        [*GLIMT, "record", "stins", address, "a.cbors"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (
            (tmp_path / "a.cbors").exists() and (tmp_path / "a.cbors").stat().st_size > 300_000
        ):
            time.sleep(0.05)
        record.send_signal(signal.SIGINT)
        _, recorded = record.communicate(timeout=20)
        simulate.send_signal(signal.SIGINT)
        simulate.communicate(timeout=20)
    finally:
        simulate.kill()
        record.kill()
    assert record.returncode == 0, recorded
    assert "stopped" in recorded
    assert "to a.cbors, as stream 'stins'" in recorded
    found = numbers(tmp_path / "a.cbors")
    assert found == list(range(len(found)))
    assert f"record: {len(found):,} events of 1 series" in recorded
