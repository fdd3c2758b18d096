"""In which form an answer in JSON is asked for, where a server refuses the one that binds the model most.

Grammar builders stumble over bounds and over sheer size, and some engines have none. So the question comes again with
a schema without bounds, then without any, the schema said in words. Each refusal is a step of its own on record.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import structlog

from pipeline.agent.messages import merge_same_role, user_message
from pipeline.errors import SchemaRefused
from pipeline.llm.protocol import JsonObject, Model, ModelReply, ModelRequest

_log = structlog.get_logger()

_STATE_KEY = "answer_forms"
# What a grammar is large or fails for, and what only tells the model what it may write.
_BOUNDS = frozenset(
    {"maxLength", "minLength", "maxItems", "minItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"multipleOf", "uniqueItems", "format", "pattern", "default", "examples"}
)
_MAPS_OF_SCHEMAS = ("properties", "patternProperties")
_VALUES = ("enum", "const", "required")


class AnswerForm(StrEnum):
    """Name how strictly a server holds an answer to its schema, strictest first."""

    SCHEMA = "schema"
    """By the schema as it is."""
    PLAIN_SCHEMA = "plain_schema"
    """By the schema without bounds of length and number."""
    WORDS = "words"
    """Not at all: the prompt says what the answer has to look like."""


class AnswerForms:
    """Know for each schema, by its name, in which form it is asked for, SCHEMA until that was refused.

    It is kept in `state`, so that a session that goes on from its record asks as before. `learned` holds the weaker
    forms that were answered after a refusal, for whoever remembers them for the next session.
    """

    def __init__(self, state: MutableMapping[str, Any] | None = None) -> None:
        self._state: MutableMapping[str, Any] = {} if state is None else state
        self._refused: set[str] = set()
        self.learned: dict[str, AnswerForm] = {}

    def of(self, schema_name: str) -> AnswerForm:
        """Return the form in which a schema is asked for."""
        return AnswerForm(self._state.get(_STATE_KEY, {}).get(schema_name, AnswerForm.SCHEMA))

    def copy(self) -> AnswerForms:
        """Return what is known by now, for work that must not be changed by what happens beside it."""
        return AnswerForms({_STATE_KEY: dict(self._state.get(_STATE_KEY, {}))})

    def begin_with(self, known: Mapping[str, str]) -> None:
        """Take over what earlier sessions learned."""
        if known:
            self._state[_STATE_KEY] = {**self._state.get(_STATE_KEY, {}), **known}

    def give_way(self, schema_name: str, to: AnswerForm) -> None:
        """Ask in a weaker form from now on."""
        self.begin_with({schema_name: to.value})
        self._refused.add(schema_name)
        _log.info("answer_form.changed", schema=schema_name, to=to.value)

    def answered(self, schema_name: str) -> None:
        """Note that the server has answered in the form of the moment."""
        if schema_name in self._refused:
            self.learned[schema_name] = self.of(schema_name)


async def ask_in_form(model: Model, request: ModelRequest, forms: AnswerForms, *, words: str = "") -> ModelReply:
    """Return the reply in the strictest form that the server does not refuse; a request without a schema has only one.

    `words` say at the prompt's end what the schema said, where nothing else in the prompt does.
    """
    name = request.schema_name
    while request.schema is not None:
        form = forms.of(name)
        try:
            reply = await model.complete(in_form(request, form, words=words))
        except SchemaRefused:
            weaker = _weaker(form, request.schema)
            if weaker is None:
                raise
            forms.give_way(name, weaker)
        else:
            forms.answered(name)
            return reply
    return await model.complete(request)


def in_form(request: ModelRequest, form: AnswerForm, *, words: str = "") -> ModelRequest:
    """Return the request as it is sent in that form."""
    match form:
        case AnswerForm.SCHEMA:
            return request
        case AnswerForm.PLAIN_SCHEMA:
            return replace(request, schema=plain_schema(request.schema or {}))
        case AnswerForm.WORDS:
            told = (user_message(words),) if words else ()
            messages = merge_same_role((*request.messages, *told))
            return replace(request, schema=None, schema_name="", messages=messages)


def plain_schema(schema: JsonObject) -> JsonObject:
    """Return the schema with its structure and choices, and without what bounds texts, numbers and lists."""
    plain: JsonObject = {}
    for key, value in schema.items():
        if key in _VALUES:
            plain[key] = value
        elif key in _MAPS_OF_SCHEMAS:
            plain[key] = {name: _plain(entry) for name, entry in value.items()}
        elif key not in _BOUNDS:
            plain[key] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return plain_schema(value) if isinstance(value, dict) else value


def _weaker(form: AnswerForm, schema: JsonObject) -> AnswerForm | None:
    if form is AnswerForm.WORDS:
        return None
    if form is AnswerForm.SCHEMA and plain_schema(schema) != schema:
        return AnswerForm.PLAIN_SCHEMA
    return AnswerForm.WORDS
