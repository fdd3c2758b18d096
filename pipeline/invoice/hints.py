"""Say what a document prints at a label for a required value that is missing; it is told, never filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.invoice.currencies import currencies_of
from pipeline.invoice.days import printed_issue_days
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label, amount_label
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.references import Standing, references

_LABEL_CHARACTERS = 40


def with_hints(findings: Iterable[Finding], index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Yield the findings; those about a missing required value also say what the document prints for it."""
    told: set[str] = set()
    for finding in findings:
        make = _HINTS.get(finding.field)
        hint = None
        if make is not None and finding.field not in told and getattr(invoice, finding.field) is None:
            hint = make(index, invoice)
            told.add(finding.field)
        yield finding.model_copy(update={"message": f"{finding.message} {hint}"}) if hint else finding


def _number(index: DocumentIndex, _: Invoice) -> str | None:
    found = {one.text: one for one in references(index) if one.standing is Standing.INVOICE_NUMBER}
    if len(found) != 1:
        return None
    one = next(iter(found.values()))
    return _printed(one.text, _label(index, one.line, one.start, one.end))


def _total(index: DocumentIndex, _: Invoice) -> str | None:
    found = {}
    for seen in index.all_amounts():
        before = index.text_so_far(seen.line, seen.token.start)
        if seen.token.money and not seen.token.part and amount_label(before) is Label.GRAND_TOTAL:
            found[seen.token.text] = before
    return _printed(*next(iter(found.items()))) if len(found) == 1 else None


def _date(index: DocumentIndex, invoice: Invoice) -> str | None:
    days = printed_issue_days(index, invoice.currency)
    if len(days) != 1:
        return None
    seen = next(seen for seen in index.dates() if days & set(seen.token.readings()))
    return _printed(seen.token.text, _label(index, seen.line, seen.token.start, seen.token.end))


def _currency(index: DocumentIndex, _: Invoice) -> str | None:
    codes = {codes for sign in index.currencies if (codes := currencies_of(sign))}
    if len(codes) != 1 or len(next(iter(codes))) != 1:
        return None
    sign, line = next(iter(index.currencies.items()))
    return _printed(sign, index.lines[line].text)


_HINTS = {"invoice_number": _number, "total_amount": _total, "date": _date, "currency": _currency}


def _label(index: DocumentIndex, line: int, start: int, end: int) -> str:
    return next(index.texts_beside(line, start, end), "")


def _printed(value: str, label: str) -> str:
    place = " ".join(label.split())[-_LABEL_CHARACTERS:]
    return f"The document prints {value} at “{place}”." if place else f"The document prints {value}."
