"""Decide what the stand-in says: JSON for a schema, the next sensible tool call, or a plain sentence.

It is not clever. It reads the document by rules, calls each tool it was given once, and ends.
"""

from __future__ import annotations

import hashlib
import json
import re

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.actions import as_action, as_tool_request
from pipeline.llm.standin.conversation import CallRecord, call_records, document_text
from pipeline.llm.standin.faults import CallKind
from pipeline.llm.standin.invoice_facts import Kind
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.own_fields import read_own_fields
from pipeline.llm.standin.schema_answers import fill_arguments, fill_schema
from pipeline.llm.standin.wire import Answer, Call, ChatRequest, message_text
from pipeline.llm.standin.words import as_constrained

_EXTRACT = "extract"
_STORE = "store"
_FINISH = "terminate"
_SAME_REPLY = re.compile(r"\b(in|with) (one|the same) reply\b", re.IGNORECASE)
_MOST_EXTRACTIONS = 3
_MOST_STORES = 2


def answer(request: ChatRequest) -> Answer:
    """Return the honest answer to a request."""
    request = as_constrained(request)
    if (with_tools := as_tool_request(request)) is not None:
        return as_action(answer(with_tools))
    if request.schema is not None:
        text = document_text(request.messages)
        filled = fill_schema(request.schema, read_invoice(text), read_own_fields(request.schema, text))
        return Answer(text=json.dumps(filled, ensure_ascii=False))
    if request.tools and request.tool_choice != "none":
        name, message = _next_call(request)
        if not name:
            return Answer(text=message)
        names = (name, *_in_the_same_reply(request, name))
        arguments = [fill_arguments(_parameters(request, each), message) for each in names]
        ids = (str(_identity(request) + number) for number in range(len(names)))
        return Answer(calls=tuple(map(Call, names, arguments, ids)))
    return Answer(text=_plain(document_text(request.messages)))


def kind_of(request: ChatRequest, answered: Answer) -> CallKind:
    """Name what a call is for, by its request and the honest answer to it."""
    request = as_constrained(request)
    if (with_tools := as_tool_request(request)) is not None:
        return kind_of(with_tools, answer(with_tools))
    if request.schema is not None:
        return CallKind.EXTRACTION
    if not request.tools:
        return CallKind.PLAIN
    names = [call.name for call in answered.calls]
    if any(name.startswith(_EXTRACT) for name in names):
        return CallKind.PLAN
    if any(name.startswith(_STORE) for name in names):
        return CallKind.STORE
    return CallKind.FINISH if _FINISH in names or not names else CallKind.PLAN


def _next_call(request: ChatRequest) -> tuple[str, str]:
    """Return the tool to call, empty for none, and what to say where a text is asked for."""
    records = call_records(request.messages)
    extract = _named(request, _EXTRACT)
    if extract or _named(request, _STORE):
        name, message = _next_invoice_call(request, records, extract)
    else:
        name, message = _next_other_call(request, records)
    if not name and request.tool_choice == "required":
        name = request.tool_names[0]
    return name, message


def _next_invoice_call(request: ChatRequest, records: tuple[CallRecord, ...], extract: str) -> tuple[str, str]:
    finish = _FINISH if _FINISH in request.tool_names else ""
    store = _named(request, _STORE)
    extractions = [record for record in records if record.name.startswith(_EXTRACT)]
    extracted = next((record for record in reversed(extractions) if record.succeeded), None)
    if extract and extracted is None:
        if len(extractions) < _MOST_EXTRACTIONS:
            return extract, ""
        return finish, "The stand-in could not extract the invoice."
    if extracted is not None and extracted.finds("kind") == Kind.OTHER:
        return finish, "The stand-in found no invoice in this document."
    stores = [record for record in records if record.name.startswith(_STORE)]
    if any(record.succeeded for record in stores):
        return finish, "The invoice is stored."
    if store and len(stores) < _MOST_STORES:
        return store, ""
    return finish, "The stand-in ends here; the invoice is not stored."


def _in_the_same_reply(request: ChatRequest, name: str) -> tuple[str, ...]:
    """Return the tool to call right after this one, where the prompt asks for both in one reply."""
    store = _named(request, _STORE)
    if not store or not name.startswith(_EXTRACT) or call_records(request.messages):
        return ()
    goals = " ".join(message_text(message) for message in request.messages if message["role"] == "system")
    return (store,) if _SAME_REPLY.search(goals) else ()


def _next_other_call(request: ChatRequest, records: tuple[CallRecord, ...]) -> tuple[str, str]:
    called = {record.name for record in records}
    fresh = next((name for name in request.tool_names if name not in called and name != _FINISH), "")
    if fresh:
        return fresh, _plain(document_text(request.messages))
    finish = _FINISH if _FINISH in request.tool_names else ""
    last = records[-1].result if records else ""
    return finish, last or _plain(document_text(request.messages))


def _named(request: ChatRequest, beginning: str) -> str:
    return next((name for name in request.tool_names if name.startswith(beginning)), "")


def _parameters(request: ChatRequest, name: str) -> JsonObject:
    tool = next(tool["function"] for tool in request.tools if tool["function"]["name"] == name)
    parameters: JsonObject = tool.get("parameters") or {}
    return parameters


def _plain(text: str) -> str:
    lines = text.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    return (
        "This is the stand-in server, not a language model: it answers by rules. "
        f"The text has {len(lines)} lines, {len(text.split())} words and {len(text)} characters. "
        f"It begins: {first[:80]}"
    )


def _identity(request: ChatRequest) -> int:
    """Return nine digits, as LM Studio's call ids are, the same for the same conversation."""
    number = int(hashlib.sha256("".join(request.message_digests()).encode()).hexdigest(), 16)
    return number % 900_000_000 + 100_000_000
