"""Index a document once: its lines, numbers, dates and words, each with its place and the label beside it."""

from __future__ import annotations

import functools
import itertools
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from pipeline.document.model import Document
from pipeline.invoice.dates import DateOrder, PrintedDate, find_dates, order_of
from pipeline.invoice.labels import Label, amount_label, date_label
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.numbers import Amount, Convention, convention_of, currency_pattern, find_amounts
from pipeline.invoice.places import Places
from pipeline.invoice.words import words_of

# How far above a value its column heading may stand, in lines.
_HEADING_LINES = 3
# So deep a value of an XML document stands within the element that says what it is.
_ELEMENTS_ABOVE = 2
T = TypeVar("T")

# What ties a code to an identifier.
_JOINT = re.compile(r"[-_./]")
# `Leipzig, den ` at a line's end: where a letter says the day it was written.
_LETTER_HEAD = re.compile(r"(?:\A|\s{2})[^\W\d_]{2}[^\d,:;]{0,40},\s(?:(?:den|de|le|the|li|am|dnia|a)\s)?\Z")
_CELL = re.compile(r"\S+(?: \S+)*")


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line of a page; `plain` marks lines of the page's reading-order view."""

    page: int
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """Hold a token and the line it stands on, as a position in `DocumentIndex.lines`."""

    line: int
    token: T


@kept_while_it_lives
def index_of(document: Document) -> DocumentIndex:
    """Return the index of a document, made once: many jobs are in flight, and each asks several times."""
    return DocumentIndex(document)


class DocumentIndex:
    """Answer where a document shows what; it does not change once it is made."""

    def __init__(self, document: Document) -> None:
        self.lines = tuple(_lines(document))
        self.is_xml = "xml" in document.media_type
        self.first_page = document.pages[0].number if document.pages else 1
        self.places = Places(document.pages)
        self._amounts_by_line: dict[int, list[Amount]] = {}
        self._dates_by_line: dict[int, list[PrintedDate]] = {}
        for number, line in enumerate(self.lines):
            self._read_line(number, line.text)
        self.convention: Convention = convention_of(
            amount for amounts in self._amounts_by_line.values() for amount in amounts
        )
        self.date_order: DateOrder | None = order_of(date for dates in self._dates_by_line.values() for date in dates)
        self._amounts_by_size = self._group_amounts()
        self.words: list[str] = []
        self.word_lines: list[int] = []
        self.squeezed = ""
        self.word_edges: set[int] = set()
        self._line_starts: list[int] = []
        self._read_words()
        self._word_places: dict[str, list[int]] = defaultdict(list)
        for position, word in enumerate(self.words):
            self._word_places[word].append(position)

    def amounts(self, size: Decimal) -> Sequence[Seen[Amount]]:
        """Return all numbers that may mean this size, whatever their sign."""
        return self._amounts_by_size.get(abs(size), ())

    def all_amounts(self) -> Iterator[Seen[Amount]]:
        """Yield every number."""
        return (Seen(line, amount) for line, amounts in self._amounts_by_line.items() for amount in amounts)

    def dates(self) -> Iterator[Seen[PrintedDate]]:
        """Yield every date."""
        return (Seen(line, date) for line, dates in self._dates_by_line.items() for date in dates)

    def amounts_in(self, line: int) -> Sequence[Amount]:
        """Return the numbers of a line."""
        return self._amounts_by_line.get(line, ())

    def dates_in(self, line: int) -> Sequence[PrintedDate]:
        """Return the dates of a line."""
        return self._dates_by_line.get(line, ())

    def next_places(self, word: str, after: int, *, limit: int) -> Sequence[int]:
        """Return the next places of a word behind a position, as positions in `words`."""
        places = self._word_places.get(word, [])
        first = bisect_right(places, after)
        return places[first : first + limit]

    def line_of_squeezed(self, position: int) -> int:
        """Return the line that a position in `squeezed` belongs to."""
        return bisect_right(self._line_starts, position) - 1

    @functools.cached_property
    def repetitions(self) -> Sequence[int]:
        """Return of each line how often its page had the same one before."""
        seen: dict[Line, int] = defaultdict(int)
        counts = []
        for line in self.lines:
            counts.append(seen[line])
            seen[line] += 1
        return counts

    @functools.cached_property
    def currencies(self) -> dict[str, int]:
        """Return the currency signs and codes the document prints, as printed, with a line of each.

        That is the first line with an amount beside it, else the first one at all.
        """
        found = {amount.currency: number for number, amount in self._with_currency()}
        for number, line in enumerate(self.lines):
            for match in currency_pattern().finditer(line.text):
                if match.group() not in found and not _is_joined(line.text, match.start(), match.end()):
                    found[match.group()] = number
        return found

    @functools.cached_property
    def money_currencies(self) -> frozenset[str]:
        """Return the signs and codes that stand beside an amount of money."""
        return frozenset(amount.currency for _, amount in self._with_currency())

    def label_of_amount(self, seen: Seen[Amount]) -> Label | None:
        """Return what the words before or above a number say it is."""
        line = self.lines[seen.line].text
        others = (other for other in self._amounts_by_line[seen.line] if not other.percent and not other.part)
        before = max((other.end for other in others if other.end <= seen.token.start), default=0)
        for text in (
            line[before : seen.token.start],
            line[: seen.token.start],
            *self._column_above(seen.line, seen.token.start, seen.token.end),
        ):
            label = amount_label(text)
            if label is not None:
                return label
        return None

    def label_of_date(self, seen: Seen[PrintedDate]) -> Label | None:
        """Return what the words before or above a date say it is."""
        if self.is_letter_head(seen):
            return Label.DATE
        return date_label(self.text_of_date_label(seen))

    def is_letter_head(self, seen: Seen[PrintedDate]) -> bool:
        """Say whether a date stands behind a place and a comma, at the end of its line."""
        line = self.lines[seen.line].text
        return bool(_LETTER_HEAD.search(line, 0, seen.token.start)) and not line[seen.token.end :].strip()

    def text_of_date_label(self, seen: Seen[PrintedDate]) -> str:
        """Return the nearest text before or above a date that says what it is; empty where none does."""
        dates = self._dates_by_line[seen.line]
        before = max((other.end for other in dates if other.end <= seen.token.start), default=0)
        texts = self.texts_beside(seen.line, seen.token.start, seen.token.end, behind=before)
        return next((text for text in texts if date_label(text) is not None), "")

    def texts_beside(
        self, line: int, start: int, end: int, *, behind: int = 0, most_above: int = _HEADING_LINES
    ) -> Iterator[str]:
        """Yield the texts that may be the label of a span, nearest first: two cells before it, then those above.

        In a row of cells the label is in the cell before; words further left belong to other columns.
        """
        cells = [cell.group() for cell in _CELL.finditer(self.lines[line].text, behind, start)]
        yield from reversed(cells[-2:])
        yield from itertools.islice(self._column_above(line, start, end), most_above)

    def elements_around(self, line: int) -> str:
        """Return the lines that open the elements around a value of an XML document, down to its own."""
        return " ".join(one.text for one in self.lines[max(0, line - _ELEMENTS_ABOVE) : line + 1])

    def text_before(self, line: int, start: int) -> str:
        """Return the words before a place: its line so far, or the heading above it."""
        left = self.lines[line].text[:start]
        if any(character.isalpha() for character in left):
            return left
        return next(iter(self._column_above(line, start, start + 1)), "")

    def headings(self, line: int, start: int, end: int) -> Iterator[str]:
        """Yield the texts that stand above a span, nearest first, then lines above that are one cell alone."""
        yield from self._column_above(line, start, end)
        for number in range(line - 1, max(-1, line - 1 - _HEADING_LINES), -1):
            cells = _CELL.findall(self.lines[number].text)
            if len(cells) == 1 and self.lines[number].page == self.lines[line].page:
                yield cells[0]

    def _column_above(self, line: int, start: int, end: int) -> Iterator[str]:
        """Yield the texts that stand above a span, nearest first."""
        here = self.lines[line]
        alone = not any(character.isalpha() for character in here.text)
        for number in range(line - 1, max(-1, line - 1 - _HEADING_LINES), -1):
            above = self.lines[number]
            if above.page != here.page or above.plain != here.plain:
                return
            # Plain text has no columns: only a line that is a label and nothing else can speak for the next one.
            if above.plain:
                if alone and number == line - 1 and not self._amounts_by_line.get(number):
                    yield above.text
                return
            for cell in _CELL.finditer(above.text):
                if cell.start() <= end + 2 and cell.end() >= start - 2:
                    yield cell.group()

    def _with_currency(self) -> Iterator[tuple[int, Amount]]:
        """Yield the amounts beside a currency, last first; a code and digits joined to it may be an identifier."""
        for number in reversed(self._amounts_by_line):
            for amount in reversed(self._amounts_by_line[number]):
                before = self.lines[number].text[max(0, amount.start - 1) : amount.start]
                is_tied = amount.currency.isalpha() and bool(_JOINT.match(before))
                has_cents = bool(amount.mark) and amount.text[-3:-2] == amount.mark
                if amount.currency and not amount.percent and (has_cents or not is_tied):
                    yield number, amount

    def _read_line(self, number: int, text: str) -> None:
        if not any(character.isdigit() for character in text):
            return
        dates = find_dates(text)
        taken = [(date.start, date.end) for date in dates if not date.text.isdigit()]
        amounts = [
            amount
            for amount in find_amounts(text)
            if not any(start < amount.end and amount.start < end for start, end in taken)
        ]
        if dates:
            self._dates_by_line[number] = list(dates)
        if amounts:
            self._amounts_by_line[number] = amounts

    def _group_amounts(self) -> dict[Decimal, list[Seen[Amount]]]:
        grouped: dict[Decimal, list[Seen[Amount]]] = defaultdict(list)
        for seen in self.all_amounts():
            for size in {abs(value) for value in self.convention.readings(seen.token)}:
                grouped[size].append(seen)
        return dict(grouped)

    def _read_words(self) -> None:
        """Fill the list of words, and one text of all their letters in which lines end with a line feed."""
        joined: list[str] = []
        length = 0
        for number, line in enumerate(self.lines):
            self._line_starts.append(length)
            for word in words_of(line.text):
                self.words.append(word)
                self.word_lines.append(number)
                joined.append(word)
                self.word_edges.add(length)
                length += len(word)
                self.word_edges.add(length)
            joined.append("\n")
            length += 1
        self.squeezed = "".join(joined)


def _is_joined(text: str, start: int, end: int) -> bool:
    """Say whether a code is a part of something else, as in `CHE-123.456.788`; a sign never is."""
    if not text[start:end].isalpha():
        return False
    behind = _JOINT.match(text, end)
    before = _JOINT.match(text, max(0, start - 1), start)
    return bool(behind and text[end + 1 : end + 2].isalnum()) or bool(before and text[max(0, start - 2)].isalnum())


def _lines(document: Document) -> Iterator[Line]:
    for plain in (False, True):
        for page in document.pages:
            # A page whose two views are alike needs only one of them.
            view = "" if plain and page.plain == page.text else page.plain if plain else page.text
            for text in view.splitlines():
                yield Line(page.number, text, plain)
