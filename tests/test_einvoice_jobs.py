"""E-invoices as jobs: from the inbox to the outbox, with no model server anywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from einvoice_files import Facts, Item, attach, cii, ubl
from odd_files import LINES, make_pdf, make_picture_pdf, save

from pipeline.app import App, open_app
from pipeline.config import Settings
from pipeline.invoice.model import loads
from pipeline.replay import replay_recorded

SCHEMA = json.loads((Path(__file__).parent.parent / "pipeline" / "result.schema.json").read_text(encoding="utf-8"))
# The page of these lines says the same.
PAGE_FACTS = Facts(
    number="BP-1042",
    date="2026-03-14",
    due="2026-03-28",
    net="80.00",
    tax="16.00",
    total="96.00",
    rate="20",
    vendor="Brightwater Print Shop",
    lines=(Item("Business cards", "500", "0.16", "80.00"),),
)


@pytest.fixture
def lonely(settings: Settings) -> Settings:
    """Return settings whose model server does not exist."""
    return settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})})


@asynccontextmanager
async def ended(settings: Settings, *paths: Path) -> AsyncIterator[tuple[App, list[dict[str, Any]]]]:
    """Work the files off and give their results."""
    async with open_app(settings, doing="test", one_shot=True) as app:
        names = await app.service.run([(path, "invoice") for path in paths])
        files = [app.folders.outbox.find(name).path / "result.json" for name in names]
        yield app, [loads(file.read_text(encoding="utf-8")) for file in files]


async def test_an_xrechnung_needs_no_model(lonely: Settings, tmp_path: Path) -> None:
    """An XML file ends in done with exact values, and says that no model was used."""
    path = save(tmp_path, "rechnung.xml", ubl(Facts()))
    async with ended(lonely, path) as (app, [result]):
        jsonschema.validate(result, SCHEMA)
        assert (result["status"], result["kind"], result["findings"]) == ("done", "invoice", [])
        assert result["invoice"]["total_amount"] == Decimal("1190.00")
        assert result["evidence"]["total_amount"] == {"page": 1, "quote": "cbc:TaxInclusiveAmount 1190.00"}
        assert (result["versions"]["model"], result["usage"]["model_calls"]) == (None, 0)
        assert [stored.invoice.invoice_number for stored in app.folders.store.rows()] == [Facts().number]


async def test_a_job_replays_from_its_record_and_stores_once(lonely: Settings, tmp_path: Path) -> None:
    """The result is the same again, from the trace alone, and the database is not touched."""
    path = save(tmp_path, "rechnung.pdf", attach(make_pdf(LINES), ("factur-x.xml", cii(PAGE_FACTS))))
    async with ended(lonely, path) as (app, [result]):
        assert result["status"] == "done"
        before = list(app.folders.store.rows())
        (job,) = app.folders.outbox.all_jobs()
        recorded = await replay_recorded(job, app.worker)
        assert recorded.same, recorded
        assert list(app.folders.store.rows()) == before


async def test_a_page_that_contradicts_the_xml_is_for_review(lonely: Settings, tmp_path: Path) -> None:
    """The values of the XML are kept, in review, and so they are stored."""
    tenfold = replace(PAGE_FACTS, net="800.00", tax="160.00", total="960.00")
    path = save(tmp_path, "rechnung.pdf", attach(make_pdf(LINES), ("factur-x.xml", cii(tenfold))))
    async with ended(lonely, path) as (app, [result]):
        assert result["status"] == "review"
        assert ("xml_page_mismatch", "total_amount") in {(one["code"], one["field"]) for one in result["findings"]}
        assert [stored.status for stored in app.folders.store.rows()] == ["review"]


async def test_a_broken_einvoice_leaves_the_page_to_the_model(settings: Settings, tmp_path: Path) -> None:
    """The session takes place as without an attachment, and the result tells of it."""
    path = save(tmp_path, "rechnung.pdf", attach(make_pdf(LINES), ("factur-x.xml", cii(PAGE_FACTS)[:700])))
    async with ended(settings, path) as (_, [result]):
        assert result["usage"]["model_calls"] > 0
        assert "einvoice_unreadable" in {one["code"] for one in result["findings"]}


async def test_a_scan_with_a_broken_einvoice_fails_with_a_reason(lonely: Settings, tmp_path: Path) -> None:
    """Where neither page nor XML can be read no model is asked about nothing."""
    path = save(tmp_path, "scan.pdf", attach(make_picture_pdf(), ("factur-x.xml", "<broken")))
    async with ended(lonely, path) as (_, [result]):
        assert result["status"] == "failed"
        assert result["error"]["type"] == "DocumentError.no_text"
