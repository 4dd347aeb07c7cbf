"""Writes a reducer's ``publish`` tree to an HDF5 file: what the live view shows, at one moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy.typing as npt

from glimt.model.errors import ResultError, StoreError, UsageError
from glimt.model.publish_tree import Node, Problem, path_text, walk
from glimt.model.publish_value import NOTHING, TEXT, hold_array


@dataclass(frozen=True, slots=True)
class _Held:
    name: str
    is_group: bool
    value: Callable[[], Any] | None
    attributes: dict[str, Callable[[], Any]]


def write_publish_file(
    tree: Mapping[str, Any], path: str | os.PathLike[str], *, lock: AbstractContextManager[Any] | None = None
) -> list[Problem]:
    """Write a published tree to a new HDF5 file, which replaces one of the same name when it is complete.

    Parameters
    ----------
    tree : dict
        Groups, datasets and attributes as in `glimt.model.publish_tree`.
    path : path
        The file; its folder must exist.
    lock : context manager, optional
        Held while the tree is copied, so that all of it is of one moment; not while it is written.

    Returns
    -------
    list of Problem
        What HDF5 cannot hold and is left out.

    Raises
    ------
    StoreError
        The file cannot be written.
    UsageError
        The tree is not a dict.
    """
    if not isinstance(tree, Mapping):
        raise UsageError(f"a published tree is a dict, not a {type(tree).__name__}")
    problems: list[Problem] = []
    with nullcontext() if lock is None else lock:
        held = [_hold(node) for node in walk(tree, problems)]
    target = Path(path)
    part = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        try:
            with h5py.File(part, "w") as file:
                for node in held:
                    _write(file, node, problems)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"the published tree cannot be written: {error.strerror or error}", path=str(target)
        ) from error
    return problems


def _hold(node: Node) -> _Held:
    value = None if node.is_group else _hold_value(node.value)
    attributes = {name: _hold_value(content) for name, content in node.attributes.items()}
    return _Held(path_text(node.path), node.is_group, value, attributes)


def _hold_value(value: Any) -> Callable[[], Any]:
    if value is None:
        return lambda: h5py.Empty(NOTHING.dtype)
    try:
        array = hold_array(value)
    except ResultError as error:
        reason = error

        def fail() -> Any:
            raise reason

        return fail
    return lambda: _for_h5py(array())


def _for_h5py(array: npt.NDArray[Any]) -> Any:
    return array.astype(h5py.string_dtype()) if array.dtype == TEXT else array


def _write(file: h5py.File, node: _Held, problems: list[Problem]) -> None:
    if node.value is not None:
        try:
            file.create_dataset(node.name, data=node.value())
        except (ResultError, TypeError, ValueError) as error:
            problems.append(Problem(node.name, str(error)))
            return
    elif node.name != "/":
        file.create_group(node.name)
    target = file[node.name]
    for name, content in node.attributes.items():
        try:
            target.attrs[name] = content()
        except (ResultError, TypeError, ValueError, RuntimeError, OSError) as error:
            # HDF5 takes attributes up to 64 kB.
            problems.append(Problem(f"{node.name}@{name}", str(error)))
