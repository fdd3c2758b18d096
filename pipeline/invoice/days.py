"""Tell an invoice's own date and its due date from the other dates of a page."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from itertools import pairwise

from pipeline.invoice.checks import error
from pipeline.invoice.dates import PrintedDate
from pipeline.invoice.index import DocumentIndex, Seen
from pipeline.invoice.labels import Label, mentions
from pipeline.invoice.locale_hints import expected_order
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.words import words_of

# `10. bis `, `10 - `: the first half of a period whose month stands at its end only.
_DAY_BEFORE = re.compile(
    r"(?<!\w)\d{1,2}(?:\.|st|nd|rd|th|er)?(?:\s[^\W\d_]+(?=\s))?\s?(?P<till>[-–]|[^\W\d_/]+(?:\s[^\W\d_]+)?)\s?\Z"
)
_TITLES = ("invoice", "credit_note")
_DASH = re.compile(r"\s?[-–]\s?\Z")


class Strength(IntEnum):
    """Say how surely a label means the invoice's own date."""

    NONE = 0
    WORD = 1
    DATE = 2
    INVOICE_DATE = 3


@dataclass
class _Uses:
    """Collect as what a day is printed; `plainly` counts its places outside of a period."""

    labels: set[Label] = field(default_factory=set)
    plainly: int = 0
    strength: Strength = Strength.NONE


def day_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find dates whose labels say that they are something else."""
    uses = _uses(index, invoice.currency)
    yield from _issue(invoice, uses)
    yield from _due(invoice, uses)


def printed_issue_days(index: DocumentIndex, currency: str | None) -> set[date]:
    """Return the days that stand at the surest label for the invoice's own date."""
    uses = _uses(index, currency)
    best = max((use.strength for use in uses.values()), default=Strength.NONE)
    return {day for day, use in uses.items() if use.strength is best} if best >= Strength.DATE else set()


def in_period(index: DocumentIndex, seen: Seen[PrintedDate]) -> bool:
    """Say whether a date is one end of a period: another date, or a day of the same month, stands across from it."""
    text = index.lines[seen.line].text
    dates = index.dates_in(seen.line)
    at = bisect_left(dates, seen.token.start, key=lambda day: day.start)
    if any(_joins(text[first.end : last.start]) for first, last in pairwise(dates[max(0, at - 1) : at + 2])):
        return True
    before = _DAY_BEFORE.search(text, max(0, seen.token.start - 30), seen.token.start)
    return before is not None and _joins(before["till"])


def _issue(invoice: Invoice, uses: dict[date, _Uses]) -> Iterator[Finding]:
    issue, due = invoice.date, invoice.due_date
    if issue is None or issue not in uses:
        return
    own = uses[issue]
    stronger = {day for day, use in uses.items() if use.strength > max(own.strength, Strength.WORD)}
    others = stronger or ({day for day, use in uses.items() if use.strength} if not own.strength else set())
    is_payable = Label.DUE_DATE in own.labels
    if is_payable and due in others:
        message = f"By their labels {issue} is the date to pay by and {due} is the invoice's own date."
        yield error("dates_exchanged", "date", message)
    elif not own.plainly and (others or any(use.plainly for use in uses.values())):
        yield error("date_from_period", "date", f"{issue} is printed as part of a period{_instead(others)}.")
    elif is_payable and others:
        yield error("date_not_at_label", "date", f"{issue} is printed as the date to pay by{_instead(others)}.")
    elif others:
        yield error(
            "date_not_at_label", "date", f"{issue} stands at no label for the invoice's date{_instead(others)}."
        )


def _due(invoice: Invoice, uses: dict[date, _Uses]) -> Iterator[Finding]:
    due = invoice.due_date
    if due is None or due not in uses or Label.DUE_DATE in uses[due].labels:
        return
    others = {day for day, use in uses.items() if Label.DUE_DATE in use.labels} - {invoice.date}
    if others:
        yield error("date_not_at_label", "due_date", f"{due} stands at no label for a due date{_instead(others)}.")
    elif uses[due].strength and due != invoice.date:
        yield error("date_not_at_label", "due_date", f"{due} is printed as the invoice's own date.")
    elif uses[due].labels == {Label.OTHER_DATE}:
        yield error("date_not_at_label", "due_date", f"{due} is printed as a date of delivery or order.")


def _instead(days: set[date]) -> str:
    return f"; {min(days)} stands there" if len(days) == 1 else ""


def _uses(index: DocumentIndex, currency: str | None) -> dict[date, _Uses]:
    order = expected_order(index, currency)
    uses: dict[date, _Uses] = defaultdict(_Uses)
    for seen in index.dates():
        label = index.label_of_date(seen)
        plainly = not in_period(index, seen)
        strength = _strength(index, seen) if label is Label.DATE and plainly else Strength.NONE
        for day in seen.token.readings(order):
            uses[day].labels |= {label} if label else set()
            uses[day].plainly += plainly
            uses[day].strength = max(uses[day].strength, strength)
    return uses


def _strength(index: DocumentIndex, seen: Seen[PrintedDate]) -> Strength:
    """Return how sure a date's label is; a mere `vom` or `le` counts as much as the title before it."""
    if index.is_letter_head(seen):
        return Strength.DATE
    text = index.text_of_date_label(seen)
    if mentions(text, "invoice_date"):
        return Strength.INVOICE_DATE
    words = words_of(text)
    is_titled = index.mentions_before(seen.line, seen.token.start, *_TITLES)
    is_date = is_titled or (len(words) <= 2 and mentions(text, "date_word"))
    return Strength.DATE if is_date else Strength.WORD


def _joins(text: str) -> bool:
    """Say whether a text between two dates makes a period of them."""
    words = words_of(text)
    return bool(_DASH.fullmatch(text)) or (0 < len(words) <= 2 and mentions(" ".join(words), "till"))
