"""The stand-in server over real HTTP on the loopback address."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from pipeline.llm.protocol import digest
from pipeline.llm.standin import CallKind, Fault, FaultRule, StandInServer, StandInSettings

INVOICE = """Seaside Bakery Ltd                              INVOICE
Invoice No: SB-2041          Invoice Date: 2025-03-04
Description        Qty     Unit price      Amount
Rye bread          2       3.50            7.00
Subtotal                                   7.00
VAT                                        1.40
Total                                      EUR 8.40
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "invoice_number": {"type": ["string", "null"]},
        "total_amount": {"type": ["string", "null"]},
        "po_number": {"type": ["string", "null"]},
    },
    "required": ["invoice_number", "total_amount", "po_number"],
    "additionalProperties": False,
}
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}


def tool(name: str, parameters: dict[str, Any] = EMPTY) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


TOOLS = [tool("extract_invoice_data"), tool("store_invoice"), tool("terminate", MESSAGE)]


def messages(text: str = INVOICE) -> list[dict[str, Any]]:
    document = f'<document id="3f9a">\n{text}\n</document id="3f9a">\n'
    return [{"role": "system", "content": "You read invoices."}, {"role": "user", "content": document}]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "any-name", "messages": messages(), "max_tokens": 500, **fields}


def schema_body(**fields: Any) -> dict[str, Any]:
    wanted = {"type": "json_schema", "json_schema": {"name": "invoice", "strict": True, "schema": SCHEMA}}
    return body(response_format=wanted, **fields)


class Client:
    """Talk to a stand-in."""

    def __init__(self, server: StandInServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def get(self, path: str) -> Any:
        async with self.session.get(self.server.origin + path) as response:
            return await response.json()

    async def post(self, path: str, payload: object) -> tuple[int, Any]:
        async with self.session.post(self.server.origin + path, json=payload) as response:
            return response.status, await response.json()

    async def chat(self, payload: object) -> tuple[int, Any]:
        return await self.post("/v1/chat/completions", payload)

    async def reply(self, payload: object) -> dict[str, Any]:
        status, answered = await self.chat(payload)
        assert status == 200, answered
        choice: dict[str, Any] = answered["choices"][0]
        return {**choice["message"], "finish_reason": choice["finish_reason"]}

    async def events(self, payload: object) -> list[str]:
        async with self.session.post(self.server.origin + "/v1/chat/completions", json=payload) as response:
            assert response.content_type == "text/event-stream"
            return [part.strip() for part in (await response.text()).split("\n\n") if part.strip()]


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Client]:
    async with StandInServer(StandInSettings(**settings)) as server, aiohttp.ClientSession() as session:
        yield Client(server, session)


async def test_says_what_it_is() -> None:
    """Model ids, replies and headers name the stand-in, while the greeting is LM Studio's."""
    async with serving() as client:
        listed = await client.get("/v1/models")
        _, answered = await client.chat(body())
        async with client.session.get(client.server.origin + "/lmstudio-greeting") as response:
            assert response.headers["X-Stand-In"] == "true"
            assert await response.json() == {"lmstudio": True}
        assert listed["data"][0]["id"] == answered["model"] == "stand-in/rules"
        assert "created" not in listed["data"][0]


async def test_lists_what_is_loaded() -> None:
    """Both native lists give context and slots of the loaded model, and neither once it is unloaded."""
    async with serving(context_tokens=8192, slots=3) as client:
        (native,) = (await client.get("/api/v1/models"))["models"]
        (older,) = (await client.get("/api/v0/models"))["data"]
        assert native["loaded_instances"][0]["config"] == {"context_length": 8192, "parallel": 3}
        assert (older["state"], older["loaded_context_length"]) == ("loaded", 8192)
        await client.post("/stand-in/host", {"loaded": False})
        (native,) = (await client.get("/api/v1/models"))["models"]
        (older,) = (await client.get("/api/v0/models"))["data"]
        assert native["loaded_instances"] == []
        assert older["state"] == "not-loaded"
        assert "loaded_context_length" not in older
        status, refused = await client.chat(body())
        assert (status, refused["error"][:16]) == (400, "No models loaded")


async def test_unknown_paths_look_fine() -> None:
    """A wrong address is answered with status 200 and an error text, as LM Studio does."""
    async with serving() as client:
        status, answered = await client.post("/v2/chat", {})
        assert status == 200
        assert "Unexpected endpoint or method" in answered["error"]
        status, _ = await client.post("//v1/chat/completions", {})
        assert status == 400


async def test_asks_for_its_key() -> None:
    """With a key set, a request without it gets 401 and LM Studio's code."""
    async with serving(api_key="lm-1") as client:
        status, refused = await client.chat(body())
        assert (status, refused["error"]["code"]) == (401, "invalid_api_key")
        client.session.headers["Authorization"] = "Bearer lm-1"
        assert (await client.chat(body()))[0] == 200


async def test_one_model_answers_to_any_name() -> None:
    """A single model answers to any name; of several, only a known name is answered."""
    async with serving(models=("a", "b")) as client:
        status, refused = await client.chat(body(model="c"))
        assert (status, refused["error"]["code"]) == (404, "model_not_found")
        _, answered = await client.chat(body(model="b"))
        assert answered["model"] == "b"


async def test_fills_the_schema_from_the_document() -> None:
    """A schema is filled with values as printed, and null where the document has none."""
    async with serving() as client:
        reply = await client.reply(schema_body(tools=TOOLS))
        assert json.loads(reply["content"]) == {
            "invoice_number": "SB-2041",
            "total_amount": "8.40",
            "po_number": None,
        }
        assert (reply["tool_calls"], reply["finish_reason"]) == ([], "stop")


async def test_plays_the_whole_session() -> None:
    """The stand-in extracts, stores and terminates, one call after the other."""
    async with serving() as client:
        history = messages()
        seen = []
        for _ in range(3):
            reply = await client.reply(body(messages=history, tools=TOOLS))
            (call,) = reply["tool_calls"]
            seen.append(call["function"]["name"])
            assert reply["finish_reason"] == "tool_calls"
            assert call["id"].isdigit()
            history.append({"role": "assistant", "tool_calls": reply["tool_calls"]})
            history.append({"role": "tool", "tool_call_id": call["id"], "content": '{"ok": true}'})
        assert seen == ["extract_invoice_data", "store_invoice", "terminate"]
        assert client.server.stats.by_kind == {CallKind.PLAN: 1, CallKind.STORE: 1, CallKind.FINISH: 1}


async def test_streams_in_chunks() -> None:
    """A streamed call gives role, name, fragments of the arguments, the finish and the usage, then [DONE]."""
    async with serving() as client:
        history = [*messages(), {"role": "user", "content": "go on"}]
        asked = body(messages=history, tools=[TOOLS[2]], stream=True, stream_options={"include_usage": True})
        *chunks, done = await client.events(asked)
        parsed = [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]
        deltas = [chunk["choices"][0]["delta"] for chunk in parsed if chunk["choices"]]
        calls = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
        assert calls[0] == {"name": "terminate", "arguments": ""}
        assert "message" in json.loads("".join(call["arguments"] for call in calls))
        assert parsed[-2]["choices"][0]["finish_reason"] == "tool_calls"
        assert parsed[-1]["usage"]["completion_tokens"] > 0
        assert done == "data: [DONE]"


async def test_stops_at_max_tokens() -> None:
    """An answer longer than max_tokens is cut off with the finish reason `length`."""
    async with serving() as client:
        reply = await client.reply(schema_body(max_tokens=5))
        assert reply["finish_reason"] == "length"
        assert reply["content"] == '{"invoice_number": "'
        reply = await client.reply(body(tools=[TOOLS[2]], max_tokens=8))
        assert reply["finish_reason"] == "length"
        assert len(reply["tool_calls"][0]["function"]["arguments"]) == 8 * 4 - len("terminate")


async def test_counts_what_the_prefix_cache_saves() -> None:
    """The second request of a conversation reports the shared beginning of its prompt as cached."""
    async with serving(slots=1) as client:
        _, first = await client.chat(body())
        _, second = await client.chat(body(messages=[*messages(), {"role": "user", "content": "And now?"}]))
        assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == pytest.approx(
            first["usage"]["prompt_tokens"], abs=1
        )


async def test_works_no_more_than_its_slots() -> None:
    """Of many requests at once, only as many are at work as there are slots, and all are answered."""
    async with serving(slots=2, delay_seconds=0.02) as client, anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(client.reply, body())
    stats = client.server.stats
    assert (stats.max_in_flight, stats.completed, stats.in_flight) == (2, 6, 0)
    assert {busy.slot for busy in stats.busy} == {0, 1}
    assert stats.busy_slot_seconds >= 6 * 0.02


async def test_frees_the_slot_of_a_client_that_left() -> None:
    """A client that goes away frees its slot at once."""
    async with serving(slots=1, delay_seconds=60) as client:
        with anyio.move_on_after(0.05):
            await client.chat(body())
        with anyio.fail_after(5):
            await client.server.wait_until(lambda stats: stats.cancelled == 1)
        assert client.server.stats.in_flight == 0


async def test_works_on_for_a_client_that_left() -> None:
    """Where disconnects do not cancel, the work goes on to its end although nobody waits for it."""
    async with serving(slots=1, delay_seconds=0.2, cancel_on_disconnect=False) as client:
        with anyio.move_on_after(0.05):
            await client.chat(body())
        with anyio.fail_after(5):
            await client.server.wait_until(lambda stats: len(stats.busy) == 1)
        (busy,) = client.server.stats.busy
        assert busy.end_seconds - busy.start_seconds >= 0.2


async def test_refuses_a_prompt_over_the_context() -> None:
    """A prompt longer than the context is refused in one of LM Studio's texts, streamed as an event with status 200."""
    async with serving(context_tokens=256) as client:
        long = body(messages=messages("word " * 400))
        status, refused = await client.chat(long)
        assert status == 400
        assert "greater than the context length (n_keep: " in refused["error"]
        (event,) = await client.events({**long, "stream": True})
        assert event.startswith("event: error")
        assert "Input does not fit in context length" in event


async def test_shared_context_kills_all() -> None:
    """When the requests at work need more than the shared context, every one of them fails."""
    async with serving(context_tokens=600, shared_context=True, delay_seconds=30) as client:
        statuses: list[int] = []

        async def ask() -> None:
            status, refused = await client.chat(body(max_tokens=250))
            assert refused["error"] == "Context size has been exceeded."
            statuses.append(status)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                tasks.start_soon(ask)
        assert statuses == [400, 400]


async def test_goes_away_and_comes_back() -> None:
    """A paused host refuses connections and drops those it has; afterwards it answers at the same address."""
    async with serving(delay_seconds=30) as client:
        base_url = client.server.base_url
        async with anyio.create_task_group() as tasks:

            async def cut_off() -> None:
                with pytest.raises(aiohttp.ClientError):
                    await client.chat(body())

            tasks.start_soon(cut_off)
            await client.server.wait_until(lambda stats: stats.in_flight == 1)
            await client.server.pause()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("/v1/models")
        await client.server.resume()
        assert client.server.base_url == base_url
        assert (await client.get("/v1/models"))["data"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"response_format": {"type": "json_object"}}, "'response_format.type' must be 'json_schema' or 'text'"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "Invalid tool_choice type: 'object'"),
        ({"messages": []}, "Invalid 'messages' in payload"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "Invalid 'messages' in payload"),
        ({"tools": [{"name": "x"}]}, "Invalid 'tools' in payload"),
    ],
)
async def test_refuses_what_lm_studio_refuses(change: dict[str, Any], text: str) -> None:
    """A request LM Studio would refuse is refused with 400 and its text."""
    async with serving() as client:
        status, refused = await client.chat(body(**change))
        assert status == 400
        assert refused["error"].startswith(text)


async def test_takes_faults_over_http() -> None:
    """Another process can script faults, see them and the statistics, and clear them."""
    async with serving() as client:
        rule = {"fault": "crashed", "kind": "extraction", "marker": "SB-2041"}
        status, shown = await client.post("/stand-in/faults", {"rules": [rule]})
        assert (status, shown["rules"][0]["fault"]) == (200, "crashed")
        assert (await client.chat(body()))[0] == 200
        status, refused = await client.chat(schema_body())
        assert (status, "has crashed" in refused["error"]) == (400, True)
        assert (await client.chat(schema_body()))[0] == 200
        assert (await client.get("/stand-in/stats"))["faults"] == {"crashed": 1}
        assert (await client.post("/stand-in/faults", {"clear": True}))[1]["rules"] == []
        assert (await client.post("/stand-in/faults", {"rules": [{"fault": "no such"}]}))[0] == 400


async def test_logs_digests_and_no_text() -> None:
    """The log of requests has the digests a model request has, the kind and the fault, and no document text."""
    async with serving(faults=(FaultRule(fault=Fault.EMPTY),)) as client:
        await client.chat(schema_body())
        (entry,) = (await client.get("/stand-in/log"))["requests"]
        assert entry["message_digests"] == [digest(message) for message in messages()]
        assert entry["schema_digest"] == digest(SCHEMA)
        assert (entry["kind"], entry["fault"], entry["status"]) == ("extraction", "empty", 200)
        assert "Bakery" not in json.dumps(entry)
