"""Jobs of lost workers are given to the others. It may err only towards a needless resume: late writes are fenced."""

from __future__ import annotations

from collections.abc import Collection

import structlog
from sqlalchemy import Engine, text

from pipeline.cluster.durable import JOBS, SUSPECTS, Cluster, Flow
from pipeline.cluster.presence import executors
from pipeline.job import fold
from pipeline.postgres import ClusterSettings, faults_of_storage

log = structlog.get_logger()

_RECOVERY_LOCK = "SELECT pg_try_advisory_xact_lock(7303, 2)"


class Recovery:
    """Look for jobs whose worker is lost; of all the workers that look only one acts."""

    def __init__(self, engine: Engine, cluster: Cluster, settings: ClusterSettings) -> None:
        self._engine = engine
        self._cluster = cluster
        self._settings = settings

    def look(self) -> None:
        """Take over what has to be. Blocks."""
        with faults_of_storage(), self._engine.begin() as connection:
            if not connection.execute(text(_RECOVERY_LOCK)).scalar():
                return
            running = self._cluster.running()
            present = self._present() if running else set()
            for flow in running:
                if flow.executor not in present:
                    self._take_over(flow)

    def release(self, executor: str) -> int:
        """Give back what an executor that ends in good order still holds; return how many jobs these are."""
        own = [flow.id for flow in self._cluster.running() if flow.executor == executor]
        if own:
            self._cluster.release(own)
        return len(own)

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
        """Say whether the lost attempt got nowhere: the job may be what brought its worker down.

        Suspects run one at a time in the whole cluster, so that one of them is never charged for another.
        """
        record = fold(one for kept in self._cluster.steps(flow.id) for one in kept.output.get("events", ()))
        return record.running and not record.progressed
