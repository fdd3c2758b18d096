"""Files made to hurt who reads them: bombs, loops, floods and disguises, each made at test time."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pypdf
from odd_files import claim_pages, encrypt, make_pdf, with_content
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    EncodedStreamObject,
    NameObject,
    NumberObject,
)

PDF = make_pdf()
READ = "read"


class Hostile(NamedTuple):
    """Name one kind of file, what may become of it, and whether it costs more than a moment to make or to read."""

    name: str
    make: Callable[[], bytes]
    outcomes: frozenset[str]
    heavy: bool = False


def hostile_files() -> Iterator[Hostile]:
    """Yield every kind."""
    yield from _disguises()
    yield from _broken()
    yield from _bombs()
    yield from _floods()
    yield from _xml()


def _of(name: str, make: Callable[[], bytes], *outcomes: str, heavy: bool = False) -> Hostile:
    return Hostile(name, make, frozenset(outcomes), heavy)


def _disguises() -> Iterator[Hostile]:
    yield _of("html.pdf", lambda: b"<!doctype html><p>Please sign in", "unsupported")
    yield _of("word.pdf", lambda: _zip({"word/document.xml": b"<w/>"}), "unsupported")
    yield _of("archive.pdf", lambda: _zip({"a.pdf": PDF}), "unsupported")
    yield _of("program.txt", lambda: bytes(range(256)) * 40, "unsupported")
    yield _of("wrong-extension.txt", lambda: PDF, READ)
    yield _of("text-named.pdf", lambda: b"Invoice 17\nTotal 1.00", "not_a_pdf")
    yield _of("pdf-then-zip.pdf", lambda: PDF + _zip({"a.txt": b"x"}), READ)
    yield _of("zip-then-pdf.pdf", lambda: _zip({"a.txt": b"x"}) + PDF, "unsupported")
    yield _of("script-then-pdf.pdf", lambda: b"#!/bin/sh\nrm -rf /\n" + PDF, READ)


def _broken() -> Iterator[Hostile]:
    yield _of("empty.pdf", lambda: b"", "empty")
    yield _of("zeros.pdf", lambda: bytes(100_000), "empty")
    yield _of("cut.pdf", lambda: PDF[: len(PDF) // 2], "damaged")
    yield _of("no-objects.pdf", lambda: b"%PDF-1.7\n" + b"garbage " * 50 + b"startxref\n0\n%%EOF", "damaged")
    yield _of("locked.pdf", lambda: encrypt(PDF, user_password="x", owner_password="y"), "encrypted")
    yield _of("page-is-its-parent.pdf", lambda: _raw("<</Type/Pages/Count 1/Kids[2 0 R]>>"), "damaged", "no_text")
    yield _of(
        "length-of-itself.pdf",
        lambda: _raw(_ONE_PAGE, "<</Length 4 0 R>>stream\nx\nendstream"),
        "no_text",
        "damaged",
        "too_large",
    )
    yield _of("previous-table-is-this.pdf", _circling_tables, READ, "damaged")
    yield _of("form-in-itself.pdf", _form_in_itself, READ)
    yield _of("objects-in-each-other.pdf", _circling_object_streams, "damaged", "no_text")
    yield _of("huge-table.pdf", lambda: PDF.replace(b"xref\n0 ", b"xref\n0 99999999"), READ, "damaged", "too_large")
    yield _of("claims-50000-pages.pdf", lambda: claim_pages(PDF, 50_000), READ)


def _bombs() -> Iterator[Hostile]:
    big = b" " * 60_000_000
    yield _of("flate-bomb.pdf", lambda: _filtered(_deflated(big), "/FlateDecode"), "too_large", heavy=True)
    yield _of(
        "nested-flate-bomb.pdf",
        lambda: _filtered(_deflated(_deflated(big)), *["/FlateDecode"] * 2),
        "too_large",
        heavy=True,
    )
    yield _of("run-length-bomb.pdf", lambda: _filtered(b"\x81 " * 400_000 + b"\x80", "/RunLengthDecode"), "too_large")
    yield _of(
        "hex-chain-bomb.pdf",
        lambda: _filtered(_deflated(b"20" * 20_000_000), "/FlateDecode", "/ASCIIHexDecode"),
        "too_large",
        heavy=True,
    )
    yield _of(
        "many-filters.pdf", lambda: _filtered(b"x", *["/ASCIIHexDecode"] * 5000), "no_text", "damaged", "too_large"
    )
    yield _of(
        "image-bomb.pdf", lambda: _with_image(100_000, 100_000, "/FlateDecode", _deflated(bytes(10_000_000))), READ
    )
    yield _of("jbig2-stub.pdf", lambda: _with_image(9000, 9000, "/JBIG2Decode", b"\x97JB2junk"), READ)
    yield _of("jpx-stub.pdf", lambda: _with_image(9000, 9000, "/JPXDecode", b"\0\0\0\x0cjP  junk"), READ)
    yield _of("form-bomb.pdf", _form_bomb, READ, "too_large", "no_text", heavy=True)
    yield _of("attachment-bomb.pdf", lambda: _attached("factur-x.xml", b"<a>" + b" " * 60_000_000), READ, heavy=True)


def _floods() -> Iterator[Hostile]:
    yield _of("50000-pages.pdf", lambda: _many_pages(50_000), "too_many_pages", "timeout", heavy=True)
    yield _of("100-pages.pdf", lambda: make_pdf(*[("Invoice",)] * 100), "too_many_pages")
    yield _of("3000-attachments.pdf", _many_attachments, READ, heavy=True)
    yield _of("one-line.txt", lambda: b"word " * 1_500_000, "too_large", heavy=True)
    yield _of("10-mb-of-text.pdf", lambda: with_content(_text(b"Total 10.00 EUR " * 600_000)), "too_large", heavy=True)
    yield _of("60000-words.pdf", lambda: with_content(_scattered(60_000)), "too_large", "timeout", heavy=True)
    yield _of("8000-words.pdf", lambda: with_content(_scattered(8_000)), READ, "too_large", "timeout", heavy=True)
    yield _of("million-operators.pdf", lambda: with_content(b"q Q " * 1_000_000), "too_large", heavy=True)
    yield _of("covered-a-thousand-times.pdf", _covered_often, READ, "too_large", heavy=True)
    yield _of(
        "deep-arrays.pdf",
        lambda: with_content(b"[" * 100_000 + b"]" * 100_000 + b" TJ"),
        "no_text",
        "damaged",
        "too_large",
    )
    yield _of("deep-states.pdf", lambda: with_content(b"q " * 100_000 + _text(b"Invoice 17 " * 9)), READ)
    yield _of("too-long.txt", lambda: b"x" * 20_000_001, "too_large", heavy=True)


def _xml() -> Iterator[Hostile]:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    laughs = f'<?xml version="1.0"?><!DOCTYPE i [<!ENTITY l0 "lol">{entities}]>{_cii("&l9;")}'
    outside = f'<?xml version="1.0"?><!DOCTYPE i [<!ENTITY x SYSTEM "file:///etc/passwd">]>{_cii("&x;")}'
    yield _of("billion-laughs.xml", laughs.encode, READ, "damaged")
    yield _of("external-entity.xml", outside.encode, READ, "damaged")
    yield _of("deep.xml", lambda: b"<a>" * 60_000 + b"</a>" * 60_000, READ, "damaged", "too_large")
    yield _of(
        "deep-invoice.xml",
        lambda: _cii("<n>" * 200_000 + "</n>" * 200_000).encode(),
        READ,
        "ContextOverflow",
        heavy=True,
    )
    yield _of("huge-attribute.xml", lambda: b'<a b="' + b"x" * 3_000_000 + b'"/>', "too_large")
    yield _of("open-comments.xml", lambda: b"<a>" + b"<!-- " * 39_000 + b"</a>", READ, "empty")


def _cii(number: str) -> str:
    name = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
    return f'<rsm:CrossIndustryInvoice xmlns:rsm="{name}"><ID>{number}</ID></rsm:CrossIndustryInvoice>'


def _zip(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def _deflated(data: bytes) -> bytes:
    return zlib.compress(data, 9)


def _text(text: bytes) -> bytes:
    return b"BT /F1 9 Tf 50 700 Td (" + text + b") Tj ET"


def _scattered(count: int) -> bytes:
    words = (b"1 0 0 1 %d %d Tm (w%d) Tj" % (20 + 7 * (n % 80), 20 + (n // 80) % 780, n) for n in range(count))
    return b"BT /F1 3 Tf " + b" ".join(words) + b" ET"


def _covered_often() -> bytes:
    words = b"BT /F1 9 Tf " + b"1 0 0 1 60 400 Tm (word) Tj " * 2000 + b" ET "
    shapes = b"40 380 m 300 380 l 300 381 l 41 381 l 41 430 l 40 430 l f " * 2000
    return with_content(words + shapes)


_ONE_PAGE = "<</Type/Pages/Count 1/Kids[3 0 R]>>", "<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<<>>>>"


def _raw(*objects: str | tuple[str, ...]) -> bytes:
    """Return a PDF of these objects, from number 2 on; without a table, so that readers must search."""
    flat = [text for entry in objects for text in ([entry] if isinstance(entry, str) else entry)]
    body = "".join(f"{number} 0 obj{text}endobj\n" for number, text in enumerate(flat, 2))
    end = "trailer<</Root 1 0 R/Size 99>>\nstartxref\n0\n%%EOF"
    return f"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n{body}{end}".encode()


def _circling_tables() -> bytes:
    at = PDF.rindex(b"startxref")
    start = int(PDF[at:].split()[1])
    return PDF.replace(b"trailer\n<<", b"trailer\n<< /Prev %d" % start)


def _circling_object_streams() -> bytes:
    stream = "<</Type/ObjStm/N 1/First 4/Length 9/Extends 5 0 R>>stream\n4 0 <<>>\nendstream"
    return _raw(_ONE_PAGE, stream, stream)


def _written(writer: pypdf.PdfWriter) -> bytes:
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def _writer() -> pypdf.PdfWriter:
    return pypdf.PdfWriter(clone_from=io.BytesIO(PDF))


def _filtered(data: bytes, *filters: str) -> bytes:
    """Return a page whose content is packed in several layers."""
    writer = _writer()
    stream = EncodedStreamObject()
    stream._data = data
    stream[NameObject("/Filter")] = ArrayObject([NameObject(name) for name in filters])
    writer.pages[0][NameObject("/Contents")] = writer._add_object(stream)
    return _written(writer)


def _with_image(width: int, height: int, kind: str, data: bytes) -> bytes:
    """Return a page with its lines and a picture that claims to be so large, white text on it included."""
    writer = _writer()
    page = writer.pages[0]
    image = EncodedStreamObject()
    image._data = data
    entries = {"/Type": "/XObject", "/Subtype": "/Image", "/ColorSpace": "/DeviceRGB", "/Filter": kind}
    image.update({NameObject(key): NameObject(value) for key, value in entries.items()})
    image.update({NameObject("/Width"): NumberObject(width), NameObject("/Height"): NumberObject(height)})
    image[NameObject("/BitsPerComponent")] = NumberObject(8)
    page["/Resources"][NameObject("/XObject")] = DictionaryObject({NameObject("/Im"): writer._add_object(image)})
    more = DecodedStreamObject()
    white = b"1 g BT /F1 9 Tf 60 310 Td (white words) Tj ET"
    more.set_data(page["/Contents"].get_data() + b" q 200 0 0 200 50 200 cm /Im Do Q " + white)
    page[NameObject("/Contents")] = writer._add_object(more)
    return _written(writer)


def _form_in_itself() -> bytes:
    writer = _writer()
    _add_forms(writer, depth=1, uses=2, circle=True)
    return _written(writer)


def _form_bomb() -> bytes:
    writer = _writer()
    _add_forms(writer, depth=9, uses=10, circle=False)
    return _written(writer)


def _add_forms(writer: pypdf.PdfWriter, *, depth: int, uses: int, circle: bool) -> None:
    """Add forms that use each other several times each, or themselves."""
    page = writer.pages[0]
    inner = None
    for _ in range(depth):
        form = DecodedStreamObject()
        form.set_data(b"/Fm Do " * uses if inner is not None or circle else _text(b"lol "))
        form.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")})
        form[NameObject("/BBox")] = ArrayObject([NumberObject(n) for n in (0, 0, 600, 800)])
        reference = writer._add_object(form)
        used = reference if circle else inner
        if used is not None:
            objects = DictionaryObject({NameObject("/Fm"): used})
            form[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): objects})
        else:
            form[NameObject("/Resources")] = page["/Resources"]
        inner = reference
    page["/Resources"][NameObject("/XObject")] = DictionaryObject({NameObject("/Fm"): inner})
    more = DecodedStreamObject()
    more.set_data(page["/Contents"].get_data() + b" /Fm Do")
    page[NameObject("/Contents")] = writer._add_object(more)


def _attached(name: str, data: bytes) -> bytes:
    writer = _writer()
    writer.add_attachment(name, b"").content = data
    for entry in writer._objects:
        if isinstance(entry, DecodedStreamObject) and entry.get("/Type") == "/EmbeddedFile":
            entry.set_data(data)
    writer.compress_identical_objects()
    for number, entry in enumerate(writer._objects):
        if isinstance(entry, DecodedStreamObject) and entry.get("/Type") == "/EmbeddedFile":
            writer._objects[number] = entry.flate_encode()
    return _written(writer)


def _many_attachments() -> bytes:
    writer = _writer()
    for number in range(3000):
        writer.add_attachment(f"part-{number}.xml", b"<a/>")
    return _written(writer)


def _many_pages(count: int) -> bytes:
    """Return a PDF of so many empty pages, without the cost of a writer."""
    kids = " ".join(f"{number} 0 R" for number in range(3, count + 3))
    parts = ["%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"]
    parts.append(f"2 0 obj<</Type/Pages/Count {count}/Kids[{kids}]/MediaBox[0 0 9 9]>>endobj\n")
    parts += [f"{number} 0 obj<</Type/Page/Parent 2 0 R>>endobj\n" for number in range(3, count + 3)]
    offsets, at = [], 0
    for part in parts:
        offsets.append(at)
        at += len(part)
    offsets[0] = len("%PDF-1.4\n")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    head = f"xref\n0 {count + 3}\n0000000000 65535 f \n"
    end = f"trailer<</Root 1 0 R/Size {count + 3}>>\nstartxref\n{at}\n%%EOF"
    return "".join([*parts, head, table, end]).encode()
