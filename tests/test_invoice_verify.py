"""From what a model says to what the document shows: lies are caught, good invoices pass."""

from __future__ import annotations

import datetime
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.document.model import Document, Page
from pipeline.invoice.index import index_of
from pipeline.invoice.model import Kind, Severity, dumps, loads
from pipeline.invoice.verify import UnknownField, Verified, apply_corrections, verify

PAGE = """
Nordwind Handel GmbH                                   RECHNUNG
Hafenstr. 7, 20457 Hamburg              Rechnungsnummer:  RE-2026/0815
USt-IdNr. DE 136 695 976                Rechnungsdatum:   05.03.2026
                                        Kundennummer:     4711
Kunde:
Alpenglück AG
Seeweg 3, 6300 Zug

Pos  Beschreibung            Menge    Einzelpreis     Gesamt
1    Schrauben M8, verzinkt    100          2,50       250,00
2    Sechskant-                 10        975,00     9.750,00
     schlüssel
                              Nettobetrag            10.000,00
                              USt. 19 %               1.900,00
                              Gesamtbetrag           11.900,00 EUR
Zahlbar bis 04.04.2026. IBAN DE89 3704 0044 0532 0130 00
"""
RAW: dict[str, Any] = {
    "kind": "invoice",
    "invoice_number": "RE-2026/0815",
    "date": "05.03.2026",
    "due_date": "04.04.2026",
    "currency": "EUR",
    "total_amount": "11.900,00",
    "net_amount": "10.000,00",
    "tax_amount": "1.900,00",
    "taxes": [{"rate": "19 %", "base": "10.000,00", "amount": "1.900,00"}],
    "vendor": {
        "name": "Nordwind Handel GmbH",
        "address": "Hafenstr. 7, 20457 Hamburg",
        "vat_id": "DE136695976",
        "iban": "DE89 3704 0044 0532 0130 00",
    },
    "buyer": {"name": "Alpenglück AG", "address": "Seeweg 3, 6300 Zug", "vat_id": None, "iban": None},
    "line_items": [
        {"description": "Schrauben M8, verzinkt", "quantity": "100", "unit_price": "2,50", "total": "250,00"},
        {"description": "Sechskantschlüssel", "quantity": "10", "unit_price": "975,00", "total": "9.750,00"},
    ],
}


def document(text: str, *, plain: str = "", media_type: str = "application/pdf") -> Document:
    return Document("x", "0" * 64, 1, media_type, (Page(1, text, plain),))


def told(corrections: dict[str, Any] | None = None, text: str = PAGE) -> Verified:
    return verify(apply_corrections(RAW, corrections or {}), document(text))


def errors(verified: Verified) -> set[tuple[str, str]]:
    return {(f.code, f.field) for f in verified.findings if f.severity is Severity.ERROR}


def codes(verified: Verified) -> set[str]:
    return {finding.code for finding in verified.findings}


def test_good_invoice_passes_with_evidence_for_every_value() -> None:
    """A true reading has no errors, exact values, and a quote for every value that is not null."""
    verified = told()
    assert errors(verified) == set()
    assert not verified.needs_review
    invoice = verified.invoice
    assert invoice
    assert invoice.total_amount == Decimal("11900.00")
    assert invoice.date == datetime.date(2026, 3, 5)
    assert invoice.vendor.iban == "DE89370400440532013000"
    assert set(_leaves(invoice.to_json())) == set(verified.evidence)
    assert verified.evidence["total_amount"].quote == "Gesamtbetrag 11.900,00 EUR"
    assert verified.evidence["line_items.0.quantity"].quote.startswith("1 Schrauben")


def test_normalised_reading_is_the_same() -> None:
    """ISO dates, plain decimals and JSON numbers lead to the same invoice as printed strings."""
    plain = told(
        {
            "date": "2026-03-05",
            "total_amount": "11900.00",
            "net_amount": 10000,
            "line_items.1.total": Decimal("9750.00"),
        }
    )
    assert plain.invoice == told().invoice


def test_result_is_json() -> None:
    """The result can be written and read without loss."""
    written = loads(dumps(told().to_json()))
    assert written["kind"] == "invoice"
    assert written["invoice"]["total_amount"] == Decimal("11900.00")


LIES: list[tuple[dict[str, Any], str, str]] = [
    ({"total_amount": "1.900,00"}, "sum_mismatch", "total_amount"),
    ({"total_amount": "1.190,00"}, "not_in_document", "total_amount"),
    ({"total_amount": "119.000,00"}, "not_in_document", "total_amount"),
    ({"total_amount": "900,00"}, "not_in_document", "total_amount"),
    ({"total_amount": "10.000,00", "net_amount": "11.900,00"}, "sum_mismatch", "total_amount"),
    ({"total_amount": "10.000,00", "net_amount": None, "tax_amount": None}, "total_not_at_label", "total_amount"),
    ({"tax_amount": "19,00"}, "not_in_document", "tax_amount"),
    ({"invoice_number": "RE-2026/0816"}, "not_in_document", "invoice_number"),
    ({"invoice_number": "0815"}, "not_in_document", "invoice_number"),
    ({"invoice_number": "4711"}, "number_not_at_label", "invoice_number"),
    ({"date": "06.03.2026"}, "not_in_document", "date"),
    ({"date": "2026-05-03"}, "not_in_document", "date"),
    ({"date": "04.04.2026", "due_date": "05.03.2026"}, "dates_exchanged", "date"),
    ({"date": "04.04.2026", "due_date": None}, "date_not_at_label", "date"),
    ({"date": "soon"}, "date_unreadable", "date"),
    ({"currency": "USD"}, "not_in_document", "currency"),
    ({"currency": "bananas"}, "currency_unknown", "currency"),
    ({"vendor.name": "Nordwind Handel AG"}, "not_in_document", "vendor.name"),
    ({"vendor.name": "Alpenglück AG", "buyer.name": "Nordwind Handel GmbH"}, "parties_exchanged", "vendor.name"),
    ({"vendor.vat_id": "DE136695975"}, "not_in_document", "vendor.vat_id"),
    ({"vendor.iban": "DE89370400440532013001"}, "not_in_document", "vendor.iban"),
    ({"line_items.0.total": "25,00"}, "not_in_document", "line_items.0.total"),
    ({"line_items.1.total": "975,00"}, "line_total_wrong", "line_items.1.total"),
    ({"total_amount": "eleven"}, "amount_unreadable", "total_amount"),
    ({"kind": "credit_note"}, "kind_doubtful", "kind"),
    ({"total_amount": "-11.900,00"}, "sign_from_document", "total_amount"),
    ({"net_amount": "1.900,00", "tax_amount": "10.000,00"}, "tax_above_net", "tax_amount"),
    ({"net_amount": "9.750,00", "total_amount": None}, "part_not_at_label", "net_amount"),
    ({"taxes.0.rate": "7 %"}, "tax_rate_mismatch", "taxes.0.amount"),
    ({"taxes.0.rate": "21 %"}, "tax_rate_mismatch", "taxes.0.rate"),
    ({"invoice_number": "20457"}, "number_not_at_label", "invoice_number"),
    ({"vendor.name": "Alpenglück AG"}, "vendor_is_buyer", "vendor.name"),
    ({"vendor.name": "Rechnungsdatum"}, "name_is_label", "vendor.name"),
    ({"vendor.name": "Kundennummer"}, "name_is_label", "vendor.name"),
    ({"due_date": "05.03.2026", "date": None}, "date_not_at_label", "due_date"),
    ({"line_items": RAW["line_items"][:1]}, "line_not_read", "line_items"),
    ({"line_items": []}, "line_not_read", "line_items"),
    ({"line_items": [*RAW["line_items"], RAW["line_items"][0]]}, "line_repeated", "line_items.0"),
    ({"line_items.2.description": "USt.", "line_items.2.total": "1.900,00"}, "line_is_sum", "line_items.2"),
    ({"line_items.0.unit_price": "2,05"}, "line_not_as_printed", "line_items.0"),
    ({"line_items.0.total": "9.750,00"}, "line_not_as_printed", "line_items.0"),
    ({"line_items.0.quantity": "2,50", "line_items.0.unit_price": "100"}, "columns_exchanged", "line_items.0.quantity"),
]


@pytest.mark.parametrize(("lie", "code", "field"), LIES)
def test_lie_is_caught(lie: dict[str, Any], code: str, field: str) -> None:
    """A wrong value sends the job to review under its code."""
    verified = told(lie)
    assert (code, field) in errors(verified)
    assert verified.needs_review


def test_a_row_that_is_merely_alike_does_not_bear_out_a_repeated_line() -> None:
    """One of two rows that differ in a word was read twice: the sums add up, but the second reading is told."""
    text = "Office cleaning second floor April  100.00\nOffice cleaning third floor April   100.00\nTotal  200.00"
    once, other = ({"description": f"Office cleaning {n} floor April", "total": "100.00"} for n in ("second", "third"))
    true = verify({"line_items": [once, other], "total_amount": "200.00"}, document(text))
    assert ("line_repeated", "line_items.0") not in errors(true)
    twice = verify({"line_items": [once, once], "total_amount": "200.00"}, document(text))
    assert ("line_repeated", "line_items.0") in errors(twice)


def test_what_is_not_printed_is_null() -> None:
    """An amount that the document does not print never becomes a value."""
    verified = told({"total_amount": "12.900,00", "vendor.address": "Elsewhere 9", "line_items.0.unit_price": "2,75"})
    assert verified.invoice
    assert verified.invoice.total_amount is None
    assert verified.invoice.vendor.address is None
    assert verified.invoice.line_items[0].unit_price is None
    assert "total_amount" not in verified.evidence


@settings(max_examples=40, deadline=None)
@given(cents=st.integers(1, 10**8), field=st.sampled_from(["total_amount", "net_amount", "tax_amount"]))
def test_any_value_kept_is_printed(cents: int, field: str) -> None:
    """Whatever amount a model gives, a value that stays without an error is the printed one."""
    verified = told({field: f"{cents // 100}.{cents % 100:02}"})
    kept = getattr(verified.invoice, field)
    truth = getattr(told().invoice, field)
    assert kept == truth or verified.needs_review


def test_a_long_text_is_shown_up_to_the_end_of_a_word() -> None:
    """A message about something long says by its last sign that there is more."""
    name = " ".join(["Nordwinde"] * 20)
    finding = next(f for f in told({"vendor.name": name}).findings if f.field == "vendor.name")
    assert finding.message.startswith(f"“{' '.join(['Nordwinde'] * 8)}…” was read")


def test_missing_values_are_not_invented() -> None:
    """Net amount and tax that the model left out stay null, though they could be worked out."""
    verified = told({"net_amount": None, "tax_amount": None})
    assert verified.invoice
    assert verified.invoice.net_amount is None
    assert errors(verified) == set()


def test_required_value_left_out_is_reported_once() -> None:
    """A required value that is null is one error, not two."""
    assert errors(told({"total_amount": None})) == {("total_amount_missing", "total_amount")}
    found = [f for f in told({"date": "06.03.2026"}).findings if f.field == "date"]
    assert [f.code for f in found] == ["not_in_document"]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"invoice_number": None}, "The document prints RE-2026/0815 at “Rechnungsnummer:”."),
        ({"date": "06.03.2026"}, "The document prints 05.03.2026 at “Rechnungsdatum:”."),
        ({"total_amount": "12,00"}, "The document prints 11.900,00 at “Gesamtbetrag”."),
        ({"currency": None}, "The document prints EUR at “Gesamtbetrag 11.900,00 EUR”."),
    ],
)
def test_missing_value_is_pointed_at_not_filled_in(change: dict[str, Any], hint: str) -> None:
    """A finding about a missing required value says what stands at its label, and the value stays null."""
    verified = told(change)
    field = next(iter(change))
    assert getattr(verified.invoice, field) is None
    assert any(f.field == field and f.message.endswith(hint) for f in verified.findings)


def test_printed_sum_counts_where_the_model_gave_none() -> None:
    """The document's own subtotal and tax must lead to the total, also if the model left one of them out."""
    text = PAGE.replace("Nettobetrag", "Zwischensumme").replace("11.900,00", "12.900,00")
    change = {"net_amount": None, "total_amount": "12.900,00", "taxes": []}
    assert ("printed_sum_mismatch", "total_amount") in errors(told(change, text))
    discounted = text.replace("USt.", "Fracht                  1.000,00\n                              USt.")
    assert ("printed_sum_mismatch", "total_amount") not in errors(told(change, discounted))


def test_derivable_value_is_proposed_not_filled_in() -> None:
    """What the other two amounts make is told as a proposal; the value stays null."""
    verified = told({"net_amount": None})
    proposal = next(f for f in verified.findings if f.code == "derivable")
    assert (proposal.severity, proposal.field) == (Severity.INFO, "net_amount")
    assert "10000.00" in proposal.message
    assert verified.invoice
    assert verified.invoice.net_amount is None


LETTER = """
                                       Leipzig, den 24. Juni 2025
Rechnung Nr. 7
Arbeiten ausgeführt vom 10. bis 13. Juni 2025, Gesamtbetrag 5,00 EUR
"""


def test_date_of_a_period_is_found_and_doubted() -> None:
    """The end of a period is a printed date, but not the invoice's own while a letter head gives one."""
    assert errors(verify({"date": "13. Juni 2025"}, document(LETTER))) >= {("date_from_period", "date")}
    assert ("not_in_document", "date") not in errors(verify({"date": "13. Juni 2025"}, document(LETTER)))
    assert not any(field == "date" for _, field in errors(verify({"date": "24. Juni 2025"}, document(LETTER))))


def test_surest_date_label_wins() -> None:
    """A date at a mere preposition or at an order is no issue date while another stands at a label for it."""
    text = "Lieferung vom 02.05.2025 zur Bestellung vom 30.04.2025\nRechnungsdatum: 06.05.2025"
    for claim in ("02.05.2025", "30.04.2025"):
        assert ("date_not_at_label", "date") in errors(verify({"date": claim}, document(text)))
    assert not any(field == "date" for _, field in errors(verify({"date": "06.05.2025"}, document(text))))


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("Rechnung (380)   Nr. 471102   vom 05.03.2018\nNummer:   549910", "471102", "549910"),
        ("INVOICE\nInvoice No. A-17   Customer No. 4711\n5 Main Street 20457", "A-17", "4711"),
        ("Rechnung 4711\nBestellung 88123", "4711", "88123"),
        ("Teilrechnung Bau (875)   Nr. 210111\nText zur Rechnung BT-22\nAuftrag 8812", "210111", "8812"),
        ("Invoice # 00017\nVAT 88123456", "00017", "88123456"),
        ("Numer faktury: 2/11/2023\nID Nabywcy: 0001", "2/11/2023", "0001"),
    ],
)
def test_invoice_number_stands_at_its_label(text: str, right: str, wrong: str) -> None:
    """Another identifier of the page is no invoice number, whatever its form."""
    found = ("number_not_at_label", "invoice_number")
    assert found not in errors(verify({"invoice_number": right}, document(text)))
    assert found in errors(verify({"invoice_number": wrong}, document(text)))


def test_code_in_an_identifier_is_no_currency() -> None:
    """The letters of a tax number name no currency; the code in the total's label does."""
    text = "Beta AG   CHE-123.456.788 MWST\nTotal CHF          1'959.32"
    raw = {"total_amount": "1'959.32"}
    assert ("not_in_document", "currency") in errors(verify({**raw, "currency": "CHE"}, document(text)))
    franc = verify({**raw, "currency": "CHF"}, document(text))
    assert franc.evidence["currency"].quote == "Total CHF 1'959.32"
    assert not any(field == "currency" for _, field in errors(franc))


def test_currency_against_the_amounts_is_an_error() -> None:
    """A code that stands somewhere is not the currency if all amounts are printed with another one."""
    text = "Bank account in USD\nScrews  € 5.00\nTotal\n6.00\nPaid € 6.00"
    found = verify({"currency": "USD", "total_amount": "6.00"}, document(text))
    assert ("currency_mismatch", "currency") in errors(found)


def test_exchanged_parties_show_without_labels() -> None:
    """The sender's line, its account and its domain tell the vendor where no label does."""
    text = """
Acme Ltd · Dock 5 · 20457 Hamburg
Bob Miller
Lane 4
Invoice 17                                  mail@acme.example
IBAN DE89 3704 0044 0532 0130 00
"""
    swapped = {"vendor": {"name": "Bob Miller"}, "buyer": {"name": "Acme Ltd"}}
    assert ("parties_exchanged", "vendor.name") in errors(verify(swapped, document(text)))
    right = {"vendor": {"name": "Acme Ltd"}, "buyer": {"name": "Bob Miller"}}
    assert not any(field == "vendor.name" for _, field in errors(verify(right, document(text))))


def test_sentence_is_no_name() -> None:
    """A whole sentence that was read as a name goes to review."""
    text = "Received from Acme Ltd the goods and services that are named in the invoice printed on the other side"
    assert ("name_too_long", "vendor.name") in errors(verify({"vendor": {"name": text}}, document(text)))


def test_discounted_lines_are_no_contradiction() -> None:
    """A line total after a discount stands beside the product before it; both are printed, so nothing is wrong."""
    row = "1    Schrauben M8, verzinkt    100          2,50       250,00   10 %   225,00"
    text = "\n".join(row if "Schrauben" in line else line for line in PAGE.splitlines())
    assert not any(code == "line_not_as_printed" for code, _ in errors(told({"line_items.0.total": "225,00"}, text)))


def test_index_is_made_once_for_a_document() -> None:
    """Checking the same document again uses the index of the first time, also from an equal copy."""
    assert index_of(document(PAGE)) is index_of(document(PAGE))
    assert index_of(document(PAGE)) is not index_of(document(PAGE + "x"))


def test_no_invoice_is_a_proper_outcome() -> None:
    """A document that is no invoice has no invoice and needs no review; one that looks like an invoice is flagged."""
    letter = verify({"kind": "other"}, document("Dear Ann, see you in May. Love, Bob"))
    assert (letter.kind, letter.invoice, letter.findings) == (Kind.OTHER, None, ())
    assert codes(verify({"kind": "other"}, document(PAGE))) == {"may_be_invoice"}


def test_ambiguous_thousand_is_settled_by_the_sum() -> None:
    """Where nothing shows the decimal mark, net plus tax tells a thousand from a fraction."""
    text = "Invoice No. A-17 Acme Ltd 2026-03-05 EUR\nNet 1.000\nTax 190\nTotal 1.190"
    raw = {
        "invoice_number": "A-17",
        "date": "2026-03-05",
        "currency": "EUR",
        "vendor": {"name": "Acme Ltd"},
        "total_amount": "1.190",
        "net_amount": "1.000",
        "tax_amount": "190",
    }
    verified = verify(raw, document(text))
    assert verified.invoice
    assert verified.invoice.total_amount == Decimal(1190)
    assert errors(verified) == set()


def test_ambiguous_thousand_is_not_guessed() -> None:
    """A print that can mean two amounts is a thousand for cents, but open for a currency of three decimals."""
    text = "Invoice No. A-17 2026-03-05\nTotal {} 1.234"
    dinar = verify({"currency": "KWD", "total_amount": "1.234"}, document(text.format("KWD")))
    assert ("amount_ambiguous", "total_amount") in errors(dinar)
    euro = verify({"currency": "EUR", "total_amount": "1.234"}, document(text.format("EUR"))).invoice
    assert euro
    assert euro.total_amount == Decimal(1234)
    exact = verify({"currency": "EUR", "total_amount": Decimal("1.234")}, document(text.format("EUR")))
    assert ("amount_ambiguous", "total_amount") in errors(exact)


def test_total_without_any_support_is_an_error() -> None:
    """A number that stands somewhere, while another one stands at the total's label, is no total."""
    verified = verify({"total_amount": "1234.56"}, document("Ref 1234.56\nTotal 99.50"))
    assert ("total_not_at_label", "total_amount") in errors(verified)


def day(text: str, claim: str, currency: str = "EUR") -> Verified:
    return verify({"date": claim, "currency": currency}, document(text))


def test_ambiguous_date_without_a_hint_is_not_settled() -> None:
    """A date that can mean two days and nothing to tell is an error, and null if the model copied it."""
    text = "Date 03/04/2026 Amount USD 5.00, Boston, United States, VAT"
    verified = day(text, "03/04/2026", "USD")
    assert ("date_ambiguous", "date") in errors(verified)
    assert verified.invoice
    assert verified.invoice.date is None
    assert ("date_ambiguous", "date") in errors(day(text, "2026-03-04", "USD"))


def test_ambiguous_date_is_settled_by_dates_country_or_currency() -> None:
    """Another date, a United States address or a euro amount decide what 03/04/2026 means."""
    april, march = datetime.date(2026, 4, 3), datetime.date(2026, 3, 4)
    for text, currency, expected in [
        ("Date 03/04/2026 due 25/04/2026 USD", "USD", april),
        ("Date 03/04/2026 Seattle, WA 98101 $5.00", "USD", march),
        ("Date 03/04/2026 total € 5.00", "EUR", april),
    ]:
        invoice = day(text, "03/04/2026", currency).invoice
        assert invoice
        assert invoice.date == expected


def test_wrong_order_is_not_in_the_document() -> None:
    """If the order is known, the other reading of a date is no date of the document."""
    assert ("not_in_document", "date") in errors(day("Date 03/04/2026 due 25/04/2026 EUR", "2026-03-04"))


def test_credit_note_takes_the_printed_sign() -> None:
    """A credit note may be read without its sign; the printed one is kept and told."""
    text = PAGE.replace("RECHNUNG", "GUTSCHRIFT").replace("11.900,00 EUR", "-11.900,00 EUR")
    text = text.replace("10.000,00", "-10.000,00").replace(" 1.900,00", "-1.900,00")
    verified = told({"kind": "credit_note"}, text)
    assert verified.invoice
    assert verified.invoice.total_amount == Decimal("-11900.00")
    assert "sign_from_document" in codes(verified)
    assert errors(verified) == set()


def test_credit_note_read_as_an_invoice_is_doubted() -> None:
    """A document titled credit note is not booked as an invoice unseen."""
    text = PAGE.replace("RECHNUNG", "GUTSCHRIFT")
    assert ("kind_doubtful", "kind") in errors(told(text=text))


def test_currency_beside_the_total_wins() -> None:
    """A currency that is printed elsewhere, but not beside the total, is an error; so is one against its label."""
    text = PAGE + "Entspricht 12.850,00 USD"
    assert ("currency_mismatch", "currency") in errors(told({"currency": "USD"}, text))
    labelled = PAGE.replace(" EUR", "") + "Währung: GBP, Steuer in EUR"
    assert ("currency_mismatch", "currency") in errors(told(text=labelled))


def test_shared_sign_is_assumed_aloud() -> None:
    """A dollar sign alone is the United States dollar; another dollar, or another dollar country, is told."""
    raw = {"currency": "USD", "total_amount": "5.00"}
    assert "currency_assumed" not in codes(verify(raw, document("Total $5.00")))
    assert "currency_assumed" in codes(verify(raw, document("Total $5.00, Toronto, Canada")))
    assert "currency_assumed" in codes(verify({**raw, "currency": "AUD"}, document("Total $5.00")))
    assert "currency_assumed" not in codes(verify({**raw, "currency": "CAD"}, document("Total $5.00, Toronto, Canada")))


def test_xml_is_searched_like_text() -> None:
    """The values of an XML file are found between its tags."""
    text = """<Invoice><cbc:ID>R-77</cbc:ID>
<cbc:IssueDate>2026-03-05</cbc:IssueDate><cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>
<cbc:RegistrationName>Acme Ltd</cbc:RegistrationName>
<cbc:PayableAmount currencyID="EUR">1190.00</cbc:PayableAmount></Invoice>"""
    raw = {
        "invoice_number": "R-77",
        "date": "2026-03-05",
        "currency": "EUR",
        "total_amount": "1190.00",
        "vendor": {"name": "Acme Ltd"},
    }
    verified = verify(raw, document(text, media_type="application/xml"))
    assert errors(verified) == set()


def test_corrections_reach_every_field() -> None:
    """Corrections replace by dotted path, add one entry behind a list's end, and leave the original alone."""
    raw: dict[str, Any] = {"vendor": "Old", "line_items": [{"total": "1"}]}
    merged = apply_corrections(
        raw, {"vendor.name": "New", "line_items.0.total": "2", "line_items.1.total": "3", "currency": "EUR"}
    )
    assert merged == {"vendor": {"name": "New"}, "line_items": [{"total": "2"}, {"total": "3"}], "currency": "EUR"}
    assert raw == {"vendor": "Old", "line_items": [{"total": "1"}]}


@pytest.mark.parametrize("path", ["vendor.shoe", "line_items.7.total", "line_items.x.total", "total", "taxes.0", ""])
def test_unknown_correction_is_refused(path: str) -> None:
    """A correction of a field that does not exist names the field."""
    with pytest.raises(UnknownField, match="There is no"):
        apply_corrections({}, {path: "1"})


@pytest.mark.slow
def test_big_document_is_quick() -> None:
    """Fifty pages with two hundred lines take no more than seconds of processor time."""
    rows = [
        f"{n:4}  Part number A{n:04} steel  {n + 1:5}  {n + 0.5:10.2f}  {(n + 1) * (n + 0.5):12,.2f}"
        for n in range(200)
    ]
    filler = "The goods remain our property until paid in full, see terms 3.2 of 01/02/2024 and article 12,5. " * 2
    pages = tuple(Page(p + 1, "\n".join(rows[p * 4 : p * 4 + 4] + [filler] * 18), filler) for p in range(50))
    items = [
        {"description": f"Part number A{n:04} steel", "quantity": f"{n + 1}", "total": f"{(n + 1) * (n + 0.5):.2f}"}
        for n in range(200)
    ]
    started = time.process_time()
    verified = verify({"line_items": items}, Document("x", "0" * 64, 1, "application/pdf", pages))
    assert time.process_time() - started < 5
    assert verified.invoice
    assert all(line.total is not None and line.quantity is not None for line in verified.invoice.line_items)


def test_table_without_lines_is_an_error() -> None:
    """If no line was read, a table's head alone shows that there are some."""
    head = "Beschreibung              Menge            Betrag"
    row = "Beratung im Mai            3            99,95 EUR"
    assert ("line_not_read", "line_items") in errors(verify({}, document(f"{head}\n{row}")))
    assert ("line_not_read", "line_items") not in errors(verify({}, document(f"{head}\nTotal   99,95 EUR")))


def _leaves(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else key)]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, f"{path}.{number}")]
    return [] if value is None else [path]
