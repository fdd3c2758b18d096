"""Sums and readings that the page itself shows to be wrong or open."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.verify import Verified, verify


def told(text: str, **values: Any) -> Verified:
    return verify(values, Document("x", "0" * 64, 1, "text/plain", (Page(1, text, ""),)))


def has(verified: Verified, code: str, severity: Severity = Severity.ERROR) -> bool:
    return any(f.code == code and f.severity is severity for f in verified.findings)


def test_printed_rate_must_make_the_printed_tax() -> None:
    """The only rate on the only net amount makes the tax, also where the model gave no rate."""
    text = "Subtotal 1,200.00\nVAT @ 20% {}\nTotal GBP {}"
    assert has(told(text.format("200.00", "1,400.00"), total_amount="1,400.00"), "printed_rate_mismatch")
    assert not has(told(text.format("240.00", "1,440.00"), total_amount="1,440.00"), "printed_rate_mismatch")


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("Books 50.00\nSubtotal 100.00\nTax 8% 4.00\nTotal 104.00", "104.00"),
        ("Subtotal 100.00\nDiscount 10.00\nTax 8% 7.20\nTotal 97.20", "97.20"),
        ("Subtotal 120.00\nVAT 20% included 20.00\nTotal 120.00", "120.00"),
        ("Net 100.00\nTax 7% 7.00\nTax 19% 19.00\nTotal 126.00", "126.00"),
        ("Subtotal 199.00\nTax 8.9% 17.66\nTotal 216.66", "216.66"),
    ],
)
def test_rate_on_another_base_is_no_mismatch(text: str, total: str) -> None:
    """Partly taxed goods, discounts, tax included, several rates and rounded rates are all in order."""
    assert not has(told(text, total_amount=total), "printed_rate_mismatch")


@pytest.mark.parametrize(
    ("text", "total", "open_"),
    [
        ("Previous balance 150.00\nCurrent charges 60.00\nVAT 20% 12.00\nTotal 222.00", "222.00", True),
        ("Gesamtbetrag 480,00\nabzüglich Anzahlung 400,00\nGesamtbetrag 80,00", "80,00", True),
        ("Gesamtbetrag 480,00\nabzüglich Anzahlung 400,00\nGesamtbetrag 80,00", "480,00", False),
        ("Total 72.00\nPrevious balance 150.00\nAmount due 222.00", "72.00", False),
        ("Netto 100,00\nMwSt 19 % 19,00\nGesamt 119,00\nbereits gezahlt 19,00", "119,00", False),
        ("Total 119.00\nAmount paid 119.00\nBalance due 0.00", "119.00", False),
        ("Total 119.00\nAmount paid 0.00", "119.00", False),
        ("Total 3.00\nAmount paid 5.00\nChange 2.00", "3.00", False),
    ],
)
def test_total_with_an_earlier_balance_is_an_error(text: str, total: str, *, open_: bool) -> None:
    """A total that only an earlier balance or payment explains is no invoice's total."""
    assert has(told(text, total_amount=total), "total_with_earlier_balance") is open_


def test_total_of_two_sizes_is_an_error_until_something_settles_it() -> None:
    """A thousand or a fraction: a sum, a line or many amounts printed alike tell, else a person has to."""
    text = "Total: 1.500 USD"
    raw = {"currency": "USD", "total_amount": "1.500"}
    found = told(text, **raw)
    assert has(found, "amount_ambiguous")
    assert any("1.500 or 1500" in finding.message for finding in found.findings)
    assert not has(told(f"{text}\nPaid 2.50", **{**raw, "total_amount": "1.5"}), "amount_ambiguous")
    assert not has(told(f"Net 1.400\nTax 100\n{text}", **raw, net_amount="1.400", tax_amount="100"), "amount_ambiguous")
    line = {"description": "Bolts", "quantity": "3", "unit_price": "500", "total": "1.500"}
    assert not has(told(f"Bolts  3  500  1.500\n{text}", **raw, line_items=[line]), "amount_ambiguous")
    assert not has(told(f"A  1.200\nB  1.250\n{text}", **raw), "amount_ambiguous")
    for code in ("JPY", "HUF"):
        assert not has(told(text.replace("USD", code), **{**raw, "currency": code}), "amount_ambiguous")


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Gesamtbetrag 1.500 EUR", Severity.WARNING),
        ("Invoice total 1,500 USD", Severity.WARNING),
        ("Invoice total 1,500 EUR", Severity.ERROR),
        ("Facture: 1.500 EUR", Severity.ERROR),
    ],
)
def test_language_makes_the_size_of_a_total_likely(text: str, severity: Severity) -> None:
    """Where the page's language groups thousands by the printed mark, two readings are only a warning."""
    total, currency = text.split()[-2:]
    assert has(told(text, currency=currency, total_amount=total), "amount_ambiguous", severity)


@pytest.mark.parametrize("name", ["Total: 1.500,00 USD", "Balance 14.00", "Qty Description", "Menge Preis"])
def test_part_of_a_table_is_no_name(name: str) -> None:
    """An amount or the heads of a table were read as a name: it becomes null."""
    found = told(f"{name}\nTotal 14.00", vendor={"name": name})
    assert has(found, "not_a_name")
    assert found.invoice
    assert found.invoice.vendor.name is None


def test_amount_as_the_buyer_is_a_warning() -> None:
    """The buyer's name matters less than the seller's, so an amount there is null with a warning."""
    found = told("Customer: Bo\nTotal 14.00 EUR", buyer={"name": "Total 14.00 EUR"})
    assert has(found, "not_a_name", Severity.WARNING)
    assert found.invoice
    assert found.invoice.buyer.name is None


@pytest.mark.parametrize(
    "name", ["Studio 2.0 GmbH", "Total Energies Ltd", "Price Brothers Inc", "1 EUR Shop", "Menge AG"]
)
def test_name_with_a_number_or_a_word_of_tables_is_kept(name: str) -> None:
    """A version, a digit or one such word does not make a name suspicious."""
    assert not has(told(f"{name}\nInvoice 5", vendor={"name": name}), "not_a_name")
