"""What the stand-in decides to say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_standin_server import INVOICE, MESSAGE, TOOLS, messages, tool

from pipeline.llm.standin.answers import answer
from pipeline.llm.standin.checks import Limits, read_request
from pipeline.llm.standin.conversation import document_text
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.schema_answers import fill_schema
from pipeline.llm.standin.wire import ChatRequest, ErrorReply


def exchange(name: str, result: object, *, identity: str = "1") -> list[dict[str, Any]]:
    """Return a tool call and its result as messages."""
    call = {"id": identity, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": identity, "content": json.dumps(result)},
    ]


def next_tool(*exchanges: list[dict[str, Any]], tools: list[dict[str, Any]] = TOOLS) -> str:
    history = (*messages(), *(message for each in exchanges for message in each))
    answered = answer(ChatRequest(model="m", messages=history, tools=tuple(tools)))
    return answered.calls[0].name if answered.calls else ""


EXTRACTED = exchange("extract_invoice_data", {"kind": "invoice", "total_amount": "8.40"})


def test_stores_what_was_extracted() -> None:
    """After a good extraction the invoice is stored."""
    assert next_tool(EXTRACTED) == "store_invoice"


def test_calls_both_tools_where_the_prompt_asks_for_it() -> None:
    """Told to call them in one reply it does so once; told nothing it calls one after the other."""
    told = [{"role": "system", "content": "Extract and store in the same reply."}, *messages()[1:]]
    request = ChatRequest(model="m", messages=tuple(told), tools=tuple(TOOLS))
    calls = answer(request).calls
    assert [call.name for call in calls] == ["extract_invoice_data", "store_invoice"]
    assert len({call.id for call in calls}) == 2
    assert next_tool() == "extract_invoice_data"
    refused = exchange("store_invoice", {"stored": False}, identity="2")
    again = answer(ChatRequest(model="m", messages=(*told, *EXTRACTED, *refused), tools=tuple(TOOLS)))
    assert [call.name for call in again.calls] == ["store_invoice"]


@pytest.mark.parametrize(
    "result", [{"error": "model away"}, {"ok": False}, {"result": {"status": "failed"}}, "error: no"]
)
def test_extracts_again_after_a_failure(result: object) -> None:
    """A failed extraction is tried again, at most twice, then the session ends."""
    failed = [exchange("extract_invoice_data", result, identity=str(n)) for n in range(3)]
    assert next_tool(failed[0]) == "extract_invoice_data"
    assert next_tool(*failed) == "terminate"


def test_insists_once_on_storing() -> None:
    """A refused store is asked for once more, then the session ends."""
    refused = exchange("store_invoice", {"stored": False, "findings": [{"code": "sum"}]})
    assert next_tool(EXTRACTED, refused) == "store_invoice"
    assert next_tool(EXTRACTED, refused, refused) == "terminate"


def test_ends_when_it_is_no_invoice() -> None:
    """What is no invoice is not stored."""
    assert next_tool(exchange("extract_invoice_data", {"result": {"kind": "other"}})) == "terminate"


def test_uses_every_tool_of_another_agent_once() -> None:
    """With unknown tools each is called once, with arguments of the right types, then `terminate`."""
    parameters = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 20},
            "depth": {"type": "integer", "minimum": 2},
            "style": {"type": "string", "enum": ["short", "long"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "extra": {"type": "string"},
        },
        "required": ["text", "depth", "style", "tags"],
    }
    tools = [tool("review_code", parameters), tool("terminate", MESSAGE)]
    answered = answer(ChatRequest(model="m", messages=tuple(messages()), tools=tuple(tools)))
    (call,) = answered.calls
    assert isinstance(call.arguments, dict)
    assert (call.arguments["depth"], call.arguments["style"], call.arguments["tags"]) == (2, "short", [""])
    assert len(call.arguments["text"]) == 20
    assert "extra" not in call.arguments
    assert next_tool(exchange("review_code", "all good"), tools=tools) == "terminate"


def test_speaks_plainly_without_tools() -> None:
    """Without tools and schema the answer says that it is a stand-in."""
    answered = answer(ChatRequest(model="m", messages=tuple(messages())))
    assert "stand-in" in answered.text
    assert "8 lines" in answered.text


def test_finds_the_document() -> None:
    """The document is what stands between the marks, else the longest user message."""
    assert document_text(messages()).strip() == INVOICE.strip()
    plain = [{"role": "user", "content": "short"}, {"role": "user", "content": "much longer text"}]
    assert document_text(plain) == "much longer text"


def test_fills_any_schema() -> None:
    """References, alternatives, wrappers, numbers and limits are honoured; unknown things stay empty."""
    schema = {
        "type": "object",
        "properties": {
            "invoice": {
                "type": "object",
                "properties": {
                    "total_amount": {"type": "number"},
                    "vendor": {"$ref": "#/$defs/party"},
                    "line_items": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/line"}},
                    "kind": {"type": "string", "enum": ["invoice", "credit_note", "other"]},
                },
            },
            "mood": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "summary": {"type": "string"},
            "steps": {"type": "array", "items": {"type": "string"}},
        },
        "$defs": {
            "party": {"type": "object", "properties": {"name": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
            "line": {"type": "object", "properties": {"description": {"type": "string", "maxLength": 3}}},
        },
    }
    assert fill_schema(schema, read_invoice(INVOICE)) == {
        "invoice": {
            "total_amount": 8.4,
            "vendor": {"name": "Seaside Bakery Ltd"},
            "line_items": [{"description": "Rye"}],
            "kind": "invoice",
        },
        "mood": None,
        "summary": "",
        "steps": [],
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": False},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^\d+$"}}},
        {"type": "text"},
    ],
)
def test_refuses_schemas_that_make_no_grammar(schema: dict[str, Any]) -> None:
    """A schema the engine cannot make a grammar of is refused."""
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    refused = read_request({"messages": messages(), "response_format": wanted}, Limits())
    assert isinstance(refused, ErrorReply)
    assert "failed to parse grammar" in refused.payload().decode()


def test_pictures_need_eyes() -> None:
    """A picture is refused by a model without vision, and by one with it unless it is a base64 PNG or JPEG."""

    def refusal(url: str, *, vision: bool) -> str:
        part = {"type": "image_url", "image_url": {"url": url}}
        checked = read_request({"messages": [{"role": "user", "content": [part]}]}, Limits(vision=vision))
        return checked.payload().decode() if isinstance(checked, ErrorReply) else ""

    png = "data:image/png;base64,AAAA"
    assert "does not support images" in refusal(png, vision=False)
    assert refusal(png, vision=True) == ""
    assert "base64 encoded" in refusal("https://example.org/a.png", vision=True)
    assert "base64 encoded" in refusal("data:image/webp;base64,AAAA", vision=True)


def test_strict_templates_want_alternating_roles() -> None:
    """With a strict template two user messages in a row are a template error."""
    two = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    refused = read_request({"messages": two}, Limits(strict_roles=True))
    assert isinstance(refused, ErrorReply)
    assert "Conversation roles must alternate" in refused.payload().decode()
    assert isinstance(read_request({"messages": two}, Limits()), ChatRequest)
