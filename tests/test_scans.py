"""Scans and photos through the whole pipeline."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pypdf
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

pytest.importorskip("rapidocr")

from scan_files import Scanning, picture_pdf, scan_pages

from pipeline.app import open_app
from pipeline.config import Settings
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document
from pipeline.document.reader import DocumentReader
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import DocumentError

ROWS = (
    (("Brightwater Print Shop Ltd", 60),),
    (("12 Harbour Street, Bristol BS1 4QA", 60),),
    (("VAT ID: GB123456782", 60),),
    (),
    (("Invoice number: BP-1042", 60), ("Date: 14 March 2026", 380)),
    (),
    (("Description", 60), ("Quantity", 260), ("Unit price", 350), ("Amount", 460)),
    (("Business cards, matt", 60), ("500", 260), ("0.16", 350), ("80.00", 460)),
    (("Folded leaflets", 60), ("250", 260), ("0.44", 350), ("110.00", 460)),
    (),
    (("Net amount", 350), ("190.00 EUR", 460)),
    (("VAT 20 %", 350), ("38.00 EUR", 460)),
    (("Total", 350), ("228.00 EUR", 460)),
)


def make_invoice(rows: tuple[tuple[tuple[str, int], ...], ...] = ROWS) -> bytes:
    """Return an invoice of one page as a PDF with text."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    for number, row in enumerate(rows):
        for text, left in row:
            canvas.drawString(left, 780 - 20 * number, text)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def scanned(how: Scanning, pdf: bytes = b"") -> bytes:
    """Return a PDF of pictures."""
    return picture_pdf(scan_pages(pdf or make_invoice(), how), how.dpi)


def joined(*pdfs: bytes) -> bytes:
    """Return the pages of several PDFs as one."""
    writer = pypdf.PdfWriter()
    for pdf in pdfs:
        writer.append(io.BytesIO(pdf))
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


async def outcome(settings: Settings, path: Path) -> dict[str, Any]:
    async with open_app(settings, doing="test", one_shot=True) as app:
        [job] = await app.service.run([(path, "invoice")])
        return app.folders.outbox.find(job).result() or {}


async def read(tmp_path: Path, name: str, data: bytes, scan: ScanSettings | None = None) -> Document:
    path = tmp_path / name
    path.write_bytes(data)
    async with DocumentReader(ReadingSettings(), scan) as reader:
        return await reader.read(path)


async def test_without_the_extra_a_scan_fails_with_the_command_that_helps(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is guessed of a picture: the job says what to install."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned(Scanning(dpi=72)))
    result = await outcome(settings, path)
    assert (result["status"], result["error"]["type"]) == ("failed", "DocumentError.no_text")
    assert "pip install 'invoice-pipeline[scan]'" in result["error"]["hint"]


async def test_scans_can_be_switched_off(settings: Settings, tmp_path: Path) -> None:
    """Who wants no recognition is told which setting that is."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned(Scanning(dpi=72)))
    off = settings.model_copy(update={"scan": ScanSettings(method="off")})
    result = await outcome(off, path)
    assert result["status"] == "failed"
    assert "[scan] method" in result["error"]["hint"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("grey.pdf", Scanning(noise=12, jpeg_quality=50)),
        ("slanted.pdf", Scanning(dpi=150, slant=2, noise=8)),
        ("turned.pdf", Scanning(dpi=150, turn=90)),
        ("photo.jpg", Scanning(grey=False, shade=0.5, turn=180)),
    ],
)
async def test_a_scan_ends_done_with_its_values_and_their_places(
    settings: Settings, tmp_path: Path, name: str, how: Scanning
) -> None:
    """However the page was taken, the values are those that were printed, each with its box."""
    path = tmp_path / name
    if name.endswith(".pdf"):
        path.write_bytes(scanned(how))
    else:
        scan_pages(make_invoice(), how)[0].save(path, dpi=(how.dpi, how.dpi))
    result = await outcome(settings, path)
    invoice = result["invoice"]
    assert result["status"] == "done", result["findings"]
    assert (invoice["invoice_number"], invoice["date"]) == ("BP-1042", "2026-03-14")
    assert [str(invoice[one]) for one in ("net_amount", "tax_amount", "total_amount")] == ["190.00", "38.00", "228.00"]
    assert [str(line["total"]) for line in invoice["line_items"]] == ["80.00", "110.00"]
    assert result["evidence"]["total_amount"]["box"]


@pytest.mark.slow
async def test_a_page_of_text_and_one_of_pictures_are_both_read(tmp_path: Path) -> None:
    """Each page is read as it needs; places are in points of the page as it is seen."""
    document = await read(tmp_path, "mixed.pdf", joined(make_invoice(), scanned(Scanning())))
    assert [page.reader for page in document.pages] == ["pypdf", "ocr"]
    total = [word for page in document.pages for word in page.words if word.text == "228.00"]
    assert len(total) == 2
    assert total[0].box == pytest.approx(total[1].box, abs=4)
    assert document.notices == ()


@pytest.mark.slow
async def test_a_page_that_costs_too_much_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    """The second page is beyond the limit of pages, the first is there."""
    data = joined(scanned(Scanning(dpi=120)), scanned(Scanning(dpi=120)))
    document = await read(tmp_path, "long.pdf", data, ScanSettings(max_pages=1))
    assert "BP-1042" in document.pages[0].text
    assert [notice.gap for notice in document.notices if "Page 2" in notice.text][:1] == [True]


@pytest.mark.slow
async def test_the_recognition_process_ends_when_idle_and_comes_back(tmp_path: Path) -> None:
    """A process that has ended by itself costs nothing but its start."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned(Scanning(dpi=120)))
    async with DocumentReader(ReadingSettings(), ScanSettings(idle_seconds=0.01)) as reader:
        first = await reader.read(path)
        assert await reader.read(path) == first


@pytest.mark.slow
async def test_a_page_that_kills_recognition_fails_only_its_file(tmp_path: Path) -> None:
    """Out of memory is a notice or a refusal, and the next file is read."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned(Scanning(dpi=120)))
    async with DocumentReader(ReadingSettings(), ScanSettings(memory_bytes=1_000_000)) as reader:
        with pytest.raises(DocumentError) as caught:
            await reader.read(path)
        text = tmp_path / "a.txt"
        text.write_text("Invoice 1")
        assert (await reader.read(text)).text == "Invoice 1"
    assert caught.value.reason == "no_text"
    assert "Page 1 is a picture that could not be read" in caught.value.hint


@pytest.mark.slow
async def test_a_searchable_scan_is_read_from_its_picture(tmp_path: Path) -> None:
    """Invisible text under a picture may say anything; what is seen counts."""
    [page] = scan_pages(make_invoice(), Scanning())
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    canvas.drawInlineImage(page.convert("RGB"), 0, 0, *A4)
    for number, row in enumerate(ROWS):
        for text, left in row:
            layer = canvas.beginText(left, 780 - 20 * number)
            layer.setTextRenderMode(3)
            layer.textOut(text.replace("228.00", "928.00"))
            canvas.drawText(layer)
    canvas.save()
    document = await read(tmp_path, "searchable.pdf", target.getvalue())
    assert document.pages[0].reader == "ocr"
    assert "228.00" in document.text
    assert "928.00" not in document.text
    assert document.notices == ()
    unread = await read(tmp_path, "searchable.pdf", target.getvalue(), ScanSettings(method="off"))
    assert [notice.gap for notice in unread.notices] == [True]
