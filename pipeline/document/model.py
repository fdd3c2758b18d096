"""A document as the rest of the pipeline sees it: pages of text, nothing of any file format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

PDF_TYPE = "application/pdf"
# What reads a page from its picture, as `Page.reader`.
RECOGNISED = "ocr"
PICTURE_TYPES = ("image/png", "image/jpeg", "image/tiff")
# What has pages that can be seen.
PAGED_TYPES = frozenset({PDF_TYPE, *PICTURE_TYPES})


class Box(NamedTuple):
    """Hold where something stands on a page, in PDF points (1/72 inch) from the top left of the page as it is seen."""

    left: float
    top: float
    right: float
    bottom: float

    def around(self, other: Box) -> Box:
        """Return the smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


class Word(NamedTuple):
    """Hold what stands between two blanks, and where; the numbers of its box are rounded to a tenth of a point."""

    text: str
    box: Box


class PageReason(StrEnum):
    """Say why a page was not left to the first reader, or what is wrong with it where no other could do better."""

    DAMAGED = "damaged"
    NO_TEXT = "no_text"
    UNMAPPED = "unmapped"
    INCOMPLETE = "incomplete"
    UNDERLAY = "underlay"
    BLANK = "blank"
    # Text that nobody can see was taken out: no other reader may bring it back.
    HIDDEN = "hidden"
    MISSING = "missing"


@dataclass(frozen=True)
class Page:
    """Hold one page, counted from 1.

    `text` keeps rows and columns where the format has them and is what a model is shown; `plain` is the same page in
    reading order where that differs (long names stay together), else empty. Values are looked for in both.
    `reader` names what read the page, empty where nothing had to; `reason` is empty for a page without doubts. `words`
    are those whose place is known, none in formats without places; `width` and `height` are in points, 0 if unknown.
    `doubtful` are the positions in `words` of those that were recognised in a picture and may be misread; `slant` is
    how far its lines fall, in degrees: 90 where they run straight down, 180 where they stand on their head.
    `picture` says that a model which can see is to be shown the page itself.
    """

    number: int
    text: str
    plain: str = ""
    reader: str = ""
    reason: PageReason | str = ""
    width: float = 0
    height: float = 0
    words: tuple[Word, ...] = ()
    doubtful: tuple[int, ...] = ()
    slant: float = 0
    picture: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the page as plain JSON, a word as a list of its text and the four numbers of its box."""
        return {**vars(self), "words": [[word.text, *word.box] for word in self.words]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Page:
        """Rebuild a page from `to_json`, also from a trace of a release that knew no words."""
        words = tuple(Word(text, Box(*box)) for text, *box in data.get("words", ()))
        return cls(**{**data, "words": words, "doubtful": tuple(data.get("doubtful", ()))})


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

    `attachments` are the e-invoices embedded in a PDF, or the file itself where it is one. `fields` are the lines typed
    into a form, which the text of the last page ends with.
    """

    name: str
    sha256: str
    size: int
    media_type: str
    pages: tuple[Page, ...]
    notices: tuple[Notice, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the whole text, pages separated by a form feed."""
        return "\f".join(page.text for page in self.pages)

    def only(self, pages: Collection[int]) -> Document:
        """Return the document with these pages and no others; they keep their numbers."""
        return replace(self, pages=tuple(page for page in self.pages if page.number in pages))

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain JSON for the trace."""
        return {
            **vars(self),
            "pages": [page.to_json() for page in self.pages],
            "notices": [asdict(notice) for notice in self.notices],
            "attachments": [asdict(attachment) for attachment in self.attachments],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Document:
        """Rebuild a document from `to_json`."""
        pages = tuple(Page.from_json(page) for page in data["pages"])
        notices = tuple(Notice(**notice) for notice in data["notices"])
        attachments = tuple(Attachment(**attachment) for attachment in data.get("attachments", ()))
        parts = {"pages": pages, "notices": notices, "attachments": attachments}
        return cls(**{**data, **parts, "fields": tuple(data.get("fields", ()))})
