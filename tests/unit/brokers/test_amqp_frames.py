"""Frames and tables of AMQP, and addresses of brokers: what goes out comes in, and damage is an error."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import spec

from glimt.brokers.amqp_address import read_amqp_url
from glimt.brokers.amqp_confirms import Confirms
from glimt.brokers.amqp_frames import (
    Properties,
    decode_properties,
    decode_table,
    encode_properties,
    encode_table,
    publish_frames,
    readable_properties,
    take_frames,
)
from glimt.brokers.amqp_names import queue_arguments, rounded_ms
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.layout import LAYOUT, beamline_results
from glimt.brokers.outgoing_check import check_outgoing
from glimt.model.errors import BrokerError, UsageError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5), TEXT, st.integers(0, 9))
def test_properties_come_back_as_they_went(headers: dict[str, object], message_id: str, priority: int) -> None:
    sent = Properties(headers, message_id, "application/json", "1500", priority)
    data = encode_properties(sent)
    assert decode_properties(data, 0) == sent


def test_pika_reads_what_is_written() -> None:
    data = encode_properties(Properties({"a": True, "b": 5, "c": "Å", "d": [None]}, "id", "", "20", 3))
    found = spec.BasicProperties().decode(data)
    assert found.headers == {"a": True, "b": 5, "c": "Å", "d": [None]}
    assert (found.message_id, found.expiration, found.priority, found.delivery_mode) == ("id", "20", 3, 2)


def test_what_pika_writes_is_read() -> None:
    properties = spec.BasicProperties(
        headers={"n": 2**40}, correlation_id="c", reply_to="r", message_id="m", content_encoding="e", app_id="a"
    )
    found = decode_properties(b"".join(properties.encode()), 0)
    assert (found.headers, found.message_id) == ({"n": 2**40}, "m")


@given(st.binary(max_size=60))
def test_damaged_tables_raise_only_what_the_connection_expects(data: bytes) -> None:
    with suppress(struct.error, ValueError, IndexError, OverflowError, RecursionError):
        decode_table(data, 0)


@given(st.binary(max_size=60))
def test_properties_that_cannot_be_read_say_so(data: bytes) -> None:
    found = readable_properties(data, 0)
    assert bool(found.problem) == bool(found.raw)


def test_times_beyond_the_calendar_stay_numbers() -> None:
    table = b"\1tT" + (2**62).to_bytes(8, "big")
    assert decode_table(len(table).to_bytes(4, "big") + table, 0)[0] == {"t": 2**62}


def test_answers_for_messages_are_counted_in_any_order() -> None:
    confirms = Confirms()
    assert confirms.expect(5) == 1
    confirms.take(3, is_multiple=False, is_taken=False)
    confirms.take(2, is_multiple=True, is_taken=True)
    before = confirms.is_complete
    confirms.take(0, is_multiple=True, is_taken=False)
    assert (before, confirms.is_complete) == (False, True)
    assert (confirms.rejected(), confirms.rejected()) == ([3, 4, 5], [])
    with pytest.raises(ValueError, match="message 6, where 5"):
        confirms.take(6, is_multiple=False, is_taken=True)


@pytest.mark.parametrize("exchange", ["e" * 300, 5])
def test_exchanges_are_checked_before_anything_is_sent(exchange: Any) -> None:
    with pytest.raises(UsageError, match="exchange"):
        check_outgoing([Outgoing(b"", queue="q", exchange=exchange)])


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_frames_are_taken_whole_however_they_come(body: bytes, portion: int) -> None:
    data = b"".join(publish_frames(1, "", "queue", Properties(), body, frame_max=1000))
    buffer, taken = bytearray(), []
    for start in range(0, len(data), portion):
        buffer += data[start : start + portion]
        taken += list(take_frames(buffer, frame_max=1000))
    assert not buffer
    assert b"".join(payload for kind, _, payload in taken if kind == 3) == body


@pytest.mark.parametrize("data", [b"\1\0\1\xff\xff\xff\xff\0", b"\1\0\1\0\0\0\0\0"])
def test_a_frame_that_is_too_large_or_without_end_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        list(take_frames(bytearray(data), frame_max=1000))


def test_what_no_header_can_be_is_an_error() -> None:
    with pytest.raises(BrokerError, match="cannot be a object"):
        encode_table({"x": object()})


@pytest.mark.parametrize(
    ("url", "shown", "user"),
    [
        ("amqp://", "amqp://localhost:5672/", "guest"),
        ("amqp://u:p%40s@h/v?hosts=i,j:7", "amqp://h:5672,i:5672,j:7/v", "u"),
        ("amqps://u:p@h/%2Fv", "amqps://h:5671/v", "u"),
    ],
)
def test_addresses_are_read_and_shown_without_the_password(url: str, shown: str, user: str) -> None:
    address = read_amqp_url(url)
    assert (str(address), address.user) == (shown, user)
    assert "p@s" not in repr(address)


@pytest.mark.parametrize(
    "url", ["http://u:secret@h", "amqp://u:secret@h:x/", "amqp://u:secret@h/?heartbeat=0", "amqp://h/?x=1"]
)
def test_wrong_addresses_are_told_without_the_password(url: str) -> None:
    with pytest.raises(UsageError) as failure:
        read_amqp_url(url)
    assert "secret" not in str(failure.value)


@given(st.floats(0.0001, 1e6))
def test_delays_are_never_shorter_and_at_most_a_tenth_longer(delay_s: float) -> None:
    found = rounded_ms(delay_s)
    assert delay_s * 1000 <= found <= max(delay_s * 1100, delay_s * 1000 + 1)
    assert len(str(found).rstrip("0")) <= 2


def test_queues_are_made_as_diamond_makes_them() -> None:
    assert queue_arguments(QueueSpec("images")) == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dlq.images",
    }
    assert queue_arguments(beamline_results("i04")) == {"x-queue-type": "quorum", "x-message-ttl": 60_000}
    ssx = next(queue for queue in LAYOUT if queue.name == "per_image_analysis.ssx")
    assert queue_arguments(ssx)["x-message-ttl"] == 0
    assert len({queue.name for queue in LAYOUT}) == len(LAYOUT)
