"""Where on its page a text of the document stands: from the lines that were searched back to the words' boxes.

Lines and words come from different readers, so they are matched by their letters and digits. What does not match
surely has no box.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain, islice, takewhile
from typing import NamedTuple, TypeVar

from pipeline.document.model import Box, Page, Word
from pipeline.document.rows import group_rows
from pipeline.invoice.words import squeeze, words_of

T = TypeVar("T")


class Places:
    """Answer where texts of a document stand; a page without words has no places."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = {page.number: page for page in pages if page.words}
        self._rows: dict[int, _Rows] = {}
        self._likely: dict[tuple[int, str], list[_Likely]] = {}

    def of_span(self, page: int, line: str, start: int, end: int, *, nth: int = 0) -> Box | None:
        """Return the box of a part of a line; `nth` tells lines alike apart, counted down the page."""
        wanted = squeeze(line[start:end]) if page in self._pages else ""
        if not wanted:
            return None
        likely = self._rows_like(page, line, least=_MERGED, or_within=True)
        best = [_Found(one, at) for one in likely for at in one.row.places(wanted)]
        best = _best(best, key=lambda found: found.likely.likeness)
        if len(best) > 1:
            before, after = squeeze(line[:start]), squeeze(line[end:])
            best = _best(best, key=lambda found: _context(found.likely.row, found.at, wanted, before, after))
        return best[nth].likely.row.box(best[nth].at, len(wanted)) if nth < len(best) else None

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
            signs = [(one.likeness, word.box) for one in rows for word in one.row.words if wording in word.text]
            boxes = [box for _, box in _best(signs, key=lambda sign: sign[0])]
            return boxes[nth] if nth < len(boxes) else None
        best = _best(
            [_Found(one, at) for one in rows for at in one.row.places(wanted)], key=lambda found: found.likely.likeness
        )
        return best[nth].likely.row.box(best[nth].at, len(wanted)) if nth < len(best) else None

    def _rows_of(self, page: int) -> _Rows:
        if page not in self._rows:
            self._rows[page] = _Rows(_row(words) for words in _level_rows(self._pages[page]))
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
        alike = _best(self._rows_like(page, line, least=_ALIKE), key=lambda one: one.likeness)
        return alike[nth].row if nth < len(alike) else None

    def _rows_like(self, page: int, line: str, *, least: float, or_within: bool = False) -> list[_Likely]:
        """Return the rows that have enough of a line, or that are wholly a part of it."""
        if (page, line) not in self._likely:
            self._likely[page, line] = list(self._rows_of(page).like(line))
        likely = self._likely[page, line]
        return [one for one in likely if one.likeness >= least or (or_within and one.is_within)]


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


class _Likely(NamedTuple):
    """Hold a row with words of a line: how much like the line it is, and whether all of it is in the line."""

    likeness: float
    is_within: bool
    row: _Row


class _Found(NamedTuple):
    likely: _Likely
    at: int


class _Rows:
    """Hold the rows of a page, to be found by their words."""

    def __init__(self, rows: Iterable[_Row]) -> None:
        self._rows = tuple(rows)
        self._by_word: dict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(self._rows):
            for word in row.parts:
                self._by_word[word].append(number)

    def like(self, line: str) -> Iterator[_Likely]:
        """Yield the rows that have a word of the line, down the page."""
        words = Counter(words_of(line))
        own = sum(len(word) * count for word, count in words.items())
        shared: Counter[int] = Counter()
        for word, count in words.items():
            for number in self._by_word.get(word, ()):
                shared[number] += len(word) * min(count, self._rows[number].parts[word])
        for number, letters in sorted(shared.items()):
            row = self._rows[number]
            yield _Likely(round(_likeness(letters, own, row), 3), _is_within(row, words), row)


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
    parts = [words_of(word.text) for word in words]
    squeezed = ["".join(one) for one in parts]
    owners = tuple(number for number, letters in enumerate(squeezed) for _ in letters)
    return _Row(tuple(words), "".join(squeezed), owners, Counter(chain.from_iterable(parts)))


def _likeness(shared: int, own: int, row: _Row) -> float:
    """Return the share of a line's letters that are in words of the row, a little less for what the row has more."""
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


def _best(options: Sequence[T], key: Callable[[T], float]) -> list[T]:
    """Return the options of the highest value, in their order."""
    values = [key(option) for option in options]
    best = max(values, default=None)
    return [option for option, value in zip(options, values, strict=True) if value == best]


def _position_of(parts: Sequence[str], wanted: Sequence[str], position: int) -> int | None:
    """Return where the parts of a word go on in a text, a few words on at most."""
    for here in range(position, min(position + _SKIPPED + 1, len(wanted))):
        if parts and list(wanted[here : here + len(parts)]) == list(parts):
            return here
    return None
