"""Promise 6: every trace that was ever recorded replays to the same result, offline and from its folder alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_disk import RulesModel
from make_traces import TRACES

from pipeline.agents import AgentSettings, load_agents
from pipeline.config import Settings
from pipeline.document.reader import DocumentReader
from pipeline.invoice.database import open_engine
from pipeline.invoice.store import InvoiceStore
from pipeline.job import State
from pipeline.llm.protocol import Model
from pipeline.llm.recorded import RecordedModel
from pipeline.outbox import JobFolder
from pipeline.replay import Verdict, replay_compare, replay_recorded
from pipeline.worker import Worker

JOBS = [JobFolder(path.parent) for path in sorted(TRACES.glob("*/*/*/result.json"))]
NEWEST = sorted(TRACES.iterdir())[-1]


@asynccontextmanager
async def bench(agents: dict[str, AgentSettings], model: Model | None = None) -> AsyncIterator[Worker]:
    """Open what a replay needs; its reader is never started, since documents are in the record."""
    database = open_engine(None)
    async with DocumentReader(Settings().reading) as reader:
        yield Worker(agents=agents, reader=reader, model=model or RecordedModel(), store=InvoiceStore(database))
    database.dispose()


def agents_of(job: JobFolder) -> dict[str, AgentSettings]:
    """Return the agents the trace was made with."""
    return load_agents(job.path.parent.parent / "config")


def recorded(status: State) -> JobFolder:
    """Return an invoice of that status from the newest traces whose data a model read."""
    jobs = [JobFolder(path.parent) for path in sorted((NEWEST / status).glob("*/result.json"))]
    return next(job for job in jobs if "action-1/model-1" in job.record().steps and not job.result()["answer"])  # type: ignore[index]


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_job_of_every_kind_is_recorded() -> None:
    """Every status and kind, both ways to fail, and the answers of all experts."""
    results = [json.loads(job.result_path.read_bytes()) for job in JOBS if job.path.is_relative_to(NEWEST)]
    assert {result["status"] for result in results} == {"done", "review", "failed"}
    assert {result["kind"] for result in results} == {"invoice", "credit_note", "other", None}
    assert {result["agent"] for result in results} == set(load_agents(NEWEST / "config"))
    assert {(result["error"] or {}).get("type") for result in results} >= {"DocumentError.damaged", "ContextOverflow"}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.path.parts[-3]}-{job.name}")
async def test_a_recorded_trace_replays_to_the_same_result(job: JobFolder) -> None:
    """With the agents that were in force, without a model, and without touching the folder."""
    before = contents(job.path)
    async with bench(agents_of(job)) as worker:
        replayed = await replay_recorded(job, worker)
    assert replayed.same, replayed.divergence
    assert contents(job.path) == before


async def test_a_folder_copied_elsewhere_replays_alone(tmp_path: Path) -> None:
    """Nothing but the trace and the result is needed, not even the document or the state it lay in."""
    job = recorded(State.DONE)
    copy = JobFolder(tmp_path / "from-another-machine" / "renamed")
    shutil.copytree(job.path, copy.path)
    source = copy.source_path
    assert source is not None
    source.unlink()
    async with bench(agents_of(job)) as worker:
        assert (await replay_recorded(copy, worker)).same


@pytest.mark.parametrize("status", [State.DONE, State.REVIEW])
async def test_a_changed_prompt_is_named_by_the_step_that_diverges(status: State) -> None:
    """The first step that asks something else is named, with the part that differs."""
    job = recorded(status)
    agents = agents_of(job)
    agents["invoice"] = agents["invoice"].model_copy(update={"task": "Do something else with this:"})
    async with bench(agents) as worker:
        replayed = await replay_recorded(job, worker)
    assert not replayed.same
    assert replayed.divergence.startswith("step model-1 differs from its record in messages from number 2 on")


async def test_a_changed_prompt_of_a_tool_is_named_though_its_result_is_on_record() -> None:
    """A tool runs again over the record, for what it asks is held against the record, too."""
    job = recorded(State.DONE)
    agents = agents_of(job)
    prompts = {**agents["invoice"].prompts, "extraction": "Say what you see."}
    agents["invoice"] = agents["invoice"].model_copy(update={"prompts": prompts})
    async with bench(agents) as worker:
        replayed = await replay_recorded(job, worker)
    assert replayed.divergence.startswith("step action-1/model-1 differs from its record in messages")


async def test_a_changed_answer_limit_is_named() -> None:
    """What is asked in a tool's own step is found as well."""
    job = recorded(State.DONE)
    agents = agents_of(job)
    wider = agents["invoice"].model.model_copy(update={"max_tokens": 1000})
    agents["invoice"] = agents["invoice"].model_copy(update={"model": wider})
    async with bench(agents) as worker:
        replayed = await replay_recorded(job, worker)
    assert "action-1/model-1 differs" in replayed.divergence
    assert "max_tokens (4096 recorded, 1000 now)" in replayed.divergence


async def test_a_result_that_was_edited_is_noticed(tmp_path: Path) -> None:
    """The fields in which the replayed result differs from the one that lies there are named."""
    job = JobFolder(shutil.copytree(recorded(State.DONE).path, tmp_path / "done" / "job"))
    result = json.loads(job.result_path.read_bytes())
    result["invoice"]["invoice_number"] = "changed by hand"
    job.result_path.write_text(json.dumps(result))
    async with bench(agents_of(recorded(State.DONE))) as worker:
        replayed = await replay_recorded(job, worker)
    assert replayed.divergence == "the result differs in invoice.invoice_number"


async def test_a_trace_without_text_says_why_it_cannot_be_replayed(tmp_path: Path) -> None:
    """The setting that keeps documents out of traces has this price."""
    job = JobFolder(shutil.copytree(recorded(State.DONE).path, tmp_path / "done" / "job"))
    events = [json.loads(line) for line in job.trace_path.read_text().splitlines()]
    for event in events:
        if "step" in event:
            event.update(withheld=True)
    job.trace_path.write_text("".join(json.dumps(event) + "\n" for event in events))
    async with bench(agents_of(recorded(State.DONE))) as worker:
        replayed = await replay_recorded(job, worker)
    assert replayed.divergence == "the trace holds no steps: it was kept without text, or somebody cut it"


async def test_compare_leaves_the_job_as_it_is() -> None:
    """A live session beside the old result: field by field, with its cost, and no byte of the folder changes."""
    job = recorded(State.DONE)
    before = contents(job.path)
    model = RulesModel()
    async with bench(agents_of(job), model) as worker:
        comparison = await replay_compare(job, worker)
    assert contents(job.path) == before
    assert {change.verdict for change in comparison.changes} == {Verdict.SAME}
    assert (comparison.new_model, comparison.new_tokens) == ("rules", 11 * model.asked.total())


async def test_compare_shows_what_another_model_changes() -> None:
    """Here the other model is the same one, told to read another prompt: a field lost shows as lost."""
    job = recorded(State.DONE)
    async with bench(agents_of(job), Forgetful()) as worker:
        comparison = await replay_compare(job, worker)
    verdicts = {change.field: change.verdict for change in comparison.changes}
    assert verdicts["invoice.invoice_number"] is Verdict.LOST
    assert verdicts["invoice.total_amount"] is Verdict.SAME


class Forgetful(RulesModel):
    """Leave the invoice's number out of every extraction."""

    async def complete(self, request):  # type: ignore[no-untyped-def]
        reply = await super().complete(request)
        if request.schema is None:
            return reply
        return replace(reply, text=json.dumps({**json.loads(reply.text), "invoice_number": None}))
