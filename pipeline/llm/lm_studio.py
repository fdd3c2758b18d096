"""LM Studio through LiteLLM: the only module that knows litellm, and nothing of litellm gets out of it.

Three properties of the library shape this module. It falls back to a public service where no address is given, so
the address is always passed. It repeats failed requests on its own, so repeating is turned off: `hosts` decides
(what is left is a connection that the server resets: the library tries that request once more on a new one). It takes
seconds to import, so it is loaded at the first call, in a thread.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import importlib
import inspect
import json
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import uuid4

import anyio
import anyio.lowlevel
import anyio.to_thread
import structlog
from pydantic import BaseModel, Field, SecretStr

from pipeline.llm.address import api_base
from pipeline.llm.faults import Break, Failure, classify, to_error
from pipeline.llm.protocol import ModelReply, ModelRequest, ToolCall, Usage
from pipeline.llm.salvage import salvage

log = structlog.get_logger()

_CLOSING_SECONDS = 2.0
_PROVIDER = "lm_studio"
_NOBODY = "http://127.0.0.1:9/v1"


class EndpointSettings(BaseModel, frozen=True, extra="forbid"):
    """Set one connection to one model of one server."""

    base_url: str = Field("http://localhost:1234/v1", description="address of the OpenAI-compatible API")
    api_key: SecretStr = Field(SecretStr(""), description="API token, empty where the server asks for none")
    model: str = Field(description="name of the model, as the server lists it")
    timeout_seconds: float = Field(600.0, gt=0, description="longest wait for one reply, seconds")
    reasoning_off: bool = Field(False, description="ask the server to answer without thinking first")
    allow_public_host: bool = Field(False, description="permit an address outside this machine and network")


class LMStudioModel:
    """Answer requests by one model of one LM Studio server."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._address = api_base(settings.base_url, allow_public_host=settings.allow_public_host)
        self._library: _Library | None = None

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Send the request once and return the reply, or raise one of the `ModelError` family."""
        library = self._library or await self._load()
        heard = _Heard()
        try:
            arguments = self._arguments(request)
            response = await library.ask(**arguments, **library.notes_of(arguments), logger_fn=heard.listen)
        except library.openai.OpenAIError as error:
            raise to_error(classify(_failure(error, heard)), self._address) from error
        return self._reply(response, request)

    async def aclose(self) -> None:
        """Close the connections, those of every other `LMStudioModel` of this process with them."""
        if self._library is None:
            return
        litellm = self._library.litellm
        worker = importlib.import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            # The last call's bookkeeping starts the worker one turn of the loop later: let it, or it outlives the stop.
            await anyio.lowlevel.checkpoint()
            await worker.flush()
            await worker.stop()
            await litellm.close_litellm_async_clients()
        # A closed client left in the cache would be handed to the next call.
        litellm.in_memory_llm_clients_cache.flush_cache()

    async def _load(self) -> _Library:
        self._library = await anyio.to_thread.run_sync(_load_library, abandon_on_cancel=True)
        return self._library

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        if request.tools and request.schema is not None:
            # The engine's grammar lets the schema win: the tools would never be called.
            raise ValueError("a request has tools or a schema, not both")
        return {
            "model": f"{_PROVIDER}/{self._settings.model}",
            "messages": list(request.messages),
            "api_base": self._address,
            "api_key": self._settings.api_key.get_secret_value() or "lm-studio",
            # Part of the client cache's key, so the same for every call; shorter deadlines are the caller's.
            "timeout": self._settings.timeout_seconds,
            "max_retries": 0,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "no-log": True,
            # Some releases import a proxy's dependency for every call with tools.
            "_skip_mcp_handler": True,
            **_tool_arguments(request),
            **_schema_arguments(request),
            **({"extra_body": {"reasoning_effort": "none"}} if self._settings.reasoning_off else {}),
        }

    def _reply(self, response: Any, request: ModelRequest) -> ModelReply:
        if not response.choices:
            raise to_error(classify(Failure(Break.NOT_A_REPLY)), self._address)
        choice = response.choices[0]
        reply = ModelReply(
            text=choice.message.content or "",
            tool_calls=tuple(_tool_call(call) for call in choice.message.tool_calls or ()),
            finish_reason=choice.finish_reason or "stop",
            usage=_usage(getattr(response, "usage", None)),
            model=(response.model or "").removeprefix(f"{_PROVIDER}/"),
            reasoning=getattr(choice.message, "reasoning_content", None) or "",
            host=self._address,
        )
        return _mended(reply, request)


async def load_library() -> None:
    """Load what the first call needs, which takes seconds; at once when it is loaded."""
    await anyio.to_thread.run_sync(_load_library, abandon_on_cancel=True)


_NotesOf = Callable[[Mapping[str, Any]], dict[str, Any]]
_Ask = Callable[..., Awaitable[Any]]


class _Library(NamedTuple):
    litellm: Any
    openai: Any
    notes_of: _NotesOf
    ask: _Ask


class _Heard:
    """Keep what the server answered, because the library loses the text of an error that came as a success."""

    body: str = ""

    def listen(self, details: Mapping[str, Any]) -> None:
        """Take the library's record of the call; it is called before the answer came and after."""
        self.body = str(details.get("original_response") or "")

    @property
    def error(self) -> str:
        """Return the error in the answer as a body of its own, or nothing."""
        value = self._value()
        error = value.get("error") if isinstance(value, dict) else None
        return json.dumps({"error": error}) if error else ""

    @property
    def is_no_json(self) -> bool:
        """Say whether an answer came that is something else, such as a web page; its text is nobody's business."""
        return bool(self.body) and self._value() is None

    def _value(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@functools.cache
def _load_library() -> _Library:
    """Import litellm without its side effects: no download, no `.env`, no handlers, no printing."""
    os.environ.update(
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_OFFLINE_MODE="true",
        LITELLM_MODE="PRODUCTION",
        # Shorter than the server's own keep-alive, else a call now and then meets a connection that just closed.
        AIOHTTP_KEEPALIVE_TIMEOUT="4",
        # The same wire by the library's own HTTP client: a third less processor time than through the openai client.
        # Where a release lacks it, that one is used as before; all that is read of errors here holds for both.
        EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER="true",
    )
    os.environ.setdefault("LITELLM_LOG", "ERROR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What the first call would import and build on the event loop is done here, too.
        litellm, openai, _ = _import_without_collector("litellm", "openai", "openai.resources")
        litellm.ModelResponse()
    litellm.suppress_debug_info = True
    # A proxy set for the web must not see, or break, what goes to a machine next door.
    litellm.disable_aiohttp_trust_env = True
    # Arguments that come as an object instead of text are mended by the library, with a warning we need not show.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings")
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(os.environ["LITELLM_LOG"])
    notes_of = _notes_of(importlib.import_module("litellm.litellm_core_utils.litellm_logging"))
    return _Library(litellm, openai, notes_of, _ask_by(litellm, notes_of))


def _notes_of(module: Any) -> _NotesOf:
    """Return what gives a call its notes: those of the library, without the price and the callbacks.

    To work out what a model without a price costs, for nobody to hear, takes two fifths of a call's processor time, and
    no setting turns it off. A release in which notes are made differently makes its own.
    """

    class Notes(module.Logging):  # type: ignore[misc]
        def _response_cost_calculator(self, *_: object, **__: object) -> None:
            return None

        def claim_async_success_log(self) -> bool:
            return False

        def handle_sync_success_callbacks_for_async_calls(self, *_: object, **__: object) -> None:
            return None

    def notes_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
        notes = Notes(
            model=arguments["model"],
            messages=arguments["messages"],
            stream=False,
            call_type="acompletion",
            start_time=datetime.now(),  # naive, like the library's own
            litellm_call_id=str(uuid4()),
            function_id="",
            kwargs={},
        )
        return {"litellm_logging_obj": notes}

    try:
        notes_of({"model": "", "messages": []})
    except TypeError:
        return lambda _: {}
    return notes_of


def _ask_by(litellm: Any, notes_of: _NotesOf) -> _Ask:
    """Return what makes a call: the library's own two halves, without the thread and the rounds between them.

    `acompletion` has each request prepared in a thread by `completion`, which gives back what sends it. The thread
    costs more than the preparing, which takes half a millisecond. A release in which this is different is asked by
    `acompletion`; should it send a request at once, that goes to a port of this machine where nobody listens.
    """

    async def ask(**arguments: Any) -> Any:
        try:
            return await litellm.completion(**arguments, acompletion=True)
        except Exception as error:
            told = litellm.exception_type(arguments["model"], error, _PROVIDER)
            if told is error:
                raise
            raise told from error

    trial = {"model": f"{_PROVIDER}/trial", "messages": [], "api_base": _NOBODY, "api_key": "-", "max_retries": 0}
    try:
        prepared = litellm.completion(**trial, **notes_of(trial), acompletion=True)
    except Exception:  # noqa: BLE001 - whatever it is that such a release raises
        return cast(_Ask, litellm.acompletion)
    if not inspect.iscoroutine(prepared):
        return cast(_Ask, litellm.acompletion)
    prepared.close()
    return ask


def _import_without_collector(*names: str) -> list[Any]:
    # Thousands of modules are created and none is garbage: the collector costs a fifth of the time for nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        modules = [importlib.import_module(name) for name in names]
        # Nor will it be: otherwise each full collection walks through all of it, and no call moves for 0.1 s.
        gc.freeze()
        return modules
    finally:
        if collecting:
            gc.enable()


def _tool_arguments(request: ModelRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    return {"tools": list(request.tools), "tool_choice": request.tool_choice or "auto"}


def _schema_arguments(request: ModelRequest) -> dict[str, Any]:
    if request.schema is None:
        return {}
    schema = {"name": request.schema_name or "answer", "strict": True, "schema": request.schema}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _tool_call(call: Any) -> ToolCall:
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(id=call.id or "", name=call.function.name or "", arguments=text)


def _usage(usage: Any) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        prompt_tokens=getattr(usage, "prompt_tokens", None) or 0,
        completion_tokens=getattr(usage, "completion_tokens", None) or 0,
        cached_tokens=getattr(details, "cached_tokens", None) or 0,
    )


def _mended(reply: ModelReply, request: ModelRequest) -> ModelReply:
    """Undo what LM Studio is known to do to replies: calls left in the text, JSON put into the reasoning."""
    if request.tools and reply.text and not reply.tool_calls:
        found = salvage(reply.text, request.tools)
        if found.calls:
            log.info("tool_calls.salvaged", count=len(found.calls), model=reply.model)
            return dataclasses.replace(reply, text=found.text, tool_calls=found.calls, finish_reason="tool_calls")
    if request.schema is not None and not reply.text.strip() and reply.reasoning.lstrip().startswith(("{", "[")):
        log.info("answer.salvaged", model=reply.model)
        return dataclasses.replace(reply, text=reply.reasoning, reasoning="")
    return reply


def _failure(error: Exception, heard: _Heard) -> Failure:
    """Find what the server said under the layers of the two libraries, which drop most of it."""
    for layer in _layers(error):
        response: Any = getattr(layer, "response", None)
        if response is not None and response.text:
            wait = response.headers.get("retry-after", "")
            return Failure(Break.ANSWERED, text=response.text, status=response.status_code, retry_after=wait)
    if heard.error:
        return Failure(Break.ANSWERED, text=heard.error, status=200)
    if heard.is_no_json:
        return Failure(Break.ANSWERED, text="an invalid response from LLM endpoint: it is no JSON")
    names = {kind.__name__ for layer in _layers(error) for kind in type(layer).__mro__}
    if names & {"APITimeoutError", "Timeout", "TimeoutException"}:
        return Failure(Break.TIMED_OUT)
    if names & {"APIConnectionError", "TransportError"}:
        return Failure(Break.UNREACHABLE)
    status = getattr(error, "status_code", None)
    return Failure(Break.ANSWERED, text=_own_words(str(error)), status=status if isinstance(status, int) else None)


def _layers(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _own_words(text: str) -> str:
    return text.rpartition("Lm_studioException - ")[2]
