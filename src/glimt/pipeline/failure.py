"""What is left of an event whose analysis raised."""

from __future__ import annotations

import traceback
from pathlib import Path

import msgspec

# What stands before the user's first line: this package, the calls that `hooks` makes, the import machinery.
_LEADING = (str(Path(__file__).resolve().parents[1]), "<string>", "<frozen ")


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """One call of a user's hook that raised.

    Attributes
    ----------
    event_number : int
        The event, -1 for hooks that have none (``finish``, ``timer``).
    hook : str
        What raised, such as ``"TestWorker.process_event"``.
    error : str
        Type and text of the exception, one line.
    trace : str
        The traceback from the first frame that is not glimt's on.
    """

    event_number: int
    hook: str
    error: str
    trace: str

    @classmethod
    def from_exception(cls, error: BaseException, *, event_number: int, hook: str) -> Failure:
        """Describe what was raised."""
        return cls(event_number, hook, describe_exception(error), user_trace(error))

    def __str__(self) -> str:
        where = f" at event {self.event_number}" if self.event_number >= 0 else ""
        return f"{self.hook} raised{where}: {self.error}"


def describe_exception(error: BaseException) -> str:
    """Return type and text of an exception on one line."""
    try:
        text = _encodable(" ".join(str(error).split()))
    except Exception:  # noqa: BLE001  the text of a user's exception is made by the user's code
        text = "(its text cannot be made)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def user_trace(error: BaseException) -> str:
    """Return the traceback without the frames that lead to the user's code; empty if there are only those."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and (frames[0].filename.startswith(_LEADING) or "importlib" in frames[0].filename):
        del frames[0]
    if not frames:
        return ""
    return _encodable("Traceback (most recent call last):\n" + "".join(traceback.format_list(frames)).rstrip("\n"))


def _encodable(text: str) -> str:
    # A file name that is not UTF-8 has lone surrogates, which no message between processes can have.
    return text.encode(errors="backslashreplace").decode()
