"""X-ray centering when messages come again, services are killed, and scans are made once more."""

from __future__ import annotations

import random
from typing import Any

import pytest

from centering_scans import (
    MINUS_45,
    PAIR_GRID,
    PLUS_45,
    SUCCESS_STEP,
    VERTICAL,
    VERTICAL_GRID,
    gridinfo,
    image_step,
    scan_steps,
)
from centering_service import Make, identities_of, results_of
from service_steps import sent


def test_pair_that_is_scanned_again_is_not_mixed_with_the_old_one(make: Make) -> None:
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D"}
    service = make()
    service.handle_batch(scan_steps(MINUS_45, dcid="1", run="a1", **options))
    service.handle_batch(scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="b1", **options))
    again = scan_steps([0] * 126, dcid="1", run="a2", **options)
    service.handle_batch(again)
    assert results_of(again) == []
    partner = scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="b2", **options)
    service.handle_batch(partner)
    ((_, message),) = results_of(partner)
    assert message == {"results": [], "status": "success", "type": "3d"}


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_service_and_messages_one_result_comes_and_it_is_right(make: Make, seed: int) -> None:
    chance = random.Random(seed)
    service = make()
    queue = [(number, value) for number, value in enumerate(VERTICAL, 1)]
    chance.shuffle(queue)
    seen: dict[str, Any] = {}
    while queue:
        batch = [queue.pop() for _ in range(min(chance.randint(1, 9), len(queue)))]
        steps = [image_step(number, value, grid=VERTICAL_GRID) for number, value in batch]
        service.handle_batch(steps)
        if chance.random() < 0.3:  # killed between its own commit and the acknowledgement: all of the batch comes again
            service = make()
            queue.extend(batch)
            chance.shuffle(queue)
            continue
        if chance.random() < 0.2:  # a message twice, though it was acknowledged
            queue.append(chance.choice(batch))
        for identity, result in zip(identities_of(steps), results_of(steps), strict=True):
            assert seen.setdefault(identity, result) == result
    assert len(seen) == 1
    ((target, message),) = seen.values()
    assert target == SUCCESS_STEP
    assert message["results"][0]["centre_x"] == 384.72754545454546


def test_message_that_completed_a_scan_is_answered_the_same_when_it_comes_again(make: Make) -> None:
    service = make()
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    service.handle_batch(steps)
    service = make()
    again = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    random.Random(1).shuffle(again)
    service.handle_batch(again)
    assert identities_of(again) == identities_of(steps)
    assert results_of(again) == results_of(steps)


def test_first_value_of_an_image_stays(make: Make) -> None:
    service = make()
    service.handle_batch(scan_steps(VERTICAL[:29], grid=VERTICAL_GRID))
    service.handle(image_step(4, 999, grid=VERTICAL_GRID, message_id="once-more"))
    last = image_step(30, 0, grid=VERTICAL_GRID)
    service.handle(last)
    assert sent(last)[0][1]["results"][0]["max_count"] == 54.0


def test_collection_that_is_analyzed_again_gets_another_result(make: Make) -> None:
    service = make()
    service.handle_batch(scan_steps(VERTICAL, grid=VERTICAL_GRID, run="one"))
    again = scan_steps([2 * count for count in VERTICAL], grid=VERTICAL_GRID, run="two")
    service.handle_batch(again)
    assert sent(again[-1])[0][1]["results"][0]["max_count"] == 108.0


@pytest.mark.parametrize("n_together", [1, 10])
@pytest.mark.parametrize("is_identified", [True, False])
def test_equal_scans_of_runs_without_identity_each_have_a_result(
    make: Make, is_identified: bool, n_together: int
) -> None:
    service = make()
    grid = gridinfo((5, 2))
    scans = [scan_steps([0, 0, 7, value, *[0] * 6], grid=grid, run="") for value in (1, 1, 50)]
    for number, steps in enumerate(scans):
        for step in steps:
            step.is_identified = is_identified
            step.message_id += f"/{number}" if is_identified else ""
        for first in range(0, len(steps), n_together):
            service.handle_batch(steps[first : first + n_together])
    last = [sent(steps[-1]) for steps in scans]
    assert [[payload["results"][0]["max_count"] for _, payload in answers] for answers in last] == [[7], [7], [50]]
    assert len({steps[-1].outgoing[0].message_id for steps in scans}) == 3


def test_message_without_identity_that_comes_again_is_answered_the_same(make: Make) -> None:
    grid = gridinfo((5, 2))
    results = []
    for n_deliveries in (1, 2):
        steps = scan_steps([0, 0, 7, *[0] * 7], grid=grid, run="")
        for step in steps:
            step.is_identified, step.n_deliveries = False, n_deliveries
        make().handle_batch(steps)
        results.append([(message.message_id, message.body) for step in steps for message in step.outgoing])
    assert results[0] == results[1]
    assert len(results[0]) == 1
