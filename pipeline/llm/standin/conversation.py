"""What a stand-in needs to see of a conversation: the document in it and how the tool calls went."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.wire import message_text

_OPENING = re.compile(r"^<document\b[^\n]*\n", re.MULTILINE)
_CLOSING = "\n</document"
_BAD_STATES = frozenset({"error", "failed", "refused", "rejected", "invalid", "not_stored"})
_SUCCESS_KEYS = ("ok", "stored", "success", "tool_executed", "accepted")


@dataclass(frozen=True)
class CallRecord:
    """Hold one earlier tool call and the text of its result."""

    name: str
    result: str

    @property
    def succeeded(self) -> bool:
        return not _tells_failure(_parsed(self.result))

    def finds(self, key: str) -> Any:
        """Return the value of the first such key anywhere in the result."""
        return next(_values(_parsed(self.result), key), None)


def document_text(messages: Sequence[JsonObject]) -> str:
    """Return the document between its marks, or the longest user message where there are none."""
    texts = [message_text(message) for message in messages if message["role"] == "user"]
    marked = [document for text in texts if (document := _between_marks(text)) is not None]
    return marked[-1] if marked else max(texts, key=len, default="")


def call_records(messages: Sequence[JsonObject]) -> tuple[CallRecord, ...]:
    """Return the tool calls that have a result, in their order."""
    names: dict[str, str] = {}
    records: list[CallRecord] = []
    for message in messages:
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            records.append(CallRecord(names.get(message["tool_call_id"], ""), message_text(message)))
    return tuple(records)


def _between_marks(text: str) -> str | None:
    """Return what stands between the first opening and the last closing mark: marks in the document are its text."""
    opening = _OPENING.search(text)
    closing = text.rfind(_CLOSING)
    if opening is None or closing < opening.end() - 1:
        return None
    return text[opening.end() : closing + 1]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tells_failure(result: object, depth: int = 0) -> bool:
    if isinstance(result, str):
        return result.lstrip().lower().startswith(("error", "refused", "rejected", "failed"))
    if not isinstance(result, Mapping) or depth > 1:
        return False
    if result.get("error") or str(result.get("status", "")).lower() in _BAD_STATES:
        return True
    if any(result.get(key) is False for key in _SUCCESS_KEYS):
        return True
    return _tells_failure(result.get("result"), depth + 1)


def _values(data: object, key: str) -> Iterator[Any]:
    if isinstance(data, Mapping):
        if key in data:
            yield data[key]
        for value in data.values():
            yield from _values(value, key)
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, key)
