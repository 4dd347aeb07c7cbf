"""X-ray centering at work: services on one state, one after another, with a clock that is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glimt.services.service import ServiceSetup
from glimt.services.x_ray_centering import XRayCenteringService
from service_steps import sent
from set_clock import Clock

Make = Callable[..., XRayCenteringService]


@contextmanager
def services(folder: Path, clock: Clock) -> Iterator[Make]:
    """Give what makes a service on the state that is in ``folder``, and close the last one."""
    made: list[XRayCenteringService] = []

    def make_service(**configuration: Any) -> XRayCenteringService:
        """Make a service on the state of the one before, which is gone."""
        if made:
            made.pop().close()
        state, data = folder / "state", folder / "data"
        state.mkdir(exist_ok=True)
        data.mkdir(exist_ok=True)
        made.append(
            XRayCenteringService(ServiceSetup(configuration, (data,), state), clock=clock, monotonic=clock.monotonic)
        )
        return made[-1]

    yield make_service
    for service in made:
        service.close()


def results_of(steps: Any) -> list[tuple[int | None, Any]]:
    """Return what steps have sent: target and content of each message."""
    return [message for step in steps for message in sent(step)]


def identities_of(steps: Any) -> list[str]:
    """Return the identities of all messages that steps have sent."""
    return [message.message_id for step in steps for message in step.outgoing]
