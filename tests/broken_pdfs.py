"""PDFs written object by object, so that each can be broken in one way."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

from odd_files import LINES

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << %s >> /Contents 4 0 R %s >>"


def text_content(lines: tuple[str, ...] = LINES, *, left: int = 60, top: int = 780) -> bytes:
    """Return the operators that write lines, 16 points apart, the first one's baseline at `top`."""
    shown = [f"1 0 0 1 {left} {top - 16 * row} Tm ({line}) Tj" for row, line in enumerate(lines)]
    return "\n".join(["BT /F1 10 Tf", *shown, "ET"]).encode()


def stream(content: bytes, entries: bytes = b"", *, packed: bool = False, length: int | None = None) -> bytes:
    """Return a stream object; `length` is what it says of itself, if that is not the truth."""
    data = zlib.compress(content) if packed else content
    packing = b" /Filter /FlateDecode" if packed else b""
    said = len(data) if length is None else length
    return b"<< /Length %d%s %s >>\nstream\n%s\nendstream" % (said, packing, entries, data)


def objects_of(
    content: bytes | None = None, *, resources: bytes = b"/Font << /F1 5 0 R >>", page: bytes = b""
) -> dict[int, bytes]:
    """Return the objects of a file of one page: 4 is its content, 5 its font."""
    return {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: PAGE % (resources, page),
        4: stream(text_content() if content is None else content),
        5: FONT,
    }


def written(objects: Mapping[int, bytes]) -> bytes:
    """Return the file with a right cross-reference table."""
    body = b"%PDF-1.5\n"
    offsets = {}
    for number, content in objects.items():
        offsets[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    size = max(objects) + 1
    entries = [b"%010d 00000 n \n" % offsets[n] if n in offsets else b"0000000000 65535 f \n" for n in range(size)]
    table = b"xref\n0 %d\n%s" % (size, b"".join(entries))
    return body + table + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))


def broken_xref() -> bytes:
    """Return a file whose table points nowhere."""
    return re.sub(rb"(?m)^\d{10} 00000 n", b"0000099999 00000 n", written(objects_of()))


def table_without_its_word() -> bytes:
    """Return a file whose table does not begin as one."""
    return written(objects_of()).replace(b"\nxref\n", b"\nxrex\n")


def missing_endobj() -> bytes:
    """Return a file whose objects do not end."""
    return written(objects_of()).replace(b"endobj\n", b"")


def cut_stream() -> bytes:
    """Return a file whose packed content breaks off: the text up to there can be had."""
    packed = zlib.compress(text_content(LINES * 8))
    cut = packed[: len(packed) - 12]
    return written(
        {**objects_of(), 4: b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(cut), cut)}
    )


def wrong_length(length: int) -> bytes:
    """Return a file whose content says a length that is not its own."""
    return written({**objects_of(), 4: stream(text_content(), length=length)})


def nested_forms(depth: int = 3) -> bytes:
    """Return a file whose text stands in a form object, in a form object, and so on."""
    objects = objects_of(b"q /X6 Do Q", resources=b"/XObject << /X6 6 0 R >>")
    kind = b"/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << %s >>"
    for number in range(6, 6 + depth):
        inner = b"/XObject << /X%d %d 0 R >>" % (number + 1, number + 1)
        objects[number] = stream(b"q /X%d Do Q" % (number + 1), kind % inner)
    objects[6 + depth] = stream(text_content(), kind % b"/Font << /F1 5 0 R >>")
    return written(objects)


def rotated(degrees: int) -> bytes:
    """Return a file whose page is shown turned."""
    return written(objects_of(page=b"/Rotate %d" % degrees))


def unmapped() -> bytes:
    """Return a file whose glyph numbers say nothing of their letters: no mapping, no font program."""
    numbers = "".join(f"{ord(sign) - 29:04X}" for sign in " ".join(LINES) if ord(sign) > 29)
    objects = objects_of(f"BT /F1 10 Tf 60 780 Td <{numbers}> Tj ET".encode())
    descendant = b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /AAAAAA+Some /CIDToGIDMap /Identity /DW 500"
    descendant += b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /FontDescriptor 7 0 R >>"
    objects[5] = (
        b"<< /Type /Font /Subtype /Type0 /BaseFont /AAAAAA+Some /Encoding /Identity-H /DescendantFonts [6 0 R]>>"
    )
    objects[6] = descendant
    objects[7] = b"<< /Type /FontDescriptor /FontName /AAAAAA+Some /Flags 4 /FontBBox [0 0 1 1] /ItalicAngle 0"
    objects[7] += b" /Ascent 800 /Descent -200 /CapHeight 700 /StemV 80 >>"
    return written(objects)


def odd_filter() -> bytes:
    """Return a file whose content has a filter that no reader knows."""
    return written({**objects_of(), 4: stream(text_content(), b"/Filter /NoSuchDecode")})


def root_elsewhere() -> bytes:
    """Return a file whose trailer points at an object that is not the catalog."""
    return written(objects_of()).replace(b"/Root 1 0 R", b"/Root 5 0 R")


def font_of_wrong_kind() -> bytes:
    """Return a file whose font is a number."""
    return written({**objects_of(), 5: b"17"})


def resources_missing() -> bytes:
    """Return a file whose page names no fonts."""
    return written(objects_of(resources=b""))


def hidden_and_shown() -> bytes:
    """Return a file with text that nobody sees (white, without paint, tiny, off the page) and white on black."""
    return written(
        objects_of(
            text_content()
            + b"\nBT /F1 10 Tf 1 g 1 0 0 1 60 600 Tm (Whiteonwhite) Tj 0 g 3 Tr 1 0 0 1 60 580 Tm (Unpainted) Tj 0 Tr"
            + b" ET\nBT /F1 1 Tf 1 0 0 1 60 560 Tm (Tinyprint) Tj /F1 10 Tf 1 0 0 1 60 2000 Tm (Offpage) Tj ET"
            + b"\n0 g 50 490 200 30 re f BT /F1 10 Tf 1 g 1 0 0 1 60 500 Tm (Whiteonblack) Tj ET"
        )
    )
