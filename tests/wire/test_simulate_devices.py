"""Simulated devices over the real transports of their protocols, received by plain sockets and by the recorder."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import zmq

from glimt.app.record import Recording, RecordOptions
from glimt.codecs.protocol import PacketKind
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import UsageError
from glimt.sim.background import BackgroundSimulation
from glimt.sim.devices import DEVICES, make_device, make_transport
from glimt.sim.faults import Choice, Faults
from glimt.sim.http_transport import HttpPoster
from glimt.sim.plan import SimulationPlan
from glimt.sim.sardana import PATHS, path_of
from glimt.sim.simulation import Simulation, simulate
from glimt.sim.tcp_transport import TcpTextServer
from glimt.sim.zmq_transport import ZmqTransport

ANY_PORT = "tcp://127.0.0.1:*"
OVER_ZMQ = [name for name, kind in DEVICES.items() if kind.transport in {"push", "pub"}]
FAST = SimulationPlan(n_frames=25, rate_hz=0, timeout_s=20.0)


def simulation(
    name: str, *, plan: SimulationPlan = FAST, faults: Faults | None = None, address: str = ANY_PORT, **options: Any
) -> Simulation:
    if "shape" in DEVICES[name].options:
        options |= {"shape": (64, 64)}
    device = make_device(name, **options)
    transport = make_transport(name, device, address=address)
    return Simulation(device, transport, plan=plan, faults=faults)


@contextlib.contextmanager
def zmq_receiver(address: str, kind: int) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as receiver:
        receiver.setsockopt(zmq.RCVTIMEO, 20_000)
        receiver.setsockopt(zmq.LINGER, 0)
        if kind == zmq.SUB:
            receiver.setsockopt(zmq.SUBSCRIBE, b"")
        receiver.connect(address)
        yield receiver


@pytest.mark.parametrize("name", OVER_ZMQ)
def test_a_plain_socket_receives_start_frames_and_end(name: str) -> None:
    assembler = PROTOCOLS[name].assembler()
    kinds: list[PacketKind] = []
    kind = zmq.PULL if DEVICES[name].transport == "push" else zmq.SUB
    with (
        BackgroundSimulation(simulation(name)) as background,
        zmq_receiver(background.report.address, kind) as receiver,
    ):
        n_messages = 0
        while not kinds or kinds[-1] is not PacketKind.END:
            n_messages += 1
            kinds += [packet.kind for packet in assembler.push(receiver.recv_multipart())]
    report = background.join()
    if name == "contrast":  # a heartbeat comes first
        assert kinds.pop(0) is PacketKind.OTHER
    assert kinds == [PacketKind.START, *[PacketKind.DATA] * 25, PacketKind.END]
    assert (report.n_frames, report.n_messages) == (25, n_messages)


@pytest.mark.parametrize("name", OVER_ZMQ)
def test_the_recorder_counts_the_faults_that_were_reported(name: str, tmp_path: Path) -> None:
    numbers = frozenset({3, 11, 12})
    faults = Faults(drop=Choice(numbers=numbers), truncate=Choice(numbers=frozenset({15})))
    with BackgroundSimulation(simulation(name, faults=faults)) as background:
        options = RecordOptions(
            PROTOCOLS[name],
            background.report.address,
            tmp_path / "a.cbors",
            socket="pull" if DEVICES[name].transport == "push" else "sub",
            timeout_s=20.0,
        )
        with Recording(options) as recording:
            account = recording.run()
    series = background.join().series[0]
    assert (series.dropped, series.truncated) == ([3, 11, 12], [15])
    assert account.n_bad == 1
    assert account.n_missing == (0 if name == "contrast" else 4)  # whose points have no numbers
    assert account.n_events == 25 - 4 + 2


@pytest.mark.parametrize("n_clients", [1, 2])
def test_a_pandabox_answers_ok_and_sends_text_to_one_client_after_the_other(n_clients: int) -> None:
    plan = SimulationPlan(n_frames=10, n_series=n_clients, rate_hz=200, series_gap_s=0.3, timeout_s=20.0)
    with BackgroundSimulation(simulation("pandabox-text", plan=plan)) as background:
        for _ in range(n_clients):
            text = text_of_series(background.report.address)
            packets = PROTOCOLS["pandabox-text"].assembler().push([text])
            kinds = [packet.kind for packet in packets]
            assert kinds == [PacketKind.START, *[PacketKind.DATA] * 10, PacketKind.END]
    assert background.report.n_disconnects == n_clients - 1


def connected(address: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20)
    client.settimeout(20)
    return client


def text_of_series(address: str) -> bytes:
    with connected(address) as client:
        client.sendall(b"\n")
        with client.makefile("rb") as stream:
            assert stream.readline() == b"OK\n"
            lines = [stream.readline()]
            while not lines[-1].startswith(b"END"):
                lines.append(stream.readline())
                assert lines[-1]
    return b"".join(lines)


@pytest.mark.parametrize("asked", [b"XML FRAMED\n", b"x" * 5000])
def test_a_pandabox_refuses_what_it_does_not_speak_and_serves_the_next(asked: bytes) -> None:
    with BackgroundSimulation(simulation("pandabox-text")) as background:
        with connected(background.report.address) as client, contextlib.suppress(OSError):
            client.sendall(asked)
            assert client.recv(100) in {b"ERR Invalid option\n", b""}
        assert text_of_series(background.report.address).endswith(b"END 25 Disarmed\n")


class Receiver(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers with the next of ``answers``."""

    bodies: list[tuple[str, bytes]]
    answers: list[int]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append((self.path, body))
        self.send_response(self.answers.pop() if self.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextlib.contextmanager
def http_receiver(answers: list[int]) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    bodies: list[tuple[str, bytes]] = []
    handler = type("Handler", (Receiver,), {"bodies": bodies, "answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", bodies
        finally:
            server.shutdown()
            thread.join()


def test_sardana_posts_each_step_to_its_address_and_counts_refusals() -> None:
    with http_receiver([422]) as (address, bodies):
        device = make_device("sardana")
        report = simulate(device, HttpPoster(address + "/beamline/", path_of), plan=FAST)
    assert [path.removeprefix("/beamline") for path, _ in bodies] == [
        PATHS["DataDescription"], *[PATHS["RecordData"]] * 25, PATHS["RecordEnd"]
    ]  # fmt: skip
    kinds = [packet.kind for _, body in bodies for packet in PROTOCOLS["sardana"].assembler().push([body])]
    assert kinds == [PacketKind.START, *[PacketKind.DATA] * 25, PacketKind.END]
    assert report.n_refused == 1


def test_sardana_waits_for_a_receiver_and_gives_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    plan = SimulationPlan(n_frames=1, timeout_s=0.3)
    with pytest.raises(UsageError, match="nobody received on http"):
        simulate(make_device("sardana"), HttpPoster(f"http://127.0.0.1:{port}", path_of), plan=plan)


def test_without_a_subscriber_nothing_is_published() -> None:
    plan = SimulationPlan(n_frames=1, timeout_s=0.3)
    with pytest.raises(UsageError, match="nobody received"):
        simulate(make_device("albaem"), ZmqTransport(ANY_PORT, kind="pub"), plan=plan)


def test_two_devices_with_one_clock_are_in_step() -> None:
    plan = SimulationPlan(n_frames=30, rate_hz=100, start_at=time.time() + 0.5, timeout_s=20.0)
    delayed = SimulationPlan(n_frames=30, rate_hz=100, start_at=plan.start_at, trigger_delay_s=0.02, timeout_s=20.0)
    with (
        BackgroundSimulation(simulation("stins", plan=plan, stamp=True)) as detector,
        zmq_receiver(detector.report.address, zmq.PULL) as pull,
    ):
        time.sleep(0.1)
        with (
            BackgroundSimulation(simulation("albaem", plan=delayed, stamp=True)) as meter,
            zmq_receiver(meter.report.address, zmq.SUB) as sub,
        ):
            images = [PROTOCOLS["stins"].decode(pull.recv_multipart()) for _ in range(32)][1:-1]
            samples = [PROTOCOLS["albaem"].decode(sub.recv_multipart()) for _ in range(32)][1:-1]
    assert plan.start_at is not None
    due = [plan.start_at * 1e9 + number * 1e7 for number in range(30)]
    assert all(image.sent_ns >= when - 1e6 for image, when in zip(images, due, strict=True))
    assert all(sample.sent_ns >= when + 1.9e7 for sample, when in zip(samples, due, strict=True))
    # Neither falls behind: of the last ten, that which was least held up by a busy machine is in time.
    assert min(image.sent_ns - when for image, when in zip(images[20:], due[20:], strict=True)) < 1e7
    assert min(sample.sent_ns - when for sample, when in zip(samples[20:], due[20:], strict=True)) < 3e7


@pytest.mark.parametrize("address", ["nonsense", "udp://127.0.0.1:1", "tcp://127.0.0.1:70000", "tcp://192.0.2.1:8888"])
def test_addresses_that_cannot_be_used_are_usage_errors(address: str) -> None:
    with pytest.raises(UsageError):
        TcpTextServer(address)
    with pytest.raises(UsageError, match="write http://"):
        HttpPoster(address, path_of)
    with pytest.raises(UsageError, match="cannot bind"):
        ZmqTransport(address, kind="pub")


def test_the_command_simulates_and_reports_what_it_sent(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "glimt", "simulate", "albaem", "--address", ANY_PORT, "--rate", "0"]
    command += ["--frames", "50", "--drop", "4-6", "--duplicate", "0.2", "--report", str(report), "--timeout", "20"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        with zmq_receiver(address, zmq.SUB) as receiver:
            records = [PROTOCOLS["albaem"].decode(receiver.recv_multipart())]
            while records[-1].message_type != "series-end":
                records.append(PROTOCOLS["albaem"].decode(receiver.recv_multipart()))
        remarks = process.stderr.read()
    assert process.returncode == 0
    series = json.loads(report.read_text())["series"][0]
    assert series["dropped"] == [4, 5, 6]
    expected = sorted([*(set(range(50)) - {4, 5, 6}), *series["duplicated"]])
    assert [record.frame_number for record in records[1:-1]] == expected
    assert "3 lost" in remarks
    assert f"{len(series['duplicated'])} sent twice" in remarks


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["karabo"], "no device speaks 'karabo'"),
        (["albaem", "--shape", "5x5"], "no shape"),
        (["stins", "--drop", "often"], "--drop: 'often'"),
        (["stins", "--stall", "5"], "100:2.5"),
        (["stins", "--report", "/nowhere/at/all.json"], "no directory"),
        (["stins", "--reorder", "100000"], "10,000"),
    ],
)
def test_wrong_options_are_one_line(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from glimt.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(["simulate", *arguments])
    assert stopped.value.code == 1
    remarks = capsys.readouterr().err
    assert text in remarks
    assert len(remarks.splitlines()) == 1
