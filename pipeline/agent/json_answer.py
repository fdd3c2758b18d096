"""Ask a model for JSON of a given schema, and take nothing else for an answer.

Servers constrain the output by grammar, but not by every keyword and not for every model: the JSON may stand in the
reasoning or in a fence, and may break the schema. So every answer is found, parsed and checked here. A server that
refuses the schema is asked in a weaker form (`answer_form.py`); the check stays the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeVar, overload

import jsonschema_rs
import structlog
from pydantic import BaseModel, ValidationError

from pipeline.agent.answer_form import ask_in_form
from pipeline.agent.context import ActionContext
from pipeline.agent.messages import assistant_message, merge_same_role, user_message
from pipeline.agent.schema import flat_schema, validation_problems
from pipeline.errors import AnswerCutOff, ConfigError, ContextOverflow, OutputFault
from pipeline.llm.protocol import JsonObject, Model, ModelReply, ModelRequest

_log = structlog.get_logger()
_M = TypeVar("_M", bound=BaseModel)

_MAX_DECODE_ATTEMPTS = 2000
_MAX_PROBLEM_CHARACTERS = 400
_MAX_ECHO_CHARACTERS = 4000
_LONGEST_PASSAGE_CHARACTERS = 200
_REPETITIONS = 20
_IN_WORDS = (
    "Answer with one JSON value that fits this JSON Schema, with every key that it requires, and with nothing else:\n"
)
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_OPENING_BRACKET = re.compile(r"[{\[]")


class NotJson(ValueError):
    """Say shortly why a text is not JSON."""


@overload
async def prompt_llm_for_json(
    context: ActionContext | Model,
    schema: type[_M],
    prompt: str,
    *,
    prefix: Sequence[JsonObject] = (),
    schema_name: str = "answer",
    max_tokens: int | None = None,
    retries: int = 2,
    divisible: bool = False,
) -> _M: ...


@overload
async def prompt_llm_for_json(
    context: ActionContext | Model,
    schema: JsonObject,
    prompt: str,
    *,
    prefix: Sequence[JsonObject] = (),
    schema_name: str = "answer",
    max_tokens: int | None = None,
    retries: int = 2,
    divisible: bool = False,
) -> Any: ...


async def prompt_llm_for_json(
    context: ActionContext | Model,
    schema: type[BaseModel] | JsonObject,
    prompt: str,
    *,
    prefix: Sequence[JsonObject] = (),
    schema_name: str = "answer",
    max_tokens: int | None = None,
    retries: int = 2,
    divisible: bool = False,
) -> Any:
    """Return the answer to the prompt: an instance of a pydantic class, or JSON that fits a JSON Schema.

    `prefix` are messages before the prompt; callers that keep them constant keep the server's prefix cache. Numbers
    with a fraction arrive as `Decimal`. An answer that does not fit goes back with the reason up to `retries` times;
    one that was cut off may once be twice as long. After that it is an `OutputFault`; with `divisible`, which says that
    the caller can ask for less at once, an answer that is cut off twice, or has more entries than it may, is
    `AnswerCutOff` without another try, and one that is twice empty, or never any JSON, is `ContextOverflow`: so a
    server may answer a prompt that it had no room for.
    """
    if not isinstance(context, ActionContext):
        context = ActionContext(model=context)
    completion = context.completion
    wanted = _wanted(schema if isinstance(schema, type) else json.dumps(schema), schema_name)
    request = ModelRequest(
        messages=merge_same_role((*prefix, user_message(prompt))),
        schema=wanted.schema,
        schema_name=schema_name,
        max_tokens=max_tokens or completion.max_tokens,
        temperature=completion.temperature,
    )
    first_max_tokens = request.max_tokens
    misfit = _Misfit("nothing was asked", "")
    seen_json = False
    for attempt in range(1, retries + 2):
        reply = await ask_in_form(context.model, request, context.forms, words=wanted.words)
        if _is_cut_off(reply) and request.max_tokens == first_max_tokens and not repeats_itself(reply.text):
            request = replace(request, max_tokens=first_max_tokens * 2)
            reply = await ask_in_form(context.model, request, context.forms, words=wanted.words)
        outcome = _judge(reply, wanted.check)
        if divisible:
            _refuse_to_go_on(reply, outcome, attempt, request)
        if isinstance(outcome, _Fit):
            return outcome.value
        misfit = outcome
        seen_json = seen_json or not misfit.without_json
        _log.info("answer.rejected", schema=schema_name, attempt=attempt, where=misfit.where)
        request = replace(request, messages=_with_feedback(request, reply, misfit))
    if divisible and not seen_json:
        raise _no_room(f"the model answered {retries + 1} times without any JSON")
    raise OutputFault(
        f"the model gave no usable `{schema_name}` in {retries + 1} tries; the last failed at: {misfit.where}",
        hint="try a larger model, or one that LM Studio lists as able to give structured output",
    )


def read_json(text: str, *, exact: bool = False) -> Any:
    """Return what the text says as JSON, or raise `NotJson`; with `exact` fractions become `Decimal`."""
    try:
        value = _decoder(exact=exact).decode(text)
        # A lone surrogate parses, but could be neither sent nor recorded afterwards.
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except RecursionError as error:
        raise NotJson("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise NotJson("it holds half a character (a lone surrogate)") from error
    except ValueError as error:
        raise NotJson(str(error)[:_MAX_PROBLEM_CHARACTERS]) from error
    return value


def json_candidates(reply: ModelReply) -> Iterator[Any]:
    """Yield what might be the answer: the text as a whole, what it fences, what it holds; then so of the reasoning.

    Within prose the last comes first, since drafts and examples stand before the answer. Of a reply that was cut off
    only the whole text counts: pieces of it may be drafts.
    """
    for text in (reply.text, reply.reasoning):
        if not text.strip():
            continue
        try:
            yield read_json(text, exact=True)
            continue
        except NotJson:
            if reply.finish_reason == "length":
                return
        yield from _pieces(text)


def repeats_itself(text: str) -> bool:
    """Say whether a text ends in one passage over and over, as models do that found no end."""
    for period in range(1, _LONGEST_PASSAGE_CHARACTERS + 1):
        tail = text[-period * _REPETITIONS :]
        if len(tail) == period * _REPETITIONS and tail[period:] == tail[:-period]:
            return True
    return False


@dataclass(frozen=True)
class _Fit:
    value: Any


@dataclass(frozen=True)
class _Misfit:
    """Say what is wrong: `where` without any value of the document, for people; `problem` in full, for the model.

    `too_many` says that a list has more entries than it may: a grammar would have ended it. `without_json` says that
    there was nothing to check.
    """

    where: str
    problem: str
    too_many: bool = False
    without_json: bool = False


_Check = Callable[[Any], _Fit | _Misfit]


@dataclass(frozen=True)
class _Wanted:
    """Hold what a schema comes to: how it is sent, how it is said in words, and the check of an answer."""

    schema: JsonObject
    words: str
    check: _Check


@lru_cache(maxsize=32)
def _wanted(schema: type[BaseModel] | str, name: str) -> _Wanted:
    """Work out a schema, given as a class or as JSON text: every job asks by the same few."""
    check = _class_check(schema) if isinstance(schema, type) else _schema_check(schema, name)
    flat = flat_schema(schema if isinstance(schema, type) else json.loads(schema))
    return _Wanted(flat, _IN_WORDS + json.dumps(flat, ensure_ascii=False, separators=(",", ":")), check)


def _decoder(*, exact: bool) -> json.JSONDecoder:
    return json.JSONDecoder(parse_float=_read_decimal if exact else None, parse_constant=_refuse_constant)


def _read_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise NotJson("a number in it is out of every range") from error


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"{name} is not JSON")


def _class_check(schema: type[BaseModel]) -> _Check:
    def check(candidate: Any) -> _Fit | _Misfit:
        try:
            return _Fit(schema.model_validate(candidate))
        except ValidationError as error:
            places = [".".join(map(str, problem["loc"])) or "the whole" for problem in error.errors()]
            return _Misfit(where=", ".join(places[:5]), problem=validation_problems(error))

    return check


def _schema_check(schema: str, name: str) -> _Check:
    validator = _validator(schema, name)

    def check(candidate: Any) -> _Fit | _Misfit:
        # Of several, the shallowest says most.
        error = min(validator.iter_errors(candidate), key=_depth, default=None)
        if error is None:
            return _Fit(candidate)
        error = _in_branch(error)
        place, keyword = _json_path(error.instance_path), error.schema_path[-1]
        return _Misfit(f"{place} ({keyword})", f"{place}: {error.message}", too_many=keyword == "maxItems")

    return check


def _depth(error: jsonschema_rs.ValidationError) -> int:
    return len(error.instance_path)


def _in_branch(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    """Return what is wrong in the branch that fits farthest: that none of several fits says nothing by itself."""
    branches = getattr(error.kind, "context", None)
    inner = [one for branch in branches or () for one in branch]
    return max(inner, key=_depth) if inner else error


def _json_path(path: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _validator(schema: str, name: str) -> jsonschema_rs.Validator:
    try:
        # With the schema's own numbers exact as well: by floats, 1.13 is no multiple of 0.01.
        return jsonschema_rs.validator_for(read_json(schema, exact=True), retriever=_refuse_to_fetch)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        problem = str(error).partition("\n")[0]
        raise ConfigError(f"the schema `{name}` is not a JSON Schema: {problem}") from error


def _refuse_to_fetch(address: str) -> Any:
    raise ValueError(f"it refers to {address}, and nothing is fetched")


def _judge(reply: ModelReply, check: _Check) -> _Fit | _Misfit:
    """Return the first candidate that fits, or what is wrong with the likeliest."""
    likeliest: _Misfit | None = None
    for candidate in json_candidates(reply):
        outcome = check(candidate)
        if isinstance(outcome, _Fit):
            return outcome
        likeliest = likeliest or outcome
    if _is_cut_off(reply):
        return _Misfit("the answer was cut off", "it was cut off because it became too long; be brief")
    return likeliest or _Misfit("no JSON in the answer", "it holds no JSON", without_json=True)


def _refuse_to_go_on(reply: ModelReply, outcome: _Fit | _Misfit, attempt: int, request: ModelRequest) -> None:
    """Raise what shows that less has to be asked for at once."""
    if isinstance(outcome, _Misfit) and outcome.too_many:
        raise AnswerCutOff(
            f"the `{request.schema_name}` has more entries than it may: {outcome.where}",
            hint="raise `most` under [parts]",
        )
    if _is_cut_off(reply):
        raise AnswerCutOff(
            f"the `{request.schema_name}` is longer than {request.max_tokens} tokens",
            hint="raise `max_tokens` under [model] of the agent's file, and load a longer context for it",
        )
    if reply.is_silent and attempt > 1:
        raise _no_room(f"the model answered {attempt} times with nothing")


def _no_room(seen: str) -> ContextOverflow:
    return ContextOverflow(
        f"{seen}: the prompt may not fit its context",
        hint="load the model with a longer context: `lms load <model> --context-length <tokens>`",
    )


def _is_cut_off(reply: ModelReply) -> bool:
    if reply.finish_reason != "length":
        return False
    try:
        read_json(reply.text)
    except NotJson:
        return True
    return False


def _pieces(text: str) -> Iterator[Any]:
    for fenced in reversed(_FENCE.findall(text)):
        try:
            yield read_json(fenced, exact=True)
        except NotJson:
            continue
    yield from reversed(_embedded(text))


def _embedded(text: str) -> list[Any]:
    """Return the outermost objects and arrays that stand somewhere in the text, in order."""
    found: list[Any] = []
    position = 0
    decoder = _decoder(exact=False)
    # Bounded: a text of nothing but brackets would be read to its end from each of them.
    for _ in range(_MAX_DECODE_ATTEMPTS):
        match = _OPENING_BRACKET.search(text, position)
        if match is None:
            break
        try:
            _, position = decoder.raw_decode(text, match.start())
            found.append(read_json(text[match.start() : position], exact=True))
        except (ValueError, RecursionError):
            position = match.start() + 1
    return found


def _with_feedback(request: ModelRequest, reply: ModelReply, misfit: _Misfit) -> tuple[JsonObject, ...]:
    feedback = (
        f"That answer cannot be used: {misfit.problem[:_MAX_PROBLEM_CHARACTERS]}\n"
        "Answer again with one complete JSON value that fits the schema, and nothing else."
    )
    said = reply.text[:_MAX_ECHO_CHARACTERS]
    before = (assistant_message(said),) if said.strip() else ()
    return merge_same_role((*request.messages, *before, user_message(feedback)))
