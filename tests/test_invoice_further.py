"""Delivery, references, allowances, charges and payments: grounded at their labels, and part of the sums."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from test_invoice_verify import codes, document, errors

from pipeline.invoice.booking import booked_amount
from pipeline.invoice.model import Adjustment, Invoice, Kind
from pipeline.invoice.verify import Verified, apply_corrections, verify

PAGE = """
Nordwind Handel GmbH                                   RECHNUNG
Hafenstr. 7, 20457 Hamburg              Rechnungsnummer:  RE-2026/0815
                                        Rechnungsdatum:   05.03.2026
                                        Lieferdatum:      03.03.2026
                                        Ihre Bestellung:  B-7788
                                        Ihr Zeichen:      Einkauf 12
                                        Kundennummer:     4711

Pos  Beschreibung            Menge    Einzelpreis     Gesamt
1    Schrauben M8, verzinkt    100          2,50       250,00
2    Schlüssel                   5        150,00       750,00
                              abzgl. Rabatt            -50,00
                              zzgl. Versandkosten       20,00
                              Nettobetrag              970,00
                              USt. 19 %                184,30
                              Gesamtbetrag           1.154,30 EUR
                              Anzahlung               -154,30
                              Zahlbetrag             1.000,00 EUR
IBAN DE89 3704 0044 0532 0130 00  BIC COBADEFFXXX
"""
RAW: dict[str, Any] = {
    "kind": "invoice",
    "invoice_number": "RE-2026/0815",
    "date": "05.03.2026",
    "currency": "EUR",
    "total_amount": "1.154,30",
    "net_amount": "970,00",
    "tax_amount": "184,30",
    "vendor": {"name": "Nordwind Handel GmbH", "iban": "DE89 3704 0044 0532 0130 00", "bic": "COBADEFFXXX"},
    "line_items": [
        {"description": "Schrauben M8, verzinkt", "quantity": "100", "unit_price": "2,50", "total": "250,00"},
        {"description": "Schlüssel", "quantity": "5", "unit_price": "150,00", "total": "750,00"},
    ],
    "delivery_date": "03.03.2026",
    "order_reference": "B-7788",
    "buyer_reference": "Einkauf 12",
    "allowances": [{"reason": "Rabatt", "amount": "50,00"}],
    "charges": [{"reason": "Versandkosten", "amount": "20,00"}],
    "prepaid_amount": "154,30",
    "payable_amount": "1.000,00",
}


def told(corrections: dict[str, Any] | None = None, text: str = PAGE) -> Verified:
    return verify(apply_corrections(RAW, corrections or {}), document(text))


def invoice_of(verified: Verified) -> Invoice:
    assert verified.invoice
    return verified.invoice


def test_true_values_are_grounded_and_add_up() -> None:
    """Every further field has its value and its evidence, and nothing is found wrong."""
    verified = told()
    invoice = invoice_of(verified)
    assert verified.findings == ()
    assert invoice.delivery_date == datetime.date(2026, 3, 3)
    assert (invoice.order_reference, invoice.buyer_reference) == ("B-7788", "Einkauf 12")
    assert invoice.allowances == (Adjustment(reason="Rabatt", amount=Decimal("50.00")),)
    assert invoice.charges == (Adjustment(reason="Versandkosten", amount=Decimal("20.00")),)
    assert (invoice.prepaid_amount, invoice.payable_amount) == (Decimal("154.30"), Decimal("1000.00"))
    assert invoice.vendor.bic == "COBADEFFXXX"
    further = {"delivery_date", "order_reference", "allowances.0.amount", "charges.0.reason", "payable_amount"}
    assert further <= set(verified.evidence)
    assert verified.evidence["prepaid_amount"].quote == "Anzahlung -154,30"


@pytest.mark.parametrize(
    ("corrections", "code", "field"),
    [
        ({"payable_amount": "1.154,30"}, "payable_mismatch", "payable_amount"),
        ({"payable_amount": "750,00"}, "payable_mismatch", "payable_amount"),
        ({"prepaid_amount": "250,00"}, "amount_not_at_label", "prepaid_amount"),
        ({"prepaid_amount": "145,30"}, "not_in_document", "prepaid_amount"),
        ({"prepaid_amount": None, "payable_amount": "750,00"}, "payable_not_at_label", "payable_amount"),
        ({"charges": [{"reason": "Fracht", "amount": "25,00"}]}, "not_in_document", "charges.0.amount"),
        ({"allowances": [{"reason": "Rabatt", "amount": "250,00"}]}, "amount_not_at_label", "allowances.0.amount"),
    ],
)
def test_wrong_amounts_go_to_review(corrections: dict[str, Any], code: str, field: str) -> None:
    """An amount that decides what is paid has to be printed as what it is said to be."""
    assert (code, field) in errors(told(corrections))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("order_reference", "4711", "reference_not_at_label"),
        ("order_reference", "B-7799", "not_in_document"),
        ("buyer_reference", "RE-2026/0815", "reference_not_at_label"),
        ("delivery_date", "05.03.2025", "not_in_document"),
        ("vendor.bic", "DEUTDEFFXXX", "not_in_document"),
    ],
)
def test_references_that_are_something_else_are_left_out(field: str, value: str, code: str) -> None:
    """A reference, a day or a bank that the page does not call so is null, and that is told."""
    verified = told({field: value})
    assert errors(verified) == set()
    assert code in codes(verified)
    data = invoice_of(verified).to_json()
    assert (data["vendor"]["bic"] if "." in field else data[field]) is None


def test_day_of_invoice_is_no_day_of_delivery_unless_the_page_says_so() -> None:
    """A page without a word of delivery has no such date; one on which both are the same day prints it once."""
    without = PAGE.replace("Lieferdatum:      03.03.2026", "").replace("Versandkosten", "Kosten")
    silent = told({"delivery_date": "05.03.2026"}, without)
    assert invoice_of(silent).delivery_date is None
    assert "delivery_date_not_at_label" in codes(silent)
    period = without + "\nLeistungszeitraum 01.02.2026 - 28.02.2026\n"
    assert invoice_of(told({"delivery_date": "01.02.2026"}, period)).delivery_date is None
    same = told({"delivery_date": "05.03.2026"}, without + "\nLieferdatum entspricht Rechnungsdatum\n")
    assert invoice_of(same).delivery_date == datetime.date(2026, 3, 5)


def test_a_charge_that_is_not_printed_stays_as_an_empty_entry() -> None:
    """Corrections count entries as the model gave them, so a wrong one does not move those behind it."""
    charges = [{"reason": "Versandkosten", "amount": "25,00"}, {"reason": "Versandkosten", "amount": "20,00"}]
    verified = told({"charges": charges})
    assert [one.amount for one in invoice_of(verified).charges] == [None, Decimal("20.00")]
    mended = told({"charges": charges, "charges.0.amount": "20,00"})
    assert [one.amount for one in invoice_of(mended).charges] == [Decimal("20.00"), Decimal("20.00")]


def test_lines_without_their_allowance_are_a_warning() -> None:
    """A mismatch of lines alone sends nobody to review."""
    verified = told({"allowances": []})
    assert "lines_mismatch" in codes(verified)
    assert errors(verified) == set()


def test_charge_behind_the_tax_explains_the_total() -> None:
    """Some print freight between tax and total: net, tax and charge make it."""
    page = """
Acme Inc
Invoice number: A-77          Invoice date: March 5, 2026
Blue lamp        1    100.00    100.00
Subtotal                        100.00
Sales tax                         8.00
Shipping                         10.00
Total                          $118.00
"""
    raw = {
        "invoice_number": "A-77",
        "date": "March 5, 2026",
        "currency": "USD",
        "total_amount": "118.00",
        "net_amount": "100.00",
        "tax_amount": "8.00",
        "vendor": {"name": "Acme Inc"},
        "line_items": [{"description": "Blue lamp", "quantity": "1", "unit_price": "100.00", "total": "100.00"}],
    }
    without = verify(raw, document(page))
    assert ("sum_mismatch", "total_amount") in errors(without)
    verified = verify({**raw, "charges": [{"reason": "Shipping", "amount": "10.00"}]}, document(page))
    assert errors(verified) == set()
    assert "sum_with_charges" in codes(verified)


def test_older_balance_in_the_amount_due_is_a_warning() -> None:
    """What is left to pay may hold more than this invoice: it stands at its label, so it is told and kept."""
    page = PAGE.replace("Anzahlung               -154,30", "Vorsaldo                 100,00")
    page = page.replace("Zahlbetrag             1.000,00", "Zahlbetrag             1.254,30")
    verified = told({"prepaid_amount": None, "payable_amount": "1.254,30"}, page)
    assert invoice_of(verified).payable_amount == Decimal("1254.30")
    assert "payable_not_total" in codes(verified)


def test_a_credit_written_as_an_invoice_has_its_payments_in_minus() -> None:
    """What was paid has the sign of the total, so that the sums hold."""
    page = (
        "Acme GmbH\nRechnung Nr. 7 vom 05.03.2026\nGesamtbetrag  -100,00 EUR\nAnzahlung  -10,00\nZahlbetrag  -90,00 EUR"
    )
    raw = {"invoice_number": "7", "date": "05.03.2026", "currency": "EUR", "vendor": {"name": "Acme GmbH"}}
    amounts = {"total_amount": "-100,00", "prepaid_amount": "10,00", "payable_amount": "-90,00"}
    verified = verify({**raw, **amounts}, document(page))
    assert invoice_of(verified).prepaid_amount == Decimal("-10.00")
    assert errors(verified) == set()


@pytest.mark.parametrize(
    ("kind", "total", "booked"),
    [
        (Kind.INVOICE, "119.00", "119.00"),
        (Kind.INVOICE, "-119.00", "-119.00"),
        (Kind.CREDIT_NOTE, "119.00", "-119.00"),
        (Kind.CREDIT_NOTE, "-119.00", "-119.00"),
    ],
)
def test_sums_over_invoices_and_credit_notes_are_right(kind: Kind, total: str, booked: str) -> None:
    """A credit note gives money back, whichever sign its source has; its taxes and lines follow its total."""
    invoice = Invoice(total_amount=Decimal(total))
    assert booked_amount(invoice.total_amount, invoice, kind) == Decimal(booked)
    assert str(booked_amount(Decimal("0.00"), invoice, kind)) == "0.00"


@pytest.mark.parametrize("price", ["$1,500", "1500"])
def test_a_price_of_two_readings_is_settled_by_its_line(price: str) -> None:
    """`1 $1,500 $1,500` is no fraction; without a quantity the price is the total."""
    page = (
        "Acme LLC\nInvoice number: A-7\nDate: March 5, 2026\nWebsite     1     $1,500     $1,500\nTotal      $1,500\n"
    )
    line = {"description": "Website", "quantity": "1", "unit_price": price, "total": "$1,500"}
    raw = {"invoice_number": "A-7", "date": "March 5, 2026", "currency": "USD", "vendor": {"name": "Acme LLC"}}
    for lines in ([line], [{**line, "quantity": None}]):
        verified = verify({**raw, "total_amount": "$1,500", "line_items": lines}, document(page))
        assert errors(verified) == set()
        assert invoice_of(verified).line_items[0].unit_price == Decimal(1500)


def test_a_price_that_nothing_settles_is_left_out() -> None:
    """Where both readings lead to a total, the price is null and the two are told."""
    page = "Acme GmbH\nRechnung Nr. 7 vom 05.03.2026\nDiesel   1.000   1.459   1.459\nGesamtbetrag   1.459 EUR\n"
    line = {"description": "Diesel", "quantity": "1.000", "unit_price": "1.459", "total": "1.459"}
    raw = {"invoice_number": "7", "date": "05.03.2026", "currency": "EUR", "vendor": {"name": "Acme GmbH"}}
    verified = verify({**raw, "total_amount": "1.459", "line_items": [line]}, document(page))
    assert invoice_of(verified).line_items[0].unit_price is None
    assert ("amount_ambiguous", "line_items.0.unit_price") in {(one.code, one.field) for one in verified.findings}
