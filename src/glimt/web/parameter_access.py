"""The parameters of a run, as the web interfaces ask for them."""

from __future__ import annotations

from typing import Any, Protocol

MAX_PARAMETER_BYTES = 64 << 20


class ParameterAccess(Protocol):
    """The parameters of a run; called from several threads."""

    def get(self, name: str) -> bytes:
        """Return the value as sent; raise `KeyError` if there is none of this name."""
        ...

    def set(self, name: str, data: bytes) -> str:
        """Change a value and return the new content hash; raise `ParameterError` if it is not allowed."""
        ...

    def describe(self) -> list[dict[str, Any]]:
        """Return name, type, default and so on of each parameter."""
        ...
