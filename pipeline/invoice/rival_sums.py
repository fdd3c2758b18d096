"""Find a second set of sums on a page, such as a forged one beside the true one, and ask the lines which is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from pipeline.invoice.checks import CENT, any_adds_up, error, lines_fit, sum_of_lines
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.sums import has_too_many_sums, labelled_sizes


def rival_sum_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Doubt sums that the lines do not make where they make another net amount, tax and total of the document."""
    lines, total = sum_of_lines(invoice), invoice.total_amount
    if has_too_many_sums(index) or index.is_xml or lines is None or total is None or lines_fit(invoice, lines):
        return
    tolerance = CENT * max(1, len(invoice.line_items))
    for net, other in _rivals(index, invoice):
        if min(abs(abs(lines) - net), abs(abs(lines) - other)) <= tolerance:
            message = f"The lines make the total {other} that the document prints as well, but {total} was read."
            yield error("lines_make_another_total", "total_amount", message)
            return


def _rivals(index: DocumentIndex, invoice: Invoice) -> Iterator[tuple[Decimal, Decimal]]:
    """Yield net amount and total of every set of sums that shares neither tax nor total with the invoice."""
    labelled = labelled_sizes(index)
    totals = labelled[Label.GRAND_TOTAL] | labelled[Label.TOTAL] | labelled[Label.DUE]
    taxes = sorted(labelled[Label.TAX] - {abs(invoice.tax_amount or Decimal(0)), Decimal(0)})
    nets = sorted(labelled[Label.NET])
    for total in sorted(totals - {abs(invoice.total_amount or Decimal(0))}):
        for net in nets:
            if net != total and any_adds_up(net, taxes, total):
                yield net, total
