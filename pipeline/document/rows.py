"""Rows and columns of a page, written with blanks, from words and their places."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pipeline.document.model import Word


def rows_of(words: Sequence[Word]) -> str:
    """Return the words line by line as they stand on the page, columns apart; words up the edge come last."""
    sign = _sign_width([word for word in words if not _is_on_its_side(word)])
    rows = group_rows(words)
    return "\n".join(
        " ".join(word.text for word in row) if _is_on_its_side(row[0]) else _line(row, sign) for row in rows
    )


def group_rows(words: Sequence[Word]) -> list[list[Word]]:
    """Return the words of each row from left to right, rows from the top; words up the edge make one of their own."""
    upright = [word for word in words if not _is_on_its_side(word)]
    aside = [word for word in words if _is_on_its_side(word)]
    rows = [sorted(row, key=lambda word: word.box.left) for row in _grouped(upright)]
    return [*rows, *([aside] if aside else [])]


# Words further apart than this many signs belong to different columns.
_COLUMN_SIGNS = 1.5
_DEFAULT_SIGN_POINTS = 5.0
_ROUNDING_POINTS = 0.001


def _is_on_its_side(word: Word) -> bool:
    width, height = word.box.right - word.box.left, word.box.bottom - word.box.top
    return len(word.text) > 2 and height > 2 * width


def _sign_width(words: Sequence[Word]) -> float:
    widths = [(word.box.right - word.box.left) / len(word.text) for word in words if len(word.text) > 1]
    return max(1.0, statistics.median(widths)) if widths else _DEFAULT_SIGN_POINTS


def _grouped(words: Sequence[Word]) -> list[list[Word]]:
    """Group words whose middles lie within each other's height; the smaller word decides."""
    rows: list[list[Word]] = []
    middles: list[float] = []
    smallest = 0.0
    for word in sorted(words, key=_middle):
        middle, height = _middle(word), _height(word)
        if rows and _is_near(middles, middle, min(smallest, height) / 2) and not _is_taken(rows[-1], word):
            rows[-1].append(word)
            middles.append(middle)
            smallest = min(smallest, height)
        else:
            rows.append([word])
            middles, smallest = [middle], height
    return rows


def _is_near(middles: Sequence[float], middle: float, reach: float) -> bool:
    """Say whether a word is within reach of a row's middle; those before it are all higher up, or level."""
    is_below = middle - middles[-1] > reach + _ROUNDING_POINTS
    return not is_below and abs(middle - math.fsum(middles) / len(middles)) <= reach


def _is_taken(row: Sequence[Word], word: Word) -> bool:
    """Say whether the place of a word is another one's: they share half their width, and are not level."""
    left, _, right, _ = word.box
    middle = _middle(word)
    for other in row:
        other_left, _, other_right, _ = other.box
        shared = min(right, other_right) - max(left, other_left)
        narrower = min(right - left, other_right - other_left)
        if shared > narrower / 2 and abs(_middle(other) - middle) > _height(other) / 4:
            return True
    return False


def _middle(word: Word) -> float:
    return (word.box.top + word.box.bottom) / 2


def _height(word: Word) -> float:
    return word.box.bottom - word.box.top


def _line(row: Sequence[Word], sign: float) -> str:
    line = ""
    end = 0.0
    for word in row:
        if line:
            apart = (word.box.left - end) / sign
            column = round(word.box.left / sign) if apart > _COLUMN_SIGNS else 0
            line += " " * max(2 if apart > _COLUMN_SIGNS else 1, column - len(line))
        else:
            line = " " * max(0, round(word.box.left / sign))
        line += word.text
        end = word.box.right
    return line
