"""The contract between the installed litellm and our adapter, over real HTTP to a stub on this machine."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from wire_stub import WireStub, completion, hangs, hangs_up, says, wire_stub

from pipeline.errors import (
    ConfigError,
    ContextOverflow,
    HostFault,
    ModelError,
    ModelSetupFault,
    OutputFault,
    RequestRefused,
)
from pipeline.llm.hosts import HostedModel, HostSettings, HostStatus, host_from
from pipeline.llm.lm_studio import EndpointSettings, LMStudioModel, _ask_by, _notes_of
from pipeline.llm.protocol import ModelRequest, ToolCall, Usage
from pipeline.llm.standin import Fault, FaultRule, StandInServer, StandInSettings

CHAT = "/v1/chat/completions"
TOOL = {
    "type": "function",
    "function": {
        "name": "store_invoice",
        "description": "Store it.",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
    },
}
QUESTION = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "a secret document"})
PLAIN = ModelRequest(messages=QUESTION, max_tokens=9)
WITH_TOOLS = ModelRequest(messages=QUESTION, tools=(TOOL,), tool_choice="required", max_tokens=9)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
WITH_SCHEMA = ModelRequest(messages=QUESTION, schema=SCHEMA, schema_name="thing", max_tokens=9)


@asynccontextmanager
async def connected(base_url: str, **settings: object) -> AsyncIterator[LMStudioModel]:
    model = LMStudioModel(EndpointSettings.model_validate({"base_url": base_url, "model": "asked", **settings}))
    try:
        yield model
    finally:
        await model.aclose()


@asynccontextmanager
async def stub_and_model(**settings: object) -> AsyncIterator[tuple[WireStub, LMStudioModel]]:
    async with wire_stub() as stub, connected(stub.url, **settings) as model:
        yield stub, model


async def test_a_tool_call_goes_there_and_back() -> None:
    """A tool call over HTTP works with the installed litellm, which not every release manages."""
    call = {"id": "365174485", "type": "function", "function": {"name": "store_invoice", "arguments": '{"number":"7"}'}}
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"content": None, "tool_calls": [call]}, finish_reason="tool_calls"))
        reply = await model.complete(WITH_TOOLS)

    assert reply.tool_calls == (ToolCall("365174485", "store_invoice", '{"number":"7"}'),)
    assert (reply.finish_reason, reply.text, reply.model) == ("tool_calls", "", "loaded-model")
    assert reply.usage == Usage(prompt_tokens=30, completion_tokens=7, cached_tokens=20)
    assert stub.seen[0]["body"] == {
        "model": "asked",
        "messages": list(QUESTION),
        "tools": [TOOL],
        "tool_choice": "required",
        "max_tokens": 9,
        "temperature": 0.0,
    }


async def test_a_schema_is_sent_as_strict_json_schema_without_tools() -> None:
    """A request with a schema asks for `json_schema`, the only form LM Studio takes."""
    async with stub_and_model(reasoning_off=True, api_key="a-token") as (stub, model):
        stub.on(CHAT, completion({"content": '{"a": 1}', "tool_calls": []}))
        reply = await model.complete(WITH_SCHEMA)

    body = stub.seen[0]["body"]
    assert reply.text == '{"a": 1}'
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "thing", "strict": True, "schema": SCHEMA},
    }
    assert body["reasoning_effort"] == "none"
    assert "tools" not in body
    assert stub.seen[0]["headers"]["Authorization"] == "Bearer a-token"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_arguments_that_come_as_an_object_become_json_text() -> None:
    """Arguments as an object and an empty id, both seen in the field, are taken as they are meant."""
    call = {"id": "", "type": "function", "function": {"name": "store_invoice", "arguments": {"number": "7"}}}
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"tool_calls": [call]}, finish_reason="tool_calls"))
        reply = await model.complete(WITH_TOOLS)

    assert [(call.id, json.loads(call.arguments)) for call in reply.tool_calls] == [("", {"number": "7"})]


async def test_a_call_left_in_the_text_is_salvaged() -> None:
    """A tool call that the server did not recognise is read from the text."""
    text = 'Now. [TOOL_REQUEST]{"name": "store_invoice", "arguments": {"number": "7"}}[END_TOOL_REQUEST]'
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"content": text}))
        with_tools, without = await model.complete(WITH_TOOLS), await model.complete(PLAIN)

    assert with_tools.tool_calls == (ToolCall("", "store_invoice", '{"number": "7"}'),)
    assert (with_tools.text, with_tools.finish_reason) == ("Now.", "tool_calls")
    assert (without.text, without.tool_calls) == (text, ())


async def test_json_put_into_the_reasoning_is_the_answer() -> None:
    """JSON that reasoning models leave in `reasoning_content` is taken as the answer to a schema, else left there."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"content": "", "reasoning_content": '{"a": 1}'}))
        asked, plain = await model.complete(WITH_SCHEMA), await model.complete(PLAIN)

    assert (asked.text, asked.reasoning) == ('{"a": 1}', "")
    assert (plain.text, plain.reasoning) == ("", '{"a": 1}')


async def test_missing_usage_counts_as_nothing() -> None:
    """A reply without usage and cut off by the limit is a reply."""
    async with stub_and_model() as (stub, model):
        choice = {"index": 0, "message": {"role": "assistant", "content": "cut"}, "finish_reason": "length"}
        stub.on(CHAT, says({"object": "chat.completion", "model": "m", "choices": [choice], "usage": None}))
        reply = await model.complete(PLAIN)

    assert (reply.text, reply.finish_reason, reply.usage) == ("cut", "length", Usage())


OVERFLOW = (
    "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length"
    " of only 4096 tokens"
)
LLAMA_OVERFLOW = {"type": "exceed_context_size_error", "message": "too large", "n_prompt_tokens": 9000, "n_ctx": 4096}
NOT_FOUND = {"message": 'Model "x" not found. Please specify a valid model.', "code": "model_not_found"}
NO_KEY = {"type": "invalid_request", "code": "invalid_api_key", "message": "An LM Studio API token is required"}


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (says({"error": "No models loaded. Please load a model"}, status=400), HostFault, "No models loaded"),
        (says({"error": {"message": "The model has crashed (Exit code: 6)"}}, status=400), HostFault, "crashed"),
        (says({"error": {"message": "Compute error."}}), HostFault, "Compute error"),
        (says({"error": "Compute error."}), HostFault, "says: Compute error."),
        (says({"error": "Context size has been exceeded."}), ContextOverflow, "exceeded"),
        (says({"error": "busy"}, status=429, headers={"Retry-After": "7"}), HostFault, "HTTP 429: busy"),
        (says({"error": {"message": "Loading model"}}, status=503), HostFault, "Loading model"),
        (says({"error": {"message": "whatever"}}, status=500), HostFault, "HTTP 500: whatever"),
        (says("<html>bad gateway</html>", status=502), HostFault, "HTTP 502"),
        (says("<html>a start page</html>"), HostFault, "invalid response"),
        (says({}), HostFault, "choices"),
        (hangs_up, HostFault, "does not answer"),
        (says({"error": OVERFLOW}, status=400), ContextOverflow, "4096"),
        (says({"error": LLAMA_OVERFLOW}, status=400), ContextOverflow, "too large"),
        (says({"error": NOT_FOUND}, status=404), ModelSetupFault, "not found"),
        (says({"error": NO_KEY}, status=401), ModelSetupFault, "API token is required"),
        (says({"error": "Model does not support images."}, status=400), RequestRefused, "images"),
        (says({"object": "chat.completion", "model": "m", "choices": []}), OutputFault, "without a reply"),
    ],
)
async def test_every_fault_is_translated_and_no_request_is_repeated(
    answer: object, expected: type[ModelError], words: str
) -> None:
    """Each shape of failure becomes the one error of ours that fits, after exactly one request."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, answer)  # type: ignore[arg-type]
        with pytest.raises(ModelError) as caught:
            await model.complete(WITH_TOOLS)

    assert type(caught.value) is expected
    assert words in caught.value.message
    assert stub.count(CHAT) == 1


async def test_the_time_a_server_asks_for_reaches_the_error() -> None:
    """A `Retry-After` header is handed on, though litellm drops it."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, says({"error": "busy"}, status=429, headers={"Retry-After": "7"}))
        with pytest.raises(HostFault) as caught:
            await model.complete(PLAIN)

    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("body", [OVERFLOW, LLAMA_OVERFLOW])
async def test_an_overflow_keeps_the_numbers_of_the_server(body: object) -> None:
    """The sizes that a server names reach the error, though litellm drops them."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, says({"error": body}, status=400))
        with pytest.raises(ContextOverflow) as caught:
            await model.complete(PLAIN)

    assert (caught.value.prompt_tokens, caught.value.context_tokens) == (9000, 4096)


async def test_a_refused_connection_is_a_host_fault() -> None:
    """Where nothing listens the host is away, and the message says where and what to do."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        async with connected(address) as model:
            with pytest.raises(HostFault, match=f"{address} does not answer") as caught:
                await model.complete(PLAIN)

    assert "lms server start" in caught.value.hint


async def test_a_connection_that_is_reset_is_a_host_fault_after_at_most_one_more_try() -> None:
    """The library's own repetition, which cannot be switched off, stays the only one."""
    requests = 0

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.read(65536)
        requests += 1
        # Closing at once, without waiting, is what the other side sees as a reset.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server, connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as model:
        with pytest.raises(HostFault, match="does not answer"):
            await model.complete(PLAIN)
    assert 1 <= requests <= 2


async def test_a_timeout_is_a_host_fault_after_one_request() -> None:
    """A server that never answers is given up once, not three times, and sees the connection close."""
    async with stub_and_model(timeout_seconds=0.2) as (stub, model):
        stub.on(CHAT, hangs)
        with pytest.raises(HostFault, match="in time"):
            await model.complete(PLAIN)
        with anyio.fail_after(2):
            await stub.abandoned.wait()

    assert stub.count(CHAT) == 1


async def test_cancellation_passes_through_and_closes_the_connection() -> None:
    """A cancelled call ends at once, the server notices, and the next call works."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, hangs, completion({"content": "there"}))
        with anyio.move_on_after(0.2) as deadline:
            await model.complete(PLAIN)
        assert deadline.cancelled_caught
        with anyio.fail_after(2):
            await stub.abandoned.wait()
        assert (await model.complete(PLAIN)).text == "there"

    assert stub.count(CHAT) == 2


async def test_variables_of_other_services_and_proxies_divert_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an address of a public service nor a proxy in the environment changes where documents go."""
    async with wire_stub() as elsewhere:
        elsewhere.on(CHAT, completion({"content": "stolen"}))
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "LM_STUDIO_API_BASE"):
            monkeypatch.setenv(name, elsewhere.url)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url.removesuffix("/v1"))
        async with stub_and_model() as (stub, model):
            stub.on(CHAT, completion({"content": "home"}))
            assert (await model.complete(WITH_TOOLS)).text == "home"

    assert elsewhere.seen == []


@pytest.mark.parametrize("address", ["", "https://api.example.com/v1"])
def test_no_model_is_made_for_an_empty_or_public_address(address: str) -> None:
    """Without a private address there is no model, so the library's fallback can never be reached."""
    with pytest.raises(ConfigError):
        LMStudioModel(EndpointSettings(base_url=address, model="m"))


async def test_the_library_prints_and_logs_nothing(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A failing and a succeeding call leave no line on the screen and none in the log below an error."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, says({"error": "whatever"}, status=500), completion({"content": "fine"}))
        with pytest.raises(HostFault):
            await model.complete(PLAIN)
        await model.complete(PLAIN)

    assert logging.getLogger("LiteLLM").handlers == []
    printed = capsys.readouterr()
    assert "litellm" not in (printed.out + printed.err).lower()
    assert "secret document" not in caplog.text
    assert caplog.records == []


async def test_no_price_is_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here costs money, and the library's search for a price would take two fifths of a call's time."""
    priced: list[object] = []
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"content": "Yes."}), completion({"content": "Yes."}))
        await model.complete(PLAIN)
        litellm = importlib.import_module("litellm")
        monkeypatch.setattr(litellm, "response_cost_calculator", lambda **asked: priced.append(asked))
        assert (await model.complete(PLAIN)).text == "Yes."
    assert priced == []


def test_a_release_that_makes_its_notes_differently_makes_its_own() -> None:
    """Then a call costs more, and nothing breaks."""

    class Logging:
        def __init__(self, call: str) -> None:
            raise AssertionError(call)

    assert _notes_of(SimpleNamespace(Logging=Logging))({"model": "m", "messages": []}) == {}


def _raises(**_: object) -> None:
    raise ValueError("no such argument")


def _answers(**_: object) -> dict[str, str]:
    return {"sent": "at once"}


@pytest.mark.parametrize("completion", [_raises, _answers])
def test_a_release_that_prepares_requests_differently_is_asked_as_a_whole(completion: object) -> None:
    """Then a call costs a thread more, and nothing breaks."""
    litellm = SimpleNamespace(completion=completion, acompletion=object())
    assert _ask_by(litellm, lambda _: {}) is litellm.acompletion


class _Pool(ThreadPoolExecutor):
    handed_over = 0

    def submit(self, *work: Any, **arguments: Any) -> Any:
        self.handed_over += 1
        return super().submit(*work, **arguments)


async def test_a_call_is_prepared_where_it_is_sent() -> None:
    """No thread of the loop's pool takes part in a call: to wake one costs more than the preparing."""
    asyncio.get_running_loop().set_default_executor(pool := _Pool())
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"content": "Yes."}))
        assert (await model.complete(PLAIN)).text == "Yes."
    assert pool.handed_over == 0


async def test_a_closed_model_can_be_used_again() -> None:
    """Closing leaves no dead connection behind for the next call."""
    async with stub_and_model() as (stub, model):
        stub.on(CHAT, completion({"content": "fine"}))
        await model.complete(PLAIN)
        await model.aclose()
        assert (await model.complete(PLAIN)).text == "fine"


async def test_tools_and_schema_together_are_refused() -> None:
    """One request never has both, because the engine would then call no tool."""
    async with connected("http://localhost:1234") as model:
        with pytest.raises(ValueError, match="not both"):
            await model.complete(ModelRequest(messages=QUESTION, tools=(TOOL,), schema=SCHEMA))


async def test_the_whole_way_over_http() -> None:
    """A host from settings finds the model, warms it up, answers and closes."""
    entry = {
        "type": "llm",
        "key": "maker/small",
        "loaded_instances": [{"id": "invoices", "config": {"context_length": 8192, "parallel": 3}}],
        "capabilities": {"reasoning": {"allowed_options": ["off", "on"]}},
    }
    async with wire_stub() as stub:
        stub.on("/api/v1/models", says({"models": [entry]}))
        stub.on("/v1/chat/completions", completion({"content": "fine"}, model="invoices"))
        host = host_from(HostSettings(base_url=stub.url))
        try:
            reply = await host.complete(PLAIN)
        finally:
            await host.aclose()

    assert reply.text == "fine"
    assert (host.state.model, host.state.slots, host.state.context_tokens) == ("invoices", 3, 8192)
    assert [seen["path"] for seen in stub.seen] == ["/api/v1/models", *["/v1/chat/completions"] * 2]
    assert [seen["body"]["max_tokens"] for seen in stub.seen[1:]] == [1, 9]
    assert stub.seen[1]["body"]["reasoning_effort"] == "none"


@asynccontextmanager
async def stand_in_and_host(**settings: object) -> AsyncIterator[tuple[StandInServer, HostedModel]]:
    async with StandInServer(StandInSettings.model_validate(settings)) as server:
        host = host_from(HostSettings(base_url=server.base_url, probe_interval_seconds=0.01))
        try:
            yield server, host
        finally:
            await host.aclose()


async def test_an_outage_in_the_middle_fails_no_call() -> None:
    """Calls that run or start while the server is switched off are answered when it is on again."""
    replies = []
    async with stand_in_and_host(delay_seconds=0.05) as (server, host):
        await host.ready()

        async def ask() -> None:
            replies.append(await host.complete(WITH_TOOLS))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as calls:
                for _ in range(6):
                    calls.start_soon(ask)
                while host.state.in_flight < 4:
                    await anyio.lowlevel.checkpoint()
                await server.pause()
                while host.state.status is not HostStatus.DOWN:
                    await anyio.lowlevel.checkpoint()
                assert replies == []
                await server.resume()

    assert len(replies) == 6
    assert host.state.status is HostStatus.UP


@pytest.mark.parametrize(
    "fault",
    [
        Fault.CRASHED,
        Fault.MODEL_UNLOADED,
        Fault.NO_MODELS_TEXT,
        Fault.LOADING,
        Fault.RATE_LIMITED,
        Fault.ERROR_TEXT_200,
        Fault.HTML_200,
        Fault.BAD_JSON_200,
        Fault.DISCONNECT_MIDWAY,
        Fault.OVERFLOW_SIZE_EXCEEDED,
    ],
)
async def test_a_passing_fault_of_the_host_costs_the_call_nothing(fault: Fault) -> None:
    """A call that meets a fault once is answered all the same."""
    async with stand_in_and_host() as (server, host):
        await host.ready()
        server.faults.add(FaultRule(fault=fault))
        with anyio.fail_after(5):
            reply = await host.complete(WITH_TOOLS)

    assert reply.tool_calls
