"""What every engine promises, tried on each: jobs in folders here, and jobs in PostgreSQL with sessions elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from postgres_server import Server
from pydantic import SecretStr
from sqlalchemy import create_engine

from pipeline.agent.steps import Steps
from pipeline.agents import AgentSettings, load_agents
from pipeline.config import shipped_config
from pipeline.disk import Disk
from pipeline.document.model import Document, Page
from pipeline.engine.files import FileEngine
from pipeline.engine.seam import Engine
from pipeline.errors import DocumentError, HostFault, OutputFault
from pipeline.index import JobIndex
from pipeline.job import Claim, Job, State
from pipeline.journal import Journal
from pipeline.llm.protocol import JsonObject
from pipeline.outbox import Claimed, JobFolder, Outbox
from pipeline.postgres import ClusterSettings, open_postgres
from pipeline.replay import replay_recorded
from pipeline.result import Outcome
from pipeline.retry import RetrySettings

DONE = Outcome(State.DONE, kind="other", answer="fine")
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 0}
RETRY = RetrySettings(attempts=3, first_delay_seconds=0.05)
AGENTS = load_agents(shipped_config())
Serve = Callable[["Body"], AbstractAsyncContextManager[Engine]]


class Body:
    """Read, ask, act with a question inside, and end as the file's name says; count what was really done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.host_faults = 0
        self.at_action: Callable[[], Awaitable[None]] | None = None
        self.before_answer: Callable[[], Awaitable[None]] | None = None

    async def read(self, job: Job, claim: Claim, steps: Journal) -> Document:  # noqa: ARG002 - the seam's names
        async def read(_: Steps) -> JsonObject:
            if claim.name == "damaged.txt":
                raise DocumentError("it is damaged", reason="damaged")
            self.done.append(f"{claim.name} read")
            return Document(claim.name, claim.sha256, claim.size, "text/plain", (Page(1, "text"),)).to_json()

        return Document.from_json(await steps.run("document", {"sha256": claim.sha256}, read))

    async def pictures(self, job: JobFolder, document: Document) -> Mapping[int, bytes]:  # noqa: ARG002 - likewise
        return {}

    async def corrected(
        self,
        job: JobFolder,  # noqa: ARG002 - likewise
        claim: Claim,  # noqa: ARG002 - likewise
        outcome: Outcome,
        *,
        state: Mapping[str, Any],  # noqa: ARG002 - likewise
    ) -> Outcome:
        return outcome

    async def __call__(self, job: Job, claim: Claim, steps: Journal) -> Outcome:
        await self.read(job, claim, steps)
        if claim.name == "several.txt" and not claim.pages:
            return Outcome(State.DONE, kind="other", parts=((1,), (2, 3)))
        await self._ask(claim, steps, "first")

        async def act(inner: Steps) -> JsonObject:
            asked = await self._ask(claim, inner, "second")
            self.done.append(f"{claim.name} act")
            steps.state["heard"] = asked["text"]
            return {"done": True}

        steps.note("memory.added", type="assistant", content="before the action")
        await steps.run("action", {"tool": "act", "arguments": {}}, act)
        if self.at_action is not None:
            await self.at_action()
        await self._ask(claim, steps, "third")
        if claim.name == "useless.txt":
            raise OutputFault("no use", hint="try a larger model")
        return Outcome(State.DONE, kind="other", answer=steps.state["heard"])

    def prompts_version(self, agent: str) -> str:
        return agent

    async def _ask(self, claim: Claim, steps: Steps, what: str) -> JsonObject:
        async def ask(_: Steps) -> JsonObject:
            if self.host_faults:
                self.host_faults -= 1
                raise HostFault("the host is away")
            if self.before_answer is not None:
                await self.before_answer()
            self.done.append(f"{claim.name} {what}")
            return {"text": f"{what} \ud83d", "usage": USAGE, "model": "m"}

        return await steps.run("model", {"messages": [what]}, ask)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    database = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    outbox = Outbox(tmp_path / "outbox", Disk(), JobIndex(database))
    outbox.prepare()
    yield outbox
    database.dispose()


@pytest.fixture(params=["files", pytest.param("cluster", marks=pytest.mark.slow)])
def serve(request: pytest.FixtureRequest, outbox: Outbox) -> Iterator[Serve]:
    """Give what serves the outbox for a block, with the engine that the test is run for."""
    if request.param == "files":
        yield lambda body: _serve_files(outbox, body)
        return
    server: Server = request.getfixturevalue("postgres_server")
    with server.database() as url:
        settings = ClusterSettings(database_url=SecretStr(url), poll_seconds=0.05, grace_seconds=1)
        yield lambda body: serve_cluster(outbox, body, settings)


@asynccontextmanager
async def _serve_files(outbox: Outbox, body: Body) -> AsyncIterator[Engine]:
    engine = FileEngine(outbox, body, concurrency=4, retry=RETRY)
    async with anyio.create_task_group() as tasks:
        await tasks.start(engine.serve)
        yield engine
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def serve_cluster(
    outbox: Outbox, body: Body, settings: ClusterSettings, *, retry: RetrySettings = RETRY
) -> AsyncIterator[Engine]:
    """Let hub and worker live in this very process."""
    from pipeline.cluster.durable import Cluster, Runtime  # noqa: PLC0415 - loaded for this engine only
    from pipeline.cluster.hub import HubEngine  # noqa: PLC0415
    from pipeline.cluster.migration import migrate_database  # noqa: PLC0415
    from pipeline.cluster.recovery import Recovery  # noqa: PLC0415
    from pipeline.cluster.station import Station  # noqa: PLC0415

    await anyio.to_thread.run_sync(migrate_database, settings)
    database = open_postgres(settings, name="test")
    cluster = Cluster(database)
    await anyio.to_thread.run_sync(cluster.prepare_queues, settings)
    agents: dict[str, AgentSettings] = AGENTS
    engine = HubEngine(
        outbox, body, cluster, settings=settings, agents=agents, retry=retry, include_text=True, workers=lambda: 1
    )
    station = Station(cluster, lambda _: body)
    runtime = Runtime(settings, executor="here", work=station.work)
    recovery = Recovery(database, cluster, settings, executor="here", attempts=RETRY.attempts)
    runtime.launch()
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(engine.serve)
            yield engine
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            station.interrupt()
            await anyio.to_thread.run_sync(lambda: runtime.stop(grace_seconds=1))
            await anyio.to_thread.run_sync(recovery.release)
        # The one that the engine has set is shut, and the next one to be launched in this loop would use it.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        database.dispose()


def claim(outbox: Outbox, name: str) -> JobFolder:
    path = outbox.root.parent / name
    path.write_text(name)
    outcome = outbox.claim(path, "invoice")
    assert isinstance(outcome, Claimed)
    return outcome.job


async def submit(engine: Engine, *jobs: JobFolder) -> None:
    for job in jobs:
        await engine.room()
        engine.submit(job)


async def work(serve: Serve, body: Body, *jobs: JobFolder) -> None:
    """Serve until all the jobs have come to rest."""
    with anyio.fail_after(60):
        async with serve(body) as engine:
            await submit(engine, *jobs)
            await engine.drained()


async def test_every_job_ends_where_it_belongs(serve: Serve, outbox: Outbox) -> None:
    """Done, unreadable, and of no use after all its attempts: each with a result, a trace, and its cost."""
    body = Body()
    await work(serve, body, *(claim(outbox, name) for name in ("a.txt", "damaged.txt", "useless.txt")))
    results = {result["source"]["name"]: result for job in outbox.all_jobs() if (result := job.result())}
    assert {name: result["status"] for name, result in results.items()} == {
        "a.txt": "done",
        "damaged.txt": "failed",
        "useless.txt": "failed",
    }
    assert results["damaged.txt"]["error"]["type"] == "DocumentError.damaged"
    assert results["useless.txt"]["error"]["type"] == "OutputFault"
    assert results["useless.txt"]["usage"]["attempts"] == 3
    assert results["a.txt"]["usage"] | {"seconds": 0} == {
        "attempts": 1,
        "steps": 1,
        "model_calls": 3,
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "seconds": 0,
    }
    assert body.done.count("a.txt first") == 1
    assert body.done.count("useless.txt read") == 1


async def test_a_trace_tells_the_same_story(serve: Serve, outbox: Outbox) -> None:
    """The same steps under the same keys, with notes and state, whoever ran them."""
    await work(serve, Body(), claim(outbox, "a.txt"))
    (job,) = outbox.jobs(State.DONE)
    events = outbox.trace(job).events()
    steps = [(one["event"], one["step"]) for one in events if "step" in one]
    assert steps == [
        ("document.read", "document-1"),
        ("model.replied", "model-1"),
        ("model.replied", "action-1/model-1"),
        ("action.executed", "action-1"),
        ("model.replied", "model-2"),
    ]
    assert events[0]["event"] == "trace.opened"
    assert [one["content"] for one in events if one["event"] == "memory.added"] == ["before the action"]
    assert next(one for one in events if one["event"] == "action.executed")["state"]["heard"].startswith("second")
    assert (events[-1]["event"], events[-1]["status"]) == ("job.finished", "done")


async def test_a_job_is_replayed_from_its_record(serve: Serve, outbox: Outbox) -> None:
    """The session takes the same way over the record, to the same result."""
    await work(serve, Body(), claim(outbox, "a.txt"))
    (job,) = outbox.jobs(State.DONE)
    again = Body()
    assert (await replay_recorded(job, again)).same
    # An action runs for the sake of what it asks; nothing is read and nobody is asked.
    assert again.done == ["a.txt act"]


async def test_what_was_cut_off_goes_on_after_its_last_step(serve: Serve, outbox: Outbox) -> None:
    """Steps that were recorded are not taken again, and the attempt that was interrupted costs nothing."""
    body, stopped = Body(), anyio.Event()

    async def hold() -> None:
        stopped.set()
        await anyio.sleep_forever()

    body.at_action = hold
    job = claim(outbox, "a.txt")
    with anyio.fail_after(60):
        async with serve(body) as engine:
            await submit(engine, job)
            await stopped.wait()
    body.at_action = None
    await work(serve, body, job)
    assert body.done == ["a.txt read", "a.txt first", "a.txt second", "a.txt act", "a.txt third"]
    (job,) = outbox.jobs(State.DONE)
    assert (job.result() or {})["usage"]["attempts"] == 1


async def test_what_was_cut_off_in_the_middle_of_a_step_goes_on_before_it(serve: Serve, outbox: Outbox) -> None:
    """Twice, so that what the first cut has left behind is met again."""
    body = Body()
    job = claim(outbox, "a.txt")
    for _ in range(2):
        stopped = anyio.Event()

        async def hold(stopped: anyio.Event = stopped) -> None:
            stopped.set()
            await anyio.sleep_forever()

        body.before_answer = hold
        with anyio.fail_after(60):
            async with serve(body) as engine:
                await submit(engine, job)
                await stopped.wait()
    body.before_answer = None
    await work(serve, body, job)
    assert body.done == ["a.txt read", "a.txt first", "a.txt second", "a.txt act", "a.txt third"]
    (job,) = outbox.jobs(State.DONE)
    assert (job.result() or {})["usage"]["attempts"] == 1


async def test_a_host_that_is_away_costs_nothing(serve: Serve, outbox: Outbox) -> None:
    """More faults than a job has attempts, and it is done at its first."""
    body = Body()
    body.host_faults = 4
    await work(serve, body, claim(outbox, "a.txt"))
    (job,) = outbox.jobs(State.DONE)
    assert (job.result() or {})["usage"]["attempts"] == 1


@pytest.mark.parametrize(("fresh", "asked"), [(True, 6), (False, 3)])
async def test_a_finished_job_is_opened_again(serve: Serve, outbox: Outbox, fresh: bool, asked: int) -> None:
    """From the start, or over its record; its trace goes on."""
    body = Body()
    await work(serve, body, claim(outbox, "a.txt"))
    (job,) = outbox.jobs(State.DONE)
    before = len(outbox.trace(job).events())
    await work(serve, body, outbox.reopen(job, reason="test", fresh=fresh))
    (job,) = outbox.jobs(State.DONE)
    assert len([one for one in body.done if one.split()[1] in ("first", "second", "third")]) == asked
    events = outbox.trace(job).events()
    assert [one["event"] for one in events].count("job.finished") == 2
    assert len(events) > before


async def test_a_job_that_is_submitted_twice_runs_once(serve: Serve, outbox: Outbox) -> None:
    """As after a crash between the submission and its note, or a restart: one result, each step once."""
    body = Body()
    job = claim(outbox, "a.txt")
    await work(serve, body, job)
    kept: dict[str, Any] = outbox.find(job.name).result() or {}
    await work(serve, body, job)
    assert (outbox.find(job.name).result() or {}) == kept
    assert body.done.count("a.txt third") == 1


async def test_a_file_with_several_invoices_becomes_a_job_for_each(serve: Serve, outbox: Outbox) -> None:
    """The parts are jobs like any other, and the result of the whole names them."""
    await work(serve, Body(), claim(outbox, "several.txt"))
    results = [result for job in outbox.jobs(State.DONE) if (result := job.result())]
    (whole,) = (result for result in results if result["parts"])
    assert sorted(result["part_of"]["pages"] for result in results if result["part_of"]) == [[1], [2, 3]]
    assert {part["job"] for part in whole["parts"]} == {result["job"] for result in results if result["part_of"]}
