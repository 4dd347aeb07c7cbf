"""What unpacking a payload can find, as numbers that compiled code may return."""

from __future__ import annotations

OK = 0
CUT = 1
LENGTH = 2
DAMAGED = 3

_TEXTS = {
    CUT: "the payload ends at byte {size}, where the length of the next block should be (byte {offset})",
    LENGTH: "the block at byte {offset} has an impossible length (the payload has {size} bytes)",
    DAMAGED: "the LZ4 block at byte {offset} is damaged or has another size than the frame needs",
}


def status_text(status: int, offset: int, size: int) -> str:
    """Return what is wrong with a payload of ``size`` bytes at byte ``offset``."""
    return _TEXTS[status].format(offset=offset, size=size)
