"""A MariaDB of one's own on this machine: loopback, its files in a folder, no service, no password."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb-admin")
_TOOL_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_START_S = 60.0
_STOP_S = 60.0


def why_no_mariadb() -> str:
    """Return what is missing to start one; empty if nothing is."""
    missing = [name for name in _PROGRAMS if _program(name) is None]
    return f"MariaDB is not installed here ({', '.join(missing)})" if missing else ""


@dataclass
class MariadbServer:
    """A MariaDB that can be stopped and started again, with its data kept.

    Attributes
    ----------
    folder : Path
    port : int
        The same after a restart.
    """

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: str) -> str:
        """Return the address of a database, as SQLAlchemy writes it."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"t_{secrets.token_hex(6)}"
        self._admin("create", name)
        return self.url(name)

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        words = [
            str(_program("mariadbd")),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self._socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=64M",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"MariaDB did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the daemon by a signal and wait until it is gone; harmless if it is."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _socket(self) -> Path:
        return self.folder / "s"

    def _answers(self) -> bool:
        try:
            self._admin("ping")
        except subprocess.CalledProcessError:
            return False
        return True

    def _admin(self, *words: str) -> None:
        command = [str(_program("mariadb-admin")), "--no-defaults", f"--socket={self._socket}", "--user=root", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=30)


@contextmanager
def mariadb_server(folder: Path) -> Iterator[MariadbServer]:
    """Make and start a server in an empty folder with a short path, end it at the end."""
    words = [
        str(_program("mariadb-install-db")),
        "--no-defaults",
        f"--datadir={folder / 'data'}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        *(["--user=root"] if os.geteuid() == 0 else []),
    ]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    server = MariadbServer(folder, _free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _program(name: str) -> str | None:
    return shutil.which(name, path=_TOOL_PATH)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
