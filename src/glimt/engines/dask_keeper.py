"""The Dask task that keeps the process of one role on a machine of a cluster.

A process of its own, so that user code cannot hold up the Dask worker's answers to its scheduler, can be killed when it
hangs, takes nothing down but itself, and finds every module as it is now and not as an earlier run imported it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket as network
import subprocess
import sys
import time
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import NamedTuple

import distributed

_LOOK_S = 0.1
_ASK_S = 2.0
_GRACE_S = 10.0


class Ending(NamedTuple):
    """How the process of a role ended.

    Attributes
    ----------
    death : str
        In words.
    refusal : str
        Why another would not do better; empty if it did not say so.
    """

    death: str
    refusal: str = ""


def needed_versions() -> str:
    """Return what control and workers must have in common."""
    major, minor, _ = platform.python_version_tuple()
    return f"glimt {version('glimt')} with Python {major}.{minor}"


def keep_role(name: str, content: bytes, needs: str, stop: str) -> Ending:
    """Start the process of a role and stay until it has ended.

    Parameters
    ----------
    name : str
        The role.
    content : bytes
        What `glimt.engines.dask_child` is told.
    needs : str
        `needed_versions` of the control process.
    stop : str
        Name of the `distributed.Event` that says that the process is no longer wanted.

    Returns
    -------
    Ending
        How it ended.
    """
    here = network.gethostname()
    if (found := needed_versions()) != needs:
        problem = f"{here} has {found}, the run needs {needs}; install the same on all machines of the cluster"
        return Ending(problem, problem)
    if not _is_wanted(stop):
        return Ending(f"{name} was not started on {here}: it is no longer wanted")
    read, write = os.pipe()
    refusals = Connection(read, writable=False)
    # `-P`: the folder that the Dask worker runs in is no place to import from.
    command = [sys.executable, "-P", "-m", "glimt.engines.dask_child", str(write)]
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(write,), bufsize=0)
    finally:
        os.close(write)
    assert child.stdin is not None
    with refusals, child:
        try:
            source = Connection(os.dup(child.stdin.fileno()), readable=False)
            with source:
                source.send_bytes(content)
            _watch(child, stop)
        except BrokenPipeError:
            child.wait(_GRACE_S)
        finally:
            _end(child)
        refusal = ""
        if refusals.poll(0):
            with contextlib.suppress(EOFError):
                refusal = refusals.recv_bytes().decode()
    return Ending(refusal or f"{name} (process {child.pid} on {here}) {_in_words(child.returncode)}", refusal)


def _watch(child: subprocess.Popen[bytes], stop: str) -> None:
    asked_at = time.monotonic()
    while True:
        try:
            child.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() - asked_at > _ASK_S:
                if not _is_wanted(stop):
                    return
                asked_at = time.monotonic()
        else:
            return


def _is_wanted(stop: str) -> bool:
    """Ask the scheduler; a scheduler that is gone will never say so, and another run may need this place."""
    try:
        return not distributed.Event(stop).is_set()
    except Exception:  # noqa: BLE001 - Dask raises many kinds when its scheduler is gone
        return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let it end by itself, which it does when its standard input is closed; kill it if it does not."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _in_words(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
