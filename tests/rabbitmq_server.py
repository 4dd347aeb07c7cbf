"""A RabbitMQ of one's own on this machine: loopback, free ports, its files in a folder, its own port mapper."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_FOLDERS = (
    "/usr/lib/rabbitmq/bin",
    "/usr/local/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/usr/local/sbin",
    "/usr/sbin",
)
_START_S = 60.0
_RIGHTS = ("configure", "write", "read")


def why_no_rabbitmq() -> str:
    """Return what is missing to start one; empty if nothing is."""
    missing = [name for name in ("rabbitmq-server", "rabbitmqctl") if _program(name) is None]
    missing += [name for name in ("erl", "epmd") if shutil.which(name) is None]
    return f"RabbitMQ is not installed here ({', '.join(missing)}; on Debian: rabbitmq-server)" if missing else ""


def _program(name: str) -> str | None:
    # Debian's own /usr/sbin scripts change to another user; those in the library folder run as whoever calls them.
    return shutil.which(name, path=os.pathsep.join(_FOLDERS))


class RabbitServer:
    """One node; starts when `start` is called, keeps its messages over `stop` and `kill`.

    Parameters
    ----------
    folder : Path
        Empty or not there, with a short path; holds everything the server writes.
    management : bool
        With the management plug-in, whose address is ``management_url``; starts a second later.
    """

    def __init__(self, folder: Path, *, management: bool = False) -> None:
        self._folder = folder
        self.port, distribution, mapper, web = _free_ports(4)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.management_url = f"http://127.0.0.1:{web}" if management else ""
        for name in ("mnesia", "log"):
            (folder / name).mkdir(parents=True)
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}", "vm_memory_high_watermark.relative = 0.6"]
        if management:
            lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {web}"]
        (folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n" if management else "[].\n")
        self._environment = os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
        }
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self._mapper is None:
            epmd = shutil.which("epmd")
            assert epmd is not None
            self._mapper = self._run("epmd", epmd)
        server = _program("rabbitmq-server")
        assert server is not None
        self._process = self._run("server", server)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise AssertionError(f"RabbitMQ does not start:\n{(self._folder / 'server.out').read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an administrator does."""
        if self._process is not None:
            self.command("stop")
            self._process.wait(60)
            self._process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End it as a power cut does: all its processes, at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def close(self) -> None:
        """End everything that was started."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait(10)
            self._mapper = None

    def new_vhost(self, name: str) -> str:
        """Make a virtual host, where there is nothing yet, by the management plug-in; return its URL."""
        secret = base64.b64encode(b"guest:guest").decode()
        for path, body in ((f"vhosts/{name}", {}), (f"permissions/{name}/guest", dict.fromkeys(_RIGHTS, ".*"))):
            request = urllib.request.Request(
                f"{self.management_url}/api/{path}",
                json.dumps(body).encode(),
                {"Authorization": f"Basic {secret}", "Content-Type": "application/json"},
                method="PUT",
            )
            with urllib.request.urlopen(request, timeout=30):
                pass
        return self.url + name

    def command(self, *words: str) -> str:
        """Run ``rabbitmqctl``, return what it prints."""
        program = _program("rabbitmqctl")
        assert program is not None
        return subprocess.run(
            (program, "-q", *words), env=self._environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def _run(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.out").open("ab") as output:
            return subprocess.Popen(
                command, env=self._environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _answers(self) -> bool:
        """Say whether it talks AMQP; its port opens when everything else is up."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as probe:
            probe.settimeout(5)
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(probe.recv(1))
        return False


def _free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running_rabbitmq(*, management: bool = False) -> Iterator[RabbitServer]:
    """Start one in a folder of its own, end it and remove the folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="glimt-mq-"))
    server = RabbitServer(folder, management=management)
    try:
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """One server for the session (with xdist: for each of its processes); tests use queues of their own."""
    missing = why_no_rabbitmq()
    if missing:
        pytest.skip(missing)
    with running_rabbitmq(management=True) as server:
        yield server
