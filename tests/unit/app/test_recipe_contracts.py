from __future__ import annotations

from glimt.app.service_registry import SERVICES, load_service
from glimt.services.service_outputs import CONTRACTS


def test_every_queue_of_a_service_has_a_contract_and_no_other() -> None:
    queues = {queue for path in SERVICES.values() for queue in load_service(path).queues}
    assert queues == set(CONTRACTS)
