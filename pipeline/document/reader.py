"""Read documents in child processes, so that no file can hang, crash or bloat the pipeline."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

import anyio
import structlog
from anyio import to_thread

from pipeline.document.combine import finished, joined, recovered
from pipeline.document.limits import OUT_OF_MEMORY_EXIT, ReadingSettings
from pipeline.document.model import PAGED_TYPES, PDF_TYPE, Document
from pipeline.document.process import Json, Parser, ReaderExit, ReaderGone, ReaderProcess
from pipeline.document.refusal import Reason, refusal
from pipeline.document.scan.drawing import draw_png
from pipeline.document.scan.reader import ScanReader
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import DocumentError

log = structlog.get_logger()

_LOADING_SECONDS = 0.2


class DocumentReader:
    """Read files side by side in a few reader processes, which start when needed and end with the context.

    A PDF is read twice, by two libraries in two processes: the first for its text, the second for what the first
    could not read and for the places of words. A crash of the second costs only these.
    """

    def __init__(self, settings: ReadingSettings | None = None, scan: ScanSettings | None = None) -> None:
        self._settings = settings or ReadingSettings()
        self._first = _Readers(self._settings, Parser.FIRST)
        self._second = _Readers(self._settings, Parser.SECOND)
        self._scan = scan or ScanSettings()
        self._scans = ScanReader(self._scan, self._settings)
        self._limiter = anyio.CapacityLimiter(self._settings.processes)

    async def __aenter__(self) -> DocumentReader:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._first.stop()
        await self._second.stop()
        await self._scans.stop()

    async def prepare(self) -> None:
        """Start the process that every file goes through, so that the first one does not wait for it."""
        await self._first.prepare()

    async def read(self, path: Path, *, name: str = "") -> Document:
        """Return the document in the file, under `name` (default: the file's own).

        Raise `DocumentError` where it cannot be read within the limits; other reads go on unharmed.
        """
        name = name or path.name
        async with self._limiter:
            document = await self._read_text(path, name=name)
        if document.media_type not in PAGED_TYPES:
            return document
        # Recognition has a process and a turn of its own: scans do not hold up texts.
        document = await self._scans.complete(document, path)
        return await to_thread.run_sync(partial(finished, document, settings=self._settings, hint=self._scans.hint))

    async def draw(self, path: Path, number: int, *, name: str) -> bytes:
        """Return a page of a PDF as a PNG file; raise `DocumentError` where it cannot be drawn."""
        return await draw_png(path, number, name=name, settings=self._scan, reading=self._settings)

    async def _read_text(self, path: Path, *, name: str) -> Document:
        try:
            first = await self._first.read(path, name=name)
        except DocumentError as error:
            second = await self._read_again(path, name=name) if error.reason == Reason.DAMAGED else None
            if second is None:
                raise
            log.info("document.recovered", document=name, pages=len(second.pages))
            return await to_thread.run_sync(recovered, second)
        if first.media_type != PDF_TYPE:
            return first
        second = await self._read_again(path, name=name)
        return await to_thread.run_sync(joined, first, second)

    async def _read_again(self, path: Path, *, name: str) -> Document | None:
        """Return what the second reader makes of a PDF; None where it fails, whatever the way."""
        try:
            return await self._second.read(path, name=name)
        except DocumentError as error:
            log.info("document.not_read_again", document=name, reason=error.reason)
            return None


class _Readers:
    """Hold the processes of one parser."""

    def __init__(self, settings: ReadingSettings, parser: Parser) -> None:
        self._settings = settings
        self._parser = parser
        self._idle: list[ReaderProcess] = []
        self._busy = 0
        self._freed = anyio.Event()

    async def prepare(self) -> None:
        """Start one process where none is; what keeps it from starting is told by the first read."""
        if not self._idle:
            with suppress(DocumentError):
                self._idle.append(await self._start(""))

    async def stop(self) -> None:
        while self._idle:
            await self._idle.pop().stop()

    async def read(self, path: Path, *, name: str) -> Document:
        """Return the document as this parser reads it; each way to fail is a `DocumentError`."""
        try:
            reply = await self._ask({"path": str(path), "name": name})
        except TimeoutError as error:
            log.warning("reader.stopped", document=name, wall_seconds=self._settings.wall_seconds)
            raise refusal(Reason.TIMEOUT, name, transient=True) from error
        except ReaderExit as error:
            log.warning("reader.exited", document=name, code=error.code)
            raise _exit_refusal(error.code, name) from error
        return _document(reply)

    async def _ask(self, request: Json) -> Json:
        """Hand the request to a living reader; one that died while it was idle is replaced."""
        await self._await_another()
        try:
            reader = self._idle.pop() if self._idle else await self._start(request["name"])
            return await self._ask_one(reader, request)
        except ReaderGone:
            return await self._ask_one(await self._start(request["name"]), request)

    async def _await_another(self) -> None:
        """Wait a moment where all readers are busy: most are free again before a new one would be loaded."""
        with anyio.move_on_after(_LOADING_SECONDS):
            while self._busy and not self._idle:
                await self._freed.wait()

    async def _start(self, name: str) -> ReaderProcess:
        try:
            return await ReaderProcess.start(self._settings, self._parser)
        except (ReaderExit, TimeoutError, OSError) as error:
            log.warning("reader.failed_to_start", error=str(error))
            detail = "could not be read: no reader process could be started"
            hint = "The computer may be short of memory; try again when it is less busy."
            raise refusal(Reason.READER_DIED, name, detail=detail, hint=hint, transient=True) from error

    async def _ask_one(self, reader: ReaderProcess, request: Json) -> Json:
        self._busy += 1
        try:
            with anyio.fail_after(self._settings.wall_seconds):
                reply = await reader.ask(request)
        except BaseException:
            await reader.stop()
            raise
        finally:
            self._busy -= 1
            self._freed.set()
            self._freed = anyio.Event()
        if reader.reads < self._settings.reads_per_process:
            self._idle.append(reader)
        else:
            await reader.stop()
        return reply


def _exit_refusal(code: int, name: str) -> DocumentError:
    if code == OUT_OF_MEMORY_EXIT:
        return refusal(Reason.TOO_MUCH_MEMORY, name)
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        return refusal(Reason.TIMEOUT, name)
    return refusal(Reason.READER_DIED, name, transient=True)


def _document(reply: Json) -> Document:
    if "document" in reply:
        return Document.from_json(reply["document"])
    if "cause" in reply:
        log.info("document.refused", reason=reply["error"]["reason"], cause=reply["cause"])
    raise DocumentError(**reply["error"])
