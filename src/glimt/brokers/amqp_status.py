"""How full the queues of a RabbitMQ are: asked one by one, or of its management plug-in."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

import msgspec

from glimt.brokers.amqp_address import AmqpAddress
from glimt.brokers.amqp_names import HOLDING, AmqpNames
from glimt.brokers.broker import DEAD_LETTER_PREFIX, QueueStatus
from glimt.brokers.layout import LAYOUT
from glimt.model.errors import BrokerError

_ANSWER_S = 10.0
_LARGEST_ANSWER_BYTES = 64 << 20


class _Queue(msgspec.Struct):
    name: str
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    consumers: int = 0
    exclusive: bool = False


def queue_states(address: AmqpAddress, names: AmqpNames, declared: Iterable[str]) -> list[QueueStatus]:
    """Return how full queues are, by name.

    Without the management plug-in RabbitMQ does not list its queues: those that this connection has met and those of
    `glimt.brokers.layout` are asked for then, and how many messages are with receivers is not told.
    """
    if address.management_url:
        found = [_state(q.name, q.messages_ready, q.messages_unacknowledged, q.consumers) for q in _listed(address)]
    else:
        candidates = {queue.name for queue in LAYOUT} | set(declared) | names.known_queues()
        candidates |= {DEAD_LETTER_PREFIX + name for name in candidates if not name.startswith(DEAD_LETTER_PREFIX)}
        found = []
        for name in candidates | names.holding_queues():
            told = names.look_at(name)
            if told is not None:
                found.append(_state(name, told.message_count, 0, told.consumer_count))
    return sorted(found, key=lambda status: status.name)


def _state(name: str, n_ready: int, n_unsettled: int, n_receivers: int) -> QueueStatus:
    if name.startswith(HOLDING):
        return QueueStatus(name, 0, n_ready, n_unsettled, n_receivers)
    return QueueStatus(name, n_ready, 0, n_unsettled, n_receivers)


def _listed(address: AmqpAddress) -> list[_Queue]:
    parts = urlsplit(address.management_url)
    host = parts.netloc.rpartition("@")[2]
    user, password = parts.username or address.user, parts.password or address.password
    url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/queues/{quote(address.vhost, safe='')}"
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {secret}"})
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            found = msgspec.json.decode(answer.read(_LARGEST_ANSWER_BYTES), type=list[_Queue])
    except (OSError, ValueError, urllib.error.URLError, msgspec.DecodeError) as error:
        raise BrokerError(f"the management plug-in of RabbitMQ does not answer at {url}: {error}") from None
    return [queue for queue in found if not queue.exclusive]
