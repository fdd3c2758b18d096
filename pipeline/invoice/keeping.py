"""Put a checked invoice into the store, and say what this vendor's earlier invoices make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pipeline.invoice.history import VendorHistory, history_findings
from pipeline.invoice.model import Finding, Invoice, Severity
from pipeline.invoice.store import InvoiceStore
from pipeline.invoice.verify import Verified


def keep(store: InvoiceStore, verified: Verified, *, job: str, at: datetime, clean: bool = True) -> dict[str, Any]:
    """Store the invoice and return plain JSON for the record: `{outcome, record, findings}`.

    `clean` says whether nothing but its own findings speaks against it. What the history says is kept with the record,
    because a replay must not ask a store that has gone on since.
    """
    invoice = verified.invoice or Invoice()
    found: list[Finding] = []

    def judge(history: VendorHistory) -> str:
        found[:] = history_findings(invoice, history)
        return "done" if clean and not _has_errors((*verified.findings, *found)) else "review"

    stored = store.store_judged(invoice, kind=verified.kind, job=job, at=at, judge=judge)
    findings = [one.to_json() for one in found]
    return {"outcome": stored.outcome.value, "record": stored.record_id, "findings": findings}


def kept_findings(kept: Mapping[str, Any] | None) -> list[Finding]:
    """Return what the history said, from the record."""
    return [Finding.model_validate(one) for one in (kept or {}).get("findings", [])]


def _has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)
