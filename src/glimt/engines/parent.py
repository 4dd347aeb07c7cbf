"""Notices that the process that started this one is gone, so that nobody is left behind."""

from __future__ import annotations

import multiprocessing
import os
import select
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess


class ParentWatch:
    """Watches the process that started this one through `multiprocessing`, or by a pipe; without either, nothing.

    Attributes
    ----------
    pipe : int or None
        File descriptor of a pipe that nobody writes to, the other end of which the process that started this one holds
        open as long as it wants this one to run.
    """

    pipe: ClassVar[int | None] = None

    def __init__(self) -> None:
        self._parent: BaseProcess | None = multiprocessing.parent_process()

    def register(self, poller: zmq.Poller) -> None:
        """Let a poller wake up when it ends."""
        if self._parent is not None:
            poller.register(self._sentinel(), zmq.POLLIN)
        if self.pipe is not None:
            poller.register(self.pipe, zmq.POLLIN)

    def is_gone(self) -> bool:
        """Tell whether it has ended."""
        if self.pipe is not None and _is_closed(self.pipe):
            return True
        if self._parent is None:
            return False
        return os.getppid() != self._parent.pid

    def _sentinel(self) -> Any:
        assert self._parent is not None
        return self._parent.sentinel


def _is_closed(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(0))
