"""``workflows.services.common_service``: the class that plug-in services inherit from."""

from __future__ import annotations

import contextlib
import enum
import logging
from collections.abc import Callable, Iterator
from typing import Any


class Status(enum.Enum):
    """Status codes and their words."""

    NEW = (0, "constructing")
    STARTING = (1, "starting")
    IDLE = (2, "idle")
    TIMER = (3, "timer event")
    PROCESSING = (4, "processing")
    SHUTDOWN = (5, "shutting down")
    END = (6, "shutdown")
    ERROR = (7, "error")
    NONE = (-1, "no service loaded")
    TEARDOWN = (-2, "shutdown")

    def __init__(self, intval: int, description: str) -> None:
        self.intval, self.description = intval, description


class CommonService:
    """A service; `glimt.compat.workflows_plugin.PluginRunner` runs it.

    Inherit and override `initializing`, where subscriptions are made, and `in_shutdown`.

    Parameters
    ----------
    environment : dict
        ``config`` is the configuration.
    """

    _service_name = "unnamed service"
    _logger_name = "workflows.service"
    log_verbosity = logging.INFO
    start_kwargs: dict[Any, Any] = {}  # noqa: RUF012 - as in workflows
    human_readable_state = {each.intval: each.description for each in Status}  # noqa: RUF012

    SERVICE_STATUS_NEW = Status.NEW.intval
    SERVICE_STATUS_STARTING = Status.STARTING.intval
    SERVICE_STATUS_IDLE = Status.IDLE.intval
    SERVICE_STATUS_TIMER = Status.TIMER.intval
    SERVICE_STATUS_PROCESSING = Status.PROCESSING.intval
    SERVICE_STATUS_SHUTDOWN = Status.SHUTDOWN.intval
    SERVICE_STATUS_END = Status.END.intval
    SERVICE_STATUS_ERROR = Status.ERROR.intval
    SERVICE_STATUS_NONE = Status.NONE.intval
    SERVICE_STATUS_TEARDOWN = Status.TEARDOWN.intval

    def __init__(self, *_args: Any, **kwargs: Any) -> None:
        self._environment: dict[str, Any] = kwargs.get("environment", {})
        self._transport: Any = None
        self._idle_callback: Callable[[], Any] | None = None
        self._idle_time: float | None = None
        self.__frontend: Any = None
        self.__shutdown = False
        self.log: Any = logging.getLogger(self._logger_name)

    def initializing(self) -> None:
        """Make subscriptions."""

    def in_shutdown(self) -> None:
        """Clean up."""

    @property
    def config(self) -> Any:
        """The configuration."""
        return self._environment.get("config")

    @property
    def transport(self) -> Any:
        """What sends and subscribes."""
        return self._transport

    @transport.setter
    def transport(self, value: Any) -> None:
        if self._transport:
            raise AttributeError("Transport already defined")
        self._transport = value

    def connect(self, frontend: Any = None, commands: Any = None) -> None:
        """Say who runs the service; ``commands`` is not used."""
        del commands
        self.__frontend = frontend

    @contextlib.contextmanager
    def extend_log(self, field: str, value: Any) -> Iterator[None]:
        """Carry a field in log lines; the identity of the recipe is carried without it."""
        del field, value
        yield

    def get_name(self) -> str:
        """Return the service's name."""
        return self._service_name

    def _set_name(self, name: str) -> None:
        self._service_name = name
        self.__tell({"band": "set_name", "name": name})

    def _register_idle(self, idle_time: float, callback: Callable[[], Any]) -> None:
        """Let something be called when no message has come for so long [s]."""
        self._idle_time, self._idle_callback = idle_time, callback

    def _request_termination(self) -> None:
        """End the service, told from outside."""
        self.__tell({"band": "request_termination"})

    def _shutdown(self) -> None:
        """End the service."""
        self.__shutdown = True

    def __tell(self, message: dict[str, Any]) -> None:
        if self.__frontend:
            self.__frontend.send(message)
