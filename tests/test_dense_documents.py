"""Documents with far more numbers, labels or sums than an invoice has: the work stays in proportion, and it is told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pipeline.document.model import Document, Page
from pipeline.invoice.index import MOST_NUMBERS_IN_LINE, index_of
from pipeline.invoice.memo import Memory, kept_by_text, remembering
from pipeline.invoice.splitting import split_document
from pipeline.invoice.verify import Verified, verify

_LINE = {"description": "total foo", "quantity": "2", "unit_price": "0.50", "total": "1.00"}
_CLAIM: dict[str, Any] = {
    "kind": "invoice",
    "invoice_number": "A-1",
    "date": "2025-01-02",
    "currency": "EUR",
    "total_amount": "1.00",
    "net_amount": "0.80",
    "tax_amount": "9999.99",
    "prepaid_amount": "1.00",
    "vendor": {"name": "acme foo", "vat_id": "DE123456789"},
    "buyer": {"name": "acme"},
}
_BITS = {
    "short numbers": "1 ",
    "amounts": "1.00 EUR ",
    "totals": "Total 1.00 ",
    "dates": "02/03/2025 till 03/04/2025 ",
    "numbers at labels": "Invoice number A-1 ",
    "identifiers with spaces": "A 1 ",
    "names": "acme foo ",
    "rows": "foo 2  0.50  1.00  ",
    "page marks": "page 1 of 2 ",
    "brackets": "(1) ",
    "different sums": "",
}
_WIDTHS = (40, 500, 1_000_000)


def crowded(bit: str, characters: int, width: int) -> Document:
    """Return a document of one thing over and over, in lines of such a width."""
    sums = (f"Net {number}.00 VAT {number}.10 Total {number}.20 " for number in range(characters // 20))
    text = (bit * (characters // len(bit) + 1) if bit else "".join(sums))[:characters]
    lines = "\n".join(text[start : start + width] for start in range(0, len(text), width))
    return Document("x.txt", "0" * 64, 1, "text/plain", (Page(1, lines), Page(2, "Invoice A-1")))


def seconds(bit: str, characters: int, width: int, *, lines: int) -> float:
    """Return the processor time that a document takes from its index to its findings."""
    document = crowded(bit, characters, width)
    start = time.thread_time()
    split_document(document)
    verify({**_CLAIM, "line_items": [_LINE] * lines}, document)
    return time.thread_time() - start


def codes(verified: Verified) -> set[str]:
    return {finding.code for finding in verified.findings}


@pytest.mark.slow
@pytest.mark.parametrize("width", _WIDTHS)
@pytest.mark.parametrize("name", ["totals", "rows", "names"])
def test_four_times_the_text_is_not_sixteen_times_the_work(name: str, width: int) -> None:
    """Nothing is compared with everything else of its line or its document."""
    seconds(_BITS[name], 1_000, 40, lines=3)
    once = min(seconds(_BITS[name], 8_000, width, lines=10) for _ in range(2))
    more = min(seconds(_BITS[name], 32_000, width, lines=10) for _ in range(2))
    assert more < 12 * once + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("width", _WIDTHS[1:])
@pytest.mark.parametrize("name", _BITS)
def test_the_fullest_document_takes_seconds(name: str, width: int) -> None:
    """The bound is generous; without limits these take many minutes."""
    assert seconds(_BITS[name], 200_000, width, lines=300) < 20


def test_a_line_of_too_many_numbers_goes_to_review() -> None:
    """None of its numbers is taken for a fact, and one finding tells why."""
    verified = verify(_CLAIM, crowded("Total 1.00 EUR ", 8_000, 1_000_000))
    assert verified.needs_review
    assert "line_too_dense" in codes(verified)
    assert verified.invoice is not None
    assert verified.invoice.total_amount is None


def test_what_was_called_no_invoice_goes_to_review_with_such_a_line() -> None:
    """Whether it has an invoice's total cannot be known."""
    verified = verify({**_CLAIM, "kind": "other"}, crowded("Total 1.00 EUR ", 8_000, 1_000_000))
    assert codes(verified) == {"line_too_dense"}
    assert verified.needs_review


def test_a_line_of_many_numbers_is_read() -> None:
    """Half of the limit is more than any table needs."""
    text = "Invoice A-1 " + "1.00 " * (MOST_NUMBERS_IN_LINE // 4) + "Total EUR 7.30"
    verified = verify({**_CLAIM, "total_amount": "7.30"}, Document("x", "0" * 64, 1, "text/plain", (Page(1, text),)))
    assert "line_too_dense" not in codes(verified)
    assert "total_amount" in verified.evidence


def test_more_sums_than_can_be_compared_go_to_review() -> None:
    """A total that stands among hundreds of totals is not taken on trust."""
    verified = verify({**_CLAIM, "total_amount": "7.20"}, crowded("", 60_000, 40))
    assert "too_many_sums" in codes(verified)
    assert verified.needs_review


def test_a_long_text_is_remembered_with_its_document_alone() -> None:
    """Short texts are shared; long ones are in the document's memory, and endless ones are nowhere."""
    asked: list[str] = []

    @kept_by_text
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    memory: Memory = {}
    short, long, endless = "Total", "a long line " * 20, "x" * 10_000
    for _ in range(2):
        length(short)
        length(long)
    with remembering(memory):
        for text in (short, long, endless) * 2:
            length(text)
    assert [asked.count(text) for text in (short, long, endless)] == [1, 3, 2]
    assert len(memory) == 1


def test_the_memory_of_a_document_is_its_own() -> None:
    """What one document says is not kept in another one's memory."""
    one, other = crowded("Total 1.00 ", 2_000, 200), crowded("Net 2.00 ", 2_000, 200)
    verify(_CLAIM, one)
    before = len(index_of(one).memory)
    verify(_CLAIM, other)
    assert len(index_of(one).memory) == before > 0
