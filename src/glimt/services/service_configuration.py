"""The table of the site file that belongs to a service, as a record."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from glimt.model.errors import UsageError
from glimt.services.service import ServiceSetup

_R = TypeVar("_R", bound=msgspec.Struct)


def read_configuration(setup: ServiceSetup, name: str, record: type[_R]) -> _R:
    """Return the configuration of a service as its own record.

    Raises
    ------
    UsageError
        A key is unknown, or a value makes no sense; the text names the table, and the key if one is to blame.
    """
    try:
        return msgspec.convert(setup.configuration, record, strict=True)
    except msgspec.ValidationError as error:
        possible = ", ".join(record.__struct_encode_fields__) or "none"
        raise UsageError(f"site file, [services.{name}]: {error}; possible keys are {possible}") from None
