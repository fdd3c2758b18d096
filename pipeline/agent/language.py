"""How goals, memory and actions are told to a model, and how its reply is understood."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

from pydantic import BaseModel, Field

from pipeline.agent.action import Action, ActionRegistry
from pipeline.agent.environment import ActionResult
from pipeline.agent.goal import Goal, by_priority
from pipeline.agent.json_answer import NotJson, read_json
from pipeline.agent.memory import Memory, MemoryItem, MemoryType
from pipeline.agent.messages import assistant_message, merge_same_role, system_message, user_message
from pipeline.llm.protocol import JsonObject, ModelReply, ToolCall, ToolChoice

_UNNAMED_TOOL = "unnamed_tool"
_MAX_QUOTE_CHARACTERS = 200


@dataclass(frozen=True)
class Prompt:
    """Hold what is sent: messages and tools in chat-completions form.

    `metadata` says how to ask: `tool_choice`, or `schema` and `schema_name` where an action is asked for as JSON.
    """

    messages: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedCall:
    """Hold one call of a reply: as it is remembered, the action it means, and why it cannot be run, if it cannot."""

    call: ToolCall
    action: Action | None
    arguments: JsonObject
    problem: str = ""


class AgentLanguage(Protocol):
    """Translate between a session and a model."""

    def construct_prompt(self, *, goals: Sequence[Goal], memory: Memory, actions: ActionRegistry) -> Prompt:
        """Return what to send."""
        ...

    def parse_response(self, reply: ModelReply, *, memory: Memory, actions: ActionRegistry) -> tuple[PlannedCall, ...]:
        """Return the calls of a reply in order, each with an id that is new in this memory."""
        ...

    def observation(self, call: ToolCall, result: ActionResult) -> MemoryItem:
        """Return what is remembered of an action's result."""
        ...

    def reminder(self, reply: ModelReply, *, actions: ActionRegistry) -> MemoryItem:
        """Return what is said to a model that called no tool."""
        ...

    def give_way(self) -> bool:
        """Change to another form of prompt after the server refused this one; say whether there is another."""
        ...


class LanguageSettings(BaseModel, frozen=True, extra="forbid"):
    """Say how much of a session is told, and how."""

    tool_choice: ToolChoice = Field(
        default="auto", description="auto, required or none; not every server obeys required"
    )
    memory_items: int | None = Field(
        default=None, ge=2, description="items told beside the first ones; none: all of them"
    )
    observation_characters: int = Field(default=20_000, ge=200, description="longest tool result told, in characters")


class FunctionCallingLanguage:
    """Speak with the model's own tool calls.

    The prompt starts with what never changes in a session, the goals and the first user message, so that the server
    can keep it in its prefix cache from step to step.
    """

    def __init__(self, settings: LanguageSettings | None = None) -> None:
        self._settings = settings or LanguageSettings()

    def construct_prompt(self, *, goals: Sequence[Goal], memory: Memory, actions: ActionRegistry) -> Prompt:
        """Return the goals as system message, the memory as a conversation, and the actions as tools."""
        opening, later = _split(memory.get_memories())
        told = (
            *_goal_messages(goals),
            *(_message(item, leading=True) for item in opening),
            *(_message(item, leading=False) for item in _latest(later, self._settings.memory_items)),
        )
        return Prompt(
            messages=_in_turns(merge_same_role(told)),
            tools=tuple(action.to_tool() for action in actions.get_actions()),
            metadata={"tool_choice": self._settings.tool_choice},
        )

    def parse_response(self, reply: ModelReply, *, memory: Memory, actions: ActionRegistry) -> tuple[PlannedCall, ...]:
        """Return the calls; one that cannot be run carries the problem, in words the model can act on.

        What is remembered of a broken call is a mended one (new id, empty arguments): chat templates parse the
        history again and fail on what the model got wrong.
        """
        used = {call.id for item in memory for call in item.tool_calls}
        step = 1 + sum(item.type is MemoryType.ASSISTANT for item in memory)
        planned = []
        for index, call in enumerate(reply.tool_calls):
            call_id = _fresh_id(call.id, fallback=f"call_{step}_{index}", used=used)
            used.add(call_id)
            planned.append(_plan(call, call_id, actions, cut_off=reply.finish_reason == "length"))
        return tuple(planned)

    def observation(self, call: ToolCall, result: ActionResult) -> MemoryItem:
        """Return the result or the short cause; its time stays out, so that the same session gives the same prompt."""
        if not result.tool_executed:
            content = _compact({"error": result.error})
        else:
            content = result.result if isinstance(result.result, str) else _compact(result.result)
        return MemoryItem(MemoryType.ENVIRONMENT, self._shortened(content), tool_call_id=call.id, tool_name=call.name)

    def reminder(self, reply: ModelReply, *, actions: ActionRegistry) -> MemoryItem:
        """Return a user message that asks for a call and names the tools."""
        why = "was cut off before it called a tool" if reply.finish_reason == "length" else "called no tool"
        names = ", ".join(action.name for action in actions.get_actions())
        return MemoryItem(MemoryType.USER, f"Your reply {why}. Go on by calling one of these tools: {names}.")

    def give_way(self) -> bool:
        """Return that there is no other form."""
        return False

    def _shortened(self, content: str) -> str:
        left_out = len(content) - self._settings.observation_characters
        if left_out <= 0:
            return content
        return f"{content[: self._settings.observation_characters]}… ({left_out} more characters left out)"


def _in_turns(messages: Sequence[JsonObject]) -> tuple[JsonObject, ...]:
    """Let the assistant have a turn between a tool's result and the user.

    It said nothing there; but where a template tells results as the user's words, two users in a row are refused.
    """
    told: list[JsonObject] = []
    for message in messages:
        if told and told[-1]["role"] == "tool" and message["role"] == "user":
            told.append(assistant_message("…"))
        told.append(message)
    return tuple(told)


def _split(items: tuple[MemoryItem, ...]) -> tuple[tuple[MemoryItem, ...], tuple[MemoryItem, ...]]:
    """Part what stands before the first reply, and is told in every prompt, from the conversation."""
    opening_types = (MemoryType.SYSTEM, MemoryType.USER)
    end = next((i for i, item in enumerate(items) if item.type not in opening_types), len(items))
    return items[:end], items[end:]


def _latest(items: tuple[MemoryItem, ...], limit: int | None) -> tuple[MemoryItem, ...]:
    window = items if limit is None else items[max(0, len(items) - limit) :]
    # A result without the call it answers is refused by the server.
    start = next((i for i, item in enumerate(window) if item.type is not MemoryType.ENVIRONMENT), len(window))
    return window if limit is None else window[start:]


def _goal_messages(goals: Iterable[Goal]) -> tuple[JsonObject, ...]:
    text = "\n\n".join(f"{goal.name}:\n{goal.description}" for goal in by_priority(goals))
    return (system_message(text),) if text else ()


def _message(item: MemoryItem, *, leading: bool) -> JsonObject:
    match item.type:
        case MemoryType.SYSTEM:
            # Templates take a system message at the start only.
            return system_message(item.content) if leading else user_message(item.content)
        case MemoryType.USER:
            return user_message(item.content)
        case MemoryType.ASSISTANT:
            message = assistant_message(item.content)
            calls = [call.to_message() for call in item.tool_calls]
            return {**message, "tool_calls": calls} if calls else message
        case MemoryType.ENVIRONMENT:
            if item.tool_call_id is None:
                return user_message(item.content)
            return {"role": "tool", "tool_call_id": item.tool_call_id, "content": item.content}
        case unreachable:
            assert_never(unreachable)


def _fresh_id(given: str, *, fallback: str, used: set[str]) -> str:
    if given and given not in used:
        return given
    while fallback in used:
        fallback += "_"
    return fallback


def _plan(call: ToolCall, call_id: str, actions: ActionRegistry, *, cut_off: bool) -> PlannedCall:
    action = actions.get_action(call.name)
    name = action.name if action else call.name or _UNNAMED_TOOL
    arguments, problem = _arguments(call.arguments, cut_off=cut_off)
    if action is None:
        known = ", ".join(known.name for known in actions.get_actions())
        problem = f"there is no tool `{name}`; the tools are: {known}"
    return PlannedCall(ToolCall(call_id, name, _compact(arguments)), action, arguments, problem)


def _arguments(text: str, *, cut_off: bool) -> tuple[JsonObject, str]:
    """Return the arguments, or none and what is wrong with them."""
    try:
        value = read_json(text) if text.strip() else {}
        # Some models write the object as JSON within a JSON string.
        value = read_json(value) if isinstance(value, str) else value
    except NotJson as error:
        if cut_off:
            return {}, "the call was cut off before its end because the reply became too long; call again, shorter"
        return {}, f"the arguments are not JSON: {error}; they were {text[:_MAX_QUOTE_CHARACTERS]!r}"
    if value is None:
        return {}, ""
    if not isinstance(value, dict):
        return {}, f"the arguments must be a JSON object, not {text[:_MAX_QUOTE_CHARACTERS]!r}"
    return value, ""


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
