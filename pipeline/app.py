"""The parts put together: which settings go into which part, and what is opened and closed around a command."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import structlog
from sqlalchemy import Engine as Database

from pipeline.agents import AgentSettings, load_agents
from pipeline.config import Settings, config_files
from pipeline.correcting import CorrectedBody, Corrector
from pipeline.disk import Disk
from pipeline.document.reader import DocumentReader
from pipeline.engine.files import FileEngine
from pipeline.engine.seam import Body, Engine, Observer
from pipeline.errors import ConfigError, TraceDamaged
from pipeline.index import JobIndex
from pipeline.intake import Intake
from pipeline.invoice.database import open_engine
from pipeline.invoice.model import Invoice, Kind
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.store import InvoiceStore
from pipeline.job import State
from pipeline.languages import KnownLanguages
from pipeline.llm.hosts import HostState
from pipeline.llm.lm_studio import load_library
from pipeline.llm.pool import HostPool, pool_from
from pipeline.lock import DaemonNote, only_one
from pipeline.outbox import DATABASE_NAME, JobFolder, Outbox
from pipeline.postgres import missing_extra, open_postgres, require_postgres
from pipeline.requests import Requests
from pipeline.service import Service
from pipeline.worker import Worker, actions_of, known_tools

log = structlog.get_logger()


@dataclass(frozen=True)
class Folders:
    """Hold what every command needs that looks into the outbox; `shared` is the cluster's database."""

    inbox: Path
    outbox: Outbox
    index: JobIndex
    store: InvoiceStore
    agents: Mapping[str, AgentSettings]
    disk: Disk
    languages: KnownLanguages
    shared: Database | None = None

    @property
    def extensions(self) -> dict[str, tuple[str, ...]]:
        """Return for each agent the suffixes of the files it takes."""
        return {name: agent.files.extensions for name, agent in self.agents.items()}

    @property
    def own_fields(self) -> dict[str, tuple[OwnField, ...]]:
        """Return for each agent the fields that it adds to an invoice."""
        return {name: agent.fields for name, agent in self.agents.items()}


@dataclass(frozen=True)
class App:
    """Hold the running parts of a command that works on jobs."""

    folders: Folders
    worker: Worker
    engine: Engine
    service: Service
    ready: Callable[[], Awaitable[None]]
    hosts: HostPool | None = None


def misplaced(inbox: Path, outbox: Path) -> str | None:
    """Say what is wrong with a pair of folders, or None."""
    inner, outer = inbox.resolve(), outbox.resolve()
    if inner == outer:
        return f"inbox and outbox are the same folder: {inner}"
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        return f"one folder lies inside the other: {inner} and {outer}"
    return None


def usable_agents() -> dict[str, AgentSettings]:
    """Return every agent in force by name.

    Raises ConfigError for a file that is wrong in itself, and for one that names a tool which does not exist.
    """
    files = config_files()
    agents = load_agents(files.agents.parent, prompts=files.prompts)
    for name, agent in agents.items():
        try:
            actions_of(agent)
        except ConfigError as error:
            file = files.agents / f"{name}.toml"
            raise ConfigError(f"{file}: {error.message}", hint=f"tools: {', '.join(known_tools())}") from error
    return agents


@contextmanager
def open_folders(settings: Settings, *, disk: Disk | None = None) -> Iterator[Folders]:
    """Create what is missing of the folders and open the database.

    Raises ConfigError where a folder cannot be used.
    """
    disk = disk or Disk()
    inbox, root = settings.folders.inbox, settings.folders.outbox
    problem = misplaced(inbox, root)
    if problem:
        raise ConfigError(f"[folders] {problem}", hint="choose two folders beside each other")
    agents = usable_agents()
    try:
        disk.make_folder(inbox)
        disk.make_folder(root)
        _require_writable(root)
        database = open_engine(root / DATABASE_NAME)
        shared = open_postgres(settings.cluster, name="pipeline") if settings.daemon.engine == "cluster" else None
    except OSError as error:
        raise ConfigError(
            f"[folders] {error.filename or root} cannot be used: {error.strerror}", hint="check that it may be written"
        ) from error
    try:
        index = JobIndex(database)
        folders = Folders(
            inbox,
            Outbox(root, disk, index),
            index,
            InvoiceStore(shared or database),
            agents,
            disk,
            KnownLanguages(shared or database),
            shared,
        )
        if _prepared(folders.outbox) and shared is None:
            _store_again(folders.outbox, folders.store)
        yield folders
    finally:
        database.dispose()
        if shared is not None:
            shared.dispose()


def _require_writable(root: Path) -> None:
    """Raise ConfigError for a folder without the rights; the database in it would only say that it cannot be opened."""
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        hint = "give this user the rights to it, or use another --outbox"
        raise ConfigError(f"[folders] outbox {root} cannot be read and written", hint=hint)


def _prepared(outbox: Outbox) -> bool:
    """Prepare the outbox; say whether it, or its index, is new."""
    try:
        return outbox.prepare()
    except OSError as error:
        hint = "check its rights"
        raise ConfigError(f"[folders] {outbox.root} cannot be written: {error.strerror}", hint=hint) from error


def _store_again(outbox: Outbox, store: InvoiceStore) -> None:
    """Fill a new database from the results that lie in the outbox, in the order in which their files came."""
    jobs = (job for state in (State.DONE, State.REVIEW) for job in outbox.jobs(state))
    results = [result for job in jobs if (result := _readable(job))]
    invoices = sorted((one for one in results if one["invoice"]), key=lambda one: one["received_at"])
    for result in invoices:
        store.store(
            Invoice.from_json(result["invoice"]),
            kind=Kind(result["kind"]),
            job=result["job"],
            status=result["status"],
            at=datetime.fromisoformat(result["received_at"]),
        )
    if invoices:
        log.warning("database.rebuilt", invoices=len(invoices), reason="it was missing or empty")


def _readable(job: JobFolder) -> dict[str, Any] | None:
    """Return the job's result, None where it has none that can be read."""
    try:
        return job.result()
    except TraceDamaged as error:
        log.warning("result.unreadable", job=job.name, error=error.message)
        return None


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    doing: str,
    one_shot: bool = False,
    observer: Observer | None = None,
    disk: Disk | None = None,
) -> AsyncIterator[App]:
    """Open everything a command needs that works on jobs; hold the outbox for this process.

    `doing` is told to others who want the outbox. A `one_shot` command does not wait for ever for LM Studio.
    Raises ConfigError where the outbox is taken, or a setting is wrong.
    """
    with open_folders(settings, disk=disk) as folders, only_one(folders.outbox.root, doing=doing) as note:
        async with DocumentReader(settings.reading, settings.scan) as reader:
            open_parts = _parts_here if folders.shared is None else _parts_of_hub
            async with open_parts(settings, folders, reader, note, observer=observer, one_shot=one_shot) as parts:
                service = _service(settings, folders, reader, parts)
                yield App(folders, parts.worker, parts.engine, service, parts.ready, parts.hosts)


@dataclass(frozen=True)
class _Parts:
    """Hold what differs between engines; `ready` returns when work can begin, `hosts` are those that work is sent to.

    `worker` is the body of a session without what persons corrected since.
    """

    worker: Worker
    engine: Engine
    beside: Callable[[], Coroutine[Any, Any, None]]
    ready: Callable[[], Awaitable[None]]
    hosts: HostPool | None = None


def _service(settings: Settings, folders: Folders, reader: DocumentReader, parts: _Parts) -> Service:
    engine = parts.engine
    return Service(
        folders.inbox,
        folders.outbox,
        engine,
        intake=Intake(
            folders.inbox,
            folders.outbox,
            engine,
            settings=settings.intake,
            agents=folders.extensions,
            hosts=parts.hosts,
        ),
        settings=settings.intake,
        grace_seconds=settings.daemon.grace_seconds,
        requests=Requests(folders.outbox.root, folders.disk),
        corrector=Corrector(folders.outbox, folders.store, folders.disk, reader, own_fields=folders.own_fields),
        beside=(parts.beside,),
    )


@asynccontextmanager
async def _parts_here(
    settings: Settings,
    folders: Folders,
    reader: DocumentReader,
    note: DaemonNote,
    *,
    observer: Observer | None,
    one_shot: bool,
) -> AsyncIterator[_Parts]:
    """Give what a daemon needs that runs its sessions itself."""
    llm = settings.llm
    if one_shot:
        llm = llm.model_copy(update={"max_wait_seconds": settings.daemon.host_wait_seconds})
    tell = _teller(note)

    async def changed(state: HostState) -> None:
        await tell(state)
        engine.resize(settings.daemon.jobs_in_flight(model.slots))

    model = pool_from(llm, on_change=changed)
    worker = Worker(agents=folders.agents, reader=reader, model=model, store=folders.store, languages=folders.languages)
    body = CorrectedBody(worker, folders.store, folders.disk, reader, own_fields=folders.own_fields)

    async def begin() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load_library)
            tasks.start_soon(reader.prepare)

    async def ready() -> None:
        await begin()
        await model.ready()

    engine = new_engine(settings, folders, body, slots=model.slots, observer=observer, one_shot=one_shot, ready=begin)
    try:
        yield _Parts(worker, engine, model.attend, ready, model)
    finally:
        with anyio.CancelScope(shield=True):
            await model.aclose()


def new_engine(
    settings: Settings,
    folders: Folders,
    body: Body,
    *,
    slots: int,
    observer: Observer | None,
    one_shot: bool,
    ready: Callable[[], Awaitable[None]] = load_library,
) -> FileEngine:
    """Return an engine over the outbox, for a model that has so many slots."""
    return FileEngine(
        folders.outbox,
        body,
        concurrency=settings.daemon.jobs_in_flight(slots),
        retry=settings.jobs,
        include_text=settings.trace.include_text,
        observer=observer,
        ends_without_host=one_shot,
        ready=ready,
    )


@asynccontextmanager
async def _parts_of_hub(
    settings: Settings,
    folders: Folders,
    reader: DocumentReader,
    note: DaemonNote,  # noqa: ARG001 - the workers' hosts are seen in the database
    *,
    observer: Observer | None,
    one_shot: bool,
) -> AsyncIterator[_Parts]:
    """Give what a daemon needs whose sessions run on other machines."""
    try:
        from pipeline.cluster.hub_parts import open_hub  # noqa: PLC0415 - loads what only clusters need
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    assert folders.shared is not None
    require_postgres(folders.shared)
    if folders.store.is_empty():
        _store_again(folders.outbox, folders.store)
    async with open_hub(
        settings,
        folders.outbox,
        folders.agents,
        folders.shared,
        disk=folders.disk,
        reader=reader,
        observer=observer,
        one_shot=one_shot,
    ) as hub:
        yield _Parts(hub.worker, hub.engine, hub.keep, anyio.lowlevel.checkpoint)


def host_note(state: HostState) -> dict[str, object]:
    """Return what is told of a host to other processes and in `status`."""
    return {
        "address": state.address,
        "status": state.status.value,
        "since": state.since.isoformat(timespec="seconds"),
        "reason": state.reason,
        "hint": state.hint,
        "model": state.model,
        "slots": state.slots,
        "context_tokens": state.context_tokens,
    }


def _teller(note: DaemonNote) -> Callable[[HostState], Awaitable[None]]:
    seen: dict[str, object] = {}

    async def tell(state: HostState) -> None:
        seen[state.address] = host_note(state)
        note.tell(hosts=seen)

    return tell
