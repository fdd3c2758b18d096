"""Faults on purpose: which call gets which, and when.

A plan holds rules; the first rule that fits a call and still has turns left gives its fault. What a fault looks like on
the wire is in `fault_replies` (errors) and `reshaping` (odd answers); those of the connection are the server's.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, Field


class CallKind(StrEnum):
    """Name what a call is for, judged by the honest answer to it."""

    PLAN = "plan"
    EXTRACTION = "extraction"
    STORE = "store"
    FINISH = "finish"
    PLAIN = "plain"
    ANY = "any"


class Fault(StrEnum):
    """Name everything that has been seen to go wrong with the server or its models."""

    # The prompt is too long.
    OVERFLOW_KEEP_FIRST = "overflow_keep_first"
    OVERFLOW_TOKENS_TO_KEEP = "overflow_tokens_to_keep"
    OVERFLOW_NOT_FIT = "overflow_not_fit"
    OVERFLOW_SIZE_EXCEEDED = "overflow_size_exceeded"
    OVERFLOW_SIZE_EXCEEDED_200 = "overflow_size_exceeded_200"
    OVERFLOW_SIZE_EXCEEDED_500 = "overflow_size_exceeded_500"
    OVERFLOW_ENGINE = "overflow_engine"
    OVERFLOW_SILENT = "overflow_silent"
    OVERFLOW_GARBAGE = "overflow_garbage"
    # The host or its model is not there.
    CRASHED = "crashed"
    MODEL_UNLOADED = "model_unloaded"
    MODEL_IS_UNLOADED = "model_is_unloaded"
    CHANNEL_ERROR = "channel_error"
    LOAD_FAILED = "load_failed"
    LOAD_FAILED_RESOURCES = "load_failed_resources"
    NO_MODELS_TEXT = "no_models_text"
    NO_MODELS_OBJECT = "no_models_object"
    LOADING = "loading"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    COMPUTE_ERROR = "compute_error"
    # The request or the set-up is refused.
    UNAUTHORIZED = "unauthorized"
    MODEL_NOT_FOUND_404 = "model_not_found_404"
    MODEL_NOT_FOUND_400 = "model_not_found_400"
    TEMPLATE = "template"
    INVALID_MESSAGES = "invalid_messages"
    SCRIPT_ERROR = "script_error"
    GRAMMAR = "grammar"
    # The reply is no completion although its status says so.
    ERROR_TEXT_200 = "error_text_200"
    ERROR_OBJECT_200 = "error_object_200"
    HTML_200 = "html_200"
    BAD_JSON_200 = "bad_json_200"
    EMPTY_CHOICES = "empty_choices"
    UNKNOWN_ENDPOINT_200 = "unknown_endpoint_200"
    # The connection.
    DISCONNECT_BEFORE = "disconnect_before"
    DISCONNECT_MIDWAY = "disconnect_midway"
    HANG = "hang"
    # The model's answer.
    EMPTY = "empty"
    OTHER_MODEL = "other_model"
    LENGTH_EMPTY = "length_empty"
    CUT_OFF = "cut_off"
    IN_REASONING = "in_reasoning"
    THINKING_INLINE = "thinking_inline"
    REPETITION = "repetition"
    USAGE_ZERO = "usage_zero"
    USAGE_MISSING = "usage_missing"
    TEXT_INSTEAD_OF_CALL = "text_instead_of_call"
    UNKNOWN_TOOL = "unknown_tool"
    BROKEN_ARGUMENTS = "broken_arguments"
    WRONG_ARGUMENTS = "wrong_arguments"
    MISSING_IDS = "missing_ids"
    MAPPING_ARGUMENTS = "mapping_arguments"
    SEVERAL_CALLS = "several_calls"
    LEAK_TOOL_REQUEST = "leak_tool_request"
    LEAK_TOOL_CALL_JSON = "leak_tool_call_json"
    LEAK_FUNCTION_TAGS = "leak_function_tags"
    LEAK_PYTHON_CALL = "leak_python_call"
    LEAK_TOOL_CALLS_ARGS = "leak_tool_calls_args"
    LEAK_CALL_BRACES = "leak_call_braces"
    LEAK_CHANNEL = "leak_channel"
    WRONG_TYPE = "wrong_type"
    MISSING_KEY = "missing_key"
    PROSE_AROUND_JSON = "prose_around_json"
    FENCED_JSON = "fenced_json"
    INVENTED_VALUE = "invented_value"


class FaultRule(BaseModel, frozen=True, extra="forbid"):
    """Say which calls get a fault."""

    fault: Fault = Field(description="what happens")
    kind: CallKind = Field(default=CallKind.ANY, description="only calls of this kind")
    marker: str = Field(default="", description="only calls with this text in a message, such as a document's number")
    nth: int = Field(default=1, ge=1, description="the first call that gets it, among those that fit, counted from 1")
    times: int | None = Field(
        default=1, ge=1, description="how many calls in a row get it; null: every one from there on"
    )


class FaultPlan:
    """Hold the rules and count what they have seen."""

    def __init__(self, rules: Iterable[FaultRule] = ()) -> None:
        self._seen = [(rule, 0) for rule in rules]

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        return tuple(rule for rule, _ in self._seen)

    def add(self, *rules: FaultRule) -> None:
        """Append rules; they count calls from now on."""
        self._seen.extend((rule, 0) for rule in rules)

    def clear(self) -> None:
        """Forget all rules."""
        self._seen.clear()

    def next(self, kind: CallKind, text: str) -> Fault | None:
        """Return the fault for a call; every rule that fits counts the call, the first that is due wins."""
        chosen: Fault | None = None
        for index, (rule, seen) in enumerate(self._seen):
            if rule.kind not in (CallKind.ANY, kind) or rule.marker not in text:
                continue
            self._seen[index] = (rule, seen + 1)
            if chosen is None and _is_due(rule, seen + 1):
                chosen = rule.fault
        return chosen


def _is_due(rule: FaultRule, call: int) -> bool:
    return call >= rule.nth and (rule.times is None or call < rule.nth + rule.times)
