"""Reading invoices by rules, in several languages and layouts."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.invoice.dates import date_candidates
from pipeline.llm.standin.invoice_facts import Kind, LineFacts
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.layout import Layout
from pipeline.llm.standin.printed_values import amount_value, amounts_in, dates_in, ibans_in, vat_ids_in

GERMAN = """Blumenhof Sommer GmbH                                     RECHNUNG
Gartenweg 3                                               Rechnungsnummer      2024-118
12345 Musterstadt                                         Rechnungsdatum       05.02.2024
Rechnungsempfänger                                        Kundennummer         K-77
   Hotel Seeblick AG
   Uferstr. 1
Pos   Beschreibung          Menge      Einzelpreis        Betrag
1     Rosen, rot            100        1,20               120,00
2     Vase                  4          250,00             1.000,00
      Rechnungssumme netto                                1.120,00
      Umsatzsteuer 19 %                                   212,80
      Rechnungssumme brutto                               1.332,80
Zahlbar bis 04.03.2024 ohne Abzug. Beträge in EUR
IBAN DE89 3704 0044 0532 0130 00     USt-IdNr. DE123456789
"""
FRENCH = """Menuiserie du Lac SARL
FACTURE N° F-2024-009                    Date de facture : 14 mars 2024
Date d'échéance : 13/04/2024
Destinataire
Mairie de Belleville
                                         Total HT          1 250,00 €
                                         TVA 20 %          250,00 €
                                         Total TTC         1 500,00 €
"""
DUTCH = """Fietsen Jansen B.V.
Factuurnummer: 2024/0815       Factuurdatum: 3 mei 2024
Totaal excl. BTW   € 100,00
BTW 21%            € 21,00
Totaal incl. BTW   € 121,00
Vervaldatum: 17-05-2024
"""
POLISH = """Faktura nr FV/12/2024           Data wystawienia: 2024-06-01
Sprzedawca: Zakład Stolarski Dąb     Nabywca: Biuro Sp. z o.o.
Razem:      100,00    23,00    123,00
Do zapłaty: 123,00 PLN
Termin płatności: 2024-06-15
"""
SPANISH = """Factura nº A-55                 Fecha de factura: 07/08/2024
Vencimiento: 06/09/2024
Base imponible     200,00 €
IVA 21%            42,00 €
Total factura      242,00 €
"""
ITALIAN = """Fattura n. 31/2024              Data fattura: 09/10/2024
Scadenza: 08/11/2024
Imponibile         50,00 €
IVA 22%            11,00 €
Totale fattura     61,00 €
"""
PORTUGUESE = """Fatura n.º FT 2024/77           Data de emissão: 21/11/2024
Vencimento: 21/12/2024
Total sem IVA      10,00 €
IVA 23%            2,30 €
Total com IVA      12,30 €
"""
AMERICAN = """Acme Lawn Care                                   INVOICE
Invoice #          Invoice Date         Due Date
4711               12/03/2024           01/02/2025
Subtotal           $1,000.00
Sales Tax          $80.00
Total              $1,080.00
Previous Balance   $20.00
Amount Due         $1,100.00
"""


@pytest.mark.parametrize(
    ("text", "number", "date", "due", "currency", "sums"),
    [
        (GERMAN, "2024-118", "2024-02-05", "2024-03-04", "EUR", ("1120", "212.80", "1332.80")),
        (FRENCH, "F-2024-009", "2024-03-14", "2024-04-13", "EUR", ("1250", "250", "1500")),
        (DUTCH, "2024/0815", "2024-05-03", "2024-05-17", "EUR", ("100", "21", "121")),
        (POLISH, "FV/12/2024", "2024-06-01", "2024-06-15", "PLN", ("100", "23", "123")),
        (SPANISH, "A-55", "2024-08-07", "2024-09-06", "EUR", ("200", "42", "242")),
        (ITALIAN, "31/2024", "2024-10-09", "2024-11-08", "EUR", ("50", "11", "61")),
        (PORTUGUESE, "FT 2024/77", "2024-11-21", "2024-12-21", "EUR", ("10", "2.30", "12.30")),
        (AMERICAN, "4711", "2024-12-03", "2025-01-02", "USD", ("1000", "80", "1080")),
    ],
    ids=["de", "fr", "nl", "pl", "es", "it", "pt", "en"],
)
def test_reads_the_head_and_the_sums(
    text: str, number: str, date: str, due: str, currency: str, sums: tuple[str, str, str]
) -> None:
    """Number, dates, currency and sums are found by their labels in each language."""
    facts = read_invoice(text)
    assert (facts.number, facts.currency) == (number, currency)
    for printed, wanted in ((facts.date, date), (facts.due_date, due)):
        assert datetime.date.fromisoformat(wanted) in date_candidates(printed or "")
    found = tuple(amount_value(printed or "") for printed in (facts.net, facts.tax, facts.total))
    assert found == tuple(map(Decimal, sums))


def test_reads_parties_and_lines() -> None:
    """Vendor, buyer, bank account, VAT id and items are found, as printed."""
    facts = read_invoice(GERMAN)
    assert facts.kind is Kind.INVOICE
    assert (facts.vendor.name, facts.vendor.vat_id) == ("Blumenhof Sommer GmbH", "DE123456789")
    assert facts.vendor.iban == "DE89 3704 0044 0532 0130 00"
    assert (facts.buyer.name, facts.buyer.address) == ("Hotel Seeblick AG", "Uferstr. 1")
    assert facts.lines == (
        LineFacts("Rosen, rot", "100", "1,20", "120,00"),
        LineFacts("Vase", "4", "250,00", "1.000,00"),
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("GUTSCHRIFT\nGutschrift Nr. 7\nGesamtbetrag  10,00 EUR", Kind.CREDIT_NOTE),
        ("Credit note CN-1\nTotal  $10.00", Kind.CREDIT_NOTE),
        ("Dear Sir,\nthank you for your letter of 3 May 2024.\nYours", Kind.OTHER),
        ("", Kind.OTHER),
    ],
)
def test_tells_what_it_is(text: str, kind: Kind) -> None:
    """Credit notes are told from invoices, and both from letters."""
    assert read_invoice(text).kind is kind


def test_leaves_out_what_it_does_not_find() -> None:
    """Nothing is guessed: a letter gives no number, no sums and no currency."""
    facts = read_invoice("Dear Sir,\nwe shall come soon.\nYours, A. B.")
    assert (facts.number, facts.total, facts.net, facts.tax, facts.currency, facts.lines) == (None,) * 5 + ((),)


PIECES = st.sampled_from(
    (
        *(
            "Invoice No",
            "Rechnung",
            "Total",
            "Summe netto",
            "TVA 20 %",
            "Due date",
            ":",
            "   ",
            "\n",
            "€",
            "EUR",
            "<a>",
        ),
        *("1.234,56", "-8,79", "2024-02-30", "03/04/2024", "5 mars 2020", "F-17", "Qty", "Amount", "Bill to", "GmbH"),
        *("</b>", "\x00", "ß"),
    )
)


@pytest.mark.slow
@given(st.lists(PIECES | st.text(max_size=6), max_size=60).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_never_fails_and_never_invents(text: str) -> None:
    """Whatever the text, the rules read it, and each value they give stands in it."""
    facts = read_invoice(text)
    values = [facts.number, facts.date, facts.due_date, facts.total, facts.net, facts.tax, facts.vendor.name]
    for value in (value for value in values if value is not None):
        assert any(value.lstrip("-") in cell.text for cell in Layout(text).cells)


UBL = """<?xml version="1.0"?><Invoice xmlns="urn:x" xmlns:cbc="urn:y" xmlns:cac="urn:z">
<cbc:ID>U-1</cbc:ID><cbc:IssueDate>2024-01-02</cbc:IssueDate><cbc:InvoiceTypeCode>380</cbc:InvoiceTypeCode>
<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>
<cac:AccountingSupplierParty><cac:Party><cac:PartyLegalEntity><cbc:RegistrationName>A &amp; B</cbc:RegistrationName>
</cac:PartyLegalEntity></cac:Party></cac:AccountingSupplierParty>
<cac:TaxTotal><cbc:TaxAmount>1.90</cbc:TaxAmount><cac:TaxSubtotal><cbc:TaxableAmount>10.00</cbc:TaxableAmount>
<cbc:TaxAmount>1.90</cbc:TaxAmount><cac:TaxCategory><cbc:Percent>19</cbc:Percent></cac:TaxCategory></cac:TaxSubtotal></cac:TaxTotal>
<cac:LegalMonetaryTotal><cbc:TaxExclusiveAmount>10.00</cbc:TaxExclusiveAmount>
<cbc:TaxInclusiveAmount>11.90</cbc:TaxInclusiveAmount></cac:LegalMonetaryTotal>
<cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:InvoicedQuantity>2</cbc:InvoicedQuantity>
<cbc:LineExtensionAmount>10.00</cbc:LineExtensionAmount><cac:Item><cbc:Name>Pen</cbc:Name></cac:Item>
<cac:Price><cbc:PriceAmount>5.00</cbc:PriceAmount></cac:Price></cac:InvoiceLine></Invoice>"""


def test_reads_xml_shown_as_text() -> None:
    """An e-invoice in XML is read by its paths."""
    facts = read_invoice(UBL)
    assert (facts.number, facts.date, facts.currency, facts.total) == ("U-1", "2024-01-02", "EUR", "11.90")
    assert facts.vendor.name == "A & B"
    assert facts.lines == (LineFacts("Pen", "2", "5.00", "10.00"),)
    assert [(tax.rate, tax.base, tax.amount) for tax in facts.taxes] == [("19", "10.00", "1.90")]


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1 234,56", "1234.56"),
        ("1'234.50", "1234.50"),
        ("1.234", "1234"),
        ("0,125", "0.125"),
        ("12,5", "12.5"),
        ("1.234.567", "1234567"),
        ("-8,79", "-8.79"),
    ],
)
def test_understands_amounts(printed: str, value: str) -> None:
    """Amounts mean the same whatever separators they are printed with."""
    assert amount_value(printed) == Decimal(value)


def test_finds_amounts_in_a_line() -> None:
    """Percentages and dates are no amounts; signs and currencies belong to theirs."""
    line = "Tax 15% on 03.04.2024: -€ 16,94 and $1,080.00"
    assert [(amount.text, amount.currency) for amount in amounts_in(line)] == [("-16,94", "€"), ("1,080.00", "$")]


@pytest.mark.parametrize(
    "printed",
    ["05.03.2020", "2020-03-05", "5 mars 2020", "Mar 5, 2020", "5 de marzo de 2020", "20200305", "12/31/2020"],
)
def test_finds_dates(printed: str) -> None:
    """Dates are found as printed, in numbers and in words; what has no month is none."""
    assert [date.text for date in dates_in(f"Date: {printed} x")] == [printed]
    assert list(dates_in("Date: 31.13.2020 x")) == []


def test_checks_account_numbers() -> None:
    """Only IBANs with right check digits count, and VAT ids by their countries' forms."""
    assert list(ibans_in("IBAN DE89 3704 0044 0532 0130 00 BIC")) == ["DE89 3704 0044 0532 0130 00"]
    assert list(ibans_in("IBAN DE88 3704 0044 0532 0130 00")) == []
    assert list(vat_ids_in("VAT NL123456789B01, FR 11 123 456 782")) == ["NL123456789B01", "FR 11 123 456 782"]
