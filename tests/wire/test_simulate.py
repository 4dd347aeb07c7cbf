"""The simulated detector over real sockets, received by plain ZeroMQ."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import zmq

from glimt.codecs import stins
from glimt.model.errors import UsageError
from glimt.sim.scattering import ScatteringScene
from glimt.sim.stins import StinsDetector, StinsSimulator

ANY_PORT = "tcp://127.0.0.1:*"


@contextmanager
def receiver(address: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 20_000)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        yield socket


@contextmanager
def running(detector: StinsDetector) -> Iterator[tuple[StinsSimulator, threading.Event]]:
    """A detector that sends in a thread, and the event that stops it."""
    stop = threading.Event()
    with StinsSimulator(detector, address=ANY_PORT) as simulator:
        thread = threading.Thread(target=simulator.run, args=(stop,))
        thread.start()
        try:
            yield simulator, stop
        finally:
            stop.set()
            thread.join()


def receive_series(socket: zmq.Socket[bytes]) -> list[Any]:
    records = [stins.decode(socket.recv_multipart())]
    while not isinstance(records[-1], stins.StinsEnd):
        records.append(stins.decode(socket.recv_multipart()))
    return records


@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_a_series_arrives_as_header_images_and_end(compression: str, dtype: str) -> None:
    detector = StinsDetector(
        (30, 50), dtype, rate_hz=0, n_frames=5, compression=compression, filename="raw/a.h5", seed=7
    )
    with running(detector) as (simulator, _), receiver(simulator.address) as socket:
        start, *images, end = receive_series(socket)
    assert isinstance(start, stins.StinsStart)
    assert start.filename == "raw/a.h5"
    assert start.details[0]["x_pixels_in_detector"] == 50
    assert [image.frame for image in images] == [0, 1, 2, 3, 4]
    assert [record.msg_number for record in (start, *images, end)] == list(range(7))
    for image, picture in zip(images, ScatteringScene((30, 50), dtype, seed=7).pictures(5), strict=True):
        np.testing.assert_array_equal(image.data, picture)
        assert image.data.dtype == dtype


def test_series_follow_each_other_and_message_numbers_go_on() -> None:
    with (
        running(StinsDetector((4, 4), rate_hz=0, n_frames=2, n_series=3)) as (simulator, _),
        receiver(simulator.address) as socket,
    ):
        series = [receive_series(socket) for _ in range(3)]
    assert [record.msg_number for records in series for record in records] == list(range(12))
    assert [[image.frame for image in records[1:-1]] for records in series] == [[0, 1]] * 3
    assert (simulator.report.n_series, simulator.report.n_frames) == (3, 6)


def test_the_rate_is_kept() -> None:
    took_s = []
    for _ in range(10):  # a machine that is busy for a moment makes a series longer, and none shorter
        with (
            running(StinsDetector((4, 4), rate_hz=100, n_frames=51)) as (simulator, _),
            receiver(simulator.address) as socket,
        ):
            receive_series(socket)
        took_s.append(simulator.report.elapsed_s)
        if took_s[-1] < 0.7:
            break
    assert 0.49 < min(took_s) < 0.7


def test_stopping_ends_an_endless_series_with_its_end_message() -> None:
    with (
        running(StinsDetector((4, 4), rate_hz=200, n_frames=0)) as (simulator, stop),
        receiver(simulator.address) as socket,
    ):
        for _ in range(20):
            last = stins.decode(socket.recv_multipart())
        stop.set()
        while not isinstance(last, stins.StinsEnd):
            last = stins.decode(socket.recv_multipart())
    assert last.msg_number == simulator.report.n_frames + 1


def test_without_a_receiver_it_waits_and_can_be_stopped() -> None:
    with running(StinsDetector((4, 4), n_frames=1)) as (simulator, stop):
        time.sleep(0.3)
        assert simulator.report.n_series == 0
        stop.set()
    assert simulator.report.n_bytes == 0


def test_without_a_receiver_a_timeout_is_an_error() -> None:
    detector = StinsDetector((4, 4), n_frames=1, timeout_s=0.2)
    with StinsSimulator(detector, address=ANY_PORT) as simulator, pytest.raises(UsageError, match="nobody received"):
        simulator.run()


def test_a_series_longer_than_the_pool_goes_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.sim.picture_pool.MAX_POOL_FRAMES", 3)
    with (
        running(StinsDetector((8, 8), rate_hz=0, n_frames=7)) as (simulator, _),
        receiver(simulator.address) as socket,
    ):
        images = receive_series(socket)[1:-1]
    assert len(images) == 7
    np.testing.assert_array_equal(images[0].data, images[6].data)
    assert not np.array_equal(images[0].data, images[1].data)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:notaport", "tcp://192.0.2.1:9999", "tcp://"])
def test_an_address_that_cannot_be_bound_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="cannot bind"):
        StinsSimulator(StinsDetector(), address=address)
