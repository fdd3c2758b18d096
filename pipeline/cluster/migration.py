"""Prepare the cluster's database: its own tables, the invoice store's and that of languages, the durable engine's."""

from __future__ import annotations

from sqlalchemy import Connection

from pipeline import languages
from pipeline.cluster import presence
from pipeline.cluster.durable import migrate_engine
from pipeline.invoice import store
from pipeline.postgres import ClusterSettings, migrate, open_postgres


def migrate_database(settings: ClusterSettings) -> int:
    """Bring the whole database to this release's schema; return its number."""
    engine = open_postgres(settings, name="pipeline migrate")

    def make_tables(connection: Connection) -> None:
        store.create_tables(connection)
        presence.create_tables(connection)
        languages.create_tables(connection)

    try:
        # First what refuses a newer schema, then the engine's own tables.
        number = migrate(engine, make_tables)
        migrate_engine(settings)
        return number
    finally:
        engine.dispose()
