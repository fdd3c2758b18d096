import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.agent import (
    Action,
    ActionContext,
    ActionRegistry,
    Agent,
    CompletionSettings,
    Goal,
    Memory,
    MemoryType,
    Meter,
    SessionLimits,
    SessionOutcome,
    Steps,
    StopReason,
    ToolError,
)
from pipeline.errors import HostFault, SessionLimit
from pipeline.llm.protocol import JsonObject, ModelReply, ModelRequest, Usage
from pipeline.llm.scripted import ScriptedModel, calls, says

FINISH = calls(("finish", {"word": "done"}))


async def look(context: ActionContext, place: str) -> str:
    """Look somewhere."""
    return f"{place} {context.get('view', 'is empty')}"


async def think(context: ActionContext, times: int = 1) -> list[str]:
    """Ask the model something."""
    request = ModelRequest(messages=({"role": "user", "content": "think"},))
    return [(await context.model.complete(request)).text for _ in range(times)]


async def finish(word: str) -> str:
    """End the session."""
    if word == "early":
        raise ToolError("not yet")
    return word


def agent(*replies: Any, usage: Usage | None = None, **options: Any) -> tuple[Agent, ScriptedModel]:
    return agent_with(ScriptedModel(replies, usage=usage), **options)


def agent_with(model: ScriptedModel, **options: Any) -> tuple[Agent, ScriptedModel]:
    actions = ActionRegistry(tool_names=[])
    for function in (look, think, finish):
        actions.register(Action.from_function(function, terminal=function is finish))
    return Agent([Goal("find", "Find the word.")], actions, model, **options), model


def roles(outcome: SessionOutcome) -> list[str]:
    return [item.type.value for item in outcome.memory]


async def test_the_loop_goes_on_until_a_terminal_action_succeeds() -> None:
    """Ask, act, remember, and end with what the terminal action returned."""
    one, model = agent(calls(("look", {"place": "attic"})), FINISH, usage=Usage(10, 2))
    outcome = await one.run("find it")
    assert (outcome.stop, outcome.result, outcome.action) == (StopReason.TERMINATED, "done", "finish")
    assert (outcome.steps, outcome.model_calls, outcome.usage) == (2, 2, Usage(20, 4))
    assert roles(outcome) == ["user", "assistant", "environment", "assistant", "environment"]
    assert model.requests[1].messages[-1]["content"] == "attic is empty"
    assert model.requests[0].tool_choice == "auto"
    assert [tool["function"]["name"] for tool in model.requests[0].tools] == ["look", "think", "finish"]


async def test_properties_reach_the_tools() -> None:
    """What the embedding program puts into the context is what tools find there."""
    one, model = agent(calls(("look", {"place": "attic"})), FINISH)
    await one.run("find it", context=ActionContext(properties={"view": "is full"}))
    assert model.requests[1].messages[-1]["content"] == "attic is full"


async def test_all_calls_of_a_reply_are_run_in_order() -> None:
    """Each call of a reply gets its own result under its own id."""
    one, model = agent(calls(("look", {"place": "a"}), ("fly", {}), ("look", {"place": "b"})), FINISH)
    outcome = await one.run("find it")
    results = [item for item in outcome.memory if item.type is MemoryType.ENVIRONMENT]
    assert [item.tool_call_id for item in results[:3]] == ["script_0", "script_1", "script_2"]
    assert results[0].content == "a is empty"
    assert "no tool `fly`" in str(results[1].content)
    assert results[2].content == "b is empty"
    assert model.remaining == 0


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (calls(("fly", {})), "the tools are: look, think, finish"),
        (calls(("look", "{broken")), "not JSON"),
        (calls(("look", {"where": "attic"})), "`place` is missing"),
        (calls(("look", '{"place": "att'), finish_reason="length"), "cut off"),
        (calls(("finish", {"word": "early"})), "not yet"),
    ],
)
async def test_a_mistake_of_the_model_is_an_observation(mistake: ModelReply, told: str) -> None:
    """Whatever is wrong with a call, the model hears it and may mend it."""
    one, model = agent(mistake, FINISH)
    assert (await one.run("find it")).result == "done"
    assert told in model.requests[1].messages[-1]["content"]


async def test_the_end_waits_for_failures_of_the_same_reply() -> None:
    """A terminal call after a failed one is not run, since the model has not seen the failure."""
    one, model = agent(calls(("fly", {}), ("finish", {"word": "a"})), FINISH)
    outcome = await one.run("find it")
    assert (outcome.result, outcome.steps) == ("done", 2)
    assert "earlier call" in model.requests[1].messages[-1]["content"]


async def test_calls_after_the_end_are_still_run() -> None:
    """The calls after a terminal one are run too, so that none is without its result; the first end counts."""
    one, _ = agent(calls(("finish", {"word": "a"}), ("look", {"place": "b"}), ("finish", {"word": "c"})))
    outcome = await one.run("find it")
    assert outcome.result == "a"
    assert roles(outcome).count("environment") == 3


async def test_text_is_answered_by_a_bounded_number_of_reminders() -> None:
    """A model that calls nothing is reminded, and its text is the result when the reminders are used up."""
    one, model = agent(says("one"), says("two"), says("three"), limits=SessionLimits(reminders=2))
    outcome = await one.run("find it")
    assert (outcome.stop, outcome.result, outcome.action) == (StopReason.NO_TOOL_CALL, "three", None)
    assert "called no tool" in model.requests[2].messages[-1]["content"]


async def test_a_call_starts_the_reminders_anew() -> None:
    """Only replies in a row count against the reminders."""
    look_then_talk = [calls(("look", {"place": "a"})), says("hm")]
    one, _ = agent(says("hm"), *look_then_talk, FINISH, limits=SessionLimits(reminders=1))
    assert (await one.run("find it")).stop is StopReason.TERMINATED


async def test_an_empty_reply_leaves_no_empty_message() -> None:
    """A reply of nothing is reminded of, and roles still alternate."""
    one, model = agent(says(""), FINISH)
    await one.run("find it")
    assert [message["role"] for message in model.requests[1].messages] == ["system", "user"]


async def test_a_cut_off_reply_gets_more_room_once() -> None:
    """After a reply that ran into max_tokens the next ones may be twice as long, and never longer."""
    cut_off = says("so", finish_reason="length")
    one, model = agent(cut_off, cut_off, FINISH, completion=CompletionSettings(max_tokens=100))
    await one.run("find it")
    assert [request.max_tokens for request in model.requests] == [100, 200, 200]


async def test_an_agent_without_tools_answers_in_text() -> None:
    """Where there is nothing to call, the first text is the result."""
    model = ScriptedModel([says("hello")])
    outcome = await Agent([], ActionRegistry(tool_names=[]), model).run("greet")
    assert (outcome.result, outcome.stop) == ("hello", StopReason.NO_TOOL_CALL)
    assert model.requests[0].tool_choice is None


LOOKS = [calls(("look", {"place": str(number)})) for number in range(5)]


async def test_steps_are_limited() -> None:
    """The limit of steps is the smaller of the agent's and the call's, and names itself."""
    for limits, iterations in ((SessionLimits(steps=2), 50), (SessionLimits(), 2)):
        one, model = agent(*LOOKS, limits=limits)
        with pytest.raises(SessionLimit) as raised:
            await one.run("find it", None, iterations)
        assert raised.value.limit == "steps"
        assert len(model.requests) == 2


async def test_seconds_are_limited() -> None:
    """When the time is up no further call is made."""
    times = iter([0.0, 1.0, 11.0])
    one, model = agent(*LOOKS, limits=SessionLimits(seconds=10), clock=lambda: next(times))
    with pytest.raises(SessionLimit, match="11 of 10 seconds") as raised:
        await one.run("find it")
    assert raised.value.limit == "seconds"
    assert len(model.requests) == 1


class Waited(ScriptedModel):
    """A model whose calls have waited so long each."""

    @property
    def waited_seconds(self) -> float:
        return 600.0 * (1 + len(self.requests))

    async def absence(self) -> str:
        return ""

    async def ready(self) -> None:
        return None


async def test_waiting_for_the_server_is_not_the_sessions_time() -> None:
    """A server that is away or busy for hours ends no session; nor does what waited before the session count."""
    clock = iter([0.0, 1.0, 700.0, 1300.0])
    one, _ = agent_with(Waited([*LOOKS[:2], FINISH]), limits=SessionLimits(seconds=110), clock=lambda: next(clock))
    assert (await one.run("find it")).stop is StopReason.TERMINATED


async def test_tokens_are_limited_and_those_of_tools_count() -> None:
    """A tool that asks the model spends from the same budget, and is stopped within it."""
    thoughts = [says("hm")] * 9
    one, model = agent(calls(("think", {"times": 9})), *thoughts, usage=Usage(8, 2), limits=SessionLimits(tokens=35))
    meter = Meter()
    with pytest.raises(SessionLimit) as raised:
        await one.run("find it", meter=meter)
    assert raised.value.limit == "tokens"
    assert (len(model.requests), meter.tokens, meter.model_calls) == (4, 40, 4)


@pytest.mark.parametrize("call", [("look", {"place": "a"}), ("look", "{broken"), ("fly", {})])
async def test_the_same_call_again_and_again_ends_the_session(call: tuple[str, Any]) -> None:
    """The same call with the same arguments, good or bad, is a loop without progress."""
    one, model = agent(*[calls(call)] * 5, limits=SessionLimits(repeated_calls=3))
    with pytest.raises(SessionLimit) as raised:
        await one.run("find it")
    assert raised.value.limit == "repeated_calls"
    assert len(model.requests) == 3


async def test_calls_that_differ_are_no_repetition() -> None:
    """Other arguments in between start the count anew."""
    one, _ = agent(LOOKS[0], LOOKS[0], LOOKS[1], LOOKS[0], LOOKS[0], FINISH)
    assert (await one.run("find it")).steps == 6


async def test_a_second_run_goes_on_in_the_same_memory() -> None:
    """A memory given is appended to, ids stay unique, and the start of the prompt stays the same."""
    one, model = agent(FINISH, FINISH)
    first = await one.run("find it")
    second = await one.run("look again", first.memory)
    ids = [call.id for item in second.memory for call in item.tool_calls]
    assert len(set(ids)) == 2
    assert model.requests[1].messages[:2] == model.requests[0].messages
    assert model.requests[1].messages[-1]["content"] == "look again"


async def test_errors_of_the_host_pass_through() -> None:
    """A dead host ends the run and is no observation, in the loop and within a tool."""
    for replies in ([HostFault("away")], [calls(("think", {})), HostFault("away")]):
        one, _ = agent(*replies)
        with pytest.raises(HostFault):
            await one.run("find it")


class RecordedSteps:
    """Keep what steps returned, and answer from it in a later run: durability without a disk."""

    def __init__(
        self, record: dict[str, JsonObject], *, scope: str = "", notes: list[JsonObject] | None = None
    ) -> None:
        self._record = record
        self._scope = scope
        self._count = 0
        self.notes: list[JsonObject] = [] if notes is None else notes

    async def run(
        self, name: str, request: JsonObject, function: Callable[[Steps], Awaitable[JsonObject]]
    ) -> JsonObject:
        key = self._key(name)
        self._count += 1
        asked = json.dumps(request, sort_keys=True)
        if key not in self._record:
            result = await function(RecordedSteps(self._record, scope=key, notes=self.notes))
            self._record[key] = {"asked": asked, "result": json.dumps(result)}
        assert self._record[key]["asked"] == asked
        answer: JsonObject = json.loads(self._record[key]["result"])
        return answer

    def note(self, event: str, **fields: Any) -> None:
        self.notes.append({"event": event, **fields})

    def holds(self, name: str) -> bool:
        return self._key(name) in self._record

    def _key(self, name: str) -> str:
        return f"{self._scope}/{name}#{self._count}"


SESSION = [calls(("think", {"times": 2})), says("a"), says("b"), calls(("look", {"place": "x"})), FINISH]


async def test_a_recorded_session_runs_again_without_a_model() -> None:
    """From the record of its steps a session takes the same way to the same result at the same cost."""
    record: dict[str, JsonObject] = {}
    one, _ = agent(*SESSION, usage=Usage(10, 5))
    first = await one.run("find it", steps=RecordedSteps(record))
    again, silent = agent()
    second = await again.run("find it", steps=RecordedSteps(record))
    assert silent.requests == []
    assert second.memory.to_json() == first.memory.to_json()
    assert replace(second, memory=first.memory) == first
    assert first.model_calls == 5


@pytest.mark.parametrize("asked_before", range(1, 5))
async def test_a_session_that_broke_off_goes_on_where_it_was(asked_before: int) -> None:
    """After a fault at any model call the next run repeats no call that was answered, and costs the same in sum."""
    record: dict[str, JsonObject] = {}
    broken, _ = agent(*SESSION[:asked_before], HostFault("away"), usage=Usage(10, 5))
    with pytest.raises(HostFault):
        await broken.run("find it", steps=RecordedSteps(record))
    resumed, model = agent(*SESSION[asked_before:], usage=Usage(10, 5))
    outcome = await resumed.run("find it", steps=RecordedSteps(record))
    assert (outcome.result, outcome.model_calls, outcome.usage) == ("done", 5, Usage(50, 25))
    assert model.remaining == 0


async def test_every_memory_is_noted() -> None:
    """Each item that is remembered is told to the steps, in a form that rebuilds the memory."""
    one, _ = agent(*SESSION)
    steps = RecordedSteps({})
    outcome = await one.run("find it", steps=steps)
    assert {note.pop("event") for note in steps.notes} == {"memory.added"}
    assert list(Memory.from_json(steps.notes)) == list(outcome.memory)


async def test_the_time_of_a_result_stays_out_of_the_prompt() -> None:
    """Two runs at different times ask the model exactly the same."""
    asked = []
    for _ in range(2):
        one, model = agent(*SESSION)
        await one.run("find it")
        asked.append([request.fingerprint() for request in model.requests])
    assert asked[0] == asked[1]


async def test_a_model_that_never_acted_is_told_the_task_in_its_shorter_form_before_it_is_given_up() -> None:
    """A server may answer anything to a prompt it had no room for; if that was not it, the session ends."""
    talk = [says("@@@@")] * 3
    one, model = agent(*talk, FINISH)
    outcome = await one.run("a long task", shorter_task="a short task")
    assert (outcome.stop, outcome.result) == (StopReason.TERMINATED, "done")
    assert [request.messages[1]["content"] for request in model.requests] == [*["a long task"] * 3, "a short task"]

    two, model = agent(*talk, *talk[:2])
    assert (await two.run("a long task", shorter_task="a short task")).stop is StopReason.NO_TOOL_CALL
    assert model.remaining == 0


async def test_a_model_that_has_acted_had_room_for_its_task() -> None:
    """It is given up after its reminders, as one without a shorter task."""
    one, model = agent(calls(("look", {"place": "x"})), *[says("well")] * 3)
    assert (await one.run("a long task", shorter_task="a short task")).stop is StopReason.NO_TOOL_CALL
    assert model.remaining == 0
