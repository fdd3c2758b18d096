"""The hub's part: it owns inbox and outbox, hands jobs to the workers and writes what they came to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import anyio
import anyio.to_thread
import structlog

from pipeline.agents import AgentSettings
from pipeline.cluster.durable import Cluster, Condition, Flow
from pipeline.cluster.steplog import EVENTS, OUTCOME, storable
from pipeline.cluster.task import Task, flow_of, job_of, outcome_from_text
from pipeline.document.model import Document
from pipeline.engine.attempt import Again, Ended, final_error, finished_event
from pipeline.engine.files import FileEngine
from pipeline.engine.opened import OpenJob
from pipeline.engine.seam import Body, Observer
from pipeline.errors import HostFault, JobNotFound, StorageFault
from pipeline.job import DOCUMENT_STEP, FINISHED, Claim, Job, JobRecord, fold
from pipeline.journal import Journal, Sink, into, open_journal
from pipeline.llm.protocol import JsonObject
from pipeline.outbox import JobFolder, Outbox
from pipeline.postgres import ClusterSettings
from pipeline.result import Outcome, outcome_of_failure
from pipeline.retry import RetrySettings
from pipeline.trace import Event, event

log = structlog.get_logger()

_PURGE_SECONDS = 3600.0
_CLUSTER = "cluster"
# Pictures of a job may be tens of megabytes, several times over until they are sent.
_PACKED_AT_ONCE = 2


class HubBody(Body, Protocol):
    """Do what needs the job's folder; run sessions only over their record."""

    async def read(self, job: Job, claim: Claim, steps: Journal) -> Document:
        """Return the job's document, from the record where it was read before."""
        ...

    async def pictures(self, job: JobFolder, document: Document) -> Mapping[int, bytes]:
        """Return PNG files of the pages that a model is to be shown, by number."""
        ...

    async def corrected(self, job: JobFolder, claim: Claim, outcome: Outcome, *, state: Mapping[str, Any]) -> Outcome:
        """Return a session's outcome with the values that persons gave the job; `state` is what its tools know."""
        ...


class HubEngine(FileEngine):
    """Read documents here, have their sessions run elsewhere, and publish the results here.

    It differs from the file engine in one thing: where that makes an attempt, this submits and waits. With
    `no_worker_seconds` a cluster without any worker ends the run after so long.
    """

    _begins_at_once = False

    def __init__(
        self,
        outbox: Outbox,
        body: HubBody,
        cluster: Cluster,
        *,
        settings: ClusterSettings,
        agents: Mapping[str, AgentSettings],
        retry: RetrySettings,
        include_text: bool,
        workers: Callable[[], int],
        no_worker_seconds: float | None = None,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(
            outbox,
            body,
            concurrency=settings.jobs_in_flight,
            retry=retry,
            include_text=include_text,
            observer=observer,
            ends_without_host=no_worker_seconds is not None,
        )
        self._body_here = body
        self._cluster = cluster
        self._settings = settings
        self._agents = agents
        self._include_text = include_text
        self._workers = workers
        self._no_worker_seconds = no_worker_seconds
        self._away: dict[str, anyio.Event] = {}
        self._restoring: set[str] = set()
        self._packing = anyio.Semaphore(_PACKED_AT_ONCE)

    async def serve(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Own the jobs' tasks, and look for ended workflows, until `stop` was called and the running ones are left."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._collect_ended)
            tasks.start_soon(self._forget_collected)
            if self._no_worker_seconds is not None:
                tasks.start_soon(self._miss_workers, self._no_worker_seconds)
            await super().serve(task_status=task_status)
            tasks.cancel_scope.cancel()

    async def cancel(self, name: str) -> None:
        """Stop a job that is away; it ends in failed/."""
        job = self._outbox.find(name)
        flow = flow_of(job.name, await anyio.to_thread.run_sync(self._outbox.trace(job).events))
        await anyio.to_thread.run_sync(lambda: self._cluster.cancel(flow, reason="it was cancelled"))

    async def _live(self, opened: OpenJob, claim: Claim) -> float | None:
        """Hand the job over and wait until it is back; return None when it is finished."""
        job, record = opened.folder, opened.record
        events = await anyio.to_thread.run_sync(self._outbox.trace(job).events)
        events = [one for one in events if one["event"] != "trace.opened"]
        flow = flow_of(job.name, events)
        arrived = self._away[flow] = anyio.Event()
        try:
            failed = await self._send(flow, job, claim, record, events)
            if failed is not None:
                opened = OpenJob(job, self._outbox.trace(job), await anyio.to_thread.run_sync(job.record))
                journal = open_journal(record, opened.append, attempt=record.attempts + 1)
                return await self._after(opened, journal, claim, failed)
            log.info("job.submitted", job=job.name)
            await self._arrival(arrived)
            if not arrived.is_set():
                return 0.0  # stopped: it lies in working/ and is waited for again at the next start
            await self._write(job, claim, flow)
        finally:
            self._away.pop(flow, None)
        return None

    async def _send(
        self, flow: str, job: JobFolder, claim: Claim, record: JobRecord, events: list[Event]
    ) -> Ended | Again | None:
        """Submit the job, its document read, if it was not yet, into the trace too. Only a failure is an attempt."""

        async def keep(new: Sequence[Event]) -> None:
            await self._into(job)([one if self._include_text else without_text(one) for one in new])
            events.extend(new)

        error = final_error(record, attempts=self._retry.attempts)
        if DOCUMENT_STEP not in record.steps and error is not None:
            return Ended(outcome_of_failure(error))
        journal = open_journal(record, keep, attempt=record.attempts + 1, as_kept=storable)
        try:
            document = await self._document(job, claim, record, journal)
            # An agent that is not known here any more fails there, with the message that says so.
            agent = self._agents.get(claim.agent) or next(iter(self._agents.values()))
            task = Task(tuple(events), agent, self._retry, include_text=self._include_text)
            await self._submit(flow, task, job, document)
        except StorageFault:
            raise
        except Exception as error:  # noqa: BLE001 - the border at which this job fails and the others go on
            await journal.write(event("attempt.started", attempt=journal.attempt, recorded_steps=len(record.steps)))
            return await self._attempts.failed(job, journal, error, charged=record.charged + 1)
        return None

    async def _submit(self, flow: str, task: Task, job: JobFolder, document: Document) -> None:
        """Put the task into the database, with pictures where it has any and was not put there before."""
        shown = any(page.picture for page in document.pages)
        if not shown or await anyio.to_thread.run_sync(lambda: self._cluster.find(flow)) is not None:
            await anyio.to_thread.run_sync(lambda: self._cluster.submit(flow, _plain(task)))
            return
        async with self._packing:
            whole = replace(task, pictures=await self._body_here.pictures(job, document))
            await anyio.to_thread.run_sync(lambda: self._cluster.submit(flow, _plain(whole)))

    async def _document(self, job: JobFolder, claim: Claim, record: JobRecord, journal: Journal) -> Document:
        if DOCUMENT_STEP in record.steps:
            return Document.from_json(record.steps[DOCUMENT_STEP].output)
        return await self._body_here.read(job, claim, journal)

    async def _arrival(self, arrived: anyio.Event) -> None:
        """Wait until the job is back, or the hub is to stop."""
        async with anyio.create_task_group() as race:

            async def stopped() -> None:
                await self._stop.wait()
                race.cancel_scope.cancel()

            race.start_soon(stopped)
            await arrived.wait()
            race.cancel_scope.cancel()

    async def _write(self, job: JobFolder, claim: Claim, flow: str) -> None:
        """Write what came back: first the trace, as a whole, then the result and the folder's new place."""
        found, kept = await anyio.to_thread.run_sync(lambda: (self._cluster.find(flow), self._cluster.steps(flow)))
        outcome = _outcome(found)
        events = [one for step in kept for one in step.output.get(EVENTS, ())]
        record = fold([*await anyio.to_thread.run_sync(self._outbox.trace(job).events), *events])
        read, outcome = outcome, await self._body_here.corrected(job, claim, outcome, state=_last_state(record))
        if record.finished is None or outcome.status is not read.status:
            events = [one for one in events if one["event"] != "job.finished"]
            events.append(finished_event(outcome, attempt=record.attempts))
        if not self._include_text:
            events = [without_text(one) for one in events]
        await self._open_parts(job, claim, outcome)
        await anyio.to_thread.run_sync(self._outbox.trace(job).append_whole, events)
        await self._publish(job, outcome)
        await self._mark(flow)

    async def _mark(self, flow: str) -> None:
        with suppress(StorageFault):  # it is found again, and its folder says that it was collected
            await anyio.to_thread.run_sync(self._cluster.collected, flow)

    async def _collect_ended(self) -> None:
        """Look again and again for workflows that have ended, and hand them to those that wait for them."""
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    for flow in await anyio.to_thread.run_sync(self._cluster.ended, abandon_on_cancel=True):
                        await self._came_back(flow, tasks)
                except StorageFault as fault:
                    self.storage_failed(_CLUSTER, fault)
                else:
                    self.storage.worked(_CLUSTER)
                await anyio.sleep(self._settings.poll_seconds)

    async def _came_back(self, flow: str, tasks: anyio.abc.TaskGroup) -> None:
        if flow in self._away:
            self._away[flow].set()
            return
        if flow in self._restoring:
            return
        try:
            job = await anyio.to_thread.run_sync(self._outbox.find, job_of(flow))
        except JobNotFound:
            self._restoring.add(flow)
            tasks.start_soon(self._restore, flow)
            return
        if job.state in FINISHED:
            await self._mark(flow)

    async def _restore(self, flow: str) -> None:
        """Write a result whose folder is not in the outbox: it was lost with a disk, or removed by hand."""
        try:
            task = await anyio.to_thread.run_sync(self._cluster.task, flow)
            events = Task.from_json(task).events if task else ()
            claim = fold(events).claim
            if claim is None:
                log.error("job.not_restored", job=flow, hint="its row in the database names no job")
                return
            await self.room()
            log.warning("job.restored", job=claim.job, hint="its document is not in the database, only its text")
            shown = [one if self._include_text else without_text(one) for one in events]
            self.submit(await anyio.to_thread.run_sync(self._outbox.restore, claim, shown))
        except (OSError, StorageFault) as error:
            self.storage_failed(_CLUSTER, error)
            self._restoring.discard(flow)

    async def _forget_collected(self) -> None:
        while True:
            with suppress(StorageFault):
                gone = await anyio.to_thread.run_sync(self._cluster.forget_collected, self._settings.keep_days)
                if gone:
                    log.info("jobs.forgotten", jobs=gone, older_than_days=self._settings.keep_days)
                    continue
            await anyio.sleep(_PURGE_SECONDS)

    async def _miss_workers(self, seconds: float) -> None:
        """End a run that nobody will ever work for."""
        seen_at = anyio.current_time()
        while self.host_lost is None:
            await anyio.sleep(min(seconds, 1.0))
            with suppress(StorageFault):
                if await anyio.to_thread.run_sync(self._workers, abandon_on_cancel=True):
                    seen_at = anyio.current_time()
            if anyio.current_time() - seen_at > seconds:
                hint = "start one with `pipeline worker --host NAME`"
                self.host_lost = HostFault(f"no worker was there for {seconds:g} s", hint=hint)
                self.stop()

    def _into(self, job: JobFolder) -> Sink:
        return into(self._outbox.trace(job))


def without_text(one: Event) -> Event:
    """Return the event as it is written where traces may hold no text."""
    if "step" in one:
        kept = {key: value for key, value in one.items() if key not in ("request", "output", "state")}
        return {**kept, "withheld": True}
    if one["event"] == "memory.added":
        return {key: one[key] for key in ("at", "event", "attempt", "type") if key in one} | {"withheld": True}
    return one


def _plain(task: Task) -> JsonObject:
    plain: JsonObject = json.loads(storable(json.dumps(task.to_json(), ensure_ascii=False)))
    return plain


def _last_state(record: JobRecord) -> Mapping[str, Any]:
    """Return what the session's tools had worked out at its end."""
    return next((step.state for step in reversed(record.steps.values()) if step.state), {})


def _outcome(flow: Flow | None) -> Outcome:
    """Return what the job came to; a workflow that did not end by itself is a failed job."""
    if flow is not None and flow.condition is Condition.DONE and flow.output is not None:
        return outcome_from_text(flow.output[OUTCOME])
    kind = "Stopped" if flow is not None and flow.condition is Condition.CANCELLED else "EngineError"
    cause = (flow.reason or flow.error) if flow is not None else "its workflow is gone from the database"
    hint = "look at the end of the trace, and at the logs of the workers that had it"
    return outcome_of_failure(
        {"type": kind, "message": f"the job was stopped: {cause}", "hint": hint, "transient": False}
    )
