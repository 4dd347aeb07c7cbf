"""Small services for the tests of what runs services."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from glimt.brokers.broker import Outgoing
from glimt.model.errors import RejectedMessageError, RetryMessageError
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import start_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup


class AddService(Service):
    """Adds one to the number in the message."""

    name = "add"
    title = "Adder"
    queues = ("add",)
    prefetch = 100

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self.seen: list[Any] = []
        self.is_closed = False

    def handle(self, step: RecipeStep) -> None:
        """Send the number on; texts ask for failures."""
        self.seen.append(step.payload)
        step.send("never sent", "bad") if step.payload == "raise" else None
        match step.payload:
            case int(number):
                step.send(number + 1, "result", default="result")
            case "reject":
                raise RejectedMessageError("this number is no number")
            case "retry":
                raise RetryMessageError("the number is not there yet", after_s=0.0)
            case "raise":
                raise KeyError("number")
            case _:
                step.send(step.payload, "result", default="result")

    def close(self) -> None:
        """Remember that it happened."""
        self.is_closed = True


class SumService(Service):
    """Adds up the numbers of a batch."""

    name = "sum"
    title = "Sum"
    queues = ("sum",)
    batch = 10
    accepts_plain = True
    idle_s = 0.05

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self.batches: list[list[Any]] = []
        self.singles: list[Any] = []

    def handle(self, step: RecipeStep) -> None:
        """Take one number."""
        if step.payload == "raise":
            raise ValueError("no number")
        self.singles.append(step.payload)

    def handle_batch(self, steps: Sequence[RecipeStep]) -> None:
        """Take all or none."""
        payloads = [step.payload for step in steps]
        for step in steps:
            step.post(Outgoing(body=b"{}", queue="elsewhere"))
            step.payload = "spoiled"
        if "raise" in payloads:
            raise ValueError("no number")
        self.batches.append(payloads)


class FileService(Service):
    """Appends a line to a file for every message; slowly, so that a test can kill it in between."""

    name = "to_file"
    title = "File writer"
    queues: ClassVar[tuple[str, ...]] = ("to_file",)
    accepts_plain = True
    prefetch = 4

    def handle(self, step: RecipeStep) -> None:
        """Write what came, who wrote it, and send it on once."""
        file = Path(self.setup.configuration["file"])
        with file.open("a") as out:
            out.write(f"{step.payload} {os.getpid()}\n")
        time.sleep(float(self.setup.configuration.get("pause_s", 0.0)))
        step.post(Outgoing(body=str(step.payload).encode(), queue="done"))


class TimerService(Service):
    """Sends two messages when it is idle, one of them to nowhere."""

    name = "timer"
    title = "Timer"
    queues = ("timer",)
    idle_s = 0.0

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self.n_done = 0

    def idle(self) -> Sequence[RecipeStep]:
        """Send once."""
        if self.n_done:
            return ()
        nodes = {"1": {"queue": "timer", "output": [2, 3]}, "2": {"queue": "elsewhere"}, "3": {"queue": "nowhere"}}
        [envelope] = start_recipe(Recipe.from_dict({**nodes, "start": [[1, []]]}), environment={"ID": "run"})
        step = RecipeStep.resumed(envelope, "kept")
        step.send("late")
        return (step,)

    def idle_done(self) -> None:
        """Count."""
        self.n_done += 1


class PoisonService(Service):
    """Ends its process at one number."""

    name = "poison"
    title = "Poison"
    queues = ("poison",)
    accepts_plain = True
    prefetch = 64
    batch = 64

    def handle(self, step: RecipeStep) -> None:
        """Die of the number 3."""
        if step.payload == 3:
            os._exit(1)


class LeavingService(PoisonService):
    """Ends its process well at its start, the first time."""

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        mark = setup.state_folder / "was-here"
        if not mark.exists():
            mark.touch()
            raise SystemExit(0)
