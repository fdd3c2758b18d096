"""Acting by JSON: for models that cannot call tools."""

from __future__ import annotations

import json
from itertools import pairwise

import jsonschema
import pytest

from pipeline.agent.action import Action, ActionRegistry
from pipeline.agent.environment import ActionResult
from pipeline.agent.goal import Goal
from pipeline.agent.json_language import AdaptiveLanguage, JsonActionLanguage, action_schema
from pipeline.agent.language import AgentLanguage, FunctionCallingLanguage
from pipeline.agent.memory import Memory, MemoryItem, MemoryType
from pipeline.llm.protocol import ModelReply, ToolCall
from pipeline.llm.scripted import calls, says

GOALS = [Goal("Weigh", "Weigh what you are given.")]


def weigh(thing: str, times: int = 1) -> int:
    """Put a thing on the scale."""
    return len(thing) * times


def stop(message: str) -> str:
    """End here."""
    return message


@pytest.fixture
def actions() -> ActionRegistry:
    registry = ActionRegistry(tool_names=[])
    registry.register(Action.from_function(weigh))
    registry.register(Action.from_function(stop, terminal=True))
    return registry


def talk(language: AgentLanguage, actions: ActionRegistry, memory: Memory, *replies: ModelReply) -> None:
    """Play replies: their calls are answered, a reply without one is reminded."""
    for reply in replies:
        planned = language.parse_response(reply, memory=memory, actions=actions)
        memory.add_memory(MemoryItem(MemoryType.ASSISTANT, reply.text, tuple(one.call for one in planned)))
        for one in planned:
            result = ActionResult(tool_executed=not one.problem, result=7, error=one.problem or None)
            memory.add_memory(language.observation(one.call, result))
        if not planned:
            memory.add_memory(language.reminder(reply, actions=actions))
        language.construct_prompt(goals=GOALS, memory=memory, actions=actions)


def test_the_tools_stand_in_the_text_and_the_schema(actions: ActionRegistry) -> None:
    """Nothing is sent as a tool; the system message describes them, and the schema lets nothing else be said."""
    memory = Memory([MemoryItem(MemoryType.USER, "a feather")])
    prompt = JsonActionLanguage().construct_prompt(goals=GOALS, memory=memory, actions=actions)

    assert prompt.tools == ()
    assert [message["role"] for message in prompt.messages] == ["system", "user"]
    assert all(word in prompt.messages[0]["content"] for word in ("Weigh what", "weigh", "Put a thing", "End here"))
    jsonschema.validate({"tool": "weigh", "arguments": {"thing": "feather"}}, prompt.metadata["schema"])
    for wrong in ({"tool": "paint", "arguments": {}}, {"tool": "weigh", "arguments": {"message": "x"}}, "weigh"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, action_schema(actions))


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "weigh", "arguments": {"thing": "feather", "times": 2}}',
        'I weigh it.\n```json\n{"tool": "weigh", "arguments": {"thing": "feather", "times": 2}}\n```',
    ],
)
def test_a_json_answer_is_a_call(text: str, actions: ActionRegistry) -> None:
    """The object is found in the answer, and becomes a call like any other."""
    reply = ModelReply(text=text)
    (planned,) = JsonActionLanguage().parse_response(reply, memory=Memory(), actions=actions)

    assert (planned.action, planned.problem) == (actions.get_action("weigh"), "")
    assert planned.arguments == {"thing": "feather", "times": 2}


def test_an_answer_without_an_action_is_no_call(actions: ActionRegistry) -> None:
    """Prose, or JSON of another form, is reminded as in every language."""
    for text in ("I would weigh it.", '{"weight": 7}', ""):
        assert JsonActionLanguage().parse_response(ModelReply(text=text), memory=Memory(), actions=actions) == ()


def test_roles_alternate_and_the_prompt_only_grows(actions: ActionRegistry) -> None:
    """Calls are told as the assistant's JSON, results as the user's words, and what was told is never changed."""
    language, memory = JsonActionLanguage(), Memory([MemoryItem(MemoryType.USER, "a feather")])
    call = ModelReply(text='{"tool": "weigh", "arguments": {"thing": "feather"}}')
    prompts = []
    for _ in range(3):
        prompts.append(language.construct_prompt(goals=GOALS, memory=memory, actions=actions))
        talk(language, actions, memory, call)

    roles = [message["role"] for message in prompts[-1].messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert json.loads(prompts[-1].messages[2]["content"]) == {"tool": "weigh", "arguments": {"thing": "feather"}}
    assert prompts[-1].messages[3]["content"] == "Result of weigh:\n7"
    assert all(later.messages[: len(sooner.messages)] == sooner.messages for sooner, later in pairwise(prompts))


def broken_call() -> ModelReply:
    return ModelReply(tool_calls=(ToolCall("1", "weigh", '{"thing": "fea'),), finish_reason="tool_calls")


@pytest.mark.parametrize("bad", [ModelReply(text="I would weigh it."), broken_call()])
def test_after_two_failures_the_session_goes_on_in_json(bad: ModelReply, actions: ActionRegistry) -> None:
    """One failure is forgiven, two change the language; another session over the same memory changes it as well."""
    language, memory = AdaptiveLanguage(), Memory([MemoryItem(MemoryType.USER, "a feather")])
    talk(language, actions, memory, bad)
    assert not language.told_in_json
    talk(language, actions, memory, bad)
    assert language.told_in_json

    again = AdaptiveLanguage()
    prompt = again.construct_prompt(goals=GOALS, memory=memory, actions=actions)
    assert again.told_in_json
    assert (prompt.tools, "schema" in prompt.metadata) == ((), True)


@pytest.mark.parametrize(("told_later", "proved"), [("a feather", "json"), ("a shorter feather", "")])
def test_failures_at_a_task_that_was_too_long_prove_nothing(
    told_later: str, proved: str, actions: ActionRegistry
) -> None:
    """Whether tools or the task's length were too much shows only where the task stayed as it was."""
    language, memory = AdaptiveLanguage(), Memory([MemoryItem(MemoryType.USER, "a feather")])
    talk(language, actions, memory, ModelReply(text="@@@@"))
    talk(language, actions, memory, ModelReply(text="@@@@"))
    language.construct_prompt(goals=GOALS, memory=memory, actions=actions)
    later = Memory([MemoryItem(MemoryType.USER, told_later), *list(memory)[1:]])
    language.parse_response(says('{"tool": "weigh", "arguments": {}}'), memory=later, actions=actions)
    assert (language.told_in_json, language.proved) == (True, proved)


def test_a_tool_that_fails_changes_nothing(actions: ActionRegistry) -> None:
    """Only what was not understood counts; a refusal by a tool is work as usual."""
    language, memory = AdaptiveLanguage(), Memory([MemoryItem(MemoryType.USER, "a feather")])
    good = ModelReply(tool_calls=(ToolCall("", "weigh", '{"thing": "feather"}'),))
    for _ in range(4):
        (planned,) = language.parse_response(good, memory=memory, actions=actions)
        memory.add_memory(MemoryItem(MemoryType.ASSISTANT, "", (planned.call,)))
        memory.add_memory(language.observation(planned.call, ActionResult(tool_executed=False, error="not stored yet")))
        assert language.construct_prompt(goals=GOALS, memory=memory, actions=actions).tools
    assert not language.told_in_json


def test_between_a_result_and_a_reminder_the_assistant_has_a_turn(actions: ActionRegistry) -> None:
    """Templates that tell results as the user's words get no two users in a row, also after an empty reply."""
    language, memory = FunctionCallingLanguage(), Memory([MemoryItem(MemoryType.USER, "a feather")])
    talk(language, actions, memory, ModelReply(tool_calls=(ToolCall("1", "weigh", '{"thing": "feather"}'),)))
    memory.add_memory(language.reminder(ModelReply(), actions=actions))
    prompt = language.construct_prompt(goals=GOALS, memory=memory, actions=actions)

    assert [message["role"] for message in prompt.messages][-3:] == ["tool", "assistant", "user"]


@pytest.mark.parametrize("begins_in_json", [False, True])
def test_a_refused_form_gives_way_to_the_other_once(begins_in_json: bool, actions: ActionRegistry) -> None:
    """A template without tools gets JSON, an engine without grammars gets tools, and neither goes back and forth."""
    language = AdaptiveLanguage(begins_in_json=begins_in_json)
    assert language.give_way()
    assert not language.give_way()
    prompt = language.construct_prompt(goals=(), memory=Memory([MemoryItem(MemoryType.USER, "go")]), actions=actions)
    assert bool(prompt.tools) is begins_in_json
    assert language.proved == ""
    call = calls(("weigh", {"thing": "a"})) if begins_in_json else says('{"tool": "weigh", "arguments": {}}')
    language.parse_response(call, memory=Memory(), actions=actions)
    assert language.proved == ("tools" if begins_in_json else "json")
