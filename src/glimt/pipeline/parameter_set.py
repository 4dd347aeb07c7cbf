"""The parameters of one run: described by the user's classes, given by a file or over HTTP, read by every hook."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from glimt.model.errors import ParameterError, UsageError
from glimt.model.parameters import WorkParameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_DATA_BYTES = 64 << 20


class ParameterSet:
    """Descriptions and current values.

    Parameters
    ----------
    descriptions : iterable
        `glimt.model.parameters.Parameter` objects, or anything with ``name``, ``default``, ``from_bytes`` and
        ``to_bytes``, such as dranspose's own.
    data : mapping of str to bytes
        Uploaded values; names that nothing describes are kept as bytes, with ``value`` ``None``.

    Attributes
    ----------
    values : dict of str to WorkParameter
        What hooks are given. The very same dict lives as long as the run and changes in place.
    content_hash : str
        SHA-256 (hex) of all names and values: the same for the same content, whenever it was uploaded.

    Raises
    ------
    ParameterError
        A value does not fit its description.
    UsageError
        Two classes describe one name differently.
    """

    def __init__(self, descriptions: Iterable[Any] = (), data: Mapping[str, bytes] | None = None) -> None:
        self._descriptions: dict[str, Any] = {}
        for description in descriptions:
            known = self._descriptions.setdefault(description.name, description)
            if (type(known), known.default) != (type(description), description.default):
                raise UsageError(
                    f"parameter {description.name!r} is described twice: {known!r} and {description!r}; "
                    "worker and reducer must agree"
                )
        self.values: dict[str, WorkParameter] = {}
        for name, value in (data or {}).items():
            self.values[name] = self._parameter(name, value)
        for name, description in self._descriptions.items():
            if name not in self.values:
                default = description.default
                self.values[name] = WorkParameter(name, description.to_bytes(default), default)
        self.content_hash = self._content_hash()

    def _content_hash(self) -> str:
        digest = hashlib.sha256()
        for name in sorted(self.values):
            for part in (name.encode(), self.values[name].data):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
        return digest.hexdigest()

    def _parameter(self, name: str, data: bytes) -> WorkParameter:
        if len(data) > MAX_DATA_BYTES:
            raise ParameterError(f"parameter {name!r} has {len(data)} bytes, at most {MAX_DATA_BYTES} are accepted")
        description = self._descriptions.get(name)
        return WorkParameter(name, data, None if description is None else description.from_bytes(data))

    def check(self, name: str, data: bytes) -> None:
        """Raise `ParameterError` unless ``data`` is allowed for ``name``."""
        self._parameter(name, data)

    def update(self, changes: Mapping[str, bytes]) -> None:
        """Take new values for some parameters; the others keep theirs.

        Raises
        ------
        ParameterError
            A value does not fit its description; then nothing was changed.
        """
        self.values.update({name: self._parameter(name, data) for name, data in changes.items()})
        self.content_hash = self._content_hash()

    def data(self) -> dict[str, bytes]:
        """Return all values in wire form."""
        return {name: parameter.data for name, parameter in self.values.items()}

    def describe(self) -> list[dict[str, Any]]:
        """Return the descriptions, sorted by name, as plain values; binary defaults as text where they are text."""
        found = []
        for name in sorted(self._descriptions):
            description = self._descriptions[name]
            keys = ("name", "description", "dtype", "default", "unit", "minimum", "maximum", "choices")
            entry = {key: value for key in keys if (value := getattr(description, key, None)) is not None}
            if isinstance(entry.get("default"), bytes):
                entry["default"] = entry["default"].decode("utf-8", errors="replace")
            elif isinstance(entry.get("default"), list):
                entry["default"] = msgspec.to_builtins(entry["default"])
            found.append({"description": None} | entry)
        return found


def described_parameters(*classes: type) -> list[Any]:
    """Return what the classes' ``describe_parameters`` return; classes without one describe nothing.

    Raises
    ------
    UsageError
        ``describe_parameters`` raises or does not return parameters.
    """
    found: list[Any] = []
    for cls in classes:
        describe = getattr(cls, "describe_parameters", None)
        if describe is None:
            continue
        try:
            descriptions = list(describe())
        except ParameterError as error:
            raise UsageError(f"{cls.__qualname__}.describe_parameters: {error}") from None
        except Exception as error:
            raise UsageError(
                f"{cls.__qualname__}.describe_parameters raised {type(error).__name__}: {error}"
            ) from error
        for description in descriptions:
            if not all(hasattr(description, key) for key in ("name", "default", "from_bytes", "to_bytes")):
                raise UsageError(
                    f"{cls.__qualname__}.describe_parameters must return parameters such as "
                    f'IntParameter(name="till_x", default=2), got {description!r}'
                )
        found += descriptions
    return found
