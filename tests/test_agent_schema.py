from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Optional

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from pipeline.agent import ActionContext
from pipeline.agent.schema import flat_schema, read_signature
from pipeline.errors import ConfigError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    title: str
    price: Decimal | None = None


class Order(BaseModel):
    lines: list[Line]
    first: Line


class Tree(BaseModel):
    children: list[Tree]


def every_type(
    text: str,
    count: int,
    names: list[str],
    table: dict[str, int],
    mode: Literal["fast", "safe"],
    colour: Colour,
    when: date,
    amount: Decimal,
    line: Line,
    old_optional: Optional[int] = None,  # noqa: UP045 - both spellings must work
    maybe: str | None = None,
    ratio: float = 0.5,
) -> None:
    """Do a thing
    over two lines.

    More that the model need not know.

    Args:
        text: The text,
            told in two lines.
        count (int): How many: at least one.

    Returns:
        Nothing.
    """


SCHEMA = read_signature(every_type).parameters
PROPERTIES = SCHEMA["properties"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text", {"type": "string", "description": "The text, told in two lines."}),
        ("count", {"type": "integer", "description": "How many: at least one."}),
        ("names", {"type": "array", "items": {"type": "string"}}),
        ("table", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("mode", {"type": "string", "enum": ["fast", "safe"]}),
        ("colour", {"type": "string", "enum": ["red", "blue"]}),
        ("when", {"type": "string", "format": "date"}),
        ("old_optional", {"type": "integer"}),
        ("maybe", {"type": "string"}),
        ("ratio", {"type": "number", "default": 0.5}),
    ],
)
def test_each_type_has_its_schema(name: str, expected: dict[str, Any]) -> None:
    """Type hints become the schema that grammar builders understand."""
    assert PROPERTIES[name] == expected


def test_only_parameters_without_a_default_are_required() -> None:
    """A default makes a parameter optional."""
    assert set(SCHEMA["required"]) == set(PROPERTIES) - {"old_optional", "maybe", "ratio"}
    assert SCHEMA["type"] == "object"


def test_amounts_are_strings_so_that_no_cent_is_lost() -> None:
    """A Decimal is told as a string, and comes back as the exact Decimal."""
    assert PROPERTIES["amount"]["type"] == "string"
    values = read_signature(takes_amount).arguments.model_validate({"amount": "12345678901234567.10"})
    assert values.model_dump() == {"arg_0": Decimal("12345678901234567.10")}


def takes_amount(amount: Decimal) -> None: ...


def test_models_are_written_out_without_references() -> None:
    """Nested models stand in place; no $ref, $defs, title or pattern is left, but a field may be called title."""
    schema = flat_schema(Order)
    assert schema["properties"]["first"]["properties"]["title"] == {"type": "string"}
    assert schema["properties"]["lines"]["items"] == schema["properties"]["first"]
    text = json.dumps(schema)
    assert not any(keyword in text for keyword in ("$ref", "$defs", '"pattern"', "Line"))


def test_a_model_that_contains_itself_is_refused() -> None:
    """An endless schema cannot be sent, and the error names the model."""
    with pytest.raises(ConfigError, match="Tree"):
        flat_schema(Tree)


def test_a_plain_schema_is_flattened_too() -> None:
    """References, titles, patterns and oneOf of a hand-written schema are taken out of what is sent."""
    schema = {
        "title": "T",
        "type": "object",
        "properties": {"pattern": {"oneOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}},
        "$defs": {"A": {"type": "string", "pattern": "\\d+", "title": "A"}},
    }
    expected = {"type": "object", "properties": {"pattern": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    assert flat_schema(schema) == expected
    assert "$defs" in schema


def test_the_context_is_hidden() -> None:
    """A parameter annotated ActionContext is no part of the schema, whatever its name."""
    signature = read_signature(uses_context)
    assert signature.context_name == "ctx"
    assert signature.parameters == {
        "type": "object",
        "properties": {"context": {"type": "string"}},
        "required": ["context"],
        "additionalProperties": False,
    }


def uses_context(ctx: ActionContext, context: str) -> None: ...


def test_a_context_without_annotation_is_known_by_its_name() -> None:
    """An unannotated `action_context` is injected; other unannotated parameters go by their default."""

    def tool(action_context, text, times=2):  # type: ignore[no-untyped-def]
        ...

    signature = read_signature(tool)
    assert signature.context_name == "action_context"
    assert signature.parameters["properties"] == {
        "text": {"type": "string"},
        "times": {"type": "integer", "default": 2},
    }


def test_no_parameters_is_still_an_object() -> None:
    """A tool without parameters has an object with empty properties, which servers insist on."""

    def tool() -> None: ...

    assert read_signature(tool).parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_parameter_names_may_clash_with_pydantic() -> None:
    """Names such as schema, json, copy and model_config are ordinary parameters."""

    def tool(schema: str, json: str, copy: int, model_config: str, _private: str) -> None: ...

    assert list(read_signature(tool).parameters["properties"]) == ["schema", "json", "copy", "model_config", "_private"]


def test_field_rules_of_a_parameter_are_told() -> None:
    """Rules and descriptions given with Annotated reach the schema."""

    def tool(count: Annotated[int, Field(ge=1, le=9, description="how many")]) -> None: ...

    count = read_signature(tool).parameters["properties"]["count"]
    assert count == {"type": "integer", "minimum": 1, "maximum": 9, "description": "how many"}


def test_the_description_is_the_first_paragraph_and_bounded() -> None:
    """The first paragraph of the docstring describes the tool, in at most 1,024 characters."""

    def tool() -> None: ...

    tool.__doc__ = "word " * 500 + "\n\nmore"
    assert len(read_signature(tool).description) == 1024
    assert read_signature(every_type).description == "Do a thing over two lines."


class Opaque:
    pass


def takes_opaque(value: Opaque) -> None: ...


def takes_many(*values: int) -> None: ...


def takes_unknown(value: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "match"), [(takes_opaque, "Opaque"), (takes_many, "values"), (takes_unknown, "Missing")]
)
def test_what_cannot_be_told_is_an_error_at_registration(function: Any, match: str) -> None:
    """A parameter that has no schema is refused with its name or type."""
    with pytest.raises(ConfigError, match=match):
        read_signature(function)


line_values = st.builds(Line, title=st.text(), price=st.none() | st.decimals(allow_nan=False, allow_infinity=False))


@given(st.builds(Order, lines=st.lists(line_values, max_size=3), first=line_values))
def test_the_flat_schema_accepts_what_the_model_accepts(order: Order) -> None:
    """Flattening loses no valid value."""
    assert jsonschema.Draft202012Validator(flat_schema(Order)).is_valid(json.loads(order.model_dump_json()))
