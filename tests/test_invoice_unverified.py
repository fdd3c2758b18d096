"""What a model saw on a picture that code cannot read: all of it is shown, and none of it passes for a fact."""

from __future__ import annotations

import datetime
from decimal import Decimal

from test_invoice_further import RAW

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.verify import Verified, verify

PICTURE = Document("scan.pdf", "0" * 64, 1, "application/pdf", (Page(1, "", picture=True),))
OWN = tuple(
    OwnField.model_validate({"description": "x", **field})
    for field in (
        {"name": "cost_centre", "pattern": r"\d{4}"},
        {"name": "parcels", "type": "integer"},
        {"name": "called_on", "type": "date"},
        {"name": "project", "required": True},
    )
)


def seen(**own: str) -> Verified:
    return verify({**RAW, "own_fields": own}, PICTURE, own_fields=OWN)


def test_values_beyond_the_header_are_shown_and_each_is_for_a_person() -> None:
    """References, dates, allowances and payments that were asked for are not dropped; each one is marked."""
    verified = seen(cost_centre="4711", parcels="12", called_on="01.02.2026", project="Hall 3")
    invoice = verified.invoice
    assert invoice
    assert (invoice.order_reference, invoice.delivery_date) == ("B-7788", datetime.date(2026, 3, 3))
    assert [(one.reason, one.amount) for one in invoice.allowances] == [("Rabatt", Decimal("50.00"))]
    assert (invoice.prepaid_amount, invoice.vendor.bic) == (Decimal("154.30"), "COBADEFFXXX")
    assert invoice.own_fields == {
        "cost_centre": "4711",
        "parcels": Decimal(12),
        "called_on": "2026-02-01",
        "project": "Hall 3",
    }
    marked = {finding.field for finding in verified.findings if finding.code == "not_verifiable"}
    assert {"order_reference", "delivery_date", "allowances.0.amount", "vendor.bic", "own_fields.parcels"} <= marked


def test_a_field_of_ones_own_that_does_not_fit_or_is_missing_is_told() -> None:
    """A value of another form is left out with a finding, and so is a required one that was not seen."""
    verified = seen(cost_centre="47", parcels="1,5")
    assert verified.invoice
    assert set(verified.invoice.own_fields.values()) == {None}
    told = {(finding.code, finding.field): finding.severity for finding in verified.findings}
    assert told["own_field_pattern", "own_fields.cost_centre"] is Severity.WARNING
    assert told["own_field_missing", "own_fields.project"] is Severity.ERROR
