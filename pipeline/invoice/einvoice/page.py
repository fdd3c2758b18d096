"""Hold an e-invoice's XML against the page that a person sees: the two should say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.document.model import Document
from pipeline.document.text import visible_characters
from pipeline.invoice.accounts import accounts_in
from pipeline.invoice.checks import NOT_IN_DOCUMENT, error, info, warning
from pipeline.invoice.einvoice.reading import EInvoice
from pipeline.invoice.index import DocumentIndex, index_of
from pipeline.invoice.labels import Label
from pipeline.invoice.model import QUOTE_CHARACTERS, Evidence, Finding, Severity
from pipeline.invoice.verify import verify
from pipeline.invoice.words import beginning_of, squeeze


@dataclass(frozen=True)
class Comparison:
    """Hold where the pages show the values of the XML, by field path, and where they say something else."""

    shown: Mapping[str, Evidence]
    findings: tuple[Finding, ...] = ()


def compare(einvoice: EInvoice, document: Document) -> Comparison:
    """Look for every value of the XML on the pages."""
    if visible_characters(document.text) < _USABLE_CHARACTERS:
        return Comparison({}, (warning("page_not_compared", "", "The pages are pictures: only the XML was read."),))
    shown = verify(_claims(einvoice), document)
    index = index_of(document)
    findings = [
        *_missing(einvoice, shown.findings, index),
        *_elsewhere(einvoice, shown.findings),
        *_other_accounts(einvoice, document),
    ]
    return Comparison(shown.evidence, tuple(findings))


def page_evidence(einvoice: EInvoice, shown: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Return the element of every value, and where a page shows it; the first page where none does."""
    nowhere = Evidence(page=1, quote="")
    places = {path: shown.get(path, nowhere) for path in einvoice.quotes}
    return {
        path: Evidence(page=places[path].page, quote=beginning_of(quote, QUOTE_CHARACTERS), box=places[path].box)
        for path, quote in einvoice.quotes.items()
    }


# What a page has to show where it shows anything; the rest is often left out or split in another way.
_COMPARED = {
    "invoice_number": Severity.ERROR,
    "date": Severity.ERROR,
    "total_amount": Severity.ERROR,
    "currency": Severity.WARNING,
    "net_amount": Severity.WARNING,
    "tax_amount": Severity.WARNING,
    "payable_amount": Severity.WARNING,
    "vendor.name": Severity.WARNING,
}
# What `verify` says of a value that stands on the page, but as something else.
_OTHERWISE_LABELLED = frozenset(
    {
        "number_not_at_label",
        "date_not_at_label",
        "dates_exchanged",
        "total_not_at_label",
        "currency_mismatch",
        "kind_doubtful",
        "parties_exchanged",
    }
)
_TOTAL_LABELS = (Label.GRAND_TOTAL, Label.DUE, Label.TOTAL)
_MAX_LINES = 200
_USABLE_CHARACTERS = 60


def _claims(einvoice: EInvoice) -> dict[str, Any]:
    """Return the XML's values as if a model had read them; of a very long invoice without its lines."""
    claims = {**einvoice.invoice.to_json(), "kind": einvoice.kind.value}
    if len(claims["line_items"]) > _MAX_LINES:
        claims["line_items"] = []
    return claims


def _missing(einvoice: EInvoice, findings: tuple[Finding, ...], index: DocumentIndex) -> Iterator[Finding]:
    for finding in findings:
        severity = _COMPARED.get(finding.field)
        if finding.code != NOT_IN_DOCUMENT or severity is None:
            continue
        value = einvoice.invoice.vendor.name if "." in finding.field else getattr(einvoice.invoice, finding.field)
        message = f"The XML says {value}, but the page does not show it."
        if finding.field == "total_amount":
            message = f"The XML says {value}, but the page {_printed_totals(index)}."
        yield _mismatch(severity, finding.field, message)


def _printed_totals(index: DocumentIndex) -> str:
    sizes: set[Decimal] = set()
    for seen in index.all_amounts():
        if seen.token.money and not seen.token.percent and index.label_of_amount(seen) in _TOTAL_LABELS:
            sizes.update(map(abs, index.convention.readings(seen.token)))
    words = " and ".join(f"{size:f}" for size in sorted(sizes)[-3:])
    return f"says {words}" if words else "does not show it"


def _elsewhere(einvoice: EInvoice, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    # An invoice over less than nothing gives money back, as the credit note does that the page calls itself.
    gives_back = (einvoice.invoice.total_amount or 0) < 0
    for finding in findings:
        if finding.code in _OTHERWISE_LABELLED:
            severity = Severity.WARNING if finding.field == "kind" and gives_back else finding.severity
            yield _mismatch(severity, finding.field, f"XML and page differ. {finding.message}")


def _other_accounts(einvoice: EInvoice, document: Document) -> Iterator[Finding]:
    """Find an account on the page that the XML does not name, where the XML's own is not there: money may go astray."""
    own = einvoice.invoice.vendor.iban
    texts = (text for page in document.pages for text in (page.text, page.plain))
    printed = {number for text in texts for number in accounts_in(text)}
    strange = {number for number in printed if number.casefold() not in einvoice.accounts}
    if own and strange and own.casefold() not in squeeze(document.text):
        words = " and ".join(sorted(strange)[:3])
        yield _mismatch(Severity.ERROR, "vendor.iban", f"The XML says {own}, but the page says {words}.")


def _mismatch(severity: Severity, field: str, message: str) -> Finding:
    make = {Severity.ERROR: error, Severity.WARNING: warning, Severity.INFO: info}[severity]
    return make("xml_page_mismatch", field, message)
