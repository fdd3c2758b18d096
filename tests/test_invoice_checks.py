"""An invoice checked against itself."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from pipeline.invoice.checks import check
from pipeline.invoice.model import Invoice, Kind, LineItem, Party, Severity, Tax

GOOD = Invoice(
    invoice_number="1",
    date=datetime.date(2026, 3, 5),
    due_date=datetime.date(2026, 4, 4),
    currency="EUR",
    total_amount=Decimal("119.00"),
    net_amount=Decimal("100.00"),
    tax_amount=Decimal("19.00"),
    taxes=(Tax(rate=Decimal(19), base=Decimal("100.00"), amount=Decimal("19.00")),),
    vendor=Party(name="A", vat_id="DE136695976", iban="DE89370400440532013000"),
    line_items=(
        LineItem(description="x", quantity=Decimal(3), unit_price=Decimal("20.00"), total=Decimal("60.00")),
        LineItem(description="y", quantity=Decimal(4), unit_price=Decimal("10.00"), total=Decimal("40.00")),
    ),
)


def codes(kind: Kind = Kind.INVOICE, **changes: Any) -> dict[str, Severity]:
    return {finding.code: finding.severity for finding in check(GOOD.model_copy(update=changes), kind)}


def test_good_invoice_has_no_findings() -> None:
    """An invoice that adds up is left in peace."""
    assert codes() == {}


LINE = GOOD.line_items[0]
CASES: list[tuple[dict[str, Any], str, Severity]] = [
    ({"total_amount": Decimal("119.02")}, "sum_mismatch", Severity.ERROR),
    ({"total_amount": Decimal("1190.00"), "net_amount": None}, "separator_slip", Severity.ERROR),
    ({"total_amount": Decimal("1.00"), "net_amount": None, "tax_amount": None}, "separator_slip", Severity.ERROR),
    (
        {"net_amount": Decimal("119.00"), "total_amount": Decimal("100.00"), "tax_amount": None},
        "net_above_total",
        Severity.ERROR,
    ),
    ({"invoice_number": None}, "invoice_number_missing", Severity.ERROR),
    ({"date": None}, "date_missing", Severity.ERROR),
    ({"currency": None}, "currency_missing", Severity.ERROR),
    ({"total_amount": None}, "total_amount_missing", Severity.ERROR),
    ({"vendor": Party()}, "vendor_name_missing", Severity.ERROR),
    ({"currency": "XQZ"}, "currency_unknown", Severity.ERROR),
    ({"tax_amount": Decimal("-19.00")}, "mixed_signs", Severity.ERROR),
    ({"due_date": datetime.date(2026, 3, 4)}, "due_before_date", Severity.WARNING),
    (
        {"taxes": (Tax(rate=Decimal(7), base=Decimal("100.00"), amount=Decimal("19.00")),)},
        "tax_rate_mismatch",
        Severity.ERROR,
    ),
    ({"taxes": (Tax(amount=Decimal("18.00")),)}, "tax_sum_mismatch", Severity.WARNING),
    ({"net_amount": Decimal("19.00"), "tax_amount": Decimal("100.00")}, "tax_above_net", Severity.ERROR),
    ({"line_items": GOOD.line_items[:1]}, "lines_mismatch", Severity.WARNING),
    ({"line_items": (LINE, LINE)}, "duplicate_line", Severity.INFO),
    ({"vendor": Party(name="A", vat_id="DE136695977")}, "vat_check_digits", Severity.WARNING),
    ({"vendor": Party(name="A", iban="DE89370400440532013001")}, "iban_check_digits", Severity.WARNING),
]


@pytest.mark.parametrize(("changes", "code", "severity"), CASES)
def test_finding(changes: dict[str, Any], code: str, severity: Severity) -> None:
    """One thing wrong makes its finding with its severity."""
    assert codes(**changes)[code] is severity


def test_cent_of_rounding_is_no_mismatch() -> None:
    """A cent for each tax line may be lost by rounding."""
    assert "sum_mismatch" not in codes(total_amount=Decimal("119.01"))


def test_line_that_breaks_the_sum_is_named() -> None:
    """If quantity times price of one line makes the sum right, that line's total is wrong."""
    wrong = LINE.model_copy(update={"total": Decimal("20.00")})
    found = check(GOOD.model_copy(update={"line_items": (wrong, GOOD.line_items[1])}), Kind.INVOICE)
    assert [(f.code, f.field) for f in found if f.severity is Severity.ERROR] == [
        ("line_total_wrong", "line_items.0.total")
    ]


def test_gross_lines_are_fine() -> None:
    """Lines may add up to the total instead of the net amount."""
    lines = (LineItem(total=Decimal("119.00")),)
    assert "lines_mismatch" not in codes(line_items=lines)


def test_rounded_unit_price_is_fine() -> None:
    """A unit price is printed rounded, so quantity times price may be off by that rounding."""
    lines = (LineItem(quantity=Decimal(300), unit_price=Decimal("0.33"), total=Decimal("100.00")),)
    assert "line_mismatch" not in codes(line_items=lines)


def test_negative_total_of_an_invoice_is_doubted() -> None:
    """A negative invoice may be a credit note; a negative credit note is none of our business."""
    negative = {name: -getattr(GOOD, name) for name in ("total_amount", "net_amount", "tax_amount")}
    assert codes(**negative)["negative_total"] is Severity.WARNING
    assert "negative_total" not in codes(Kind.CREDIT_NOTE, **negative)
