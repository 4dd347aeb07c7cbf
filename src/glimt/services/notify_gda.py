"""Tells GDA, the beamline's control software at Diamond, the results of each image: one UDP line each."""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError, RetryMessageError
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration

Address = tuple[socket.AddressFamily, Any]

_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_MAX_TEXT = 60


class NotifyGdaConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.notify_gda]``.

    Attributes
    ----------
    host : str
        Where all lines go instead of the host of the recipe; empty for that.
    port : int
        Likewise; 0 for that of the recipe.
    host_map : dict of str to str
        Other names for hosts of recipes.
    silent_hosts : tuple of str
        Hosts of recipes for which nothing is sent.
    resolve_s : float
        Longest time to wait for the name service.
    remember_s : float
        How long an address is taken to be right.
    """

    host: str = ""
    port: int = 0
    host_map: dict[str, str] = {}
    silent_hosts: tuple[str, ...] = ("mx-control",)
    resolve_s: float = 2.0
    remember_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; 1 to 65535 is possible, 0 for that of the recipe")
        if not (0 < self.resolve_s <= 60 and 0 <= self.remember_s <= 86400):
            raise ValueError("resolve_s is above 0 and up to 60, remember_s 0 to 86400")


class NotifyGdaService(Service):
    """Sends ``PIA:<dcid>:<image>:<n_spots_total>:<n_spots_no_ice>:<estimated_d_min>:<total_intensity>`` by UDP.

    Nobody answers: a line that is lost on the way is lost, and after a redelivery GDA may get one twice.
    """

    name = "notify_gda"
    title = "DLS Notify GDA"
    queues = ("notify_gda",)
    prefetch = 20

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, NotifyGdaConfiguration)
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._known: dict[tuple[str, int], tuple[float, Address]] = {}

    def handle(self, step: RecipeStep) -> None:
        """Send the line of a result."""
        line = result_line(step.parameters, step.payload)
        configuration = self._configuration
        host = step.parameters.get("host")
        if not host or not isinstance(host, str):
            raise RejectedMessageError(f"parameters: host is {str(host)[:_MAX_TEXT]!r}; a name is needed")
        if "{" in host:
            raise RejectedMessageError(
                f"parameters: host is {host[:_MAX_TEXT]!r}; what is in braces was never substituted"
            )
        port = configuration.port or _port(step.parameters.get("port"))
        if host in configuration.silent_hosts:
            return
        host = configuration.host or configuration.host_map.get(host, host)
        if not _HOST.fullmatch(host):
            raise RejectedMessageError(f"{host[:_MAX_TEXT]!r} is no name of a host")
        try:
            family, address = self._resolve(host, port)
            self._socket(family).sendto(line, address)
        except OSError as error:
            self._known.pop((host, port), None)
            raise RetryMessageError(
                f"no line can be sent to {host}, port {port} ({error}); [services.notify_gda] of the site file can name"
                " another `host` for all lines, a `host_map` of names, and `silent_hosts` that get none"
            ) from None

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        found = self._sockets.get(family)
        if found is None:
            found = self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
            found.settimeout(self._configuration.resolve_s)
        return found

    def _resolve(self, host: str, port: int) -> Address:
        """Return the address of a host; the name service is asked by a thread, for it has no limit of time."""
        known = self._known.get((host, port))
        if known is not None and time.monotonic() - known[0] < self._configuration.remember_s:
            return known[1]
        answers: queue.SimpleQueue[Address | OSError] = queue.SimpleQueue()

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
                answers.put((found[0][0], found[0][4]))
            except (OSError, UnicodeError) as error:
                answers.put(error if isinstance(error, OSError) else OSError(str(error)))

        threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
        try:
            answer = answers.get(timeout=self._configuration.resolve_s)
        except queue.Empty:
            raise TimeoutError("the name service does not answer") from None
        if isinstance(answer, OSError):
            raise answer
        if len(self._known) >= 1000:
            self._known.clear()
        self._known[host, port] = time.monotonic(), answer
        return answer

    def close(self) -> None:
        """Close the sockets."""
        for one in self._sockets.values():
            one.close()


def result_line(parameters: Mapping[str, Any], message: Any) -> bytes:
    """Return the line about a result, in latin-1.

    Values are written as Python writes them, which is what Zocalo's service does and GDA reads.

    Raises
    ------
    RejectedMessageError
        The message is no object, has no image number (0 counts as none) or no number of spots, or there is no dcid.
    """
    if not isinstance(message, Mapping):
        raise RejectedMessageError(f"message: {type(message).__name__} where an object is needed")
    if not parameters.get("dcid"):
        raise RejectedMessageError("parameters: dcid is missing")
    number = message.get("file-pattern-index") or message.get("file-number")
    if not number:
        raise RejectedMessageError("message: neither file-pattern-index nor file-number is there and above 0")
    if message.get("n_spots_total", 0) is None:
        raise RejectedMessageError("message: n_spots_total is null")
    names = ("n_spots_total", "n_spots_no_ice", "estimated_d_min", "total_intensity")
    values = [("dcid", parameters["dcid"]), ("image number", number), *((name, message.get(name, 0)) for name in names)]
    parts = ["PIA", *(_text(value, name) for name, value in values)]
    try:
        return ":".join(parts).encode("latin-1")
    except UnicodeEncodeError:
        raise RejectedMessageError("the line has characters that latin-1 has not") from None


def _text(value: Any, name: str) -> str:
    """Return a value as text of one line."""
    if not isinstance(value, (str, int, float)) and value is not None:
        raise RejectedMessageError(f"{name} is {str(value)[:_MAX_TEXT]!r}; a number or a text is needed")
    text = str(value)
    if not text or len(text) > _MAX_TEXT or ":" in text or any(ord(letter) < 32 for letter in text):
        raise RejectedMessageError(f"{name} is {text[:_MAX_TEXT]!r}, which does not fit in a line")
    return text


def _port(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise RejectedMessageError(f"parameters: port is {text[:_MAX_TEXT]!r}; 1 to 65535 is possible")
    return int(text)
