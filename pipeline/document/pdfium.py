"""Text, places of words and pictures of pages by PDFium; the only module that knows pypdfium2.

PDFium has no limits of its own and ends the process when memory runs out: call this only in a process made for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Box, Word
from pipeline.document.refusal import Reason, refusal


class PdfiumPage(NamedTuple):
    """Hold a page as PDFium reads it: its text in the order of the file, and its words with their places.

    `error` says that the page could not be read; it is counted all the same.
    """

    number: int
    width: float
    height: float
    text: str
    words: tuple[Word, ...]
    error: bool = False


def read_pages(data: bytes, *, name: str, settings: ReadingSettings) -> Iterator[PdfiumPage]:
    """Yield every page, or raise `DocumentError` where the file cannot be opened or goes beyond the settings."""
    with _opened(data, name=name, settings=settings) as pdf:
        room = settings.max_characters
        for number in range(1, len(pdf) + 1):
            page = _read_page(pdf, number, room=room, max_words=settings.max_words_per_page)
            if page is None:
                raise refusal(Reason.TOO_LARGE, name, detail="holds far more text than an invoice")
            room -= len(page.text)
            yield page


class DrawnPage(NamedTuple):
    """Hold a page drawn in grey, a byte a pixel with `stride` bytes a row; its size is in points."""

    grey: bytes
    rows: int
    columns: int
    stride: int
    width: float
    height: float
    of: int


def draw_page(
    data: bytes, number: int, *, name: str, dpi: int, max_pixels: int, settings: ReadingSettings
) -> DrawnPage:
    """Return a page of a PDF as it is seen, filled-in forms and all, in fewer dots per inch where it is large."""
    with _opened(data, name=name, settings=settings) as pdf:
        if not 1 <= number <= len(pdf):
            raise refusal(Reason.DAMAGED, name)
        pdf.init_forms()
        page = pdf.get_page(number - 1)
        width, height = page.get_size()
        scale = min(dpi / 72, (max_pixels / max(1.0, width * height)) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True)
        grey = bytes(bitmap.buffer)
        drawn = DrawnPage(grey, bitmap.height, bitmap.width, bitmap.stride, round(width, 1), round(height, 1), len(pdf))
        bitmap.close()
        page.close()
        return drawn


# What PDFium gives for a hyphen at the end of a line, and for one whose glyph is not mapped.
_HYPHENS = frozenset({0x02, 0xFFFE})


@contextmanager
def _opened(data: bytes, *, name: str, settings: ReadingSettings) -> Iterator[pdfium.PdfDocument]:
    try:
        pdf = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        locked = raw.FPDF_GetLastError() == raw.FPDF_ERR_PASSWORD
        raise refusal(Reason.ENCRYPTED if locked else Reason.DAMAGED, name) from error
    try:
        if len(pdf) > settings.max_pages:
            detail = f"has {len(pdf)} pages; up to {settings.max_pages} are read"
            raise refusal(Reason.TOO_MANY_PAGES, name, detail=detail)
        yield pdf
    finally:
        pdf.close()


def _read_page(pdf: pdfium.PdfDocument, number: int, *, room: int, max_words: int) -> PdfiumPage | None:
    """Return the page, or None where it holds more characters than there is room for."""
    try:
        page = pdf.get_page(number - 1)
        glyphs = page.get_textpage()
    except pdfium.PdfiumError:
        return PdfiumPage(number, 0, 0, "", (), error=True)
    try:
        count = glyphs.count_chars()
        if count > room:
            return None
        codes = [raw.FPDFText_GetUnicode(glyphs, index) for index in range(count)]
        signs = ["-" if code in _HYPHENS else chr(code) for code in codes]
        words = _words(glyphs, signs, _seen_from(page), limit=max_words)
        width, height = page.get_size()
        return PdfiumPage(number, round(width, 1), round(height, 1), _text(signs), words)
    finally:
        glyphs.close()
        page.close()


def _words(
    glyphs: pdfium.PdfTextPage, signs: list[str], place: Callable[[Box], Box], *, limit: int
) -> tuple[Word, ...]:
    """Return the words with their places; a word is a run of signs without a blank."""
    words: list[Word] = []
    start = -1
    for index, sign in enumerate([*signs, " "]):
        if not (sign.isspace() or sign == "\0"):
            start = index if start < 0 else start
            continue
        if start >= 0:
            box = _box(glyphs, start, index - 1)
            if box is not None:
                words.append(Word(_text(signs[start:index]), place(box)))
            start = -1
        if len(words) == limit:
            break
    return tuple(words)


def _box(glyphs: pdfium.PdfTextPage, first: int, last: int) -> Box | None:
    """Return the box around two signs and what stands between them, with the page's own axes (upwards)."""
    ends = [box for box in (_glyph_box(glyphs, first), _glyph_box(glyphs, last)) if box is not None]
    return ends[0].around(ends[-1]) if ends else None


def _glyph_box(glyphs: pdfium.PdfTextPage, index: int) -> Box | None:
    rect = raw.FS_RECTF()
    # The loose box is as high as the font: words of a line get the same height, whatever their letters.
    if not raw.FPDFText_GetLooseCharBox(glyphs, index, ctypes.byref(rect)):
        return None
    return Box(rect.left, rect.bottom, rect.right, rect.top)


def _seen_from(page: pdfium.PdfPage) -> Callable[[Box], Box]:
    """Return what turns a box on the page's own axes into one from the top left of the page as it is shown."""
    left, bottom, right, top = page.get_bbox()
    rotation = page.get_rotation()

    def place(box: Box) -> Box:
        match rotation:
            case 90:
                seen = (box.top - bottom, box.left - left, box.bottom - bottom, box.right - left)
            case 180:
                seen = (right - box.right, box.top - bottom, right - box.left, box.bottom - bottom)
            case 270:
                seen = (top - box.bottom, right - box.right, top - box.top, right - box.left)
            case _:
                seen = (box.left - left, top - box.bottom, box.right - left, top - box.top)
        return Box(*(round(value, 1) for value in seen))

    return place


def _text(signs: list[str]) -> str:
    # Signs beyond the first plane come in two halves.
    return "".join(signs).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
