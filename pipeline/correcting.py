"""Correct a finished job: lay a person's values over what was read, check again, move the job where it belongs.

The request in the outbox decides: before it lies there nothing has happened, and as long as it lies there every step
below is done again, by this process or by the next one that holds the outbox. Each step can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import anyio.to_thread
import structlog

from pipeline.corrections import (
    Acceptance,
    Corrected,
    Correction,
    CorrectionsFile,
    acceptances_of,
    as_read,
    corrected_of,
    lines_of,
    new_line,
    uncorrected,
)
from pipeline.disk import Disk, storage_fault
from pipeline.document.model import Document
from pipeline.document.reader import DocumentReader
from pipeline.engine.seam import Body
from pipeline.errors import DocumentError, JobNotFound, TraceDamaged
from pipeline.invoice.einvoice.found import find_einvoice
from pipeline.invoice.history import history_findings
from pipeline.invoice.model import Finding, Invoice, Kind, dumps
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.paths import KIND_PATH, value_at
from pipeline.invoice.removed import LINES, RemovedLine, lines_left, without
from pipeline.invoice.store import InvoiceStore
from pipeline.invoice.verify import Verified, apply_corrections, verify
from pipeline.job import DOCUMENT_STEP, Claim, Job, JobRecord, State
from pipeline.journal import Journal
from pipeline.outbox import JobFolder, Outbox
from pipeline.requests import Requests
from pipeline.result import Outcome
from pipeline.tools.invoices import CORRECTIONS, EXTRACTION, OF_PARTS
from pipeline.worker import verified_outcome

log = structlog.get_logger()

_LOWERED = "info"
AgentsFields = Mapping[str, Sequence[OwnField]]
_NO_FIELDS: AgentsFields = MappingProxyType({})


@dataclass(frozen=True)
class _Basis:
    """Hold what a job's values are worked out from: its document, what a model said of it, and when it came.

    `lines` are the invoice lines that code made of what the model said.
    """

    job: str
    document: Document
    said: Mapping[str, Any]
    received_at: datetime
    own_fields: Sequence[OwnField] = ()
    lines: Sequence[Mapping[str, Any]] = ()


class Corrector:
    """Make the corrections that lie in the outbox as requests; `own_fields` are those that each agent adds."""

    def __init__(
        self,
        outbox: Outbox,
        store: InvoiceStore,
        disk: Disk,
        reader: DocumentReader,
        *,
        own_fields: AgentsFields = _NO_FIELDS,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._disk = disk
        self._reader = reader
        self._own_fields = own_fields
        self._requests = Requests(outbox.root, disk)

    def ask(self, job: str, correction: Correction) -> None:
        """Leave a correction to be made; from here on it is not lost."""
        try:
            self._requests.leave_correction(job, correction.key, dumps(correction.to_json()).encode())
        except OSError as error:
            raise storage_fault(error) or error from error

    def is_asked(self, job: str, correction: Correction) -> bool:
        """Say whether a correction is still to be made."""
        return self._requests.holds_correction(job, correction.key)

    def has_made(self, job: str, correction: Correction) -> bool:
        """Say whether a correction is on the job's record."""
        return any(line["key"] == correction.key for line in CorrectionsFile(self._outbox.find(job).path).lines())

    async def make_all(self) -> list[str]:
        """Make every correction that lies there, oldest first; return the names of the jobs.

        Raises StorageFault where the disk fails; the corrections lie there still.
        """
        try:
            return await self._make_all()
        except OSError as error:
            raise storage_fault(error) or error from error

    async def _make_all(self) -> list[str]:
        made = []
        for request in await anyio.to_thread.run_sync(lambda: list(self._requests.corrections())):
            try:
                job = self._outbox.find(request.job)
                if job.state is State.WORKING:
                    continue  # made when the job has ended
                await self._make(job, Correction.from_json(request.asked))
                made.append(job.name)
            except (JobNotFound, TraceDamaged, DocumentError) as error:
                log.error("correction.refused", job=request.job, reason=error.message, hint=error.hint)
            except ValueError as error:  # values that no field can hold: not left by this release's command
                log.error("correction.refused", job=request.job, reason=type(error).__name__, hint="correct it again")
            await anyio.to_thread.run_sync(self._requests.correction_done, request)
        return made

    async def _make(self, job: JobFolder, correction: Correction) -> None:
        record = await anyio.to_thread.run_sync(job.record)
        result = await anyio.to_thread.run_sync(job.result)
        if result is None or record.claim is None or job.state is State.FAILED:
            raise JobNotFound(f"{job.name} has no result to correct", hint=f"pipeline replay {job.name} makes one")
        document = await document_of(job, record, self._reader)
        own, received_at = (
            self._own_fields.get(record.claim.agent, ()),
            datetime.fromisoformat(record.claim.received_at),
        )
        read = uncorrected(await anyio.to_thread.run_sync(CorrectionsFile(job.path).lines), result)
        basis = _Basis(job.name, document, said_of(record, read), received_at, own, lines_of(read))
        await anyio.to_thread.run_sync(lambda: self._amend(job, correction, result, basis))
        log.info("job.corrected", job=job.name, fields=len(correction.values), accepted=correction.accept)

    def _amend(self, job: JobFolder, correction: Correction, result: dict[str, Any], basis: _Basis) -> None:
        file = CorrectionsFile(job.path)
        lines = file.lines()
        if all(line["key"] != correction.key for line in lines):
            before = {path: _before(result, path) for path in correction.values}
            read = uncorrected(lines, result)
            asked = {"by": correction.by, "changes": _changes(correction, before), "read": read}
            outcome = self._outcome(basis, corrected_of([*lines, asked]), result["answer"])
            known = acceptances_of(lines)
            new = _accepting(outcome, known, correction) if correction.accept else []
            outcome = accepted(outcome, [*known, *new])
            afterwards = {"status": outcome.status.value, "findings": list(outcome.findings)}
            line = new_line(correction, before=before, read=read, accepted=new, afterwards=afterwards)
            file.append(line, self._disk)
        else:
            outcome = accepted(self._outcome(basis, corrected_of(lines), result["answer"]), acceptances_of(lines))
        keep_corrected(self._store, outcome, basis.job, at=basis.received_at)
        self._outbox.amend(job, outcome.status, _amended(result, outcome), finished_at=result["finished_at"])

    def _outcome(self, basis: _Basis, by_person: Corrected, answer: str | None) -> Outcome:
        return corrected_outcome(basis, by_person, answer, self._store)


class CorrectedBody:
    """Do the work of jobs as another body does, and keep what persons corrected in them before."""

    def __init__(
        self,
        body: Body,
        store: InvoiceStore,
        disk: Disk,
        reader: DocumentReader,
        *,
        own_fields: AgentsFields = _NO_FIELDS,
    ) -> None:
        self._body = body
        self._store = store
        self._disk = disk
        self._reader = reader
        self._own_fields = own_fields

    async def __call__(self, job: Job, claim: Claim, steps: Journal) -> Outcome:
        """Return the body's outcome; of a job that was corrected, with the persons' values over the new ones."""
        outcome = await self._body(job, claim, steps)
        if not isinstance(job, JobFolder):  # it is away, and corrected where its folder lies
            return outcome
        if not CorrectionsFile(job.path).is_there:
            return outcome
        await steps.sync()  # the session's own record of the invoice comes before the corrected one
        return await self.corrected(job, claim, outcome, state=steps.state)

    def prompts_version(self, agent: str) -> str:
        """Name the version of the agent's prompts."""
        return self._body.prompts_version(agent)

    async def corrected(self, job: JobFolder, claim: Claim, outcome: Outcome, *, state: Mapping[str, Any]) -> Outcome:
        """Return a session's outcome with the persons' values over it; `state` is what its tools worked out."""
        lines = await anyio.to_thread.run_sync(CorrectionsFile(job.path).lines)
        if not lines or outcome.status is State.FAILED:
            return outcome
        document = await document_of(job, await anyio.to_thread.run_sync(job.record), self._reader)
        said = dict(state) if EXTRACTION in state else _as_said(_as_result(outcome))
        own = self._own_fields.get(claim.agent, ())
        received_at = datetime.fromisoformat(claim.received_at)
        basis = _Basis(job.name, document, said, received_at, own, lines_of(_as_result(outcome)))
        try:
            return await anyio.to_thread.run_sync(lambda: self._kept(job, lines, outcome, basis))
        except OSError as error:
            raise storage_fault(error) or error from error

    def _kept(self, job: JobFolder, lines: list[dict[str, Any]], read: Outcome, basis: _Basis) -> Outcome:
        # What each field was before is now what was read this time.
        by_person = corrected_of(lines)
        values = tuple(replace(one, before=_before(_as_result(read), one.field)) for one in by_person.values)
        by_person = replace(by_person, values=values)
        outcome = accepted(corrected_outcome(basis, by_person, read.answer, self._store), acceptances_of(lines))
        again = Correction(f"replayed-{lines[-1]['key']}", lines[-1]["at"], lines[-1]["by"], {})
        if as_read(_as_result(read)) != as_read(lines[-1]["read"]):
            afterwards = {"status": outcome.status.value, "findings": list(outcome.findings)}
            line = new_line(again, before={}, read=_as_result(read), accepted=(), afterwards=afterwards)
            CorrectionsFile(job.path).append(line, self._disk)
        keep_corrected(self._store, outcome, basis.job, at=basis.received_at)
        return outcome


async def document_of(job: JobFolder, record: JobRecord, reader: DocumentReader) -> Document:
    """Return the document as it was read, from the trace or else from the file once more."""
    if DOCUMENT_STEP in record.steps:
        return Document.from_json(record.steps[DOCUMENT_STEP].output)
    source = job.source_path
    if source is None or record.claim is None:
        hint = "put the document back as source with its suffix"
        raise DocumentError(f"{job.name} holds no document to check against", reason="missing", hint=hint)
    return await reader.read(source, name=record.claim.name)


def said_of(record: JobRecord, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model said of the document; where that is not on record, what came of it."""
    states = [step.state for step in record.steps.values() if EXTRACTION in step.state]
    return states[-1] if states else _as_said(result)


def corrected_outcome(basis: _Basis, by_person: Corrected, answer: str | None, store: InvoiceStore) -> Outcome:
    """Return what the job comes to with a person's values, checked like any other."""
    verified, also = _verified(basis, by_person)
    if verified.kind is Kind.OTHER:
        outcome = verified_outcome(verified, basis.document, also=also)
        return replace(outcome, invoice=None, evidence={}, answer=answer)
    history = store.history_of(verified.invoice or Invoice(), not_job=basis.job, before=basis.received_at)
    habits = history_findings(verified.invoice or Invoice(), history)
    return verified_outcome(verified, basis.document, also=(*habits, *also))


def accepted(outcome: Outcome, acceptances: Sequence[Acceptance]) -> Outcome:
    """Return the outcome with the findings that a person answers for lowered, each marked with who and when."""
    findings = tuple(_marked(one, acceptances) for one in outcome.findings)
    is_clean = all(one["severity"] != "error" for one in findings)
    return replace(outcome, findings=findings, status=State.DONE if is_clean else State.REVIEW)


def keep_corrected(store: InvoiceStore, outcome: Outcome, job: str, *, at: datetime) -> None:
    """Put the corrected invoice in the place of the one that was read; one that turned out to be none is taken out."""
    if outcome.invoice is None:
        store.forget(job, at=at)
        return
    invoice, kind = Invoice.from_json(outcome.invoice), Kind(outcome.kind or Kind.INVOICE)
    store.store(invoice, kind=kind, job=job, status=outcome.status.value, at=at)


def _verified(basis: _Basis, by_person: Corrected) -> tuple[Verified, tuple[Finding, ...]]:
    """Return the values; and what is to be said of removed lines, and of an e-invoice that could not be read."""
    document, said, values = basis.document, basis.said, by_person.values
    own = basis.own_fields
    found = find_einvoice(document, own_fields=own, by_person=values)
    if found.verified is not None:
        return found.verified, lines_left((), by_person.removed).findings
    raw = apply_corrections(said[EXTRACTION], said.get(CORRECTIONS, {}), own_fields=own)
    raw, of_removed = _without_removed(raw, basis.lines, by_person.removed)
    settled = {one.field for one in values}
    of_parts = (Finding.model_validate(one) for one in said.get(OF_PARTS, ()))
    open_parts = [one for one in of_parts if one.field not in settled]
    return verify(raw, document, own_fields=own, by_person=values), (*found.findings, *open_parts, *of_removed)


def _without_removed(
    raw: dict[str, Any], lines: Sequence[Mapping[str, Any]], removed: Sequence[RemovedLine]
) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Return what the model said without the lines that a person removed, and what is to be said of each."""
    said = raw.get(LINES) or []
    # Code makes one line of each that the model names; where it did not, no position can be trusted.
    left = lines_left(lines if len(said) == len(lines) else (), removed)
    return {**raw, LINES: without(said, left.gone)}, left.findings


def _as_said(result: Mapping[str, Any]) -> dict[str, Any]:
    return {EXTRACTION: {**(result["invoice"] or {}), KIND_PATH: result["kind"]}}


def _before(result: Mapping[str, Any], path: str) -> Any:
    return result["kind"] if path == KIND_PATH else value_at(result["invoice"] or {}, path)


def _changes(correction: Correction, before: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"field": path, "from": before[path], "to": value} for path, value in correction.values.items()]


def _accepting(outcome: Outcome, known: Sequence[Acceptance], correction: Correction) -> list[Acceptance]:
    """Return acceptances of all that is left to look at."""
    left = [one for one in accepted(outcome, known).findings if one["severity"] == "error"]
    return [Acceptance(one["code"], one["field"], one["message"], correction.by, correction.at) for one in left]


def _marked(finding: dict[str, Any], acceptances: Sequence[Acceptance]) -> dict[str, Any]:
    by = next((one for one in acceptances if one.fits(finding)), None)
    if by is None or finding["severity"] != "error":
        return finding
    return {**finding, "severity": _LOWERED, "accepted_by": by.by, "accepted_at": by.at}


def _as_result(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "kind": outcome.kind,
        "invoice": outcome.invoice,
        "answer": outcome.answer,
    }


def _amended(result: Mapping[str, Any], outcome: Outcome) -> bytes:
    """Return the bytes of `result.json` with the corrected parts in the place of the earlier ones."""
    parts = {**_as_result(outcome), "evidence": outcome.evidence, "findings": list(outcome.findings)}
    return (
        dumps({name: parts.get(name, value) for name, value in result.items()}).encode(errors="backslashreplace")
        + b"\n"
    )
