"""Every protocol against everything a broken or hostile sender may send: DecodeError, and nothing else."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.codecs.registry import PROTOCOLS, protocol_named, protocol_of_type
from glimt.codecs.restricted_pickle import loads
from glimt.model.errors import DecodeError, UsageError
from hostile_wire import CBOR, PICKLES, SERIES, TEXTS, attacks, wrong_types

NAMES = list(PROTOCOLS)
PICKLED_PARTS = {"contrast": (1, 0), "xspress3": (1, 2), "lecroy": (2, 2)}  # message of the series, part of it


def packets_of(protocol: WireProtocol, messages: Sequence[Sequence[Any]]) -> list[Packet]:
    assembler = protocol.assembler()
    return [packet for message in messages for packet in assembler.push(message)]


def use(record: Any) -> None:
    """Do with a decoded record what a worker, a log and a capture do."""
    repr(record)
    str(record)
    record.to_frames()
    record.to_stream_data()
    for name in dir(type(record)):
        if isinstance(getattr(type(record), name, None), property):
            getattr(record, name)


def attempt(action: Any, argument: Any) -> tuple[Any, DecodeError | None]:
    """Return what ``action`` gives or why it refuses; any other exception is a failure of the test."""
    try:
        return action(argument), None
    except DecodeError as error:
        return None, error


def result_of(action: Any, argument: Any) -> Any:
    """Return what ``action`` gives, ``None`` if it refuses: then with what and where, in one line."""
    result, error = attempt(action, argument)
    if error is not None:
        assert error.what, argument
        assert error.where, argument
        assert "\n" not in str(error), argument
    return result


def use_series(name: str, messages: Sequence[Sequence[Any]]) -> None:
    for packet in packets_of(PROTOCOLS[name], messages):
        use(PROTOCOLS[name].decode(packet.frames))


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_has_a_good_series_for_every_protocol(name: str) -> None:
    kinds = [packet.kind for packet in packets_of(PROTOCOLS[name], SERIES[name])]
    assert kinds[0] is PacketKind.START
    assert kinds[-1] is PacketKind.END
    assert kinds.count(PacketKind.DATA) == (2 if name == "pandabox" else 1)
    use_series(name, SERIES[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_decodes_to_a_usable_record_or_to_a_decode_error(name: str) -> None:
    for message in attacks(name):
        record = result_of(PROTOCOLS[name].decode, message)
        if record is not None:
            result_of(use, record)


@pytest.mark.parametrize("name", NAMES)
def test_an_assembler_understands_the_next_series_after_every_attack(name: str) -> None:
    protocol = PROTOCOLS[name]
    expected = [(packet.kind, packet.frame_number) for packet in packets_of(protocol, SERIES[name])]
    assembler = protocol.assembler()
    for message in attacks(name):
        result_of(assembler.push, message)
    if name == "pandabox-text":  # a piece of text may end in the middle of a line
        assembler.push([b"\n"])
    packets = [packet for part in SERIES[name] for packet in assembler.push(part)]
    while packets and packets[0].kind is PacketKind.OTHER:  # what the attacks left unfinished
        del packets[0]
    assert [(packet.kind, packet.frame_number) for packet in packets] == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_header_of_any_other_kind_is_refused(name: str) -> None:
    others = [*TEXTS.items(), *CBOR.items(), *PICKLES.items()]
    for label, part in others:
        if name == "pandabox-text" and part.isascii():
            continue  # any text may be a line, outside a capture it is of no series
        assert result_of(PROTOCOLS[name].decode, [part]) is None, label


@pytest.mark.parametrize("label", list(PICKLES))
def test_no_pickle_but_plain_data_is_read(label: str) -> None:
    with pytest.raises(DecodeError, match=r"^contrast, part 0: "):
        loads(PICKLES[label], where="contrast, part 0")


@pytest.mark.parametrize("name", list(PICKLED_PARTS))
def test_no_pickle_but_plain_data_is_read_in_a_message(name: str) -> None:
    number, part = PICKLED_PARTS[name]
    messages = [list(message) for message in SERIES[name]]
    for label, attack in PICKLES.items():
        messages[number][part] = attack
        error = attempt(lambda series: use_series(name, series), messages)[1]
        assert error is not None, label


@pytest.mark.parametrize("name", NAMES)
def test_an_error_quotes_little_of_what_was_sent(name: str) -> None:
    for message in SERIES[name]:
        for attack in wrong_types(message, values=("x" * 100_000,)):
            error = attempt(PROTOCOLS[name].decode, attack)[1]
            assert error is None or len(str(error)) < 1000


def test_no_attack_costs_much_memory() -> None:
    payloads = {**PICKLES, **TEXTS, **CBOR}
    worst = ("", 0.0)
    tracemalloc.start()
    try:
        for name, protocol in PROTOCOLS.items():
            for label, payload in payloads.items():
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                result_of(protocol.decode, [payload])
                cost = tracemalloc.get_traced_memory()[1] - before
                worst = max(worst, (f"{label}, {name}", cost), key=lambda pair: pair[1])
    finally:
        tracemalloc.stop()
    assert worst[1] < 64 << 20, worst


def test_no_pickle_costs_much_time() -> None:
    for label, payload in PICKLES.items():
        start = time.process_time()
        result_of(lambda data: loads(data, where="test"), payload)
        assert time.process_time() - start < 3, label


def test_a_protocol_that_does_not_exist_is_named_with_those_that_do() -> None:
    assert protocol_named("xspress3") is PROTOCOLS["xspress3"]
    assert protocol_of_type("PCAP") is PROTOCOLS["pandabox"]
    with pytest.raises(UsageError, match="no protocol 'eiger'; there are: albaem, "):
        protocol_named("eiger")
    with pytest.raises(UsageError, match="no protocol has stream data of type 'x'"):
        protocol_of_type("x")
