"""Every error glimt raises on purpose: what happened, where, and what to do about it."""

from __future__ import annotations


class GlimtError(Exception):
    """Base of all errors that glimt raises on purpose; its text is one line for a human."""


class DecodeError(GlimtError, ValueError):
    """Bytes from outside do not mean what their format says.

    Parameters
    ----------
    what : str
        What is wrong, with the offending value.
    where : str
        Which format and which part of it, such as ``"stins image, part 0"``.
    """

    def __init__(self, what: str, *, where: str = "") -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.what = what
        self.where = where


class CaptureError(DecodeError):
    """A capture file is truncated, damaged or not a capture.

    Parameters
    ----------
    what : str
        What is wrong.
    path : str
        The file.
    offset : int
        Byte offset of what could not be read (in the decompressed stream for ``.gz``).
    good_bytes : int
        Up to this byte the capture is good: cut there, it is whole.
    last_event : int or None
        Event number of the last item that was read whole, ``None`` if there was none.
    """

    def __init__(self, what: str, *, path: str, offset: int, good_bytes: int, last_event: int | None) -> None:
        good = "no event before it is readable"
        if last_event is not None:
            good = f"last good event is {last_event}, which ends at byte {good_bytes}"
        super().__init__(f"{what} at byte {offset}; {good}", where=path)
        self.path = path
        self.offset = offset
        self.good_bytes = good_bytes
        self.last_event = last_event


class ParameterError(GlimtError, ValueError):
    """A parameter has a value that its description does not allow."""


class ResultError(GlimtError, TypeError):
    """A worker returned, or a reducer publishes, something that cannot leave its process."""


class UsageError(GlimtError, ValueError):
    """What the user asked for cannot be done; the text says what to change."""


class UserCodeError(GlimtError, RuntimeError):
    """A user's class raised where there is no event to blame: import, construction, ``finish``, ``timer``.

    Parameters
    ----------
    what : str
        What raised and with which error.
    trace : str
        The traceback, starting in the user's own file.
    """

    def __init__(self, what: str, *, trace: str = "") -> None:
        super().__init__(what)
        self.trace = trace


class WorkerDiedError(GlimtError, RuntimeError):
    """A worker process ended without being told to."""


class StoreError(GlimtError, OSError):
    """Results cannot be written where they should go: disk full, quota, a device that fails.

    Parameters
    ----------
    what : str
        What failed and what to do about it.
    path : str
        The file.
    n_lost : int
        Rows (one value of one name for one event) that were handed over and are not in the file, so far.
    """

    def __init__(self, what: str, *, path: str, n_lost: int = 0) -> None:
        loss = f"; {n_lost} rows are lost" if n_lost else ""
        super().__init__(f"{path}: {what}{loss}")
        self.what = what
        self.path = path
        self.n_lost = n_lost


class RecipeError(GlimtError, ValueError):
    """A recipe is not valid, or what it says cannot be done; the text names the step."""


class BrokerError(GlimtError, ConnectionError):
    """A message broker cannot be reached, or refuses what was asked of it."""


class UnknownQueueError(BrokerError):
    """A message was for a queue that the broker does not have.

    Parameters
    ----------
    queue : str
        Its name.
    where : str
        The broker, and what else helps to find the mistake.
    """

    def __init__(self, queue: str, *, where: str = "") -> None:
        super().__init__(f"{where}: there is no queue {queue!r}" if where else f"there is no queue {queue!r}")
        self.queue = queue


class BrokerRefusedError(BrokerError):
    """A message broker answers, and refuses what was asked of it: to ask again would not help."""


class LostDeliveryError(BrokerError):
    """A message is no longer this receiver's: its connection or its lease ended, and another will get it."""


class RejectedMessageError(GlimtError, ValueError):
    """A message can never be handled as it is: it goes to the dead letters with this text."""


class RetryMessageError(GlimtError, RuntimeError):
    """A message cannot be handled now: it is delivered again.

    Parameters
    ----------
    what : str
        Why not now.
    after_s : float or None
        When to try again; ``None`` for a time that grows with each attempt.
    """

    def __init__(self, what: str, *, after_s: float | None = None) -> None:
        super().__init__(what)
        self.after_s = after_s


class ResultsDatabaseError(GlimtError, ConnectionError):
    """The results database cannot be reached, or refuses a statement that would be right at another time."""
