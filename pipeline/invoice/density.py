"""Tell of lines with more numbers than an invoice ever has in one: none of them was read, so a person has to look."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.invoice.checks import error
from pipeline.invoice.index import MOST_NUMBERS_IN_LINE, DocumentIndex
from pipeline.invoice.model import Finding


def density_doubts(index: DocumentIndex) -> Iterator[Finding]:
    """Find the lines whose numbers were left out; one finding tells of all of them."""
    if index.dense_lines:
        page = index.lines[min(index.dense_lines)].page
        lines = "A line" if len(index.dense_lines) == 1 else f"{len(index.dense_lines)} lines"
        message = f"{lines} from page {page} on hold more than {MOST_NUMBERS_IN_LINE} numbers each; none was compared."
        yield error("line_too_dense", "", message)
