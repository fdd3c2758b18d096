"""Durable steps: run once, answered from the record ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.agent.steps import Steps
from pipeline.disk import Disk
from pipeline.errors import HostFault, ReplayDiverged
from pipeline.job import JobRecord, fold
from pipeline.journal import Journal, into, open_journal
from pipeline.llm.protocol import JsonObject
from pipeline.trace import Event, Trace, event

REPLY = {"text": "hi", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 0}, "model": "m"}


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace.jsonl", Disk())


def live(trace: Trace, **options: Any) -> Journal:
    """Return a journal that goes on where the trace ends."""
    return open_journal(fold(trace.events()), into(trace), attempt=1, **options)


class Calls:
    """Count what was really done; answer each step with its number."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def step(self, name: str, output: JsonObject | None = None) -> Any:
        async def function(_: Steps) -> JsonObject:
            self.made.append(name)
            return output if output is not None else {"name": name, "call": len(self.made)}

        return function


async def session(journal: Journal, calls: Calls, *, prompts: Sequence[str] = ("a", "b")) -> list[JsonObject]:
    """Do what an agent does: ask, note, act with a nested question, remember something."""
    results = []
    for prompt in prompts:
        results.append(await journal.run("model", {"messages": [prompt]}, calls.step(f"ask {prompt}", REPLY)))
        journal.note("memory.added", type="assistant", content=prompt)

        async def act(inner: Steps, prompt: str = prompt) -> JsonObject:
            asked = await inner.run("model", {"messages": [prompt, "tool"]}, calls.step(f"tool asks {prompt}", REPLY))
            journal.state[prompt] = asked["text"]
            return {"done": prompt}

        results.append(await journal.run("action", {"tool": prompt}, act))
    return results


async def test_a_new_step_runs_and_is_written_before_it_returns(trace: Trace) -> None:
    """The result is on disk by the time the session sees it."""
    calls = Calls()
    assert await live(trace).run("document", {"sha256": "x"}, calls.step("read")) == {"name": "read", "call": 1}
    written = trace.events()[-1]
    assert written["event"] == "document.read"
    assert (written["step"], written["attempt"], written["request"]) == ("document-1", 1, {"sha256": "x"})
    assert written["output"] == {"name": "read", "call": 1}
    assert written["seconds"] >= 0


async def test_a_second_run_answers_from_the_record_without_calling(trace: Trace) -> None:
    """Nothing is paid for twice, and the trace does not grow."""
    first = await session(live(trace), Calls())
    lines, again = len(trace.events()), Calls()
    assert await session(live(trace), again) == first
    assert again.made == []
    assert len(trace.events()) == lines


async def test_steps_are_named_by_their_place(trace: Trace) -> None:
    """Each scope counts for itself, so the same tool asking twice is told apart."""
    await session(live(trace), Calls())
    steps = [one["step"] for one in trace.events() if "step" in one]
    assert steps == ["model-1", "action-1/model-1", "action-1", "model-2", "action-2/model-1", "action-2"]


async def test_an_action_cut_off_in_the_middle_keeps_what_it_asked(trace: Trace) -> None:
    """A tool that died after its own model call runs again, its call does not."""
    await session(live(trace), Calls())
    keep = [one for one in trace.events() if one.get("step") not in ("action-2",)]
    trace.path.unlink()
    trace.append(keep[1:])
    calls, journal = Calls(), live(trace)
    await session(journal, calls)
    assert calls.made == []
    assert trace.events()[-1]["step"] == "action-2"
    assert journal.state == {"a": "hi", "b": "hi"}


async def test_notes_are_written_with_the_next_step_and_only_once(trace: Trace) -> None:
    """Remembering costs no sync of its own, and a replay does not note again."""
    await session(live(trace), Calls())
    names = [one["event"] for one in trace.events()]
    assert names.count("memory.added") == 2
    await session(live(trace), Calls(), prompts=("a", "b", "c"))
    noted = [one["content"] for one in trace.events() if one["event"] == "memory.added"]
    assert noted == ["a", "b", "c"]


async def test_a_note_stands_before_the_step_that_follows_it(trace: Trace) -> None:
    """The order in the trace is the order of events; `type` and text are there to be read."""
    journal = live(trace)
    journal.note("memory.added", type="user", content="hello")
    assert trace.events() == []
    await journal.run("model", {}, Calls().step("ask", REPLY))
    _, note, step = trace.events()
    assert (note["event"], note["content"], step["event"]) == ("memory.added", "hello", "model.replied")


async def test_notes_that_wait_go_out_with_the_jobs_own_events(trace: Trace) -> None:
    """The last words of a session are not lost when it ends."""
    journal = live(trace)
    journal.note("memory.added", type="assistant", content="bye")
    await journal.write(event("job.finished", status="done"))
    assert [one["event"] for one in trace.events()] == ["trace.opened", "memory.added", "job.finished"]


async def test_a_model_step_shows_its_cost_outside_of_its_text(trace: Trace) -> None:
    """Tokens and model stand in the event itself, text kept or not."""
    await live(trace, include_text=False).run("model", {}, Calls().step("ask", REPLY))
    written = trace.events()[-1]
    assert (written["usage"]["prompt_tokens"], written["model"], written["withheld"]) == (3, "m", True)


async def test_without_text_no_text_is_written(trace: Trace) -> None:
    """One setting keeps the document and all that was said of it out of the trace."""
    secret = "DE89370400440532013000"
    journal = live(trace, include_text=False)
    journal.state["secret"] = secret
    journal.note("memory.added", type="user", content=secret)
    for name in ("document", "action"):
        await journal.run(name, {"text": secret}, Calls().step("x", {"text": secret}))
    assert secret not in trace.path.read_text()
    note = trace.events()[1]
    assert (note["type"], note["withheld"]) == ("user", True)
    assert fold(trace.events()).steps == {}


async def test_an_error_leaves_no_record(trace: Trace) -> None:
    """What did not come to a result is tried again by the next attempt."""

    async def away(_: Steps) -> JsonObject:
        raise HostFault("away")

    with pytest.raises(HostFault):
        await live(trace).run("model", {}, away)
    assert trace.events() == []
    calls = Calls()
    await live(trace).run("model", {}, calls.step("ask", REPLY))
    assert calls.made == ["ask"]


async def test_state_is_what_it_was_after_each_action(trace: Trace) -> None:
    """A resumed session finds what its tools had worked out, and not what they had thrown away again."""

    async def play(journal: Journal) -> None:
        async def first(_: Steps) -> JsonObject:
            journal.state.update(extraction=1, corrections={"a": 1})
            return {}

        async def second(_: Steps) -> JsonObject:
            journal.state["extraction"] = 2
            journal.state.pop("corrections")
            return {}

        state = journal.state
        await journal.run("action", {"n": 1}, first)
        assert state == {"extraction": 1, "corrections": {"a": 1}}
        await journal.run("action", {"n": 2}, second)
        assert state == {"extraction": 2}

    await play(live(trace))
    await play(open_journal(fold(trace.events()), None))


async def test_what_a_step_returns_is_what_will_be_read_back(trace: Trace) -> None:
    """A live and a replayed session see the same types, paths as text and tuples as lists."""
    output = await live(trace).run("action", {"p": Path("a")}, Calls().step("x", {"path": Path("b"), "pair": (1, 2)}))
    assert output == {"path": "b", "pair": [1, 2]}
    again = await live(trace).run("action", {"p": Path("a")}, Calls().step("x"))
    assert again == output


async def test_without_a_sink_a_step_beyond_the_record_is_a_divergence() -> None:
    """A recorded replay never asks a model."""
    calls = Calls()
    with pytest.raises(ReplayDiverged, match="step model-1 has no record") as caught:
        await open_journal(JobRecord(), None).run("model", {}, calls.step("ask"))
    assert (calls.made, caught.value.step) == ([], "model-1")


async def test_without_a_sink_a_differing_request_is_named(trace: Trace) -> None:
    """The report says which step, which part and from which message on."""
    request = {"messages": ["a", "b"], "tools": "1", "max_tokens": 5}
    await live(trace).run("model", request, Calls().step("ask", REPLY))
    record = fold(trace.events())
    with pytest.raises(ReplayDiverged) as caught:
        await open_journal(record, None).run("model", {**request, "messages": ["a", "c", "d"]}, Calls().step("x"))
    assert "step model-1" in caught.value.message
    assert "messages from number 2 on (2 recorded, 3 now)" in caught.value.message
    assert "tools" not in caught.value.message
    with pytest.raises(ReplayDiverged, match=r"max_tokens \(5 recorded, 6 now\)"):
        await open_journal(record, None).run("model", {**request, "max_tokens": 6}, Calls().step("x"))
    with pytest.raises(ReplayDiverged, match=r"messages from number 3 on \(2 recorded, 3 now\)"):
        await open_journal(record, None).run("model", {**request, "messages": ["a", "b", "c"]}, Calls().step("x"))


async def test_without_a_sink_nothing_is_written_or_noted(trace: Trace) -> None:
    """A recorded replay leaves the job as it is."""
    await session(live(trace), Calls())
    before = trace.path.read_bytes()
    journal = open_journal(fold(trace.events()), None)
    await session(journal, Calls())
    journal.note("memory.added", type="user")
    await journal.write(event("job.finished"))
    assert trace.path.read_bytes() == before


async def test_a_live_session_that_diverges_drops_its_record_and_goes_on(trace: Trace) -> None:
    """After a change of prompts a resumed job does the rest anew, says so, and can be resumed again."""
    await session(live(trace), Calls(), prompts=("a", "b"))
    changed = Calls()
    await session(live(trace), changed, prompts=("a", "c"))
    assert changed.made == ["ask c", "tool asks c"]
    (diverged,) = [one for one in trace.events() if one["event"] == "record.diverged"]
    assert (diverged["at_step"], diverged["parts"]) == ("model-2", ["messages"])
    third = Calls()
    await session(live(trace), third, prompts=("a", "c", "d"))
    assert third.made == ["ask d", "tool asks d"]
    noted = [one["content"] for one in trace.events() if one["event"] == "memory.added"]
    assert noted == ["a", "b", "c", "d"]


async def test_steps_of_before_a_divergence_are_not_answered_from_after_it(trace: Trace) -> None:
    """A later step whose request happens to fit belongs to another course of things."""
    journal = live(trace)
    for request in ("a", "b", "c"):
        await journal.run("model", {"messages": [request]}, Calls().step("ask", REPLY))
    calls, journal = Calls(), live(trace)
    for request in ("a", "x", "c"):
        await journal.run("model", {"messages": [request]}, calls.step(request, REPLY))
    assert calls.made == ["x", "c"]


async def test_a_part_that_is_missing_on_either_side_differs(trace: Trace) -> None:
    """A request that gained or lost a part is another request."""
    await live(trace).run("model", {"messages": []}, Calls().step("ask", REPLY))
    for request in ({"messages": [], "seed": 1}, {}):
        with pytest.raises(ReplayDiverged, match=r"seed|messages"):
            await open_journal(fold(trace.events()), None).run("model", request, Calls().step("x"))


async def test_a_journal_does_not_change_the_record_it_was_opened_on(trace: Trace) -> None:
    """The same record can be opened twice."""
    await session(live(trace), Calls())
    record = fold(trace.events())
    before = replace(record, steps=dict(record.steps))

    async def forget(_: Sequence[Event]) -> None:
        return None

    await session(open_journal(record, forget), Calls(), prompts=("x",))
    assert record == before


def test_an_attempt_is_the_one_given_or_the_last_one() -> None:
    """Tools that have to tell attempts apart can ask."""
    assert open_journal(JobRecord(attempts=2), None).attempt == 2
    assert open_journal(JobRecord(attempts=2), None, attempt=3).attempt == 3


async def test_a_keeper_does_the_steps_that_have_none_inside(trace: Trace) -> None:
    """An action is done outside of it, because its own questions are steps too; all land in the same record."""
    kept: list[str] = []
    sink = into(trace)

    async def keeper(name: str, work: Any) -> None:
        kept.append(name)
        await sink(await work())

    first = await session(live(trace, keeper=keeper), Calls())
    assert kept == ["model", "model", "model", "model"]
    calls = Calls()
    assert await session(live(trace), calls) == first
    assert calls.made == []


async def test_what_cannot_be_kept_is_changed_before_the_session_sees_it(trace: Trace) -> None:
    """So a session that goes on elsewhere from its record sees what this one saw."""
    journal = live(trace, as_kept=lambda text: text.replace("odd", "plain"))
    output = await journal.run("model", {"messages": ["odd"]}, Calls().step("ask", REPLY | {"text": "odd"}))
    assert output["text"] == "plain"
    assert fold(trace.events()).steps["model-1"].request == {"messages": ["plain"]}


async def test_the_last_action_waits_for_the_jobs_last_event(trace: Trace) -> None:
    """It is written with what comes next: before another step begins, or by whoever ends the job."""
    journal = live(trace, joins_last=True)

    def written() -> list[str]:
        return [one["step"] for one in trace.events() if "step" in one]

    async def look(_: Steps) -> JsonObject:
        assert written() == ["action-1"]
        return REPLY

    await journal.run("action", {"tool": "store"}, Calls().step("store"))
    assert written() == []
    await journal.run("model", {"messages": []}, look)
    assert written() == ["action-1", "model-1"]
    await journal.run("action", {"tool": "terminate"}, Calls().step("terminate"))
    last = journal.taken(event("job.finished", attempt=1))
    assert [one["event"] for one in last] == ["action.executed", "job.finished"]
    assert journal.taken() == []


async def test_an_action_that_waits_can_be_written_at_once(trace: Trace) -> None:
    """What is not to be undone without it asks for that; where nothing waits, nothing is written."""
    journal = live(trace, joins_last=True)
    await journal.run("action", {"tool": "store"}, Calls().step("store"))
    await journal.sync()
    size = trace.path.stat().st_size
    assert trace.events()[-1]["step"] == "action-1"
    journal.note("memory.added", type="environment", content="stored")
    await journal.sync()
    assert trace.path.stat().st_size == size


async def test_an_action_that_waits_is_written_when_its_session_is_interrupted(trace: Trace) -> None:
    """However the attempt ends, its last event takes along what was done."""
    journal = live(trace, joins_last=True)
    await journal.run("action", {"tool": "store"}, Calls().step("store"))
    await journal.write(event("attempt.interrupted", attempt=1))
    assert [one["event"] for one in trace.events()][-2:] == ["action.executed", "attempt.interrupted"]
