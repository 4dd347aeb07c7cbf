"""Reading pickles that came from a socket or a file, without ever running what they name.

Some beamline equipment speaks pickle (Contrast, Xspress3, LeCroy). Python's own unpickler looks names up in modules,
calls them, and allocates what a few bytes ask for; none of that can be allowed here, so this is a small machine of its
own for the opcodes of protocols 2 to 5. It knows the names in `glimt.codecs.pickle_globals` and those its caller adds.
Source of the opcodes: CPython's ``Lib/pickletools.py``.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from glimt.codecs.pickle_globals import ADMITTED, MAX_NUMERIC_KEYS, PickleGlobal, Unfinished, check_keys
from glimt.codecs.plain_values import plain_bytes
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_PICKLE_BYTES = 64 << 20
"""Longest pickle that is read [bytes]; a Contrast message has 2,400, an Xspress3 one 700."""

MAX_OPCODES = 250_000
"""Most opcodes in one pickle; a number in a list is one. Takes about 0.1 s."""

_BYTES_PER_ELEMENT = 128
# What a pickle may take in memory, with all it shares written out: so much, and so much for each of its own bytes.
_SPARE_BYTES = 16 << 20
_BYTES_PER_BYTE = 4

ExtraGlobals = Mapping[tuple[str, str], Callable[..., Any]]
"""``(module, name)`` to a function that makes the object, for callers that must read more than plain data.

What it returns is taken as it is. Its state, if the pickle has one, goes to the object's ``__setstate__``.
"""


class _Unpickler:
    """One pickle being read: a stack, a memo and a budget."""

    def __init__(self, data: memoryview, start: int, extra: ExtraGlobals) -> None:
        self.at = start
        self._data = data
        self._end = len(data)
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._extra = extra
        self._made: set[type] = set()
        self._budget = _SPARE_BYTES + _BYTES_PER_BYTE * (self._end - start)

    def run(self) -> Any:
        """Return the value; `at` is then the offset behind it."""
        if self._end - self.at < 2 or self._data[self.at] != 0x80:
            raise ValueError("not a pickle of protocol 2 to 5")
        for _ in range(MAX_OPCODES):
            opcode = self._byte()
            if opcode == 0x2E:  # STOP
                value = self._stack.pop()
                if self._stack or self._marks:
                    raise ValueError("ends before everything in it has found its place")
                self._spend_plain(value)
                return value
            operation = _OPERATIONS.get(opcode)
            if operation is None:
                raise ValueError(f"opcode 0x{opcode:02x} is not accepted")
            operation(self)
        raise ValueError(f"more than {MAX_OPCODES} opcodes")

    # What the opcodes are made of

    def _byte(self) -> int:
        at = self.at
        if at >= self._end:
            raise ValueError("cut short")
        self.at = at + 1
        return self._data[at]

    def _number(self, n_bytes: int) -> int:
        return int.from_bytes(self._take(n_bytes), "little")

    def _take(self, n_bytes: int) -> memoryview:
        start, self.at = self.at, self.at + n_bytes
        if self.at > self._end:
            self.at = start
            raise ValueError(f"{n_bytes} bytes are announced, {self._end - start} are left")
        return self._data[start : self.at]

    def _line(self) -> str:
        raw = bytes(self._data[self.at : self.at + 256])
        length = raw.find(b"\n")
        if length < 0:
            raise ValueError("a name without an end")
        self.at += length + 1
        return raw[:length].decode()

    def _spend(self, n_bytes: int) -> None:
        self._budget -= n_bytes
        if self._budget < 0:
            raise ValueError("asks for more memory than a pickle may")

    def _spend_plain(self, value: Any) -> None:
        self._spend(plain_bytes(value, max_bytes=self._budget, allowed=frozenset(self._made)))

    def _pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    # Opcodes: values

    def _proto(self) -> None:
        if (version := self._byte()) not in (2, 3, 4, 5):
            raise ValueError(f"pickle protocol {version}; 2 to 5 are understood")

    def _frame(self) -> None:
        length = self._number(8)
        if length > self._end - self.at:
            raise ValueError(f"a pickle frame of {length} bytes is announced, {self._end - self.at} are left")

    def _push_int4(self) -> None:
        self._stack.append(int.from_bytes(self._take(4), "little", signed=True))

    def _push_long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._byte()), "little", signed=True))

    def _push_float(self) -> None:
        self._stack.append(struct.unpack(">d", self._take(8))[0])

    def _empty_set(self) -> None:
        self._stack.append(set())

    # Opcodes: containers

    def _tuple(self) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _short_tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise ValueError("a tuple of elements that are not there")
        items = tuple(self._stack[len(self._stack) - length :])
        del self._stack[len(self._stack) - length :]
        self._stack.append(items)

    def _frozenset(self) -> None:
        self._stack.append(frozenset(check_keys(self._pop_to_mark())))

    def _top(self, *kinds: type) -> Any:
        target = self._stack[-1]
        if not isinstance(target, kinds):
            raise ValueError(f"elements for a {type(target).__name__}")
        return target

    def _append(self) -> None:
        item = self._stack.pop()
        self._top(list).append(item)

    def _appends(self) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _add_items(self) -> None:
        items = self._pop_to_mark()
        target = self._top(set)
        target.update(check_keys(items, numeric_before=min(len(target), MAX_NUMERIC_KEYS)))

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_pairs([key, value])

    def _set_items(self) -> None:
        self._set_pairs(self._pop_to_mark())

    def _set_pairs(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("a key without a value")
        target = self._top(dict)
        keys = check_keys(items[::2])
        if any(not isinstance(key, str | bytes) for key in keys) and len(target) + len(keys) > MAX_NUMERIC_KEYS:
            raise ValueError(f"more than {MAX_NUMERIC_KEYS} keys, some of them numbers")
        target.update(zip(keys, items[1::2], strict=True))

    # Opcodes: memory

    def _put(self, key: int) -> None:
        self._memo[key] = top = self._stack[-1]
        if isinstance(top, Unfinished):
            top.memo_keys.append(key)

    def _get(self, key: int) -> None:
        if key not in self._memo:
            raise ValueError(f"refers to object {key}, which is not there")
        self._stack.append(self._memo[key])

    # Opcodes: objects

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is not a text")
        if (make := self._extra.get((module, name))) is not None:
            self._stack.append(PickleGlobal(f"{module}.{name}", self._remembering(make)))
        elif (admitted := ADMITTED.get((module, name))) is not None:
            self._stack.append(admitted)
        else:
            raise ValueError(f"names {module[:60]}.{name[:60]}; only arrays, plain containers and dates are accepted")

    def _remembering(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            self._spend_plain(arguments)
            value = make(*arguments)
            self._made.add(type(value))
            return value

        return made

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._name(module, name)

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, PickleGlobal) or not isinstance(arguments, tuple):
            raise ValueError("calls something that is no name")
        self._spend(sum(_weight(argument) for argument in arguments))
        self._stack.append(function.make(*arguments))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack.pop()
        if type(target) in self._made and hasattr(target, "__setstate__"):
            self._spend_plain(state)
            target.__setstate__(state)
            self._stack.append(target)
            return
        if not isinstance(target, Unfinished) or not isinstance(state, tuple):
            raise ValueError(f"a state for a {type(target).__name__}")
        self._spend(sum(_weight(part) for part in state))
        value = target.finish(state)
        self._stack.append(value)
        for key in target.memo_keys:
            if self._memo[key] is target:
                self._memo[key] = value


def _weight(value: Any) -> int:
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    return _BYTES_PER_ELEMENT * (1 + len(value)) if isinstance(value, list | tuple | dict | set) else 8


def _constant(value: Any) -> Callable[[_Unpickler], None]:
    return lambda machine: machine._stack.append(value)


def _sized(n_bytes: int, convert: Callable[[memoryview], Any]) -> Callable[[_Unpickler], None]:
    return lambda machine: machine._stack.append(convert(machine._take(machine._number(n_bytes))))


def _text(raw: memoryview) -> str:
    return str(raw, "utf-8")


_OPERATIONS: dict[int, Callable[[_Unpickler], None]] = {
    0x80: _Unpickler._proto,
    0x95: _Unpickler._frame,
    # values
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("K"): lambda machine: machine._stack.append(machine._byte()),
    ord("M"): lambda machine: machine._stack.append(machine._number(2)),
    ord("J"): _Unpickler._push_int4,
    0x8A: _Unpickler._push_long,
    ord("G"): _Unpickler._push_float,
    ord("X"): _sized(4, _text),
    0x8C: _sized(1, _text),
    0x8D: _sized(8, _text),
    ord("B"): _sized(4, bytes),
    ord("C"): _sized(1, bytes),
    0x8E: _sized(8, bytes),
    0x96: _sized(8, bytearray),
    ord("U"): _sized(1, lambda raw: str(raw, "ascii")),
    ord("T"): _sized(4, lambda raw: str(raw, "ascii")),
    # containers
    ord("]"): lambda machine: machine._stack.append([]),
    ord("}"): lambda machine: machine._stack.append({}),
    ord(")"): _constant(()),
    0x8F: _Unpickler._empty_set,
    ord("("): lambda machine: machine._marks.append(len(machine._stack)),
    ord("t"): _Unpickler._tuple,
    0x85: lambda machine: machine._short_tuple(1),
    0x86: lambda machine: machine._short_tuple(2),
    0x87: lambda machine: machine._short_tuple(3),
    0x91: _Unpickler._frozenset,
    ord("a"): _Unpickler._append,
    ord("e"): _Unpickler._appends,
    0x90: _Unpickler._add_items,
    ord("s"): _Unpickler._set_item,
    ord("u"): _Unpickler._set_items,
    # memory
    ord("q"): lambda machine: machine._put(machine._byte()),
    ord("r"): lambda machine: machine._put(machine._number(4)),
    0x94: lambda machine: machine._put(len(machine._memo)),
    ord("h"): lambda machine: machine._get(machine._byte()),
    ord("j"): lambda machine: machine._get(machine._number(4)),
    # objects
    ord("c"): _Unpickler._global,
    0x93: _Unpickler._stack_global,
    ord("R"): _Unpickler._call,
    0x81: _Unpickler._call,
    ord("b"): _Unpickler._build,
}

_NO_EXTRA: ExtraGlobals = {}


def load_from(
    data: Buffer,
    offset: int = 0,
    *,
    where: str,
    extra_globals: ExtraGlobals = _NO_EXTRA,
    max_bytes: int = MAX_PICKLE_BYTES,
) -> tuple[Any, int]:
    """Read the pickle that starts at ``offset``, return it and the offset behind it.

    Parameters
    ----------
    data : buffer
        One or several pickles, one after the other.
    offset : int
        Where this one starts.
    where : str
        For the error text.
    extra_globals : mapping
        Further names this caller admits.
    max_bytes : int
        Longest pickle.

    Raises
    ------
    DecodeError
        Damaged, too big, or naming anything that is not admitted; the text says what and at which byte.
    """
    view = memoryview(data).cast("B")[: offset + max_bytes]
    machine = _Unpickler(view, offset, extra_globals)
    try:
        return machine.run(), machine.at
    except (LookupError, TypeError, ValueError, ArithmeticError, struct.error, RecursionError, MemoryError) as error:
        what = "an opcode needs what is not there" if isinstance(error, IndexError) else str(error)
        raise DecodeError(f"bad pickle at byte {machine.at}: {what}", where=where) from None


def loads(
    data: Buffer,
    *,
    where: str,
    extra_globals: ExtraGlobals = _NO_EXTRA,
    max_bytes: int = MAX_PICKLE_BYTES,
) -> Any:
    """Return the plain data in one pickle: NumPy arrays, containers, numbers, texts, dates.

    Takes the arguments of `load_from`; the pickle must fill ``data``.

    Raises
    ------
    DecodeError
        Damaged, too big, or naming anything that is not admitted; the text says what and at which byte.
    """
    size = memoryview(data).nbytes
    if size > max_bytes:
        raise DecodeError(f"a pickle of {size} bytes; at most {max_bytes} are accepted", where=where)
    value, end = load_from(data, where=where, extra_globals=extra_globals, max_bytes=max_bytes)
    if end != size:
        raise DecodeError(f"{size - end} bytes behind the end of the pickle", where=where)
    return value


def dumps(value: Any) -> bytes:
    """Return ``value`` as a pickle that Python 3.4 and later read."""
    return pickle.dumps(value, protocol=4)
