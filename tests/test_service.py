"""The daemon: from a dropped file to a finished job, and the ways it stops."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs
from structlog.typing import EventDict

from pipeline.agent.steps import Steps
from pipeline.app import misplaced
from pipeline.disk import Disk
from pipeline.engine.files import FileEngine
from pipeline.errors import HostFault, OutputFault
from pipeline.inbox import IntakeSettings
from pipeline.index import JobIndex
from pipeline.intake import Intake
from pipeline.job import Claim, State
from pipeline.journal import Journal
from pipeline.llm.protocol import JsonObject
from pipeline.outbox import Claimed, JobFolder, Outbox
from pipeline.requests import ReplayRequest, Requests
from pipeline.result import Outcome
from pipeline.retry import RetrySettings
from pipeline.service import Service
from pipeline.trace import event

AT_ONCE = IntakeSettings(settle_seconds=0, unfinished_pdf_seconds=0, rescan_seconds=0.02)
DONE = Outcome(State.DONE, kind="other", answer="fine")


class Body:
    """Take one step and be done, or do what the test says."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.asked: list[str] = []
        self.during: Callable[[str], Awaitable[None]] | None = None
        self.outcome = DONE

    async def __call__(self, job: JobFolder, claim: Claim, steps: Journal) -> Outcome:
        self.calls.append(claim.name)

        async def ask(_: Steps) -> JsonObject:
            self.asked.append(job.name)
            return {"pages": []}

        await steps.run("document", {"sha256": claim.sha256}, ask)
        if self.during:
            await self.during(claim.name)
        return self.outcome

    def prompts_version(self, agent: str) -> str:
        return agent


class FailingDisk(Disk):
    """Refuse to take a file out of the inbox some times."""

    def __init__(self) -> None:
        self.refusals = 0
        self.together = threading.Barrier(1)

    def _rename(self, source: Path, target: Path) -> None:
        if source.parent.name == "inbox":
            self.together.wait(10)
        if self.refusals and source.parent.name == "inbox":
            self.refusals -= 1
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        super()._rename(source, target)


@dataclass
class Place:
    """Hold the folders of one test and the parts that work on them."""

    inbox: Path
    outbox: Outbox
    disk: FailingDisk
    body: Body
    requests: Requests

    def drop(self, name: str, content: str | None = None) -> Path:
        path = self.inbox / name
        path.write_text(name if content is None else content)
        return path

    def engine(self, **options: Any) -> FileEngine:
        retry = RetrySettings(attempts=2, first_delay_seconds=0)
        return FileEngine(self.outbox, self.body, **{"concurrency": 2, "retry": retry, **options})

    def service(
        self, engine: FileEngine | None = None, *, settings: IntakeSettings = AT_ONCE, grace_seconds: float = 10
    ) -> Service:
        engine = engine or self.engine()
        agents = {"invoice": (".pdf", ".txt"), "code-review": ()}
        return Service(
            self.inbox,
            self.outbox,
            engine,
            intake=Intake(self.inbox, self.outbox, engine, settings=settings, agents=agents),
            settings=settings,
            grace_seconds=grace_seconds,
            requests=self.requests,
        )

    def claim(self, name: str) -> JobFolder:
        outcome = self.outbox.claim(self.drop(name), "invoice")
        assert isinstance(outcome, Claimed)
        return outcome.job

    def names(self, state: State) -> list[str]:
        """Return the names the jobs in that state came with."""
        return [record.name for job in self.outbox.jobs(state) if (record := job.record().claim)]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.inbox.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    database = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    disk = FailingDisk()
    outbox = Outbox(tmp_path / "outbox", disk, JobIndex(database))
    outbox.prepare()
    (tmp_path / "inbox").mkdir()
    yield Place(tmp_path / "inbox", outbox, disk, Body(), Requests(outbox.root, disk))
    database.dispose()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for are files
            await anyio.sleep(0.005)


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[list[EventDict]]:
    """Let the daemon run during the block, then stop it and wait for its end; yield its log."""
    with capture_logs() as logs, anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve)
            await until(lambda: any(one["event"] == "service.started" for one in logs))
            yield logs
            service.stop.set()


async def once(service: Service) -> list[EventDict]:
    with capture_logs() as logs, anyio.fail_after(20):
        await service.serve(once=True)
    return logs


def told(logs: list[EventDict], name: str) -> list[EventDict]:
    return [one for one in logs if one["event"] == name]


async def test_once_works_off_what_is_there_and_ends(place: Place) -> None:
    """Every file for its agent, more of them than run at once, and the inbox is empty afterwards."""
    for number in range(5):
        place.drop(f"{number}.pdf")
    (place.inbox / "code-review").mkdir()
    place.drop("code-review/a.py")
    engine = place.engine()
    logs = await once(place.service(engine))
    assert sorted(place.names(State.DONE)) == ["0.pdf", "1.pdf", "2.pdf", "3.pdf", "4.pdf", "a.py"]
    assert place.left() == ["code-review"]
    assert engine.counts[State.DONE] == 6
    assert {one["name"] for one in told(logs, "job.claimed")} >= {"0.pdf", "a.py"}


async def test_files_are_claimed_at_the_same_time(place: Place) -> None:
    """One that takes long to be moved does not keep the others waiting: here each waits for another."""
    place.disk.together = threading.Barrier(2)
    for number in range(4):
        place.drop(f"{number}.pdf")
    await once(place.service(place.engine(concurrency=4)))
    assert sorted(place.names(State.DONE)) == ["0.pdf", "1.pdf", "2.pdf", "3.pdf"]


async def test_once_ends_at_once_where_nothing_lies(place: Place) -> None:
    """No file, no wait."""
    with anyio.fail_after(2):
        await place.service(settings=IntakeSettings()).serve(once=True)
    assert place.body.calls == []


@pytest.mark.slow
async def test_once_does_not_give_up_files_while_it_waits_for_room(place: Place) -> None:
    """Long jobs before it do not make a file one that keeps changing."""
    settings = IntakeSettings(settle_seconds=0, unfinished_pdf_seconds=0, rescan_seconds=0.02)
    for number in range(3):
        place.drop(f"{number}.pdf")

    async def slow(_: str) -> None:
        await anyio.sleep(0.6)  # three of them last longer than the patience of one second

    place.body.during = slow
    logs = await once(place.service(place.engine(concurrency=1), settings=settings))
    assert len(place.names(State.DONE)) == 3
    assert told(logs, "file.left") == []


async def test_once_leaves_a_file_that_keeps_changing(place: Place) -> None:
    """It says so, the others are done, and it ends."""
    settings = IntakeSettings(settle_seconds=0.1, unfinished_pdf_seconds=0, rescan_seconds=0.02)
    restless = place.drop("restless.pdf")
    place.drop("b.pdf")
    ended = anyio.Event()
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                while not ended.is_set():
                    with restless.open("a") as file:
                        file.write("more")
                    await anyio.sleep(0.02)

            tasks.start_soon(write)
            with anyio.fail_after(10):
                await place.service(settings=settings).serve(once=True)
            ended.set()
    assert place.names(State.DONE) == ["b.pdf"]
    assert [one["path"] for one in told(logs, "file.left")] == [str(restless)]
    assert restless.exists()


async def test_once_leaves_the_rest_where_it_is_when_the_host_is_away(place: Place) -> None:
    """A dead LM Studio fails no job, and files nobody can work on stay in the inbox."""

    async def away(_: str) -> None:
        raise HostFault("LM Studio does not answer")

    place.body.during = away
    for number in range(6):
        place.drop(f"{number}.pdf")
    engine = place.engine(concurrency=1, ends_without_host=True)
    logs = await once(place.service(engine))
    assert engine.host_lost is not None
    assert place.outbox.count(State.FAILED) == 0
    assert place.outbox.count(State.WORKING) <= 2
    assert place.outbox.count(State.WORKING) + len(place.left()) == 6
    assert len(told(logs, "file.left")) == len(place.left())
    place.body.during = None
    await once(place.service())
    assert len(place.names(State.DONE)) == 6


async def test_the_daemon_takes_what_is_dropped_while_it_runs(place: Place) -> None:
    """Before, during, one after the other."""
    place.drop("early.pdf")
    async with serving(place.service()):
        await until(lambda: place.names(State.DONE) == ["early.pdf"])
        place.drop("late.pdf")
        await until(lambda: len(place.names(State.DONE)) == 2)
    assert place.left() == []


async def test_a_file_event_spares_the_wait_for_the_next_look(place: Place) -> None:
    """The folder is looked at every hour, and the file is done at once."""
    settings = IntakeSettings(settle_seconds=0, rescan_seconds=3600, polling="never")
    async with serving(place.service(settings=settings)):
        with anyio.fail_after(15):
            number = 0
            while not place.names(State.DONE):  # the watch may not have begun at the first drop
                place.drop(f"{number}.pdf")
                number += 1
                await anyio.sleep(0.05)
    assert place.names(State.DONE)


async def test_the_same_file_again_is_not_done_again(place: Place) -> None:
    """The log names the earlier job, the file leaves the inbox, and its place in the engine is free again."""
    place.drop("a.pdf", "same")
    await once(place.service())
    for number in range(4):
        place.drop(f"copy {number}.pdf", "same")
    place.drop("b.pdf")
    logs = await once(place.service(place.engine(concurrency=1)))
    (job,) = [job for job in place.outbox.jobs(State.DONE) if job.name.startswith("a-")]
    assert place.body.calls == ["a.pdf", "b.pdf"]
    assert place.left() == []
    duplicates = told(logs, "file.duplicate")
    assert {(one["job"], one["status"], one["reopened"]) for one in duplicates} == {(job.name, "done", False)}
    assert len(duplicates) == 4


async def test_dropping_a_failed_file_again_tries_it_again(place: Place) -> None:
    """The one way to try again that needs no command."""

    async def fail(_: str) -> None:
        raise OutputFault("empty")

    place.body.during = fail
    place.drop("a.pdf")
    await once(place.service())
    assert place.names(State.FAILED) == ["a.pdf"]
    place.body.during = None
    place.drop("a.pdf")
    logs = await once(place.service())
    assert place.names(State.DONE) == ["a.pdf"]
    assert place.outbox.count(State.FAILED) == 0
    assert told(logs, "file.duplicate")[0]["reopened"] is True


async def test_what_is_ignored_is_told_once(place: Place) -> None:
    """Not at every look, but again when the reason changes or the file comes back."""
    place.drop("a.docx")
    async with serving(place.service()) as logs:
        await until(lambda: told(logs, "file.ignored"))
        place.drop("b.pdf")
        await until(lambda: place.names(State.DONE))
        (ignored,) = told(logs, "file.ignored")
        assert ignored["path"] == str(place.inbox / "a.docx")
        assert "not a kind of file" in ignored["reason"]
        (place.inbox / "a.docx").unlink()
        place.drop("c.pdf")
        await until(lambda: len(place.names(State.DONE)) == 2)
        await anyio.sleep(0.1)  # a look without the file
        place.drop("a.docx")
        await until(lambda: len(told(logs, "file.ignored")) == 2)
    assert place.left() == ["a.docx"]


async def test_a_file_that_cannot_be_claimed_yet_is_tried_again(place: Place) -> None:
    """Another program holds it open; that stops neither the daemon nor the other file."""
    place.disk.refusals = 3
    place.drop("a.pdf")
    place.drop("b.pdf")
    async with serving(place.service()) as logs:
        await until(lambda: len(place.names(State.DONE)) == 2)
    assert told(logs, "file.not_claimed")


async def test_a_name_in_no_known_encoding_does_not_stop_the_daemon(place: Place) -> None:
    """Old programs write such names, and the daemon would end at every start."""
    try:
        place.drop(os.fsdecode(b"R\xfcckgabe.pdf"), "text")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    await once(place.service())
    assert place.names(State.DONE) == ["R\ufffdckgabe.pdf"]


async def test_an_inbox_that_vanishes_is_waited_for(place: Place) -> None:
    """A share that drops out is told once; when it is back the work goes on."""
    async with serving(place.service()) as logs:
        shutil.rmtree(place.inbox)
        await until(lambda: told(logs, "inbox.lost"))
        await anyio.sleep(0.1)  # several looks
        place.inbox.mkdir()
        place.drop("a.pdf")
        await until(lambda: place.names(State.DONE) == ["a.pdf"])
    assert len(told(logs, "inbox.lost")) == 1


async def test_requests_of_other_processes_are_granted(place: Place) -> None:
    """`fresh` reads the document again, else the record answers; the request is gone afterwards."""
    place.drop("a.pdf")
    await once(place.service())
    (job,) = place.outbox.jobs(State.DONE)
    async with serving(place.service()) as logs:
        for fresh, asked in ((True, 2), (False, 2)):
            place.requests.leave(ReplayRequest(job.name, fresh=fresh))
            await until(lambda: not list(place.requests.waiting()) and place.outbox.count(State.DONE))
            assert len(place.body.asked) == asked
    assert len(place.body.calls) == 3
    assert [one["fresh"] for one in told(logs, "job.reopened")] == [True, False]


async def test_requests_that_cannot_be_granted_are_refused_and_taken_away(place: Place) -> None:
    """An unknown job, and one that is being worked on."""
    begun, go = anyio.Event(), anyio.Event()

    async def hold(_: str) -> None:
        begun.set()
        await go.wait()

    place.body.during = hold
    job = place.claim("a.pdf")
    place.requests.leave(ReplayRequest("unknown", fresh=True))
    place.requests.leave(ReplayRequest(job.name, fresh=True))
    async with serving(place.service()) as logs:
        await begun.wait()
        await until(lambda: not list(place.requests.waiting()))
        go.set()
        await until(lambda: place.names(State.DONE))
    assert {one["job"] for one in told(logs, "request.refused")} == {"unknown", job.name}
    assert len(place.body.calls) == 1


async def test_unfinished_jobs_are_gone_on_with_at_the_start(place: Place) -> None:
    """They come before the inbox, and steps that were recorded are not repeated."""
    jobs = [place.claim(name) for name in ("a.pdf", "b.pdf", "c.pdf")]
    place.outbox.trace(jobs[0]).append(
        [
            event("attempt.started", attempt=1, recorded_steps=0),
            event(
                "document.read",
                attempt=1,
                step="document-1",
                request={"sha256": getattr(jobs[0].record().claim, "sha256", "")},
                output={"pages": []},
            ),
        ]
    )
    place.drop("d.pdf")
    logs = await once(place.service(place.engine(concurrency=1)))
    assert len(place.names(State.DONE)) == 4
    assert place.body.calls[-1] == "d.pdf"
    assert jobs[0].name not in place.body.asked
    assert {one["job"] for one in told(logs, "job.recovered")} == {job.name for job in jobs}


async def test_what_a_cut_off_claim_left_is_cleared_away(place: Place) -> None:
    """Its file still lies in the inbox and is claimed as any other."""
    job = place.claim("a.pdf")
    (job.path / "source.pdf").rename(place.inbox / "a.pdf")
    (place.outbox.root / "working" / "empty-0123456789ab").mkdir()
    await once(place.service())
    assert place.names(State.DONE) == ["a.pdf"]
    assert place.outbox.count(State.WORKING) == 0


async def test_the_start_deletes_nothing_that_is_not_its_own(place: Place) -> None:
    """A folder somebody put into working/ and a reopened job without its document are kept."""
    stranger = place.outbox.root / "working" / "my papers"
    stranger.mkdir()
    (stranger / "contract.pdf").write_text("signed")
    place.drop("a.pdf")
    await once(place.service())
    (job,) = place.outbox.jobs(State.DONE)
    job = place.outbox.reopen(job, reason="asked for", fresh=True)
    assert job.source_path is not None
    job.source_path.unlink()
    logs = await once(place.service())
    assert (stranger / "contract.pdf").read_text() == "signed"
    assert place.names(State.DONE) == ["a.pdf"]
    assert [one["job"] for one in told(logs, "job.left")] == ["my papers"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_drains(place: Place, number: signal.Signals) -> None:
    """Nothing more is claimed, the running job comes to its end, then the daemon ends."""
    begun, go = anyio.Event(), anyio.Event()

    async def hold(_: str) -> None:
        begun.set()
        await go.wait()

    place.body.during = hold
    place.drop("a.pdf")
    service = place.service()
    with capture_logs() as logs, anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve)
            await begun.wait()
            os.kill(os.getpid(), number)
            await service.stop.wait()
            place.drop("late.pdf")
            await anyio.sleep(0.1)  # several looks, had it gone on
            go.set()
    assert place.names(State.DONE) == ["a.pdf"]
    assert place.left() == ["late.pdf"]
    assert told(logs, "service.draining")[0]["signal"] == number.name


async def test_the_second_signal_interrupts(place: Place) -> None:
    """The attempt costs nothing and the next start goes on after its last step."""
    begun = anyio.Event()

    async def hang(_: str) -> None:
        begun.set()
        await anyio.sleep_forever()

    place.body.during = hang
    place.drop("a.pdf")
    service = place.service()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve)
            await begun.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await service.stop.wait()
            os.kill(os.getpid(), signal.SIGTERM)
    (job,) = place.outbox.jobs(State.WORKING)
    assert job.record().charged == 0
    assert place.outbox.trace(job).events()[-1]["event"] == "attempt.interrupted"
    place.body.during = None
    await once(place.service())
    assert place.names(State.DONE) == ["a.pdf"]
    assert len(place.body.asked) == 1


async def test_the_grace_time_is_bounded(place: Place) -> None:
    """A session that does not come to its end is interrupted, and resumable."""
    begun = anyio.Event()

    async def hang(_: str) -> None:
        begun.set()
        await anyio.sleep_forever()

    place.body.during = hang
    place.drop("a.pdf")
    async with serving(place.service(grace_seconds=0.05)) as logs:
        await begun.wait()
    assert told(logs, "service.grace_ended")
    (job,) = place.outbox.jobs(State.WORKING)
    assert job.record().charged == 0


async def test_a_stop_does_not_wait_for_room(place: Place) -> None:
    """A file that was waiting for its turn stays in the inbox, whole."""
    begun, go = anyio.Event(), anyio.Event()

    async def hold(_: str) -> None:
        begun.set()
        await go.wait()

    place.body.during = hold
    for name in ("a.pdf", "b.pdf"):
        place.drop(name)
    async with serving(place.service(place.engine(concurrency=1))) as logs:
        await begun.wait()
        await anyio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: told(logs, "service.draining"))
        go.set()
    assert len(place.names(State.DONE)) == 1
    assert len(place.left()) == 1
    assert place.outbox.count(State.WORKING) == 0


async def test_run_copies_the_files_and_names_their_jobs_in_order(place: Place, tmp_path: Path) -> None:
    """Files stay where they are; one named twice is known and not done again; one that is gone has no job."""
    paths = [tmp_path / name for name in ("b.txt", "a.txt", "gone.txt", "b.txt")]
    for path in paths[:2]:
        path.write_text(path.name)
    with anyio.fail_after(20):
        given = await place.service().take([(path, "invoice") for path in paths])
    names = [one.job for one in given if one.job]
    assert [(one.path, one.known) for one in given] == list(zip(paths, (False, False, False, True), strict=True))
    assert [name.split("-")[0] for name in names] == ["b", "a", "b"]
    assert sorted(place.body.calls) == ["a.txt", "b.txt"]
    assert all(path.exists() for path in paths[:2])
    assert sorted(job.name for job in place.outbox.jobs(State.DONE)) == sorted(set(names))


async def test_run_goes_on_with_what_an_earlier_process_left_unfinished(place: Place, tmp_path: Path) -> None:
    """A file whose job was cut short is worked off when it is named again; one that is done is only known."""
    (tmp_path / "a.txt").write_text("a")
    place.outbox.claim(tmp_path / "a.txt", "invoice", keep=True)
    for known in (False, True):
        with anyio.fail_after(20):
            (given,) = await place.service().take([(tmp_path / "a.txt", "invoice")])
        assert given.known is known
        assert place.names(State.DONE) == ["a.txt"]
    assert place.body.calls == ["a.txt"]


async def test_run_does_not_look_into_the_inbox(place: Place, tmp_path: Path) -> None:
    """These files now, and no others."""
    place.drop("waiting.pdf")
    (tmp_path / "a.txt").write_text("a")
    with anyio.fail_after(20):
        await place.service().run([(tmp_path / "a.txt", "invoice")])
    assert place.body.calls == ["a.txt"]
    assert place.left() == ["waiting.pdf"]


async def test_replay_works_off_finished_jobs_again(place: Place) -> None:
    """Unknown ones are told and passed over."""
    for name in ("a.pdf", "b.pdf"):
        place.drop(name)
    await once(place.service())
    jobs = [job.name for job in place.outbox.jobs(State.DONE)]
    with capture_logs() as logs, anyio.fail_after(20):
        taken = await place.service().replay([*jobs, "unknown"], fresh=True)
    assert taken == jobs
    assert len(place.body.asked) == 4
    assert sorted(place.names(State.DONE)) == ["a.pdf", "b.pdf"]
    assert [one["job"] for one in told(logs, "request.refused")] == ["unknown"]


@pytest.mark.parametrize(
    ("inbox", "outbox", "problem"),
    [
        ("in", "out", None),
        ("in", "inside", None),
        ("in", "in", "same folder"),
        ("in", "in/../in", "same folder"),
        ("in", "in/out", "inside the other"),
        ("out/in", "out", "inside the other"),
        ("in", "link/out", "inside the other"),
    ],
)
def test_inbox_and_outbox_lie_beside_each_other(tmp_path: Path, inbox: str, outbox: str, problem: str | None) -> None:
    """Results must not be taken for new files, by whatever path the folders are named."""
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    found = misplaced(tmp_path / inbox, tmp_path / outbox)
    assert (found is None) if problem is None else (found is not None and problem in found)


async def test_a_job_folder_moved_back_into_the_inbox_is_tried_again(place: Place) -> None:
    """A person moves a failed job's folder back; it runs afresh, and its trace keeps what was before."""
    place.body.outcome = Outcome(State.FAILED, error={"type": "X", "message": "no", "hint": "", "transient": False})
    place.drop("bill.pdf")
    await once(place.service())
    (failed,) = place.outbox.jobs(State.FAILED)
    failed.path.rename(place.inbox / failed.name)
    place.body.outcome = DONE
    await once(place.service())
    (done,) = place.outbox.jobs(State.DONE)
    assert done.name == failed.name
    assert place.left() == []
    assert place.body.asked == [done.name, done.name]
    assert "job.reopened" in done.trace_path.read_text()


async def test_a_copy_of_a_job_folder_stays_in_the_inbox_and_says_why(place: Place) -> None:
    """A folder that names a job the outbox still holds is no second job."""
    place.drop("bill.pdf")
    await once(place.service())
    (done,) = place.outbox.jobs(State.DONE)
    shutil.copytree(done.path, place.inbox / "copy")
    logs = await once(place.service())
    assert place.left() == ["copy"]
    assert "copy of a job" in told(logs, "file.not_claimed")[0]["reason"]
    assert place.body.asked == [done.name]


async def test_a_source_taken_out_by_hand_is_put_back_by_dropping_the_file_again(place: Place) -> None:
    """The finished job gets its document back and is not done again."""
    place.drop("bill.pdf", "the bill")
    await once(place.service())
    (done,) = place.outbox.jobs(State.DONE)
    assert done.source_path is not None
    done.source_path.unlink()
    place.drop("bill.pdf", "the bill")
    await once(place.service())
    assert (done.path / "source.pdf").read_text() == "the bill"
    assert len(place.body.asked) == 1


async def test_a_name_that_is_no_utf8_ends_nothing(place: Place) -> None:
    """A file from an old system is a job like any other, and the daemon lives on."""
    async with serving(place.service()) as logs:
        (place.inbox / os.fsdecode(b"Rechnung_f\xfcr.txt")).write_text("an old name")
        await until(lambda: told(logs, "job.finished"))
        place.drop("next.pdf")
        await until(lambda: len(told(logs, "job.finished")) == 2)
    assert place.left() == []


async def test_a_file_that_changes_while_it_waits_for_its_turn_is_not_taken(place: Place) -> None:
    """Resting was decided at the look; a place may be free only much later."""
    settings = IntakeSettings(settle_seconds=0.05, unfinished_pdf_seconds=0, rescan_seconds=0.02)
    place.drop("first.txt")
    held = anyio.Event()

    async def hold(name: str) -> None:
        if name == "first.txt":
            with anyio.move_on_after(5):
                await held.wait()

    place.body.during = hold
    async with serving(place.service(place.engine(concurrency=1), settings=settings)) as logs:
        await until(lambda: place.body.calls)
        late = place.drop("late.txt", "half")
        await anyio.sleep(0.2)
        late.write_text("half and half")
        held.set()
        await until(lambda: len(told(logs, "job.finished")) == 2)
    (job,) = (job for job in place.outbox.jobs(State.DONE) if job.name.startswith("late"))
    assert (job.path / "source.txt").read_text() == "half and half"
    assert told(logs, "file.not_claimed")[0]["reason"] == "changed while it waited for its turn"


async def test_a_job_with_a_damaged_trace_stays_where_it_is(place: Place) -> None:
    """It is not taken back into work, where nobody could finish it."""
    place.drop("bill.pdf")
    await once(place.service())
    (job,) = place.outbox.jobs(State.DONE)
    job.trace_path.write_text("garbage\n" + job.trace_path.read_text())
    with capture_logs() as logs:
        assert await place.service().replay([job.name], fresh=True) == []
    assert told(logs, "request.refused")
    assert [one.name for one in place.outbox.jobs(State.DONE)] == [job.name]
