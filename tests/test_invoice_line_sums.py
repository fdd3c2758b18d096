"""Lines against what the document prints about them: their subtotal, and the heads of their columns."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.verify import verify

RECEIPT = """Lantern Works Ltd        RECEIPT   No. 4711
Date: 2026-03-05
Lamp                 100.00
Wire                  30.00
Plug                   7.00
Subtotal             137.00
{between}
Total GBP            {total}
"""


def codes(text: str, lines: list[dict[str, Any]], **more: Any) -> set[str]:
    """Return the codes of the errors found for an answer with these lines."""
    raw = {"kind": "invoice", "line_items": lines, **more}
    found = verify(raw, Document("x", "0" * 64, 1, "text/plain", (Page(1, text),))).findings
    return {finding.code for finding in found if finding.severity is Severity.ERROR}


def lines(*totals: str) -> list[dict[str, Any]]:
    """Return lines of a description and a total each."""
    names = {"100.00": "Lamp", "30.00": "Wire", "7.00": "Plug"}
    return [{"description": names[total], "total": total} for total in totals]


def test_lines_have_to_make_the_printed_subtotal() -> None:
    """A line that was left out shows where the document prints what the lines add up to."""
    text = RECEIPT.format(between="Member points            -9.13", total="127.87")
    assert "lines_not_subtotal" not in codes(text, lines("100.00", "30.00", "7.00"), total_amount="127.87")
    assert "lines_not_subtotal" in codes(text, lines("100.00", "30.00"), total_amount="127.87")


def test_subtotal_behind_a_printed_discount_is_in_order() -> None:
    """A discount between the lines and their subtotal explains the difference."""
    text = RECEIPT.format(between="Discount    -5.00", total="132.00").replace("137.00", "132.00")
    assert "lines_not_subtotal" not in codes(text, lines("100.00", "30.00", "7.00"), total_amount="127.00")


def test_one_of_several_subtotals_or_their_sum_is_enough() -> None:
    """Sections have subtotals of their own."""
    sections = "Lamp   100.00\nSubtotal   100.00\nWire   30.00\nPlug   7.00\nSubtotal   37.00\nTotal GBP   120.00"
    assert "lines_not_subtotal" not in codes(sections, lines("100.00", "30.00", "7.00"), total_amount="120.00")


TABLE = """Lantern Works Ltd        INVOICE   No. 4711
Description            {heads}
Lamp                   {row}
"""


@pytest.mark.parametrize(
    ("heads", "row", "quantity", "price", "total"),
    [
        ("Unit price     Qty      Amount", "     60.00      2      120.00", "60.00", "2", "120.00"),
        ("       Qty      Amount        ", "      3.00      135.00", None, "3.00", "135.00"),
        ("No  Unit price     Qty      Amount", " 1     120.00       1      120.00", "120.00", "1", "120.00"),
    ],
)
def test_quantity_and_price_belong_under_their_heads(
    heads: str, row: str, quantity: str | None, price: str, total: str
) -> None:
    """A price that stands under the head of the quantities, or a row whose columns prove otherwise, is an error."""
    text = TABLE.format(heads=heads, row=row)
    wrong = [{"description": "Lamp", "quantity": quantity, "unit_price": price, "total": total}]
    right = [{"description": "Lamp", "quantity": price, "unit_price": quantity, "total": total}]
    assert "columns_exchanged" in codes(text, wrong)
    assert "columns_exchanged" not in codes(text, right)


def test_price_after_a_discount_is_not_under_its_head() -> None:
    """Where the printed price does not lead to the total, another price may be right."""
    text = TABLE.format(heads="Unit price     Qty   Disc.     Amount", row="      4.55     20    10 %      81.90")
    item = [{"description": "Lamp", "quantity": "20", "unit_price": "4.095", "total": "81.90"}]
    assert "columns_exchanged" not in codes(text, item)
