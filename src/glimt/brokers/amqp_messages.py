"""Messages as RabbitMQ carries them: from `Outgoing` to properties, from what came to `Delivery`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from glimt.brokers.amqp_connection import Incoming
from glimt.brokers.amqp_frames import Properties, as_header
from glimt.brokers.broker import DIED_NS, ORIGIN, REASON, Delivery, Header, Outgoing
from glimt.brokers.dead_letter import NEVER_SETTLED, dead_letter_headers, is_dead_letter_queue
from glimt.brokers.outgoing_check import new_message_id

RETRIES = "glimt-retries"
"""Header: how often a message was delivered before it was sent again, to be tried later."""
EXPIRES_NS = "glimt-expires-ns"
"""Header: when a delayed message is thrown away [ns, UTC]; its own time would run out while it is held back."""
_OWN = ("x-", RETRIES, EXPIRES_NS)
_WHY = {"delivery_limit": NEVER_SETTLED, "expired": "nobody took it in time"}


def properties_of(message: Outgoing) -> Properties:
    """Return what a message that was checked carries beside its body."""
    headers: dict[str, Any] = dict(message.headers)
    expiration = ""
    if message.expiration_s is not None:
        if message.delay_s:
            headers[EXPIRES_NS] = time.time_ns() + round(message.expiration_s * 1e9)
        else:
            expiration = str(round(message.expiration_s * 1000))
    return Properties(
        headers,
        message.message_id or new_message_id(),
        "application/json" if message.body[:1] in (b"{", b"[") else "",
        expiration,
        message.priority,
    )


def count_deliveries(message: Incoming) -> int:
    """Return how often a message was delivered, this time included."""
    headers = message.properties.headers
    counted = headers.get("x-delivery-count")  # of quorum queues; others only tell whether it is the first time
    before = counted if isinstance(counted, int) else int(message.was_delivered)
    retries = headers.get(RETRIES)
    return 1 + before + (retries if isinstance(retries, int) and retries > 0 else 0)


def has_expired(message: Incoming) -> bool:
    """Say whether a message that was held back came after its time."""
    expires_ns = message.properties.headers.get(EXPIRES_NS)
    return isinstance(expires_ns, int) and expires_ns < time.time_ns()


def delivery_of(message: Incoming, queue: str, topic: str, token: object) -> Delivery:
    """Return what came as a delivery."""
    properties = message.properties
    headers: dict[str, Header] = {
        name: as_header(value) for name, value in properties.headers.items() if not name.startswith(_OWN)
    }
    if is_dead_letter_queue(queue) and REASON not in headers:
        headers |= _reasons(properties.headers)
    return Delivery(
        message.body,
        queue,
        topic,
        headers,
        properties.message_id or _stable_id(message),
        count_deliveries(message),
        properties.priority,
        token,
    )


def dead_letter_of(message: Incoming, queue: str, reason: str) -> Properties:
    """Return the properties of a dead letter."""
    return _copy(message, dead_letter_headers(_kept(message), reason, queue))


def repeated(message: Incoming, n_deliveries: int) -> Properties:
    """Return the properties of a message that is sent again to be tried later."""
    headers = _kept(message) | {RETRIES: n_deliveries}
    expires_ns = message.properties.headers.get(EXPIRES_NS)
    return _copy(message, headers if expires_ns is None else headers | {EXPIRES_NS: expires_ns})


def peeked_copy(message: Incoming) -> Properties:
    """Return the properties of a message that is sent again only because it was looked at."""
    headers = message.properties.headers
    return _copy(message, _kept(message) | {name: headers[name] for name in (RETRIES, EXPIRES_NS) if name in headers})


def _kept(message: Incoming) -> dict[str, Any]:
    return {name: value for name, value in message.properties.headers.items() if not name.startswith(_OWN)}


def _copy(message: Incoming, headers: Mapping[str, Any]) -> Properties:
    properties = message.properties
    identity = properties.message_id or _stable_id(message)
    return Properties(headers, identity, properties.content_type, "", properties.priority)


def _stable_id(message: Incoming) -> str:
    """Return an identity for a message that came without (Zocalo's do), the same at each delivery."""
    return hashlib.blake2b(message.body, digest_size=16).hexdigest()


def _reasons(headers: Mapping[str, Any]) -> dict[str, Header]:
    """Return what RabbitMQ says about a message that it made a dead letter by itself."""
    deaths = headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping) else {}
    why = str(death.get("reason", headers.get("x-first-death-reason", "")))
    queue = str(death.get("queue", headers.get("x-first-death-queue", "")))
    if not why:
        return {}
    return {REASON: _WHY.get(why, f"RabbitMQ says: {why}"), ORIGIN: queue, DIED_NS: _nanoseconds(death.get("time"))}


def _nanoseconds(when: Any) -> int:
    try:
        return int(datetime.fromisoformat(str(when)).timestamp()) * 10**9
    except ValueError:
        return 0
