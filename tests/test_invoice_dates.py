"""Printed dates: languages, orders, and dates that can mean two days."""

from __future__ import annotations

import datetime

import pytest
from babel.dates import format_date
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.invoice.dates import DateOrder, date_candidates, find_dates, order_of

LOCALES = (
    "en_US",
    "en_GB",
    "de",
    "fr",
    "nl",
    "pl",
    "pt",
    "pt_BR",
    "es",
    "it",
    "da",
    "sv",
    "nb",
    "fi",
    "cs",
    "hu",
    "ro",
    "tr",
    "ja",
)
days = st.dates(datetime.date(2000, 1, 1), datetime.date(2060, 12, 31))


@settings(max_examples=150, deadline=None)
@given(day=days, locale=st.sampled_from(LOCALES), width=st.sampled_from(["long", "medium"]))
def test_reads_every_language(day: datetime.date, locale: str, width: str) -> None:
    """A date written out by any language's rules is among the candidates."""
    assert day in date_candidates(format_date(day, width, locale=locale))


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="0123456789./- ,TMarchde年月日", max_size=30))
def test_reads_any_text(text: str) -> None:
    """No text makes the reader fail, and every date is where it says."""
    for date in find_dates(text):
        assert text[date.start : date.end] == date.text
        assert date.readings()


@pytest.mark.parametrize(
    ("printed", "readings"),
    [
        ("2026-03-05", ["2026-03-05"]),
        ("2026-03-05T10:00:00", ["2026-03-05"]),
        ("05.03.2026", ["2026-03-05"]),
        ("5.3.26", ["2026-03-05"]),
        ("5/3/2026", ["2026-03-05", "2026-05-03"]),
        ("3/15/2026", ["2026-03-15"]),
        ("20260305", ["2026-03-05"]),
        ("March 5th, 2026", ["2026-03-05"]),
        ("1er janvier 2026", ["2026-01-01"]),
        ("5 de março de 2026", ["2026-03-05"]),
        ("05-Mar-2026", ["2026-03-05"]),
        ("5 мая 2026 г.", ["2026-05-05"]),
        ("2026年3月5日", ["2026-03-05"]),
        ("5 listopada 2026", ["2026-11-05", "2026-10-05"]),
        ("01.01.98", ["1998-01-01"]),
        ("31.04.2026", []),
        ("5 apples 2026", []),
        ("150120260305", []),
        ("3      March      2026", []),
    ],
)
def test_readings(printed: str, readings: list[str]) -> None:
    """A printed date has exactly these readings."""
    assert date_candidates(printed) == tuple(datetime.date.fromisoformat(day) for day in readings)


def test_order_is_learned_from_other_dates() -> None:
    """A day above twelve anywhere settles the order; contradicting dates settle nothing."""
    assert order_of(find_dates("due 3/15/2026, issued 3/4/2026")) is DateOrder.MONTH_FIRST
    assert order_of(find_dates("due 15/3/2026")) is DateOrder.DAY_FIRST
    assert order_of(find_dates("15/3/2026 and 3/15/2026")) is None
    assert order_of(find_dates("3/4/2026")) is None


def test_order_settles_an_ambiguous_date() -> None:
    """Under a known order a date has one reading."""
    (date,) = find_dates("03/04/2026")
    assert date.readings(DateOrder.DAY_FIRST) == (datetime.date(2026, 4, 3),)
    assert date.readings(DateOrder.MONTH_FIRST) == (datetime.date(2026, 3, 4),)


def test_order_does_not_settle_a_shared_month_name() -> None:
    """A month name of two languages keeps both readings whatever the order."""
    (date,) = find_dates("5 listopada 2026")
    assert len(date.readings(DateOrder.DAY_FIRST)) == 2


def test_date_hidden_behind_a_lookalike_is_found() -> None:
    """A period's end is found, though the day before it and the word between look like the start of a date."""
    assert date_candidates("ausgeführt vom 10. bis 13. Juni 2025") == (datetime.date(2025, 6, 13),)
