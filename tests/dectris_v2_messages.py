"""Messages of DECTRIS stream V2: recorded ones, and small ones made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import numpy as np

from glimt.codecs.cbor_items import SELF_DESCRIBED
from glimt.codecs.dectris_v2 import DectrisV2Image, decode

PIXELS = np.arange(6, dtype="<u2").reshape(2, 3)


def recorded_series(shared_data: Path) -> dict[str, bytes]:
    """Return the three messages of a series of one image, of an EIGER2 16M."""
    folder = shared_data / "dectris" / "stream_v2_eiger16m"
    return {path.stem: path.read_bytes() for path in folder.glob("*.cbor")}


def tagged(tag: int, value: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(tag, value)


def image_message(**changes: Any) -> bytes:
    """Return an image of 2 rows and 3 columns; keys that become ``None`` are left out."""
    data = {"threshold_1": tagged(40, [[2, 3], tagged(69, PIXELS.tobytes())])}
    keys = {"type": "image", "series_id": 6, "image_id": 4, "data": data} | changes
    return SELF_DESCRIBED + cbor2.dumps({key: value for key, value in keys.items() if value is not None})


def image_of(message: bytes) -> DectrisV2Image:
    """Return the image that a message is."""
    record = decode([message])
    assert isinstance(record, DectrisV2Image)
    return record


def with_value(raw: bytes) -> bytes:
    """Return an image that has under the additional key ``x`` what ``raw`` encodes."""
    return b"\xa5" + image_message()[4:] + b"\x61x" + raw
