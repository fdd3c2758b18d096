"""Index a document once: its lines, numbers, dates and words, each with its place and the label beside it."""

from __future__ import annotations

import functools
import itertools
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from pipeline.document.model import Document
from pipeline.invoice.currencies import find_currencies
from pipeline.invoice.dates import DateOrder, PrintedDate, find_dates, order_of
from pipeline.invoice.labels import AMOUNT_GROUPS, Label, amount_label, date_label, mentions_any, said
from pipeline.invoice.memo import Memory, kept_while_it_lives
from pipeline.invoice.numbers import Amount, Convention, convention_of, find_amounts
from pipeline.invoice.places import Places
from pipeline.invoice.words import fold, letters_of, words_in

# How far above a value its column heading may stand, in lines.
HEADING_LINES = 3
# A line with more runs of digits is no line of an invoice: its numbers are not read, which `density` tells.
MOST_NUMBERS_IN_LINE = 300
# So far before a value, in characters, a word may stand that says what it is.
_LABEL_REACH = 400
# So deep a value of an XML document stands within the element that says what it is.
_ELEMENTS_ABOVE = 2
# What stands together in a line; two blanks part columns.
CELL = re.compile(r"\S+(?: \S+)*")
T = TypeVar("T")

# What ties a code to an identifier.
_JOINT = re.compile(r"[-_./]")
# `Leipzig, den ` at a line's end: where a letter says the day it was written.
_LETTER_HEAD = re.compile(r"(?:\A|\s{2})[^\W\d_]{2}[^\d,:;]{0,40},\s(?:(?:den|de|le|the|li|am|dnia|a)\s)?\Z")
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d+")


class Line(NamedTuple):
    """Hold one line of a page; `plain` marks lines of the page's reading-order view."""

    page: int
    text: str
    plain: bool


class Cell(NamedTuple):
    """Hold a part of a line without wide gaps, as in a column of a table."""

    start: int
    end: int
    text: str


class Seen(NamedTuple, Generic[T]):
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
        # What was said of its texts, see `memo.remembering`.
        self.memory: Memory = {}
        self.is_xml = "xml" in document.media_type
        self.first_page = document.pages[0].number if document.pages else 1
        self.places = Places(document.pages)
        self._amounts_by_line: dict[int, list[Amount]] = {}
        self._dates_by_line: dict[int, list[PrintedDate]] = {}
        with_digits = [n for n, line in enumerate(self.lines) if _DIGIT.search(line.text)]
        self.dense_lines = frozenset(n for n in with_digits if _is_dense(self.lines[n].text))
        self.lines_with_digits = tuple(n for n in with_digits if n not in self.dense_lines)
        for number in self.lines_with_digits:
            self._read_line(number, self.lines[number].text)
        self._all_amounts = tuple(_each(self._amounts_by_line))
        self._all_dates = tuple(_each(self._dates_by_line))
        self.convention: Convention = convention_of(seen.token for seen in self._all_amounts)
        self.date_order: DateOrder | None = order_of(seen.token for seen in self._all_dates)
        self._amounts_by_size = self._group_amounts()
        self._amount_labels: dict[tuple[int, int, int], Label | None] = {}
        self._groups_before: dict[tuple[int, int], frozenset[str]] = {}
        self._labels_before: dict[tuple[int, int], Label | None] = {}
        self._number_ends: dict[int, list[int]] = {}
        self._cells: dict[int, tuple[Cell, ...]] = {}
        self._letter_places: dict[int, list[int]] = {}
        self.folded = tuple(fold(line.text) for line in self.lines)
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

    def amounts_within(self, size: Decimal, lines: range) -> Sequence[Seen[Amount]]:
        """Return the numbers of these lines that may mean this size."""
        found = self.amounts(size)
        first, behind = (bisect_left(found, line, key=lambda seen: seen.line) for line in (lines.start, lines.stop))
        return found[first:behind]

    def all_amounts(self) -> Sequence[Seen[Amount]]:
        """Return every number."""
        return self._all_amounts

    def dates(self) -> Sequence[Seen[PrintedDate]]:
        """Return every date."""
        return self._all_dates

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

    def cells(self, line: int) -> tuple[Cell, ...]:
        """Return the cells of a line."""
        if line not in self._cells:
            self._cells[line] = tuple(Cell(*cell.span(), cell.group()) for cell in CELL.finditer(self.lines[line].text))
        return self._cells[line]

    def letter_places(self, line: int) -> list[int]:
        """Return where the letters and digits of a line stand in it."""
        if line not in self._letter_places:
            text = self.lines[line].text
            self._letter_places[line] = [place for place, sign in enumerate(text) if sign.isalnum()]
        return self._letter_places[line]

    @functools.cached_property
    def block_starts(self) -> Sequence[int]:
        """Return of each line the first line of its view of its page."""
        starts: list[int] = []
        for number, line in enumerate(self.lines):
            before = self.lines[number - 1]
            goes_on = number > 0 and (line.page, line.plain) == (before.page, before.plain)
            starts.append(starts[-1] if goes_on else number)
        return starts

    @functools.cached_property
    def letters(self) -> Sequence[str]:
        """Return of each line its letters and digits without what is between them, as `letters_of` does."""
        return [letters_of(line.text) for line in self.lines]

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
            for one in find_currencies(line.text):
                if one.text not in found and not _is_joined(line.text, one.start, one.end):
                    found[one.text] = number
        return found

    @functools.cached_property
    def money_currencies(self) -> frozenset[str]:
        """Return the signs and codes that stand beside an amount of money."""
        return frozenset(amount.currency for _, amount in self._with_currency())

    def label_of_amount(self, seen: Seen[Amount]) -> Label | None:
        """Return what the words before or above a number say it is."""
        place = (seen.line, seen.token.start, seen.token.end)
        if place not in self._amount_labels:
            self._amount_labels[place] = next((one for one in self._labels_of_amount(*place) if one is not None), None)
        return self._amount_labels[place]

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
        at = bisect_left(dates, seen.token.start, key=lambda date: date.start)
        before = dates[at - 1].end if at else 0
        texts = self.texts_beside(seen.line, seen.token.start, seen.token.end, behind=before)
        return next((text for text in texts if date_label(text) is not None), "")

    def texts_beside(
        self, line: int, start: int, end: int, *, behind: int = 0, most_above: int = HEADING_LINES
    ) -> Iterator[str]:
        """Yield the texts that may be the label of a span, nearest first: two cells before it, then those above.

        In a row of cells the label is in the cell before; words further left belong to other columns.
        """
        yield from reversed(self.cells_before(line, start, behind=behind)[-2:])
        yield from itertools.islice(self._column_above(line, start, end), most_above)

    def cells_before(self, line: int, start: int, *, behind: int = 0) -> list[str]:
        """Return the cells of a line between two places, which may cut some of them off."""
        text = self.lines[line].text
        return CELL.findall(text, max(behind, _within_reach(text, start)), start)

    def text_so_far(self, line: int, start: int) -> str:
        """Return what stands in a line before a place, from the word on that is near enough to speak for it."""
        text = self.lines[line].text
        return text[_within_reach(text, start) : start]

    def label_before(self, line: int, start: int) -> Label | None:
        """Return what the words before a number in its line say it is."""
        if self.groups_before(line, start).isdisjoint(AMOUNT_GROUPS):
            return None
        if (line, start) not in self._labels_before:
            self._labels_before[line, start] = amount_label(self.text_so_far(line, start))
        return self._labels_before[line, start]

    def mentions_before(self, line: int, start: int, *groups: str) -> bool:
        """Say whether the words before a place in its line have a phrase of one of these groups."""
        return not self.groups_before(line, start).isdisjoint(groups) and mentions_any(
            self.text_so_far(line, start), groups
        )

    def groups_before(self, line: int, start: int) -> frozenset[str]:
        """Return the groups that may have a phrase before a place: most numbers have none, and are asked often."""
        if (line, start) not in self._groups_before:
            self._groups_before[line, start] = said(self.text_so_far(line, start)).groups
        return self._groups_before[line, start]

    def elements_around(self, line: int) -> str:
        """Return the lines that open the elements around a value of an XML document, down to its own."""
        return " ".join(one.text for one in self.lines[max(0, line - _ELEMENTS_ABOVE) : line + 1])

    def text_before(self, line: int, start: int) -> str:
        """Return the words before a place: its line so far, or the heading above it."""
        left = self.text_so_far(line, start)
        if any(character.isalpha() for character in left):
            return left
        return next(iter(self._column_above(line, start, start + 1)), "")

    def headings(self, line: int, start: int, end: int) -> Iterator[str]:
        """Yield the texts that stand above a span, nearest first, then lines above that are one cell alone."""
        yield from self._column_above(line, start, end)
        for number in range(line - 1, max(-1, line - 1 - HEADING_LINES), -1):
            cells = self.cells(number)
            if len(cells) == 1 and self.lines[number].page == self.lines[line].page:
                yield cells[0].text

    def _column_above(self, line: int, start: int, end: int) -> Iterator[str]:
        """Yield the texts that stand above a span, nearest first."""
        here = self.lines[line]
        for number in range(line - 1, max(-1, line - 1 - HEADING_LINES), -1):
            above = self.lines[number]
            if above.page != here.page or above.plain != here.plain:
                return
            # Plain text has no columns: only a line that is a label and nothing else can speak for the next one.
            if above.plain:
                alone = number == line - 1 and not any(map(str.isalpha, here.text))
                if alone and not self._amounts_by_line.get(number):
                    yield above.text
                return
            cells = self.cells(number)
            for place in range(bisect_left(cells, start - 2, key=lambda cell: cell.end), len(cells)):
                if cells[place].start > end + 2:
                    break
                # What is longer than that is text, and no heading.
                if len(cells[place].text) <= _LABEL_REACH:
                    yield cells[place].text

    def _labels_of_amount(self, line: int, start: int, end: int) -> Iterator[Label | None]:
        """Yield what the texts say that may be the label of a number: what stands before it, then above it."""
        yield amount_label(self.lines[line].text[max(self._number_before(line, start), start - _LABEL_REACH) : start])
        yield self.label_before(line, start)
        yield from map(amount_label, self._column_above(line, start, end))

    def _number_before(self, line: int, start: int) -> int:
        """Return where the last number before a place ends, 0 where there is none; a percentage belongs to a label."""
        if line not in self._number_ends:
            numbers = (one for one in self._amounts_by_line[line] if not one.percent and not one.part)
            self._number_ends[line] = sorted(one.end for one in numbers)
        ends = self._number_ends[line]
        place = bisect_right(ends, start)
        return ends[place - 1] if place else 0

    def _with_currency(self) -> Iterator[tuple[int, Amount]]:
        """Yield the amounts beside a currency, last first; a code and digits joined to it may be an identifier."""
        for number in reversed(self._amounts_by_line):
            for amount in reversed(self._amounts_by_line[number]):
                if not amount.currency or amount.percent:
                    continue
                before = self.lines[number].text[max(0, amount.start - 1) : amount.start]
                is_tied = amount.currency.isalpha() and bool(_JOINT.match(before))
                has_cents = bool(amount.mark) and amount.text[-3:-2] == amount.mark
                if has_cents or not is_tied:
                    yield number, amount

    def _read_line(self, number: int, text: str) -> None:
        dates = find_dates(text)
        taken = [(date.start, date.end) for date in dates if not date.text.isdigit()]
        amounts = [amount for amount in find_amounts(text) if not _overlaps(amount, taken)]
        if dates:
            self._dates_by_line[number] = list(dates)
        if amounts:
            self._amounts_by_line[number] = amounts

    def _group_amounts(self) -> dict[Decimal, list[Seen[Amount]]]:
        grouped: dict[Decimal, list[Seen[Amount]]] = defaultdict(list)
        for seen in self._all_amounts:
            for size in {abs(value) for value in self.convention.readings(seen.token)}:
                grouped[size].append(seen)
        return dict(grouped)

    def _read_words(self) -> None:
        """Fill the list of words, and one text of all their letters in which lines end with a line feed."""
        joined: list[str] = []
        length = 0
        for number, folded in enumerate(self.folded):
            self._line_starts.append(length)
            words = words_in(folded)
            self.words += words
            self.word_lines += [number] * len(words)
            joined += (*words, "\n")
            self.word_edges.update(itertools.accumulate(map(len, words), initial=length) if words else ())
            length += sum(map(len, words)) + 1
        self.squeezed = "".join(joined)


def _each(by_line: Mapping[int, Sequence[T]]) -> Iterator[Seen[T]]:
    return (Seen(line, token) for line, tokens in by_line.items() for token in tokens)


def _overlaps(amount: Amount, spans: Sequence[tuple[int, int]]) -> bool:
    """Say whether a number shares a character with one of the spans, which are in order and apart."""
    at = bisect_left(spans, amount.end, key=lambda span: span[0])
    return at > 0 and amount.start < spans[at - 1][1]


def _is_dense(text: str) -> bool:
    """Say whether a line holds more numbers than one of an invoice ever does."""
    return len(text) > MOST_NUMBERS_IN_LINE and len(_DIGITS.findall(text)) > MOST_NUMBERS_IN_LINE


def _within_reach(text: str, start: int) -> int:
    """Return where the first word begins that is near enough to a place to say what stands there."""
    if start <= _LABEL_REACH:
        return 0
    blank = text.find(" ", start - _LABEL_REACH, start)
    return blank + 1 if blank >= 0 else start - _LABEL_REACH


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
