"""What the doctor says: one thing that is wrong, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a run that somebody should know.

    Attributes
    ----------
    severity : str
        ``"error"``: data are lost or nothing can work; ``"warning"``: it will be, or some are; ``"note"``: all is as it
        should be, but this may be what is being wondered about.
    what : str
        What was seen, one line that names stream, worker or folder.
    why : str
        What usually causes it.
    do : str
        What to do now.
    """

    severity: Severity
    what: str
    why: str
    do: str
