"""Tell an invoice's own number from the other identifiers of a page, by the labels beside each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from pipeline.invoice.checks import error
from pipeline.invoice.evidence import Text, identifier_places
from pipeline.invoice.index import HEADING_LINES, DocumentIndex, Seen
from pipeline.invoice.labels import last_place, mentions_any, said
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.words import squeeze

# A word in brackets explains the one before it: `Invoice (380)`.
_WORD = re.compile(r"(?<![(\w])[^\s,;:()#|]*\d[^\s,;:()|]*")
# Between a label and its value stand at most a sign or a word such as `no` or `INV`.
_WORDS_BETWEEN = 2
_GROUPS = ("invoice_number", "number", "other_number", "invoice", "credit_note")
_ROLES = ("buyer", "vendor")
_IN_BRACKETS = re.compile(r"\([^()]*\)")


class Standing(IntEnum):
    """Say what the label beside an identifier makes of it."""

    OTHER = 0
    BARE = 1
    NUMBER = 2
    INVOICE_NUMBER = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """Hold an identifier that stands at a label."""

    text: str
    line: int
    start: int
    end: int
    standing: Standing


def number_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find an invoice number that is another identifier: it stands at no fitting label, while another one does."""
    number = invoice.invoice_number
    if number is None or index.is_xml:
        return
    places = identifier_places(index, number)
    standing = max((_best_standing(index, place) for place in places), default=Standing.INVOICE_NUMBER)
    rivals = [one for one in references(index) if _is_other(one.text, number)]
    best = max((one.standing for one in rivals), default=Standing.OTHER)
    if standing < Standing.NUMBER <= best or standing < best is Standing.INVOICE_NUMBER:
        rival = next(one.text for one in rivals if one.standing is best)
        message = f"{rival} stands at the label for the invoice number; {number} does not."
        yield error("number_not_at_label", "invoice_number", message)
    elif standing is Standing.OTHER:
        message = f"{number} stands only at labels of other numbers, such as an order's or a customer's."
        yield error("number_not_at_label", "invoice_number", message)
    elif standing is Standing.BARE:
        message = f"{number} stands at no label, so it may be another number than the invoice's."
        yield error("number_not_at_label", "invoice_number", message)


@kept_while_it_lives
def references(index: DocumentIndex) -> tuple[Reference, ...]:
    """Return the words with a digit at a label for a number that are no amount of money and no labelled date.

    What else looks like a date, or stands in the view without columns, counts only at the invoice number's own label.
    """
    named = [_may_name(line.text) for line in index.lines]
    near = (number for number in index.lines_with_digits if any(named[max(0, number - HEADING_LINES) : number + 1]))
    return tuple(one for number in near for one in _references_in(index, number))


def _may_name(line: str) -> bool:
    """Say whether a line may have a label for a number; of letters that are put together the words are not known."""
    return not line.isascii() or not said(line).groups.isdisjoint(_GROUPS)


def _references_in(index: DocumentIndex, number: int) -> Iterator[Reference]:
    line = index.lines[number]
    taken = [(one.start, one.end) for one in index.amounts_in(number) if one.currency or one.percent or one.mark]
    dates = index.dates_in(number)
    taken += [(one.start, one.end) for one in dates if index.label_of_date(Seen(number, one)) is not None]
    days = [(one.start, one.end) for one in dates]
    for match in _WORD.finditer(line.text):
        start, end = match.span()
        if _overlaps(match, taken) or not (_has_label_in_cell(line.text, start) or _fills_cell(line.text, end)):
            continue
        least = Standing.INVOICE_NUMBER if line.plain or _overlaps(match, days) else Standing.NUMBER
        standing = next(_standings(index, number, start, end), Standing.BARE)
        if standing >= least:
            yield Reference(match.group().rstrip("."), number, start, end, standing)


def _best_standing(index: DocumentIndex, place: Text) -> Standing:
    """Return the kindest standing that the labels around a place allow, unless the nearest one says otherwise."""
    standings = list(_standings(index, place.first_line, place.start, place.end))
    if standings and standings[0] is Standing.OTHER:
        return Standing.OTHER
    return max(standings, default=Standing.BARE)


def _overlaps(match: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    return any(start < match.end() and match.start() < end for start, end in spans)


def _is_other(text: str, number: str) -> bool:
    one, other = squeeze(text), squeeze(number)
    return bool(one) and one not in other and other not in one


def _has_label_in_cell(line: str, start: int) -> bool:
    """Say whether a word has another one of its cell before it."""
    return bool(line[max(0, start - 2) : start].strip())


def _fills_cell(line: str, end: int) -> bool:
    """Say whether nothing follows in the cell: `Invoice   5 Main Street` holds no invoice number."""
    return not line[end : end + 2].strip()


def _standings(index: DocumentIndex, line: int, start: int, end: int) -> Iterator[Standing]:
    """Yield what the labels of a place say, nearest first; a bare `Nr.` is told apart by the text before it."""
    texts = list(index.texts_beside(line, start, end, most_above=1))
    in_cell = _has_label_in_cell(index.lines[line].text, start)
    for position, text in enumerate(texts):
        allowed = _WORDS_BETWEEN if in_cell and position == 0 else 0
        standing = _named(text, words_between=allowed)
        if standing is Standing.NUMBER and " " not in said(text).words and position + 1 < len(texts):
            standing = _named(_IN_BRACKETS.sub("", f"{texts[position + 1]} {text}"), words_between=0)
        if standing is not None:
            yield standing


def _named(text: str, *, words_between: int) -> Standing | None:
    """Return what a text says as a label; one with more words behind its phrase is none."""
    words, begun = said(text)
    if begun.isdisjoint(_GROUPS):
        return None
    places = {
        Standing.INVOICE_NUMBER: max(last_place(text, "invoice_number"), _title_end(text)),
        Standing.NUMBER: last_place(text, "number"),
        Standing.OTHER: last_place(text, "other_number"),
    }
    end = max(places.values())
    if end < 0:
        return None
    behind = words[end:].split()
    if any(mentions_any(word, _ROLES) for word in behind):
        return Standing.OTHER
    if len(behind) > words_between or any(any(map(str.isdigit, word)) for word in behind):
        return None
    # `Rechnung Nr.` and `Kunden-Nr.` both end with a bare label: what stands before it says whose number it is.
    if places[Standing.NUMBER] == end and places[Standing.INVOICE_NUMBER] < end:
        return _qualified(words, places)
    return max(standing for standing in places if places[standing] == end)


def _qualified(words: str, places: dict[Standing, int]) -> Standing:
    before = words[: places[Standing.NUMBER]]
    own = max(last_place(before, "invoice"), last_place(before, "credit_note"))
    if last_place(before, "other_number") > own:
        return Standing.OTHER
    is_near = own >= 0 and len(before[own:].split()) <= _WORDS_BETWEEN
    return Standing.INVOICE_NUMBER if is_near else Standing.NUMBER


def _title_end(text: str) -> int:
    """Return where an invoice's title ends, which speaks for the number directly behind it: `Rechnung 4711`."""
    end = max(last_place(text, "invoice"), last_place(text, "credit_note"))
    return end if end == len(said(text).words) else -1
