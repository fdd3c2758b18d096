"""What a session says to a model and hears from it, free of any client library.

Messages and tools are plain JSON in the OpenAI chat-completions form, because that is what goes over the wire and
into the trace; everything the code reasons about has a type.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

JsonObject = dict[str, Any]
ToolChoice = Literal["auto", "required", "none"]


@dataclass(frozen=True)
class Usage:
    """Count tokens as the server reported them; zero where it reported nothing."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True)
class ToolCall:
    """Hold one tool call of a reply; `arguments` is the JSON text as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str

    def to_message(self) -> JsonObject:
        """Return the call in the form an assistant message carries."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True)
class ModelRequest:
    """Ask for one completion: with `tools` for a step of the loop, with `schema` for constrained JSON, never both.

    `schema` is a JSON Schema and `schema_name` its name on the wire; `max_tokens` bounds the answer.
    """

    messages: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...] = ()
    tool_choice: ToolChoice | None = None
    schema: JsonObject | None = None
    schema_name: str = ""
    max_tokens: int = 1024
    temperature: float = 0.0

    @cached_property
    def characters(self) -> int:
        """Return how many characters a model reads of it, with the tools and without pictures."""
        texts = sum(len(part.get("text") or "") for message in self.messages for part in parts_of(message))
        calls = [message["tool_calls"] for message in self.messages if message.get("tool_calls")]
        return texts + sum(len(json.dumps(extra, ensure_ascii=False)) for extra in [*calls, *self.tools])

    def fingerprint(self) -> JsonObject:
        """Return short digests of each part, so that a replay can name the part that differs.

        `{"messages": ["12 hex", …], "tools": "12 hex", "schema": "12 hex", "max_tokens": n, "temperature": x}`
        """
        return {
            "messages": [digest(message) for message in self.messages],
            "tools": digest(list(self.tools)),
            "schema": digest(self.schema),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }


@dataclass(frozen=True)
class ModelReply:
    """Hold one completion; `model` is the name the server gave, which may differ from the one asked for.

    `host` is the address of the server.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    reasoning: str = ""
    host: str = ""

    @property
    def is_silent(self) -> bool:
        """Say whether there is nothing in it at all."""
        return not (self.text.strip() or self.tool_calls or self.reasoning.strip())

    def to_json(self) -> JsonObject:
        """Return the reply as plain JSON for the trace."""
        calls = [{**vars(call)} for call in self.tool_calls]
        return {**vars(self), "tool_calls": calls, "usage": {**vars(self.usage)}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelReply:
        """Rebuild a reply from `to_json`."""
        return cls(
            text=data["text"],
            tool_calls=tuple(ToolCall(**call) for call in data["tool_calls"]),
            finish_reason=data["finish_reason"],
            usage=Usage(**data["usage"]),
            model=data["model"],
            reasoning=data["reasoning"],
            host=data.get("host", ""),
        )


class Model(Protocol):
    """Answer requests. Implementations: LM Studio, scripted (tests), recorded (from a trace)."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the reply, or raise one of the `ModelError` family."""
        ...


@runtime_checkable
class MayBeAway(Protocol):
    """A model whose server may be away for a while, or have no place for a call; its calls wait."""

    @property
    def waited_seconds(self) -> float:
        """Return for how long its calls were open so far, and none of them worked on."""
        ...

    async def absence(self) -> str:
        """Return why it takes no calls now; an empty text where it may take them."""
        ...

    async def ready(self) -> None:
        """Return as soon as it takes calls."""
        ...


def parts_of(message: JsonObject) -> list[JsonObject]:
    """Return the parts of a message's content; a plain text is one part."""
    content = message.get("content")
    if isinstance(content, list):
        return [part for part in content if isinstance(part, dict)]
    return [{"type": "text", "text": content}] if isinstance(content, str) else []


def digest(value: object) -> str:
    """Return the first 12 hex digits of the SHA-256 over the value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
