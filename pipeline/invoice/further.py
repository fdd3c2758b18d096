"""Ground what goes beyond the header: delivery, references, allowances, charges, and what is left to pay.

These values are often there and rarely asked for by law, so one that stands at no fitting label is left out with a
warning. Amounts that decide what is paid are errors instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.invoice.checks import error, warning
from pipeline.invoice.days import in_period
from pipeline.invoice.evidence import Day, Money, find_name
from pipeline.invoice.grounding import Grounding
from pipeline.invoice.index import DocumentIndex, Seen
from pipeline.invoice.labels import Label, mentions
from pipeline.invoice.model import Adjustment, ExtractedAdjustment, Extraction, Finding, Invoice, Severity
from pipeline.invoice.words import words_of

# On paper `your reference` is as often as not the number of an order.
_REFERENCES = ("order_reference", "buyer_reference")
_REFERENCE_LABELS = ("order", "buyer_reference")
_PAYABLE_LABELS = (Label.DUE, Label.GRAND_TOTAL, Label.TOTAL)
_PAID = ("paid", "earlier_payment")
_MOST_ADJUSTMENTS = 20


def ground_further(
    grounding: Grounding, extraction: Extraction, *, currency: str | None, total: Decimal | None
) -> dict[str, Any]:
    """Return the further fields by name; what is not borne out is None or left out, and a finding.

    What is given or was paid has the sign of the total: printed with a minus, it is taken off all the same.
    """
    sign = -1 if total is not None and total < 0 else 1
    prepaid = grounding.size(
        "prepaid_amount",
        extraction.prepaid_amount,
        lambda place: any(_mentions(grounding.index, place, group) for group in _PAID),
        severity=Severity.ERROR,
    )
    references = {
        field: claim and grounding.identifier_at(field, claim, _REFERENCE_LABELS)
        for field in _REFERENCES
        for claim in [getattr(extraction, field)]
    }
    return {
        **references,
        "delivery_date": _delivery_date(grounding, extraction.delivery_date, currency),
        "allowances": tuple(_adjustments(grounding, "allowances", extraction.allowances, sign)),
        "charges": tuple(_adjustments(grounding, "charges", extraction.charges, sign)),
        "prepaid_amount": None if prepaid is None else sign * prepaid,
        "payable_amount": _payable(grounding, extraction.payable_amount),
    }


def further_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find an amount to pay that stands at no label for one and follows from nothing."""
    total, payable, prepaid = invoice.total_amount, invoice.payable_amount, invoice.prepaid_amount
    if payable is None or (total is not None and payable in (total, total - (prepaid or Decimal(0)))):
        return
    fitting = (Label.DUE,) if total is not None else _PAYABLE_LABELS
    if not any(index.label_of_amount(seen) in fitting for seen in index.amounts(payable)):
        message = f"{payable} was read as what is left to pay, but stands at no label for it."
        yield error("payable_not_at_label", "payable_amount", message)


def _delivery_date(grounding: Grounding, claim: str | None, currency: str | None) -> date | None:
    """Ground the day of delivery at a label for it; one end of a period is none.

    `Lieferdatum entspricht Rechnungsdatum` prints it once, at the other label.
    """
    if claim is None:
        return None
    index = grounding.index
    places = grounding.days("delivery_date", claim, currency, severity=Severity.WARNING)
    fitting = [place for place in places if _is_delivery(index, place)]
    if not fitting and _is_delivered_as_dated(index):
        fitting = [place for place in places if place.label is Label.DATE]
    if places and not fitting:
        message = f"{claim} is printed, but not as a day of delivery or service; it was left out."
        grounding.findings.append(warning("delivery_date_not_at_label", "delivery_date", message))
    return grounding.keep_day("delivery_date", fitting, currency)


def _is_delivery(index: DocumentIndex, place: Day) -> bool:
    if index.is_xml:
        return mentions(index.elements_around(place.line), "delivery_day")
    tokens = (token for token in index.dates_in(place.line) if token.start == place.start)
    return any(
        mentions(index.text_of_date_label(seen), "delivery_day") and not in_period(index, seen)
        for seen in (Seen(place.line, token) for token in tokens)
    )


def _is_delivered_as_dated(index: DocumentIndex) -> bool:
    """Say whether a line names the day of delivery and the invoice's date together."""
    return any(mentions(line.text, "delivery_day") and mentions(line.text, "invoice_date") for line in index.lines)


def _adjustments(
    grounding: Grounding, name: str, claims: tuple[ExtractedAdjustment, ...], sign: int
) -> Iterator[Adjustment]:
    """Yield the allowances or charges; an amount has to be printed beside its reason or at a label for such.

    One that is not stays as an entry without an amount, so that corrections count as the findings do.
    """
    for number, claim in enumerate(claims[:_MOST_ADJUSTMENTS]):
        path = f"{name}.{number}"

        def is_fitting(place: Money, reason: str | None = claim.reason) -> bool:
            # In XML an allowance is an element beside the amount's, which the reason stands in.
            is_there = grounding.index.is_xml or _mentions(grounding.index, place, name)
            return is_there or _is_beside(grounding.index, place, reason)

        amount = grounding.size(f"{path}.amount", claim.amount, is_fitting, severity=Severity.ERROR)
        reason = claim.reason and grounding.wording(f"{path}.reason", claim.reason, Severity.WARNING)
        yield Adjustment(reason=reason or None, amount=None if amount is None else sign * amount)


def _is_beside(index: DocumentIndex, place: Money, reason: str | None) -> bool:
    """Say whether all words of a reason stand in the line of an amount, before it."""
    words = words_of(reason or "")
    before = words_of(index.text_so_far(place.line, place.start))
    return bool(words) and find_name(index, reason or "") is not None and all(word in before for word in words)


def _mentions(index: DocumentIndex, place: Money, group: str) -> bool:
    if index.is_xml:
        return mentions(index.elements_around(place.line), group)
    texts = index.texts_beside(place.line, place.start, place.end, most_above=1)
    return index.mentions_before(place.line, place.start, group) or any(mentions(text, group) for text in texts)


def _payable(grounding: Grounding, claim: Decimal | str | None) -> Decimal | None:
    return None if claim is None else grounding.any_amount("payable_amount", claim, Severity.ERROR, _PAYABLE_LABELS)
