"""The ring of log records and who follows it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from glimt.model.errors import UsageError
from glimt.web.log_ring import MAX_FOLLOWERS, LogRing


@pytest.fixture
def ring() -> Iterator[LogRing]:
    made = LogRing(capacity=10)
    yield made
    made.close()


@pytest.fixture
def log(ring: LogRing) -> Iterator[logging.Logger]:
    logger = logging.getLogger("test-log-ring")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(ring)
    yield logger
    logger.removeHandler(ring)


def texts(entries: list[dict[str, str]]) -> list[str]:
    return [entry["msg"] for entry in entries]


def log_numbers(log: logging.Logger, count: int) -> None:
    for number in range(count):
        log.info("%d", number)


def test_entries_have_the_keys_of_dranspose_as_text(ring: LogRing, log: logging.Logger) -> None:
    log.warning("lost %d frames", 3)
    (entry,) = ring.entries()
    assert set(entry) == {"msg", "lineno", "name", "created", "levelname"}
    assert (entry["msg"], entry["name"], entry["levelname"]) == ("lost 3 frames", "test-log-ring", "WARNING")
    assert entry["lineno"].isdecimal()
    assert float(entry["created"]) > 1e9


def test_only_the_newest_entries_are_kept(ring: LogRing, log: logging.Logger) -> None:
    for number in range(25):
        log.info("%d", number)
    assert texts(ring.entries()) == [str(number) for number in range(15, 25)]


def test_a_reader_gets_what_came_after_what_it_knows(ring: LogRing, log: logging.Logger) -> None:
    assert ring.since(0) == (0, [])
    log_numbers(log, 4)
    n_known, entries = ring.since(1)
    assert (n_known, texts(entries)) == (4, ["1", "2", "3"])
    assert ring.since(n_known) == (4, [])
    log.debug("not told")
    log_numbers(log, 25)
    n_known, entries = ring.since(n_known)
    assert (n_known, texts(entries)) == (30, [str(number) for number in range(15, 25)])


def test_entries_are_filtered_by_level(ring: LogRing, log: logging.Logger) -> None:
    log.debug("low")
    log.info("middle")
    log.error("high")
    assert texts(ring.entries("debug")) == ["low", "middle", "high"]
    assert texts(ring.entries()) == ["middle", "high"]
    assert texts(ring.entries("ERROR")) == ["high"]


def test_an_unknown_level_is_refused_with_those_there_are(ring: LogRing) -> None:
    with pytest.raises(UsageError, match=r"no log level 'LOUD'; there are: .*DEBUG.*ERROR"):
        ring.entries("LOUD")


def test_a_record_that_cannot_be_formatted_is_kept_and_harms_nobody(ring: LogRing) -> None:
    ring.handle(logging.LogRecord("odd", logging.INFO, __file__, 1, "%d frames", ("no number",), None))
    assert "cannot be formatted" in ring.entries()[0]["msg"]


def test_a_traceback_is_part_of_the_text(ring: LogRing, log: logging.Logger) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("failed")
    assert "ValueError: odd" in ring.entries()[0]["msg"]


def test_long_texts_are_cut(ring: LogRing) -> None:
    ring.add({"msg": "x" * 100_000, "levelname": "INFO", "other": 1})
    assert len(ring.entries()[0]["msg"]) == 8192
    assert "other" not in ring.entries()[0]


def test_a_follower_gets_what_other_threads_log(ring: LogRing, log: logging.Logger) -> None:
    async def follow() -> list[str]:
        with ring.follow() as follower:
            thread = threading.Thread(target=log_numbers, args=(log, 5))
            thread.start()
            got: list[str] = []
            async for entries in follower:
                got += texts(entries)
                if len(got) == 5:
                    break
            thread.join()
        return got

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == ["0", "1", "2", "3", "4"]
    assert ring.n_followers == 0


def test_a_slow_follower_is_told_how_many_it_missed(ring: LogRing, log: logging.Logger) -> None:
    async def follow() -> list[str]:
        with ring.follow() as follower:
            for number in range(25):
                log.info("%d", number)
            return texts(await anext(follower))

    got = asyncio.run(asyncio.wait_for(follow(), 10))
    assert got[0] == "15 log records were left out: this client reads too slowly"
    assert got[1:] == [str(number) for number in range(15, 25)]


def test_closing_the_ring_ends_followers_after_what_waits(ring: LogRing, log: logging.Logger) -> None:
    async def follow() -> list[str]:
        with ring.follow() as follower:
            log.info("last")
            ring.close()
            return [text for entries in [part async for part in follower] for text in texts(entries)]

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == ["last"]


def test_only_so_many_may_follow(ring: LogRing) -> None:
    async def follow() -> None:
        followers = [ring.follow() for _ in range(MAX_FOLLOWERS)]
        with pytest.raises(UsageError, match="follow the log already"):
            ring.follow()
        ring.leave(followers[0])
        ring.follow()

    asyncio.run(follow())


def test_logging_goes_on_after_the_loop_of_a_follower_is_gone(ring: LogRing, log: logging.Logger) -> None:
    async def follow() -> None:
        ring.follow()

    asyncio.run(follow())
    log.info("still here")
    assert texts(ring.entries()) == ["still here"]
    assert ring.n_followers == 0
