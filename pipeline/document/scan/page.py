"""A page read from its picture: text in rows, words with their places, and which of them are doubtful."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import RECOGNISED, Box, Page, Word
from pipeline.document.scan.engine import Engine
from pipeline.document.scan.lines import ScannedPage, ScannedWord
from pipeline.document.scan.pictures import PagePicture, file_page, pdf_page
from pipeline.document.scan.rows import blocks_of, rows_of
from pipeline.document.scan.settings import ScanSettings
from pipeline.document.text import clean


class SeenPage(NamedTuple):
    """Hold a page as it is seen; `of` counts the pages of its file."""

    page: Page
    of: int


def read_page(
    engine: Engine, data: bytes, number: int, *, name: str, settings: ScanSettings, reading: ReadingSettings
) -> SeenPage:
    """Return a page of a PDF or of a picture file.

    Raise `DocumentError` where there is no such page or it cannot be drawn.
    """
    if b"%PDF-" in data[:1024]:
        picture = pdf_page(data, number, name=name, settings=settings, reading=reading)
    else:
        picture = file_page(data, number, name=name, settings=settings)
    return SeenPage(page_of(engine.read(picture.pixels), picture, number, settings=settings), picture.of)


def page_of(read: ScannedPage, picture: PagePicture, number: int, *, settings: ScanSettings) -> Page:
    """Return the page that lines of words make."""
    lines = read.lines
    text, plain = clean(rows_of(lines)).text, clean(blocks_of(lines)).text
    scale = picture.width / picture.pixels.shape[1]
    words = [word for line in lines for word in line.words]
    return Page(
        number,
        text,
        plain if plain.split() != text.split() else "",
        reader=RECOGNISED,
        width=picture.width,
        height=picture.height,
        words=tuple(Word(clean(word.text).text, _box(word, scale)) for word in words),
        doubtful=tuple(position for position, word in enumerate(words) if word.confidence < settings.min_confidence),
        slant=read.slant,
    )


def _box(word: ScannedWord, scale: float) -> Box:
    return Box(*(round(side * scale, 1) for side in (word.left, word.top, word.right, word.bottom)))
