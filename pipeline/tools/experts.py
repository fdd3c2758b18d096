"""Experts: one question to the model, put to it under a persona.

Each of the four named experts comes twice. One takes the text to work on as an argument, for agents that made or
found that text. The other (`…_source`) works on the document of the session: the model does not copy it out, and since
the tool is terminal, the expert's answer is the session's result without being repeated.

Personas are texts from the configuration, in the context property `prompts` (a mapping of name to text).
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.agent import ActionContext, MemoryType, ToolError, register_tool
from pipeline.agent.messages import merge_same_role, system_message, user_message
from pipeline.errors import ConfigError, OutputFault
from pipeline.llm.protocol import JsonObject, ModelReply, ModelRequest

TECHNICAL_DOCUMENTATION = "technical_documentation"
TEST_DESIGN = "test_design"
CODE_REVIEW = "code_review"
FEATURE_ANNOUNCEMENT = "feature_announcement"


@register_tool(tags=["experts", "prompts"])
async def prompt_expert(context: ActionContext, description_of_expert: str, prompt: str) -> str:
    """Ask an expert of your choice and get the answer. The expert knows only what the prompt says.

    Args:
        description_of_expert: Who the expert is: field, experience, way of working, what the answer must hold.
        prompt: The question or task, with all the text that is needed to work on it.
    """
    return await _ask(context, description_of_expert, (user_message(prompt),))


@register_tool(tags=["experts"])
async def write_documentation(context: ActionContext, source: str, focus: str = "") -> str:
    """Have a technical writer document a piece of source code or a design.

    Args:
        source: The whole text to document.
        focus: Readers or parts to put first, if any.
    """
    return await _ask_persona(context, TECHNICAL_DOCUMENTATION, user_message(source), _focus(focus))


@register_tool(tags=["experts"])
async def design_tests(context: ActionContext, source: str, focus: str = "") -> str:
    """Have a test designer plan a test suite for a piece of source code or a specification.

    Args:
        source: The whole text to design tests for.
        focus: Behaviour or risks to put first, if any.
    """
    return await _ask_persona(context, TEST_DESIGN, user_message(source), _focus(focus))


@register_tool(tags=["experts"])
async def review_code(context: ActionContext, source: str, focus: str = "") -> str:
    """Have an experienced engineer review a piece of source code.

    Args:
        source: The whole text to review.
        focus: Questions or risks to put first, if any.
    """
    return await _ask_persona(context, CODE_REVIEW, user_message(source), _focus(focus))


@register_tool(tags=["experts"])
async def announce_feature(context: ActionContext, details: str, audience: str) -> str:
    """Have a product writer announce a feature to a given audience.

    Args:
        details: What the feature does, for whom, since when, and its limits.
        audience: Who will read the announcement.
    """
    return await _ask_persona(context, FEATURE_ANNOUNCEMENT, user_message(details), _audience(audience))


@register_tool(terminal=True, tags=["source"])
async def document_source(context: ActionContext, focus: str = "") -> str:
    """Write the technical documentation of the document of this session and finish with it.

    Args:
        focus: Readers or parts to put first, if any.
    """
    return await _ask_persona(context, TECHNICAL_DOCUMENTATION, _document(context), _focus(focus))


@register_tool(terminal=True, tags=["source"])
async def design_source_tests(context: ActionContext, focus: str = "") -> str:
    """Plan a test suite for the document of this session and finish with it.

    Args:
        focus: Behaviour or risks to put first, if any.
    """
    return await _ask_persona(context, TEST_DESIGN, _document(context), _focus(focus))


@register_tool(terminal=True, tags=["source"])
async def review_source(context: ActionContext, focus: str = "") -> str:
    """Review the document of this session and finish with the review.

    Args:
        focus: Questions or risks to put first, if any.
    """
    return await _ask_persona(context, CODE_REVIEW, _document(context), _focus(focus))


@register_tool(terminal=True, tags=["source"])
async def announce_source(context: ActionContext, audience: str) -> str:
    """Announce to an audience what the document of this session describes, and finish with the announcement.

    Args:
        audience: Who will read the announcement.
    """
    return await _ask_persona(context, FEATURE_ANNOUNCEMENT, _document(context), _audience(audience))


def _document(context: ActionContext) -> JsonObject:
    """Return the message that holds the document: as given by the program, else the session's first user message."""
    given: JsonObject | None = context.get("document_message", None)
    if given is not None:
        return given
    first = next((item for item in context.memory if item.type is MemoryType.USER), None)
    if first is None:
        raise ToolError("this session has no document")
    return user_message(first.content)


def _focus(focus: str) -> str:
    return f"Put this first: {focus}" if focus.strip() else ""


def _audience(audience: str) -> str:
    if not audience.strip():
        raise ToolError("`audience` is empty: say who will read the announcement")
    return f"The audience: {audience}"


async def _ask_persona(context: ActionContext, persona: str, subject: JsonObject, request: str) -> str:
    prompts = context.get("prompts")
    if persona not in prompts:
        raise ConfigError(
            f"the expert `{persona}` has no persona text",
            hint=f'add `{persona} = "<file>.md"` under [prompts] of the agent\'s file',
        )
    return await _ask(context, prompts[persona], (subject, user_message(request)) if request else (subject,))


async def _ask(context: ActionContext, persona: str, messages: tuple[JsonObject, ...]) -> str:
    request = ModelRequest(
        messages=merge_same_role((system_message(persona), *messages)),
        max_tokens=context.completion.max_tokens,
        temperature=context.completion.temperature,
    )
    reply = await context.model.complete(request)
    if reply.finish_reason == "length":
        # Once: thinking may have eaten the room that the answer needed.
        request = replace(request, max_tokens=request.max_tokens * 2)
        reply = await context.model.complete(request)
    return _answer(reply, request.max_tokens)


def _answer(reply: ModelReply, max_tokens: int) -> str:
    answer = reply.text.strip()
    if not answer:
        raise OutputFault("the expert gave no answer", hint="raise `max_tokens` under [model] of the agent's file")
    if reply.finish_reason == "length":
        return f"{answer}\n\n[cut off: the answer is longer than {max_tokens} tokens]"
    return answer
