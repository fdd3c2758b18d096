"""Requests that say in words what a schema would say: the schema at the prompt's end, or tools called by JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.wire import ChatRequest, message_text

_SCHEMA = re.compile(r"\bJSON Schema\b[^\n]*:\n(\{.*\})\s*\Z", re.DOTALL)
_ACTS = re.compile(r"\banswering with one JSON object\b.*\"tool\"")
_TOOL = re.compile(r"^- (\w+): .*\n  arguments: (\{.*\})$", re.MULTILINE)


def as_constrained(request: ChatRequest) -> ChatRequest:
    """Return the request with the schema that its words ask for; others as they are."""
    if request.schema is not None or request.tools:
        return request
    schema = _schema_at_the_end(request.messages) or _schema_of_actions(request.messages)
    return request if schema is None else replace(request, schema=schema)


def _schema_at_the_end(messages: Sequence[JsonObject]) -> JsonObject | None:
    last = message_text(messages[-1]) if messages and messages[-1]["role"] == "user" else ""
    found = _SCHEMA.search(last)
    return _read(found[1]) if found else None


def _schema_of_actions(messages: Sequence[JsonObject]) -> JsonObject | None:
    system = "\n".join(message_text(message) for message in messages if message["role"] == "system")
    choices = list(_choices(system)) if _ACTS.search(system) else []
    return {"anyOf": choices} if choices else None


def _choices(system: str) -> Iterator[JsonObject]:
    for found in _TOOL.finditer(system):
        if (arguments := _read(found[2])) is not None:
            yield {"type": "object", "properties": {"tool": {"enum": [found[1]]}, "arguments": arguments}}


def _read(text: str) -> JsonObject | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
