"""The page's WebSocket: the page says what it wants and when it is ready, and gets the newest, never a queue."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from glimt.model.errors import DecodeError
from glimt.web.page_hub import PageHub
from glimt.web.page_message import message
from glimt.web.page_viewer import PageViewer
from glimt.web.page_want import Hello, Ready, Want, message_from_page

MAX_VIEWERS = 64
MAX_PROBLEMS = 100
TURN_S = 0.09
HEARTBEAT_S = 1.0

_BUSY, _POLICY = 1013, 1008


async def serve_page_socket(websocket: WebSocket, hub: PageHub) -> None:
    """Talk with one page until it leaves."""
    await websocket.accept()
    if hub.n_viewers >= MAX_VIEWERS:
        await websocket.close(_BUSY, f"{MAX_VIEWERS} pages look already")
        return
    talk = _Talk(websocket, hub)
    hub.join(talk.viewer)
    listening = asyncio.create_task(talk.listen())
    speaking = asyncio.create_task(talk.speak())
    try:
        await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(talk.viewer)
        for task in (listening, speaking):
            task.cancel()
        results = await asyncio.gather(listening, speaking, return_exceptions=True)
    for result in results:
        # What a connection that breaks raises depends on the moment; anything else is a fault of ours.
        gone = (WebSocketDisconnect, asyncio.CancelledError, OSError, RuntimeError)
        if isinstance(result, BaseException) and not isinstance(result, gone):
            raise result


class _Talk:
    """Both directions of one connection."""

    def __init__(self, websocket: WebSocket, hub: PageHub) -> None:
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._ready = asyncio.Event()
        self._sending = asyncio.Lock()
        self.viewer = PageViewer(hub, self._wake)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the page gone with it
            self._loop.call_soon_threadsafe(self._news.set)

    async def listen(self) -> None:
        """Take what the page says."""
        n_problems = 0
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                self._take(received)
            except DecodeError as error:
                n_problems += 1
                if n_problems > MAX_PROBLEMS:
                    await self._websocket.close(_POLICY, "too many messages that make no sense")
                    return
                async with self._sending:
                    await self._websocket.send_bytes(message({"type": "problem", "reason": str(error)[:500]}))

    def _take(self, received: Any) -> None:
        text = received.get("text")
        if text is None:
            raise DecodeError("a page speaks text, not bytes")
        said = message_from_page(text)
        if isinstance(said, Hello):
            self.viewer.begin(history=said.history)
            self._ready.set()
        elif isinstance(said, Ready):
            self._ready.set()
        elif isinstance(said, Want):
            self.viewer.want(said.plots)
        self._news.set()

    async def speak(self) -> None:
        """Say what is new, whenever the page is ready for it."""
        spoken = 0.0
        while True:
            await self._ready.wait()
            await asyncio.sleep(max(0.0, spoken + TURN_S - time.monotonic()))
            while not self.viewer.is_behind and (rest := spoken + HEARTBEAT_S - time.monotonic()) > 0:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), rest)
                if self._news.is_set():
                    break
            self._news.clear()
            self._ready.clear()
            spoken = time.monotonic()
            messages = await run_in_threadpool(self.viewer.turn)
            async with self._sending:
                for each in messages:
                    await self._websocket.send_bytes(each)
