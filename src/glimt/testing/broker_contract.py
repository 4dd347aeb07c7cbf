"""What every message broker must do, as tests: inherit from `BrokerContract` and say how to make and reach one."""

# ruff: noqa: D102  a test's name is its sentence
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from glimt.brokers.broker import (
    Broker,
    Outgoing,
    QueueSpec,
)
from glimt.model.errors import BrokerError, GlimtError, LostDeliveryError, UnknownQueueError
from glimt.testing.broker_faults import BrokerFaults


class BrokerContract(BrokerFaults):
    """Tests of a message broker; what can be set is told by `glimt.testing.broker_rig.BrokerRig`."""

    # Messages

    def test_messages_come_in_the_order_of_sending(self, broker: Broker) -> None:
        broker.send([Outgoing(b"%d" % n, queue="work") for n in range(50)])
        broker.send([Outgoing(b"%d" % n, queue="work") for n in range(50, 60)])
        broker.subscribe("work", prefetch=100)
        taken = self._take(broker, 60)
        assert [delivery.body for delivery in taken] == [b"%d" % n for n in range(60)]
        assert {(d.queue, d.topic, d.n_deliveries, d.priority) for d in taken} == {("work", "", 1, 0)}

    def test_an_empty_queue_gives_nothing_and_takes_its_time(self, broker: Broker) -> None:
        broker.subscribe("work")
        assert broker.receive() == []
        start = time.monotonic()
        assert broker.receive(5, timeout_s=self.quiet_s) == []
        assert self.quiet_s * 0.9 <= time.monotonic() - start < self.quiet_s + self.slack_s

    def test_receive_returns_before_the_limit_is_reached(self, broker: Broker) -> None:
        broker.subscribe("work", prefetch=100)
        broker.send([Outgoing(b"x", queue="work")])
        start = time.monotonic()
        assert len(broker.receive(100, timeout_s=self.patience_s)) == 1
        assert time.monotonic() - start < self.patience_s / 2

    @pytest.mark.parametrize("body", [b"", b"\0\xff\x80\r\n", bytes(range(256)) * 20_000, "Ångström".encode()])
    def test_bodies_are_bytes_of_any_kind_and_length(self, broker: Broker, body: bytes) -> None:
        broker.send([Outgoing(body, queue="work")])
        assert self._content(broker, "work", 1) == [body]

    def test_headers_and_identity_come_as_sent(self, broker: Broker) -> None:
        headers = {
            "workflows-recipe": True, "off": False, "none": None, "n": -(2**62), "x": 1e-300, "empty": "",
            "": "no name",
            "line": "a\r\nb: c\0d", "text": "Ångström '; DROP TABLE message; -- {0.__class__}", "long": "x" * 20_000,
            "ü" * 60: "name",
        }  # fmt: skip
        broker.send([Outgoing(b"x", queue="work", headers=headers, message_id="step 1 / 'ü'")])
        broker.subscribe("work")
        (delivery,) = self._take(broker, 1)
        assert dict(delivery.headers) == headers
        assert {name: type(value) for name, value in delivery.headers.items()} == {
            k: type(v) for k, v in headers.items()
        }
        assert delivery.message_id == "step 1 / 'ü'"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"headers": {"n": 2**70}},
            {"headers": {"list": [1]}},
            {"headers": {"lone": "\ud800"}},
            {"headers": {3: "x"}},
            {"priority": 10},
            {"priority": -1},
            {"delay_s": -1.0},
            {"delay_s": float("nan")},
            {"expiration_s": float("inf")},
            {"body": "text"},
            {"queue": ""},
            {"topic": "both"},
            {"message_id": "\ud800"},
        ],
    )
    def test_a_message_that_makes_no_sense_is_refused_and_nothing_is_sent(self, broker: Broker, wrong: Any) -> None:
        bad = replace(Outgoing(b"bad", queue="work"), **wrong)
        with pytest.raises(GlimtError):
            broker.send([Outgoing(b"good", queue="work"), bad])
        assert self._content(broker, "work", 0) == []

    def test_urgent_messages_come_first(self, broker: Broker) -> None:
        self._needs("by_priority")
        for priority in (0, 5, 9, 5, 0):
            broker.send([Outgoing(b"%d" % priority, queue="work", priority=priority)])
        broker.subscribe("work", prefetch=1)
        order = []
        for _ in range(5):
            taken = self._take(broker, 1)
            order.append((taken[0].body, taken[0].priority))
            broker.settle(taken)
        assert order == [(b"9", 9), (b"5", 5), (b"5", 5), (b"0", 0), (b"0", 0)]

    def test_a_delayed_message_comes_when_it_is_due(self, broker: Broker) -> None:
        broker.subscribe("work", prefetch=10)
        start = time.monotonic()
        broker.send([Outgoing(b"late", queue="work", delay_s=self.delay_s), Outgoing(b"soon", queue="work")])
        assert self._take(broker, 1)[0].body == b"soon"
        assert time.monotonic() - start < self.delay_s
        (late,) = self._take(broker, 1)
        assert late.body == b"late"
        assert self.delay_s * 0.95 <= time.monotonic() - start < self.delay_s + self.slack_s

    def test_delays_of_different_length_do_not_wait_for_each_other(self, broker: Broker) -> None:
        broker.subscribe("work", prefetch=10)
        for delay_s in (4 * self.delay_s, self.delay_s, 2.5 * self.delay_s):
            broker.send([Outgoing(b"%d" % (1000 * delay_s), queue="work", delay_s=delay_s)])
        expected = [b"%d" % (1000 * factor * self.delay_s) for factor in (1, 2.5, 4)]
        assert [delivery.body for delivery in self._take(broker, 3)] == expected

    def test_what_nobody_took_in_time_is_thrown_away(self, broker: Broker) -> None:
        broker.send([Outgoing(b"old", queue="work", expiration_s=self.delay_s), Outgoing(b"new", queue="work")])
        time.sleep(2 * self.delay_s)
        assert self._content(broker, "work", 1) == [b"new"]

    def test_a_queue_may_throw_old_messages_away(self, broker: Broker) -> None:
        broker.declare([QueueSpec("fresh", expiration_s=self.delay_s), QueueSpec("now", expiration_s=0.0)])
        broker.send([Outgoing(b"a", queue="fresh"), Outgoing(b"nobody waits", queue="now")])
        time.sleep(2 * self.delay_s)
        assert self._content(broker, "fresh", 0) == []
        broker.subscribe("now", prefetch=1)
        assert broker.receive(timeout_s=self.quiet_s) == []
        broker.send([Outgoing(b"somebody waits", queue="now")])
        assert [delivery.body for delivery in self._take(broker, 1)] == [b"somebody waits"]

    def test_no_more_than_the_prefetch_is_unsettled(self, broker: Broker) -> None:
        broker.send([Outgoing(b"%d" % n, queue="work") for n in range(5)])
        broker.subscribe("work", prefetch=2)
        first = self._take(broker, 2)
        assert broker.receive(10, timeout_s=self.quiet_s) == []
        broker.settle(first[:1])
        assert [delivery.body for delivery in self._take(broker, 1)] == [b"2"]
        assert broker.receive(10, timeout_s=self.quiet_s) == []

    def test_several_queues_may_be_received_from(self, broker: Broker) -> None:
        broker.subscribe("work", prefetch=1)
        broker.subscribe("other", prefetch=2)
        broker.send([Outgoing(b"w", queue="work"), Outgoing(b"o", queue="other"), Outgoing(b"p", queue="other")])
        taken = self._take(broker, 3)
        assert sorted((delivery.queue, delivery.body) for delivery in taken) == [
            ("other", b"o"), ("other", b"p"), ("work", b"w"),
        ]  # fmt: skip
        broker.settle(taken)

    # Settling

    def test_settling_acknowledges_and_sends(self, broker: Broker, another: Callable[[], Broker]) -> None:
        broker.send([Outgoing(b"%d" % n, queue="work") for n in range(3)])
        broker.subscribe("work", prefetch=10)
        taken = self._take(broker, 3)
        broker.settle(taken[:2], [Outgoing(b"sum", queue="other"), Outgoing(b"again", queue="work")])
        assert self._content(another(), "other", 1) == [b"sum"]
        broker.close()
        assert self._content(another(), "work", 2) == [b"2", b"again"]

    def test_nothing_is_acknowledged_when_a_queue_is_unknown(
        self, broker: Broker, another: Callable[[], Broker]
    ) -> None:
        self._needs("sends_whole")
        broker.send([Outgoing(b"in", queue="work")])
        broker.subscribe("work")
        taken = self._take(broker, 1)
        with pytest.raises(UnknownQueueError, match="nowhere"):
            broker.settle(taken, [Outgoing(b"a", queue="other"), Outgoing(b"b", queue="nowhere")])
        reader = another()
        assert self._content(reader, "other", 0) == []
        broker.settle(taken, [Outgoing(b"right", queue="other")])  # still its own
        assert self._content(reader, "other", 1) == [b"right"]

    def test_it_says_whether_a_queue_is_there(self, broker: Broker) -> None:
        assert broker.has_queue("work")
        assert not broker.has_queue("nowhere")
        assert not broker.has_queue("half a character: \ud800")
        assert broker.has_queue("work", exchange="\ud800") in {True, False}  # those in a file and in memory have none

    def test_nothing_is_sent_when_a_queue_is_unknown(self, broker: Broker) -> None:
        with pytest.raises(UnknownQueueError, match="nowhere") as failure:
            broker.send([Outgoing(b"a", queue="work"), Outgoing(b"b", queue="nowhere"), Outgoing(b"c", queue="work")])
        assert failure.value.queue == "nowhere"
        assert self._content(broker, "work", 0) == []

    @pytest.mark.parametrize("name", ["nowhere", "dlq.nowhere", "'", "ü", "x" * 200])
    def test_an_unknown_queue_cannot_be_subscribed_to(self, broker: Broker, name: str) -> None:
        with pytest.raises(UnknownQueueError):
            broker.subscribe(name)
        broker.send([Outgoing(b"still", queue="work")])
        assert self._content(broker, "work", 1) == [b"still"]

    def test_a_delivery_is_settled_once(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work"), Outgoing(b"y", queue="work")])
        broker.subscribe("work", prefetch=10)
        first, second = self._take(broker, 2)
        broker.settle([first])
        for again in ([first], [second, first]):
            with pytest.raises(LostDeliveryError):
                broker.settle(again, [Outgoing(b"twice", queue="other")])
        broker.settle([second], [Outgoing(b"once", queue="other")])
        assert self._content(broker, "other", 1) == [b"once"]

    def test_a_delivery_of_another_connection_cannot_be_settled(
        self, broker: Broker, another: Callable[[], Broker]
    ) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        broker.subscribe("work")
        (theirs,) = self._take(broker, 1)
        with pytest.raises(LostDeliveryError):
            another().settle([theirs])
        broker.settle([theirs])

    def test_a_lost_connection_is_made_again_and_its_messages_come_again(
        self, broker: Broker, another: Callable[[], Broker]
    ) -> None:
        broker.subscribe("work", prefetch=5)
        broker.send([Outgoing(b"a", queue="work", message_id="id-a"), Outgoing(b"b", queue="work")])
        first = self._take(broker, 2)
        self.cut(broker)
        with pytest.raises(LostDeliveryError):
            broker.settle(first, [Outgoing(b"too late", queue="other")])
        second = self._take(broker, 2, within_s=self.take_over_s)
        assert [d.body for d in second] == [b"a", b"b"]
        assert [d.message_id for d in second] == [d.message_id for d in first]
        assert all(d.message_id for d in second)
        assert [d.n_deliveries for d in second] == [2, 2]
        broker.settle(second, [Outgoing(b"in time", queue="other")])
        assert self._content(another(), "other", 1) == [b"in time"]

    def test_what_a_closed_connection_had_comes_again(self, broker: Broker, another: Callable[[], Broker]) -> None:
        broker.send([Outgoing(b"a", queue="work"), Outgoing(b"b", queue="work")])
        broker.subscribe("work", prefetch=2)
        first = self._take(broker, 2)
        broker.settle(first[1:])
        broker.close()
        broker.close()
        second = another()
        second.subscribe("work", prefetch=2)
        (again,) = self._take(second, 1, within_s=self.take_over_s)
        assert (again.body, again.message_id, again.n_deliveries) == (b"a", first[0].message_id, 2)

    def test_a_closed_connection_refuses(self, broker: Broker) -> None:
        broker.close()
        for use in (lambda: broker.send([Outgoing(b"x", queue="work")]), broker.receive, broker.status):
            with pytest.raises(BrokerError):
                use()

    # Looking

    def test_status_tells_what_is_where(self, broker: Broker, another: Callable[[], Broker]) -> None:
        broker.send([Outgoing(b"x", queue="work")] * 3 + [Outgoing(b"later", queue="other", delay_s=600)])
        receiver = another()
        receiver.subscribe("work", prefetch=1)
        self._take(receiver, 1)
        found = {status.name: status for status in broker.status()}
        assert list(found) == sorted(found)
        assert {"work", "other"} <= set(found)
        assert found["work"].n_ready == 2
        assert found["other"].n_ready == 0
        if self.counts_unsettled:
            assert found["work"].n_unsettled == 1
        if self.counts_delayed:
            assert found["other"].n_delayed == 1
        assert found["work"].n_receivers == (1 if self.counts_receivers else None)

    def test_looking_leaves_messages_where_they_are(self, broker: Broker) -> None:
        broker.send([Outgoing(b"%d" % n, queue="work", message_id=f"id{n}") for n in range(4)])
        for _ in range(2):
            assert [(d.body, d.message_id) for d in self._peek(broker, "work", 3, limit=3)] == [
                (b"%d" % n, f"id{n}") for n in range(3)
            ]
        assert self._content(broker, "work", 4) == [b"0", b"1", b"2", b"3"]
        with pytest.raises(UnknownQueueError):
            broker.peek("nowhere")

    def test_a_purged_queue_is_empty(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work")] * 5 + [Outgoing(b"stays", queue="other")])
        assert broker.purge("work") == 5
        assert broker.purge("work") == 0
        assert self._content(broker, "other", 1) == [b"stays"]
        with pytest.raises(UnknownQueueError):
            broker.purge("nowhere")

    def test_to_declare_again_changes_nothing(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        broker.declare([QueueSpec("work"), QueueSpec("other")], topics=["t", "t"], exchanges=["results"])
        assert self._content(broker, "work", 1) == [b"x"]
