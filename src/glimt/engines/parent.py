"""Notices that the process that started this one is gone, so that nobody is left behind."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess


class ParentWatch:
    """Watches the process that started this one through `multiprocessing`; without one, nothing."""

    def __init__(self) -> None:
        self._parent: BaseProcess | None = multiprocessing.parent_process()

    def register(self, poller: zmq.Poller) -> None:
        """Let a poller wake up when it ends."""
        if self._parent is not None:
            poller.register(self._sentinel(), zmq.POLLIN)

    def is_gone(self) -> bool:
        """Tell whether it has ended."""
        if self._parent is None:
            return False
        return os.getppid() != self._parent.pid

    def _sentinel(self) -> Any:
        assert self._parent is not None
        return self._parent.sentinel
