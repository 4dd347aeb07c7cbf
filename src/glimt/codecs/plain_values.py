"""Whether a value from outside is plain data, and how big it is for whoever walks through all of it."""

from __future__ import annotations

import datetime
from collections import OrderedDict
from typing import Any

import numpy as np

MAX_DEPTH = 64
"""Deepest nesting of containers; printing, comparing and encoding them recurse."""

_LEAVES = frozenset({
    type(None), bool, int, float, complex, datetime.datetime, datetime.date, datetime.timedelta, datetime.timezone,
})  # fmt: skip
_SIZED_LEAVES = frozenset({str, bytes, bytearray})
_CONTAINERS = frozenset({list, tuple, dict, OrderedDict, set, frozenset})
_LEAF_BYTES = 16


def _children(value: Any) -> list[Any]:
    return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)


def _leaf_bytes(value: Any, allowed: frozenset[type]) -> int:
    kind = type(value)
    if kind in _LEAVES or kind in allowed:
        return _LEAF_BYTES
    if kind in _SIZED_LEAVES:
        return _LEAF_BYTES + len(value)
    if kind is np.ndarray or isinstance(value, np.generic):
        return _LEAF_BYTES + int(value.nbytes)
    raise ValueError(f"a {kind.__name__}, which is not plain data")


def plain_bytes(value: Any, *, max_bytes: int, allowed: frozenset[type] = frozenset()) -> int:
    """Return about how many bytes ``value`` has when everything it shares is written out.

    A few kilobytes of pickle can describe lists of lists that share their elements and unfold to terabytes as soon as
    somebody prints them; the walk here visits every object once.

    Parameters
    ----------
    value : object
        Numbers, texts, arrays, dates and containers of them.
    max_bytes : int
        The most that is accepted.
    allowed : frozenset of type
        Further types, taken as they are.

    Raises
    ------
    ValueError
        Something that is not plain data, contains itself, is nested deeper than `MAX_DEPTH` or is too big.
    """
    known: dict[int, tuple[int, int]] = {}  # id -> (bytes, depth); all objects live as long as ``value``
    open_ids: set[int] = set()
    stack: list[tuple[Any, list[Any] | None]] = [(value, None)]
    while stack:
        item, children = stack.pop()
        if id(item) in known:
            continue
        if type(item) not in _CONTAINERS:
            known[id(item)] = (_leaf_bytes(item, allowed), 0)
            continue
        if children is None:
            if id(item) in open_ids:
                raise ValueError("a container that contains itself")
            open_ids.add(id(item))
            if len(open_ids) > MAX_DEPTH:
                raise ValueError(f"containers nested deeper than {MAX_DEPTH}")
            children = _children(item)
            stack.append((item, children))
            stack.extend((child, None) for child in children)
            continue
        open_ids.discard(id(item))
        size = _LEAF_BYTES + sum(known[id(child)][0] for child in children)
        depth = 1 + max((known[id(child)][1] for child in children), default=0)
        if size > max_bytes:
            raise ValueError(f"data that unfold to more than {max_bytes} bytes")
        if depth > MAX_DEPTH:
            raise ValueError(f"containers nested deeper than {MAX_DEPTH}")
        known[id(item)] = (size, depth)
    size = known[id(value)][0]
    if size > max_bytes:
        raise ValueError(f"data of {size} bytes; at most {max_bytes} are accepted")
    return size
