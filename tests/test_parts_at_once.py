"""Parts of a long document that are read beside each other: quick as the host allows, on record as if in turn."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from test_long_documents import dropped, long_invoice, price_of, result_of, working

from pipeline.agents import AgentSettings
from pipeline.app import App
from pipeline.config import Settings
from pipeline.job import DOCUMENT_STEP, JobRecord, fold
from pipeline.journal import open_journal
from pipeline.llm.standin import CallKind, Fault, FaultRule, StandInServer, StandInSettings
from pipeline.outbox import JobFolder
from pipeline.replay import replay_recorded
from pipeline.trace import Event, read_events
from pipeline.worker import Worker

# Its answer does not fit what an answer may have, so it is asked for in parts that leave room beside each other.
HOST = StandInSettings(context_tokens=65_536)


@pytest.fixture
def asked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the whole asked for first, as where the length of the answer cannot be foretold."""
    monkeypatch.setattr("pipeline.tools.reading_in_parts._MOST_CHARACTERS_PER_ANSWER_TOKEN", 100)


@asynccontextmanager
async def read_document(
    tmp_path: Path, settings: Settings, host: StandInSettings = HOST, *, rows: int = 25
) -> AsyncIterator[tuple[App, StandInServer, JobFolder]]:
    """Read a long invoice in parts, and give what did it with the job."""
    async with StandInServer(host) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice(rows=rows)), "invoice")])
        (job,) = app.folders.outbox.all_jobs()
        result = result_of(settings, "long.txt")
        assert (result["status"], result["usage"]["attempts"]) == ("done", 1), result["error"] or result["findings"][:3]
        prices = [line["unit_price"] for line in result["invoice"]["line_items"]]
        assert prices == [price_of(number) for number in range(12 * rows)]
        yield app, server, job


def with_parts_at_once(app: App, number: int) -> Worker:
    """Return a worker whose agent reads so many parts at once."""
    agent: AgentSettings = app.folders.agents["invoice"]
    parts = agent.parts.model_copy(update={"at_once": number})
    return Worker(
        agents={"invoice": agent.model_copy(update={"parts": parts})},
        reader=None,  # type: ignore[arg-type] - the document is on record
        model=app.worker._model,
        store=app.folders.store,
    )


@pytest.mark.slow
async def test_parts_are_read_beside_each_other(tmp_path: Path, settings: Settings) -> None:
    """Behind the first part as many as allowed are asked for at once; the record replays whatever that number is."""
    host = HOST.model_copy(update={"delay_seconds": 0.6})
    async with read_document(tmp_path, settings, host) as (app, server, job):
        assert server.stats.max_in_flight == 4
        server.stats.max_in_flight = 0
        claim, record = job.record().claim, JobRecord(steps={DOCUMENT_STEP: job.record().steps[DOCUMENT_STEP]})
        assert claim is not None
        await with_parts_at_once(app, 2)(job, claim, open_journal(record, keeps([]), attempt=1))
        assert server.stats.max_in_flight == 2
        assert (await replay_recorded(job, with_parts_at_once(app, 1))).same


async def test_a_session_that_broke_off_between_parts_asks_for_the_others_only(
    tmp_path: Path, settings: Settings
) -> None:
    """Wherever its trace ends, what is on record is not asked again, and the outcome is the same."""
    async with read_document(tmp_path, settings) as (app, server, job):
        events = list(read_events(job.trace_path))
        answered = [n for n, one in enumerate(events) if one["event"] == "model.replied"]
        whole = await app.worker(job, fold(events).claim, open_journal(fold(events), None))  # type: ignore[arg-type]
        for end in (answered[3], answered[5]):
            record, kept = fold(events[: end + 1]), list[Event]()
            before = server.stats.completed
            outcome = await app.worker(job, record.claim, open_journal(record, keeps(kept), attempt=1))  # type: ignore[arg-type]
            assert server.stats.completed - before == len(answered) - answered.index(end) - 1
            assert outcome == whole
            steps = [one["step"] for one in [*events[: end + 1], *kept] if "step" in one]
            assert sorted(steps) == sorted({one["step"] for one in events if "step" in one})


@pytest.mark.slow
@pytest.mark.usefixtures("asked_whole")
async def test_what_comes_behind_a_refused_part_is_read_anew(tmp_path: Path, settings: Settings) -> None:
    """A part in the middle that turns out too large is made smaller, and so are those behind it; it replays so."""
    refusal = FaultRule(fault=Fault.OVERFLOW_SIZE_EXCEEDED, kind=CallKind.EXTRACTION, marker="Shackle type 0080")
    # First beside others, then alone, and then as often as a fault that passes.
    times = 2 + settings.llm.fault_retries
    host = StandInSettings(
        context_tokens=65_536, delay_seconds=0.02, faults=(refusal.model_copy(update={"nth": 3, "times": times}),)
    )
    async with read_document(tmp_path, settings, host) as (app, server, job):
        assert server.stats.faults["overflow_size_exceeded"] == times
        record = job.record()
        assert sum("refused" in step.output for step in record.steps.values()) == 1  # type: ignore[union-attr]
        for number in (1, 4):
            assert (await replay_recorded(job, with_parts_at_once(app, number))).same


@pytest.mark.usefixtures("asked_whole")
async def test_a_record_of_parts_read_in_turn_replays(tmp_path: Path, settings: Settings) -> None:
    """Releases that read one part after the other numbered their steps through; that way is gone on with."""
    async with read_document(tmp_path, settings) as (app, _, job):
        numbers = sorted(
            {key for key in job.record().steps if "/reading-" in key},  # type: ignore[union-attr]
            key=lambda key: [int(digits) for digits in re.findall(r"\d+", key)],
        )
        first = 1 + sum(bool(re.fullmatch(r"action-1/model-\d+", key)) for key in job.record().steps)  # type: ignore[union-attr]
        names = {key: f"action-1/model-{first + place}" for place, key in enumerate(numbers)}
        assert len(names) > 3
        text = job.trace_path.read_text(encoding="utf-8")
        for key, name in names.items():
            text = text.replace(f'"step":"{key}"', f'"step":"{name}"')
        job.trace_path.write_text(text, encoding="utf-8")
        assert not any("/reading-" in key for key in job.record().steps)  # type: ignore[union-attr]
        assert (await replay_recorded(job, app.worker)).same


@pytest.mark.usefixtures("asked_whole")
async def test_a_part_that_cannot_be_read_fails_the_job_as_itself(tmp_path: Path, settings: Settings) -> None:
    """An answer that stays unusable is that fault, whatever is read beside it."""
    broken = FaultRule(fault=Fault.MISSING_KEY, kind=CallKind.EXTRACTION, marker="Shackle type 0160", nth=3, times=None)
    host = StandInSettings(context_tokens=65_536, faults=(broken,))
    attempts = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"attempts": 1})})
    async with StandInServer(host) as server, working(attempts, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice()), "invoice")])
    result = result_of(settings, "long.txt")
    assert (result["status"], result["error"]["type"]) == ("failed", "OutputFault")


def keeps(kept: list[Event]) -> Any:
    async def sink(events: Any) -> None:
        kept.extend(events)

    return sink


def test_steps_that_are_numbered_elsewhere_are_kept_in_turn() -> None:
    """With a keeper, as in the cluster, and over a record steps of different scopes never overlap."""

    async def keeper(_: str, work: Any) -> None:
        await work()

    assert open_journal(JobRecord(), keeps([]), attempt=1, keeper=keeper).scope("reading-1").in_turn
    assert open_journal(JobRecord(), None).in_turn
    assert not open_journal(JobRecord(), keeps([]), attempt=1).in_turn
