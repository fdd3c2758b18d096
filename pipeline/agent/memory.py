"""What a session remembers: an append-only list of what was said and done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.agent.messages import Content
from pipeline.llm.protocol import JsonObject, ToolCall


class MemoryType(StrEnum):
    """Say who an item comes from."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    ENVIRONMENT = "environment"


@dataclass(frozen=True)
class MemoryItem:
    """Hold one thing said or done.

    `content` is text, or parts in chat-completions form where a page is an image. `tool_calls` belong to assistant
    items; `tool_call_id` and `tool_name` to the environment's answer to one of them.
    """

    type: MemoryType
    content: Content
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None

    def to_json(self) -> JsonObject:
        """Return the item as plain JSON for the trace."""
        return {
            "type": self.type.value,
            "content": self.content if isinstance(self.content, str) else list(self.content),
            "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.tool_calls],
            "tool_call_id": self.tool_call_id,
            "tool_name": self.tool_name,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MemoryItem:
        """Rebuild an item from `to_json`."""
        content = data["content"]
        return cls(
            type=MemoryType(data["type"]),
            content=content if isinstance(content, str) else tuple(content),
            tool_calls=tuple(ToolCall(**call) for call in data["tool_calls"]),
            tool_call_id=data["tool_call_id"],
            tool_name=data["tool_name"],
        )


class Memory:
    """Keep the items of a session in the order in which they came; nothing is changed or taken out."""

    def __init__(self, items: Iterable[MemoryItem] = ()) -> None:
        self._items = list(items)

    def add_memory(self, item: MemoryItem) -> None:
        """Append an item."""
        self._items.append(item)

    def get_memories(self, limit: int | None = None) -> tuple[MemoryItem, ...]:
        """Return all items, or the latest `limit` of them, oldest first."""
        if limit is None:
            return tuple(self._items)
        if limit < 0:
            raise ValueError(f"limit is a number of items, not {limit}")
        return tuple(self._items[max(0, len(self._items) - limit) :])

    def copy_without_system_memories(self) -> Memory:
        """Return a new memory of everything but the system items, for an agent with goals of its own."""
        return Memory(item for item in self._items if item.type is not MemoryType.SYSTEM)

    def to_json(self) -> list[JsonObject]:
        """Return all items as plain JSON."""
        return [item.to_json() for item in self._items]

    @classmethod
    def from_json(cls, items: Iterable[Mapping[str, Any]]) -> Memory:
        """Rebuild a memory from `to_json`."""
        return cls(MemoryItem.from_json(item) for item in items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[MemoryItem]:
        return iter(tuple(self._items))
