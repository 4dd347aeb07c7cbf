"""Lines about results, to a real UDP socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.services.notify_gda import NotifyGdaService
from glimt.services.service import ServiceSetup
from service_steps import step_for

RESULT = {
    "n_spots_total": 815,
    "n_spots_no_ice": 736,
    "estimated_d_min": 1.75,
    "total_intensity": 432006.0,
    "file-number": 3,
    "file": "/data/a.cbf",
}


class Listener:
    """A UDP socket as GDA has one."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(20)
        self.port = int(self.socket.getsockname()[1])

    def line(self) -> bytes:
        return self.socket.recv(2000)

    def is_silent(self) -> bool:
        self.socket.settimeout(0.1)
        try:
            self.socket.recv(2000)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def gda() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


@pytest.fixture
def notify() -> Iterator[NotifyGdaService]:
    made = service()
    yield made
    made.close()


def service(**configuration: Any) -> NotifyGdaService:
    return NotifyGdaService(ServiceSetup(configuration, (), Path()))


def recipe(gda: Listener, **parameters: Any) -> dict[str, Any]:
    return {"dcid": "1234", "host": "127.0.0.1", "port": gda.port, **parameters}


def test_line_is_what_gda_reads(gda: Listener, notify: NotifyGdaService) -> None:
    notify.handle(step_for(recipe(gda), RESULT))
    assert gda.line() == b"PIA:1234:3:815:736:1.75:432006.0"


def test_number_in_the_pattern_comes_first(gda: Listener, notify: NotifyGdaService) -> None:
    notify.handle(step_for(recipe(gda, port=str(gda.port), dcid=7), {**RESULT, "file-pattern-index": "0012"}))
    assert gda.line() == b"PIA:7:0012:815:736:1.75:432006.0"


def test_what_is_not_there_is_0(gda: Listener, notify: NotifyGdaService) -> None:
    notify.handle(step_for(recipe(gda), {"file-number": 1}))
    assert gda.line() == b"PIA:1234:1:0:0:0:0"


def test_undefined_resolution_is_minus_one_and_none_is_none(gda: Listener, notify: NotifyGdaService) -> None:
    notify.handle(step_for(recipe(gda), {**RESULT, "estimated_d_min": -1.0, "total_intensity": None}))
    assert gda.line() == b"PIA:1234:3:815:736:-1.0:None"


def test_letters_are_latin_1(gda: Listener, notify: NotifyGdaService) -> None:
    notify.handle(step_for(recipe(gda, dcid="\u00e5"), RESULT))
    assert gda.line().startswith(b"PIA:\xe5:3:")


def test_many_lines_use_one_socket(gda: Listener, notify: NotifyGdaService) -> None:
    notify.handle(step_for(recipe(gda), RESULT))
    for n in range(50):
        notify.handle(step_for(recipe(gda), {**RESULT, "file-number": n + 1}))
    received = [gda.socket.recvfrom(2000) for _ in range(51)]
    assert received[-1][0] == b"PIA:1234:50:815:736:1.75:432006.0"
    assert len({sender for _, sender in received}) == 1


def test_host_in_version_6(notify: NotifyGdaService) -> None:
    try:
        listener = Listener(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    notify.handle(step_for(recipe(listener, host="::1"), RESULT))
    assert listener.line().startswith(b"PIA:")
    listener.socket.close()


def test_site_can_send_all_lines_to_itself(gda: Listener) -> None:
    made = service(host="127.0.0.1", port=gda.port)
    made.handle(step_for({"dcid": 1, "host": "i03-control.diamond.ac.uk", "port": 9876}, RESULT))
    assert gda.line().startswith(b"PIA:1:3:")
    made.close()


def test_site_can_send_one_host_elsewhere(gda: Listener) -> None:
    made = service(host_map={"i03-control": "localhost"}, port=gda.port)
    made.handle(step_for({"dcid": 1, "host": "i03-control", "port": 9876}, RESULT))
    assert gda.line().startswith(b"PIA:1:3:")
    made.close()


def test_nothing_is_sent_to_silent_hosts(gda: Listener) -> None:
    for made, host in ((service(host="127.0.0.1"), "mx-control"), (service(silent_hosts=["127.0.0.1"]), "127.0.0.1")):
        made.handle(step_for(recipe(gda, host=host), RESULT))
        made.close()
    assert gda.is_silent()


@pytest.mark.parametrize("payload", [None, [], "x", 5, {}, {**RESULT, "file-number": 0},
                                     {**RESULT, "file-number": None},
                                     {**RESULT, "n_spots_total": None}, {**RESULT, "n_spots_no_ice": [1]},
                                     {**RESULT, "n_spots_total": "1:2"}, {**RESULT, "n_spots_total": "1\n2"},
                                     {**RESULT, "n_spots_total": "\u03b1"}])  # fmt: skip
def test_messages_without_a_result_are_rejected(payload: Any, gda: Listener, notify: NotifyGdaService) -> None:
    with pytest.raises(RejectedMessageError):
        notify.handle(step_for(recipe(gda), payload))
    assert gda.is_silent()


@pytest.mark.parametrize("wrong", [{"dcid": None}, {"dcid": ""}, {"host": None}, {"host": ""}, {"host": 5},
                                   {"host": "{ispyb_beamline}-control"}, {"host": "a b"}, {"host": "a\0"},
                                   {"host": "x" * 300}, {"port": None}, {"port": 0}, {"port": 65536}, {"port": "x"},
                                   {"port": True}, {"dcid": {"a": 1}}])  # fmt: skip
def test_recipes_that_say_not_where_are_rejected(
    wrong: dict[str, Any], gda: Listener, notify: NotifyGdaService
) -> None:
    with pytest.raises(RejectedMessageError):
        notify.handle(step_for(recipe(gda, **wrong), RESULT))
    assert gda.is_silent()


def test_host_that_is_not_known_is_tried_again_without_long_wait(gda: Listener) -> None:
    made = service(resolve_s=1.0)
    began = time.monotonic()
    remedy = r"no-such-host\.invalid.*\[services\.notify_gda\].*`host`.*`host_map`.*`silent_hosts`"
    with pytest.raises(RetryMessageError, match=remedy):
        made.handle(step_for(recipe(gda, host="no-such-host.invalid"), RESULT))
    assert time.monotonic() - began < 10
    made.close()


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"port": 70000}, "70000"),
        ({"hosts": "a"}, "hosts"),
        ({"host_map": {"a": 1}}, "host_map"),
        ({"resolve_s": 0}, "resolve_s"),
    ],
)
def test_configuration_that_is_wrong_names_its_table(configuration: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=r"\[services\.notify_gda\]") as refused:
        service(**configuration)
    assert told in str(refused.value)
