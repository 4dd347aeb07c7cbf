"""Dead letters as files, in the form of ``zocalo.dlq_purge``, which ``zocalo.dlq_reinject`` reads as well."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimt.app.broker_message import origin, read_json
from glimt.brokers.broker import DIED_NS, REASON, Outgoing
from glimt.brokers.dead_letter import revived_headers
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.brokers.broker import Delivery

REINJECTED = "dlq-reinjected"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9._-]+")
_BODY = "body-base64"
_PRIORITY = "priority"
# Of the broker or of the receiver that exported it, not of the message.
_DROPPED = frozenset(
    {"content-length", "destination", "expires", "message-id", "original-destination", "originalExpiration",
     "subscription", "timestamp", "redelivered", "routing_key", "exchange", "consumer_tag", "delivery_mode", "x-death",
     "x-delivery-count", _PRIORITY}
)  # fmt: skip


def export_dead_letter(delivery: Delivery, folder: Path) -> Path:
    """Write a dead letter to ``FOLDER/YYYY-MM-DD/msg-YYYYmmdd-HHMMSS-ms-ID``, and return where it is; safe on the disk.

    A file of the same name that holds the same is left as it is; one that holds something else stays as well, and the
    new one gets a number.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    died_ns = delivery.headers.get(DIED_NS)
    died_s = 1e-9 * died_ns if isinstance(died_ns, int) else time.time()
    at = time.localtime(died_s)
    name = f"msg-{time.strftime('%Y%m%d-%H%M%S', at)}-{int(died_s * 1000) % 1000:03d}-"
    name += _NOT_IN_A_NAME.sub("_", delivery.message_id)[:150]
    content = _content(delivery, died_s)
    try:
        day = folder / time.strftime("%Y-%m-%d", at)
        day.mkdir(parents=True, exist_ok=True)
        number, path = 1, day / name
        while path.exists():
            if _is_same(path, content):
                return path
            number += 1
            path = day / f"{name}-{number}"
        _write(path, json.dumps(content, indent=2, sort_keys=True).encode())
    except OSError as error:
        raise UsageError(f"{folder}: a dead letter cannot be written: {error.strerror}") from None
    return path


def read_dead_letter(path: Path) -> Outgoing:
    """Return the message in a file as it is to be sent again, to the queue it was in.

    Raises
    ------
    UsageError
        The file cannot be read or holds no dead letter.
    """
    try:
        content = read_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: this is no dead letter: {error}") from None
    header = content.get("header") if isinstance(content, dict) else None
    if not isinstance(header, dict) or not isinstance(content, dict) or "message" not in content:
        raise UsageError(f"{path}: this is no dead letter: there must be header and message")
    queue = _queue(header)
    if not queue:
        raise UsageError(f"{path}: nothing says which queue the message was in; give --to")
    kept = {name: value for name, value in header.items() if name not in _DROPPED and _is_plain(value)}
    priority = header.get(_PRIORITY)
    return Outgoing(
        _read_body(content, path),
        queue=queue,
        headers={**revived_headers(kept), REINJECTED: "True"},
        message_id=str(header.get("message-id") or ""),
        priority=priority if isinstance(priority, int) else 0,
    )


def _content(delivery: Delivery, died_s: float) -> dict[str, Any]:
    reason = str(delivery.headers.get(REASON, ""))
    header = {
        **delivery.headers,
        "message-id": delivery.message_id,
        _PRIORITY: delivery.priority,
        "x-death": [
            {"queue": origin(delivery), "exchange": "", "reason": reason or "rejected", "count": 1, "time": died_s}
        ],
    }
    exported = {"date": time.strftime("%Y-%m-%d"), "time": time.strftime("%H:%M:%S")}
    try:
        return {"exported": exported, "header": header, "message": read_json(delivery.body)}
    except ValueError:
        body = base64.b64encode(delivery.body).decode()
        return {"exported": exported, "header": header, "message": None, _BODY: body}


def _read_body(content: dict[str, Any], path: Path) -> bytes:
    if _BODY not in content:
        return json.dumps(content["message"]).encode()
    try:
        return base64.b64decode(content[_BODY], validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise UsageError(f"{path}: {_BODY} is damaged") from None


def _queue(header: dict[str, Any]) -> str:
    deaths = header.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else None
    queue = first.get("queue") if isinstance(first, dict) else None
    return queue if isinstance(queue, str) else ""


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_same(path: Path, content: dict[str, Any]) -> bool:
    try:
        other = read_json(path.read_bytes())
    except ValueError:
        return False
    return isinstance(other, dict) and {**other, "exported": 0} == {**content, "exported": 0}


def _write(path: Path, text: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
