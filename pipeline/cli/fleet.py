"""The commands of a cluster: `worker` and `migrate`."""

from __future__ import annotations

from pipeline.cli.tables import notes
from pipeline.config import Settings
from pipeline.postgres import missing_extra


async def run_worker(settings: Settings, host: str, *, slots: int | None) -> int:
    """Be a worker until told to stop; return the exit code."""
    try:
        from pipeline.cluster.worker_parts import host_named, work  # noqa: PLC0415 - loads what only clusters need
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    await work(settings, host_named(host, settings), most=slots)
    return 0


def migrate_cluster(settings: Settings) -> None:
    """Prepare the database, and say so."""
    try:
        from pipeline.cluster.migration import migrate_database  # noqa: PLC0415 - loads what only clusters need
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    number = migrate_database(settings.cluster)
    notes.print(f"the database has schema {number}; hub and workers may start")
