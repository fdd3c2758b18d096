"""Lay the values that a person gave over those that were read; what the document does not show never gets evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.invoice.checks import NOT_IN_DOCUMENT, error, info, warning
from pipeline.invoice.evidence import find_money, find_rate, quote
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.model import Evidence, Finding, Invoice, Severity
from pipeline.invoice.paths import KIND_PATH, Leaf, leaf_of, same, value_at, with_value

CORRECTED = "corrected_by_person"
# These say themselves why the value was not looked for in the document.
_MISFITS = ("own_field_pattern", "own_field_too_long")
# What a person settles by choosing one of the document's readings.
_SETTLED = ("_ambiguous", "sign_from_document")

Looked = Callable[["PersonsValue"], Evidence | None]


@dataclass(frozen=True)
class PersonsValue:
    """Hold what a person said a field should be, as plain JSON, and what it was before."""

    field: str
    value: Any
    before: Any
    by: str


@dataclass(frozen=True)
class Laid:
    """Hold an invoice with a person's values in it, the evidence that is left, and what is to be said."""

    invoice: Invoice
    evidence: dict[str, Evidence]
    findings: tuple[Finding, ...]


def lay_over(
    invoice: Invoice,
    evidence: Mapping[str, Evidence],
    findings: Iterable[Finding],
    *,
    values: Sequence[PersonsValue],
    look: Looked,
) -> Laid:
    """Return the invoice with the person's values.

    A value that was read the same keeps its evidence; for another one `look` says where the document shows it, or that
    it does not, which is a finding of its own.
    """
    if not values:
        return Laid(invoice, dict(evidence), tuple(findings))
    data, kept, said = invoice.to_json(), dict(evidence), list(findings)
    for one in values:
        said.append(info(CORRECTED, one.field, _told(one)))
        if one.field == KIND_PATH:
            continue
        if same(one.field, value_at(data, one.field), one.value):
            said = [each for each in said if each.field != one.field or not each.code.endswith(_SETTLED)]
            continue
        own = [each for each in said if each.field == one.field and each.code != CORRECTED]
        said = [each for each in said if each not in own]
        try:
            data = with_value(data, one.field, one.value)
        except ValueError as problem:  # a later reading has fewer lines than the one that was corrected
            said.append(error("correction_not_applied", one.field, str(problem)))
            continue
        kept.pop(one.field, None)
        place = look(one) if one.value is not None else None
        if place is not None:
            kept[one.field] = place
        elif one.value is not None:
            said.append(next((each for each in own if each.code in _MISFITS), None) or _absent(one, own))
    return Laid(Invoice.from_json(data), kept, tuple(said))


def claims_with(raw: Mapping[str, Any], values: Iterable[PersonsValue]) -> dict[str, Any]:
    """Return what a model said, with the person's values in the place of its own."""
    claims = dict(raw)
    for one in values:
        # Lists of models are tuples; what is changed here is plain JSON.
        with suppress(ValueError):  # `lay_over` tells of it
            claims = with_value(_lists(claims), one.field, one.value)
    return claims


def printed_place(index: DocumentIndex) -> Looked:
    """Return how to find an amount that the document prints, also where it can be read in two ways."""

    def look(one: PersonsValue) -> Evidence | None:
        if leaf_of(one.field) is not Leaf.AMOUNT:
            return None
        value = Decimal(str(one.value))
        rate = find_rate(index, value) if one.field.endswith(".rate") else None
        loose = one.field.startswith("line_items.")
        place = rate or next((p for p in find_money(index, value, loose=loose) if p.value == value), None)
        return quote(index, place.line, start=place.start, end=place.end) if place else None

    return look


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lists(entry) for key, entry in value.items()}
    return [_lists(entry) for entry in value] if isinstance(value, list | tuple) else value


def _told(one: PersonsValue) -> str:
    if same(one.field, one.before, one.value):
        return f"{one.by} confirmed {one.field} as {_shown(one.value)}."
    return f"{one.by} changed {one.field} from {_shown(one.before)} to {_shown(one.value)}."


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"“{value}”"
    return "nothing" if value is None else format(Decimal(str(value)), "f")


def _absent(one: PersonsValue, own: Sequence[Finding]) -> Finding:
    """Say that the document does not show the value, as severely as what was read was doubted."""
    make = warning if own and all(each.severity is not Severity.ERROR for each in own) else error
    message = f"{_shown(one.value)} was given by {one.by}, but the document does not show it."
    return make(NOT_IN_DOCUMENT, one.field, message)
