"""A step of the benchmark's recipe as a service of python-workflows under its Frontend: ``… PORT QUEUE PREFETCH MODE``.

The idiom of Zocalo's services: a transaction with the acknowledgement and what is sent (``MODE`` txn), or both without
one (ack).
"""

from __future__ import annotations

import sys
from typing import Any

import workflows.recipe
from workflows.frontend import Frontend
from workflows.services.common_service import CommonService
from workflows.transport.pika_transport import PikaTransport


class PassOn(CommonService):
    """Passes its message on."""

    _service_name = "Pass On"
    _logger_name = "benchmark"

    def initializing(self) -> None:
        """Subscribe."""
        self._queue, prefetch, self._mode = self._environment["step"]
        workflows.recipe.wrap_subscribe(
            self.transport, self._queue, self.pass_on, acknowledgement=True, prefetch_count=prefetch
        )

    def pass_on(self, rw: Any, header: dict[str, Any], message: Any) -> None:
        """Acknowledge and send what came."""
        if self._mode == "ack":
            rw.send(message)
            self.transport.ack(header)
            return
        transaction = self.transport.transaction_begin(subscription_id=header["subscription"])
        self.transport.ack(header, transaction=transaction)
        rw.send(message, transaction=transaction)
        self.transport.transaction_commit(transaction)


def main(port: str, queue: str, prefetch: str, mode: str) -> None:
    """Run until it is killed."""
    PikaTransport.config = {"--rabbit-host": "127.0.0.1", "--rabbit-port": port}
    environment = {"step": (queue, int(prefetch), mode)}
    Frontend(transport=PikaTransport, service=PassOn, environment=environment).run()


if __name__ == "__main__":
    main(*sys.argv[1:5])
