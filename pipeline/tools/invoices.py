"""The invoice agent's tools: read the data out of the document, and store what holds up against it.

The document never passes through an argument. What the tools work out is kept in the session's state as plain JSON,
so that it is recorded with each action and found again after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio.to_thread
from pydantic import BaseModel, Field

from pipeline.agent import ActionContext, ToolError, register_tool
from pipeline.document.model import Document
from pipeline.errors import AnswerCutOff, ContextOverflow
from pipeline.invoice.asking import Asked
from pipeline.invoice.checks import sort_findings
from pipeline.invoice.keeping import keep, kept_findings
from pipeline.invoice.model import Finding, Invoice, Kind, Severity
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.verify import Verified, apply_corrections, verify
from pipeline.llm.protocol import JsonObject, digest
from pipeline.tools.reading_in_parts import read_in_parts, read_whole

EXTRACTION, CORRECTIONS, REFUSED, STORED = "extraction", "corrections", "refused", "stored"
# What the parts of a long document do not agree on, and that it was read in parts.
OF_PARTS = "of_parts"
_MAX_SHOWN_FINDINGS = 12
_MAX_CORRECTIONS = 20
_HEADER_FIELDS = ("invoice_number", "date", "due_date", "currency", "total_amount", "net_amount", "tax_amount")


class Correction(BaseModel, frozen=True, extra="forbid"):
    """Name one field and the value that the document shows for it."""

    field: str = Field(
        max_length=60, description='the field, such as "total_amount", "vendor.name", "line_items.0.total"'
    )
    value: str | None = Field(max_length=300, description="the value exactly as printed, or null if it is not there")


@register_tool(tags=["invoice", "extraction"])
async def extract_invoice_data(context: ActionContext) -> JsonObject:
    """Read the invoice data out of the session's document and check it. Takes no arguments."""
    of_parts: tuple[Finding, ...] = ()
    try:
        raw = await read_whole(context)
    except (ContextOverflow, AnswerCutOff) as refusal:
        raw, of_parts = await read_in_parts(context, refusal)
    state = context.get("state")
    state[EXTRACTION] = _plain(raw)
    for outdated in (CORRECTIONS, OF_PARTS):
        state.pop(outdated, None)
    if of_parts:
        state[OF_PARTS] = [finding.to_json() for finding in of_parts]
    return _shown(await _checked(context))


@register_tool(tags=["invoice", "storage"], terminal=True)
async def store_invoice(context: ActionContext, corrections: list[Correction] | None = None) -> JsonObject:
    """Store the extracted data, with corrections where the document shows other values than those extracted.

    Args:
        corrections: values that were extracted wrongly; leave it out when there are none.
    """
    state = context.get("state")
    if EXTRACTION not in state:
        raise ToolError("nothing is extracted yet: call extract_invoice_data first")
    if corrections:
        _add_corrections(state, corrections, context.get("asked", Asked()))
    verified = await _checked(context)
    if verified.kind is Kind.OTHER:
        raise ToolError("the document is no invoice by the extracted kind: call terminate, or extract again")
    errors = [finding for finding in verified.findings if finding.severity is Severity.ERROR]
    if errors and not state.get(REFUSED):
        state[REFUSED] = True
        raise ToolError(_refusal(verified))
    state[STORED] = await _store(context, verified)
    for_review = bool(errors) or any(one.severity is Severity.ERROR for one in kept_findings(state[STORED]))
    return {"stored": state[STORED]["outcome"], "for_review": for_review}


async def checked(state: JsonObject, document: Document, own_fields: Sequence[OwnField] = ()) -> Verified:
    """Return the last extraction with its corrections, held against the document.

    That is done in a thread, for a long document takes up to a second; what is known already needs none.
    """
    key = _key_of(state, document, own_fields)
    verified = _verified.get(key)
    if verified is None:
        verified = _verified[key] = await anyio.to_thread.run_sync(_check, state, document, own_fields)
        while len(_verified) > _MOST_VERIFIED:
            _verified.pop(next(iter(_verified)), None)
    return verified


# A session asks three times about the same values: after the extraction, before it stores them, and for its result.
_verified: dict[str, Verified] = {}
_MOST_VERIFIED = 64


def _key_of(state: JsonObject, document: Document, own_fields: Sequence[OwnField]) -> str:
    own = [field.model_dump() for field in own_fields]
    said = [state[EXTRACTION], state.get(CORRECTIONS, {}), own, state.get(OF_PARTS, [])]
    return f"{document.sha256} {digest(said)}"


def _check(state: JsonObject, document: Document, own_fields: Sequence[OwnField]) -> Verified:
    corrected = apply_corrections(state[EXTRACTION], state.get(CORRECTIONS, {}), own_fields=own_fields)
    verified = verify(corrected, document, own_fields=own_fields)
    of_parts = (Finding.model_validate(one) for one in state.get(OF_PARTS, []))
    return replace(verified, findings=sort_findings([*of_parts, *verified.findings]))


async def _checked(context: ActionContext) -> Verified:
    return await checked(context.get("state"), context.get("document"), context.get("asked", Asked()).own)


def _add_corrections(state: JsonObject, corrections: list[Correction], asked: Asked) -> None:
    added = {**state.get(CORRECTIONS, {}), **{one.field: one.value for one in corrections}}
    if len(added) > _MAX_CORRECTIONS:
        raise ToolError(f"more than {_MAX_CORRECTIONS} corrections: call extract_invoice_data again instead")
    try:
        apply_corrections(state[EXTRACTION], added, own_fields=asked.own)
    except ValueError as error:
        raise ToolError(str(error)) from error
    state[CORRECTIONS] = added


async def _store(context: ActionContext, verified: Verified) -> JsonObject:
    job, at = context.get("job"), context.get("received_at")
    return await anyio.to_thread.run_sync(lambda: keep(context.get("store"), verified, job=job, at=at))


def _shown(verified: Verified) -> JsonObject:
    """Return what the model needs for a second look: the header as it was read, and the findings."""
    invoice = verified.invoice or Invoice()
    header = {name: _text(getattr(invoice, name)) for name in _HEADER_FIELDS}
    findings = [
        {"severity": one.severity.value, "field": one.field, "message": one.message}
        for one in verified.findings
        if one.severity is not Severity.INFO
    ]
    return {
        "kind": verified.kind.value,
        **header,
        "vendor": invoice.vendor.name,
        "lines": len(invoice.line_items),
        "findings": findings[:_MAX_SHOWN_FINDINGS],
        "next": _next_step(verified),
    }


def _next_step(verified: Verified) -> str:
    if verified.kind is Kind.OTHER and verified.needs_review:
        return "look at the findings: extract again if the document is an invoice after all, else call terminate"
    if verified.kind is Kind.OTHER:
        return "no invoice: call terminate and say what the document is"
    if verified.needs_review:
        return "look at the findings of severity error, then call store_invoice with the corrections the document shows"
    return "call store_invoice"


def _refusal(verified: Verified) -> str:
    errors = [f"{one.field}: {one.message}" for one in verified.findings if one.severity is Severity.ERROR]
    listed = "\n".join(f"- {line}" for line in errors[:_MAX_SHOWN_FINDINGS])
    return (
        f"not stored yet, because these do not hold against the document:\n{listed}\n"
        "Look once more. Call store_invoice with corrections for what the document shows differently, or without any; "
        "then it is stored as it is and a person looks at it."
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _plain(value: Any) -> Any:
    """Return the JSON without exact decimals; a float gives an amount's digits back unchanged up to fifteen of them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return float(value) if isinstance(value, Decimal) else value
