import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.agent import (
    Action,
    ActionRegistry,
    ActionResult,
    FunctionCallingLanguage,
    Goal,
    LanguageSettings,
    Memory,
    MemoryItem,
    MemoryType,
    Prompt,
)
from pipeline.agent.language import PlannedCall
from pipeline.llm.protocol import JsonObject, ModelReply, ToolCall

LANGUAGE = FunctionCallingLanguage()


async def look(place: str = "") -> str:
    """Look somewhere."""
    return place


ACTIONS = ActionRegistry(tool_names=[])
ACTIONS.register(Action.from_function(look))


def user(text: str) -> MemoryItem:
    return MemoryItem(MemoryType.USER, text)


def asked(call_id: str) -> MemoryItem:
    return MemoryItem(MemoryType.ASSISTANT, "", (ToolCall(call_id, "look", "{}"),))


def found(call_id: str) -> MemoryItem:
    return MemoryItem(MemoryType.ENVIRONMENT, "there", tool_call_id=call_id, tool_name="look")


def prompt(*items: MemoryItem, goals: tuple[Goal, ...] = (), limit: int | None = None) -> Prompt:
    language = FunctionCallingLanguage(LanguageSettings(memory_items=limit))
    return language.construct_prompt(goals=goals, memory=Memory(items), actions=ACTIONS)


def parse(*calls: ToolCall, memory: tuple[MemoryItem, ...] = (), finish: str = "tool_calls") -> tuple[PlannedCall, ...]:
    reply = ModelReply(tool_calls=calls, finish_reason=finish)
    return LANGUAGE.parse_response(reply, memory=Memory(memory), actions=ACTIONS)


def test_goals_come_first_by_priority() -> None:
    """The system message holds the goals, highest priority first, before everything else."""
    told = prompt(user("task"), goals=(Goal("low", "later"), Goal("high", "at once", 9)))
    assert told.messages == (
        {"role": "system", "content": "high:\nat once\n\nlow:\nlater"},
        {"role": "user", "content": "task"},
    )
    assert told.tools[0]["function"]["name"] == "look"
    assert told.metadata == {"tool_choice": "auto"}


def test_no_goals_make_no_empty_system_message() -> None:
    """Without goals there is no system message."""
    assert prompt(user("task")).messages == ({"role": "user", "content": "task"},)


def test_a_call_and_its_result_are_told_with_the_same_id() -> None:
    """An assistant message carries the call, a tool message its result."""
    told = prompt(user("task"), asked("7"), found("7")).messages
    assert told[1]["tool_calls"] == [{"id": "7", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert told[2] == {"role": "tool", "tool_call_id": "7", "content": "there"}


def test_system_items_lead_or_become_user_messages() -> None:
    """A system item before the conversation joins the goals; a later one is told as user, since templates refuse it."""
    system = MemoryItem(MemoryType.SYSTEM, "rule")
    told = prompt(system, user("task"), asked("1"), found("1"), system, goals=(Goal("g", "d"),)).messages
    assert told[0]["content"] == "g:\nd\n\nrule"
    assert [message["role"] for message in told] == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_an_environment_item_without_a_call_is_told_as_user() -> None:
    """Something that happened without a call is a user message."""
    told = prompt(user("task"), MemoryItem(MemoryType.ENVIRONMENT, "it rains")).messages
    assert told == ({"role": "user", "content": "task\n\nit rains"},)


def test_a_window_keeps_the_first_messages_and_no_orphaned_result() -> None:
    """With a limit the opening is still told, then the latest items, without a result whose call is cut off."""
    items = (user("document"), asked("1"), found("1"), asked("2"), found("2"), user("go on"))
    roles = [message["role"] for message in prompt(*items, limit=4).messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    told = prompt(*items, limit=2).messages
    assert told == ({"role": "user", "content": "document\n\ngo on"},)


conversation = st.lists(st.sampled_from(["user", "step"]), max_size=6)


@given(conversation, conversation)
def test_a_longer_session_only_appends_to_its_prompt(before: list[str], after: list[str]) -> None:
    """What was told once is told again word for word, so that the server's prefix cache holds."""

    def items(kinds: list[str]) -> list[MemoryItem]:
        told: list[MemoryItem] = [user("task")]
        for number, kind in enumerate(kinds):
            told += [user(f"u{number}")] if kind == "user" else [asked(str(number)), found(str(number))]
        return told

    goals = (Goal("g", "d"),)
    short = prompt(*items([*before, "step"]), goals=goals).messages
    long = prompt(*items([*before, "step", *after]), goals=goals).messages
    assert long[: len(short)] == short


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"place": "x"}', {"place": "x"}),
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('"{\\"place\\": \\"x\\"}"', {"place": "x"}),
    ],
)
def test_arguments_are_read_in_every_form_that_models_use(text: str, arguments: JsonObject) -> None:
    """Empty text means no arguments, and an object within a JSON string is unpacked."""
    (planned,) = parse(ToolCall("1", "look", text))
    assert (planned.arguments, planned.problem) == (arguments, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"place": ', "not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"place": NaN}', "NaN"),
        ('{"place": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "not JSON"),
    ],
)
def test_broken_arguments_are_a_problem_and_are_not_told_again(text: str, message: str) -> None:
    """The problem says what is wrong; the call is remembered with empty arguments, which every template can read."""
    (planned,) = parse(ToolCall("1", "look", text))
    assert message in planned.problem
    assert len(planned.problem) < 1000
    assert planned.call == ToolCall("1", "look", "{}")


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    """The problem names the tools there are."""
    (planned,) = parse(ToolCall("1", "fly", "{}"))
    assert planned.action is None
    assert "`fly`" in planned.problem
    assert "look" in planned.problem


def test_a_nameless_call_is_remembered_under_a_name() -> None:
    """An empty name would make the server refuse the whole history."""
    (planned,) = parse(ToolCall("1", "", "{}"))
    assert planned.call.name == "unnamed_tool"
    assert "look" in planned.problem


def test_a_cut_off_reply_runs_only_whole_calls() -> None:
    """Of a reply that ran into its limit the whole calls stand; a broken one is said to be cut off."""
    whole, broken = parse(ToolCall("1", "look", "{}"), ToolCall("2", "look", '{"place": "ab'), finish="length")
    assert whole.problem == ""
    assert "cut off" in broken.problem


def test_missing_and_repeated_ids_are_replaced_deterministically() -> None:
    """Every call of a session has an id of its own, the same in every run."""
    calls = [ToolCall(call_id, "look", "{}") for call_id in ("", "9", "9", "8")]
    planned = parse(*calls, memory=(user("t"), asked("8"), found("8")))
    assert [one.call.id for one in planned] == ["call_2_0", "9", "call_2_2", "call_2_3"]


@given(st.lists(st.sampled_from(["", "a", "call_1_0", "call_1_1", "call_1_2"]), max_size=4))
def test_ids_never_clash(ids: list[str]) -> None:
    """Whatever ids a reply has, those remembered differ from each other."""
    planned = parse(*(ToolCall(call_id, "look", "{}") for call_id in ids))
    assert len({one.call.id for one in planned}) == len(ids)


@pytest.mark.parametrize(
    ("result", "content"),
    [
        (ActionResult(True, "text as it is", timestamp="2026"), "text as it is"),
        (ActionResult(True, {"a": [1, "ü"]}, timestamp="2026"), '{"a":[1,"ü"]}'),
        (ActionResult(True, None, timestamp="2026"), "null"),
        (ActionResult(False, error="why", traceback="secret", timestamp="2026"), '{"error":"why"}'),
    ],
)
def test_an_observation_tells_the_result_without_its_time(result: ActionResult, content: str) -> None:
    """The model gets the result or the short cause, neither the time nor the traceback."""
    item = LANGUAGE.observation(ToolCall("1", "look", "{}"), result)
    assert item == MemoryItem(MemoryType.ENVIRONMENT, content, tool_call_id="1", tool_name="look")


def test_a_long_observation_is_shortened_openly() -> None:
    """A result longer than the setting is cut, and says how much is missing."""
    language = FunctionCallingLanguage(LanguageSettings(observation_characters=200))
    item = language.observation(ToolCall("1", "look", "{}"), ActionResult(True, "x" * 350))
    assert item.content == "x" * 200 + "… (150 more characters left out)"


@pytest.mark.parametrize(("finish", "words"), [("stop", "called no tool"), ("length", "cut off")])
def test_a_reminder_names_the_tools(finish: str, words: str) -> None:
    """Text instead of a call is answered by a user message that names the tools."""
    item = LANGUAGE.reminder(ModelReply(text="well", finish_reason=finish), actions=ACTIONS)
    assert item.type is MemoryType.USER
    assert words in item.content
    assert "look" in item.content


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=9), json_values, max_size=3))
def test_good_arguments_are_remembered_as_they_were(arguments: JsonObject) -> None:
    """What the model wrote and what is told back to it mean the same."""
    (planned,) = parse(ToolCall("1", "look", json.dumps(arguments)))
    assert planned.arguments == arguments
    assert json.loads(planned.call.arguments) == arguments
