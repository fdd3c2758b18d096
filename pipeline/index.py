"""An index of jobs in the outbox's database: quick look-ups, never the truth; it can be rebuilt from the folders."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column as Col
from sqlalchemy import Connection, Engine, Float, MetaData, String, Table, func, select, update
from sqlalchemy.dialects.sqlite import insert

from pipeline.job import DIGEST_LENGTH, Claim

_METADATA = MetaData()
_JOBS = Table(
    "jobs",
    _METADATA,
    Col("digest", String, primary_key=True),
    Col("job", String, nullable=False, index=True),
    Col("agent", String, nullable=False),
    Col("name", String, nullable=False),
    Col("received_at", String, nullable=False),
    Col("status", String),
    Col("finished_at", String, index=True),
    Col("seconds", Float),
)


class JobIndex:
    """Map content digests to jobs and remember when each finished."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _METADATA.create_all(engine)

    def is_new(self) -> bool:
        """Say whether the index knows nothing yet."""
        with self._engine.connect() as connection:
            return connection.execute(select(_JOBS.c.job).limit(1)).first() is None

    def rebuild(self, jobs: Iterable[tuple[Claim, dict[str, Any] | None]]) -> None:
        """Fill the index from claims and results, wholly or not at all: a part would pass for the whole."""
        with self._engine.begin() as connection:
            for claim, result in jobs:
                _claimed(connection, claim.job[-DIGEST_LENGTH:], claim)
                if result:
                    _finished(connection, claim.job, status=result["status"], finished_at=result["finished_at"])

    def claimed(self, digest: str, claim: Claim) -> None:
        """Remember which job was made of that content."""
        with self._engine.begin() as connection:
            _claimed(connection, digest, claim)

    def finished(self, job: str, *, status: str, finished_at: str) -> None:
        """Remember how and when the job ended."""
        with self._engine.begin() as connection:
            _finished(connection, job, status=status, finished_at=finished_at)

    def job_of(self, digest: str) -> str | None:
        """Return the name of the job made of that content."""
        with self._engine.connect() as connection:
            return connection.execute(select(_JOBS.c.job).where(_JOBS.c.digest == digest)).scalar()

    def latest_finishes(self, limit: int) -> list[str]:
        """Return the times of the jobs that finished last, newest first."""
        with self._engine.connect() as connection:
            query = select(_JOBS.c.finished_at).where(_JOBS.c.finished_at.is_not(None))
            return list(connection.execute(query.order_by(_JOBS.c.finished_at.desc()).limit(limit)).scalars())

    def finished_within(self, seconds: float) -> int:
        """Return how many jobs finished in the last so many seconds."""
        since = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
        with self._engine.connect() as connection:
            query = select(func.count()).where(_JOBS.c.finished_at >= since.replace("+00:00", "Z"))
            return int(connection.execute(query).scalar_one())


def _claimed(connection: Connection, digest: str, claim: Claim) -> None:
    row = {
        "digest": digest,
        "job": claim.job,
        "agent": claim.agent,
        "name": claim.name,
        "received_at": claim.received_at,
    }
    statement = insert(_JOBS).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=row))


def _finished(connection: Connection, job: str, *, status: str, finished_at: str) -> None:
    connection.execute(update(_JOBS).where(_JOBS.c.job == job).values(status=status, finished_at=finished_at))
