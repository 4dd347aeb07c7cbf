"""Parameter files: ``[{"name": "till_x", "data": "3"}, ...]`` as JSON or CBOR."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cbor2
import msgspec

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_EXAMPLE = '[{"name": "till_x", "data": "3"}]'


class _Entry(msgspec.Struct):
    name: str
    data: Any  # text or bytes, which msgspec cannot tell apart in a union


def parse_parameters(content: bytes, *, where: str) -> dict[str, bytes]:
    """Return the values in a parameter file in wire form.

    Parameters
    ----------
    content : bytes
        JSON if it is UTF-8 (values as text), CBOR otherwise (values as text or bytes), as dranspose writes them.
    where : str
        For the error text.

    Raises
    ------
    UsageError
        Neither, or not a list of names with data, or a name that occurs twice.
    """
    try:
        document = _load(content)
        entries = msgspec.convert(document, list[_Entry])
    except (ValueError, EOFError, RecursionError, OverflowError, MemoryError, cbor2.CBORError) as error:
        raise UsageError(f"{where} is not a parameter file ({error}); it should look like {_EXAMPLE}") from None
    values: dict[str, bytes] = {}
    for entry in entries:
        if entry.name in values:
            raise UsageError(f"{where} gives parameter {entry.name!r} twice")
        if not isinstance(entry.data, str | bytes):
            raise UsageError(
                f'{where}: the data of parameter {entry.name!r} must be text, such as "3", not {entry.data!r}'
            )
        values[entry.name] = entry.data.encode() if isinstance(entry.data, str) else entry.data
    return values


def _load(content: bytes) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        stream = io.BytesIO(content)
        document = cbor2.load(stream)
        if stream.read(1):
            raise ValueError("bytes after the list") from None
        return document
    return msgspec.json.decode(text)


def read_parameters(path: Path) -> dict[str, bytes]:
    """Return the values in the parameter file ``path``; see `parse_parameters`.

    Raises
    ------
    UsageError
        The file cannot be read, or is not a parameter file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read parameter file {path}: {error.strerror or error}") from None
    return parse_parameters(content, where=f"parameter file {path}")
