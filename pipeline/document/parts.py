"""A document that is too long to be read at once, taken in parts that overlap: a pure decision.

Parts end where pages end, and the last page of one is the first of the next. A page that does not fit is cut between
lines, with some lines in common. How much fits is found out on the way, so each part is chosen when the one before it
is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from pipeline.document.model import Document
from pipeline.document.quoting import without_signs

# A page is repeated only where it leaves this share of a part for what is new.
_LARGEST_SHARE_OF_OVERLAP = 0.5
_LARGEST_SHARE_OF_LINES = 0.25
# The line that names the page, in characters.
_PAGE_MARK_CHARACTERS = 32
_COLUMN_GAP = re.compile(r"\s{2,}|\t")
_LEAST_COLUMNS = 3
_LONGEST_HEAD_CHARACTERS = 200


class PartSettings(BaseModel, frozen=True, extra="forbid"):
    """Say how a document is read that does not fit the model's context at once."""

    most: int = Field(40, ge=2, le=500, description="parts one document may be read in; one that needs more fails")
    overlap_lines: int = Field(
        8, ge=1, le=100, description="lines that two parts share where a page has to be cut between them"
    )
    at_once: int = Field(
        4, ge=1, le=64, description="parts of one document that are asked for at once, as far as the host admits them"
    )


@dataclass(frozen=True)
class PageLine:
    """Hold one line of a document; `page` counts from 1."""

    page: int
    text: str


@dataclass(frozen=True)
class Part:
    """Hold a stretch of a document's lines: from `start` up to, but not including, `end`."""

    start: int
    end: int


def lines_of(document: Document) -> tuple[PageLine, ...]:
    """Return the lines of all pages in their order, as a model is shown them."""
    return tuple(
        PageLine(page.number, line) for page in document.pages for line in without_signs(page.text).split("\n")
    )


def next_part(
    lines: Sequence[PageLine], before: Part | None, *, characters: int, settings: PartSettings
) -> Part | None:
    """Return the part behind another one, or the first; None where not even one more line fits in `characters`."""
    reached = 0 if before is None else before.end
    wished = 0 if before is None else _start_behind(lines, before, characters, settings)
    options = [Part(start, _end_of(lines, start, reached, characters)) for start in range(wished, reached + 1)]
    # Less is repeated where that keeps a page whole, or leaves room for anything new at all.
    usable = [part for part in options if part.end > reached]
    return next((part for part in usable if _ends_page(lines, part.end)), usable[0] if usable else None)


def parts_needed(lines: Sequence[PageLine], *, characters: int, settings: PartSettings) -> int:
    """Return the number of parts of that size, one more than allowed where it is not enough or too many."""
    part: Part | None = None
    for number in range(1, settings.most + 1):
        part = next_part(lines, part, characters=characters, settings=settings)
        if part is None:
            break
        if part.end == len(lines):
            return number
    return settings.most + 1


def size_of(lines: Sequence[PageLine], part: Part) -> int:
    """Return the characters a part takes, its page marks included."""
    pages = len({line.page for line in lines[part.start : part.end]})
    return sum(len(line.text) + 1 for line in lines[part.start : part.end]) + pages * _PAGE_MARK_CHARACTERS


def pages_of(lines: Sequence[PageLine], part: Part) -> str:
    """Name the pages of a part, for people and models."""
    first, last = lines[part.start].page, lines[part.end - 1].page
    return f"page {first}" if first == last else f"pages {first} to {last}"


def text_of(lines: Sequence[PageLine], part: Part) -> str:
    """Return the lines of a part as a model is shown them, each page under its number.

    Where a part begins within a page, the head of the table that it may begin in stands above it once more.
    """
    of = lines[-1].page
    told: list[str] = []
    for number in range(part.start, part.end):
        line = lines[number]
        if number > 0 and number == part.start and lines[number - 1].page == line.page:
            told += [f"[page {line.page} of {of}, continued]", *_table_head(lines, number)]
        elif number == part.start or line.page != lines[number - 1].page:
            told.append(f"[page {line.page} of {of}]")
        told.append(line.text)
    return "\n".join(told)


def _end_of(lines: Sequence[PageLine], start: int, reached: int, characters: int) -> int:
    """Return how far a part from `start` can go: to the last page's end that fits, else to the last line."""
    left, end, whole_pages = characters, start, 0
    for number in range(start, len(lines)):
        left -= len(lines[number].text) + 1
        if number == start or lines[number].page != lines[number - 1].page:
            left -= _PAGE_MARK_CHARACTERS
        if left < 0:
            break
        end = number + 1
        if _ends_page(lines, end):
            whole_pages = end
    return whole_pages if whole_pages > reached else end


def _start_behind(lines: Sequence[PageLine], before: Part, characters: int, settings: PartSettings) -> int:
    """Return where the next part begins: with the last page of the one before, else with a few of its lines."""
    page = lines[before.end - 1].page
    first = next(number for number in range(before.start, before.end) if lines[number].page == page)
    fits = size_of(lines, Part(first, before.end)) <= characters * _LARGEST_SHARE_OF_OVERLAP
    if _ends_page(lines, before.end) and first > before.start and fits:
        return first
    start = before.end
    while start - 1 > before.start and before.end - start < settings.overlap_lines:
        if size_of(lines, Part(start - 1, before.end)) > characters * _LARGEST_SHARE_OF_LINES:
            break
        start -= 1
    return start


def _ends_page(lines: Sequence[PageLine], end: int) -> bool:
    return end == len(lines) or lines[end].page != lines[end - 1].page


def _table_head(lines: Sequence[PageLine], before: int) -> tuple[str, ...]:
    """Return the nearest line above that has several columns and no number in any."""
    for line in reversed(lines[:before]):
        columns = _COLUMN_GAP.split(line.text.strip())
        if len(columns) >= _LEAST_COLUMNS and not any(map(str.isdigit, line.text)):
            return (line.text[:_LONGEST_HEAD_CHARACTERS],)
    return ()
