"""Beamline devices: what is encoded comes back, pieces and framings do not matter, and no bytes do harm."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glimt.codecs.albaem import AlbaemData
from glimt.codecs.contrast import ContrastRunning
from glimt.codecs.lecroy import LecroyData, LecroyParsed
from glimt.codecs.open_record import OpenRecord
from glimt.codecs.pandabox import PcapData
from glimt.codecs.pandabox_text import PositionCapAssembler, PositionCapField, PositionCapStart, PositionCapValues
from glimt.codecs.protocol import Packet, PacketKind
from glimt.codecs.registry import PROTOCOLS
from glimt.codecs.restricted_pickle import loads
from glimt.codecs.sardana import SardanaRecordData
from glimt.codecs.xspress3 import META_KEYS, XspressAssembler, XspressImage
from glimt.model.errors import DecodeError
from hostile_wire import SERIES

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS = st.none() | st.booleans() | INT64 | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
# Names of methods are shadowed on the record, as they are on a pydantic model, but not lost.
TAKEN = {name for kind in (AlbaemData, ContrastRunning, PcapData, SardanaRecordData) for name in dir(kind)} | {"self"}
KEYS = TEXTS.filter(lambda key: key not in TAKEN)
EXTRA = st.dictionaries(KEYS, JSON, max_size=5)
NUMBERS = st.sampled_from(["u2", ">i4", "f4", "f8", "?", "c16"])
ARRAYS = NUMBERS.flatmap(lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)))
PICKLED = st.recursive(
    SCALARS | st.binary(max_size=20) | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS | st.integers(0, 99), inner, max_size=4)
    ),
    max_leaves=10,
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def comes_back(name: str, record: OpenRecord) -> None:
    """Encode and decode until nothing changes any more."""
    protocol = PROTOCOLS[name]
    frames = protocol.encode(record)
    again = protocol.decode(frames)
    assert type(again) is type(record)
    assert again == record
    assert again.extra.keys() == record.extra.keys()
    assert protocol.decode(protocol.encode(again)) == again


@given(EXTRA, INT64, INT64, FINITE, INT64)
def test_albaem_samples_come_back(extra: dict[str, Any], number: int, frame: int, time_s: float, time_ns: int) -> None:
    comes_back(
        "albaem",
        AlbaemData(
            message_id=number, version=1, frame_number=frame, timestamp=time_s, acquisition_timestamp=time_ns, **extra
        ),
    )


@given(EXTRA, FINITE)
def test_sardana_points_come_back(extra: dict[str, Any], time_s: float) -> None:
    comes_back("sardana", SardanaRecordData(timestamp=time_s, **extra))


@given(st.dictionaries(KEYS, PICKLED, max_size=4), FINITE)
def test_contrast_points_come_back(extra: dict[str, Any], time_s: float) -> None:
    comes_back("contrast", ContrastRunning(dt=time_s, **extra))


@given(EXTRA, st.integers(0, 5), st.integers(1, 3), st.integers(0, 2**31))
def test_a_vector_message_becomes_its_elements(extra: dict[str, Any], length: int, n_lists: int, first: int) -> None:
    scalars = {key: value for key, value in extra.items() if not isinstance(value, list)}
    lists = {f"channel {number}": [number + 0.5 * index for index in range(length)] for number in range(n_lists)}
    message = PcapData(message_id=1, version=1, frame_number=first, **scalars | lists)
    packets = PROTOCOLS["pandabox"].assembler().push(message.to_frames())
    rows = [PROTOCOLS["pandabox"].decode(packet.frames) for packet in packets]
    assert [packet.frame_number for packet in packets] == list(range(first, first + length))
    for index, row in enumerate(rows):
        expected = scalars | {name: values[index] for name, values in lists.items()}
        assert row == PcapData(message_id=1, version=1, frame_number=first + index, **expected)


@given(
    hnp.arrays(st.sampled_from(["u4", "u2", "f8"]), hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)),
    st.lists(ARRAYS, max_size=8),
    st.lists(st.tuples(st.integers(0, 2**40), st.booleans()), max_size=5),
)
def test_xspress3_images_are_the_same_in_both_framings(
    spectra: npt.NDArray[Any], counters: list[Any], images: list[tuple[int, bool]]
) -> None:
    assembler = XspressAssembler()
    packets: list[Packet] = []
    for frame, together in images:
        made = XspressImage(frame=frame, shape=list(spectra.shape), type=spectra.dtype.name)
        made.data = spectra
        made.meta = dict(zip(META_KEYS, counters, strict=False))
        parts = made.to_frames()
        for message in [parts] if together else [[part] for part in parts]:
            packets += assembler.push(message)
    assert [packet.frame_number for packet in packets] == [frame for frame, _ in images]
    for packet in packets:
        image = PROTOCOLS["xspress3"].decode(packet.frames)
        np.testing.assert_array_equal(image.data, spectra)
        assert len(image.meta) == len(counters)
        for name, counter in zip(META_KEYS, counters, strict=False):
            np.testing.assert_array_equal(image.meta[name], counter)


@given(
    st.lists(hnp.arrays("f8", (2, 3), elements=FINITE), min_size=1, max_size=4),
    st.lists(FINITE, max_size=4),
)
def test_lecroy_events_come_back(traces: list[npt.NDArray[Any]], times: list[float]) -> None:
    headers = [
        LecroyData(frame=n, ch=n, ts=1.5, shape=[2, 3], dtype="float64", horiz_offset=0.0, horiz_interval=1e-9)
        for n in range(len(traces))
    ]
    event = LecroyParsed(frame=0, ntriggers=2, seqno=0, channels=[*range(len(traces))])
    event.meta, event.data, event.timestamps = headers, traces, [times] * len(traces)
    read = PROTOCOLS["lecroy"].decode(event.to_frames())
    assert read == event
    assert read.timestamps == event.timestamps
    for mine, theirs in zip(read.data, traces, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@given(st.lists(st.lists(FINITE | st.integers(0, 2**32 - 1), min_size=2, max_size=2), max_size=6), st.data())
def test_pandabox_text_may_be_cut_anywhere(rows: list[list[Any]], data: st.DataObject) -> None:
    fields = [PositionCapField(name=f"A{n}.OUT.Value", type="double") for n in range(2)]
    start = PositionCapStart(arm_time=datetime(2024, 1, 2, 3, 4, 5, 678)).to_stream_data(fields).frames[0]
    lines = [_values(fields, row).to_frames()[0] for row in rows]
    text = b"OK\n" + start + b"".join(lines) + b"END 0 Disarmed\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    assembler = PositionCapAssembler()
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    packets = [packet for piece in pieces for packet in assembler.push([piece])]
    assert [bytes(packet.frames[0]) for packet in packets] == [b"OK\n", start, *lines, b"END 0 Disarmed\n"]
    assert [packet.kind for packet in packets[1:]] == [
        PacketKind.START, *[PacketKind.DATA] * len(rows), PacketKind.END,
    ]  # fmt: skip


def _values(fields: Sequence[PositionCapField], row: Sequence[Any]) -> PositionCapValues:
    return PositionCapValues(
        fields={
            field.name: PositionCapField(name=field.name, type=field.type, value=value)
            for field, value in zip(fields, row, strict=True)
        }
    )


@given(PICKLED, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_come_out_of_pickles_as_they_went_in(value: Any, protocol: int) -> None:
    assert repr(loads(pickle.dumps(value, protocol), where="test")) == repr(value)


def only_decode_errors(action: Callable[[], Any]) -> None:
    """Run ``action``, which may refuse; any other exception is a failure."""
    with contextlib.suppress(DecodeError):
        action()


@given(st.binary(max_size=200))
def test_no_bytes_do_more_harm_than_a_decode_error(data: bytes) -> None:
    only_decode_errors(lambda: loads(b"\x80\x04" + data, where="test"))
    for protocol in PROTOCOLS.values():
        only_decode_errors(lambda decode=protocol.decode: repr(decode([data])))  # type: ignore[misc]


@given(st.data())
def test_a_damaged_message_does_no_more_harm_than_a_decode_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SERIES)))
    assembler = PROTOCOLS[name].assembler()
    for message in SERIES[name]:
        parts = [bytearray(part) for part in message]
        for _ in range(data.draw(st.integers(0, 3))):
            part = parts[data.draw(st.integers(0, len(parts) - 1))]
            if part:
                part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
        damaged = [bytes(part) for part in parts]
        only_decode_errors(lambda frames=damaged: repr(PROTOCOLS[name].decode(frames)))  # type: ignore[misc]
        only_decode_errors(lambda frames=damaged: assembler.push(frames))  # type: ignore[misc]


@given(JSON)
def test_any_json_does_no_more_harm_than_a_decode_error(value: Any) -> None:
    part = json.dumps(value).encode()
    for protocol in PROTOCOLS.values():
        only_decode_errors(lambda decode=protocol.decode: repr(decode([part])))  # type: ignore[misc]
