"""Doubt an account to pay to where the document names others beside it: that is how payments are led astray."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import iban as iban_numbers

from pipeline.invoice.checks import error, warning
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.words import squeeze

_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ \u00a0]?[A-Za-z0-9]{4}){2,7}(?:[ \u00a0]?[A-Za-z0-9]{1,3})?\b")


def account_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find an account beside others: usual for a vendor with two banks, but hardly with banks in two countries."""
    chosen = squeeze(invoice.vendor.iban or "")
    if not chosen or index.is_xml:
        return
    others = sorted(_accounts(index) - {chosen, squeeze(invoice.buyer.iban or "")})
    if not others:
        return
    listed = ", ".join(other.upper() for other in others[:3])
    message = f"The document names other accounts beside {invoice.vendor.iban}: {listed}."
    abroad = any(other[:2] != chosen[:2] for other in others)
    yield (error if abroad else warning)("several_accounts", "vendor.iban", message)


def _accounts(index: DocumentIndex) -> set[str]:
    found = (match.group() for line in index.lines for match in _IBAN.finditer(line.text))
    return {squeeze(number) for number in found if iban_numbers.is_valid(number)}
