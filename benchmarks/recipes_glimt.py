"""A step of the benchmark's recipe as a service of glimt, in a process of its own: ``… URL QUEUE PREFETCH``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from glimt.app.open_broker import open_broker
from glimt.brokers.broker import QueueSpec
from glimt.services.recipe_step import RecipeStep
from glimt.services.runner import ServiceRunner
from glimt.services.service import Service, ServiceSetup


class PassOn(Service):
    """Passes its message on."""

    name, title, queues = "pass_on", "Pass On", ()

    def handle(self, step: RecipeStep) -> None:
        """Send what came."""
        step.send(step.payload)


def main(url: str, queue: str, prefetch: int) -> None:
    """Run until SIGTERM."""
    broker = open_broker(url)
    service = PassOn(ServiceSetup({}, (), Path.cwd()))
    runner = ServiceRunner(service, broker, queues=[QueueSpec(queue)], prefetch=prefetch)

    def end(_number: int, _frame: object) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    try:
        runner.run()
    finally:
        broker.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
