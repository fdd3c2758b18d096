"""Where a document shows a value, and where it only seems to."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from pipeline.document.model import Document, Page
from pipeline.invoice.evidence import (
    find_address,
    find_day,
    find_description,
    find_identifier,
    find_money,
    find_name,
    find_tax_number,
    identifier_places,
    quote,
)
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label


def index(*pages: str, plain: str = "") -> DocumentIndex:
    texts = tuple(Page(number, text, plain) for number, text in enumerate(pages, 1))
    return DocumentIndex(Document("x.pdf", "0" * 64, 1, "application/pdf", texts))


@pytest.mark.parametrize(
    ("text", "claim", "found"),
    [
        ("No. INV-100", "INV-100", True),
        ("No. INV 100", "inv-100", True),
        ("No. RE-20140703/502", "RE20140703/502", True),
        ("No. 91234", "123", False),
        ("No. INV-123456", "123456", False),
        ("No. 123456-7", "123456", False),
        ("No. 123456.", "123456", True),
        ("Table 5", "5", False),
        ("Invoice no. 5", "5", True),
        ("Order 4711 and 02", "471102", False),
    ],
)
def test_identifiers_are_bounded(text: str, claim: str, found: bool) -> None:
    """An identifier counts whatever its separators, but only whole, and a short one only beside its label."""
    assert (find_identifier(index(text), claim) is not None) is found


@pytest.mark.parametrize(
    ("text", "claim", "value"),
    [
        ("VAT DE 123 456 789", "DE123456789", "DE123456789"),
        ("NIP: 774-00-01-454", "7740001454", "7740001454"),
        ("NIP: 774-00-01-454", "PL7740001454", "774-00-01-454"),
        ("BTW NL810433941B01", "810433941B01", "NL810433941B01"),
        ("VAT DE 123 456 789", "DE123456788", None),
        ("VAT DE 123 456 789", "AT123456789", None),
    ],
)
def test_tax_numbers(text: str, claim: str, value: str | None) -> None:
    """A tax number is found with blanks and dots; a country prefix that only one side has comes from the document."""
    found = find_tax_number(index(text), claim)
    assert (found.value if found else None) == value


def test_names_go_on_in_the_next_line() -> None:
    """A name counts over a line break and beside other columns, but not as words scattered over a line."""
    document = index("Muster GmbH & Co.        Date 1.1.2026\nKG                 Bill to")
    assert find_name(document, "MUSTER GmbH & Co. KG")
    assert find_name(index("Muster wood and Holding stock"), "Muster Holding") is None
    assert find_name(index("Musterbau"), "Muster") is None
    assert find_name(index("請求書 株式会社サンプル御中"), "株式会社サンプル")


def test_spaced_letters_are_found() -> None:
    """A name printed with blanks between its letters is found."""
    assert find_name(index("A C M E   T r a d i n g"), "ACME Trading")


def test_address_needs_its_numbers() -> None:
    """Most words of an address are enough, but its house number and postal code must stand there."""
    document = index("Lieferant GmbH\nHauptstraße 20      Datum\nDE 80333 München")
    assert find_address(document, "Hauptstr. Hauptstraße 20, 80333 München, Deutschland") is None
    assert find_address(document, "Hauptstraße 20, 80333 München")
    assert find_address(document, "Hauptstraße 21, 80333 München") is None


def test_wrapped_description_is_found() -> None:
    """A description that wraps in its cell is found around the numbers of the row."""
    document = index("1   Green artificial turf   3   10,00\n    three metres wide")
    found = find_description(document, "Green artificial turf three metres wide")
    assert found
    assert (found.first_line, found.last_line) == (0, 1)


def test_same_description_is_found_in_the_next_row() -> None:
    """The second of two equal lines is found behind the first."""
    document = index("Bolt 1.00\nBolt 2.00")
    found = find_description(document, "Bolt", after=0)
    assert found
    assert found.first_line == 1


def test_of_two_places_with_as_many_words_the_first_is_taken() -> None:
    """A description of which 31 of 39 words are printed in two places is found at the first of them."""
    words = [f"word{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(39)]
    printed = " ".join(words[:31])
    found = find_description(index("\n".join([printed, *["-"] * 5, printed])), " ".join(words))
    assert found
    assert found.first_line == 0


def test_money_prefers_its_label() -> None:
    """Of several places with the same amount the one beside a fitting label is the evidence."""
    document = index("Widget 100.00\nTotal 100.00\nPaid 100.00", "100.00")
    best = find_money(document, Decimal(100), labels=(Label.TOTAL,))[0]
    assert best.line == 1
    assert quote(document, best.line).quote == "Total 100.00"


def test_heading_above_is_a_label() -> None:
    """A column's heading labels the amount below it."""
    document = index("   Net           Tax        Total due\n  100.00        19.00         119.00")
    assert find_money(document, Decimal("19.00"))[0].label is Label.TAX
    assert find_money(document, Decimal("100.00"))[0].label is Label.NET


def test_bare_numbers_are_no_money() -> None:
    """A street number vouches for no total where money is printed with decimals, a percentage never does."""
    document = index("Main St 119\nDiscount 19 %\nWidget 1.00\nBolt 2.00")
    assert find_money(document, Decimal(119)) == []
    assert find_money(document, Decimal(19)) == []
    assert find_money(index("Total 119"), Decimal(119))


def test_other_sign_is_reported() -> None:
    """An amount printed with the other sign is found with the printed sign, and said so."""
    best = find_money(index("Total -100.00"), Decimal(100))[0]
    assert (best.value, best.sign_differs) == (Decimal("-100.00"), True)


def test_days() -> None:
    """Any token that can mean the day is found, the labelled one first."""
    document = index("Delivery date 5 March 2026\nInvoice date: 05.03.2026")
    places = find_day(document, (datetime.date(2026, 3, 5),), order=None, labels=(Label.DATE,))
    assert [place.line for place in places] == [1, 0]


def test_both_views_and_all_pages_are_searched() -> None:
    """A value on a later page or only in reading order is found, with its page."""
    document = index("one", "two", plain="Very Long Name Ltd")
    found = find_name(document, "Very Long Name Ltd")
    assert found
    assert quote(index("a", "b 5.00"), 1).page == 2


def test_long_lines_are_cut_around_the_value() -> None:
    """A quote is never longer than 160 characters and still shows the value."""
    document = index("x " * 300 + "Total 77.50" + " y" * 300)
    best = find_money(document, Decimal("77.50"))[0]
    shown = quote(document, best.line, start=best.start, end=best.end).quote
    assert len(shown) <= 160
    assert "77.50" in shown


def test_a_number_printed_often_is_found_at_each_place() -> None:
    """Every place of an identifier counts that is no part of a longer one, with its own separators."""
    document = index("Ref. RÉ-47/1 and ré 47 1, not RÉ-47/1-9 nor XRÉ471")
    places = identifier_places(document, "RÉ 47-1", group="any")
    assert [document.lines[one.first_line].text[one.start : one.end] for one in places] == ["RÉ-47/1", "ré 47 1"]


def test_a_quote_is_made_of_whole_words() -> None:
    """Of a long line the words around the value are shown, none of them cut in two."""
    words = [f"word{number}" for number in range(60)]
    line = " ".join([*words[:40], "99.00", *words[40:]])
    shown = quote(index(line), 0, start=line.index("99.00"), end=line.index("99.00") + 5).quote
    assert "word39 99.00 word40" in shown
    assert 140 < len(shown) <= 160
    assert set(shown.split()) <= {*words, "99.00"}
    assert set(quote(index(line), 0).quote.split()) <= {*words}
