"""Text out of PDF files; with `hidden` the only module that knows pypdf."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple, ParamSpec, TypeVar

import pypdf
from pydantic import SecretStr
from pypdf.errors import LimitReachedError
from pypdf.generic import DictionaryObject, EmbeddedFile

from pipeline.document.attachments import MAX_ATTACHMENTS, einvoice
from pipeline.document.fields import SeenFields
from pipeline.document.hidden.page import without_hidden_text
from pipeline.document.limits import ReadingSettings
from pipeline.document.load import refuse_cut_off
from pipeline.document.model import Attachment, Notice, Page, PageReason
from pipeline.document.refusal import Reason, refusal
from pipeline.document.text import clean, hidden_notice

READER = "pypdf"
P = ParamSpec("P")
T = TypeVar("T")


class PdfText(NamedTuple):
    """Hold the pages of a PDF, sentences about odd things seen, the e-invoices in it and what was typed into it."""

    pages: tuple[Page, ...]
    notices: tuple[Notice, ...]
    attachments: tuple[Attachment, ...] = ()
    fields: tuple[str, ...] = ()


def read_pdf(data: bytes, *, name: str, settings: ReadingSettings) -> PdfText:
    """Return the text of every page, or raise `DocumentError`; never more than the settings allow.

    A page that cannot be read is there all the same, without text and with the reason.
    """
    refuse_cut_off(data, name)
    try:
        with pypdf.apply_configuration(
            zlib_maximum_output_length=settings.pdf_stream_bytes,
            lzw_maximum_output_length=settings.pdf_stream_bytes,
            run_length_maximum_output_length=settings.pdf_stream_bytes,
            array_based_stream_maximum_output_length=settings.pdf_stream_bytes,
            stream_decoding_work_maximum_length=settings.pdf_decoding_bytes,
            stream_parsing_work_maximum_count=settings.pdf_operations,
            xform_maximum_invocations_per_extraction=settings.pdf_forms,
            page_tree_maximum_entries=settings.pdf_tree_entries,
        ):
            pdf = _open(data, name, settings)
            return _with_einvoices(pdf, _read_pages(pdf, name=name, settings=settings))
    except LimitReachedError as error:
        raise refusal(Reason.TOO_LARGE, name, detail="unpacks to far more than an invoice holds") from error


_SPACES = re.compile(r"\s+")
_MAX_FILES = 200


def _open(data: bytes, name: str, settings: ReadingSettings) -> pypdf.PdfReader:
    # Foreign lines before the header shift every offset in some files and are counted in others.
    start = data.index(b"%PDF-")
    for content in (data, data[start:]) if start else (data,):
        pdf = _attempt(pypdf.PdfReader, BytesIO(content))
        if pdf is None:
            continue
        if pdf.is_encrypted and not _unlock(pdf, settings.passwords):
            tried = ", and no password of the settings fits" if settings.passwords else ""
            raise refusal(Reason.ENCRYPTED, name, detail=f"is locked with a password{tried}")
        if _count_pages(pdf, name):
            return pdf
    raise refusal(Reason.DAMAGED, name)


def _unlock(pdf: pypdf.PdfReader, passwords: Iterable[SecretStr]) -> bool:
    """Try the passwords; files locked against changes only open with an empty one."""
    return any(_attempt(pdf.decrypt, word) for word in ("", *(one.get_secret_value() for one in passwords)))


def _count_pages(pdf: pypdf.PdfReader, name: str) -> int:
    try:
        return _attempt(len, pdf.pages) or 0
    except LimitReachedError as error:
        raise refusal(Reason.TOO_MANY_PAGES, name) from error


def _read_pages(pdf: pypdf.PdfReader, *, name: str, settings: ReadingSettings) -> PdfText:
    count = len(pdf.pages)
    if count > settings.max_pages:
        detail = f"has {count} pages; up to {settings.max_pages} are read"
        raise refusal(Reason.TOO_MANY_PAGES, name, detail=detail)
    fields, unseen = _form_fields(pdf)
    room = settings.max_characters - sum(map(len, fields))
    reads: list[_PageRead] = []
    for number in range(1, count + 1):
        read = _read_page(pdf, number, settings)
        room -= max(len(read.page.text), len(read.page.plain))
        if room < 0:
            raise refusal(Reason.TOO_LARGE, name, detail="holds far more text than an invoice")
        reads.append(read)
    hidden = sum(read.hidden for read in reads)
    notices = [*_missing_pages(pdf, count)]
    if hidden:
        notices.append(hidden_notice(hidden))
    notices += [notice for read in reads for notice in read.seen]
    if unseen:
        notices.append(Notice(f"{unseen} filled form fields that nobody can see were left out."))
    return PdfText(tuple(read.page for read in reads), tuple(notices), fields=fields)


def _missing_pages(pdf: pypdf.PdfReader, found: int) -> Iterator[Notice]:
    declared = _attempt(lambda: int(pdf.root_object["/Pages"]["/Count"]))  # type: ignore[index]
    if declared is not None and declared > found:
        yield Notice(f"The file speaks of {declared} pages, but only {found} are in it.", gap=True)


class _PageRead(NamedTuple):
    page: Page
    hidden: int
    seen: tuple[Notice, ...] = ()


def _read_page(pdf: pypdf.PdfReader, number: int, settings: ReadingSettings) -> _PageRead:
    page = _attempt(pdf.pages.__getitem__, number - 1)
    damaged = _PageRead(Page(number, "", reader=READER, reason=PageReason.DAMAGED), 0)
    if page is None:
        return damaged
    views = _extract(page, number, settings)
    if views.layout is None and views.plain is None:
        return damaged
    rows, order = clean(views.layout or ""), clean(views.plain or "")
    text = textwrap.dedent(rows.text)
    lost = _lines_missing_from(text, order.text)
    if lost:
        text = "\n".join([text, *lost]) if text.strip() else order.text
    differs = text.split() != order.text.split()
    kept = Page(number, text, order.text if differs else "", READER, views.reason)
    return _PageRead(kept, max(rows.hidden, order.hidden), views.notices)


class _Views(NamedTuple):
    layout: str | None
    plain: str | None
    notices: tuple[Notice, ...] = ()
    reason: str = ""


def _extract(page: pypdf.PageObject, number: int, settings: ReadingSettings) -> _Views:
    """Return both views of a page, without what nobody can see on it."""

    def extract() -> _Views:
        with without_hidden_text(page, operations=settings.pdf_operations, forms=settings.pdf_forms) as hidden:
            return _Views(*_views(page), tuple(hidden.notices(number)), hidden.reason)

    unchecked = Notice(f"Page {number} could not be searched for text that nobody can see.", gap=True)
    return _attempt(extract) or _Views(*_views(page), (unchecked,))


def _views(page: pypdf.PageObject) -> tuple[str | None, str | None]:
    layout = _attempt(page.extract_text, extraction_mode="layout", layout_mode_space_vertically=False)
    return layout, _attempt(page.extract_text)


def _lines_missing_from(rows: str, order: str) -> list[str]:
    """Return lines of the reading order with words that the row view dropped: rotated ones, those of form objects."""
    kept = _SPACES.sub("", rows)
    if len(kept) >= len(_SPACES.sub("", order)):
        return []
    return [line for line in order.split("\n") if any(word not in kept for word in line.split())]


class _Fields(NamedTuple):
    lines: tuple[str, ...]
    unseen: int


def _form_fields(pdf: pypdf.PdfReader) -> _Fields:
    """Return what was typed into a form, which is no part of any page's text; fields out of sight are only counted."""
    filled = {
        name: field
        for name, field in (_attempt(pdf.get_fields) or {}).items()
        if field.get("/FT") in ("/Tx", "/Ch") and isinstance(field.get("/V"), str) and field.get("/V")
    }
    if not filled:
        return _Fields((), 0)
    seen = SeenFields([page for number in range(len(pdf.pages)) if (page := _attempt(pdf.pages.__getitem__, number))])
    lines = tuple(
        clean(f"{name}: {field['/V']}").text.replace("\n", " ")
        for name, field in filled.items()
        if _attempt(_is_seen, seen, field)
    )
    return _Fields(lines, len(filled) - len(lines))


def _is_seen(seen: SeenFields, field: Any) -> bool:
    """Ask about the field itself; what pypdf lists is a copy of some of its entries."""
    return seen.shows(field.indirect_reference.get_object())


def _with_einvoices(pdf: pypdf.PdfReader, text: PdfText) -> PdfText:
    """Add the e-invoices among the embedded files; the same text under two keys is one."""
    found: dict[str, Attachment] = {}
    notices = list(text.notices)
    for number, file in enumerate(islice(_embedded_files(pdf), _MAX_FILES + 1)):
        if number == _MAX_FILES:
            notices.append(
                Notice(f"More than {_MAX_FILES} files are attached; the others were not looked at.", gap=True)
            )
            break
        name = _attempt(_name_of, file) or ""
        if not _is_xml(file, name):
            continue
        try:
            content = _attempt(_content_of, file)
        except LimitReachedError:
            notices.append(Notice("An attached XML file unpacks to far more than an invoice holds; it was left out."))
            continue
        attachment = einvoice(name, content or b"")
        if attachment is not None:
            found.setdefault(attachment.text, attachment)
    if len(found) > MAX_ATTACHMENTS:
        notices.append(Notice(f"Of {len(found)} attached e-invoices only {MAX_ATTACHMENTS} were read.", gap=True))
    return text._replace(notices=tuple(notices), attachments=tuple(found.values())[:MAX_ATTACHMENTS])


def _embedded_files(pdf: pypdf.PdfReader) -> Iterator[EmbeddedFile]:
    """Yield the files of the document's list, and those that hang only on the document, a page or a note on one."""
    yield from _attempt(lambda: list(pdf.attachment_list)) or ()
    pages = (_attempt(pdf.pages.__getitem__, number) for number in range(len(pdf.pages)))
    for holder in (pdf.root_object, *(page for page in pages if page is not None)):
        specs = _attempt(_associated_files, holder) or []
        notes = _attempt(_noted_files, holder) or []
        yield from (EmbeddedFile("", spec) for spec in (*specs, *notes))


def _associated_files(holder: DictionaryObject) -> list[DictionaryObject]:
    return [spec for spec in _entries(holder, "/AF") if isinstance(spec, DictionaryObject)]


def _noted_files(holder: DictionaryObject) -> list[DictionaryObject]:
    files = [
        note["/FS"].get_object() for note in _entries(holder, "/Annots") if note.get("/Subtype") == "/FileAttachment"
    ]
    return [spec for spec in files if isinstance(spec, DictionaryObject)]


def _entries(holder: DictionaryObject, key: str) -> list[Any]:
    entries: Any = holder.get(key)
    return [entry.get_object() for entry in entries.get_object()] if entries is not None else []


def _name_of(file: EmbeddedFile) -> str:
    return str(file.alternative_name or "")


def _is_xml(file: EmbeddedFile, name: str) -> bool:
    return name.casefold().endswith(".xml") or "xml" in (_attempt(_media_type_of, file) or "").casefold()


def _media_type_of(file: EmbeddedFile) -> str:
    return str(file.subtype or "")


def _content_of(file: EmbeddedFile) -> bytes:
    return file.content


def _attempt(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Call into pypdf; None stands for any of the many kinds of error that a broken file makes it raise."""
    try:
        return function(*args, **kwargs)
    except (MemoryError, LimitReachedError):
        raise
    except Exception:  # noqa: BLE001 - one in twenty is no PyPdfError: TypeError, AssertionError, RecursionError …
        return None
