"""Read a document that is too long for one request: part by part, then merged by code.

What a part may hold follows from the refusal of the whole, and shrinks when a part is refused as well. Refusals are on
record like replies, so a session that is run again from its record takes the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio.to_thread
import structlog

from pipeline.agent import ActionContext, Steps, prompt_llm_for_json
from pipeline.document.model import Document
from pipeline.document.parts import (
    PageLine,
    Part,
    PartSettings,
    lines_of,
    next_part,
    pages_of,
    parts_needed,
    size_of,
    text_of,
)
from pipeline.errors import AnswerCutOff, ContextOverflow
from pipeline.invoice.asking import Asked
from pipeline.invoice.merge import Merged, Reading, merge
from pipeline.llm.protocol import JsonObject

_log = structlog.get_logger()

# Names under [prompts] of an agent's file: what is said of a part, and of a document that is not shown as a whole.
PART_PROMPT, OUTLINE_PROMPT = "part", "outline"
_SCHEMA_NAME = "invoice"
# As little as a prompt's characters may be worth in tokens; what a server counted goes before it.
_CHARACTERS_PER_TOKEN = 3.0
_MOST_CHARACTERS_PER_TOKEN = 6.0
# The server's own share, such as the chat template, and what the estimate may be wrong by.
_SHARE_OF_CONTEXT = 0.9
_SHARE_FOR_THE_ANSWER = 0.45
# A table written as JSON has about half as many tokens again as it is printed with.
_CHARACTERS_PER_ANSWER_TOKEN = 2.0
_SMALLER = 0.6
_SMALLEST_CHARACTERS = 200


@dataclass(frozen=True)
class PartsPlan:
    """Say how a session's document can be read in parts: `messages` makes the prompt's beginning for a part's text."""

    messages: Callable[[str], tuple[JsonObject, ...]]
    settings: PartSettings


async def read_whole(context: ActionContext) -> JsonObject:
    """Return the extraction of the document in one request."""
    document: Document = context.get("document")
    prompt, prefix = _asked(context).prompt(context.get("prompts")["extraction"]), context.get("document_messages")
    max_tokens = context.completion.max_tokens
    divisible = _plan(context) is not None and _may_be_long(len(document.text), max_tokens)
    return await _extracted(context, prompt, prefix, max_tokens=max_tokens, divisible=divisible)


async def read_in_parts(context: ActionContext, refusal: ContextOverflow | AnswerCutOff) -> Merged:
    """Return the merged extraction of all parts; raise the refusal of what cannot be made small enough."""
    plan = _plan(context)
    if plan is None:
        raise refusal
    lines = lines_of(context.get("document"))
    size = _first_size(context, plan, lines, refusal)
    readings: list[Reading] = []
    while not readings or readings[-1].part.end < len(lines):
        _refuse_too_many(lines, readings, size, plan.settings, refusal)
        before = readings[-1].part if readings else None
        part = next_part(lines, before, characters=size.characters, settings=plan.settings)
        if part is None or size.characters < _SMALLEST_CHARACTERS:
            raise refusal
        try:
            readings.append(await _read(context, plan, lines, part, max_tokens=size.max_tokens))
        except (ContextOverflow, AnswerCutOff) as smaller:
            refusal = smaller
            size = replace(size, characters=int(size_of(lines, part) * _SMALLER))
    return await anyio.to_thread.run_sync(merge, readings, lines)


@dataclass(frozen=True)
class _Size:
    """Bound a part: characters of the document in it, and tokens of its answer."""

    characters: int
    max_tokens: int


def _plan(context: ActionContext) -> PartsPlan | None:
    plan: PartsPlan | None = context.get("parts", None)
    return plan


def _asked(context: ActionContext) -> Asked:
    asked: Asked = context.get("asked", Asked())
    return asked


def _may_be_long(characters: int, max_tokens: int) -> bool:
    """Say whether a document is long enough for its answer to be cut off; of a short one the model just babbles."""
    return characters > max_tokens * _CHARACTERS_PER_ANSWER_TOKEN / 2


def _first_size(
    context: ActionContext, plan: PartsPlan, lines: Sequence[PageLine], refusal: ContextOverflow | AnswerCutOff
) -> _Size:
    whole = size_of(lines, Part(0, len(lines)))
    max_tokens = context.completion.max_tokens
    smaller = int(whole * _SMALLER)
    if isinstance(refusal, AnswerCutOff):
        return _Size(min(smaller, int(max_tokens * _CHARACTERS_PER_ANSWER_TOKEN)), max_tokens)
    if refusal.context_tokens is None:
        return _Size(smaller, max_tokens)
    max_tokens = min(max_tokens, int(refusal.context_tokens * _SHARE_FOR_THE_ANSWER))
    beside = _characters(plan.messages("")) + len(context.get("prompts")["extraction"])
    ratio = (whole + beside) / refusal.prompt_tokens if refusal.prompt_tokens else _CHARACTERS_PER_TOKEN
    ratio = min(max(ratio, 1.0), _MOST_CHARACTERS_PER_TOKEN)
    room = (refusal.context_tokens * _SHARE_OF_CONTEXT - max_tokens) * ratio - beside
    return _Size(min(smaller, int(room), int(max_tokens * _CHARACTERS_PER_ANSWER_TOKEN)), max_tokens)


def _characters(messages: Sequence[JsonObject]) -> int:
    return sum(len(message["content"]) for message in messages)


def _refuse_too_many(
    lines: Sequence[PageLine],
    readings: Sequence[Reading],
    size: _Size,
    settings: PartSettings,
    refusal: ContextOverflow | AnswerCutOff,
) -> None:
    """Raise the refusal before anything is paid for that cannot come to an end."""
    needed = len(readings) + 1 if readings else parts_needed(lines, characters=size.characters, settings=settings)
    if needed > settings.most:
        _log.warning("parts.refused", allowed=settings.most, characters=size.characters)
        raise refusal


async def _read(
    context: ActionContext, plan: PartsPlan, lines: Sequence[PageLine], part: Part, *, max_tokens: int
) -> Reading:
    prompts = context.get("prompts")
    prompt = f"{_asked(context).prompt(prompts['extraction'])}\n\n{prompts.get(PART_PROMPT, '')}".strip()
    divisible = _may_be_long(size_of(lines, part), max_tokens)
    prefix = plan.messages(text_of(lines, part))
    answer = await _extracted(context, prompt, prefix, max_tokens=max_tokens, divisible=divisible)

    async def tell(_: Steps) -> JsonObject:
        return {"line_items": len(answer["line_items"])}

    place = {"pages": pages_of(lines, part), "first_line": part.start + 1, "last_line": part.end}
    await context.steps.run("part", place, tell)
    return Reading(part, answer)


async def _extracted(
    context: ActionContext, prompt: str, prefix: Sequence[JsonObject], *, max_tokens: int, divisible: bool
) -> JsonObject:
    schema = _asked(context).schema()
    answer: JsonObject = await prompt_llm_for_json(
        context,
        schema,
        prompt,
        prefix=prefix,
        schema_name=_SCHEMA_NAME,
        max_tokens=max_tokens,
        divisible=divisible,
    )
    most = schema["properties"]["line_items"]["maxItems"]
    if divisible and len(answer["line_items"]) >= most:
        # The grammar lets no more through: there may be others.
        raise AnswerCutOff(f"the document has {most} lines or more", hint="raise `most` under [parts]")
    return answer
