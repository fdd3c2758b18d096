"""The daemon: look into the inbox, claim what has rested, hand it to the engine, stop in good order."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog

from pipeline.correcting import Corrector
from pipeline.engine.seam import Engine
from pipeline.errors import JobNotFound, StorageFault, TraceDamaged
from pipeline.inbox import IntakeSettings
from pipeline.intake import Intake
from pipeline.job import State
from pipeline.outbox import Claimed, ClaimOutcome, Duplicate, JobFolder, NotClaimed, Outbox, was_cut_short
from pipeline.requests import Requests
from pipeline.watch import hints

log = structlog.get_logger()

_REQUESTS = "requests"


@dataclass(frozen=True)
class GivenFile:
    """Hold a file that was named for `run`, and what became of it.

    A `known` one had a result already, or shares its content with a file named before it: nothing was done for it.
    """

    path: Path
    outcome: ClaimOutcome
    known: bool = False

    @property
    def job(self) -> str | None:
        """Return its job's name, None where it could not be taken."""
        return None if isinstance(self.outcome, NotClaimed) else self.outcome.job.name


class Service:
    """Turn files into jobs until told to stop."""

    def __init__(
        self,
        inbox: Path,
        outbox: Outbox,
        engine: Engine,
        *,
        intake: Intake,
        settings: IntakeSettings,
        grace_seconds: float,
        requests: Requests,
        corrector: Corrector | None = None,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._engine = engine
        self._settings = settings
        self._grace_seconds = grace_seconds
        self._requests = requests
        self._corrector = corrector
        self._beside = beside
        self._intake = intake
        self._look = anyio.Event()
        self.stop = anyio.Event()

    async def serve(self, *, once: bool = False) -> None:
        """Run until `stop` is set, or with `once` until what lay in the inbox at the start is worked off.

        The first SIGINT or SIGTERM drains: no new claims, running sessions get the grace time. The second interrupts.
        """
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen_for_signals, tasks.cancel_scope)
            await tasks.start(self._engine.serve)
            for function in self._beside:
                tasks.start_soon(function)
            log.info("service.started", inbox=str(self._inbox), outbox=str(self._outbox.root))
            if not once:
                tasks.start_soon(self._watch)
            await self._until_stopped(self._recover)
            await self._until_stopped(self._intake.take_in_once if once else self._take_in)
            await self._drain()
            tasks.cancel_scope.cancel()

    async def run(self, files: Collection[tuple[Path, str]]) -> list[str]:
        """Work off these files, given with their agents, copied and not moved; return their jobs' names in order."""
        return [one.job for one in await self.take(files) if one.job]

    async def take(
        self, files: Collection[tuple[Path, str]], *, passed: Callable[[], None] = lambda: None
    ) -> list[GivenFile]:
        """Work off these files, given with their agents, copied and not moved; return what became of each, in order.

        `passed` is called for each that there is nothing to do for.
        """
        outcomes: dict[int, ClaimOutcome] = {}

        async def claim(number: int, path: Path, agent: str) -> None:
            outcomes[number] = outcome = await self._intake.claim_copy(path, agent)
            if isinstance(outcome, NotClaimed) or _is_known(outcome, _begun(list(outcomes.values()))):
                passed()

        async def claim_all() -> None:
            async with anyio.create_task_group() as tasks:
                for number, (path, agent) in enumerate(files):
                    await self._engine.room()
                    tasks.start_soon(claim, number, path, agent)

        await self._work_off(claim_all)
        begun = _begun(list(outcomes.values()))
        return [
            GivenFile(path, outcomes[number], known=_is_known(outcomes[number], begun))
            for number, (path, _) in enumerate(files)
            if number in outcomes
        ]

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
            for function in self._beside:
                tasks.start_soon(function)
            await self._until_stopped(work)
            await self._drain()
            tasks.cancel_scope.cancel()

    async def _listen_for_signals(
        self, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        if sys.platform == "win32":  # asyncio has no signal handlers there: Ctrl-C cancels everything at once
            task_status.started()
            return
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
        await self._make_corrections()
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
                deaths = record.charged if record.is_suspect else 0
            except (OSError, ValueError, KeyError, TraceDamaged) as error:  # the engine says what is wrong with it
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
            await self._make_corrections()
            with anyio.move_on_after(await self._intake.take_in()):
                await self._look.wait()

    async def _grant_requests(self) -> None:
        """Try again the finished jobs that another process asked for."""
        try:
            for request in await anyio.to_thread.run_sync(lambda: list(self._requests.waiting())):
                await self.reopen(request.job, fresh=request.fresh)
                await anyio.to_thread.run_sync(self._requests.done, request)
        except (OSError, StorageFault) as error:
            if not self._engine.storage_failed(_REQUESTS, error):
                log.error("request.left", error=str(error), will="try again")

    async def _make_corrections(self) -> None:
        """Make the corrections that another process asked for, and those that a crash cut short."""
        if self._corrector is None:
            return
        try:
            # Not left half done: what is begun is over in a second.
            with anyio.CancelScope(shield=True):
                await self._corrector.make_all()
        except (OSError, StorageFault) as error:
            if not self._engine.storage_failed(_REQUESTS, error):
                log.error("request.left", error=str(error), will="try again")
        else:
            self._engine.storage.worked(_REQUESTS)

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
        except TraceDamaged as error:
            log.error("request.refused", job=name, reason=error.message, hint=error.hint)
            return False
        finally:
            if not submitted:
                self._engine.give_back_room()
        return True


def _begun(outcomes: Collection[ClaimOutcome]) -> set[str]:
    """Return the jobs that began with one of these claims."""
    new = {one.job.name for one in outcomes if isinstance(one, Claimed)}
    return new | {one.job.name for one in outcomes if isinstance(one, Duplicate) and one.reopened}


def _is_known(outcome: ClaimOutcome, begun: Collection[str]) -> bool:
    match outcome:
        case Duplicate(job, reopened=False):
            return job.state is not State.WORKING or job.name in begun
    return False
