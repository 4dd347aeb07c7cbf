"""What is left of an exception of a user's hook."""

from __future__ import annotations

import msgspec

from glimt.model.event import ResultData
from glimt.pipeline.failure import Failure
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.reducer_runner import ReducerRunner


class NamelessError(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


class Reducer:
    """Raises what has a text that cannot be sent, or none at all."""

    def __init__(self, parameters: object = None, context: object = None, state: object = None) -> None:
        pass

    def process_result(self, result: ResultData, parameters: object = None) -> None:
        raise FileNotFoundError("no image_\udcff.cbf") if result.event_number == 1 else NamelessError


def test_an_exception_whose_text_cannot_be_sent_or_made_fails_its_event_only() -> None:
    failed: list[Failure] = []
    runner = ReducerRunner(Reducer, parameters=ParameterSet([]), on_failure=failed.append)
    found = [runner.process(ResultData(number, "w1", "", None)) for number in (1, 2)]
    assert [None if each is None else each.error for each in found] == [
        "FileNotFoundError: no image_\\udcff.cbf",
        "NamelessError: (its text cannot be made)",
    ]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=list[Failure]) == found
