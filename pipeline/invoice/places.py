"""Where on its page a text of the document stands: from the lines that were searched back to the words' boxes.

Lines and words come from different readers, so they are matched by their letters and digits. What does not match
surely has no box.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice, takewhile
from typing import NamedTuple

from pipeline.document.model import Box, Page, Word
from pipeline.document.rows import group_rows
from pipeline.invoice.words import squeeze, words_of


class Places:
    """Answer where texts of a document stand; a page without words has no places."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = {page.number: page for page in pages if page.words}
        self._rows: dict[int, list[_Row]] = {}

    def of_span(self, page: int, line: str, start: int, end: int, *, nth: int = 0) -> Box | None:
        """Return the box of a part of a line; `nth` tells lines alike apart, counted down the page."""
        wanted = squeeze(line[start:end])
        if not wanted or page not in self._pages:
            return None
        before, after = squeeze(line[:start]), squeeze(line[end:])
        found = [
            _Found(like, _context(row, at, wanted, before, after), row.box(at, len(wanted)))
            for like, row in self._rows_like(page, line, least=_MERGED, or_within=True)
            for at in row.places(wanted)
        ]
        return _settled(found, nth)

    def of_wording(self, page: int, lines: Sequence[str], wording: str, *, nth: int = 0) -> Box | None:
        """Return the box around the words of a text that stands in these lines, perhaps beside other columns."""
        if page not in self._pages:
            return None
        box = self._in_one_row(page, lines[0], wording, nth) if len(lines) == 1 else None
        return box or self._followed(page, lines, wording, nth)

    def _in_one_row(self, page: int, line: str, wording: str, nth: int) -> Box | None:
        wanted = squeeze(wording)
        rows = self._rows_like(page, line, least=_ALIKE)
        if not wanted:
            # A sign without a letter or digit, such as that of a currency.
            signs = ((like, word) for like, row in rows for word in row.words if wording in word.text)
            return _settled([_Found(like, 0, word.box) for like, word in signs], nth)
        return _settled(
            [_Found(like, 0, row.box(at, len(wanted))) for like, row in rows for at in row.places(wanted)], nth
        )

    def _rows_of(self, page: int) -> list[_Row]:
        if page not in self._rows:
            self._rows[page] = [_row(words) for words in _level_rows(self._pages[page])]
        return self._rows[page]

    def _followed(self, page: int, lines: Sequence[str], wording: str, nth: int) -> Box | None:
        """Return the box around the words that go along with a text from line to line, if they are most of it."""
        wanted = words_of(wording)
        taken: list[Word] = []
        position = letters = 0
        for line in lines:
            row = self._row_like(page, line, nth)
            for word in row.words if row is not None else ():
                parts = words_of(word.text)
                here = _position_of(parts, wanted, position)
                if here is not None:
                    position = here + len(parts)
                    letters += sum(map(len, parts))
                    taken.append(word)
        if not taken or letters < _MOST * sum(map(len, wanted)):
            return None
        return reduce(Box.around, (word.box for word in taken))

    def _row_like(self, page: int, line: str, nth: int) -> _Row | None:
        rows = self._rows_like(page, line, least=_ALIKE)
        best = max((like for like, _ in rows), default=0.0)
        alike = [row for like, row in rows if like == best]
        return alike[nth] if nth < len(alike) else None

    def _rows_like(self, page: int, line: str, *, least: float, or_within: bool = False) -> list[tuple[float, _Row]]:
        """Return the rows that have enough of a line, or that are wholly a part of it."""
        letters = Counter(words_of(line))
        rows = [(round(_likeness(letters, row), 3), row) for row in self._rows_of(page)]
        return [(like, row) for like, row in rows if like >= least or (or_within and _is_within(row, letters))]


# This share of a line's letters must be in the row that is taken for it; less where the line may be two rows in one.
_ALIKE = 0.5
_MERGED = 0.3
_MIN_ROW_LETTERS = 8
# This share of a text's letters must be in the words of its box.
_MOST = 0.7
# A text may go on behind so many words that were not found.
_SKIPPED = 3
_CONTEXT_LETTERS = 40


class _Row(NamedTuple):
    """Hold the words of a row, their letters in one string, the word of each letter, and all words as they compare."""

    words: tuple[Word, ...]
    letters: str
    owners: tuple[int, ...]
    parts: Counter[str]

    def places(self, wanted: str) -> Iterator[int]:
        """Yield where the letters stand without cutting a number in two."""
        at = self.letters.find(wanted) if wanted else -1
        while at >= 0:
            if not self._cuts(at) and not self._cuts(at + len(wanted)):
                yield at
            at = self.letters.find(wanted, at + 1)

    def box(self, at: int, length: int) -> Box:
        words = sorted(set(self.owners[at : at + length]))
        return reduce(Box.around, (self.words[word].box for word in words))

    def _cuts(self, at: int) -> bool:
        if not 0 < at < len(self.letters) or self.owners[at - 1] != self.owners[at]:
            return False
        return self.letters[at - 1].isdigit() == self.letters[at].isdigit()


class _Found(NamedTuple):
    likeness: float
    context: int
    box: Box


def _level_rows(page: Page) -> list[list[Word]]:
    """Group the words of a page into rows, also where it was scanned at a slant or on its side."""
    if not page.slant:
        return group_rows(page.words)
    level = {Word(word.text, _levelled(word.box, page.slant)): word for word in page.words}
    return [[level[word] for word in row] for row in group_rows(tuple(level))]


def _levelled(box: Box, slant: float) -> Box:
    """Return where a box stands once its lines are level; only what is beside what matters, not where it all lies."""
    quarters = round(slant / 90)
    for _ in range(quarters % 4):
        box = Box(box.top, -box.right, box.bottom, -box.left)
    up = math.tan(math.radians(slant - 90 * quarters)) * (box.left + box.right) / 2
    return Box(box.left, box.top - up, box.right, box.bottom - up)


def _row(words: Sequence[Word]) -> _Row:
    squeezed = [squeeze(word.text) for word in words]
    owners = tuple(number for number, letters in enumerate(squeezed) for _ in letters)
    parts = Counter(part for word in words for part in words_of(word.text))
    return _Row(tuple(words), "".join(squeezed), owners, parts)


def _likeness(line: Counter[str], row: _Row) -> float:
    """Return the share of a line's letters that are in words of the row, a little less for what the row has more."""
    shared = sum(len(part) * count for part, count in (line & row.parts).items())
    own = sum(len(part) * count for part, count in line.items())
    return shared / max(1, own) - 0.1 * (len(row.letters) - shared) / max(1, len(row.letters))


def _is_within(row: _Row, line: Counter[str]) -> bool:
    return len(row.letters) >= _MIN_ROW_LETTERS and all(line[part] >= count for part, count in row.parts.items())


def _context(row: _Row, at: int, wanted: str, before: str, after: str) -> int:
    """Return how many letters around a place in the row are those around the text in its line."""
    left = _alike(reversed(row.letters[:at]), reversed(before))
    return left + _alike(row.letters[at + len(wanted) :], after)


def _alike(one: Iterable[str], other: Iterable[str]) -> int:
    """Return how many letters two texts have in common from their start."""
    pairs = islice(zip(one, other, strict=False), _CONTEXT_LETTERS)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _settled(found: Sequence[_Found], nth: int) -> Box | None:
    """Return the box of the likeliest place; of several that are alike the one that stands there as often before."""
    best = max(((one.likeness, one.context) for one in found), default=None)
    alike = [one.box for one in found if (one.likeness, one.context) == best]
    return alike[nth] if nth < len(alike) else None


def _position_of(parts: Sequence[str], wanted: Sequence[str], position: int) -> int | None:
    """Return where the parts of a word go on in a text, a few words on at most."""
    for here in range(position, min(position + _SKIPPED + 1, len(wanted))):
        if parts and list(wanted[here : here + len(parts)]) == list(parts):
            return here
    return None
