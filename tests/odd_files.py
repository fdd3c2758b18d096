"""Files of many kinds, good and odd, made at test time."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pypdf
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, TextStringObject
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

LINES = (
    "Brightwater Print Shop",
    "Invoice number: BP-1042",
    "Date: 2026-03-14",
    "Business cards, 500 pieces          80.00",
    "Total due                           96.00 EUR",
)


def make_pdf(*pages: tuple[str, ...], rotated: str = "") -> bytes:
    """Return a PDF with one page for each group of lines; `rotated` is written up the left edge of the last page."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    for number, lines in enumerate(pages or (LINES,), 1):
        for row, line in enumerate(lines):
            canvas.drawString(60, 780 - 16 * row, line)
        if rotated and number == len(pages or (LINES,)):
            canvas.rotate(90)
            canvas.drawString(300, -40, rotated)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def make_form_pdf(**values: str) -> bytes:
    """Return a PDF whose printed lines are usual and whose form fields hold `values`."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    for row, line in enumerate(LINES):
        canvas.drawString(60, 780 - 16 * row, line)
    for row, (name, value) in enumerate(values.items()):
        canvas.acroForm.textfield(name=name, value=value, x=60, y=500 - 40 * row, width=200, height=20)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def make_picture_pdf() -> bytes:
    """Return a PDF with nothing on its page but a drawing, like a scan."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    for step in range(40):
        canvas.circle(300, 400, 5 * step)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def encrypt(data: bytes, *, user_password: str, owner_password: str) -> bytes:
    """Return the PDF locked by AES-256."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(user_password, owner_password, algorithm="AES-256")
    return _written(writer)


def claim_pages(data: bytes, count: int) -> bytes:
    """Return the PDF with a page tree that speaks of more pages than it has."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    written = pypdf.PdfReader(io.BytesIO(_written(writer)))
    declared = f"/Count {len(written.pages)}".encode()
    return _written(writer).replace(declared, f"/Count {count}".encode())


def with_content(content: bytes) -> bytes:
    """Return a one-page PDF with this content stream, packed; small in the file however large unpacked."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf()))
    stream = pypdf.generic.EncodedStreamObject()
    stream._data = zlib.compress(content)
    stream[NameObject("/Filter")] = NameObject("/FlateDecode")
    stream[NameObject("/Length")] = NumberObject(len(stream._data))
    writer.pages[0][NameObject("/Contents")] = writer._add_object(stream)
    return _written(writer)


def save(folder: Path, name: str, data: bytes | str) -> Path:
    """Write the file and return its path."""
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _written(writer: pypdf.PdfWriter) -> bytes:
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def switch_layer_off(data: bytes, name: str, *, off: bool) -> bytes:
    """Return the PDF with a layer of that name, which its first page may use, switched on or off."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    layer = writer._add_object(DictionaryObject({NameObject("/Type"): NameObject("/OCG")}))
    page = writer.pages[0]
    page["/Resources"][NameObject("/Properties")] = DictionaryObject({NameObject(f"/{name}"): layer})
    state = DictionaryObject({NameObject("/OFF" if off else "/ON"): ArrayObject([layer])})
    layers = {NameObject("/OCGs"): ArrayObject([layer]), NameObject("/D"): state}
    writer.root_object[NameObject("/OCProperties")] = DictionaryObject(layers)
    return _written(writer)


def change_field(data: bytes, change: str) -> bytes:
    """Return the form with its first field put out of sight in one way; `none` leaves it as it is."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    page = writer.pages[0]
    field = page["/Annots"][0].get_object()
    match change:
        case "hidden":
            field[NameObject("/F")] = NumberObject(2)
        case "nowhere":
            del page["/Annots"]
        case "no_size":
            field[NameObject("/Rect")] = ArrayObject([NumberObject(60)] * 4)
        case "white":
            field[NameObject("/DA")] = TextStringObject("/Helv 12 Tf 1 g")
            field[NameObject("/MK")] = DictionaryObject()
        case "tiny":
            field[NameObject("/DA")] = TextStringObject("/Helv 1 Tf 0 g")
    return _written(writer)
