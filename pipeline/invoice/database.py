"""The database file: opened so that what is committed is on the disk, and that writers wait for each other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from pipeline.errors import StorageFault

# Another process may hold the file while it writes one invoice; that takes milliseconds.
_BUSY_TIMEOUT_SECONDS = 30
_HAS_TURN = "has turn to write"


def open_engine(path: Path | None) -> Engine:
    """Open or create the database file; other parts may keep their own tables in it through the same engine.

    Without a path the database is a throw-away one in memory.

    `engine.begin()` takes the write lock at once, so that two writers wait for each other instead of failing. Those of
    this process stand in line: SQLite would let each look again after ever longer pauses.
    """
    # In memory every connection would be a database of its own: all threads share one.
    shared = {"poolclass": StaticPool} if path is None else {}
    timeout = {"timeout": _BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = create_engine(f"sqlite:///{path}" if path else "sqlite://", connect_args=timeout, **shared)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "handle_error", _translate)
    _begin_writing_in_turn(engine)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    # Transactions are begun below; the driver's own begin would come too late to lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    # No write-ahead log: it would put data in a second file, and fails on network shares. The journal is emptied and
    # synced at a commit; one that is deleted may come back after a power cut, and take the transaction back.
    # https://www.sqlite.org/pragma.html#pragma_synchronous (FULL and EXTRA)
    cursor.execute("PRAGMA journal_mode = TRUNCATE")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _translate(context: ExceptionContext) -> None:
    # Full, read-only, locked for half a minute: the file's trouble, which no tool and no job is to blame for.
    if isinstance(context.sqlalchemy_exception, OperationalError):
        message = f"the database cannot be used: {context.original_exception}"
        hint = "make room, or make the file writable again"
        raise StorageFault(message, hint=hint) from context.original_exception


def _begin_writing_in_turn(engine: Engine) -> None:
    turn = threading.Lock()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reads_only", False):
            return  # each statement sees the file as it is at one moment, and nobody asks for more
        kept = connection.connection.record_info
        if kept is not None and not kept.get(_HAS_TURN):
            # Whoever does not get its turn still has SQLite's own lock to wait for, and its error.
            kept[_HAS_TURN] = turn.acquire(timeout=_BUSY_TIMEOUT_SECONDS)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    def end(_connection: object, record: ConnectionPoolEntry) -> None:
        # Not at the commit: that event comes before the data are synced.
        if (record.record_info or {}).pop(_HAS_TURN, False):
            turn.release()
