"""Words and their places: held against pages on which every place is known."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pypdf
import pytest
from odd_files import make_pdf, save
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Box, Document, Page, Word
from pipeline.document.rows import rows_of
from pipeline.document.second import parse_again

WIDTH, HEIGHT, SIZE = 400, 600, 10
PLACES = {"Invoice": (50, 500), "BP-1042": (120, 500), "Total": (50, 100), "1.234,56": (300, 100)}


def page_of(folder: Path, data: bytes, settings: ReadingSettings | None = None) -> Page:
    path = save(folder, "words.pdf", data)
    return parse_again(path, name=path.name, settings=settings or ReadingSettings()).pages[0]


def drawn(*, rotation: int = 0, crop: tuple[int, int] = (0, 0)) -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=(WIDTH, HEIGHT), invariant=1)
    canvas.setFont("Helvetica", SIZE)
    for text, (left, bottom) in PLACES.items():
        canvas.drawString(left, bottom, text)
    canvas.showPage()
    canvas.save()
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(target.getvalue()))
    writer.pages[0].rotation = rotation
    writer.pages[0].cropbox.lower_left = crop
    again = io.BytesIO()
    writer.write(again)
    return again.getvalue()


def expected(text: str, *, rotation: int, crop: tuple[int, int]) -> Box:
    """Return where a text's letters stand between its baseline and its size, as the page is shown."""
    left, baseline = PLACES[text]
    right, top = left + stringWidth(text, "Helvetica", SIZE), baseline + SIZE * 0.7
    x, y = crop
    match rotation:
        case 90:
            return Box(baseline - y, left - x, top - y, right - x)
        case 180:
            return Box(WIDTH - right, baseline - y, WIDTH - left, top - y)
        case 270:
            return Box(HEIGHT - top, WIDTH - right, HEIGHT - baseline, WIDTH - left)
        case _:
            return Box(left - x, HEIGHT - top, right - x, HEIGHT - baseline)


@pytest.mark.parametrize("crop", [(0, 0), (10, 20)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_words_stand_where_they_were_drawn(tmp_path: Path, rotation: int, crop: tuple[int, int]) -> None:
    """Boxes count from the top left of the page as it is shown, whatever its rotation and its visible part."""
    page = page_of(tmp_path, drawn(rotation=rotation, crop=crop))
    sides = (WIDTH - crop[0], HEIGHT - crop[1])
    assert (page.width, page.height) == (sides if rotation in (0, 180) else sides[::-1])
    boxes = {word.text: word.box for word in page.words}
    assert set(boxes) == set(PLACES)
    for text, box in boxes.items():
        # The box is as high as the font, so a little higher than the letters.
        assert box == pytest.approx(expected(text, rotation=rotation, crop=crop), abs=0.35 * SIZE)
        along = slice(0, None, 2) if rotation in (0, 180) else slice(1, None, 2)
        assert box[along] == pytest.approx(expected(text, rotation=rotation, crop=crop)[along], abs=1.0)


def test_words_are_limited(tmp_path: Path) -> None:
    """A page keeps so many words' places and no more; its text is whole."""
    page = page_of(tmp_path, make_pdf(("one two three four",)), ReadingSettings(max_words_per_page=3))
    assert [word.text for word in page.words] == ["one", "two", "three"]
    assert page.plain == "one two three four"


def test_rows_and_columns_are_written_from_places() -> None:
    """Words of a row share a line, columns stay apart and in their place, turned words come last."""
    words = [
        Word("Total", Box(50, 120, 80, 130)),
        Word("9.50", Box(250, 121, 270, 131)),
        Word("Paper", Box(50, 100, 80, 110)),
        Word("bags,", Box(83, 100, 110, 110)),
        Word("8.00", Box(250, 99, 270, 109)),
        Word("Sideways", Box(10, 50, 20, 100)),
    ]
    first, second, last = rows_of(words).split("\n")
    assert first.split() == ["Paper", "bags,", "8.00"]
    assert "Paper bags,  " in first
    assert second.split() == ["Total", "9.50"]
    assert first.index("8.00") == second.index("9.50")
    assert last == "Sideways"


def test_a_document_comes_back_from_json_with_and_without_words() -> None:
    """A trace gives back the places of words; one of an older release has none and is read all the same."""
    page = Page(1, "Total 9.50", "", "pypdf", "", 595, 842, (Word("Total", Box(50.1, 120, 80, 130.5)),))
    document = Document("a.pdf", "0" * 64, 1, "application/pdf", (page,))
    data = json.loads(json.dumps(document.to_json()))
    assert Document.from_json(data) == document
    data["pages"] = [{"number": 1, "text": "Total 9.50", "plain": ""}]
    del data["fields"]
    assert Document.from_json(data).pages == (Page(1, "Total 9.50"),)
