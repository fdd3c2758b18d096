"""What a model saw in a picture that code cannot read: shown, and marked as not verified, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

from pipeline.document.model import Document
from pipeline.invoice.checks import error
from pipeline.invoice.currencies import is_currency
from pipeline.invoice.dates import date_candidates
from pipeline.invoice.model import (
    Adjustment,
    ExtractedAdjustment,
    ExtractedLine,
    Extraction,
    Finding,
    Invoice,
    LineItem,
    OwnValue,
    Party,
    Tax,
)
from pipeline.invoice.numbers import candidates
from pipeline.invoice.own_fields import OwnField, OwnType, misfit
from pipeline.invoice.paths import leaves


def only_seen(document: Document) -> bool:
    """Say whether all that is known of a document is what a model saw in its pictures."""
    return any(page.picture for page in document.pages) and not document.text.strip()


def as_claimed(claim: Extraction, own_fields: Sequence[OwnField] = ()) -> Invoice:
    """Return what the model said as far as it can be read in one way only."""
    code = (claim.currency or "").upper()
    total = _amount(claim.total_amount)
    sign = -1 if total is not None and total < 0 else 1
    return Invoice(
        invoice_number=claim.invoice_number,
        date=_day(claim.date),
        due_date=_day(claim.due_date),
        currency=code if is_currency(code) else None,
        total_amount=total,
        net_amount=_amount(claim.net_amount),
        tax_amount=_amount(claim.tax_amount),
        taxes=tuple(Tax(rate=_amount(t.rate), base=_amount(t.base), amount=_amount(t.amount)) for t in claim.taxes),
        vendor=Party(**claim.vendor.model_dump()),
        buyer=Party(**claim.buyer.model_dump()),
        line_items=tuple(map(_line, claim.line_items)),
        delivery_date=_day(claim.delivery_date),
        order_reference=claim.order_reference,
        buyer_reference=claim.buyer_reference,
        allowances=tuple(_adjustment(one, sign) for one in claim.allowances),
        charges=tuple(_adjustment(one, sign) for one in claim.charges),
        prepaid_amount=_signed(claim.prepaid_amount, sign),
        payable_amount=_amount(claim.payable_amount),
        own_fields={field.name: _own(field, claim.own_fields.get(field.name)) for field in own_fields},
    )


def not_verifiable(invoice: Invoice) -> Iterator[Finding]:
    """Yield a finding for every value, for none of them was found by code."""
    message = "The model read this from a picture; it could not be looked up in the document."
    for path, value in leaves(invoice.to_json()):
        if value is not None:
            yield error("not_verifiable", path, message)


def misfits(claim: Extraction, own_fields: Sequence[OwnField]) -> Iterator[Finding]:
    """Yield a finding for every field of the user's own whose value is not of the form asked for."""
    for field in own_fields:
        said = claim.own_fields.get(field.name)
        wrong = misfit(field, str(said)) if said is not None else None
        if wrong is not None:
            yield wrong


def _line(claim: ExtractedLine) -> LineItem:
    return LineItem(
        description=claim.description,
        quantity=_amount(claim.quantity),
        unit_price=_amount(claim.unit_price),
        total=_amount(claim.total),
    )


def _adjustment(claim: ExtractedAdjustment, sign: int) -> Adjustment:
    return Adjustment(reason=claim.reason, amount=_signed(claim.amount, sign))


def _signed(claim: Decimal | str | None, sign: int) -> Decimal | None:
    """Return an amount with the sign of the total: printed with a minus, it is taken off all the same."""
    amount = _amount(claim)
    return None if amount is None else sign * abs(amount)


def _own(field: OwnField, claim: Decimal | str | None) -> OwnValue:
    if claim is None or misfit(field, str(claim)) is not None:
        return None
    match field.type:
        case OwnType.TEXT | OwnType.IDENTIFIER:
            return str(claim)
        case OwnType.DATE:
            day = _day(str(claim))
            return day.isoformat() if day else None
        case OwnType.AMOUNT | OwnType.NUMBER | OwnType.INTEGER:
            amount = _amount(claim)
            is_fitting = amount is None or field.type is not OwnType.INTEGER or amount == amount.to_integral_value()
            return amount if is_fitting else None


def _amount(claim: Decimal | str | None) -> Decimal | None:
    if claim is None or isinstance(claim, Decimal):
        return claim
    values = candidates(claim)
    return values[0] if len(values) == 1 else None


def _day(claim: str | None) -> date | None:
    days = date_candidates(claim) if claim else ()
    return days[0] if len(days) == 1 else None
