"""Messages as RabbitMQ carries them: from `Outgoing` to properties, from what came to `Delivery`."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from glimt.brokers.amqp_connection import Incoming
from glimt.brokers.amqp_frames import Properties, as_header, encode_table
from glimt.brokers.broker import DIED_NS, MAX_DELIVERIES, ORIGIN, REASON, Delivery, Header, Outgoing
from glimt.brokers.dead_letter import NEVER_SETTLED, dead_letter_headers, is_dead_letter_queue
from glimt.brokers.outgoing_check import new_message_id

RETRIES = "glimt-retries"
"""Header: how often a message was delivered before it was sent again, to be tried later."""
EXPIRES_NS = "glimt-expires-ns"
"""Header: when a message is thrown away [ns, UTC]: its own time would run out while it is held back, and would begin
anew when it is sent again."""
RAW_PROPERTIES = "glimt-raw-properties"
"""Header of a dead letter whose properties could not be read: they themselves, in base 64."""
_MOST_RETURNS = 2
_MAX_TABLE_BYTES = 120_000
_SHORT_VALUE = 500
_LONGEST_NS = 10**18
_ADDED = (REASON, ORIGIN, DIED_NS, RETRIES, EXPIRES_NS)
_OWN = ("x-", RETRIES, EXPIRES_NS)
_WHY = {"delivery_limit": NEVER_SETTLED, "expired": "nobody took it in time"}


def properties_of(message: Outgoing) -> Properties:
    """Return what a message that was checked carries beside its body."""
    headers: dict[str, Any] = dict(message.headers)
    expiration = ""
    if message.expiration_s is not None:
        headers[EXPIRES_NS] = time.time_ns() + round((message.delay_s + message.expiration_s) * 1e9)
        if not message.delay_s:
            expiration = str(round(message.expiration_s * 1000))
    return Properties(
        headers,
        message.message_id or new_message_id(),
        "application/json" if message.body[:1] in (b"{", b"[") else "",
        expiration,
        message.priority,
    )


def n_returns(message: Incoming) -> int:
    """Return how often a message came back into its queue, whether anybody began with it or not."""
    counted = message.properties.headers.get("x-delivery-count")  # of quorum queues; others only tell the first time
    return counted if isinstance(counted, int) else int(message.was_delivered)


def count_deliveries(message: Incoming) -> int:
    """Return how often a message was delivered, this time included."""
    retries = message.properties.headers.get(RETRIES)
    return 1 + n_returns(message) + (retries if isinstance(retries, int) and retries > 0 else 0)


def is_worn(message: Incoming, most: int = _MOST_RETURNS + 1) -> bool:
    """Say whether a message came back so often (``most``) that a few times more would make it a dead letter."""
    return n_returns(message) >= most or (n_returns(message) > 0 and count_deliveries(message) > most)


def has_failed_too_often(message: Incoming) -> bool:
    """Say whether it is a message that ends its receivers.

    One that was tried to the last time, and came back just once since, may have been fetched ahead only.
    """
    return count_deliveries(message) > MAX_DELIVERIES and n_returns(message) >= _MOST_RETURNS


def has_expired(message: Incoming) -> bool:
    """Say whether a message that was held back, or sent again to be tried later, came after its time.

    RabbitMQ knows the time of others.
    """
    if message.properties.expiration:
        return False
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
        is_identified=bool(properties.message_id),
    )


def dead_letter_of(message: Incoming, queue: str, reason: str) -> Properties:
    """Return the properties of a dead letter."""
    return _copy(message, dead_letter_headers(_kept(message), reason, queue))


def repeated(message: Incoming, n_deliveries: int) -> Properties:
    """Return the properties of a message that is sent again to be tried later."""
    headers = _kept(message) | {RETRIES: n_deliveries}
    expires_ns = message.properties.headers.get(EXPIRES_NS)
    if expires_ns is None and message.properties.expiration.isdecimal():  # of Zocalo's services: counted from now on
        expires_ns = time.time_ns() + min(int(message.properties.expiration[:15]) * 10**6, _LONGEST_NS)
    return _copy(message, headers if expires_ns is None else headers | {EXPIRES_NS: expires_ns})


def fresh_copy(message: Incoming) -> Properties:
    """Return the properties of a message that is sent again because it was only looked at, or fetched ahead."""
    headers = message.properties.headers
    own = {name: headers[name] for name in (RETRIES, EXPIRES_NS) if name in headers}
    return replace(_copy(message, _kept(message) | own), expiration=message.properties.expiration)


def _kept(message: Incoming) -> dict[str, Any]:
    properties = message.properties
    if properties.problem:
        return {RAW_PROPERTIES: base64.b64encode(properties.raw[:60_000]).decode()}
    return {name: value for name, value in properties.headers.items() if not name.startswith(_OWN)}


def _copy(message: Incoming, headers: Mapping[str, Any]) -> Properties:
    properties = message.properties
    kept = dict(headers)
    if len(encode_table(kept)) > _MAX_TABLE_BYTES:  # with what was added they would fit into no frame
        kept = {name: value for name, value in kept.items() if name in _ADDED or len(repr(value)) <= _SHORT_VALUE}
        if len(encode_table(kept)) > _MAX_TABLE_BYTES:
            kept = {name: value for name, value in kept.items() if name in _ADDED}
    return Properties(kept, properties.message_id, properties.content_type, "", properties.priority)


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
