"""A worker's part: sessions of jobs that come through the queue, on the model server this worker is bound to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import anyio.to_thread
import structlog

from pipeline.cluster.durable import Cluster
from pipeline.cluster.steplog import StepLog, storable
from pipeline.cluster.task import AwayJob, Task, job_of, outcome_from_text, outcome_to_text
from pipeline.engine.attempt import Attempts, Ended, final_error, finished_event
from pipeline.engine.seam import Body
from pipeline.errors import StorageFault
from pipeline.job import Claim, JobRecord, fold, seconds_between
from pipeline.journal import open_journal
from pipeline.llm.protocol import JsonObject
from pipeline.result import Outcome, outcome_of_failure
from pipeline.trace import event, utc_now

log = structlog.get_logger()

MakeBody = Callable[[Task], Body]


class Station:
    """Run sessions; each is the body of one workflow and can be gone on with by any other station."""

    def __init__(self, cluster: Cluster, body_for: MakeBody) -> None:
        self._cluster = cluster
        self._body_for = body_for
        self._sessions: dict[anyio.CancelScope, str] = {}
        self.ended = 0

    async def work(self, flow: str, data: JsonObject) -> JsonObject:
        """Bring one job to its end; return what the hub writes into the outbox."""
        with anyio.CancelScope() as session:
            self._sessions[session] = flow
            try:
                return await self._work(flow, Task.from_json(data))
            except StorageFault as fault:
                log.warning("job.left", job=job_of(flow), error=fault.message, will="be gone on with")
            finally:
                self._sessions.pop(session, None)
        # Not an end of the workflow, which is gone on with here or elsewhere.
        raise asyncio.CancelledError

    @property
    def at_work(self) -> frozenset[str]:
        """Return the workflows that are in work here."""
        return frozenset(self._sessions.values())

    def interrupt(self) -> None:
        """Stop all sessions where they stand."""
        for session in list(self._sessions):
            session.cancel()

    async def _work(self, flow: str, task: Task) -> JsonObject:
        steps = StepLog(task.events)
        await steps.catch_up(await anyio.to_thread.run_sync(self._cluster.steps, flow))
        record = fold(steps.events)
        if record.claim is None:
            raise RuntimeError(f"workflow {flow} was submitted without a claim")
        log.info("job.started", job=record.claim.job, recorded_steps=len(record.steps))
        while steps.outcome is None:
            await self._attempt(record.claim, task, steps)
        outcome = outcome_from_text(steps.outcome)
        log.info("job.finished", job=record.claim.job, status=outcome.status.value)
        self.ended += 1
        return {"status": outcome.status.value, "outcome": steps.outcome}

    async def _attempt(self, claim: Claim, task: Task, steps: StepLog) -> None:
        """Make the next attempt, after the pause that was scheduled before it."""
        record = fold(steps.events)
        if record.retry_at:
            pause = seconds_between(utc_now(), record.retry_at)  # below zero where the worker was slow, or is another
            await anyio.sleep(min(max(pause, 0.0), task.retry.longest_delay_seconds))
        error = final_error(record, attempts=task.retry.attempts)
        if error is not None:
            await _end(steps, record.attempts, outcome_of_failure(error))
            return
        number = record.attempts + 1
        await steps.append([event("attempt.started", attempt=number, recorded_steps=len(record.steps))])
        try:
            after = await self._session(claim, task, steps, record, number)
        except StorageFault as fault:
            # The store, not the steps: these wait for the database by themselves.
            log.warning("attempt.interrupted", job=claim.job, error=fault.message)
            await steps.append([event("attempt.interrupted", attempt=number, reason="storage")])
            await anyio.sleep(task.retry.first_delay_seconds)
            return
        if isinstance(after, Ended):
            await _end(steps, number, after.outcome)

    async def _session(
        self, claim: Claim, task: Task, steps: StepLog, record: JobRecord, number: int
    ) -> Ended | object:
        journal = open_journal(record, steps.append, attempt=number, keeper=steps.run_apart, as_kept=storable)
        attempts = Attempts(self._body_for(task), task.retry, include_text=task.include_text)
        return await attempts.make(AwayJob(claim.job, task.pictures), claim, journal, charged=record.charged + 1)


async def _end(steps: StepLog, attempt: int, outcome: Outcome) -> None:
    await steps.end(finished_event(outcome, attempt=attempt), outcome_to_text(outcome))
