"""In which language sessions speak with a model: by tool calls, or by JSON with one that is bad at them.

It is kept in the outbox's database, or in the one that a cluster shares, by host and model, so that only the first
session has to find it out. It is never the truth: what is lost is found out again, and `doctor` corrects it. Several
processes may write.
"""

from __future__ import annotations

import math
import time
from enum import StrEnum

import structlog
from sqlalchemy import Column as Col
from sqlalchemy import Connection, Engine, MetaData, String, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import StorageFault
from pipeline.trace import utc_now

log = structlog.get_logger()

# Each session asks, and sessions may begin many times a second.
_LATELY_SECONDS = 1.0
_METADATA = MetaData()
_LANGUAGES = Table(
    "languages",
    _METADATA,
    Col("address", String, primary_key=True),
    Col("model", String, primary_key=True),
    Col("language", String, nullable=False),
    Col("learned_from", String, nullable=False),
    Col("learned_at", String, nullable=False),
)
_LANGUAGE = select(_LANGUAGES.c.language).where(
    _LANGUAGES.c.address == bindparam("address"), _LANGUAGES.c.model == bindparam("model")
)


class Language(StrEnum):
    """Name how a model acts."""

    TOOLS = "tools"
    JSON = "json"


class KnownLanguages:
    """Remember how each model of each host is spoken with; a damaged memory knows nothing and stops nobody."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lately: dict[tuple[str, str], tuple[float, Language | None]] = {}
        if engine.dialect.name != "sqlite":  # a shared database is prepared by `pipeline migrate`, and only by it
            return
        try:
            _METADATA.create_all(engine)
        except (SQLAlchemyError, StorageFault) as error:
            _tell(error)

    def of(self, address: str, model: str) -> Language | None:
        """Return what is known of a model, None where that is nothing; what another process learned, a moment later."""
        read_at, found = self._lately.get((address, model), (-math.inf, None))
        if time.monotonic() - read_at > _LATELY_SECONDS:
            read_at, found = time.monotonic(), self._read(address, model)
            self._lately[address, model] = read_at, found
        return found

    def _read(self, address: str, model: str) -> Language | None:
        try:
            with self._engine.connect().execution_options(reads_only=True) as connection:
                found = connection.execute(_LANGUAGE, {"address": address, "model": model}).scalar()
        except (SQLAlchemyError, StorageFault) as error:
            _tell(error)
            return None
        return Language(found) if found in set(Language) else None

    def learn(self, address: str, model: str, language: Language, *, learned_from: str) -> None:
        """Remember it in place of what was known."""
        if not model or self._read(address, model) is language:
            return
        row = {"language": language.value, "learned_from": learned_from, "learned_at": utc_now()}
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        statement = insert(_LANGUAGES).values(address=address, model=model, **row)
        try:
            with self._engine.begin() as connection:
                connection.execute(statement.on_conflict_do_update(index_elements=["address", "model"], set_=row))
        except (SQLAlchemyError, StorageFault) as error:
            _tell(error)
        else:
            self._lately.pop((address, model), None)
            log.info("language.learned", address=address, model=model, language=language.value, by=learned_from)


def create_tables(connection: Connection) -> None:
    """Create what is missing of the tables."""
    _METADATA.create_all(connection)


def _tell(error: Exception) -> None:
    log.warning("languages.not_kept", error=str(error).partition("\n")[0][:200])
