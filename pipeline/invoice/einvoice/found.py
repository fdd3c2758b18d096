"""From a document to the values of the e-invoice in it, where there is one that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.document.model import Document
from pipeline.invoice.by_person import Looked, PersonsValue, claims_with, lay_over
from pipeline.invoice.checks import check, error, sort_findings, warning
from pipeline.invoice.einvoice.page import Comparison, compare, page_evidence
from pipeline.invoice.einvoice.reading import EInvoice, read_xml
from pipeline.invoice.einvoice.xml import XmlRefused
from pipeline.invoice.model import Evidence, Finding, Kind
from pipeline.invoice.own_fields import OwnField, unread_own_fields
from pipeline.invoice.paths import KIND_PATH, same, value_at
from pipeline.invoice.verify import Verified, verify


@dataclass(frozen=True)
class FoundInvoice:
    """Hold the values of an e-invoice; None where there is no readable one, and `findings` that say why not."""

    verified: Verified | None = None
    findings: tuple[Finding, ...] = ()


def find_einvoice(
    document: Document, *, own_fields: Sequence[OwnField] = (), by_person: Sequence[PersonsValue] = ()
) -> FoundInvoice:
    """Return what the e-invoice in a document says, checked, and held against the pages that came with it.

    `own_fields` are those that the agent's file adds: they stay empty, and that is told. Values that a person gave
    stand in the place of the XML's, with the page as evidence where that shows them.
    """
    einvoices, unread = _read_all(document)
    if not einvoices:
        return FoundInvoice(findings=tuple(unread))
    # Of two that agree, the one that says more.
    einvoice = max(einvoices, key=lambda one: len(one.quotes))
    # An XML file is its own page: there is nothing to compare it with.
    own_page = "pdf" not in document.media_type
    comparison = Comparison({}) if own_page else compare(einvoice, document)
    values, unread_own = unread_own_fields(own_fields)
    invoice = einvoice.invoice.model_copy(update={"own_fields": values})
    findings = [*unread, *_differences(einvoice, einvoices), *einvoice.findings, *comparison.findings, *unread_own]
    evidence = page_evidence(einvoice, comparison.shown)
    look = _on_page(einvoice, document, by_person, own_fields)
    laid = lay_over(invoice, evidence, findings, values=by_person, look=look)
    kind = next((Kind(one.value) for one in by_person if one.field == KIND_PATH), einvoice.kind)
    if kind is Kind.OTHER:
        return FoundInvoice(Verified(kind, findings=laid.findings))
    findings = [*laid.findings, *check(laid.invoice, kind)]
    return FoundInvoice(Verified(kind, laid.invoice, laid.evidence, sort_findings(findings)))


_COMPARED = (
    "invoice_number",
    "date",
    "due_date",
    "currency",
    "total_amount",
    "net_amount",
    "tax_amount",
    "prepaid_amount",
    "payable_amount",
)


def _on_page(
    einvoice: EInvoice, document: Document, by_person: Sequence[PersonsValue], own_fields: Sequence[OwnField]
) -> Looked:
    """Return how to find on the page what a person says instead of the XML."""
    claims = claims_with({**einvoice.invoice.to_json(), "kind": einvoice.kind.value}, by_person)
    shown = verify(claims, document, own_fields=own_fields) if by_person else Verified(einvoice.kind)
    seen = shown.invoice.to_json() if shown.invoice else {}

    def look(one: PersonsValue) -> Evidence | None:
        return shown.evidence.get(one.field) if same(one.field, value_at(seen, one.field), one.value) else None

    return look


def _read_all(document: Document) -> tuple[list[EInvoice], list[Finding]]:
    einvoices = []
    unread = []
    for attachment in document.attachments:
        try:
            einvoices.append(read_xml(attachment.text))
        except XmlRefused as refused:
            message = f"The e-invoice {attachment.name} was not read: {refused}."
            unread.append(warning("einvoice_unreadable", "", message))
    return einvoices, unread


def _differences(taken: EInvoice, einvoices: Sequence[EInvoice]) -> list[Finding]:
    """Report every value in which another e-invoice differs from the one taken: nobody can say which one counts."""
    return [
        error("einvoices_differ", path, f"The file holds several e-invoices: one says {value}, another {other[path]}.")
        for other in map(_header, einvoices)
        for path, value in _header(taken).items()
        if None not in (value, other[path]) and other[path] != value
    ]


def _header(einvoice: EInvoice) -> dict[str, Any]:
    invoice = einvoice.invoice
    return {
        "kind": einvoice.kind.value,
        **{name: getattr(invoice, name) for name in _COMPARED},
        "vendor.name": invoice.vendor.name,
        "vendor.iban": invoice.vendor.iban,
    }
