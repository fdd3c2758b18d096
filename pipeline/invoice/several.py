"""Find two invoices in one file: two numbers at their labels, each with a total of its own behind it."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.invoice.checks import error
from pipeline.invoice.index import DocumentIndex, Seen
from pipeline.invoice.labels import Label, mentions
from pipeline.invoice.model import Finding, Kind
from pipeline.invoice.references import Reference, Standing, references
from pipeline.invoice.words import squeeze

_TOTALS = (Label.GRAND_TOTAL, Label.TOTAL)


@dataclass(slots=True)
class _Part:
    """Hold what is printed from one invoice number to the next one."""

    number: str
    first_line: int
    totals: set[Decimal] = field(default_factory=set)
    days: set[datetime.date] = field(default_factory=set)


def several_invoices(index: DocumentIndex, kind: Kind) -> Iterator[Finding]:
    """Find a second invoice behind the first one; only one of them can be booked from this file.

    A credit note names the invoice it corrects, often with its total, so nothing is said of those.
    """
    if kind is Kind.CREDIT_NOTE:
        return
    parts = [part for part in _parts(index) if part.totals]
    for one, other in itertools.pairwise(parts):
        if not one.totals & other.totals or (one.days and other.days and not one.days & other.days):
            message = f"The file holds two invoices, {one.number} and {other.number}, each with its own total."
            yield error("several_invoices", "invoice_number", message)
            return


def _parts(index: DocumentIndex) -> list[_Part]:
    parts: list[_Part] = []
    if index.is_xml:
        return parts
    for one in references(index):
        is_known = any(is_same_number(one.text, part.number) for part in parts)
        if one.standing is Standing.INVOICE_NUMBER and not is_known and heads_an_invoice(index, one):
            parts.append(_Part(one.text, one.line))
    for amount in index.all_amounts():
        part = _part_at(index, parts, amount.line)
        readings = index.convention.readings(amount.token)
        if part and amount.token.money and len(readings) == 1:
            is_total = index.label_before(amount.line, amount.token.start) in _TOTALS
            part.totals |= {abs(readings[0])} if is_total else set()
    for day in index.dates():
        part = _part_at(index, parts, day.line)
        if part and index.label_of_date(Seen(day.line, day.token)) is Label.DATE:
            part.days |= set(day.token.readings(index.date_order))
    return parts


def heads_an_invoice(index: DocumentIndex, one: Reference) -> bool:
    """Say whether a number may begin an invoice; instalments are named with an amount, credited ones with a date."""
    before = index.text_so_far(one.line, one.start)
    is_alone = (
        not mentions(before, Label.OTHER_DATE)
        and not index.dates_in(one.line)
        and not any(amount.money for amount in index.amounts_in(one.line))
    )
    return is_alone and not index.lines[one.line].plain


def is_same_number(one: str, other: str) -> bool:
    """Say whether two prints are of one number; one of them may have a prefix that the other lacks."""
    first, second = squeeze(one), squeeze(other)
    return first in second or second in first


def _part_at(index: DocumentIndex, parts: list[_Part], line: int) -> _Part | None:
    if index.lines[line].plain:
        return None
    return next((part for part in reversed(parts) if part.first_line <= line), None)
