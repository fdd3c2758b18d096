"""Whole sessions with models that are bad at tools."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pipeline.app import open_app
from pipeline.config import Settings
from pipeline.invoice.model import loads
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.replay import replay_recorded
from pipeline.trace import read_events

_TEXT = """Harbour Repairs Ltd
{number} Quay Street, Bristol BS1 4DB

Invoice number: JS-{number}
Date: 2025-03-04
Currency: GBP

Repair of pump {number}    100.00
Net       100.00
VAT 20 %   20.00
Total GBP 120.00
"""


async def work_off(settings: Settings, count: int, *, one_by_one: bool = False) -> list[dict[str, Any]]:
    """Send so many invoices through; return their results by name. Every job must replay from its record."""
    folder = settings.folders.inbox.parent
    files = [folder / f"{number}.txt" for number in range(101, 101 + count)]
    for file in files:
        file.write_text(_TEXT.format(number=file.stem), encoding="utf-8")
    updated = settings.model_copy(update={"daemon": settings.daemon.model_copy(update={"concurrency": 1})})
    async with open_app(updated if one_by_one else settings, doing="test", one_shot=True) as app:
        await app.service.run([(file, "invoice") for file in files])
        for job in app.folders.outbox.all_jobs():
            assert (await replay_recorded(job, app.worker)).same
    found = [loads(path.read_text(encoding="utf-8")) for path in settings.folders.outbox.glob("*/*/result.json")]
    return sorted(found, key=lambda result: str(result["source"]["name"]))


@pytest.fixture
async def stand_in() -> Any:
    """Serve a model that writes text where it should call a tool, under a strict template."""
    async with StandInServer(StandInSettings(tool_use=False, strict_roles=True)) as server:
        yield server


async def test_a_model_that_calls_no_tools_is_spoken_with_in_json(settings: Settings, stand_in: StandInServer) -> None:
    """The first job finds it out, the later ones know it, and all are done right in one attempt."""
    results = await work_off(settings, 3, one_by_one=True)

    assert [result["status"] for result in results] == ["done"] * 3
    assert [result["invoice"]["total_amount"] for result in results] == [Decimal("120.00")] * 3
    assert [result["usage"]["attempts"] for result in results] == [1] * 3
    assert [result["usage"]["model_calls"] for result in results] == [5, 3, 3]
    assert stand_in.stats.by_status[400] == 0


async def test_the_choice_is_on_record(settings: Settings, stand_in: StandInServer) -> None:
    """A job that begins in JSON because of an earlier one says so in its trace."""
    await work_off(settings, 2, one_by_one=True)

    (second,) = settings.folders.outbox.glob("done/102-*")
    steps = [one.get("step") for one in read_events(second / "trace.jsonl")]
    assert "language-1" in steps
    assert stand_in.stats.by_kind["plan"] == 4
