"""The box of a value: held against a page on which every place is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reportlab.pdfgen.canvas import Canvas

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Box, Document
from pipeline.document.parse import parse_file
from pipeline.document.second import parse_again
from pipeline.invoice.verify import verify

HEIGHT = 842
# Text, left edge (right edge for the columns of numbers) and baseline, in points from the bottom left.
TEXTS = [
    ("Brightwater Print Shop GmbH", 60, 800, "left"),
    ("12 Mill Lane, 1010 Vienna", 60, 785, "left"),
    ("Invoice number:", 60, 740, "left"),
    ("BP-1042", 160, 740, "left"),
    ("Date:", 320, 740, "left"),
    ("2026-03-14", 360, 740, "left"),
    ("Description", 60, 700, "left"),
    ("Quantity", 300, 700, "right"),
    ("Unit price", 400, 700, "right"),
    ("Amount EUR", 520, 700, "right"),
    ("Business cards", 60, 680, "left"),
    ("2", 300, 680, "right"),
    ("40.00", 400, 680, "right"),
    ("80.00", 520, 680, "right"),
    ("Letter paper, white,", 60, 660, "left"),
    ("80.00", 400, 660, "right"),
    ("1", 300, 660, "right"),
    ("80.00", 520, 660, "right"),
    ("ninety grams", 60, 648, "left"),
    ("Net", 400, 600, "right"),
    ("160.00", 520, 600, "right"),
    ("VAT 20 %", 400, 585, "right"),
    ("32.00", 520, 585, "right"),
    ("Total EUR", 400, 570, "right"),
    ("192.00", 520, 570, "right"),
]
CLAIM = {
    "kind": "invoice",
    "invoice_number": "BP-1042",
    "date": "2026-03-14",
    "currency": "EUR",
    "total_amount": "192.00",
    "net_amount": "160.00",
    "tax_amount": "32.00",
    "vendor": {"name": "Brightwater Print Shop GmbH", "address": "12 Mill Lane, 1010 Vienna"},
    "line_items": [
        {"description": "Business cards", "quantity": "2", "unit_price": "40.00", "total": "80.00"},
        {"description": "Letter paper, white, ninety grams", "quantity": "1", "unit_price": "80.00", "total": "80.00"},
    ],
}
# Of each value: where it begins or, in a column of numbers, ends, and its baselines, first and last.
WHERE = {
    "vendor.name": ("left", 60, 800, 800),
    "vendor.address": ("left", 60, 785, 785),
    "invoice_number": ("left", 160, 740, 740),
    "date": ("left", 360, 740, 740),
    "line_items.0.description": ("left", 60, 680, 680),
    "line_items.0.quantity": ("right", 300, 680, 680),
    "line_items.0.unit_price": ("right", 400, 680, 680),
    "line_items.0.total": ("right", 520, 680, 680),
    "line_items.1.description": ("left", 60, 660, 648),
    "line_items.1.quantity": ("right", 300, 660, 660),
    "line_items.1.unit_price": ("right", 400, 660, 660),
    "line_items.1.total": ("right", 520, 660, 660),
    "net_amount": ("right", 520, 600, 600),
    "tax_amount": ("right", 520, 585, 585),
    "total_amount": ("right", 520, 570, 570),
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    path = tmp_path_factory.mktemp("places") / "invoice.pdf"
    canvas = Canvas(str(path), pagesize=(595, HEIGHT), invariant=1)
    canvas.setFont("Helvetica", 9)
    for text, at, baseline, side in TEXTS:
        draw = canvas.drawString if side == "left" else canvas.drawRightString
        draw(at, baseline, text)
    canvas.save()
    settings = ReadingSettings()
    first, second = (parse(path, name=path.name, settings=settings) for parse in (parse_file, parse_again))
    return combined(first, second, settings=settings)


@pytest.mark.parametrize("path", WHERE)
def test_a_value_has_the_box_of_its_own_print(document: Document, path: str) -> None:
    """The box is that of the value, not of its line, and of the right one of several equal numbers."""
    side, at, first, last = WHERE[path]
    evidence = verify(CLAIM, document).evidence[path]
    assert evidence.page == 1
    assert evidence.box is not None
    box = Box(*evidence.box)
    assert (box.left if side == "left" else box.right) == pytest.approx(at, abs=1)
    assert box.top < HEIGHT - first < box.top + 12
    assert box.bottom - 5 < HEIGHT - last < box.bottom


def test_where_words_have_no_places_there_is_no_box(document: Document) -> None:
    """A document of an older trace, or of a format without places, gives the same values and quotes without boxes."""
    without = replace(document, pages=tuple(replace(page, words=()) for page in document.pages))
    bare, full = verify(CLAIM, without), verify(CLAIM, document)
    assert bare.invoice == full.invoice
    assert all(evidence.box is None for evidence in bare.evidence.values())
    assert [one.quote for one in bare.evidence.values()] == [one.quote for one in full.evidence.values()]


def test_words_that_do_not_match_give_no_box(document: Document) -> None:
    """Places of other words are not passed off as those of a value."""
    (page,) = document.pages
    foreign = tuple(word._replace(text=f"{word.text[::-1]}7x") for word in page.words)
    found = verify(CLAIM, replace(document, pages=(replace(page, words=foreign),)))
    assert found.invoice is not None
    assert all(evidence.box is None for evidence in found.evidence.values())
