"""Turn what a model said of a document into values that code has found in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.document.model import Document
from pipeline.invoice.by_person import CORRECTED, PersonsValue, claims_with, lay_over, printed_place
from pipeline.invoice.checks import check, error, sort_findings
from pipeline.invoice.density import density_doubts
from pipeline.invoice.derived import derive
from pipeline.invoice.doubts import doubts
from pipeline.invoice.further import further_doubts, ground_further
from pipeline.invoice.grounding import Grounding
from pipeline.invoice.hints import with_hints
from pipeline.invoice.index import DocumentIndex, index_of
from pipeline.invoice.line_grounding import ground_lines
from pipeline.invoice.memo import remembering
from pipeline.invoice.model import (
    Evidence,
    ExtractedAdjustment,
    ExtractedLine,
    ExtractedParty,
    ExtractedTax,
    Extraction,
    Finding,
    Invoice,
    Kind,
    Severity,
)
from pipeline.invoice.own_fields import OwnField, check_own_fields, ground_own_fields
from pipeline.invoice.paths import KIND_PATH
from pipeline.invoice.recognised import recognition_doubts
from pipeline.invoice.splitting import split_document
from pipeline.invoice.titles import invoice_signs
from pipeline.invoice.unverified import as_claimed, misfits, not_verifiable, only_seen

# What a correction may name; fields of the user's own are known by their agent's file.
_LISTS = {
    "taxes": ExtractedTax.model_fields,
    "line_items": ExtractedLine.model_fields,
    "allowances": ExtractedAdjustment.model_fields,
    "charges": ExtractedAdjustment.model_fields,
}
_PARTIES = dict.fromkeys(("vendor", "buyer"), ExtractedParty.model_fields)
_NAMES = Extraction.model_fields.keys() - {"own_fields"}


@dataclass(frozen=True)
class Verified:
    """Hold what is known of a document; `invoice` is None if it is none. Evidence is by dotted field path."""

    kind: Kind
    invoice: Invoice | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def needs_review(self) -> bool:
        """Say whether a person should look; a document that is surely no invoice is a proper outcome by itself."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return kind, invoice, evidence and findings as in `result.json`; write it with `model.dumps`."""
        return {
            "kind": self.kind.value,
            "invoice": self.invoice.to_json() if self.invoice else None,
            "evidence": {path: evidence.to_json() for path, evidence in self.evidence.items()},
            "findings": [finding.to_json() for finding in self.findings],
        }


class UnknownField(ValueError):
    """A correction names a field that invoices do not have; the message is meant for the model that made it."""


def verify(
    raw: Mapping[str, Any],
    document: Document,
    *,
    own_fields: Sequence[OwnField] = (),
    by_person: Sequence[PersonsValue] = (),
) -> Verified:
    """Return the values of `raw` that the document shows, where it shows them, and what is wrong with the rest.

    `own_fields` are those that the agent's file adds. Values that a person gave stand in the result even where the
    document does not show them, which is then told.
    """
    extraction = Extraction.model_validate(dict(raw))
    if by_person:
        extraction = Extraction.model_validate(claims_with(extraction.model_dump(), by_person))
    index = index_of(document)
    with remembering(index.memory):
        return _verified(extraction, document, index, own_fields=own_fields, by_person=by_person)


def apply_corrections(
    raw: Mapping[str, Any], corrections: Mapping[str, Any], *, own_fields: Sequence[OwnField] = ()
) -> dict[str, Any]:
    """Return `raw` with values replaced by dotted path, such as `vendor.name` or `line_items.0.total`.

    A path one behind the end of a list adds an entry. What is not named stays as it was.
    """
    if not corrections:
        return dict(raw)
    merged: dict[str, Any] = copy.deepcopy(dict(raw))
    own_paths = {field.path for field in own_fields}
    for path, value in corrections.items():
        if path in own_paths:
            merged["own_fields"] = {**(merged.get("own_fields") or {}), path.partition(".")[2]: value}
        else:
            _correct(merged, path, value)
    return merged


def _verified(
    extraction: Extraction,
    document: Document,
    index: DocumentIndex,
    *,
    own_fields: Sequence[OwnField],
    by_person: Sequence[PersonsValue],
) -> Verified:
    if extraction.kind is Kind.OTHER:
        said = lay_over(Invoice(), {}, _missed_invoice(index), values=_of_kind(by_person), look=printed_place(index))
        return Verified(Kind.OTHER, findings=said.findings)
    if only_seen(document):
        return _only_seen(extraction, index, own_fields=own_fields, by_person=by_person)
    grounding = Grounding(index, extraction.kind)
    grounded = _grounded(grounding, extraction, own_fields)
    derived = derive(grounded, extraction, grounding.evidence, grounding.findings)
    laid = lay_over(derived.invoice, derived.evidence, derived.findings, values=by_person, look=printed_place(index))
    known = {finding.field for finding in laid.findings if finding.code != CORRECTED}
    checks = [*check(laid.invoice, extraction.kind), *check_own_fields(laid.invoice.own_fields, own_fields)]
    checked = [f for f in checks if not (f.code.endswith("_missing") and f.field in known)]
    found = [
        *density_doubts(index),
        *doubts(grounding.table(), laid.invoice, extraction.kind),
        *further_doubts(index, laid.invoice),
    ]
    unsure = recognition_doubts(document, laid.invoice, laid.evidence)
    findings = with_hints([*laid.findings, *_with_split(found, document), *unsure, *checked], index, laid.invoice)
    return Verified(extraction.kind, laid.invoice, laid.evidence, sort_findings(findings))


def _grounded(grounding: Grounding, extraction: Extraction, own_fields: Sequence[OwnField]) -> Invoice:
    """Return the values that the document shows."""
    currency = grounding.currency(extraction.currency)
    totals = grounding.totals(extraction)
    further = ground_further(grounding, extraction, currency=currency, total=totals.get("total_amount"))
    return Invoice(
        invoice_number=grounding.number(extraction.invoice_number),
        date=grounding.day("date", extraction.date, currency),
        due_date=grounding.day("due_date", extraction.due_date, currency),
        currency=currency,
        **totals,
        taxes=tuple(grounding.tax(number, tax) for number, tax in enumerate(extraction.taxes)),
        vendor=grounding.party("vendor", extraction.vendor),
        buyer=grounding.party("buyer", extraction.buyer),
        line_items=ground_lines(grounding, extraction.line_items),
        **further,
        own_fields=ground_own_fields(grounding, extraction, own_fields),
    )


def _of_kind(by_person: Sequence[PersonsValue]) -> list[PersonsValue]:
    return [one for one in by_person if one.field == KIND_PATH]


def _only_seen(
    extraction: Extraction, index: DocumentIndex, *, own_fields: Sequence[OwnField], by_person: Sequence[PersonsValue]
) -> Verified:
    """Return what a model saw on pictures without text: shown, and reviewed, for code can find none of it."""
    claimed = as_claimed(extraction, own_fields)
    unseen = (*not_verifiable(claimed), *misfits(extraction, own_fields), *check(claimed, extraction.kind))
    laid = lay_over(claimed, {}, unseen, values=by_person, look=printed_place(index))
    missing = check_own_fields(laid.invoice.own_fields, own_fields)
    return Verified(extraction.kind, laid.invoice, laid.evidence, sort_findings([*laid.findings, *missing]))


def _with_split(found: Iterable[Finding], document: Document) -> list[Finding]:
    """Add what the pages say of several invoices, unless it is known already."""
    known = list(found)
    codes = {finding.code for finding in known}
    return [*known, *(one for one in split_document(document).findings() if one.code not in codes)]


def _missed_invoice(index: DocumentIndex) -> tuple[Finding, ...]:
    if not invoice_signs(index):
        return tuple(density_doubts(index))
    message = "This was read as no invoice, but it has the title or the number of an invoice, and a total."
    return (error("may_be_invoice", "kind", message),)


def _correct(merged: dict[str, Any], path: str, value: object) -> None:
    match path.split("."):
        case [name] if name in _NAMES:
            merged[name] = copy.deepcopy(value)
        case [party, name] if name in _PARTIES.get(party, ()):
            current = merged.get(party)
            merged[party] = {**(current if isinstance(current, Mapping) else {"name": current}), name: value}
        case [group, position, name] if name in _LISTS.get(group, ()) and position.isdecimal():
            current = merged.get(group)
            merged[group] = _with_entry(list(current) if isinstance(current, list | tuple) else [], path, value)
        case _:
            raise UnknownField(f"There is no field {path!r}; fields look like total_amount or line_items.0.total.")


def _with_entry(entries: list[Any], path: str, value: object) -> list[Any]:
    _, position, name = path.split(".")
    number = int(position)
    if number > len(entries):
        raise UnknownField(f"There is no entry {number} for {path!r}; there are {len(entries)}.")
    if number == len(entries):
        entries.append({})
    entry = entries[number]
    entries[number] = {**(entry if isinstance(entry, Mapping) else {}), name: value}
    return entries
