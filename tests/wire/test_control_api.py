"""The control interface of a live run over real sockets."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from glimt.app.status_client import fetch_health
from glimt.model.errors import ParameterError, UsageError
from glimt.model.health import Health
from glimt.model.trigger_map import TriggerMap
from glimt.web.control_answers import RunCalls
from glimt.web.control_api import MAX_MAP_BYTES, create_control_app
from glimt.web.log_ring import MAX_FOLLOWERS, LogRing
from glimt.web.run_control import ConflictError, RunEndingError
from glimt.web.server import ViewServer

STREAMS = ["eiger", "panda"]
TAGS = [frozenset({"generic"})] * 2
SEQUENCE = {
    "parts": {"main": {"eiger": [[{"constraint": 0}], [{"constraint": 1}]], "panda": [None, [{"constraint": 1}]]}},
    "sequence": ["main", "main"],
}


class Run:
    """A run without processes: takes real maps, keeps parameters."""

    def __init__(self) -> None:
        self.logs = LogRing()
        self.map: TriggerMap | None = None
        self.values = {"till_x": b"3"}
        self.n_stops = 0
        self.refusal: Exception | None = None
        self.gate: threading.Event | None = None
        self.asked: list[Any] = []
        self.n_waiting = 0

    def _begin(self, trigger_map: TriggerMap) -> str:
        if self.refusal is not None:
            raise self.refusal
        trigger_map.check(STREAMS, TAGS)
        self.map = trigger_map
        return str(uuid.uuid4())

    def upload_map(self, data: bytes, *, all_wrap: bool) -> str:
        return self._begin(TriggerMap.from_json(data, all_wrap=all_wrap))

    def upload_sardana(self, info: dict[str, Any]) -> str:
        return self._begin(TriggerMap.from_sardana_hook(info, STREAMS))

    def current_map(self) -> Iterable[bytes]:
        return [b'{"parts":{},"sequence":[]}'] if self.map is None else self.map.json_pieces()

    def stop(self) -> None:
        self.n_stops += 1

    def config(self) -> dict[str, Any]:
        return {"ingesters": [], "workers": [{"name": "worker-0", "event_rate": float("nan")}], "reducer": None}

    def status(self) -> dict[str, Any]:
        return {"work_completed": {0: ["worker-0"]}, "completed_events": [0], "finished": False}

    def progress(self) -> dict[str, Any]:
        if self.gate is not None:
            self.n_waiting += 1
            self.gate.wait(20)
            self.n_waiting -= 1
        return {"last_assigned": 4, "completed_events": 3, "total_events": None, "finished": False}

    def load(self, intervals: list[int], *, scan: bool) -> dict[str, Any]:
        self.asked = [intervals, scan]
        return {"worker-0": {"last_event": 3, "intervals": {str(interval): {} for interval in intervals}}}

    def get(self, name: str) -> bytes:
        return self.values[name]

    def set(self, name: str, data: bytes) -> str:
        if name == "till_x" and not data.isdigit():
            raise ParameterError(f"{name} must be a whole number")
        self.values[name] = data
        return "hash"

    def describe(self) -> list[dict[str, Any]]:
        return [{"name": name, "dtype": "int", "default": 1} for name in ("till_x", "a")]

    def health(self) -> Health:
        return {
            "name": "balder",
            "state": "running",
            "streams": {"eiger": {"connection": "connected", "ledger": {"received": 3, "reduced": 3}}},
            "workers": {"worker-0": {"state": "ready"}},
        }


@contextmanager
def served(run: Run, **options: Any) -> Iterator[httpx.Client]:
    with (
        ViewServer(create_control_app(run, **options), port=0) as server,
        httpx.Client(base_url=server.url, timeout=10, trust_env=False) as client,
    ):
        try:
            yield client
        finally:
            run.logs.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Run, httpx.Client]]:
    run = Run()
    with served(run) as client:
        yield run, client


@pytest.fixture
def run(shared: tuple[Run, httpx.Client]) -> Run:
    run, _ = shared
    run.refusal, run.map = None, None
    return run


@pytest.fixture
def client(shared: tuple[Run, httpx.Client]) -> httpx.Client:
    return shared[1]


def detail(answer: httpx.Response) -> str:
    return str(answer.json()["detail"])


def test_a_map_is_taken_and_shown_as_dranspose_does(run: Run, client: httpx.Client) -> None:
    answer = client.post("/api/v1/sequence", json=SEQUENCE)
    assert answer.status_code == 200
    assert uuid.UUID(answer.json()).version == 4
    shown = client.get("/api/v1/sequence").json()
    assert shown["sequence"] == ["reserved_start_end", "main", "main", "reserved_start_end"]
    assert shown["parts"]["main"]["mapping"]["eiger"][0] == [{"tags": ["generic"], "constraint": 0}]
    assert shown["parts"]["main"]["mapping"]["panda"][0] is None
    assert client.get("/api/v1/mapping").json() == shown


def test_all_wrap_can_be_turned_off(run: Run, client: httpx.Client) -> None:
    assert client.post("/api/v1/sequence?all_wrap=false", json=SEQUENCE).status_code == 200
    assert client.get("/api/v1/sequence").json()["sequence"] == ["main", "main"]
    assert client.post("/api/v1/sequence?all_wrap=perhaps", json=SEQUENCE).status_code == 422


def test_the_deprecated_mapping_is_one_part(run: Run, client: httpx.Client) -> None:
    answer = client.post("/api/v1/mapping", json={"eiger": [[{"constraint": 0}]]})
    assert answer.status_code == 200
    assert client.get("/api/v1/mapping").json()["sequence"] == ["reserved_start_end", "main", "reserved_start_end"]


def test_before_the_first_map_it_is_empty(run: Run, client: httpx.Client) -> None:
    assert client.get("/api/v1/sequence").json() == {"parts": {}, "sequence": []}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b"[1]",
        b'"text"',
        b'{"parts": 1, "sequence": []}',
        b'{"parts": {"main": {"nobody": [[{"constraint": 0}]]}}, "sequence": ["main"]}',
        b'{"parts": {"main": {"eiger": [[{"constraint": -1}]]}}, "sequence": ["main"]}',
        b'{"parts": {}, "sequence": ["absent"]}',
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/sequence", "/api/v1/mapping", "/api/v1/sardana_hook"])
def test_a_bad_body_is_refused_with_a_reason(run: Run, client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code in {400, 422}
    assert detail(answer)
    assert run.map is None


def test_streams_that_are_not_there_are_named_as_dranspose_does(run: Run, client: httpx.Client) -> None:
    answer = client.post("/api/v1/mapping", json={"nobody": [[{"constraint": 0}]]})
    assert (answer.status_code, detail(answer)) == (400, "streams {'nobody'} not available")


def test_a_map_that_needs_more_workers_is_refused_as_dranspose_does(run: Run, client: httpx.Client) -> None:
    answer = client.post("/api/v1/mapping", json={"eiger": [[{"constraint": n} for n in range(3)]]})
    assert (answer.status_code, detail(answer)) == (400, "only 2 workers available, but 3 required")


@pytest.mark.parametrize(
    ("refusal", "status"), [(ConflictError("not now"), 409), (RunEndingError("ending"), 503), (UsageError("no"), 400)]
)
def test_what_the_run_refuses_is_answered_with_its_reason(
    run: Run, client: httpx.Client, refusal: Exception, status: int
) -> None:
    run.refusal = refusal
    answer = client.post("/api/v1/sequence", json=SEQUENCE)
    assert (answer.status_code, detail(answer)) == (status, str(refusal))


def test_the_sardana_hook_makes_a_uniform_map_of_known_streams(run: Run, client: httpx.Client) -> None:
    answer = client.post("/api/v1/sardana_hook", json={"streams": ["eiger", "other"], "scan": {"nb_points": 3}})
    assert answer.status_code == 200
    parts = client.get("/api/v1/sequence").json()["parts"]
    assert parts["sardana"]["mapping"] == {"eiger": [[{"tags": ["generic"], "constraint": n}] for n in range(3)]}


@pytest.mark.parametrize("missing", ["streams", "scan"])
def test_the_sardana_hook_says_what_is_missing(run: Run, client: httpx.Client, missing: str) -> None:
    body = {"streams": ["eiger"], "scan": {"nb_points": 3}}
    del body[missing]
    answer = client.post("/api/v1/sardana_hook", json=body)
    assert answer.status_code == 400
    assert f"'{missing}' is missing" in detail(answer)


def test_stop_reaches_the_run_and_answers_null(run: Run, client: httpx.Client) -> None:
    before = run.n_stops
    answer = client.post("/api/v1/stop")
    assert (answer.status_code, answer.json()) == (200, None)
    assert run.n_stops == before + 1


def test_states_are_passed_on_as_json_that_browsers_read(run: Run, client: httpx.Client) -> None:
    assert client.get("/api/v1/config").json()["workers"] == [{"name": "worker-0", "event_rate": None}]
    assert client.get("/api/v1/status").json()["work_completed"] == {"0": ["worker-0"]}
    assert client.get("/api/v1/progress").json()["total_events"] is None


def test_load_is_asked_for_intervals(run: Run, client: httpx.Client) -> None:
    client.get("/api/v1/load")
    assert run.asked == [[1, 10], True]
    answer = client.get("/api/v1/load?intervals=5&intervals=7&scan=false")
    assert run.asked == [[5, 7], False]
    assert answer.json()["worker-0"]["intervals"] == {"5": {}, "7": {}}


@pytest.mark.parametrize(
    "query", ["intervals=0", "intervals=-1", f"intervals={1 << 60}", "&".join(["intervals=1"] * 40)]
)
def test_intervals_that_make_no_sense_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/api/v1/load?{query}").status_code == 400
    assert client.get("/api/v1/load?intervals=x").status_code == 422


def test_parameters_are_described_set_and_read(run: Run, client: httpx.Client) -> None:
    assert [entry["name"] for entry in client.get("/api/v1/parameters").json()] == ["a", "till_x"]
    assert client.post("/api/v1/parameter/till_x", content=b"7").json() == "hash"
    answer = client.get("/api/v1/parameter/till_x")
    assert (answer.content, answer.headers["content-type"]) == (b"7", "application/x.bytes")
    assert client.post("/api/v1/parameter/free", content=b"\x00\xff").status_code == 200
    assert client.get("/api/v1/parameter/free").content == b"\x00\xff"


def test_parameters_that_are_wrong_or_absent_are_refused(run: Run, client: httpx.Client) -> None:
    answer = client.post("/api/v1/parameter/till_x", content=b"x")
    assert (answer.status_code, detail(answer)) == (400, "till_x must be a whole number")
    answer = client.get("/api/v1/parameter/absent")
    assert (answer.status_code, detail(answer)) == (404, "Parameter not found")


def test_paths_with_a_slash_at_the_end_lead_to_the_same(run: Run, client: httpx.Client) -> None:
    assert client.get("/api/v1/progress/", follow_redirects=True).json()["completed_events"] == 3
    assert client.post("/api/v1/sequence/", json=SEQUENCE, follow_redirects=True).status_code == 200


def test_account_and_sources_are_shown(client: httpx.Client) -> None:
    assert client.get("/api/v1/ledger").json() == {"eiger": {"received": 3, "reduced": 3}}
    assert client.get("/api/v1/sources").json() == {"eiger": {"connection": "connected"}}
    assert client.get("/api/v1/health").json()["name"] == "balder"


def test_metrics_are_text_of_prometheus(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'glimt_packets_received_total{stream="eiger"} 3\n' in answer.text


def test_pages_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        answer = client.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "https://" not in answer.text
    assert "/api/v1/sequence" in client.get("/docs").text


def test_openapi_has_every_route_of_dranspose(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in {
        "/": {"get"},
        "/api/v1/sequence": {"get", "post"},
        "/api/v1/mapping": {"get", "post"},
        "/api/v1/stop": {"post"},
        "/api/v1/config": {"get"},
        "/api/v1/status": {"get"},
        "/api/v1/progress": {"get"},
        "/api/v1/load": {"get"},
        "/api/v1/parameter/{name}": {"get", "post"},
        "/api/v1/parameters": {"get"},
        "/api/v1/log_stream": {"get"},
        "/api/v1/logs": {"get"},
        "/api/v1/sardana_hook": {"post"},
    }.items():
        assert set(paths[path]) == methods


def test_docs_can_be_left_out() -> None:
    with served(Run(), docs=False) as client:
        assert client.get("/docs").status_code == 404
        assert client.get("/openapi.json").status_code == 404


def test_logs_are_listed_by_level(run: Run, client: httpx.Client) -> None:
    run.logs.add({"msg": "one", "levelname": "DEBUG"})
    run.logs.add({"msg": "two", "levelname": "ERROR"})
    assert [entry["msg"] for entry in client.get("/api/v1/logs?level=ERROR").json()] == ["two"]
    assert client.get("/api/v1/logs?level=LOUD").status_code == 400


def wait_for(condition: Any, limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_log_stream_gives_lines_as_they_come_and_forgets_who_leaves(run: Run, client: httpx.Client) -> None:
    with client.stream("GET", "/api/v1/log_stream") as answer:
        wait_for(lambda: run.logs.n_followers == 1)
        run.logs.add({"msg": "one", "levelname": "INFO"})
        run.logs.add({"msg": "two", "levelname": "INFO"})
        lines = answer.iter_lines()
        assert [json.loads(next(lines))["msg"] for _ in range(2)] == ["one", "two"]
    wait_for(lambda: run.logs.n_followers == 0)


def test_too_many_followers_are_refused() -> None:
    run = Run()
    with served(run) as client:
        sockets = []
        for _ in range(MAX_FOLLOWERS):
            sockets.append(connection := socket.create_connection((client.base_url.host, client.base_url.port or 0)))
            connection.sendall(b"GET /api/v1/log_stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: run.logs.n_followers == MAX_FOLLOWERS)
        assert client.get("/api/v1/log_stream").status_code == 503
        for connection in sockets:
            connection.close()


def test_a_follower_that_reads_nothing_holds_nobody_up() -> None:
    run = Run()
    with served(run) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
            connection.sendall(b"GET /api/v1/log_stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for(lambda: run.logs.n_followers == 1)
            for number in range(5000):
                run.logs.add({"msg": f"{number} " + "x" * 4000, "levelname": "INFO"})
            assert client.get("/api/v1/progress").status_code == 200
        wait_for(lambda: run.logs.n_followers == 0)


def test_followers_do_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    run = Run()
    server = ViewServer(create_control_app(run), port=0)
    with server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /api/v1/log_stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: run.logs.n_followers == 1)
        run.logs.close()
        wait_for(lambda: run.logs.n_followers == 0)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_run_that_hangs_is_reported_and_others_are_served() -> None:
    run = Run()
    run.gate = threading.Event()
    with served(run, calls=RunCalls(answer_s=0.3)) as client:
        answer = client.get("/api/v1/progress")
        assert (answer.status_code, "did not answer within 0.3 s" in detail(answer)) == (503, True)
        assert client.get("/api/v1/config").status_code == 200
        run.gate.set()
        assert client.get("/api/v1/progress").status_code == 200


def test_calls_that_hang_do_not_pile_up() -> None:
    run = Run()
    run.gate = threading.Event()
    with served(run, calls=RunCalls(answer_s=0.2)) as client:
        with ThreadPoolExecutor(40) as clients:
            answers = list(clients.map(lambda _: client.get("/api/v1/progress").status_code, range(40)))
        assert answers == [503] * 40
        assert 0 < run.n_waiting <= 16
        run.gate.set()
        wait_for(lambda: run.n_waiting == 0)
        assert client.get("/api/v1/progress").status_code == 200


def test_a_client_that_does_not_send_its_body_is_sent_away() -> None:
    run = Run()
    with served(run, calls=RunCalls(body_s=0.3)) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
            connection.sendall(b"POST /api/v1/sequence HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n{")
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        assert client.post("/api/v1/sequence", json=SEQUENCE).status_code == 200


def test_a_body_that_is_too_long_is_refused_unread(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        head = f"POST /api/v1/sequence HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_MAP_BYTES + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_the_token_is_asked_for_everywhere() -> None:
    with served(Run(), token="secret") as client:
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/api/v1/config", "/api/v1/log_stream"):
            assert client.get(path).status_code == 401
        assert client.post("/api/v1/stop").status_code == 401
        assert client.get("/api/v1/config", headers={"Authorization": "Bearer secret"}).status_code == 200
        assert client.get("/metrics?api_key=secret").status_code == 200


def test_only_pages_of_this_machine_may_read_and_none_of_elsewhere_may_change(client: httpx.Client) -> None:
    def allowed(origin: str) -> str | None:
        headers: Mapping[str, str] = client.get("/api/v1/progress", headers={"Origin": origin}).headers
        return headers.get("access-control-allow-origin")

    assert allowed("http://localhost:8888") == "http://localhost:8888"
    assert allowed("http://127.0.0.1:3000") == "http://127.0.0.1:3000"
    for origin in ("http://evil.example", "http://localhost.evil.example", "null"):
        assert allowed(origin) is None
        assert client.post("/api/v1/stop", headers={"Origin": origin}).status_code == 403


def test_a_browser_may_ask_whether_it_may_send_the_token() -> None:
    with served(Run(), token="secret") as client:
        asked = {"Origin": "http://localhost:1", "Access-Control-Request-Method": "GET"}
        answer = client.options("/api/v1/config", headers=asked | {"Access-Control-Request-Headers": "authorization"})
        assert answer.status_code == 200
        post = asked | {"Access-Control-Request-Method": "POST"}
        assert client.options("/api/v1/stop", headers=post).status_code == 400


def test_another_name_of_this_machine_is_refused(client: httpx.Client) -> None:
    assert client.get("/api/v1/config", headers={"Host": "evil.example"}).status_code == 403


def test_the_client_reads_the_health(run: Run, client: httpx.Client) -> None:
    assert fetch_health(str(client.base_url)) == run.health()


def test_the_client_says_when_a_token_is_needed() -> None:
    with served(Run(), token="secret") as client:
        with pytest.raises(UsageError, match=r"refuses: a token is needed.*GLIMT_TOKEN"):
            fetch_health(str(client.base_url))
        assert fetch_health(str(client.base_url), token="secret")["name"] == "balder"
