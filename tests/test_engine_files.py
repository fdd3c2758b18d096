"""The engine: attempts, retries, ends and crashes of jobs that lie in folders."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from pipeline.agent.steps import Steps
from pipeline.disk import Disk
from pipeline.engine.files import FileEngine
from pipeline.engine.seam import Progress
from pipeline.errors import DocumentError, HostFault, OutputFault, StorageFault
from pipeline.index import JobIndex
from pipeline.job import Claim, State
from pipeline.journal import Journal, into, open_journal
from pipeline.llm.protocol import JsonObject
from pipeline.outbox import Claimed, JobFolder, Outbox
from pipeline.result import Outcome, compose
from pipeline.retry import RetrySettings
from pipeline.trace import event

DONE = Outcome(State.DONE, kind="other", answer="fine")
REPLY = {"text": "hi", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 0}, "model": "m"}
NO_PAUSE = RetrySettings(attempts=3, first_delay_seconds=0)
LONG_PAUSE = RetrySettings(attempts=3, first_delay_seconds=3600, longest_delay_seconds=3600)


class Body:
    """Work through a list of ends, one an attempt: an outcome or an error; the last one holds for all that follow."""

    def __init__(self, *ends: Outcome | Exception, during: Callable[[Journal], Awaitable[None]] | None = None) -> None:
        self._ends = list(ends or (DONE,))
        self._during = during
        self.calls: list[str] = []

    async def __call__(self, job: JobFolder, claim: Claim, steps: Journal) -> Outcome:
        assert claim.job == job.name
        self.calls.append(job.name)
        end = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        if self._during:
            await self._during(steps)
        if isinstance(end, Exception):
            raise end
        return end

    def prompts_version(self, agent: str) -> str:
        return f"prompts of {agent}"


class Asking:
    """Read the document and ask a model as a session does; count what was really done."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def __call__(self, steps: Journal) -> None:
        await steps.run("document", {}, self._step("document", {"media_type": "text/plain", "pages": [{}, {}]}))
        await steps.run("model", {"messages": ["a"]}, self._step("model", REPLY))

    def _step(self, name: str, output: JsonObject) -> Callable[[Steps], Awaitable[JsonObject]]:
        async def function(_: Steps) -> JsonObject:
            self.made.append(name)
            return output

        return function


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    database = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    outbox = Outbox(tmp_path / "outbox", Disk(), JobIndex(database))
    outbox.prepare()
    yield outbox
    database.dispose()


def claim(outbox: Outbox, name: str = "a") -> JobFolder:
    """Return a claimed job; the name is its content as well."""
    path = outbox.root.parent / f"{name}.pdf"
    path.write_text(name)
    outcome = outbox.claim(path, "invoice")
    assert isinstance(outcome, Claimed)
    return outcome.job


def engine_over(outbox: Outbox, body: Body, **options: Any) -> FileEngine:
    return FileEngine(outbox, body, **{"concurrency": 4, "retry": NO_PAUSE, **options})


async def work(engine: FileEngine, *jobs: JobFolder) -> None:
    """Submit the jobs and wait until all have come to rest."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(engine.serve)
            for job in jobs:
                await engine.room()
                engine.submit(job)
            await engine.drained()
            engine.stop()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for are files
            await anyio.sleep(0.005)


def only(outbox: Outbox, state: State) -> JobFolder:
    (job,) = outbox.all_jobs()
    assert job.state is state
    return job


def result(job: JobFolder) -> dict[str, Any]:
    data = job.result()
    assert data is not None
    return data


def names(job: JobFolder) -> list[str]:
    return [json.loads(line)["event"] for line in job.trace_path.read_text().splitlines()]


def last(job: JobFolder, name: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in job.trace_path.read_text().splitlines()]
    found: dict[str, Any] = [one for one in lines if one["event"] == name][-1]
    return found


@pytest.mark.parametrize("state", [State.DONE, State.REVIEW])
async def test_a_job_ends_in_the_folder_of_its_outcome(outbox: Outbox, state: State) -> None:
    """With its result, its trace, and what it cost."""
    asking, seen = Asking(), []
    body = Body(Outcome(state, kind="invoice", invoice={}), during=asking)
    engine = engine_over(outbox, body, observer=seen.append)
    await work(engine, job := claim(outbox))
    done = only(outbox, state)
    assert names(done) == [
        "trace.opened", "job.claimed", "attempt.started", "document.read", "model.replied", "job.finished"
    ]  # fmt: skip
    written = result(done)
    assert (written["status"], written["kind"], written["error"]) == (state, "invoice", None)
    assert written["source"]["pages"] == 2
    assert (written["usage"]["attempts"], written["usage"]["model_calls"]) == (1, 1)
    assert written["versions"]["prompts"] == "prompts of invoice"
    assert written["finished_at"] == last(done, "job.finished")["finished_at"]
    assert seen == [Progress(job, State.WORKING), Progress(done, state)]
    assert engine.counts[state] == 1


async def test_no_more_jobs_run_at_once_than_allowed(outbox: Outbox) -> None:
    """The bound holds from the first to the last job, and is reached."""
    running, peak, go = 0, 0, anyio.Event()

    async def hold(_: Journal) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await go.wait()
        running -= 1

    jobs = [claim(outbox, name) for name in "abcde"]
    engine = engine_over(outbox, Body(during=hold), concurrency=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, engine, *jobs)
        await until(lambda: running == 2)
        with anyio.move_on_after(0.05) as scope:
            await engine.room()
        assert scope.cancelled_caught, "there was room for a third"
        go.set()
    assert peak == 2
    assert outbox.count(State.DONE) == 5


async def test_a_passing_fault_is_tried_again_anew(outbox: Outbox) -> None:
    """The model is asked again, since the same answer would lead to the same fault; the document is not read again."""
    asking = Asking()
    await work(engine_over(outbox, Body(OutputFault("empty"), DONE, during=asking)), claim(outbox))
    done = only(outbox, State.DONE)
    assert asking.made == ["document", "model", "model"]
    assert result(done)["usage"]["attempts"] == 2
    assert result(done)["usage"]["model_calls"] == 2
    assert names(done)[5:8] == ["attempt.failed", "retry.scheduled", "attempt.started"]
    assert last(done, "attempt.started")["attempt"] == 2


async def test_a_job_that_fails_every_time_ends_in_failed(outbox: Outbox) -> None:
    """After as many attempts as are allowed; the result says what to do."""
    body = Body(OutputFault("the answer was empty", hint="Take another model."))
    await work(engine_over(outbox, body), job := claim(outbox))
    failed = only(outbox, State.FAILED)
    assert len(body.calls) == 3
    error = result(failed)["error"]
    assert (error["type"], error["message"], error["transient"]) == ("OutputFault", "the answer was empty", True)
    assert error["hint"] == f"Take another model. To try again: pipeline replay {job.name}"
    assert result(failed)["usage"]["attempts"] == 3


async def test_a_lasting_fault_costs_one_attempt(outbox: Outbox) -> None:
    """A damaged file does not get better by reading it again."""
    body = Body(DocumentError("no end", reason="damaged"))
    await work(engine_over(outbox, body), claim(outbox))
    assert result(only(outbox, State.FAILED))["error"]["type"] == "DocumentError.damaged"
    assert len(body.calls) == 1


async def test_a_mistake_in_the_program_fails_its_job_alone(outbox: Outbox) -> None:
    """The traceback goes to the trace, a sentence to the result, and the other job is done."""

    async def stumble(steps: Journal) -> None:
        if not body.calls[1:]:
            await steps.run("action", {}, broken)

    async def broken(_: Steps) -> JsonObject:
        raise ZeroDivisionError("a bug")

    body = Body(during=stumble)
    await work(engine_over(outbox, body), claim(outbox, "a"), claim(outbox, "b"))
    (failed,), (_,) = outbox.jobs(State.FAILED), outbox.jobs(State.DONE)
    assert "in broken" in "".join(last(failed, "attempt.failed")["traceback"])
    error = result(failed)["error"]
    assert (error["type"], error["message"]) == ("ZeroDivisionError", "a bug")
    assert "report" in error["hint"]
    assert "Traceback" not in failed.result_path.read_text()


async def test_a_host_that_is_away_costs_the_job_nothing(outbox: Outbox) -> None:
    """More faults than attempts, and each goes on after the last recorded step."""
    asking = Asking()
    body = Body(*[HostFault("away")] * 5, DONE, during=asking)
    await work(engine_over(outbox, body), claim(outbox))
    done = only(outbox, State.DONE)
    assert asking.made == ["document", "model"]
    assert len(body.calls) == 6
    assert result(done)["usage"]["attempts"] == 1


async def test_a_job_that_waits_for_its_next_attempt_holds_up_no_other(outbox: Outbox) -> None:
    """Its place is free during the pause."""
    body = Body(OutputFault("empty"), DONE)
    engine = engine_over(outbox, body, concurrency=1, retry=LONG_PAUSE)
    first, second = claim(outbox, "a"), claim(outbox, "b")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, engine, first, second)
        await until(lambda: outbox.count(State.DONE) == 1)
        assert names(first)[-1] == "retry.scheduled"
        engine.stop()
    assert body.calls == [first.name, second.name]


async def test_stop_ends_pauses_and_lets_running_jobs_finish(outbox: Outbox) -> None:
    """No further attempt is begun; what waits stays in working/ for the next start."""
    go, holding = anyio.Event(), anyio.Event()

    async def hold(_: Journal) -> None:
        if len(body.calls) == 2:
            holding.set()
            await go.wait()

    body = Body(OutputFault("empty"), DONE, during=hold)
    engine = engine_over(outbox, body, retry=LONG_PAUSE)
    waiting, running = claim(outbox, "a"), claim(outbox, "b")
    async with anyio.create_task_group() as tasks:
        await tasks.start(engine.serve)
        await engine.room()
        engine.submit(waiting)
        await until(lambda: names(waiting)[-1] == "retry.scheduled")
        await engine.room()
        engine.submit(running)
        await holding.wait()
        engine.stop()
        go.set()
        with anyio.fail_after(5):
            await engine.drained()
    assert [job.name for job in outbox.jobs(State.WORKING)] == [waiting.name]
    assert [job.name for job in outbox.jobs(State.DONE)] == [running.name]
    assert len(body.calls) == 2


async def test_cancelling_an_attempt_is_recorded_and_costs_nothing(outbox: Outbox) -> None:
    """The second signal interrupts; the next start goes on after the last step."""
    asking, begun = Asking(), anyio.Event()

    async def hang(steps: Journal) -> None:
        await asking(steps)
        begun.set()
        await anyio.sleep_forever()

    job = claim(outbox)
    engine = engine_over(outbox, Body(during=hang))
    async with anyio.create_task_group() as tasks:
        await tasks.start(engine.serve)
        await engine.room()
        engine.submit(job)
        await begun.wait()
        tasks.cancel_scope.cancel()
    assert names(only(outbox, State.WORKING))[-1] == "attempt.interrupted"
    assert job.record().charged == 0
    await work(engine_over(outbox, Body(during=asking)), job)
    assert asking.made == ["document", "model"]
    assert result(only(outbox, State.DONE))["usage"]["attempts"] == 1


async def test_a_file_that_kills_the_process_cannot_do_it_for_ever(outbox: Outbox) -> None:
    """Attempts that died count; when they are used up the job fails without another one."""
    job, body = claim(outbox), Body()
    for attempt in (1, 2, 3):
        outbox.trace(job).append([event("attempt.started", attempt=attempt, recorded_steps=0)])
    await work(engine_over(outbox, body), job)
    assert body.calls == []
    error = result(only(outbox, State.FAILED))["error"]
    assert error["type"] == "Poison"
    assert "ended 3 times" in error["message"]


async def test_an_attempt_that_died_is_gone_on_with_behind_a_torn_line(outbox: Outbox) -> None:
    """A power cut in the middle of a line costs that line; recorded steps are not paid for again."""
    asking, job = Asking(), claim(outbox)
    with pytest.raises(OutputFault):
        await _one_attempt_that_dies(outbox, job, asking)
    with job.trace_path.open("ab") as file:
        file.write(b'{"at":"2024-01-01T00:00')
    await work(engine_over(outbox, Body(during=asking)), job)
    done = only(outbox, State.DONE)
    assert asking.made == ["document", "model"]
    assert last(done, "attempt.started")["recorded_steps"] == 2
    assert last(done, "attempt.started")["attempt"] == 2


async def _one_attempt_that_dies(outbox: Outbox, job: JobFolder, asking: Asking) -> None:
    """Leave the trace of an attempt without its end."""
    journal = open_journal(job.record(), into(outbox.trace(job)), attempt=1)
    await journal.write(event("attempt.started", attempt=1, recorded_steps=0))
    await asking(journal)
    raise OutputFault("died")


async def finish_but_for(outbox: Outbox, name: str, body: Body, *, result_too: bool) -> JobFolder:
    """Finish a job, then undo what a crash would have kept from happening: the rename, and perhaps the result."""
    job = claim(outbox, name)
    await work(engine_over(outbox, body), job)
    finished = outbox.find(job.name)
    finished.path.rename(job.path)
    if not result_too:
        job.result_path.unlink()
    return job


async def test_a_complete_result_is_only_moved(outbox: Outbox) -> None:
    """A crash between result and rename costs nothing and changes nothing."""
    job = await finish_but_for(outbox, "a", Body(), result_too=True)
    before, trace = job.result_path.read_bytes(), job.trace_path.read_bytes()
    body = Body()
    engine = engine_over(outbox, body)
    await work(engine, job)
    done = only(outbox, State.DONE)
    assert (done.result_path.read_bytes(), done.trace_path.read_bytes()) == (before, trace)
    assert body.calls == []
    assert engine.counts[State.DONE] == 1


@pytest.mark.parametrize("earlier", [None, b'{"finished_at": "of an earlier attempt"}'])
async def test_a_lost_or_outdated_result_is_made_again_from_the_record(outbox: Outbox, earlier: bytes | None) -> None:
    """A crash between the trace's last line and the result costs no model call."""
    asking = Asking()
    job = await finish_but_for(outbox, "a", Body(during=asking), result_too=False)
    if earlier:
        job.result_path.write_bytes(earlier)
    await work(engine_over(outbox, Body(during=asking)), job)
    done = only(outbox, State.DONE)
    assert asking.made == ["document", "model"]
    assert (result(done)["answer"], result(done)["usage"]["attempts"]) == ("fine", 1)


async def test_a_lost_result_of_a_failed_job_is_made_again_from_its_error(outbox: Outbox) -> None:
    """The session that failed is not run again."""
    job = await finish_but_for(outbox, "a", Body(DocumentError("no end", reason="damaged")), result_too=False)
    body = Body()
    await work(engine_over(outbox, body), job)
    assert body.calls == []
    assert result(only(outbox, State.FAILED))["error"]["message"] == "no end"


async def test_a_lost_result_may_take_several_attempts(outbox: Outbox) -> None:
    """Where the record cannot answer, as without text, the host may be away and the answer empty once more."""
    job = await finish_but_for(outbox, "a", Body(), result_too=False)
    body = Body(HostFault("away"), OutputFault("empty"), DONE)
    await work(engine_over(outbox, body), job)
    assert result(only(outbox, State.DONE))["answer"] == "fine"
    assert len(body.calls) == 3


async def test_a_lost_result_that_cannot_be_made_ends_in_failed(outbox: Outbox) -> None:
    """Bounded, as any job."""
    job = await finish_but_for(outbox, "a", Body(), result_too=False)
    body = Body(OutputFault("empty"))
    await work(engine_over(outbox, body), job)
    only(outbox, State.FAILED)
    assert len(body.calls) == 3


async def test_a_reopened_job_runs_again_and_replaces_its_result(outbox: Outbox) -> None:
    """Attempts are numbered on, costs begin anew, the old result stays until the new one is there."""
    job = claim(outbox)
    await work(engine_over(outbox, Body(OutputFault("empty"))), job)
    again = outbox.reopen(outbox.find(job.name), reason="asked for", fresh=True)
    asking = Asking()
    await work(engine_over(outbox, Body(during=asking)), again)
    done = only(outbox, State.DONE)
    assert asking.made == ["document", "model"]
    assert last(done, "attempt.started")["attempt"] == 4
    assert (result(done)["status"], result(done)["usage"]["attempts"]) == ("done", 1)


async def test_a_job_reopened_in_the_moment_of_its_end_runs_again(outbox: Outbox) -> None:
    """Its folder is in done/ a moment before its task has ended; what is asked for then is not left lying."""
    job, body = claim(outbox), Body()

    def ask_again(progress: Progress) -> None:
        if progress.state is State.DONE and len(body.calls) == 1:
            engine.submit(outbox.reopen(progress.job, reason="replay was asked for", fresh=True))

    engine = engine_over(outbox, body, observer=ask_again)
    await engine.room()  # as the one that reopens does
    await work(engine, job)
    assert body.calls == [job.name] * 2
    assert only(outbox, State.DONE).name == job.name
    assert not engine.is_busy


async def test_a_lost_host_ends_a_run_that_does_not_wait(outbox: Outbox) -> None:
    """The run says why, the job stays resumable, and what is submitted afterwards is left for the next start."""
    body = Body(HostFault("away", hint="start LM Studio"))
    engine = engine_over(outbox, body, concurrency=1, ends_without_host=True)
    first, second = claim(outbox, "a"), claim(outbox, "b")
    await work(engine, first, second)
    assert engine.host_lost is not None
    assert engine.host_lost.hint == "start LM Studio"
    assert body.calls == [first.name]
    assert outbox.count(State.WORKING) == 2
    assert first.record().charged == 0
    with anyio.fail_after(1):
        await engine.room()


async def test_a_daemon_waits_for_a_lost_host(outbox: Outbox) -> None:
    """Without that setting a dead host ends nothing."""
    engine = engine_over(outbox, Body(HostFault("away"), DONE))
    await work(engine, claim(outbox))
    assert engine.host_lost is None
    only(outbox, State.DONE)


@pytest.mark.parametrize("damage", [b"no json\n", b'{"at":"2024-01-01T00:00:00.000Z","event":"trace.opened"}\n', b""])
async def test_a_job_with_a_damaged_trace_is_left_and_told(outbox: Outbox, damage: bytes) -> None:
    """One bad folder stops neither the daemon nor the other jobs, and is not deleted."""
    bad, good = claim(outbox, "a"), claim(outbox, "b")
    bad.trace_path.write_bytes(damage)
    with capture_logs() as logs:
        await work(engine_over(outbox, Body(), concurrency=1), bad, good)
    assert [job.name for job in outbox.jobs(State.DONE)] == [good.name]
    assert [one["job"] for one in logs if one["event"] == "job.left"] == [bad.name]
    assert bad.source_path is not None


class FullDisk(Disk):
    """Have no room for results for a while."""

    def __init__(self, *, times: int) -> None:
        self.left = times

    def publish(self, path: Path, data: bytes) -> None:
        if self.left:
            self.left -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        super().publish(path, data)


@pytest.fixture
def full_disk() -> FullDisk:
    return FullDisk(times=2)


@pytest.fixture
def full_outbox(outbox: Outbox, full_disk: FullDisk, tmp_path: Path) -> Iterator[Outbox]:
    database = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    yield Outbox(outbox.root, full_disk, JobIndex(database))
    database.dispose()


async def test_a_daemon_waits_for_a_full_disk(full_outbox: Outbox) -> None:
    """It is said once, the job pays nothing, the model is not asked again, and work goes on when there is room."""
    asking = Asking()
    with capture_logs() as logs:
        await work(engine_over(full_outbox, Body(during=asking)), claim(full_outbox))
    done = only(full_outbox, State.DONE)
    assert asking.made == ["document", "model"]
    assert result(done)["usage"]["attempts"] == 1
    assert [one["event"] for one in logs if one["event"].startswith("storage.")] == ["storage.lost", "storage.found"]


async def test_a_full_disk_ends_a_run_that_does_not_wait(full_outbox: Outbox) -> None:
    """The run says why; the next one writes the result without asking the model again."""
    asking, job = Asking(), claim(full_outbox)
    engine = engine_over(full_outbox, Body(during=asking), ends_without_host=True)
    await work(engine, job)
    assert isinstance(engine.host_lost, StorageFault)
    assert "No space left" in engine.host_lost.message
    assert names(only(full_outbox, State.WORKING))[-1] == "job.finished"
    await work(engine_over(full_outbox, Body(during=asking)), job)
    assert asking.made == ["document", "model"]
    only(full_outbox, State.DONE)


async def test_without_text_neither_trace_nor_restart_needs_it(outbox: Outbox) -> None:
    """The trace holds what was done and what it cost, not what was said."""
    asking = Asking()
    await work(engine_over(outbox, Body(during=asking), include_text=False), claim(outbox))
    done = only(outbox, State.DONE)
    assert "hi" not in [json.loads(line).get("output") for line in done.trace_path.read_text().splitlines()]
    assert last(done, "model.replied")["withheld"] is True
    assert result(done)["usage"]["prompt_tokens"] == 3


async def test_odd_characters_in_an_answer_do_not_stop_the_result(outbox: Outbox) -> None:
    """Half a surrogate pair, as models write now and then, is no text of any encoding."""
    await work(engine_over(outbox, Body(Outcome(State.DONE, kind="other", answer="\ud83d!"))), claim(outbox))
    done = only(outbox, State.DONE)
    done.result_path.read_text(encoding="utf-8")
    assert result(done)["answer"] == "\ud83d!"


@pytest.mark.parametrize("include_text", [True, False])
async def test_a_result_says_what_its_trace_says(outbox: Outbox, include_text: bool) -> None:
    """It is composed from what is in memory, and comes out as from the trace on the disk, also after a failure."""
    body = Body(OutputFault("no"), HostFault("away"), DONE, during=Asking())
    await work(engine_over(outbox, body, include_text=include_text), claim(outbox))
    done = only(outbox, State.DONE)
    assert done.result_path.read_bytes() == compose(done.record(), DONE, prompts="prompts of invoice")
    assert result(done)["usage"]["model_calls"] == (2 if include_text else 3)


@pytest.mark.parametrize("fails", [False, True])
async def test_the_last_action_is_in_the_trace_however_the_attempt_ends(outbox: Outbox, fails: bool) -> None:
    """It waits for the attempt's last event, and neither goes without the other."""

    async def act(steps: Journal) -> None:
        await steps.run("action", {"tool": "terminate"}, _done)

    body = Body(OutputFault("no") if fails else DONE, during=act)
    await work(engine_over(outbox, body, retry=RetrySettings(attempts=1)), claim(outbox))
    expected = ["attempt.failed", "job.finished"] if fails else ["job.finished"]
    ended = only(outbox, State.FAILED if fails else State.DONE)
    assert names(ended)[2:] == ["attempt.started", "action.executed", *expected]
    assert result(ended)["usage"]["steps"] == 1


async def _done(_: Steps) -> JsonObject:
    return {"done": True}


async def test_nothing_is_submitted_to_an_engine_that_does_not_serve(outbox: Outbox) -> None:
    """A job without anyone to run it would be forgotten."""
    engine = engine_over(outbox, Body())
    with pytest.raises(RuntimeError, match="does not serve"):
        engine.submit(claim(outbox))


async def test_an_engine_without_jobs_is_drained(outbox: Outbox) -> None:
    """Nothing to wait for."""
    body = Body()
    with anyio.move_on_after(5) as patience:
        await work(engine_over(outbox, body))
    assert not patience.cancelled_caught
    assert body.calls == []


async def test_a_pause_before_the_next_attempt_is_remembered_over_a_restart(outbox: Outbox) -> None:
    """A new process waits for what is left of the pause instead of trying at once."""
    body = Body(OutputFault("empty"), DONE)
    job = claim(outbox, "a")
    for _ in range(2):
        engine = engine_over(outbox, body, retry=LONG_PAUSE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, engine, job)
            await until(lambda: names(job)[-1] == "retry.scheduled")
            await anyio.wait_all_tasks_blocked()
            engine.stop()
    assert body.calls == [job.name]


async def test_a_job_that_is_opened_again_at_its_very_end_runs_again(outbox: Outbox) -> None:
    """Its folder has moved, and its last run is not quite over: it must not lie in working/ until the next start."""
    body = Body()

    def open_again(progress: Progress) -> None:
        if progress.state is State.DONE and len(body.calls) == 1:
            again = outbox.reopen(progress.job, reason="test", fresh=True)
            engine.submit(again)

    engine = engine_over(outbox, body, observer=open_again)
    await engine.room()  # for the second run
    await work(engine, claim(outbox))
    only(outbox, State.DONE)
    assert len(body.calls) == 2
