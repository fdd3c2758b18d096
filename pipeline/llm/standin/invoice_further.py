"""What goes beyond an invoice's header: delivery, references, allowances, charges, payments, by their labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_facts import AdjustmentFacts, FurtherFacts, LineFacts
from pipeline.llm.standin.invoice_sums import Sums, amounts_right
from pipeline.llm.standin.labels import Hit, Labels, beside, contains_word
from pipeline.llm.standin.layout import Layout
from pipeline.llm.standin.printed_values import amount_value, dates_in, identifiers_in, in_period

_BIC = re.compile(
    r"\b(?:BIC|SWIFT)\b\W{0,20}(?:\(?(?:SWIFT|BIC|code)\)?\W{0,5})?([A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)\b"
)
_REFERENCE = re.compile(r"^[\s.:#°º№-]*(?:(?:nr|no|n|number|nummer)\b[\s.:#°º-]*)?(?P<id>[A-Za-z0-9][\w./\\-]*)", re.I)
_CENT = Decimal("0.02")
_LONGEST_REASON = 60
_OTHERS = ("date", "datum", "total", "confirm")


def read_further(layout: Layout, sums: Sums, lines: Sequence[LineFacts]) -> FurtherFacts:
    """Return what the labels announce; allowances and charges only where they make the lines add up."""
    allowances = tuple(_adjustments(layout, "ALLOWANCE"))
    charges = tuple(_adjustments(layout, "CHARGE"))
    goods = without_adjustments(lines, (*allowances, *charges))
    if not _add_up(sums, goods, allowances, charges):
        allowances = charges = ()
    return FurtherFacts(
        delivery_date=_date(layout),
        order_reference=_reference(layout, "ORDER"),
        buyer_reference=_reference(layout, "BUYER_REFERENCE"),
        allowances=allowances,
        charges=charges,
        prepaid=_amount(layout, "PREPAID"),
        payable=_amount(layout, "PAYABLE"),
        bic=next((match[1] for cell in layout.cells if (match := _BIC.search(cell.text))), None),
    )


def without_adjustments(lines: Sequence[LineFacts], adjustments: Sequence[AdjustmentFacts]) -> tuple[LineFacts, ...]:
    """Return the lines that are none of the allowances and charges, which stand below them in the same columns."""
    taken = {(one.reason, (one.amount or "").lstrip("-")) for one in adjustments}
    return tuple(
        line
        for line in lines
        if line.quantity or line.unit_price or (line.description, (line.total or "").lstrip("-")) not in taken
    )


@cache
def _labels(name: str) -> Labels:
    return Labels({1: getattr(words, name)})


def _date(layout: Layout) -> str | None:
    for hit in _labels("DELIVERY_DATE").hits(layout):
        for text, _, _ in beside(layout, hit):
            printed = next(dates_in(text), None)
            if printed is not None:
                if in_period(text, printed):
                    break
                return printed.text
    return None


def _reference(layout: Layout, name: str) -> str | None:
    """Return the first word with a digit right behind a label; a date or a sum is none."""
    for hit in _labels(name).hits(layout):
        # The letters of `PO-3333` are the number's own.
        if re.match(r"-?\w", hit.after) or contains_word(hit.after[:12].lower().lstrip(" .:"), _OTHERS):
            continue
        for text, _, _ in beside(layout, hit):
            match = _REFERENCE.match(text)
            word = match["id"].rstrip(".-/\\:") if match else ""
            if next(identifiers_in(word), None) and not any(True for _ in dates_in(word)):
                return word
            break
    return None


def _amount(layout: Layout, name: str) -> str | None:
    """Return the last amount at such a label: a balance at the top may be another one."""
    found = [amount for hit in _labels(name).hits(layout) if hit.at_start for amount in amounts_right(layout, hit)[:1]]
    with_cents = [amount.text for amount in found if amount.has_cents]
    return with_cents[-1] if with_cents else None


def _adjustments(layout: Layout, name: str) -> Iterator[AdjustmentFacts]:
    """Yield the lines that begin with such a label and end with an amount."""
    for hit in _labels(name).hits(layout):
        amounts = [amount for amount in amounts_right(layout, hit) if amount.has_cents]
        if hit.at_start and amounts and amounts[-1].value:
            yield AdjustmentFacts(_reason(hit), amounts[-1].text.lstrip("-"))


def _reason(hit: Hit) -> str:
    """Return the label's cell up to its first number."""
    return re.split(r"[\d(]", hit.cell.text[:_LONGEST_REASON])[0].strip(" .:-")


def _add_up(
    sums: Sums,
    lines: Sequence[LineFacts],
    allowances: Sequence[AdjustmentFacts],
    charges: Sequence[AdjustmentFacts],
) -> bool:
    """Say whether the lines need the charges less the allowances to make the net amount or the total."""
    extra = sum(map(_value, charges), Decimal(0)) - sum(map(_value, allowances), Decimal(0))
    whole = sum((amount_value(line.total or "") or Decimal(0) for line in lines), Decimal(0))
    targets = [one.value for one in (sums.net, sums.total) if one]
    if not lines or not extra or any(abs(whole - target) <= _CENT for target in targets):
        return False
    return any(abs(whole + extra - target) <= _CENT for target in targets)


def _value(adjustment: AdjustmentFacts) -> Decimal:
    return amount_value(adjustment.amount or "") or Decimal(0)
