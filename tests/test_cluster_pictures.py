"""Pages of scans are drawn where the file lies, and shown to a model elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from odd_files import make_picture_pdf
from test_seeing import Eyes

from pipeline.agents import load_agents
from pipeline.cluster.task import AwayJob
from pipeline.config import Settings, shipped_config
from pipeline.correcting import CorrectedBody
from pipeline.disk import Disk
from pipeline.document.model import Document
from pipeline.document.reader import DocumentReader
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import DocumentError
from pipeline.invoice.database import open_engine
from pipeline.invoice.store import InvoiceStore
from pipeline.job import Claim, fold
from pipeline.journal import open_journal
from pipeline.llm.pool import pool_from
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.outbox import JobFolder
from pipeline.result import Outcome
from pipeline.trace import Event
from pipeline.worker import Worker

CLAIM = Claim("scan", "invoice", "scan.pdf", "0" * 64, 1, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """Give the folder of a job whose document is a picture, as it lies at the hub."""
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "source.pdf").write_bytes(make_picture_pdf())
    return JobFolder(tmp_path / "scan")


async def at_hub_and_elsewhere(settings: Settings, folder: JobFolder, eyes: Eyes, *, picture_bytes: int) -> Outcome:
    """Read the document at the hub, and run its session with nothing but what travels."""
    from pipeline.cluster.hub_parts import HubsBody  # noqa: PLC0415 - loads what only clusters need

    events: list[Event] = []

    async def sink(new: Sequence[Event]) -> None:
        events.extend(new)

    database = open_engine(None)
    store = InvoiceStore(database)
    async with StandInServer(StandInSettings(vision=True), answering=eyes) as server:
        model = pool_from(settings.llm.model_copy(update={"base_url": server.base_url}))
        async with DocumentReader(scan=ScanSettings(method="vision")) as reader:
            worker = Worker(agents=load_agents(shipped_config()), reader=reader, model=model, store=store)
            hub = HubsBody(worker, CorrectedBody(worker, store, Disk(), reader), reader, picture_bytes=picture_bytes)
            document: Document = await hub.read(folder, CLAIM, open_journal(fold(events), sink))
            away = AwayJob("scan", await hub.pictures(folder, document))
            try:
                return await worker(away, CLAIM, open_journal(fold(events), sink))
            finally:
                await model.aclose()
                database.dispose()


async def test_pictures_travel_with_the_job(settings: Settings, folder: JobFolder) -> None:
    """The model sees the page, though no file is where it is asked."""
    eyes = Eyes()
    outcome = await at_hub_and_elsewhere(settings, folder, eyes, picture_bytes=1_000_000)
    assert (outcome.invoice or {})["invoice_number"] == "S-17"
    assert eyes.seen[0].startswith("data:image/png;base64,")


async def test_pictures_that_are_too_large_stay(settings: Settings, folder: JobFolder) -> None:
    """The job is then one for a model that does not see; of a scan without text that is a refusal with its remedy."""
    eyes = Eyes()
    with pytest.raises(DocumentError, match="text"):
        await at_hub_and_elsewhere(settings, folder, eyes, picture_bytes=10)
    assert eyes.seen == []
