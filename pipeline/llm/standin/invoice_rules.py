"""Read an invoice's text by rules: labels, what stands beside them, and sums that agree.

Generic and modest: what no rule finds stays None. The words are in `invoice_labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_currency import read_currency
from pipeline.llm.standin.invoice_facts import InvoiceFacts, Kind
from pipeline.llm.standin.invoice_further import read_further, without_adjustments
from pipeline.llm.standin.invoice_lines import read_lines
from pipeline.llm.standin.invoice_parties import read_parties
from pipeline.llm.standin.invoice_sums import is_sum_line, read_sums
from pipeline.llm.standin.labels import Labels, beside, contains_word
from pipeline.llm.standin.layout import Cell, Layout
from pipeline.llm.standin.printed_values import dates_in, identifiers_in, in_period
from pipeline.llm.standin.xml_rules import is_xml_invoice, read_xml_invoice

_TITLE_LINES = 30
_TITLE_CHARACTERS = 60
_NUMBER_AT_START = re.compile(
    r"^\s*(?:\(\w+\)\s*)?[^\w#]*(?:(?:number|numero|numer|num|nr|no|n)\b|n[°º])?[\s.:#°º№-]*"
    r"(?P<prefix>(?-i:[A-Z]{1,3}) )?(?P<id>[A-Za-z0-9][\w./\\-]*)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[^\W\d][^\d,:]{1,30}, ?(?:(?:den|am|le|li|il|em|el|dnia|the|on) )?", re.IGNORECASE)
_PLACED = 9
_BRACKETED = re.compile(r"\s*\([^)]*\)\s*")


@dataclass(frozen=True)
class _Candidate:
    """Hold a value with how surely it is the one, and where it stands."""

    value: str
    score: float
    line: int
    start: int


@lru_cache(maxsize=64)
def read_invoice(text: str) -> InvoiceFacts:
    """Return what the rules find in a document's text; the same text is read once."""
    if is_xml_invoice(text):
        return read_xml_invoice(text)
    layout = Layout(text)
    due = _best(_dates(layout, _labels("DUE_DATE"), ()))
    sums = read_sums(layout)
    vendor, buyer = read_parties(layout)
    lines = read_lines(layout, is_sum=lambda line: is_sum_line(layout, line))
    further = read_further(layout, sums, lines)
    return InvoiceFacts(
        kind=_kind(layout, has_total=sums.total is not None),
        number=_value(_best(_numbers(layout))),
        date=_date(layout, due),
        due_date=_value(due),
        currency=read_currency(layout),
        total=sums.total.text if sums.total else None,
        net=sums.net.text if sums.net else None,
        tax=sums.tax.text if sums.tax else None,
        taxes=sums.taxes,
        vendor=vendor,
        buyer=buyer,
        lines=without_adjustments(lines, (*further.allowances, *further.charges)),
        further=further,
    )


@cache
def _labels(name: str) -> Labels:
    table: Mapping[int, tuple[str, ...]] = getattr(words, name)
    return Labels(table)


def _kind(layout: Layout, *, has_total: bool) -> Kind:
    titles = [
        cell.folded for line in layout.lines[:_TITLE_LINES] for cell in line if len(cell.text) < _TITLE_CHARACTERS
    ]
    if any(title.startswith(words.CREDIT_NOTE_WORDS) for title in titles):
        return Kind.CREDIT_NOTE
    named = any(contains_word(cell.folded, words.INVOICE_WORDS) for cell in layout.cells)
    return Kind.INVOICE if named and has_total else Kind.OTHER


def _numbers(layout: Layout) -> Iterator[_Candidate]:
    for hit in _labels("NUMBER").hits(layout):
        if contains_word(hit.before + hit.phrase, words.OTHER_NUMBERS, beside=hit.phrase):
            continue
        for text, far, cell in beside(layout, hit):
            number = _number_at_start(text)
            if number is None or contains_word(text.lower(), ("www", "http")) or _BRACKETED.fullmatch(text):
                continue
            is_date = any(printed.text == number for printed in dates_in(number))
            if is_date and hit.weight < 10:
                continue
            # "Invoice … No. 7": the title names the number that a bare "No." announces.
            titled = hit.weight == 3 and contains_word(hit.line_before(layout), words.INVOICE_WORDS)
            score = hit.weight - far - (3 if is_date else 0) + (1 if hit.at_start else 0) + (5 if titled else 0)
            yield _Candidate(number, score - _lateness(cell), cell.line, cell.start)
            break


def _number_at_start(text: str) -> str | None:
    match = _NUMBER_AT_START.match(text)
    if match is None:
        return None
    word = match["id"].rstrip(".-/\\:")
    if next(identifiers_in(word), None) is None:
        return None
    return (match["prefix"] or "") + word


def _date(layout: Layout, due: _Candidate | None) -> str | None:
    others = [each for each in _dates(layout, _labels("DATE"), words.OTHER_DATES) if not _same_place(each, due)]
    others.extend(each for each in _dates_with_place(layout) if not _same_place(each, due))
    if best := _best(others):
        return best.value
    for cell in layout.cells:
        if contains_word(cell.folded, words.OTHER_DATES):
            continue
        for printed in dates_in(cell.text):
            if in_period(cell.text, printed):
                continue
            candidate = _Candidate(printed.text, 0, cell.line, cell.start + printed.start)
            if not _same_place(candidate, due):
                return printed.text
    return None


def _dates_with_place(layout: Layout) -> Iterator[_Candidate]:
    """Yield the dates of letters: a place, a comma and the date, alone in a cell."""
    for cell in layout.cells:
        printed = next(dates_in(cell.text), None)
        if printed is None or cell.text[printed.start + len(printed.text) :].strip(" ."):
            continue
        if _PLACE.fullmatch(cell.text[: printed.start]) and not contains_word(cell.folded, words.OTHER_DATES):
            yield _Candidate(printed.text, _PLACED - _lateness(cell), cell.line, cell.start + printed.start)


def _dates(layout: Layout, labels: Labels, others: tuple[str, ...]) -> Iterator[_Candidate]:
    for hit in labels.hits(layout):
        context = hit.before + hit.phrase if hit.at_start else hit.line_before(layout) + hit.phrase
        if others and contains_word(context, others):
            continue
        for text, far, cell in beside(layout, hit):
            printed = next(dates_in(text), None)
            if printed is None or in_period(text, printed):
                continue
            start = cell.start + (hit.end if cell is hit.cell else 0) + printed.start
            if others and contains_word(text[: printed.start].lower(), others):
                continue
            named = 1 if contains_word(hit.line_before(layout), words.INVOICE_WORDS) else 0
            score = hit.weight - far + named + (1 if hit.at_start else 0) - _lateness(cell)
            yield _Candidate(printed.text, score, cell.line, start)
            break


def _lateness(cell: Cell) -> float:
    """Return a small penalty for what stands far down: notes and small print repeat dates and numbers."""
    return min(1.5, cell.line / 30)


def _best(candidates: Iterator[_Candidate] | Sequence[_Candidate]) -> _Candidate | None:
    return max(candidates, key=lambda each: (each.score, -each.line), default=None)


def _same_place(candidate: _Candidate, other: _Candidate | None) -> bool:
    return other is not None and (candidate.line, candidate.start) == (other.line, other.start)


def _value(candidate: _Candidate | None) -> str | None:
    return candidate.value if candidate else None
