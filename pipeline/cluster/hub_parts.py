"""What a hub adds to the daemon, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from sqlalchemy import Engine

from pipeline import __version__
from pipeline.agents import AgentSettings
from pipeline.cluster.durable import Cluster
from pipeline.cluster.hub import HubEngine
from pipeline.cluster.presence import HUB, Presence, alive_workers
from pipeline.config import Settings
from pipeline.document.reader import DocumentReader
from pipeline.engine.seam import Observer
from pipeline.errors import ConfigError
from pipeline.invoice.store import InvoiceStore
from pipeline.llm.recorded import RecordedModel
from pipeline.outbox import Outbox
from pipeline.worker import Worker


@asynccontextmanager
async def open_hub(
    settings: Settings,
    outbox: Outbox,
    agents: Mapping[str, AgentSettings],
    database: Engine,
    *,
    reader: DocumentReader,
    observer: Observer | None,
    one_shot: bool,
) -> AsyncIterator[tuple[HubEngine, Worker, Callable[[], Coroutine[Any, Any, None]]]]:
    """Give the hub's engine, the body that replays, and what has to run beside them."""
    cluster = Cluster(database)
    here = Presence(database, HUB, host="", release=__version__)
    if not await anyio.to_thread.run_sync(here.enter):
        raise ConfigError("another hub works with this database", hint="stop it, or use another database")
    await anyio.to_thread.run_sync(cluster.prepare_queues, settings.cluster)
    body = Worker(agents=agents, reader=reader, model=RecordedModel(), store=InvoiceStore(database))
    engine = HubEngine(
        outbox,
        body,
        cluster,
        settings=settings.cluster,
        agents=agents,
        retry=settings.jobs,
        include_text=settings.trace.include_text,
        workers=lambda: len(alive_workers(database, settings.cluster)),
        no_worker_seconds=settings.daemon.host_wait_seconds if one_shot else None,
        observer=observer,
    )

    async def keep() -> None:
        await here.keep(every_seconds=settings.cluster.grace_seconds / 3, attend=lambda: None)

    try:
        yield engine, body, keep
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(here.leave)
