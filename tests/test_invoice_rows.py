"""Lines and sums against the rows of the printed table: what was left out, invented, or taken for something else."""

from __future__ import annotations

from typing import Any

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.verify import verify

HEAD = "Greenhill Supplies Ltd\nInvoice GS-7   Date: 2026-03-05\n\n"
PUMP = {"description": "Pump 202", "quantity": "2", "unit_price": "35.00", "total": "70.00"}
HOSE = {"description": "Garden hose 3m", "quantity": "3", "unit_price": "12.50", "total": "37.50"}
RAKE = {"description": "Rake, steel", "quantity": "1", "unit_price": "20.00", "total": "20.00"}
TABLE = """Pos  Description               Unit price        Qty         Amount
1    Pump 202                       35.00          2          70.00
2    Garden hose 3m                 12.50          3          37.50
3    Rake, steel                    20.00          1          20.00
"""
SUMS = {"net_amount": "127.50", "tax_amount": "25.50", "total_amount": "153.00"}
PRINTED = "Net amount  127.50 EUR\nVAT 20%  25.50 EUR\nTotal  153.00 EUR\n"


def codes(text: str, lines: list[dict[str, Any]], media_type: str = "text/plain", **more: Any) -> set[str]:
    """Return the codes of the errors about amounts that an answer with these lines is told of."""
    raw = {"kind": "invoice", "invoice_number": "GS-7", "date": "2026-03-05", "currency": "EUR", **more}
    raw |= {"vendor": {"name": "Greenhill Supplies Ltd"}, "line_items": lines}
    found = verify(raw, Document("x", "0" * 64, 1, media_type, (Page(1, HEAD + text),))).findings
    return {finding.code for finding in found if finding.severity is Severity.ERROR}


def test_a_true_answer_is_not_doubted() -> None:
    """What the checks below find is not found in what is right."""
    assert not codes(TABLE + PRINTED, [PUMP, HOSE, RAKE], **SUMS)


def test_a_row_counts_by_its_price_and_total_not_by_its_position_and_name() -> None:
    """`1`, `202` and another `202` multiply as well; the row is a line all the same, though no sum is printed."""
    text = TABLE.replace("Pump 202      ", "Pump 202 (202)") + "Total  999.00 EUR\n"
    assert "line_not_read" in codes(text, [HOSE, RAKE], total_amount="999.00")


def test_a_row_with_a_discount_is_a_line() -> None:
    """Quantity times price less so many per cent is the total of a row."""
    head, rake = (
        "Description      Qty     Price    Disc.      Amount\n",
        "Rake, steel       1     20.00               20.00\n",
    )
    text = f"{head}Pump              2     35.00     10%       63.00\n{rake}Total  999.00 EUR\n"
    pump = {**PUMP, "description": "Pump", "total": "63.00"}
    assert "line_not_read" not in codes(text, [pump, RAKE], total_amount="999.00")
    assert "line_not_read" in codes(text, [RAKE], total_amount="999.00")


def test_what_the_lines_lack_is_a_row_even_if_it_is_printed_as_a_sum_too() -> None:
    """A base of the tax as large as one line explains nothing, nor does a charge that was read."""
    rows = TABLE.replace("   3          37.50", "   3 units    37.40")
    assert "line_not_read" not in codes(rows + PRINTED, [PUMP, {**HOSE, "total": "37.40"}, RAKE], **SUMS)
    text = f"{rows}Shipping  6.00 EUR\nVAT 20% on  37.40 EUR\nNet amount  133.40 EUR\nTotal  133.40 EUR\n"
    sums = {"net_amount": "133.40", "total_amount": "133.40", "charges": [{"reason": "Shipping", "amount": "6.00"}]}
    assert "line_not_read" not in codes(text, [PUMP, {**HOSE, "total": "37.40"}, RAKE], **sums)
    assert "line_not_read" in codes(text, [PUMP, RAKE], **sums)


def test_a_discount_in_the_table_is_no_line_that_was_left_out() -> None:
    """An amount with the name of a discount is the reason why the lines do not add up."""
    text = f"{TABLE}Discount of 10 % on 127.50                        -12.75\nTotal  114.75 EUR\n"
    assert "line_not_read" not in codes(text, [PUMP, HOSE, RAKE], total_amount="114.75")


def test_the_tax_is_no_line_even_if_charges_make_it_fit() -> None:
    """With a charge on top, the lines and the tax make the total; the lines alone make the net amount."""
    text = f"{TABLE}Shipping  10.00 EUR\nNet amount  137.50 EUR\nVAT 20%  27.50 EUR\nTotal  165.00 EUR\n"
    sums = {"net_amount": "137.50", "tax_amount": "27.50", "total_amount": "165.00"}
    charges = [{"reason": "Shipping", "amount": "10.00"}]
    lines = [PUMP, HOSE, RAKE]
    assert not codes(text, lines, charges=charges, **sums)
    assert "line_is_sum" in codes(text, [*lines, {"description": None, "total": "27.50"}], charges=charges, **sums)


def test_an_amount_that_is_printed_as_a_sum_alone_is_no_line() -> None:
    """Neither a line called total nor one without a name in the document is one, whatever else is known."""
    text = TABLE + PRINTED
    for name in ("Total", "Sundries"):
        invented = {"description": name, "total": "25.50"}
        assert "line_is_sum" in codes(text, [PUMP, HOSE, RAKE, invented], tax_amount="25.50"), name


def test_a_line_named_like_a_tax_may_be_the_only_one_with_an_amount() -> None:
    """Advice on taxes is sold as well, and nothing else on that invoice costs anything."""
    text = "Tax advice  500.00\nFirst call  0.00\nTotal  500.00 EUR\n"
    lines = [{"description": "Tax advice", "total": "500.00"}, {"description": "First call", "total": "0.00"}]
    assert "line_is_sum" not in codes(text, lines, total_amount="500.00")


def test_nothing_due_is_no_other_total() -> None:
    """An invoice that was paid may print its amount in its row alone, and that nothing is left."""
    text = "Description    Qty    Price     Total\nPump 202         2    35.00     70.00\nBalance due  0.00 EUR\n"
    assert "total_not_at_label" not in codes(text, [PUMP], total_amount="70.00")


def test_lines_of_an_unknown_xml_have_to_add_up_as_well() -> None:
    """Arithmetic needs no table: neither the tax nor a line that was read twice is one of the lines."""
    text = "\n".join(f"<v>{value}</v>" for line in (PUMP, HOSE, RAKE, SUMS) for value in line.values())
    lines, xml = [PUMP, HOSE, RAKE], "application/xml"
    assert not codes(text, lines, xml, **SUMS) & {"line_is_sum", "line_extra"}
    assert "line_is_sum" in codes(text, [*lines, {"description": None, "total": "25.50"}], xml, **SUMS)
    assert "line_extra" in codes(text, [*lines, RAKE], xml, **SUMS)


def test_one_printed_number_is_not_the_price_and_the_total() -> None:
    """Where the row multiplies, a price that repeats its total was misread."""
    wrong = {**HOSE, "unit_price": "37.50"}
    assert "line_not_as_printed" in codes(TABLE + PRINTED, [PUMP, wrong, RAKE], **SUMS)


def test_a_digit_in_a_name_hides_no_exchange_of_quantity_and_price() -> None:
    """`Garden hose 3m` has the quantity's number before the price; the columns tell which is which."""
    wrong = {**HOSE, "quantity": "12.50", "unit_price": "3"}
    text = (
        TABLE.replace("Unit price        Qty", "Unit price    Qty    ").replace("Description   ", "Description")
        + PRINTED
    )
    assert "columns_exchanged" not in codes(text, [PUMP, HOSE, RAKE], **SUMS)
    assert "columns_exchanged" in codes(text, [PUMP, wrong, RAKE], **SUMS)


def test_the_amount_of_a_line_is_not_the_total() -> None:
    """The head above the lines may say `Total`; that makes none of their amounts the total of the invoice."""
    text = f"{TABLE.replace('Amount', ' Total')}Postage  6.00 EUR\nTotal to pay  133.50 EUR\n"
    assert not codes(text, [PUMP, HOSE, RAKE], total_amount="133.50")
    for wrong in ("70.00", "37.50", "20.00", "6.00"):
        assert "total_not_at_label" in codes(text, [PUMP, HOSE, RAKE], total_amount=wrong), wrong


def test_a_total_in_a_row_of_the_table_and_nowhere_else_is_doubted() -> None:
    """That is so even where the document calls nothing its total."""
    assert "total_is_line" in codes(TABLE, [PUMP, HOSE, RAKE], total_amount="70.00")


def test_a_net_amount_is_the_one_with_charges_where_that_is_printed() -> None:
    """Sum of the lines, charge and tax make the total too; the document says itself which is its net amount."""
    text = f"{TABLE}Items total  127.50 EUR\nShipping  10.00 EUR\nNet amount  137.50 EUR\n"
    text += "VAT  27.50 EUR\nTotal  165.00 EUR\n"
    more = {"tax_amount": "27.50", "total_amount": "165.00", "charges": [{"reason": "Shipping", "amount": "10.00"}]}
    assert not codes(text, [PUMP, HOSE, RAKE], net_amount="137.50", **more)
    assert "net_before_charges" in codes(text, [PUMP, HOSE, RAKE], net_amount="127.50", **more)
    unnamed = text.replace("Net amount  137.50 EUR\n", "")
    assert "net_before_charges" not in codes(unnamed, [PUMP, HOSE, RAKE], net_amount="127.50", **more)


def test_a_discount_with_an_amount_of_its_own_does_not_explain_the_one_below() -> None:
    """On a till roll the price of the next article stands under the discount on the last."""
    text = "Lamp\n 100.00\nMember discount -5.00\n 37.00\nWire\n 30.00\nSubtotal 167.00\nTotal GBP 160.00\n"
    read = [{"description": "Lamp", "total": "100.00"}, {"description": "Wire", "total": "30.00"}]
    assert "lines_not_subtotal" in codes(text, read, total_amount="160.00")
