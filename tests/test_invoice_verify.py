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
]


@pytest.mark.parametrize(("lie", "code", "field"), LIES)
def test_lie_is_caught(lie: dict[str, Any], code: str, field: str) -> None:
    """A wrong value sends the job to review under its code."""
    verified = told(lie)
    assert (code, field) in errors(verified)
    assert verified.needs_review


def test_what_is_not_printed_is_null() -> None:
    """An amount that the document does not print never becomes a value."""
    verified = told({"total_amount": "12.900,00", "vendor.address": "Elsewhere 9", "line_items.0.unit_price": "2,75"})
    assert verified.invoice
    assert verified.invoice.total_amount is None
    assert verified.invoice.vendor.address is None
    assert verified.invoice.line_items[0].unit_price is None
    assert "total_amount" not in verified.evidence


@settings(max_examples=60, deadline=None)
@given(cents=st.integers(1, 10**8), field=st.sampled_from(["total_amount", "net_amount", "tax_amount"]))
def test_any_value_kept_is_printed(cents: int, field: str) -> None:
    """Whatever amount a model gives, a value that stays without an error is the printed one."""
    verified = told({field: f"{cents // 100}.{cents % 100:02}"})
    kept = getattr(verified.invoice, field)
    truth = getattr(told().invoice, field)
    assert kept == truth or verified.needs_review


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


def test_big_document_is_quick() -> None:
    """Fifty pages with two hundred lines take no more than seconds, however slow the machine."""
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
    started = time.perf_counter()
    verified = verify({"line_items": items}, Document("x", "0" * 64, 1, "application/pdf", pages))
    assert time.perf_counter() - started < 5
    assert verified.invoice
    assert all(line.total is not None and line.quantity is not None for line in verified.invoice.line_items)


def _leaves(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else key)]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, f"{path}.{number}")]
    return [] if value is None else [path]
