"""A disk that is full, read-only or gone makes everything wait and nothing fail; a file that cannot be taken stays."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from faulty_disk import AGENTS, RulesModel, new_service
from structlog.testing import capture_logs
from structlog.typing import EventDict

from pipeline import outbox as outbox_module
from pipeline.config import Settings
from pipeline.disk import Disk
from pipeline.document.reader import DocumentReader
from pipeline.index import JobIndex
from pipeline.invoice.database import open_engine
from pipeline.invoice.store import InvoiceStore
from pipeline.job import State
from pipeline.outbox import DATABASE_NAME, JobFolder, Outbox
from pipeline.service import Service
from pipeline.status import look
from pipeline.worker import Worker

INVOICE = """Lantern Works Ltd
7 Quay Street, Bristol BS1 4DB
VAT no. GB123456782

Invoice number: LW-{number}
Date: 2025-03-04
Currency: GBP

Lamp repair              100.00
Net                      100.00
VAT 20 %                  20.00
Total GBP                120.00
"""
_LIMIT_SECONDS = 15.0


class FailingDisk(Disk):
    """Refuse what `refuses` says, from the `starts_at`-th operation on, until `mended`."""

    def __init__(self, number: int, *, refuses: Callable[[str, Path], bool], starts_at: int = 0) -> None:
        self.mended = True
        self.refused = 0
        self._number = number
        self._refuses = refuses
        self._left = starts_at

    def _mkdir(self, folder: Path) -> None:
        self._check("mkdir", folder)
        super()._mkdir(folder)

    def _write(self, path: Path, data: bytes, *, flags: int) -> None:
        try:
            self._check("write", path)
        except OSError:
            super()._write(path, data[: len(data) // 2], flags=flags)
            raise
        super()._write(path, data, flags=flags)

    def _rename(self, source: Path, target: Path) -> None:
        self._check("rename", source)
        super()._rename(source, target)

    def _sync_folder(self, folder: Path) -> None:
        """Leave out what only costs time here."""

    def _check(self, operation: str, path: Path) -> None:
        if self.mended or not self._refuses(operation, path):
            return
        self._left -= 1
        if self._left < 0:
            self.refused += 1
            raise OSError(self._number, os.strerror(self._number), str(path))


def takes_room(operation: str, path: Path) -> bool:  # noqa: ARG001 - one of the questions a disk may be asked
    """Say what a full disk refuses."""
    return operation in ("mkdir", "write")


@asynccontextmanager
async def daemon(folder: Path, disk: Disk) -> AsyncIterator[Service]:
    """Serve a folder for as long as the block runs."""
    (folder / "inbox").mkdir(exist_ok=True)
    (folder / "outbox").mkdir(exist_ok=True)
    database = open_engine(folder / "outbox" / DATABASE_NAME)
    outbox = Outbox(folder / "outbox", disk, JobIndex(database))
    outbox.prepare()
    async with DocumentReader(Settings().reading) as reader:
        worker = Worker(agents=AGENTS, reader=reader, model=RulesModel(), store=InvoiceStore(database))
        service = new_service(folder / "inbox", outbox, worker, disk=disk)
        with anyio.fail_after(_LIMIT_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(service.serve)
                yield service
                service.stop.set()
    database.dispose()


def drop(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / "inbox" / f"lamp-{number}.txt").write_text(INVOICE.format(number=number))


def finished(folder: Path) -> list[JobFolder]:
    return [JobFolder(path.parent) for path in sorted((folder / "outbox").glob("*/*/result.json"))]


async def until(condition: Callable[[], object]) -> None:
    """Look from outside, as a person would, until it is so."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(0.01)


def told(logs: list[EventDict], name: str) -> int:
    return sum(entry["event"] == name for entry in logs)


async def fails_and_is_mended(folder: Path, disk: FailingDisk, then: Callable[[], Awaitable[None]]) -> list[EventDict]:
    """Serve while the disk fails several times, mend it, wait, and return the log."""
    with capture_logs() as logs:
        async with daemon(folder, disk):
            disk.mended = False
            await then()
            await until(lambda: disk.refused >= 4)
            disk.mended = True
            await until(lambda: not any((folder / "inbox").iterdir()) and len(finished(folder)) == 3)
    return logs


_POINTS = [
    pytest.param(number, at, marks=() if number == errno.ENOSPC and at in (0, 9) else pytest.mark.slow)
    for number in (errno.ENOSPC, errno.EROFS, errno.EIO)
    for at in (0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 18, 21)
]


@pytest.mark.parametrize(("number", "starts_at"), _POINTS)
async def test_a_full_disk_costs_no_job_anything(tmp_path: Path, number: int, starts_at: int) -> None:
    """Whenever it begins, it is said once, everything waits, and afterwards every job ends as if nothing had been."""
    disk = FailingDisk(number, refuses=takes_room, starts_at=starts_at)

    async def then() -> None:
        drop(tmp_path, 1, 2, 3)

    logs = await fails_and_is_mended(tmp_path, disk, then)
    assert [job.state for job in finished(tmp_path)] == [State.DONE] * 3
    assert [job.result()["usage"]["attempts"] for job in finished(tmp_path)] == [1, 1, 1]  # type: ignore[index]
    assert (told(logs, "storage.lost"), told(logs, "storage.found")) == (1, 1)
    assert told(logs, "attempt.failed") == 0


async def test_a_read_only_inbox_is_waited_for(tmp_path: Path) -> None:
    """A file that cannot leave the inbox stays whole there, and nothing of it is left in the outbox meanwhile."""
    disk = FailingDisk(errno.EROFS, refuses=lambda operation, path: operation == "rename" and "inbox" in path.parts)

    async def then() -> None:
        drop(tmp_path, 1, 2, 3)
        await until(lambda: disk.refused >= 3)

    logs = await fails_and_is_mended(tmp_path, disk, then)
    assert told(logs, "storage.lost") == 1
    assert [job.state for job in finished(tmp_path)] == [State.DONE] * 3


async def test_a_vanished_inbox_is_told_once_and_served_again_when_it_is_back(tmp_path: Path) -> None:
    """An unmounted share is no reason to end."""
    with capture_logs() as logs:
        async with daemon(tmp_path, Disk()):
            (tmp_path / "inbox").rename(tmp_path / "away")
            await until(lambda: told(logs, "inbox.lost"))
            (tmp_path / "away").rename(tmp_path / "inbox")
            drop(tmp_path, 1)
            await until(lambda: finished(tmp_path))
    assert (told(logs, "inbox.lost"), told(logs, "inbox.found")) == (1, 1)


async def test_a_vanished_outbox_is_not_made_anew(tmp_path: Path) -> None:
    """What is written below an empty mount point would be hidden when the drive is back: intake waits instead."""
    with capture_logs() as logs:
        async with daemon(tmp_path, Disk()):
            (tmp_path / "outbox").rename(tmp_path / "away")
            drop(tmp_path, 1)
            await until(lambda: told(logs, "storage.lost"))
            assert not (tmp_path / "outbox").exists()
            (tmp_path / "away").rename(tmp_path / "outbox")
            await until(lambda: finished(tmp_path))
    assert (told(logs, "storage.lost"), told(logs, "storage.found")) == (1, 1)


async def test_a_file_that_cannot_be_read_stays_and_does_not_delay_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is logged once, however often the file is looked at."""
    digest, looks = outbox_module.content_digest, []

    def refuse(path: Path, agent: str) -> tuple[str, str]:
        if path.name == "lamp-1.txt":
            looks.append(path)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return digest(path, agent)

    monkeypatch.setattr(outbox_module, "content_digest", refuse)
    with capture_logs() as logs:
        async with daemon(tmp_path, Disk()):
            drop(tmp_path, 1, 2, 3)
            await until(lambda: len(finished(tmp_path)) == 2 and len(looks) > 3)
    assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["lamp-1.txt"]
    reasons = [entry["reason"] for entry in logs if entry["event"] == "file.not_claimed"]
    assert reasons == ["it cannot be read: Permission denied"]


async def test_a_file_without_the_right_to_read_it_shows_in_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never claimed, and says why; a superuser may read everything, so the system's answer is replaced."""
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("lamp-1.txt"))  # noqa: ARG005
    with capture_logs() as logs:
        async with daemon(tmp_path, Disk()):
            drop(tmp_path, 1, 2)
            await until(lambda: finished(tmp_path))
            database = open_engine(tmp_path / "outbox" / DATABASE_NAME)
            outbox = Outbox(tmp_path / "outbox", Disk(), JobIndex(database))
            status = look(tmp_path / "inbox", outbox, agents={"invoice": ()}, rate=0, finishes=[], hosts=[])
            database.dispose()
    assert [Path(one["path"]).name for one in status.ignored] == ["lamp-1.txt"]
    assert told(logs, "file.ignored") == 1


async def test_a_one_shot_command_ends_on_a_full_disk(tmp_path: Path) -> None:
    """`run` and `serve --once` do not wait for room: they end with the reason, and the jobs stay resumable."""
    disk = FailingDisk(errno.ENOSPC, refuses=takes_room, starts_at=4)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "outbox").mkdir()
    drop(tmp_path, 1)
    database = open_engine(tmp_path / "outbox" / DATABASE_NAME)
    outbox = Outbox(tmp_path / "outbox", disk, JobIndex(database))
    outbox.prepare()
    disk.mended = False
    async with DocumentReader(Settings().reading) as reader:
        worker = Worker(agents=AGENTS, reader=reader, model=RulesModel(), store=InvoiceStore(database))
        service = new_service(tmp_path / "inbox", outbox, worker, disk=disk, one_shot=True)
        with anyio.fail_after(_LIMIT_SECONDS):
            await service.serve(once=True)
    database.dispose()
    lost = service._engine.host_lost
    assert lost is not None
    assert "No space left" in lost.message
    assert [job.state for job in outbox.all_jobs()] == [State.WORKING]
