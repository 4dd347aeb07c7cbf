"""Types of values that are written in one way in a file and used in another: sizes, paths, secrets, parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

_CLASS = r"\A[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z"
_NAME = r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"
_CLASS_SAYS = "a class as package.module:Class, such as src.worker:TestWorker"
_NAME_SAYS = "a name of letters, digits and _ . - (64 at most, a letter or digit first)"


class Secret(str):
    """Text that is not shown when what holds it is printed or logged."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'" if self else "''"


ByteCount = Annotated[int, Meta(gt=0, extra={"written": "size"})]
"""A number of bytes, written as `glimt.app.byte_size.parse_size` reads it."""

FilePath = Annotated[Path, Meta(extra={"written": "path"})]
"""An absolute path, written relative to the folder of the file."""

SecretText = Annotated[Secret, Meta(extra={"written": "secret"})]
"""A token."""

ParameterText = Annotated[bytes, Meta(extra={"written": "parameter"})]
"""The value of a parameter in wire form, written as text, number or truth value."""

ProtocolName = Annotated[str, Meta(extra={"written": "protocol"})]
"""A wire protocol that glimt understands."""

ClassPath = Annotated[str, Meta(pattern=_CLASS, max_length=500, extra={"says": _CLASS_SAYS})]
"""A user's class."""

StreamName = Annotated[str, Meta(pattern=_NAME, extra={"says": _NAME_SAYS})]
"""A name that is also part of URLs and file names."""
