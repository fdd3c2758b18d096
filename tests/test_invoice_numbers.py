"""Printed amounts: every locale's way of writing them, and what is none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import format_currency, format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.invoice.currencies import currencies_of, find_currencies
from pipeline.invoice.numbers import Convention, candidates, convention_of, find_amounts

LOCALES = (
    "en_US",
    "en_GB",
    "de_DE",
    "de_CH",
    "de_AT",
    "fr_FR",
    "fr_CH",
    "nl_NL",
    "pl_PL",
    "pt_BR",
    "pt_PT",
    "es_ES",
    "es_MX",
    "it_IT",
    "da_DK",
    "sv_SE",
    "nb_NO",
    "fi_FI",
    "cs_CZ",
    "hu_HU",
    "ro_RO",
    "bg_BG",
    "el_GR",
    "hi_IN",
    "en_IN",
    "ja_JP",
    "tr_TR",
    "ru_RU",
    "en_ZA",
)
cents = st.integers(-(10**11), 10**11).map(lambda number: Decimal(number) / 100)


@settings(max_examples=150, deadline=None)
@given(value=cents, locale=st.sampled_from(LOCALES))
def test_reads_every_locale(value: Decimal, locale: str) -> None:
    """An amount printed by any locale's rules has its value among the candidates."""
    pattern = "#,##,##0.00" if locale.endswith("_IN") else "#,##0.00"
    assert value in candidates(format_decimal(value, pattern, locale=locale))


@settings(max_examples=150, deadline=None)
@given(value=cents, locale=st.sampled_from(LOCALES), currency=st.sampled_from(["EUR", "USD", "GBP", "BRL", "PLN"]))
def test_reads_every_locale_with_its_currency(value: Decimal, locale: str, currency: str) -> None:
    """A currency sign or code beside an amount does not hide it."""
    assert value in candidates(format_currency(value, currency, locale=locale))


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="0123456789.,'- \u00a0()€$%/:AZaz", max_size=40))
def test_reads_any_text(text: str) -> None:
    """No text makes the reader fail, and every token is where it says."""
    for amount in find_amounts(text):
        assert text[amount.start : amount.end] == amount.text
        assert amount.values


@pytest.mark.parametrize(
    ("printed", "values"),
    [
        ("1.234,56", ["1234.56"]),
        ("1 234,56", ["1234.56"]),
        ("1\u202f234,56", ["1234.56"]),
        ("1\u2009234,56", ["1234.56"]),
        ("1'234.56", ["1234.56"]),
        ("1.234", ["1234", "1.234"]),
        ("0.234", ["0.234"]),
        ("1.234.567,-", ["1234567"]),
        ("12,34,567.00", ["1234567.00"]),
        ("-5", ["-5"]),
        ("5.00-", ["-5.00"]),
        ("\u22125,00", ["-5.00"]),
        ("$-50.00", ["-50.00"]),
        ("-€ 59 926.13", ["-59926.13"]),
        ("(5.00)", ["-5.00", "5.00"]),
        ("- 5,00", ["-5.00", "5.00"]),
        ("17 115,45PLN", ["17115.45"]),
        ("R$76,67", ["76.67"]),
        ("USD1,000.50", ["1000.50"]),
        ("19 %", ["19"]),
    ],
)
def test_readings(printed: str, values: list[str]) -> None:
    """A printed amount has exactly these readings."""
    assert candidates(printed) == tuple(Decimal(value) for value in values)


@pytest.mark.parametrize(
    "text", ["05.03.2020", "2/11/2023", "CID-12345", "12:30", "B172FB37-0003", "1e5", "A4", "1.2.3", "0.0'0"]
)
def test_identifiers_are_no_amounts(text: str) -> None:
    """Dates, times and identifiers hold no amount."""
    assert find_amounts(text) == ()


def test_two_amounts_are_no_candidate() -> None:
    """A text with two amounts is not read as one of them."""
    assert candidates("5.00 or 6.00") == ()


def test_convention_settles_a_thousand() -> None:
    """Where a document prints a decimal comma, a point before three digits groups thousands, and vice versa."""
    german = convention_of(find_amounts("12,50 und 3,99 und 1.234,00"))
    english = convention_of(find_amounts("12.50 and 3.99 and 1,234.00"))
    (amount,) = find_amounts("1.234")
    assert german.readings(amount) == (Decimal(1234),)
    assert english.readings(amount) == (Decimal("1.234"),)
    assert Convention().readings(amount) == (Decimal(1234), Decimal("1.234"))


def test_blank_between_columns_is_no_grouping_where_points_group() -> None:
    """A quantity and a price with one blank between them stay two numbers in a document that groups otherwise."""
    convention = convention_of(find_amounts("total 1.250,00 net 2.000,00"))
    readings = [value for amount in find_amounts("2 150,00") for value in convention.readings(amount)]
    assert readings == [Decimal(2), Decimal("150.00")]


def test_part_of_a_grouped_amount_is_no_amount() -> None:
    """Of `1 234,56` nobody can claim 234,56, unless the document shows that blanks separate."""
    readings = [value for amount in find_amounts("1 234,56") for value in Convention().readings(amount)]
    assert readings == [Decimal("1234.56")]


def test_shared_signs() -> None:
    """A sign names all currencies it can mean, the likeliest first; a code names itself."""
    assert currencies_of("$")[0] == "USD"
    assert "CAD" in currencies_of("$")
    assert currencies_of("CHF") == ("CHF",)
    assert currencies_of("zł") == ("PLN",)


def test_currencies_stand_free_of_letters() -> None:
    """A sign counts anywhere, also with its country's letters; a code or a name only as a whole word."""
    found = [(one.text, one.start) for one in find_currencies("EUROPA EUR US$ 5, 3kr S/12 AUS$ Euro/Jahr")]
    assert found == [("EUR", 7), ("US$", 11), ("kr", 19), ("S/", 22), ("$", 30), ("Euro", 32)]
