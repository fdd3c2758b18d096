"""A tiny model server for tests: it gives the answers a test lines up and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class WireStub:
    """Answer each path as told; the last of several answers repeats."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    abandoned: anyio.Event = field(default_factory=anyio.Event)

    def on(self, path: str, *answers: Answer) -> None:
        """Set what a path answers."""
        self.answers[path] = list(answers)

    def count(self, path: str) -> int:
        """Return how often a path was asked."""
        return sum(request["path"] == path for request in self.seen)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.seen.append({"path": request.path, "body": body, "headers": dict(request.headers)})
        lined_up = self.answers.get(request.path)
        if not lined_up:
            return web.json_response({"error": f"Unexpected endpoint or method. ({request.method} {request.path})"})
        answer = lined_up.pop(0) if len(lined_up) > 1 else lined_up[0]
        try:
            return await answer(request)
        except anyio.get_cancelled_exc_class():
            self.abandoned.set()
            raise


def says(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Answer with JSON, or with a string as it is."""

    async def answer(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers, content_type="text/html")
        return web.json_response(body, status=status, headers=headers)

    return answer


def completion(message: dict[str, Any], *, finish_reason: str = "stop", model: str = "loaded-model") -> Answer:
    """Answer with a chat completion that holds a message."""
    return says(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [
                {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason},
            ],
            "usage": {
                "prompt_tokens": 30,
                "completion_tokens": 7,
                "total_tokens": 37,
                "prompt_tokens_details": {"cached_tokens": 20},
            },
        }
    )


async def hangs(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@asynccontextmanager
async def wire_stub() -> AsyncIterator[WireStub]:
    """Run a stub on a free port."""
    stub = WireStub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield stub
    finally:
        await runner.cleanup()
