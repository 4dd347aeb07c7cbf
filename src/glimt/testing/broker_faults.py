"""What every message broker must do when something goes wrong, and with several receivers, as tests."""

# ruff: noqa: D102  a test's name is its sentence
from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from glimt.brokers.broker import (
    DEAD_LETTER_PREFIX,
    DIED_NS,
    MAX_DELIVERIES,
    ORIGIN,
    REASON,
    Broker,
    Outgoing,
    QueueSpec,
)
from glimt.model.errors import LostDeliveryError
from glimt.testing.broker_rig import BrokerRig

_HOLDS_ON = """
broker.subscribe("work", prefetch=10)
while not (deliveries := broker.receive(10, timeout_s=10)):
    pass
print("holds", len(deliveries), flush=True)
time.sleep(600)
"""
_COMPETES = """
broker.subscribe("work", prefetch=20)
print("ready", flush=True)
silence = 0
while silence < 3:
    deliveries = broker.receive(7, timeout_s=1.0)
    silence = 0 if deliveries else silence + 1
    if deliveries:
        broker.settle(deliveries, [Outgoing(d.body, queue="other") for d in deliveries])
        print(*(d.body.decode() for d in deliveries), flush=True)
broker.close()
"""


class BrokerFaults(BrokerRig):
    """Tests of refusals, losses and several receivers; a part of `glimt.testing.broker_contract.BrokerContract`."""

    # Refusing

    def test_a_refused_message_is_a_dead_letter_that_says_why(self, broker: Broker) -> None:
        sent = Outgoing(b"\0bad", queue="work", headers={"x": 1, "s": "é"}, message_id="mine")
        broker.send([sent])
        broker.subscribe("work")
        (delivery,) = self._take(broker, 1)
        before = time.time_ns()
        broker.refuse(delivery, "no file\n'ä'")
        assert broker.receive(timeout_s=self.quiet_s) == []
        dead = self._peek(broker, "dlq.work", 1)[0]
        assert (dead.body, dead.message_id, dead.queue) == (b"\0bad", "mine", "dlq.work")
        died_ns = dead.headers[DIED_NS]
        assert isinstance(died_ns, int)
        assert before - 10**9 <= died_ns <= time.time_ns() + 10**9
        assert {**dead.headers, DIED_NS: 0} == {"x": 1, "s": "é", REASON: "no file\n'ä'", ORIGIN: "work", DIED_NS: 0}

    def test_a_dead_letter_can_be_sent_back_without_loss(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        broker.subscribe("work")
        broker.refuse(self._take(broker, 1)[0], "why")
        broker.subscribe("dlq.work", prefetch=10)
        (dead,) = self._take(broker, 1)
        broker.settle([dead], [Outgoing(dead.body, queue=str(dead.headers[ORIGIN]))])
        (again,) = self._take(broker, 1)
        assert (again.queue, again.body, again.n_deliveries) == ("work", b"x", 1)

    def test_a_dead_letter_that_is_refused_stays_one(self, broker: Broker, another: Callable[[], Broker]) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        broker.subscribe("work")
        broker.refuse(self._take(broker, 1)[0], "why")
        for _ in range(MAX_DELIVERIES + 2):
            reader = another()
            reader.subscribe("dlq.work")
            reader.refuse(self._take(reader, 1)[0], "not now")
            reader.close()
        assert self._peek(broker, "dlq.work", 1)[0].headers[REASON] == "why"
        assert not [s.name for s in broker.status() if s.name.startswith(2 * DEAD_LETTER_PREFIX)]

    def test_a_queue_without_dead_letters_throws_refused_messages_away(self, broker: Broker) -> None:
        broker.declare([QueueSpec("volatile", has_dead_letters=False)])
        broker.send([Outgoing(b"x", queue="volatile")])
        broker.subscribe("volatile")
        broker.refuse(self._take(broker, 1)[0], "why")
        assert broker.receive(timeout_s=self.quiet_s) == []
        assert "dlq.volatile" not in {status.name for status in broker.status()}

    def test_a_message_may_be_tried_again_later(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work", headers={"h": "v"}, message_id="id")])
        broker.subscribe("work")
        start = time.monotonic()
        broker.refuse(self._take(broker, 1)[0], "not yet", retry_after_s=self.delay_s)
        (again,) = self._take(broker, 1)
        assert self.delay_s * 0.95 <= time.monotonic() - start < self.delay_s + self.slack_s
        assert (again.body, again.queue, again.message_id) == (b"x", "work", "id")
        assert (dict(again.headers), again.n_deliveries) == ({"h": "v"}, 2)

    def test_a_message_that_is_tried_again_is_still_thrown_away_in_time(self, broker: Broker) -> None:
        broker.subscribe("work", prefetch=2)
        broker.send([Outgoing(b"brief", queue="work", expiration_s=2 * self.delay_s)])
        (brief,) = self._take(broker, 1)
        broker.refuse(brief, "not now", retry_after_s=3 * self.delay_s)
        broker.send([Outgoing(b"after it", queue="work", delay_s=4 * self.delay_s)])
        assert [delivery.body for delivery in self._take(broker, 1)] == [b"after it"]

    def test_a_message_is_not_tried_for_ever(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        broker.subscribe("work")
        for n in range(1, MAX_DELIVERIES + 1):
            (delivery,) = self._take(broker, 1)
            assert delivery.n_deliveries == n
            broker.refuse(delivery, f"try {n}", retry_after_s=0.0)
        assert broker.receive(timeout_s=self.quiet_s) == []
        assert self._peek(broker, "dlq.work", 1)[0].headers[REASON] == f"try {MAX_DELIVERIES}"

    def test_a_message_that_ends_its_receivers_becomes_a_dead_letter(
        self, broker: Broker, another: Callable[[], Broker]
    ) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        for _ in range(MAX_DELIVERIES):
            victim = another()
            victim.subscribe("work")
            self._take(victim, 1, within_s=self.take_over_s)
            victim.close()
        dead = self._peek(broker, "dlq.work", 1)[0]
        assert dead.headers[ORIGIN] == "work"
        assert self._content(broker, "work", 0) == []

    def test_a_delivery_cannot_be_refused_after_it_was_settled(self, broker: Broker) -> None:
        broker.send([Outgoing(b"x", queue="work")])
        broker.subscribe("work")
        taken = self._take(broker, 1)
        broker.settle(taken)
        with pytest.raises(LostDeliveryError):
            broker.refuse(taken[0], "changed my mind")

    # Several connections

    @pytest.mark.parametrize("exclusive", [True, False])
    def test_one_receiver_gets_everything_until_it_goes(
        self, broker: Broker, another: Callable[[], Broker], exclusive: bool
    ) -> None:
        broker.declare([QueueSpec("single", single_consumer=not exclusive)])
        first, second = another(), another()
        for receiver in (first, second):
            receiver.subscribe("single", prefetch=3, exclusive=exclusive)
        broker.send([Outgoing(b"%d" % n, queue="single") for n in range(6)])
        mine = self._take(first, 3)
        assert second.receive(10, timeout_s=self.quiet_s) == []
        first.settle(mine[:1])
        first.close()
        taken = self._take(second, 3, within_s=self.take_over_s)
        assert [delivery.body for delivery in taken] == [b"1", b"2", b"3"]

    def test_broadcasts_reach_all_who_listen_then(self, broker: Broker, another: Callable[[], Broker]) -> None:
        broker.declare([], topics=["command"])
        broker.send([Outgoing(b"too early", topic="command")])
        first, second = another(), another()
        for listener in (first, second):
            listener.listen("command")
        broker.send([Outgoing(b"all", topic="command", headers={"h": 1}), Outgoing(b"nobody", topic="command2")])
        for listener in (first, second):
            (heard,) = self._take(listener, 1)
            assert (heard.body, heard.queue, heard.topic) == (b"all", "", "command")
            assert dict(heard.headers) == {"h": 1}
            assert heard.message_id
            listener.settle([heard])
        first.close()
        broker.send([Outgoing(b"again", topic="command")])
        assert [d.body for d in self._take(second, 1)] == [b"again"]
        assert second.receive(timeout_s=self.quiet_s) == []

    def test_broadcasts_and_queues_are_received_together(self, broker: Broker) -> None:
        broker.listen("new topic")
        broker.subscribe("work")
        broker.send([Outgoing(b"t", topic="new topic"), Outgoing(b"q", queue="work")])
        assert sorted(d.body for d in self._take(broker, 2)) == [b"q", b"t"]

    def test_another_thread_can_wake_a_receiver(self, broker: Broker) -> None:
        broker.subscribe("work")
        timer = threading.Timer(0.2, broker.wake)
        timer.start()
        start = time.monotonic()
        assert broker.receive(timeout_s=self.patience_s) == []
        assert time.monotonic() - start < self.patience_s / 2
        timer.join()

    # Several processes

    def test_what_a_killed_process_had_comes_again(self, place: str, broker: Broker) -> None:
        self._needs("across_processes")
        broker.send([Outgoing(b"%d" % n, queue="work") for n in range(3)])
        process = self._process(place, _HOLDS_ON)
        assert process.stdout is not None
        try:
            n_held = int(process.stdout.readline().split()[1])
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        broker.subscribe("work", prefetch=10)
        taken = self._take(broker, 3, within_s=self.take_over_s)
        assert sorted(delivery.body for delivery in taken) == [b"0", b"1", b"2"]
        assert sum(delivery.n_deliveries == 2 for delivery in taken) >= n_held

    def test_two_processes_share_the_messages_and_none_comes_twice(self, place: str, broker: Broker) -> None:
        self._needs("across_processes")
        processes = [self._process(place, _COMPETES) for _ in range(2)]
        outputs = [process.stdout for process in processes if process.stdout is not None]
        assert [output.readline() for output in outputs] == ["ready\n"] * 2
        for first in range(0, self.n_competing, 100):
            broker.send([Outgoing(b"%d" % n, queue="work") for n in range(first, first + 100)])
        shares = [[int(number) for number in output.read().split()] for output in outputs]
        assert [process.wait() for process in processes] == [0, 0]
        for output in outputs:
            output.close()
        assert sorted(number for share in shares for number in share) == list(range(self.n_competing))
        assert all(shares)
        broker.subscribe("other", prefetch=self.n_competing)
        passed_on = Counter(int(delivery.body) for delivery in self._take(broker, self.n_competing))
        assert passed_on == Counter(range(self.n_competing))
