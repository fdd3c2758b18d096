"""Find where a document says a value. What is not found here is no fact.

Every search returns places ranked by how well the label beside them fits; the best one becomes the evidence.
"""

from __future__ import annotations

import datetime
import itertools
import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from stdnum.eu.vat import MEMBER_STATES

from pipeline.document.model import Box
from pipeline.invoice.dates import DateOrder, PrintedDate
from pipeline.invoice.index import DocumentIndex, Seen
from pipeline.invoice.labels import Label, mentions
from pipeline.invoice.model import QUOTE_CHARACTERS, Evidence
from pipeline.invoice.numbers import Amount
from pipeline.invoice.words import beginning_of, letters_of, squeeze, words_of

_SEPARATORS = r".\-/–_"
_PART = re.compile(r"[^\W_]+")
_GAP = re.compile(rf"[\s{_SEPARATORS}]")
_GAP_WITHOUT_BLANKS = re.compile(rf"[{_SEPARATORS}]")
_GAP_AT_JOINT = re.compile(rf"[\s{_SEPARATORS}:]{{1,3}}")
_FREE = r"(?<![^\W_])(?<![^\W_][-/–_])(?<!\d\.)"
_IS_AT_START = re.compile(_FREE)
_IS_AT_END = re.compile(r"(?![^\W_])(?![-/–_.][^\W_])")
_COUNTRY_BEFORE = re.compile(rf"{_FREE}[A-Z]{{2}}[\s.\-]?\Z", re.IGNORECASE)
# An identifier this short stands everywhere; it counts only beside its label.
_SHORT_IDENTIFIER = 3
_SHORTEST_TAX_NUMBER = 5
# A country's two letters and one separator.
_COUNTRY_REACH = 3
# So many places of an identifier in one line are looked at: one more would say the same.
_MOST_IN_LINE = 50
# This share of a text's words has to stand in the document.
_ALL_WORDS, _WORDS_OF_ADDRESS, _WORDS_OF_DESCRIPTION = Decimal(1), Decimal("0.8"), Decimal("0.7")
# How many places of its first word a text is followed from.
_STARTS = 80
_MONEY_LABELS = frozenset({Label.GRAND_TOTAL, Label.TOTAL, Label.NET, Label.TAX, Label.DUE, Label.OTHER})


class Money(NamedTuple):
    """Hold an amount that stands in the document; `value` has the printed sign.

    `other_sizes` are what the same print can mean as well, where the document does not show how it writes thousands.
    """

    value: Decimal
    line: int
    start: int
    end: int
    label: Label | None
    sign_differs: bool = False
    currency: str = ""
    other_sizes: tuple[Decimal, ...] = ()


class Day(NamedTuple):
    """Hold a date that stands in the document; `other_readings` are the days it may mean as well."""

    value: datetime.date
    line: int
    start: int
    end: int
    label: Label | None
    other_readings: tuple[datetime.date, ...] = ()
    by_order: bool = True


class Text(NamedTuple):
    """Hold a text that stands in the document; `value` is the wording to keep, `share` of its words were found."""

    value: str
    first_line: int
    last_line: int
    start: int = 0
    end: int = 0
    share: Decimal = _ALL_WORDS
    labelled: bool = False


class _Span(NamedTuple):
    line: int
    start: int
    end: int


def find_money(
    index: DocumentIndex,
    claim: Decimal,
    *,
    labels: Collection[Label] = (),
    lines: range | None = None,
    loose: bool = False,
) -> list[Money]:
    """Return the places that print an amount, best first: right sign, fitting label, then the last one.

    With `loose` a bare whole number counts as well, as it does for quantities and in rows of a table; else only what
    is printed or labelled as money, so that a street number does not vouch for a total.
    """
    found = []
    for seen in index.amounts(claim) if lines is None else index.amounts_within(claim, lines):
        label = None if loose else index.label_of_amount(seen)
        if not loose and not _is_money(index, seen.token, label):
            continue
        found.append(_money(index, seen, claim, label))
    return sorted(found, key=lambda money: (money.sign_differs, money.label not in labels, -money.line))


def find_rate(index: DocumentIndex, claim: Decimal) -> Money | None:
    """Return a place that prints a percentage, with its sign or as a bare number."""
    seen = sorted(index.amounts(claim), key=lambda seen: not seen.token.percent)
    return _money(index, seen[0], claim, None) if seen else None


def find_day(
    index: DocumentIndex, claims: Iterable[datetime.date], *, order: DateOrder | None, labels: Collection[Label] = ()
) -> list[Day]:
    """Return the places whose date can mean one of the days, fitting labels first, then the first one."""
    wanted = set(claims)
    found = []
    for seen in index.dates():
        readings = seen.token.readings(order)
        found += [_day(index, seen, value, readings) for value in readings if value in wanted]
    return sorted(found, key=lambda day: (day.label not in labels, day.label is not None, day.line))


def find_identifier(index: DocumentIndex, claim: str, *, group: str = "number") -> Text | None:
    """Return where an identifier stands, whatever its separators and case, bounded by what is no part of it."""
    return min(
        identifier_places(index, claim, group=group),
        key=lambda text: (not text.labelled, text.first_line),
        default=None,
    )


def identifier_places(index: DocumentIndex, claim: str, *, group: str = "number") -> list[Text]:
    """Return all places of an identifier; of a short one only those beside a label."""
    found = []
    for span in _printed(index, claim, blanks=group != "number" or not squeeze(claim).isdigit()):
        labelled = mentions(index.text_before(span.line, span.start), group) if group == "number" else True
        found.append(Text(claim, span.line, span.line, span.start, span.end, labelled=labelled))
    if len(squeeze(claim)) <= _SHORT_IDENTIFIER:
        found = [text for text in found if text.labelled]
    return found


def find_tax_number(index: DocumentIndex, claim: str) -> Text | None:
    """Return where a VAT or tax number stands; a country prefix that only one side has is taken from the document."""
    whole = find_identifier(index, claim, group="tax")
    if whole is not None:
        return whole
    prefix = re.match(r"[A-Za-z]{2}(?=[\s.\-]?\w*\d)", claim.strip())
    core = claim.strip()[2:] if prefix else claim.strip()
    if len(squeeze(core)) < _SHORTEST_TAX_NUMBER:
        return None
    spans = _printed(index, core, blanks=True, behind_country=not prefix)
    for line, (span, *_) in itertools.groupby(spans, key=lambda span: span.line):
        text = index.lines[line].text
        if not (prefix and _has_other_country(text[: span.start], prefix.group())):
            return Text(text[span.start : span.end], line, line, span.start, span.end)
    return None


def find_name(index: DocumentIndex, claim: str) -> Text | None:
    """Return where all words of a name stand in order: side by side, or going on in one of the next two lines."""
    words = words_of(claim)
    if not words:
        return None
    return _squeezed(index, claim) or _in_order(index, claim, words, gap=0, share=_ALL_WORDS)


def find_address(index: DocumentIndex, claim: str) -> Text | None:
    """Return where an address stands: every word with a digit, and four of five of all words, in order."""
    words = words_of(claim)
    found = _squeezed(index, claim) or (
        _in_order(index, claim, words, gap=3, share=_WORDS_OF_ADDRESS) if words else None
    )
    if found is None:
        return None
    near = set()
    for number in range(found.first_line, found.last_line + 1):
        near.update(words_of(index.lines[number].text))
    return found if all(word in near for word in words if any(c.isdigit() for c in word)) else None


def find_description(index: DocumentIndex, claim: str, *, after: int = -1) -> Text | None:
    """Return where most words of a description stand in order, the next place behind the line `after` if there is one.

    Table cells wrap, so words of other columns may stand between them.
    """
    words = words_of(claim)
    if not words:
        return None
    behind = _in_order(index, claim, words, gap=2, share=_WORDS_OF_DESCRIPTION, after=after)
    if behind is not None or after < 0:
        return behind or _squeezed(index, claim)
    return _in_order(index, claim, words, gap=2, share=_WORDS_OF_DESCRIPTION) or _squeezed(index, claim)


def quote(
    index: DocumentIndex, first: int, last: int | None = None, *, start: int = 0, end: int = 0, wording: str = ""
) -> Evidence:
    """Return lines as evidence; of long ones whole words around the span. The box is that of span or wording."""
    texts = [" ".join(index.lines[number].text.split()) for number in range(first, (last or first) + 1)]
    text = " ".join(texts)
    if len(text) > QUOTE_CHARACTERS and end:
        text = " ".join(_around(index.lines[first].text, start, end).split())
    box = _box(index, range(first, (last or first) + 1), start=start, end=end, wording=wording)
    return Evidence(page=index.lines[first].page, quote=beginning_of(text, QUOTE_CHARACTERS), box=box)


def _around(line: str, start: int, end: int) -> str:
    """Return a span with as many whole words of its line on either side as a quote has room for."""
    room = max(0, QUOTE_CHARACTERS - (end - start)) // 2
    before, after = line[max(0, start - room) : start], line[end : end + room]
    if start > room and not line[start - room - 1].isspace():
        before = before.partition(" ")[2]
    if end + room < len(line) and not line[end + room].isspace():
        after = after.rpartition(" ")[0]
    return before + line[start:end] + after


def _box(index: DocumentIndex, lines: range, *, start: int, end: int, wording: str) -> Box | None:
    here = index.lines[lines[0]]
    nth = index.repetitions[lines[0]]
    if end:
        return index.places.of_span(here.page, here.text, start, end, nth=nth)
    texts = [index.lines[number].text for number in lines if index.lines[number].page == here.page]
    return index.places.of_wording(here.page, texts, wording, nth=nth) if wording else None


def _has_other_country(before: str, prefix: str) -> bool:
    """Say whether a number is printed behind the country prefix of another country."""
    printed = re.search(r"\b([A-Z]{2})[\s.\-]?\Z", before)
    return printed is not None and printed[1].lower() in MEMBER_STATES and printed[1] != prefix.upper()


def _is_money(index: DocumentIndex, amount: Amount, label: Label | None) -> bool:
    if amount.percent:
        return False
    return amount.money or label in _MONEY_LABELS or not index.convention.prints_decimals


def _money(index: DocumentIndex, seen: Seen[Amount], claim: Decimal, label: Label | None) -> Money:
    readings = index.convention.readings(seen.token)
    value = claim if claim in readings else next(value for value in readings if abs(value) == abs(claim))
    return Money(
        value=value,
        line=seen.line,
        start=seen.token.start,
        end=seen.token.end,
        label=label,
        sign_differs=value != claim,
        currency=seen.token.currency,
        other_sizes=tuple({abs(other) for other in readings} - {abs(value)}) if len(readings) > 1 else (),
    )


def _day(
    index: DocumentIndex, seen: Seen[PrintedDate], value: datetime.date, readings: tuple[datetime.date, ...]
) -> Day:
    return Day(
        value=value,
        line=seen.line,
        start=seen.token.start,
        end=seen.token.end,
        label=index.label_of_date(seen),
        other_readings=tuple(other for other in readings if other != value),
        by_order=seen.token.by_order,
    )


def _printed(index: DocumentIndex, claim: str, *, blanks: bool, behind_country: bool = False) -> Iterator[_Span]:
    """Yield where the letters and digits of a claim stand with any separators between them.

    A neighbour joined by a hyphen or slash belongs to the identifier: `123` does not stand in `INV-123`.
    """
    parts = _PART.findall(unicodedata.normalize("NFKC", claim))
    wanted = letters_of("".join(parts))
    joints = set(itertools.accumulate(map(len, parts)))
    for line, letters in enumerate(index.letters):
        at = letters.find(wanted) if wanted else -1
        found = 0
        while at >= 0 and found < _MOST_IN_LINE:
            text = index.lines[line].text
            places = index.letter_places(line)[at : at + len(wanted)]
            start = _start(text, places[0], behind_country=behind_country)
            is_whole = _IS_AT_END.match(text, places[-1] + 1) and _go_together(text, places, joints, blanks=blanks)
            if start is not None and is_whole:
                found += 1
                yield _Span(line, start, places[-1] + 1)
            at = letters.find(wanted, at + (len(wanted) if start is not None and is_whole else 1))


def _start(text: str, place: int, *, behind_country: bool) -> int | None:
    """Return where an identifier begins, perhaps with the letters of a country; None where it goes on to the left."""
    if behind_country:
        country = _COUNTRY_BEFORE.search(text, max(0, place - _COUNTRY_REACH), place)
        return country.start() if country else None
    return place if _IS_AT_START.match(text, place) else None


def _go_together(text: str, places: Sequence[int], joints: Collection[int], *, blanks: bool) -> bool:
    """Say whether nothing but separators stands between letters; `joints` are those where the claim has one as well."""
    if places[-1] - places[0] == len(places) - 1:
        return True
    inner = _GAP if blanks else _GAP_WITHOUT_BLANKS
    return all(
        (_GAP_AT_JOINT if number in joints else inner).fullmatch(text, one + 1, other)
        for number, (one, other) in enumerate(itertools.pairwise(places), 1)
        if other - one > 1
    )


def _squeezed(index: DocumentIndex, claim: str) -> Text | None:
    """Return the line that holds a text's letters without a gap, from the start of a word to the end of one."""
    wanted = squeeze(claim)
    if len(wanted) < 2:
        return None
    # Scripts that put no blanks between words have no word edges to ask for.
    without_words = any(unicodedata.category(character) == "Lo" for character in wanted)
    at = index.squeezed.find(wanted)
    while at >= 0:
        if without_words or (at in index.word_edges and at + len(wanted) in index.word_edges):
            line = index.line_of_squeezed(at)
            return Text(claim, line, line)
        at = index.squeezed.find(wanted, at + 1)
    return None


def _in_order(
    index: DocumentIndex, claim: str, words: Sequence[str], *, gap: int, share: Decimal, after: int = -1
) -> Text | None:
    """Return the first place where enough of the words stand in order; the first word found starts it."""
    position = bisect_right(index.word_lines, after) - 1 if after >= 0 else -1
    best: Text | None = None
    least = math.ceil(share * len(words))
    for skipped in range(len(words) - least + 1):
        for start in index.next_places(words[skipped], position, limit=_STARTS):
            places = _follow(index, words[skipped:], start, gap, least)
            if len(places) >= least:
                lines = [index.word_lines[place] for place in places]
                best = Text(claim, min(lines), max(lines), share=Decimal(len(places)) / len(words))
                least = len(places) + 1
                if least > len(words):
                    return best
    return best


def _follow(index: DocumentIndex, words: Sequence[str], start: int, gap: int, least: int) -> list[int]:
    """Return the places of the words that go on from a start, each close to the one before.

    It ends early where so many are missing that no longer `least` of them can be found.
    """
    places = [start]
    for left, word in zip(range(len(words) - 1, 0, -1), words[1:], strict=True):
        here = places[-1]
        if len(places) + left < least:
            break
        for place in index.next_places(word, here, limit=4):
            lines_on = index.word_lines[place] - index.word_lines[here]
            if (lines_on == 0 and place - here - 1 <= gap) or 1 <= lines_on <= 2:
                places.append(place)
                break
            if lines_on > 2:
                break
    return places
