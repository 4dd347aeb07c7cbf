"""What a service is: a class that handles the messages of its queues, one step of a recipe at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from glimt.services.recipe_step import RecipeStep


@dataclass(frozen=True, slots=True)
class ServiceSetup:
    """What a service is made with.

    Attributes
    ----------
    configuration : dict
        The table ``[services.NAME]`` of the site file, unchecked: a service converts it to its own record.
    roots : tuple of Path
        Folders that paths in messages must lie in; see `glimt.services.confined_path`.
    state_folder : Path
        Where a service may keep what must survive it; its own, and it exists.
    results_url : str
        The results database, as SQLAlchemy writes it.
    recipe_folders : tuple of Path
        Where recipes are looked for, in this order, the ones that come with glimt last.
    """

    configuration: dict[str, Any]
    roots: tuple[Path, ...]
    state_folder: Path
    results_url: str = ""
    recipe_folders: tuple[Path, ...] = ()


class Service:
    """Handles messages; inherit, and say which queues in ``queues``.

    One thread calls it. `handle` reads ``step``, and sends by `RecipeStep.send`, which only collects: when `handle`
    returns, the message is acknowledged and all it sent goes out, as one. When it raises, nothing was sent, and

    - `RejectedMessageError` puts the message among the dead letters with its text;
    - `RetryMessageError` delivers it again, later;
    - any other exception is counted, logged with its traceback and delivered again with growing delays, and at last
      to the dead letters with the error. The service lives.

    A message may be delivered more than once (a process was killed between its work and its acknowledgement):
    ``step.message_id`` is the same then, and what is done outside must bear to be done again.

    Attributes
    ----------
    name : str
        As in ``glimt serve NAME`` and ``[services.NAME]``.
    title : str
        As on status pages: Zocalo's name of the service.
    queues : tuple of str
        The queues it takes messages from.
    accepts_plain : bool
        Also messages that belong to no recipe (``step.recipe`` is ``None`` then).
    exclusive : bool
        Only one instance at a time gets messages.
    prefetch : int
        Messages fetched ahead.
    batch : int
        Largest number of messages for `handle_batch`; 1 for services that have none.
    idle_s : float or None
        `idle` is called so often, also while messages come; ``None`` for never.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    queues: ClassVar[tuple[str, ...]]
    accepts_plain: ClassVar[bool] = False
    exclusive: ClassVar[bool] = False
    prefetch: ClassVar[int] = 1
    batch: ClassVar[int] = 1
    idle_s: ClassVar[float | None] = None

    def __init__(self, setup: ServiceSetup) -> None:
        self.setup = setup

    def connected(self, has_queue: Callable[..., bool]) -> None:
        """Take what can be asked of the broker, before the first message: `glimt.brokers.broker.Broker.has_queue`."""

    def handle(self, step: RecipeStep) -> None:
        """Do what the message asks for."""
        raise NotImplementedError

    def handle_batch(self, steps: Sequence[RecipeStep]) -> None:
        """Do what several messages ask for, all or nothing; if it raises, each is handled by itself."""
        for step in steps:
            self.handle(step)

    def idle(self) -> Sequence[RecipeStep]:
        """Do what is due without a message; what the returned steps sent goes out. They carry no delivery.

        Make them by `RecipeStep.resumed` from an envelope that was kept.
        """
        return ()

    def idle_done(self) -> None:
        """Note that what `idle` returned last has been sent; the next call of `idle` says so too."""

    def stop(self) -> None:
        """Give up what `handle` waits for, because the service shall end; called from another thread."""

    def close(self) -> None:
        """Release files and connections; called once, at the end."""
