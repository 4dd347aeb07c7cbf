"""Images of an HDF5 file, named one by one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError, UsageError
from glimt.services.image_selection import MESSAGES_PER_TURN, ImageSelectionService
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import ServiceSetup
from service_steps import sent, step_for


def selection(**configuration: Any) -> ImageSelectionService:
    return ImageSelectionService(ServiceSetup(configuration, (), Path()))


def numbers(step: RecipeStep, target: int) -> list[int]:
    return [payload["file-number"] for pointer, payload in sent(step) if pointer == target]


def test_every_image_is_named_as_the_analysis_reads_it() -> None:
    step = step_for({"file": "/data/a.nxs", "image-start": "3", "image-end": "5"}, [], {"every": 2})
    selection().handle(step)
    assert sent(step) == [
        (2, {"file": "/data/a.nxs", "file-number": n, "parameters": {"scan_range": f"{n},{n}"}}) for n in (3, 4, 5)
    ]


def test_file_of_the_message_will_do() -> None:
    step = step_for({"image-start": 1, "image-end": 2}, {"file": "/data/a.nxs", "file-seen-at": 1.0}, {"every": 2})
    selection().handle(step)
    assert numbers(step, 2) == [1, 2]


def test_evenly_spaced_images_begin_at_the_first_and_end_at_the_last() -> None:
    step = step_for({"file": "a", "image-start": 11, "image-end": 110}, [], {"select-5": 2, "select-250": 3})
    selection().handle(step)
    found = numbers(step, 2)
    assert len(found) == 5
    assert (found[0], found[-1]) == (11, 110)
    assert {b - a for a, b in pairwise(found)} <= {24, 25, 26}
    assert numbers(step, 3) == list(range(11, 111))


def test_only_wired_streams_are_fed() -> None:
    step = step_for({"file": "a", "image-start": 1, "image-end": 3}, [], {"select-x": 2, "first": 3, "other": 4})
    selection().handle(step)
    assert sent(step) == []


def test_many_images_take_several_turns() -> None:
    total = 2 * MESSAGES_PER_TURN + 10
    parameters = {"file": "a", "image-start": 1, "image-end": total}
    message: Any = {"kept": 1}
    found: list[int] = []
    turns = 0
    while message is not None:
        step = step_for(parameters, message, {"every": 2, "select-3": 3})
        selection().handle(step)
        assert len(step.outgoing) <= MESSAGES_PER_TURN + 2
        found += numbers(step, 2)
        rest = [payload for pointer, payload in sent(step) if pointer == 1]
        assert all(payload["kept"] == 1 for payload in rest)
        message, turns = (rest[0] if rest else None), turns + 1
    assert found == list(range(1, total + 1))
    assert turns == 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"file": "a", "image-start": "1"},
        {"file": "a", "image-start": "x", "image-end": "2"},
        {"file": "a", "image-start": "3", "image-end": "2"},
        {"file": "a", "image-start": "-1", "image-end": "2"},
        {"file": "a", "image-start": 1, "image-end": 10**9},
        {"image-start": 1, "image-end": 2},
    ],
)
def test_images_that_make_no_sense_are_rejected(parameters: dict[str, Any]) -> None:
    with pytest.raises(RejectedMessageError):
        selection().handle(step_for(parameters, [], {"every": 2}))


@pytest.mark.parametrize("status", [{"next": 0}, {"next": 4}, {"next": "1"}, {}, 3])
def test_a_state_that_is_not_its_own_is_rejected(status: Any) -> None:
    message = {"image-selection-status": status}
    with pytest.raises(RejectedMessageError, match="image-selection-status"):
        selection().handle(step_for({"file": "a", "image-start": 1, "image-end": 3}, message, {"every": 2}))


def test_there_is_nothing_to_configure() -> None:
    with pytest.raises(UsageError, match=r"\[services\.image_selection\].*batch"):
        selection(batch=3)
