"""``glimt broker``, on a real broker in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.app.broker_files import read_dead_letter
from glimt.app.open_broker import open_broker
from glimt.brokers.broker import DIED_NS, ORIGIN, REASON, Broker, Delivery, Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.cli.main import main
from glimt.model.errors import UsageError

RECIPE = {
    "1": {"queue": "filewatcher", "service": "watcher", "output": 2},
    "2": {"queue": "work", "service": "analysis", "parameters": {"x": "y"}},
    "start": [[1, []]],
}


def envelope(pointer: int) -> bytes:
    message = {"environment": {"ID": "guid-1"}, "payload": {"file": "a.cbf"}, "recipe": RECIPE, "recipe-path": [1]}
    return json.dumps({**message, "recipe-pointer": pointer}).encode()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'broker.db'}"


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    connection = SqliteBroker(url)
    connection.declare([QueueSpec("work"), QueueSpec("other")])
    yield connection
    connection.close()


def run(*arguments: object, expected: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(["broker", *map(str, arguments)])
    assert (end.value.code or 0) == expected


def kill(broker: Broker, *messages: Outgoing, reason: str = "no such file") -> None:
    """Send messages, and refuse them for good."""
    broker.send(messages)
    connection = SqliteBroker(broker.url)
    for queue in {message.queue for message in messages}:
        connection.subscribe(queue, prefetch=1000)
    for delivery in connection.receive(len(messages)):
        connection.refuse(delivery, reason)
    connection.close()


def content(broker: Broker, queue: str) -> list[Delivery]:
    return broker.peek(queue, 1000)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_configure_makes_the_queues_of_a_site_and_says_so_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("configure", "mine", "--broker", url)
    run("configure", "mine", "--broker", url)
    assert "queues and 3 topics are there" in capsys.readouterr().out
    connection = SqliteBroker(url)
    names = {status.name for status in connection.status()}
    connection.close()
    assert {"mine", "per_image_analysis", "reduce.xray_centering", "processing_recipe"} <= names


def test_status_is_a_table_or_json(broker: Broker, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    broker.send([Outgoing(b"x", queue="work")] * 3 + [Outgoing(b"y", queue="other", delay_s=100)])
    run("status", "--broker", url)
    table = capsys.readouterr().out
    assert table.split() == [
        "queue",
        "ready",
        "delayed",
        "unsettled",
        "receivers",
        *["other", "0", "1", "0", "0", "work", "3", "0", "0", "0"],
    ]
    run("status", "--broker", url, "--json")
    assert json.loads(capsys.readouterr().out)[1] == {
        "name": "work", "n_ready": 3, "n_delayed": 0, "n_unsettled": 0, "n_receivers": 0,
    }  # fmt: skip


def test_the_broker_may_be_named_by_the_sites_file(
    tmp_path: Path, broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.toml"
    site.write_text(f'[broker]\nurl = "{url}"\n')
    run("status", "--all", "--site", site)
    assert "work" in capsys.readouterr().out


def test_peek_leaves_the_recipe_out_unless_asked(broker: Broker, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    broker.send([Outgoing(envelope(2), queue="work"), Outgoing(b"\xff\0", queue="work", message_id="raw")])
    run("peek", "work", "--broker", url)
    recipe, raw = lines(capsys)
    assert recipe["recipe-id"] == "guid-1"
    assert recipe["payload"] == {"file": "a.cbf"}
    assert recipe["step"] == {"queue": "work", "service": "analysis"}
    assert "body" not in recipe
    assert (raw["message-id"], raw["body-base64"], raw["n-bytes"]) == ("raw", "/wA=", 2)
    run("peek", "work", "--broker", url, "--full", "--limit", 1)
    (full,) = lines(capsys)
    assert full["body"]["recipe"] == RECIPE
    assert len(content(broker, "work")) == 2


def test_drain_moves_everything_and_keeps_what_a_message_is(broker: Broker, url: str) -> None:
    broker.send([Outgoing(b"%d" % n, queue="work", headers={"h": n}, message_id=f"id{n}", priority=n) for n in (1, 2)])
    run("drain", "work", "other", "--broker", url, "--wait", 0, "--stop", 0.1)
    moved = [(d.body, d.headers["h"], d.message_id, d.priority) for d in content(broker, "other")]
    assert moved == [(b"2", 2, "id2", 2), (b"1", 1, "id1", 1)]
    assert content(broker, "work") == []


def test_drain_finds_out_where_a_message_belongs(broker: Broker, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    kill(broker, Outgoing(b"dead", queue="other"))
    broker.send([Outgoing(envelope(2), queue="other")])
    run("drain", "other", ".", "--broker", url, "--wait", 0, "--stop", 0.05)
    assert "of recipe guid-1 -> work" in capsys.readouterr().out
    assert [d.body for d in content(broker, "work")] == [envelope(2)]
    run("drain", "dlq.other", ".", "--broker", url, "--wait", 0, "--stop", 0.05)
    assert [(d.body, dict(d.headers)) for d in content(broker, "other")] == [(b"dead", {})]


@pytest.mark.parametrize("target", [".", "nowhere", "work"])
def test_drain_leaves_what_it_cannot_send(
    broker: Broker, url: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.send([Outgoing(b"plain", queue="work")])
    run("drain", "work", target, "--broker", url, "--wait", 0, "--stop", 0.05, expected=1)
    assert "glimt: " in capsys.readouterr().err
    assert [d.body for d in content(broker, "work")] == [b"plain"]


def test_dead_letters_are_listed_with_queue_time_reason_and_recipe(
    broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(broker, Outgoing(envelope(2), queue="work", message_id="m1"), reason="no \x1b[31mfile")
    kill(broker, Outgoing(b"x", queue="other", message_id="m2"))
    run("dead-letters", "--all", "--broker", url)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "work  m1  guid-1  no ?[31mfile" in shown
    run("dead-letters", "--broker", url, "--json", "--queue", "other")
    (letter,) = json.loads(capsys.readouterr().out)
    assert (letter["message_id"], letter["queue"], letter["reason"]) == ("m2", "other", "no such file")
    assert letter["died_ns"] > 0


def test_dead_letters_beyond_the_limit_are_not_passed_over_in_silence(
    broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(broker, *(Outgoing(b"%d" % n, queue="work") for n in range(5)))
    kill(broker, Outgoing(b"x", queue="other"))
    run("dead-letters", "--broker", url, "--limit", 2)
    assert "3 dead letters, and 3 more that are not listed or counted above (--limit)" in capsys.readouterr().err
    run("dead-letters", "--broker", url, "--limit", 5)
    assert capsys.readouterr().err == "6 dead letters\n"


def test_a_dead_letter_that_cannot_be_written_as_it_is_does_not_hide_the_others(
    broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(broker, Outgoing(b'{"parameters": {"guid": "\\ud800"}}', queue="work"), Outgoing(b"x", queue="work"))
    for how in ("--json", "--all"):
        run("dead-letters", "--broker", url, how)
        assert capsys.readouterr().out.count("no such file") == 2


def test_dead_letters_are_exported_and_sent_again_from_their_files(
    tmp_path: Path, broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(
        broker,
        Outgoing(envelope(2), queue="work", message_id="a/../b", headers={"workflows-recipe": True}, priority=3),
        Outgoing(b"\0\xff", queue="work", message_id="raw"),
    )
    for _ in range(2):  # the second time finds the same files
        run("dead-letters", "--broker", url, "--export", tmp_path / "DLQ")
    files = [file for file in (tmp_path / "DLQ").rglob("*") if file.is_file()]
    assert len(files) == 2
    assert all(file.name.startswith("msg-") and ".." not in file.name.replace("_.._", "") for file in files)
    exported = json.loads(next(file for file in files if "raw" not in file.name).read_bytes())
    assert set(exported) == {"exported", "header", "message"}
    assert exported["message"] == json.loads(envelope(2))
    assert exported["header"]["x-death"][0]["queue"] == "work"
    assert exported["header"][REASON] == "no such file"
    run("dead-letters", "--broker", url, "--export", tmp_path / "DLQ", "--purge")
    assert content(broker, "dlq.work") == []
    capsys.readouterr()
    run("replay", *files, "--remove", "--broker", url)
    recipe, raw = sorted(content(broker, "work"), key=lambda d: d.message_id)
    assert (json.loads(recipe.body), recipe.message_id, recipe.priority) == (json.loads(envelope(2)), "a/../b", 3)
    assert dict(recipe.headers) == {"workflows-recipe": True, "dlq-reinjected": "True"}
    assert raw.body == b"\0\xff"
    assert not [file for file in files if file.exists()]


def test_a_file_of_zocalo_is_sent_again(tmp_path: Path, broker: Broker, url: str) -> None:
    file = tmp_path / "msg"
    header = {
        "message-id": 7, "x-death": [{"queue": "work", "exchange": "", "time": 1.0}], "workflows-recipe": "True",
        "subscription": 1, "redelivered": False, "nested": {"a": 1},
    }  # fmt: skip
    file.write_text(json.dumps({"exported": {}, "header": header, "message": {"a": float("nan")}}))
    run("replay", file, "--broker", url)
    (message,) = content(broker, "work")
    assert message.body == b'{"a": NaN}'
    assert dict(message.headers) == {"workflows-recipe": "True", "dlq-reinjected": "True"}


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"header": {}}', b'{"header": 1, "message": 1}', b"[" * 100_000, b"\xff",
     b'{"header": {"x-death": [{"queue": "work"}]}, "message": null, "body-base64": "???"}',
     b'{"header": {"x-death": [7]}, "message": 1}'],
)  # fmt: skip
def test_a_file_that_is_no_dead_letter_is_named(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "broken"
    file.write_bytes(text)
    with pytest.raises(UsageError, match="broken"):
        read_dead_letter(file)


def test_replay_takes_dead_letters_out_as_it_sends_them(
    broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(broker, *(Outgoing(b"%d" % n, queue="work", message_id=f"id{n}", headers={"h": 1}) for n in range(250)))
    run("replay", "--id", "id7", "--id", "id200", "--broker", url)
    assert [d.message_id for d in content(broker, "work")] == ["id7", "id200"]
    assert len(content(broker, "dlq.work")) == 248
    run("replay", "--queue", "work", "--broker", url)
    assert "248 sent" in capsys.readouterr().out
    assert content(broker, "dlq.work") == []
    again = content(broker, "work")
    assert sorted(d.message_id for d in again) == sorted(f"id{n}" for n in range(250))
    assert {json.dumps(dict(d.headers)) for d in again} == {'{"h": 1, "dlq-reinjected": "True"}'}


def test_replay_leaves_what_has_no_queue_any_more(broker: Broker, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    broker.declare([QueueSpec("dlq.gone")])
    broker.send([Outgoing(b"x", queue="dlq.gone", headers={ORIGIN: "gone", REASON: "r", DIED_NS: 1})])
    run("replay", "--broker", url, expected=1)
    assert "no queue 'gone'" in capsys.readouterr().err
    assert len(content(broker, "dlq.gone")) == 1
    run("replay", "--broker", url, "--to", "other")
    assert len(content(broker, "other")) == 1


def test_purged_dead_letters_are_gone(broker: Broker, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    kill(broker, Outgoing(b"x", queue="work"), Outgoing(b"y", queue="other"))
    run("dead-letters", "--purge", "--queue", "dlq.work", "--broker", url)
    assert "1 thrown away" in capsys.readouterr().out
    assert len(content(broker, "dlq.other")) == 1


@pytest.mark.parametrize(
    "url", ["", "x", "memory:", "sqlite:", "sqlite:/tmp/x?y=1", "amqp:host", "http://x", "sqlite:x?"]
)
def test_a_wrong_url_is_told_with_the_forms(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:PATH"):
        open_broker(url)


def test_a_wrong_url_does_not_show_its_password() -> None:
    with pytest.raises(UsageError) as failure:
        open_broker("amqq://user:secret@host/")
    assert "secret" not in str(failure.value)


def test_a_request_that_was_rejected_is_found_by_the_identity_it_asked_for() -> None:
    from glimt.app.broker_message import recipe_id

    assert recipe_id(b'{"recipes": ["x"], "parameters": {"guid": "my-run"}}') == "my-run"
    assert recipe_id(b'{"parameters": [1]}') == ""
    assert recipe_id(b"nonsense") == ""


def test_dead_letters_that_died_of_the_same_are_one_entry(
    broker: Broker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 4):
        kill(
            broker,
            Outgoing(envelope(2), queue="work", message_id=f"m{number}"),
            reason=f"/data/x_{number:05d}.cbf: there is no such file",
        )
    kill(broker, Outgoing(envelope(2), queue="work", message_id="m4"), reason="the disk is full")
    kill(broker, Outgoing(b"x", queue="other", message_id="m5"), reason="the disk is full")
    run("dead-letters", "--broker", url)
    told = capsys.readouterr()
    shown = told.out.splitlines()
    assert shown[0].startswith("3 of work, ")
    assert shown[0].endswith(": /data/x_00003.cbf: there is no such file (the others say the same with other numbers)")
    assert shown[1] == "    for example message m3 of run guid-1"
    assert shown[2].startswith("1 of work, ")
    assert shown[2].endswith(": the disk is full")
    assert shown[4].startswith("1 of other, ")
    assert shown[5] == "    message m5"
    assert len(shown) == 6
    assert told.err == "5 dead letters\n"
