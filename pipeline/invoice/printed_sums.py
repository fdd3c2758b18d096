"""Do the sums that a document prints: its rate on its net amount, and what earlier bills left in its total."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal

from pipeline.invoice.checks import CENT, adds_up, any_adds_up, error, sum_of_lines
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.numbers import Amount
from pipeline.invoice.sums import size_of, sums_of_choices

_MOST_CARRIED = 6
_CARRIED = ("earlier_balance", "earlier_payment")
_MOST_LINES = 12


def printed_sum_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find a tax that its printed rate does not make, and a total with an earlier balance or payment in it."""
    if index.is_xml:
        return
    yield from _rate(index, invoice)
    yield from _earlier(index, invoice)


def _rate(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Hold the only printed rate against the only printed net amount.

    Nothing is said where the total shows that something else was taxed as well, or where a part of the lines makes
    the base.
    """
    rates = {value for _, amount in _labelled(index, Label.TAX, percent=True) for value in amount.values}
    taxes = {abs(value) for value, _ in _labelled(index, Label.TAX)}
    nets = {abs(value) for value, _ in _labelled(index, Label.NET)} or _subtotals(index)
    total = invoice.total_amount
    if len(rates) != 1 or len(taxes) != 1 or len(nets) != 1 or total is None:
        return
    rate, tax, net = rates.pop(), taxes.pop(), nets.pop()
    if not 0 < rate < 100 or not tax or not adds_up(net, tax, abs(total)):
        return
    tolerance = CENT * max(1, len(invoice.line_items)) + net * _half_digit(rate) / 100
    if abs(net * rate / 100 - tax) <= tolerance or _is_part_taxed(index, invoice, tax * 100 / rate, rate):
        return
    expected = (net * rate / 100).quantize(CENT)
    message = f"The document prints {rate} % tax on {net}, which is {expected}, but its tax is {tax}."
    yield error("printed_rate_mismatch", "tax_amount", message)


def _half_digit(rate: Decimal) -> Decimal:
    """Return how far a rate with decimals may be from the true one; whole ones are exact."""
    exponent = rate.as_tuple().exponent
    return Decimal(1).scaleb(exponent) / 2 if isinstance(exponent, int) and exponent < 0 else Decimal(0)


def _is_part_taxed(index: DocumentIndex, invoice: Invoice, base: Decimal, rate: Decimal) -> bool:
    """Say whether the tax belongs to another amount that is printed, or to a choice of the lines."""
    tolerance = CENT * 100 / rate
    lines = [line.total for line in invoice.line_items[:_MOST_LINES] if line.total is not None]
    printed = {abs(value) for seen in index.all_amounts() if seen.token.money for value in seen.token.values}
    return any(abs(one - base) <= tolerance for one in printed | sums_of_choices(lines))


def _earlier(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find a total that no sum explains, on a page that prints an earlier balance or payment.

    It is explained by net amount and tax, by its lines, or by another total that the balance or payment leads to.
    """
    total = invoice.total_amount
    if total is None:
        return
    carried = _carried(index) - {Decimal(0), abs(total), -abs(total)}
    if not carried or len(carried) > _MOST_CARRIED or _is_explained(index, invoice, abs(total), carried):
        return
    words = " and ".join(format(size, "f") for size in sorted(map(abs, carried)))
    message = f"The total {total} may hold an earlier balance or payment ({words}); net amount and tax do not make it."
    yield error("total_with_earlier_balance", "total_amount", message)


def _carried(index: DocumentIndex) -> set[Decimal]:
    """Return what stands behind a label such as `previous balance`, and with a minus what is `already paid`."""
    carried = set()
    for line, amount in _money(index):
        sign = -1 if index.mentions_before(line, amount.start, "earlier_payment") else 1
        if index.mentions_before(line, amount.start, *_CARRIED):
            carried |= {sign * abs(value) for value in index.convention.readings(amount)}
    return carried


def _is_explained(index: DocumentIndex, invoice: Invoice, total: Decimal, carried: Collection[Decimal]) -> bool:
    nets = {abs(value) for value, _ in _labelled(index, Label.NET)} | _subtotals(index) | size_of(invoice.net_amount)
    taxes = {abs(value) for value, _ in _labelled(index, Label.TAX)} | size_of(invoice.tax_amount)
    all_taxes = sorted(taxes | {sum(taxes, Decimal(0))})
    if any(any_adds_up(net, all_taxes, total) for net in nets):
        return True
    lines = sum_of_lines(invoice)
    if lines is not None and abs(abs(lines) - total) <= CENT:
        return True
    labels = (Label.GRAND_TOTAL, Label.TOTAL, Label.DUE)
    others = {abs(value) for label in labels for value, _ in _labelled(index, label)} - {total}
    if any(total + part in others for part in sums_of_choices(list(carried)) - {Decimal(0)}):
        return True
    # Cash: what was paid is more than the total, and the change is printed.
    printed = {abs(value) for _, amount in _money(index) for value in amount.values}
    return any(total + part < 0 and -total - part in printed for part in carried)


def _labelled(index: DocumentIndex, label: Label, *, percent: bool = False) -> Iterator[tuple[Decimal, Amount]]:
    """Yield the amounts, or the percentages, with such a label before them in their line."""
    for line, amount in _money(index, percent=percent):
        readings = index.convention.readings(amount)
        is_labelled = index.label_before(line, amount.start) is label
        if len(readings) == 1 and is_labelled and not index.mentions_before(line, amount.start, *_CARRIED):
            yield readings[0], amount


def _subtotals(index: DocumentIndex) -> set[Decimal]:
    return {
        abs(value)
        for line, amount in _money(index)
        if index.mentions_before(line, amount.start, "subtotal")
        for value in index.convention.readings(amount)
    }


def _money(index: DocumentIndex, *, percent: bool = False) -> Iterator[tuple[int, Amount]]:
    for seen in index.all_amounts():
        is_wanted = seen.token.percent if percent else seen.token.money and not seen.token.percent
        if is_wanted and not seen.token.part and not index.lines[seen.line].plain:
            yield seen.line, seen.token
