"""Parameters of a user's analysis: how one is described, and the value that a worker reads.

Names and wire form (bytes: ``str(value)`` in UTF-8, binary as it is) are those of dranspose 0.2. Where dranspose turns
what it cannot read into 0 or ``""``, here it is a `ParameterError`.
"""

from __future__ import annotations

import math
import uuid
from typing import Any, ClassVar, Literal

import msgspec

from glimt.model.errors import ParameterError
from glimt.model.region import Region, check_regions, regions_from_json, regions_to_json

_SHOWN_BYTES = 100


class Parameter(msgspec.Struct, kw_only=True):
    """Description of one parameter; use one of the subclasses.

    Attributes
    ----------
    name : str
        Key in the ``parameters`` that a worker and a reducer are given.
    description : str or None
        What it does, for people.
    unit : str or None
        Unit of the value, for people.
    """

    kind: ClassVar[str] = "a value"

    name: str
    description: str | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ParameterError(f"a parameter needs a name, got {self.name!r}")
        self.check(self.default)

    @property
    def default(self) -> Any:
        """Value where none is given."""
        raise ParameterError(
            f"parameter {self.name!r} needs a type: use IntParameter, FloatParameter, StrParameter ..."
        )

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is allowed."""
        raise self._error(value)

    def from_bytes(self, data: bytes) -> Any:
        """Return the value that ``data`` stands for.

        Raises
        ------
        ParameterError
            Not a value of this type, or one outside the limits.
        """
        try:
            value = self._parse(data.decode())
        except ValueError:
            raise self._error(data) from None
        self.check(value)
        return value

    def to_bytes(self, value: Any) -> bytes:
        """Return the wire form of ``value``."""
        return str(value).encode()

    def _parse(self, text: str) -> Any:
        return text

    def _error(self, value: Any, reason: str = "") -> ParameterError:
        return ParameterError(f"parameter {self.name!r} takes {self.kind}{reason}, got {_shortened(value)!r}")


class StrParameter(Parameter, kw_only=True):
    """Text.

    Attributes
    ----------
    choices : list of str or None
        The allowed values; any if ``None``.
    """

    kind: ClassVar[str] = "text"

    dtype: Literal["str"] = "str"
    default: str = ""
    choices: list[str] | None = None

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is text and one of the choices."""
        if not isinstance(value, str):
            raise self._error(value)
        if self.choices is not None and value not in self.choices:
            raise self._error(value, f", one of {', '.join(self.choices)}")


class BinaryParameter(Parameter, kw_only=True):
    """Bytes, such as the content of a PONI file."""

    kind: ClassVar[str] = "bytes"

    dtype: Literal["binary"] = "binary"
    default: bytes = b""

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is bytes."""
        if not isinstance(value, bytes):
            raise self._error(value)

    def from_bytes(self, data: bytes) -> bytes:
        """Return ``data``."""
        return data

    def to_bytes(self, value: bytes) -> bytes:
        """Return ``value``."""
        return value


class _Number(Parameter, kw_only=True):
    minimum: float | None = None
    maximum: float | None = None

    def _check_limits(self, value: float) -> None:
        if self.minimum is not None and value < self.minimum:
            raise self._error(value, f" of at least {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise self._error(value, f" of at most {self.maximum:g}")


class IntParameter(_Number, kw_only=True):
    """Whole number, optionally between ``minimum`` and ``maximum`` (both included)."""

    kind: ClassVar[str] = "a whole number"

    dtype: Literal["int"] = "int"
    default: int = 0

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is a whole number within the limits."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._error(value)
        self._check_limits(value)

    def _parse(self, text: str) -> int:
        return int(text)


class FloatParameter(_Number, kw_only=True):
    """Number, optionally between ``minimum`` and ``maximum`` (both included); never NaN."""

    kind: ClassVar[str] = "a number"

    dtype: Literal["float"] = "float"
    default: float = 0.0

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is a number within the limits."""
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
            raise self._error(value)
        self._check_limits(value)

    def _parse(self, text: str) -> float:
        return float(text)


class BoolParameter(Parameter, kw_only=True):
    """True or false; written ``True``, ``False``, read in any case, also as 1/0, on/off, yes/no."""

    kind: ClassVar[str] = "True or False"

    dtype: Literal["bool"] = "bool"
    default: bool = False

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is a bool."""
        if not isinstance(value, bool):
            raise self._error(value)

    def _parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word in {"true", "1", "on", "yes"}:
            return True
        if word in {"false", "0", "off", "no"}:
            return False
        raise ValueError(text)


class RoiParameter(Parameter, kw_only=True):
    """Regions of a detector, as they are drawn in the page; on the wire a JSON list, empty for none.

    The value is a list of `glimt.model.region.Region`. Whoever draws, moves or deletes a region in the page changes the
    one parameter of this type: every worker has the new regions from the same event on.
    """

    kind: ClassVar[str] = "a list of regions"

    dtype: Literal["roi"] = "roi"
    default: list[Region] = []

    def check(self, value: Any) -> None:
        """Raise `ParameterError` unless ``value`` is a list of regions with different names."""
        try:
            check_regions(value)
        except ParameterError as error:
            raise self._error(value, f" ({error})") from None

    def from_bytes(self, data: bytes) -> list[Region]:
        """Return the regions that ``data`` stands for; nothing at all is none.

        Raises
        ------
        ParameterError
            It is no JSON list of regions, or one of them is not allowed.
        """
        try:
            return regions_from_json(data)
        except ParameterError as error:
            raise self._error(data, f" ({error})") from None

    def to_bytes(self, value: list[Region]) -> bytes:
        """Return the regions as JSON."""
        return regions_to_json(value)


class WorkParameter(msgspec.Struct):
    """Value of one parameter, as a worker reads it.

    Attributes
    ----------
    name : str
        Its name.
    data : bytes
        The value as it was uploaded.
    value : object
        The typed value; ``None`` if no class describes a parameter of this name.
    uuid : UUID
        Changes with every upload, even of the same value.
    """

    name: str
    data: bytes
    value: int | str | bytes | float | bool | list[Region] | None = None
    uuid: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)

    def __repr__(self) -> str:
        data, value = _shortened(self.data), _shortened(self.value)
        return f"WorkParameter(name={self.name!r}, data={data!r}, value={value!r}, uuid={self.uuid!r})"


def _shortened(value: Any) -> Any:
    """Return long text or bytes with their middle left out, for printing."""
    if isinstance(value, bytes | str) and len(value) > _SHOWN_BYTES:
        gap = f"... ({len(value)} in all) ..."
        half = _SHOWN_BYTES // 2
        if isinstance(value, bytes):
            return value[:half] + gap.encode() + value[-half:]
        return value[:half] + gap + value[-half:]
    return value
