"""Scanned words put back into rows."""

from __future__ import annotations

from pipeline.document.scan.lines import ScannedLine, ScannedWord
from pipeline.document.scan.rows import blocks_of, rows_of


def line(text: str, left: float, middle: float, height: float = 20) -> ScannedLine:
    """Return a line of words of ten pixels a character."""
    words, lefts = [], []
    for word in text.split():
        at = left + 10 * text.index(word)
        words.append(ScannedWord(word, at, middle - 10, at + 10 * len(word), middle + 10, 1.0))
        lefts.append(at)
    rights = tuple(word.right for word in words)
    return ScannedLine(tuple(words), tuple(lefts), rights, middle, height)


def test_what_stands_side_by_side_is_one_row_with_its_columns() -> None:
    """Cells that were found apart share a row, with blanks as wide as what is between them."""
    table = [line("Amount", 300, 11), line("Net amount", 0, 10), line("80.00", 310, 41), line("Cards", 0, 40)]
    assert rows_of(table) == "Net amount" + " " * 20 + "Amount\nCards" + " " * 26 + "80.00"


def test_columns_stay_apart_however_narrow_the_gap() -> None:
    """Two blanks at least part two cells; one parts two words."""
    assert rows_of([line("Total", 0, 10), line("80.00", 66, 10)]) == "Total  80.00"


def test_reading_order_keeps_what_is_below_each_other_together() -> None:
    """An address beside another one is not mixed with it."""
    left = [line("Brightwater", 0, 10), line("Bristol", 0, 40)]
    right = [line("Customer", 300, 10), line("London", 300, 40)]
    assert blocks_of([*left, *right]) == "Brightwater\nBristol\nCustomer\nLondon"


def test_nothing_found_is_no_text() -> None:
    """A blank page has no rows."""
    assert (rows_of([]), blocks_of([])) == ("", "")
