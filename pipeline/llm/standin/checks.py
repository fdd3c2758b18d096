"""What LM Studio refuses, in its words: messages, tools and schemas are looked at before any work is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.wire import ChatRequest, ErrorReply, content_parts, text_error

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_IMAGE_PREFIXES = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,")
_SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


@dataclass(frozen=True)
class Limits:
    """Say what the loaded model takes."""

    vision: bool = False
    strict_roles: bool = False
    tool_template: bool = True
    grammars: Literal["all", "plain", "none"] = "all"


def read_request(body: object, limits: Limits) -> ChatRequest | ErrorReply:
    """Check a request body; what LM Studio refuses is refused in its words."""
    if not isinstance(body, dict):
        return text_error("Invalid request body: expected a JSON object")
    for check in (_check_messages, _check_tools, _check_format):
        if refusal := check(body, limits):
            return refusal
    response_format = body.get("response_format") or {}
    wants_json = response_format.get("type") == "json_schema"
    return ChatRequest(
        model=str(body.get("model") or ""),
        messages=tuple(body["messages"]),
        # With a schema the grammar covers the whole answer, so tools are never called.
        tools=tuple(body.get("tools") or ()),
        tool_choice=body.get("tool_choice") or "auto",
        schema=response_format["json_schema"].get("schema") or {} if wants_json else None,
        max_tokens=_positive(body.get("max_tokens")),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def resolve(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Return what a `$ref` inside the same document points to, or the schema itself."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    target: Any = root
    for key in reference[2:].split("/"):
        target = target.get(key) if isinstance(target, dict) else None
    return target if isinstance(target, dict) else schema


def _check_messages(body: JsonObject, limits: Limits) -> ErrorReply | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        return text_error("Invalid 'messages' in payload")
    for message in messages:
        if refusal := _check_images(message, limits):
            return refusal
    uses_tools = bool(body.get("tools")) or any(message["role"] == "tool" for message in messages)
    if uses_tools and not limits.tool_template:
        return text_error('Error rendering prompt with jinja template: "This model does not support tools."')
    if limits.strict_roles:
        return _check_roles(messages)
    return None


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False
    content = message.get("content")
    if isinstance(content, list):
        return bool(content) and all(isinstance(part, dict) and "type" in part for part in content)
    match message["role"]:
        case "assistant":
            return (content is None or isinstance(content, str)) and all(map(_is_call, message.get("tool_calls") or ()))
        case "tool":
            return isinstance(content, str) and bool(message.get("tool_call_id"))
        case _:
            return isinstance(content, str)


def _is_call(call: object) -> bool:
    if not isinstance(call, dict) or not call.get("id") or not isinstance(call.get("function"), dict):
        return False
    function = call["function"]
    return bool(function.get("name")) and isinstance(function.get("arguments"), str)


def _check_images(message: JsonObject, limits: Limits) -> ErrorReply | None:
    urls = [
        (part.get("image_url") or {}).get("url") for part in content_parts(message) if part.get("type") == "image_url"
    ]
    if not urls:
        return None
    if not limits.vision:
        return text_error("Model does not support images. Please use a model that does.")
    if not all(isinstance(url, str) and url.startswith(_IMAGE_PREFIXES) for url in urls):
        return text_error("'url' field must be a base64 encoded image.")
    return None


def _check_roles(messages: Sequence[JsonObject]) -> ErrorReply | None:
    roles = [message["role"] for message in messages if message["role"] in ("user", "assistant")]
    if "user" not in roles:
        return text_error('Error rendering prompt with jinja template: "No user query found in messages."')
    if any(first == second == "user" for first, second in pairwise(roles)):
        return text_error(
            'Error rendering prompt with jinja template: "Conversation roles must alternate user/assistant/user/..."'
        )
    return None


def _check_tools(body: JsonObject, _: Limits) -> ErrorReply | None:
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(map(_is_tool, tools)):
        return text_error("Invalid 'tools' in payload")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return text_error("Invalid tool_choice type: 'object'. Supported string values: none, auto, required")
    if choice not in (None, "none", "auto", "required"):
        return text_error(f"Invalid tool_choice: '{choice}'. Supported string values: none, auto, required")
    return None


def _is_tool(tool: object) -> bool:
    if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
        return False
    function = tool["function"]
    parameters = function.get("parameters", {"type": "object"})
    return bool(function.get("name")) and isinstance(parameters, dict) and parameters.get("type") == "object"


def _check_format(body: JsonObject, limits: Limits) -> ErrorReply | None:
    response_format = body.get("response_format")
    if response_format is None:
        return None
    if not isinstance(response_format, dict) or response_format.get("type") not in ("json_schema", "text"):
        return text_error("'response_format.type' must be 'json_schema' or 'text'")
    if response_format["type"] == "text":
        return None
    described = response_format.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        return text_error("'response_format.json_schema.schema' must be an object")
    if not _is_grammar(described["schema"], described["schema"]) or not _can_be_held(described["schema"], limits):
        return text_error("Failed to initialize samplers: failed to parse grammar")
    return None


def _is_grammar(schema: object, root: JsonObject) -> bool:
    """Tell whether the engine can make a grammar of the schema."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict) or schema.get("items") is False or "\\d" in str(schema.get("pattern") or ""):
        return False
    kinds = schema.get("type", [])
    if not set([kinds] if isinstance(kinds, str) else kinds) <= _SCHEMA_TYPES:
        return False
    if "$ref" in schema and resolve(schema, root) is schema:
        return False
    groups = [*(schema.get("properties") or {}).values(), *(schema.get("anyOf") or ())]
    if isinstance(schema.get("items"), dict):
        groups.append(schema["items"])
    return all(_is_grammar(each, root) for each in groups)


def _can_be_held(schema: JsonObject, limits: Limits) -> bool:
    bounded = any(f'"{keyword}":' in json.dumps(schema) for keyword in ("maxLength", "maxItems"))
    return limits.grammars == "all" or (limits.grammars == "plain" and not bounded)


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
