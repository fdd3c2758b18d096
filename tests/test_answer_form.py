"""Servers that cannot hold an answer to its schema: what is asked instead, and what is remembered of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import create_engine, text
from test_json_session import work_off

from pipeline.agent import ActionContext, prompt_llm_for_json
from pipeline.agent.answer_form import AnswerForm, AnswerForms, ask_in_form, plain_schema
from pipeline.config import Settings
from pipeline.doctor import Grade, examine_setup
from pipeline.errors import AnswerCutOff, RequestRefused, SchemaRefused
from pipeline.languages import KnownLanguages
from pipeline.llm.protocol import JsonObject, ModelRequest
from pipeline.llm.scripted import ScriptedModel, says
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.trace import read_events

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "format": {"type": ["string", "null"], "maxLength": 3},
        "lines": {"type": "array", "maxItems": 2, "items": {"type": "string", "pattern": "^a", "enum": ["a", "ab"]}},
    },
    "required": ["format", "lines"],
    "additionalProperties": False,
}
GOOD = '{"format": "x", "lines": ["a"]}'
REFUSAL = SchemaRefused("failed to parse grammar")


def at(settings: Settings, server: StandInServer) -> Settings:
    return settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": server.base_url})})


def refused_steps(settings: Settings, number: int) -> list[str]:
    (trace,) = settings.folders.outbox.glob(f"*/{number}-*/trace.jsonl")
    return [one["step"] for one in read_events(trace) if one["event"] == "request.refused"]


def test_a_plain_schema_keeps_structure_and_choices() -> None:
    """Bounds and patterns go; names, types, choices and what is required stay, a property called `format` too."""
    plain = plain_schema(SCHEMA)
    assert plain["properties"] == {
        "format": {"type": ["string", "null"]},
        "lines": {"type": "array", "items": {"type": "string", "enum": ["a", "ab"]}},
    }
    assert (plain["required"], plain["additionalProperties"]) == (["format", "lines"], False)


async def test_a_refused_schema_is_asked_for_in_weaker_forms_and_checked_as_before() -> None:
    """First without bounds, then in words at the prompt's end; the answer still has to fit the whole schema."""
    model = ScriptedModel([REFUSAL, REFUSAL, says('{"format": "long", "lines": []}'), says(f"Here:\n{GOOD}")])
    context = ActionContext(model=model)
    answer = await prompt_llm_for_json(context, SCHEMA, "what is it?", schema_name="thing")
    assert answer == {"format": "x", "lines": ["a"]}
    strict, plain, words, again = model.requests
    assert (plain.schema, words.schema, again.schema) == (plain_schema(strict.schema or {}), None, None)
    assert words.messages[-1]["content"].startswith("what is it?\n\n")
    assert '"maxLength":3' in words.messages[-1]["content"]
    assert "maxLength" in again.messages[-1]["content"]
    assert context.forms.learned == {"thing": AnswerForm.WORDS}


async def test_a_schema_without_bounds_is_said_in_words_at_once() -> None:
    """There is nothing to leave out of it."""
    model = ScriptedModel([REFUSAL, says("{}")])
    assert await prompt_llm_for_json(model, {"type": "object", "properties": {}}, "go") == {}


async def test_what_has_no_weaker_form_is_refused() -> None:
    """Neither a refusal without a schema, nor one for another reason, is asked about again."""
    request = ModelRequest(messages=({"role": "user", "content": "go"},), schema=SCHEMA, schema_name="thing")
    with pytest.raises(SchemaRefused):
        await ask_in_form(ScriptedModel([REFUSAL] * 3), request, AnswerForms())
    other = ScriptedModel([RequestRefused("no images")])
    with pytest.raises(RequestRefused):
        await ask_in_form(other, request, AnswerForms())
    assert len(other.requests) == 1


async def test_each_schema_has_a_form_of_its_own() -> None:
    """Where a large schema is refused a small one still binds the model."""
    model = ScriptedModel([REFUSAL, says(GOOD), says(GOOD), says(GOOD)])
    context = ActionContext(model=model)
    for name in ("large", "large", "small"):
        await prompt_llm_for_json(context, SCHEMA, "go", schema_name=name)
    assert [request.schema == model.requests[0].schema for request in model.requests] == [True, False, False, True]


async def test_more_entries_than_allowed_mean_that_less_has_to_be_asked_for() -> None:
    """Where no grammar ends a list, one that is too long counts as cut off for those who can ask for less."""
    long = says('{"format": null, "lines": ["a", "a", "a"]}')
    with pytest.raises(AnswerCutOff):
        await prompt_llm_for_json(ScriptedModel([long]), SCHEMA, "go", divisible=True)


@pytest.mark.parametrize(("grammars", "refusals"), [pytest.param("plain", 1, marks=pytest.mark.slow), ("none", 2)])
async def test_a_session_goes_on_and_the_next_one_knows(settings: Settings, grammars: Any, refusals: int) -> None:
    """The refusals are on record and cost no attempt, the job replays, and a later process begins in that form."""
    async with StandInServer(StandInSettings(grammars=grammars)) as server:
        own = at(settings, server)
        (first,) = await work_off(own, 1)
        assert server.stats.by_status[400] == refusals
        both = await work_off(own, 2)
        assert server.stats.by_status[400] == refusals
    assert (first["status"], first["usage"]["attempts"], first["usage"]["model_calls"]) == ("done", 1, 2)
    assert [result["invoice"]["total_amount"] for result in both] == [Decimal("120.00")] * 2
    assert refused_steps(own, 101) == [f"action-1/model-{number + 1}" for number in range(refusals)]
    assert refused_steps(own, 102) == []


async def test_actions_in_json_need_no_grammar(settings: Settings) -> None:
    """A model without tools on an engine without grammars acts by JSON that nothing but its prompt asks for."""
    async with StandInServer(StandInSettings(grammars="none", tool_template=False, strict_roles=True)) as server:
        own = at(settings, server)
        first, second = await work_off(own, 2, one_by_one=True)
    for result in (first, second):
        assert (result["status"], result["usage"]["attempts"], result["usage"]["model_calls"]) == ("done", 1, 3)
    # The tools, then both schemas of an action, then both of the extraction.
    assert refused_steps(own, 101) == [*(f"model-{n}" for n in (1, 2, 3)), "action-1/model-1", "action-1/model-2"]
    assert refused_steps(own, 102) == []


@pytest.mark.parametrize(("grammars", "said"), [("none", "refuses every schema"), ("plain", "schemas with bounds")])
async def test_doctor_says_how_far_the_server_holds_the_model_to_its_schema(
    settings: Settings, grammars: Literal["none", "plain"], said: str
) -> None:
    """Answers come, but worse ones than the server could give."""
    async with StandInServer(StandInSettings(grammars=grammars)) as server:
        checks = [check async for check in examine_setup(at(settings, server)) if check.name == "JSON answer"]
    assert [(check.grade, bool(check.remedy), said in check.seen) for check in checks] == [(Grade.POOR, True, True)]


def test_a_form_is_known_for_a_day(tmp_path: Path) -> None:
    """Another process finds it, another host or model does not, and it is forgotten in time."""
    engine = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    KnownLanguages(engine).learn_forms("http://one", "small", {"invoice": AnswerForm.WORDS})
    KnownLanguages(engine).learn_forms("http://one", "small", {"invoice": AnswerForm.PLAIN_SCHEMA})
    known = KnownLanguages(engine)
    assert known.read("http://one", "small").forms == {"invoice": "plain_schema"}
    assert known.read("http://two", "small").forms == known.read("http://one", "large").forms == {}
    with engine.begin() as connection:
        before = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
        connection.execute(text("UPDATE answer_forms SET learned_at = :before"), {"before": before})
    assert known.read("http://one", "small").forms == {}
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE answer_forms"))
    assert known.read("http://one", "small").forms == {}
    engine.dispose()
