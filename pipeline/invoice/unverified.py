"""What a model saw in a picture that code cannot read: shown, and marked as not verified, value by value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal

from pipeline.document.model import Document
from pipeline.invoice.checks import error
from pipeline.invoice.dates import date_candidates
from pipeline.invoice.model import ExtractedParty, Extraction, Finding, Invoice, LineItem, Party, Tax
from pipeline.invoice.numbers import candidates, is_currency


def only_seen(document: Document) -> bool:
    """Say whether all that is known of a document is what a model saw in its pictures."""
    return any(page.picture for page in document.pages) and not document.text.strip()


def as_claimed(claim: Extraction) -> Invoice:
    """Return what the model said as far as it can be read in one way only."""
    code = (claim.currency or "").upper()
    return Invoice(
        invoice_number=claim.invoice_number,
        date=_day(claim.date),
        due_date=_day(claim.due_date),
        currency=code if is_currency(code) else None,
        total_amount=_amount(claim.total_amount),
        net_amount=_amount(claim.net_amount),
        tax_amount=_amount(claim.tax_amount),
        taxes=tuple(Tax(rate=_amount(t.rate), base=_amount(t.base), amount=_amount(t.amount)) for t in claim.taxes),
        vendor=_party(claim.vendor),
        buyer=_party(claim.buyer),
        line_items=tuple(
            LineItem(
                description=line.description,
                quantity=_amount(line.quantity),
                unit_price=_amount(line.unit_price),
                total=_amount(line.total),
            )
            for line in claim.line_items
        ),
    )


def not_verifiable(invoice: Invoice) -> Iterator[Finding]:
    """Yield a finding for every value, for none of them was found by code."""
    message = "The model read this from a picture; it could not be looked up in the document."
    data = invoice.to_json()
    yield from (error("not_verifiable", path, message) for path in _paths(data.items(), ""))


def _paths(entries: Iterable[tuple[str, object]], start: str) -> Iterator[str]:
    for name, value in entries:
        match value:
            case None:
                continue
            case dict():
                yield from _paths(value.items(), f"{start}{name}.")
            case list() | tuple():
                yield from _paths(((str(place), entry) for place, entry in enumerate(value)), f"{start}{name}.")
            case _:
                yield f"{start}{name}"


def _amount(claim: Decimal | str | None) -> Decimal | None:
    if claim is None or isinstance(claim, Decimal):
        return claim
    values = candidates(claim)
    return values[0] if len(values) == 1 else None


def _day(claim: str | None) -> date | None:
    days = date_candidates(claim) if claim else ()
    return days[0] if len(days) == 1 else None


def _party(claim: ExtractedParty) -> Party:
    return Party(name=claim.name, address=claim.address, vat_id=claim.vat_id, iban=claim.iban)
