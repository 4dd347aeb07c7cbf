"""Says in words what is wrong with a live run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glimt.app.finding import Finding, Severity
from glimt.app.process_rules import PROCESS_RULES
from glimt.app.stream_rules import STREAM_RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glimt.model.health import Health

__all__ = ["Finding", "Severity", "diagnose", "is_whole"]

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


def diagnose(health: Health) -> list[Finding]:
    """Return what is wrong with a run, the worst first; an empty list for one that is whole.

    Parameters
    ----------
    health : dict
        From ``/api/v1/health``. Nothing is said about what it leaves out.
    """
    found = [finding for rule in PROCESS_RULES for finding in rule(health)]
    for name, stream in health.get("streams", {}).items():
        found += [finding for rule in STREAM_RULES for finding in rule(name, stream, health)]
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


def is_whole(findings: Iterable[Finding]) -> bool:
    """Tell whether there is nothing but notes."""
    return all(finding.severity == "note" for finding in findings)
