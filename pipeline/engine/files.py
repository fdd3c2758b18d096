"""The default engine: jobs are folders, steps are lines in their traces, a restart goes on where the trace ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import structlog

from pipeline.disk import storage_fault
from pipeline.engine.attempt import Again, Attempts, Ended, final_error, finished_event
from pipeline.engine.opened import OpenJob
from pipeline.engine.room import Room
from pipeline.engine.seam import Body, Observer, Progress
from pipeline.engine.storage import Storage
from pipeline.errors import HostFault, HostRefuses, StorageFault
from pipeline.job import Claim, JobRecord, State, part_of, seconds_between
from pipeline.journal import Journal, open_journal
from pipeline.outbox import JobFolder, Outbox, stale
from pipeline.result import Outcome, compose, outcome_of_failure
from pipeline.retry import RetrySettings
from pipeline.trace import Event, event, utc_now

log = structlog.get_logger()

_PUNCTUAL_SECONDS = 0.05


class FileEngine:
    """Run at most `concurrency` jobs at once, each from its first attempt to its result.

    With `ends_without_host` a host that stays away, or a disk that fails, ends the run instead of being waited for; the
    jobs stay resumable. `ready` is awaited once, before the first attempt starts: what is slow and no job's doing
    belongs there, so that a kill in the middle of it is charged to none.
    """

    # Whether an attempt is made here as soon as the job is looked at.
    _begins_at_once = True

    def __init__(
        self,
        outbox: Outbox,
        body: Body,
        *,
        concurrency: int,
        retry: RetrySettings,
        include_text: bool = True,
        observer: Observer | None = None,
        ends_without_host: bool = False,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._outbox = outbox
        self._body = body
        self._attempts = Attempts(body, retry, include_text=include_text)
        self._retry = retry
        self._include_text = include_text
        self._observer = observer or (lambda _: None)
        self._ends_without_host = ends_without_host
        self._ready = ready
        self._readying = anyio.Lock()
        self.host_lost: HostFault | HostRefuses | StorageFault | None = None
        self.storage = Storage()
        self._started: dict[str, int] = {}
        self._owned: dict[str, anyio.Event] = {}
        self._room = Room(concurrency)
        self._stop = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._idle = anyio.Event()
        self._unfinished = 0
        self.counts = dict.fromkeys(State, 0)

    async def serve(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Own the jobs' tasks until `stop` was called and the running ones have ended."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            task_status.started()
            await self._stop.wait()

    def stop(self) -> None:
        """Start no further attempt; those that run go on to their end."""
        self._stop.set()

    async def room(self) -> None:
        """Wait until one more job may be submitted, and keep that place for it."""
        await self._room.acquire()

    def resize(self, concurrency: int) -> None:
        """Change how many jobs may run at once; those that run go on."""
        self._room.resize(concurrency)

    def give_back_room(self) -> None:
        """Give back a place that no job was found for."""
        self._room.release()

    def submit(self, job: JobFolder) -> None:
        """Start a job that lies in working/; its place was taken with `room`."""
        if self._tasks is None:
            raise RuntimeError("the engine does not serve")
        if self._stop.is_set():
            self._room.release()  # it lies in working/ and goes on at the next start
            return
        if job.name in self._owned:
            self._room.release()
            self._unfinished += 1
            self._tasks.start_soon(self._run_after, job, name=job.name)
            return
        self._own(job)
        self._tasks.start_soon(self._run, job, name=job.name)

    @property
    def is_busy(self) -> bool:
        """Say whether any place is taken: by an attempt that runs, not by a job that pauses between two of them."""
        return self._room.is_lent

    async def drained(self) -> None:
        """Wait until no submitted job is unfinished."""
        while self._unfinished:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _run(self, job: JobFolder) -> None:
        self._observer(Progress(job, State.WORKING))
        held = True
        try:
            while not self._stop.is_set():
                delay = await self._try(job)
                if delay is None:
                    return
                self._room.release()
                held = False
                await self._pause(delay)
                await self._room.acquire()
                held = True
        except Exception:  # a damaged trace, a folder in the way: this job stays in working/, the others go on
            log.exception("job.left", job=job.name, hint="it goes on at the next start")
        finally:
            self._started.pop(job.name, None)
            self._owned.pop(job.name).set()
            self.storage.left(job.name)
            if held:
                self._room.release()
            self._ended()

    async def _pause(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._stop.wait()

    def storage_failed(self, who: str, error: OSError | StorageFault) -> bool:
        """Take note that `who` could not write; say whether it is worth to wait for the disk."""
        fault = storage_fault(error) if isinstance(error, OSError) else error
        if fault is None:
            return False
        self.storage.failed(who, fault)
        if self._ends_without_host:
            self.host_lost = fault
            self.stop()
        return True

    async def _try(self, job: JobFolder) -> float | None:
        """Make one attempt; a disk that fails ends it at no charge, for the job goes on from its trace."""
        if not job.path.is_dir() and self._outbox.root.is_dir():
            log.warning("job.vanished", job=job.name, hint="somebody moved or removed its folder")
            return None
        try:
            delay = await self._attempt(job)
        except (OSError, StorageFault) as error:
            if not self.storage_failed(job.name, error):
                raise
            return self._retry.first_delay_seconds
        self.storage.worked(job.name)
        return delay

    async def _attempt(self, job: JobFolder) -> float | None:
        """Make one attempt; return None when the job is finished, else the pause before the next in seconds."""
        opened = await anyio.to_thread.run_sync(self._open, job)
        record, claim = opened.record, opened.record.claim
        if claim is None:
            raise RuntimeError(f"{job.path} has a trace without a claim")
        if record.finished is not None:
            return await self._finish_again(job, claim, record)
        if record.retry_at and (pause := seconds_between(utc_now(), record.retry_at)) > _PUNCTUAL_SECONDS:
            return min(pause, self._retry.longest_delay_seconds)  # an earlier process scheduled it
        return await self._live(opened, claim)

    def _open(self, job: JobFolder) -> OpenJob:
        """Read the trace; of a job that has just come the attempt begins here, for nothing else is to be done first."""
        trace = self._outbox.trace(job)
        trace.mend()
        opened = OpenJob(job, trace, job.record())
        if self._begins_at_once and self._ready is None and opened.is_new:
            opened.append_here([_started(opened.record)])
            self._started[job.name] = opened.record.attempts
            opened.has_begun = True
        return opened

    async def _live(self, opened: OpenJob, claim: Claim) -> float | None:
        """Run the job's session here, from its first step that is not on record."""
        if not opened.has_begun and not await self._begin(opened, claim):
            return None
        journal = self._journal(opened, attempt=opened.record.attempts)
        return await self._guarded(opened, journal, claim, charged=opened.record.charged)

    async def _begin(self, opened: OpenJob, claim: Claim) -> bool:
        """Begin the next attempt; a job that has none left is finished instead."""
        job, record = opened.folder, opened.record
        if record.running and self._started.get(job.name) == record.attempts:
            # Only a failing disk leaves an attempt of this very process open.
            await opened.append([event("attempt.interrupted", attempt=record.attempts, reason="storage")])
        error = final_error(opened.record, attempts=self._retry.attempts)
        if error is not None:
            journal = self._journal(opened, attempt=record.attempts + 1)
            await self._finish(opened, journal, claim, outcome_of_failure(error))
            return False
        await self._make_ready()
        await opened.append([_started(opened.record)])
        self._started[job.name] = opened.record.attempts
        return True

    def _journal(self, opened: OpenJob, *, attempt: int = 0) -> Journal:
        return open_journal(
            opened.record, opened.append, attempt=attempt, include_text=self._include_text, joins_last=True
        )

    async def _make_ready(self) -> None:
        async with self._readying:
            if self._ready is not None:
                await self._ready()
            self._ready = None

    async def _guarded(self, opened: OpenJob, journal: Journal, claim: Claim, *, charged: int) -> float | None:
        ended = await self._attempts.make(opened.folder, claim, journal, charged=charged)
        return await self._after(opened, journal, claim, ended)

    async def _after(self, opened: OpenJob, journal: Journal, claim: Claim, ended: Ended | Again) -> float | None:
        """Do what follows on an attempt; return the pause before the next in seconds, None after the last."""
        if isinstance(ended, Ended):
            await self._finish(opened, journal, claim, ended.outcome)
            return None
        if isinstance(ended.error, HostFault | HostRefuses) and self._ends_without_host:
            self.host_lost = ended.error
            self.stop()
        return ended.delay_seconds

    async def _finish(self, opened: OpenJob, journal: Journal, claim: Claim, outcome: Outcome) -> None:
        await self._open_parts(opened.folder, claim, outcome)
        last = journal.taken(finished_event(outcome, attempt=journal.attempt))

        def conclude() -> JobFolder:
            opened.append_here(last)
            return self._published(opened.folder, opened.record, outcome)

        self._tell(await anyio.to_thread.run_sync(conclude))

    async def _open_parts(self, job: JobFolder, claim: Claim, outcome: Outcome) -> None:
        for pages in outcome.parts:
            await self._open_part(job, part_of(claim, pages))

    async def _open_part(self, parent: JobFolder, claim: Claim) -> None:
        """Make a job for one invoice of a file that holds several, and see to it that it gets its turn."""
        with anyio.CancelScope(shield=True):  # what is made and not submitted would lie until the next start
            part = await anyio.to_thread.run_sync(self._outbox.open_part, parent, claim)
            if part.state is not State.WORKING or part.name in self._owned or self._tasks is None:
                return
            log.info("job.split_off", job=part.name, parent=parent.name)
            self._own(part)
            self._tasks.start_soon(self._run_in_turn, part, name=part.name)

    def _own(self, job: JobFolder) -> None:
        self._owned[job.name] = anyio.Event()
        self._unfinished += 1

    def _ended(self) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()

    async def _run_in_turn(self, job: JobFolder) -> None:
        """Run a job that no place was taken for."""
        await self._room.acquire()
        await self._run(job)

    async def _run_after(self, job: JobFolder) -> None:
        """Run a job that was opened again before its last run had quite ended; one that went on already is left."""
        while (owned := self._owned.get(job.name)) is not None:
            await owned.wait()
        if self._stop.is_set() or not job.path.is_dir():
            self._ended()
            return
        self._owned[job.name] = anyio.Event()
        await self._run_in_turn(job)

    async def _finish_again(self, job: JobFolder, claim: Claim, record: JobRecord) -> float | None:
        """Repeat what a crash cut off between the trace's last event and the rename."""
        finished = record.finished or {}
        if not await anyio.to_thread.run_sync(stale, job, record):
            await self._settle(job, State(finished["status"]))
        elif finished.get("error"):
            await self._publish(job, outcome_of_failure(finished["error"]))
        else:
            opened = OpenJob(job, self._outbox.trace(job), record)
            return await self._guarded(opened, self._journal(opened), claim, charged=record.charged)
        return None

    async def _publish(self, job: JobFolder, outcome: Outcome) -> None:
        self._tell(await anyio.to_thread.run_sync(lambda: self._published(job, job.record(), outcome)))

    def _published(self, job: JobFolder, record: JobRecord, outcome: Outcome) -> JobFolder:
        assert record.claim is not None  # no attempt is made without one
        result = compose(record, outcome, prompts=self._body.prompts_version(record.claim.agent))
        return self._outbox.publish(job, outcome.status, result, claim=record.claim)

    async def _settle(self, job: JobFolder, state: State) -> None:
        self._tell(await anyio.to_thread.run_sync(self._outbox.settle, job, state))

    def _tell(self, job: JobFolder) -> None:
        self.counts[job.state] += 1
        log.info("job.finished", job=job.name, status=job.state.value)
        self._observer(Progress(job, job.state))


def _started(record: JobRecord) -> Event:
    return event("attempt.started", attempt=record.attempts + 1, recorded_steps=len(record.steps))
