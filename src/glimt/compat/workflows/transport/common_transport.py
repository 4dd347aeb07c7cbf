"""``workflows.transport.common_transport``: the names that plug-ins annotate with."""

from __future__ import annotations

from glimt.compat.workflows_transport import BrokerTransport as CommonTransport
from glimt.compat.workflows_transport import MessageCallback, TemporarySubscription, json_serializer

__all__ = ["CommonTransport", "MessageCallback", "TemporarySubscription", "json_serializer"]
