"""Every fault the stand-in can play, as a client meets it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from test_standin_server import TOOLS, Client, body, schema_body, serving

from pipeline.llm.standin import CallKind, Fault, FaultPlan, FaultRule
from pipeline.llm.standin.fault_replies import Sizes, error_reply
from pipeline.llm.standin.reshaping import reshape
from pipeline.llm.standin.wire import Answer, Call

CALL = Answer(calls=(Call("store_invoice", {"note": "it's"}, "123456789"),))
JSON = Answer(text='{"total_amount": "8.40", "line_items": [{"total": "1.00"}]}')
SIZES = Sizes(model="m", prompt_tokens=9000, context_tokens=4096)
CONNECTION = {Fault.DISCONNECT_BEFORE, Fault.DISCONNECT_MIDWAY, Fault.HANG}

ERRORS = [
    (Fault.OVERFLOW_KEEP_FIRST, 400, "Trying to keep the first 9000 tokens when context the overflows"),
    (Fault.OVERFLOW_TOKENS_TO_KEEP, 400, "(n_keep: 9000>= n_ctx: 4096)"),
    (Fault.OVERFLOW_NOT_FIT, 400, "Input does not fit in context length. The input has 9000 tokens"),
    (Fault.OVERFLOW_SIZE_EXCEEDED, 400, "Context size has been exceeded."),
    (Fault.OVERFLOW_SIZE_EXCEEDED_200, 200, "Context size has been exceeded."),
    (Fault.OVERFLOW_SIZE_EXCEEDED_500, 500, "Context size has been exceeded."),
    (Fault.OVERFLOW_ENGINE, 400, '"n_ctx": 4096'),
    (Fault.CRASHED, 400, "The model has crashed without additional information. (Exit code: "),
    (Fault.MODEL_UNLOADED, 400, "Model unloaded."),
    (Fault.MODEL_IS_UNLOADED, 400, "Model is unloaded."),
    (Fault.CHANNEL_ERROR, 400, "Channel Error"),
    (Fault.LOAD_FAILED, 400, "Failed to load model"),
    (Fault.LOAD_FAILED_RESOURCES, 400, "insufficient system resources"),
    (Fault.NO_MODELS_TEXT, 400, '{"error": "No models loaded.'),
    (Fault.NO_MODELS_OBJECT, 400, '{"error": {"message": "No models loaded.'),
    (Fault.LOADING, 503, "Loading model"),
    (Fault.SERVER_ERROR, 500, "Internal server error"),
    (Fault.RATE_LIMITED, 429, "Too many requests"),
    (Fault.COMPUTE_ERROR, 200, "Compute error."),
    (Fault.UNAUTHORIZED, 401, "invalid_api_key"),
    (Fault.MODEL_NOT_FOUND_404, 404, "model_not_found"),
    (Fault.MODEL_NOT_FOUND_400, 400, "Invalid model identifier"),
    (Fault.TEMPLATE, 400, "Error rendering prompt with jinja template"),
    (Fault.INVALID_MESSAGES, 400, "Invalid 'messages' in payload"),
    (Fault.SCRIPT_ERROR, 400, "_0x48eeaf is not iterable"),
    (Fault.GRAMMAR, 400, "failed to parse grammar"),
    (Fault.ERROR_TEXT_200, 200, '{"error": "'),
    (Fault.ERROR_OBJECT_200, 200, '{"error": {'),
    (Fault.HTML_200, 200, "<!DOCTYPE html>"),
    (Fault.BAD_JSON_200, 200, '"choices": [{'),
    (Fault.EMPTY_CHOICES, 200, '"choices": []'),
    (Fault.UNKNOWN_ENDPOINT_200, 200, "Unexpected endpoint or method"),
]

LEAKS = [
    (
        Fault.LEAK_TOOL_REQUEST,
        '[TOOL_REQUEST]{"name": "store_invoice", "arguments": {"note": "it\'s"}}[END_TOOL_REQUEST]',
    ),
    (Fault.LEAK_TOOL_CALL_JSON, '<tool_call>\n{"name": "store_invoice", "arguments": {"note": "it\'s"}}\n</tool_call>'),
    (
        Fault.LEAK_FUNCTION_TAGS,
        "<tool_call>\n<function=store_invoice>\n<parameter=note>\nit's\n</parameter>\n</function>\n</tool_call>",
    ),
    (Fault.LEAK_PYTHON_CALL, '<|tool_call_start|>[store_invoice(note="it\'s")]<|tool_call_end|>'),
    (Fault.LEAK_TOOL_CALLS_ARGS, '[TOOL_CALLS]store_invoice[ARGS]{"note": "it\'s"}'),
    (Fault.LEAK_CALL_BRACES, '<|tool_call>call:store_invoice{note:<|"|>it\'s<|"|>}<tool_call|>'),
    (
        Fault.LEAK_CHANNEL,
        '<|channel|>commentary to=functions.store_invoice <|constrain|>json<|message|>{"note": "it\'s"}<|call|>',
    ),
]


@pytest.mark.parametrize(("fault", "status", "text"), ERRORS)
def test_errors_have_lm_studios_words(fault: Fault, status: int, text: str) -> None:
    """Each error has the status and the text that clients have seen."""
    reply = error_reply(fault, SIZES)
    assert reply is not None
    assert reply.status == status
    assert text in reply.payload().decode()


@pytest.mark.parametrize(("fault", "text"), LEAKS)
def test_leaks_put_the_call_into_the_text(fault: Fault, text: str) -> None:
    """A leaked call stands in the content in its model family's format, with finish reason `stop`."""
    spoiled = reshape(fault, CALL)
    assert (spoiled.text, spoiled.calls, spoiled.finish_reason) == (text, (), "stop")


def test_no_fault_is_without_effect() -> None:
    """Every fault is an error, a broken connection or a changed answer."""
    for fault in Fault:
        is_error = error_reply(fault, SIZES) is not None
        changes = reshape(fault, CALL) != CALL or reshape(fault, JSON) != JSON
        assert (is_error, changes, fault in CONNECTION).count(True) == 1, fault


def test_spoils_json() -> None:
    """A wrong type, a missing key and an invented value leave valid JSON that is wrong."""
    honest = json.loads(JSON.text)
    assert "line_items" not in json.loads(reshape(Fault.MISSING_KEY, JSON).text)
    assert json.loads(reshape(Fault.WRONG_TYPE, JSON).text)["line_items"] == "many"
    assert json.loads(reshape(Fault.INVENTED_VALUE, JSON).text)["total_amount"] != honest["total_amount"]


def test_cuts_off() -> None:
    """A cut-off answer ends in the middle of its JSON with finish reason `length`."""
    for answer in (JSON, CALL):
        spoiled = reshape(Fault.CUT_OFF, answer)
        assert spoiled.finish_reason == "length"
        rest = spoiled.text or spoiled.calls[0].arguments
        assert isinstance(rest, str)
        with pytest.raises(ValueError, match=r"."):
            json.loads(rest)


def test_rules_choose_their_calls() -> None:
    """A rule counts the calls of its kind with its marker and has its turns, then the next rule comes."""
    plan = FaultPlan(
        [
            FaultRule(fault=Fault.CRASHED, kind=CallKind.EXTRACTION, marker="No 7", nth=2, times=2),
            FaultRule(fault=Fault.EMPTY, kind=CallKind.PLAN, times=None),
        ]
    )
    asked = [plan.next(CallKind.EXTRACTION, text) for text in ("No 7", "No 8", "No 7", "No 7", "No 7")]
    assert asked == [None, None, Fault.CRASHED, Fault.CRASHED, None]
    assert [plan.next(CallKind.PLAN, "") for _ in range(3)] == [Fault.EMPTY] * 3


async def faulty(client: Client, fault: Fault, payload: dict[str, Any]) -> dict[str, Any]:
    client.server.faults.add(FaultRule(fault=fault))
    return await client.reply(payload)


async def test_odd_replies_on_the_wire() -> None:
    """The odd replies that only show on the wire are really sent that way."""
    async with serving() as client:
        asked = body(tools=TOOLS)
        call = (await faulty(client, Fault.MAPPING_ARGUMENTS, asked))["tool_calls"][0]
        assert call["function"]["arguments"] == {}
        assert (await faulty(client, Fault.MISSING_IDS, asked))["tool_calls"][0]["id"] == ""
        assert len((await faulty(client, Fault.SEVERAL_CALLS, asked))["tool_calls"]) == 2
        reply = await faulty(client, Fault.IN_REASONING, schema_body())
        assert (reply["content"], json.loads(reply["reasoning_content"])["invoice_number"]) == ("", "SB-2041")
        reply = await faulty(client, Fault.LENGTH_EMPTY, schema_body())
        assert (reply["content"], reply["finish_reason"]) == ("", "length")
        client.server.faults.add(FaultRule(fault=Fault.OTHER_MODEL), FaultRule(fault=Fault.USAGE_MISSING, nth=2))
        assert (await client.chat(asked))[1]["model"] == "stand-in/another-model"
        assert "usage" not in (await client.chat(asked))[1]


@pytest.mark.parametrize("fault", sorted(CONNECTION))
@pytest.mark.parametrize("stream", [False, True])
async def test_connection_breaks(fault: Fault, stream: bool) -> None:
    """A broken connection leaves the client without a whole reply, and the server goes on."""
    async with serving(hang_seconds=0.05) as client:
        client.server.faults.add(FaultRule(fault=fault))
        if stream and fault is Fault.DISCONNECT_MIDWAY:
            with pytest.raises(aiohttp.ClientPayloadError):
                await client.events(schema_body(stream=True))
        else:
            with pytest.raises(aiohttp.ClientError):
                await client.chat(schema_body(stream=stream))
        assert (await client.chat(body()))[0] == 200


async def test_retry_after() -> None:
    """Too many requests come with the time to wait."""
    async with (
        serving(faults=(FaultRule(fault=Fault.RATE_LIMITED),)) as client,
        client.session.post(client.server.base_url + "/chat/completions", json=body()) as response,
    ):
        assert (response.status, response.headers["Retry-After"]) == (429, "1")


async def test_errors_in_a_stream() -> None:
    """A fault in a stream comes as an event after status 200, the other errors with their own status."""
    async with serving(faults=(FaultRule(fault=Fault.COMPUTE_ERROR), FaultRule(fault=Fault.CRASHED, nth=2))) as client:
        (event,) = await client.events(body(stream=True))
        assert event.startswith("event: error\ndata: ")
        assert (await client.chat(body(stream=True)))[0] == 400
