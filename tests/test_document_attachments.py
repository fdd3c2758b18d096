from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from einvoice_files import Facts, associate, attach, cii, ubl, zugferd_1
from odd_files import LINES, encrypt, make_pdf, make_picture_pdf, save

from pipeline.document.attachments import MAX_ATTACHMENTS
from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Attachment, Document
from pipeline.document.parse import parse_file
from pipeline.document.reader import DocumentReader
from pipeline.errors import DocumentError

PDF = make_pdf(LINES)
CII = cii(Facts())


def parse(path: Path) -> Document:
    settings = ReadingSettings()
    return combined(parse_file(path, name=path.name, settings=settings), None, settings=settings)


def found(folder: Path, data: bytes) -> dict[str, str]:
    return {one.name: one.text for one in parse(save(folder, "a.pdf", data)).attachments}


@pytest.mark.parametrize(
    "embed",
    [
        lambda xml: attach(PDF, ("factur-x.xml", xml)),
        lambda xml: associate(PDF, "factur-x.xml", xml),
        lambda xml: associate(PDF, "factur-x.xml", xml, as_note=True),
        lambda xml: associate(attach(PDF, ("factur-x.xml", xml)), "factur-x.xml", xml),
        lambda xml: encrypt(attach(PDF, ("factur-x.xml", xml)), user_password="", owner_password="secret"),
    ],
)
def test_an_einvoice_is_found_wherever_it_hangs(tmp_path: Path, embed: Callable[[str], bytes]) -> None:
    """In the list of embedded files, at the document, at a note, at two places at once, behind an empty password."""
    assert found(tmp_path, embed(CII)) == {"factur-x.xml": CII.strip()}


@pytest.mark.parametrize("xml", [CII, zugferd_1(Facts()), ubl(Facts()), "\ufeff" + CII])
def test_the_content_tells_an_einvoice_under_any_name(tmp_path: Path, xml: str) -> None:
    """Names are free; the root element is not."""
    assert found(tmp_path, attach(PDF, ("data 7.xml", xml)))


def test_encodings_are_read_as_declared(tmp_path: Path) -> None:
    """An XML in an old encoding keeps its letters."""
    xml = CII.replace("UTF-8", "ISO-8859-1").replace("Kiel", "Köln").encode("latin-1")
    assert "Köln" in found(tmp_path, attach(PDF, ("factur-x.xml", xml)))["factur-x.xml"]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Pictures, other XML and archives are no e-invoices."""
    files = [("logo.png", b"\x89PNG\r\n\x1a\n"), ("order.xml", "<order/>"), ("page.txt", CII), ("x.zip", b"PK\x03\x04")]
    assert found(tmp_path, attach(PDF, *files)) == {}


def test_a_broken_einvoice_is_kept_so_that_it_can_be_told_of(tmp_path: Path) -> None:
    """A name that only e-invoices have speaks for a file that is no XML any more."""
    assert found(tmp_path, attach(PDF, ("factur-x.xml", b"\0\1\2"))) == {"factur-x.xml": ""}


def test_names_are_only_labels(tmp_path: Path) -> None:
    """A name like a path is kept as words, without what a terminal would obey, and shortened."""
    (name,) = found(tmp_path, attach(PDF, ("../../etc/\x1b[31mpasswd" + "x" * 300 + ".xml", CII)))
    assert "\x1b" not in name
    assert len(name) <= 80


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    """A file with a crowd of e-invoices gives the first ones, and says that there are more."""
    crowd = [(f"{number}.xml", cii(Facts(number=f"N-{number}"))) for number in range(MAX_ATTACHMENTS + 2)]
    document = parse(save(tmp_path, "crowd.pdf", attach(PDF, *crowd)))
    assert len(document.attachments) == MAX_ATTACHMENTS
    assert any(notice.gap for notice in document.notices)


def test_a_huge_attachment_does_not_spoil_the_file(tmp_path: Path) -> None:
    """What unpacks to more than an invoice holds is left out, and the page is read."""
    huge = attach(PDF, ("factur-x.xml", CII + " " * 9_000_000))
    document = parse(save(tmp_path, "huge.pdf", _packed(huge)))
    assert document.attachments == ()
    assert "BP-1042" in document.text
    assert any("far more" in notice.text for notice in document.notices)


def test_a_scan_with_an_einvoice_is_read(tmp_path: Path) -> None:
    """Pages without text are refused only where nothing else is there."""
    scan = make_picture_pdf()
    with pytest.raises(DocumentError):
        parse(save(tmp_path, "scan.pdf", scan))
    assert found(tmp_path, attach(scan, ("factur-x.xml", CII)))


@pytest.mark.parametrize("cut", [0, 400])
def test_an_xml_file_is_its_own_einvoice(tmp_path: Path, cut: int) -> None:
    """A file dropped as XML is an e-invoice by its content, also where its end is missing."""
    xml = ubl(Facts()).strip()
    document = parse(save(tmp_path, "rechnung.xml", xml[: len(xml) - cut]))
    assert document.attachments == (Attachment("rechnung.xml", xml[: len(xml) - cut]),)


def test_other_xml_files_are_none(tmp_path: Path) -> None:
    """An XML of another kind stays text for the model."""
    assert parse(save(tmp_path, "a.xml", "<a><b>Invoice-2</b></a>")).attachments == ()


def test_files_inside_an_einvoice_are_left_out(tmp_path: Path) -> None:
    """A PDF of two megabytes within an XRechnung does not make it too long."""
    attached = f"<cbc:EmbeddedDocumentBinaryObject>{'QUJD' * 500_000}</cbc:EmbeddedDocumentBinaryObject>"
    document = parse(save(tmp_path, "a.xml", ubl(Facts(), extra=attached)))
    assert len(document.attachments[0].text) < 10_000


def test_a_long_einvoice_is_not_refused(tmp_path: Path) -> None:
    """Code reads it, so it may be longer than what a model can take."""
    document = parse(save(tmp_path, "a.xml", ubl(Facts(), extra="<!-- " + "long " * 60_000 + "-->")))
    assert len(document.attachments[0].text) > ReadingSettings().max_characters


def test_documents_of_earlier_traces_have_none() -> None:
    """A document recorded before there were attachments is rebuilt; one with them comes back as it was."""
    document = Document("a", "b", 1, "application/pdf", (), attachments=(Attachment("x.xml", "<x/>"),))
    data = document.to_json()
    assert Document.from_json(data) == document
    del data["attachments"]
    assert Document.from_json(data).attachments == ()


async def test_attachments_come_through_the_reader_process(tmp_path: Path) -> None:
    """What the child process found arrives, also where it is large."""
    xml = cii(Facts()).replace("<rsm:CrossIndustryInvoice", f"<!-- {'long ' * 600_000}--><rsm:CrossIndustryInvoice")
    path = save(tmp_path, "a.pdf", attach(PDF, ("factur-x.xml", xml)))
    async with DocumentReader() as reader:
        document = await reader.read(path)
    assert len(document.attachments[0].text) > 3_000_000


def _packed(data: bytes) -> bytes:
    """Return a PDF with its embedded files compressed."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    for number, entry in enumerate(writer._objects):
        if isinstance(entry, pypdf.generic.StreamObject) and entry.get("/Type") == "/EmbeddedFile":
            writer._objects[number] = entry.flate_encode()
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()
