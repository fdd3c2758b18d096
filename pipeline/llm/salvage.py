"""Find tool calls that a model server left standing in the text.

When LM Studio cannot read a model's own call syntax it passes the text on with finish reason `stop`. Each family of
models has its own syntax; the ones below are those reported. A call counts only if its tool was offered and its
arguments are complete: half a call is worse than none.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.llm.protocol import JsonObject, ToolCall

_LONGEST_TEXT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Salvaged:
    """Hold the calls found, without ids, and the text that is left."""

    calls: tuple[ToolCall, ...]
    text: str


def salvage(text: str, tools: Sequence[JsonObject]) -> Salvaged:
    """Return the calls of offered tools that stand in a text, in their order."""
    parameters = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in tools}
    if len(text) > _LONGEST_TEXT_CHARACTERS:
        return Salvaged((), text)
    for form in _FORMS:
        found = [hit for hit in form(text, parameters) if hit.name in parameters]
        if found:
            return Salvaged(tuple(ToolCall("", hit.name, _as_json(hit.arguments)) for hit in found), _rest(text, found))
    return Salvaged((), text)


class _Hit(NamedTuple):
    name: str
    arguments: Mapping[str, Any]
    start: int
    end: int


_Tools = Mapping[str, JsonObject]
_Form = Callable[[str, _Tools], Iterator[_Hit]]

_XML_CALL = re.compile(
    r"(?:<tool_call>\s*)?<function=([\w.-]+)>((?:(?!<function=).)*?)</function>(?:\s*</tool_call>)?", re.DOTALL
)
_XML_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_JSON_MARKS = re.compile(r"\[TOOL_REQUEST\]|<tool_call>|<\|python_tag\|>|\[TOOL_CALLS\](?=\s*[\[{])")
_JSON_ENDS = re.compile(r"\s*(?:\[END_TOOL_REQUEST\]|</tool_call>|<\|eom_id\|>|<\|eot_id\|>)")
_NAMED_ARGS = re.compile(r"(?:\[TOOL_CALLS\])?([\w.-]+)(?:\[CALL_ID\][\w-]*)?\[ARGS\]")
_PYTHON_LIST = re.compile(r"<\|tool_call_start\|>(.*?)<\|tool_call_end\|>", re.DOTALL)
_GEMMA = re.compile(r"<\|tool_call>call:([\w.-]+)(\{.*?\})<tool_call\|>", re.DOTALL)
_GEMMA_QUOTE = '<|"|>'
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_][\w-]*)\s*:")
_HARMONY = re.compile(
    r"(?:<\|start\|>\w*)?<\|channel\|>\w+ to=(?:functions\.)?([\w.-]+)[^<{]*(?:<\|constrain\|>\w+)?<\|message\|>"
)
_HARMONY_END = re.compile(r"\s*<\|call\|>")
_FENCE = re.compile(r"\A\s*```(?:json|tool_call|tool_code)?\s*(.*?)\s*```\s*\Z", re.DOTALL)


def _xml_parameters(text: str, tools: _Tools) -> Iterator[_Hit]:
    """Read `<function=f><parameter=p>v</parameter></function>`."""
    for call in _XML_CALL.finditer(text):
        name, body = call.groups()
        if "<parameter=" in _XML_PARAMETER.sub("", body):
            continue
        properties = tools.get(name, {}).get("properties", {})
        arguments = {key: _typed(value, properties.get(key, {})) for key, value in _XML_PARAMETER.findall(body)}
        yield _Hit(name, arguments, call.start(), call.end())


def _marked_json(text: str, _tools: _Tools) -> Iterator[_Hit]:
    """Read `[TOOL_REQUEST]{…}`, `<tool_call>{…}` and `[TOOL_CALLS][{…}]`."""
    for mark in _JSON_MARKS.finditer(text):
        value, end = _json_at(text, mark.end())
        closing = _JSON_ENDS.match(text, end)
        end = closing.end() if closing else end
        yield from _json_calls(value, mark.start(), end)


def _named_arguments(text: str, _tools: _Tools) -> Iterator[_Hit]:
    """Read `[TOOL_CALLS]f[ARGS]{…}`."""
    for mark in _NAMED_ARGS.finditer(text):
        value, end = _json_at(text, mark.end())
        if isinstance(value, dict):
            yield _Hit(mark.group(1), value, mark.start(), end)


def _python_list(text: str, _tools: _Tools) -> Iterator[_Hit]:
    """Read `<|tool_call_start|>[f(a='b')]<|tool_call_end|>`."""
    for span in _PYTHON_LIST.finditer(text):
        for name, arguments in _python_calls(span.group(1).strip()):
            yield _Hit(name, arguments, span.start(), span.end())


def _gemma(text: str, _tools: _Tools) -> Iterator[_Hit]:
    """Read `<|tool_call>call:f{a:<|"|>v<|"|>}<tool_call|>`."""
    for call in _GEMMA.finditer(text):
        value = _parsed(_gemma_as_json(call.group(2)))
        if isinstance(value, dict):
            yield _Hit(call.group(1), value, call.start(), call.end())


def _harmony(text: str, _tools: _Tools) -> Iterator[_Hit]:
    """Read `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>`."""
    for mark in _HARMONY.finditer(text):
        value, end = _json_at(text, mark.end())
        closing = _HARMONY_END.match(text, end)
        if isinstance(value, dict):
            yield _Hit(mark.group(1), value, mark.start(), closing.end() if closing else end)


def _whole_json(text: str, _tools: _Tools) -> Iterator[_Hit]:
    """Read an answer that is nothing but the JSON of a call, perhaps in a code fence."""
    fenced = _FENCE.match(text)
    yield from _json_calls(_parsed(fenced.group(1) if fenced else text), 0, len(text))


_FORMS: tuple[_Form, ...] = (
    _xml_parameters,
    _marked_json,
    _named_arguments,
    _python_list,
    _gemma,
    _harmony,
    _whole_json,
)


def _json_calls(value: object, start: int, end: int) -> Iterator[_Hit]:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        nested = item.get("function")
        call: dict[str, Any] = nested if isinstance(nested, dict) else item
        name = call.get("name")
        arguments = call.get("arguments", call.get("parameters"))
        if isinstance(arguments, str):
            arguments = _parsed(arguments)
        if isinstance(name, str) and isinstance(arguments, dict):
            yield _Hit(name, arguments, start, end)


def _json_at(text: str, position: int) -> tuple[object, int]:
    while position < len(text) and text[position].isspace():
        position += 1
    try:
        return json.JSONDecoder().raw_decode(text, position)
    except (ValueError, RecursionError):
        return None, position


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _python_calls(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        tree = ast.parse(source if source.startswith("[") else f"[{source}]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in tree.elts if isinstance(tree, ast.List) else []:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            try:
                arguments = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
                json.dumps(arguments)
            except (ValueError, TypeError, RecursionError):
                continue
            yield node.func.id, arguments


def _gemma_as_json(source: str) -> str:
    pieces = source.split(_GEMMA_QUOTE)
    for index, piece in enumerate(pieces):
        pieces[index] = json.dumps(piece) if index % 2 else _BARE_KEY.sub(r'\1"\2":', piece)
    return "".join(pieces)


def _typed(value: str, schema: JsonObject) -> object:
    if schema.get("type") == "string":
        return value
    parsed = _parsed(value)
    return value if parsed is None and value.strip() != "null" else parsed


def _as_json(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def _rest(text: str, found: Sequence[_Hit]) -> str:
    pieces, position = [], 0
    for hit in found:
        pieces.append(text[position : max(hit.start, position)])
        position = max(hit.end, position)
    return "".join([*pieces, text[position:]]).strip()
