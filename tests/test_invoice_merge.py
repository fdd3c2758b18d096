"""One invoice out of the readings of a document's parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.document.parts import PageLine, Part, PartSettings, next_part
from pipeline.invoice.merge import Merged, Reading, merge
from pipeline.invoice.model import Severity

_EMPTY: dict[str, Any] = {
    "kind": "invoice",
    "invoice_number": None,
    "date": None,
    "due_date": None,
    "currency": None,
    "total_amount": None,
    "net_amount": None,
    "tax_amount": None,
    "taxes": [],
    "vendor": {"name": None, "address": None, "vat_id": None, "iban": None},
    "buyer": {"name": None, "address": None, "vat_id": None, "iban": None},
    "line_items": [],
}


def item(description: str, total: str) -> dict[str, str | None]:
    return {"description": description, "quantity": "1", "unit_price": total, "total": total}


def printed(description: str, total: str, page: int = 1) -> PageLine:
    return PageLine(page, f"{description:40}1   {total}   {total}")


def merged(*values: dict[str, Any], texts: Sequence[str] = ()) -> Merged:
    """Merge readings of one line each; the text of the line is all the values unless it is given."""
    shown = texts or [" ".join(map(str, value.values())) for value in values]
    lines = [PageLine(number, text) for number, text in enumerate(shown, 1)]
    return merge([Reading(Part(n, n + 1), {**_EMPTY, **value}) for n, value in enumerate(values)], lines)


def errors(result: Merged) -> list[tuple[str, str]]:
    return [(one.code, one.field) for one in result.findings if one.severity is Severity.ERROR]


def test_the_header_is_of_the_first_part_and_the_totals_are_of_the_last() -> None:
    """Each field comes from the first part that has it, sums and taxes from the last; what none has is null."""
    result = merged(
        {"invoice_number": "A-1", "vendor": {"name": "Quay Ltd"}, "total_amount": "10.00", "currency": "GBP"},
        {"date": "2025-03-04", "vendor": {"iban": "GB33BUKB20201555555555"}, "total_amount": "120.00"},
        {"invoice_number": "A-1", "net_amount": "100.00", "taxes": [{"rate": "20", "base": None, "amount": "20.00"}]},
        {},
    )
    values = result.values
    assert (values["invoice_number"], values["date"], values["due_date"]) == ("A-1", "2025-03-04", None)
    assert (values["total_amount"], values["net_amount"], values["tax_amount"]) == ("120.00", "100.00", None)
    assert (values["vendor"]["name"], values["vendor"]["iban"]) == ("Quay Ltd", "GB33BUKB20201555555555")
    assert [tax["amount"] for tax in values["taxes"]] == ["20.00"]
    assert errors(result) == []
    assert [(one.code, one.severity, "4 parts" in one.message) for one in result.findings] == [
        ("read_in_parts", Severity.INFO, True)
    ]


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ({"invoice_number": "A-1001"}, {"invoice_number": "B-2002"}, "invoice_number"),
        ({"currency": "EUR"}, {"currency": "USD"}, "currency"),
        ({"vendor": {"name": "Quay Repairs GmbH"}}, {"vendor": {"name": "Lantern Works GmbH"}}, "vendor.name"),
        ({"vendor": {"vat_id": "DE123456788"}}, {"vendor": {"vat_id": "DE987654321"}}, "vendor.vat_id"),
        ({"kind": "invoice"}, {"kind": "credit_note"}, "kind"),
        ({"kind": "other"}, {"kind": "invoice", "invoice_number": "A-1001"}, "kind"),
    ],
)
def test_parts_that_contradict_each_other_are_named(first: dict[str, Any], second: dict[str, Any], field: str) -> None:
    """The first value stays, and an error names both with their pages."""
    result = merged(first, second)
    assert errors(result) == [("parts_disagree", field)]
    (message,) = (one.message for one in result.findings if one.code == "parts_disagree")
    assert "page 1" in message
    assert "page 2" in message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"invoice_number": "RE-1001"}, {"invoice_number": "1001"}),
        ({"invoice_number": "re 1001"}, {"invoice_number": "RE-1001"}),
        ({"currency": "€"}, {"currency": "EUR"}),
        ({"vendor": {"name": "Quay Repairs"}}, {"vendor": {"name": "QUAY REPAIRS LTD, Bristol"}}),
        ({"vendor": {"name": "Quay Repairs"}, "invoice_number": "A-1001"}, {"vendor": {"name": "Invoice A-1001"}}),
        ({"vendor": {"name": "Quay Repairs"}}, {"vendor": {"name": "Description Quantity Price"}}),
        ({"kind": "invoice"}, {"kind": "other"}),
        ({"kind": "other"}, {"kind": "invoice"}),
    ],
)
def test_the_same_thing_written_otherwise_is_no_contradiction(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Prefixes, signs, legal forms, titles of pages and pages of terms contradict nothing."""
    assert errors(merged(first, second)) == []


def test_an_invoice_with_a_number_is_the_kind_of_the_whole() -> None:
    """Pages before it that were taken for something else belong to it where they show its number; else it is asked."""
    invoice = {"kind": "invoice", "invoice_number": "A-1001"}
    told, untold = (merged({"kind": "other"}, invoice, texts=[text, "A-1001"]) for text in ("rows of A-1001", "terms"))
    assert told.values["kind"] == untold.values["kind"] == "invoice"
    assert (errors(told), errors(untold)) == ([], [("parts_disagree", "kind")])
    assert merged({"kind": "other"}, {"kind": "invoice"}).values["kind"] == "other"


def test_what_the_pages_do_not_show_contradicts_nothing() -> None:
    """A value that is invented, or that the first pages show as well as something else, is not another invoice."""
    first, second = {"invoice_number": "A-1001"}, {"invoice_number": "B-2002"}
    assert errors(merged(first, second, texts=["Invoice A-1001", "Page 2"])) == []
    assert errors(merged(first, second, texts=["Invoice A-1001, order B-2002", "Order B-2002"])) == []


def test_a_real_duplicate_stays_and_a_line_read_twice_does_not() -> None:
    """Lines of the shared page are told apart by the row they stand on, not by their values."""
    rows = [("Rope", "3.00"), ("Rope", "3.00"), ("Rope", "3.00"), ("Hook", "4.00"), ("Rope", "3.00")]
    lines = [printed(*row) for row in rows]
    readings = [
        Reading(Part(0, 4), {**_EMPTY, "line_items": [item(*row) for row in rows[0:4]]}),
        Reading(Part(1, 5), {**_EMPTY, "line_items": [item(*row) for row in rows[1:5]]}),
    ]
    assert merge(readings, lines).values["line_items"] == [item(*row) for row in rows]


def test_each_part_makes_up_for_what_the_other_left_out() -> None:
    """A row of the shared page that one part did not read comes from the other, in its place."""
    rows = [("Rope", "3.00"), ("Hook", "4.00"), ("Buoy", "5.00"), ("Sail", "6.00")]
    lines = [printed(*row) for row in rows]
    first = {**_EMPTY, "line_items": [item(*rows[0]), item(*rows[2])]}
    second = {**_EMPTY, "line_items": [item(*rows[1]), item(*rows[3])]}
    values = merge([Reading(Part(0, 3), first), Reading(Part(1, 4), second)], lines).values
    assert values["line_items"] == [item(*row) for row in rows]


def test_a_line_that_is_not_found_is_kept_once() -> None:
    """Lines whose row is not recognised are the same if they say the same, and none is dropped."""
    lines = [printed("Rope", "3.00"), PageLine(1, "illegible"), printed("Sail", "6.00")]
    odd = item("Something else", "9.99")
    first = {**_EMPTY, "line_items": [item("Rope", "3.00"), odd]}
    second = {**_EMPTY, "line_items": [odd, item("Sail", "6.00")]}
    values = merge([Reading(Part(0, 2), first), Reading(Part(1, 3), second)], lines).values
    assert values["line_items"] == [item("Rope", "3.00"), odd, item("Sail", "6.00")]


@given(
    st.lists(st.tuples(st.sampled_from(["Rope", "Hook", "Buoy 12", "Rope long"]), st.integers(1, 4)), max_size=60),
    st.integers(3, 15),
    st.integers(400, 1500),
)
def test_every_line_is_there_once(rows: list[tuple[str, int]], per_page: int, characters: int) -> None:
    """However a table of few different rows is divided, good readings of the parts give the table back."""
    items = [item(name, f"{size}.00") for name, size in rows]
    lines = [printed(name, f"{size}.00", 1 + n // per_page) for n, (name, size) in enumerate(rows)]
    lines.append(PageLine(1 + len(rows) // per_page, "Thank you"))
    readings: list[Reading] = []
    while not readings or readings[-1].part.end < len(lines):
        before = readings[-1].part if readings else None
        part = next_part(lines, before, characters=characters, settings=PartSettings())
        assert part is not None
        readings.append(Reading(part, {**_EMPTY, "line_items": items[part.start : part.end]}))
    assert merge(readings, lines).values["line_items"] == items


@given(st.recursive(st.none() | st.text(max_size=8) | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_odd_values_do_not_break_the_merge(value: Any) -> None:
    """Whatever stands where a value should, the merge ends."""
    odd = {**_EMPTY, "line_items": [item("Rope", "3.00"), {"description": value, "total": value}], "vendor": value}
    assert len(merged(odd, odd).values["line_items"]) == 4
