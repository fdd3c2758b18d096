"""From files to jobs: look, wait until a file has rested, claim it, hand it to the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
import structlog

from pipeline.engine.seam import Engine
from pipeline.errors import StorageFault, TraceDamaged
from pipeline.inbox import Ignored, IntakeSettings, Listing, Seen, Settling, list_inbox
from pipeline.job import State
from pipeline.llm.hosts import HostState
from pipeline.outbox import Claimed, ClaimOutcome, Duplicate, NotClaimed, Outbox

log = structlog.get_logger()

_INTAKE = "intake"
_LOOK_WHILE_PAUSED_SECONDS = 1.0
# A claim waits for the disk about ten times, which a busy disk makes long. More at once than this were measured to be
# slower: they bring the jobs into step, and these then want the processor at the same moments.
_CLAIMS_AT_ONCE = 2


class Hosts(Protocol):
    """Say whether any model server may take calls."""

    @property
    def absence(self) -> HostState | None:
        """Return what is known of them while none does."""
        ...

    async def glance(self) -> None:
        """Have a first look at them."""
        ...


class Intake:
    """Claim what has rested in the inbox; never more than the engine has room for.

    While all model servers are away or refuse us, one job waits for them and all other files stay where they are.
    """

    def __init__(
        self,
        inbox: Path,
        outbox: Outbox,
        engine: Engine,
        *,
        settings: IntakeSettings,
        agents: Mapping[str, Collection[str]],
        hosts: Hosts | None = None,
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._engine = engine
        self._settings = settings
        self._agents = agents
        self._settling = Settling(settings)
        self._ignored: dict[Path, str] = {}
        self._not_claimed: dict[Path, str] = {}
        self._inbox_lost = False
        self._hosts = hosts
        self._glanced = False
        self._absence: HostState | None = None
        self._claimers = anyio.CapacityLimiter(_CLAIMS_AT_ONCE)
        self._may_claim = True

    async def take_in(self) -> float:
        """Look once and claim what has rested; return in how many seconds another look may find more."""
        if self._hosts is not None and not self._glanced:
            await self._hosts.glance()
            self._glanced = True
        wait = await self._take_ready(await self._listing(), is_paused=self._is_paused)
        return min(wait or self._settings.rescan_seconds, self._settings.rescan_seconds)

    async def take_in_once(self) -> None:
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

    async def claim_copy(self, path: Path, agent: str) -> ClaimOutcome:
        """Claim a copy of the file and submit its job, whose place in the engine has been taken.

        A job that an earlier process left unfinished is gone on with.
        """
        return await self._submitted(path, lambda: self._outbox.claim(path, agent, keep=True), goes_on=True)

    def _claim_seen(self, seen: Seen) -> ClaimOutcome:
        if seen.returned:
            return self._outbox.adopt(seen.path)
        # The place in the engine may have been long in coming: only what is still as it was has rested.
        if seen.has_changed():
            return NotClaimed("changed while it waited for its turn")
        return self._outbox.claim(seen.path, seen.agent)

    async def _submitted(self, path: Path, claim: Callable[[], ClaimOutcome], *, goes_on: bool = False) -> ClaimOutcome:
        """Make the claim and submit its job; the place in the engine was taken first, so nothing piles up."""
        submitted = False
        try:
            with anyio.CancelScope(shield=True):  # a claim is seconds at most, and never left half done
                outcome = await anyio.to_thread.run_sync(claim, limiter=self._claimers)
                submitted = self._submit(path, outcome, goes_on=goes_on)
        finally:
            if not submitted:
                self._engine.give_back_room()
        return outcome

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

    def _is_paused(self) -> bool:
        """Say whether files are to stay in the inbox; what waits for the host finds out when it is back."""
        absence = self._hosts.absence if self._hosts else None
        if absence is not None and self._absence is None:
            log.warning("intake.paused", reason=absence.reason, hint=absence.hint, will="go on by itself")
        elif absence is None and self._absence is not None:
            log.info("intake.resumed")
        self._absence = absence
        return absence is not None and self._engine.is_busy

    async def _take_ready(
        self,
        listing: Listing,
        *,
        only: Collection[Path] | None = None,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Claim what has rested; return in how many seconds another look may find more."""
        files = [seen for seen in listing.files if only is None or seen.path in only]
        decision = self._settling.observe(files, now=anyio.current_time())
        self._not_claimed = {seen.path: why for seen in files if (why := self._not_claimed.get(seen.path))}
        if self._engine.storage.is_lost_to_others(_INTAKE):
            return None
        self._may_claim = True
        async with anyio.create_task_group() as tasks:
            for seen in decision.ready:
                if is_paused():
                    return _LOOK_WHILE_PAUSED_SECONDS
                if self._engine.host_lost or not self._may_claim:
                    return None
                await self._engine.room()
                tasks.start_soon(self._take, seen)
        is_paused()  # the return of a host is told also when nothing waits for it
        return decision.look_again_seconds if self._may_claim else None

    async def _take(self, seen: Seen) -> None:
        """Claim one file whose place in the engine is taken; a disk that fails stops the taking of further ones."""
        try:
            outcome = await self._submitted(seen.path, lambda: self._claim_seen(seen))
        except (OSError, StorageFault, TraceDamaged) as error:
            if not isinstance(error, TraceDamaged) and self._engine.storage_failed(_INTAKE, error):
                self._may_claim = False
                return
            outcome = NotClaimed(str(error))
            self._tell_not_claimed(seen.path, outcome)
        else:
            # Begun before another claim of this look failed, it says nothing of the disk now.
            if self._may_claim:
                self._engine.storage.worked(_INTAKE)
        if isinstance(outcome, NotClaimed):
            self._settling.forget(seen.path)

    def _submit(self, path: Path, outcome: ClaimOutcome, *, goes_on: bool) -> bool:
        match outcome:
            case Claimed(job):
                log.info("job.claimed", job=job.name, name=path.name)
                self._engine.submit(job)
                return True
            case Duplicate(job, reopened):
                log.info("file.duplicate", name=path.name, job=job.name, status=job.state.value, reopened=reopened)
                is_open = reopened or (goes_on and job.state is State.WORKING and job.path.is_dir())
                if is_open:
                    self._engine.submit(job)
                return is_open
            case NotClaimed():
                self._tell_not_claimed(path, outcome)
        return False

    def _tell_not_claimed(self, path: Path, outcome: NotClaimed) -> None:
        """Say once why a file stays; it is tried again at every look."""
        if self._not_claimed.get(path) != outcome.reason:
            log.warning("file.not_claimed", path=str(path), reason=outcome.reason, will="try again")
        self._not_claimed[path] = outcome.reason
