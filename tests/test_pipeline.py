"""The whole pipeline in one process: inbox, jobs, agent sessions over HTTP, outbox."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from conftest import settings_over

from pipeline.app import App, open_app
from pipeline.config import Settings
from pipeline.invoice.model import loads
from pipeline.job import FINISHED, State
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.replay import replay_recorded
from pipeline.trace import read_events

SAMPLES = Path(str(resources.files("pipeline.demo_samples")))
TRUTH = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((Path(__file__).parent.parent / "pipeline" / "result.schema.json").read_text(encoding="utf-8"))


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[App]:
    """Serve an inbox for the time of the block, then drain."""
    async with open_app(settings, doing="test") as app, anyio.create_task_group() as tasks:
        tasks.start_soon(app.service.serve)
        yield app
        app.service.stop.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, half a minute at most."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - looks at folders from outside, as a user would
            await anyio.sleep(0.02)


def finished(app: App) -> int:
    """Count the jobs that have ended."""
    return sum(app.folders.outbox.count(state) for state in FINISHED)


def results(outbox: Path) -> dict[str, dict[str, Any]]:
    """Return every result by the name of its file."""
    found = [loads(path.read_text(encoding="utf-8")) for path in outbox.glob("*/*/result.json")]
    return {result["source"]["name"]: result for result in found}


@pytest.fixture(scope="module")
def worked_off(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Send all samples through the pipeline, once for the tests that only look at what came of them."""
    place = tmp_path_factory.mktemp("samples")

    async def work() -> Settings:
        async with StandInServer(StandInSettings()) as server:
            settings = settings_over(place, server)
            async with serving(settings) as app:
                for name in TRUTH:
                    shutil.copyfile(SAMPLES / name, settings.folders.inbox / name)
                own = [name for name, truth in TRUTH.items() if "duplicate_of" not in truth]
                await until(lambda: finished(app) == len(own) and not list(settings.folders.inbox.glob("*.*")))
        return settings

    return anyio.run(work)


@pytest.fixture
def sample_results(worked_off: Settings) -> dict[str, dict[str, Any]]:
    """Return the results of all samples."""
    return results(worked_off.folders.outbox)


async def test_every_sample_ends_where_it_should_with_the_values_it_shows(
    sample_results: dict[str, dict[str, Any]],
) -> None:
    """Samples end in the state their truth names, and no number, date or total of a `done` one is wrong."""
    twins = {truth["duplicate_of"] for truth in TRUTH.values() if "duplicate_of" in truth}
    for name, truth in TRUTH.items():
        if "duplicate_of" in truth or name in twins:
            continue
        result = sample_results[name]
        jsonschema.validate(result, SCHEMA)
        if result["status"] == "done" and truth["state"] == "done" and truth["kind"] != "other":
            invoice = result["invoice"]
            assert invoice["invoice_number"] == truth["number"], name
            assert invoice["date"] == truth["date"], name
            assert invoice["total_amount"] == Decimal(truth["total"]), name
        if truth["state"] != "done":
            assert result["status"] == truth["state"], name
    assert sum(result["status"] == "done" for result in sample_results.values()) >= len(sample_results) / 2


async def test_the_same_content_under_two_names_is_one_job(sample_results: dict[str, dict[str, Any]]) -> None:
    """Of two files with the same bytes one makes a job and the other only leaves the inbox."""
    pairs = [(name, truth["duplicate_of"]) for name, truth in TRUTH.items() if "duplicate_of" in truth]
    assert pairs
    for twin, first in pairs:
        assert len({twin, first} & sample_results.keys()) == 1


async def test_every_sample_replays_from_its_record(
    sample_results: dict[str, dict[str, Any]], worked_off: Settings
) -> None:
    """Every job gives the same result again from its trace alone, without a model."""
    async with open_app(worked_off, doing="test") as app:
        jobs = list(app.folders.outbox.all_jobs())
        assert len(jobs) == len(sample_results)
        for job in jobs:
            recorded = await replay_recorded(job, app.worker)
            assert recorded.same, recorded


async def test_a_source_file_in_an_agents_folder_gives_an_answer(settings: Settings) -> None:
    """A file dropped into inbox/code-review/ ends with prose in `answer`, made by that agent."""
    async with serving(settings) as app:
        folder = settings.folders.inbox / "code-review"
        await until(settings.folders.inbox.is_dir)
        folder.mkdir()
        (folder / "sum.py").write_text("def add(a, b):\n    return a - b\n")
        await until(lambda: finished(app) == 1)
    (result,) = results(settings.folders.outbox).values()
    assert (result["agent"], result["status"], result["invoice"]) == ("code-review", "done", None)
    assert result["answer"]
    jsonschema.validate(result, SCHEMA)


async def test_a_file_dropped_again_costs_no_model_call(settings: Settings, stand_in: StandInServer) -> None:
    """The same bytes under another name leave the inbox without a second job and without a call."""
    text = (SAMPLES / "copper-kettle-receipt.txt").read_bytes()
    async with serving(settings) as app:
        (settings.folders.inbox / "first.txt").write_bytes(text)
        await until(lambda: finished(app) == 1)
        calls = stand_in.stats.requests
        (settings.folders.inbox / "second.txt").write_bytes(text)
        await until(lambda: not (settings.folders.inbox / "second.txt").exists())
    assert stand_in.stats.requests == calls
    assert list(results(settings.folders.outbox)) == ["first.txt"]


async def test_the_document_goes_to_the_server_with_every_call_but_is_never_written_by_the_model(
    settings: Settings,
) -> None:
    """What the model writes stays a small part of what the document holds."""
    name = "brueckner-werkzeug-juli.pdf"
    async with serving(settings) as app:
        shutil.copyfile(SAMPLES / name, settings.folders.inbox / name)
        await until(lambda: finished(app) == 1)
    (job,) = (job for job in app.folders.outbox.all_jobs() if job.state is not State.WORKING)
    events = list(read_events(job.trace_path))
    (document,) = (one for one in events if one["event"] == "document.read")
    lines = [line.strip() for page in document["output"]["pages"] for line in page["text"].splitlines()]
    loop_calls = [
        call["arguments"] for one in events if one["event"] == "model.replied" for call in one["output"]["tool_calls"]
    ]
    assert loop_calls
    assert not any(line in arguments for line in lines if len(line) > 20 for arguments in loop_calls)


_UNEQUAL = """Lantern Works Ltd
7 Quay Street, Bristol BS1 4DB

Invoice number: LW-2041
Date: 2025-03-04
Currency: GBP

Lamp repair              100.00
Net                      100.00
VAT 20 %                  20.00
Total GBP                {total}
"""


async def test_an_invoice_in_order_takes_two_calls_and_one_in_doubt_a_third_for_the_second_look(
    settings: Settings,
) -> None:
    """Choosing and extracting are enough where nothing contradicts; an error goes back to the model once."""
    async with serving(settings) as app:
        # One after the other: whichever is stored second has the first as its rival.
        for count, (name, total) in enumerate((("in-order.txt", "120.00"), ("in-doubt.txt", "125.00")), start=1):
            (settings.folders.inbox / name).write_text(_UNEQUAL.format(total=total))
            await until(lambda count=count: finished(app) == count)
    told = {
        name: (one["status"], one["usage"]["model_calls"]) for name, one in results(settings.folders.outbox).items()
    }
    assert told == {"in-order.txt": ("done", 2), "in-doubt.txt": ("review", 3)}
