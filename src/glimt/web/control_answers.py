"""Calls into a live run on behalf of HTTP clients: bounded in time and memory, errors with reasons."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import msgspec
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from glimt.model.errors import GlimtError, UsageError
from glimt.web.answers import json_answer, read_body
from glimt.web.run_control import ConflictError, RunEndingError

Answer = TypeVar("Answer")

ANSWER_S = 30.0
"""A run that takes longer for an answer is reported as busy [s]."""

BODY_S = 60.0
"""A client has this long to send a body [s]."""

_CALLS = 16
_LARGE_BODIES = 2
_LARGE_BYTES = 1 << 20


class RunCalls:
    """Calls a run in threads of its own, a bounded number at a time.

    Parameters
    ----------
    answer_s : float
        How long a client waits for the run [s].
    body_s : float
        How long the server waits for a body [s].
    """

    def __init__(self, *, answer_s: float = ANSWER_S, body_s: float = BODY_S) -> None:
        self._answer_s = answer_s
        self._body_s = body_s
        self._free = asyncio.Semaphore(_CALLS)
        self._threads: anyio.CapacityLimiter | None = None
        self._large = asyncio.Semaphore(_LARGE_BODIES)

    async def answer(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Response:
        """Return what a call returns as JSON."""
        return await self.run(_encoded, call, *args, **kwargs)

    async def run(self, call: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        """Return what a call returns.

        Raises
        ------
        HTTPException
            400, 404, 409 or 503, by what the call raises; 503 if it takes too long.
        """
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._in_thread(partial(call, *args, **kwargs))
        except TimeoutError:
            raise HTTPException(503, f"the run did not answer within {self._answer_s:g} s; try again") from None
        except RunEndingError as error:
            raise HTTPException(503, str(error)) from None
        except ConflictError as error:
            raise HTTPException(409, str(error)) from None
        except KeyError as error:
            raise HTTPException(404, str(error.args[0]) if error.args else "not found") from None
        except UsageError as error:
            raise HTTPException(400, str(error)) from None
        except GlimtError as error:
            raise HTTPException(400 if isinstance(error, ValueError) else 503, str(error)) from None

    async def _in_thread(self, call: Callable[[], Answer]) -> Answer:
        """Run a call in a thread; one that is given up keeps its place until it comes back, so that no more pile up."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(math.inf)
        loop = asyncio.get_running_loop()
        await self._free.acquire()
        has_begun = is_done = False

        def leave() -> None:
            nonlocal is_done
            if not is_done:
                is_done = True
                self._free.release()

        def work() -> Answer:
            nonlocal has_begun
            has_begun = True
            try:
                return call()
            finally:
                with suppress(RuntimeError):  # the server has stopped meanwhile
                    loop.call_soon_threadsafe(leave)

        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)
        except asyncio.CancelledError:
            if not has_begun:
                leave()
            raise

    @asynccontextmanager
    async def body(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Give the body of a request while the context lasts; of large ones only a few are in memory at a time.

        Raises
        ------
        HTTPException
            400 the client broke off; 408 it is too slow, or others are; 413 it is longer than ``limit`` bytes.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and len(length) < 16 and int(length) <= _LARGE_BYTES:
            yield await self._read(request, limit)
            return
        try:
            async with asyncio.timeout(self._body_s):
                await self._large.acquire()
        except TimeoutError:
            raise HTTPException(503, "other large uploads are under way; try again") from None
        try:
            yield await self._read(request, limit)
        finally:
            self._large.release()

    async def _read(self, request: Request, limit: int) -> bytes:
        try:
            async with asyncio.timeout(self._body_s):
                return await read_body(request, limit)
        except TimeoutError:
            text = f"the body did not come within {self._body_s:g} s"
            raise HTTPException(408, text, headers={"Connection": "close"}) from None
        except ClientDisconnect:
            raise HTTPException(400, "the client broke off") from None


def _encoded(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Response:
    return json_answer(call(*args, **kwargs), ignore_nan=True)


def json_object(body: bytes) -> dict[str, Any]:
    """Return a body that must be a JSON object.

    Raises
    ------
    HTTPException
        400 it is no JSON, 422 it is something else than an object.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise HTTPException(422, f"the body must be a JSON object, not {type(found).__name__}")
    return found
