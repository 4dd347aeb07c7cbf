"""What the page reads of a reducer: the tree, all numbers, and the arrays that somebody wants, of one moment."""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.errors import GlimtError
from glimt.model.publish_tree import Path, Problem, is_group, path_text, split_path, walk
from glimt.model.publish_value import TEXT, Pick
from glimt.pipeline.tree_reader import Published, Sight, TreeReader
from glimt.web.hdf_types import value_json
from glimt.web.page_plot_kind import plot_kind

Array = npt.NDArray[Any]

MAX_WANTED = 512
MAX_VALUE_BYTES = 256 << 20
"""A larger array is not read for the page."""

_LOOK_S = 0.01
_LOOK_SHARE = 0.02
_ATTRIBUTE_ELEMENTS = 1000
_ATTRIBUTE_TEXT = 4096


class FeedError(GlimtError, OSError):
    """The reducer does not answer; the page says so and asks again."""


class PageNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A group or dataset, as the page is told of it; see ``docs/reference/page-protocol.md``."""

    path: str
    kind: str
    attributes: dict[str, Any]
    plot: str = "none"
    dtype: str = ""
    shape: tuple[int, ...] | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What was published at one moment.

    Attributes
    ----------
    sign : int
        Differs where something was replaced or a number changed.
    event_number : int or None
        Highest one reduced.
    nodes : list of PageNode
        Groups before their members.
    problems : list of (str, str)
        Path and reason of what cannot be shown.
    numbers : dict of str to float
        All published numbers.
    values : dict of str to ndarray
        Wanted arrays that are not those whose fingerprints were given; of three and more axes the last plane.
    prints : dict of str to int
        Fingerprints of all wanted arrays that are there.
    scalars : dict of int to dict
        Numbers of streams at the events that wanted arrays are of, by event and path; see `glimt.web.page_streams`.
    events : dict of str to int
        Of which event a wanted value is, where that is another one than attributes and ``event_number`` say.
    """

    sign: int
    event_number: int | None
    nodes: list[PageNode]
    problems: list[tuple[str, str]]
    numbers: dict[str, float]
    values: dict[str, Array]
    prints: dict[str, int]
    scalars: dict[int, dict[str, float]] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)


class Feed(Protocol):
    """Where the page's hub reads; called from one thread."""

    def read(self, wanted: Mapping[str, int | None], *, sign: int = 0, wait_s: float = 0.0) -> Reading:
        """Return what is published.

        Parameters
        ----------
        wanted : mapping of str to int or None
            Paths of arrays, and the fingerprints of those that are known.
        sign : int
            Of the last reading.
        wait_s : float
            Wait for something that changes the sign, at most so long [s].

        Raises
        ------
        FeedError
            Nobody answers.
        """
        ...

    def close(self) -> None:
        """Give back what is open."""
        ...


class _Moment:
    """A reducer of which is known, by each thread that looks, which event was the newest when its tree was copied.

    Parameters
    ----------
    published : Published
        The reducer.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._seen = threading.local()

    @property
    def events(self) -> tuple[int | None, int | None]:
        """The newest event before and after the copy that this thread made last."""
        return self._seen.events  # type: ignore[no-any-return]  # what a thread keeps has no type

    @property
    def newest_event(self) -> int | None:
        """The newest event of now."""
        return getattr(self._published, "newest_event", None)

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return the tree and the lock to hold while reading it."""
        tree, lock = self._published.tree()
        return tree, self._looking(lock)

    @contextmanager
    def _looking(self, lock: AbstractContextManager[Any] | None) -> Iterator[None]:
        with nullcontext() if lock is None else lock:
            before = self.newest_event
            yield
            self._seen.events = before, self.newest_event


class LocalFeed:
    """Reads a reducer in this process; from several threads if need be.

    Parameters
    ----------
    published : Published
        The reducer; its attribute ``newest_event``, where there is one, tells the event number.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._moment = _Moment(published)
        self._reader = TreeReader(self._moment)

    def read(self, wanted: Mapping[str, int | None], *, sign: int = 0, wait_s: float = 0.0) -> Reading:
        """Return what is published; see `Feed.read`."""
        return self._look(wanted, sign=sign, wait_s=wait_s)[0]

    def _look(self, wanted: Mapping[str, int | None], *, sign: int, wait_s: float) -> tuple[Reading, bool, bool]:
        """Return what is published, whether no event was reduced while it was copied, and whether none was until now.

        The last says more: an event counts as reduced a little after the user's code published it.
        """
        found = self._wait(sign, wait_s)
        picks: dict[Path, Pick | None] = {split_path(path): _last_plane for path in list(wanted)[:MAX_WANTED]}
        sights, problems = self._reader.survey(small=1, wanted=picks)
        event_number, event_after = self._moment.events
        values, prints, numbers, nodes = {}, {}, {}, []
        for sight in sights:
            path = path_text(sight.path)
            nodes.append(_node(path, sight))
            if (number := _number(sight.array)) is not None:
                numbers[path] = number
            if sight.path in picks and sight.array is not None:
                prints[path] = fingerprint(sight.array)
                if wanted.get(path) != prints[path]:
                    values[path] = sight.array
        told = [(problem.path, problem.reason) for problem in problems[:100]]
        reading = Reading(found, event_number, nodes, told, numbers, values, prints)
        return reading, event_after == event_number, self._moment.newest_event == event_number

    def _wait(self, sign: int, wait_s: float) -> int:
        until = time.monotonic() + wait_s
        while True:
            began = time.monotonic()
            found = self._sign()
            now = time.monotonic()
            if found != sign or now >= until:
                return found
            # A large tree takes long to look through: never more than a small share of the reducer's time.
            time.sleep(min(max(_LOOK_S, (now - began) / _LOOK_SHARE), until - now))

    def _sign(self) -> int:
        tree, lock = self._published.tree()
        problems: list[Problem] = []
        with nullcontext() if lock is None else lock:
            parts = [(node.path, _identity(node.value)) for node in walk(tree, problems)]
        return hash(tuple(parts)) & 0x7FFF_FFFF_FFFF_FFFF

    def close(self) -> None:
        """Nothing is open."""


def _identity(value: Any) -> Any:
    """Return what differs where a value was replaced, or a list has grown; not where an array was changed in place."""
    if is_group(value):
        return None
    if isinstance(value, list | deque):
        return id(value), len(value)
    if isinstance(value, np.ndarray):
        return id(value), value.item() if value.ndim == 0 and value.dtype.kind in "biuf" else value.shape
    return value if isinstance(value, int | float | str | np.number) else id(value)


def _last_plane(array: Array) -> Array:
    plane = array if array.ndim < 3 else array[(-1,) * (array.ndim - 2)] if array.size else array.reshape(0, 0)
    return plane if plane.nbytes <= MAX_VALUE_BYTES else plane[:0]


def _number(array: Array | None) -> float | None:
    if array is None or array.shape != () or array.dtype.kind not in "biufc":
        return None
    return abs(complex(array.item())) if array.dtype.kind == "c" else float(array.item())


def _node(path: str, sight: Sight) -> PageNode:
    attributes = {name: _attribute(array) for name, (_, array) in sight.attributes.items() if _is_told(array)}
    if sight.extent is None:
        return PageNode(path, "group", attributes)
    dtype, shape = sight.extent.dtype, sight.extent.shape
    name = "text" if dtype == TEXT or dtype.kind == "S" else "struct" if dtype.names else str(dtype)
    plot = plot_kind(name, shape, attributes.get("plot"))
    return PageNode(path, "dataset", attributes, plot, name, shape, tuple(dtype.names or ()))


def _is_told(array: Array) -> bool:
    return array.size <= _ATTRIBUTE_ELEMENTS and array.dtype.names is None


def _attribute(array: Array) -> Any:
    value = array.item() if array.dtype == TEXT and not array.ndim else value_json(array)
    if not isinstance(value, str):
        return value
    if value.startswith("{") and len(value) <= _ATTRIBUTE_TEXT:
        with suppress(msgspec.DecodeError, RecursionError, OverflowError):
            found = msgspec.json.decode(value)
            msgspec.msgpack.encode(found)  # integers beyond 64 bits do not come through to the page's process
            return found
    return value[:_ATTRIBUTE_TEXT]


def fingerprint(array: Array) -> int:
    """Return a number that differs where contents differ."""
    code = zlib.crc32(repr((array.shape, array.dtype)).encode())
    if array.dtype == TEXT:
        return zlib.crc32(repr(array.tolist()).encode("utf-8", "surrogatepass"), code)
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, code)
