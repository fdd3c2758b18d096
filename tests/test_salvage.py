"""Tool calls left in the text, as a table over the forms that were reported."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.salvage import salvage


def tool(name: str, **properties: str) -> dict[str, object]:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = (tool("add", a="string", n="integer"), tool("stop"))
BOTH = {"a": "x y", "n": 3}


@pytest.mark.parametrize(
    ("text", "calls", "rest"),
    [
        ('[TOOL_REQUEST]{"name":"add","arguments":{"a":"x y","n":3}}[END_TOOL_REQUEST]', [("add", BOTH)], ""),
        ('<tool_call>\n{"name": "add", "arguments": {"a": "x y", "n": 3}}\n</tool_call>', [("add", BOTH)], ""),
        ('<tool_call>{"name": "stop", "arguments": {}}', [("stop", {})], ""),
        (
            "<tool_call>\n<function=add>\n<parameter=a>\nx y\n</parameter>\n<parameter=n>\n3\n</parameter>\n"
            "</function>\n</tool_call>",
            [("add", BOTH)],
            "",
        ),
        ("<function=stop></function>", [("stop", {})], ""),
        ("<|tool_call_start|>[add(a='x y', n=3), stop()]<|tool_call_end|>", [("add", BOTH), ("stop", {})], ""),
        ('[TOOL_CALLS]add[ARGS]{"a": "x y", "n": 3}', [("add", BOTH)], ""),
        ('[TOOL_CALLS][{"name": "add", "arguments": {"a": "x y", "n": 3}}]', [("add", BOTH)], ""),
        ('<|tool_call>call:add{a:<|"|>x y<|"|>,n:3}<tool_call|>', [("add", BOTH)], ""),
        (
            '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": "x y", "n": 3}<|call|>',
            [("add", BOTH)],
            "",
        ),
        ('```json\n{"name": "add", "parameters": {"a": "x y", "n": 3}}\n```', [("add", BOTH)], ""),
        ('{"name": "add", "arguments": "{\\"n\\": 3}"}', [("add", {"n": 3})], ""),
        (
            'First <tool_call>{"name":"stop","arguments":{}}</tool_call> then'
            ' <tool_call>{"name":"add","arguments":{"n":1}}</tool_call> done',
            [("stop", {}), ("add", {"n": 1})],
            "First  then  done",
        ),
    ],
)
def test_each_reported_form_is_read(text: str, calls: list[tuple[str, object]], rest: str) -> None:
    """The call comes out with typed arguments, and what is left is the text around it."""
    found = salvage(text, TOOLS)

    assert [(call.name, json.loads(call.arguments)) for call in found.calls] == calls
    assert found.text == rest


@pytest.mark.parametrize(
    "text",
    [
        "The total is 3.",
        '{"total": 3}',
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": "cut of',
        "<tool_call><function=add><parameter=a>cut of",
        "<tool_call><function=add><parameter=a>cut of</function></tool_call>",
        "[TOOL_CALLS]add[ARGS]{",
        "<|tool_call_start|>[add(a='x'<|tool_call_end|>",
        "<|tool_call_start|>[add(a=open('x'))]<|tool_call_end|>",
        '<|tool_call>call:add{a:<|"|>cut',
        "<|channel|>commentary to=functions.add<|message|>{",
        "x" * 200_000,
    ],
)
def test_unknown_and_unfinished_calls_stay_text(text: str) -> None:
    """Half a call, a call of a tool that was not offered, and plain text are left alone."""
    found = salvage(text, TOOLS)

    assert (found.calls, found.text) == ((), text)


def test_a_string_parameter_stays_a_string() -> None:
    """A number written for a parameter that is text is not turned into a number."""
    found = salvage("<function=add><parameter=a>007</parameter></function>", TOOLS)

    assert json.loads(found.calls[0].arguments) == {"a": "007"}


_PIECES = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<function=add>",
        "<parameter=a>",
        "[TOOL_CALLS]",
        "add",
        "[ARGS]",
        "{",
        "}",
        '"a"',
        ":",
        "[",
        "x",
    ]
)


@given(st.lists(_PIECES, max_size=30).map("".join) | st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever stands in a reply, only offered tools come out, with arguments that are JSON."""
    for call in salvage(text, TOOLS).calls:
        assert call.name in {"add", "stop"}
        assert isinstance(json.loads(call.arguments), dict)
