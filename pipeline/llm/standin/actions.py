"""Actions as JSON: a request whose schema asks for `{"tool": …, "arguments": …}` is a request for a tool call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.wire import Answer, ChatRequest, message_text

_RESULT = re.compile(r"\AResult of (\w+):\n(.*)", re.DOTALL)


def as_tool_request(request: ChatRequest) -> ChatRequest | None:
    """Return the request as it would be with tools, None where its schema describes no action."""
    tools = tuple(_tools(request.schema)) if request.schema else ()
    if not tools:
        return None
    return replace(request, schema=None, tools=tools, messages=tuple(_messages(request.messages)))


def as_action(answer: Answer) -> Answer:
    """Return the answer with its call written as JSON."""
    if not answer.calls:
        return answer
    call = answer.calls[0]
    text = json.dumps({"tool": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return replace(answer, text=text, calls=())


def _tools(schema: JsonObject) -> Iterator[JsonObject]:
    for choice in schema.get("anyOf") or [schema]:
        properties = choice.get("properties") or {}
        names = (properties.get("tool") or {}).get("enum")
        if isinstance(names, list) and "arguments" in properties:
            function = {"name": str(names[0]), "description": "", "parameters": properties["arguments"]}
            yield {"type": "function", "function": function}


def _messages(messages: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """Tell the calls and results in the conversation as those of tools; a call's number is its id."""
    number = 0
    for message in messages:
        call = _call(message) if message["role"] == "assistant" else None
        result = _RESULT.match(message_text(message)) if message["role"] == "user" else None
        if call is not None:
            number += 1
            function = {"name": call["tool"], "arguments": json.dumps(call.get("arguments") or {})}
            calls = [{"id": str(number), "type": "function", "function": function}]
            yield {"role": "assistant", "content": "", "tool_calls": calls}
        elif result is not None and number:
            yield {"role": "tool", "tool_call_id": str(number), "content": result.group(2)}
        else:
            yield message


def _call(message: JsonObject) -> dict[str, Any] | None:
    try:
        value = json.loads(message_text(message))
    except ValueError:
        return None
    return value if isinstance(value, dict) and "tool" in value else None
