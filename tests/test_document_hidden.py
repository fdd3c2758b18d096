from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_files import LINES, change_field, make_form_pdf, save, switch_layer_off, with_content
from PIL import Image
from reportlab.lib.colors import CMYKColorSep
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from pipeline.document.combine import combined
from pipeline.document.hidden.colours import uniform_colour
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document
from pipeline.document.parse import parse_file
from pipeline.document.refusal import Reason
from pipeline.document.second import parse_again
from pipeline.errors import DocumentError

SECRET = "Total due 9999.99 EUR"
Draw = Callable[[Canvas], None]


def picture(colour: tuple[int, int, int], *, alpha: int | None = None) -> ImageReader:
    """Return a small picture of one colour."""
    size = (8, 8)
    return ImageReader(Image.new("RGB", size, colour) if alpha is None else Image.new("RGBA", size, (*colour, alpha)))


def drawn(draw: Draw, *, lines: tuple[str, ...] = LINES) -> bytes:
    """Return a page with the usual lines, and what `draw` adds to it."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    for row, line in enumerate(lines):
        canvas.drawString(60, 780 - 16 * row, line)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def read(folder: Path, data: bytes) -> Document:
    path, settings = save(folder, "a.pdf", data), ReadingSettings()
    first = parse_file(path, name="a.pdf", settings=settings)
    return combined(first, parse_again(path, name="a.pdf", settings=settings), settings=settings)


def white(canvas: Canvas) -> None:
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(60, 300, SECRET)


def nearly_white(canvas: Canvas) -> None:
    canvas.setFillColorCMYK(0.02, 0.02, 0.03, 0.02)
    canvas.drawString(60, 300, SECRET)


def in_the_colour_of_its_bar(canvas: Canvas) -> None:
    canvas.setFillColorRGB(0.1, 0.2, 0.5)
    canvas.rect(50, 290, 400, 30, stroke=0, fill=1)
    canvas.setFillColorRGB(0.1, 0.2, 0.52)
    canvas.drawString(60, 300, SECRET)


def white_on_a_white_picture(canvas: Canvas) -> None:
    canvas.drawImage(picture((255, 255, 255)), 40, 280, 400, 60)
    white(canvas)


def tiny(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 1)
    canvas.drawString(60, 300, SECRET)


def shrunk(canvas: Canvas) -> None:
    canvas.scale(0.1, 0.1)
    canvas.drawString(600, 3000, SECRET)


def beside_the_page(canvas: Canvas) -> None:
    canvas.drawString(60, 900, SECRET)


def outside_the_crop_box(canvas: Canvas) -> None:
    canvas.setCropBox((0, 400, 595, 842))
    canvas.drawString(60, 300, SECRET)


def far_behind_a_visible_word(canvas: Canvas) -> None:
    text = canvas.beginText(60, 300)
    text._code.append(f"[(Thanks) -60000 ({SECRET})] TJ")
    canvas.drawText(text)


def under_a_rectangle(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    canvas.setFillColorRGB(1, 1, 1)
    canvas.rect(40, 280, 400, 60, stroke=0, fill=1)


def under_a_thick_line(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    canvas.setStrokeColorRGB(1, 1, 1)
    canvas.setLineWidth(30)
    canvas.line(40, 303, 440, 303)


def under_a_picture(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    canvas.drawImage(picture((20, 90, 20)), 40, 280, 400, 60)


def in_an_invisible_mode(canvas: Canvas) -> None:
    text = canvas.beginText(60, 300)
    text.setTextRenderMode(3)
    text.textOut(SECRET)
    canvas.drawText(text)


def transparent(canvas: Canvas) -> None:
    canvas.setFillAlpha(0)
    canvas.drawString(60, 300, SECRET)


def cut_away(canvas: Canvas) -> None:
    path = canvas.beginPath()
    path.rect(0, 0, 10, 10)
    canvas.clipPath(path, stroke=0, fill=0)
    canvas.drawString(60, 300, SECRET)


def white_in_a_form(canvas: Canvas) -> None:
    canvas.beginForm("inner")
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(60, 300, SECRET)
    canvas.endForm()
    canvas.doForm("inner")


def white_by_a_special_ink(canvas: Canvas) -> None:
    canvas.setFillColor(CMYKColorSep(0, 0, 0, 0, spotName="Paper", density=1))
    canvas.drawString(60, 300, SECRET)


HIDING = (
    *(white, nearly_white, in_the_colour_of_its_bar, white_on_a_white_picture, white_in_a_form),
    *(white_by_a_special_ink, tiny, shrunk, beside_the_page, outside_the_crop_box, far_behind_a_visible_word),
    *(under_a_rectangle, under_a_thick_line, under_a_picture, in_an_invisible_mode, transparent, cut_away),
)


@pytest.mark.parametrize("draw", HIDING, ids=lambda draw: draw.__name__)
def test_text_that_nobody_can_see_is_left_out_and_named(draw: Draw, tmp_path: Path) -> None:
    """Neither view of the page has it, the rest is untouched, and a sentence says how it was hidden."""
    document = read(tmp_path, drawn(draw))
    (page,) = document.pages
    assert "9999" not in page.text + page.plain
    assert all(line.split()[0] in page.text for line in LINES)
    assert any("nobody can see" in notice.text and not notice.gap for notice in document.notices)


def white_on_a_dark_bar(canvas: Canvas) -> None:
    canvas.setFillColorRGB(0.2, 0.2, 0.2)
    canvas.rect(50, 290, 400, 30, stroke=0, fill=1)
    white(canvas)


def white_on_a_round_bar(canvas: Canvas) -> None:
    canvas.setFillColorRGB(0.8, 0.1, 0.1)
    canvas.roundRect(50, 290, 400, 30, 8, stroke=0, fill=1)
    white(canvas)


def white_on_a_thick_line(canvas: Canvas) -> None:
    canvas.setStrokeColorRGB(0, 0, 0.6)
    canvas.setLineWidth(24)
    canvas.line(50, 304, 450, 304)
    white(canvas)


def white_on_a_photograph(canvas: Canvas) -> None:
    canvas.drawImage(picture((90, 60, 30)), 40, 280, 400, 60)
    white(canvas)


def pale_grey(canvas: Canvas) -> None:
    canvas.setFillColorRGB(0.75, 0.75, 0.75)
    canvas.drawString(60, 300, SECRET)


def on_a_background_picture(canvas: Canvas) -> None:
    canvas.drawImage(picture((250, 250, 240)), 0, 0, 595, 842)
    canvas.drawString(60, 300, SECRET)


def under_a_stamp(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    canvas.drawImage(picture((200, 0, 0), alpha=60), 40, 280, 400, 60, mask="auto")


def under_a_marker(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    canvas.setFillAlpha(0.3)
    canvas.setFillColorRGB(1, 1, 0)
    canvas.rect(40, 280, 400, 60, stroke=0, fill=1)


def within_a_frame(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    canvas.rect(40, 280, 400, 60, stroke=1, fill=0)


def within_a_filled_frame(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    path = canvas.beginPath()
    path.rect(40, 280, 400, 60)
    path.rect(42, 282, 396, 56)
    canvas.drawPath(path, stroke=0, fill=1, fillMode=0)


def beside_a_cut_out_corner(canvas: Canvas) -> None:
    canvas.drawString(60, 300, SECRET)
    path = canvas.beginPath()
    path.rect(0, 0, 30, 30)
    canvas.clipPath(path, stroke=0, fill=0)
    canvas.setFillColorRGB(1, 1, 1)
    canvas.rect(0, 0, 595, 842, stroke=0, fill=1)


def white_on_a_large_drawing(canvas: Canvas) -> None:
    canvas.beginForm("drawing", lowerx=40, lowery=280, upperx=500, uppery=340)
    canvas._code.append("0 0 1 rg 40 280 460 60 re f " + "50 290 m 51 291 l S " * 20_000)
    canvas.endForm()
    canvas.doForm("drawing")
    white(canvas)


def six_points(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 60)
    canvas.scale(0.1, 0.1)
    canvas.drawString(600, 3000, SECRET)


def in_a_form_that_is_also_used_beside_the_page(canvas: Canvas) -> None:
    canvas.beginForm("inner")
    canvas.drawString(60, 300, SECRET)
    canvas.endForm()
    canvas.doForm("inner")
    canvas.translate(0, 2000)
    canvas.doForm("inner")


SHOWING = (
    *(white_on_a_dark_bar, white_on_a_round_bar, white_on_a_thick_line, white_on_a_photograph, pale_grey),
    *(on_a_background_picture, under_a_stamp, under_a_marker, within_a_frame, within_a_filled_frame),
    *(beside_a_cut_out_corner, white_on_a_large_drawing, six_points, in_a_form_that_is_also_used_beside_the_page),
)


@pytest.mark.parametrize("draw", SHOWING, ids=lambda draw: draw.__name__)
def test_text_that_can_be_seen_stays(draw: Draw, tmp_path: Path) -> None:
    """However odd the way it is painted, what a person sees a model is shown, without a remark."""
    document = read(tmp_path, drawn(draw))
    assert "9999.99" in document.pages[0].text
    assert not any("nobody can see" in notice.text for notice in document.notices)


def test_text_on_a_layer_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    """A layer that a viewer does not show is not read either; one that is on is."""
    data = with_content(
        b"BT /F1 12 Tf 60 700 Td (Invoice number BP-1042, business cards, total due 96.00 EUR, thank you.) Tj ET "
        b"/OC /Extra BDC BT /F1 12 Tf 60 600 Td (Total due 9999.99 EUR) Tj ET EMC"
    )
    assert "9999.99" in read(tmp_path, switch_layer_off(data, "Extra", off=False)).text
    off = read(tmp_path, switch_layer_off(data, "Extra", off=True))
    assert "96.00" in off.text
    assert "9999.99" not in off.text
    assert "switched off" in off.notices[0].text


def test_the_text_under_a_scanned_picture_stays_and_is_named_as_a_gap(tmp_path: Path) -> None:
    """The invisible text of a scan is all there is; since it may differ from the picture, a person should look."""

    def scanned(canvas: Canvas) -> None:
        canvas.drawImage(picture((240, 240, 235)), 0, 0, 595, 842)
        text = canvas.beginText(60, 700)
        text.setTextRenderMode(3)
        text.textLines("\n".join(LINES))
        canvas.drawText(text)

    document = read(tmp_path, drawn(scanned, lines=()))
    assert "96.00 EUR" in document.text
    (notice,) = document.notices
    assert notice.gap
    assert "invisible text" in notice.text


def test_a_page_with_hidden_text_alone_has_no_text(tmp_path: Path) -> None:
    """Without a picture over it, text that nobody can see makes no document."""

    def only_hidden(canvas: Canvas) -> None:
        canvas.setFillColorRGB(1, 1, 1)
        for row, line in enumerate(LINES):
            canvas.drawString(60, 780 - 16 * row, line)

    with pytest.raises(DocumentError) as caught:
        read(tmp_path, drawn(only_hidden, lines=()))
    assert caught.value.reason == Reason.NO_TEXT


def test_a_page_too_intricate_to_follow_is_named_as_a_gap(tmp_path: Path) -> None:
    """Where the search for hidden text stops at its limit, a person is told to look."""

    def twice(canvas: Canvas) -> None:
        white_in_a_form(canvas)
        canvas.doForm("inner")

    path = save(tmp_path, "a.pdf", drawn(twice))
    assert not any(notice.gap for notice in parse_file(path, name="a.pdf", settings=ReadingSettings()).notices)
    stopped = parse_file(path, name="a.pdf", settings=ReadingSettings(pdf_forms=1))
    assert any(notice.gap and "intricate" in notice.text for notice in stopped.notices)


def test_a_form_shared_by_pages_is_read_on_each_as_it_is_seen_there(tmp_path: Path) -> None:
    """What is hidden on one page is not lost on the next, which shows it."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    canvas.beginForm("inner")
    canvas.drawString(60, 300, SECRET)
    canvas.endForm()
    for shift in (2000, 0):
        canvas.drawString(60, 700, "Invoice number BP-1042 of Brightwater Print Shop")
        canvas.translate(0, shift)
        canvas.doForm("inner")
        canvas.showPage()
    canvas.save()
    first, second = read(tmp_path, target.getvalue()).pages
    assert "9999" not in first.text + first.plain
    assert "9999" in second.text


@pytest.mark.parametrize("change", ["none", "hidden", "nowhere", "no_size", "white", "tiny"])
def test_a_form_field_is_read_only_where_a_person_sees_it(change: str, tmp_path: Path) -> None:
    """A field that is hidden, beside the page, without size, white or tiny tells a person nothing."""
    data = change_field(make_form_pdf(total="9999.99 EUR"), change)
    document = read(tmp_path, data)
    assert ("9999.99" in document.text) == (change == "none")
    assert any("form fields" in notice.text for notice in document.notices) == (change != "none")


class Pixels(dict[str, int]):
    """Stand for a picture of one white."""

    def get_data(self) -> bytes:
        return b"\xff" * 12


@pytest.mark.parametrize("space", ["/DeviceRGB", ["/CalRGB", {}], ["/ICCBased", {"/N": 3}]])
def test_a_picture_of_one_colour_is_known_in_every_space_of_three_parts(space: object) -> None:
    """White letters hide on a white picture, whichever way its white is written."""
    assert uniform_colour(Pixels({"/Width": 2, "/Height": 2}), space) == (1.0, 1.0, 1.0)
