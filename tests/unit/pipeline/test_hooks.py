from __future__ import annotations

from typing import Any

import pytest

from glimt.model.errors import UsageError
from glimt.pipeline.hooks import bind_hook

NAMES = ("event", "parameters", "tick")


class Styles:
    """Signatures of ``process_event`` found in the wild, and some that are not there yet."""

    def tutorial(self, event, *args, parameters=None, **kwargs):
        return event, args, parameters, kwargs

    def most(self, event, parameters=None, *args, **kwargs):
        return event, parameters, args, kwargs

    def with_tick(self, event, parameters=None, tick=False, *args, **kwargs):
        return event, parameters, tick, args, kwargs

    def other_names(self, ev, params, t=False):
        return ev, params, t

    def anything(self, *args, **kwargs):
        return args, kwargs

    def keywords_only(self, *, tick, event, parameters):
        return event, parameters, tick

    def only_event(self, event):
        return event

    def only_event_of_another_name(self, data):
        return data

    def event_and_tick(self, event, tick):
        return event, tick

    def other_order(self, parameters, event):
        return parameters, event

    def keyword_parameters(self, ev, *, parameters):
        return ev, parameters

    def positional_only(self, event, parameters, /):
        return event, parameters

    def nothing(self):
        return ()

    @staticmethod
    def static(event, parameters=None):
        return event, parameters


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("tutorial", ("E", (), "P", {"tick": "T"})),
        ("most", ("E", "P", ("T",), {})),
        ("with_tick", ("E", "P", "T", (), {})),
        ("other_names", ("E", "P", "T")),
        ("anything", (("E", "P", "T"), {})),
        ("keywords_only", ("E", "P", "T")),
        ("only_event", "E"),
        ("only_event_of_another_name", "E"),
        ("event_and_tick", ("E", "T")),
        ("other_order", ("P", "E")),
        ("keyword_parameters", ("E", "P")),
        ("positional_only", ("E", "P")),
        ("nothing", ()),
        ("static", ("E", "P")),
    ],
)
def test_every_style_gets_what_its_signature_accepts(style: str, expected: Any) -> None:
    assert bind_hook(getattr(Styles(), style), NAMES)("E", "P", "T") == expected


class TakesAll:
    def __init__(self, *args, **kwargs):
        self.got = args, kwargs


class TakesSome:
    def __init__(self, parameters, context, **kwargs):
        self.got = parameters, context, kwargs


class TakesNone:
    got = ()


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (TakesAll, ((), {"parameters": 1, "context": 2, "state": 3})),
        (TakesSome, (1, 2, {"state": 3})),
        (TakesNone, ()),
    ],
)
def test_constructors_are_given_keywords_as_dranspose_does(cls: Any, expected: Any) -> None:
    made = bind_hook(cls, ("parameters", "context", "state"), prefer_keywords=True)(1, 2, 3)
    assert made.got == expected


def test_timer_with_and_without_parameters() -> None:
    assert bind_hook(lambda: 2, ("parameters",))("P") == 2
    assert bind_hook(lambda parameters=None: parameters, ("parameters",))("P") == "P"


def test_functions_written_in_c_are_given_everything() -> None:
    assert bind_hook(max, ("parameters", "context"))(1, 2) == 2


def test_an_argument_that_nobody_can_give_is_named() -> None:
    def process_event(event: Any, camera: Any) -> None: ...

    def keyword(event: Any, *, camera: Any) -> None: ...

    with pytest.raises(UsageError, match="process_event needs the argument 'camera'; glimt can give it event"):
        bind_hook(process_event, ("event",))
    with pytest.raises(UsageError, match="needs the keyword 'camera'"):
        bind_hook(keyword, ("event",))
