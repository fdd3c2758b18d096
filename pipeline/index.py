"""An index of jobs in the outbox's database: quick look-ups, never the truth; it can be rebuilt from the folders.

A job comes into it at the latest when it ends: one in working/ is known by its folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column as Col
from sqlalchemy import Connection, Engine, Float, Index, MetaData, String, Table, bindparam, func, select, update
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
# Made once: to make a statement takes longer than to carry it out.
_JOB_OF = select(_JOBS.c.job).where(_JOBS.c.digest == bindparam("digest"))
_CLAIMED = insert(_JOBS)
_CLAIMED = _CLAIMED.on_conflict_do_update(
    index_elements=["digest"],
    set_={name: _CLAIMED.excluded[name] for name in ("job", "agent", "name", "received_at")},
)
_FINISHED = (
    update(_JOBS)
    .where(_JOBS.c.job == bindparam("of_job"))
    .values(status=bindparam("ended"), finished_at=bindparam("ended_at"))
)
# What waits for a person is found without a look at all that is done.
_BY_STATUS = Index("ix_jobs_status_finished_at", _JOBS.c.status, _JOBS.c.finished_at)


class JobIndex:
    """Map content digests to jobs and remember when each finished.

    What several threads write at the same time is committed together: a commit waits for the disk several times.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._adding, self._writing = threading.Lock(), threading.Lock()
        self._waiting: list[_Change] = []
        with engine.begin() as connection:
            _METADATA.create_all(connection)
            _BY_STATUS.create(connection, checkfirst=True)  # the table of an earlier release lacks it

    def is_new(self) -> bool:
        """Say whether the index knows nothing yet."""
        with self._reading() as connection:
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
        self._write(lambda connection: _claimed(connection, digest, claim))

    def finished(self, job: str, *, status: str, finished_at: str, claim: Claim | None = None) -> None:
        """Remember how and when the job ended; with its claim also which content it was made of."""

        def write(connection: Connection) -> None:
            if claim is not None:
                _claimed(connection, claim.job[-DIGEST_LENGTH:], claim)
            _finished(connection, job, status=status, finished_at=finished_at)

        self._write(write)

    def job_of(self, digest: str) -> str | None:
        """Return the name of the job made of that content."""
        with self._reading() as connection:
            return connection.execute(_JOB_OF, {"digest": digest}).scalar()

    def latest_finishes(self, limit: int) -> list[str]:
        """Return the times of the jobs that finished last, newest first."""
        with self._reading() as connection:
            query = select(_JOBS.c.finished_at).where(_JOBS.c.finished_at.is_not(None))
            return list(connection.execute(query.order_by(_JOBS.c.finished_at.desc()).limit(limit)).scalars())

    def latest(self, status: str, limit: int) -> list[str]:
        """Return the names of the jobs that ended so, newest first."""
        with self._reading() as connection:
            query = select(_JOBS.c.job).where(_JOBS.c.status == status)
            return list(connection.execute(query.order_by(_JOBS.c.finished_at.desc()).limit(limit)).scalars())

    def finished_within(self, seconds: float) -> int:
        """Return how many jobs finished in the last so many seconds."""
        since = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
        with self._reading() as connection:
            query = select(func.count()).where(_JOBS.c.finished_at >= since.replace("+00:00", "Z"))
            return int(connection.execute(query).scalar_one())

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reads_only=True)

    def _write(self, make: Callable[[Connection], None]) -> None:
        """Return when the change is committed: by this thread, or by one that took it along."""
        own = _Change(make)
        with self._adding:
            self._waiting.append(own)
        with self._writing:
            if not own.is_over:
                with self._adding:
                    batch, self._waiting = self._waiting, []
                self._commit(batch)
        if own.error is not None:
            raise own.error

    def _commit(self, batch: list[_Change]) -> None:
        error: Exception | None = None
        try:
            with self._engine.begin() as connection:
                for one in batch:
                    one.make(connection)
        except Exception as caught:  # noqa: BLE001 - raised in each thread whose change it was
            error = caught
        for one in batch:
            one.is_over, one.error = True, error


@dataclass
class _Change:
    make: Callable[[Connection], None]
    is_over: bool = False
    error: Exception | None = None


def _claimed(connection: Connection, digest: str, claim: Claim) -> None:
    row = {
        "digest": digest,
        "job": claim.job,
        "agent": claim.agent,
        "name": claim.name,
        "received_at": claim.received_at,
    }
    connection.execute(_CLAIMED, row)


def _finished(connection: Connection, job: str, *, status: str, finished_at: str) -> None:
    connection.execute(_FINISHED, {"of_job": job, "ended": status, "ended_at": finished_at})
