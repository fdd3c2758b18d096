"""The daemon: look into the inbox, claim what has rested, hand it to the engine, stop in good order."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from pipeline.engine.files import FileEngine
from pipeline.errors import JobNotFound, StorageFault
from pipeline.inbox import Ignored, IntakeSettings, Listing, Seen, Settling, list_inbox
from pipeline.job import State
from pipeline.outbox import Claimed, ClaimOutcome, Duplicate, JobFolder, NotClaimed, Outbox, was_cut_short
from pipeline.requests import Requests
from pipeline.watch import hints

log = structlog.get_logger()

_INTAKE = "intake"


class Service:
    """Turn files into jobs until told to stop."""

    def __init__(
        self,
        inbox: Path,
        outbox: Outbox,
        engine: FileEngine,
        *,
        settings: IntakeSettings,
        agents: Mapping[str, Collection[str]],
        grace_seconds: float,
        requests: Requests,
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._engine = engine
        self._settings = settings
        self._agents = agents
        self._grace_seconds = grace_seconds
        self._requests = requests
        self._settling = Settling(settings)
        self._ignored: dict[Path, str] = {}
        self._not_claimed: dict[Path, str] = {}
        self._inbox_lost = False
        self._look = anyio.Event()
        self.stop = anyio.Event()

    async def serve(self, *, once: bool = False) -> None:
        """Run until `stop` is set, or with `once` until what lay in the inbox at the start is worked off.

        The first SIGINT or SIGTERM drains: no new claims, running sessions get the grace time. The second interrupts.
        """
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen_for_signals, tasks.cancel_scope)
            await tasks.start(self._engine.serve)
            log.info("service.started", inbox=str(self._inbox), outbox=str(self._outbox.root))
            if not once:
                tasks.start_soon(self._watch)
            await self._until_stopped(self._recover)
            await self._until_stopped(self._take_in_once if once else self._take_in)
            await self._drain()
            tasks.cancel_scope.cancel()

    async def run(self, files: Collection[tuple[Path, str]]) -> list[str]:
        """Work off these files, given with their agents, copied and not moved; return their jobs' names in order."""
        names: list[str] = []

        async def claim_all() -> None:
            for path, agent in files:
                outcome = await self._claim(path, agent, keep=True)
                if not isinstance(outcome, NotClaimed):
                    names.append(outcome.job.name)

        await self._work_off(claim_all)
        return names

    async def replay(self, jobs: Collection[str], *, fresh: bool) -> list[str]:
        """Work off these finished jobs again; return the names of those that were taken."""
        names: list[str] = []

        async def reopen_all() -> None:
            names.extend([name for name in jobs if await self.reopen(name, fresh=fresh)])

        await self._work_off(reopen_all)
        return names

    async def _work_off(self, submit_all: Callable[[], Awaitable[None]]) -> None:
        async def work() -> None:
            await submit_all()
            await self._engine.drained()

        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen_for_signals, tasks.cancel_scope)
            await tasks.start(self._engine.serve)
            await self._until_stopped(work)
            await self._drain()
            tasks.cancel_scope.cancel()

    async def _listen_for_signals(
        self, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                if self.stop.is_set():
                    log.warning("service.interrupted", signal=signal.Signals(number).name)
                    scope.cancel()
                    return
                log.info("service.draining", signal=signal.Signals(number).name, grace_seconds=self._grace_seconds)
                self.stop.set()
                self._look.set()

    async def _until_stopped(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run the function; leave it where it stands as soon as the service is to stop."""
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await self.stop.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await function()
            tasks.cancel_scope.cancel()

    async def _drain(self) -> None:
        self._engine.stop()
        with anyio.move_on_after(self._grace_seconds) as scope:
            await self._engine.drained()
        if scope.cancelled_caught:
            log.warning("service.grace_ended", grace_seconds=self._grace_seconds)

    async def _watch(self) -> None:
        retry = self._settings.rescan_seconds
        async for _ in hints(self._inbox, self.stop, polling=self._settings.polling, retry_seconds=retry):
            self._look.set()

    async def _recover(self) -> None:
        """Go on with what an earlier process left unfinished.

        Jobs whose last attempt died before it got anywhere go first and one by one, those with the fewest such deaths
        before the others: if one of them kills the daemon, it does so alone and is charged alone.
        """
        suspects, others = await anyio.to_thread.run_sync(self._unfinished)
        for job in suspects:
            await self._go_on(job)
            await self._engine.drained()
        for job in others:
            await self._go_on(job)

    def _unfinished(self) -> tuple[list[JobFolder], list[JobFolder]]:
        suspects: list[tuple[int, JobFolder]] = []
        others: list[JobFolder] = []
        for job in list(self._outbox.jobs(State.WORKING)):
            deaths = 0
            try:
                if was_cut_short(job):
                    self._outbox.abandon(job)
                    continue
                record = job.record()
                deaths = record.charged if record.running and not record.progressed else 0
            except (OSError, ValueError, KeyError) as error:  # the engine says what is wrong with it
                log.warning("job.unreadable", job=job.name, error=str(error))
            (suspects.append((deaths, job)) if deaths else others.append(job))
        return [job for _, job in sorted(suspects, key=lambda one: one[0])], others

    async def _go_on(self, job: JobFolder) -> None:
        await self._engine.room()
        log.info("job.recovered", job=job.name)
        self._engine.submit(job)

    async def _take_in(self) -> None:
        while True:
            self._look = anyio.Event()
            await self._grant_requests()
            wait = await self._take_ready(await self._listing())
            with anyio.move_on_after(min(wait or self._settings.rescan_seconds, self._settings.rescan_seconds)):
                await self._look.wait()

    async def _take_in_once(self) -> None:
        """Take what is there now; a file that never rests is left after the time an unfinished PDF is given."""
        first = {seen.path for seen in (await self._listing()).files}
        patience = self._settings.settle_seconds + self._settings.unfinished_pdf_seconds + 1
        progress_at = anyio.current_time()
        while first and self._engine.host_lost is None:
            wait = await self._take_ready(await self._listing(), only=first)
            left = first & {seen.path for seen in (await self._listing()).files}
            if left != first:
                first, progress_at = left, anyio.current_time()
            if not first or anyio.current_time() - progress_at > patience:
                break
            await anyio.sleep(min(wait or self._settings.rescan_seconds, self._settings.rescan_seconds))
        lost = self._engine.host_lost
        reason = lost.message if lost else "it keeps changing or cannot be taken"
        for path in first:
            log.warning("file.left", path=str(path), reason=reason)
        await self._engine.drained()

    async def _grant_requests(self) -> None:
        """Try again the finished jobs that another process asked for."""
        try:
            for request in await anyio.to_thread.run_sync(lambda: list(self._requests.waiting())):
                await self.reopen(request.job, fresh=request.fresh)
                await anyio.to_thread.run_sync(self._requests.done, request)
        except (OSError, StorageFault) as error:
            if not self._engine.storage_failed(_INTAKE, error):
                log.error("request.left", error=str(error), will="try again")

    async def reopen(self, name: str, *, fresh: bool) -> bool:
        """Take a finished job back into work; say whether it was there and finished."""
        try:
            job = await anyio.to_thread.run_sync(self._outbox.find, name)
        except JobNotFound as error:
            log.warning("request.refused", job=name, reason=error.message)
            return False
        if job.state is State.WORKING:
            log.warning("request.refused", job=name, reason="the job is being worked on")
            return False
        await self._engine.room()
        submitted = False
        try:
            with anyio.CancelScope(shield=True):
                job = await anyio.to_thread.run_sync(
                    lambda: self._outbox.reopen(job, reason="replay was asked for", fresh=fresh)
                )
                log.info("job.reopened", job=job.name, fresh=fresh)
                self._engine.submit(job)
                submitted = True
        finally:
            if not submitted:
                self._engine.give_back_room()
        return True

    async def _listing(self) -> Listing:
        try:
            listing = await anyio.to_thread.run_sync(list_inbox, self._inbox, self._agents)
        except OSError as error:
            if not self._inbox_lost:
                log.error("inbox.lost", folder=str(self._inbox), error=error.strerror, hint="make the folder readable")
            self._inbox_lost = True
            return Listing()
        if self._inbox_lost:
            log.info("inbox.found", folder=str(self._inbox))
        self._inbox_lost = False
        self._tell_ignored(listing.ignored)
        return listing

    def _tell_ignored(self, ignored: Collection[Ignored]) -> None:
        now = {one.path: one.reason for one in ignored}
        for path, reason in now.items():
            if self._ignored.get(path) != reason:
                log.warning("file.ignored", path=str(path), reason=reason)
        self._ignored = now

    async def _take_ready(self, listing: Listing, *, only: Collection[Path] | None = None) -> float | None:
        """Claim what has rested; return in how many seconds another look may find more."""
        files = [seen for seen in listing.files if only is None or seen.path in only]
        decision = self._settling.observe(files, now=anyio.current_time())
        self._not_claimed = {seen.path: why for seen in files if (why := self._not_claimed.get(seen.path))}
        if self._engine.storage.is_lost_to_others(_INTAKE):
            return None
        for seen in decision.ready:
            if not await self._take(seen):
                return None
        return decision.look_again_seconds

    async def _take(self, seen: Seen) -> bool:
        """Claim one file; say whether the disk allows to take the next."""
        try:
            outcome = await self._claim(seen.path, seen.agent)
        except (OSError, StorageFault) as error:
            if self._engine.storage_failed(_INTAKE, error):
                return False
            outcome = NotClaimed(str(error))
            self._tell_not_claimed(seen.path, outcome)
        else:
            self._engine.storage.worked(_INTAKE)
        if isinstance(outcome, NotClaimed):
            self._settling.forget(seen.path)
        return True

    async def _claim(self, path: Path, agent: str, *, keep: bool = False) -> ClaimOutcome:
        """Claim one file and submit its job; the place in the engine is taken first, so nothing piles up."""
        await self._engine.room()
        submitted = False
        try:
            with anyio.CancelScope(shield=True):  # a claim is seconds at most, and never left half done
                outcome = await anyio.to_thread.run_sync(lambda: self._outbox.claim(path, agent, keep=keep))
                submitted = self._submit(path, outcome)
        finally:
            if not submitted:
                self._engine.give_back_room()
        return outcome

    def _submit(self, path: Path, outcome: ClaimOutcome) -> bool:
        match outcome:
            case Claimed(job):
                log.info("job.claimed", job=job.name, name=path.name)
                self._engine.submit(job)
                return True
            case Duplicate(job, reopened):
                log.info("file.duplicate", name=path.name, job=job.name, status=job.state.value, reopened=reopened)
                if reopened:
                    self._engine.submit(job)
                return reopened
            case NotClaimed():
                self._tell_not_claimed(path, outcome)
        return False

    def _tell_not_claimed(self, path: Path, outcome: NotClaimed) -> None:
        """Say once why a file stays; it is tried again at every look."""
        if self._not_claimed.get(path) != outcome.reason:
            log.warning("file.not_claimed", path=str(path), reason=outcome.reason, will="try again")
        self._not_claimed[path] = outcome.reason


def check_folders(inbox: Path, outbox: Path) -> str | None:
    """Say what is wrong with a pair of folders, or None."""
    inner, outer = inbox.resolve(), outbox.resolve()
    if inner == outer:
        return f"inbox and outbox are the same folder: {inner}"
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        return f"one folder lies inside the other: {inner} and {outer}"
    return None
