"""Text with columns kept by blanks: cells, and what stands right of them or beneath."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

_LAST_COLUMN_REACH = 15
# Longer lines are no lines of an invoice; what stands beyond is not read.
_LONGEST_LINE = 2_000
_CELL = re.compile(r"\S+(?:[ \u00a0]\S+)*")
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SPACES = re.compile("[\u2000-\u200a\u202f]")


@dataclass(frozen=True)
class Cell:
    """Hold a run of text between wide gaps, with its line and columns."""

    line: int
    start: int
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @cached_property
    def folded(self) -> str:
        """Return the text without case and accents, each character in its place."""
        return fold(self.text)

    def shares_column(self, other: Cell) -> bool:
        """Tell whether both stand in the same column."""
        return self.start < other.end and other.start < self.end


class Layout:
    """Hold the cells of a text, line by line; empty lines are left out."""

    def __init__(self, text: str) -> None:
        clean = _SPACES.sub(" ", _UNSEEN.sub("", text)).replace("\t", "    ").replace("\f", "\n")
        lines = [line[:_LONGEST_LINE] for line in clean.splitlines() if line.strip()]
        self.lines = [
            [Cell(number, found.start(), found.group()) for found in _CELL.finditer(line)]
            for number, line in enumerate(lines)
        ]
        self.cells = [cell for line in self.lines for cell in line]

    def right_of(self, cell: Cell) -> list[Cell]:
        """Return the cells that follow on the same line."""
        return [other for other in self.lines[cell.line] if other.start > cell.start]

    def beneath(self, cell: Cell, *, lines: int) -> list[Cell]:
        """Return the cells of the same column on the next lines; those right under the cell come first.

        Numbers stand at the right edge of a column whose head stands at the left, so a column reaches to the next head.
        """
        right = self.right_of(cell)[:1]
        reach = right[0].start - 1 if right else cell.end + _LAST_COLUMN_REACH
        following = [other for line in self.lines[cell.line + 1 : cell.line + 1 + lines] for other in line]
        under = [other for other in following if other.shares_column(cell)]
        return under + [other for other in following if cell.end <= other.start and other.end <= reach]


def fold(text: str) -> str:
    """Return the text without case and accents and of the same length."""
    return "".join(_folded(character) for character in text)


def _folded(character: str) -> str:
    if character == "ł" or character == "Ł":
        return "l"
    return unicodedata.normalize("NFD", character)[0].lower()[0]
