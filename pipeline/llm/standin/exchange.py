"""One call to the stand-in: what is known of it while it is worked, how its answer is sent, and what is kept of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from pipeline.llm.protocol import digest
from pipeline.llm.standin import wire
from pipeline.llm.standin.conversation import document_text
from pipeline.llm.standin.faults import CallKind, Fault
from pipeline.llm.standin.statistics import LoggedRequest
from pipeline.llm.standin.transport import send_half, send_half_stream, send_stream


@dataclass
class Exchange:
    """Hold what is known of one call while it is worked."""

    number: int
    request: wire.ChatRequest
    kind: CallKind
    answer: wire.Answer
    fault: Fault | None
    prompt_tokens: int
    started: float
    status: int = 200
    usage: wire.TokenUse = field(default_factory=wire.TokenUse)

    def logged(self, *, until: float) -> LoggedRequest:
        """Return what is kept of the call, without its text."""
        request, usage = self.request, self.usage
        return LoggedRequest(
            number=self.number,
            kind=self.kind.value,
            model=request.model,
            status=self.status,
            fault=self.fault.value if self.fault else "",
            message_digests=request.message_digests(),
            tools_digest=digest(list(request.tools)),
            schema_digest=digest(request.schema),
            document_digest=digest(document_text(request.messages)),
            max_tokens=request.max_tokens,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=usage.completion,
            cached_tokens=usage.cached,
            stream=request.stream,
            seconds=until - self.started,
        )


async def send_completion(http: web.Request, exchange: Exchange, finished: wire.Answer) -> web.StreamResponse:
    """Send the answer, in a stream where that was asked for; one that breaks off ends half-way."""
    identity, created, usage = _identity(exchange), int(time.time()), exchange.usage
    broken_off = exchange.fault is Fault.DISCONNECT_MIDWAY
    if not exchange.request.stream:
        body = wire.completion(finished, identity=identity, created=created, usage=usage)
        return await send_half(http, body) if broken_off else web.json_response(body)
    include_usage = exchange.request.include_usage
    chunks = wire.chunks(finished, identity=identity, created=created, usage=usage, include_usage=include_usage)
    return await (send_half_stream(http, list(chunks)) if broken_off else send_stream(http, chunks))


def _identity(exchange: Exchange) -> str:
    return f"chatcmpl-{digest([exchange.number, exchange.request.message_digests()])}"
