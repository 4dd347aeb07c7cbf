"""What a broken or hostile sender may send, for every decoder and every running service.

`SERIES` has a good series for each protocol. `attacks` makes bad messages of those (cut, wrong types, giant shapes,
swapped parts) and adds `PICKLES`, `TEXTS` and `CBOR`, which are bad whatever the protocol.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator
from typing import Any

import cbor2
import numpy as np

Message = list[bytes]

SPECTRA = np.arange(8, dtype="<u4").reshape(2, 4)
COUNTERS = [np.arange(2.0) for _ in range(8)]
TRACE = np.linspace(-1, 1, 5).reshape(1, 5)


def _json(**values: Any) -> bytes:
    return json.dumps(values).encode()


def _traces(channel: int, frame: int) -> Message:
    header = _json(
        htype="traces",
        ch=channel,
        ts=1.7e9,
        frame=frame,
        shape=[1, 5],
        horiz_offset=-1e-7,
        horiz_interval=1.25e-11,
        dtype="float64",
    )
    return [header, TRACE.tobytes(), pickle.dumps([1.7e9])]


def _dectris_v2(**values: Any) -> Message:
    return [cbor2.dumps(cbor2.CBORTag(55799, values))]


_PIXELS = cbor2.CBORTag(40, [[2, 3], cbor2.CBORTag(69, bytes(12))])
_DECTRIS_V1 = [
    [_json(htype="dheader-1.0", series=6, header_detail="none")],
    [
        _json(htype="dimage-1.0", series=6, frame=0, hash=""),
        _json(htype="dimage_d-1.0", shape=[3, 2], size=12, type="uint16", encoding="<"),
        bytes(12),
        _json(htype="dconfig-1.0", real_time=1, start_time=2, stop_time=3),
    ],
    [_json(htype="dseries_end-1.0", series=6)],
]

SERIES: dict[str, list[Message]] = {
    "stins": [
        [_json(htype="header", msg_number=1, filename="")],
        [_json(htype="image", msg_number=2, frame=0, shape=[2, 3], type="uint16", compression="none"), bytes(12)],
        [_json(htype="series_end", msg_number=3)],
    ],
    "dectris-v1": _DECTRIS_V1,
    "eiger-legacy": _DECTRIS_V1,
    "dectris-v2": [
        _dectris_v2(type="start", series_id=6, number_of_images=1, channels=["threshold_1"]),
        _dectris_v2(type="image", series_id=6, image_id=0, data={"threshold_1": _PIXELS}),
        _dectris_v2(type="end", series_id=6),
    ],
    "contrast": [
        [pickle.dumps({"status": "started", "path": "/x", "scannr": 2, "description": "mesh"})],
        [pickle.dumps({"status": "running", "dt": 0.5, "sx": -2.0, "pseudo": {"x": np.arange(3.0)}}, protocol=2)],
        [pickle.dumps({"status": "finished", "path": "/x", "scannr": 2, "description": "mesh"})],
    ],
    "xspress3": [
        [_json(htype="header", filename="/x.h5")],
        [
            _json(htype="image", frame=0, shape=[2, 4], exptime=0.1, type="uint32", compression="none"),
            SPECTRA.tobytes(),
            pickle.dumps(COUNTERS, protocol=3),
        ],
        [_json(htype="series_end")],
    ],
    "albaem": [
        [_json(message_id=1, version=1, message_type="series-start")],
        [
            _json(
                message_id=2,
                version=1,
                message_type="data",
                frame_number=0,
                timestamp=0.5,
                acquisition_timestamp=1704807770443944912,
                channel1=-2.8e-11,
            )
        ],
        [_json(message_id=3, version=1, message_type="series-end")],
    ],
    "pandabox": [
        [_json(message_id=1, version=1, message_type="series-start", arm_time="2024-10-07T08:49:10.627Z")],
        [_json(message_id=2, version=1, message_type="data", frame_number=0, energy=[8879.1, 8879.3], mode="x")],
        [_json(message_id=3, version=1, message_type="series-end")],
    ],
    "pandabox-text": [
        [b"arm_time: 2024-01-02T03:04:05.678Z\nmissed: 0\nfields:\n INENC1.VAL double Mean\n\n"],
        [b" 0.25\n"],
        [b"END 0 Disarmed\n"],
    ],
    "lecroy": [
        [_json(htype="msg", what=0, frame=0)],
        [_json(htype="msg", what=1, frame=0, ntriggers=-1, seqno=0, channels=[2, 4])],
        _traces(2, 0),
        _traces(4, 1),
        [_json(htype="msg", what=2, frame=2)],
        [_json(htype="msg", what=3, frame=2, frames=2)],
    ],
    "sardana": [
        [_json(type="DataDescription", serialno=1, scandir="/x", title="ascan")],
        [_json(type="RecordData", timestamp=0.1, point_nb=0, motor=0.5)],
        [_json(type="RecordEnd")],
    ],
}
"""For each protocol by name: the messages of one series with one event."""


class _Calls:
    """Pickles to a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def _named(module: bytes, name: bytes, arguments: bytes = b"(t") -> bytes:
    return b"\x80\x02c" + module + b"\n" + name + b"\n" + arguments + b"R."


def _array(dtype: bytes, shape: bytes, content: bytes) -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)C\x01btR"
    element = b"cnumpy\ndtype\n(X" + struct.pack("<I", len(dtype)) + dtype + b"\x89\x88tR(K\x03U\x01<NNNJ"
    element += b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return b"\x80\x03" + made + b"(K\x01" + shape + element + b"\x89" + content + b"tb."


def _tenfold(levels: int) -> bytes:
    """Return a list of ten times the same list of ten times the same list: 10**levels elements in a few bytes."""
    body = b"N"
    for level in range(levels):
        inner = body if level == 0 else body + (b"h" + bytes([level - 1])) * 9
        body = b"]q" + bytes([level]) + b"(" + inner + b"e"
    return b"\x80\x02" + body + b"."


_EVALUATED = b"__import__('os').system('true')"
_LATIN1 = b"c_codecs\nencode\n"

PICKLES: dict[str, bytes] = {
    "os.system": _named(b"os", b"system", b"(U\x04trueT\x00\x00\x00\x00t"),
    "posix.system, protocol 0": b"cposix\nsystem\n(S'true'\ntR.",
    "builtins.eval": _named(b"builtins", b"eval", b"(U" + bytes([len(_EVALUATED)]) + _EVALUATED + b"t"),
    "builtins.getattr": _named(b"builtins", b"getattr", b"(]U\x06appendt"),
    "reduce to exec": pickle.dumps(_Calls(exec, "raise SystemExit")),
    "reduce to open": pickle.dumps(_Calls(open, "/dev/null")),
    "import by protocol 4": pickle.dumps(_Calls(__import__, "antigravity"), protocol=4),
    "subprocess in a list": b"\x80\x04](\x8c\nsubprocess\x8c\x05Popen\x93]\x8c\x04true\x85Re.",
    "a class as value": b"\x80\x02cnumpy\nndarray\n.",
    "a name with dots": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
    "state for a name": b"\x80\x02cnumpy\nndarray\n}U\x01xK\x01sb.",
    "state for a dict": b"\x80\x02}}U\x01xK\x01sb.",
    "calls a number": b"\x80\x02K\x01(tR.",
    "instance by INST": b"\x80\x02(U\x04trueios\nsystem\n.",
    "instance by OBJ": b"\x80\x02(cos\nsystem\nU\x04trueo.",
    "persistent id": b"\x80\x02Pevil\n.",
    "extension registry": b"\x80\x02\x82\x01.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "pandas by name": _named(b"pandas.core.frame", b"DataFrame"),
    "numpy.load": _named(b"numpy", b"load", b"(U\x09/dev/zerot"),
    "array of objects": pickle.dumps(np.array([{}, None], dtype=object)),
    "array of records": pickle.dumps(np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])),
    "masked array": pickle.dumps(np.ma.masked_array([1, 2], [True, False])),
    "array of 2**62 elements": _array(b"f8", b"(\x8a\x08" + struct.pack("<q", 1 << 62) + b"t", b"C\x08" + bytes(8)),
    "array of negative length": _array(b"f8", b"(J\xff\xff\xff\xfft", b"C\x00"),
    "array of no shape": _array(b"f8", b"N", b"C\x00"),
    "array of pointers": _array(b"O8", b"(K\x01t", b"C\x08" + bytes(8)),
    "array whose content is a list": _array(b"f8", b"(K\x01t", b"]"),
    "array of type V": _array(b"V999999999", b"(K\x00t", b"C\x00"),
    "scalar of objects": b"\x80\x02cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02O8\x89\x88tRU\x01xtR.",
    "array without its type": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(U\x01xU\x02f8)U\x01CtR.",
    "text of 2**62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
    "bytes of 2**64 - 1 bytes": b"\x80\x04\x8e" + b"\xff" * 8 + b"x.",
    "bytearray of 2**40 bytes": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "frame of 2**63 bytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 63) + b"N.",
    "memo number 2**32 - 1, then lost": b"\x80\x02](Nr\xff\xff\xff\xffh\x07e.",
    "integer of 2**31 - 1 bytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "lists that unfold to 10**30": _tenfold(31),
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a dict in itself": b"\x80\x02}q\x00U\x01xh\x00s.",
    "lists nested 20,000 deep": b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",
    "tuples nested 100,000 deep": b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "nested tuples as key": b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s.",
    "a list as key": b"\x80\x02}]K\x01s.",
    "5,000 numbers that collide": b"\x80\x02}("
    + b"".join(b"\x8a\x0a" + (n * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for n in range(5000))
    + b"u.",
    "300,000 opcodes": b"\x80\x02]" + b"Na" * 150_000 + b".",
    "one text of 100 kB encoded 2,000 times": b"\x80\x02](X"
    + struct.pack("<I", 100_000)
    + b"x" * 100_000
    + b"q\x00"
    + (_LATIN1 + b"(h\x00U\x06latin1tR") * 2000
    + b"e.",
    "nothing": b"",
    "only a stop": b"\x80\x02.",
    "no stop": b"\x80\x02N",
    "protocol 9": b"\x80\x09N.",
    "protocol 0": b"I1\n.",
    "mark without end": b"\x80\x02(((N.",
    "elements without a list": b"\x80\x02(K\x01e.",
    "key without value": b"\x80\x02}(K\x01u.",
    "text that is not UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "bytes behind the end": b"\x80\x02}.garbage",
    "a name without end": b"\x80\x02cos" + b"x" * 1000,
}
"""Pickles by what is wrong with them; none is plain data, and each must be refused."""

TEXTS: dict[str, bytes] = {
    "empty": b"",
    "a brace": b"{",
    "not UTF-8": b'{"htype":"\xff\xfe"}',
    "a lone surrogate": b'{"htype":"\\ud800","x":NaN}',
    "null": b"null",
    "a list": b"[1,2]",
    "a number": b"1e999",
    "lists nested 100,000 deep": b"[" * 100_000,
    "objects nested 100,000 deep": b'{"htype":' * 100_000,
    "nested in an unknown key": b'{"x":' + b"[" * 900 + b"]" * 900 + b"}",
    "an integer of 5,000 digits": b'{"message_id":' + b"9" * 5000 + b"}",
    "binary": bytes(range(256)),
    "zeros": bytes(1000),
    "a long line": b" " + b"1.5 " * 40_000,
}
"""Headers that no JSON protocol takes."""

CBOR: dict[str, bytes] = {
    "array of 2**62 items": b"\x9b" + struct.pack(">Q", 1 << 62),
    "map of 2**62 items": b"\xbb" + struct.pack(">Q", 1 << 62),
    "text of 2**62 bytes": b"\x7b" + struct.pack(">Q", 1 << 62),
    "bytes of 2**40 bytes": b"\x5b" + struct.pack(">Q", 1 << 40),
    "tags nested 100,000 deep": b"\xc1" * 100_000 + b"\x00",
    "arrays nested 100,000 deep": b"\x81" * 100_000 + b"\x00",
    "endless": b"\x9f" + b"\x00" * 1000,
    "a shared value that is not there": b"\xd8\x1d\x00",
    "reserved": b"\x1c",
}
"""CBOR that asks for too much or is none."""

WRONG_VALUES: tuple[Any, ...] = (None, True, -1, 1.5, 1 << 70, "", "x" * 2000, "\x00", [], {}, [[1]], {"a": {}})
"""What a field may hold instead of what it should."""

WRONG_SHAPES: tuple[Any, ...] = (
    [1 << 40, 1 << 40],
    [-2, -3],
    [2, 3, 4, 5, 6, 7],
    [],
    [True, 3],
    [2.0, 3],
    ["2", 3],
    [0, 0],
    [1 << 63],
    "2x3",
)


def truncations(message: Message) -> Iterator[Message]:
    """Yield ``message`` with each part cut, left out, doubled or swapped."""
    for index, part in enumerate(message):
        for length in {0, 1, len(part) // 2, len(part) - 1} - {len(part)}:
            yield [*message[:index], part[: max(length, 0)], *message[index + 1 :]]
        yield [*message[:index], part + b"\x00", *message[index + 1 :]]
        yield [*message[:index], *message[index + 1 :]]
        yield [*message, part]
    yield message[::-1] if len(message) > 1 else []


def wrong_types(message: Message, values: tuple[Any, ...] = WRONG_VALUES) -> Iterator[Message]:
    """Yield ``message`` with each key of each JSON part missing or with a value of the wrong type or size."""
    for index, part in enumerate(message):
        try:
            header = json.loads(part)
        except ValueError:
            continue
        if not isinstance(header, dict):
            continue
        for key in header:
            wrong = [*values, *(WRONG_SHAPES if key == "shape" else ())]
            changed = [header | {key: value} for value in wrong]
            changed.append({other: value for other, value in header.items() if other != key})
            for bad in changed:
                yield [*message[:index], json.dumps(bad).encode(), *message[index + 1 :]]


def attacks(protocol: str) -> Iterator[Message]:
    """Yield messages for ``protocol`` of which none is what a healthy device sends; a few are harmless all the same."""
    anything = [*PICKLES.values(), *TEXTS.values(), *CBOR.values()]
    for payload in anything:
        yield [payload]
    for message in SERIES[protocol]:
        yield from truncations(message)
        yield from wrong_types(message)
        for index in range(len(message)):
            for payload in anything:
                yield [*message[:index], payload, *message[index + 1 :]]
    for name, series in SERIES.items():
        if name != protocol:
            yield from series
