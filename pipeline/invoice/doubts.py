"""Raise doubts that only the document can raise: a value that is printed, but beside another label.

`checks` looks at the values alone; here a total that is really a subtotal, exchanged dates, a currency that is not the
one beside the total, or a credit note taken for an invoice come to light.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.invoice.accounts import account_doubts
from pipeline.invoice.checks import error, warning
from pipeline.invoice.columns import column_doubts
from pipeline.invoice.currencies import currencies_of, find_currencies, is_currency
from pipeline.invoice.days import day_doubts
from pipeline.invoice.evidence import Money
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.line_sums import line_sum_doubts
from pipeline.invoice.locale_hints import currency_rivals, labelled_currencies
from pipeline.invoice.model import Finding, Invoice, Kind
from pipeline.invoice.printed_sums import printed_sum_doubts
from pipeline.invoice.references import number_doubts
from pipeline.invoice.rival_sums import rival_sum_doubts
from pipeline.invoice.roles import role_doubts
from pipeline.invoice.rows import Table, row_doubts
from pipeline.invoice.several import several_invoices
from pipeline.invoice.sizes import size_doubts
from pipeline.invoice.sums import sum_doubts
from pipeline.invoice.titles import kind_doubts


def doubts(table: Table, invoice: Invoice, kind: Kind) -> Iterator[Finding]:
    """Yield findings about values that stand in the document, but seem to be something else there."""
    index, money = table.index, table.money
    yield from sum_doubts(index, invoice)
    yield from printed_sum_doubts(index, invoice)
    yield from rival_sum_doubts(index, invoice)
    yield from day_doubts(index, invoice)
    yield from number_doubts(index, invoice)
    yield from _currency(index, invoice, money.get("total_amount"))
    yield from size_doubts(index, invoice, money)
    yield from kind_doubts(index, invoice, kind)
    yield from several_invoices(index, kind)
    yield from role_doubts(index, invoice)
    yield from row_doubts(table, invoice)
    yield from column_doubts(table, invoice)
    yield from line_sum_doubts(index, invoice)
    yield from account_doubts(index, invoice)


def _currency(index: DocumentIndex, invoice: Invoice, total: Money | None) -> Iterator[Finding]:
    code = invoice.currency
    if code is None:
        return
    beside = currencies_of(total.currency) if total and total.currency else ()
    if beside and code not in beside:
        message = f"The total is printed with {total.currency if total else ''}, but {code} was read."
        yield error("currency_mismatch", "currency", message)
        return
    labelled = labelled_currencies(index) or (_currencies_at_label(index, total) if total else set())
    if not beside and labelled and code not in labelled:
        words = " and ".join(sorted(labelled))
        yield error("currency_mismatch", "currency", f"The document names {words} as its currency, not {code}.")
        return
    # Short words such as `ft` and `R` have other meanings beside a number.
    printed = {sign for sign in index.money_currencies if is_currency(sign) or not sign.isalpha()}
    if not labelled and printed and not any(code in currencies_of(sign) for sign in printed):
        words = " and ".join(sorted(printed))
        yield error("currency_mismatch", "currency", f"The amounts are printed with {words}, but {code} was read.")
        return
    rivals = currency_rivals(index, code)
    if rivals and not (beside and len(beside) == 1):
        words = ", ".join(rivals)
        yield warning("currency_assumed", "currency", f"The sign printed can also mean {words}; {code} was assumed.")


def _currencies_at_label(index: DocumentIndex, total: Money) -> set[str]:
    """Return the ISO codes in the label of the total or in the head of its column: `Total CHF    1.00`."""
    texts = index.texts_beside(total.line, total.start, total.end, most_above=1)
    return {one.text for text in texts for one in find_currencies(text) if is_currency(one.text)}
