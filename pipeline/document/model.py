"""A document as the rest of the pipeline sees it: pages of text, nothing of any file format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Page:
    """Hold one page, counted from 1.

    `text` keeps rows and columns where the format has them and is what a model is shown; `plain` is the same page in
    reading order where that differs (long names stay together), else empty. Values are looked for in both.
    """

    number: int
    text: str
    plain: str = ""


@dataclass(frozen=True)
class Notice:
    """Tell of something odd in a file, in a sentence; `gap` says that a part of the file could not be read."""

    text: str
    gap: bool = False


@dataclass(frozen=True)
class Attachment:
    """Hold the XML text of an e-invoice as it came with the file; `name` is for people and never used as a path.

    The text is empty where the file names an e-invoice that could not be unpacked.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Document:
    """Hold what was read from one file; `size` is in bytes.

    `attachments` are the e-invoices embedded in a PDF, or the file itself where it is one.
    """

    name: str
    sha256: str
    size: int
    media_type: str
    pages: tuple[Page, ...]
    notices: tuple[Notice, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def text(self) -> str:
        """Return the whole text, pages separated by a form feed."""
        return "\f".join(page.text for page in self.pages)

    def only(self, pages: Collection[int]) -> Document:
        """Return the document with these pages and no others; they keep their numbers."""
        return replace(self, pages=tuple(page for page in self.pages if page.number in pages))

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain JSON for the trace."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Document:
        """Rebuild a document from `to_json`."""
        pages = tuple(Page(**page) for page in data["pages"])
        notices = tuple(Notice(**notice) for notice in data["notices"])
        attachments = tuple(Attachment(**attachment) for attachment in data.get("attachments", ()))
        return cls(**{**data, "pages": pages, "notices": notices, "attachments": attachments})
