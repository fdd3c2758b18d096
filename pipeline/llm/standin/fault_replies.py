"""The errors of LM Studio in its own words, as users have reported them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipeline.llm.standin.faults import Fault
from pipeline.llm.standin.wire import ErrorReply, object_error, text_error

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Sizes:
    """Fill the numbers into an error's text."""

    model: str
    prompt_tokens: int
    context_tokens: int


# A streamed call has its status line out before these happen, so they come as an event in the stream.
IN_STREAM = frozenset(
    {
        Fault.OVERFLOW_KEEP_FIRST,
        Fault.OVERFLOW_TOKENS_TO_KEEP,
        Fault.OVERFLOW_NOT_FIT,
        Fault.OVERFLOW_SIZE_EXCEEDED,
        Fault.OVERFLOW_SIZE_EXCEEDED_200,
        Fault.COMPUTE_ERROR,
        Fault.TEMPLATE,
    }
)

NO_MODELS = "No models loaded. Please load a model in the developer page or use the 'lms load' command."


def error_reply(fault: Fault, sizes: Sizes) -> ErrorReply | None:
    """Return the reply for a fault that is an error, None for the other faults."""
    make = _REPLIES.get(fault)
    return make(sizes) if make else None


def unauthorized() -> ErrorReply:
    """Return the refusal of a missing or wrong key."""
    message = "An LM Studio API token is required to make requests to this server."
    error = {"type": "invalid_request", "code": "invalid_api_key", "message": message}
    return ErrorReply(401, {"error": error})


def model_not_found(asked: str, known: tuple[str, ...]) -> ErrorReply:
    """Return the refusal of a model's name when several models are there."""
    names = "\n".join(known)
    error = {
        "message": f'Model "{asked}" not found. Please specify a valid model.\n\nYour models:\n\n{names}',
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    return ErrorReply(404, {"error": error})


def unknown_endpoint(method: str, path: str) -> ErrorReply:
    """Return what a wrong address gets: an error with the status 200."""
    return text_error(f"Unexpected endpoint or method. ({method} {path})", status=200)


def _keep_first(sizes: Sizes) -> ErrorReply:
    return text_error(
        f"Trying to keep the first {sizes.prompt_tokens} tokens when context the overflows. However, the model is "
        f"loaded with context length of only {sizes.context_tokens} tokens, which is not enough. Try to load the model "
        "with a larger context length, or provide a shorter input"
    )


def _tokens_to_keep(sizes: Sizes) -> ErrorReply:
    return text_error(
        "The number of tokens to keep from the initial prompt is greater than the context length "
        f"(n_keep: {sizes.prompt_tokens}>= n_ctx: {sizes.context_tokens}). Try to load the model with a larger context "
        "length, or provide a shorter input."
    )


def _not_fit(sizes: Sizes) -> ErrorReply:
    return object_error(
        f"Input does not fit in context length. The input has {sizes.prompt_tokens} tokens, but the context length "
        f"only supports {sizes.context_tokens} tokens."
    )


def _engine_overflow(sizes: Sizes) -> ErrorReply:
    error = {
        "code": 400,
        "message": (
            f"request ({sizes.prompt_tokens} tokens) exceeds the available context size "
            f"({sizes.context_tokens} tokens), try increasing it"
        ),
        "type": "exceed_context_size_error",
        "n_prompt_tokens": sizes.prompt_tokens,
        "n_ctx": sizes.context_tokens,
    }
    return ErrorReply(400, {"error": error})


def _bad_identifier(sizes: Sizes) -> ErrorReply:
    return object_error(
        f'Invalid model identifier "{sizes.model}". Please specify a valid downloaded model (e.g., {sizes.model}).',
        code="model_not_found",
    )


def _always(reply: ErrorReply) -> Callable[[Sizes], ErrorReply]:
    return lambda _: reply


_REPLIES: Mapping[Fault, Callable[[Sizes], ErrorReply]] = {
    Fault.OVERFLOW_KEEP_FIRST: _keep_first,
    Fault.OVERFLOW_TOKENS_TO_KEEP: _tokens_to_keep,
    Fault.OVERFLOW_NOT_FIT: _not_fit,
    Fault.OVERFLOW_SIZE_EXCEEDED: _always(text_error("Context size has been exceeded.")),
    Fault.OVERFLOW_SIZE_EXCEEDED_200: _always(text_error("Context size has been exceeded.", status=200)),
    Fault.OVERFLOW_SIZE_EXCEEDED_500: _always(object_error("Context size has been exceeded.", status=500)),
    Fault.OVERFLOW_ENGINE: _engine_overflow,
    Fault.CRASHED: _always(
        text_error("The model has crashed without additional information. (Exit code: 18446744072635812000)")
    ),
    Fault.MODEL_UNLOADED: _always(text_error("Model unloaded.")),
    Fault.MODEL_IS_UNLOADED: _always(text_error("Model is unloaded.")),
    Fault.CHANNEL_ERROR: _always(text_error("Channel Error")),
    Fault.LOAD_FAILED: lambda sizes: object_error(
        f'Failed to load model "{sizes.model}". Error: Operation canceled.', code="model_load_failed"
    ),
    Fault.LOAD_FAILED_RESOURCES: lambda sizes: object_error(
        f'Failed to load model "{sizes.model}". Error: Model loading was stopped due to insufficient system resources.'
    ),
    Fault.NO_MODELS_TEXT: _always(text_error(NO_MODELS)),
    Fault.NO_MODELS_OBJECT: _always(object_error(NO_MODELS, code="model_not_loaded")),
    Fault.LOADING: _always(object_error("Loading model", status=503, kind="unavailable_error")),
    Fault.SERVER_ERROR: _always(object_error("Internal server error", status=500, kind="server_error")),
    Fault.RATE_LIMITED: _always(
        replace(object_error("Too many requests", status=429), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    ),
    Fault.COMPUTE_ERROR: _always(
        ErrorReply(200, {"error": {"message": "Compute error."}, "message": "Compute error."})
    ),
    Fault.UNAUTHORIZED: _always(unauthorized()),
    Fault.MODEL_NOT_FOUND_404: lambda sizes: model_not_found(sizes.model, (sizes.model,)),
    Fault.MODEL_NOT_FOUND_400: _bad_identifier,
    Fault.TEMPLATE: _always(
        text_error('Error rendering prompt with jinja template: "Cannot call something that is not a function"')
    ),
    Fault.INVALID_MESSAGES: _always(text_error("Invalid 'messages' in payload")),
    Fault.SCRIPT_ERROR: _always(text_error("_0x48eeaf is not iterable")),
    Fault.GRAMMAR: _always(text_error("Failed to initialize samplers: failed to parse grammar")),
    Fault.ERROR_TEXT_200: _always(text_error("Something went wrong while predicting.", status=200)),
    Fault.ERROR_OBJECT_200: _always(object_error("Something went wrong while predicting.", status=200)),
    Fault.HTML_200: _always(
        ErrorReply(200, "<!DOCTYPE html><html><body><h1>It works</h1></body></html>", content_type="text/html")
    ),
    Fault.BAD_JSON_200: _always(ErrorReply(200, '{"id": "chatcmpl-1", "object": "chat.completion", "choices": [{')),
    Fault.EMPTY_CHOICES: lambda sizes: ErrorReply(
        200, {"id": "chatcmpl-0", "object": "chat.completion", "model": sizes.model, "choices": []}
    ),
    Fault.UNKNOWN_ENDPOINT_200: _always(unknown_endpoint("POST", "/v1/chat/completions")),
}
