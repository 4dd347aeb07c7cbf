"""What control is told of the streams of an intake."""

from __future__ import annotations

import time
from typing import Any

from glimt.engines.intake_state import IntakeState
from stins_intake import Bench


def test_a_stream_is_connected_since_its_sender_was_found() -> None:
    bench = Bench(2)
    source = bench.sources[0]
    state = IntakeState(bench.intake)

    def since() -> list[Any]:
        return [stream["connected_ns"] for stream in state.streams(())]

    assert since() == [0, 0]
    source.is_connected = True
    before = time.time_ns()
    first = since()
    assert before <= first[0] <= time.time_ns()
    assert first[1] == 0  # whether its sender is there is not known
    assert since() == first
    source.is_connected = False
    assert since() == [0, 0]
    source.is_connected = True
    assert since()[0] > first[0]
