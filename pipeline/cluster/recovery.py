"""Jobs of lost workers are given to the others. It may err only towards a needless resume: late writes are fenced.

A job can also be lost by a worker that lives: the engine claims it, and before it is told so its connection breaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, text

from pipeline.cluster.durable import JOBS, SUSPECTS, Cluster, Flow
from pipeline.cluster.presence import executors, is_settled
from pipeline.cluster.steplog import EVENTS
from pipeline.job import fold
from pipeline.postgres import ClusterSettings, faults_of_storage

log = structlog.get_logger()

_RECOVERY_LOCK = "SELECT pg_try_advisory_xact_lock(7303, 2)"
_NOW = "SELECT extract(epoch FROM clock_timestamp())"


class _Claimed(NamedTuple):
    """Tell one claim of a workflow from the next, which comes after it was taken over."""

    flow: str
    resumes: int


class Recovery:
    """Look for jobs whose worker is lost; of all the workers that look only one acts.

    A job that was lost so often without getting further that one more time would be its last is a suspect: it may be
    what brings workers down. Suspects run one at a time in the whole cluster, so that none is charged for another.
    """

    def __init__(
        self, engine: Engine, cluster: Cluster, settings: ClusterSettings, *, executor: str, attempts: int
    ) -> None:
        self._engine = engine
        self._cluster = cluster
        self._settings = settings
        self._executor = executor
        self._suspect_at = max(1, attempts - 1)
        self._missed_since: dict[_Claimed, float] = {}

    def look(self, at_work: Callable[[], Collection[str]]) -> None:
        """Take over what has to be; `at_work` gives the workflows that this process really runs. Blocks.

        Who has what is asked under the lock: taken over a second time for one loss, a job would be charged twice.
        """
        settled = is_settled(self._engine, self._settings.grace_seconds)
        with faults_of_storage(), self._engine.begin() as connection:
            if not connection.execute(text(_RECOVERY_LOCK)).scalar():
                return
            running = self._cluster.running()
            # After that, for what was claimed and begun meanwhile is not missed.
            lost = self._missed(running, at_work())
            if settled and running:
                lost |= self._lost(running, now=float(connection.execute(text(_NOW)).scalar_one()))
            for flow in running:
                if flow.id in lost:
                    # If this process stood still meanwhile, the lock is gone, and this says so.
                    connection.execute(text(_NOW))
                    self._take_over(flow)

    def release(self) -> int:
        """Give back what this executor, which ends in good order, still holds; return how many jobs these are."""
        own = [flow.id for flow in self._cluster.running() if flow.executor == self._executor]
        if own:
            self._cluster.release(own)
        return len(own)

    def _missed(self, running: Iterable[Flow], at_work: Collection[str]) -> set[str]:
        """Return the own jobs that this process has claimed and, for the grace time, not begun."""
        now = time.monotonic()
        own = {
            _Claimed(flow.id, flow.resumes)
            for flow in running
            if flow.executor == self._executor and flow.id not in at_work
        }
        self._missed_since = {claimed: self._missed_since.get(claimed, now) for claimed in own}
        grace = self._settings.grace_seconds
        return {claimed.flow for claimed, since in self._missed_since.items() if now - since > grace}

    def _lost(self, running: Iterable[Flow], *, now: float) -> set[str]:
        """Return the jobs of workers that are not there.

        One that comes back may claim a job before it tells that it lives: it is given the grace time for that.
        """
        present, grace = self._present(), self._settings.grace_seconds
        return {flow.id for flow in running if flow.executor not in present and now - flow.claimed_at > grace}

    def _present(self) -> Collection[str]:
        grace, frozen = self._settings.grace_seconds, self._settings.frozen_seconds
        known = executors(self._engine)
        return {one.executor for one in known if not one.is_lost(grace_seconds=grace, frozen_seconds=frozen)}

    def _take_over(self, flow: Flow) -> None:
        if flow.resumes >= self._settings.resumes:
            log.error("job.stopped", job=flow.id, resumes=flow.resumes, worker=flow.executor)
            self._cluster.cancel(flow.id, reason=f"its worker was lost {flow.resumes + 1} times")
            return
        queue = SUSPECTS if self._is_suspect(flow) else JOBS
        log.warning("job.taken_over", job=flow.id, worker=flow.executor, resumes=flow.resumes + 1, queue=queue)
        self._cluster.resume(flow, queue=queue)

    def _is_suspect(self, flow: Flow) -> bool:
        record = fold(one for kept in self._cluster.steps(flow.id) for one in kept.output.get(EVENTS, ()))
        return record.is_suspect and record.charged >= self._suspect_at
