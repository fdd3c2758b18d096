"""One attempt at a job: run the body, record how it ended, say what follows. The same on every engine."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import structlog

from pipeline.engine.seam import Body
from pipeline.errors import PipelineError, StorageFault
from pipeline.job import Claim, Job, JobRecord
from pipeline.journal import Journal
from pipeline.result import Outcome, failure, outcome_of_failure
from pipeline.retry import GiveUp, RetrySettings, decide
from pipeline.trace import Event, event, utc_in, utc_now

log = structlog.get_logger()


@dataclass(frozen=True)
class Ended:
    """The job is over."""

    outcome: Outcome


@dataclass(frozen=True)
class Again:
    """The job is tried again after so many seconds, because of this error."""

    delay_seconds: float
    error: Exception


class Attempts:
    """Make attempts; the journal says where they are recorded."""

    def __init__(self, body: Body, retry: RetrySettings, *, include_text: bool) -> None:
        self._body = body
        self._retry = retry
        self._include_text = include_text

    async def make(self, job: Job, claim: Claim, journal: Journal, *, charged: int) -> Ended | Again:
        """Run the body at the one border where every error is caught, recorded and turned into a decision.

        A storage that fails is no end of an attempt: it passes through, as does cancellation.
        """
        try:
            return Ended(await self._body(job, claim, journal))
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), suppress(OSError, StorageFault):
                await journal.write(event("attempt.interrupted", attempt=journal.attempt))
            raise
        except StorageFault:
            raise
        except Exception as error:  # noqa: BLE001 - the worker's border: this job fails, the others go on
            return await self.failed(job, journal, error, charged=charged)

    async def failed(self, job: Job, journal: Journal, error: Exception, *, charged: int) -> Ended | Again:
        """Record that the attempt failed, and what follows on it."""
        decision = decide(error, charged=charged, settings=self._retry)
        described = failure(error, quoting=self._include_text)
        is_charged = isinstance(decision, GiveUp) or decision.charged
        failed = event("attempt.failed", attempt=journal.attempt, charged=is_charged, error=described)
        if isinstance(decision, GiveUp):
            failed["gave_up"] = True  # a crash before the job's last event must not cost another attempt
        if not isinstance(error, PipelineError) and self._include_text:
            failed["traceback"] = traceback.format_exception(error)
        await journal.write(failed)
        log.warning("attempt.failed", job=job.name, attempt=journal.attempt, error=described["type"])
        if isinstance(decision, GiveUp):
            return Ended(outcome_of_failure(described))
        delay = decision.delay_seconds
        retry_at = utc_in(delay)
        await journal.write(event("retry.scheduled", attempt=journal.attempt, delay_seconds=delay, retry_at=retry_at))
        return Again(delay, error)


def finished_event(outcome: Outcome, *, attempt: int) -> Event:
    """Return the last event of a job's trace."""
    finished = event("job.finished", attempt=attempt, status=outcome.status, finished_at=utc_now())
    return {**finished, "error": outcome.error}


def final_error(record: JobRecord, *, attempts: int) -> dict[str, Any] | None:
    """Return the error of a job that has no further attempt; None where it has one."""
    if record.given_up is not None:
        return record.given_up
    return _worn_out(record) if record.charged >= attempts else None


def _worn_out(record: JobRecord) -> dict[str, Any]:
    """Describe the failure of a job whose attempts are used up."""
    last = record.last_error or {}
    message = f"the program ended {record.charged} times while it worked on this file"
    hint = "the file may crash a part of the program; look at it, and at the end of the trace"
    return {"type": "Poison", "message": last.get("message") or message, "hint": hint, "transient": False}
