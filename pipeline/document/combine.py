"""Join what two readers made of one PDF: page by page the better text, with the places of its words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import PAGED_TYPES, PDF_TYPE, RECOGNISED, Document, Notice, Page, PageReason, Word
from pipeline.document.refusal import Reason, refusal
from pipeline.document.rows import rows_of
from pipeline.document.text import clean, visible_characters
from pipeline.document.usable import doubt_of


def combined(first: Document, second: Document | None, *, settings: ReadingSettings) -> Document:
    """Return the document with the best text of each page; raise `DocumentError` where no page has any."""
    return finished(joined(first, second), settings=settings)


def joined(first: Document, second: Document | None) -> Document:
    """Return the document with the best text of each page, which may be none.

    The first reader's text stays unless it is missing, garbled or lacks much of what the second one sees; each such
    page says so. What is no PDF is complete as it is.
    """
    if first.media_type != PDF_TYPE:
        return first
    others = {page.number: page for page in second.pages} if second is not None else {}
    pages = [_seen(page, others.pop(page.number, None)) for page in first.pages]
    pages += [_taken(page, PageReason.MISSING) for page in others.values() if page.words]
    if first.fields:
        pages[-1] = _with_fields(pages[-1], first.fields)
    return replace(first, pages=tuple(pages))


def finished(document: Document, *, settings: ReadingSettings, hint: Callable[[], str] = str) -> Document:
    """Return the document with what is to be said of its pages; raise `DocumentError` where none has text.

    `hint` is asked what would help to read it.
    """
    if document.media_type not in PAGED_TYPES:
        return document
    pages = document.pages
    # A scan with an e-invoice in it is read from there.
    seen = document.attachments or any(page.picture for page in pages)
    if not seen and sum(visible_characters(page.text) for page in pages) < settings.min_pdf_characters:
        # What kept its pictures from being read says more than that there is no text.
        known = next((notice.text for notice in document.notices if notice.gap), "")
        # A picture may be named .pdf: then this says what it is.
        detail = "" if document.media_type == PDF_TYPE else "is a picture in which no text can be read"
        raise refusal(Reason.NO_TEXT, document.name, detail=detail, hint=f"{known} {hint()}".strip())
    if sum(max(len(page.text), len(page.plain)) for page in pages) > settings.max_characters:
        raise refusal(Reason.TOO_LARGE, document.name, detail="holds far more text than an invoice")
    notices = (notice for page in pages for notice in _notices(page))
    return replace(document, notices=(*document.notices, *notices))


def recovered(second: Document) -> Document:
    """Return a document that only the second reader can open."""
    pages = tuple(_taken(page, PageReason.DAMAGED) for page in second.pages)
    return joined(replace(second, pages=pages), None)


# Below this share of the other reader's words a text counts as incomplete.
_COMPLETE = 0.9
# What can be seen on these pages is known: the second reader adds places only.
_LOOKED_AT = frozenset({PageReason.HIDDEN, PageReason.UNDERLAY})
_NOT_ALL = frozenset({PageReason.DAMAGED, PageReason.INCOMPLETE})
_SPACES = re.compile(r"\s+")


def _seen(page: Page, other: Page | None) -> Page:
    """Return the better page; it says so where its text lies unseen under a picture, and where nothing is on it."""
    better = _better(page, other)
    is_emptied = better.reason == PageReason.HIDDEN and not better.text.strip()
    if other is not None and other.reason == PageReason.UNDERLAY and (is_emptied or not better.reason):
        return replace(better, reason=PageReason.UNDERLAY)
    if other is not None and other.reason == PageReason.BLANK and better.reason == PageReason.NO_TEXT:
        return replace(better, reason=PageReason.BLANK)
    return better


def _better(page: Page, other: Page | None) -> Page:
    doubt = page.reason or doubt_of(page.text) or ""
    if other is None or not other.words:
        return replace(page, reason=doubt)
    if doubt and doubt not in _LOOKED_AT:
        taken = _taken(other, doubt)
        return replace(page, reason=doubt) if doubt_of(taken.text) else taken
    words = _words_on_both(page, other)
    seen = _letters(words) / max(1, _letters(other.words))
    if doubt in _LOOKED_AT or seen >= _COMPLETE:
        return replace(page, width=other.width, height=other.height, words=words)
    # With next to nothing in common it is another page: broken page trees are counted in more than one way.
    if seen < 1 - _COMPLETE:
        return page
    if _letters(other.words) > visible_characters(max(page.text, page.plain, key=visible_characters)):
        return _taken(other, PageReason.INCOMPLETE)
    return replace(page, reason=PageReason.INCOMPLETE, width=other.width, height=other.height, words=words)


def _taken(other: Page, reason: PageReason | str) -> Page:
    """Return the second reader's page; its rows are made here, for few pages need them."""
    text = clean(rows_of(other.words)).text
    plain = clean(other.plain).text
    return replace(other, text=text, plain=plain if plain.split() != text.split() else "", reason=reason)


def _with_fields(page: Page, fields: tuple[str, ...]) -> Page:
    lines = "\n".join(["Form fields:", *fields])
    return replace(page, text=f"{page.text}\n\n{lines}".lstrip())


def _words_on_both(page: Page, other: Page) -> tuple[Word, ...]:
    """Return the other's words that the page's text has as well."""
    text = f"{_dense(page.text)}\n{_dense(page.plain)}"
    return tuple(word for word in other.words if _dense(word.text) in text)


def _letters(words: Sequence[Word]) -> int:
    return sum(len(word.text) for word in words)


def _dense(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text.replace(" ", "")
    return _SPACES.sub("", unicodedata.normalize("NFKC", clean(text).text))


def _notices(page: Page) -> Iterator[Notice]:
    if page.text.strip():
        if page.reason == PageReason.UNDERLAY and page.reader != RECOGNISED:
            words = f"Page {page.number} is a picture with invisible text under it, which may differ from what is seen."
            yield Notice(words, gap=True)
        if page.reason in _NOT_ALL:
            # A reader goes as far as the damage, and does not say how much it left out.
            yield Notice(f"Page {page.number} is damaged; what could be read of it may not be all.", gap=True)
        if page.reason == PageReason.UNMAPPED and doubt_of(page.text):
            yield Notice(f"The letters of page {page.number} make no words; the file may not say what they mean.")
    elif page.picture:
        words = f"Page {page.number} is a picture without text; what is on it could not be checked."
        yield Notice(words, gap=True)
    elif page.reason == PageReason.DAMAGED:
        yield Notice(f"Page {page.number} is damaged and could not be read.", gap=True)
    else:
        yield Notice(f"Page {page.number} has no text, perhaps a picture.")
