"""Answers as models get them wrong: each function takes the honest answer and spoils it in one known way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.faults import Fault
from pipeline.llm.standin.wire import Answer, Call, answer_tokens, arguments_text, cut

_UNKNOWN_TOOL = "look_up_the_weather"
_INVENTED_AMOUNT = "987654.32"
_REPETITIONS = 400


def reshape(fault: Fault, answer: Answer) -> Answer:
    """Return the answer as the fault leaves it; a fault that is not about answers leaves it alone."""
    spoil = _SPOILED.get(fault)
    return spoil(answer) if spoil else answer


def _empty(answer: Answer) -> Answer:
    return replace(answer, text="", calls=(), reasoning="", finish="stop")


def _garbage(answer: Answer) -> Answer:
    return replace(answer, text="\u0120\u0120@@@@ 0000 @@@@ \u0120\u0120" * 8, calls=(), finish="stop")


def _in_reasoning(answer: Answer) -> Answer:
    return replace(answer, text="", reasoning=answer.text or _calls_text(answer), calls=(), finish="stop")


def _thinking_inline(answer: Answer) -> Answer:
    return replace(answer, text=f"<think>First I look at the top of the page.</think>\n\n{answer.text}")


def _repetition(answer: Answer) -> Answer:
    return replace(answer, text="and the total and " * _REPETITIONS, calls=(), finish="length")


def _cut_off(answer: Answer) -> Answer:
    return cut(answer, max(1, answer_tokens(answer) // 2))[0]


def _text_instead_of_call(answer: Answer) -> Answer:
    names = ", ".join(call.name for call in answer.calls)
    return replace(answer, text=f"I would now use {names or 'a tool'}.", calls=(), finish="stop")


def _each_call(change: Callable[[Call], Call]) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, calls=tuple(map(change, answer.calls)))


def _several_calls(answer: Answer) -> Answer:
    return replace(answer, calls=tuple(replace(call, id=f"{call.id}{n}") for call in answer.calls for n in (1, 2)))


def _leak(write: Callable[[str, JsonObject], str]) -> Callable[[Answer], Answer]:
    def spoil(answer: Answer) -> Answer:
        texts = [write(call.name, call.arguments) for call in answer.calls if isinstance(call.arguments, dict)]
        return replace(answer, text="\n".join([answer.text, *texts]).strip(), calls=(), finish="stop")

    return spoil


def _call_json(name: str, arguments: JsonObject) -> str:
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def _function_tags(name: str, arguments: JsonObject) -> str:
    parameters = "".join(f"<parameter={key}>\n{_plain(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def _python_call(name: str, arguments: JsonObject) -> str:
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"<|tool_call_start|>[{name}({written})]<|tool_call_end|>"


def _call_braces(name: str, arguments: JsonObject) -> str:
    written = ",".join(f'{key}:<|"|>{_plain(value)}<|"|>' for key, value in arguments.items())
    return f"<|tool_call>call:{name}{{{written}}}<tool_call|>"


def _channel(name: str, arguments: JsonObject) -> str:
    body = json.dumps(arguments, ensure_ascii=False)
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{body}<|call|>"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _calls_text(answer: Answer) -> str:
    return "\n".join(f"{call.name} {arguments_text(call)}" for call in answer.calls)


def _json_text(change: Callable[[JsonObject], JsonObject]) -> Callable[[Answer], Answer]:
    """Change the JSON object in the text; an answer without one stays as it is."""

    def spoil(answer: Answer) -> Answer:
        try:
            value = json.loads(answer.text)
        except ValueError:
            return answer
        if not isinstance(value, dict) or not value:
            return answer
        return replace(answer, text=json.dumps(change(value), ensure_ascii=False))

    return spoil


def _wrong_type(value: JsonObject) -> JsonObject:
    key = _largest_key(value)
    return {**value, key: {"value": value[key]} if isinstance(value[key], str | None) else "many"}


def _missing_key(value: JsonObject) -> JsonObject:
    gone = _largest_key(value)
    return {key: each for key, each in value.items() if key != gone}


def _largest_key(value: JsonObject) -> str:
    """Return the key with most in it: the one whose loss hurts."""
    return max(value, key=lambda key: len(json.dumps(value[key])))


def _invented_value(value: JsonObject) -> JsonObject:
    key = next((key for key in value if "total" in key), next(iter(value)))
    return {**value, key: float(_INVENTED_AMOUNT) if isinstance(value[key], int | float) else _INVENTED_AMOUNT}


_SPOILED: Mapping[Fault, Callable[[Answer], Answer]] = {
    Fault.OVERFLOW_SILENT: _empty,
    Fault.OVERFLOW_GARBAGE: _garbage,
    Fault.EMPTY: _empty,
    Fault.OTHER_MODEL: lambda answer: replace(answer, model="stand-in/another-model"),
    Fault.LENGTH_EMPTY: lambda answer: replace(_in_reasoning(answer), finish="length"),
    Fault.CUT_OFF: _cut_off,
    Fault.IN_REASONING: _in_reasoning,
    Fault.THINKING_INLINE: _thinking_inline,
    Fault.REPETITION: _repetition,
    Fault.USAGE_ZERO: lambda answer: replace(answer, usage="zero"),
    Fault.USAGE_MISSING: lambda answer: replace(answer, usage="missing"),
    Fault.TEXT_INSTEAD_OF_CALL: _text_instead_of_call,
    Fault.UNKNOWN_TOOL: _each_call(lambda call: replace(call, name=_UNKNOWN_TOOL)),
    Fault.BROKEN_ARGUMENTS: _each_call(lambda call: replace(call, arguments='{"message": "unfinished')),
    Fault.WRONG_ARGUMENTS: _each_call(lambda call: replace(call, arguments={"no_such_argument": 1})),
    Fault.MISSING_IDS: _each_call(lambda call: replace(call, id="")),
    Fault.MAPPING_ARGUMENTS: lambda answer: replace(answer, arguments_as_mapping=True),
    Fault.SEVERAL_CALLS: _several_calls,
    Fault.LEAK_TOOL_REQUEST: _leak(lambda name, given: f"[TOOL_REQUEST]{_call_json(name, given)}[END_TOOL_REQUEST]"),
    Fault.LEAK_TOOL_CALL_JSON: _leak(lambda name, given: f"<tool_call>\n{_call_json(name, given)}\n</tool_call>"),
    Fault.LEAK_FUNCTION_TAGS: _leak(_function_tags),
    Fault.LEAK_PYTHON_CALL: _leak(_python_call),
    Fault.LEAK_TOOL_CALLS_ARGS: _leak(lambda name, given: f"[TOOL_CALLS]{name}[ARGS]{json.dumps(given)}"),
    Fault.LEAK_CALL_BRACES: _leak(_call_braces),
    Fault.LEAK_CHANNEL: _leak(_channel),
    Fault.WRONG_TYPE: _json_text(_wrong_type),
    Fault.MISSING_KEY: _json_text(_missing_key),
    Fault.PROSE_AROUND_JSON: lambda answer: replace(answer, text=f"Here you are:\n{answer.text}\nAnything else?"),
    Fault.FENCED_JSON: lambda answer: replace(answer, text=f"```json\n{answer.text}\n```"),
    Fault.INVENTED_VALUE: _json_text(_invented_value),
}
