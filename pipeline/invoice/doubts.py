"""Raise doubts that only the document can raise: a value that is printed, but beside another label.

`checks` looks at the values alone; here a total that is really a subtotal, exchanged dates, a currency that is not the
one beside the total, or a credit note taken for an invoice come to light.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.invoice.checks import error, warning
from pipeline.invoice.days import day_doubts
from pipeline.invoice.evidence import Money
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label, mentions
from pipeline.invoice.locale_hints import currency_rivals, labelled_currencies
from pipeline.invoice.model import Finding, Invoice, Kind
from pipeline.invoice.numbers import currencies_of, currency_pattern, is_currency
from pipeline.invoice.references import number_doubts
from pipeline.invoice.roles import role_doubts
from pipeline.invoice.rows import Table, row_doubts
from pipeline.invoice.sums import sum_doubts

# A title is short; longer cells are sentences that merely mention the word.
_TITLE_WORDS = 5
_HEADING_REACH = 4
_CELL = re.compile(r"\S+(?: \S+)*")


def doubts(table: Table, invoice: Invoice, kind: Kind) -> Iterator[Finding]:
    """Yield findings about values that stand in the document, but seem to be something else there."""
    index, money = table.index, table.money
    yield from sum_doubts(index, invoice)
    yield from day_doubts(index, invoice)
    yield from number_doubts(index, invoice)
    yield from _currency(index, invoice, money.get("total_amount"))
    yield from _kind(index, invoice, kind)
    yield from role_doubts(index, invoice)
    yield from row_doubts(table, invoice)


def invoice_signs(index: DocumentIndex) -> bool:
    """Say whether a document that was called no invoice has an invoice's title and a labelled total."""
    titles = any(mentions(cell, "invoice") or mentions(cell, "credit_note") for cell in _titles(index))
    return titles and any(
        index.label_of_amount(seen) in (Label.GRAND_TOTAL, Label.DUE, Label.TOTAL)
        for seen in index.all_amounts()
        if seen.token.money
    )


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
    found = (match.group() for text in texts for match in currency_pattern().finditer(text))
    return {sign for sign in found if is_currency(sign)}


def _kind(index: DocumentIndex, invoice: Invoice, kind: Kind) -> Iterator[Finding]:
    titles = list(_titles(index))
    credit = any(mentions(cell, "credit_note") for cell in titles)
    plain = any(mentions(cell, "invoice") and not mentions(cell, "credit_note") for cell in titles)
    if kind is Kind.INVOICE and credit:
        make = warning if plain else error
        yield make("kind_doubtful", "kind", "The document calls itself a credit note, but was read as an invoice.")
    if kind is Kind.CREDIT_NOTE and plain and not credit and (invoice.total_amount or 0) > 0:
        yield error("kind_doubtful", "kind", "The document calls itself an invoice, but was read as a credit note.")


def _titles(index: DocumentIndex) -> Iterator[str]:
    """Yield the short cells of the first page."""
    for line in index.lines:
        if line.page != 1 or line.plain:
            continue
        for cell in _CELL.finditer(line.text):
            if 1 <= len(cell.group().split()) <= _TITLE_WORDS:
                yield cell.group()
