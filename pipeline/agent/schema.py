"""From a Python signature to what a model is told of it, and back: one pydantic class does both.

The class is made from the signature, so that the schema the model sees and the check its arguments go through cannot
differ. Schemas are sent flat and small: grammar builders of local servers stumble over `$ref`, `pattern` and `title`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import core_schema

from pipeline.agent.context import ActionContext
from pipeline.errors import ConfigError
from pipeline.llm.protocol import JsonObject

MAX_DESCRIPTION_CHARACTERS = 1024
_CONTEXT_NAMES = ("context", "action_context")
_SHOWN_PROBLEMS = 5
_DROPPED_KEYWORDS = ("title", "pattern", "discriminator", "$defs", "definitions")
_MAPS_OF_SCHEMAS = ("properties", "patternProperties")


@dataclass(frozen=True)
class Signature:
    """Hold what a function takes: `arguments` checks what the model sends, `context_name` is injected and hidden."""

    arguments: type[BaseModel]
    context_name: str | None
    description: str

    @property
    def parameters(self) -> JsonObject:
        """Return the JSON Schema of the arguments, always an object with `properties`."""
        schema = flat_schema(self.arguments)
        for name, parameter in schema["properties"].items():
            if name not in schema.get("required", ()):
                schema["properties"][name] = _without_null(parameter)
        return schema


def read_signature(function: Callable[..., Any]) -> Signature:
    """Return what the function takes, or raise a `ConfigError` that names the parameter which cannot be told."""
    documentation = _read_docstring(inspect.getdoc(function) or "")
    context_name = None
    fields: dict[str, Any] = {}
    open_ended = False
    for name, parameter in _signature_of(function).parameters.items():
        if _is_context(parameter):
            context_name = name
        elif parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"parameter `{name}` of tool `{_name_of(function)}` cannot be given by name",
                hint="models name every argument; use ordinary parameters",
            )
        else:
            # Under names of our own: a parameter called `schema` or `model_name` would clash with pydantic's.
            fields[f"arg_{len(fields)}"] = _field(parameter, documentation.parameters.get(name))
    arguments = _arguments_class(function, fields, open_ended=open_ended)
    return Signature(arguments, context_name, documentation.summary)


def flat_schema(source: type[BaseModel] | JsonObject) -> JsonObject:
    """Return the JSON Schema with every `$ref` written out and without keywords that only burden the server."""
    schema = source if isinstance(source, dict) else source.model_json_schema(schema_generator=_PlainSchema)
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    flat: JsonObject = _flatten(schema, definitions, ())
    if flat.get("type") == "object":
        flat.setdefault("properties", {})
    return flat


def validation_problems(error: ValidationError) -> str:
    """Return what pydantic found in a form a model can act on: where, what, and the value it gave."""
    problems = error.errors(include_url=False, include_context=False)
    lines = [_problem(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        lines.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return "; ".join(lines)


class _PlainSchema(GenerateJsonSchema):
    """Write amounts as strings: as JSON numbers they would pass through binary floats.

    A default that is no JSON is left out in silence; the function fills it in by itself.
    """

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonObject:  # noqa: ARG002 - pydantic's signature
        return {"type": "string", "description": "decimal number such as 12.50"}


@dataclass(frozen=True)
class _Documentation:
    summary: str
    parameters: Mapping[str, str]


def _read_docstring(text: str) -> _Documentation:
    """Take the first paragraph and the `Args:` section in Google style."""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    parameters: dict[str, str] = {}
    section = re.search(r"^(?:Args|Arguments|Parameters):[ ]*\n((?:[ \t]+.*(?:\n|$)|\n)*)", text, re.MULTILINE)
    if section:
        body = inspect.cleandoc("\n" + section[1])
        for entry in re.split(r"\n(?=\S)", body):
            if match := re.match(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.+)", entry, re.DOTALL):
                parameters[match[1]] = " ".join(match[2].split())
    return _Documentation(summary[:MAX_DESCRIPTION_CHARACTERS], parameters)


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError, SyntaxError) as error:
        raise ConfigError(
            f"the type hints of tool `{_name_of(function)}` cannot be read: {error}",
            hint="its types must be importable at run time: no TYPE_CHECKING imports, no types local to a function",
        ) from error


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _is_context(parameter: inspect.Parameter) -> bool:
    hint = parameter.annotation
    if hint is inspect.Parameter.empty:
        return parameter.name in _CONTEXT_NAMES
    return hint is ActionContext or ActionContext in get_args(hint)


def _field(parameter: inspect.Parameter, description: str | None) -> tuple[Any, FieldInfo]:
    default = parameter.default
    hint = parameter.annotation
    if hint is parameter.empty:
        hint = str if default is parameter.empty or default is None else type(default)
    default = ... if default is parameter.empty else default
    info: FieldInfo = Field(default, alias=parameter.name)
    if description:
        info = Field(default, alias=parameter.name, description=description[:MAX_DESCRIPTION_CHARACTERS])
    return hint, info


def _arguments_class(function: Callable[..., Any], fields: Mapping[str, Any], *, open_ended: bool) -> type[BaseModel]:
    # Small models write 4711 where a text such as an invoice number is wanted; that is no reason for another round.
    config = ConfigDict(extra="allow" if open_ended else "forbid", coerce_numbers_to_str=True)
    try:
        arguments: type[BaseModel] = create_model("Arguments", __config__=config, **fields)
        arguments.model_json_schema(schema_generator=_PlainSchema)
    except PydanticUserError as error:
        raise ConfigError(
            f"a parameter of tool `{_name_of(function)}` has a type that JSON cannot describe: {error.message}",
            hint="use plain types, lists, dicts, literals, enums or pydantic models",
        ) from error
    return arguments


def _without_null(parameter: JsonObject) -> JsonObject:
    """Drop `null` from an optional parameter: leaving it out says the same, and templates expect a `type`."""
    branches = [branch for branch in parameter.get("anyOf", ()) if branch != {"type": "null"}]
    kept = {key: value for key, value in parameter.items() if key != "default" or value is not None}
    if len(branches) != 1:
        return kept | ({"anyOf": branches} if branches else {})
    kept.pop("anyOf")
    return {**branches[0], **kept}


def _flatten(schema: Any, definitions: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_flatten(item, definitions, seen) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolve(schema, definitions, seen)
    flat: JsonObject = {}
    for key, value in schema.items():
        if key in _DROPPED_KEYWORDS:
            continue
        if key in _MAPS_OF_SCHEMAS:
            flat[key] = {name: _flatten(item, definitions, seen) for name, item in value.items()}
        elif key in ("enum", "const", "default", "examples", "required"):
            flat[key] = value
        else:
            flat["anyOf" if key == "oneOf" else key] = _flatten(value, definitions, seen)
    return flat


def _resolve(schema: JsonObject, definitions: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    name = str(schema["$ref"]).rsplit("/", 1)[-1]
    if name in seen or name not in definitions:
        fault = "contains itself" if name in seen else "is not defined"
        raise ConfigError(f"`{name}` {fault} in a JSON schema", hint="tool and answer schemas must be finite trees")
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return _flatten({**definitions[name], **beside}, definitions, (*seen, name))


def _problem(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the whole"
    if problem["type"] == "missing":
        return f"`{where}` is missing"
    if problem["type"] == "extra_forbidden":
        return f"`{where}` is not a known name"
    return f"`{where}`: {problem['msg']} (it was {str(problem['input'])[:60]!r})"
