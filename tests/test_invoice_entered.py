"""Values as a person types them: what is meant, and what is refused because it can be meant in two ways."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.document.model import Document, Page
from pipeline.invoice.entered import NotReadable, read_entered
from pipeline.invoice.index import DocumentIndex, index_of
from pipeline.invoice.paths import close_names, leaf_of, same, value_at, with_value


def index(text: str) -> DocumentIndex:
    """Return the words of a document of one page."""
    return index_of(Document("a.txt", "0" * 64, len(text), "text/plain", (Page(1, text),)))


@pytest.mark.parametrize(
    ("path", "typed", "meant"),
    [
        ("total_amount", "1234.5", Decimal("1234.5")),
        ("total_amount", "1.234,56 €", Decimal("1234.56")),
        ("total_amount", "EUR 1 234,56", Decimal("1234.56")),
        ("total_amount", "-36", Decimal(-36)),
        ("total_amount", "-1.036,00", Decimal("-1036.00")),
        ("taxes.0.rate", "19 %", Decimal(19)),
        ("line_items.3.quantity", "2,5", Decimal("2.5")),
        ("date", "2026-03-04", "2026-03-04"),
        ("date", "4. März 2026", "2026-03-04"),
        ("due_date", "31/12/2026", "2026-12-31"),
        ("currency", "eur", "EUR"),
        ("currency", "€", "EUR"),
        ("vendor.iban", "gb33 BUKB 2020 1555 5555 55", "GB33BUKB20201555555555"),
        ("vendor.name", "  Lantern   Works ", "Lantern Works"),
        ("kind", "credit_note", "credit_note"),
        ("net_amount", "", None),
    ],
)
def test_what_is_typed_is_read(path: str, typed: str, meant: object) -> None:
    """Plain decimals, ISO dates and the forms that documents print are understood; empty is null."""
    assert read_entered(path, typed, None, currency=None) == meant


@pytest.mark.parametrize(
    ("path", "typed", "said"),
    [
        ("total_amount", "12x", "no number"),
        ("total_amount", "12 and 13", "no number"),
        ("total_amount", "1.234", "can mean 1234 or 1.234"),
        ("date", "2026-02-30", "day is out of range"),
        ("date", "03/04/2026", "can mean"),
        ("date", "soon", "no date"),
        ("currency", "XXQ", "no currency code"),
        ("currency", "$", "can be"),
        ("vendor.iban", "GB33BUKB20201555555556", "check digits"),
        ("kind", "bill", "no such kind"),
        ("vendor.name", "x" * 1001, "too many"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(path: str, typed: str, said: str) -> None:
    """The message names the field and what is wrong, the hint how to write it."""
    with pytest.raises(NotReadable, match=said) as refused:
        read_entered(path, typed, None, currency=None)
    assert path in str(refused.value)
    assert refused.value.hint


def test_the_document_settles_what_can_be_meant_in_two_ways() -> None:
    """A German invoice that prints 1.234 among decimal commas means a thousand, and 03/04 by its other dates April."""
    german = index("Netto 1.000,00\nMwSt 234,00\nSumme EUR 1.234\nDatum 03/04/2026\nLieferung 30/03/2026")
    assert read_entered("total_amount", "1.234", german, currency="EUR") == Decimal(1234)
    assert read_entered("date", "03/04/2026", german, currency="EUR") == "2026-04-03"


def test_names_that_are_like_a_field_are_found() -> None:
    """A slip, and the last part of a name alone, lead to the fields that may be meant."""
    known = {"total_amount": None, "vendor": {"name": None, "iban": None}, "line_items": []}
    assert close_names("totl_amount", known)[0] == "total_amount"
    assert close_names("iban", known)[0] == "vendor.iban"
    assert "line_items.0.quantity" in close_names("quantity", known)


@pytest.mark.parametrize("path", ["vendor", "line_items", "line_items.x.total", "vendor.nme", "total_amount.x", ""])
def test_groups_and_unknown_names_are_no_fields(path: str) -> None:
    """Only what holds one value is a field."""
    assert leaf_of(path) is None


def test_a_value_is_set_by_its_path_and_the_rest_stays() -> None:
    """A list takes one more entry; what is given is not changed in place."""
    data = {"vendor": {"name": "a", "iban": "b"}, "line_items": [{"total": 1}]}
    changed = with_value(with_value(data, "vendor.name", "c"), "line_items.1.total", 2)
    assert changed == {"vendor": {"name": "c", "iban": "b"}, "line_items": [{"total": 1}, {"total": 2}]}
    assert value_at(data, "vendor.name") == "a"
    with pytest.raises(ValueError, match="no entry 5"):
        with_value(data, "line_items.5.total", 2)


@pytest.mark.parametrize(
    ("path", "first", "second", "alike"),
    [
        ("total_amount", "10", Decimal("10.00"), True),
        ("vendor.vat_id", "DE 123", "123", True),
        ("vendor.name", "Café  Müller", "CAFE MULLER", True),
        ("date", "2026-03-04", "2026-04-03", False),
        ("date", None, "2026-04-03", False),
        ("date", None, None, True),
    ],
)
def test_values_are_the_same_after_normalisation(path: str, first: object, second: object, alike: bool) -> None:
    """Trailing noughts, case, accents, blanks and a VAT number's country letters make no difference."""
    assert same(path, first, second) is alike
