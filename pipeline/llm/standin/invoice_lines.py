"""The items of an invoice, by the heads of their columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_currency import without_currency
from pipeline.llm.standin.invoice_facts import LineFacts
from pipeline.llm.standin.labels import contains_word
from pipeline.llm.standin.layout import Cell, Layout
from pipeline.llm.standin.printed_values import amounts_in

_FARTHEST_COLUMNS = 30
_MOST_LINES = 300
_LABEL_CHARACTERS = 40


def read_lines(layout: Layout, *, is_sum: Callable[[int], bool]) -> tuple[LineFacts, ...]:
    """Return the items between the heads of the columns and the first sum."""
    heads = _heads(layout)
    if heads is None:
        return ()
    first = next(iter(heads.values())).line + 1
    found: list[LineFacts] = []
    for number in range(first, len(layout.lines)):
        if is_sum(number) or len(found) == _MOST_LINES:
            break
        if any(contains_word(cell.folded[:_LABEL_CHARACTERS], words.CARRIED_OVER) for cell in layout.lines[number]):
            continue
        if (item := _item(layout.lines[number], heads)) is not None:
            found.append(item)
    return tuple(found)


def _heads(layout: Layout) -> Mapping[str, Cell] | None:
    """Return the line that names most columns, at least a total and one more."""
    best: dict[str, Cell] = {}
    for line in layout.lines:
        named = _named_columns(line)
        if "total" in named and len(named) > max(1, len(best)):
            best = named
    return best or None


def _named_columns(line: list[Cell]) -> dict[str, Cell]:
    named: dict[str, Cell] = {}
    for cell in line:
        title = without_currency(re.sub(r"\s*\(.*?\)", "", cell.folded)).strip(" .:*")
        for column, titles in words.COLUMNS.items():
            # The last column of that name: "Total" of the item stands behind "Total without tax".
            if title in titles and (column == "total" or column not in named):
                named[column] = cell
                break
    return named


def _item(line: list[Cell], heads: Mapping[str, Cell]) -> LineFacts | None:
    numeric = [cell for cell in line if _amount(cell) is not None]
    total = _nearest(numeric, heads["total"])
    text = [cell for cell in line if cell not in numeric and re.search(r"[^\W\d]{2}", cell.text)]
    described = _nearest(text, heads["description"], limit=None) if "description" in heads else None
    described = described or max(text, key=lambda cell: len(cell.text), default=None)
    if total is None or described is None:
        return None
    rest = [cell for cell in line if cell not in (total, described)]
    quantity = _nearest([cell for cell in rest if re.match(r"-?\d", cell.text)], heads.get("quantity"))
    price = _nearest([cell for cell in rest if cell in numeric and cell != quantity], heads.get("unit_price"))
    return LineFacts(described.text, _first_number(quantity), _amount(price), _amount(total))


def _nearest(cells: list[Cell], head: Cell | None, *, limit: int | None = _FARTHEST_COLUMNS) -> Cell | None:
    if head is None or not cells:
        return None
    best = min(cells, key=lambda cell: _distance(cell, head))
    return best if limit is None or _distance(best, head) <= limit else None


def _distance(cell: Cell, head: Cell) -> int:
    if cell.shares_column(head):
        return 0
    return min(abs(cell.start - head.end), abs(head.start - cell.end))


def _amount(cell: Cell | None) -> str | None:
    if cell is None:
        return None
    amounts = list(amounts_in(cell.text))
    letters = re.sub(r"[^a-z]", "", cell.folded)
    return amounts[-1].text if amounts and len(letters) <= 4 else None


def _first_number(cell: Cell | None) -> str | None:
    if cell is None:
        return None
    amount = next(amounts_in(cell.text), None)
    return amount.text if amount else None
