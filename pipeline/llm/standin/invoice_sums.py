"""The sums of an invoice and its taxes: amounts beside labels that agree with each other.

Amounts are compared, never made: what is returned is printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_facts import TaxFacts
from pipeline.llm.standin.labels import Hit, Labels, contains_word
from pipeline.llm.standin.layout import Cell, Layout
from pipeline.llm.standin.printed_values import PrintedAmount, amount_value, amounts_in

_FAR = 4
_AGREES = 4
_TAX_TABLE_LINES = 8
_ROUNDING = Decimal("0.02")
_PERCENT = re.compile(r"(?<![\d.,])(?P<rate>\d{1,2}(?:[.,]\d{1,3})?)[ \u00a0]?%")
_BASE_ONLY = re.compile(r"\b(?:von|on|of|auf|sur|de|van|od|su|sobre|over)\s*[^\w]*$", re.IGNORECASE)
# Words that may stand between the amounts of one line of sums.
_BETWEEN_AMOUNTS = frozenset({"von", "on", "of", "auf", "sur", "de", "van", "od", "z", "su", "x", "a"})


@dataclass(frozen=True)
class Sums:
    """Hold the sums that were found."""

    total: PrintedAmount | None = None
    net: PrintedAmount | None = None
    tax: PrintedAmount | None = None
    taxes: tuple[TaxFacts, ...] = ()


@dataclass(frozen=True)
class _Sum:
    """Hold an amount with how surely it is the one looked for."""

    amount: PrintedAmount
    score: float
    line: int


@dataclass(frozen=True)
class _TaxRow:
    """Hold a line of the document that prints a rate of tax with its amount."""

    rate: str
    amount: PrintedAmount
    base: PrintedAmount | None


def read_sums(layout: Layout) -> Sums:
    """Return total, net and tax, those that agree before others, and the tax of each rate."""
    totals = list(_sums(layout, _labels("TOTAL"), words.OTHER_TOTALS, last=True))
    nets = list(_sums(layout, _labels("NET"), ("skonto",), last=False))
    taxes = [tax for tax in _sums(layout, _labels("TAX"), words.OTHER_TAXES, last=True) if tax.amount.has_cents]
    for row_net, row_tax in _sum_rows(layout):
        nets.append(row_net)
        taxes.append(row_tax)
    rows = tuple(_tax_rows(layout))
    tax_values = _possible_taxes(taxes) | ({sum((row.amount.value for row in rows), Decimal(0))} if rows else set())

    def agreeing(total: _Sum) -> list[_Sum]:
        return [net for net in nets if total.amount.value - net.amount.value in tax_values]

    def judged(total: _Sum) -> tuple[float, int]:
        return total.score + (_AGREES if agreeing(total) else 0), total.line

    best = max(totals, key=judged, default=None)
    if best is None:
        tax = _surest(taxes) if len(rows) < 2 else None
        return Sums(net=_surest(nets), tax=tax, taxes=_tax_facts(rows, tax))
    total = best.amount
    smaller = [each for each in nets if abs(each.amount.value) <= abs(total.value)]
    net_amount = _surest(agreeing(best)) or _surest(smaller)
    tax = _fitting_tax(total, net_amount, taxes)
    if len(rows) > 1 and (tax is None or net_amount is None or total.value - net_amount.value != tax.value):
        tax = _tax_of_all(rows, taxes)
    return Sums(total, net_amount, tax, _tax_facts(rows, tax))


def is_sum_line(layout: Layout, line: int) -> bool:
    """Tell whether a line holds one of the invoice's sums: from there on no more items are listed."""
    for name in ("TOTAL", "NET", "TAX"):
        for hit in _labels(name).hits_in(layout.lines[line]):
            if hit.at_start and amounts_right(layout, hit):
                return True
    return False


def amounts_right(layout: Layout, hit: Hit) -> list[PrintedAmount]:
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


@cache
def _labels(name: str) -> Labels:
    table: Mapping[int, tuple[str, ...]] = getattr(words, name)
    return Labels(table)


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


def _tax_of_all(rows: Sequence[_TaxRow], taxes: Sequence[_Sum]) -> PrintedAmount | None:
    """Return the printed tax of all rates together; one rate's tax is not taken for it."""
    whole = sum((row.amount.value for row in rows), Decimal(0))
    return _surest([tax for tax in taxes if abs(tax.amount.value - whole) <= _ROUNDING])


def _tax_facts(rows: Sequence[_TaxRow], tax: PrintedAmount | None) -> tuple[TaxFacts, ...]:
    whole = sum((row.amount.value for row in rows), Decimal(0))
    if rows and ((tax is None and len(rows) > 1) or (tax is not None and abs(tax.value - whole) <= _ROUNDING)):
        return tuple(TaxFacts(row.rate, row.amount.text, row.base.text if row.base else None) for row in rows)
    return (TaxFacts(amount=tax.text),) if tax else ()


def _tax_rows(layout: Layout) -> Iterator[_TaxRow]:
    """Yield the lines that print a rate and its tax, each once."""
    known: set[tuple[Decimal | None, Decimal]] = set()
    table_until = -1
    for number, line in enumerate(layout.lines):
        hits = list(_labels("TAX").hits_in(line))
        row = _labelled_row(layout, hits) or (_table_row(line) if number <= table_until else None)
        if hits:
            table_until = number + _TAX_TABLE_LINES
        if row is not None and (key := (amount_value(row.rate), row.amount.value)) not in known:
            known.add(key)
            yield row


def _labelled_row(layout: Layout, hits: Sequence[Hit]) -> _TaxRow | None:
    """Return rate, tax and base of a line with a tax's name."""
    for hit in hits:
        around = hit.before if hit.weight == 10 else f"{hit.before}{hit.phrase}{_until_amount(hit.after)}"
        if contains_word(around, words.OTHER_TAXES, beside=hit.phrase):
            continue
        amounts = [amount for amount in amounts_right(layout, hit) if amount.has_cents]
        line = layout.lines[hit.cell.line]
        rate = _only_rate(" ".join(cell.text for cell in line if cell.start >= hit.cell.start))
        if rate is None or not amounts:
            continue
        if pair := _pair(rate, amounts):
            return _TaxRow(rate, *pair)
        # "20 % VAT on 100.00" names what is taxed, not the tax.
        if len(amounts) == 1 and not _BASE_ONLY.search(hit.after.split(amounts[0].text.lstrip("-"))[0]):
            return _TaxRow(rate, amounts[0], None)
    return None


def _table_row(line: Sequence[Cell]) -> _TaxRow | None:
    """Return the tax of a table's row that begins with the rate and whose base and tax agree."""
    rate = _only_rate(" ".join(cell.text for cell in line))
    if rate is None or not line[0].text.startswith(rate):
        return None
    pair = _pair(rate, [amount for cell in line for amount in amounts_in(cell.text) if amount.has_cents])
    return _TaxRow(rate, *pair) if pair else None


def _only_rate(text: str) -> str | None:
    rates = {match["rate"] for match in _PERCENT.finditer(text)}
    return rates.pop() if len(rates) == 1 else None


def _pair(rate: str, amounts: Sequence[PrintedAmount]) -> tuple[PrintedAmount, PrintedAmount] | None:
    """Return the tax and the base, of which it is the rate's part."""
    percent = amount_value(rate) or Decimal(0)
    for base in amounts:
        for tax in amounts:
            if base is not tax and abs(base.value * percent / 100 - tax.value) <= _ROUNDING < abs(base.value):
                return tax, base
    return None


def _sums(layout: Layout, labels: Labels, others: tuple[str, ...], *, last: bool) -> Iterator[_Sum]:
    for hit in labels.hits(layout):
        around = hit.before if hit.weight == 10 else f"{hit.before}{hit.phrase}{_until_amount(hit.after)}"
        if contains_word(around, others, beside=hit.phrase):
            continue
        amounts = amounts_right(layout, hit)
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
        amounts = amounts_right(layout, hit)
        for net, tax, total in zip(amounts, amounts[1:], amounts[2:], strict=False):
            if net.value + tax.value == total.value and tax.value:
                yield _Sum(net, hit.weight, hit.cell.line), _Sum(tax, hit.weight, hit.cell.line)


def _until_amount(text: str) -> str:
    first = next(amounts_in(text), None)
    return text[: first.start].lower() if first else text.lower()


def _surest(sums: Sequence[_Sum]) -> PrintedAmount | None:
    best = max(sums, key=lambda each: (each.score, each.line), default=None)
    return best.amount if best else None
