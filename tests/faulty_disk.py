"""A disk whose n-th operation goes wrong, and one job's way over it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import text

from pipeline.agents import load_agents
from pipeline.config import shipped_config
from pipeline.correcting import Corrector
from pipeline.disk import Disk
from pipeline.document.reader import DocumentReader
from pipeline.engine.files import FileEngine
from pipeline.errors import ContextOverflow
from pipeline.inbox import IntakeSettings
from pipeline.index import JobIndex
from pipeline.intake import Intake
from pipeline.invoice.database import open_engine
from pipeline.invoice.store import InvoiceStore
from pipeline.llm.protocol import ModelReply, ModelRequest, ToolCall, Usage, digest
from pipeline.llm.standin.answers import answer
from pipeline.llm.standin.wire import ChatRequest, arguments_text
from pipeline.outbox import DATABASE_NAME, Outbox
from pipeline.requests import Requests
from pipeline.retry import RetrySettings
from pipeline.service import Service
from pipeline.worker import Worker

_TIME_LIMIT_SECONDS = 20.0


class Died(BaseException):
    """Stand for a kill: nothing after it is carried out."""


class Fault(StrEnum):
    """Name what happens at the chosen operation."""

    ERROR = "error"  # it fails with EIO and the process goes on
    FULL = "full"  # half of it is written, then the disk is full for this once
    TORN = "torn"  # half of it is written, and the process dies
    BEFORE = "before"  # the process dies before it
    AFTER = "after"  # the process dies after it


class FaultyDisk(Disk):
    """Count the single operations and let one of them go wrong; after a death all others raise `Died`.

    With `two_file_systems` no file can be renamed from one top folder to another. Folders are not synced, for speed.
    """

    def __init__(self, *, at: int = 0, fault: Fault | None = None, two_file_systems: Path | None = None) -> None:
        self.operations: list[str] = []
        self.dead = False
        self._at = at
        self._fault = fault
        self._root = two_file_systems

    def _mkdir(self, folder: Path) -> None:
        self._do("mkdir", lambda: super(FaultyDisk, self)._mkdir(folder))

    def _write(self, path: Path, data: bytes, *, flags: int) -> None:
        whole, half = (
            lambda: super(FaultyDisk, self)._write(path, data, flags=flags),
            lambda: super(FaultyDisk, self)._write(path, data[: len(data) // 2], flags=flags),
        )
        self._do("write", whole, half=half)

    def _copy(self, source: Path, target: Path) -> None:
        def half() -> None:
            data = source.read_bytes()
            target.write_bytes(data[: len(data) // 2])

        self._do("copy", lambda: super(FaultyDisk, self)._copy(source, target), half=half)

    def _truncate(self, path: Path, size: int) -> None:
        self._do("truncate", lambda: super(FaultyDisk, self)._truncate(path, size))

    def _rename(self, source: Path, target: Path) -> None:
        def rename() -> None:
            if self._root and source.relative_to(self._root).parts[0] != target.relative_to(self._root).parts[0]:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))
            super(FaultyDisk, self)._rename(source, target)

        self._do("rename", rename)

    def _unlink(self, path: Path) -> None:
        self._do("unlink", lambda: super(FaultyDisk, self)._unlink(path))

    def _rmtree(self, folder: Path) -> None:
        self._do("rmtree", lambda: super(FaultyDisk, self)._rmtree(folder))

    def _sync_folder(self, folder: Path) -> None:
        self._do("sync", lambda: None if folder.is_dir() else folder.stat())

    def _do(self, name: str, whole: Callable[[], None], *, half: Callable[[], None] | None = None) -> None:
        if self.dead:
            raise Died
        self.operations.append(name)
        fault = self._fault if len(self.operations) == self._at else None
        if fault in (None, Fault.AFTER):
            whole()
        if fault in (Fault.TORN, Fault.FULL) and half is not None:
            half()
        match fault:
            case Fault.ERROR:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            case Fault.FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case Fault.TORN | Fault.BEFORE | Fault.AFTER:
                self.dead = True
                raise Died


class RulesModel:
    """Answer as the stand-in server does, without a server, and count each request."""

    def __init__(self, *, overflows: bool = False) -> None:
        self.asked: Counter[str] = Counter()
        self._overflows = overflows

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked[digest(request.fingerprint())] += 1
        if self._overflows and request.schema is not None:
            raise ContextOverflow("too long")
        said = answer(
            ChatRequest("rules", request.messages, request.tools, request.tool_choice or "auto", request.schema)
        )
        calls = tuple(ToolCall(call.id, call.name, arguments_text(call)) for call in said.calls)
        return ModelReply(said.text, calls, said.finish_reason, Usage(10, 1), model="rules")


@dataclass(frozen=True)
class Scenario:
    """Say what is dropped, how the world is, and how many jobs come of it."""

    name: str
    file: str
    content: bytes
    status: str
    two_file_systems: bool = False
    overflows: bool = False
    jobs: int = 1


@dataclass
class World:
    """Hold one folder with an inbox and an outbox, and work in it as one process after another would."""

    root: Path
    scenario: Scenario
    reader: DocumentReader
    model: RulesModel = field(init=False)

    def __post_init__(self) -> None:
        self.model = RulesModel(overflows=self.scenario.overflows)

    def drop(self) -> None:
        (self.root / "inbox").mkdir(parents=True)
        (self.root / "inbox" / self.scenario.file).write_bytes(self.scenario.content)

    def disk(self, *, at: int = 0, fault: Fault | None = None) -> FaultyDisk:
        return FaultyDisk(at=at, fault=fault, two_file_systems=self.root if self.scenario.two_file_systems else None)

    async def work(self, disk: Disk) -> None:
        """Open everything over the disk and work off what is there, as `serve --once` does."""
        outbox_folder = self.root / "outbox"
        disk.make_folder(outbox_folder)
        database = open_engine(outbox_folder / DATABASE_NAME)
        try:
            outbox = Outbox(outbox_folder, disk, JobIndex(database))
            outbox.prepare()
            worker = Worker(agents=AGENTS, reader=self.reader, model=self.model, store=InvoiceStore(database))
            corrector = Corrector(outbox, InvoiceStore(database), disk, self.reader)
            service = new_service(self.root / "inbox", outbox, worker, disk=disk, corrector=corrector)
            with anyio.fail_after(_TIME_LIMIT_SECONDS):
                await service.serve(once=True)
        finally:
            database.dispose()

    def seen(self) -> Mapping[str, Any]:
        """Return everything a fault must not change."""
        outbox = self.root / "outbox"
        wanted = hashlib.sha256(self.scenario.content).hexdigest()
        files = [path for path in self.root.rglob("*") if path.is_file()]
        database = open_engine(outbox / DATABASE_NAME)
        try:
            records = len(list(InvoiceStore(database).rows()))
            with database.connect() as connection:
                indexed = connection.execute(text("SELECT job FROM jobs")).scalars().all()
        finally:
            database.dispose()
        return {
            "result": sorted(map(_stable, outbox.glob("*/*/result.json")), key=lambda result: str(result["job"])),
            "states": sorted(path.parent.name for path in outbox.glob("*/*") if path.is_dir()),
            "inbox": sorted(path.name for path in (self.root / "inbox").iterdir()),
            "bytes": sum(hashlib.sha256(path.read_bytes()).hexdigest() == wanted for path in files),
            "leftovers": sorted(path.name for path in files if path.name.endswith(".writing")),
            "records": records,
            "indexed": sorted(indexed),
        }


AGENTS = load_agents(shipped_config())


def new_service(
    inbox: Path,
    outbox: Outbox,
    worker: Worker,
    *,
    disk: Disk,
    one_shot: bool = False,
    corrector: Corrector | None = None,
) -> Service:
    """Return a service that does not wait for anything longer than it must."""
    retry = RetrySettings(first_delay_seconds=0.01, longest_delay_seconds=0.01)
    engine = FileEngine(outbox, worker, concurrency=2, retry=retry, ends_without_host=one_shot)
    settings = IntakeSettings(settle_seconds=0, rescan_seconds=0.02, unfinished_pdf_seconds=0)
    agents = {name: agent.files.extensions for name, agent in AGENTS.items()}
    return Service(
        inbox,
        outbox,
        engine,
        intake=Intake(inbox, outbox, engine, settings=settings, agents=agents),
        settings=settings,
        grace_seconds=5,
        requests=Requests(outbox.root, disk),
        corrector=corrector,
    )


def _stable(path: Path) -> Any:
    """Return a result without what may differ: times and the number of attempts."""
    result = json.loads(path.read_bytes())
    del result["received_at"], result["finished_at"], result["usage"]
    return result
