"""What went wrong at a model server, and whose fault it is: a pure decision over status and text.

LM Studio answers almost every fault with HTTP 400, so the text decides first and the status only where no text is
known. What nobody knows is put on the host, because the host can be asked whether it is well and a job cannot: a
request that keeps failing at a healthy host is given up by `hosts`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, assert_never

from pipeline.errors import (
    ContextOverflow,
    HostFault,
    ModelError,
    ModelSetupFault,
    OutputFault,
    RequestRefused,
    SchemaRefused,
)

_LONGEST_QUOTE_CHARACTERS = 300


class FaultKind(StrEnum):
    """Say whose fault it is."""

    HOST = "host"
    JOB = "job"
    OVERFLOW = "overflow"
    OUTPUT = "output"
    SETUP = "setup"
    SCHEMA = "schema"


class Break(StrEnum):
    """Say how a call ended without a usable answer."""

    ANSWERED = "answered"
    """The server answered, with an error."""
    UNREACHABLE = "unreachable"
    """No connection, or the connection broke before the answer was complete."""
    TIMED_OUT = "timed_out"
    """Nothing came within the time allowed."""
    NOT_A_REPLY = "not_a_reply"
    """A success came that holds no reply of a model."""


@dataclass(frozen=True)
class Failure:
    """Hold what is known of a failed call; `text` is the body or message as it came.

    `retry_after` is the header of that name, as it came.
    """

    how: Break
    text: str = ""
    status: int | None = None
    retry_after: str = ""


@dataclass(frozen=True)
class Fault:
    """Hold the decision: whose fault, the server's words, what to do, and sizes in tokens where named."""

    kind: FaultKind
    message: str
    hint: str
    prompt_tokens: int | None = None
    context_tokens: int | None = None
    retry_after_seconds: float | None = None


def classify(failure: Failure) -> Fault:
    """Decide whose fault a failure is."""
    match failure.how:
        case Break.UNREACHABLE:
            return Fault(FaultKind.HOST, "does not answer", _START_SERVER)
        case Break.TIMED_OUT:
            return Fault(FaultKind.HOST, "did not answer in time", _SLOW)
        case Break.NOT_A_REPLY:
            return Fault(FaultKind.OUTPUT, "answered without a reply of the model", _READ_LOG)
        case Break.ANSWERED:
            return _classify_answer(failure)
        case _:
            assert_never(failure.how)


def to_error(fault: Fault, server: str) -> ModelError:
    """Return the exception for a fault; `server` is the address, to name in the message."""
    message = f"the model server at {server} {fault.message}"
    match fault.kind:
        case FaultKind.HOST:
            return HostFault(message, hint=fault.hint, retry_after_seconds=fault.retry_after_seconds)
        case FaultKind.SETUP:
            return ModelSetupFault(message, hint=fault.hint)
        case FaultKind.OUTPUT:
            return OutputFault(message, hint=fault.hint)
        case FaultKind.JOB:
            return RequestRefused(message, hint=fault.hint)
        case FaultKind.SCHEMA:
            return SchemaRefused(message, hint=fault.hint)
        case FaultKind.OVERFLOW:
            return ContextOverflow(
                message, hint=fault.hint, prompt_tokens=fault.prompt_tokens, context_tokens=fault.context_tokens
            )
        case _:
            assert_never(fault.kind)


def server_words(body: str) -> str:
    """Return the message inside an error body, which is a string, an object with one, or no JSON at all."""
    try:
        value = json.loads(body)
    except ValueError:
        return body.strip()
    for _ in range(3):
        if not isinstance(value, dict):
            break
        value = value.get("error") or value.get("message") or ""
    return value.strip() if isinstance(value, str) else body.strip()


_START_SERVER = "start LM Studio's server (Developer tab, or `lms server start`) and check base_url"
_SLOW = "a smaller model, a shorter context or a larger [llm] timeout_seconds helps"
_READ_LOG = "LM Studio's log (`lms log stream`) says more"
_LOAD_MODEL = "load a model in LM Studio: `lms load <model> --context-length 32768`"
_RESOURCES = "the model may be too large for this machine: choose a smaller one or a shorter context"
_NAME_MODEL = "set `model` to a name that `lms ls` shows, or leave it empty for the loaded one"
_GIVE_KEY = "create an API token in LM Studio and set api_key (or LM_STUDIO_API_KEY)"
_CHECK_URL = "base_url must be LM Studio's OpenAI address, usually http://localhost:1234/v1"
_LONGER_CONTEXT = "load the model with a longer context: `lms load <model> --context-length <tokens>`"
_BUSY = "lower `slots`, or wait: the server works off what it has"


class _Rule(NamedTuple):
    kind: FaultKind
    hint: str
    pattern: re.Pattern[str]


def _rule(kind: FaultKind, hint: str, *alternatives: str) -> _Rule:
    return _Rule(kind, hint, re.compile("|".join(alternatives), re.IGNORECASE))


# The texts as reported for LM Studio and the engine under it; the first rule that matches decides.
_RULES = (
    _rule(
        FaultKind.OVERFLOW,
        _LONGER_CONTEXT,
        r"trying to keep the first \d+ tokens",
        r"number of tokens to keep from the initial prompt is greater",
        r"cannot truncate prompt with n_keep",
        r"does not fit in (the )?context length",
        r"context size has been exceeded",
        r"exceeds? the (available|model'?s) context",
        r"exceed_context_size_error",
        r"context_length_exceeded",
        r"maximum context length is \d+",
    ),
    _rule(FaultKind.HOST, _LOAD_MODEL, r"no models? (is )?loaded", r"model (is |was )?unloaded", r"channel error"),
    _rule(FaultKind.HOST, _READ_LOG, r"model has crashed", r"compute error", r"error in response object"),
    _rule(
        FaultKind.HOST,
        _CHECK_URL,
        r"invalid response from llm endpoint",
        r"'choices' that is not a list",
        r"no 'choices'",
    ),
    _rule(
        FaultKind.HOST, _RESOURCES, r"failed to load( the)? model", r"model_load_failed", r"insufficient system resour"
    ),
    _rule(
        FaultKind.HOST, "it goes on by itself when the model is loaded", r"loading( the)? model", r"model is loading"
    ),
    _rule(FaultKind.SETUP, _GIVE_KEY, r"invalid_api_key", r"api (token|key) is (required|invalid)", r"invalid api key"),
    _rule(
        FaultKind.SETUP,
        _NAME_MODEL,
        r"model_not_found",
        r"invalid model identifier",
        r"model .{1,200} not found",
        r"specify a valid (downloaded )?model",
    ),
    _rule(FaultKind.SETUP, _CHECK_URL, r"unexpected endpoint or method"),
    _rule(
        FaultKind.JOB,
        "load a model that sees images, or give a document with a text layer",
        r"does not support images",
        r"must be a base64 encoded image",
        r"image input is not supported",
    ),
    _rule(
        FaultKind.JOB,
        "the model's chat template refuses this conversation: choose another model",
        r"jinja template",
        r"roles must alternate",
        r"no user query found",
    ),
    _rule(
        FaultKind.SCHEMA,
        "the model server cannot enforce this schema: update LM Studio's runtimes, or choose another model",
        r"failed to (parse|initialize|init).{0,30}(grammar|samplers)",
        r"response_format",
        r"unrecognized schema",
        r"(json|structured)[ _]?(schema|output)s?.{0,60}(fail|not support|unsupported|invalid|error)",
        r"(fail|unsupported|invalid|error).{0,60}(json|structured)[ _]?(schema|output)",
        r"(fail|unsupported|invalid|error).{0,40}grammar|grammar.{0,40}(fail|not support|unsupported|invalid|error)",
    ),
    _rule(
        FaultKind.JOB,
        "the model server refuses the request's form: update LM Studio",
        r"invalid '\w+' in payload",
        r"invalid tool_choice",
        r"_0x[0-9a-f]+ is not",
    ),
)

_PROMPT_TOKENS = re.compile(
    r"keep the first (\d+) tokens|n_keep:? ?\(?(\d+)|input has (\d+) tokens|n_prompt_tokens\W+(\d+)"
    r"|request \((\d+) tokens|requested (\d+) tokens",
    re.IGNORECASE,
)
_CONTEXT_TOKENS = re.compile(
    r"context length of only (\d+)|n_ctx:? ?\(?(\d+)|context length only supports (\d+)|n_ctx\W+(\d+)"
    r"|available context size \((\d+)|maximum context length is (\d+)",
    re.IGNORECASE,
)


def _classify_answer(failure: Failure) -> Fault:
    words = _quote(server_words(failure.text))
    for rule in _RULES:
        if rule.pattern.search(failure.text):
            return Fault(rule.kind, f"says: {words}", rule.hint, **_sizes(rule.kind, failure.text))
    kind, hint = _by_status(failure.status)
    status = "an error" if failure.status is None else f"HTTP {failure.status}"
    wait = _seconds(failure.retry_after) if kind is FaultKind.HOST else None
    return Fault(kind, f"answered {status}: {words}" if words else f"answered {status}", hint, retry_after_seconds=wait)


def _by_status(status: int | None) -> tuple[FaultKind, str]:
    match status:
        case 401 | 403:
            return FaultKind.SETUP, _GIVE_KEY
        case 404 | 405:
            return FaultKind.SETUP, _CHECK_URL
        case 413:
            return FaultKind.JOB, "the request is larger than the server takes: give it fewer or smaller pages"
        case 429:
            return FaultKind.HOST, _BUSY
        case _:
            return FaultKind.HOST, _READ_LOG


def _seconds(retry_after: str) -> float | None:
    """Read the header's number of seconds; its other form, a date, needs a clock that agrees with ours."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def _sizes(kind: FaultKind, text: str) -> dict[str, int | None]:
    if kind is not FaultKind.OVERFLOW:
        return {}
    return {
        "prompt_tokens": _first_number(_PROMPT_TOKENS, text),
        "context_tokens": _first_number(_CONTEXT_TOKENS, text),
    }


def _first_number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return next(int(group) for group in found.groups() if group) if found else None


def _quote(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST_QUOTE_CHARACTERS else line[:_LONGEST_QUOTE_CHARACTERS] + "…"
