"""One result that unpacks into two values for code written for old azint, and into four for current azint.

``I, sigma = ai.integrate(image)`` is what azint returned until version 1.1 and what tutorials and beamlines still have;
``I, sigma, cake, cake_sigma = ...`` is what it returns now. A tuple has one length, so the result looks at who
unpacks it: the instruction that CPython executes in the caller at that moment says how many values it wants.
"""

from __future__ import annotations

import opcode
import sys
from collections.abc import Iterator
from typing import Any

_UNPACK_SEQUENCE = opcode.opmap.get("UNPACK_SEQUENCE", -1)


def _wants_two(depth: int) -> bool:
    """Return whether the frame ``depth`` calls up is in the middle of unpacking something into exactly two targets.

    ``co_code`` has the instructions as compiled, whatever the interpreter, a tracer or a debugger made of them
    meanwhile (tried with CPython 3.11, 3.12 and 3.13). An interpreter that cannot tell gets ``False``.
    """
    try:
        frame = sys._getframe(depth)  # noqa: SLF001  # the only way to the caller that costs no traceback
        at = frame.f_lasti
        return at >= 0 and tuple(frame.f_code.co_code[at : at + 2]) == (_UNPACK_SEQUENCE, 2)
    except (AttributeError, ValueError):
        return False


class IntegrationResult(tuple[Any, ...]):
    """``(I, sigma, cake, cake_sigma)``; the last two are ``None`` without azimuthal bins.

    Length, indexing, ``list()``, ``*`` and unpacking into four see all four. Unpacking into two gives what old azint
    returned: the cake and its errors if there are azimuthal bins, ``I`` and ``sigma`` otherwise. Where that cannot be
    recognized (another Python than CPython, a compiled caller), there are four.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        if _wants_two(2):
            first = 0 if self[2] is None else 2
            return iter((self[first], self[first + 1]))
        return super().__iter__()
