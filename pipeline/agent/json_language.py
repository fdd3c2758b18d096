"""The language for models that cannot call tools: each step is one JSON object that names a tool and its arguments.

The server constrains the object by grammar, so a small model cannot get its form wrong. The tools are described in the
system message; nothing in a prompt differs from step to step but its end, also when tools ask the model themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import structlog

from pipeline.agent.action import Action, ActionRegistry
from pipeline.agent.environment import ActionResult
from pipeline.agent.goal import Goal
from pipeline.agent.json_answer import json_candidates
from pipeline.agent.language import AgentLanguage, FunctionCallingLanguage, LanguageSettings, PlannedCall, Prompt
from pipeline.agent.memory import Memory, MemoryItem, MemoryType
from pipeline.agent.messages import assistant_message, merge_same_role, system_message, user_message
from pipeline.llm.protocol import JsonObject, ModelReply, ToolCall

_log = structlog.get_logger()

_SCHEMA_NAME = "action"
_HOW_TO_ACT = """\
Tools:
You act by answering with one JSON object and nothing else: {{"tool": "<name>", "arguments": {{…}}}}. Each answer \
calls one tool; its result comes back as the next message. These are the tools, with their arguments as JSON Schema:
{tools}"""


class JsonActionLanguage:
    """Speak with a model in constrained JSON, one action a step; roles alternate and no message carries a call."""

    def __init__(self, settings: LanguageSettings | None = None) -> None:
        self._calling = FunctionCallingLanguage(settings)

    def construct_prompt(self, *, goals: Sequence[Goal], memory: Memory, actions: ActionRegistry) -> Prompt:
        """Return goals and tools as system message, the memory as a conversation, and the schema of an action."""
        prompt = self._calling.construct_prompt(goals=goals, memory=memory, actions=actions)
        if not actions.get_actions():
            return prompt
        told = merge_same_role(_told(prompt.messages))
        system = system_message(_HOW_TO_ACT.format(tools="\n".join(map(_described, actions.get_actions()))))
        if told and told[0]["role"] == "system":
            (system, told) = merge_same_role((told[0], system))[0], told[1:]
        schema = {"schema": action_schema(actions), "schema_name": _SCHEMA_NAME}
        return Prompt(messages=(system, *told), metadata=schema)

    def parse_response(self, reply: ModelReply, *, memory: Memory, actions: ActionRegistry) -> tuple[PlannedCall, ...]:
        """Return the call that the reply's JSON names; a model that calls tools after all is understood as well."""
        if not reply.tool_calls and (call := _named_call(reply)) is not None:
            reply = replace(reply, tool_calls=(call,))
        return self._calling.parse_response(reply, memory=memory, actions=actions)

    def observation(self, call: ToolCall, result: ActionResult) -> MemoryItem:
        """Return the result, as it is remembered in every language."""
        return self._calling.observation(call, result)

    def reminder(self, reply: ModelReply, *, actions: ActionRegistry) -> MemoryItem:
        """Return a user message that asks for a call and names the tools."""
        return self._calling.reminder(reply, actions=actions)

    def give_way(self) -> bool:
        """Return that there is no other form."""
        return False


class AdaptiveLanguage:
    """Speak by tool calls until the model has failed at them `patience` times, then in JSON to the session's end.

    So it does at once where the server refuses the form of a request, as chat templates do that know no tools. With
    `begins_in_json` it is the other way round: JSON, and tool calls if JSON is refused. The decision is read off the
    memory and the recorded refusals alone, so that a recorded session decides the same again. `proved` names the
    language it changed to once that was answered, for whoever remembers it for the next session; failures at a task
    that was told shorter since prove nothing, for it may have been too long.
    """

    def __init__(
        self, settings: LanguageSettings | None = None, *, patience: int = 2, begins_in_json: bool = False
    ) -> None:
        self._calling = FunctionCallingLanguage(settings)
        self._json = JsonActionLanguage(settings)
        self._patience = patience
        self._begins_in_json = begins_in_json
        self.told_in_json = begins_in_json
        self.proved: Literal["tools", "json", ""] = ""
        self._failed_at: MemoryItem | None = None

    def construct_prompt(self, *, goals: Sequence[Goal], memory: Memory, actions: ActionRegistry) -> Prompt:
        """Return the prompt in the language of the moment."""
        if not (self.told_in_json or self._begins_in_json) and _failures(memory) >= self._patience:
            self._failed_at = _task(memory)
            self._change(failed_calls=self._patience)
        return self._spoken.construct_prompt(goals=goals, memory=memory, actions=actions)

    def parse_response(self, reply: ModelReply, *, memory: Memory, actions: ActionRegistry) -> tuple[PlannedCall, ...]:
        """Return the calls of a reply in the language of the moment."""
        calls = self._spoken.parse_response(reply, memory=memory, actions=actions)
        if calls and self.told_in_json != self._begins_in_json and self._failed_at in (None, _task(memory)):
            self.proved = "json" if self.told_in_json else "tools"
        return calls

    def observation(self, call: ToolCall, result: ActionResult) -> MemoryItem:
        """Return what is remembered of an action's result."""
        return self._spoken.observation(call, result)

    def reminder(self, reply: ModelReply, *, actions: ActionRegistry) -> MemoryItem:
        """Return what is said to a model that called no tool."""
        return self._spoken.reminder(reply, actions=actions)

    def give_way(self) -> bool:
        """Change to the other language, once: JSON needs neither tools nor their role, and tools need no schema."""
        if self.told_in_json != self._begins_in_json:
            return False
        self._change(refused=True)
        return True

    def _change(self, **why: int) -> None:
        self.told_in_json = not self.told_in_json
        _log.info("language.changed", to="json" if self.told_in_json else "tools", **why)

    @property
    def _spoken(self) -> AgentLanguage:
        return self._json if self.told_in_json else self._calling


def action_schema(actions: ActionRegistry) -> JsonObject:
    """Return the schema of one action: a tool's name with that tool's arguments."""
    choices = [
        {
            "type": "object",
            "properties": {"tool": {"type": "string", "enum": [action.name]}, "arguments": action.parameters},
            "required": ["tool", "arguments"],
            "additionalProperties": False,
        }
        for action in actions.get_actions()
    ]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _described(action: Action) -> str:
    parameters = json.dumps(action.parameters, ensure_ascii=False, separators=(",", ":"))
    return f"- {action.name}: {action.description}\n  arguments: {parameters}"


def _told(messages: Iterable[JsonObject]) -> Iterable[JsonObject]:
    """Tell calls as the JSON that made them, and results as messages of the user."""
    names: dict[str, str] = {}
    for message in messages:
        calls = message.get("tool_calls") or ()
        names |= {call["id"]: call["function"]["name"] for call in calls}
        if calls:
            yield assistant_message("\n".join(_written(call["function"]) for call in calls))
        elif message["role"] == "tool":
            yield user_message(f"Result of {names.get(message['tool_call_id'], 'the tool')}:\n{message['content']}")
        else:
            yield message


def _written(function: JsonObject) -> str:
    return f'{{"tool":{json.dumps(function["name"])},"arguments":{function["arguments"]}}}'


def _named_call(reply: ModelReply) -> ToolCall | None:
    for candidate in json_candidates(reply):
        if isinstance(candidate, dict) and isinstance(candidate.get("tool"), str):
            arguments = candidate.get("arguments")
            return ToolCall("", candidate["tool"], json.dumps(arguments, ensure_ascii=False, default=_number))
    return None


def _number(value: Any) -> float:
    """Write an exact decimal as JSON does."""
    return float(value)


def _task(memory: Memory) -> MemoryItem | None:
    return next((item for item in memory if item.type is MemoryType.USER), None)


def _failures(memory: Memory) -> int:
    """Count the replies that held no call, and the calls that could not be understood."""
    items = memory.get_memories()
    start = next((i for i, item in enumerate(items) if item.type in (MemoryType.ASSISTANT, MemoryType.ENVIRONMENT)), 0)
    # Before the first reply a user speaks once, or for each page; after it only to remind.
    reminders = sum(item.type is MemoryType.USER for item in items[start:])
    return reminders + sum(item.type is MemoryType.ENVIRONMENT and _is_misunderstood(item) for item in items)


def _is_misunderstood(item: MemoryItem) -> bool:
    text = item.content if isinstance(item.content, str) else ""
    return text.startswith(('{"error":"there is no tool', '{"error":"the arguments'))
