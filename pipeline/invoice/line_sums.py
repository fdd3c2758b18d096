"""Hold the lines of an invoice against the subtotal that the document prints for them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from pipeline.invoice.checks import CENT, error, lines_fit, sum_of_lines
from pipeline.invoice.index import HEADING_LINES, DocumentIndex, Seen
from pipeline.invoice.labels import Label, amount_label
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.numbers import Amount

_GROUPS = ("subtotal", "line_sum")
_EXPLANATIONS = (Label.OTHER, Label.TAX)


def line_sum_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find lines that do not make the subtotal: one of them is missing, doubled or misread.

    Sections and pages have subtotals of their own, so one of them is enough, or all of them together. A discount or a
    charge printed beside the lines may stand between them and the subtotal.
    """
    total = sum_of_lines(invoice)
    if index.is_xml or total is None or lines_fit(invoice, total):
        return
    printed = _subtotals(index)
    if not printed or any(abs(abs(total) - one) <= _tolerance(invoice) for one in (*printed, sum(printed))):
        return
    if not any(_explains(index, abs(one - abs(total))) for one in printed):
        words = " or ".join(format(one, "f") for one in sorted(printed))
        message = f"The lines add up to {total}, but the document prints {words} as their sum."
        yield error("lines_not_subtotal", "line_items", message)


def _subtotals(index: DocumentIndex) -> set[Decimal]:
    found = set()
    for seen in index.all_amounts():
        line = index.lines[seen.line]
        readings = index.convention.readings(seen.token)
        is_labelled = index.mentions_before(seen.line, seen.token.start, *_GROUPS)
        is_money = seen.token.money and not seen.token.percent and not seen.token.part
        if is_money and not line.plain and len(readings) == 1 and is_labelled:
            found.add(abs(readings[0]))
    return found


def _explains(index: DocumentIndex, difference: Decimal) -> bool:
    """Say whether a discount or a charge of that size is printed."""
    return any(
        index.label_of_amount(seen) in _EXPLANATIONS and _is_its_own(index, seen) for seen in index.amounts(difference)
    )


def _is_its_own(index: DocumentIndex, seen: Seen[Amount]) -> bool:
    """Say whether the label of an amount is in its line, or above it without an amount beside it."""
    if index.label_before(seen.line, seen.token.start) in _EXPLANATIONS:
        return True
    above = range(max(0, seen.line - HEADING_LINES), seen.line)
    labels = (line for line in above if amount_label(index.lines[line].text) in _EXPLANATIONS)
    return any(not any(one.money for one in index.amounts_in(line)) for line in labels)


def _tolerance(invoice: Invoice) -> Decimal:
    """Return how far rounded lines may be from their rounded sum."""
    return max(CENT, len(invoice.line_items) * CENT / 2)
