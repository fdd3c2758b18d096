"""From a path to a document; plain blocking code, meant for a reader process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from pipeline.document.attachments import einvoice_text, without_comments, without_embedded_files
from pipeline.document.limits import ReadingSettings
from pipeline.document.load import load
from pipeline.document.model import PDF_TYPE, Attachment, Document, Notice, Page, PageReason
from pipeline.document.pdf import read_pdf
from pipeline.document.refusal import Reason, refusal
from pipeline.document.sniff import Content, Kind, sniff
from pipeline.document.text import clean, hidden_notice


def parse_file(path: Path, *, name: str, settings: ReadingSettings) -> Document:
    """Read a file by its content, whatever its name says; raise `DocumentError` where that cannot be done.

    A PDF is as pypdf reads it: pages may lack text, and what it is worth shows in `combine`.
    """
    data = load(path, name=name, max_bytes=settings.max_bytes)
    content = sniff(data)
    _refuse_unreadable(content, name)
    match content.kind:
        case Kind.PDF:
            read = _Read(PDF_TYPE, *read_pdf(data, name=name, settings=settings))
        case Kind.PICTURE:
            # What it shows is read elsewhere, if it can be read at all.
            read = _Read(content.what, (Page(1, "", reason=PageReason.NO_TEXT),), ())
        case Kind.XML:
            read = _read_xml(content.text, name=name, settings=settings)
        case _:
            parts = content.text.split("\f")
            pages, notices = _read_text(parts, (), name=name, settings=settings)
            read = _Read("text/plain", pages, notices, einvoice_text(name, content.text))
    return Document(
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        media_type=read.media_type,
        pages=read.pages,
        notices=(*_mislabelled(content, name), *read.notices),
        attachments=read.attachments,
        fields=read.fields,
    )


class _Read(NamedTuple):
    media_type: str
    pages: tuple[Page, ...]
    notices: tuple[Notice, ...]
    attachments: tuple[Attachment, ...] = ()
    fields: tuple[str, ...] = ()


_KINDS_BY_SUFFIX = {
    ".pdf": Kind.PDF,
    ".xml": Kind.XML,
    ".txt": Kind.TEXT,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff"), Kind.PICTURE),
}


def _refuse_unreadable(content: Content, name: str) -> None:
    claimed = _claimed_kind(name)
    match content.kind:
        case Kind.FOREIGN:
            raise refusal(Reason.UNSUPPORTED, name, detail=f"is {content.what}", hint=content.hint)
        # Text named .pdf or .png is an error message or a broken download far more often than a document.
        case Kind.BINARY | Kind.TEXT | Kind.XML if claimed is Kind.PDF:
            raise refusal(Reason.NOT_A_PDF, name)
        case Kind.BINARY | Kind.TEXT | Kind.XML if claimed is Kind.PICTURE:
            detail = f"is named {Path(name).suffix} but is no picture inside"
            raise refusal(Reason.NOT_A_PICTURE, name, detail=detail)
        case Kind.BINARY:
            raise refusal(Reason.UNSUPPORTED, name, detail="is binary data of an unknown kind")


def _claimed_kind(name: str) -> Kind | None:
    return _KINDS_BY_SUFFIX.get(Path(name).suffix.lower())


def _mislabelled(content: Content, name: str) -> tuple[Notice, ...]:
    claimed = _claimed_kind(name)
    if claimed in (None, content.kind):
        return ()
    seen = f"The file is named {Path(name).suffix} but holds {content.kind}; it was read as {content.kind}."
    return (Notice(seen),)


def _read_xml(xml: str, *, name: str, settings: ReadingSettings) -> _Read:
    """Read XML as one page; an e-invoice may be longer than other text, for code reads it and no model has to."""
    text, found = without_embedded_files(xml)
    notices = (Notice(f"{found} attached files were left out of the text."),) if found else ()
    attachments = einvoice_text(name, text)
    text, comments = without_comments(text)
    if comments:
        notices = (*notices, Notice(f"{comments} XML comments, which no viewer shows, were left out of the text."))
    room = settings.pdf_stream_bytes if attachments else settings.max_characters
    return _Read("application/xml", *_read_text([text], notices, name=name, settings=settings, room=room), attachments)


def _read_text(
    parts: list[str], notices: tuple[Notice, ...], *, name: str, settings: ReadingSettings, room: int = 0
) -> tuple[tuple[Page, ...], tuple[Notice, ...]]:
    if sum(map(len, parts)) > (room or settings.max_characters):
        raise refusal(Reason.TOO_LARGE, name, detail="holds far more text than an invoice")
    cleaned = [clean(part) for part in parts]
    while cleaned and not cleaned[-1].text.strip():
        cleaned.pop()
    if not cleaned:
        raise refusal(Reason.EMPTY, name, detail="holds nothing but blanks")
    if len(cleaned) > settings.max_pages:
        raise refusal(Reason.TOO_MANY_PAGES, name)
    hidden = sum(part.hidden for part in cleaned)
    if hidden:
        notices = (*notices, hidden_notice(hidden))
    return tuple(Page(number, part.text) for number, part in enumerate(cleaned, 1)), notices
