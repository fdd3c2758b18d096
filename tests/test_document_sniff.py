from __future__ import annotations

import io
import zipfile

import pytest
from odd_files import make_pdf

from pipeline.document.sniff import Kind, sniff


def zip_of(*members: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for member in members:
            archive.writestr(member, "content")
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (make_pdf(), Kind.PDF),
        (b"Received: from mail.example\r\nSubject: x\r\n\r\n" + make_pdf(), Kind.PDF),
        (b"<?xml version='1.0'?>\n<Invoice xmlns='urn:x'><ID>1</ID></Invoice>\n", Kind.XML),
        (b"\xef\xbb\xbf<ubl:Invoice xmlns:ubl='urn:x'/>", Kind.XML),
        ("<?xml version='1.0' encoding='UTF-16'?><a>x</a>".encode("utf-16"), Kind.XML),
        (b"<rsm:CrossIndustryInvoice>\n</rsm:CrossIndustryInvoice>", Kind.XML),
        (b"Invoice 17\nTotal 5.00\n", Kind.TEXT),
        (b"BMW service invoice 17, total 5.00", Kind.TEXT),
        (b"< 5 days: 10 %\nTotal 5.00", Kind.TEXT),
        (b"x = '<html>'\nprint(x)\n", Kind.TEXT),
        (bytes(range(256)), Kind.BINARY),
    ],
)
def test_readable_kinds_are_told_by_content(data: bytes, kind: Kind) -> None:
    """PDF, XML and text are recognised without a file name."""
    assert sniff(data).kind is kind


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(20), "WebP"),
        (b"BM\x10\x00\x00\x00\x00\x00\x00\x00" + bytes(20), "BMP"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(20), "HEIC"),
        (zip_of("a.txt"), "ZIP"),
        (zip_of("[Content_Types].xml", "word/document.xml"), "Word"),
        (zip_of("xl/workbook.xml"), "Excel"),
        (b"PK\x03\x04" + make_pdf(), "ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(20), "Office"),
        (b"{\\rtf1 text}", "RTF"),
        (b"\x1f\x8b\x08" + bytes(20), "archive"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC 'x'>\n<html></html>", "HTML"),
        (b"From: a@b.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=x\n\n--x\n", "e-mail"),
    ],
)
def test_foreign_kinds_are_named_with_advice(data: bytes, word: str) -> None:
    """What cannot be read is called by its name, and the hint says what to do with it."""
    content = sniff(data)
    assert content.kind is Kind.FOREIGN
    assert word in content.what
    assert content.hint


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        (b"II*\x00" + bytes(20), "image/tiff"),
    ],
)
def test_pictures_that_can_be_read_are_told_apart(data: bytes, media_type: str) -> None:
    """A photo or a scan may be an invoice as well."""
    assert sniff(data) == (Kind.PICTURE, "", media_type, "")


def test_the_encoding_an_xml_file_declares_is_believed() -> None:
    """Latin-1 XML keeps its letters."""
    data = "<?xml version='1.0' encoding='ISO-8859-1'?><Name>Jürgen Æ</Name>".encode("latin-1")
    assert "Jürgen Æ" in sniff(data).text
