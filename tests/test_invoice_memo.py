"""What was worked out of a document goes with the document."""

from __future__ import annotations

import gc
import weakref

from pipeline.document.model import Document, Page
from pipeline.invoice.index import index_of
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.splitting import split_document
from pipeline.invoice.sums import labelled_sizes
from pipeline.invoice.verify import verify


def test_a_value_is_made_once() -> None:
    """The same argument is worked on once for as long as it lives."""
    calls: list[Document] = []

    @kept_while_it_lives
    def count(document: Document) -> int:
        calls.append(document)
        return len(calls)

    document = Document("x", "0" * 64, 1, "text/plain", (Page(1, "Total 1.00"),))
    assert (count(document), count(document), len(calls)) == (1, 1, 1)


def test_no_document_stays_in_memory_behind_its_job() -> None:
    """However large it was, nothing that was kept of it holds it."""
    pages = (Page(1, "Invoice 1\nTotal 120.00 EUR"), Page(2, "Invoice 2\nTotal 90.00 EUR"))
    document = Document("x", "0" * 64, 1, "text/plain", pages)
    verify({"total_amount": "120.00", "currency": "EUR"}, document)
    split_document(document)
    labelled_sizes(index_of(document))
    gone = weakref.ref(index_of(document))
    del document
    gc.collect()
    assert gone() is None
