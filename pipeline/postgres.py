"""PostgreSQL for the cluster: how it is reached, what its errors mean here, and which schema it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, Field, SecretStr
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.errors import ConfigError, StorageFault

# Raised whenever a table of the cluster or of the invoice store changes.
CLUSTER_SCHEMA = 2
DRIVER = "postgresql+psycopg"
_AWAY = "the database cannot be used"
_AWAY_HINT = "start PostgreSQL again, or mend the network; work goes on by itself"
# Both ends notice within half a minute that a cut network has taken the other away.
_KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}


class ClusterSettings(BaseModel, frozen=True, extra="forbid"):
    """Set how many machines work together through PostgreSQL (`engine = "cluster"`)."""

    database_url: SecretStr = Field(
        SecretStr(""), description="postgresql://user:password@host/database; better set by its environment variable"
    )
    jobs_per_worker: int = Field(
        5, ge=1, le=256, description="sessions a worker runs at once: the slots of its host and one more, so none waits"
    )
    jobs_in_flight: int = Field(
        1000, ge=1, le=100_000, description="jobs the hub has in the database at once; the others wait in the inbox"
    )
    poll_seconds: float = Field(
        0.5, ge=0.05, le=60, description="pause between looks for work and for results, seconds; sets the pick-up time"
    )
    grace_seconds: float = Field(
        15.0, ge=0.5, le=3600, description="a worker that is gone for so many seconds has its jobs taken over"
    )
    frozen_seconds: float = Field(
        120.0, ge=1, le=86400, description="the same for one that stands still while its connection lives, seconds"
    )
    resumes: int = Field(
        20, ge=1, le=1000, description="times one job is taken over from lost workers before it ends in failed/"
    )
    keep_days: float = Field(
        7.0, ge=0, le=3650, description="collected jobs stay in the database for so many days, documents included"
    )
    picture_bytes: int = Field(
        32_000_000,
        ge=0,
        le=200_000_000,
        description="most bytes of page pictures that travel with a job; one with more is read without its pictures",
    )
    connections: int = Field(
        4, ge=2, le=100, description="connections to the database that one process has for steps; it needs up to 5 more"
    )
    connect_timeout_seconds: int = Field(10, ge=1, le=600, description="longest wait for one connection, in seconds")


# A busy machine may leave a process that long in the middle of a transaction.
_LONGEST_STALL_SECONDS = 5.0
# The last one meets a process that stood still in the middle of a transaction.
_AWAY_ERRORS = frozenset({"OperationalError", "InterfaceError", "IdleInTransactionSessionTimeout"})
_metadata = MetaData()
_schema = Table("pipeline_schema", _metadata, Column("version", Integer, nullable=False), Column("dbos", Text))


def database_url(settings: ClusterSettings) -> URL:
    """Return the address; raise ConfigError where it is missing or no address of PostgreSQL."""
    text = settings.database_url.get_secret_value()
    remedy = "set PIPELINE_CLUSTER__DATABASE_URL to postgresql://user:password@host/database"
    if not text:
        raise ConfigError("[cluster] database_url is empty", hint=remedy)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigError("[cluster] database_url is no address of a database", hint=remedy) from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigError(f"[cluster] database_url names {url.get_backend_name()}, not PostgreSQL", hint=remedy)
    return url.set(drivername=DRIVER)


def connect_options(settings: ClusterSettings, *, name: str) -> dict[str, Any]:
    """Return what every connection is opened with; `name` is what PostgreSQL's own views show of it."""
    idle, interval, count = _KEEPALIVE["idle"], _KEEPALIVE["interval"], _KEEPALIVE["count"]
    server = f"-c tcp_keepalives_idle={idle} -c tcp_keepalives_interval={interval} -c tcp_keepalives_count={count}"
    # A process that freezes in the middle of a transaction must not keep what it has locked from those that go on.
    frozen_seconds = max(settings.frozen_seconds, _LONGEST_STALL_SECONDS)
    server += f" -c idle_in_transaction_session_timeout={round(1000 * frozen_seconds)}"
    return {
        "application_name": name,
        "connect_timeout": settings.connect_timeout_seconds,
        "keepalives_idle": idle,
        "keepalives_interval": interval,
        "keepalives_count": count,
        "tcp_user_timeout": 1000 * (idle + interval * count),
        "options": server,
    }


def open_postgres(settings: ClusterSettings, *, name: str) -> Engine:
    """Return the database; connections are made when they are needed, and errors of the world are StorageFaults.

    Raises ConfigError where the cluster's libraries are not installed.
    """
    url = database_url(settings)
    try:
        engine = create_engine(
            url,
            pool_size=2,
            max_overflow=settings.connections,
            pool_pre_ping=True,
            pool_timeout=settings.connect_timeout_seconds,
            connect_args=connect_options(settings, name=name),
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise missing_extra(error) from error

    @event.listens_for(engine, "handle_error")
    def translate(context: ExceptionContext) -> None:
        if context.is_pre_ping:  # the pool replaces what is dead before anybody uses it
            return
        if context.is_disconnect or is_away(context.sqlalchemy_exception or context.original_exception):
            raise away(context.original_exception) from context.original_exception

    return engine


def missing_extra(error: Exception) -> ConfigError:
    """Return the error for an installation without the cluster's libraries."""
    return ConfigError(f"the cluster needs libraries that are not installed: {error}", hint='install "[cluster]"')


def is_away(error: BaseException | None) -> bool:
    """Say whether an error of SQLAlchemy or of the driver means that the database is out of reach, or out of room."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or is_away(error.orig)
    # The driver's own classes would have to be imported to be named, and this module is loaded without it.
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] == "psycopg"}
    return isinstance(error, PoolTimeout) or bool(names & _AWAY_ERRORS)


def away(error: BaseException) -> StorageFault:
    """Return the fault that makes everything wait for the database."""
    first_line = str(error).strip().partition("\n")[0]
    return StorageFault(f"{_AWAY}: {first_line}", hint=_AWAY_HINT)


@contextmanager
def faults_of_storage() -> Iterator[None]:
    """Turn every error that means an absent database into a StorageFault."""
    try:
        yield
    except StorageFault:
        raise
    except Exception as error:
        if is_away(error):
            raise away(error) from error
        raise


def require_postgres(engine: Engine) -> None:
    """Raise ConfigError, with the remedy, where the database does not answer or has another schema than this release.

    A worker of another release would write what its neighbours cannot read.
    """
    found = read_schema(engine)
    hint = "run `pipeline migrate`, once, with the newest release in use"
    if found is None:
        raise ConfigError(f"the database {address_of(engine)} is not prepared for the cluster", hint=hint)
    told = f"the database {address_of(engine)} has schema {found}"
    if found < CLUSTER_SCHEMA:
        raise ConfigError(f"{told}, older than this release's {CLUSTER_SCHEMA}", hint=hint)
    if found > CLUSTER_SCHEMA:
        hint = "install the release that the other machines run"
        raise ConfigError(f"{told}, newer than this release's {CLUSTER_SCHEMA}", hint=hint)


def refuse_newer(engine: Engine) -> None:
    """Raise ConfigError for a database of a newer release, which this one must not touch."""
    found = read_schema(engine)
    if found is not None and found > CLUSTER_SCHEMA:
        require_postgres(engine)


def read_schema(engine: Engine) -> int | None:
    """Return the number of the schema, None where there is none; raise ConfigError where the database is away."""
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(_schema.name):
                return None
            return connection.execute(select(_schema.c.version)).scalar()
    except (StorageFault, SQLAlchemyError) as error:
        cause = error.message if isinstance(error, StorageFault) else str(error).partition("\n")[0]
        hint = "start PostgreSQL, and check [cluster] database_url and the rights of its user"
        raise ConfigError(f"{address_of(engine)}: {cause}", hint=hint) from error


def migrate(engine: Engine, make_tables: Callable[[Connection], None]) -> int:
    """Bring the schema to this release's; return its number. Raises ConfigError for a newer one."""
    refuse_newer(engine)
    with engine.begin() as connection:
        # Two that migrate at once wait for each other.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7303, 1)")
        _metadata.create_all(connection)
        make_tables(connection)
        connection.execute(_schema.delete())
        connection.execute(_schema.insert().values(version=CLUSTER_SCHEMA, dbos=version("dbos")))
    return CLUSTER_SCHEMA


def address_of(engine: Engine) -> str:
    """Return where the database is, without its password."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
