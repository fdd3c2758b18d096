"""Tell from a document's titles what it is: an invoice, a credit note, or a reminder, a quote, a delivery note."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from pipeline.invoice.checks import error, warning
from pipeline.invoice.index import CELL, DocumentIndex
from pipeline.invoice.labels import Label, leading, mentions, mentions_any, said
from pipeline.invoice.model import Finding, Invoice, Kind
from pipeline.invoice.references import Standing, references
from pipeline.invoice.sums import labelled_sizes

# A title is short; longer cells are sentences that merely mention the word.
_TITLE_WORDS = 5
# `Reminder for invoice No. 17 of 3 May 2026` is as long as a title gets.
_LONG_TITLE_WORDS = 9
# Further down stand the references of an invoice: its order, its delivery note.
_HEAD_LINES = 20
# What may follow the name of a document in its title; anything else makes it the beginning of a sentence.
_BEHIND_NAME = re.compile(
    r"(?:\w*\d\w*|no|nr|num|number|numero|nummer|n|zu|zur|vom|for|regarding|of|dated|pour|du|de|del|di|per|til|van|invoice"
    r"|rechnung|facture|factura|fattura|factuur|faktura|fatura)\b"
)
_CODE_AT_END = re.compile(r"\s[^\W\d_]{1,4}[-/.]\d\S*\Z")
_COUNT = re.compile(r"\A\d{1,2}(?:st|nd|rd|th|e|er|eme)? ")


def kind_doubts(index: DocumentIndex, invoice: Invoice, kind: Kind) -> Iterator[Finding]:
    """Find a credit note that was read as an invoice or the other way round, and what is neither."""
    titles = [cell for cell in _titles(index) if mentions_any(cell, ("invoice", "credit_note"))]
    credit = any(mentions(cell, "credit_note") for cell in titles)
    plain = any(mentions(cell, "invoice") and not mentions(cell, "credit_note") for cell in titles)
    if kind is Kind.INVOICE and credit:
        make = warning if plain else error
        yield make("kind_doubtful", "kind", "The document calls itself a credit note, but was read as an invoice.")
    if kind is Kind.CREDIT_NOTE and plain and not credit and (invoice.total_amount or 0) > 0:
        yield error("kind_doubtful", "kind", "The document calls itself an invoice, but was read as a credit note.")
    other = _other_title(index)
    if other:
        message = f"The document calls itself “{other}”, which is no request to pay an invoice."
        yield error("may_be_no_invoice", "kind", message)


def invoice_signs(index: DocumentIndex) -> bool:
    """Say whether a document that was called no invoice looks like one.

    It has a labelled total, and an invoice's title or both an invoice number and a tax. The title of a reminder or a
    quote explains all of that.
    """
    if _other_title(index):
        return False
    titles = any(mentions(cell, "invoice") or mentions(cell, "credit_note") for cell in _titles(index))
    return (titles or _has_number_and_tax(index)) and any(
        index.label_of_amount(seen) in (Label.GRAND_TOTAL, Label.DUE, Label.TOTAL)
        for seen in index.all_amounts()
        if seen.token.money
    )


def _titles(index: DocumentIndex) -> Iterator[str]:
    """Yield the short cells of the first page."""
    return (cell for cell in _cells(index) if len(cell.split()) <= _TITLE_WORDS)


def _cells(index: DocumentIndex) -> Iterator[str]:
    for number, line in enumerate(index.lines):
        if line.page == index.first_page and not line.plain:
            yield from (cell.text for cell in index.cells(number))


def _other_title(index: DocumentIndex) -> str | None:
    """Return the title of a document that asks for no payment of its own; None where it calls itself an invoice.

    A reminder or a statement names the invoices it is about, so only an invoice's title above its own speaks against
    it. An order or a delivery note is named on invoices too: there any sign of an invoice does.
    """
    if index.is_xml:
        return None
    for cell in _cells(index):
        if _is_named(cell, "other_document", _LONG_TITLE_WORDS):
            return cell
        if ":" not in cell and leading(cell, "invoice", "credit_note") and len(cell.split()) <= _TITLE_WORDS:
            return None
    return _preparing_title(index)


def _preparing_title(index: DocumentIndex) -> str | None:
    """Return the title of what comes before or with an invoice, where nothing on the page calls it one."""
    if any(mentions(cell, "invoice") or mentions(cell, "credit_note") for cell in _titles(index)):
        return None
    if any(one.standing is Standing.INVOICE_NUMBER for one in references(index)):
        return None
    first = (line.text for line in index.lines if line.page == index.first_page and not line.plain)
    head = list(itertools.islice((text for text in first if text.strip()), _HEAD_LINES))
    cells = (cell for text in head for cell in CELL.findall(text) if ":" not in cell)
    return next((cell for cell in cells if _is_named(cell, "preparing_document", _TITLE_WORDS)), None)


def _is_named(cell: str, group: str, most_words: int) -> bool:
    """Say whether a cell is a title with the name of such a document, as in `2nd reminder for invoice No. 17`."""
    if group not in said(cell).groups or len(cell.split()) > most_words:
        return False
    text = _COUNT.sub("", said(cell).words)
    name = leading(text, group)
    behind = text[len(name) :].strip()
    is_number = len(behind.split()) == 2 and bool(_CODE_AT_END.search(cell))
    return bool(name) and (not behind or is_number or bool(_BEHIND_NAME.match(behind)))


def _has_number_and_tax(index: DocumentIndex) -> bool:
    numbered = any(one.standing is Standing.INVOICE_NUMBER for one in references(index))
    return numbered and bool(labelled_sizes(index)[Label.TAX])
