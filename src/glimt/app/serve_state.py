"""How one instance of a service is at one moment."""

from __future__ import annotations

from typing import NamedTuple

from glimt.services.service_activity import Activity


class ServedState(NamedTuple):
    """One instance of a service at one moment.

    Attributes
    ----------
    name : str
        Of the service.
    label : str
        With a number if there are several instances.
    pid : int or None
        ``None`` while it has no process.
    n_starts : int
    is_over : bool
        It is not started again.
    activity : Activity
    """

    name: str
    label: str
    pid: int | None
    n_starts: int
    is_over: bool
    activity: Activity
