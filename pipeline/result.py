"""The result of a job, as it is written to `result.json` and checked against the shipped schema."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline import __version__
from pipeline.errors import PipelineError
from pipeline.invoice.model import dumps
from pipeline.job import DOCUMENT_STEP, Claim, JobRecord, State, part_of

RESULT_SCHEMA = "invoice-pipeline/result/1"


@dataclass(frozen=True)
class Outcome:
    """Hold what a session came to; its pieces are plain JSON, amounts exact decimals.

    `parts` are the pages of each invoice in a file that holds several; each becomes a job of its own.
    """

    status: State
    kind: str | None = None
    invoice: dict[str, Any] | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    findings: tuple[dict[str, Any], ...] = ()
    answer: str | None = None
    error: dict[str, Any] | None = None
    parts: tuple[tuple[int, ...], ...] = ()


def failure(error: BaseException, *, quoting: bool = True) -> dict[str, Any]:
    """Describe an error for a result: `{type, message, hint, transient}`.

    Messages of foreign errors may quote the document; without `quoting` they are left out.
    """
    if isinstance(error, PipelineError):
        reason = getattr(error, "reason", "")
        kind = f"{type(error).__name__}.{reason}" if reason else type(error).__name__
        return {"type": kind, "message": error.message, "hint": error.hint, "transient": error.transient}
    hint = "this is a mistake in the program: the trace holds the details; please report it with the trace"
    message = (str(error) if quoting else "") or type(error).__name__
    return {"type": type(error).__name__, "message": message, "hint": hint, "transient": False}


def compose(record: JobRecord, outcome: Outcome, *, prompts: str) -> bytes:
    """Return the bytes of `result.json`.

    `record` is the job's whole trace, folded; `prompts` names the version of the agent's prompts.
    """
    if record.claim is None or record.finished is None:
        raise ValueError("a result is composed from a claimed and finished job")
    claim = record.claim
    result = {
        "schema": RESULT_SCHEMA,
        "job": claim.job,
        "agent": claim.agent,
        "status": outcome.status,
        "source": _source(record, claim),
        "part_of": {"job": claim.parent, "pages": list(claim.pages)} if claim.parent else None,
        "parts": [{"job": part_of(claim, pages).job, "pages": list(pages)} for pages in outcome.parts],
        "kind": outcome.kind,
        "invoice": outcome.invoice,
        "evidence": outcome.evidence,
        "findings": list(outcome.findings),
        "answer": outcome.answer,
        "error": _with_replay(outcome.error, claim.job),
        "usage": _usage(record),
        "versions": {
            "pipeline": __version__,
            "prompts": prompts,
            "schema": RESULT_SCHEMA,
            "model": record.model or None,
        },
        "received_at": claim.received_at,
        "finished_at": record.finished["finished_at"],
    }
    # Half a surrogate pair becomes its JSON escape, as in the trace.
    return dumps(result).encode(errors="backslashreplace") + b"\n"


def outcome_of_failure(error: dict[str, Any], findings: tuple[dict[str, Any], ...] = ()) -> Outcome:
    """Return the outcome of a job that failed with that error."""
    return Outcome(State.FAILED, error=error, findings=findings)


def _source(record: JobRecord, claim: Claim) -> dict[str, Any]:
    document = record.steps[DOCUMENT_STEP].output if DOCUMENT_STEP in record.steps else {}
    return {
        "name": claim.name,
        "sha256": claim.sha256,
        "bytes": claim.size,
        "media_type": document.get("media_type"),
        "pages": len(document["pages"]) if document else None,
    }


def _usage(record: JobRecord) -> dict[str, Any]:
    tokens = asdict(record.usage)
    return {
        "attempts": max(record.charged, 1),
        "steps": record.actions,
        "model_calls": record.model_calls,
        "prompt_tokens": tokens["prompt_tokens"],
        "completion_tokens": tokens["completion_tokens"],
        "seconds": round(record.seconds, 3),
    }


def _with_replay(error: dict[str, Any] | None, job: str) -> dict[str, Any] | None:
    if error is None:
        return None
    hint = error["hint"].rstrip(". ")
    return {**error, "hint": f"{hint + '. ' if hint else ''}To try again: pipeline replay {job}"}
