"""One look at the cluster, for `status` and `doctor`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from pipeline.cluster.durable import Cluster, Condition
from pipeline.cluster.presence import HUB, executors
from pipeline.errors import PipelineError
from pipeline.postgres import ClusterSettings, require_postgres


def survey(engine: Engine, settings: ClusterSettings) -> dict[str, Any]:
    """Return plain JSON: jobs queued and running, each worker, and what is wrong where the database cannot be asked."""
    found: dict[str, Any] = {"queued": None, "running": None, "workers": [], "error": None, "hint": ""}
    try:
        require_postgres(engine)
        cluster = Cluster(engine)
        counts = {"queued": cluster.count(Condition.WAITING), "running": cluster.count(Condition.RUNNING)}
        known = executors(engine)
    except PipelineError as error:
        return {**found, "error": error.message, "hint": error.hint}
    grace, frozen = settings.grace_seconds, settings.frozen_seconds
    workers = [
        {
            "worker": one.executor,
            "host": one.host,
            "places": one.places,
            "machine": one.machine,
            "pid": one.pid,
            "since": one.started_at.isoformat(timespec="seconds"),
            "silent_seconds": round(one.silent_seconds, 1),
            "lost": one.is_lost(grace_seconds=grace, frozen_seconds=frozen),
        }
        for one in known
        if one.executor != HUB
    ]
    return {**found, **counts, "workers": workers}
