"""Several invoices in one file: which page belongs to which, and a job for each."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.splitting import Role, Signs, split_document, split_pages

MAY, JUNE = frozenset({datetime.date(2026, 5, 3)}), frozenset({datetime.date(2026, 6, 3)})
ACME, BOLT = frozenset({"DE123456789"}), frozenset({"FR12345678901"})


def first(page: int, number: str = "", **more: object) -> Signs:
    """Return the signs of a page with a title and a total."""
    numbers = (number,) if number else ()
    return Signs(page, numbers=numbers, has_title=True, has_total=True, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pages", "parts"),
    [
        ([first(1, "A-1"), first(2, "A-2")], [[1], [2]]),
        ([first(1, "A-1"), first(2, "A-1")], [[1, 2]]),
        ([first(1, "A-1"), first(2, "2026 A-1")], [[1, 2]]),
        ([first(1, "A-1", marker=(1, 2)), first(2, marker=(2, 2)), first(3, "A-2")], [[1, 2], [3]]),
        ([first(1, marker=(1, 1)), first(2, marker=(1, 1))], [[1], [2]]),
        ([first(1, identities=ACME), first(2, identities=BOLT)], [[1], [2]]),
        ([first(1, identities=ACME), first(2, identities=ACME)], [[1, 2]]),
        ([first(1, "7", identities=ACME), first(2, "7", identities=BOLT)], [[1], [2]]),
        ([first(1, days=MAY), first(2, days=JUNE)], [[1], [2]]),
        ([first(1, "A-1"), Signs(2), Signs(3), first(4, "A-2"), Signs(5)], [[1, 2, 3], [4, 5]]),
        ([first(1, "A-1"), first(2, "B-9", role=Role.TERMS)], [[1, 2]]),
        ([Signs(1), first(2, "A-1")], [[1, 2]]),
        # A file that was numbered as a whole.
        ([first(1, "A-1", marker=(1, 2)), first(2, "A-2", marker=(2, 2))], [[1], [2]]),
    ],
)
def test_pages_are_put_to_their_invoices(pages: list[Signs], parts: list[list[int]]) -> None:
    """Another number, `page 1 of`, another vendor or day begins an invoice; the rest belongs to the one before."""
    split = split_pages(pages)
    assert [list(part.page_numbers) for part in split.parts] == parts
    assert not split.doubt


@pytest.mark.parametrize(
    "pages",
    [
        [first(1, "A-1"), first(2, "A-2"), first(3, "A-1")],
        [first(1, "A-1"), Signs(2, numbers=("A-2",), has_title=True)],
        [first(1, "A-1", days=MAY), Signs(2, has_total=True, days=JUNE)],
    ],
)
def test_contradicting_signs_split_nothing_and_are_told(pages: list[Signs]) -> None:
    """Mixed pages, an invoice without a total, a page that only may be another invoice: a person has to look."""
    split = split_pages(pages)
    assert len(split.parts) == 1
    assert [(one.code, one.severity) for one in split.findings()] == [("several_invoices", Severity.ERROR)]


PAGES = st.lists(
    st.builds(
        Signs,
        st.just(0),
        numbers=st.lists(st.sampled_from(["A1", "B2", "C3"]), max_size=2).map(tuple),
        marker=st.none() | st.tuples(st.integers(1, 3), st.just(3)),
        has_title=st.booleans(),
        has_total=st.booleans(),
        identities=st.sampled_from([frozenset(), ACME, BOLT]),
        days=st.sampled_from([frozenset(), MAY, JUNE]),
        role=st.sampled_from(Role),
    ),
    min_size=1,
    max_size=8,
)


@given(PAGES)
def test_every_page_is_in_exactly_one_part(pages: list[Signs]) -> None:
    """Whatever the signs are, no page is lost, doubled or moved, and every part of a split has a total."""
    numbered = [Signs(**{**vars(page), "page": number}) for number, page in enumerate(pages, 1)]
    split = split_pages(numbered)
    assert [page.page for part in split.parts for page in part.pages] == [page.page for page in numbered]
    assert len(split.parts) == 1 or all(part.has_total for part in split.parts)


INVOICE = """Lantern Works Ltd                      INVOICE
VAT no. GB123456782
Invoice number: {}
Date: 2025-03-04
Lamp repair              100.00
VAT 20 %                  20.00
Total GBP                120.00
"""


def document(*pages: str) -> Document:
    """Return a document of these pages."""
    return Document("x", "0" * 64, 1, "text/plain", tuple(Page(at, text) for at, text in enumerate(pages, 1)))


def test_pages_of_text_are_told_apart() -> None:
    """Number, terms and attachments are seen in the text of the pages."""
    terms = "General terms\n1. We sell lamps. Invoice number: 0815"
    times = "Timesheet\nMonday 8 h"
    split = split_document(document(INVOICE.format("LW-1"), terms, INVOICE.format("LW-2"), times))
    assert [part.page_numbers for part in split.parts] == [(1, 2), (3, 4)]
    assert [(one.code, one.message) for one in split.findings()] == [
        ("page_beside", "Page 2 looks like terms and conditions."),
        ("page_beside", "Page 4 looks like an attachment."),
    ]


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        ("Page 2 of 3", (2, 3)),
        ("Seite: 1/4", (1, 4)),
        ("Página 1 de 2", (1, 2)),
        ("Strona 2 z 2", (2, 2)),
        ("   3 / 7  ", (3, 7)),
        ("Page 4 of 3", None),
        ("Model 1/2 inch", None),
    ],
)
def test_page_marks_are_read(text: str, marker: tuple[int, int] | None) -> None:
    """`Page 2 of 3` in several languages, or alone on its line, says where a page belongs."""
    other = "Invoice 1\nTotal 1.00 EUR"
    split = split_document(document(f"Rest\n{text}\n", other))
    assert split.parts[0].pages[0].marker == marker


def test_files_are_not_split_by_this_alone() -> None:
    """One page is one invoice, whatever stands on it; what it holds twice is told by the checks."""
    split = split_document(document(INVOICE.format("LW-1") + INVOICE.format("LW-2")))
    assert len(split.parts) == 1
