"""Put scanned words back into rows with columns, and into blocks in reading order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from pipeline.document.scan.lines import ScannedLine


def rows_of(lines: Sequence[ScannedLine]) -> str:
    """Return the text with what stands side by side on one line, columns kept by blanks."""
    if not lines:
        return ""
    step = _character_width(lines)
    left = min(line.lefts[0] for line in lines)
    return "\n".join(_row(row.cells(), left, step) for row in _rows(lines))


def blocks_of(lines: Sequence[ScannedLine]) -> str:
    """Return the text in reading order: what stands closely below each other with the same left edge is together."""
    blocks: list[list[ScannedLine]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        block = next((block for block in reversed(blocks) if _goes_on(block[-1], line)), None)
        if block is None:
            blocks.append([line])
        else:
            block.append(line)
    return "\n".join(" ".join(word.text for word in line.words) for block in blocks for line in block)


# Lines whose middles are closer than this, in heights of the lower one, stand on one row.
_SAME_ROW = 0.5
# Words closer than this, in heights of their line, have one blank between them.
_BLANK = 0.7
_NEXT_LINE = 1.8
_MOST_COLUMNS = 300


class _Cell(NamedTuple):
    text: str
    left: float
    right: float
    height: float


@dataclass
class _Row:
    middle: float
    height: float
    lines: list[ScannedLine] = field(default_factory=list)

    def cells(self) -> list[_Cell]:
        """Return the row's words from left to right."""
        words = (
            _Cell(word.text, left, right, line.height)
            for line in self.lines
            for word, left, right in zip(line.words, line.lefts, line.rights, strict=True)
        )
        return sorted(words, key=lambda cell: cell.left)


def _rows(lines: Iterable[ScannedLine]) -> list[_Row]:
    rows: list[_Row] = []
    for line in sorted(lines, key=lambda line: line.middle):
        near = [row for row in rows[-3:] if abs(row.middle - line.middle) < _SAME_ROW * min(row.height, line.height)]
        row = min(near, key=lambda row: abs(row.middle - line.middle)) if near else _Row(line.middle, line.height)
        if not near:
            rows.append(row)
        row.lines.append(line)
    return rows


def _row(cells: Sequence[_Cell], left: float, step: float) -> str:
    text = ""
    last = None
    for cell in cells:
        if last is None:
            text = " " * min(_MOST_COLUMNS, round((cell.left - left) / step))
        elif cell.left - last.right < _BLANK * min(cell.height, last.height):
            text += " "
        else:
            text += " " * max(2, min(_MOST_COLUMNS, round((cell.left - left) / step)) - len(text))
        text += cell.text
        last = cell
    return text


def _character_width(lines: Iterable[ScannedLine]) -> float:
    widths = [
        (right - left) / len(word.text)
        for line in lines
        for word, left, right in zip(line.words, line.lefts, line.rights, strict=True)
    ]
    return max(1.0, median(widths))


def _goes_on(above: ScannedLine, line: ScannedLine) -> bool:
    height = min(above.height, line.height)
    return abs(above.lefts[0] - line.lefts[0]) < height and 0 < line.middle - above.middle < _NEXT_LINE * height
