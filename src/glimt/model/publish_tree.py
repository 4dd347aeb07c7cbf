"""What the nested dict of a reducer (its ``publish``) means as HDF5: groups, datasets, attributes.

A dict is a group, anything else a dataset. The dict under ``X_attrs`` holds the attributes of ``X``, the one
under ``_attrs`` those of the group that it lies in. The conventions are dranspose's. An attribute that is a dict itself
becomes text, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

Path: TypeAlias = tuple[str, ...]
"""Names from the root down; ``()`` is the root."""

ATTRIBUTES_SUFFIX = "_attrs"
MAX_DEPTH = 32
MAX_NODES = 20_000
"""Where a walk over the whole tree stops; a tree of frames belongs in arrays, not in names."""

_TRIES = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of the tree that cannot be shown or written, and why; the rest is not affected."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Node:
    """One group or dataset.

    Attributes
    ----------
    path : tuple of str
        Names from the root.
    value : object
        The live value: read it only while the reducer's lock is held.
    attributes : dict
        Name to live value.
    trail : tuple
        The groups above it, the root first.
    """

    path: Path
    value: Any
    attributes: dict[str, Any]
    trail: tuple[Any, ...]

    @property
    def is_group(self) -> bool:
        """Whether the node has members instead of elements."""
        return is_group(self.value)


def is_group(value: Any) -> bool:
    """Tell whether a published value is a group."""
    return isinstance(value, Mapping)


def path_text(path: Sequence[str]) -> str:
    """Return the absolute HDF5 path."""
    return "/" + "/".join(path)


def split_path(text: str) -> Path:
    """Return the names in an HDF5 path; empty ones are dropped."""
    return tuple(part for part in text.split("/") if part)


def copied_items(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the items at one moment, also of a mapping that another thread changes without a lock."""
    for _ in range(_TRIES):
        try:
            # For a plain dict this is one step of the interpreter; a user's own mapping may need another try.
            return list(mapping.items())
        except (RuntimeError, KeyError):
            continue
    return []


def members(group: Node, problems: list[Problem]) -> list[tuple[str, Any]]:
    """Return the names and values in a group, in the order of the dict; what has no place is added to ``problems``."""
    found = []
    items = copied_items(group.value)
    names = {name for name, _ in items if isinstance(name, str)}
    above = {id(value) for value in (*group.trail, group.value)}
    for name, value in items:
        reason = _name_problem(name) or _value_problem(name, value, names)
        if reason is None and id(value) in above and is_group(value):
            reason = "the dict contains itself"
        if reason is None and len(group.path) >= MAX_DEPTH:
            reason = f"lies deeper than {MAX_DEPTH} groups"
        if reason is not None:
            problems.append(Problem(path_text((*group.path, _told(name))), reason))
        elif not name.endswith(ATTRIBUTES_SUFFIX):
            found.append((name, value))
    return found


def _told(name: Any) -> str:
    return str(name)[:100].encode(errors="backslashreplace").decode()


def _name_problem(name: Any) -> str | None:
    if not isinstance(name, str):
        return f"the key is a {type(name).__name__}, names in HDF5 are text"
    if not name or name == "." or "/" in name or "\0" in name:
        return "the key is no name in HDF5 (empty, '.', or with '/' or NUL)"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the key is not Unicode"
    return None


def _value_problem(name: str, value: Any, names: set[str]) -> str | None:
    if not name.endswith(ATTRIBUTES_SUFFIX):
        return None
    owner = name.removesuffix(ATTRIBUTES_SUFFIX)
    if not is_group(value):
        return f"names ending in {ATTRIBUTES_SUFFIX} are for a dict of attributes, this is a {type(value).__name__}"
    if owner and owner not in names:
        return f"attributes of {owner!r}, which is not here"
    return None


def root_node(tree: Mapping[str, Any]) -> Node:
    """Return the root group."""
    return Node((), tree, _attributes(tree, None, ""), ())


def child_node(group: Node, name: str, value: Any) -> Node:
    """Return the node of a member."""
    return Node((*group.path, name), value, _attributes(value, group.value, name), (*group.trail, group.value))


def _attributes(value: Any, parent: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    own = value.get(ATTRIBUTES_SUFFIX) if is_group(value) else None
    given = None if parent is None else parent.get(name + ATTRIBUTES_SUFFIX)
    merged: dict[str, Any] = {}
    for source in (own, given):
        if source is not None and is_group(source):
            items = [(key, item) for key, item in copied_items(source) if isinstance(key, str) and key]
            merged.update((key, _json_text(item) if is_group(item) else item) for key, item in items)
    return merged


def _json_text(value: Any) -> Any:
    """Return a dict as JSON, for attributes have no members; as it is, where it cannot be one."""
    try:
        return msgspec.json.encode(dict(value), enc_hook=_plain).decode()
    except (TypeError, ValueError, RecursionError):
        return value


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON")


def find_node(tree: Mapping[str, Any], path: Sequence[str]) -> Node:
    """Return the node at ``path``.

    Raises
    ------
    KeyError
        There is none; the text says how far the path exists.
    """
    node = root_node(tree)
    if len(path) > MAX_DEPTH:
        raise KeyError(f"no {path_text(path)[:200]}: deeper than {MAX_DEPTH} groups")
    for name in path:
        # Never node.value[name]: on a defaultdict that would add what was asked for.
        if not node.is_group:
            raise KeyError(f"no {path_text(path)}: {path_text(node.path)} is a dataset")
        known = name in node.value and not name.endswith(ATTRIBUTES_SUFFIX) and _name_problem(name) is None
        if not known:
            raise KeyError(f"no {path_text(path)}: the group {path_text(node.path)} has no {name!r}")
        node = child_node(node, name, node.value.get(name))
    return node


def walk(tree: Mapping[str, Any], problems: list[Problem], *, start: Sequence[str] = ()) -> Iterator[Node]:
    """Yield ``start`` and every node under it, each group before its members, until `MAX_NODES`.

    Call it with the reducer's lock held. What has no place in HDF5 is added to ``problems``.

    Raises
    ------
    KeyError
        There is no ``start``.
    """
    if not is_group(tree):
        problems.append(Problem("/", f"what is published is a {type(tree).__name__}, not a dict"))
        return
    waiting = [find_node(tree, start)]
    for _ in range(MAX_NODES):
        if not waiting:
            return
        node = waiting.pop()
        yield node
        if node.is_group:
            found = [child_node(node, name, value) for name, value in members(node, problems)]
            waiting.extend(reversed(found))
    if waiting:
        problems.append(Problem(path_text(waiting[-1].path), f"not shown: more than {MAX_NODES} nodes"))
