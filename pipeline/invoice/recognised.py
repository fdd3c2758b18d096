"""Doubt what rests on words that were recognised in a picture: a wrong digit looks as good as the right one.

A doubtful word is borne out by arithmetic (amounts that were misread do not add up), by check digits, or by standing
elsewhere in the document without a doubt. What nothing bears out, a person looks at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from stdnum import iban as iban_numbers

from pipeline.document.model import RECOGNISED, Box, Document, Page, Word
from pipeline.invoice.checks import adds_up, error, is_product, is_rate, lines_fit, quoted, sum_of_lines, warning
from pipeline.invoice.model import Evidence, Finding, Invoice
from pipeline.invoice.words import squeeze


def recognition_doubts(document: Document, invoice: Invoice, evidence: Mapping[str, Evidence]) -> Iterator[Finding]:
    """Yield a finding for each value of consequence that rests on words which may be misread."""
    pages = {page.number: page for page in document.pages if page.reader == RECOGNISED}
    if not pages:
        return
    sure = _sure_words(pages.values())
    proven = _proven(invoice)
    for path, one in evidence.items():
        page = pages.get(one.page)
        if page is None or path in proven or not _matters(path):
            continue
        words = [word for word in _doubtful(page, one) if squeeze(word.text) not in sure]
        if words:
            printed = quoted(" ".join(word.text for word in words))
            is_minor = path in _MINOR or (path == "vendor.name" and _is_small_part(words, invoice.vendor.name or ""))
            make = warning if is_minor else error
            yield make("read_uncertain", path, f"{printed} was read from a picture and may be misread.")
        elif path == "invoice_number" and _CONFUSABLE.search(invoice.invoice_number or ""):
            message = f"“{invoice.invoice_number}” was read from a picture; a letter in it may be a digit."
            yield error("read_uncertain", path, message)


_MATTERS = re.compile(
    r"invoice_number|(?:due_)?date|(?:total|net|tax)_amount|vendor\.name|(?:vendor|buyer)\.(?:vat_id|iban)"
    r"|taxes\.\d+\.(?:rate|base|amount)|line_items\.\d+\.(?:quantity|unit_price|total)"
)
_MINOR = frozenset({"buyer.vat_id", "buyer.iban"})
# Recognition is as sure of an O in place of a zero as of the zero.
_CONFUSABLE = re.compile(r"(?<=\d)[OoIl|](?![A-Za-z])|(?<![A-Za-z])[OoIl|](?=\d)")
# A shorter number stands in many places with another meaning.
_TELLING = 4


def _matters(path: str) -> bool:
    return _MATTERS.fullmatch(path) is not None


def _is_small_part(words: Iterable[Word], name: str) -> bool:
    """Say whether most letters of a name are beyond doubt; it can be told from others by these."""
    return 2 * sum(len(squeeze(word.text)) for word in words) < len(squeeze(name))


def _sure_words(pages: Iterable[Page]) -> frozenset[str]:
    """Return the longer words that stand somewhere without a doubt."""
    return frozenset(
        text
        for page in pages
        for position, word in enumerate(page.words)
        if position not in page.doubtful and len(text := squeeze(word.text)) >= _TELLING
    )


def _doubtful(page: Page, one: Evidence) -> list[Word]:
    """Return the doubtful words within the evidence, or, where its place is not known, those of its wording."""
    words = [page.words[position] for position in page.doubtful]
    if one.box is not None:
        return [word for word in words if _within(word.box, Box(*one.box))]
    return [word for word in words if any(sign.isdigit() for sign in word.text) and word.text in one.quote]


def _within(box: Box, around: Box) -> bool:
    middle, centre = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return around.left <= middle <= around.right and around.top <= centre <= around.bottom


def _proven(invoice: Invoice) -> set[str]:
    """Return the paths of values that arithmetic or check digits bear out."""
    return {*_proven_totals(invoice), *_proven_lines(invoice), *_proven_taxes(invoice), *_proven_accounts(invoice)}


def _proven_totals(invoice: Invoice) -> Iterator[str]:
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    # Without tax the same number stands for both.
    if net is not None and tax and total is not None and adds_up(net, tax, total):
        yield from ("net_amount", "tax_amount", "total_amount")


def _proven_lines(invoice: Invoice) -> Iterator[str]:
    total = sum_of_lines(invoice)
    if total is not None and len(invoice.line_items) > 1 and lines_fit(invoice, total):
        yield from (f"line_items.{number}.total" for number in range(len(invoice.line_items)))
        yield from (name for name in ("net_amount", "total_amount") if getattr(invoice, name) == total)
    for number, line in enumerate(invoice.line_items):
        if line.quantity is None or line.unit_price is None or line.total is None:
            continue
        if is_product(line.quantity, line.unit_price, line.total):
            yield from (f"line_items.{number}.{name}" for name in ("quantity", "unit_price", "total"))


def _proven_taxes(invoice: Invoice) -> Iterator[str]:
    for number, tax in enumerate(invoice.taxes):
        if tax.rate and is_rate(tax.rate, tax):
            yield from (f"taxes.{number}.{name}" for name in ("rate", "base", "amount"))


def _proven_accounts(invoice: Invoice) -> Iterator[str]:
    for role, party in (("vendor", invoice.vendor), ("buyer", invoice.buyer)):
        if party.iban and iban_numbers.is_valid(party.iban):
            yield f"{role}.iban"
