"""The two optional methods by which a reducer survives the death of its process quickly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glimt.model.errors import UsageError, UserCodeError
from glimt.pipeline.failure import describe_exception, user_trace
from glimt.pipeline.hooks import bind_hook
from glimt.pipeline.result_codec import decode_result, encode_result


class CheckpointHooks:
    """A reducer's ``get_state`` and ``set_state``: an extension of glimt's, which dranspose does not have.

    ``get_state(self) -> object`` returns everything that ``process_result`` has gathered, including what is in
    ``publish``: numbers, text, arrays, lists, dicts, dataclasses defined at the top of a module, or anything that can
    be pickled. ``set_state(self, state)`` puts an equal copy of it into a fresh reducer, whose ``__init__`` has run and
    whose ``process_result`` and ``timer`` have not. ``get_state`` is called between two calls of ``process_result``, in
    the same thread; a reducer whose ``timer`` changes the same data holds its own lock in both.

    A reducer without the two is brought back by reducing all results of the scan again.

    Parameters
    ----------
    get_state, set_state : callable
        The bound methods.
    what : str
        Name of the reducer's class, for errors.
    """

    __slots__ = ("_get_state", "_set_state", "_what")

    def __init__(self, get_state: Callable[[], Any], set_state: Callable[[Any], Any], *, what: str) -> None:
        self._get_state = get_state
        self._set_state = set_state
        self._what = what

    def save(self) -> bytes:
        """Return the reducer's state as bytes, which share nothing with it.

        Raises
        ------
        UserCodeError
            ``get_state`` raised.
        ResultError
            What it returned cannot be encoded; the text names the type.
        """
        return encode_result(self._call("get_state", self._get_state))

    def restore(self, data: bytes) -> None:
        """Put the state of `save` into this reducer; its arrays can be written to.

        Parameters
        ----------
        data : bytes
            From a journal of the same user's only: it may contain a pickle.

        Raises
        ------
        UserCodeError
            ``set_state`` raised.
        ResultError
            The bytes cannot be decoded, for instance because a class is not the same here.
        """
        state = decode_result(data)
        self._call("set_state", lambda: self._set_state(state))

    def _call(self, hook: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (Exception, SystemExit) as error:  # user code
            text = f"{self._what}.{hook} raised {describe_exception(error)}"
            raise UserCodeError(text, trace=user_trace(error)) from error


def checkpoint_hooks(reducer: Any, *, what: str = "") -> CheckpointHooks | None:
    """Return the hooks of a reducer, or ``None`` if it has neither.

    Parameters
    ----------
    reducer : object
        An instance of the user's class.
    what : str
        Its name for errors; the class's if empty.

    Raises
    ------
    UsageError
        It has one of the two only, one is not a method, or one needs arguments that it does not get.
    """
    what = what or type(reducer).__qualname__
    found: dict[str, Any] = {name: getattr(reducer, name, None) for name in ("get_state", "set_state")}
    if found["get_state"] is None and found["set_state"] is None:
        return None
    for name, signature in (("get_state", "get_state(self)"), ("set_state", "set_state(self, state)")):
        if not callable(found[name]):
            (other,) = found.keys() - {name}
            lacks = f"has no method {signature}" if found[name] is None else f"has a {name} that is not a method"
            raise UsageError(
                f"{what} {lacks}, which belongs to its {other}; write both, or neither (it is then brought back by "
                "reducing all results of the scan again)"
            )
    return CheckpointHooks(
        bind_hook(found["get_state"], (), what=f"{what}.get_state"),
        bind_hook(found["set_state"], ("state",), what=f"{what}.set_state"),
        what=what,
    )
