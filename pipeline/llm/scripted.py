"""A model that says what it was told to say: for tests, and for trying out an agent without a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.errors import ModelError
from pipeline.llm.protocol import ModelReply, ModelRequest, ToolCall, Usage

Reply = ModelReply | Exception | Callable[[ModelRequest], ModelReply]


class ScriptExhausted(ModelError):
    """The session asked more often than its script has replies."""


class ScriptedModel:
    """Give the replies in order and keep the requests in `requests`.

    A reply may be an exception, which is raised, or a function of the request. With `usage`, replies without one
    report it.
    """

    def __init__(self, replies: Iterable[Reply], *, usage: Usage | None = None) -> None:
        self._replies = list(replies)
        self._usage = usage
        self.requests: list[ModelRequest] = []

    @property
    def remaining(self) -> int:
        """Return how many replies were not asked for yet."""
        return len(self._replies) - len(self.requests)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the next reply."""
        position = len(self.requests)
        if position >= len(self._replies):
            last = request.messages[-1]["content"] if request.messages else ""
            raise ScriptExhausted(
                f"the script has {position} replies and was asked once more; the last message was {str(last)[:200]!r}",
                hint="add a reply to the script, or find out why the session goes on",
            )
        self.requests.append(request)
        reply = self._replies[position]
        if isinstance(reply, Exception):
            raise reply
        reply = reply if isinstance(reply, ModelReply) else reply(request)
        return self._with_usage(reply)

    def _with_usage(self, reply: ModelReply) -> ModelReply:
        if self._usage is None or reply.usage != Usage():
            return reply
        return ModelReply.from_json({**reply.to_json(), "usage": vars(self._usage)})


def says(text: str, *, finish_reason: str = "stop") -> ModelReply:
    """Return a reply of plain text."""
    return ModelReply(text=text, finish_reason=finish_reason)


def calls(*named_arguments: tuple[str, Any], text: str = "", finish_reason: str = "tool_calls") -> ModelReply:
    """Return a reply that calls tools: `calls(("store", {"total": 1}), …)`; text arguments go out as they are."""
    tool_calls = tuple(
        ToolCall(f"script_{index}", name, arguments if isinstance(arguments, str) else json.dumps(arguments))
        for index, (name, arguments) in enumerate(named_arguments)
    )
    return ModelReply(text=text, tool_calls=tool_calls, finish_reason=finish_reason)
