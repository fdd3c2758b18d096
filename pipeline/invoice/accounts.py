"""Doubt an account to pay to where the document names others beside it: that is how payments are led astray."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import iban as iban_numbers

from pipeline.invoice.checks import error, warning
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.words import squeeze

# Looked for at every place, for a match takes in what stands behind the number.
_ACCOUNT = re.compile(r"\b(?=([A-Z]{2}\d\d[A-Z0-9 \u00a0]{11,40}))", re.IGNORECASE)


def account_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find an account beside others: usual for a vendor with two banks, but hardly with banks in two countries."""
    chosen, payers = (squeeze(party.iban or "").upper() for party in (invoice.vendor, invoice.buyer))
    if not chosen or index.is_xml:
        return
    printed = {number for line in index.lines for number in accounts_in(line.text)}
    others = sorted(printed - {chosen, payers})
    if not others:
        return
    listed = ", ".join(others[:3])
    message = f"The document names other accounts beside {invoice.vendor.iban}: {listed}."
    abroad = any(other[:2] != chosen[:2] for other in others)
    yield (error if abroad else warning)("several_accounts", "vendor.iban", message)


def accounts_in(text: str) -> Iterator[str]:
    """Yield the valid account numbers of a text, without blanks and in capitals."""
    for match in _ACCOUNT.finditer(text):
        words = match[1].split()
        for count in range(len(words), 0, -1):
            number = squeeze("".join(words[:count])).upper()
            if iban_numbers.is_valid(number):
                yield number
                break
