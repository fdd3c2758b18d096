"""A PDF read once more, by the second reader: what the first could not read, and where each word stands."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.document.limits import ReadingSettings
from pipeline.document.load import load, refuse_cut_off
from pipeline.document.model import PDF_TYPE, Document
from pipeline.document.pdfium import read_pages
from pipeline.document.refusal import Reason, refusal


def parse_again(path: Path, *, name: str, settings: ReadingSettings) -> Document:
    """Return the pages of a PDF with their words and `plain` text; rows are made where they are needed.

    Raise `DocumentError` where this reader cannot read it either.
    """
    data = load(path, name=name, max_bytes=settings.max_bytes)
    if b"%PDF-" not in data[:1024]:
        raise refusal(Reason.NOT_A_PDF, name)
    refuse_cut_off(data, name)
    return Document(
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        media_type=PDF_TYPE,
        pages=tuple(read_pages(data, name=name, settings=settings)),
    )
