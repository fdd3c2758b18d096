"""What goes over the wire: requests checked the way LM Studio checks them, replies in its form.

Tokens are an estimate with one rule: the rendered prompt (system message, then the tools, then the other messages, as
chat templates do it) at four characters a token, rounded up, and a flat sum for each image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.llm.protocol import JsonObject, digest

CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = 256
_STREAM_PIECE_CHARACTERS = 24


@dataclass(frozen=True)
class ErrorReply:
    """Hold an answer that is no completion; a string body is sent as it is, anything else as JSON."""

    status: int
    body: JsonObject | str
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def payload(self) -> bytes:
        """Return the body's bytes."""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True)
class ChatRequest:
    """Hold a checked request for a completion; `schema` is None unless JSON is asked for."""

    model: str
    messages: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...] = ()
    tool_choice: str = "auto"
    schema: JsonObject | None = None
    max_tokens: int | None = None
    stream: bool = False
    include_usage: bool = False

    @property
    def tool_names(self) -> tuple[str, ...]:
        return tuple(tool["function"]["name"] for tool in self.tools)

    def rendered(self) -> str:
        """Return the prompt as text; what two requests share at its start is what a prefix cache saves."""
        first, rest = _split_system(self.messages)
        tools = json.dumps(self.tools, ensure_ascii=False) if self.tools else ""
        return "".join([*map(_rendered_message, first), tools, *map(_rendered_message, rest)])

    def prompt_tokens(self) -> int:
        """Return the estimated size of the prompt."""
        images = sum(
            1 for message in self.messages for part in content_parts(message) if part.get("type") == "image_url"
        )
        return token_count(self.rendered()) + images * IMAGE_TOKENS

    def message_digests(self) -> tuple[str, ...]:
        """Return one short digest for each message."""
        return tuple(digest(message) for message in self.messages)


@dataclass(frozen=True)
class Call:
    """Hold one tool call of an answer; `arguments` is a mapping until it is written, or broken text on purpose."""

    name: str
    arguments: JsonObject | str
    id: str = ""


@dataclass(frozen=True)
class TokenUse:
    """Count the tokens of one exchange."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Answer:
    """Hold what the model says; `finish` is worked out where it is empty, `model` is the server's where empty."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    finish: str = ""
    model: str = ""
    arguments_as_mapping: bool = False
    usage: str = "counted"

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


def without_middle(request: ChatRequest, tokens: int) -> ChatRequest:
    """Return the request as a server reads it that has cut the middle out of its prompt to fit so many tokens."""
    longest = max(range(len(request.messages)), key=lambda number: len(message_text(request.messages[number])))
    message = request.messages[longest]
    text, too_many = message_text(message), request.prompt_tokens() - tokens
    kept = max(len(text) - max(too_many, 0) * CHARACTERS_PER_TOKEN, 0)
    cut_text = text[: kept // 2] + text[len(text) - (kept - kept // 2) :]
    messages = [*request.messages]
    messages[longest] = {**message, "content": cut_text}
    return replace(request, messages=tuple(messages))


def token_count(text: str) -> int:
    """Return the estimated number of tokens of a text."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def text_error(message: str, *, status: int = 400) -> ErrorReply:
    """Return an error whose body is a bare string."""
    return ErrorReply(status, {"error": message})


def object_error(message: str, *, status: int = 400, code: str | None = None, kind: str = "") -> ErrorReply:
    """Return an error whose body is an object."""
    error = {"message": message, "type": kind or "invalid_request_error", "param": None, "code": code}
    return ErrorReply(status, {"error": error})


def cut(answer: Answer, max_tokens: int | None) -> tuple[Answer, int]:
    """Return the answer as far as it fits and its size in tokens; an answer that did not fit finishes with `length`."""
    whole = answer_tokens(answer)
    if max_tokens is None or whole <= max_tokens:
        return answer, whole
    left = max_tokens * CHARACTERS_PER_TOKEN
    reasoning, left = _take(answer.reasoning, left)
    text, left = _take(answer.text, left)
    calls: list[Call] = []
    for call in answer.calls:
        left -= len(call.name)
        if left <= 0:
            break
        arguments, left = _take(arguments_text(call), left)
        calls.append(replace(call, arguments=arguments))
    return replace(answer, reasoning=reasoning, text=text, calls=tuple(calls), finish="length"), max_tokens


def answer_tokens(answer: Answer) -> int:
    """Return the estimated size of an answer, at least one token."""
    calls = "".join(call.name + arguments_text(call) for call in answer.calls)
    return max(1, token_count(answer.reasoning + answer.text + calls))


def arguments_text(call: Call) -> str:
    """Return the arguments as they are written on the wire."""
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)


def completion(answer: Answer, *, identity: str, created: int, usage: TokenUse) -> JsonObject:
    """Return the body of a completion that is not streamed."""
    message: JsonObject = {"role": "assistant", "content": answer.text, "tool_calls": _wire_calls(answer)}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    choice = {"index": 0, "logprobs": None, "finish_reason": answer.finish_reason, "message": message}
    body: JsonObject = {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [choice],
        "stats": {},
        "system_fingerprint": answer.model,
    }
    if (counts := _usage(answer, usage)) is not None:
        body["usage"] = counts
    return body


def chunks(
    answer: Answer, *, identity: str, created: int, usage: TokenUse, include_usage: bool
) -> Iterator[JsonObject]:
    """Yield the chunks of a streamed completion: role, text, calls (name first), finish, and the usage if asked for."""

    def chunk(delta: JsonObject, finish: str | None = None) -> JsonObject:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    head: JsonObject = {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": created,
        "model": answer.model,
        "system_fingerprint": answer.model,
    }
    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(answer.reasoning):
        yield chunk({"reasoning_content": piece})
    for piece in _pieces(answer.text):
        yield chunk({"content": piece})
    for index, call in enumerate(answer.calls):
        start = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield chunk({"tool_calls": [{"index": index, **start}]})
        for piece in _pieces(arguments_text(call)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer.finish_reason)
    counts = _usage(answer, usage)
    if include_usage and counts is not None:
        yield {**head, "choices": [], "usage": counts}


def server_sent(payload: JsonObject | str, *, event: str = "") -> bytes:
    """Return one server-sent event."""
    data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return (f"event: {event}\n" if event else "").encode() + f"data: {data}\n\n".encode()


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whether its content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content_parts(message))


def content_parts(message: Mapping[str, Any]) -> list[JsonObject]:
    """Return the parts of a message whose content is a list."""
    content = message.get("content")
    return content if isinstance(content, list) else []


def _split_system(messages: tuple[JsonObject, ...]) -> tuple[tuple[JsonObject, ...], tuple[JsonObject, ...]]:
    leading = 1 if messages and messages[0]["role"] in ("system", "developer") else 0
    return messages[:leading], messages[leading:]


def _rendered_message(message: JsonObject) -> str:
    calls = json.dumps(message["tool_calls"], ensure_ascii=False) if message.get("tool_calls") else ""
    return f"<|{message['role']}|>{message_text(message)}{calls}\n"


def _take(text: str, characters: int) -> tuple[str, int]:
    return text[: max(0, characters)], characters - len(text)


def _wire_calls(answer: Answer) -> list[JsonObject]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": call.arguments if answer.arguments_as_mapping else arguments_text(call),
            },
        }
        for call in answer.calls
    ]


def _usage(answer: Answer, usage: TokenUse) -> JsonObject | None:
    match answer.usage:
        case "missing":
            return None
        case "zero":
            return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        case how:
            prompt = usage.prompt - usage.cached if how == "uncached" else usage.prompt
            return {
                "prompt_tokens": prompt,
                "completion_tokens": usage.completion,
                "total_tokens": prompt + usage.completion,
                "prompt_tokens_details": {"cached_tokens": usage.cached},
            }


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _STREAM_PIECE_CHARACTERS):
        yield text[start : start + _STREAM_PIECE_CHARACTERS]
