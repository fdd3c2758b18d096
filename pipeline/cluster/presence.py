"""Who is there: every process of the cluster holds a lock that PostgreSQL frees when it dies, and tells that it lives.

The lock falls with the connection, so a dead process is known at once. The telling is for those that the lock cannot
speak of: a frozen process, or one behind a cut network, keeps its lock and falls silent. All times are the database's.
"""

from __future__ import annotations

import os
import socket
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import anyio
import anyio.to_thread
import structlog
from sqlalchemy import Column, Connection, DateTime, Engine, Integer, MetaData, Table, Text, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from pipeline.errors import PipelineError, StorageFault
from pipeline.postgres import ClusterSettings, faults_of_storage

log = structlog.get_logger()

HUB = "hub"
_EXECUTOR_LOCKS, _PLACE_LOCKS = 7301, 7302
_KEEP_SILENT_DAYS = 1
_THIS_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_SESSION = """
    SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE pid = CAST(:pid AS integer) AND backend_start = CAST(:backend_start AS timestamptz)
        AND pid <> pg_backend_pid()
"""
# With three looks in a grace time: one grace time.
_RESTS_AFTER_LOSS = 3

_metadata = MetaData()
_executors = Table(
    "pipeline_executors",
    _metadata,
    Column("executor", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("places", Integer, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("release", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


class Displaced(PipelineError):
    """While this process was cut off, others took what it had held."""


@dataclass(frozen=True)
class Executor:
    """Hold one process of the cluster as the others see it; `silent_seconds` since it last told that it lives."""

    executor: str
    host: str
    places: int
    machine: str
    pid: int
    started_at: datetime
    silent_seconds: float
    connected: bool

    def is_lost(self, *, grace_seconds: float, frozen_seconds: float) -> bool:
        """Say whether its jobs may be taken over: gone for the grace time, or silent for longer."""
        return self.silent_seconds > (frozen_seconds if self.connected else grace_seconds)


def create_tables(connection: Connection) -> None:
    """Create what is missing of the table of executors."""
    _metadata.create_all(connection)


class Presence:
    """Hold this process's lock and places on one connection of its own, and get them back after a loss."""

    def __init__(self, engine: Engine, executor: str, *, host: str, release: str) -> None:
        self._engine = engine
        self.executor = executor
        self._host = host
        self._release = release
        self._connection: Connection | None = None
        self._session: dict[str, object] = {"pid": None, "backend_start": None}
        # Places are taken while the telling goes on, in another thread.
        self._one_at_a_time = threading.RLock()
        self.places: frozenset[int] = frozenset()

    def enter(self) -> bool:
        """Take the lock and say who is there; return False where another process holds the same name."""
        with faults_of_storage():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # Behind a network that was cut, an earlier connection of ours may still stand at the server, with our lock.
            connection.execute(text(_END_SESSION), self._session)
            self._session = dict(connection.execute(text(_THIS_SESSION)).one()._mapping)
            if not _try_lock(connection, _EXECUTOR_LOCKS, self.executor):
                connection.close()
                return False
            self._connection = connection
            self._tell()
        return True

    def take_places(self, most: int, of: int) -> int:
        """Take up to so many of the host's places that no other worker holds; return how many these are."""
        with self._one_at_a_time, faults_of_storage():
            connection = self._held()
            for number in range(of):
                if len(self.places) >= most:
                    break
                if number not in self.places and _try_lock(connection, _PLACE_LOCKS, f"{self._host} {number}"):
                    self.places |= {number}
            self._tell()
        return len(self.places)

    async def keep(self, *, every_seconds: float, attend: Callable[[], None]) -> None:
        """Tell again and again that this process lives, and do what `attend` does; a lost database is waited for.

        `attend` rests for a while after a loss: the others may need as long to come back.
        Raises Displaced where somebody else holds the lock or a place when it is back.
        """
        lost, rests = False, 0
        while True:
            await anyio.sleep(every_seconds)
            try:
                await anyio.to_thread.run_sync(self._again if lost else self._tell, abandon_on_cancel=True)
                if not rests:
                    await anyio.to_thread.run_sync(attend, abandon_on_cancel=True)
            except StorageFault as fault:
                if not lost:
                    log.error("database.lost", error=fault.message, hint=fault.hint)
                lost, rests = True, _RESTS_AFTER_LOSS
                self._drop()
            else:
                if lost:
                    log.info("database.found")
                lost, rests = False, max(0, rests - 1)

    def leave(self) -> None:
        """Take the entry away and let go of the locks; a database that is away does it by itself."""
        if self._connection is None:
            return
        try:
            with faults_of_storage():
                self._connection.execute(delete(_executors).where(_executors.c.executor == self.executor))
                # Else they fall when the server has noticed the end, and others find them taken until then.
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
        except StorageFault as fault:
            log.warning("presence.not_ended", error=fault.message)
        self._drop()

    def _held(self) -> Connection:
        if self._connection is None or self._connection.invalidated:
            raise StorageFault("the connection to the database is lost", hint="it is made again by itself")
        return self._connection

    def _tell(self) -> None:
        values = {
            "executor": self.executor,
            "host": self._host,
            "places": len(self.places),
            "machine": socket.gethostname(),
            "pid": os.getpid(),
            "release": self._release,
            "seen_at": func.clock_timestamp(),
        }
        with self._one_at_a_time, faults_of_storage():
            statement = insert(_executors).values(values)
            self._held().execute(statement.on_conflict_do_update(index_elements=["executor"], set_=values))

    def _again(self) -> None:
        with self._one_at_a_time:
            if not self.enter():
                raise Displaced(f"another process has the name {self.executor}", hint="start this one again")
            with faults_of_storage():
                for number in self.places:
                    if not _try_lock(self._held(), _PLACE_LOCKS, f"{self._host} {number}"):
                        raise Displaced(f"another worker took a place of {self._host}", hint="start this one again")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def executors(engine: Engine) -> list[Executor]:
    """Return every process that told of itself; those that fell silent long ago are forgotten."""
    with faults_of_storage(), engine.begin() as connection:
        connection.execute(
            delete(_executors).where(
                _executors.c.seen_at < func.now() - text(f"interval '{_KEEP_SILENT_DAYS} days'"),
                _executors.c.executor != HUB,
            )
        )
        locked = set(
            connection.execute(
                text("SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = :kind AND granted"),
                {"kind": _EXECUTOR_LOCKS},
            ).scalars()
        )
        silent = func.extract("epoch", func.clock_timestamp() - _executors.c.seen_at).label("silent")
        rows = connection.execute(select(_executors, silent)).all()
    return [
        Executor(
            executor=row.executor,
            host=row.host,
            places=row.places,
            machine=row.machine,
            pid=row.pid,
            started_at=row.started_at,
            silent_seconds=float(row.silent),
            connected=_unsigned(row.executor) in locked,
        )
        for row in rows
    ]


def is_settled(engine: Engine, seconds: float) -> bool:
    """Say whether the database runs for so long that every process has had time to come back after its start."""
    query = text("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
    with faults_of_storage(), engine.connect() as connection:
        return float(connection.execute(query).scalar_one()) > seconds


def alive_workers(engine: Engine, settings: ClusterSettings) -> list[Executor]:
    """Return the workers that have a place at a model server and are not lost."""
    grace, frozen = settings.grace_seconds, settings.frozen_seconds
    return [
        one
        for one in executors(engine)
        if one.executor != HUB and one.places and not one.is_lost(grace_seconds=grace, frozen_seconds=frozen)
    ]


def _try_lock(connection: Connection, kind: int, name: str) -> bool:
    signed = _unsigned(name) - (1 << 32 if _unsigned(name) >= 1 << 31 else 0)
    query = text("SELECT pg_try_advisory_lock(:kind, :number)")
    return bool(connection.execute(query, {"kind": kind, "number": signed}).scalar())


def _unsigned(name: str) -> int:
    return zlib.crc32(name.encode())
