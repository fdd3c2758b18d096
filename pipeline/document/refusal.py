"""Why a file is refused, in words for the person who dropped it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pipeline.errors import DocumentError


class Reason(StrEnum):
    """Name each way in which a file can fail to be read; stable words, found in results and logs."""

    EMPTY = "empty"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    NO_TEXT = "no_text"
    NOT_A_PDF = "not_a_pdf"
    NOT_A_PICTURE = "not_a_picture"
    UNSUPPORTED = "unsupported"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    TOO_MANY_PAGES = "too_many_pages"
    TOO_MUCH_MEMORY = "too_much_memory"
    TIMEOUT = "timeout"
    READER_DIED = "reader_died"


def refusal(reason: Reason, name: str, *, detail: str = "", hint: str = "", transient: bool = False) -> DocumentError:
    """Return the error for a file; `detail` and `hint` replace the usual words where more is known."""
    words = _WORDS[reason]
    message = f"{name} {detail or words.message}"
    return DocumentError(message, reason=reason.value, hint=hint or words.hint, transient=transient)


class _Words(NamedTuple):
    message: str
    hint: str


_WORDS = {
    Reason.EMPTY: _Words("is empty", "The copy may have broken off: save or send the file again."),
    Reason.DAMAGED: _Words(
        "is damaged or incomplete",
        "If it opens in a PDF viewer, print it to a new PDF and drop that; otherwise ask the sender for it again.",
    ),
    Reason.ENCRYPTED: _Words(
        "is locked with a password",
        "Add the password to `passwords` under [reading] of the settings and replay the job; or open the file with it, "
        "print it to a new PDF without one, and drop that.",
    ),
    Reason.NO_TEXT: _Words(
        "holds no text that can be read, only pictures",
        "It is probably a scan: run text recognition (OCR) over it, or ask the sender for the original PDF.",
    ),
    Reason.NOT_A_PDF: _Words(
        "is named .pdf but is not a PDF inside",
        "The download or export may have failed: fetch the file again, or give it the ending that fits its content.",
    ),
    Reason.NOT_A_PICTURE: _Words(
        "is named as a picture but is none inside",
        "The download or export may have failed: fetch the file again, or give it the ending that fits its content.",
    ),
    Reason.UNSUPPORTED: _Words(
        "is of a kind that cannot be read",
        "PDF, plain text, XML, PNG, JPEG and TIFF files are read: save or print the document as PDF and drop that.",
    ),
    Reason.UNREADABLE: _Words(
        "cannot be opened",
        "Check that the file is still there, that it may be read, and that its drive is connected.",
    ),
    Reason.TOO_LARGE: _Words(
        "is too large for an invoice",
        "Drop only the pages of the invoice, or raise the limits for reading in the settings.",
    ),
    Reason.TOO_MANY_PAGES: _Words(
        "has too many pages for an invoice",
        "Drop only the pages of the invoice, or raise max_pages in the settings.",
    ),
    Reason.TOO_MUCH_MEMORY: _Words(
        "needs too much memory to be read",
        "Print it to a new PDF and drop that, or raise memory_bytes in the settings.",
    ),
    Reason.TIMEOUT: _Words(
        "takes too long to be read",
        "Print it to a new PDF and drop that, or raise cpu_seconds and wall_seconds in the settings.",
    ),
    Reason.READER_DIED: _Words(
        "could not be read: the reader process ended unexpectedly",
        "Try it again; if it happens again, print the file to a new PDF and drop that.",
    ),
}
