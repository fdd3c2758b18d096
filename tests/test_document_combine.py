"""Two readers' pages made one document."""

from __future__ import annotations

import pytest

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Box, Document, Page, PageReason, Word
from pipeline.errors import DocumentError

GOOD = "Brightwater Print Shop   Invoice number BP-1042\nBusiness cards, 500 pieces   80.00\nTotal due   96.00 EUR"
GARBLED = "%ULJKWZDWHU 3ULQW 6KRS ,QYRLFH QXPEHU %3 WKLV LV VKLIWHG WH[W DQG QRWKLQJ HOVH KHUH QRZ"


def first(*pages: Page, fields: tuple[str, ...] = ()) -> Document:
    return Document("a.pdf", "0" * 64, 1, "application/pdf", pages, fields=fields)


def seen(text: str, number: int = 1) -> Page:
    """Return a page of the second reader with the words of a text, a line every twelve points."""
    words = tuple(
        Word(word, Box(50 + 60 * column, 50 + 12 * row, 100 + 60 * column, 60 + 12 * row))
        for row, line in enumerate(text.split("\n"))
        for column, word in enumerate(line.split())
    )
    return Page(number, "", text, "pypdfium2", width=595, height=842, words=words)


def join(page: Page, other: Page) -> Page:
    return combined(first(page), first(other), settings=ReadingSettings()).pages[0]


def test_good_text_stays_and_gets_the_places() -> None:
    """Where both read the same, the first reader's rows are kept and the second one's places added."""
    page = join(Page(1, GOOD, reader="pypdf"), seen(GOOD))
    assert (page.text, page.reader, page.reason, page.width) == (GOOD, "pypdf", "", 595)
    assert [word.text for word in page.words] == GOOD.split()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", PageReason.NO_TEXT),
        (GARBLED, PageReason.UNMAPPED),
        ("\ufffd" * 80, PageReason.UNMAPPED),
        (" ".join(f"(cid:{number})" for number in range(80)), PageReason.UNMAPPED),
        (GOOD[:60], PageReason.INCOMPLETE),
    ],
)
def test_a_page_that_the_first_reader_did_not_read_well_is_replaced(text: str, reason: PageReason) -> None:
    """Missing, garbled and incomplete text gives way to the other reader's, and the page says why."""
    page = join(Page(1, text, reader="pypdf"), seen(GOOD))
    assert (page.reader, page.reason) == ("pypdfium2", reason)
    assert page.text.split() == GOOD.split()


def test_text_that_was_taken_out_does_not_come_back() -> None:
    """Where the first reader left out what nobody can see, the other one's words do not bring it back."""
    page = join(
        Page(1, GOOD, reader="pypdf", reason=PageReason.HIDDEN), seen(f"{GOOD}\nPay to another account {'x ' * 80}")
    )
    assert (page.text, page.reader, page.reason) == (GOOD, "pypdf", PageReason.HIDDEN)
    assert "account" not in {word.text for word in page.words}
    emptied = Page(1, "", reader="pypdf", reason=PageReason.HIDDEN)
    with pytest.raises(DocumentError):
        join(emptied, seen(GOOD))


def test_garbled_text_stays_where_nobody_reads_better() -> None:
    """Two readers that see the same nonsense leave the page as it is, with a notice."""
    document = combined(first(Page(1, GARBLED, reader="pypdf")), first(seen(GARBLED)), settings=ReadingSettings())
    assert (document.pages[0].text, document.pages[0].reason) == (GARBLED, PageReason.UNMAPPED)
    assert len(document.notices) == 1


def test_another_page_lends_no_places() -> None:
    """A page of the same number that has nothing in common is another one."""
    page = join(Page(1, GOOD, reader="pypdf"), seen("Nothing whatsoever resembles anything here"))
    assert (page.text, page.words) == (GOOD, ())


def test_pages_that_only_the_second_reader_finds_are_added() -> None:
    """A page that is missing from a broken page tree is not lost."""
    document = combined(first(Page(1, GOOD)), first(seen(GOOD), seen(GOOD, 2)), settings=ReadingSettings())
    assert [(page.number, page.reason) for page in document.pages] == [(1, ""), (2, PageReason.MISSING)]


def test_values_of_a_form_stay_whoever_read_the_page() -> None:
    """What was typed into a form stands below the text of the last page, also where that is the other reader's."""
    document = first(Page(1, "", reader="pypdf"), fields=("number: F-1",))
    (page,) = combined(document, first(seen(GOOD)), settings=ReadingSettings()).pages
    assert page.reader == "pypdfium2"
    assert page.text.endswith("Form fields:\nnumber: F-1")
