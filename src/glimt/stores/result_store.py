"""What every result store offers to a reducer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, SupportsIndex

import numpy.typing as npt


class ResultStore(Protocol):
    """Results of a run, by name and event number.

    `glimt.testing.store_contract.StoreContract` says in tests what every implementation must do.
    """

    def put(
        self,
        name: str,
        event_number: SupportsIndex,
        value: npt.ArrayLike,
        *,
        unit: str | None = None,
        axes: str | Sequence[str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        dtype: npt.DTypeLike | None = None,
        max_length: int | None = None,
    ) -> None:
        """Store the value of one event: any order, the last one of the same event wins."""

    def put_once(
        self, name: str, value: Any, *, unit: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Store a value that belongs to the whole run; putting the same value again does nothing."""

    def parameters_changed(
        self, event_number: SupportsIndex, parameters: Mapping[str, Any], *, parameters_hash: str | None = None
    ) -> None:
        """Remember that ``parameters`` hold from ``event_number`` on."""

    def flush(self) -> None:
        """Make everything that was put visible to readers."""

    def close(self) -> None:
        """Write what is left and let go; safe to call twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
