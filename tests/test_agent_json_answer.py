from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pipeline.agent import ActionContext, CompletionSettings, prompt_llm_for_json
from pipeline.agent.json_answer import NotJson, json_candidates, read_json, repeats_itself
from pipeline.agent.messages import system_message, user_message
from pipeline.errors import AnswerCutOff, ConfigError, ContextOverflow, HostFault, OutputFault
from pipeline.llm.protocol import JsonObject, ModelReply
from pipeline.llm.scripted import ScriptedModel, says


class Line(BaseModel):
    title: str
    price: Decimal


SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"total": {"type": "number", "multipleOf": 0.01}, "code": {"type": "string", "pattern": "^[A-Z]+$"}},
    "required": ["total"],
}
GOOD = '{"total": 12.10}'
PREFIX = (system_message("rules"), user_message("document"))


async def ask(
    *replies: Any, schema: JsonObject | type[BaseModel] = SCHEMA, **options: Any
) -> tuple[Any, ScriptedModel]:
    model = ScriptedModel(replies)
    return await prompt_llm_for_json(model, schema, "what is it?", **options), model


async def test_numbers_with_a_fraction_are_exact() -> None:
    """A fraction comes back as the Decimal that was written, trailing zero included."""
    answer, _ = await ask(says('{"total": 12345678901234567.10}'), schema={"type": "object"})
    assert str(answer["total"]) == "12345678901234567.10"


async def test_a_class_gives_an_instance() -> None:
    """With a pydantic class the answer is an instance of it, and its schema is sent flat."""
    answer, model = await ask(says('{"title": "x", "price": 0.10}'), schema=Line, schema_name="line")
    assert answer == Line(title="x", price=Decimal("0.10"))
    (request,) = model.requests
    assert request.schema_name == "line"
    assert request.schema is not None
    assert request.schema["properties"]["title"] == {"type": "string"}
    assert request.tools == ()


async def test_the_prompt_follows_the_prefix() -> None:
    """Messages given as prefix come first and word for word; the prompt joins the last user message."""
    _, model = await ask(says(GOOD), prefix=PREFIX)
    assert model.requests[0].messages == (system_message("rules"), user_message("document\n\nwhat is it?"))


async def test_no_json_at_all_means_no_room_where_less_can_be_asked_for() -> None:
    """A server may answer a prompt it had no room for with anything; one piece of JSON shows that it had room."""
    with pytest.raises(ContextOverflow, match="without any JSON"):
        await ask(*[says("@@ 0000 @@")] * 3, divisible=True)
    with pytest.raises(OutputFault):
        await ask(says("@@ 0000 @@"), says("{}"), says("@@ 0000 @@"), divisible=True)
    with pytest.raises(OutputFault):
        await ask(*[says("@@ 0000 @@")] * 3)


async def test_what_is_asked_for_is_checked_here_even_if_it_is_not_sent() -> None:
    """A pattern burdens the server and is not sent, but the answer must fit it."""
    answer, model = await ask(says('{"total": 1, "code": "a"}'), says('{"total": 1, "code": "A"}'))
    assert answer["code"] == "A"
    assert model.requests[0].schema is not None
    assert "pattern" not in model.requests[0].schema["properties"]["code"]


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        (GOOD, ""),
        (f"Here it is:\n```json\n{GOOD}\n```\nDone.", ""),
        (f'First {{draft}}, then {{"total": 1}}, at last {GOOD} as asked.', ""),
        ("", GOOD),
        ("", f"Let me see [1]: {{}} or {GOOD}"),
        ("no idea", GOOD),
    ],
)
async def test_the_answer_is_found_where_models_put_it(text: str, reasoning: str) -> None:
    """The JSON may stand alone, in a fence, in prose or in the reasoning; the last that fits counts."""
    answer, _ = await ask(ModelReply(text=text, reasoning=reasoning))
    assert answer == {"total": Decimal("12.10")}


@pytest.mark.parametrize("text", ['{"total": 1.13}', '{"total": 1.10}', '{"total": 3}', '{"total": 1e2}'])
async def test_numbers_are_checked_exactly(text: str) -> None:
    """A number is held against the schema as it is written, not as the nearest binary fraction."""
    _, model = await ask(says(text))
    assert len(model.requests) == 1


async def test_a_misfit_goes_back_with_the_reason() -> None:
    """The model sees its own answer and what was wrong with it, after the same first messages."""
    _, model = await ask(says('{"total": "x"}'), says(GOOD), prefix=PREFIX)
    first, second = (request.messages for request in model.requests)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": '{"total": "x"}'}
    assert '$.total: "x" is not of type "number"' in second[-1]["content"]


async def test_retries_are_bounded_and_the_fault_tells_no_values() -> None:
    """After the retries it is an OutputFault that names the place, but nothing out of the document."""
    model = ScriptedModel([says('{"title": "secret"}')] * 3)
    with pytest.raises(OutputFault, match=r"3 tries.*price") as raised:
        await prompt_llm_for_json(model, Line, "what is it?")
    assert "secret" not in raised.value.message
    assert model.remaining == 0


async def test_no_json_at_all_is_said() -> None:
    """A text without JSON is a misfit like any other."""
    answer, model = await ask(says("I cannot"), says(GOOD), retries=1)
    assert answer["total"] == Decimal("12.10")
    assert "holds no JSON" in model.requests[1].messages[-1]["content"]


CUT = says('{"total": 12', finish_reason="length")


async def test_a_cut_off_answer_may_be_twice_as_long_once() -> None:
    """The same question is asked with double max_tokens, once; a second cut is a misfit."""
    _, model = await ask(CUT, CUT, CUT, says(GOOD), max_tokens=100)
    assert [request.max_tokens for request in model.requests] == [100, 200, 200, 200]
    assert model.requests[1].messages == model.requests[0].messages
    assert "cut off" in model.requests[2].messages[-1]["content"]


async def test_endless_repetition_gets_no_more_room() -> None:
    """An answer that only repeats itself is not asked for at twice the length, but sent back with the reason."""
    answer, model = await ask(says('{"total": 1' + "0, " * 400, finish_reason="length"), says(GOOD), max_tokens=100)
    assert answer == {"total": Decimal("12.10")}
    assert [request.max_tokens for request in model.requests] == [100, 100]


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("and so on and so on " * 30, True),
        ('{"a": 1' + " " * 50, True),
        ('{"lines": [' + '{"d": "Rope", "total": "3.00"}, ' * 12, False),
        ("".join(f"{n}, " for n in range(500)), False),
        ("", False),
    ],
)
def test_repetition_is_told_from_length(text: str, repeats: bool) -> None:
    """Twenty times the same passage at the end is repetition; a long list is not."""
    assert repeats_itself(text) is repeats


async def test_a_divisible_question_is_not_asked_in_vain() -> None:
    """Where the caller can ask for less, an answer that is cut off twice or empty twice says so at once."""
    cut = says('{"total": 1', finish_reason="length")
    with pytest.raises(AnswerCutOff):
        await ask(cut, cut, divisible=True, max_tokens=100)
    with pytest.raises(ContextOverflow):
        await ask(says(""), says(""), divisible=True)
    answer, _ = await ask(says(""), says(GOOD), divisible=True)
    assert answer == {"total": Decimal("12.10")}


async def test_drafts_of_a_cut_off_answer_do_not_count() -> None:
    """JSON within the reasoning of a reply that was cut off is not taken for the answer."""
    draft = ModelReply(reasoning='perhaps {"total": 1}, but', finish_reason="length")
    answer, _ = await ask(draft, draft, says(GOOD))
    assert answer["total"] == Decimal("12.10")


async def test_a_whole_answer_at_the_limit_counts() -> None:
    """An answer that is complete is taken, although the server says that it was at its limit."""
    answer, model = await ask(says(GOOD, finish_reason="length"))
    assert answer["total"] == Decimal("12.10")
    assert len(model.requests) == 1


async def test_a_context_brings_its_model_and_settings() -> None:
    """Within a tool the context's model is asked, as long and as warm as the agent's settings say."""
    model = ScriptedModel([says(GOOD)])
    context = ActionContext(model=model, completion=CompletionSettings(max_tokens=77, temperature=0.5))
    await prompt_llm_for_json(context, SCHEMA, "what is it?")
    assert (model.requests[0].max_tokens, model.requests[0].temperature) == (77, 0.5)


async def test_errors_of_the_model_pass_through() -> None:
    """A dead host is not retried here."""
    with pytest.raises(HostFault):
        await ask(HostFault("away"))


async def test_a_schema_that_is_none_is_refused() -> None:
    """A broken schema is the caller's mistake and is said before anything is asked."""
    with pytest.raises(ConfigError, match="`answer`"):
        await ask(schema={"type": "nonsense"})


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[-Infinity]", '"\\ud800"', "[" * 100_000, "1" * 5000, '{"a": 1e99999999999999999999}']
)
def test_what_is_not_json_is_refused_in_one_way(text: str) -> None:
    """Whatever is wrong with a text, the error is NotJson."""
    with pytest.raises(NotJson):
        read_json(text, exact=True)


@given(st.text(alphabet='{}[]",:1a \\\n`'), st.sampled_from(["stop", "length"]))
def test_no_text_breaks_the_search(text: str, finish: str) -> None:
    """Any text gives candidates or none, and never an error."""
    for candidate in json_candidates(ModelReply(text=text, reasoning=text, finish_reason=finish)):
        assert not isinstance(candidate, float)


def test_a_text_of_brackets_is_given_up_soon() -> None:
    """The search through a hostile text is bounded: behind thousands of brackets nothing is looked for any more."""
    assert list(json_candidates(ModelReply(text="{ " * 1000 + GOOD))) == [{"total": Decimal("12.10")}]
    assert list(json_candidates(ModelReply(text="{ " * 5000 + GOOD))) == []
