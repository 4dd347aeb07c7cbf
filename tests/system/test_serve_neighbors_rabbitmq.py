"""Two commands on one RabbitMQ: the later one hears which folders the other opens."""

from __future__ import annotations

import threading

from glimt.app.serve_neighbors import NeighborWatch
from glimt.app.serve_status import StatusThread
from glimt.services.service_activity import Activity, ServiceActivity
from glimt.services.service_status import StatusOfService
from rabbitmq_server import RabbitServer, rabbitmq  # noqa: F401  a fixture


def test_command_with_other_folders_is_warned_of(rabbitmq: RabbitServer) -> None:  # noqa: F811
    url = rabbitmq.new_vhost("neighbors")
    status = StatusOfService("images", "DLS Images", "ImagesService", host="uk.ac.i03.77", roots=["/there"])
    has_line, lines = threading.Event(), []

    def look() -> list[tuple[StatusOfService, Activity]]:
        return [(status, ServiceActivity().read())]

    def tell(text: str) -> None:
        lines.append(text)
        has_line.set()

    other = StatusThread(url, look)
    other.start()
    watch = NeighborWatch(url, {("images", ())}, ["/here"], tell)
    watch.start()
    try:
        assert has_line.wait(60.0)
    finally:
        watch.end()
        other.end()
    (line,) = lines
    assert "process 77 on i03.ac.uk), and opens other folders to them: /there; here it is /here" in line
