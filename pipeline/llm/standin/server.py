"""A server that speaks LM Studio's wire on the loopback address and answers by rules instead of a model.

It says what it is: in the model's id, in each reply's `model` and in the header `X-Stand-In`.
"""

from __future__ import annotations

import hmac
import json
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

import anyio
import anyio.to_thread
import structlog
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import ConfigError
from pipeline.llm.standin import listings, wire
from pipeline.llm.standin.answers import answer, kind_of
from pipeline.llm.standin.checks import Limits, read_request
from pipeline.llm.standin.exchange import Exchange, send_completion
from pipeline.llm.standin.fault_replies import (
    IN_STREAM,
    NO_MODELS,
    Sizes,
    error_reply,
    model_not_found,
    unauthorized,
    unknown_endpoint,
)
from pipeline.llm.standin.faults import Fault, FaultPlan, FaultRule
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.reshaping import reshape
from pipeline.llm.standin.settings import StandInSettings
from pipeline.llm.standin.slots import Slot, Slots
from pipeline.llm.standin.statistics import Busy, LoggedRequest, Statistics
from pipeline.llm.standin.transport import MARKS, drop, send_error_event, sent

_HOST = "127.0.0.1"
_MOST_BODY_BYTES = 64 * 1024 * 1024
# Reading a document by rules takes about a millisecond for this many characters; longer ones go to a thread.
_READ_IN_LOOP_CHARACTERS = 4_000
# What is left of a prompt that is cut; the rest is for the answer.
_KEPT_OF_CONTEXT = 0.75
# Requests still at work when the host is switched off are dropped at once; to aiohttp, 0 means to wait for ever.
_DROP_AFTER_SECONDS = 0.01
_log = structlog.get_logger()

Answering = Callable[[wire.ChatRequest], wire.Answer]


class FaultsBody(BaseModel, frozen=True, extra="forbid"):
    """Take new fault rules over HTTP."""

    rules: tuple[FaultRule, ...] = Field(default=(), description="rules to add")
    clear: bool = Field(False, description="forget the earlier rules first")


class HostBody(BaseModel, frozen=True, extra="forbid"):
    """Take a new state of the model over HTTP."""

    loaded: bool = Field(description="whether a model is loaded")


class StandInServer:
    """Serve as long as the `async with` block runs; `base_url` is where."""

    def __init__(self, settings: StandInSettings | None = None, *, answering: Answering = answer) -> None:
        self.settings = settings or StandInSettings()
        self._answering = answering
        self.stats = Statistics()
        self.faults = FaultPlan(self.settings.faults)
        self.log: deque[LoggedRequest] = deque(maxlen=self.settings.log_requests)
        self.loaded = self.settings.loaded
        self._slots = Slots(
            self.settings.slots,
            shared_context_tokens=self.settings.context_tokens if self.settings.shared_context else None,
        )
        self._port = self.settings.port
        self._runner: web.AppRunner | None = None
        self._epoch = time.monotonic()
        self._changed = anyio.Event()

    @property
    def base_url(self) -> str:
        return f"http://{_HOST}:{self._port}/v1"

    @property
    def origin(self) -> str:
        return f"http://{_HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.resume()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pause()

    async def pause(self) -> None:
        """Switch the host off: nothing listens any more and open connections are dropped."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def resume(self) -> None:
        """Switch the host on again, at the same port."""
        if self._runner is not None:
            return
        # The first reading loads month names and patterns: a tenth of a second that no request should pay for.
        await anyio.to_thread.run_sync(read_invoice, "Invoice 1 of 2 May 2024")
        runner = web.AppRunner(
            self._application(),
            # Without it work goes on to its end for a client that left, as on a busy llama.cpp server.
            handler_cancellation=self.settings.cancel_on_disconnect,
            keepalive_timeout=self.settings.keep_alive_seconds,
            shutdown_timeout=_DROP_AFTER_SECONDS,
            access_log=None,
        )
        await runner.setup()
        listener = _listener(self._port)
        self._port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        self._runner = runner
        _log.info("standin.started", base_url=self.base_url, slots=self.settings.slots)

    async def wait_until(self, condition: Callable[[Statistics], bool]) -> None:
        """Return as soon as the statistics fulfil the condition."""
        while not condition(self.stats):
            await self._changed.wait()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._mark, self._guard], client_max_size=_MOST_BODY_BYTES)
        application.add_routes(
            [
                web.get("/lmstudio-greeting", self._greet),
                web.get("/v1/models", self._list_models),
                web.get("/api/v0/models", self._list_models_v0),
                web.get("/api/v1/models", self._list_models_v1),
                web.post("/v1/chat/completions", self._chat),
                web.get("/stand-in/stats", self._show_stats),
                web.get("/stand-in/log", self._show_log),
                web.get("/stand-in/faults", self._show_faults),
                web.post("/stand-in/faults", self._take_faults),
                web.post("/stand-in/host", self._take_host),
                web.route("*", "/{path:.*}", self._unknown),
            ]
        )
        return application

    @web.middleware
    async def _mark(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        if not response.prepared:
            response.headers.update(MARKS)
        return response

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        open_paths = request.path == "/lmstudio-greeting" or request.path.startswith("/stand-in/")
        given = request.headers.get("Authorization", "")
        wanted = f"Bearer {self.settings.api_key}"
        if self.settings.api_key and not open_paths and not hmac.compare_digest(given.encode(), wanted.encode()):
            return sent(unauthorized())
        return await handler(request)

    async def _greet(self, _: web.Request) -> web.Response:
        return web.json_response({"lmstudio": True})

    async def _list_models(self, _: web.Request) -> web.Response:
        return web.json_response(listings.openai_models(self.settings))

    async def _list_models_v0(self, _: web.Request) -> web.Response:
        return web.json_response(listings.v0_models(self.settings, loaded=self.loaded))

    async def _list_models_v1(self, _: web.Request) -> web.Response:
        return web.json_response(listings.v1_models(self.settings, loaded=self.loaded))

    async def _unknown(self, request: web.Request) -> web.Response:
        if "//" in request.path:
            return sent(wire.text_error("Invalid path"))
        return sent(unknown_endpoint(request.method, request.path))

    async def _show_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats.to_json())

    async def _show_log(self, _: web.Request) -> web.Response:
        return web.json_response({"requests": [vars(entry) for entry in self.log]})

    async def _show_faults(self, _: web.Request) -> web.Response:
        return web.json_response({"rules": [rule.model_dump(mode="json") for rule in self.faults.rules]})

    async def _take_faults(self, request: web.Request) -> web.Response:
        try:
            body = FaultsBody.model_validate_json(await request.read())
        except ValidationError as error:
            return sent(wire.text_error(str(error)))
        if body.clear:
            self.faults.clear()
        self.faults.add(*body.rules)
        return await self._show_faults(request)

    async def _take_host(self, request: web.Request) -> web.Response:
        try:
            self.loaded = HostBody.model_validate_json(await request.read()).loaded
        except ValidationError as error:
            return sent(wire.text_error(str(error)))
        return web.json_response({"loaded": self.loaded})

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        self.stats.requests += 1
        number, started = self.stats.requests, self._now()
        checked = self._checked(await http.read())
        if isinstance(checked, wire.ErrorReply):
            self.stats.by_status[checked.status] += 1
            return sent(checked)
        exchange = await self._opened(checked, number, started)
        try:
            return await self._replied(http, exchange)
        except anyio.get_cancelled_exc_class():
            self.stats.cancelled += 1
            exchange.status = 0
            raise
        finally:
            self._record(exchange)

    def _checked(self, raw: bytes) -> wire.ChatRequest | wire.ErrorReply:
        try:
            body = json.loads(raw)
        except ValueError:
            return wire.text_error("Failed to parse request body as JSON")
        settings = self.settings
        limits = Limits(
            vision=settings.vision,
            strict_roles=settings.strict_roles,
            tool_template=settings.tool_template,
            grammars=settings.grammars,
        )
        checked = read_request(body, limits)
        if isinstance(checked, wire.ErrorReply):
            return checked
        if not self.loaded:
            return wire.text_error(NO_MODELS)
        known = self.settings.models
        if len(known) > 1 and checked.model not in known:
            return model_not_found(checked.model, known)
        return checked

    async def _opened(self, request: wire.ChatRequest, number: int, started: float) -> Exchange:
        """Work out the honest answer, what the call is for and which fault it gets."""
        if self.settings.cuts_prompts and request.prompt_tokens() >= self.settings.context_tokens:
            request = wire.without_middle(request, int(self.settings.context_tokens * _KEPT_OF_CONTEXT))
        rendered = request.rendered()
        if len(rendered) > _READ_IN_LOOP_CHARACTERS:
            honest = await anyio.to_thread.run_sync(self._answering, request)
        else:
            honest = self._answering(request)
        if not self.settings.several_calls:
            honest = replace(honest, calls=honest.calls[:1])
        kind = kind_of(request, honest)
        if not self.settings.tool_use:
            honest = reshape(Fault.TEXT_INSTEAD_OF_CALL, honest) if honest.calls else honest
        fault = self.faults.next(kind, rendered) or self._odd_overflow(request)
        if fault is Fault.GRAMMAR and not (request.tools or request.schema is not None):
            fault = None  # nothing to make a grammar of
        self.stats.by_kind[kind.value] += 1
        if fault is not None:
            self.stats.faults[fault.value] += 1
        named = request.model if request.model in self.settings.models else self.settings.models[0]
        honest = replace(honest, model=named, usage=honest.usage if self.settings.counts_cached else "uncached")
        return Exchange(number, request, kind, honest, fault, request.prompt_tokens(), started)

    def _odd_overflow(self, request: wire.ChatRequest) -> Fault | None:
        """Return the fault of a prompt that is too long where the host answers it instead of refusing it."""
        if self.settings.overflow not in (Fault.OVERFLOW_SILENT, Fault.OVERFLOW_GARBAGE):
            return None
        return self.settings.overflow if request.prompt_tokens() >= self.settings.context_tokens else None

    async def _replied(self, http: web.Request, exchange: Exchange) -> web.StreamResponse:
        if exchange.fault is Fault.HANG:
            await anyio.sleep(self.settings.hang_seconds)
        if exchange.fault in (Fault.HANG, Fault.DISCONNECT_BEFORE):
            exchange.status = 0
            return drop(http)
        outcome = self._error(exchange) or await self._worked(exchange)
        if isinstance(outcome, wire.ErrorReply):
            return await self._refused(http, exchange, outcome)
        return await send_completion(http, exchange, outcome)

    async def _refused(self, http: web.Request, exchange: Exchange, error: wire.ErrorReply) -> web.StreamResponse:
        if exchange.request.stream and (exchange.fault is None or exchange.fault in IN_STREAM):
            return await send_error_event(http, error)
        exchange.status = error.status
        return sent(error)

    def _error(self, exchange: Exchange) -> wire.ErrorReply | None:
        sizes = Sizes(exchange.request.model, exchange.prompt_tokens, self.settings.context_tokens)
        if exchange.fault is not None:
            return error_reply(exchange.fault, sizes)
        if exchange.prompt_tokens >= self.settings.context_tokens:
            return error_reply(Fault.OVERFLOW_NOT_FIT if exchange.request.stream else self.settings.overflow, sizes)
        return None

    async def _worked(self, exchange: Exchange) -> wire.Answer | wire.ErrorReply:
        """Hold a slot for as long as the answer takes."""
        room = max(self.settings.context_tokens - exchange.prompt_tokens, 1)
        limit = min(exchange.request.max_tokens or room, room)
        spoiled = reshape(exchange.fault, exchange.answer) if exchange.fault else exchange.answer
        finished, completion_tokens = wire.cut(spoiled, limit)
        rendered = exchange.request.rendered()
        self.stats.max_waiting = max(self.stats.max_waiting, self._slots.waiting + (not self._slots.free))
        async with self._slots.take(rendered, tokens=exchange.prompt_tokens + limit) as slot:
            cached = min(slot.cached_characters // wire.CHARACTERS_PER_TOKEN, exchange.prompt_tokens)
            exchange.usage = wire.TokenUse(exchange.prompt_tokens, completion_tokens, cached)
            await self._spent(exchange.usage, slot)
        if slot.overflowed:
            return wire.text_error("Context size has been exceeded.")
        self.stats.tokens_used(exchange.usage)
        return finished

    async def _spent(self, usage: wire.TokenUse, slot: Slot) -> None:
        """Let the time pass that the work takes, and write down that the slot was busy."""
        seconds = self.settings.delay_seconds
        if self.settings.prompt_tokens_per_second:
            seconds += (usage.prompt - usage.cached) / self.settings.prompt_tokens_per_second
        if self.settings.completion_tokens_per_second:
            seconds += usage.completion / self.settings.completion_tokens_per_second
        began = self._now()
        self.stats.work_began()
        self._tell_change()
        try:
            await anyio.sleep(seconds)
        finally:
            self.stats.work_ended(Busy(slot.number, began, self._now()))
            self._tell_change()

    def _record(self, exchange: Exchange) -> None:
        self.stats.by_status[exchange.status] += 1
        self.log.append(exchange.logged(until=self._now()))
        self._tell_change()

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _now(self) -> float:
        return time.monotonic() - self._epoch


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        hint = "choose another --port, or none for a free one"
        raise ConfigError(f"port {port} cannot be used ({error.strerror})", hint=hint) from error
    return listener
