"""In which language sessions speak with a model: by tool calls, or by JSON with one that is bad at them.

With it goes in which form its server lets itself be asked for JSON, where it refused a schema.

It is kept in the outbox's database, or in the one that a cluster shares, by host and model, so that only the first
session has to find it out. It is never the truth: what is lost is found out again, `doctor` corrects the language, and
a form is forgotten after a day, for a server may have been updated. Several processes may write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Column as Col
from sqlalchemy import Connection, Engine, MetaData, String, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from pipeline.agent.answer_form import AnswerForm
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
_FORMS = Table(
    "answer_forms",
    _METADATA,
    Col("address", String, primary_key=True),
    Col("model", String, primary_key=True),
    Col("schema_name", String, primary_key=True),
    Col("form", String, nullable=False),
    Col("learned_at", String, nullable=False),
)
# To try the strict form again costs one request that is refused before the model reads a word of it.
_FORMS_KEPT = timedelta(days=1)
_LANGUAGE = select(_LANGUAGES.c.language).where(
    _LANGUAGES.c.address == bindparam("address"), _LANGUAGES.c.model == bindparam("model")
)
_FORM = select(_FORMS.c.schema_name, _FORMS.c.form).where(
    _FORMS.c.address == bindparam("address"),
    _FORMS.c.model == bindparam("model"),
    _FORMS.c.learned_at >= bindparam("since"),
)


class Language(StrEnum):
    """Name how a model acts."""

    TOOLS = "tools"
    JSON = "json"


class Known(NamedTuple):
    """Hold what is known of a model: its language, None where nothing is, and forms by the names of schemas."""

    language: Language | None = None
    forms: Mapping[str, str] = MappingProxyType({})


class KnownLanguages:
    """Remember how each model of each host is spoken with; a damaged memory knows nothing and stops nobody."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lately: dict[tuple[str, str], tuple[float, Known]] = {}
        if engine.dialect.name != "sqlite":  # a shared database is prepared by `pipeline migrate`, and only by it
            return
        try:
            _METADATA.create_all(engine)
        except (SQLAlchemyError, StorageFault) as error:
            _tell(error)

    def lately(self, address: str, model: str) -> Known | None:
        """Return what was read of a model a moment ago, None where that is to be read again; it waits for nothing."""
        read_at, known = self._lately.get((address, model), (-math.inf, Known()))
        return known if time.monotonic() - read_at <= _LATELY_SECONDS else None

    def read(self, address: str, model: str) -> Known:
        """Return what is known of a model; forms are those of the last day."""
        model_of = {"address": address, "model": model}
        since = (datetime.now(UTC) - _FORMS_KEPT).isoformat()
        try:
            with self._engine.connect().execution_options(reads_only=True) as connection:
                language = connection.execute(_LANGUAGE, model_of).scalar()
                forms = connection.execute(_FORM, {**model_of, "since": since}).all()
        except (SQLAlchemyError, StorageFault) as error:
            _tell(error)
            return Known()
        known = Known(
            Language(language) if language in set(Language) else None,
            {name: form for name, form in forms if form in set(AnswerForm)},
        )
        self._lately[address, model] = time.monotonic(), known
        return known

    def learn(self, address: str, model: str, language: Language, *, learned_from: str) -> None:
        """Remember it in place of what was known."""
        if not model or self.read(address, model).language is language:
            return
        row = {"language": language.value, "learned_from": learned_from, "learned_at": utc_now()}
        if self._put(_LANGUAGES, {"address": address, "model": model}, row):
            log.info("language.learned", address=address, model=model, language=language.value, by=learned_from)

    def learn_forms(self, address: str, model: str, forms: Mapping[str, AnswerForm]) -> None:
        """Remember in which forms the host has answered after it refused a stricter one."""
        if not model:
            return
        for name, form in forms.items():
            key = {"address": address, "model": model, "schema_name": name}
            if self._put(_FORMS, key, {"form": form.value, "learned_at": utc_now()}):
                log.info("answer_form.learned", **key, form=form.value)

    def _put(self, table: Table, key: dict[str, Any], row: dict[str, Any]) -> bool:
        """Write a row in place of the one with that key; say whether it is kept."""
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        statement = insert(table).values(**key, **row).on_conflict_do_update(index_elements=list(key), set_=row)
        try:
            with self._engine.begin() as connection:
                connection.execute(statement)
        except (SQLAlchemyError, StorageFault) as error:
            _tell(error)
            return False
        self._lately.pop((key["address"], key["model"]), None)
        return True


def create_tables(connection: Connection) -> None:
    """Create what is missing of the tables."""
    _METADATA.create_all(connection)


def _tell(error: Exception) -> None:
    log.warning("languages.not_kept", error=str(error).partition("\n")[0][:200])
