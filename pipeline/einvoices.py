"""E-invoices on their way through a job: read by code, stored as a step, no model asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import anyio.to_thread

from pipeline.agent import ActionResult, Steps
from pipeline.document.model import Document
from pipeline.invoice.einvoice.found import FoundInvoice, find_einvoice
from pipeline.invoice.keeping import keep, kept_findings
from pipeline.invoice.model import Finding
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.store import InvoiceStore
from pipeline.invoice.verify import Verified
from pipeline.job import Claim
from pipeline.llm.protocol import JsonObject


async def read_einvoice(document: Document, own_fields: Sequence[OwnField] = ()) -> FoundInvoice:
    """Return what the document's e-invoice says; nothing where it has none that can be read."""
    if not document.attachments:
        return FoundInvoice()
    return await anyio.to_thread.run_sync(lambda: find_einvoice(document, own_fields=own_fields))


async def store_einvoice(
    verified: Verified, claim: Claim, *, clean: bool, store: InvoiceStore, steps: Steps
) -> list[Finding]:
    """Store the invoice once, as a step that a replay answers from its record; return what the history says."""
    at = datetime.fromisoformat(claim.received_at)

    async def act(_: Steps) -> JsonObject:
        kept = await anyio.to_thread.run_sync(lambda: keep(store, verified, job=claim.job, at=at, clean=clean))
        return ActionResult(tool_executed=True, result=kept).to_json()

    request: JsonObject = {"tool": "store_invoice", "arguments": {}}
    done = ActionResult.from_json(await steps.run("action", request, act))
    return kept_findings(done.result)
