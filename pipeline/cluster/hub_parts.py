"""What a hub adds to the daemon, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import structlog
from sqlalchemy import Engine

from pipeline import __version__
from pipeline.agents import AgentSettings
from pipeline.cluster.durable import Cluster
from pipeline.cluster.hub import HubEngine
from pipeline.cluster.presence import HUB, Presence, alive_workers
from pipeline.config import Settings
from pipeline.correcting import CorrectedBody
from pipeline.disk import Disk
from pipeline.document.model import Document
from pipeline.document.reader import DocumentReader
from pipeline.engine.seam import Observer
from pipeline.errors import ConfigError
from pipeline.invoice.store import InvoiceStore
from pipeline.job import Claim, Job
from pipeline.journal import Journal
from pipeline.llm.recorded import RecordedModel
from pipeline.outbox import JobFolder, Outbox
from pipeline.result import Outcome
from pipeline.worker import Worker

log = structlog.get_logger()


@dataclass(frozen=True)
class Hub:
    """Hold the hub's engine, the body that replays sessions, and what has to run beside them."""

    engine: HubEngine
    worker: Worker
    keep: Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def open_hub(
    settings: Settings,
    outbox: Outbox,
    agents: Mapping[str, AgentSettings],
    database: Engine,
    *,
    disk: Disk,
    reader: DocumentReader,
    observer: Observer | None,
    one_shot: bool,
) -> AsyncIterator[Hub]:
    """Be the hub of the cluster whose database this is."""
    cluster = Cluster(database)
    here = Presence(database, HUB, host="", release=__version__)
    if not await anyio.to_thread.run_sync(here.enter):
        raise ConfigError("another hub works with this database", hint="stop it, or use another database")
    await anyio.to_thread.run_sync(cluster.prepare_queues, settings.cluster)
    store = InvoiceStore(database)
    worker = Worker(agents=agents, reader=reader, model=RecordedModel(), store=store)
    own_fields = {name: agent.fields for name, agent in agents.items()}
    corrected = CorrectedBody(worker, store, disk, reader, own_fields=own_fields)
    engine = HubEngine(
        outbox,
        HubsBody(worker, corrected, reader, picture_bytes=settings.cluster.picture_bytes),
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
        yield Hub(engine, worker, keep)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(here.leave)


class HubsBody:
    """Do what needs the job's folder: read its document, draw its pages, keep what persons corrected in it."""

    def __init__(self, worker: Worker, corrected: CorrectedBody, reader: DocumentReader, *, picture_bytes: int) -> None:
        self.read = worker.read
        self.corrected = corrected.corrected
        self.prompts_version = worker.prompts_version
        self._whole = corrected
        self._reader = reader
        self._picture_bytes = picture_bytes

    async def __call__(self, job: Job, claim: Claim, steps: Journal) -> Outcome:
        """Return what a session comes to over its record."""
        return await self._whole(job, claim, steps)

    async def pictures(self, job: JobFolder, document: Document) -> Mapping[int, bytes]:
        """Return PNG files of the pages that a model is to be shown; none where they are too large to travel."""
        source, drawn = job.source_path, dict[int, bytes]()
        for number in (page.number for page in document.pages if page.picture):
            if source is None:
                return {}
            drawn[number] = await self._reader.draw(source, number, name=document.name)
            if (size := sum(map(len, drawn.values()))) > self._picture_bytes:
                hint = "raise [cluster] picture_bytes, or make [scan] vision_pixels smaller"
                log.warning("pictures.left_out", job=job.name, bytes=size, most=self._picture_bytes, hint=hint)
                return {}
        return drawn
