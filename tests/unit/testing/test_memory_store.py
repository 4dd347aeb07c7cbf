from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glimt.stores.result_store import ResultStore
from glimt.testing.memory_store import MemoryStore
from glimt.testing.store_contract import StoreContent, StoreContract


def _text(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.char.decode(rows, "utf-8") if rows.dtype.kind == "S" else rows


class TestMemoryStore(StoreContract):
    def make(
        self, folder: Path, *, parameters: Mapping[str, Any] | None = None, max_event_number: int = 1000
    ) -> ResultStore:
        return MemoryStore(parameters=parameters, max_event_number=max_event_number)

    def content(self, store: MemoryStore) -> StoreContent:
        columns = [name for name in store.names if name not in store._schema.once]
        return StoreContent(
            rows={name: _text(store.rows(name)) for name in columns},
            present={name: store.present(name) for name in columns},
            once={name: store.once(name) for name in store._schema.once},
            parameters=store.parameters.values,
            parameter_changes=[(number, snapshot.values) for number, snapshot in store.parameter_changes],
        )
