"""Hold the numbers of each line against the columns that they stand in: a quantity and a price may be exchanged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from pipeline.invoice.checks import error, is_product
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import mentions, mentions_any
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.model import Finding, Invoice, LineItem
from pipeline.invoice.numbers import Amount
from pipeline.invoice.products import ALIGNED
from pipeline.invoice.rows import Table

_HEADS = ("quantity", "price")
# Heads of one table may stand on several lines, and its rows go on for a page.
_HEAD_LINES = 2
_MOST_ROWS = 120


def column_doubts(table: Table, invoice: Invoice) -> Iterator[Finding]:
    """Find a quantity and a price that stand in each other's columns, by the table's head or by the other rows."""
    if table.index.is_xml:
        return
    orders: dict[int, bool] = {}
    for number, line in enumerate(invoice.line_items):
        price = table.place(number, "unit_price")
        if _not_under_head(table, number, line):
            yield _exchanged(number)
            continue
        if price is None or line.quantity is None or line.unit_price is None:
            continue
        order = _order(table.index, price.line, line)
        if order is not None and order is not _quantity_first(table.index, price.line, default=order):
            yield _exchanged(number)
        elif order is not None:
            orders[number] = order
    count = Counter(orders.values())
    for number, order in orders.items():
        if count[order] < count[not order]:
            yield _exchanged(number)


class _Head(NamedTuple):
    """Hold a cell that names the quantities or the prices below it."""

    name: str
    start: int
    end: int
    has_digit: bool


def _not_under_head(table: Table, number: int, line: LineItem) -> bool:
    """Say whether the heads of the columns prove that quantity and price are not those of their row.

    Either one of them stands in the other's column, or the numbers under the heads multiply to the line's total.
    """
    place = table.place(number, "total") or table.place(number, "unit_price") or table.place(number, "quantity")
    if place is None:
        return False
    heads = _heads_above(table.index, place.line)
    quantity, price = (_under(table.index, place.line, heads, head) for head in _HEADS)
    if quantity is not None and line.unit_price is not None and _is(quantity, line.unit_price):
        return not _is(quantity, line.quantity) and (price is None or not _is(price, line.unit_price))
    if quantity is None or price is None or not line.total:
        return False
    is_proven = any(is_product(one, two, abs(line.total)) for one in quantity.values for two in price.values)
    read = ((quantity, line.quantity), (price, line.unit_price))
    return is_proven and any(value is not None and not _is(printed, value) for printed, value in read)


def _is(printed: Amount, value: Decimal | None) -> bool:
    return value is not None and abs(value) in map(abs, printed.values)


def _under(index: DocumentIndex, line: int, heads: Mapping[str, tuple[int, int]], head: str) -> Amount | None:
    """Return the one number of a row that stands under a head and under no other."""
    if head not in heads:
        return None
    found = [one for one in index.amounts_in(line) if not one.part and not one.percent]
    near = [one for one in found if _gap(heads[head], one) <= ALIGNED]
    is_shared = any(_gap(span, one) <= ALIGNED for one in near for other, span in heads.items() if other != head)
    return near[0] if len(near) == 1 and not is_shared else None


def _heads_above(index: DocumentIndex, line: int) -> dict[str, tuple[int, int]]:
    """Return where the nearest heads of quantities and prices above a line stand, if they are of one table."""
    found: dict[str, tuple[int, int]] = {}
    at: dict[str, int] = {}
    for number, heads in _head_lines_above(index, line):
        if number < line - _MOST_ROWS or len(found) == len(_HEADS):
            break
        for head in heads:
            if head.name not in found and not head.has_digit:
                found[head.name], at[head.name] = (head.start, head.end), number
    is_one_table = not at or max(at.values()) - min(at.values()) <= _HEAD_LINES
    return found if is_one_table else {}


def _head_lines_above(index: DocumentIndex, line: int) -> Iterator[tuple[int, list[_Head]]]:
    """Yield the lines with heads above a line in its view of its page, nearest first."""
    heads = _heads(index)
    numbers = list(heads)
    for place in range(bisect_left(numbers, line) - 1, -1, -1):
        if numbers[place] < index.block_starts[line]:
            return
        yield numbers[place], heads[numbers[place]]


@kept_while_it_lives
def _heads(index: DocumentIndex) -> dict[int, list[_Head]]:
    """Return the cells that name either quantities or prices, by line."""
    found: dict[int, list[_Head]] = {}
    for number, line in enumerate(index.lines):
        for cell in index.cells(number) if mentions_any(line.text, _HEADS) else ():
            named = [head for head in _HEADS if mentions(cell.text, head)]
            if len(named) == 1:
                head = _Head(named[0], cell.start, cell.end, any(map(str.isdigit, cell.text)))
                found.setdefault(number, []).append(head)
    return found


def _gap(span: tuple[int, int], number: Amount) -> int:
    """Return how many characters lie between a head and a number below it; 0 where one is above the other."""
    return max(0, span[0] - number.end, number.start - span[1])


def _order(index: DocumentIndex, row: int, line: LineItem) -> bool | None:
    """Say whether a row has the quantity left of the price; None where it may be either."""
    starts = []
    for value in (line.quantity, line.unit_price):
        alike = [
            one
            for one in index.amounts_in(row)
            if value is not None and not one.part and abs(value) in map(abs, one.values)
        ]
        # A digit within a text, such as `Cable 3m`, is neither of them where the number stands elsewhere as well.
        apart = [one for one in alike if not _is_within_text(index, row, one)]
        found = [one.start for one in apart or alike]
        # With a quantity of one the line's total repeats the price, further right.
        is_total = value is not None and line.total is not None and abs(value) == abs(line.total)
        starts.append(found[:-1] if is_total and len(found) > 1 else found)
    orders = {first < second for first in starts[0] for second in starts[1] if first != second}
    return orders.pop() if len(orders) == 1 else None


def _is_within_text(index: DocumentIndex, row: int, number: Amount) -> bool:
    """Say whether words stand before a number in its cell."""
    cells = index.cells(row)
    cell = cells[bisect_right(cells, number.start, key=lambda one: one.start) - 1]
    return any(map(str.isalpha, cell.text[: number.start - cell.start]))


def _exchanged(number: int) -> Finding:
    message = "Quantity and unit price are not those that stand in their columns."
    return error("columns_exchanged", f"line_items.{number}.quantity", message)


def _quantity_first(index: DocumentIndex, line: int, *, default: bool) -> bool:
    """Say whether the nearest table head above has the quantity left of the price."""
    for _, heads in _head_lines_above(index, line):
        first = {head.name: head.start for head in reversed(heads)}
        if len(first) == len(_HEADS):
            return first["quantity"] < first["price"]
    return default
