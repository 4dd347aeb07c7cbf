"""A live view on a port of its own: the tree and the parameters that it shows, and how they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5pyd
import httpx
import numpy as np

from glimt.model.errors import ParameterError
from glimt.web.live_view import create_app
from glimt.web.server import ViewServer

IMAGE = np.arange(6000, dtype=">u2").reshape(2000, 3)
TABLE = np.array([(0.5, 1, [1, 2]), (1.5, 2, [3, 4])], dtype=[("a", "f8"), ("b", "i4"), ("c", "u1", (2,))])


class Reducer:
    """A live tree and its lock."""

    def __init__(self, tree: Any) -> None:
        self.publish = tree
        self.lock = threading.RLock()

    def tree(self) -> tuple[Mapping[str, Any], Any]:
        return self.publish, self.lock


class Parameters:
    """Parameters that only take whole numbers; ``fixed`` cannot be changed."""

    def __init__(self) -> None:
        self.values = {"till_x": b"3"}

    def get(self, name: str) -> bytes:
        return self.values[name]

    def set(self, name: str, data: bytes) -> str:
        if not data.isdigit():
            raise ParameterError(f"{name} must be a whole number")
        self.values[name] = data
        return "hash-of-" + data[:10].decode()

    def describe(self) -> list[dict[str, Any]]:
        return [{"name": name, "dtype": "int", "default": float("nan")} for name in ("till_x", "a")]


@contextmanager
def served(tree: Any, **options: Any) -> Iterator[tuple[ViewServer, Reducer]]:
    """Show a tree while the block runs."""
    reducer = Reducer(tree)
    with ViewServer(create_app(reducer, **options), port=0) as server:
        yield server, reducer


def opened(server: ViewServer, **options: Any) -> h5pyd.File:
    """Open what a server shows with h5pyd."""
    return h5pyd.File("/", "r", endpoint=server.url, retries=0, timeout=10, **options)


def published() -> dict[Any, Any]:
    """Return a tree with something of every kind, also of kinds that cannot be shown."""
    return {
        "_attrs": {"NX_class": "NXentry"},
        "live": 34,
        "pi": 3.5,
        "nan": float("nan"),
        "flag": True,
        "hello": "Wörld",
        "names": ["I", "q", "ååå"],
        "grid": [["a", "b"], ["c", "d"]],
        "image": IMAGE,
        "image_attrs": {"axes": ["x", "y"], "n": [1, 2], "unit": "mm", "c": 1 + 2j, "nan": float("nan"), "none": None},
        "table": TABLE,
        "map": {"x": [1.5, 2.5], "deep": {"z": np.int8(-1)}},
        "map_attrs": {"signal": "x"},
        "complex": np.array([1 + 2j, 3]),
        "bools": np.array([True, False]),
        "empty": [],
        "nothing": None,
        "bytes": b"abc",
        "raw": b"\x00\xff",
        "scalar": np.float32(2.5),
        "masked": np.ma.array([1, 2], mask=[False, True]),
        "bad": object(),
        "bad_attr": 1,
        "bad_attr_attrs": {"odd": object(), "fine": 1},
        5: 1,
    }


def get(view: ViewServer, path: str, **options: Any) -> httpx.Response:
    """Return the answer to a GET of a path."""
    return httpx.get(view.url + path, timeout=10, **options)
