"""Calls a user's method with the arguments its signature accepts: by name first, then by position.

What users write, all of which must work: ``process_event(self, event, parameters=None, *args, **kwargs)``,
``(self, event, *args, parameters=None, **kwargs)``, ``(self, event, params, tick=False)``, ``(self, *args, **kwargs)``,
``timer(self)``, ``__init__(self, **kwargs)``. The signature is read once; a call costs no more than a plain one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any

from glimt.model.errors import UsageError

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def bind_hook(
    function: Callable[..., Any], names: Sequence[str], *, prefer_keywords: bool = False, what: str = ""
) -> Callable[..., Any]:
    """Return a callable that takes all of ``names`` by position and passes on those that ``function`` accepts.

    Parameters
    ----------
    function : callable
        A bound method, or a class for its constructor.
    names : sequence of str
        What there is to pass, in the order in which it is passed to parameters of other names.
    prefer_keywords : bool
        For constructors, which dranspose calls with keywords: ``**kwargs`` comes before ``*args``, and parameters of
        other names are not filled by position.
    what : str
        Name for errors.

    Raises
    ------
    UsageError
        ``function`` needs an argument that is not in ``names``.
    """
    what = what or getattr(function, "__qualname__", repr(function))
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return function  # written in C: give it everything
    positional, keywords = _plan(parameters, names, prefer_keywords=prefer_keywords)
    given = len(positional)
    for index, parameter in enumerate(p for p in parameters if p.kind in _POSITIONAL):
        if parameter.default is Parameter.empty and index >= given and parameter.name not in keywords:
            raise UsageError(
                f"{what} needs the argument {parameter.name!r}; glimt can give it {', '.join(names) or 'none'}"
            )
    for parameter in parameters:
        needed = parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty
        if needed and parameter.name not in keywords:
            raise UsageError(
                f"{what} needs the keyword {parameter.name!r}; glimt can give it {', '.join(names) or 'none'}"
            )
    if positional == list(names) and not keywords:
        return function
    # A lambda made for this signature is twice as fast as *args and **kwargs; names come from this package only.
    call = ", ".join(positional + [f"{name}={name}" for name in keywords])
    bound: Callable[..., Any] = eval(f"lambda {', '.join(names)}: function({call})", {"function": function})
    return bound


def _plan(
    parameters: Sequence[Parameter], names: Sequence[str], *, prefer_keywords: bool
) -> tuple[list[str], list[str]]:
    """Return which of ``names`` go by position (a prefix of them) and which by keyword."""
    kinds = {parameter.name: parameter.kind for parameter in parameters}
    slots = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    takes_args = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    takes_kwargs = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    positional: list[str] = []
    keywords: list[str] = []
    for index, name in enumerate(names):
        unbroken = len(positional) == index
        slot = slots[index] if index < len(slots) and unbroken else None
        of_other_name = slot is not None and slot not in names and kinds.get(name) not in _BY_NAME
        if slot == name or (of_other_name and not prefer_keywords):
            positional.append(name)
        elif kinds.get(name) in _BY_NAME:
            keywords.append(name)
        elif index >= len(slots) and takes_args and unbroken and not (takes_kwargs and prefer_keywords):
            positional.append(name)
        elif takes_kwargs:
            keywords.append(name)
    return positional, keywords
