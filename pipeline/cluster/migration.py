"""Prepare the cluster's database: its own tables, the invoice store's and that of languages, the durable engine's."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pipeline import languages
from pipeline.cluster import presence
from pipeline.cluster.durable import migrate_engine
from pipeline.errors import ConfigError
from pipeline.invoice import store
from pipeline.postgres import ClusterSettings, address_of, migrate, open_postgres, refuse_newer


def migrate_database(settings: ClusterSettings) -> int:
    """Bring the whole database to this release's schema; return its number.

    Raises ConfigError where the database refuses, as it does a user without the rights.
    """
    engine = open_postgres(settings, name="pipeline migrate")

    def make_tables(connection: Connection) -> None:
        store.create_tables(connection)
        presence.create_tables(connection)
        languages.create_tables(connection)

    try:
        # The number comes last: hub and workers must not take a half prepared database for a whole one.
        refuse_newer(engine)
        migrate_engine(settings)
        return migrate(engine, make_tables)
    except SQLAlchemyError as error:
        cause = str(error).partition("\n")[0]
        hint = "let the user own the database, so that it may create tables and schemas there"
        raise ConfigError(f"{address_of(engine)} cannot be prepared: {cause}", hint=hint) from error
    finally:
        engine.dispose()
