"""How a long document is taken apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.document.model import Document, Page
from pipeline.document.parts import (
    PageLine,
    Part,
    PartSettings,
    lines_of,
    next_part,
    pages_of,
    parts_needed,
    size_of,
    text_of,
)

SETTINGS = PartSettings()


def pages(*counts: int, width: int = 79) -> tuple[PageLine, ...]:
    """Return pages with so many lines each."""
    return tuple(PageLine(page, "x" * width) for page, count in enumerate(counts, 1) for _ in range(count))


def all_parts(lines: tuple[PageLine, ...], characters: int, settings: PartSettings = SETTINGS) -> list[Part]:
    """Take parts to the end, or as far as it goes."""
    parts: list[Part] = []
    while not parts or parts[-1].end < len(lines):
        part = next_part(lines, parts[-1] if parts else None, characters=characters, settings=settings)
        if part is None:
            break
        parts.append(part)
    return parts


@pytest.mark.parametrize(
    ("counts", "characters", "named"),
    [
        ((10, 10, 10), 10_000, ["pages 1 to 3"]),
        ((10, 10, 10, 10), 1800, ["pages 1 to 2", "pages 2 to 3", "pages 3 to 4"]),
        ((10, 10, 10, 10, 10), 2600, ["pages 1 to 3", "pages 3 to 5"]),
        # Two pages do not fit together: some lines of the one before are repeated.
        ((10, 10), 1100, ["page 1", "pages 1 to 2"]),
        # One page does not fit: it is cut between lines.
        ((30,), 1000, ["page 1"] * 3),
        ((2, 30, 2), 1000, ["page 1", "pages 1 to 2", "page 2", "page 2", "pages 2 to 3"]),
    ],
)
def test_parts_end_with_pages_and_share_one(counts: tuple[int, ...], characters: int, named: list[str]) -> None:
    """The last page of a part is the first of the next where that leaves room, else a few lines are shared."""
    lines = pages(*counts)
    assert [pages_of(lines, part) for part in all_parts(lines, characters)] == named


@given(
    st.lists(st.lists(st.integers(0, 120), min_size=1, max_size=30), min_size=1, max_size=8),
    st.integers(200, 4000),
    st.integers(1, 12),
)
def test_no_line_is_lost_and_no_part_is_too_large(widths: list[list[int]], characters: int, overlap: int) -> None:
    """Whatever the pages, parts follow on each other without a gap, each fits, and they reach the end."""
    lines = tuple(PageLine(page, "x" * width) for page, row in enumerate(widths, 1) for width in row)
    parts = all_parts(lines, characters, PartSettings(overlap_lines=overlap))
    assert (parts[0].start, parts[-1].end) == (0, len(lines))
    assert all(size_of(lines, part) <= characters for part in parts)
    assert all(one.start < other.start <= one.end < other.end for one, other in pairwise(parts))


def test_a_line_that_fits_nowhere_ends_the_division() -> None:
    """What cannot be made small enough is said to be so instead of being cut."""
    lines = (PageLine(1, "short"), PageLine(1, "x" * 900), PageLine(1, "short"))
    assert all_parts(lines, 500) == [Part(0, 1)]
    assert parts_needed(lines, characters=500, settings=SETTINGS) == SETTINGS.most + 1


def test_the_number_of_parts_is_known_before_the_first() -> None:
    """A document that would need more parts than allowed shows it without being read."""
    lines = pages(*[10] * 20)
    assert parts_needed(lines, characters=2600, settings=SETTINGS) == len(all_parts(lines, 2600))
    assert parts_needed(lines, characters=2600, settings=PartSettings(most=3)) == 4


def test_a_part_names_its_pages() -> None:
    """The text of a part says which pages it shows, and where it begins within one."""
    document = Document("a.txt", "0" * 64, 1, "text/plain", (Page(1, "one\ntwo"), Page(2, "three")))
    lines = lines_of(document)
    assert text_of(lines, Part(0, 3)) == "[page 1 of 2]\none\ntwo\n[page 2 of 2]\nthree"
    assert text_of(lines, Part(1, 2)) == "[page 1 of 2, continued]\ntwo"


def test_the_head_of_a_table_that_is_cut_is_repeated() -> None:
    """A part that begins in the middle of a table has the names of its columns."""
    lines = tuple(PageLine(1, text) for text in ("Thing   Number   Sum", "Rope   1   3.00", "Hook   2   4.00"))
    assert text_of(lines, Part(2, 3)) == "[page 1 of 1, continued]\nThing   Number   Sum\nHook   2   4.00"
