"""Reads a live ``publish`` tree: the reducer's lock is held to look up and copy, never to convert."""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glimt.model.errors import ResultError
from glimt.model.publish_tree import Node, Path, Problem, find_node, is_group, members, path_text, walk
from glimt.model.publish_value import NOTHING, TEXT, Extent, Pick, hold_array, hold_extent

_log = logging.getLogger(__name__)

COMPARED_ELEMENTS = 16_384
"""Datasets up to this size are compared to tell whether they changed."""

_LOGGED_PROBLEMS = 1000
_MAX_NESTING = 64


class Published(Protocol):
    """What a running reducer shows."""

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return the reducer's live ``publish`` dict and the lock to hold while reading it."""
        ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What a group or dataset looked like at one moment.

    Attributes
    ----------
    path : tuple of str
        Names from the root.
    extent : Extent or None
        Type and shape of a dataset, ``None`` for a group.
    array : ndarray or None
        Elements of a small dataset.
    links : dict
        Members of a group: name to whether it is a group.
    attributes : dict
        Name to extent and elements.
    """

    path: Path
    extent: Extent | None
    array: npt.NDArray[Any] | None
    links: dict[str, bool]
    attributes: dict[str, tuple[Extent, npt.NDArray[Any]]]

    @property
    def is_group(self) -> bool:
        """Whether the node has members instead of elements."""
        return self.extent is None

    def fingerprint(self) -> int | None:
        """Return a number that differs where contents differ, ``None`` for a dataset that is not small."""
        if self.extent is not None and self.extent.shape is not None and self.array is None:
            return None
        code = zlib.crc32(repr((self.extent, self.links, [*self.attributes])).encode("utf-8", "surrogatepass"))
        arrays = [array for _, array in self.attributes.values()]
        for array in arrays if self.array is None else [*arrays, self.array]:
            code = zlib.crc32(repr(array.tolist()).encode() if array.dtype == TEXT else array.tobytes(), code)
        return code


@dataclass(frozen=True, slots=True)
class _Held:
    """A node, copied while the lock was held, to be converted after."""

    path: Path
    value: Callable[[], tuple[Extent, npt.NDArray[Any] | None]] | None
    attributes: dict[str, Callable[[], tuple[Extent, npt.NDArray[Any]]]]
    links: dict[str, Callable[[], Extent] | None]


class TreeReader:
    """Looks into a published tree; every method may be called from any thread.

    Parameters
    ----------
    published : Published
        The reducer.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._logged: set[tuple[str, str]] = set()
        self._logging = Lock()

    def _tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        tree, lock = self._published.tree()
        return tree, nullcontext() if lock is None else lock

    def look(self, path: Path, *, small: int = COMPARED_ELEMENTS) -> Sight:
        """Return what is at ``path``; elements come with it up to ``small`` of them.

        Raises
        ------
        KeyError
            There is nothing, or something that HDF5 cannot hold.
        """
        problems: list[Problem] = []
        tree, lock = self._tree()
        with lock:
            node = _root_or_find(tree, path)
            links = {} if not node.is_group else _hold_links(node, problems)
            held = _hold_node(node, links, small)
        sight = _settle(held, problems)
        self._note(problems)
        if sight is None:
            raise KeyError(f"{path_text(path)} cannot be shown: {problems[-1].reason}")
        return sight

    def value(self, path: Path, pick: Pick | None = None) -> tuple[Extent, npt.NDArray[Any]]:
        """Return type and elements of the dataset at ``path``, those that ``pick`` takes.

        Raises
        ------
        KeyError
            There is no such dataset, or HDF5 cannot hold it.
        """
        tree, lock = self._tree()
        try:
            with lock:
                node = _root_or_find(tree, path)
                if node.is_group:
                    raise KeyError(f"{path_text(path)} is a group, it has no value")
                nothing = node.value is None
                held = hold_array(node.value, None if nothing else pick)
            array = held()
        except ResultError as error:
            self._note([Problem(path_text(path), str(error))])
            raise KeyError(f"{path_text(path)} cannot be shown: {error}") from None
        return NOTHING if nothing else Extent(array.shape, array.dtype), array

    def survey(
        self, start: Path = (), *, small: int = 0, wanted: Mapping[Path, Pick | None] | None = None
    ) -> tuple[list[Sight], list[Problem]]:
        """Return ``start`` and all under it, groups before their members, and what cannot be shown.

        Elements come with datasets of up to ``small`` of them, and with those that are ``wanted``, there what the pick
        takes; all are of one moment.

        Raises
        ------
        KeyError
            There is no ``start``.
        """
        problems: list[Problem] = []
        tree, lock = self._tree()
        with lock:
            held = [_hold_node(node, {}, small, wanted) for node in walk(tree, problems, start=start)]
        sights = [sight for node in held if (sight := _settle(node, problems)) is not None]
        self._note(problems)
        return sights, problems

    def paths(self) -> list[Path]:
        """Return the path of every node."""
        tree, lock = self._tree()
        with lock:
            return [node.path for node in walk(tree, [])]

    def _note(self, problems: list[Problem]) -> None:
        for problem in problems:
            key = (problem.path, problem.reason)
            with self._logging:
                if key in self._logged or len(self._logged) >= _LOGGED_PROBLEMS:
                    continue
                self._logged.add(key)
            _log.warning("the live view cannot show %s: %s", problem.path, problem.reason)


def _root_or_find(tree: Any, path: Path) -> Node:
    # A reducer that publishes something else than a dict has an empty root; `survey` says why.
    return find_node(tree if is_group(tree) else {}, path)


def _hold_links(group: Node, problems: list[Problem]) -> dict[str, Callable[[], Extent] | None]:
    links: dict[str, Callable[[], Extent] | None] = {}
    for name, value in members(group, problems):
        links[name] = None if is_group(value) else _try_hold(value)
    return links


def _try_hold(value: Any) -> Callable[[], Extent]:
    try:
        return hold_extent(value)
    except ResultError as error:
        return _raising(error)


def _raising(error: ResultError) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def _hold_node(
    node: Node,
    links: dict[str, Callable[[], Extent] | None],
    small: int,
    wanted: Mapping[Path, Pick | None] | None = None,
) -> _Held:
    value: Callable[[], tuple[Extent, npt.NDArray[Any] | None]] | None = None
    if not node.is_group:
        is_wanted = wanted is not None and node.path in wanted and node.value is not None
        value = _hold_wanted(node.value, (wanted or {})[node.path]) if is_wanted else _hold_value(node.value, small)
    attributes = {name: _hold_all(content) for name, content in node.attributes.items()}
    return _Held(node.path, value, attributes, links)


def _hold_value(value: Any, small: int) -> Callable[[], tuple[Extent, npt.NDArray[Any] | None]]:
    if _size(value) <= small:
        return _hold_all(value)
    extent = _try_hold(value)
    return lambda: (extent(), None)


def _hold_wanted(value: Any, pick: Pick | None) -> Callable[[], tuple[Extent, npt.NDArray[Any] | None]]:
    extent = _try_hold(value)
    try:
        array = hold_array(value, pick)
    except ResultError as error:
        return _raising(error)
    return lambda: (extent(), array())


def _hold_all(value: Any) -> Callable[[], tuple[Extent, npt.NDArray[Any]]]:
    if value is None:
        return lambda: (NOTHING, np.empty(0))
    try:
        array = hold_array(value)
    except ResultError as error:
        return _raising(error)
    return lambda: _with_extent(array())


def _with_extent(array: npt.NDArray[Any]) -> tuple[Extent, npt.NDArray[Any]]:
    return Extent(array.shape, array.dtype), array


def _size(value: Any) -> int:
    """Return about how many elements a value has, without converting it."""
    size = 1
    for _ in range(_MAX_NESTING):  # a list may contain itself
        if isinstance(value, np.ndarray):
            return size * value.size
        if not isinstance(value, list | tuple | deque) or not value:
            return size
        size *= len(value)
        value = value[0]
    return size


def _settle(held: _Held, problems: list[Problem]) -> Sight | None:
    """Convert what was held; None for a dataset that cannot be shown."""
    extent, array = None, None
    if held.value is not None:
        try:
            extent, array = held.value()
        except ResultError as error:
            problems.append(Problem(path_text(held.path), str(error)))
            return None
    links = {}
    for name, member in held.links.items():
        try:
            if member is not None:
                member()
        except ResultError as error:
            problems.append(Problem(path_text((*held.path, name)), str(error)))
            continue
        links[name] = member is None
    return Sight(held.path, extent, array, links, _settle_attributes(held, problems))


def _settle_attributes(held: _Held, problems: list[Problem]) -> dict[str, tuple[Extent, npt.NDArray[Any]]]:
    attributes = {}
    for name, content in held.attributes.items():
        shown = name.encode(errors="backslashreplace").decode()
        try:
            if shown != name:
                raise ResultError("the key is not Unicode")
            attributes[name] = content()
        except ResultError as error:
            problems.append(Problem(f"{path_text(held.path)}@{shown[:100]}", str(error)))
    return attributes
