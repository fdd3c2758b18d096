"""What a file is by its content; its name is not asked."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from pipeline.document.text import decode


class Kind(StrEnum):
    """Name the kinds of content that are told apart."""

    PDF = "PDF"
    XML = "XML"
    TEXT = "plain text"
    PICTURE = "a picture"
    FOREIGN = "foreign"
    BINARY = "binary"


class Content(NamedTuple):
    """Tell the kind; `text` is the file decoded where it is text, `what` and `hint` are words about a foreign kind.

    Of a picture, `what` is its media type.
    """

    kind: Kind
    text: str = ""
    what: str = ""
    hint: str = ""


def sniff(data: bytes) -> Content:
    """Tell what the bytes are. A PDF may have up to a kilobyte of foreign lines before its header."""
    picture = next((kind for signature, kind in _PICTURES if signature.match(data)), None)
    if picture is not None:
        return Content(Kind.PICTURE, what=picture)
    foreign = _foreign(data)
    if foreign is not None:
        return foreign
    if b"%PDF-" in data[:1024]:
        return Content(Kind.PDF)
    text = _decode_declared(data) or decode(data)
    if text is None:
        return Content(Kind.BINARY)
    return _kind_of_text(text)


_AS_PDF = "Print or save it as PDF and drop that."
_UNPACK = "Unpack it and drop the files in it one by one."
_AS_PNG = "Save it as PNG or JPEG and drop that."

_PICTURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"II\*\x00|MM\x00\*"), "image/tiff"),
)
_SIGNATURES = (
    (re.compile(rb"GIF8[79]a"), "a picture (GIF)", _AS_PNG),
    (re.compile(rb"BM.{4}\x00{4}", re.DOTALL), "a picture (BMP)", _AS_PNG),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "a picture (WebP)", _AS_PNG),
    (re.compile(rb".{4}ftyp(?:heic|heix|mif1|avif)", re.DOTALL), "a picture (HEIC)", _AS_PNG),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an old Office document or an Outlook message", _AS_PDF),
    (re.compile(rb"\{\\rtf"), "a rich text document (RTF)", _AS_PDF),
    (re.compile(rb"%!PS"), "a PostScript file", _AS_PDF),
    (re.compile(rb"\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|BZh\d|\xfd7zXZ\x00"), "a packed archive", _UNPACK),
)
_ZIP = re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)")
_ZIP_MEMBERS = (
    (b"word/", "a Word document"),
    (b"xl/", "an Excel workbook"),
    (b"ppt/", "a PowerPoint presentation"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file"),
)
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_XML = re.compile(r"\s*(?:<\?xml\b|<(?:[A-Za-z_][\w.-]*:)?[A-Za-z_][\w.-]*(?:\s+[\w:.-]+\s*=|\s*>))")
_XML_ENCODING = re.compile(rb"""\s*<\?xml[^>]{0,100}?\bencoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")
_MAIL = re.compile(r"(?:[A-Za-z][A-Za-z-]*: [^\n]*\n(?:[ \t][^\n]*\n)*)*?Content-Type: multipart/", re.I)


def _foreign(data: bytes) -> Content | None:
    for signature, what, hint in _SIGNATURES:
        if signature.match(data):
            return Content(Kind.FOREIGN, what=what, hint=hint)
    if not _ZIP.match(data):
        return None
    for member, what in _ZIP_MEMBERS:
        if member in data:
            return Content(Kind.FOREIGN, what=what, hint=_AS_PDF)
    return Content(Kind.FOREIGN, what="a ZIP archive", hint=_UNPACK)


def _decode_declared(data: bytes) -> str | None:
    declared = _XML_ENCODING.match(data[:200])
    if declared is None:
        return None
    try:
        return data.decode(declared[1].decode())
    except (LookupError, UnicodeError):
        return None


def _kind_of_text(text: str) -> Content:
    if _HTML.match(text):
        return Content(Kind.FOREIGN, what="a web page (HTML)", hint="Open it in a browser, print it as PDF, drop that.")
    if _MAIL.match(text[:20_000].replace("\r\n", "\n")):
        return Content(Kind.FOREIGN, what="an e-mail message", hint="Save its attachment and drop that.")
    if _XML.match(text) and text.rstrip().endswith(">"):
        return Content(Kind.XML, text)
    return Content(Kind.TEXT, text)
