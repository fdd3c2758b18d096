"""A value that no page prints stays where the printed ones prove it, and says so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.verify import Verified, verify

PAGE = """Lantern Works Ltd        INVOICE
Invoice number: LW-17
Date: 2026-03-05
Lamp        3     40.00
VAT 20 %                    24.00
Total GBP                  144.00
"""
RAW: dict[str, Any] = {
    "kind": "invoice",
    "invoice_number": "LW-17",
    "date": "2026-03-05",
    "currency": "GBP",
    "total_amount": "144.00",
    "tax_amount": "24.00",
    "vendor": {"name": "Lantern Works Ltd"},
    "line_items": [{"description": "Lamp", "quantity": "3", "unit_price": "40.00"}],
}


def told(**changes: Any) -> Verified:
    """Return what an answer comes to."""
    return verify({**RAW, **changes}, Document("x", "0" * 64, 1, "text/plain", (Page(1, PAGE),)))


def test_a_net_amount_that_follows_from_total_and_tax_is_kept_and_marked() -> None:
    """It names what it was derived from, and no error sends the invoice to review for it."""
    verified = told(net_amount="120.00")
    assert verified.invoice
    assert verified.invoice.net_amount == Decimal("120.00")
    assert verified.evidence["net_amount"].derived_from == ("total_amount", "tax_amount")
    assert "144.00" in verified.evidence["net_amount"].quote
    assert [one.code for one in verified.findings if one.field == "net_amount"] == ["derived"]
    assert not verified.needs_review


def test_a_tax_and_the_total_of_a_line_follow_as_well() -> None:
    """Total less net is the tax, quantity times price the total of the line."""
    page = PAGE.replace("VAT 20 %                    24.00", "Net                        120.00")
    raw = {**RAW, "net_amount": "120.00", "line_items": [{**RAW["line_items"][0], "total": "120.00"}]}
    verified = verify(raw, Document("x", "0" * 64, 1, "text/plain", (Page(1, page),)))
    assert verified.invoice
    assert verified.invoice.tax_amount == Decimal("24.00")
    assert verified.evidence["tax_amount"].derived_from == ("total_amount", "net_amount")
    line = told(line_items=[{**RAW["line_items"][0], "total": "120.00"}])
    assert line.invoice
    assert line.invoice.line_items[0].total == Decimal("120.00")
    assert line.evidence["line_items.0.total"].derived_from == ("line_items.0.quantity", "line_items.0.unit_price")


def test_what_arithmetic_does_not_prove_is_not_kept() -> None:
    """Another amount, one that nobody read, and the total itself stay empty."""
    wrong, unread = told(net_amount="121.00"), told()
    assert wrong.invoice
    assert wrong.invoice.net_amount is None
    assert any(one.code == "not_in_document" and one.severity is Severity.ERROR for one in wrong.findings)
    assert unread.invoice
    assert unread.invoice.net_amount is None
    total = told(total_amount="264.00", tax_amount="24.00", net_amount="240.00")
    assert total.invoice
    assert total.invoice.total_amount is None


def test_a_unit_price_has_to_be_printed_or_to_fit_its_line() -> None:
    """Total and quantity prove a price that is not printed; one that does not fit was misread and is an error."""
    page = PAGE.replace("Lamp        3     40.00", "Lamp        3     120.00")
    document = Document("x", "0" * 64, 1, "text/plain", (Page(1, page),))
    line = {"description": "Lamp", "quantity": "3", "unit_price": "40.00", "total": "120.00"}
    right = verify({**RAW, "line_items": [line]}, document)
    assert right.invoice
    assert right.invoice.line_items[0].unit_price == Decimal("40.00")
    assert right.evidence["line_items.0.unit_price"].derived_from == ("line_items.0.total", "line_items.0.quantity")
    wrong = verify({**RAW, "line_items": [{**line, "unit_price": "4.00"}]}, document)
    assert wrong.invoice
    assert wrong.invoice.line_items[0].unit_price is None
    assert any(one.field == "line_items.0.unit_price" and one.severity is Severity.ERROR for one in wrong.findings)
