"""Lines of the log of services on their way to the process that shows them: none waits, and none holds a service up."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping

import msgspec

from glimt.services.recipe_log import RecipeLogFilter

_MAX_TEXT = 8000
_MAX_BYTES = 1 << 16
_LOOK_S = 0.5

Entry = Mapping[str, object]


class _Line(msgspec.Struct):
    msg: str
    name: str
    levelname: str
    created: str
    lineno: str


class ForwardedLog(logging.Handler):
    """Sends records of a service's process; a line that finds no room is left out.

    Parameters
    ----------
    sender : socket
        Of `LogReceiver`.
    label : str
        Of the service.
    """

    def __init__(self, sender: socket.socket, label: str) -> None:
        super().__init__()
        self._sender, self._label = sender, label
        self.addFilter(RecipeLogFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        try:
            text = f"{self._label}{getattr(record, 'recipe_mark', '')}: {self.format(record)}"[:_MAX_TEXT]
            text = text.encode(errors="backslashreplace").decode()
            line = _Line(text, self._label, record.levelname, str(record.created), str(record.lineno))
            self._sender.send(msgspec.json.encode(line), socket.MSG_DONTWAIT)
        except Exception:  # noqa: BLE001  arguments of a log call raise what they like, and nobody may listen
            pass


class LogReceiver(threading.Thread):
    """Takes the lines of all services.

    Parameters
    ----------
    take : callable
        Is given each line, with the keys of `glimt.web.log_ring.LogEntry`.

    Attributes
    ----------
    sender : socket
        For the services' processes.
    """

    def __init__(self, take: Callable[[Entry], None]) -> None:
        super().__init__(name="page of services: log", daemon=True)
        self._take = take
        self._socket, self.sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_LOOK_S)
        self._ended = threading.Event()

    def run(self) -> None:
        """Take lines until `end` is called."""
        decoder = msgspec.json.Decoder(_Line)
        while not self._ended.is_set():
            try:
                body = self._socket.recv(_MAX_BYTES)
                self._take(msgspec.structs.asdict(decoder.decode(body)))
            except TimeoutError:
                continue
            except (ValueError, RecursionError, OSError):  # a service's code has the socket, and writes what it likes
                continue

    def end(self) -> None:
        """Take no more, and close both ends."""
        self._ended.set()
        if self.ident is not None:
            self.join(2 * _LOOK_S)
        self.sender.close()
        self._socket.close()
