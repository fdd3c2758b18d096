"""What a document calls itself decides whether it may be booked."""

from __future__ import annotations

import pytest

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Kind, Severity
from pipeline.invoice.verify import Verified, verify


def told(text: str, kind: str = "invoice") -> Verified:
    return verify({"kind": kind}, Document("x", "0" * 64, 1, "text/plain", (Page(1, text, ""),)))


def has(verified: Verified, code: str) -> bool:
    return any(f.code == code and f.severity is Severity.ERROR for f in verified.findings)


@pytest.mark.parametrize(
    "title",
    [
        "MAHNUNG zu Rechnung Nr. R-17 vom 02.01.2026",
        "2. Mahnung",
        "Zahlungserinnerung",
        "Payment reminder",
        "STATEMENT OF ACCOUNT\nInvoice No: K-1   100.00",
        "Relevé de compte n° 7",
        "PROFORMA INVOICE No. PF-22",
        "Facture pro forma",
        "Angebot Nr. A-77",
        "Quotation",
        "Auftragsbestätigung Nr. AB-333",
        "Order confirmation #17",
        "Lieferschein L-77",
    ],
)
@pytest.mark.parametrize("kind", ["invoice", "credit_note"])
def test_title_of_another_document_is_an_error(title: str, kind: str) -> None:
    """A reminder, statement, quote, order or delivery note is no invoice, whatever amounts it holds."""
    text = f"Acme Ltd\n{title}\nTotal: 325,00 EUR"
    assert has(told(text, kind), "may_be_no_invoice")
    assert not told(text, Kind.OTHER).findings


@pytest.mark.parametrize(
    "text",
    [
        "Rechnung Nr. 17\nAngebot Nr. A-77\nLieferschein Nr. 5",
        "Invoice No: 17\nOrder confirmation: 4711",
        "Lieferschein: 12   Angebot: 13\nRechnung",
        "Rechnung 17\nMahnung",
        "Receipt\nIhre Bestellung vom 3. Mai, vielen Dank",
        "Mahnung erfolgt nach 14 Tagen ohne weitere Ankündigung.",
        "Payment reminders cost 5.00 EUR",
    ],
)
def test_reference_to_another_document_is_no_title(text: str) -> None:
    """An invoice names its quote, order and delivery note, and may warn of reminders."""
    assert not has(told(text), "may_be_no_invoice")


def test_number_and_tax_are_signs_of_an_invoice_without_its_title() -> None:
    """A number at its label, a tax and a total make an invoice of what was read as another document."""
    text = "Rechnungsnr.: 4711\n{}\nZu zahlen 119,00 EUR"
    assert has(told(text.format("MwSt 19 %   19,00 EUR"), "other"), "may_be_invoice")
    assert not has(told(text.format("Danke"), "other"), "may_be_invoice")


TWO = """Alpha GmbH
Rechnung Nr. A-1
Gesamtbetrag 100,00 EUR
Beta GmbH
Rechnung Nr. B-2
Gesamtbetrag {} EUR
"""


def test_two_invoices_in_one_file_are_an_error() -> None:
    """A second number with its own total, or the same total on another day, is a second invoice."""
    assert has(told(TWO.format("200,00")), "several_invoices")
    assert not has(told(TWO.format("100,00")), "several_invoices")
    dated = TWO.replace("A-1", "A-1\nDatum: 01.02.2026").replace("B-2", "B-2\nDatum: 02.02.2026")
    assert has(told(dated.format("100,00")), "several_invoices")


def test_instalments_and_repeated_heads_are_no_second_invoice() -> None:
    """Another invoice's number beside its date or amount, or the same number on each page, is no second invoice."""
    assert not has(told(TWO.format("200,00").replace("B-2", "B-2 vom 01.02.2026")), "several_invoices")
    assert not has(told(TWO.format("200,00").replace("B-2", "B-2   50,00 EUR")), "several_invoices")
    assert not has(told(TWO.format("200,00").replace("B-2", "A-1")), "several_invoices")
    credit = "Credit note no: CN-1\nTotal 50.00\nInvoice no: R-2\nInvoice total 200.00"
    assert not has(told(credit, "credit_note"), "several_invoices")
    assert not has(told(credit.replace("Invoice no", "Original invoice no")), "several_invoices")
