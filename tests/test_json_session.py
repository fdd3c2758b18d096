"""Whole sessions with models that are bad at tools."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.app import open_app
from pipeline.config import Settings, shipped_config
from pipeline.doctor import Grade, examine_setup
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


async def work_off(
    settings: Settings, count: int, *, one_by_one: bool = False, replays: bool = True
) -> list[dict[str, Any]]:
    """Send so many invoices through; return their results by name. Every job must replay from its record."""
    folder = settings.folders.inbox.parent
    files = [folder / f"{number}.txt" for number in range(101, 101 + count)]
    for file in files:
        file.write_text(_TEXT.format(number=file.stem), encoding="utf-8")
    updated = settings.model_copy(update={"daemon": settings.daemon.model_copy(update={"concurrency": 1})})
    async with open_app(updated if one_by_one else settings, doing="test", one_shot=True) as app:
        await app.service.run([(file, "invoice") for file in files])
        for job in app.folders.outbox.all_jobs() if replays else ():
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


@pytest.mark.slow
@pytest.mark.parametrize("model", [{"tool_use": False}, {"tool_template": False}], ids=["text", "refused"])
async def test_the_choice_outlives_the_process_and_the_model_it_was_made_for(
    settings: Settings, model: dict[str, bool]
) -> None:
    """A later process begins in JSON with the same model, and tries tools with another one."""
    async with StandInServer(StandInSettings(strict_roles=True, **model)) as server:
        own = settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": server.base_url})})
        first = await work_off(own, 1)
        refused = server.stats.by_status[400]
        both = await work_off(own, 2)
        assert server.stats.by_status[400] == refused
        server.settings = server.settings.model_copy(update={"models": ("stand-in/renamed",)})
        await work_off(own, 3)
        steps = [one.get("step") for one in read_events(*own.folders.outbox.glob("done/103-*/trace.jsonl"))]
    assert first[0]["usage"]["model_calls"] == (5 if "tool_use" in model else 3)
    assert both[1]["usage"]["model_calls"] == 3
    assert {result["status"] for result in both} == {"done"}
    assert "language-1" not in steps


async def test_a_template_that_refuses_tools_costs_no_attempt(settings: Settings) -> None:
    """The refusal is on record, the session goes on in JSON at once, and replays so."""
    async with StandInServer(StandInSettings(tool_template=False, strict_roles=True)) as server:
        own = settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": server.base_url})})
        (result,) = await work_off(own, 1)
    assert (result["status"], result["usage"]["attempts"], result["usage"]["model_calls"]) == ("done", 1, 3)
    (trace,) = own.folders.outbox.glob("done/101-*/trace.jsonl")
    assert [one["step"] for one in read_events(trace) if one["event"] == "request.refused"] == ["model-1"]


async def test_an_agent_that_insists_on_tools_fails_without_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `language = "tools"` nothing is tried instead, and nothing is remembered."""
    config = shutil.copytree(shipped_config(), tmp_path / "config")
    agent = config / "agents" / "invoice.toml"
    agent.write_text(agent.read_text().replace("[model]\n", '[model]\nlanguage = "tools"\n'))
    monkeypatch.setenv("PIPELINE_CONFIG", str(config))
    async with StandInServer(StandInSettings(tool_template=False)) as server:
        own = settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": server.base_url})})
        (result,) = await work_off(own, 1, replays=False)
    assert (result["status"], result["error"]["type"]) == ("failed", "RequestRefused")


async def test_doctor_tells_sessions_what_it_has_found(settings: Settings) -> None:
    """After a tool call that failed sessions begin in JSON, and after one that worked they call tools again."""
    async with StandInServer(StandInSettings(tool_use=False)) as server:
        own = settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": server.base_url})})
        assert [check.grade async for check in examine_setup(own) if check.name == "tool call"] == [Grade.POOR]
        (result,) = await work_off(own, 1)
        server.settings = server.settings.model_copy(update={"tool_use": True})
        assert [check.grade async for check in examine_setup(own) if check.name == "tool call"] == [Grade.GOOD]
        await work_off(own, 2)
        steps = [one.get("step") for one in read_events(*own.folders.outbox.glob("done/102-*/trace.jsonl"))]
    assert result["usage"]["model_calls"] == 3
    assert "language-1" not in steps
