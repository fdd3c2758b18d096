from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from einvoice_files import IBAN, Facts, Item, cii, cii_line, enveloped, ubl, zugferd_1

from pipeline.invoice.einvoice.reading import EInvoice, read_xml
from pipeline.invoice.einvoice.xml import XmlRefused
from pipeline.invoice.model import Kind, LineItem, Party, Tax

FACTS = Facts()
SYNTAXES = {"CII": cii(FACTS), "ZUGFeRD 1.0": zugferd_1(FACTS), "UBL Invoice": ubl(FACTS)}


def codes(einvoice: EInvoice) -> set[str]:
    return {finding.code for finding in einvoice.findings}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_value_is_read_exactly(syntax: str) -> None:
    """All syntaxes give the same invoice, digit for digit."""
    read = read_xml(SYNTAXES[syntax])
    invoice = read.invoice
    assert (read.syntax, read.kind) == (syntax, Kind.INVOICE)
    assert (invoice.invoice_number, invoice.currency) == (FACTS.number, "EUR")
    assert (invoice.date, invoice.due_date) == (date(2025, 9, 4), date(2025, 9, 18))
    totals = (invoice.net_amount, invoice.tax_amount, invoice.total_amount)
    assert list(map(str, totals)) == ["1000.00", "190.00", "1190.00"]
    assert invoice.taxes == (Tax(rate=Decimal(19), base=Decimal("1000.00"), amount=Decimal("190.00")),)
    address = "Am Speicher 4, 24103 Kiel, DE"
    assert invoice.vendor == Party(name="Vogt & Grimm GmbH", address=address, vat_id="DE136695976", iban=IBAN)
    assert invoice.buyer == Party(name="Reederei Harmsen KG")
    line = LineItem(
        description="Bootslack, 10 l", quantity=Decimal(8), unit_price=Decimal("125.00"), total=Decimal("1000.00")
    )
    assert invoice.line_items == (line,)
    assert read.findings == ()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_value_has_its_element_as_quote(syntax: str) -> None:
    """What is in the invoice stands in the XML: each quote names an element, and its text is the value."""
    read = read_xml(SYNTAXES[syntax])
    assert read.quotes["total_amount"].split(":")[1] in {"GrandTotalAmount 1190.00", "TaxInclusiveAmount 1190.00"}
    assert read.quotes["vendor.iban"].endswith(IBAN)
    assert "24103" in read.quotes["vendor.address"]
    for path, quote in read.quotes.items():
        element, text = quote.split(" ", 1)
        assert f"<{element}" in SYNTAXES[syntax], path
        assert text.split(", ")[0].replace("&", "&amp;") in SYNTAXES[syntax], path


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("380", Kind.INVOICE), ("326", Kind.INVOICE), ("384", Kind.INVOICE), ("875", Kind.INVOICE),
        ("381", Kind.CREDIT_NOTE), ("83", Kind.CREDIT_NOTE), ("396", Kind.CREDIT_NOTE),
    ],
)  # fmt: skip
def test_the_type_code_says_what_it_is(code: str, kind: Kind) -> None:
    """Credit notes are told from invoices by UNTDID 1001."""
    for xml in (cii(replace(FACTS, type_code=code)), zugferd_1(replace(FACTS, type_code=code))):
        assert read_xml(xml).kind is kind


def test_an_unknown_type_code_is_told() -> None:
    """A type that is no invoice's is read as one, with a finding."""
    read = read_xml(cii(replace(FACTS, type_code="220")))
    assert read.kind is Kind.INVOICE
    assert codes(read) == {"type_code_unknown"}


def test_a_credit_note_of_ubl_keeps_its_sign() -> None:
    """UBL has a document of its own for credit notes, with other names for its lines."""
    read = read_xml(ubl(replace(FACTS, type_code="381"), document="CreditNote"))
    assert read.kind is Kind.CREDIT_NOTE
    assert read.invoice.total_amount == Decimal("1190.00")
    assert read.invoice.line_items[0].quantity == 8


def test_the_envelope_of_the_network_is_opened() -> None:
    """A Peppol document may come with its routing header around it."""
    assert read_xml(enveloped(ubl(FACTS))).invoice.invoice_number == FACTS.number


def test_profiles_without_lines_are_read() -> None:
    """MINIMUM and BASIC WL have sums only."""
    invoice = read_xml(cii(FACTS, with_lines=False)).invoice
    assert invoice.line_items == ()
    assert invoice.total_amount == Decimal("1190.00")


def test_tax_is_taken_in_the_currency_of_the_invoice() -> None:
    """A second tax total in the currency of the books is no second tax."""
    extra = '<ram:TaxTotalAmount currencyID="DKK">1418.20</ram:TaxTotalAmount>'
    assert read_xml(cii(FACTS, extra_totals=extra)).invoice.tax_amount == Decimal("190.00")
    extra = '<cac:TaxTotal><cbc:TaxAmount currencyID="DKK">1418.20</cbc:TaxAmount></cac:TaxTotal>'
    read = read_xml(ubl(FACTS, extra=extra))
    assert read.invoice.tax_amount == Decimal("190.00")
    assert len(read.invoice.taxes) == 1


def test_lines_that_group_others_are_not_counted() -> None:
    """A bundle and its parts would be paid twice."""
    bundle = cii_line(Item("Winterpaket", "1", "1000.00", "1000.00"), status="GROUP")
    note = cii_line(Item("Nur zur Information", "1", "0.00", "0.00"), status="INFORMATION")
    assert len(read_xml(cii(FACTS, extra_lines=bundle + note)).invoice.line_items) == 1


def test_a_price_for_a_hundred_is_told() -> None:
    """The price stays as the XML has it, with a word on what it is for."""
    xml = ubl(FACTS).replace("</cbc:PriceAmount>", "</cbc:PriceAmount><cbc:BaseQuantity>100</cbc:BaseQuantity>")
    read = read_xml(xml)
    assert read.invoice.line_items[0].unit_price == Decimal("125.00")
    assert [(one.code, one.field) for one in read.findings] == [("price_per_quantity", "line_items.0.unit_price")]


def test_a_total_said_twice_is_told() -> None:
    """Two different grand totals are nothing to choose from."""
    read = read_xml(cii(FACTS, extra_totals="<ram:GrandTotalAmount>119.00</ram:GrandTotalAmount>"))
    assert "xml_value_ambiguous" in codes(read)


@pytest.mark.parametrize("value", ["1.190,00", "1190.00 EUR", "1e9", "NaN", "9" * 40, "--5"])
def test_what_is_no_number_of_xml_is_null_and_told(value: str) -> None:
    """No other reading is tried: XML has one way to write an amount."""
    read = read_xml(cii(replace(FACTS, total=value)))
    assert read.invoice.total_amount is None
    assert "xml_value_unreadable" in codes(read)


@pytest.mark.parametrize("value", ["20250230", "04.09.2025", "202509"])
def test_what_is_no_day_is_null_and_told(value: str) -> None:
    """A date that the calendar does not have is not mended."""
    read = read_xml(cii(replace(FACTS, date=value)))
    assert read.invoice.date is None
    assert "xml_value_unreadable" in codes(read)


def test_a_domestic_account_is_no_iban() -> None:
    """The same element holds account numbers of other systems; they are not taken for what they are not."""
    assert read_xml(ubl(replace(FACTS, iban="5050-1055"))).invoice.vendor.iban is None


def test_a_zone_behind_a_day_does_no_harm() -> None:
    """XML dates may carry a time zone."""
    assert read_xml(ubl(replace(FACTS, date="2025-09-04+02:00"))).invoice.date == date(2025, 9, 4)


def with_prolog(text: str, reference: str = "") -> str:
    """Return an e-invoice with something before its root, and a reference in its number."""
    return cii(FACTS).replace("<rsm:CrossIndustryInvoice", text + "<rsm:CrossIndustryInvoice").replace("VG-", reference)


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "no xml at all",
        cii(FACTS)[:900],
        cii(FACTS).replace("</ram:Name>", "", 1),
        with_prolog(BOMB, "&b;"),
        with_prolog(EXTERNAL, "&file;"),
        with_prolog("<!-- a --><?b c?>\n<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'>"),
        cii(FACTS).replace("VG-", "&undefined;"),
        "<a>" * 100_000,
        "<order>" + "x" * 100 + "</order>",
        cii(FACTS).replace("CrossIndustryInvoice:100", "SCRDMCCBDACIOMessageStructure:100"),
    ],
)  # fmt: skip
def test_broken_and_hostile_xml_is_refused_at_once(xml: str) -> None:
    """Cut off, not closed, entities, document types, depth: one sentence, no file read, no time lost."""
    started = time.process_time()
    with pytest.raises(XmlRefused) as caught:
        read_xml(xml)
    assert str(caught.value)
    assert time.process_time() - started < 5


def test_a_very_long_invoice_is_read_in_bounded_time() -> None:
    """Thousands of lines are no reason to give up."""
    lines = tuple(Item(f"Teil {number}", "1", "0.10", "0.10") for number in range(3000))
    started = time.process_time()
    read = read_xml(cii(replace(FACTS, lines=lines)))
    assert len(read.invoice.line_items) == 3000
    assert time.process_time() - started < 10


@pytest.mark.slow
def test_what_is_beyond_all_measure_is_told() -> None:
    """Lines without end and texts without end do not pass for an invoice."""
    lines = tuple(Item("Teil", "1", "0.10", "0.10") for _ in range(10_001))
    read = read_xml(cii(replace(FACTS, lines=lines, vendor="x" * 6000)))
    assert len(read.invoice.line_items) == 10_000
    assert read.invoice.vendor.name is None
    assert codes(read) == {"xml_too_long", "xml_value_unreadable"}
