"""Address blocks at the top of a letter: the lines above a postcode and its place, in one column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pipeline.llm.standin.layout import Cell, Layout

_TOP_LINES = 24
_BLOCK_LINES = 5
_TABLE_CELLS = 4
_SAME_COLUMN = 3
_GAP_LINES = 2
_POSTCODE = re.compile(
    r"(?:^|[,\u00b7\u2022\u25cf|\u2013-] *)(?:[A-Z]{1,2}[- ])?"
    r"(?:\d{5}|\d{4}(?: ?[A-Z]{2})?|\d{2}-\d{3}|\d{4}-\d{3}) +[^\W\d]{2}"
    r"|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|\b[A-Z]{2},? \d{5}(?:-\d{4})?\b"
)


def has_postcode(text: str) -> bool:
    """Tell whether a line of an address names postcode and place."""
    return _POSTCODE.search(text) is not None


def block_heads(layout: Layout, *, is_name: Callable[[str], bool]) -> list[Cell]:
    """Return the first line of each address block at the top, from top to bottom."""
    top = list(_above_table(layout))
    heads: list[Cell] = []
    for line in top:
        for cell in line:
            if has_postcode(cell.text) and (head := _head(top, cell, is_name)) is not None and head not in heads:
                heads.append(head)
    return sorted(heads, key=lambda cell: cell.line)


def _above_table(layout: Layout) -> Iterator[list[Cell]]:
    for line in layout.lines[:_TOP_LINES]:
        if len(line) >= _TABLE_CELLS:
            return
        yield line


def _head(top: Sequence[Sequence[Cell]], postcode: Cell, is_name: Callable[[str], bool]) -> Cell | None:
    """Return the highest line above a postcode that may be a name, before another block or another thing begins."""
    head, last = None, postcode
    for _ in range(_BLOCK_LINES):
        above = _line_above(top, last)
        if above is None or not _may_belong(above, is_name):
            break
        # Where the postcode stands last, a number at the start is the house's.
        if has_postcode(above.text) and (postcode.text[0].isdigit() or not above.text[0].isdigit()):
            break
        head = above if is_name(above.text) else head
        last = above
    return head


def _line_above(top: Sequence[Sequence[Cell]], cell: Cell) -> Cell | None:
    for line in reversed(top[max(0, cell.line - _GAP_LINES) : cell.line]):
        for other in line:
            if abs(other.start - cell.start) <= _SAME_COLUMN:
                return other
    return None


def _may_belong(cell: Cell, is_name: Callable[[str], bool]) -> bool:
    """Tell whether a line may be part of an address: a name, or a street with its number."""
    return is_name(cell.text) or (
        bool(re.search(r"[^\W\d]{3}", cell.text) and re.search(r"\d", cell.text))
        and not (re.search(r":|@|\bwww\b|\d{6}|[^\W\d]-?Id", cell.text))
    )
