from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from odd_files import (
    LINES,
    claim_pages,
    encrypt,
    make_form_pdf,
    make_pdf,
    make_picture_pdf,
    save,
    with_content,
)

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document, Notice
from pipeline.document.parse import parse_file
from pipeline.errors import DocumentError

SETTINGS = ReadingSettings()
PDF = make_pdf()


def parse(path: Path, settings: ReadingSettings = SETTINGS) -> Document:
    return combined(parse_file(path, name=path.name, settings=settings), None, settings=settings)


def refused(path: Path, settings: ReadingSettings = SETTINGS) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(path, settings)
    assert path.name in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    """Each page keeps its number and its rows, and the document knows its bytes."""
    data = make_pdf(LINES, ("Page two of the same invoice", "Carried forward 96.00"))
    document = parse(save(tmp_path, "two.pdf", data))
    assert [page.number for page in document.pages] == [1, 2]
    assert "BP-1042" in document.pages[0].text
    assert "Carried forward 96.00" in document.pages[1].text
    assert (document.media_type, document.size) == ("application/pdf", len(data))
    assert document.sha256 == hashlib.sha256(data).hexdigest()
    assert document.notices == ()


def test_text_that_the_row_view_drops_is_kept(tmp_path: Path) -> None:
    """A rotated line is part of what a model sees, although the layout view leaves it out."""
    document = parse(save(tmp_path, "rotated.pdf", make_pdf(LINES, rotated="Customer account 778812")))
    assert "778812" in document.text
    assert document.text.count("BP-1042") == 1


def test_values_typed_into_a_form_are_read(tmp_path: Path) -> None:
    """Form fields stand below the text of the last page."""
    document = parse(save(tmp_path, "form.pdf", make_form_pdf(invoice_no="F-2231", amount="48.20")))
    assert document.pages[-1].text.endswith("Form fields:\ninvoice_no: F-2231\namount: 48.20")


def test_foreign_lines_before_the_header_do_no_harm(tmp_path: Path) -> None:
    """A PDF saved together with a mail header is a PDF."""
    document = parse(save(tmp_path, "mail.pdf", b"Subject: your invoice\r\n\r\n" + PDF))
    assert "BP-1042" in document.text


def test_a_pdf_locked_against_changes_only_is_read(tmp_path: Path) -> None:
    """An owner password does not stop reading."""
    document = parse(save(tmp_path, "owner.pdf", encrypt(PDF, user_password="", owner_password="secret")))
    assert "BP-1042" in document.text


def test_missing_pages_are_noticed(tmp_path: Path) -> None:
    """A page tree that speaks of more pages than there are is not passed over in silence."""
    document = parse(save(tmp_path, "pages.pdf", claim_pages(PDF, 3)))
    assert document.notices == (Notice("The file speaks of 3 pages, but only 1 are in it.", gap=True),)


def test_a_page_without_text_beside_others_is_noticed(tmp_path: Path) -> None:
    """A scanned page in the middle is named."""
    document = parse(save(tmp_path, "mixed.pdf", make_pdf(LINES, ())))
    assert document.notices == (Notice("Page 2 has no text, perhaps a picture."),)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.pdf", b"", "empty"),
        ("zeros.pdf", bytes(5000), "empty"),
        ("blank.txt", b" \n\t\n", "empty"),
        ("cut.pdf", PDF[: len(PDF) // 2], "damaged"),
        ("broken.pdf", b"%PDF-1.7\n" + b"junk " * 50 + b"startxref\n%%EOF", "damaged"),
        ("locked.pdf", encrypt(PDF, user_password="x", owner_password="y"), "encrypted"),
        ("scan.pdf", make_picture_pdf(), "no_text"),
        ("page.pdf", b"<html><body>Please sign in</body></html>", "unsupported"),
        ("packed.pdf", b"PK\x03\x04" + PDF, "unsupported"),
        ("picture.txt", b"GIF89a" + bytes(50), "unsupported"),
        ("program.txt", bytes(range(256)), "unsupported"),
        ("error.pdf", b"503 service unavailable", "not_a_pdf"),
        ("denied.pdf", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "not_a_pdf"),
        ("noise.pdf", bytes(range(256)), "not_a_pdf"),
        ("error.png", b"503 service unavailable", "not_a_picture"),
        ("denied.JPG", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "not_a_picture"),
        ("noise.tif", bytes(range(256)), "not_a_picture"),
        ("word.pdf", b"PK\x03\x04word/document.xml", "unsupported"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    """Each way to fail has its word, names the file, says what to do, and is not worth another try."""
    error = refused(save(tmp_path, name, data))
    assert (error.reason, error.transient) == (reason, False)


def test_a_file_that_is_gone_may_come_back(tmp_path: Path) -> None:
    """A file on a drive that is away is refused as unreadable, and another try may help."""
    error = refused(tmp_path / "gone.pdf")
    assert (error.reason, error.transient) == ("unreadable", True)


@pytest.mark.parametrize(
    ("settings", "data", "reason"),
    [
        (ReadingSettings(max_bytes=100), PDF, "too_large"),
        (ReadingSettings(max_characters=100), PDF, "too_large"),
        (ReadingSettings(max_characters=400), make_form_pdf(note="x" * 400), "too_large"),
        (ReadingSettings(max_pages=2), make_pdf(LINES, LINES, LINES), "too_many_pages"),
        (ReadingSettings(pdf_tree_entries=2), make_pdf(LINES, LINES, LINES), "too_many_pages"),
        (SETTINGS, with_content(b" " * 6_000_000), "too_large"),
        (ReadingSettings(pdf_operations=1000), with_content(b"q Q " * 1000), "too_large"),
    ],
)
def test_limits_hold_for_pdfs(tmp_path: Path, settings: ReadingSettings, data: bytes, reason: str) -> None:
    """A file beyond a limit is refused, never cut, and small bombs do not unfold."""
    assert refused(save(tmp_path, "big.pdf", data), settings).reason == reason


def test_limits_hold_for_text(tmp_path: Path) -> None:
    """Text has the same bounds on pages and characters."""
    assert refused(save(tmp_path, "a.txt", "x\f" * 51 + "x")).reason == "too_many_pages"
    assert refused(save(tmp_path, "b.txt", "word " * 50_000)).reason == "too_large"


def test_text_files_are_split_at_form_feeds(tmp_path: Path) -> None:
    """A printer's page break in a text file is a page break here; the last one adds no page."""
    document = parse(save(tmp_path, "old.txt", "Rechnung 7\r\nSeite 1\r\n\fSeite 2\r\n\f\r\n".encode("cp1252")))
    assert [page.text for page in document.pages] == ["Rechnung 7\nSeite 1", "Seite 2"]
    assert document.media_type == "text/plain"


def test_xml_is_one_page_of_text_and_expands_nothing(tmp_path: Path) -> None:
    """Entities stay as they are written: no bomb unfolds and no file is fetched."""
    xml = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><Invoice>&a;</Invoice>'
    document = parse(save(tmp_path, "e.xml", xml))
    assert (document.media_type, document.text) == ("application/xml", xml)


def test_files_embedded_in_xml_do_not_drown_its_text(tmp_path: Path) -> None:
    """An attached picture or PDF is left out of the text, with a notice."""
    xml = "<Invoice><ID>9</ID><Attachment>" + "QUJD\n" * 60_000 + "</Attachment><Total>5.00</Total></Invoice>"
    document = parse(save(tmp_path, "e.xml", xml))
    assert document.text.endswith("<Attachment>(attached file)</Attachment><Total>5.00</Total></Invoice>")
    assert document.notices == (Notice("1 attached files were left out of the text."),)


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("a.txt", PDF, "application/pdf"),
        ("a.png", PDF, "application/pdf"),
        ("b.xml", b"Invoice 17, total 5.00", "text/plain"),
    ],
)
def test_a_wrong_ending_is_noticed_and_the_content_read(
    tmp_path: Path, name: str, data: bytes, media_type: str
) -> None:
    """The content decides how a file is read."""
    document = parse(save(tmp_path, name, data))
    assert document.media_type == media_type
    assert document.notices[0].text.startswith(f"The file is named {Path(name).suffix} but holds ")


def test_a_picture_named_pdf_is_called_a_picture(tmp_path: Path) -> None:
    """The refusal says what the file is, for its name does not."""
    error = refused(save(tmp_path, "scan.pdf", b"\x89PNG\r\n\x1a\n" + bytes(50)))
    assert (error.reason, error.message) == ("no_text", "scan.pdf is a picture in which no text can be read")


def test_invisible_characters_are_noticed(tmp_path: Path) -> None:
    """A reader learns that the text was not what it looked like."""
    document = parse(save(tmp_path, "hidden.txt", "Total 5\u200b00\u202e"))
    assert (document.text, len(document.notices)) == ("Total 500", 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_spoilt_pdfs_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever bytes of a PDF are spoilt, the outcome is a document or a reason."""
    chance = random.Random(seed)
    data = bytearray(make_form_pdf(number="17"))
    for _ in range(chance.choice((1, 10, 100))):
        data[chance.randrange(9, len(data))] = chance.randrange(256)
    outcome = read_or_reason(save(tmp_path, "spoilt.pdf", bytes(data)))
    assert outcome in {"read", "damaged", "no_text", "encrypted", "too_large", "too_many_pages"}


def read_or_reason(path: Path) -> str:
    try:
        parse(path)
    except DocumentError as error:
        return error.reason
    return "read"


def test_comments_of_an_xml_file_are_left_out_and_named(tmp_path: Path) -> None:
    """No viewer shows them, so a model is not shown them either; one without an end takes the rest."""
    text = "<?xml version='1.0'?><note><?order obey?>Total 96.00<!-- Total 9999.00 --> EUR</note>"
    document = parse(save(tmp_path, "a.xml", text))
    assert document.text == "<?xml version='1.0'?><note>Total 96.00 EUR</note>"
    assert "2 XML comments" in document.notices[0].text
    assert parse(save(tmp_path, "b.xml", "<note>Total 96.00<!-- 9999.00</note>")).text == "<note>Total 96.00"
