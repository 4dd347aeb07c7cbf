"""``dranspose.helpers.h5dict``: its router has no counterpart under this name, and says where to go."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name in {"router", "app"}:
        raise ImportError(
            f"glimt has no dranspose.helpers.h5dict.{name}; use glimt.web.live_view.create_app(published), where "
            "published.tree() returns what app.state.get_data() did: the dict and its lock"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
