"""Tell from its pages how many invoices a document holds, and which page belongs to which.

A part begins on a page that looks like the first of an invoice: another number at its label, `page 1 of`, another
vendor, with a title or a total of its own. Pages without such signs belong to the part before them, so every page is
in exactly one part. Where the signs contradict each other nothing is split, and the doubt is told.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.document.model import Document
from pipeline.invoice.checks import error, info
from pipeline.invoice.index import CELL, DocumentIndex, Seen, index_of
from pipeline.invoice.labels import Label, leading
from pipeline.invoice.memo import kept_while_it_lives, remembering
from pipeline.invoice.model import Finding
from pipeline.invoice.references import Standing, references
from pipeline.invoice.several import heads_an_invoice, is_same_number
from pipeline.invoice.words import fold

_TOTALS = (Label.GRAND_TOTAL, Label.TOTAL, Label.DUE)
# The title and the number of an invoice stand in the upper part of its first page.
_HEAD_LINES = 30
_TITLE_WORDS = 5
# What a page calls itself stands in its first lines.
_ROLE_LINES = 6
_IDENTITY = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b|\b[A-Z]{2}[A-Z]?\d{8,12}\b")
_OF = r"\s*(?:of|von|/|de|van|di|sur|av|af|z|ze|из|\|)\s*"
# What every marker has, and few other lines do.
_COUNT = re.compile(rf"\d{_OF}\d")
_MARKER = re.compile(
    r"(?:\b(?:page|pag|pagina|pagine|seite|blatt|s|p|sida|side|strona|str|strana|bladzijde|blz|folha|sivu|oldal)"
    rf"\b[.:]?\s*(?:n[ro°º]?[.:]?\s*)?(\d{{1,3}}){_OF}(\d{{1,3}})\b)"
    r"|(?:^\s*[-–(]?\s*(\d{1,3})\s*/\s*(\d{1,3})\s*[-–)]?\s*$)"
)


class Role(StrEnum):
    """Say what a page is to the invoice it belongs to."""

    INVOICE = "invoice"
    TERMS = "terms and conditions"
    ATTACHMENT = "an attachment"


@dataclass(frozen=True)
class Signs:
    """Hold what a page says of where it belongs.

    `numbers` are invoice numbers at their labels, `marker` is what `page 2 of 3` says, `identities` are VAT ids and
    accounts, `days` the days at the label of an issue date.
    """

    page: int
    numbers: tuple[str, ...] = ()
    marker: tuple[int, int] | None = None
    has_title: bool = False
    has_total: bool = False
    identities: frozenset[str] = frozenset()
    days: frozenset[datetime.date] = frozenset()
    role: Role = Role.INVOICE


@dataclass(frozen=True)
class Part:
    """Hold the pages of one invoice, in their order, and its number where one was seen."""

    pages: tuple[Signs, ...]

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(number for page in self.pages for number in page.numbers)

    @property
    def page_numbers(self) -> tuple[int, ...]:
        return tuple(page.page for page in self.pages)

    @property
    def span(self) -> str:
        """Return its pages in words."""
        first, last = self.pages[0].page, self.pages[-1].page
        return f"page {first}" if first == last else f"pages {first} to {last}"

    @property
    def has_total(self) -> bool:
        return any(page.has_total for page in self.pages)

    @property
    def identities(self) -> frozenset[str]:
        return frozenset[str]().union(*(page.identities for page in self.pages))

    @property
    def days(self) -> frozenset[datetime.date]:
        return frozenset[datetime.date]().union(*(page.days for page in self.pages))


@dataclass(frozen=True)
class Split:
    """Hold the parts of a document, one where it is one invoice; `doubt` says why it was not split."""

    parts: tuple[Part, ...]
    doubt: str = ""

    def findings(self) -> tuple[Finding, ...]:
        """Return what a person should know: pages that are no invoice's own, and a split that was not dared."""
        beside = [page for part in self.parts for page in part.pages if page.role is not Role.INVOICE]
        told = [info("page_beside", "", f"Page {page.page} looks like {page.role}.") for page in beside]
        return (*([error("several_invoices", "invoice_number", self.doubt)] if self.doubt else []), *told)


@kept_while_it_lives
def split_document(document: Document) -> Split:
    """Return the invoices of a document by their pages; e-invoices are one."""
    index = index_of(document)
    if index.is_xml or document.attachments or len(document.pages) < 2:
        return Split((Part(tuple(Signs(page.number) for page in document.pages)),))
    with remembering(index.memory):
        return split_pages(signs_of(document, index))


def split_pages(pages: Sequence[Signs]) -> Split:
    """Put every page into one part; pure, so that it can be tested as a table."""
    parts = [Part((pages[0],))]
    for page in pages[1:]:
        if _begins(page, parts[-1]):
            parts.append(Part((page,)))
        else:
            parts[-1] = replace(parts[-1], pages=(*parts[-1].pages, page))
    doubt = _contradiction(parts) or _unseen(parts)
    return Split((Part(tuple(pages)),), doubt) if doubt else Split(tuple(parts))


def signs_of(document: Document, index: DocumentIndex) -> tuple[Signs, ...]:
    """Read the signs of every page."""
    numbers: dict[int, list[str]] = {page.number: [] for page in document.pages}
    for one in references(index):
        if one.standing is Standing.INVOICE_NUMBER and heads_an_invoice(index, one):
            numbers[index.lines[one.line].page].append(one.text)
    totals = {
        index.lines[seen.line].page
        for seen in index.all_amounts()
        if seen.token.money and not index.lines[seen.line].plain and index.label_of_amount(seen) in _TOTALS
    }
    days: dict[int, set[datetime.date]] = {page.number: set() for page in document.pages}
    for day in index.dates():
        if not index.lines[day.line].plain and index.label_of_date(Seen(day.line, day.token)) is Label.DATE:
            days[index.lines[day.line].page] |= set(day.token.readings(index.date_order))
    return tuple(
        replace(
            _signs(page.number, page.text, has_total=page.number in totals),
            numbers=tuple(dict.fromkeys(numbers[page.number])),
            days=frozenset(days[page.number]),
        )
        for page in document.pages
    )


def _signs(page: int, text: str, *, has_total: bool) -> Signs:
    lines = [line for line in text.splitlines() if line.strip()]
    head = [cell for line in lines[:_HEAD_LINES] for cell in CELL.findall(line)]
    return Signs(
        page,
        marker=_marker(lines),
        has_title=any(_is_title(cell) for cell in head),
        has_total=has_total,
        identities=frozenset(one.replace(" ", "") for one in _IDENTITY.findall(text)),
        role=Role.INVOICE if has_total else _role(lines),
    )


def _marker(lines: Sequence[str]) -> tuple[int, int] | None:
    """Return what `page 2 of 3` says; the last one on the page, where footers stand."""
    for line in reversed(lines):
        folded = fold(line)
        for found in reversed(list(_MARKER.finditer(folded))) if _COUNT.search(folded) else ():
            at, of = (int(digits) for digits in found.groups() if digits)
            if 1 <= at <= of:
                return at, of
    return None


def _is_title(cell: str) -> bool:
    return len(cell.split()) <= _TITLE_WORDS and bool(leading(cell, "invoice", "credit_note"))


def _role(lines: Sequence[str]) -> Role:
    cells = [cell for line in lines[:_ROLE_LINES] for cell in CELL.findall(line)]
    titles = [cell for cell in cells if len(cell.split()) <= _TITLE_WORDS]
    if any(leading(cell, "terms") for cell in titles):
        return Role.TERMS
    return Role.ATTACHMENT if any(leading(cell, "attachment") for cell in titles) else Role.INVOICE


def _begins(page: Signs, part: Part) -> bool:
    """Say whether a page begins another invoice than the one before it."""
    if page.role is not Role.INVOICE or _follows(page, part):
        return False
    if _share(page.numbers, part.numbers):
        # Two vendors may have given the same number.
        return _is_whole(page) and part.has_total and _is_from_another(page, part)
    if page.marker is not None and page.marker[0] == 1:
        return page.has_title and (part.has_total or _is_complete(part))
    if page.numbers and part.numbers:
        return page.has_title or page.has_total
    return _is_whole(page) and part.has_total and (_is_from_another(page, part) or _is_of_another_day(page, part))


def _is_of_another_day(page: Signs, part: Part) -> bool:
    return bool(page.days and part.days and not page.days & part.days)


def _is_whole(page: Signs) -> bool:
    return page.has_title and page.has_total


def _is_complete(part: Part) -> bool:
    last = part.pages[-1].marker
    return last is not None and last[0] == last[1]


def _is_from_another(page: Signs, part: Part) -> bool:
    return bool(page.identities and part.identities and not page.identities & part.identities)


def _follows(page: Signs, part: Part) -> bool:
    """Say whether `page 2 of 3` comes after `page 1 of 3`; a print of its own numbers the whole file."""
    before = part.pages[-1].marker
    if page.marker is None or page.marker[0] == 1 or _is_other(page, part):
        return False
    return before is None or page.marker == (before[0] + 1, before[1])


def _is_other(page: Signs, part: Part) -> bool:
    """Say whether a page of the same count calls itself another invoice, as where the whole file was numbered."""
    is_numbered = bool(page.numbers and part.numbers) and not _share(page.numbers, part.numbers)
    return is_numbered and page.has_title and page.has_total


def _share(numbers: Sequence[str], others: Sequence[str]) -> bool:
    return any(is_same_number(one, other) for one in numbers for other in others)


def _contradiction(parts: Sequence[Part]) -> str:
    """Say why these parts are not to be trusted; empty where they are."""
    if len(parts) == 1:
        return ""
    named = " and ".join(", ".join(part.numbers) or "one without a number" for part in parts)
    for position, part in enumerate(parts):
        if not part.has_total:
            return f"The file seems to hold several invoices ({named}), but no total for {part.span}; it was not split."
        if any(_share(part.numbers, other.numbers) for other in parts[position + 2 :]):
            return f"The file seems to hold several invoices ({named}), but their pages are mixed; it was not split."
    return ""


def _unseen(parts: Sequence[Part]) -> str:
    """Say which page may begin another invoice although nothing names it; empty where none does."""
    for part in parts:
        for position, page in enumerate(part.pages):
            earlier = replace(part, pages=part.pages[:position])
            if position and _has_own_total_and_day(page, earlier):
                return f"Page {page.page} has a date and a total of its own: it may be another invoice."
    return ""


def _has_own_total_and_day(page: Signs, part: Part) -> bool:
    return page.has_total and part.has_total and _is_of_another_day(page, part) and not _follows(page, part)
