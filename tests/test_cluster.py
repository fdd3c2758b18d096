"""The cluster's parts against a real PostgreSQL: its schema, who is there, whose jobs are taken over, what is kept."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import test_invoice_store
from postgres_server import Server
from psycopg import OperationalError as DriverError
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from test_engines import AGENTS, RETRY, Body, claim, serve_cluster, submit

from pipeline.agent.answer_form import AnswerForm
from pipeline.cli.hand_over import export_invoices
from pipeline.cluster import durable
from pipeline.cluster.durable import Cluster, Condition, Kept, _open_patiently
from pipeline.cluster.hub import HubEngine
from pipeline.cluster.migration import migrate_database
from pipeline.cluster.presence import Presence, executors
from pipeline.cluster.recovery import Recovery
from pipeline.cluster.survey import survey
from pipeline.cluster.task import Task
from pipeline.config import Settings
from pipeline.disk import Disk
from pipeline.doctor import Grade, examine_setup
from pipeline.errors import ConfigError, StorageFault
from pipeline.index import JobIndex
from pipeline.invoice.store import InvoiceStore
from pipeline.job import Claim, State
from pipeline.languages import KnownLanguages, Language
from pipeline.llm.protocol import JsonObject
from pipeline.outbox import JobFolder, Outbox
from pipeline.postgres import CLUSTER_SCHEMA, ClusterSettings, database_url, open_postgres, require_postgres
from pipeline.result import Outcome

pytestmark = pytest.mark.slow
STORE_BEHAVIOURS = [
    value
    for name, value in vars(test_invoice_store).items()
    if name.startswith("test_") and inspect.isfunction(value) and set(inspect.signature(value).parameters) == {"store"}
]
_QUICK = {"poll_seconds": 0.05, "grace_seconds": 0.5, "frozen_seconds": 1}


@pytest.fixture(scope="module")
def prepared(postgres_server: Server) -> Iterator[ClusterSettings]:
    """Give a prepared database to the tests of this module."""
    with postgres_server.database() as url:
        settings = ClusterSettings.model_validate({"database_url": SecretStr(url), **_QUICK})
        migrate_database(settings)
        yield settings


@pytest.fixture
def database(prepared: ClusterSettings) -> Iterator[Engine]:
    """Give that database, emptied."""
    engine = open_postgres(prepared, name="test")
    with engine.begin() as connection:
        tables = "dbos.workflow_status, dbos.operation_outputs, pipeline_executors, invoices"
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(text("UPDATE pipeline_schema SET version = :now"), {"now": CLUSTER_SCHEMA})
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    index = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    outbox = Outbox(tmp_path / "outbox", Disk(), JobIndex(index))
    outbox.prepare()
    yield outbox
    index.dispose()


def test_a_database_that_is_not_prepared_is_refused(postgres_server: Server) -> None:
    """The message names the command that prepares it; that command may be given twice."""
    with postgres_server.database() as url:
        settings = ClusterSettings(database_url=SecretStr(url))
        engine = open_postgres(settings, name="test")
        with pytest.raises(ConfigError, match="is not prepared") as refused:
            require_postgres(engine)
        assert "pipeline migrate" in refused.value.hint
        assert migrate_database(settings) == migrate_database(settings) == CLUSTER_SCHEMA
        require_postgres(engine)
        engine.dispose()


def test_a_user_without_rights_is_refused_with_the_remedy(postgres_server: Server) -> None:
    """A half prepared database is not taken for a whole one afterwards."""
    with postgres_server.database() as url:
        owner = open_postgres(ClusterSettings(database_url=SecretStr(url)), name="test")
        role = f"visitor_{uuid.uuid4().hex[:8]}"
        with owner.begin() as connection:
            connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'x'"))
            connection.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
        visitor = make_url(url).set(username=role, password="x").render_as_string(hide_password=False)
        try:
            with pytest.raises(ConfigError, match=r"cannot be prepared: .*permission denied") as refused:
                migrate_database(ClusterSettings(database_url=SecretStr(visitor)))
            assert "own the database" in refused.value.hint
            with pytest.raises(ConfigError, match="is not prepared"):
                require_postgres(owner)
        finally:
            with owner.begin() as connection:
                connection.execute(text(f"DROP OWNED BY {role}"))
                connection.execute(text(f"DROP ROLE {role}"))
            owner.dispose()


def test_an_export_of_a_database_that_is_not_prepared_says_so(postgres_server: Server, tmp_path: Path) -> None:
    """With the command that prepares it."""
    with postgres_server.database() as url:
        folders = {"inbox": str(tmp_path / "inbox"), "outbox": str(tmp_path / "outbox")}
        cluster = {"cluster": {"database_url": url}, "daemon": {"engine": "cluster"}}
        with pytest.raises(ConfigError, match="is not prepared") as refused:
            export_invoices(Settings.model_validate({"folders": folders, **cluster}))
        assert "pipeline migrate" in refused.value.hint


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_its_host_is_stopped_in_good_order(
    database: Engine, prepared: ClusterSettings, stop: signal.Signals
) -> None:
    """It leaves no entry of a lost worker behind."""
    url = {"PIPELINE_CLUSTER__DATABASE_URL": prepared.database_url.get_secret_value()}
    command = [
        sys.executable,
        "-c",
        "from pipeline.cli.main import main; main()",
        "worker",
        "--host",
        "http://127.0.0.1:9/v1",
    ]
    with subprocess.Popen(command, env={**os.environ, **url}, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("worker.waits" in line for line in process.stderr)
            assert len(executors(database)) == 1
            process.send_signal(stop)
            process.wait(30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert executors(database) == []


@pytest.mark.parametrize(("version", "word"), [(0, "older"), (99, "newer")])
def test_another_schema_is_refused(database: Engine, prepared: ClusterSettings, version: int, word: str) -> None:
    """A worker of another release would write what its neighbours cannot read."""
    with database.begin() as connection:
        connection.execute(text("UPDATE pipeline_schema SET version = :version"), {"version": version})
    with pytest.raises(ConfigError, match=f"has schema {version}, {word}"):
        require_postgres(database)
    if word == "newer":
        with pytest.raises(ConfigError, match="newer"):
            migrate_database(prepared)


def test_a_database_that_is_away_at_the_start_is_named(tmp_path: Path) -> None:
    """Without its password, and with what to do."""
    url = SecretStr(f"postgresql://me:secret@/invoices?host={tmp_path}")
    engine = open_postgres(ClusterSettings(database_url=url), name="test")
    with pytest.raises(ConfigError, match="invoices") as away:
        require_postgres(engine)
    assert "secret" not in away.value.message
    assert "start PostgreSQL" in away.value.hint
    engine.dispose()


@pytest.mark.parametrize("behaviour", STORE_BEHAVIOURS, ids=lambda one: one.__name__)
def test_the_store_behaves_alike_in_postgresql(database: Engine, behaviour: Callable[[InvoiceStore], None]) -> None:
    """Everything that holds for the store in a file."""
    store = InvoiceStore(database)
    assert store.is_empty()
    behaviour(store)


async def test_two_workers_store_the_same_invoice_at_once(database: Engine) -> None:
    """One record and its versions, and no error, however they overlap."""
    store = InvoiceStore(database)

    async def put(number: int) -> None:
        one = test_invoice_store.invoice(total=f"{number}.00")
        await anyio.to_thread.run_sync(test_invoice_store.put, store, one, f"job {number}")

    async with anyio.create_task_group() as tasks:
        for number in range(1, 9):
            tasks.start_soon(put, number)
    (row,) = store.rows()
    assert row.version == 8


def test_who_is_there_is_known_by_its_lock(database: Engine) -> None:
    """A name is held by one process at a time, and a lock that is gone is seen as soon as the server lets it go."""
    one, other = (Presence(database, "a", host="h", release="1") for _ in range(2))
    assert one.enter()
    assert not other.enter()
    assert [found.connected for found in executors(database)] == [True]
    one._drop()  # as a killed process
    limit = time.monotonic() + 10
    while [found.connected for found in executors(database)] != [False]:
        assert time.monotonic() < limit
    assert other.enter()
    other.leave()
    assert executors(database) == []


def test_what_a_cut_connection_holds_is_taken_back(database: Engine) -> None:
    """The server may not know yet that the connection is dead: it holds the lock and the places."""
    worker = Presence(database, "a", host="h", release="1")
    assert worker.enter()
    worker.take_places(2, 4)
    cut, worker._connection = worker._connection, None
    worker._again()
    assert worker.places == {0, 1}
    worker.leave()
    assert cut is not None
    cut.invalidate()
    cut.close()


def test_a_worker_that_waits_for_a_place_outlives_a_lost_database(database: Engine) -> None:
    """It asks for places again and again on the connection that is lost, until that is made anew."""
    worker = Presence(database, "a", host="h", release="1")
    assert worker.enter()
    with database.connect() as other:
        ended = text("SELECT pg_terminate_backend(:pid, 5000)")
        assert other.execute(ended, {"pid": worker._session["pid"]}).scalar()
    for _ in range(2):
        with pytest.raises(StorageFault):
            worker.take_places(2, 4)
    with pytest.raises(StorageFault):
        worker._tell()
    worker._drop()
    worker._again()
    assert worker.take_places(2, 4) == 2
    worker.leave()


def test_a_name_that_was_refused_may_be_asked_for_again(prepared: ClusterSettings, database: Engine) -> None:
    """The pool may give the connection of the first try again, which must not be taken for one that was cut."""
    one, other = (Presence(engine, "a", host="h", release="1") for engine in (database, _of_one(prepared)))
    assert one.enter()
    for _ in range(3):
        assert not other.enter()
    one.leave()
    assert other.enter()
    other.leave()
    other._engine.dispose()


def _of_one(settings: ClusterSettings) -> Engine:
    return create_engine(database_url(settings), pool_size=1, max_overflow=0)


def test_places_at_a_host_are_shared_out(database: Engine) -> None:
    """No two workers have the same; those of a worker that ends are free again."""
    one, other = (Presence(database, name, host="h", release="1") for name in ("a", "b"))
    assert one.enter()
    assert other.enter()
    assert one.take_places(3, 4) == 3
    assert other.take_places(3, 4) == 1
    one.leave()
    assert other.take_places(3, 4) == 3
    other.leave()


@pytest.mark.parametrize(
    ("silent", "connected", "lost"),
    [("0.1 s", False, False), ("0.8 s", True, False), ("0.8 s", False, True), ("2 s", True, True)],
)
def test_only_jobs_of_lost_workers_are_taken_over(
    database: Engine, prepared: ClusterSettings, silent: str, connected: bool, lost: bool
) -> None:
    """A free lock for the grace time, or silence for longer although the lock is held: frozen."""
    cluster = Cluster(database)
    worker = Presence(database, "w", host="h", release="1")
    assert worker.enter()
    _running(database, cluster, "job-1", executor="w")
    with database.begin() as connection:
        connection.execute(text(f"UPDATE pipeline_executors SET seen_at = now() - interval '{silent}'"))
    if not connected:
        worker._drop()
    Recovery(database, cluster, prepared, executor="me", attempts=3).look(frozenset)
    flow = cluster.find("job-1")
    assert flow is not None
    assert (flow.condition is Condition.WAITING, flow.resumes) == (lost, int(lost))
    worker._drop()


@pytest.mark.parametrize(("ago_seconds", "lost"), [(0.0, False), (60.0, True)])
def test_a_worker_that_comes_back_is_given_time_to_say_so(
    database: Engine, prepared: ClusterSettings, ago_seconds: float, lost: bool
) -> None:
    """The connections that claim jobs may be there again before the one that tells of the worker."""
    cluster = Cluster(database)
    _running(database, cluster, "job-1", executor="w")
    with database.begin() as connection:
        claimed = f"1000 * (extract(epoch FROM clock_timestamp()) - {ago_seconds})"
        connection.execute(text(f"UPDATE dbos.workflow_status SET started_at_epoch_ms = {claimed}"))
    Recovery(database, cluster, prepared, executor="me", attempts=3).look(frozenset)
    assert [flow.resumes for flow in [cluster.find("job-1")] if flow] == [int(lost)]


def test_a_job_that_lost_too_many_workers_is_stopped(database: Engine, prepared: ClusterSettings) -> None:
    """The engine's own count starts anew at each resume, so ours is kept beside the job."""
    cluster = Cluster(database)
    recovery = Recovery(database, cluster, prepared.model_copy(update={"resumes": 2}), executor="me", attempts=3)
    _running(database, cluster, "job-1", executor="gone")
    for _ in range(2):
        recovery.look(frozenset)
        _mark_running(database, "job-1", "gone")
    with capture_logs() as logs:
        recovery.look(frozenset)
    assert [one["event"] for one in logs] == ["job.stopped"]
    flow = cluster.find("job-1")
    assert flow is not None
    assert flow.condition is Condition.CANCELLED
    assert "lost 3 times" in flow.reason


async def test_a_claimed_job_that_was_never_begun_is_given_back(database: Engine, prepared: ClusterSettings) -> None:
    """As when the connection broke between the claim and its answer: the worker lives and knows nothing of it."""
    cluster = Cluster(database)
    worker = Presence(database, "me", host="h", release="1")
    assert worker.enter()
    recovery = Recovery(database, cluster, prepared, executor="me", attempts=3)
    _running(database, cluster, "job-1", executor="me")
    _running(database, cluster, "job-2", executor="me")
    recovery.look(lambda: {"job-2"})
    await anyio.sleep(prepared.grace_seconds + 0.1)
    recovery.look(lambda: {"job-2"})
    assert [one.id for one in cluster.running()] == ["job-2"]
    worker.leave()


async def test_one_loss_is_charged_once(database: Engine, prepared: ClusterSettings) -> None:
    """Back after a cut, a worker misses its jobs at the moment in which another one takes them for lost."""
    cluster = Cluster(database)
    worker = Presence(database, "me", host="h", release="1")
    assert worker.enter()
    mine, other = (Recovery(database, cluster, prepared, executor=name, attempts=3) for name in ("me", "other"))
    _running(database, cluster, "job-1", executor="me")
    mine.look(frozenset)
    await anyio.sleep(prepared.grace_seconds + 0.1)
    worker._drop()

    def while_the_other_looks() -> frozenset[str]:
        other.look(frozenset)
        return frozenset()

    mine.look(while_the_other_looks)
    assert [(flow.condition, flow.resumes) for flow in [cluster.find("job-1")] if flow] == [(Condition.WAITING, 1)]
    assert worker.enter()
    _mark_running(database, "job-1", "me")
    mine.look(frozenset)
    assert [flow.resumes for flow in cluster.running()] == [1], "claimed anew, it is given its time anew"
    worker.leave()


@pytest.mark.usefixtures("database")
async def test_a_job_is_cancelled_in_the_middle_of_a_call(prepared: ClusterSettings, outbox: Outbox) -> None:
    """The call ends soon, although its host never answers, and the job says that it was stopped."""
    body, asked, ended = Body(), anyio.Event(), anyio.Event()

    async def hang() -> None:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    body.before_answer = hang
    with anyio.fail_after(30):
        async with serve_cluster(outbox, body, prepared) as engine:
            assert isinstance(engine, HubEngine)
            job = claim(outbox, "a.txt")
            await submit(engine, job)
            await asked.wait()
            await engine.cancel(job.name)
            await engine.drained()
            await ended.wait()
    (job,) = outbox.jobs(State.FAILED)
    assert (job.result() or {})["error"]["type"] == "Stopped"


async def test_a_result_whose_folder_is_gone_is_written_again(
    prepared: ClusterSettings, database: Engine, outbox: Outbox
) -> None:
    """It ended while no hub was there, and its folder was lost: trace and result come back out of the database."""
    body = Body()
    with anyio.fail_after(30):
        async with serve_cluster(outbox, body, prepared) as engine:
            await submit(engine, claim(outbox, "a.txt"))
            await engine.drained()
        (job,) = outbox.jobs(State.DONE)
        before = outbox.trace(job).events()
        Disk().remove_folder(job.path)
        with database.begin() as connection:
            connection.execute(text("""UPDATE dbos.workflow_status SET attributes = '{"collected": false}'"""))
        async with serve_cluster(outbox, body, prepared):
            while not list(outbox.jobs(State.DONE)):  # noqa: ASYNC110 - what is waited for is a folder
                await anyio.sleep(0.02)
    (job,) = outbox.jobs(State.DONE)
    assert [one["event"] for one in outbox.trace(job).events()] == [one["event"] for one in before]
    assert (job.result() or {})["status"] == "done"


def test_collected_jobs_are_forgotten_after_their_time(database: Engine) -> None:
    """Those that nobody collected stay, however old."""
    cluster = Cluster(database)
    for name in ("collected", "not-collected"):
        _running(database, cluster, name, executor="w")
        cluster.cancel(name, reason="test")
    cluster.collected("collected")
    assert cluster.forget_collected(1) == 0
    assert cluster.forget_collected(0) == 1
    assert cluster.ended() == ["not-collected"]


def test_status_tells_of_a_database_that_is_away(prepared: ClusterSettings, tmp_path: Path) -> None:
    """The other rows are still shown."""
    url = SecretStr(f"postgresql://me@/x?host={tmp_path}")
    engine = open_postgres(ClusterSettings(database_url=url), name="test")
    assert "cannot be used" in survey(engine, prepared)["error"]
    engine.dispose()


def test_a_lost_database_is_a_fault_of_storage(prepared: ClusterSettings) -> None:
    """So no tool and no job is to blame, whichever library noticed."""
    engine = open_postgres(prepared, name="test")
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(StorageFault):
            connection.execute(text("SELECT 1"))
    engine.dispose()


def _running(engine: Engine, cluster: Cluster, name: str, *, executor: str) -> None:
    """Submit a job and let it look as if that executor had taken it."""
    task = Task((), AGENTS["invoice"], RETRY, include_text=True)
    cluster.submit(name, task.to_json())
    _mark_running(engine, name, executor)


def _mark_running(engine: Engine, name: str, executor: str) -> None:
    statement = "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = :by WHERE workflow_uuid = :name"
    with engine.begin() as connection:
        connection.execute(text(statement), {"by": executor, "name": name})


async def test_what_persons_corrected_stays_when_a_job_comes_back(outbox: Outbox, prepared: ClusterSettings) -> None:
    """Their values go over what the session came to elsewhere, its state at hand; the trace ends as the job does."""
    body = CorrectedAtHub()
    job = claim(outbox, "a.txt")
    for _ in range(2):
        with anyio.fail_after(60):
            async with serve_cluster(outbox, body, prepared) as engine:
                await submit(engine, job)
                await engine.drained()
        (job,) = outbox.jobs(State.REVIEW)
        assert outbox.trace(job).events()[-1]["status"] == (job.result() or {})["status"] == "review"
        assert body.heard[-1].startswith("second")
        job = outbox.reopen(job, reason="test", fresh=False)
    assert len(body.heard) == 2


class CorrectedAtHub(Body):
    """Let a person's word send every job to review."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def corrected(
        self,
        job: JobFolder,  # noqa: ARG002 - the seam's names
        claim: Claim,  # noqa: ARG002
        outcome: Outcome,
        *,
        state: Mapping[str, Any],
    ) -> Outcome:
        self.heard.append(state["heard"])
        return replace(outcome, status=State.REVIEW)


def test_forms_of_answers_are_known_to_all_workers(database: Engine) -> None:
    """Where one was refused a schema, another does not ask for it."""
    KnownLanguages(database).learn_forms("http://gpu-1", "small", {"invoice": AnswerForm.PLAIN_SCHEMA})
    KnownLanguages(database).learn_forms("http://gpu-1", "small", {"invoice": AnswerForm.WORDS})
    assert KnownLanguages(database).read("http://gpu-1", "small").forms == {"invoice": "words"}


def test_languages_are_known_to_all_workers(database: Engine) -> None:
    """What one has learned of a model, another begins with; a later lesson takes its place."""
    KnownLanguages(database).learn("http://gpu-1", "small", Language.JSON, learned_from="a session")
    assert KnownLanguages(database).read("http://gpu-1", "small").language is Language.JSON
    KnownLanguages(database).learn("http://gpu-1", "small", Language.TOOLS, learned_from="doctor")
    assert KnownLanguages(database).read("http://gpu-1", "small").language is Language.TOOLS


async def test_a_database_that_goes_as_a_job_begins_fails_nothing(
    prepared: ClusterSettings, database: Engine, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is left where it stood, and given back as one that was claimed and never begun."""
    steps, away = Cluster.steps, anyio.Event()

    def go_away_once(cluster: Cluster, flow: str) -> list[Kept]:
        if not away.is_set():
            away.set()
            raise StorageFault("the database is away")
        return steps(cluster, flow)

    monkeypatch.setattr(Cluster, "steps", go_away_once)
    recovery = Recovery(database, Cluster(database), prepared, executor="here", attempts=3)
    here = Presence(database, "here", host="h", release="1")
    assert here.enter()
    with anyio.fail_after(30):
        async with serve_cluster(outbox, Body(), prepared) as hub, anyio.create_task_group() as tasks:
            await submit(hub, claim(outbox, "a.txt"))
            await away.wait()

            tasks.start_soon(lambda: here.keep(every_seconds=0.2, attend=lambda: recovery.look(frozenset)))
            await hub.drained()
            tasks.cancel_scope.cancel()
    here.leave()
    (job,) = outbox.jobs(State.DONE)
    assert (job.result() or {})["usage"]["attempts"] == 1


def test_sessions_wait_for_a_database_whose_address_is_gone_too(tmp_path: Path) -> None:
    """As a stopped container's name is: the library waits where the error says so, and else breaks sessions off."""
    engine = _open_patiently(
        ClusterSettings(database_url=SecretStr(f"postgresql://me@/x?host={tmp_path}")), name="test"
    )
    with pytest.raises(OperationalError) as away:
        engine.connect()
    assert away.value.connection_invalidated
    engine.dispose()


@pytest.mark.usefixtures("database")
async def test_a_pause_that_is_over_when_it_is_looked_at_breaks_nothing(
    prepared: ClusterSettings, outbox: Outbox
) -> None:
    """As on a slow machine, or where another worker goes on: the next attempt begins at once."""
    retry = RETRY.model_copy(update={"first_delay_seconds": 0.0})
    with anyio.fail_after(30):
        async with serve_cluster(outbox, Body(), prepared, retry=retry) as hub:
            await submit(hub, claim(outbox, "useless.txt"))
            await hub.drained()
    (job,) = outbox.jobs(State.FAILED)
    assert (job.result() or {})["error"]["type"] == "OutputFault"


async def test_doctor_looks_at_database_and_workers(
    prepared: ClusterSettings, database: Engine, tmp_path: Path
) -> None:
    """Not at model servers, which only workers have to reach; a database that is away comes with a remedy."""
    here = Presence(database, "w", host="http://gpu-1:1234/v1", release="1")
    assert here.enter()
    here.take_places(2, 4)
    folders = {"inbox": str(tmp_path / "inbox"), "outbox": str(tmp_path / "outbox")}
    settings = Settings.model_validate({"folders": folders, "daemon": {"engine": "cluster"}})
    settings = settings.model_copy(update={"cluster": prepared})
    checks = [check async for check in examine_setup(settings)]
    assert [(check.name, check.grade) for check in checks[-2:]] == [("database", Grade.GOOD), ("worker", Grade.GOOD)]
    here.leave()
    with database.begin() as connection:
        connection.execute(text("UPDATE pipeline_schema SET version = 99"))
    *_, last = [check async for check in examine_setup(settings)]
    assert (last.name, last.grade) == ("database", Grade.BAD)
    assert "99" in last.seen
    assert last.remedy


async def test_a_step_that_the_database_breaks_off_is_no_fault_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library waits for most of what can happen to a connection; the rest must not end a session."""

    async def break_off(*_: object) -> None:
        raise OperationalError("INSERT", {}, DriverError("consuming input failed"))

    async def nothing() -> JsonObject:
        return {}

    monkeypatch.setattr(durable.DBOS, "run_step_async", break_off)
    with pytest.raises(StorageFault):
        await durable.keep_step("a step", nothing)
