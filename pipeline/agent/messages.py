"""Messages in chat-completions form, and the one rule that strict chat templates put on them."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.llm.protocol import JsonObject

# Text, or parts in chat-completions form where a page is an image.
Content = str | tuple[JsonObject, ...]


def system_message(content: Content) -> JsonObject:
    """Return a system message."""
    return {"role": "system", "content": _wire_content(content)}


def user_message(content: Content) -> JsonObject:
    """Return a user message."""
    return {"role": "user", "content": _wire_content(content)}


def assistant_message(content: Content) -> JsonObject:
    """Return an assistant message without tool calls."""
    return {"role": "assistant", "content": _wire_content(content)}


def merge_same_role(messages: Iterable[JsonObject]) -> tuple[JsonObject, ...]:
    """Join neighbours of the same role, because some chat templates insist that roles alternate.

    Tool results and assistant messages with calls stay apart: each belongs to a call id.
    """
    merged: list[JsonObject] = []
    for message in messages:
        if merged and _can_join(merged[-1], message):
            merged[-1] = {**merged[-1], "content": _join(merged[-1]["content"], message["content"])}
        else:
            merged.append(message)
    return tuple(merged)


def _wire_content(content: Content) -> str | list[JsonObject]:
    return content if isinstance(content, str) else list(content)


def _can_join(first: JsonObject, second: JsonObject) -> bool:
    if first["role"] != second["role"] or first["role"] == "tool":
        return False
    return "tool_calls" not in first and "tool_calls" not in second


def _join(first: str | list[JsonObject], second: str | list[JsonObject]) -> str | list[JsonObject]:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return _parts(first) + _parts(second)


def _parts(content: str | list[JsonObject]) -> list[JsonObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
