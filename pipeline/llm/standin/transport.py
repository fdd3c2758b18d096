"""How replies leave: whole, as a stream, or broken off on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterable

from aiohttp import web

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin import wire

# Every reply says that no model made it; the second header is LM Studio's own.
MARKS = {"X-Stand-In": "true", "X-Powered-By": "Express"}


def sent(reply: wire.ErrorReply) -> web.Response:
    """Return a reply that is no completion."""
    return web.Response(
        status=reply.status, body=reply.payload(), headers=dict(reply.headers), content_type=reply.content_type
    )


async def send_stream(http: web.Request, chunks: Iterable[JsonObject]) -> web.StreamResponse:
    """Send a whole stream."""
    response = await _open_stream(http)
    for chunk in chunks:
        await response.write(wire.server_sent(chunk))
    await response.write(wire.server_sent("[DONE]"))
    await response.write_eof()
    return response


async def send_error_event(http: web.Request, reply: wire.ErrorReply) -> web.StreamResponse:
    """Send an error as the only event of a stream whose status line said 200."""
    response = await _open_stream(http)
    await response.write(wire.server_sent(reply.body, event="error"))
    await response.write_eof()
    return response


async def send_half_stream(http: web.Request, chunks: list[JsonObject]) -> web.StreamResponse:
    """Send the first half of a stream and close the connection."""
    response = await _open_stream(http)
    for chunk in chunks[: len(chunks) // 2]:
        await response.write(wire.server_sent(chunk))
    return drop(http, response)


async def send_half(http: web.Request, body: JsonObject) -> web.StreamResponse:
    """Promise a whole body, send half of it and close the connection."""
    whole = json.dumps(body).encode()
    headers = {**MARKS, "Content-Type": "application/json", "Content-Length": str(len(whole))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(http)
    await response.write(whole[: len(whole) // 2])
    return drop(http, response)


def drop(http: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection; what was written so far still arrives."""
    if http.transport is not None:
        http.transport.close()
    return response or web.Response()


async def _open_stream(http: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={**MARKS, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(http)
    return response
