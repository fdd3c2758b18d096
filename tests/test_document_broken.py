"""Broken files: which reader reads them, and that nothing is lost that either of them reads."""

from __future__ import annotations

from pathlib import Path

import broken_pdfs
import pytest
from odd_files import save

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document, Notice
from pipeline.document.parse import parse_file
from pipeline.document.reader import DocumentReader
from pipeline.document.scan.settings import ScanSettings
from pipeline.document.second import parse_again
from pipeline.errors import DocumentError

SETTINGS = ReadingSettings()


def read(folder: Path, data: bytes) -> Document:
    path = save(folder, "broken.pdf", data)
    first = parse_file(path, name=path.name, settings=SETTINGS)
    try:
        second = parse_again(path, name=path.name, settings=SETTINGS)
    except DocumentError:
        second = None
    return combined(first, second, settings=SETTINGS)


@pytest.mark.parametrize(
    ("data", "reader", "reason"),
    [
        (broken_pdfs.broken_xref(), "pypdf", ""),
        (broken_pdfs.missing_endobj(), "pypdf", ""),
        (broken_pdfs.root_elsewhere(), "pypdf", ""),
        (broken_pdfs.cut_stream(), "pypdf", ""),
        (broken_pdfs.wrong_length(0), "pypdf", ""),
        (broken_pdfs.wrong_length(20), "pypdf", ""),
        (broken_pdfs.wrong_length(5000), "pypdf", ""),
        (broken_pdfs.nested_forms(), "pypdf", ""),
        *((broken_pdfs.rotated(degrees), "pypdf", "") for degrees in (90, 180, 270)),
        (broken_pdfs.odd_filter(), "pypdfium2", "damaged"),
        (broken_pdfs.resources_missing(), "pypdfium2", "no_text"),
        (broken_pdfs.font_of_wrong_kind(), "pypdfium2", "unmapped"),
    ],
)
def test_each_page_comes_from_the_reader_that_reads_it(tmp_path: Path, data: bytes, reader: str, reason: str) -> None:
    """The first reader is asked first; where it fails the second one's text is taken, and the page says why.

    Where a part may be missing, a person is to look.
    """
    document = read(tmp_path, data)
    (page,) = document.pages
    assert [notice.gap for notice in document.notices] == [True] * (reason == "damaged")
    assert (page.reader, page.reason) == (reader, reason)
    assert "BP-1042" in page.text
    assert any("96.00" in line and "Total due" in " ".join(line.split()) for line in page.text.split("\n"))


def test_text_without_a_mapping_is_told_from_words(tmp_path: Path) -> None:
    """Where no reader knows what the letters mean, the page says so instead of passing them on in silence."""
    document = read(tmp_path, broken_pdfs.unmapped())
    assert (document.pages[0].reader, document.pages[0].reason) == ("pypdf", "unmapped")
    assert [notice.gap for notice in document.notices] == [False]


async def test_a_file_that_the_first_reader_cannot_open_is_recovered(tmp_path: Path) -> None:
    """The second reader's text is taken for the whole file, with a notice that not all may be there."""
    path = save(tmp_path, "odd.pdf", broken_pdfs.table_without_its_word())
    async with DocumentReader(scan=ScanSettings(method="off")) as reader:
        document = await reader.read(path)
    assert "BP-1042" in document.text
    assert [(page.reader, page.reason) for page in document.pages] == [("pypdfium2", "damaged")]
    assert document.notices == (Notice("Page 1 is damaged; what could be read of it may not be all.", gap=True),)


def test_text_that_nobody_sees_does_not_come_from_the_second_reader(tmp_path: Path) -> None:
    """White on white, unpainted, tiny and off the page is left out; white on black is read."""
    path = save(tmp_path, "hidden.pdf", broken_pdfs.hidden_and_shown())
    (page,) = parse_again(path, name=path.name, settings=SETTINGS).pages
    for text in (" ".join(word.text for word in page.words), page.plain):
        assert "Whiteonblack" in text
        assert "BP-1042" in text
        assert not any(hidden in text for hidden in ("Whiteonwhite", "Unpainted", "Tinyprint", "Offpage"))
