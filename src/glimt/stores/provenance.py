"""Who made a result file, with what, when and how: for whoever reads it in ten years."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shlex
import socket
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

_SECRET = re.compile(r"token|password|passwd|secret|api.?key|credential", re.IGNORECASE)
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_PACKAGES = ("glimt", "numpy", "h5py")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a result file.

    Attributes
    ----------
    started_ns : int
        When the file was made [ns UTC].
    host, user : str
        Where and by whom.
    process_id : int
        Which process on that host.
    command_line : str
        As one would type it; what looks like a secret is replaced by ``***``.
    working_directory : str
        Relative names of the command line start here.
    versions : dict of str to str
        Of Python and the packages that decide what is in the file.
    worker, reducer : str
        Classes that made the results, ``""`` if not told.
    """

    started_ns: int
    host: str
    user: str
    process_id: int
    command_line: str
    working_directory: str
    versions: dict[str, str] = field(default_factory=dict)
    worker: str = ""
    reducer: str = ""

    @classmethod
    def of_this_process(cls, *, worker: str | type = "", reducer: str | type = "") -> Provenance:
        """Return the origin of what this process writes now."""
        return cls(
            started_ns=time.time_ns(),
            host=socket.gethostname(),
            user=_user(),
            process_id=os.getpid(),
            command_line=printable_command_line(sys.orig_argv),
            working_directory=_working_directory(),
            versions={"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
            worker=_class_name(worker),
            reducer=_class_name(reducer),
        )


def printable_command_line(arguments: list[str]) -> str:
    """Return ``arguments`` as one would type them, values of options that look like secrets replaced by ``***``."""
    shown: list[str] = []
    hides_next = False
    for argument in arguments:
        if hides_next and not argument.startswith("-"):
            shown.append("***")
            hides_next = False
            continue
        option, has_value, _ = argument.partition("=")
        hides = bool(_SECRET.search(option)) and (option.startswith("-") or bool(has_value))
        hides_next = hides and not has_value
        shown.append(
            f"{shlex.quote(option)}=***" if hides and has_value else shlex.quote(_URL_LOGIN.sub("***", argument))
        )
    return " ".join(shown)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a numeric user of a container has no name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # deleted while we run
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _class_name(of: str | type) -> str:
    return of if isinstance(of, str) else f"{of.__module__}:{of.__qualname__}"
