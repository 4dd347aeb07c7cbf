"""Checks the tables ``[services.NAME]`` of the site file: how a service is run, and the keys that are its own."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from glimt.app.problems import Problems, either
from glimt.app.service_registry import CONFIGURATIONS, SERVICES, load_service, service_path
from glimt.app.site import PLAN_KEYS, ServicePlan
from glimt.app.toml_struct import StructReader
from glimt.compat.workflows_plugin import is_plugin

_NEAR = 0.7
# A plug-in subscribes by itself, and python-workflows' rules say what becomes of a message that it refuses.
_NOT_FOR_PLUGINS = ("queues", "prefetch", "retry_first_s", "retry_longest_s")


def read_plans(
    tables: Mapping[str, dict[str, Any]], reader: StructReader, problems: Problems
) -> dict[str, ServicePlan]:
    """Return how services are run; what is wrong with their tables goes to ``problems``.

    The own keys of services of other packages are not looked at: their processes do that.

    Parameters
    ----------
    tables : mapping
        By name of service, as they are written.
    reader : StructReader
    problems : Problems
    """
    plans = {}
    for name, table in tables.items():
        known = {key: value for key, value in table.items() if key in PLAN_KEYS}
        own = {key: value for key, value in table.items() if key not in PLAN_KEYS}
        plan = reader.read(ServicePlan, known, ("services", name))
        if name in SERVICES:
            _check_own(name, own, reader, problems)
        else:
            _check_plugin(name, known, problems)
        if plan is not None:
            plans[name] = replace(plan, configuration=own)
    return plans


def _check_own(name: str, own: dict[str, Any], reader: StructReader, problems: Problems) -> None:
    """Check the keys of one of glimt's services."""
    if not own:
        return
    record = _record(name)
    fields = [field.encode_name for field in msgspec.structs.fields(record)]
    possible = [*fields, *sorted(PLAN_KEYS)]
    for key in [key for key in own if key not in fields]:
        near = difflib.get_close_matches(key, possible, n=1, cutoff=_NEAR)
        hint = f"did you mean {near[0]}?" if near else f"services.{name} can have {either(possible)}"
        problems.add(("services", name, key), f"is not a key; {hint}")
    try:
        reader.read(record, {key: value for key, value in own.items() if key in fields}, ("services", name))
    except ValueError as error:  # values that do not go together
        problems.add(("services", name), f"cannot be used: {error}")


def _record(name: str) -> type[msgspec.Struct]:
    module, _, class_name = CONFIGURATIONS[name].partition(":")
    found: type[msgspec.Struct] = getattr(importlib.import_module(module), class_name)
    return found


def _check_plugin(name: str, known: Mapping[str, Any], problems: Problems) -> None:
    """Refuse keys that would have no effect on a plug-in of python-workflows."""
    useless = [key for key in _NOT_FOR_PLUGINS if key in known]
    if not useless:
        return
    try:
        found = load_service(service_path(name))
    except Exception:  # noqa: BLE001 - somebody else's module may raise anything; `glimt serve` says what is wrong
        return
    if is_plugin(found):
        for key in useless:
            problems.add(
                ("services", name, key),
                "has no effect on a plug-in of python-workflows, which says by itself what it subscribes to and how"
                " (prefetch_count); leave it out",
            )
