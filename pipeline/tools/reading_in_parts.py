"""Read a document that is too long for one request: part by part, then merged by code.

What a part may hold follows from the refusal of the whole, and shrinks when a part is refused as well. Refusals are on
record like replies, so a session that is run again from its record takes the same parts.

The first part is read alone, for it shows whether the size is right; the others are read beside each other, each with
steps under its own number. What comes behind a refused part is dropped, however much of it was read.
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
from pipeline.invoice.index import index_of
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
# Of a row, the names of four values and the signs between them; and what a token of all that has at the most.
_CHARACTERS_AROUND_A_ROW = 60
_MOST_CHARACTERS_PER_ANSWER_TOKEN = 3.5
# An answer that was cut off is asked for once more, with twice the length.
_LONGER = 2
_SMALLER = 0.6
_SMALLEST_CHARACTERS = 200


@dataclass(frozen=True)
class PartsPlan:
    """Say how a session's document can be read in parts: `messages` makes the prompt's beginning for a part's text."""

    messages: Callable[[str], tuple[JsonObject, ...]]
    settings: PartSettings


async def read_whole(context: ActionContext) -> JsonObject:
    """Return the extraction of the document in one request; raise `AnswerCutOff` where its lines ask for too much.

    That is estimated before anything is paid for. A record from before that goes on as it began.
    """
    document: Document = context.get("document")
    prompt, prefix = _asked(context).prompt(context.get("prompts")["extraction"]), context.get("document_messages")
    max_tokens = context.completion.max_tokens
    divisible = _plan(context) is not None and _may_be_long(len(document.text), max_tokens)
    if divisible and not context.steps.holds("model") and _is_told(context, prefix):
        await anyio.to_thread.run_sync(_refuse_too_long_an_answer, document, _LONGER * max_tokens)
    return await _extracted(context, prompt, prefix, max_tokens=max_tokens, divisible=divisible)


async def read_in_parts(context: ActionContext, refusal: ContextOverflow | AnswerCutOff) -> Merged:
    """Return the merged extraction of all parts; raise the refusal of what cannot be made small enough."""
    plan = _plan(context)
    if plan is None:
        raise refusal
    lines = lines_of(context.get("document"))
    size = _first_size(context, plan, lines, refusal)
    desk = _Desk(context, plan, lines)
    readings: list[Reading] = []
    while not readings or readings[-1].part.end < len(lines):
        _refuse_too_many(lines, readings, size, plan.settings, refusal)
        parts = _next_parts(lines, readings, size, plan.settings)
        if not parts or size.characters < _SMALLEST_CHARACTERS:
            raise refusal
        for part, outcome in zip(parts, await desk.read(parts, max_tokens=size.max_tokens), strict=False):
            if isinstance(outcome, Reading):
                await _tell(context, lines, outcome)
                readings.append(outcome)
            else:
                refusal = outcome
                size = replace(size, characters=int(size_of(lines, part) * _SMALLER))
    return await anyio.to_thread.run_sync(merge, readings, lines)


_Outcome = Reading | ContextOverflow | AnswerCutOff


class _Desk:
    """Read parts of one document, several at once, and number them, so that each finds its steps on record again."""

    def __init__(self, context: ActionContext, plan: PartsPlan, lines: Sequence[PageLine]) -> None:
        self._context, self._plan, self._lines = context, plan, lines
        self._given = 0
        # On record from a release that knew no scopes of parts: it goes on as it began.
        self._without_scopes = context.steps.holds("model")
        self._at_once = 1 if self._without_scopes or context.steps.in_turn else plan.settings.at_once

    async def read(self, parts: Sequence[Part], *, max_tokens: int) -> list[_Outcome]:
        """Return what came of the parts in their order, up to the first that was refused."""
        outcomes: dict[int, _Outcome] = {}
        waiting = iter(enumerate(parts))
        first_number = self._given + 1
        self._given += len(parts)

        async def work() -> None:
            for index, part in waiting:
                if any(not isinstance(outcome, Reading) for outcome in outcomes.values()):
                    return
                outcomes[index] = await self._outcome(part, first_number + index, max_tokens=max_tokens)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._at_once, len(parts))):
                tasks.start_soon(work)
        in_order = [outcomes[index] for index in sorted(outcomes)]
        refused = (index for index, outcome in enumerate(in_order) if not isinstance(outcome, Reading))
        return in_order[: next(refused, len(in_order)) + 1]

    async def _outcome(self, part: Part, number: int, *, max_tokens: int) -> _Outcome:
        # The first part finds out for all others in which form the server lets itself be asked.
        alone = self._without_scopes or number == 1
        context = self._context if self._without_scopes else self._context.inside(f"reading-{number}")
        context = context.with_(forms=self._context.forms) if alone else context
        try:
            return await _read(context, self._plan, self._lines, part, max_tokens=max_tokens)
        except (ContextOverflow, AnswerCutOff) as refusal:
            return refusal


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


def _is_told(context: ActionContext, prefix: Sequence[JsonObject]) -> bool:
    """Say whether the session's model has seen the document as a whole; else its refusal says better what fits."""
    return any(item.content == prefix[-1]["content"] for item in context.memory)


def _refuse_too_long_an_answer(document: Document, most_tokens: int) -> None:
    """Raise where the rows of the document make an answer that would surely be cut off."""
    index = index_of(document)
    rows = {seen.line for seen in index.all_amounts() if seen.token.money and not index.lines[seen.line].plain}
    printed = sum(len("".join(index.lines[line].text.split())) for line in rows)
    expected = int((printed + len(rows) * _CHARACTERS_AROUND_A_ROW) / _MOST_CHARACTERS_PER_ANSWER_TOKEN)
    if expected > most_tokens:
        raise AnswerCutOff(
            f"its {len(rows)} rows make an answer of about {expected} tokens, and {most_tokens} are asked for at most",
            hint="raise `max_tokens` under [model] of the agent's file, and load a longer context for it",
        )


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


def _next_parts(
    lines: Sequence[PageLine], readings: Sequence[Reading], size: _Size, settings: PartSettings
) -> list[Part]:
    """Return the first part, or behind it all that follow as far as they are allowed."""
    part = readings[-1].part if readings else None
    parts: list[Part] = []
    while len(parts) < (settings.most - len(readings) if readings else 1):
        part = next_part(lines, part, characters=size.characters, settings=settings)
        if part is None:
            break
        parts.append(part)
        if part.end == len(lines):
            break
    return parts


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
    return Reading(part, await _extracted(context, prompt, prefix, max_tokens=max_tokens, divisible=divisible))


async def _tell(context: ActionContext, lines: Sequence[PageLine], reading: Reading) -> None:
    part = reading.part

    async def tell(_: Steps) -> JsonObject:
        return {"line_items": len(reading.values["line_items"])}

    place = {"pages": pages_of(lines, part), "first_line": part.start + 1, "last_line": part.end}
    await context.steps.run("part", place, tell)


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
