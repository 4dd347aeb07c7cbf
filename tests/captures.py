"""Makes small captures for tests."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from glimt.codecs.capture import encode_item
from glimt.codecs.stins import StinsEnd, StinsImage, StinsStart
from glimt.model.event import InternalWorkerMessage, StreamData

FIRST_TIME = datetime(2026, 11, 21, 1, 50, tzinfo=UTC)


def pixels(frame: int, shape: tuple[int, int] = (10, 10)) -> np.ndarray:
    """Return the pixels of a frame: different in every frame, known without the capture."""
    return ((np.arange(shape[0] * shape[1]) * 7 + frame * 13) % 251).astype(np.uint16).reshape(shape)


def stins_messages(
    n_frames: int, *, stream: str = "xrd", shape: tuple[int, int] = (10, 10), period_s: float | None = None
) -> list[InternalWorkerMessage]:
    """Return start packet, images and end packet of one series as the items of a capture."""
    packets: list[StreamData] = [StinsStart(msg_number=0, filename="output/xrd.h5").to_stream_data()]
    for frame in range(n_frames):
        image = StinsImage(msg_number=frame + 1, frame=frame, shape=list(shape), type="uint16", compression="none")
        image.data = pixels(frame, shape)
        packets.append(image.to_stream_data())
    packets.append(StinsEnd(msg_number=n_frames + 1).to_stream_data())
    times = [
        None if period_s is None else FIRST_TIME + timedelta(seconds=period_s * number)
        for number in range(len(packets))
    ]
    return [
        InternalWorkerMessage(number, {stream: packet}, when)
        for number, (packet, when) in enumerate(zip(packets, times, strict=True))
    ]


def write_capture(path: Path, messages: list[InternalWorkerMessage]) -> Path:
    """Write a capture, compressed if its name ends with ``.gz``."""
    data = b"".join(encode_item(message) for message in messages)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
