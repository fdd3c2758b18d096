"""Read pages that have no usable text from their pictures, in one process that is started when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import structlog

from pipeline.document.limits import IDLE_EXIT, OUT_OF_MEMORY_EXIT, ReadingSettings
from pipeline.document.model import PDF_TYPE, Document, Notice, Page, PageReason
from pipeline.document.process import Json, ReaderExit, ReaderGone, ReaderProcess
from pipeline.document.scan.presence import INSTALL_HINT, missing_libraries
from pipeline.document.scan.settings import ScanSettings
from pipeline.document.text import visible_characters

log = structlog.get_logger()


class ScanReader:
    """Fill pages from their pictures; one page at a time, for recognition takes a processor for seconds."""

    def __init__(self, settings: ScanSettings, reading: ReadingSettings) -> None:
        self._settings = settings
        self._reading = reading
        self._process: ReaderProcess | None = None
        self._turn = anyio.CapacityLimiter(1)

    def hint(self) -> str:
        """Return what would help with a document in which no text was found."""
        if self._settings.method == "off":
            return 'It is probably a scan: [scan] method = "auto" in the settings lets it be read.'
        return INSTALL_HINT if missing_libraries() else _UNREADABLE_HINT

    async def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            await process.stop()

    async def complete(self, document: Document, path: Path) -> Document:
        """Return the document with the pages that lacked text as their pictures show them.

        A page that cannot be read is named in a notice; the others are kept.
        """
        wanted = [page.number for page in document.pages if _needs_picture(page, self._reading)]
        # What an e-invoice says needs no page.
        if not wanted or document.attachments:
            return document
        recognition = not missing_libraries()
        if recognition and self._settings.recognises:
            document = await self._recognised(document, path, list(wanted))
        if document.media_type == PDF_TYPE and self._settings.shows(recognition=recognition):
            shown = set(wanted[: self._settings.max_pages])
            pages = (replace(page, picture=page.number in shown) for page in document.pages)
            document = replace(document, pages=tuple(pages))
        return document

    async def _recognised(self, document: Document, path: Path, wanted: list[int]) -> Document:
        work = _Work({page.number: page for page in document.pages})
        async with self._turn:
            await self._read_all(wanted, document, path, work)
        pages = tuple(work.pages[number] for number in sorted(work.pages))
        log.info("document.recognised", document=document.name, pages=work.taken, unread=len(work.notices))
        return replace(document, pages=pages, notices=(*document.notices, *work.notices))

    async def _read_all(self, wanted: list[int], document: Document, path: Path, work: _Work) -> None:
        for place, number in enumerate(wanted, 1):
            if place > self._settings.max_pages:
                words = f"Page {number} was not read: of a scan, {self._settings.max_pages} pages are."
                work.notices.append(Notice(words, gap=True))
                continue
            reply = await self._read_page(path, document.name, number)
            if "page" not in reply:
                words = f"Page {number} is a picture that could not be read ({reply['problem']})."
                work.notices.append(Notice(words, gap=True))
                continue
            work.take(Page.from_json(reply["page"]))
            if document.media_type != PDF_TYPE and place == 1:
                # How many pages a picture file has shows only when it is opened.
                wanted.extend(range(2, min(reply["pages"], self._reading.max_pages) + 1))
                if reply["pages"] > self._reading.max_pages:
                    words = f"The file has {reply['pages']} pages; the first {self._reading.max_pages} were looked at."
                    work.notices.append(Notice(words, gap=True))

    async def _read_page(self, path: Path, name: str, number: int) -> Json:
        """Return the reply with the page, or with the problem in a few words."""
        try:
            reply = await self._ask({"path": str(path), "name": name, "page": number})
        except TimeoutError:
            problem = "it takes too long"
        except ReaderExit as error:
            problem = "it needs too much memory" if error.code == OUT_OF_MEMORY_EXIT else "recognition broke off"
            log.warning("recognition.exited", document=name, page=number, code=error.code)
        except OSError as error:
            problem = "recognition could not be started"
            log.warning("recognition.failed_to_start", error=str(error))
        else:
            if "cause" in reply:
                log.info("page.refused", document=name, page=number, cause=reply["cause"])
            return reply if "page" in reply else {"problem": reply["error"]["message"].removeprefix(f"{name} ")}
        return {"problem": problem}

    async def _ask(self, request: Json) -> Json:
        """Hand the request to a living process; one that ended while it was idle is replaced."""
        try:
            return await self._ask_one(request)
        except ReaderExit as error:
            if not isinstance(error, ReaderGone) and error.code != IDLE_EXIT:
                raise
            return await self._ask_one(request)

    async def _ask_one(self, request: Json) -> Json:
        process = self._process or await self._start()
        self._process = None
        try:
            with anyio.fail_after(self._settings.page_wall_seconds):
                reply = await process.ask(request)
        except BaseException:
            await process.stop()
            raise
        if process.reads < self._settings.pages_per_process:
            self._process = process
        else:
            await process.stop()
        return reply

    async def _start(self) -> ReaderProcess:
        # Text as in any document, and the place of each word.
        room = 12 * self._reading.max_characters + 100 * self._reading.max_characters
        return await ReaderProcess.launch(
            "pipeline.document.scan.child:main",
            self._settings.model_dump_json(),
            self._reading.revealed(),
            start_seconds=self._settings.start_seconds,
            max_reply_bytes=room,
        )


_UNREADABLE_HINT = "Nothing could be recognised in its pictures: scan it again, sharper and in at least 150 dpi."
# The picture must show so many times more than the text layer before it is believed instead.
_MUCH_MORE = 1.5
_DOUBTS = frozenset({PageReason.NO_TEXT, PageReason.UNMAPPED, PageReason.DAMAGED, PageReason.UNDERLAY})


@dataclass
class _Work:
    """Hold the pages as far as they are read."""

    pages: dict[int, Page]
    notices: list[Notice] = field(default_factory=list)
    taken: int = 0

    def take(self, read: Page) -> None:
        """Put a page in its place where it shows more than what was there."""
        before = self.pages.get(read.number, Page(read.number, "", reason=PageReason.NO_TEXT))
        seen, had = visible_characters(read.text), visible_characters(before.text)
        trusted = before.reason in (PageReason.UNMAPPED, PageReason.UNDERLAY)
        if seen > (0 if trusted else _MUCH_MORE * had):
            self.pages[read.number] = replace(read, reason=before.reason)
            self.taken += 1
        else:
            self.pages[read.number] = before


def _needs_picture(page: Page, reading: ReadingSettings) -> bool:
    """Say whether a page may show what its text does not say."""
    if page.reason == PageReason.BLANK:
        return False
    return page.reason in _DOUBTS or visible_characters(page.text) < reading.min_pdf_characters
