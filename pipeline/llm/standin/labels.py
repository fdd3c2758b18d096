"""Find announcing words in a layout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pipeline.llm.standin.layout import Cell, Layout

# A value stands near its label; long cells are prose.
_CONTEXT = 200
_BENEATH = 3


@dataclass(frozen=True)
class Hit:
    """Hold a label found in a cell."""

    cell: Cell
    start: int
    end: int
    weight: int

    @property
    def phrase(self) -> str:
        return self.cell.folded[self.start : self.end]

    @property
    def before(self) -> str:
        """Return what stands before the label in its cell, folded."""
        return self.cell.folded[max(0, self.start - _CONTEXT) : self.start]

    @property
    def after(self) -> str:
        """Return what stands behind the label in its cell, as printed."""
        return self.cell.text[self.end : self.end + _CONTEXT]

    @property
    def at_start(self) -> bool:
        return not re.search(r"\w", self.before)

    @property
    def is_whole_cell(self) -> bool:
        return self.at_start and not re.search(r"\w", self.after)

    def line_before(self, layout: Layout) -> str:
        """Return everything before the label on its line, folded."""
        left = [cell.folded for cell in layout.lines[self.cell.line] if cell.start < self.cell.start]
        return " ".join([*left, self.before])


class Labels:
    """Hold phrases with weights; where several fit, the longest counts."""

    def __init__(self, table: Mapping[int, tuple[str, ...]]) -> None:
        self._weights = {phrase: weight for weight in sorted(table) for phrase in table[weight]}
        self._pattern = _alternation(tuple(self._weights))

    def hits(self, layout: Layout) -> Iterator[Hit]:
        """Yield every label of a layout."""
        for line in layout.lines:
            yield from self.hits_in(line)

    def hits_in(self, cells: Sequence[Cell]) -> Iterator[Hit]:
        """Yield every label of some cells."""
        for cell in cells:
            for match in self._pattern.finditer(cell.folded):
                phrase = re.sub(r"\s+", " ", match.group())
                yield Hit(cell, match.start(), match.end(), self._weights[phrase])


def beside(layout: Layout, hit: Hit) -> Iterator[tuple[str, float, Cell]]:
    """Yield the texts a label may announce, with a penalty that grows with the distance."""
    if hit.after.strip(" .:#"):
        yield hit.after, 0, hit.cell
    for distance, cell in enumerate(layout.right_of(hit.cell)[:2]):
        yield cell.text, 0.5 + distance, cell
    for cell in layout.beneath(hit.cell, lines=_BENEATH):
        yield cell.text, 1.5 + (cell.line - hit.cell.line), cell


def contains_word(text: str, phrases: tuple[str, ...], *, beside: str = "") -> bool:
    """Tell whether one of the phrases begins a word of the text; those that are part of `beside` do not count."""
    return any(match.group() not in beside for match in _beginnings(phrases).finditer(text))


@cache
def _beginnings(phrases: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<![a-z0-9]){re.escape(phrase)}" for phrase in phrases))


def _alternation(phrases: tuple[str, ...]) -> re.Pattern[str]:
    ordered = sorted(phrases, key=len, reverse=True)
    return re.compile("|".join(_bounded(phrase) for phrase in ordered))


def _bounded(phrase: str) -> str:
    body = re.escape(phrase).replace(r"\ ", r"\s+")
    tail = r"(?![a-z])" if phrase[-1].isalnum() else ""
    return rf"(?<![a-z0-9]){body}{tail}" if phrase[0].isalnum() else body + tail
