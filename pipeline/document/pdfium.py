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
from pipeline.document.model import Box, Page, PageReason, Word
from pipeline.document.refusal import Reason, refusal

READER = "pypdfium2"


def read_pages(data: bytes, *, name: str, settings: ReadingSettings) -> Iterator[Page]:
    """Yield every page with its words and, as `plain`, its text in the order of the file.

    Words that nobody can see on the page are left out. Raise `DocumentError` where the file cannot be opened or goes
    beyond the settings; a page that cannot be read comes without words.
    """
    with _opened(data, name=name, settings=settings) as pdf:
        room = settings.max_characters
        for number in range(1, len(pdf) + 1):
            page = _read_page(pdf, number, name=name, room=room, max_words=settings.max_words_per_page)
            room -= len(page.plain)
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
# Smaller print cannot be read by a person, in points.
_MIN_HEIGHT = 2.0
# Text lighter than this may be lost on white paper; it is looked at (0 is black, 255 white).
_LIGHT = 200
_OPAQUE = 64
# Least difference in lightness between the signs of a word and what is behind them.
_MIN_CONTRAST = 24
_MAX_PICTURE_SIDE = 1500
_UNDERLAY_SHARE = 0.8
_UNPAINTED = frozenset({raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP})


@contextmanager
def _opened(data: bytes, *, name: str, settings: ReadingSettings) -> Iterator[pdfium.PdfDocument]:
    pdf = _open(data, name, settings)
    try:
        if len(pdf) > settings.max_pages:
            detail = f"has {len(pdf)} pages; up to {settings.max_pages} are read"
            raise refusal(Reason.TOO_MANY_PAGES, name, detail=detail)
        yield pdf
    finally:
        pdf.close()


def _open(data: bytes, name: str, settings: ReadingSettings) -> pdfium.PdfDocument:
    """Open the file; one that is locked with the first of the settings' passwords that fits."""
    for password in (None, *(word.get_secret_value() for word in settings.passwords)):
        try:
            return pdfium.PdfDocument(data, password=password)
        except pdfium.PdfiumError as error:
            if raw.FPDF_GetLastError() != raw.FPDF_ERR_PASSWORD:
                raise refusal(Reason.DAMAGED, name) from error
    raise refusal(Reason.ENCRYPTED, name)


def _read_page(pdf: pdfium.PdfDocument, number: int, *, name: str, room: int, max_words: int) -> Page:
    try:
        page = pdf.get_page(number - 1)
        glyphs = page.get_textpage()
    except pdfium.PdfiumError:
        return Page(number, "", reader=READER, reason=PageReason.DAMAGED)
    try:
        if glyphs.count_chars() > room:
            raise refusal(Reason.TOO_LARGE, name, detail="holds far more text than an invoice")
        codes = [raw.FPDFText_GetUnicode(glyphs, index) for index in range(glyphs.count_chars())]
        signs = ["-" if code in _HYPHENS else chr(code) for code in codes]
        runs = _without_unseen(_runs(glyphs, signs, _seen_from(page), limit=max_words), page, signs)
        width, height = (round(side, 1) for side in page.get_size())
        words = tuple(Word(_text(signs[run.start : run.end]), run.box) for run in runs)
        reason = PageReason.UNDERLAY if _is_underlay(glyphs, runs) else ""
        if not runs and _Picture(page).is_blank():
            reason = PageReason.BLANK
        return Page(number, "", _text(signs), READER, reason, width, height, words)
    finally:
        glyphs.close()
        page.close()


class _Run(NamedTuple):
    """Hold a run of signs without a blank; `doubtful` says that a person may not be able to see it."""

    start: int
    end: int
    box: Box
    doubtful: bool


def _runs(glyphs: pdfium.PdfTextPage, signs: list[str], place: Callable[[Box], Box], *, limit: int) -> list[_Run]:
    runs: list[_Run] = []
    start = -1
    for index, sign in enumerate([*signs, " "]):
        if not (sign.isspace() or sign == "\0"):
            start = index if start < 0 else start
            continue
        box = _box(glyphs, start, index - 1) if start >= 0 else None
        if box is not None and len(runs) < limit:
            runs.append(_Run(start, index, place(box), _is_doubtful(glyphs, start)))
        start = -1
    return runs


def _is_underlay(glyphs: pdfium.PdfTextPage, runs: list[_Run]) -> bool:
    """Say whether the text is not what is seen: nearly all of it is invisible and lies under a picture, as in scans."""
    unpainted = sum(_is_unpainted(glyphs, run.start) for run in runs)
    return bool(runs) and unpainted >= _UNDERLAY_SHARE * len(runs)


def _is_unpainted(glyphs: pdfium.PdfTextPage, index: int) -> bool:
    return raw.FPDFTextObj_GetTextRenderMode(raw.FPDFText_GetTextObject(glyphs, index)) in _UNPAINTED


def _is_doubtful(glyphs: pdfium.PdfTextPage, index: int) -> bool:
    """Say whether a sign is painted in no colour, a very light or transparent one."""
    if _is_unpainted(glyphs, index):
        return True
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not raw.FPDFText_GetFillColor(glyphs, index, red, green, blue, alpha):
        return False
    return alpha.value < _OPAQUE or min(red.value, green.value, blue.value) > _LIGHT


def _without_unseen(runs: list[_Run], page: pdfium.PdfPage, signs: list[str]) -> list[_Run]:
    """Leave out runs that cannot be seen: off the page, tiny, or in the colour of what is behind them.

    Their signs become blanks.
    """
    width, height = page.get_size()
    picture = _Picture(page) if any(run.doubtful for run in runs) else None
    kept = []
    for run in runs:
        off_page = run.box.right < 0 or run.box.bottom < 0 or run.box.left > width or run.box.top > height
        tiny = run.box.bottom - run.box.top < _MIN_HEIGHT or run.box.right - run.box.left < _MIN_HEIGHT / 4
        if off_page or tiny or (run.doubtful and picture is not None and not picture.shows(run.box)):
            signs[run.start : run.end] = " " * (run.end - run.start)
        else:
            kept.append(run)
    return kept


class _Picture:
    """Hold a small grey picture of a page."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._scale = min(1.0, _MAX_PICTURE_SIDE / max(*page.get_size(), 1.0))
        bitmap = page.render(scale=self._scale, grayscale=True)
        self._width, self._height, self._stride = bitmap.width, bitmap.height, bitmap.stride
        self._grey = bytes(bitmap.buffer)
        bitmap.close()

    def is_blank(self) -> bool:
        """Say whether nothing stands out at all."""
        rows = (self._grey[row * self._stride : row * self._stride + self._width] for row in range(self._height))
        return all(max(row) - min(row) < _MIN_CONTRAST for row in rows if row)

    def shows(self, box: Box) -> bool:
        """Say whether anything stands out within a box."""
        left, top, right, bottom = (int(value * self._scale) for value in box)
        columns = slice(max(0, left), min(self._width, right + 1))
        rows = range(max(0, top), min(self._height, bottom + 1))
        grey = b"".join(
            self._grey[row * self._stride + columns.start : row * self._stride + columns.stop] for row in rows
        )
        return bool(grey) and max(grey) - min(grey) >= _MIN_CONTRAST


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
