"""Runs a program where it can talk to nobody but itself: dranspose listens on every network of the machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

_MARK = "BENCHMARK_ALONE"
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40


def enter() -> bool:
    """Go on in a network of one's own, with a loopback and nothing else; False if the system does not allow it."""
    if os.environ.get(_MARK):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING)
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
        return True
    unshare = shutil.which("unshare")
    command = [unshare or "", "--map-root-user", "--net"]
    if unshare is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        return False
    os.environ[_MARK] = "1"
    sys.stdout.flush()
    os.execv(unshare, [*command, sys.executable, *sys.argv])
