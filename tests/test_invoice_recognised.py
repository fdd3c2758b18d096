"""Values that rest on words which were recognised in a picture."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.document.model import Box, Document, Page, Word
from pipeline.invoice.verify import Verified, verify

ROWS = (
    "Brightwater Print Shop Ltd",
    "Invoice number: BP-1042",
    "Date: 2026-03-14",
    "Net amount 190.00 EUR",
    "VAT 20 % 38.00 EUR",
    "Total 228.00 EUR",
)
RAW: dict[str, Any] = {
    "kind": "invoice",
    "invoice_number": "BP-1042",
    "date": "2026-03-14",
    "currency": "EUR",
    "total_amount": "228.00",
    "vendor": {"name": "Brightwater Print Shop Ltd"},
}
WITH_SUM = {**RAW, "net_amount": "190.00", "tax_amount": "38.00"}


def document(*doubtful: str, rows: tuple[str, ...] = ROWS, reader: str = "ocr") -> Document:
    """Return a scanned page on which some words are doubtful."""
    words = [
        Word(text, Box(60 * place, 20 * row, 60 * place + 50, 20 * row + 10))
        for row, line in enumerate(rows)
        for place, text in enumerate(line.split())
    ]
    unsure = tuple(position for position, word in enumerate(words) if word.text in doubtful)
    page = Page(1, "\n".join(rows), reader=reader, words=tuple(words), doubtful=unsure)
    return Document("scan.pdf", "0" * 64, 1, "application/pdf", (page,))


def unsure(verified: Verified) -> dict[str, str]:
    """Return the severity of each field that is uncertain."""
    return {one.field: one.severity.value for one in verified.findings if one.code == "read_uncertain"}


@pytest.mark.parametrize(("word", "field"), [("228.00", "total_amount"), ("BP-1042", "invoice_number")])
def test_a_required_value_on_a_doubtful_word_is_reviewed(word: str, field: str) -> None:
    """What one uncertain digit can change is not presented as a fact."""
    verified = verify(RAW, document(word))
    assert unsure(verified) == {field: "error"}
    assert verified.needs_review


@pytest.mark.parametrize(
    ("number", "is_doubted"), [("2O24-17", True), ("l7-55", True), ("RE-1O", True), ("INV-17", False)]
)
def test_a_letter_that_may_be_a_digit_is_reviewed(number: str, is_doubted: bool) -> None:
    """No confidence tells an O from a zero."""
    rows = (ROWS[0], f"Invoice number: {number}", *ROWS[2:])
    assert ("invoice_number" in unsure(verify({**RAW, "invoice_number": number}, document(rows=rows)))) is is_doubted


def test_a_sum_bears_a_doubtful_amount_out() -> None:
    """Amounts that were misread do not add up, so those that do are believed."""
    assert unsure(verify(WITH_SUM, document("228.00", "190.00"))) == {}


def test_a_sum_bears_out_no_number_and_no_date() -> None:
    """Arithmetic says nothing of what is not an amount."""
    assert unsure(verify(WITH_SUM, document("BP-1042", "2026-03-14"))) == {"invoice_number": "error", "date": "error"}


def test_a_value_that_also_stands_elsewhere_without_doubt_is_believed() -> None:
    """Two places that were read alike, one of them surely, say the same."""
    rows = (*ROWS, "Please pay 228.00 EUR")
    scan = document("228.00", rows=rows)
    [page] = scan.pages
    once = Page(**{**vars(page), "doubtful": page.doubtful[:1]})
    assert unsure(verify(RAW, Document(**{**vars(scan), "pages": (once,)}))) == {}


def test_a_doubtful_word_of_a_name_is_only_a_warning() -> None:
    """A name is known by its other words; one that is doubtful as a whole is reviewed."""
    assert unsure(verify(RAW, document("Ltd"))) == {"vendor.name": "warning"}
    assert unsure(verify(RAW, document("Brightwater", "Print", "Shop"))) == {"vendor.name": "error"}


def test_a_text_layer_is_not_doubted() -> None:
    """Only recognition misreads letters."""
    assert unsure(verify(RAW, document("228.00", reader="pypdf"))) == {}
