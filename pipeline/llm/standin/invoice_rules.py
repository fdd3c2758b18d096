"""Read an invoice's text by rules: labels, what stands beside them, and sums that agree.

Generic and modest: what no rule finds stays None. The words are in `invoice_labels`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache

from babel.numbers import list_currencies

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_facts import InvoiceFacts, Kind, TaxFacts
from pipeline.llm.standin.invoice_lines import read_lines
from pipeline.llm.standin.invoice_parties import read_parties
from pipeline.llm.standin.labels import Hit, Labels, contains_word
from pipeline.llm.standin.layout import Cell, Layout
from pipeline.llm.standin.printed_values import (
    PrintedAmount,
    amounts_in,
    dates_in,
    identifiers_in,
    month_order,
)
from pipeline.llm.standin.xml_rules import is_xml_invoice, read_xml_invoice

_FAR = 4
_BENEATH = 3
_AGREES = 4
_TITLE_LINES = 30
_TITLE_CHARACTERS = 60
_NUMBER_AT_START = re.compile(
    r"^\s*(?:\(\w+\)\s*)?[^\w#]*(?:(?:number|numero|numer|num|nr|no|n)\b|n[°º])?[\s.:#°º№-]*"
    r"(?P<prefix>(?-i:[A-Z]{1,3}) )?(?P<id>[A-Za-z0-9][\w./\\-]*)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\s*\([^)]*\)\s*")
_CURRENCY_CODE = re.compile(r"\b[A-Z]{3}\b")
# Words that may stand between the amounts of one line of sums.
_BETWEEN_AMOUNTS = frozenset({"von", "on", "of", "auf", "sur", "de", "van", "od", "z", "su", "x", "a"})


@dataclass(frozen=True)
class _Candidate:
    """Hold a value with how surely it is the one, and where it stands."""

    value: str
    score: float
    line: int
    start: int


@dataclass(frozen=True)
class _Sum:
    """Hold an amount with how surely it is the one looked for."""

    amount: PrintedAmount
    score: float
    line: int


@lru_cache(maxsize=64)
def read_invoice(text: str) -> InvoiceFacts:
    """Return what the rules find in a document's text; the same text is read once."""
    if is_xml_invoice(text):
        return read_xml_invoice(text)
    layout = Layout(text)
    due = _best(_dates(layout, _labels("DUE_DATE"), ()))
    totals = _totals(layout)
    currency = _currency(layout)
    vendor, buyer = read_parties(layout)
    return InvoiceFacts(
        kind=_kind(layout, has_total=totals.total is not None),
        number=_value(_best(_numbers(layout))),
        date=_date(layout, due),
        due_date=_value(due),
        currency=currency,
        total=_printed(totals.total),
        net=_printed(totals.net),
        tax=_printed(totals.tax),
        taxes=(TaxFacts(rate=None, amount=_printed(totals.tax)),) if totals.tax else (),
        vendor=vendor,
        buyer=buyer,
        lines=read_lines(layout, is_sum=lambda line: _is_sum_line(layout, line)),
        month_first=_month_first(text, currency),
    )


@dataclass(frozen=True)
class _Totals:
    total: PrintedAmount | None = None
    net: PrintedAmount | None = None
    tax: PrintedAmount | None = None


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
        for text, far, cell in _beside(layout, hit):
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
    if best := _best(others):
        return best.value
    for cell in layout.cells:
        if contains_word(cell.folded, words.OTHER_DATES):
            continue
        for printed in dates_in(cell.text):
            candidate = _Candidate(printed.text, 0, cell.line, cell.start + printed.start)
            if not _same_place(candidate, due):
                return printed.text
    return None


def _dates(layout: Layout, labels: Labels, others: tuple[str, ...]) -> Iterator[_Candidate]:
    for hit in labels.hits(layout):
        context = hit.before + hit.phrase if hit.at_start else hit.line_before(layout) + hit.phrase
        if others and contains_word(context, others):
            continue
        for text, far, cell in _beside(layout, hit):
            printed = next(dates_in(text), None)
            if printed is None:
                continue
            start = cell.start + (hit.end if cell is hit.cell else 0) + printed.start
            if others and contains_word(text[: printed.start].lower(), others):
                continue
            named = 1 if contains_word(hit.line_before(layout), words.INVOICE_WORDS) else 0
            score = hit.weight - far + named + (1 if hit.at_start else 0) - _lateness(cell)
            yield _Candidate(printed.text, score, cell.line, start)
            break


def _beside(layout: Layout, hit: Hit) -> Iterator[tuple[str, float, Cell]]:
    """Yield the texts a label may announce, with a penalty that grows with the distance."""
    if hit.after.strip(" .:#"):
        yield hit.after, 0, hit.cell
    for distance, cell in enumerate(layout.right_of(hit.cell)[:2]):
        yield cell.text, 0.5 + distance, cell
    for cell in layout.beneath(hit.cell, lines=_BENEATH):
        yield cell.text, 1.5 + (cell.line - hit.cell.line), cell


def _lateness(cell: Cell) -> float:
    """Return a small penalty for what stands far down: notes and small print repeat dates and numbers."""
    return min(1.5, cell.line / 30)


def _totals(layout: Layout) -> _Totals:
    totals = list(_sums(layout, _labels("TOTAL"), words.OTHER_TOTALS, last=True))
    nets = list(_sums(layout, _labels("NET"), ("skonto",), last=False))
    taxes = [tax for tax in _sums(layout, _labels("TAX"), words.OTHER_TAXES, last=True) if tax.amount.has_cents]
    for net, tax in _sum_rows(layout):
        nets.append(net)
        taxes.append(tax)
    tax_values = _possible_taxes(taxes)

    def agreeing(total: _Sum) -> list[_Sum]:
        return [net for net in nets if total.amount.value - net.amount.value in tax_values]

    def judged(total: _Sum) -> tuple[float, int]:
        return total.score + (_AGREES if agreeing(total) else 0), total.line

    best = max(totals, key=judged, default=None)
    if best is None:
        return _Totals(net=_surest(nets), tax=_surest(taxes))
    total = best.amount
    smaller = [each for each in nets if abs(each.amount.value) <= abs(total.value)]
    net_amount = _surest(agreeing(best)) or _surest(smaller)
    return _Totals(total, net_amount, _fitting_tax(total, net_amount, taxes))


def _possible_taxes(taxes: Sequence[_Sum]) -> set[Decimal]:
    """Return each tax and the sum of all different ones: several rates are printed one below the other."""
    values = {tax.amount.value for tax in taxes}
    return values | ({sum(values, Decimal(0))} if values else set())


def _fitting_tax(total: PrintedAmount, net: PrintedAmount | None, taxes: Sequence[_Sum]) -> PrintedAmount | None:
    if net is not None:
        fitting = [tax for tax in taxes if tax.amount.value == total.value - net.value]
        if fitting:
            return _surest(fitting)
    return _surest([tax for tax in taxes if abs(tax.amount.value) < abs(total.value)])


def _sums(layout: Layout, labels: Labels, others: tuple[str, ...], *, last: bool) -> Iterator[_Sum]:
    for hit in labels.hits(layout):
        around = hit.before if hit.weight == 10 else f"{hit.before}{hit.phrase}{_until_amount(hit.after)}"
        if contains_word(around, others, beside=hit.phrase):
            continue
        amounts = _amounts_right(layout, hit)
        far = 0.0
        if not amounts:
            beneath = layout.beneath(hit.cell, lines=2)
            amounts, far = [amount for cell in beneath[:1] for amount in amounts_in(cell.text)], _FAR
        if amounts:
            chosen = amounts[-1 if last else 0]
            doubt = 0 if chosen.has_cents or chosen.currency else 2
            yield _Sum(chosen, hit.weight - far - doubt, hit.cell.line)


def _sum_rows(layout: Layout) -> Iterator[tuple[_Sum, _Sum]]:
    """Yield net and tax of the rows of sums that print net, tax and total side by side."""
    for hit in _labels("TOTAL").hits(layout):
        amounts = _amounts_right(layout, hit)
        for net, tax, total in zip(amounts, amounts[1:], amounts[2:], strict=False):
            if net.value + tax.value == total.value and tax.value:
                yield _Sum(net, hit.weight, hit.cell.line), _Sum(tax, hit.weight, hit.cell.line)


def _until_amount(text: str) -> str:
    first = next(amounts_in(text), None)
    return text[: first.start].lower() if first else text.lower()


def _amounts_right(layout: Layout, hit: Hit) -> list[PrintedAmount]:
    """Return the amounts after a label, up to the next words."""
    found = list(amounts_in(hit.after))
    if not found and re.search(r"[a-z]{12}", hit.after.lower()):
        return found
    for cell in layout.right_of(hit.cell):
        amounts = list(amounts_in(cell.text))
        letters = re.sub(r"[^a-z]", "", cell.folded)
        if not amounts and len(letters) > 3 and letters not in _BETWEEN_AMOUNTS:
            break
        found.extend(amounts)
    return found


def _is_sum_line(layout: Layout, line: int) -> bool:
    """Tell whether a line holds one of the invoice's sums: from there on no more items are listed."""
    for name in ("TOTAL", "NET", "TAX"):
        for hit in _labels(name).hits_in(layout.lines[line]):
            if hit.at_start and _amounts_right(layout, hit):
                return True
    return False


def _currency(layout: Layout) -> str | None:
    named = Counter[str]()
    for hit in Labels({1: words.CURRENCY}).hits(layout):
        for text, far, _ in _beside(layout, hit):
            for code in _CURRENCY_CODE.findall(text):
                if far < 2 and code not in ("NET", "TVA", "VAT", "UST"):
                    named[code] += 1
    if named:
        return named.most_common(1)[0][0]
    seen = Counter(_code(amount.currency) for cell in layout.cells for amount in amounts_in(cell.text))
    del seen[""]
    if not seen:
        seen.update(_code(sign) for sign in words.CURRENCY_SIGNS for cell in layout.cells if sign in cell.text)
    return seen.most_common(1)[0][0] if seen else None


def _code(printed: str) -> str:
    if printed in words.CURRENCY_SIGNS:
        return words.CURRENCY_SIGNS[printed]
    return printed if printed in _known_currencies() else ""


@cache
def _known_currencies() -> frozenset[str]:
    return frozenset(list_currencies("en"))


def _month_first(text: str, currency: str | None) -> bool:
    order = month_order(text)
    return currency == "USD" if order is None else order


def _best(candidates: Iterator[_Candidate] | Sequence[_Candidate]) -> _Candidate | None:
    return max(candidates, key=lambda each: (each.score, -each.line), default=None)


def _surest(sums: Sequence[_Sum]) -> PrintedAmount | None:
    best = max(sums, key=lambda each: (each.score, each.line), default=None)
    return best.amount if best else None


def _same_place(candidate: _Candidate, other: _Candidate | None) -> bool:
    return other is not None and (candidate.line, candidate.start) == (other.line, other.start)


def _value(candidate: _Candidate | None) -> str | None:
    return candidate.value if candidate else None


def _printed(amount: PrintedAmount | None) -> str | None:
    return amount.text if amount else None
