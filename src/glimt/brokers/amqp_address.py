"""Where a RabbitMQ is, and who one is there: ``amqp://user:password@host:port/vhost``."""

from __future__ import annotations

import random
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from glimt.model.errors import UsageError

_OPTIONS = ("hosts", "heartbeat", "patience", "management")


@dataclass(frozen=True, slots=True)
class AmqpAddress:
    """A RabbitMQ.

    Attributes
    ----------
    hosts : tuple of (str, int)
        Nodes of one cluster, with their ports.
    vhost, user : str
    password : str
        Never shown.
    tls : bool
    heartbeat_s : int
        A connection that is silent for twice as long is given up.
    patience_s : float
        For so long it is tried to send while no node answers.
    management_url : str
        Of the management plug-in, with user and password; empty to do without.
    """

    hosts: tuple[tuple[str, int], ...]
    vhost: str
    user: str
    password: str = field(repr=False)
    tls: bool = False
    heartbeat_s: int = 30
    patience_s: float = 30.0
    management_url: str = field(default="", repr=False)

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{'amqps' if self.tls else 'amqp'}://{hosts}/{self.vhost.lstrip('/')}"

    def shuffled_hosts(self) -> list[tuple[str, int]]:
        """Return the nodes in an order that spreads clients over them."""
        return random.sample(self.hosts, len(self.hosts))

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what a socket is to be wrapped with, if it is."""
        return ssl.create_default_context() if self.tls else None


def read_amqp_url(url: str) -> AmqpAddress:
    """Read ``amqp[s]://user:password@host:port/vhost?hosts=b:5672,c:5672&heartbeat=30&patience=30&management=URL``.

    Everything after the host may be left out; user and password are ``guest`` then, as RabbitMQ has them at first.

    Raises
    ------
    UsageError
        It is not such a URL.
    """
    try:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        unknown = sorted(set(options) - set(_OPTIONS))
        if parts.scheme not in ("amqp", "amqps") or unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}" if unknown else "it begins with amqp:// or amqps://")
        tls = parts.scheme == "amqps"
        usual = 5671 if tls else 5672
        hosts = [(parts.hostname or "localhost", parts.port or usual)]
        for other in filter(None, options.get("hosts", "").split(",")):
            name, _, port = other.partition(":")
            hosts.append((name, int(port or usual)))
        heartbeat_s, patience_s = int(options.get("heartbeat", 30)), float(options.get("patience", 30))
        if not 1 <= heartbeat_s <= 3600 or not 0 <= patience_s <= 86400:
            raise ValueError("heartbeat is 1 to 3600 s, patience 0 to 86400 s")
    except ValueError as error:
        where = url.rpartition("@")[2].partition("?")[0]
        raise UsageError(
            f"not the address of a RabbitMQ ({error}): amqp://…{where!r}; "
            "write amqp://user:password@host:5672/vhost?hosts=other:5672&heartbeat=30&patience=30&management=http://…"
        ) from None
    return AmqpAddress(
        hosts=tuple(hosts),
        vhost=unquote(parts.path[1:]) or "/",
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        tls=tls,
        heartbeat_s=heartbeat_s,
        patience_s=patience_s,
        management_url=options.get("management", ""),
    )
