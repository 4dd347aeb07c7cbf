"""Pages of glimt that are no live run: a replay's, that of ``glimt serve``, the live view of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from glimt.app.finding import Finding
from glimt.app.http_answer import DEFAULT_URL, NotThereError, fetch
from glimt.model.errors import DecodeError, GlimtError

PageKind = Literal["replay", "serve", "view"]

_LOOK_S = 2.0
_MAX_NAME = 100
_MAX_TOLD = 5

_Answer = TypeVar("_Answer")


class _Hello(msgspec.Struct):
    name: str
    kind: Literal["replay", "serve"]


class _Progress(msgspec.Struct):
    n_events: int
    n_results: int
    n_failures: int
    finished: bool
    errors: list[str] = []
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class ShownPage:
    """What answers at an address and is no live run.

    Attributes
    ----------
    address : str
        Where.
    kind : str
        ``"replay"``, ``"serve"``, or ``"view"``: what a reducer publishes, and nothing else.
    name : str
        What is replayed, or served; empty where it is not told.
    """

    address: str
    kind: PageKind
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "view":
            return "a live view, which has results only"
        of = f" of {self.name}" if self.name else ""
        return f"a replay{of}" if self.kind == "replay" else f"`glimt serve`{of}"


class OtherPageError(DecodeError):
    """What answers is of glimt, but no live run.

    Attributes
    ----------
    page : ShownPage
        What it is.
    """

    def __init__(self, page: ShownPage) -> None:
        text = f"what answers is {page}, no live run; `glimt doctor {page.address}` says how it is"
        if page.kind == "view":
            text = (
                f"what answers is {page}; ask the control port of the run, which `glimt run` prints "
                f"({DEFAULT_URL} if nothing else is set)"
            )
        super().__init__(text, where=page.address)
        self.page = page


def page_at(address: str, *, token: str | None = None) -> ShownPage | None:
    """Return what page of glimt is at an address; ``None`` if it is none, or says nothing in time."""
    deadline = time.monotonic() + _LOOK_S
    try:
        hello = _told(address, "/api/v1/page/hello", _Hello, token, deadline)
        return ShownPage(address, hello.kind, hello.name[:_MAX_NAME])
    except NotThereError:
        pass
    except GlimtError:
        return None
    try:
        is_view = _told(address, "/api/v1/status", bool, token, deadline)
    except GlimtError:
        return None
    return ShownPage(address, "view") if is_view else None


def diagnose_page(page: ShownPage, *, token: str | None = None) -> list[Finding]:
    """Return what a replay or ``glimt serve`` tells of itself: first what it is and how far, then what is wrong.

    Raises
    ------
    GlimtError
        It does not answer, or not what this version of glimt understands.
    """
    if page.kind == "view":
        raise OtherPageError(page)
    deadline = time.monotonic() + _LOOK_S
    if page.kind == "serve":
        return _diagnose_serve(page, token, deadline)
    progress = _told(page.address, "/api/v1/progress", _Progress, token, deadline)
    return _diagnose_replay(page, progress)


def _told(address: str, path: str, kind: type[_Answer], token: str | None, deadline: float) -> _Answer:
    timeout_s = max(0.1, deadline - time.monotonic())
    body = fetch(address, path, token=token, timeout_s=timeout_s)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"{path} is not of this version of glimt: {error}", where=address) from None


def _diagnose_replay(page: ShownPage, progress: _Progress) -> list[Finding]:
    if progress.finished:
        how_far = "it has ended"
    elif progress.fraction is None:
        how_far = "it goes on"
    else:
        how_far = f"{min(max(progress.fraction, 0.0), 1.0):.0%} done"
    found = [
        Finding(
            "note",
            f"{page.address} is {page}, no live run: {_number(progress.n_events, 'event')}, "
            f"{_number(progress.n_results, 'result')}, {how_far}",
            "A replay reads captures: it has no streams, so nothing is waited for and nothing can be lost on the way.",
            f"Open {page.address} to see its results. A live run is asked at its control port: "
            f"glimt doctor {DEFAULT_URL}",
        )
    ]
    if progress.n_failures:
        found.append(
            Finding(
                "error",
                f"the analysis raised {_number(progress.n_failures, 'time')}",
                "Worker or reducer cannot deal with these events.",
                "Read the first failures, with their traceback, in the terminal of `glimt replay`.",
            )
        )
    do = "Read what `glimt replay` printed in its terminal."
    found.extend(Finding("error", error, "The replay is not whole.", do) for error in progress.errors[:_MAX_TOLD])
    return found


def _diagnose_serve(page: ShownPage, token: str | None, deadline: float) -> list[Finding]:
    services = _table(page.address, token, deadline)
    n_waiting = _count(page.address, "waiting", token, deadline)
    n_dead = _count(page.address, "dead_letters", token, deadline)
    states = ", ".join(f"{row[0]} {row[1]}" for row in services if len(row) > 1)
    waiting = "" if n_waiting is None else f", {_number(n_waiting, 'message')} waiting"
    found = [
        Finding(
            "note",
            f"{page.address} is {page}, no live run: {_number(len(services), 'service')}{waiting}",
            f"It runs services, which wait for messages: {states or 'none is there yet'}.",
            f"Open {page.address} to see them. A live run is asked at its control port: glimt doctor {DEFAULT_URL}",
        )
    ]
    if n_dead:
        found.append(
            Finding(
                "warning",
                _number(n_dead, "dead letter"),
                "Services could not handle these messages, and keep them.",
                "`glimt broker dead-letters` tells why, `glimt broker replay` sends them again.",
            )
        )
    return found


def _table(address: str, token: str | None, deadline: float) -> list[list[Any]]:
    try:
        return _told(address, "/json/services", list[list[Any]], token, deadline)
    except NotThereError:  # not published yet
        return []


def _count(address: str, name: str, token: str | None, deadline: float) -> int | None:
    """Return a published number; ``None`` if there is none, as while the broker is away."""
    try:
        return _told(address, f"/json/{name}", int, token, deadline)
    except DecodeError:
        return None


def _number(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
