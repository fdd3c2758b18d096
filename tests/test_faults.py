"""The classifier, as one table over every failure that was reported or measured."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    ContextOverflow,
    HostFault,
    ModelError,
    ModelSetupFault,
    OutputFault,
    RequestRefused,
    SchemaRefused,
)
from pipeline.llm.faults import Break, Failure, FaultKind, classify, server_words, to_error

HOST, JOB, OVERFLOW, OUTPUT, SETUP, SCHEMA = FaultKind


def bare(text: str) -> str:
    return json.dumps({"error": text})


def nested(text: str, **more: object) -> str:
    return json.dumps({"error": {"message": text, "type": "invalid_request_error", **more}})


TABLE = [
    # Overflows: with both numbers, one, or none.
    (
        400,
        bare(
            "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with"
            " context length of only 4096 tokens, which is not enough."
        ),
        OVERFLOW,
        (9000, 4096),
    ),
    (
        400,
        nested(
            "The number of tokens to keep from the initial prompt is greater than the context length"
            " (n_keep: 7150>= n_ctx: 4096)."
        ),
        OVERFLOW,
        (7150, 4096),
    ),
    (400, bare("Cannot truncate prompt with n_keep (7150) >= n_ctx (4096)"), OVERFLOW, (7150, 4096)),
    (
        200,
        nested(
            "Input does not fit in context length. The input has 5000 tokens, but the context length only supports"
            " 4096 tokens."
        ),
        OVERFLOW,
        (5000, 4096),
    ),
    (400, bare("Context size has been exceeded."), OVERFLOW, (None, None)),
    (500, nested("Context size has been exceeded."), OVERFLOW, (None, None)),
    (
        400,
        nested(
            "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
            type="exceed_context_size_error",
            n_prompt_tokens=9000,
            n_ctx=4096,
        ),
        OVERFLOW,
        (9000, 4096),
    ),
    (
        400,
        nested("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
        OVERFLOW,
        (5000, 4096),
    ),
    # The host's own troubles, most of them with status 400.
    (
        400,
        bare("No models loaded. Please load a model in the developer page or use the 'lms load' command."),
        HOST,
        None,
    ),
    (404, nested("No models loaded. Please load a model", code="model_not_found"), HOST, None),
    (400, bare("The model has crashed without additional information. (Exit code: 18446744072635812000)"), HOST, None),
    (400, bare("Model unloaded."), HOST, None),
    (400, bare("Model is unloaded."), HOST, None),
    (400, bare("Channel Error"), HOST, None),
    (400, nested('Failed to load model "x". Error: insufficient system resources', code="model_not_found"), HOST, None),
    (500, nested("nope", code="model_load_failed"), HOST, None),
    (200, json.dumps({"error": {"message": "Compute error."}, "message": "Compute error."}), HOST, None),
    (422, "Error in response object", HOST, None),
    (503, nested("Loading model", type="unavailable_error"), HOST, None),
    (503, "", HOST, None),
    (502, "<html>bad gateway</html>", HOST, None),
    (500, nested("something nobody has seen"), HOST, None),
    (400, bare("something nobody has seen"), HOST, None),
    (429, bare("busy"), HOST, None),
    (None, "", HOST, None),
    (500, "Empty or invalid response from LLM endpoint. Received: '<html>'.", HOST, None),
    # What a person has to mend.
    (401, nested("An LM Studio API token is required", code="invalid_api_key"), SETUP, None),
    (401, "", SETUP, None),
    (403, "no", SETUP, None),
    (404, nested('Model "x" not found. Please specify a valid model.', code="model_not_found"), SETUP, None),
    (
        400,
        bare('Invalid model identifier "x". Please specify a valid downloaded model (e.g., a, b).'),
        SETUP,
        None,
    ),
    (404, "Not Found", SETUP, None),
    (200, bare("Unexpected endpoint or method. (POST /chat/completions)"), SETUP, None),
    # The request's own fault.
    (400, bare("Model does not support images. Please use a model that does."), JOB, None),
    (400, bare("'url' field must be a base64 encoded image."), JOB, None),
    (
        400,
        bare('Error rendering prompt with jinja template: "Conversation roles must alternate user/assistant"'),
        JOB,
        None,
    ),
    (400, bare("Invalid 'messages' in payload"), JOB, None),
    (400, bare("_0x48eeaf is not iterable"), JOB, None),
    (
        400,
        bare("Invalid tool_choice type: 'object'. Supported string values: none, auto, required"),
        JOB,
        None,
    ),
    (400, bare("'response_format.type' must be 'json_schema' or 'text'"), SCHEMA, None),
    (400, bare("Failed to initialize samplers: failed to parse grammar"), SCHEMA, None),
    (500, nested("JSON schema conversion failed: Unrecognized schema: {}"), SCHEMA, None),
    (400, bare("Structured output is not supported by this engine"), SCHEMA, None),
    (400, nested("Error compiling grammar: unknown rule"), SCHEMA, None),
    (413, "too large", JOB, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "sizes"), TABLE)
def test_an_answered_failure_is_judged_by_its_text_and_then_by_its_status(
    status: int | None, body: str, kind: FaultKind, sizes: tuple[int | None, int | None] | None
) -> None:
    """Each reported shape is laid at the right door, with the sizes the server named and a hint."""
    fault = classify(Failure(Break.ANSWERED, text=body, status=status))

    assert fault.kind is kind
    assert (fault.prompt_tokens, fault.context_tokens) == (sizes or (None, None))
    assert fault.hint


@pytest.mark.parametrize(
    ("how", "kind"), [(Break.UNREACHABLE, HOST), (Break.TIMED_OUT, HOST), (Break.NOT_A_REPLY, OUTPUT)]
)
def test_without_an_answer_the_way_it_broke_decides(how: Break, kind: FaultKind) -> None:
    """A missing answer is the host's fault, an answer without a reply the model's."""
    assert classify(Failure(how)).kind is kind


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (HOST, HostFault),
        (SETUP, ModelSetupFault),
        (OVERFLOW, ContextOverflow),
        (OUTPUT, OutputFault),
        (JOB, RequestRefused),
        (SCHEMA, SchemaRefused),
    ],
)
def test_each_kind_has_its_error(kind: FaultKind, error: type[ModelError]) -> None:
    """A person reads where it happened, what the server said and what to do; code reads the type."""
    bodies = {entry[2]: entry[1] for entry in TABLE}
    failure = Failure(Break.NOT_A_REPLY) if kind is OUTPUT else Failure(Break.ANSWERED, text=bodies[kind], status=413)
    raised = to_error(classify(failure), "http://localhost:1234/v1")

    assert type(raised) is error
    assert "http://localhost:1234/v1" in raised.message
    assert raised.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": "plain"}', "plain"),
        ('{"error": {"message": "inside"}}', "inside"),
        ('{"message": "outside"}', "outside"),
        ("no JSON", "no JSON"),
        ("[1]", "[1]"),
        (
            '{"error": {"message": {"error": {"message": "deep"}}}}',
            '{"error": {"message": {"error": {"message": "deep"}}}}',
        ),
    ],
)
def test_the_words_of_the_server_are_found(body: str, words: str) -> None:
    """The message is taken out of whatever body it comes in."""
    assert server_words(body) == words


@given(st.text(), st.none() | st.integers(100, 599))
def test_no_text_confuses_the_classifier(text: str, status: int | None) -> None:
    """Whatever a server says, there is a decision with a short message."""
    fault = classify(Failure(Break.ANSWERED, text=text, status=status))

    assert isinstance(fault.kind, FaultKind)
    assert len(fault.message) < 400
