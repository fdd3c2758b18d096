"""A worker process: its place at a model server, its place in the cluster, and its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import structlog
from sqlalchemy import Engine

from pipeline import __version__
from pipeline.cluster.durable import Cluster, Runtime
from pipeline.cluster.presence import Displaced, Presence
from pipeline.cluster.recovery import Recovery
from pipeline.cluster.station import Station
from pipeline.cluster.task import Task
from pipeline.config import Settings
from pipeline.document.reader import DocumentReader
from pipeline.engine.seam import Body
from pipeline.errors import PipelineError, StorageFault
from pipeline.invoice.store import InvoiceStore
from pipeline.languages import KnownLanguages
from pipeline.llm.address import api_base
from pipeline.llm.hosts import HostSettings, host_from, look_at
from pipeline.llm.lm_studio import load_library
from pipeline.llm.pool import HostPool
from pipeline.postgres import open_postgres, require_postgres
from pipeline.worker import Worker

log = structlog.get_logger()

# LM Studio's own default, where a server does not say how many calls it takes at once.
_USUAL_SLOTS = 4
_USUAL_PORT = 1234
_STANDBY_SECONDS = 2.0


def host_named(name: str, settings: Settings) -> HostSettings:
    """Return the settings of the model server a worker is bound to: one of [llm], an address, or a machine's name.

    Its address is in one spelling: places are counted by it, and two workers may write it differently.
    """
    known = [_at(host, host.base_url) for host in settings.llm.each()]
    for host in known:
        parts = urlsplit(host.base_url)
        if name in (parts.hostname, parts.netloc):
            return host
    wanted = _at(known[0], name if "://" in name else f"http://{_with_port(name)}")
    return next((host for host in known if host.base_url == wanted.base_url), wanted)


async def work(settings: Settings, host: HostSettings, *, most: int | None) -> None:
    """Be a worker until told to stop: the first signal lets running sessions end, the second gives them back.

    `most` limits the calls at once on the host, which several workers may share.
    """
    executor = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    database = open_postgres(settings.cluster, name=f"pipeline {executor}")
    try:
        require_postgres(database)
        here = Presence(database, executor, host=host.base_url, release=__version__)
        if not await anyio.to_thread.run_sync(here.enter):
            raise Displaced(f"another process is named {executor}", hint="start this one again")
        try:
            await _be_there(settings, host, here, database, most=min(most or 256, settings.cluster.jobs_per_worker))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(here.leave)
    finally:
        database.dispose()


def _at(host: HostSettings, address: str) -> HostSettings:
    return host.model_copy(update={"base_url": api_base(address, allow_public_host=host.allow_public_host)})


def _with_port(name: str) -> str:
    bare = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
    return bare if re.search(r":\d+$", bare) else f"{bare}:{_USUAL_PORT}"


async def _be_there(settings: Settings, host: HostSettings, here: Presence, database: Engine, *, most: int) -> None:
    """Tell that this process lives from its first moment, for its jobs are taken over as soon as it does not."""
    cluster = Cluster(database)
    recovery = Recovery(database, cluster, settings.cluster, executor=here.executor, attempts=settings.jobs.attempts)
    model: HostPool | None = None
    async with DocumentReader(settings.reading, settings.scan) as reader, anyio.create_task_group() as tasks:
        invoices, languages = InvoiceStore(database), KnownLanguages(database)

        bodies: dict[str, Worker] = {}

        def body_for(task: Task) -> Body:
            assert model is not None  # no job is taken before there is one
            agent = task.agent.model_dump_json()
            if agent not in bodies:
                bodies.clear()  # of settings that changed only the newest matter
                bodies[agent] = Worker(
                    agents={task.agent.name: task.agent},
                    reader=reader,
                    model=model,
                    store=invoices,
                    languages=languages,
                )
            return bodies[agent]

        station = Station(cluster, body_for)

        async def keep() -> None:
            every = settings.cluster.grace_seconds / 3
            await here.keep(every_seconds=every, attend=lambda: recovery.look(lambda: station.at_work))

        tasks.start_soon(keep)
        with _open_signals() as signals:
            bound = await _bind(here, host, signals, most=most)
            if bound is not None:
                model = HostPool([host_from(bound)])
                try:
                    await _serve(settings, station, recovery, here.executor, signals)
                finally:
                    with anyio.CancelScope(shield=True):
                        await model.aclose()
        tasks.cancel_scope.cancel()


@contextmanager
def _open_signals() -> Iterator[AsyncIterator[signal.Signals]]:
    """Give the signals that ask for the end; where asyncio has no handlers for them, Ctrl-C cancels everything."""
    if sys.platform == "win32":
        yield _never()
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        yield signals


async def _never() -> AsyncIterator[signal.Signals]:
    await anyio.sleep_forever()
    yield signal.SIGINT


async def _bind(
    here: Presence, host: HostSettings, signals: AsyncIterator[signal.Signals], *, most: int
) -> HostSettings | None:
    """Wait for a place at the host; return None where a signal comes first."""
    bound: HostSettings | None = None
    async with anyio.create_task_group() as tasks:

        async def stop() -> None:
            await anext(signals)
            tasks.cancel_scope.cancel()

        tasks.start_soon(stop)
        await load_library()
        bound = await _take_places(here, host, most=most)
        tasks.cancel_scope.cancel()
    if bound is None:
        log.info("worker.stopped", worker=here.executor, jobs=0)
    return bound


async def _take_places(here: Presence, host: HostSettings, *, most: int) -> HostSettings:
    """Wait until the host has a place that no other worker holds; return the host with so many slots."""
    told = False
    while True:
        facts = await look_at(host)
        model = facts.pick(host.model)
        slots = host.slots if host.slots != "auto" else (model.slots if model else None) or _USUAL_SLOTS
        reason = facts.error or "other workers hold all its slots"
        taken = 0
        if facts.reachable:
            try:
                taken = await anyio.to_thread.run_sync(here.take_places, most, slots)
            except StorageFault as fault:
                reason = fault.message
        if taken:
            log.info("worker.bound", address=facts.address, places=taken, slots=slots)
            return host.model_copy(update={"slots": taken})
        if not told:
            log.warning("worker.waits", address=facts.address, reason=reason, will="look again")
        told = True
        await anyio.sleep(_STANDBY_SECONDS)


async def _serve(
    settings: Settings, station: Station, recovery: Recovery, executor: str, signals: AsyncIterator[signal.Signals]
) -> None:
    runtime = Runtime(settings.cluster, executor=executor, work=station.work)
    runtime.launch()
    log.info("worker.started", worker=executor)
    try:
        await _until_stopped(runtime, station, signals, grace_seconds=settings.daemon.grace_seconds)
    finally:
        with anyio.CancelScope(shield=True):
            station.interrupt()
            await anyio.to_thread.run_sync(lambda: runtime.stop(grace_seconds=0))
            await _give_back(recovery)
        log.info("worker.stopped", worker=executor, jobs=station.ended)


async def _until_stopped(
    runtime: Runtime, station: Station, signals: AsyncIterator[signal.Signals], *, grace_seconds: float
) -> None:
    """Wait for the first signal, then until the sessions have ended, the grace time is over, or a second signal."""
    await anext(signals)
    log.info("worker.draining", grace_seconds=grace_seconds)
    async with anyio.create_task_group() as tasks:

        async def again() -> None:
            await anext(signals)
            log.warning("worker.interrupted")
            station.interrupt()

        async def hurry() -> None:
            await anyio.sleep(grace_seconds)
            log.warning("worker.grace_ended", grace_seconds=grace_seconds)
            station.interrupt()

        tasks.start_soon(again)
        tasks.start_soon(hurry)
        await anyio.to_thread.run_sync(lambda: runtime.stop(grace_seconds=grace_seconds + 5))
        tasks.cancel_scope.cancel()


async def _give_back(recovery: Recovery) -> None:
    try:
        given = await anyio.to_thread.run_sync(recovery.release)
    except PipelineError as error:
        log.warning("jobs.not_given_back", error=error.message, hint="the others take them over after the grace time")
        return
    if given:
        log.info("jobs.given_back", jobs=given)
